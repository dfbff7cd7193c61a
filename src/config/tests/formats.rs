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
    for (word, key) in [("string", KeyFormat::String), ("long", KeyFormat::Long), ("int", KeyFormat::Int), ("bytes", KeyFormat::Bytes)] {
        let config =
            offline(&spoilt(VALUE, &format!("value = {{ format = \"json\", schema = \"youtube_video\" }}\nkey = \"{word}\""))).unwrap();
        assert_eq!((config.sources[0].format, config.sources[0].key), (ValueFormat::Json, key));
    }
    let config = offline(BASE).unwrap();
    assert_eq!((config.sources[0].format, config.sources[0].key), (ValueFormat::Avro, KeyFormat::String));
}

#[test]
fn an_unknown_format() {
    insta::assert_snapshot!(report(VALUE, "value = { format = \"jsn\", schema = \"youtube_video\" }"), @r#"
      x `format` cannot be "jsn"
       ,-[t.toml:4:20]
     4 | value = { format = "jsn", schema = "youtube_video" }
       :                    ^^|^^
       :                      `-- here
       `----
      help: did you mean `json`?

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, "value = { format = \"protobuf\", schema = \"registry\" }"), @r#"
      x `format` cannot be "protobuf"
       ,-[t.toml:4:20]
     4 | value = { format = "protobuf", schema = "registry" }
       :                    ^^^^^|^^^^
       :                         `-- here
       `----
      help: known: `avro`, `json`

    t.toml: 1 error
    "#);
}

#[test]
fn an_incomplete_value() {
    insta::assert_snapshot!(report(VALUE, "value = { schema = \"youtube_video\" }"), @r#"
      x `value` has no `format`
       ,-[t.toml:4:9]
     4 | value = { schema = "youtube_video" }
       :         ^^^^^^^^^^^^^^|^^^^^^^^^^^^^
       :                       `-- in this table
       `----
      help: add `format = "avro"` or `format = "json"`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, "value = { format = \"json\" }"), @r#"
      x `value` has no `schema`
       ,-[t.toml:4:9]
     4 | value = { format = "json" }
       :         ^^^^^^^^^|^^^^^^^^^
       :                  `-- in this table
       `----
      help: add `schema = "orders.avsc"` or `schema = "registry"`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, "value = { format = \"json\", shema = \"youtube_video\" }"), @r#"
      x `value` has no key `shema`
       ,-[t.toml:4:28]
     4 | value = { format = "json", shema = "youtube_video" }
       :                            ^^|^^
       :                              `-- not known here
       `----
      help: did you mean `schema`?

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, "value = 5"), @r#"
      x `value` must be the name of a schema, or a table, not a whole number
       ,-[t.toml:4:9]
     4 | value = 5
       :         |
       :         `-- here
       `----
      help: as in `value = "youtube_video"` or `value = { format = "json", schema = "orders.avsc" }`

    t.toml: 1 error
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    let text = report(VALUE, "value = { format = \"avro\", schema = \"nonesuch/orders.avsc\" }");
    insta::assert_snapshot!(text, @r#"
      x nonesuch/orders.avsc cannot be read: No such file or directory (os error 2)
       ,-[t.toml:4:37]
     4 | value = { format = "avro", schema = "nonesuch/orders.avsc" }
       :                                     ^^^^^^^^^^^|^^^^^^^^^^
       :                                                `-- a file
       `----
      help: paths are relative to the topology file; without .avsc it is the name of a schema in schemas/

    t.toml: 1 error
    "#);
}

#[test]
fn an_unknown_kind_of_key() {
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nkey = \"lnog\"")), @r#"
      x `key` cannot be "lnog"
       ,-[t.toml:5:7]
     5 | key = "lnog"
       :       ^^^|^^
       :          `-- here
       `----
      help: did you mean `long`?

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nkey = \"uuid\"")), @r#"
      x `key` cannot be "uuid"
       ,-[t.toml:5:7]
     5 | key = "uuid"
       :       ^^^|^^
       :          `-- here
       `----
      help: known: `string`, `long`, `int`, `bytes`, `avro`

    t.toml: 1 error
    "#);
}

#[test]
fn an_alias_of_an_unknown_field() {
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ titel = \"TITLE\", views = \"VIEWS\" }}")), @r#"
      x `alias` of `videos`: the schema has no field `titel`
       ,-[t.toml:5:11]
     5 | alias = { titel = "TITLE", views = "VIEWS" }
       :           ^^|^^
       :             `-- unknown field
       `----
      help: did you mean `title`?

    t.toml: 1 error
    "#);
}

