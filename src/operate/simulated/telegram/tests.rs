//! That the service answers as the reference of the Bot API says, over real HTTP.

use super::*;
use crate::streams::clock::{ManualClock, Timestamp};

const PATIENCE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

struct Scene {
    telegram: Telegram,
    clock: ManualClock,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new("1:a");
        change(&mut options);
        let clock = ManualClock::at(Timestamp(1_786_028_400_000));
        let telegram = Telegram::start(options, Arc::new(clock.clone())).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { telegram, clock, client, runtime }
    }

    fn try_post(&self, path: &str, document: &Value) -> reqwest::Result<(u16, String)> {
        let request = self.client.post(format!("{}{path}", self.telegram.base_url())).json(document);
        self.runtime.block_on(async {
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        })
    }

    fn post(&self, path: &str, document: &Value) -> (u16, Value) {
        let (status, text) = self.try_post(path, document).unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn send(&self, document: &Value) -> (u16, Value) {
        self.post("/bot1:a/sendMessage", document)
    }

    /// Status and description.
    fn refused(&self, path: &str, document: &Value) -> (u16, String) {
        let (status, answer) = self.post(path, document);
        assert_eq!((&answer["ok"], &answer["error_code"]), (&json!(false), &json!(status)), "{answer}");
        (status, answer["description"].as_str().unwrap().to_owned())
    }

    /// Sends, goes away once `until` holds without an answer, and waits until the service has noticed.
    fn send_and_leave(&self, document: &Value, until: impl Fn(Counts) -> bool) {
        let request = self.client.post(self.telegram.method("sendMessage")).json(document);
        self.runtime.block_on(async {
            let sending = tokio::spawn(request.send());
            while !until(self.telegram.counts()) {
                tokio::task::yield_now().await;
            }
            sending.abort();
            sending.await.unwrap_err();
        });
        assert!(self.telegram.wait_for(PATIENCE, |counts| counts.open == 0));
    }

    fn effects(&self) -> Vec<Effect> {
        self.telegram.requests().into_iter().map(|request| request.effect).collect()
    }
}

fn text(text: &str) -> Value {
    json!({"chat_id": 1, "text": text})
}

#[test]
fn messages_are_taken_and_kept() {
    let scene = Scene::new(|_| ());
    let message = json!({"chat_id": "-100", "text": "Likes: 0 => 1", "parse_mode": "", "message_thread_id": 0,
                         "disable_notification": false, "event_id": "x"});
    let (status, answer) = scene.send(&message);
    assert_eq!((status, &answer["result"]["message_id"], &answer["result"]["chat"]["type"]), (200, &json!(1), &json!("group")));
    scene.clock.advance(SECOND);
    let (_, answer) =
        scene.send(&json!({"chat_id": -1_001_234_567_890_i64, "message_thread_id": 17, "text": "<b>a</b> &lt; b", "parse_mode": "HTML"}));
    let result = &answer["result"];
    assert_eq!((&result["text"], &result["message_thread_id"], &result["date"]), (&json!("a < b"), &json!(17), &json!(1_786_028_401)));
    assert!(scene.telegram.wait_for(PATIENCE, |counts| counts.taken == 2));
    let requests = scene.telegram.requests();
    assert_eq!((requests[0].parameter("disable_notification"), requests[0].chat()), ("false", "-100"));
    assert_eq!(requests[1].arrived, requests[0].arrived + SECOND);
    assert_eq!(scene.effects(), [Effect::Taken(1), Effect::Taken(2)]);
    assert_eq!(scene.telegram.texts()[1], ("-1001234567890".to_owned(), "a < b".to_owned()));
    let (status, _) = scene.runtime.block_on(async {
        let answer = scene.client.get(format!("{}?chat_id=5&text=a+b", scene.telegram.method("SENDMESSAGE"))).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    });
    assert_eq!((status, scene.telegram.texts()[2].1.as_str()), (200, "a b"));
}

