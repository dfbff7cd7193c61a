//! What YouTube answers when it does not answer what it was asked for, sorted by what must be done about it.
//!
//! The *reason* in the body decides, then the status, and never the message, which is for people and changes. The table is that of
//! <https://developers.google.com/youtube/v3/docs/errors> and <https://docs.cloud.google.com/apis/design/errors>, with what Google's other APIs
//! answer for the same key. A body may be HTML, or cut off, whatever the status.

use std::time::Duration;

use serde_json::Value;

/// So much of what YouTube says is repeated.
const SAID_CHARS_MAX: usize = 300;

/// A reason is a word; longer ones are cut.
const REASON_CHARS_MAX: usize = 60;

/// Stands for a reason where an answer has none that can be read.
const NO_REASON: &str = "no reason given";

/// The limit per minute is over when the minute is.
const RATE_PAUSE: Duration = Duration::from_secs(60);

/// Before a request is repeated whose refusal is not understood: it costs a unit each time, and may be a passing fault of theirs.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);

/// A server may ask for more patience, but not for more than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The key is none, or has expired.
    #[error("YouTube does not know the API key ({reason}){}", quoted(.said))]
    Key {
        /// The reason in YouTube's words.
        reason: String,
        /// What YouTube says about it.
        said: String,
    },
    /// The API is not switched on in the project that the key belongs to.
    #[error("the YouTube Data API v3 is not enabled in the project of the API key ({reason}){}", quoted(.said))]
    ApiDisabled {
        /// The reason in YouTube's words.
        reason: String,
        /// What YouTube says about it.
        said: String,
    },
    /// The key is restricted to other APIs, addresses or apps.
    #[error("the API key is restricted and may not be used here ({reason}){}", quoted(.said))]
    KeyRestricted {
        /// The reason in YouTube's words.
        reason: String,
        /// What YouTube says about it.
        said: String,
    },
    /// The project that the key belongs to is suspended or gone.
    #[error("the project of the API key is not let in ({reason}){}", quoted(.said))]
    Project {
        /// The reason in YouTube's words.
        reason: String,
        /// What YouTube says about it.
        said: String,
    },
    /// The units of the day are spent.
    #[error("the quota of this day is spent ({reason})")]
    QuotaExceeded {
        /// The reason in YouTube's words.
        reason: String,
    },
    /// Too many requests in a short time.
    #[error("YouTube is asked too often ({reason})")]
    RateLimited {
        /// The reason in YouTube's words.
        reason: String,
        /// How long YouTube wants to be left alone; none where it does not say.
        retry_after: Option<Duration>,
    },
    /// A playlist that only its owner may read.
    #[error("the playlist {list} is private ({reason})")]
    ListPrivate {
        /// The id of the playlist.
        list: String,
        /// The reason in YouTube's words.
        reason: String,
    },
    /// A playlist that is not there.
    #[error("YouTube knows no playlist {list} ({reason})")]
    ListNotFound {
        /// The id of the playlist.
        list: String,
        /// The reason in YouTube's words.
        reason: String,
    },
    /// A page token that is not valid any more.
    #[error("YouTube does not take its own page token any more ({reason})")]
    PageToken {
        /// The reason in YouTube's words.
        reason: String,
    },
    /// A refusal that is none of the others.
    #[error("YouTube refuses the request with status {status} ({reason}){}", quoted(.said))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The reason in YouTube's words, or that there is none.
        reason: String,
        /// What YouTube says about it.
        said: String,
    },
    /// YouTube has trouble of its own.
    #[error("YouTube is not available: status {status} ({reason}){}", quoted(.said))]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// The reason in YouTube's words, or that there is none.
        reason: String,
        /// What YouTube says about it.
        said: String,
        /// How long YouTube wants to be left alone; none where it does not say.
        retry_after: Option<Duration>,
    },
    /// The answer points elsewhere. It is not followed: the key would go along.
    #[error("YouTube's address answers with a redirection ({status}), which is not followed")]
    Redirected {
        /// The HTTP status.
        status: u16,
    },
    /// An answer of success that cannot be read.
    #[error("YouTube's answer cannot be read: {what}")]
    Garbled {
        /// What is wrong with it.
        what: String,
    },
    /// No whole answer came in time.
    #[error("YouTube did not answer within {}", seconds(*.after))]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// No connection, or one that broke.
    #[error("YouTube cannot be reached: {cause}")]
    Unreachable {
        /// The causes, without an address.
        cause: String,
    },
    /// What was asked for cannot be put into a request; nothing was sent, so nothing was spent.
    #[error("\"{id}\" is {what}")]
    Unfit {
        /// What was given.
        id: String,
        /// What it is not.
        what: &'static str,
    },
    /// No client can be made of the settings.
    #[error("YouTube cannot be asked with these settings: {reason}")]
    Settings {
        /// What is wrong with them; no part of the key.
        reason: String,
    },
}

