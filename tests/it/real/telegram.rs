//! A server that takes messages as Telegram's does, and refuses what Telegram refuses.
//!
//! Telegram reads each parameter of a JSON body as text: a string as it is, anything else as it is written. So null is the text `null`,
//! which is no chat and no parse mode, and where an object is wanted it is none.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use super::PATIENCE;
use super::http::{Answer, Request, Server};

/// Characters of a text.
const TEXT_MAX: usize = 4096;

/// The parameters that are documents of their own.
const OBJECTS: [(&str, &str); 3] =
    [("link_preview_options", "link preview options"), ("reply_parameters", "reply parameters"), ("reply_markup", "reply markup")];

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its number in the chat.
    pub(crate) id: i64,
    /// All parameters as text, `chat_id` and `text` too.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Message {
    /// A parameter; empty where it is absent.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct State {
    accepted: Vec<Message>,
    refused: Vec<(u16, String)>,
    unknown_chats: Vec<String>,
    flooded: Vec<u64>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Telegram {
    server: Server,
    state: Arc<(Mutex<State>, Condvar)>,
    token: String,
}

impl Telegram {
    /// Starts one that knows one bot.
    pub(crate) fn start(token: &str) -> Self {
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let (shared, known) = (Arc::clone(&state), token.to_owned());
        let server = Server::start(move |request| {
            let (state, changed) = &*shared;
            let mut state = state.lock().unwrap();
            let answer = state.answer(&known, request);
            changed.notify_all();
            Some(answer)
        });
        Self { server, state, token: token.to_owned() }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// The URL of a method, with the bot's token in it.
    pub(crate) fn method(&self, method: &str) -> String {
        format!("{}/bot{}/{method}", self.url(), self.token)
    }

    /// From now on there is no such chat.
    pub(crate) fn forget_chat(&self, chat: &str) {
        self.state.0.lock().unwrap().unknown_chats.push(chat.to_owned());
    }

    /// The next requests are answered with 429, each with the next of these numbers of seconds to wait.
    pub(crate) fn flood(&self, retry_after: &[u64]) {
        self.state.0.lock().unwrap().flooded.extend(retry_after);
    }

    /// The messages accepted so far.
    pub(crate) fn accepted(&self) -> Vec<Message> {
        self.state.0.lock().unwrap().accepted.clone()
    }

    /// The answers other than 200 so far: status and description.
    pub(crate) fn refused(&self) -> Vec<(u16, String)> {
        self.state.0.lock().unwrap().refused.clone()
    }

    /// Waits until so many messages are accepted and so many requests refused; whether that came to pass.
    pub(crate) fn wait_for(&self, accepted: usize, refused: usize) -> bool {
        let (state, changed) = &*self.state;
        let missing = |state: &mut State| state.accepted.len() < accepted || state.refused.len() < refused;
        let (_state, waited) = changed.wait_timeout_while(state.lock().unwrap(), PATIENCE, missing).unwrap();
        !waited.timed_out()
    }
}

impl State {
    fn answer(&mut self, token: &str, request: &Request) -> Answer {
        match self.result(token, request) {
            Ok(result) => Answer::json(200, &json!({"ok": true, "result": result})),
            Err(refusal) => {
                self.refused.push((refusal.status, refusal.description.clone()));
                let mut document = json!({"ok": false, "error_code": refusal.status, "description": refusal.description});
                let Some(seconds) = refusal.retry_after else { return Answer::json(refusal.status, &document) };
                document["parameters"] = json!({"retry_after": seconds});
                Answer::json(refusal.status, &document).with_header("retry-after", seconds)
            }
        }
    }

    fn result(&mut self, token: &str, request: &Request) -> Result<Value, Refusal> {
        let path = request.target.split('?').next().unwrap_or_default();
        let (sent, method) = path.strip_prefix("/bot").and_then(|path| path.split_once('/')).ok_or(Refusal::new(404, "Not Found"))?;
        if sent != token {
            return Err(Refusal::new(401, "Unauthorized"));
        }
        if !method.eq_ignore_ascii_case("sendMessage") {
            return Err(Refusal::new(404, "Not Found: method not found"));
        }
        if !self.flooded.is_empty() {
            let seconds = self.flooded.remove(0);
            let description = format!("Too Many Requests: retry after {seconds}");
            return Err(Refusal { status: 429, description, retry_after: Some(seconds) });
        }
        let parameters = parameters(request)?;
        self.check(&parameters)?;
        let id = i64::try_from(self.accepted.len()).unwrap() + 1;
        let result = json!({"message_id": id, "chat": {"id": parameters["chat_id"]}, "text": parameters["text"]});
        self.accepted.push(Message { id, parameters });
        Ok(result)
    }