#[test]
fn an_alias_that_is_no_text_or_stands_twice() {
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ title = 5 }}")), @r#"
      x `title` must be a string, not a whole number
       ,-[t.toml:5:19]
     5 | alias = { title = 5 }
       :                   |
       :                   `-- here
       `----
      help: as in `alias = { title = "TITLE" }`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = \"TITLE\"")), @r#"
      x `alias` must be a table, not a string
       ,-[t.toml:5:9]
     5 | alias = "TITLE"
       :         ^^^|^^^
       :            `-- here
       `----
      help: as in `alias = { title = "TITLE" }`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ title = \"X\", views = \"X\" }}")), @r#"
      x two fields of `videos` are `X` in the topic
       ,-[t.toml:5:32]
     5 | alias = { title = "X", views = "X" }
       :                                ^|^
       :                                 `-- second time
       `----
      help: a field of the topic has one name in the topology

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, &format!("{VALUE}\nalias = {{ title = \"likes\" }}")), @r#"
      x `title` and `likes` are both read from `likes`
       ,-[t.toml:5:19]
     5 | alias = { title = "likes" }
       :                   ^^^|^^^
       :                      `-- read twice
       `----
      help: give the other field an alias of its own, or do not use it

    t.toml: 1 error
    "#);
    let swapped = format!("{VALUE}\nalias = {{ likes = \"views\", views = \"likes\" }}");
    assert_eq!(report(VALUE, &swapped), "", "two names may change places");
}

#[test]
fn an_alias_of_a_group() {
    let folder = tempfile::tempdir().unwrap();
    let schema =
        r#"{"type":"record","name":"r","fields":[{"name":"o","type":{"type":"record","name":"o","fields":[{"name":"a","type":"long"}]}}]}"#;
    std::fs::write(folder.path().join("o.avsc"), schema).unwrap();
    let text = spoilt(VALUE, "value = { format = \"json\", schema = \"o.avsc\" }\nalias = { o = \"X\" }");
    let faults = load_text(&SourceFile::new("t.toml", text), Some(folder.path()), &LoadOptions::offline()).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!(
        (fault.message.as_str(), fault.hint.as_deref()),
        ("`alias` of `videos`: `o` is a group of fields", Some("name one of them, as in `o.a`"))
    );
}

const OF_REGISTRY: &str = "value = { format = \"avro\", schema = \"registry\" }";