/// What to do after a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The configuration is wrong: nothing will work until somebody changes it.
    Fatal,
    /// Ask nothing more until the day of the quota ends ([`super::PacificDay::end`]).
    QuotaExhausted,
    /// This playlist cannot be read; go on with the others.
    SkipList,
    /// Read the playlist from its first page, once.
    RestartPaging,
    /// Leave YouTube alone for so long, and for some more at random.
    BackOff {
        /// The shortest pause.
        at_least: Duration,
    },
    /// Try again with exponential back-off.
    Retry,
}

/// What a request was about, as far as it says what a refusal means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// A playlist, by its id.
    List(&'a str),
    /// Anything else.
    Other,
}

/// What a reason means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Key,
    ApiDisabled,
    KeyRestricted,
    Project,
    Quota,
    Rate,
    ListPrivate,
    ListNotFound,
    PageToken,
    Unavailable,
}

/// The reasons that are known, of `errors` and of `details`. What is not among them is judged by its status.
const REASONS: [(&str, Meaning); 37] = [
    ("API_KEY_INVALID", Meaning::Key),
    ("API_KEY_EXPIRED", Meaning::Key),
    ("keyInvalid", Meaning::Key),
    ("keyExpired", Meaning::Key),
    ("dailyLimitExceededUnreg", Meaning::Key),
    ("CREDENTIALS_MISSING", Meaning::Key),
    ("ACCESS_TOKEN_TYPE_UNSUPPORTED", Meaning::Key),
    ("authError", Meaning::Key),
    ("SERVICE_DISABLED", Meaning::ApiDisabled),
    ("accessNotConfigured", Meaning::ApiDisabled),
    ("API_KEY_SERVICE_BLOCKED", Meaning::KeyRestricted),
    ("API_KEY_HTTP_REFERRER_BLOCKED", Meaning::KeyRestricted),
    ("API_KEY_IP_ADDRESS_BLOCKED", Meaning::KeyRestricted),
    ("API_KEY_ANDROID_APP_BLOCKED", Meaning::KeyRestricted),
    ("API_KEY_IOS_APP_BLOCKED", Meaning::KeyRestricted),
    ("ipRefererBlocked", Meaning::KeyRestricted),
    ("CONSUMER_INVALID", Meaning::Project),
    ("CONSUMER_SUSPENDED", Meaning::Project),
    ("BILLING_DISABLED", Meaning::Project),
    ("accountDelinquent", Meaning::Project),
    ("quotaExceeded", Meaning::Quota),
    ("dailyLimitExceeded", Meaning::Quota),
    ("RATE_LIMIT_EXCEEDED", Meaning::Rate),
    ("rateLimitExceeded", Meaning::Rate),
    ("userRateLimitExceeded", Meaning::Rate),
    ("concurrentLimitExceeded", Meaning::Rate),
    ("playlistItemsNotAccessible", Meaning::ListPrivate),
    ("playlistForbidden", Meaning::ListPrivate),
    ("watchHistoryNotAccessible", Meaning::ListPrivate),
    ("watchLaterNotAccessible", Meaning::ListPrivate),
    ("playlistNotFound", Meaning::ListNotFound),
    ("channelNotFound", Meaning::ListNotFound),
    ("invalidPageToken", Meaning::PageToken),
    ("backendError", Meaning::Unavailable),
    ("internalError", Meaning::Unavailable),
    ("SERVICE_UNAVAILABLE", Meaning::Unavailable),
    ("serviceUnavailable", Meaning::Unavailable),
];

impl Problem {
    /// What to do. Only what YouTube says of the key itself, and a move for good, is fatal: what is not understood is waited for, since a poller
    /// that comes back by itself is worth more than one that ended because of a passing fault of theirs.
    pub fn action(&self) -> Action {
        match self {
            Self::Key { .. } | Self::ApiDisabled { .. } | Self::KeyRestricted { .. } | Self::Project { .. } | Self::Settings { .. } => {
                Action::Fatal
            }
            Self::QuotaExceeded { .. } => Action::QuotaExhausted,
            Self::RateLimited { retry_after, .. } => Action::BackOff { at_least: retry_after.unwrap_or_default().max(RATE_PAUSE) },
            Self::ListPrivate { .. } | Self::ListNotFound { .. } | Self::Unfit { .. } => Action::SkipList,
            // The API itself says no, and not a wall in between: it will say so again, but perhaps of this list alone.
            Self::Refused { reason, .. } if reason != NO_REASON => Action::SkipList,
            Self::PageToken { .. } => Action::RestartPaging,
            // 301 and 308 say that it is for good; the others are also what a portal or a wall in between answers.
            Self::Redirected { status: 301 | 308 } => Action::Fatal,
            Self::Redirected { .. } | Self::Refused { .. } => Action::BackOff { at_least: REFUSED_PAUSE },
            Self::Unavailable { retry_after: Some(at_least), .. } => Action::BackOff { at_least: *at_least },
            Self::Unavailable { .. } | Self::Garbled { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } => Action::Retry,
        }
    }

