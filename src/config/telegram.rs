//! What the bot's token and the address of the Bot API must look like.

/// A token is 46 characters today; more than this is none.
const TOKEN_BYTES_MAX: usize = 128;

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

/// What becomes of a message of which it is not known whether it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is sent again: it may arrive twice.
    #[default]
    SendAgain,
    /// It goes to the dead letters: it may not have arrived.
    DeadLetter,
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
