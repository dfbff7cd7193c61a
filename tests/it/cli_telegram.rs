//! `telegram chats` and `telegram test`, against a server in Telegram's place.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::installation::{Installation, Output};
use crate::real::http::{Answer, Server};

const TOKEN: &str = "7000000001:AAcanary-t0ken_that-nobody-may-see00";

/// A server that answers each method as it is told, and remembers the chats that it was asked to write to.
struct Fake {
    server: Server,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Fake {
    fn start(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        let asked = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let seen = Arc::clone(&asked);
        let server = Server::start(move |request| {
            let method = request.target.strip_prefix(&format!("/bot{TOKEN}/")).unwrap_or("no method of this bot").to_owned();
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            seen.lock().unwrap().push((method.clone(), body.clone()));
            Some(answer(&method, &body))
        });
        Self { server, asked }
    }

    /// An installation of the shipped topology with this server in Telegram's place.
    fn installation(&self) -> Installation {
        let shipped = include_str!("../../topology.toml");
        let table = format!("[telegram]\ntoken = {{ env = \"BOT\" }}\nbase_url = \"http://127.0.0.1:{}\"\n", self.server.port());
        let mut installation = Installation::with_topology(&format!("{shipped}\n{table}"));
        installation.set_env("BOT", TOKEN);
        installation
    }

    fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn ok(result: &Value) -> Answer {
    Answer::json(200, &json!({"ok": true, "result": result}))
}

fn refusal(status: u16, description: &str) -> Answer {
    Answer::json(status, &json!({"ok": false, "error_code": status, "description": description}))
}

/// Runs a command that says nothing of the token.
fn output(installation: &Installation, arguments: &[&str]) -> Output {
    let output = installation.output(arguments);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("canary"), "{}", output.stderr);
    assert!(!installation.state_dir().exists(), "nothing is written");
    output
}

fn updates() -> Value {
    serde_json::from_str(include_str!("../fixtures/telegram/updates.json")).unwrap()
}

#[test]
fn chats_shows_who_wrote_to_the_bot() {
    let fake = Fake::start(|method, _| match method {
        "getWebhookInfo" => ok(&json!({"url": "", "pending_update_count": 3})),
        "getUpdates" => Answer::json(200, &updates()),
        _ => refusal(404, "Not Found"),
    });
    // Of the file only [telegram] counts.
    let installation = fake.installation();
    let shipped = std::fs::read_to_string(installation.write("unused", "").with_file_name("topology.toml")).unwrap();
    installation.write("topology.toml", &shipped.replace("application_id =", "aplication_id ="));
    let said = output(&installation, &["telegram", "chats"]);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()),
        (
            Some(0),
            "Ada L         private     123456789\nRiver alerts  supergroup  -1001234567890\nOld group     supergroup  -1001557912345\n",
            ""
        )
    );
    let said = output(&installation, &["telegram", "chats", "--json"]).stdout;
    let first: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({"id": 123_456_789, "type": "private", "name": "Ada L", "username": "ada_demo", "left": false, "topics": []}));
    assert!(fake.asked().iter().all(|(_, body)| body.get("offset").is_none()), "nothing is confirmed");
}

#[test]
fn chats_says_what_to_do_when_nobody_wrote_or_a_webhook_is_in_the_way() {
    let nobody = Fake::start(|method, _| if method == "getUpdates" { ok(&json!([])) } else { ok(&json!({"url": ""})) });
    let said = output(&nobody.installation(), &["telegram", "chats"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
    assert!(said.stderr.contains("Write to the bot, or add it to the group or channel"), "{}", said.stderr);

    let hooked = Fake::start(|_, _| ok(&json!({"url": "https://example.org/secret", "pending_update_count": 1})));
    let said = output(&hooked.installation(), &["telegram", "chats"]);
    let port = hooked.server.port();
    let expected = format!(
        "error: what people write to this bot goes to a webhook at example.org: it cannot be asked for\n\
         hint: If nothing needs the webhook, delete it: `curl \"http://127.0.0.1:{port}/bot$BOT/deleteWebhook\"`.\n"
    );
    assert_eq!((said.code, said.stderr), (Some(2), expected));

    let polled = Fake::start(|method, _| match method {
        "getUpdates" => refusal(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"),
        _ => ok(&json!({"url": ""})),
    });
    let said = output(&polled.installation(), &["telegram", "chats"]);
    assert!(said.code == Some(2) && said.stderr.contains("somebody else gets the updates"), "{}", said.stderr);
}

#[test]
fn what_is_wrong_with_the_bot_is_said() {
    let wrong = Fake::start(|_, _| refusal(401, "Unauthorized"));
    for command in [&["telegram", "chats"][..], &["telegram", "test"]] {
        let said = output(&wrong.installation(), command);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(
            said.stderr.starts_with("error: Telegram does not know the bot's token (401: Unauthorized)\nhint: Ask @BotFather"),
            "{}",
            said.stderr
        );
    }
    let down = Fake::start(|_, _| refusal(500, "Internal Server Error: restart"));
    assert_eq!(output(&down.installation(), &["telegram", "chats"]).code, Some(1), "a later try may help");
    let said = output(&Installation::new(), &["telegram", "test"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.starts_with("error: topology.toml has no [telegram]") && said.stderr.contains("@BotFather"), "{}", said.stderr);
    let mut unset = down.installation();
    unset.set_env("BOT", "canary");
    let said = output(&unset, &["telegram", "chats"]);
    assert!(said.code == Some(2) && said.stderr.contains("the environment variable BOT holds no token"), "{}", said.stderr);
}

#[test]
fn test_writes_to_every_chat_of_the_topology_once() {
    let fake = Fake::start(|method, body| match (method, body["chat_id"].as_str()) {
        ("getMe", _) => Answer::json(200, &serde_json::from_str(include_str!("../fixtures/telegram/me.json")).unwrap()),
        ("sendMessage", Some("4711" | "-100500")) => ok(&json!({"message_id": 1})),
        ("sendMessage", Some("-5")) => {
            let parameters = json!({"migrate_to_chat_id": -100_500});
            let description = "Bad Request: group chat was upgraded to a supergroup chat";
            Answer::json(400, &json!({"ok": false, "error_code": 400, "description": description, "parameters": parameters}))
        }
        ("sendMessage", _) => refusal(403, "Forbidden: bot was blocked by the user"),
        _ => refusal(404, "Not Found: method not found"),
    });
    let installation = fake.installation();
    let said = output(&installation, &["telegram", "test"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "4711: sent\n"));
    assert_eq!(said.stderr, "The bot is River Watcher (@river_watcher_demo_bot).\n");
    let asked = fake.asked();
    assert_eq!(asked.len(), 2, "three rules, one chat: {asked:?}");
    assert_eq!(asked[1], ("sendMessage".to_owned(), json!({"chat_id": "4711", "text": "tidewatch can write here."})));

    let said = output(&installation, &["telegram", "test", "--chat", "-5"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "-5: sent\n"));
    assert!(
        said.stderr.contains("-5: The group became a supergroup with the id -100500: put that one under `chat_id`."),
        "{}",
        said.stderr
    );

    let said = output(&installation, &["telegram", "test", "--chat", "77"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), "77: not sent: 403: Forbidden: bot was blocked by the user\n"));
    assert!(said.stderr.contains("A person must press Start"), "{}", said.stderr);
    assert!(said.stderr.ends_with("error: 1 of 1 chat got no message\n"), "{}", said.stderr);
}
