//! What the YouTube Data API v3 answers when it refuses: a document with a reason, in the old and in the new form.

use serde_json::{Value, json};

use crate::operate::simulated::server::Answer;
use crate::operate::simulated::set;

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoKey,
    WrongKey,
    Quota,
    TooMany,
    Internal,
    NoSuchMethod,
    NoSuchPlaylist,
    PageToken,
    Fields,
    MaxResults,
    /// A parameter that must be there is not.
    Missing(&'static str),
    /// More ids than one request may have.
    TooManyIds,
}

impl Refusal {
    pub(super) fn answer(self) -> Answer {
        let (code, domain, reason, message) = self.words();
        let mut fault = json!({"message": message, "domain": domain, "reason": reason});
        if let Some((name, kind)) = self.location() {
            set(&mut fault, "location", name);
            set(&mut fault, "locationType", kind);
        }
        let mut error = json!({"code": code, "message": message, "errors": [fault]});
        let status = match self {
            Self::NoKey => Some("PERMISSION_DENIED"),
            Self::WrongKey => Some("INVALID_ARGUMENT"),
            Self::TooMany => Some("RESOURCE_EXHAUSTED"),
            _ => None,
        };
        if let Some(status) = status {
            set(&mut error, "status", status);
        }
        if self == Self::WrongKey {
            let details = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "youtube.googleapis.com"},
            }]);
            set(&mut error, "details", details);
        }
        Answer::json(code, &json!({"error": error}))
    }

    /// Status, domain, reason, message. Clients must not read the message.
    fn words(self) -> (u16, &'static str, &'static str, Value) {
        let (code, domain, reason, message) = match self {
            Self::NoKey => (403, "global", "forbidden", "The request is missing a valid API key."),
            Self::WrongKey => (400, "global", "badRequest", "API key not valid. Please pass a valid API key."),
            Self::Quota => (
                403,
                "youtube.quota",
                "quotaExceeded",
                "The request cannot be completed because you have exceeded your <a href=\"/youtube/v3/getting-started#quota\">quota</a>.",
            ),
            Self::TooMany => {
                (429, "global", "rateLimitExceeded", "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute'.")
            }
            Self::Internal => (500, "global", "backendError", "Backend Error"),
            Self::NoSuchMethod => (404, "global", "notFound", "Not Found"),
            Self::NoSuchPlaylist => (
                404,
                "youtube.playlistItem",
                "playlistNotFound",
                "The playlist identified with the request's <code>playlistId</code> parameter cannot be found.",
            ),
            Self::PageToken => (400, "youtube.parameter", "invalidPageToken", "The request specifies an invalid page token."),
            Self::Fields => (400, "global", "invalidParameter", "Invalid field selection"),
            Self::MaxResults => (400, "global", "invalidParameter", "Invalid value. Values must be within the range: [0, 50]"),
            Self::Missing("part") => (400, "global", "required", "Required parameter: part"),
            Self::Missing(_) => (400, "youtube.parameter", "missingRequiredParameter", "No filter selected."),
            Self::TooManyIds => (400, "youtube.parameter", "invalidFilters", "The request specifies an invalid filter parameter."),
        };
        (code, domain, reason, message.into())
    }

    fn location(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NoSuchPlaylist => Some(("playlistId", "parameter")),
            Self::PageToken => Some(("pageToken", "parameter")),
            Self::Fields => Some(("fields", "parameter")),
            Self::MaxResults => Some(("maxResults", "parameter")),
            Self::Missing("part") => Some(("part", "parameter")),
            Self::Missing(_) => Some(("parameters.", "other")),
            Self::TooManyIds => Some(("id", "parameter")),
            _ => None,
        }
    }
}
