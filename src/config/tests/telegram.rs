//! `[telegram]`: who sends the messages.

use std::time::Duration;

use super::kafka::list;
use super::*;

const TOKEN: &str = "7000000001:AAsup3rs3cr3t_0000000000000000";

/// The base with these lines of `[telegram]` at its end: they begin in line 21.
fn load(lines: &str, token: &str) -> Result<Config, Diagnostics> {
    let environment = Environment::of([("CHAT", "1"), ("TOKEN", token)]);
    let options = LoadOptions { environment, ..LoadOptions::default() };
    load_text(&SourceFile::new("t.toml", format!("{BASE}[telegram]\n{lines}\n")), None, &options)
}

fn said(lines: &str) -> Vec<String> {
    said_of(lines, TOKEN)
}

/// What is said, which never shows the secret part of a token.
fn said_of(lines: &str, token: &str) -> Vec<String> {
    let loaded = load(lines, token);
    if let Err(faults) = &loaded {
        let shown = format!("{} {} {faults}", faults.render(Style::Plain), faults.to_json());
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
    list(loaded)
}

const GOOD: &str = "token = { env = \"TOKEN\" }\n";

#[test]
fn a_token_is_all_it_takes() {
    let config = load(GOOD, TOKEN).unwrap();
    assert!(config.warnings().is_empty());
    let telegram = config.telegram.unwrap();
    assert_eq!(telegram.token.expose(), TOKEN);
    assert_eq!((&*telegram.base_url, &*telegram.outbox), ("https://api.telegram.org", "telegram_outbox"));
    assert_eq!((telegram.on_unknown("1"), telegram.timeout.as_secs(), telegram.remember.as_secs()), (OnUnknown::SendAgain, 10, 2_592_000));
    let Rates { chat_per_second, group_per_minute, bot_per_second } = telegram.limits;
    assert_eq!((chat_per_second.get(), group_per_minute.get(), bot_per_second.get()), (1, 20, 30));
    assert!(!format!("{telegram:?} {:?}", telegram.api()).contains("s3cr3t"));
    assert!(offline(BASE).unwrap().telegram.is_none());
}

#[test]
fn everything_can_be_said() {
    let lines = format!(
        "{GOOD}{}{}",
        "base_url = \"http://127.0.0.1:8081\"\noutbox = \"messages\"\non_unknown = \"dead-letter\"\nremember = \"7d\"\ntimeout = \"30s\"\n",
        "[telegram.limits]\nchat_per_second = 2\ngroup_per_minute = 10\nbot_per_second = 5\n\
         [telegram.chats.\"-1001\"]\non_unknown = \"send-again\"\n[telegram.chats.\"@channel\"]\n"
    );
    let telegram = load(&lines, TOKEN).unwrap().telegram.unwrap();
    assert_eq!((&*telegram.base_url, &*telegram.outbox), ("http://127.0.0.1:8081", "messages"));
    assert_eq!((telegram.timeout, telegram.remember), (Duration::from_secs(30), Duration::from_secs(7 * 24 * 3_600)));
    let Rates { chat_per_second, group_per_minute, bot_per_second } = telegram.limits;
    assert_eq!((chat_per_second.get(), group_per_minute.get(), bot_per_second.get()), (2, 10, 5));
    let of = |chat| telegram.on_unknown(chat);
    assert_eq!((of("1"), of("-1001"), of("@channel")), (OnUnknown::DeadLetter, OnUnknown::SendAgain, OnUnknown::DeadLetter));
}

#[test]
fn a_token_must_be_there_and_be_one() {
    assert_eq!(said(""), ["20:2 [telegram] has no `token` | in this table | add `token = { env = \"TELEGRAM_BOT_TOKEN\" }`"]);
    assert_eq!(
        said("token = { env = \"NONE\" }"),
        [
            "21:9 the environment variable NONE is not set | comes from outside | set it: `export NONE=...`; `check --offline` and `demo` need none"
        ]
    );
    let hint = "it looks like 123456789:AAE...; @BotFather tells it (/mybots, API Token)";
    assert_eq!(
        said_of(GOOD, "s3cr3t"),
        [format!("21:9 the environment variable TOKEN holds no token of a bot: it has no colon | comes from outside | {hint}")]
    );
    // The line itself would show it.
    assert_eq!(
        said("token = \"bot12:s3cr3t\""),
        [format!("- `token` of [telegram] in line 21 is no token of a bot: it does not begin with the bot's number | {hint}")]
    );
    assert!(said("token = 5")[0].starts_with("21:9 `token` must be a string, { env"));
    assert!(load_text(&SourceFile::new("t.toml", format!("{BASE}[telegram]\n{GOOD}")), None, &LoadOptions::offline()).is_ok());
}

#[test]
fn the_address_is_checked_and_plain_http_is_warned_of() {
    let hint = "as in `base_url = \"https://api.telegram.org\"`, which is the default";
    assert_eq!(
        said(&format!("{GOOD}base_url = \"https://api.telegram.org/bot1:s3cr3t\"")),
        [format!(
            "- `base_url` of [telegram] in line 22 is no address of a Bot API: the token does not belong into it: `token` has a place of its own | {hint}"
        )]
    );
    assert_eq!(
        said(&format!("{GOOD}base_url = \"http://bots.internal:8081\"")),
        [
            "22:12 the token is sent without encryption to another host | http | let an HTTPS proxy stand before the server, or use a network that nobody else reads"
        ]
    );
    for quiet in ["http://localhost:1", "http://127.0.0.1", "http://[::1]:8081/x", "https://bots.internal"] {
        assert_eq!(said(&format!("{GOOD}base_url = \"{quiet}\"")), [""; 0], "{quiet}");
    }
}

#[test]
fn the_topic_is_that_of_the_only_sink_of_messages() {
    let of = |text: String| {
        let file = SourceFile::new("t.toml", format!("{text}[telegram]\n{GOOD}"));
        load_text(&file, None, &LoadOptions::offline())
    };
    let two = |topic: &str| format!("{BASE}[sinks.other]\ninput = \"likes\"\ntopic = \"{topic}\"\nvalue = \"telegram_message\"\n");
    assert_eq!(
        list(of(two("more"))),
        [
            "24:2 [telegram] does not say which topic it sends: more, telegram_outbox hold messages | in this table | add `outbox = \"more\"`, or let all sinks of messages write one topic"
        ]
    );
    let none = spoilt("value = \"telegram_message\"\n", "value = { format = \"json\", schema = \"registry\" }\n");
    assert_eq!(
        list(of(none)).last().map(String::as_str),
        Some(
            "20:2 [telegram] does not say which topic holds the messages, and no sink writes values of telegram_message | in this table | add a sink with `value = \"telegram_message\"`, or `outbox = \"telegram_outbox\"` where another application writes it"
        )
    );
    assert!(said(&format!("{GOOD}outbox = \"\""))[0].starts_with("22:10 `outbox` is empty"));
}

#[test]
fn what_is_not_known_or_out_of_range_is_refused() {
    let one = |line: &str| said(&format!("{GOOD}{line}"));
    assert_eq!(one("tokn = 1"), ["22:1 [telegram] has no key `tokn` | not known here | did you mean `token`?"]);
    assert!(one("on_unknown = \"ignore\"")[0].starts_with("22:14 `on_unknown` cannot be \"ignore\""));
    assert_eq!(one("timeout = \"61s\""), ["22:11 `timeout` cannot be 61s | 1s to 1m, as in `timeout = \"10s\"`"]);
    assert_eq!(one("remember = \"1m\""), ["22:12 `remember` cannot be 1m | 1h to 3650d, as in `remember = \"30d\"`"]);
    assert_eq!(
        one("timeout = \"soon\""),
        ["22:11 \"soon\" is not a duration | a whole number and one of ms, s, m, h, d, as in `timeout = \"10s\"`"]
    );
    assert_eq!(one("limits = { bot_per_second = 0 }"), ["22:29 `bot_per_second` cannot be 0 | 1 to 1000"]);
    assert!(one("limits = { bot_per_hour = 1 }")[0].starts_with("22:12 [telegram.limits] has no key `bot_per_hour`"));
    assert!(one("chats = { \"my chat\" = {} }")[0].starts_with("22:11 \"my chat\" is no id of a chat"));
    assert!(one("chats = { 5 = { mute = true } }")[0].starts_with("22:17 [telegram.chats.\"5\"] has no key `mute`"));
    assert!(one("chats = 5")[0].starts_with("22:9 `chats` must be a table"));
}

#[test]
fn how_telegram_is_reached_can_be_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load_bot_api(&path, &LoadOptions { environment: Environment::of([("TOKEN", TOKEN)]), ..LoadOptions::default() })
    };
    // A file with faults elsewhere, and without a sink.
    let api = read("application_id = 5\n[nonsense]\n[telegram]\ntoken = { env = \"TOKEN\" }\ntimeout = \"5s\"\n").unwrap().unwrap();
    assert_eq!((api.token.expose().as_str(), &*api.base_url, api.timeout.as_secs()), (TOKEN, "https://api.telegram.org", 5));
    assert!(read("application_id = 5\n").unwrap().is_none());
    assert!(read("[telegram]\ntoken = { env = \"NONE\" }\n").unwrap_err().to_string().contains(":2:9: the environment variable NONE"));
    std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    assert_eq!(read("[telegram]\ntoken = { file = \"token\" }\n").unwrap().unwrap().token.expose(), TOKEN);
}