    fn check(&self, parameters: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let given = |name: &str| parameters.get(name).map_or("", String::as_str);
        // The order of the real one: the text is parsed before the chat is looked up.
        if !["", "none", "html", "markdown", "markdownv2"].contains(&given("parse_mode").to_lowercase().as_str()) {
            return Err(Refusal::bad("unsupported parse_mode"));
        }
        for (name, words) in OBJECTS {
            let is_object = || serde_json::from_str::<Value>(given(name)).is_ok_and(|value| value.is_object());
            if !given(name).is_empty() && !is_object() {
                return Err(Refusal::bad(&format!("object expected as {words}")));
            }
        }
        match given("text") {
            text if text.trim().is_empty() => return Err(Refusal::bad("message text is empty")),
            text if text.chars().count() > TEXT_MAX => return Err(Refusal::bad("message is too long")),
            _ => {}
        }
        match given("chat_id") {
            "" => Err(Refusal::bad("chat_id is empty")),
            chat if !chat.starts_with('@') && chat.parse::<i64>().is_err() => Err(Refusal::bad("chat not found")),
            chat if self.unknown_chats.iter().any(|unknown| unknown == chat) => Err(Refusal::bad("chat not found")),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Refusal {
    status: u16,
    description: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: u16, description: &str) -> Self {
        Self { status, description: description.to_owned(), retry_after: None }
    }

    fn bad(what: &str) -> Self {
        Self::new(400, &format!("Bad Request: {what}"))
    }
}

/// The parameters of the body; none where it does not say that it is JSON.
fn parameters(request: &Request) -> Result<BTreeMap<String, String>, Refusal> {
    let kind = request.headers.get("content-type").map_or("", String::as_str);
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        return Ok(BTreeMap::new());
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(&request.body) else {
        return Err(Refusal::bad("can't parse JSON object"));
    };
    let text = |value: Value| if let Value::String(text) = value { text } else { value.to_string() };
    Ok(fields.into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::http::Client;
    use super::*;

    fn send(telegram: &Telegram, message: &Value) -> (u16, Value) {
        Client::default().send("POST", &telegram.method("sendMessage"), Some(message)).unwrap()
    }

    #[test]
    fn messages_are_accepted_and_kept() {
        let telegram = Telegram::start("1:a");
        let message = json!({"chat_id": "-100", "text": "Likes: 0 => 1", "parse_mode": "", "message_thread_id": 0,
                             "disable_notification": false, "event_id": "x"});
        let (status, answer) = send(&telegram, &message);
        assert_eq!((status, &answer["result"]["message_id"]), (200, &json!(1)));
        assert!(telegram.wait_for(1, 0));
        let accepted = telegram.accepted();
        assert_eq!(accepted[0].parameter("disable_notification"), "false");
        assert_eq!(accepted[0].parameter("text"), "Likes: 0 => 1");
        assert_eq!(telegram.refused(), []);
    }

    #[test]
    fn what_telegram_refuses_is_refused() {
        let telegram = Telegram::start("1:a");
        telegram.forget_chat("5");
        let cases = [
            (json!({"text": "t"}), "chat_id is empty"),
            (json!({"chat_id": "", "text": "t"}), "chat_id is empty"),
            (json!({"chat_id": null, "text": "t"}), "chat not found"),
            (json!({"chat_id": 5, "text": "t"}), "chat not found"),
            (json!({"chat_id": 1, "text": ""}), "message text is empty"),
            (json!({"chat_id": 1, "text": " \n"}), "message text is empty"),
            (json!({"chat_id": 1, "text": "é".repeat(4097)}), "message is too long"),
            (json!({"chat_id": 1, "text": "t", "parse_mode": null}), "unsupported parse_mode"),
            (json!({"chat_id": 1, "text": "t", "link_preview_options": null}), "object expected as link preview options"),
            (json!({"chat_id": 1, "text": "t", "reply_markup": null}), "object expected as reply markup"),
            (json!([{"chat_id": 1, "text": "t"}]), "can't parse JSON object"),
        ];
        for (message, description) in &cases {
            let (status, answer) = send(&telegram, message);
            assert_eq!((status, &answer["description"]), (400, &json!(format!("Bad Request: {description}"))), "{message}");
            assert_eq!(answer["ok"], false);
        }
        assert_eq!(telegram.refused().len(), cases.len());
        assert_eq!(telegram.accepted(), []);
    }

    #[test]
    fn the_path_names_the_bot_and_the_method() {
        let telegram = Telegram::start("1:a");
        let status = |path: &str| {
            let message = json!({"chat_id": 1, "text": "t"});
            let (status, answer) = Client::default().send("POST", &format!("{}{path}", telegram.url()), Some(&message)).unwrap();
            (status, answer["description"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(status("/bot1:a/SENDMESSAGE"), (200, String::new()));
        assert_eq!(status("/bot1:b/sendMessage"), (401, "Unauthorized".to_owned()));
        assert_eq!(status("/bot1:a/sendPhoto"), (404, "Not Found: method not found".to_owned()));
        assert_eq!(status("/sendMessage"), (404, "Not Found".to_owned()));
    }

    #[test]
    fn a_flood_says_how_long_to_wait() {
        let telegram = Telegram::start("1:a");
        telegram.flood(&[5, 7]);
        let message = json!({"chat_id": 1, "text": "t"});
        let waits =
            [(); 3].map(|()| send(&telegram, &message)).map(|(status, answer)| (status, answer["parameters"]["retry_after"].clone()));
        assert_eq!(waits, [(429, json!(5)), (429, json!(7)), (200, Value::Null)]);
        assert_eq!(telegram.refused()[0], (429, "Too Many Requests: retry after 5".to_owned()));
    }
}
