//! Reads the values that come from outside the file.

use std::error::Error as _;
use std::path::Path;

use toml::Spanned;

use super::super::LoadOptions;
use super::super::diagnostics::Diagnostic;
use super::super::document::{Document, Kafka, Kind, Telegram};
use super::super::external::{External, Missing, Origin, Resolve};
use super::super::parse::is_chat;
use super::{kafka, youtube};

/// Reads every value from outside, unless placeholders are wanted; what is missing is a fault.
pub(super) fn resolve(document: &mut Document, folder: Option<&Path>, options: &LoadOptions, faults: &mut Vec<Diagnostic>) {
    if options.resolve == Resolve::Placeholders {
        return;
    }
    let folder = folder.unwrap_or(Path::new(""));
    connection(document, folder, options, faults);
    if options.resolve == Resolve::Connection {
        return;
    }
    if let Some(table) = document.telegram.as_mut().filter(|_| options.parts.send) {
        telegram_table(table, folder, options, faults);
    }
    if let Some(value) = document.youtube.as_mut().filter(|_| options.parts.poll).and_then(|youtube| youtube.api_key.as_mut()) {
        let seen = faults.len();
        read(value, folder, options, faults);
        for fault in faults.iter_mut().skip(seen) {
            let hint = fault.hint.take().unwrap_or_default();
            fault.hint = Some(format!("make a key at {}; {hint}", youtube::KEYS_URL));
        }
    }
    for node in document.processors.iter_mut().filter(|_| options.parts.topology) {
        let message = match &mut node.item.kind {
            Some(Kind::Notify { message, .. }) => message,
            Some(Kind::Milestone(milestone)) => &mut milestone.message,
            _ => continue,
        };
        let Some(value) = &mut message.chat_id else { continue };
        read(value, folder, options, faults);
        // Not repeated: it may be anything that got into a variable.
        if value.get_ref().value().is_some_and(|id| !is_chat(id)) {
            let fault = Diagnostic::error("bad-chat", value.span(), "`chat_id` is no id of a chat");
            faults.push(fault.hinted("a number or @name; `tidewatch telegram chats` lists those that the bot knows"));
        }
    }
}

/// What is needed to reach the log.
fn connection(document: &mut Document, folder: &Path, options: &LoadOptions, faults: &mut Vec<Diagnostic>) {
    let ids = document.instance_id.iter_mut();
    if let Some(table) = &mut document.kafka {
        kafka_table(table, folder, options, faults);
    }
    for value in ids {
        read(value, folder, options, faults);
    }
}

/// The values of `[kafka]`. What the command line says instead is not read.
pub(super) fn kafka_table(table: &mut Kafka, folder: &Path, options: &LoadOptions, faults: &mut Vec<Diagnostic>) {
    if let (Some(url), Some(registry)) = (&options.overrides.registry, &mut table.registry) {
        let place = registry.url.as_ref().map_or(0..0, Spanned::span);
        registry.url = Some(Spanned::new(place, External::literal(url)));
    }
    for value in kafka::values(table) {
        read(value, folder, options, faults);
    }
}

/// The values of `[telegram]`.
pub(super) fn telegram_table(table: &mut Telegram, folder: &Path, options: &LoadOptions, faults: &mut Vec<Diagnostic>) {
    if let Some(token) = &mut table.token {
        read(token, folder, options, faults);
    }
}

fn read(value: &mut Spanned<External>, folder: &Path, options: &LoadOptions, faults: &mut Vec<Diagnostic>) {
    if let Err(missing) = value.get_mut().resolve(&options.environment, folder) {
        faults.push(fault(value, &missing));
    }
}

fn fault(value: &Spanned<External>, missing: &Missing) -> Diagnostic {
    let (what, hint) = match value.get_ref().origin() {
        Origin::Env(name) => {
            (format!("the environment variable {name}"), format!("set it: `export {name}=...`; `check --offline` and `demo` need none"))
        }
        Origin::File(path) => (
            format!("the file {}", path.display()),
            "paths are relative to the topology file; `check --offline` and `demo` need none".to_owned(),
        ),
        Origin::Literal => ("the value".to_owned(), String::new()),
    };
    let cause = missing.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let code = if matches!(value.get_ref().origin(), Origin::Env(_)) { "missing-variable" } else { "missing-file" };
    Diagnostic::error(code, value.span(), format!("{what} {missing}{cause}")).labelled("comes from outside").hinted(hint)
}
