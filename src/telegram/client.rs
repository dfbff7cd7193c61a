//! The requests: one connection pool, one time-out, one place where the token meets a URL.
//!
//! The URL of every request holds the token. It is made in [`Client::post`] and leaves it nowhere: errors are turned into words without it, and what
//! Telegram says is searched for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Body, words};
use super::failure::{self, Failure};
use super::outcome::Outcome;
use crate::config::{BotApi, DEFAULT_BOT_API, check_bot_api, check_bot_token};

/// An answer about one message is about 1 KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A hundred updates of 4096 characters with all their entities.
const UPDATES_BYTES_MAX: usize = 8 << 20;

/// Connections that are kept for the next request.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// Shorter than servers keep them: a request on a connection that is just being closed has an unknown outcome.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);

/// What is shorter is no secret: it would be found in ordinary words.
const SECRET_BYTES_MIN: usize = 8;

/// Names, TCP and TLS never take longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How the Bot API is reached.
#[derive(Clone)]
pub struct Options {
    /// Its address, without a token; [`DEFAULT_BOT_API`], or that of a telegram-bot-api server of one's own.
    pub base_url: String,
    /// The bot's token.
    pub token: SecretString,
    /// How long a request may take, from the connection to the end of the answer.
    pub timeout: Duration,
}

impl Options {
    /// As the file says; none where its token was not read.
    pub fn of(api: &BotApi) -> Option<Self> {
        Some(Self { base_url: api.base_url.to_string(), token: api.token.secret()?, timeout: api.timeout })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Why there can be no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The token is none; it is not shown.
    #[error("the bot's token is none: {0}; it looks like 123456789:AAE...")]
    Token(&'static str),
    /// The address is none; it is not shown.
    #[error("`base_url` is no address of a Bot API: {0}; it looks like {DEFAULT_BOT_API}")]
    BaseUrl(&'static str),
    /// TLS cannot be set up.
    #[error("no HTTPS client can be made: {0}")]
    Http(String),
}

/// A message as Telegram takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The number of a user, group or channel, or `@name` of a public one.
    pub chat_id: String,
    /// What it says, at most what `fit` leaves of it.
    pub text: String,
    /// `HTML`, `MarkdownV2`, or empty for plain text.
    pub parse_mode: String,
    /// The topic of a group; 0 for none.
    pub message_thread_id: i64,
    /// Without a sound.
    pub disable_notification: bool,
    /// Without a preview of links.
    pub disable_web_page_preview: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new message.
    Send(Message),
    /// Another text for a message of the bot. Topic and sound stay as they are.
    Edit {
        /// Its number in the chat, from [`Outcome::Sent`].
        message_id: i64,
        /// What it says from now on.
        message: Message,
    },
}

/// The bot itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its name with which it is found, without `@`.
    pub username: Option<String>,
}

/// Where Telegram sends what people write to the bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The host of the webhook; none where there is no webhook. Its path may be a secret and is not kept.
    pub host: Option<String>,
    /// How many updates wait.
    pub pending: u64,
}

/// The client; a clone uses the same connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    place: Arc<Place>,
    timeout: Duration,
}

struct Place {
    /// Without a slash at the end.
    base_url: String,
    token: SecretString,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the options; makes no request.
    pub fn new(options: &Options) -> Result<Self, BuildError> {
        check_bot_token(options.token.expose_secret()).map_err(BuildError::Token)?;
        check_bot_api(&options.base_url).map_err(BuildError::BaseUrl)?;
        Url::parse(&options.base_url).map_err(|_| BuildError::BaseUrl("it cannot be read"))?;
        // No redirections: they would carry the token elsewhere. No proxy from the environment: only the configuration counts. No repetitions:
        // whoever sends decides about them.
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .user_agent(concat!("tidewatch/", env!("CARGO_PKG_VERSION")))
            // Below the time-out of the whole: a time-out before anything was written is then always one of the connection.
            .connect_timeout(CONNECT_MAX.min(options.timeout / 2))
            .timeout(options.timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_CONNECTION_MAX);
        let http = builder.build().map_err(|error| BuildError::Http(failure::transport(&error)))?;
        let place = Place { base_url: options.base_url.trim_end_matches('/').to_owned(), token: options.token.clone() };
        Ok(Self { http, place: Arc::new(place), timeout: options.timeout })
    }

    /// Sends or edits a message; one request, never repeated here.
    pub async fn send(&self, request: &Request) -> Outcome {
        let (method, body) = parameters(request);
        let mut outcome = match self.post(method, body, self.timeout, ANSWER_BYTES_MAX).await {
            Ok(answer) => Outcome::of_answer(&answer, request),
            Err(error) => Outcome::of_transport(&error),
        };
        if let Some(reason) = outcome.reason_mut() {
            self.scrub(reason);
        }
        outcome
    }

