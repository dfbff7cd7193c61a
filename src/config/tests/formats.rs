//! What a source or a sink says of its topic's bytes, and what can be wrong with it.

use std::sync::Arc;

use super::*;
use crate::avro::{EmbeddedRegistry, KeyFormat, Registry, RegistryError, Schema};
use crate::streams::clock::ManualClock;
use crate::streams::log::local::LocalLog;

const VALUE: &str = "value = \"youtube_video\"";

fn registry() -> Arc<dyn Registry> {
    Arc::new(EmbeddedRegistry::open(LocalLog::in_memory(), Arc::new(ManualClock::default())).unwrap())
}

/// The report with a registry that has these subjects.
fn asked(text: &str, subjects: &[(&str, &str)]) -> String {
    let registry = registry();
    for (subject, schema) in subjects {
        registry.register(subject, &Schema::parse(schema).unwrap()).unwrap();
    }
    with(text, RegistryLookup::of(registry))
}

fn with(text: &str, registry: RegistryLookup) -> String {
    let options = LoadOptions { environment: Environment::of([("CHAT", "1")]), ..LoadOptions::online().with_registry(registry) };
    match load_text(&SourceFile::new("t.toml", text), None, &options) {
        Ok(config) => format!("{:?}", config.sources.iter().map(|source| (source.format, source.key)).collect::<Vec<_>>()),
        Err(faults) => faults.render(Style::Plain),
    }
}

#[test]
fn formats_and_keys_have_these_names() {
    for (word, key) in
        [("string", KeyFormat::String), ("long", KeyFormat::Long), ("int", KeyFormat::Int), ("bytes", KeyFormat::Bytes)]
    {
        let config = offline(&spoilt(VALUE, &format!("value = {{ format = \"json\", schema = \"youtube_video\" }}\nkey = \"{word}\""))).unwrap();
        assert_eq!((config.sources[0].format, config.sources[0].key), (ValueFormat::Json, key));
    }
    let config = offline(BASE).unwrap();
    assert_eq!((config.sources[0].format, config.sources[0].key), (ValueFormat::Avro, KeyFormat::String));
}

#[test]
fn an_unknown_format() {
    insta::assert_snapshot!(report(VALUE, "value = { format = \"jsn\", schema = \"youtube_video\" }"), @"");
    insta::assert_snapshot!(report(VALUE, "value = { format = \"protobuf\", schema = \"registry\" }"), @"");
}

#[test]
fn an_incomplete_value() {
    insta::assert_snapshot!(report(VALUE, "value = { schema = \"youtube_video\" }"), @"");
    insta::assert_snapshot!(report(VALUE, "value = { format = \"json\" }"), @"");
    insta::assert_snapshot!(report(VALUE, "value = { format = \"json\", shema = \"youtube_video\" }"), @"");
    insta::assert_snapshot!(report(VALUE, "value = 5"), @"");
}

#[test]
fn a_file_that_is_not_there() {
    let text = report(VALUE, "value = { format = \"avro\", schema = \"nonesuch/orders.avsc\" }");
    insta::assert_snapshot!(text, @"");
}

#[test]
fn an_unknown_kind_of_key() {
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nkey = \"lnog\"")), @"");
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nkey = \"uuid\"")), @"");
}

#[test]
fn an_alias_of_an_unknown_field() {
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ titel = \"TITLE\", views = \"VIEWS\" }}")), @"");
}

#[test]
fn an_alias_that_is_no_text_or_stands_twice() {
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ title = 5 }}")), @"");
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = \"TITLE\"")), @"");
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ title = \"X\", views = \"X\" }}")), @"");
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ title = \"likes\" }}")), @"");
    let swapped = format!("{VALUE}\nalias = {{ likes = \"views\", views = \"likes\" }}");
    assert_eq!(report(VALUE, &swapped), "", "two names may change places");
}

