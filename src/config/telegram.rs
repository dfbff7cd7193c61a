//! Who sends the messages to Telegram, and how: `[telegram]`; what a token and the address of the Bot API must look like.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::document;
use super::external::External;

/// Telegram's own Bot API.
pub const DEFAULT_BOT_API: &str = "https://api.telegram.org";

/// How long a request may take where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it is remembered what was sent where the file does not say.
const REMEMBER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A token is 46 characters today; more than this is none.
const TOKEN_BYTES_MAX: usize = 128;

/// The sender.
#[derive(Clone, Debug)]
pub struct Telegram {
    /// The bot's token.
    pub token: External,
    /// The address of the Bot API, without the token.
    pub base_url: Arc<str>,
    /// How long a request may take.
    pub timeout: Duration,
    /// The topic with the messages.
    pub outbox: Arc<str>,
    /// What becomes of a message of which it is not known whether it was taken.
    pub on_unknown: OnUnknown,
    /// The same for single chats, by their ids.
    pub chats: BTreeMap<String, OnUnknown>,
    /// How long it is remembered what was sent: that long a replay of the topic sends nothing twice.
    pub remember: Duration,
    /// How often a message may be sent.
    pub limits: Rates,
}

/// How the Bot API is reached.
#[derive(Clone, Debug)]
pub struct BotApi {
    /// The bot's token.
    pub token: External,
    /// Its address, without the token.
    pub base_url: Arc<str>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// What becomes of a message of which it is not known whether Telegram took it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is sent again: nothing is lost, and it may be there twice.
    #[default]
    SendAgain,
    /// It goes to the dead letters: it is never there twice, and may be missing.
    DeadLetter,
}

/// How often a message may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Messages a second to one chat.
    pub chat_per_second: NonZeroU32,
    /// Messages a minute to one group or channel.
    pub group_per_minute: NonZeroU32,
    /// Messages a second in all.
    pub bot_per_second: NonZeroU32,
}

impl Default for Rates {
    /// Those of Telegram's FAQ for bots.
    fn default() -> Self {
        let of = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { chat_per_second: of(1), group_per_minute: of(20), bot_per_second: of(30) }
    }
}

impl Telegram {
    /// What the table says; none without a token.
    pub(super) fn assemble(table: document::Telegram, outbox: Arc<str>) -> Option<Self> {
        let BotApi { token, base_url, timeout } = BotApi::assemble(&table)?;
        let chats = table.chats.into_iter().map(|(chat, on_unknown)| (chat.into_inner(), on_unknown)).collect();
        let remember = table.remember.unwrap_or(REMEMBER);
        Some(Self { token, base_url, timeout, outbox, on_unknown: table.on_unknown, chats, remember, limits: table.rates })
    }

    /// How the Bot API is reached.
    pub fn api(&self) -> BotApi {
        BotApi { token: self.token.clone(), base_url: Arc::clone(&self.base_url), timeout: self.timeout }
    }

    /// What becomes of a message to `chat` of which it is not known whether it was taken.
    pub fn on_unknown(&self, chat: &str) -> OnUnknown {
        self.chats.get(chat).copied().unwrap_or(self.on_unknown)
    }
}

impl BotApi {
    /// What the table says; none without a token.
    pub(super) fn assemble(table: &document::Telegram) -> Option<Self> {
        let base_url = table.base_url.as_ref().map_or(DEFAULT_BOT_API, |url| url.get_ref().as_str());
        let token = table.token.as_ref()?.get_ref().clone();
        Some(Self { token, base_url: base_url.into(), timeout: table.timeout.unwrap_or(TIMEOUT) })
    }
}

/// Whether `token` is one of a bot: its number, a colon, letters and digits. If not, why: without a piece of it.
///
/// It becomes a part of the path of every request, so nothing else may be in it.
pub fn check_bot_token(token: &str) -> Result<(), &'static str> {
    let Some((number, secret)) = token.split_once(':') else { return Err("it has no colon") };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it does not begin with the bot's number");
    }
    if secret.is_empty() {
        return Err("nothing follows the colon");
    }
    if !secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Err("what follows the colon has other characters than letters, digits, _ and -");
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err("it is too long");
    }
    Ok(())
}

/// Whether `text` is an address of the Bot API, without a token; if not, why. It may be a secret by mistake: it is in no reason.
pub fn check_bot_api(text: &str) -> Result<(), &'static str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return Err("it must begin with http:// or https://") };
    if rest.contains(['?', '#']) {
        return Err("it must end with the path, without ? and #");
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return Err("it cannot hold a user");
    }
    if host.is_empty() || host.starts_with(':') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it names no host");
    }
    if path.split('/').any(|segment| segment.strip_prefix("bot").is_some_and(|token| check_bot_token(token).is_ok())) {
        return Err("the token does not belong into it: `token` has a place of its own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_number_a_colon_and_letters() {
        for good in ["7000000001:AAExample-Token_35characters0000000", "1:a"] {
            assert_eq!(check_bot_token(good), Ok(()), "{good}");
        }
        let long = format!("1:{}", "a".repeat(TOKEN_BYTES_MAX));
        for bad in ["", ":", "1:", ":a", "a:b", "1", "1:a/../b", "1:a b", "1:a\n", "bot1:a", "1:a:b", "1:ä", "1:%2e", &long] {
            assert!(check_bot_token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_address_is_http_without_user_and_token() {
        for good in ["https://api.telegram.org", "http://127.0.0.1:8081", "http://[::1]:8081/", "https://host/telegram", "http://h/bot"] {
            assert_eq!(check_bot_api(good), Ok(()), "{good}");
        }
        for bad in
            ["", "api.telegram.org", "ftp://h", "http://", "http:///x", "http://:80", "https://u:p@h", "https://h/?a", "https://h/#a"]
        {
            assert!(check_bot_api(bad).is_err(), "{bad}");
        }
        assert!(check_bot_api("https://api.telegram.org/bot1:secret").is_err_and(|reason| !reason.contains("secret")));
    }
}