#[test]
fn what_telegram_refuses_is_refused() {
    let scene = Scene::new(|_| ());
    let closed = [
        ("5", Closed::NotFound, 400, "Bad Request: chat not found"),
        ("6", Closed::Blocked, 403, "Forbidden: bot was blocked by the user"),
        ("7", Closed::Kicked, 403, "Forbidden: bot was kicked from the supergroup chat"),
        ("8", Closed::NoThread, 400, "Bad Request: message thread not found"),
    ];
    for (chat, why, status, description) in closed {
        scene.telegram.close_chat(chat, Some(why));
        let message = json!({"chat_id": chat, "text": "t", "message_thread_id": 3});
        assert_eq!(scene.refused("/bot1:a/sendMessage", &message), (status, description.to_owned()));
    }
    assert_eq!(scene.send(&json!({"chat_id": 8, "text": "t"})).0, 200);
    scene.telegram.close_chat("5", None);
    assert_eq!(scene.send(&json!({"chat_id": 5, "text": "t"})).0, 200);
    scene.telegram.close_chat("-9", Some(Closed::Migrated(-1009)));
    let (status, answer) = scene.send(&json!({"chat_id": -9, "text": "t"}));
    assert_eq!((status, &answer["parameters"]), (400, &json!({"migrate_to_chat_id": -1009})));
    let cases = [
        (json!({"text": "t"}), "chat_id is empty"),
        (json!({"chat_id": "", "text": "t"}), "chat_id is empty"),
        (json!({"chat_id": null, "text": "t"}), "chat not found"),
        (json!({"chat_id": 1, "text": ""}), "message text is empty"),
        (json!({"chat_id": 1, "text": " \n"}), "message text is empty"),
        (json!({"chat_id": 1, "text": "é".repeat(4097)}), "message is too long"),
        (json!({"chat_id": 1, "text": "é".repeat(16_385)}), "text is too long"),
        (json!({"chat_id": 1, "text": "t", "parse_mode": null}), "unsupported parse_mode"),
        (
            json!({"chat_id": 1, "text": "5 <6>", "parse_mode": "HTML"}),
            "can't parse entities: Unsupported start tag \"6\" at byte offset 2",
        ),
        (json!({"chat_id": 1, "text": "t", "link_preview_options": null}), "object expected as link preview options"),
        (json!({"chat_id": 1, "text": "t", "reply_markup": null}), "object expected as reply markup"),
        (json!([{"chat_id": 1, "text": "t"}]), "can't parse JSON object"),
    ];
    let before = scene.telegram.counts();
    for (message, description) in &cases {
        assert_eq!(scene.refused("/bot1:a/sendMessage", message), (400, format!("Bad Request: {description}")), "{message}");
    }
    let counts = scene.telegram.counts();
    assert_eq!((counts.refused - before.refused, counts.taken), (cases.len() as u64, 2));
    // A tag costs nothing, as the limit is on what people read.
    assert_eq!(scene.send(&json!({"chat_id": 1, "text": format!("<b>{}</b>", "é".repeat(4096)), "parse_mode": "HTML"})).0, 200);
}

#[test]
fn a_message_is_edited_once_per_text() {
    let scene = Scene::new(|_| ());
    scene.send(&text("a"));
    let edit = |chat: i64, id: i64, text: &str| json!({"chat_id": chat, "message_id": id, "text": text});
    let (status, answer) = scene.post("/bot1:a/editMessageText", &edit(1, 1, "b"));
    assert_eq!((status, &answer["result"]["message_id"], &answer["result"]["text"]), (200, &json!(1), &json!("b")));
    let said = |document| scene.refused("/bot1:a/editMessageText", &document).1;
    assert!(said(edit(1, 1, "b")).starts_with("Bad Request: message is not modified: "));
    assert_eq!(said(edit(1, 9, "b")), "Bad Request: message to edit not found");
    assert_eq!(said(edit(2, 1, "b")), "Bad Request: message to edit not found");
    assert_eq!(scene.telegram.texts(), [("1".to_owned(), "b".to_owned())]);
    assert_eq!((scene.telegram.counts().taken, scene.telegram.counts().edited), (2, 1));
}

#[test]
fn the_path_names_the_bot_and_the_method() {
    let scene = Scene::new(|_| ());
    assert_eq!(scene.refused("/bot1:b/sendMessage", &text("t")), (401, "Unauthorized".to_owned()));
    assert_eq!(scene.refused("/bot1:a/sendPhoto", &text("t")), (404, "Not Found: method not found".to_owned()));
    assert_eq!(scene.refused("/sendMessage", &text("t")), (404, "Not Found".to_owned()));
    let (_, me) = scene.post("/bot1:a/getMe", &json!({}));
    assert_eq!((&me["result"]["is_bot"], &me["result"]["can_join_groups"]), (&json!(true), &json!(true)));
    scene.telegram.revoke(true);
    assert_eq!(scene.refused("/bot1:a/getMe", &json!({})), (401, "Unauthorized".to_owned()));
    scene.telegram.revoke(false);
    assert_eq!(scene.send(&text("t")).0, 200);
}

