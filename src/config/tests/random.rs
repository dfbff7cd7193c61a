//! The shipped file, and what random changes make of it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

#[test]
fn the_shipped_file_is_free_of_faults_without_any_environment() {
    let config = shipped(&LoadOptions::offline()).unwrap_or_else(|faults| panic!("{}", faults.render(Style::Plain)));
    assert!(config.warnings().is_empty(), "{}", config.warnings().render(Style::Plain));
    let processors: Vec<&str> = config.processors.iter().map(|node| &*node.name).collect();
    assert_eq!(processors, ["changes", "likes", "comments", "views"]);
    let topics: Vec<(&str, usize)> = config.sinks.iter().map(|sink| (&*sink.topic, sink.inputs.len())).collect();
    assert_eq!(topics, [("youtube_changes", 1), ("telegram_outbox", 3)]);
    let fields: Vec<&str> = config.sources[0].shape.fields.iter().map(|field| &*field.path).collect();
    assert_eq!(fields, ["title", "views", "likes", "comments"]);
    assert_eq!(config.stores().collect::<Vec<_>>(), ["changes", "views"]);
}

/// Pieces that make a mutated file go wrong in more interesting places than single characters do.
const PIECES: [&str; 31] = [
    "[",
    "]",
    "\"",
    "\"\"\"",
    "'",
    "{{",
    "}}",
    "=",
    ".",
    "\n",
    "é",
    "\\u0000",
    "\\",
    "[sources.x]\n",
    "[[sinks]]\n",
    "input = \"likes\"\n",
    "null",
    "inputs",
    " && ",
    "-1",
    "9999999999999999999",
    "{ env = \"X\" }",
    "videos",
    "type = \"filter\"\n",
    "[kafka]\n",
    "bootstrap_servers = [\"b:9092\"]\n",
    "registry = { url = \"http://r\" }\n",
    "[kafka.properties]\n",
    "sasl.mechanism = \"PLAIN\"\n",
    "[telegram]\n",
    "token = \"1:a\"\n",
];

fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0_usize..30, 0..PIECES.len() + 8);
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text: Vec<char> = SHIPPED.chars().collect();
        for (place, removed, piece) in edits {
            let at = place.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            // A few of the edits only remove.
            let piece = PIECES.get(piece).copied().unwrap_or("");
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_the_file_makes_the_check_panic(text in mutated()) {
        match load_text(&SourceFile::new(Arc::from("t.toml"), text), None, &LoadOptions::offline()) {
            Ok(config) => { config.warnings().render(Style::Plain); }
            Err(faults) => {
                prop_assert!(faults.has_errors());
                faults.render(Style::Plain);
                faults.to_json();
                prop_assert!(faults.iter().all(|fault| fault.code != "internal"), "{}", faults.render(Style::Plain));
            }
        }
    }
}
