//! The requests: three kinds of `GET`, each one unit of the quota.
//!
//! The key is in a header and never in a URL, which servers, proxies and errors repeat. Answers are compressed, and cut down by `fields` to what
//! is read. No `If-None-Match` is sent: the `etag` of a list is known to change without anything else, sources disagree on whether a 304
//! is free of charge, and the counters, which are what is wanted, change with nearly every request.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::answer::{self, ChannelInfo, Oddities, Page, Video};
use super::ids;
use super::problem::{Problem, Subject, words};
use crate::config::YouTube;

/// The most ids that `videos.list` takes; one more is a refusal that costs a unit.
pub const IDS_MAX: usize = 50;

/// Items of a page of a playlist: the most there is. The API's own default is 5.
const PAGE_ITEMS: &str = "50";

/// The header of the key: <https://docs.cloud.google.com/docs/authentication/api-keys-use>.
const KEY_HEADER: &str = "x-goog-api-key";

/// An answer of 50 videos has some 20 kB; nothing near this is one.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What is read of an answer that is an error.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A connection that is not there by then will not be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A page token is short; one that is longer than this would not fit into a URL.
const TOKEN_BYTES_MAX: usize = 2_048;

/// Who asks.
const USER_AGENT: &str = concat!("tidewatch/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// How YouTube is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the API is, such as `https://www.googleapis.com/youtube/v3`.
    pub base_url: String,
    /// The key.
    pub api_key: SecretString,
    /// How long a request may take, with its whole answer.
    pub timeout: Duration,
    /// Who asks. Google compresses only for those whose name has `gzip` in it: where it does not, it is added.
    pub user_agent: String,
}

impl Options {
    /// What `[youtube]` says; none where its key was not read, as in a check offline.
    pub fn of(settings: &YouTube) -> Option<Self> {
        Some(Self {
            base_url: settings.base_url.clone(),
            api_key: settings.api_key.secret()?,
            timeout: settings.timeout,
            user_agent: USER_AGENT.to_owned(),
        })
    }
}

/// Asks YouTube.
///
/// **Each call costs one unit of the quota, also one that fails**, except for [`Problem::Unfit`], where nothing was sent. The caller counts, and it counts before
/// it calls: a process that is killed in between has spent the unit.
pub struct Client {
    base: Url,
    api_key: SecretString,
    key_header: HeaderValue,
    timeout: Duration,
    http: reqwest::Client,
    told: Told,
}