#[test]
fn updates_tell_who_wrote_unless_a_webhook_takes_them() {
    let scene = Scene::new(|_| ());
    let updates = |parameters: Value| scene.post("/bot1:a/getUpdates", &parameters).1["result"].clone();
    assert_eq!(updates(json!({}))[0]["message"]["chat"]["id"], 4711);
    assert_eq!(updates(json!({"limit": 1})).as_array().unwrap().len(), 1);
    assert_eq!(updates(json!({"offset": 880_000_002}))[0]["my_chat_member"]["chat"]["type"], "supergroup");
    scene.telegram.set_webhook("https://example.org/hook");
    assert_eq!(scene.post("/bot1:a/getWebhookInfo", &json!({})).1["result"]["url"], "https://example.org/hook");
    assert_eq!(scene.refused("/bot1:a/getUpdates", &json!({})).0, 409);
    scene.telegram.set_webhook("");
    scene.telegram.set_updates(Vec::new());
    assert_eq!(updates(json!({})), json!([]));
}

#[test]
fn a_chat_that_was_told_to_wait_and_does_not_is_counted() {
    let scene = Scene::new(|options| options.faults = Faults::scripted([(1, Fault::TooMany { retry_after: 5 })]));
    let answer = scene.runtime.block_on(async {
        let request = scene.client.post(scene.telegram.method("sendMessage")).json(&text("t"));
        let answer = request.send().await.unwrap();
        (answer.headers()["retry-after"].clone(), answer.json::<Value>().await.unwrap())
    });
    let expected =
        json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 5", "parameters": {"retry_after": 5}});
    assert_eq!((answer.0.to_str().unwrap(), answer.1), ("5", expected));
    scene.send(&json!({"chat_id": 2, "text": "another chat"}));
    assert_eq!(scene.telegram.counts().too_early, 0);
    scene.clock.advance(4 * SECOND);
    scene.send(&text("too early"));
    assert_eq!(scene.telegram.counts().too_early, 1);
    scene.clock.advance(SECOND);
    scene.send(&text("in time"));
    assert_eq!(scene.telegram.counts().too_early, 1);
}

#[test]
fn faults_come_before_a_message_is_taken_or_after_it() {
    let scene = Scene::new(|_| ());
    scene.telegram.push_faults([Fault::Internal, Fault::BadGateway, Fault::ResetBefore, Fault::ResetAfter, Fault::CutBody]);
    assert_eq!(scene.refused("/bot1:a/sendMessage", &text("t")), (500, "Internal Server Error: restart".to_owned()));
    assert_eq!(scene.try_post("/bot1:a/sendMessage", &text("t")).unwrap().0, 502);
    for _ in 0..3 {
        scene.try_post("/bot1:a/sendMessage", &text("t")).unwrap_err();
    }
    let refused = |status, description: &str| Effect::Refused { status, description: description.to_owned() };
    let mut expected = vec![refused(500, "Internal Server Error: restart"), refused(502, "Bad Gateway")];
    expected.extend([Effect::None, Effect::Taken(1), Effect::Taken(2)]);
    assert_eq!(scene.effects(), expected);
    scene.telegram.push_faults([Fault::SlowBody(Duration::from_millis(40))]);
    assert_eq!(scene.send(&text("t")).1["result"]["message_id"], 3);
    scene.telegram.push_faults([Fault::HangBefore, Fault::HangAfter]);
    scene.send_and_leave(&text("never"), |counts| counts.open == 1);
    scene.send_and_leave(&text("taken"), |counts| counts.taken == 4);
    assert_eq!(scene.effects()[6..], [Effect::None, Effect::Taken(4)]);
    let counts = scene.telegram.counts();
    assert_eq!((counts.requests, counts.faults, scene.telegram.texts().len()), (8, 8, 4));
}

#[test]
fn only_the_last_requests_are_kept_and_all_are_counted() {
    let scene = Scene::new(|options| options.kept = 3);
    for number in 0..5 {
        scene.send(&text(&number.to_string()));
    }
    let numbers: Vec<u64> = scene.telegram.requests().iter().map(|request| request.number).collect();
    assert_eq!((numbers, scene.telegram.texts().len(), scene.telegram.counts().taken), (vec![3, 4, 5], 3, 5));
    assert!(scene.telegram.requests().iter().all(|request| request.ended.is_some()));
}

#[test]
fn those_who_look_on_are_told_in_order() {
    let (events, mut seen) = mpsc::channel(2);
    let scene = Scene::new(|options| {
        options.events = Some(events);
        options.faults = Faults::scripted([(1, Fault::TooMany { retry_after: 1 })]);
    });
    for words in ["a", "b"] {
        scene.send(&json!({"chat_id": 1, "text": format!("<i>{words}</i>"), "parse_mode": "HTML"}));
        if words == "a" {
            assert_eq!(seen.blocking_recv(), Some(Event::Wait(1)));
        }
    }
    assert_eq!(seen.blocking_recv(), Some(Event::Message { chat: "1".to_owned(), text: "b".to_owned() }));
}
