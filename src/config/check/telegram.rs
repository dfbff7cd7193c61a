//! Checks `[telegram]`: the token, the address, and which topic holds the messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::diagnostics::{Diagnostic, SourceFile};
use super::super::document::{Document, SchemaRef, Telegram};
use super::super::external::Origin;
use super::super::telegram::{DEFAULT_BOT_API, check_bot_api, check_bot_token};

/// The schema of what is sent.
const MESSAGE: &str = "telegram_message";

/// Reports what is wrong with `[telegram]`; the topic with the messages, where that can be said.
pub(super) fn check(document: &Document, file: &SourceFile, faults: &mut Vec<Diagnostic>) -> Option<Arc<str>> {
    let table = document.telegram.as_ref()?;
    check_api(table, file, faults);
    outbox(document, table, faults)
}

/// Reports what is wrong with the token and the address.
pub(super) fn check_api(table: &Telegram, file: &SourceFile, faults: &mut Vec<Diagnostic>) {
    if let Some(token) = &table.token
        && let Some(Err(reason)) = token.get_ref().value().map(check_bot_token)
    {
        let (line, _) = file.position(token.span().start);
        let fault = match token.get_ref().origin() {
            Origin::Literal => unseen("bad-token", format!("`token` of [telegram] in line {line} is no token of a bot: {reason}")),
            Origin::Env(name) => {
                let message = format!("the environment variable {name} holds no token of a bot: {reason}");
                Diagnostic::error("bad-token", token.span(), message).labelled("comes from outside")
            }
            Origin::File(path) => {
                let message = format!("the file {} holds no token of a bot: {reason}", path.display());
                Diagnostic::error("bad-token", token.span(), message).labelled("comes from outside")
            }
        };
        faults.push(fault.hinted("it looks like 123456789:AAE...; @BotFather tells it (/mybots, API Token)"));
    }
    let Some(url) = &table.base_url else { return };
    match check_bot_api(url.get_ref()) {
        Err(reason) => {
            let (line, _) = file.position(url.span().start);
            let fault = unseen("bad-address", format!("`base_url` of [telegram] in line {line} is no address of a Bot API: {reason}"));
            faults.push(fault.hinted(format!("as in `base_url = \"{DEFAULT_BOT_API}\"`, which is the default")));
        }
        Ok(()) if is_readable_on_the_way(url.get_ref()) => {
            let fault = Diagnostic::warning("plain-http", url.span(), "the token is sent without encryption to another host");
            faults
                .push(fault.labelled("http").hinted("let an HTTPS proxy stand before the server, or use a network that nobody else reads"));
        }
        Ok(()) => {}
    }
}

/// A fault that does not show its line: there may be a secret in it.
fn unseen(code: &'static str, message: String) -> Diagnostic {
    Diagnostic { span: None, ..Diagnostic::error(code, 0..0, message) }
}

/// Whether the address is plain HTTP to another host. A server of one's own speaks nothing else.
fn is_readable_on_the_way(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.strip_prefix('[').and_then(|host| host.split(']').next()).unwrap_or_else(|| host.split(':').next().unwrap_or_default());
    let is_loopback = name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !is_loopback
}

/// The topic with the messages: as the table says, else that of the sinks that write them.
fn outbox(document: &Document, table: &Telegram, faults: &mut Vec<Diagnostic>) -> Option<Arc<str>> {
    if let Some(topic) = &table.outbox {
        if topic.get_ref().is_empty() {
            faults.push(Diagnostic::error("bad-name", topic.span(), "`outbox` is empty").hinted("as in `outbox = \"telegram_outbox\"`"));
            return None;
        }
        return Some(topic.get_ref().as_str().into());
    }
    let writes_messages = |schema: &SchemaRef| matches!(schema, SchemaRef::Named(name) if name.get_ref() == MESSAGE);
    let sinks = document.sinks.iter().filter(|sink| sink.item.value.as_ref().is_some_and(|value| writes_messages(&value.schema)));
    // A sink without a topic has a fault of its own.
    let topics: Option<BTreeSet<&str>> = sinks.map(|sink| Some(sink.item.topic.as_ref()?.get_ref().as_str())).collect();
    let topics: Vec<&str> = topics?.into_iter().collect();
    let (message, hint) = match topics.as_slice() {
        [topic] => return Some((*topic).into()),
        [] => (
            format!("[telegram] does not say which topic holds the messages, and no sink writes values of {MESSAGE}"),
            format!("add a sink with `value = \"{MESSAGE}\"`, or `outbox = \"telegram_outbox\"` where another application writes it"),
        ),
        [first, ..] => (
            format!("[telegram] does not say which topic it sends: {} hold messages", topics.join(", ")),
            format!("add `outbox = \"{first}\"`, or let all sinks of messages write one topic"),
        ),
    };
    faults.push(Diagnostic::error("missing-key", table.place.clone(), message).labelled("in this table").hinted(hint));
    None
}