    /// Who the bot is: whether the token is good.
    pub async fn get_me(&self) -> Result<Me, Failure> {
        let me = self.ask("getMe", Map::new(), self.timeout, ANSWER_BYTES_MAX).await?;
        let text = |name: &str| me.get(name).and_then(Value::as_str).map(words);
        let id = me.get("id").and_then(Value::as_i64);
        let id = id.ok_or_else(|| Failure::Refused { reason: "its answer to getMe has no id".to_owned() })?;
        Ok(Me { id, name: text("first_name").unwrap_or_default(), username: text("username") })
    }

    /// What people wrote to the bot, at most `limit` (1 to 100) updates of the last 24 hours, as JSON. An `offset` confirms all updates before it, and they
    /// are gone for everybody. `wait` holds the question open until there is one.
    pub async fn get_updates(&self, offset: Option<i64>, limit: u8, wait: Duration) -> Result<Vec<Value>, Failure> {
        let mut body = Map::new();
        body.insert("limit".to_owned(), json!(limit.clamp(1, 100)));
        body.insert("timeout".to_owned(), json!(wait.as_secs()));
        if let Some(offset) = offset {
            body.insert("offset".to_owned(), json!(offset));
        }
        match self.ask("getUpdates", body, self.timeout + wait, UPDATES_BYTES_MAX).await? {
            Value::Array(updates) => Ok(updates),
            _ => Err(Failure::Refused { reason: "its answer to getUpdates is no list".to_owned() }),
        }
    }

    /// Whether what people write goes to a webhook: then it cannot be asked for.
    pub async fn get_webhook_info(&self) -> Result<Webhook, Failure> {
        let info = self.ask("getWebhookInfo", Map::new(), self.timeout, ANSWER_BYTES_MAX).await?;
        let url = info.get("url").and_then(Value::as_str).unwrap_or_default();
        let host = || Url::parse(url).ok().and_then(|url| url.host_str().map(words)).unwrap_or_else(|| "an unknown host".to_owned());
        let pending = info.get("pending_update_count").and_then(Value::as_u64).unwrap_or_default();
        Ok(Webhook { host: (!url.is_empty()).then(host), pending })
    }

    /// The result of a method.
    async fn ask(&self, method: &str, body: Map<String, Value>, timeout: Duration, bytes_max: usize) -> Result<Value, Failure> {
        let failure = match self.post(method, body, timeout, bytes_max).await {
            Ok(Answer { status: 200, body: Body::Document(document), .. }) if document.ok => return Ok(document.result),
            Ok(answer) => Failure::of_answer(&answer),
            Err(error) => Failure::of_transport(&error),
        };
        let mut failure = failure;
        if let Some(reason) = failure.reason_mut() {
            self.scrub(reason);
        }
        Err(failure)
    }

    /// The one request. Its error holds no URL any more.
    async fn post(&self, method: &str, body: Map<String, Value>, timeout: Duration, bytes_max: usize) -> Result<Answer, reqwest::Error> {
        let Place { base_url, token } = &*self.place;
        let url = format!("{base_url}/bot{}/{method}", token.expose_secret());
        let request = self.http.post(url).timeout(timeout).json(&body);
        let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
        let body = whole(&mut response, bytes_max).await;
        Ok(Answer::new(response.status().as_u16(), response.headers(), body.as_deref().map_err(Clone::clone)))
    }

    /// Nobody should repeat the token; if somebody does, it ends here.
    fn scrub(&self, said: &mut String) {
        let token = self.place.token.expose_secret();
        let secret = token.split_once(':').map_or(token, |(_, secret)| secret);
        for hidden in [token, secret] {
            if hidden.len() >= SECRET_BYTES_MIN && said.contains(hidden) {
                *said = said.replace(hidden, "***");
            }
        }
    }
}

/// The body of an answer, if it comes whole and is not too long.
async fn whole(response: &mut reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => return Err(format!("its body is longer than {bytes_max} bytes")),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err("its body did not come in time".to_owned()),
            Err(_) => return Err("its body broke off".to_owned()),
        }
    }
}

/// Method and parameters; what has Telegram's default is left out.
fn parameters(request: &Request) -> (&'static str, Map<String, Value>) {
    let (method, message, message_id) = match request {
        Request::Send(message) => ("sendMessage", message, None),
        Request::Edit { message_id, message } => ("editMessageText", message, Some(*message_id)),
    };
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value).is_none();
    set("chat_id", json!(message.chat_id));
    set("text", json!(message.text));
    if let Some(message_id) = message_id {
        set("message_id", json!(message_id));
    } else {
        if message.message_thread_id != 0 {
            set("message_thread_id", json!(message.message_thread_id));
        }
        if message.disable_notification {
            set("disable_notification", json!(true));
        }
    }
    if !message.parse_mode.is_empty() {
        set("parse_mode", json!(message.parse_mode));
    }
    if message.disable_web_page_preview {
        set("link_preview_options", json!({ "is_disabled": true }));
    }
    (method, body)
}