#[test]
fn a_schema_of_the_registry() {
    let video = crate::avro::shipped("youtube_video").unwrap();
    assert_eq!(asked(&spoilt(VALUE, OF_REGISTRY), &[("youtube_videos-value", video)]), "[(Avro, String)]");
    insta::assert_snapshot!(asked(&spoilt(VALUE, OF_REGISTRY), &[("other-value", video)]), @r#"
      x the registry has no subject youtube_videos-value
       ,-[t.toml:4:9]
     4 | value = { format = "avro", schema = "registry" }
       :         ^^^^^^^^^^^^^^^^^^^^|^^^^^^^^^^^^^^^^^^^
       :                             `-- asks the registry
       `----
      help: it is there once a producer has registered its schema; else name a file, as in `schema = "orders.avsc"`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(asked(&spoilt(VALUE, OF_REGISTRY), &[("youtube_videos-value", "\"string\"")]), @r#"
      x the schema of youtube_videos-value is no record
       ,-[t.toml:4:9]
     4 | value = { format = "avro", schema = "registry" }
       :         ^^^^^^^^^^^^^^^^^^^^|^^^^^^^^^^^^^^^^^^^
       :                             `-- here
       `----
      help: a value is a record, so that its fields have names

    t.toml: 1 error
    "#);
}

#[test]
fn a_registry_that_is_not_there() {
    insta::assert_snapshot!(with(&spoilt(VALUE, OF_REGISTRY), RegistryLookup::none()), @r#"
      x the schema of youtube_videos-value is in a registry, and there is none to ask
       ,-[t.toml:4:9]
     4 | value = { format = "avro", schema = "registry" }
       :         ^^^^^^^^^^^^^^^^^^^^|^^^^^^^^^^^^^^^^^^^
       :                             `-- asks the registry
       `----
      help: [kafka] names one under `registry`; without it name a file, as in `schema = "orders.avsc"`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(report(VALUE, OF_REGISTRY), @r#"
      x the schema of youtube_videos-value is in the registry, which is not asked offline
       ,-[t.toml:4:9]
     4 | value = { format = "avro", schema = "registry" }
       :         ^^^^^^^^^^^^^^^^^^^^|^^^^^^^^^^^^^^^^^^^
       :                             `-- asks the registry
       `----
      help: `check --offline` and `demo` ask for nothing from outside: run `check` without --offline, or name a file, as
            in `schema = "orders.avsc"`

    t.toml: 1 error
    "#);
    let refused = || RegistryError::Unavailable { what: "GET /subjects".to_owned(), source: Some("connection refused".into()) };
    insta::assert_snapshot!(with(&spoilt(VALUE, OF_REGISTRY), RegistryLookup::connecting(move || Err(Box::new(refused())))), @r#"
      x the registry cannot be asked for youtube_videos-value: the schema registry is unavailable: GET /subjects:
      | connection refused
       ,-[t.toml:4:9]
     4 | value = { format = "avro", schema = "registry" }
       :         ^^^^^^^^^^^^^^^^^^^^|^^^^^^^^^^^^^^^^^^^
       :                             `-- asks the registry
       `----
      help: see that it runs, and that its address and credentials are right

    t.toml: 1 error
    "#);
}

#[test]
fn a_registry_that_is_not_needed_is_not_asked() {
    assert_eq!(with(BASE, RegistryLookup::connecting(|| panic!("asked"))), "[(Avro, String)]");
}

#[test]
fn keys_of_the_registry() {
    let text = spoilt(VALUE, &format!("{VALUE}\nkey = \"avro\""));
    assert_eq!(asked(&text, &[("youtube_videos-key", "\"long\"")]), "[(Avro, Avro(Long))]");
    insta::assert_snapshot!(asked(&text, &[]), @r#"
      x the registry has no subject youtube_videos-key
       ,-[t.toml:5:7]
     5 | key = "avro"
       :       ^^^|^^
       :          `-- asks the registry
       `----
      help: it is there once a producer has registered its schema; else say what the keys are, as in `key = "long"`

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(asked(&text, &[("youtube_videos-key", r#"{"type":"record","name":"id","fields":[]}"#)]), @r#"
      x the keys of youtube_videos-key cannot be used: the schema is record id; a key is a string, an int or a long
       ,-[t.toml:5:7]
     5 | key = "avro"
       :       ^^^|^^
       :          `-- no single value
       `----
      help: `key = "bytes"` takes them as they are

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @r#"
      x the schema of youtube_videos-key is in the registry, which is not asked offline
       ,-[t.toml:5:7]
     5 | key = "avro"
       :       ^^^|^^
       :          `-- asks the registry
       `----
      help: `check --offline` and `demo` ask for nothing from outside: run `check` without --offline, or say what the keys
            are, as in `key = "long"`

    t.toml: 1 error
    "#);
}

#[test]
fn names_for_the_fields_of_a_schema_of_the_registry() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"TITLE","type":"string"},{"name":"views","type":"long"},{"name":"likes","type":"long"},
        {"name":"comments","type":"long"},{"name":"o","type":{"type":"record","name":"o","fields":[{"name":"a","type":"long"}]}}]}"#;
    let named = |alias: &str| asked(&spoilt(VALUE, &format!("{OF_REGISTRY}\nalias = {{ {alias} }}")), &[("youtube_videos-value", schema)]);
    assert_eq!(named("title = \"TITLE\""), "[(Avro, String)]");
    insta::assert_snapshot!(named("title = \"TITEL\""), @r#"
      x `alias` of `videos`: the schema has no field `TITEL`
       ,-[t.toml:5:19]
     5 | alias = { title = "TITEL" }
       :                   ^^^|^^^
       :                      `-- unknown field
       `----
      help: did you mean `TITLE`?

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(named("likes = \"TITLE\""), @r#"
      x the topic has a field `likes` of its own
       ,-[t.toml:5:11]
     5 | alias = { likes = "TITLE" }
       :           ^^|^^
       :             `-- taken
       `----
      help: choose another name

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(named("title = \"TITLE\", x = \"o.a\""), @r#"
      x `o.a` has several parts
       ,-[t.toml:5:32]
     5 | alias = { title = "TITLE", x = "o.a" }
       :                                ^^|^^
       :                                  `-- here
       `----
      help: with a schema of the registry an alias names a field of the record itself: use the path as it is

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(named("title = \"TITLE\", \"a-b\" = \"views\""), @r#"
      x the names are no names of fields: the schema is not valid Avro: Invalid field name a-b
       ,-[t.toml:5:11]
     5 | alias = { title = "TITLE", "a-b" = "views" }
       :           ^^|^^
       :             `-- here
       `----
      help: letters, digits and `_`, no digit first

    t.toml: 1 error
    "#);
}

#[test]
fn a_key_that_fits_no_field() {
    let text = spoilt(VALUE, &format!("{VALUE}\nkey = \"bytes\""))
        + "[sinks.changes]\ninput = \"changes\"\ntopic = \"c\"\nvalue = \"youtube_change\"\n";
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @r#"
      x schema youtube_change does not fit what comes from `changes`: field video_id (string) cannot be filled from the
      | record's key (bytes)
        ,-[t.toml:24:9]
     24 | value = "youtube_change"
        :         ^^^^^^^^|^^^^^^^
        :                 `-- field `video_id`
        `----
      help: give the field a type that can hold the value, with null where the value may be null

    t.toml: 1 error
    "#);
    assert!(offline(&text.replace("\"bytes\"", "\"long\"")).is_ok(), "a number is written as text where the schema wants text");
}