#[test]
fn an_alias_of_a_group() {
    let folder = tempfile::tempdir().unwrap();
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"o","type":{"type":"record","name":"o","fields":[{"name":"a","type":"long"}]}}]}"#;
    std::fs::write(folder.path().join("o.avsc"), schema).unwrap();
    let text = spoilt(VALUE, "value = { format = \"json\", schema = \"o.avsc\" }\nalias = { o = \"X\" }");
    let faults = load_text(&SourceFile::new("t.toml", text), Some(folder.path()), &LoadOptions::offline()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!((fault.message.as_str(), fault.hint.as_deref()), ("`alias` of `videos`: `o` is a group of fields", Some("name one of them, as in `o.a`")));
}

const OF_REGISTRY: &str = "value = { format = \"avro\", schema = \"registry\" }";

#[test]
fn a_schema_of_the_registry() {
    let video = crate::avro::shipped("youtube_video").unwrap();
    assert_eq!(asked(&spoilt(VALUE, OF_REGISTRY), &[("youtube_videos-value", video)]), "[(Avro, String)]");
    insta::assert_snapshot!(asked(&spoilt(VALUE, OF_REGISTRY), &[("other-value", video)]), @"");
    insta::assert_snapshot!(asked(&spoilt(VALUE, OF_REGISTRY), &[("youtube_videos-value", "\"string\"")]), @"");
}

#[test]
fn a_registry_that_is_not_there() {
    insta::assert_snapshot!(with(&spoilt(VALUE, OF_REGISTRY), RegistryLookup::none()), @"");
    insta::assert_snapshot!(report(VALUE, OF_REGISTRY), @"");
    let refused = || RegistryError::Unavailable { what: "GET /subjects".to_owned(), source: Some("connection refused".into()) };
    insta::assert_snapshot!(with(&spoilt(VALUE, OF_REGISTRY), RegistryLookup::connecting(move || Err(Box::new(refused())))), @"");
}

#[test]
fn a_registry_that_is_not_needed_is_not_asked() {
    assert_eq!(with(BASE, RegistryLookup::connecting(|| panic!("asked"))), "[(Avro, String)]");
}

#[test]
fn keys_of_the_registry() {
    let text = spoilt(VALUE, &format!("{VALUE}\nkey = \"avro\""));
    assert_eq!(asked(&text, &[("youtube_videos-key", "\"long\"")]), "[(Avro, Avro(Long))]");
    insta::assert_snapshot!(asked(&text, &[]), @"");
    insta::assert_snapshot!(asked(&text, &[("youtube_videos-key", r#"{"type":"record","name":"id","fields":[]}"#)]), @"");
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @"");
}

#[test]
fn names_for_the_fields_of_a_schema_of_the_registry() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"TITLE","type":"string"},{"name":"views","type":"long"},{"name":"likes","type":"long"},
        {"name":"comments","type":"long"},{"name":"o","type":{"type":"record","name":"o","fields":[{"name":"a","type":"long"}]}}]}"#;
    let named = |alias: &str| asked(&spoilt(VALUE, &format!("{OF_REGISTRY}\nalias = {{ {alias} }}")), &[("youtube_videos-value", schema)]);
    assert_eq!(named("title = \"TITLE\""), "[(Avro, String)]");
    insta::assert_snapshot!(named("title = \"TITEL\""), @"");
    insta::assert_snapshot!(named("likes = \"TITLE\""), @"");
    insta::assert_snapshot!(named("title = \"TITLE\", x = \"o.a\""), @"");
    insta::assert_snapshot!(named("title = \"TITLE\", \"a-b\" = \"views\""), @"");
}

#[test]
fn a_key_that_fits_no_field() {
    let text = spoilt(VALUE, &format!("{VALUE}\nkey = \"bytes\"")) + "[sinks.changes]\ninput = \"changes\"\ntopic = \"c\"\nvalue = \"youtube_change\"\n";
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @"");
    assert!(offline(&text.replace("\"bytes\"", "\"long\"")).is_ok(), "a number is written as text where the schema wants text");
}