    /// What somebody can do about it, in a sentence; none where there is nothing but to wait.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Key { .. } => {
                "make a key at https://console.cloud.google.com/apis/credentials (\"Create credentials\", \"API key\") and put it where \
                 `api_key` of [youtube] looks for it"
            }
            Self::ApiDisabled { .. } => "enable it at https://console.cloud.google.com/apis/library/youtube.googleapis.com",
            Self::KeyRestricted { .. } => {
                "edit the key at https://console.cloud.google.com/apis/credentials: allow it the YouTube Data API v3 and the address that it \
                 is used from"
            }
            Self::Project { .. } => "look at the project of the key at https://console.cloud.google.com, or make a key in another one",
            Self::QuotaExceeded { .. } => {
                "it begins anew at midnight Pacific time; something else may spend units of the same project: `quota_per_day` of [youtube] is \
                 what is left for this program"
            }
            Self::ListPrivate { list, .. } | Self::ListNotFound { list, .. } => {
                return Some(hint_of_list(list, matches!(self, Self::ListPrivate { .. })));
            }
            Self::Redirected { .. } | Self::Refused { status: 404, .. } => {
                "is `base_url` of [youtube] right? https://www.googleapis.com/youtube/v3 is where the API is"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// From an answer that is none of success.
    pub(super) fn of_answer(status: u16, retry_after: Option<Duration>, body: &[u8], subject: Subject<'_>) -> Self {
        if (300..400).contains(&status) {
            return Self::Redirected { status };
        }
        let answer = Answer::of(body);
        let (meaning, reason) = answer.meaning(status, subject);
        let said = answer.said;
        let retry_after = retry_after.map(|pause| pause.min(RETRY_AFTER_MAX));
        let list = match subject {
            Subject::List(list) => list.to_owned(),
            Subject::Other => String::new(),
        };
        match meaning {
            Some(Meaning::Key) => Self::Key { reason, said },
            Some(Meaning::ApiDisabled) => Self::ApiDisabled { reason, said },
            Some(Meaning::KeyRestricted) => Self::KeyRestricted { reason, said },
            Some(Meaning::Project) => Self::Project { reason, said },
            Some(Meaning::Quota) => Self::QuotaExceeded { reason },
            Some(Meaning::Rate) => Self::RateLimited { reason, retry_after },
            Some(Meaning::ListPrivate) => Self::ListPrivate { list, reason },
            Some(Meaning::ListNotFound) => Self::ListNotFound { list, reason },
            Some(Meaning::PageToken) => Self::PageToken { reason },
            Some(Meaning::Unavailable) => Self::Unavailable { status, reason, said, retry_after },
            None => Self::Refused { status, reason, said },
        }
    }

    /// From an error of the HTTP client, without its URL; `timeout` is what the request was given.
    pub(super) fn of_transport(error: &reqwest::Error, timeout: Duration) -> Self {
        if error.is_timeout() {
            return Self::TimedOut { after: timeout };
        }
        // The client's own message names the URL; its causes do not.
        let mut causes: Vec<String> = Vec::new();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let text = words(&error.to_string());
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            cause = error.source();
        }
        let causes = if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") };
        if error.is_decode() { Self::Garbled { what: causes } } else { Self::Unreachable { cause: causes } }
    }

    /// The same without `secret`, which whoever answers may have repeated.
    pub(super) fn without(mut self, secret: &str) -> Self {
        let scrub = |text: &mut String| {
            if !secret.is_empty() && text.contains(secret) {
                *text = text.replace(secret, "***");
            }
        };
        match &mut self {
            Self::Key { reason, said }
            | Self::ApiDisabled { reason, said }
            | Self::KeyRestricted { reason, said }
            | Self::Project { reason, said }
            | Self::Refused { reason, said, .. }
            | Self::Unavailable { reason, said, .. } => [reason, said].into_iter().for_each(scrub),
            Self::QuotaExceeded { reason }
            | Self::RateLimited { reason, .. }
            | Self::ListPrivate { reason, .. }
            | Self::ListNotFound { reason, .. }
            | Self::PageToken { reason } => scrub(reason),
            Self::Garbled { what } => scrub(what),
            Self::Unreachable { cause } => scrub(cause),
            Self::Redirected { .. } | Self::TimedOut { .. } | Self::Unfit { .. } | Self::Settings { .. } => {}
        }
        self
    }
}

