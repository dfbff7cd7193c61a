//! What a registry answers when it does not answer what it was asked for, sorted by what must be done about it.
//!
//! The errors of the HTTP client name the URL, those of the registry say what they like: neither is kept, only text made from them.

use reqwest::StatusCode;
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;
use serde::Deserialize;

use super::RegistryError;

/// Of a registry's own words so many are repeated.
const WORDS_CHARS_MAX: usize = 500;

/// What became of a request that failed; cheap enough to be told to several.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// Out of reach, slow, or not itself: the same request may succeed later.
    Unavailable { what: String, cause: String },
    /// No schema can be found by its GUID.
    NoGuids { url: String },
    /// The subject's compatibility rule refuses a schema.
    Conflict { subject: String, reason: String },
    /// What was given or found is no schema.
    Invalid { what: String, reason: String },
    /// The request is refused for another reason.
    Refused { what: String, reason: String },
    /// A valid schema that cannot be used here.
    Unsupported { what: String, reason: String },
}

/// A cause in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(String);

impl Trouble {
    pub(super) fn unavailable(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), cause: cause.into() }
    }

    /// Why it is out of reach; none where it is not.
    pub(super) fn cause(&self) -> Option<String> {
        if let Self::Unavailable { cause, .. } = self { Some(cause.clone()) } else { None }
    }

    /// Whether another registry, or this one at another time, may say something else.
    pub(super) fn may_change(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NoGuids { .. } | Self::Refused { .. })
    }
}

impl From<Trouble> for RegistryError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable { what, cause } => Self::Unavailable { what, source: Some(Box::new(Words(cause))) },
            Trouble::NoGuids { url } => Self::NoGuids { url },
            Trouble::Conflict { subject, reason } => Self::Conflict { subject, reason },
            Trouble::Invalid { what, reason } => Self::Invalid { what, source: Box::new(Words(reason)) },
            Trouble::Refused { what, reason } => Self::Refused { what, reason },
            Trouble::Unsupported { what, reason } => Self::Unsupported { what, reason },
        }
    }
}

/// A failed request, before it is known what it means for what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Try again later; why.
    Unavailable(String),
    /// There is no such subject, version or schema.
    Missing,
    /// Nothing is there that speaks a registry's language, or it does not know the request.
    NotThere,
    /// 409; what it says.
    Conflict(String),
    /// 42201; what it says.
    Invalid(String),
    /// 422 for another reason; what it says.
    Refused(String),
}

/// The body of an answer that is an error.
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl Failure {
    /// From an answer's status and body.
    pub(super) fn of_answer(status: StatusCode, body: &[u8]) -> Self {
        let Body { error_code, message } = serde_json::from_slice(body).unwrap_or_default();
        Self::of(status.as_u16(), error_code, &message)
    }

    fn of(status: u16, code: u32, message: &str) -> Self {
        let said = words(message);
        let said_so = if said.is_empty() { String::new() } else { format!(": {said}") };
        match (status, code) {
            (404, 40_401..=40_403) => Self::Missing,
            (404, _) => Self::NotThere,
            (409, _) => Self::Conflict(said),
            (422, 42_201) => Self::Invalid(said),
            (422, _) => Self::Refused(said),
            // Its own words are left out: it may repeat what it was sent.
            (401 | 403, _) => {
                Self::Unavailable(format!("it refuses the credentials ({status}): check its user and password and what they may do"))
            }
            (407, _) => Self::Unavailable("a proxy in between wants credentials (407)".to_owned()),
            (429, _) => Self::Unavailable("it is asked too often (429)".to_owned()),
            (300..=399, _) => {
                Self::Unavailable(format!("it answers with a redirection ({status}), which is not followed: name the final URL"))
            }
            (0, _) => Self::Unavailable(format!("the request failed{said_so}")),
            _ => Self::Unavailable(format!("it answers with status {status}{said_so}")),
        }
    }

    /// Who only asks can do nothing wrong: a refusal is the registry's trouble, and never the record's that names the schema.
    pub(super) fn of_a_lookup(self) -> Self {
        match self {
            Self::Conflict(said) | Self::Invalid(said) | Self::Refused(said) => {
                Self::Unavailable(format!("it refuses the look-up: {said}"))
            }
            other => other,
        }
    }

    /// From an error of the HTTP client, without its URL.
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        let what = if error.is_timeout() {
            "no answer came in time"
        } else if error.is_connect() {
            "no connection"
        } else if error.is_decode() || error.is_body() {
            "its answer is not what a schema registry answers"
        } else {
            "the request failed"
        };
        let mut text = what.to_owned();
        // The client's own message names the URL; its causes do not.
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let said = words(&error.to_string());
            if !text.ends_with(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        if text.contains("certificate") {
            text.push_str(" (an authority of one's own is named with `ca`)");
        }
        Self::Unavailable(text)
    }

    /// From an error of the registry's client.
    pub(super) fn of_client(error: &SRCError) -> Self {
        let source = std::error::Error::source(error);
        if let Some(transport) = source.and_then(|source| source.downcast_ref::<reqwest::Error>()) {
            return Self::of_transport(transport);
        }
        if let Some(answer) = source.and_then(|source| source.downcast_ref::<RawError>()) {
            // An answer that is no JSON has the code 0 and words of the client's own.
            let message = if answer.error_code == 0 { "" } else { answer.message.as_str() };
            return Self::of(status_of(error).unwrap_or_default(), answer.error_code, message);
        }
        Self::Unavailable("its answer is not what a schema registry answers".to_owned())
    }
}

/// The status is nowhere but in the message: `... failed with status 404 Not Found`.
fn status_of(error: &SRCError) -> Option<u16> {
    let (_, after) = error.error.split_once("status ")?;
    after.get(..3)?.parse().ok()
}

/// What somebody else says, on one line and not too long.
pub(super) fn words(text: &str) -> String {
    let line = text.chars().take(WORDS_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c });
    line.collect::<String>().trim().to_owned()
}
