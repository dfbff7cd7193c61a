//! One test per check: a file with one fault, and the whole report that it gets.

use super::*;

/// A correct file to spoil. Its lines are short, so that reports are too.
const BASE: &str = r#"application_id = "app"
[sources.videos]
topic = "youtube_videos"
value = "youtube_video"
start = "earliest"
[processors.changes]
type = "latest"
input = "videos"
watch = ["title", "views", "likes", "comments"]
[processors.likes]
type = "notify"
input = "changes"
when = "current.likes != previous.likes"
chat_id = { env = "CHAT" }
text = "{{ current.title }}: {{ current.likes }}"
[sinks.outbox]
input = "likes"
topic = "telegram_outbox"
value = "telegram_message"
"#;

fn offline(text: &str) -> Result<Config, Diagnostics> {
    load_text(&SourceFile::new("t.toml", text), None, &LoadOptions::offline())
}

/// The base with one text replaced, which must be in it.
fn spoilt(from: &str, to: &str) -> String {
    assert_eq!(BASE.matches(from).count(), 1, "{from}");
    BASE.replace(from, to)
}

/// The report on the base with one text replaced.
fn report(from: &str, to: &str) -> String {
    match offline(&spoilt(from, to)) {
        Err(faults) => faults.render(Style::Plain),
        Ok(config) => config.warnings().render(Style::Plain),
    }
}

mod build;
mod fields;
mod file;
mod foreign;
mod formats;
mod graph;
mod kafka;
mod random;
mod telegram;
mod values;
mod whole;
mod youtube;