/// What was said already, and is not said with every poll.
#[derive(Default)]
struct Told {
    unreadable: AtomicBool,
    too_large: AtomicBool,
    without_id: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// [`Problem::Settings`] where the address or the key cannot be used.
    pub fn new(options: &Options) -> Result<Self, Problem> {
        let wrong = |reason: &str| Problem::Settings { reason: reason.to_owned() };
        let base = Url::parse(&options.base_url).map_err(|_| wrong("the base URL is none"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
            return Err(wrong("the base URL must begin with https:// and name a host"));
        }
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("the base URL must be without user, ? and #"));
        }
        let mut key_header =
            HeaderValue::from_str(options.api_key.expose_secret()).map_err(|_| wrong("the API key has characters that no key has"))?;
        key_header.set_sensitive(true);
        let user_agent = &options.user_agent;
        let user_agent = if user_agent.contains("gzip") { user_agent.clone() } else { format!("{user_agent} (gzip)") };
        // No redirections: they would carry the key elsewhere. No proxy from the environment: only the configuration counts.
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .gzip(true)
            .connect_timeout(options.timeout.min(CONNECT_TIMEOUT))
            .timeout(options.timeout)
            .user_agent(user_agent)
            .build()
            .map_err(|_| wrong("no HTTP client can be made with them"))?;
        Ok(Self { base, api_key: options.api_key.clone(), key_header, timeout: options.timeout, http, told: Told::default() })
    }

    /// A page of at most 50 items of a playlist, the first or that of a token. One unit.
    pub async fn playlist_items(&self, playlist: &str, page: Option<&str>) -> Result<Page, Problem> {
        check_id(playlist, "no id of a playlist")?;
        if let Some(token) = page
            && token.len() > TOKEN_BYTES_MAX
        {
            return Err(Problem::Garbled { what: "its page token is too long".to_owned() });
        }
        let mut query = vec![
            ("part", "contentDetails,status"),
            ("fields", "kind,nextPageToken,items(contentDetails/videoId,status/privacyStatus)"),
            ("maxResults", PAGE_ITEMS),
            ("playlistId", playlist),
        ];
        query.extend(page.map(|token| ("pageToken", token)));
        let document = self.get("playlistItems", &query, Subject::List(playlist)).await?;
        self.read(&document, answer::page)
    }

    /// The videos with these ids, at most [`IDS_MAX`], in no particular order. One that is deleted or private is left out. One unit; none where no
    /// id is given, since nothing is asked then.
    pub async fn videos(&self, ids: &[&str]) -> Result<Vec<Video>, Problem> {
        if ids.len() > IDS_MAX {
            return Err(Problem::Unfit { id: format!("{} ids", ids.len()), what: "more than videos.list takes" });
        }
        for id in ids {
            check_id(id, "no id of a video")?;
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = [
            ("part", "snippet,statistics,contentDetails,status"),
            (
                "fields",
                "kind,items(id,snippet(title,channelId,channelTitle,publishedAt,liveBroadcastContent),\
                 statistics(viewCount,likeCount,commentCount),contentDetails/duration,status/privacyStatus)",
            ),
            ("id", &ids.join(",")),
        ];
        let document = self.get("videos", &query, Subject::Other).await?;
        self.read(&document, answer::videos)
    }

    /// The channel with this handle, with or without the `@`; none where there is none. One unit.
    pub async fn channel_by_handle(&self, handle: &str) -> Result<Option<ChannelInfo>, Problem> {
        let name = handle.strip_prefix('@').unwrap_or(handle);
        if !ids::is_handle(name) {
            return Err(Problem::Unfit { id: words(handle), what: "no handle of a channel" });
        }
        let query = [("part", "snippet"), ("fields", "kind,items(id,snippet/title)"), ("forHandle", name)];
        let document = self.get("channels", &query, Subject::Other).await?;
        self.read(&document, answer::channel)
    }

    async fn get(&self, method: &str, query: &[(&str, &str)], subject: Subject<'_>) -> Result<Value, Problem> {
        let found = self.try_get(method, query, subject).await.map_err(|problem| problem.without(self.api_key.expose_secret()));
        if let Err(problem) = &found {
            tracing::debug!(method, %problem, "YouTube gave no answer that can be used");
        }
        found
    }

    async fn try_get(&self, method: &str, query: &[(&str, &str)], subject: Subject<'_>) -> Result<Value, Problem> {
        let failed = |error: reqwest::Error| Problem::of_transport(&error.without_url(), self.timeout);
        let request = self.http.get(self.url(method, query)).header(KEY_HEADER, self.key_header.clone());
        let answer = request.send().await.map_err(failed)?;
        self.document(method, subject, answer).await
    }

    /// The document of an answer.
    pub(super) async fn document(&self, method: &str, subject: Subject<'_>, mut answer: Response) -> Result<Value, Problem> {
        let failed = |error: reqwest::Error| Problem::of_transport(&error.without_url(), self.timeout);
        let status = answer.status();
        if !status.is_success() {
            let retry_after = retry_after(answer.headers());
            // An error whose body breaks off is that error all the same.
            let (body, _) = body(&mut answer, ERROR_BYTES_MAX).await;
            return Err(Problem::of_answer(status.as_u16(), retry_after, &body, subject));
        }
        let (body, ended) = body(&mut answer, ANSWER_BYTES_MAX).await;
        match ended {
            Ended::Whole => {}
            Ended::TooLong => return Err(Problem::Garbled { what: format!("it is longer than {} MiB", ANSWER_BYTES_MAX >> 20) }),
            Ended::Broken(error) => return Err(failed(error)),
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.log_payload(method, &body);
        }
        serde_json::from_slice(&body).map_err(|error| Problem::Garbled {
            what: format!("{} bytes that are no JSON (line {}, column {})", body.len(), error.line(), error.column()),
        })
    }

    /// The payload as it came, without what would break a line, and without the key should somebody have put it there.
    fn log_payload(&self, method: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body).replace(self.api_key.expose_secret(), "***");
        let text = text.replace(|c: char| c.is_control(), " ");
        tracing::debug!(method, bytes = body.len(), payload = %text, "YouTube answered");
    }

    fn url(&self, method: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{method}", self.base.path().trim_end_matches('/')));
        let mut text = "prettyPrint=false".to_owned();
        for (name, value) in query {
            // Writing to a string cannot fail.
            write!(text, "&{name}={}", encoded(value)).unwrap_or_default();
        }
        url.set_query(Some(&text));
        url
    }

    /// Reads a document, and says once what is odd about it.
    pub(super) fn read<T>(&self, document: &Value, read: fn(&Value, &mut Oddities) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut odd = Oddities::default();
        let found = read(document, &mut odd);
        let first = |told: &AtomicBool| !told.swap(true, Ordering::Relaxed);
        if let Some(counter) = odd.unreadable
            && first(&self.told.unreadable)
        {
            tracing::warn!(counter, "YouTube sends a counter that is no number: it is taken as unknown (said once)");
        }
        if let Some(counter) = odd.too_large
            && first(&self.told.too_large)
        {
            tracing::warn!(counter, "YouTube sends a counter above 2^63 - 1: that number is taken instead (said once)");
        }
        if odd.without_id && first(&self.told.without_id) {
            tracing::warn!("YouTube sends an item without an id that can be used: it is left out (said once)");
        }
        found
    }
}

fn check_id(id: &str, what: &'static str) -> Result<(), Problem> {
    if ids::is_id(id) { Ok(()) } else { Err(Problem::Unfit { id: words(id), what }) }
}

/// How the reading of a body ended.
enum Ended {
    Whole,
    TooLong,
    Broken(reqwest::Error),
}

/// At most `limit` bytes of an answer's body, unpacked.
async fn body(answer: &mut Response, limit: usize) -> (Vec<u8>, Ended) {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return (body, Ended::TooLong),
            Ok(None) => return (body, Ended::Whole),
            Err(error) => return (body, Ended::Broken(error)),
        }
    }
}

/// `Retry-After` in seconds; its other form, a date, is not what Google sends.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A value of a query. What separates ids and fields stays as it is, which keeps URLs readable.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b',' | b'/' | b'(' | b')') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
        text
    })
}
