//! Why a question to the Bot API (who am I, who wrote to me) has no answer. The errors of the HTTP client name the URL, and the URL holds the token:
//! they are not kept, only text made from them.

use std::error::Error as _;

use super::answer::{Answer, Body, words};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// 401.
    #[error("Telegram does not know the bot's token ({reason})")]
    Token {
        /// What Telegram says.
        reason: String,
    },
    /// 404, 421 or a redirection.
    #[error("there is no Bot API at `base_url` ({reason})")]
    Place {
        /// What is said there.
        reason: String,
    },
    /// 409: somebody else gets the updates.
    #[error("somebody else gets the updates of this bot ({reason})")]
    Conflict {
        /// What Telegram says.
        reason: String,
    },
    /// 429.
    #[error("Telegram wants no request for {seconds} s")]
    Wait {
        /// How long.
        seconds: u64,
    },
    /// No connection, a time-out, an error of the server.
    #[error("Telegram is out of reach: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// An answer that is none of these.
    #[error("Telegram does not answer what it was asked: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
}

impl Failure {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Token { .. } => {
                "Ask @BotFather for the bot's token (/mybots, API Token) and put it where `token` of [telegram] points to."
            }
            Self::Place { .. } => "Leave `base_url` out of [telegram] for Telegram's own, or name the one of a telegram-bot-api server.",
            Self::Conflict { .. } => "Stop the other program that calls getUpdates for this bot, or delete its webhook (deleteWebhook).",
            Self::Wait { .. } => "Try again after that time.",
            Self::Unavailable { .. } => "Look at the network and at `base_url` of [telegram], and try again.",
            Self::Refused { .. } => "Look whether `base_url` of [telegram] is a Bot API.",
        }
    }

    /// Whether trying again may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Wait { .. } | Self::Unavailable { .. })
    }

    /// From an answer that is not the wanted one.
    pub(super) fn of_answer(answer: &Answer) -> Self {
        let reason = answer.reason();
        match (answer.code(), &answer.body) {
            (401, _) => Self::Token { reason },
            (404 | 421 | 300..=399, _) => Self::Place { reason },
            (409, _) => Self::Conflict { reason },
            (429, _) => Self::Wait { seconds: answer.wait().unwrap_or(1) },
            (500.., _) | (_, Body::Cut(_)) => Self::Unavailable { reason },
            _ => Self::Refused { reason },
        }
    }

    /// From an error of the HTTP client.
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        Self::Unavailable { reason: transport(error) }
    }

    /// The same with another reason.
    pub(super) fn reason_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Token { reason }
            | Self::Place { reason }
            | Self::Conflict { reason }
            | Self::Unavailable { reason }
            | Self::Refused { reason } => Some(reason),
            Self::Wait { .. } => None,
        }
    }
}

/// An error of the HTTP client in words of our own and of its causes: its own message names the URL, they do not.
pub(super) fn transport(error: &reqwest::Error) -> String {
    let mut text = if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer came in time"
    } else if error.is_builder() {
        "the request cannot be made"
    } else {
        "the connection broke before there was an answer"
    }
    .to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = words(&error.to_string());
        if !said.is_empty() && !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    words(&text)
}

/// Whether hyper gave the request up before it wrote a byte of it.
pub(super) fn was_never_written(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = error.source();
    }
    false
}