/// What to do about a playlist that cannot be read; its id tells what it is.
fn hint_of_list(list: &str, is_private: bool) -> String {
    let of_a_channel = super::ids::part_of_uploads(list).is_some();
    if let Some(rest) = list.strip_prefix("UC") {
        format!("this is the id of a channel: put it under `channels`, or name the playlist of its uploads, UU{rest}")
    } else if matches!(list, "WL" | "LL" | "HL" | "LM") {
        "watch later, likes and history are their owner's alone: no key can read them".to_owned()
    } else if list.starts_with("RD") {
        "a mix (RD...) is made for whoever looks at it: no key can read it".to_owned()
    } else if of_a_channel && !is_private {
        "a channel that never had a video of this kind has no such list yet; it is asked for again later".to_owned()
    } else if is_private {
        "its owner must make it public or unlisted; a key reads nothing that is private".to_owned()
    } else {
        "look at its address: the id is what follows `list=`; it may be deleted or private".to_owned()
    }
}

/// The body of an answer that is an error, as far as it can be read.
#[derive(Debug, Default)]
struct Answer {
    /// The reasons with their domains, the more particular ones of `details` first.
    reasons: Vec<(String, String)>,
    /// Whether the limit that was reached is one per day.
    is_daily: bool,
    said: String,
}

impl Answer {
    fn of(body: &[u8]) -> Self {
        let Ok(document) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let Some(error) = document.get("error") else { return Self::default() };
        let list = |name: &str| error.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let both = list("details").iter().chain(list("errors"));
        let reasons = both.map(|it| (word(&text(it, "reason")), text(it, "domain"))).filter(|(reason, _)| !reason.is_empty()).collect();
        let is_daily = list("details")
            .iter()
            .filter_map(|it| it.get("metadata"))
            .any(|metadata| text(metadata, "quota_limit").contains("PerDay") || text(metadata, "quota_unit").starts_with("1/d/"));
        Self { reasons, is_daily, said: words(&without_tags(&text(error, "message"))) }
    }

    /// What the answer means, with the reason that says so; no meaning where it is not known.
    fn meaning(&self, status: u16, subject: Subject<'_>) -> (Option<Meaning>, String) {
        let known = self.reasons.iter().find_map(|(reason, _)| {
            let (_, meaning) = REASONS.iter().find(|(known, _)| known == reason)?;
            Some((*meaning, reason.clone()))
        });
        if let Some((meaning, reason)) = known {
            let meaning = if meaning == Meaning::Rate && self.is_daily { Meaning::Quota } else { meaning };
            let is_of_list = matches!(meaning, Meaning::ListPrivate | Meaning::ListNotFound | Meaning::PageToken);
            return (Some(meaning).filter(|_| !is_of_list || matches!(subject, Subject::List(_))), reason);
        }
        let (reason, domain) = self.reasons.first().cloned().unwrap_or_default();
        // In a domain such as youtube.playlistItem a refusal is about the resource and not about who asks.
        let is_of_resource = domain.starts_with("youtube.") && matches!(subject, Subject::List(_));
        let meaning = match status {
            401 => Some(Meaning::Key),
            403 if is_of_resource => Some(Meaning::ListPrivate),
            403 if reason == "forbidden" && !domain.starts_with("youtube.") => Some(Meaning::Key),
            404 if is_of_resource => Some(Meaning::ListNotFound),
            429 if self.is_daily => Some(Meaning::Quota),
            429 => Some(Meaning::Rate),
            408 | 500.. => Some(Meaning::Unavailable),
            _ => None,
        };
        (meaning, if reason.is_empty() { NO_REASON.to_owned() } else { reason })
    }
}

/// A reason of somebody else's, cut down to what a reason looks like.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).take(REASON_CHARS_MAX).collect()
}

/// What somebody else says, on one line and not too long.
pub(super) fn words(text: &str) -> String {
    let line = text.chars().take(SAID_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c });
    line.collect::<String>().trim().to_owned()
}

/// Text without `<a href="…">` and the like. A `<` that opens no tag stays.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let opens = after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        if let Some((_, after)) = after.split_once('>').filter(|_| opens) {
            rest = after;
        } else {
            out.push('<');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": \"{said}\"") }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
