//! Settings, and values from outside.

use super::*;

fn engine(line: &str) -> String {
    match offline(&format!("{BASE}[engine]\n{line}\n")) {
        Err(faults) => faults.render(Style::Plain),
        Ok(config) => format!("{:?}", config.engine),
    }
}

#[test]
fn settings_have_defaults_and_can_be_set() {
    let text = format!(
        "{BASE}[engine]\nthreads = 2\ncommit_interval_ms = 50\ncache_mib = 64\nwatchdog = \"1m\"\n[errors]\nprocessing = \"fail\"\n"
    );
    let config = offline(&text).unwrap();
    let expected = Engine {
        threads: 2,
        commit_interval: std::time::Duration::from_millis(50),
        cache_bytes: 64 << 20,
        watchdog: std::time::Duration::from_secs(60),
        ..Engine::default()
    };
    assert_eq!(config.engine, expected);
    assert_eq!(config.errors.processing, crate::streams::topology::OnError::Fail);
    assert_eq!(config.errors.production, crate::streams::topology::OnError::DeadLetter);
}

#[test]
fn a_commit_interval_that_is_too_long() {
    insta::assert_snapshot!(engine("commit_interval_ms = 5000"), @r"
      x `commit_interval_ms` must be below 5000 ms, half of the transaction timeout
        ,-[t.toml:21:22]
     21 | commit_interval_ms = 5000
        :                      ^^|^
        :                        `-- too long
        `----
      help: a transaction that is open for longer may be aborted before it is committed; 100 is the default

    t.toml: 1 error
    ");
}

#[test]
fn a_bad_duration() {
    insta::assert_snapshot!(engine("watchdog = \"half a minute\""), @r#"
      x "half a minute" is not a duration
        ,-[t.toml:21:12]
     21 | watchdog = "half a minute"
        :            ^^^^^^^|^^^^^^^
        :                   `-- here
        `----
      help: a whole number and one of ms, s, m, h, d, as in `watchdog = "30s"`

    t.toml: 1 error
    "#);
}

#[test]
fn a_number_out_of_range() {
    insta::assert_snapshot!(engine("threads = 0"), @r"
      x `threads` cannot be 0
        ,-[t.toml:21:11]
     21 | threads = 0
        :           |
        :           `-- here
        `----
      help: 1 to 256

    t.toml: 1 error
    ");
    insta::assert_snapshot!(engine("partitions = 99999999999999999999"), @r"
      x `partitions` cannot be 99999999999999999999
        ,-[t.toml:21:14]
     21 | partitions = 99999999999999999999
        :              ^^^^^^^^^^|^^^^^^^^^
        :                        `-- here
        `----
      help: 1 to 4096

    t.toml: 1 error
    ");
}

#[test]
fn an_unknown_setting() {
    insta::assert_snapshot!(engine("thread = 2"), @r"
      x [engine] has no key `thread`
        ,-[t.toml:21:1]
     21 | thread = 2
        : ^^^|^^
        :    `-- not known here
        `----
      help: did you mean `threads`?

    t.toml: 1 error
    ");
}

#[test]
fn an_unknown_policy() {
    insta::assert_snapshot!(report("[sinks.outbox]", "[errors]\nprocessing = \"ignore\"\n[sinks.outbox]"), @r#"
      x `processing` cannot be "ignore"
        ,-[t.toml:17:14]
     17 | processing = "ignore"
        :              ^^^^|^^^
        :                  `-- here
        `----
      help: known: `fail`, `skip`, `dead-letter`

    t.toml: 1 error
    "#);
}

#[test]
fn a_missing_chat_id() {
    insta::assert_snapshot!(report("chat_id = { env = \"CHAT\" }\n", ""), @r#"
      x [processors.likes] has no `chat_id`: the message has nowhere to go
        ,-[t.toml:10:13]
     10 | [processors.likes]
        :             ^^|^^
        :               `-- in this table
        `----
      help: add `chat_id = { env = "TELEGRAM_CHAT_ID" }`

    t.toml: 1 error
    "#);
}

#[test]
fn an_empty_chat_id() {
    insta::assert_snapshot!(report("{ env = \"CHAT\" }", "\" \""), @r#"
      x `chat_id` is empty: the message has nowhere to go
        ,-[t.toml:14:11]
     14 | chat_id = " "
        :           ^|^
        :            `-- here
        `----
      help: as in `chat_id = { env = "TELEGRAM_CHAT_ID" }`

    t.toml: 1 error
    "#);
}

#[test]
fn a_chat_id_that_comes_from_nowhere() {
    insta::assert_snapshot!(report("{ env = \"CHAT\" }", "{ evn = \"CHAT\" }"), @r#"
      x `chat_id` has no key `evn`
        ,-[t.toml:14:13]
     14 | chat_id = { evn = "CHAT" }
        :             ^|^
        :              `-- not known here
        `----
      help: did you mean `env`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_wrong_parse_mode() {
    insta::assert_snapshot!(report("chat_id", "parse_mode = \"html\"\nchat_id"), @r#"
      x `parse_mode` cannot be "html"
        ,-[t.toml:14:14]
     14 | parse_mode = "html"
        :              ^^^|^^
        :                 `-- here
        `----
      help: did you mean `HTML`?

    t.toml: 1 error
    "#);
}

fn online(text: &str, variables: &[(&str, &str)], folder: &Path) -> Result<Config, Diagnostics> {
    let options =
        LoadOptions { resolve: Resolve::Values, environment: Environment::of(variables.iter().copied()), ..LoadOptions::online() };
    load_text(&SourceFile::new("t.toml", text), Some(folder), &options)
}

#[test]
fn a_missing_environment_variable() {
    let faults = online(BASE, &[], Path::new("")).unwrap_err();
    insta::assert_snapshot!(faults.render(Style::Plain), @r#"
      x the environment variable CHAT is not set
        ,-[t.toml:14:11]
     14 | chat_id = { env = "CHAT" }
        :           ^^^^^^^^|^^^^^^^
        :                   `-- comes from outside
        `----
      help: set it: `export CHAT=...`; `check --offline` and `demo` need none

    t.toml: 1 error
    "#);
}

#[test]
fn an_empty_environment_variable() {
    let faults = online(BASE, &[("CHAT", "")], Path::new("")).unwrap_err();
    assert_eq!(faults.to_string(), "t.toml:14:11: the environment variable CHAT is empty");
}

#[test]
fn a_file_for_a_value_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let faults = online(&spoilt("{ env = \"CHAT\" }", "{ file = \"chat\" }"), &[], folder.path()).unwrap_err();
    insta::assert_snapshot!(faults.render(Style::Plain), @r#"
      x the file chat cannot be read: No such file or directory (os error 2)
        ,-[t.toml:14:11]
     14 | chat_id = { file = "chat" }
        :           ^^^^^^^^|^^^^^^^^
        :                   `-- comes from outside
        `----
      help: paths are relative to the topology file; `check --offline` and `demo` need none

    t.toml: 1 error
    "#);
    std::fs::write(folder.path().join("chat"), "-1001\n").unwrap();
    assert!(online(&spoilt("{ env = \"CHAT\" }", "{ file = \"chat\" }"), &[], folder.path()).is_ok());
}

#[test]
fn a_secret_is_in_no_message() {
    let variables = [("CHAT", "@sup3rs3cr3t")];
    let config = online(BASE, &variables, Path::new("")).unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("sup3rs3cr3t"));
    let faults = online(&spoilt("current.title", "current.titel"), &variables, Path::new("")).unwrap_err();
    assert!(!format!("{faults:?} {faults} {} {}", faults.render(Style::Plain), faults.to_json()).contains("sup3rs3cr3t"));
}

#[test]
fn a_variable_with_something_else_than_a_chat_is_told() {
    let faults = online(BASE, &[("CHAT", "t.me/sup3rs3cr3t")], Path::new("")).unwrap_err();
    let shown = faults.render(Style::Plain);
    assert!(shown.contains("`chat_id` is no id of a chat") && shown.contains("telegram chats") && !shown.contains("sup3r"), "{shown}");
}

#[test]
fn a_number_is_a_chat_id() {
    assert!(offline(&spoilt("{ env = \"CHAT\" }", "-1001234567890")).is_ok());
    assert!(offline(&spoilt("{ env = \"CHAT\" }", "\"@channel\"")).is_ok());
}

#[test]
fn a_watchdog_lets_a_call_take_its_time() {
    let longer = offline(&format!("{BASE}[engine]\ntransaction_timeout_ms = 60000\n")).unwrap();
    assert_eq!(longer.engine.watchdog, std::time::Duration::from_secs(180));
    let short = |watchdog: &str| offline(&format!("{BASE}[engine]\ntransaction_timeout_ms = 1000\nwatchdog = \"{watchdog}\"\n"));
    assert!(short("20s").is_ok() && short("19s").is_err(), "a client may take longer to end");
    insta::assert_snapshot!(engine("transaction_timeout_ms = 60000\nwatchdog = \"90s\""), @r#"
      x `watchdog` cannot be 90s
        ,-[t.toml:22:12]
     22 | watchdog = "90s"
        :            ^^|^^
        :              `-- here
        `----
      help: 125s to 3650d, as in `watchdog = "180s"`

    t.toml: 1 error
    "#);
}
