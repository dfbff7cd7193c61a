//! Reads `[telegram]`.

use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::super::diagnostics::Diagnostic;
use super::super::document::{Telegram, Text};
use super::super::telegram::{OnUnknown, Rates};
use super::reader::{Reader, Value};
use super::{as_table, kafka};

const TOKEN_EXAMPLE: &str = "token = { env = \"TELEGRAM_BOT_TOKEN\" }";
const CHATS_EXAMPLE: &str = "[telegram.chats.\"-1001234567890\"]";

const ON_UNKNOWN: [(&str, OnUnknown); 2] = [("send-again", OnUnknown::SendAgain), ("dead-letter", OnUnknown::DeadLetter)];

const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// What was sent a day ago may well be read again; what is older than ten years not.
const REMEMBER: RangeInclusive<Duration> = Duration::from_secs(3_600)..=Duration::from_secs(10 * 365 * 24 * 3_600);

/// `[telegram]`.
pub(super) fn telegram(place: Range<usize>, value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Option<Telegram> {
    let mut table = Reader::new("[telegram]", place.clone(), as_table("telegram", value, "[telegram]", faults)?, faults);
    let token = table.require("token", TOKEN_EXAMPLE);
    let token = token.and_then(|value| kafka::outside("token", value, TOKEN_EXAMPLE, table.faults()));
    let base_url = table.text("base_url", "base_url = \"http://localhost:8081\"");
    let outbox = table.text("outbox", "outbox = \"telegram_outbox\"");
    let on_unknown = table.choice("on_unknown", &ON_UNKNOWN).unwrap_or_default();
    let chats = table.take("chats").map(|(_, value)| chats(value, on_unknown, table.faults())).unwrap_or_default();
    let remember = table.duration("remember", "30d", &REMEMBER);
    let timeout = table.duration("timeout", "10s", &TIMEOUT);
    let rates = table.take("limits").map(|(_, value)| rates(value, table.faults())).unwrap_or_default();
    table.finish();
    Some(Telegram { place, token, base_url, outbox, on_unknown, chats, remember, timeout, rates })
}

/// `[telegram.chats."ID"]`.
fn chats(value: &Value<'_>, default: OnUnknown, faults: &mut Vec<Diagnostic>) -> Vec<(Text, OnUnknown)> {
    let Some(table) = as_table("chats", value, CHATS_EXAMPLE, faults) else { return Vec::new() };
    let mut chats = Reader::new("[telegram.chats]", value.span(), table, faults);
    let tables = chats.all().into_iter().filter_map(|(id, value)| {
        if !is_chat(id.get_ref()) {
            let fault = Diagnostic::error("bad-name", id.span(), format!("\"{}\" is no id of a chat", id.get_ref()));
            chats.faults().push(fault.hinted(format!("a number or @name, as in `{CHATS_EXAMPLE}`; `tidewatch telegram chats` lists them")));
        }
        let table = as_table(id.get_ref(), value, CHATS_EXAMPLE, chats.faults())?;
        let mut table = Reader::new(format!("[telegram.chats.\"{}\"]", id.get_ref()), id.span(), table, chats.faults());
        let on_unknown = table.choice("on_unknown", &ON_UNKNOWN).unwrap_or(default);
        table.finish();
        Some((id, on_unknown))
    });
    tables.collect()
}

/// A number, negative for groups and channels, or the name of a public one.
pub(in crate::config) fn is_chat(id: &str) -> bool {
    id.parse::<i64>().is_ok() || id.strip_prefix('@').is_some_and(|name| !name.is_empty())
}

/// `[telegram.limits]`.
fn rates(value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Rates {
    let mut rates = Rates::default();
    let Some(table) = as_table("limits", value, "[telegram.limits]", faults) else { return rates };
    let mut table = Reader::new("[telegram.limits]", value.span(), table, faults);
    let mut set = |into: &mut NonZeroU32, key: &'static str, end: i64| {
        let number = table.integer(key, 1..end).and_then(|number| u32::try_from(number.into_inner()).ok());
        *into = number.and_then(NonZeroU32::new).unwrap_or(*into);
    };
    // The highest that Telegram grants to anybody is 1000 a second in all, for paid broadcasts.
    set(&mut rates.chat_per_second, "chat_per_second", 1_001);
    set(&mut rates.group_per_minute, "group_per_minute", 60_001);
    set(&mut rates.bot_per_second, "bot_per_second", 1_001);
    table.finish();
    rates
}
