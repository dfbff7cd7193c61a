//! Fuzz target: the text of a topology file.

use super::{Diagnostics, LoadOptions, SourceFile, Style, load_text};

/// The text of a topology file: parsed, checked and reported on; where it has no faults, built.
pub(crate) fn file(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let file = SourceFile::new("t.toml", text);
    match load_text(&file, None, &LoadOptions::offline()) {
        Ok(config) => {
            report(text, config.warnings());
            let built = super::build(&config, crate::avro::fuzz::registry());
            assert!(
                built.is_ok(),
                "it was checked, but cannot be built: {}",
                built.err().map(|error| crate::streams::task::chain(&error)).unwrap_or_default()
            );
        }
        Err(faults) => {
            assert!(faults.has_errors());
            report(text, &faults);
        }
    }
    let mut faults = Vec::new();
    let table = super::parse::parse_kafka(&file, &mut faults);
    if let Err(faults) = super::check::check_kafka(table, &file, None, &LoadOptions::offline(), faults) {
        report(text, &faults);
    }
    let mut faults = Vec::new();
    let table = super::parse::parse_telegram(&file, &mut faults);
    if let Err(faults) = super::check::check_bot_api(table, &file, None, &LoadOptions::offline(), faults) {
        report(text, &faults);
    }
}

fn report(text: &str, faults: &Diagnostics) {
    for fault in faults.iter() {
        assert!(fault.code != "internal", "{}", faults.render(Style::Plain));
        if let Some(span) = &fault.span {
            assert!(text.get(span.clone()).is_some(), "{span:?} of {} bytes", text.len());
        }
    }
    let rendered = faults.render(Style::Plain);
    assert_eq!(rendered.is_empty(), faults.is_empty());
    faults.render(Style::Terminal);
    faults.to_json();
    assert!(!faults.to_string().is_empty());
}
