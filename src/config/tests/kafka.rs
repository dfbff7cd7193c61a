//! `[kafka]`, what the command line says instead of it, and the instance's id.

use secrecy::ExposeSecret as _;

use super::*;

const GOOD: &str = "bootstrap_servers = [\"b:9092\"]\nregistry = { url = \"http://r:8081\" }\n";

fn options(variables: &[(&str, &str)], overrides: Overrides) -> LoadOptions {
    let variables = variables.iter().copied().chain([("CHAT", "1")]);
    LoadOptions { resolve: Resolve::Values, environment: Environment::of(variables), overrides, ..LoadOptions::default() }
}

fn over(servers: &[&str], registry: Option<&str>) -> Overrides {
    Overrides { bootstrap_servers: servers.iter().map(|it| (*it).to_owned()).collect(), registry: registry.map(str::to_owned) }
}

/// The base with these lines of `[kafka]` at its end: they begin in line 21.
fn load(kafka: &str, options: &LoadOptions) -> Result<Config, Diagnostics> {
    load_text(&SourceFile::new("t.toml", format!("{BASE}[kafka]\n{kafka}\n")), None, options)
}

/// Each fault in a line: place, message, label, hint.
pub(super) fn list(loaded: Result<Config, Diagnostics>) -> Vec<String> {
    let faults = match loaded {
        Ok(config) => config.warnings().clone(),
        Err(faults) => faults,
    };
    let one = |it: &Diagnostic| {
        let place = it.span.as_ref().map_or("-".to_owned(), |span| {
            let (line, column) = faults.file().position(span.start);
            format!("{line}:{column}")
        });
        let parts = [it.message.as_str(), &it.label, it.hint.as_deref().unwrap_or_default()];
        format!("{place} {}", parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" | "))
    };
    faults.iter().map(one).collect()
}

fn said(kafka: &str) -> Vec<String> {
    list(load(kafka, &options(&[("SECRET", "sup3rs3cr3t")], Overrides::default())))
}

/// What is said of these properties.
fn of_properties(properties: &str) -> Vec<String> {
    said(&format!("{GOOD}properties = {{ {properties} }}"))
}

#[test]
fn a_whole_table() {
    let text = format!(
        "{}{}{}",
        "bootstrap_servers = [\"a:1\", \"b:2\"]\nregistry = { url = \"https://r\", username = { env = \"K\" }, password = { env = \"S\" }, ca = \"ca.pem\" }\n",
        "properties = { \"security.protocol\" = \"SASL_SSL\", \"sasl.mechanism\" = \"PLAIN\", \"sasl.username\" = \"me\", \"sasl.password\" = { env = \"S\" }, \"linger.ms\" = 5, \"log.connection.close\" = false }\n",
        "replication = 2\nsession_timeout_ms = 8000"
    );
    let config = load(&text, &options(&[("K", "key"), ("S", "sup3rs3cr3t")], Overrides::default())).unwrap();
    let kafka = config.kafka.as_ref().unwrap();
    let log = kafka.log_options("client");
    assert_eq!(log.bootstrap_servers, ["a:1", "b:2"]);
    assert_eq!((log.replication, log.session_timeout.as_secs(), &*log.client_id), (Some(2), 8, "client"));
    let expected = [
        ("linger.ms", "5"),
        ("log.connection.close", "false"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.password", "sup3rs3cr3t"),
        ("sasl.username", "me"),
        ("security.protocol", "SASL_SSL"),
    ];
    assert_eq!(log.properties, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let registry = kafka.registry_options().unwrap();
    assert_eq!((&*registry.url, registry.ca), ("https://r", Some("ca.pem".into())));
    assert_eq!(registry.username.unwrap(), "key");
    assert_eq!(registry.password.unwrap().expose_secret(), "sup3rs3cr3t");
    let shown = format!("{config:?} {config:#?} {log:?}");
    assert!(!shown.contains("sup3rs3cr3t"), "{shown}");
}

#[test]
fn without_the_table_there_is_no_cluster() {
    let config = offline(BASE).unwrap();
    assert!(config.kafka.is_none());
    assert!(config.runtime_options("i").create_internal_topics);
    assert!(!load(GOOD, &options(&[], Overrides::default())).unwrap().runtime_options("i").create_internal_topics);
}

#[test]
fn names_without_quotes_mean_the_same() {
    let text = format!(
        "{GOOD}[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\nsasl.username = \"me\"\nsasl.password = {{ env = \"SECRET\" }}\n"
    );
    let config = load(&text, &options(&[("SECRET", "x")], Overrides::default())).unwrap();
    let names: Vec<_> = config.kafka.unwrap().properties.into_keys().collect();
    assert_eq!(names, ["sasl.mechanism", "sasl.password", "sasl.username", "security.protocol"]);
}

#[test]
fn what_is_missing() {
    assert_eq!(
        said(""),
        [
            "20:2 [kafka] has no `bootstrap_servers` | in this table | add `bootstrap_servers = [\"broker:9092\"]`, or give `--bootstrap-servers HOST:PORT`",
            "20:2 [kafka] has no `registry`, and Avro values need one | in this table | add `registry = { url = \"http://registry:8081\" }`, or give `--registry URL`",
        ]
    );
    assert_eq!(
        said("bootstrap_servers = [\"b:9092\"]\nregistry = {}"),
        ["22:12 `registry` has no `url` | in this table | add `url = \"http://registry:8081\"`"]
    );
}

#[test]
fn addresses_that_are_none() {
    let servers = |servers: &str| said(&format!("bootstrap_servers = {servers}\nregistry = {{ url = \"http://r:8081\" }}"));
    let as_in = "as in `bootstrap_servers = [\"broker:9092\"]`";
    assert_eq!(servers("[\"b\"]"), [format!("21:22 \"b\" is no address of a broker | the port is missing | {as_in}")]);
    assert_eq!(
        servers("[\"SSL://b:9092\"]"),
        [format!(
            "21:22 \"SSL://b:9092\" is no address of a broker | without a protocol: `security.protocol` is one of the properties | {as_in}"
        )]
    );
    assert_eq!(servers("[]"), [format!("21:21 `bootstrap_servers` names no broker | {as_in}")]);
    assert_eq!(servers("\"b:9092\""), [format!("21:21 `bootstrap_servers` must be a list of strings, not a string | {as_in}")]);
    let registry = |url: &str| said(&format!("bootstrap_servers = [\"b:9092\"]\nregistry = {{ url = {url} }}"));
    let as_in = "as in `url = \"https://registry:8081\"`";
    assert_eq!(
        registry("\"r:8081\""),
        [format!("22:20 `url` is no address of a schema registry | it must begin with http:// or https:// | {as_in}")]
    );
    let with_user = registry("\"https://me:sup3rs3cr3t@r\"");
    assert_eq!(
        with_user,
        [format!(
            "22:20 `url` is no address of a schema registry | user and password do not belong into it: `username` and `password` have a place of their own | {as_in}"
        )]
    );
}

#[test]
fn half_of_a_login_to_the_registry() {
    let registry = |more: &str| said(&format!("bootstrap_servers = [\"b:9092\"]\nregistry = {{ url = \"http://r\", {more} }}"));
    assert_eq!(registry("username = \"me\""), ["22:43 `username` and `password` of the registry go together | give both, or neither"]);
    assert_eq!(registry("ca = { file = \"ca.pem\" }"), ["22:37 `ca` is the path of a file already | as in `ca = \"ca.pem\"`"]);
}

#[test]
fn properties_that_the_engine_keeps() {
    assert_eq!(
        of_properties("\"isolation.level\" = \"read_uncommitted\""),
        [
            "23:16 `isolation.level` cannot be set | not for users | only committed records may be read, or results of aborted transactions would count"
        ]
    );
    assert_eq!(
        of_properties("\"group.id\" = { env = \"NOT_SET\" }").last().map(String::as_str),
        Some(
            "23:29 the environment variable NOT_SET is not set | comes from outside | set it: `export NOT_SET=...`; `check --offline` and `demo` need none"
        )
    );
    assert_eq!(
        of_properties("\"session.timeout.ms\" = 6000"),
        ["23:16 `session.timeout.ms` cannot be set | not for users | `session_timeout_ms` of [kafka] sets it"]
    );
}

#[test]
fn kerberos_is_not_built_in() {
    let kerberos = "23:16 `sasl.kerberos.keytab` cannot be set | not for users | Kerberos (GSSAPI) is not built in; SSL, PLAIN, SCRAM and OAUTHBEARER are";
    assert_eq!(of_properties("\"sasl.kerberos.keytab\" = \"k\""), [kerberos]);
    let built_in = "built in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER";
    assert_eq!(of_properties("\"sasl.mechanism\" = \"GSSAPI\""), [format!("23:35 Kerberos (GSSAPI) is not built in | {built_in}")]);
    assert_eq!(
        of_properties("\"security.protocol\" = \"SASL_SSL\""),
        ["23:38 SASL_SSL needs `sasl.mechanism` | add `\"sasl.mechanism\" = \"PLAIN\"`, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"]
    );
}

#[test]
fn a_mechanism_without_a_login() {
    assert_eq!(
        of_properties("\"security.protocol\" = \"sasl_ssl\", \"sasl.mechanism\" = \"SCRAM-SHA-256\", \"sasl.username\" = \"me\""),
        ["23:69 SCRAM-SHA-256 needs `sasl.password` | add `\"sasl.password\" = { env = \"NAME\" }`"]
    );
    let oauth = "\"security.protocol\" = \"SASL_SSL\", \"sasl.mechanism\" = \"OAUTHBEARER\"";
    assert_eq!(of_properties(&format!("{oauth}, \"enable.sasl.oauthbearer.unsecure.jwt\" = true")), [""; 0]);
    assert_eq!(
        of_properties(oauth),
        [
            "23:69 OAUTHBEARER does not know where its tokens come from | add `\"enable.sasl.oauthbearer.unsecure.jwt\" = true` with `sasl.oauthbearer.config`: fetching tokens (OIDC) is not built in"
        ]
    );
}

#[test]
fn a_login_that_nobody_asks_for() {
    assert_eq!(
        of_properties("\"security.protocol\" = \"SSL\", \"sasl.username\" = \"me\""),
        ["23:45 `sasl.username` is not used: `security.protocol` is SSL | SASL_SSL or SASL_PLAINTEXT asks for a password"]
    );
}

#[test]
fn properties_that_librdkafka_does_not_know() {
    assert_eq!(
        of_properties("\"security.protokol\" = \"SSL\""),
        ["23:16 librdkafka has no property `security.protokol` | not known | did you mean `security.protocol`?"]
    );
    assert_eq!(
        of_properties("\"ssl.truststore\" = \"x\""),
        [
            "23:16 librdkafka has no property `ssl.truststore` | not known | librdkafka's names are not always Java's: see its CONFIGURATION.md"
        ]
    );
    assert_eq!(
        of_properties("\"linger.ms\" = \"soon\""),
        ["23:30 librdkafka does not take this value of `linger.ms` | Invalid value for configuration property \"queue.buffering.max.ms\""]
    );
    // What Java calls otherwise.
    let java = of_properties("\"ssl.truststore.location\" = \"x\"");
    assert!(java[0].contains("does not take this value") && java[0].contains("ssl.ca.location"), "{java:?}");
    assert_eq!(
        of_properties("\"linger.ms\" = [1]"),
        ["23:30 `linger.ms` must be a string, { env = \"NAME\" } or { file = \"path\" }, not a list | as in `\"linger.ms\" = \"...\"`"]
    );
}

#[test]
fn a_secret_is_in_no_message_about_it() {
    let said = of_properties("\"linger.ms\" = { env = \"SECRET\" }, \"security.protocol\" = { env = \"SECRET\" }");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|fault| !fault.contains("sup3rs3cr3t")), "{said:?}");
}

#[test]
fn numbers_out_of_range() {
    assert_eq!(said(&format!("{GOOD}session_timeout_ms = 60000")), ["23:22 `session_timeout_ms` cannot be 60000 | 6000 to 15000"]);
    assert_eq!(said(&format!("{GOOD}replication = 0")), ["23:15 `replication` cannot be 0 | 1 to 32"]);
}

#[test]
fn the_command_line_comes_before_the_file() {
    let config = load(GOOD, &options(&[], over(&["x:1", "y:2"], Some("https://other")))).unwrap();
    let kafka = config.kafka.unwrap();
    assert_eq!(kafka.bootstrap_servers, ["x:1", "y:2"]);
    assert_eq!(kafka.registry_options().unwrap().url, "https://other");
    // The login stays the file's.
    let with_login = "bootstrap_servers = [\"b:9092\"]\nregistry = { url = \"http://r\", username = \"me\", password = \"x\", ca = \"c\" }";
    let kafka = load(with_login, &options(&[], over(&[], Some("https://other")))).unwrap().kafka.unwrap();
    let registry = kafka.registry_options().unwrap();
    assert_eq!((&*registry.url, registry.username.unwrap().as_str(), registry.ca), ("https://other", "me", Some("c".into())));
    // What it says need not be in the file, nor be known there.
    let config = load("registry = { url = { env = \"NOT_SET\" } }", &options(&[], over(&["x:1"], Some("http://other"))));
    assert_eq!(config.unwrap().kafka.unwrap().bootstrap_servers, ["x:1"]);
}

#[test]
fn the_command_line_alone_turns_kafka_on() {
    let load = |overrides| load_text(&SourceFile::new("t.toml", BASE), None, &options(&[], overrides));
    let kafka = load(over(&["x:1"], Some("http://r"))).unwrap().kafka.unwrap();
    assert_eq!((kafka.bootstrap_servers, kafka.session_timeout.as_secs()), (vec!["x:1".to_owned()], 10));
    assert_eq!(
        list(load(over(&["x:1"], None))),
        [
            "- --bootstrap-servers is given, but no registry, and Avro values need one | name it too: `--registry URL`, or `registry` in [kafka]"
        ]
    );
    assert_eq!(
        list(load(over(&[], Some("http://r")))),
        [
            "- --registry is given, but no broker: the embedded log has a registry of its own | name the brokers too: `--bootstrap-servers HOST:PORT`, or `bootstrap_servers` in [kafka]"
        ]
    );
    let said = list(load(over(&["x:1"], Some("https://me:sup3rs3cr3t@r"))));
    assert!(said[0].starts_with("- the address after --registry is none of a schema registry: user and password"), "{said:?}");
    assert!(!said[0].contains("sup3rs3cr3t"), "{said:?}");
}

#[test]
fn offline_nothing_is_read_and_for_a_connection_only_what_it_needs() {
    let text = format!("{GOOD}properties = {{ \"client.rack\" = {{ env = \"RACK\" }}, \"ssl.key.password\" = {{ env = \"SECRET\" }} }}");
    let offline = load(&text, &LoadOptions::offline()).unwrap().kafka.unwrap();
    assert_eq!(offline.log_options("c").properties["client.rack"], "RACK");
    // CHAT is not among the variables: it is not asked for.
    let environment = Environment::of([("RACK", "r1"), ("SECRET", "s")]);
    let connecting = LoadOptions { environment, ..LoadOptions::connecting() };
    assert_eq!(load(&text, &connecting).unwrap().kafka.unwrap().log_options("c").properties["client.rack"], "r1");
    let missing = load(&text, &LoadOptions { environment: Environment::of([("RACK", "r1")]), ..LoadOptions::connecting() });
    assert_eq!(missing.unwrap_err().to_string(), "t.toml:23:71: the environment variable SECRET is not set");
}

#[test]
fn how_the_log_is_reached_can_be_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let read = |text: &str, overrides: Overrides| {
        std::fs::write(&path, text).unwrap();
        load_kafka(&path, &LoadOptions { overrides, ..LoadOptions::connecting() })
    };
    // A file with faults elsewhere.
    let kafka = read("application_id = 5\n[nonsense]\n[kafka]\nbootstrap_servers = [\"b:9092\"]\n", Overrides::default()).unwrap().unwrap();
    assert!(kafka.registry.is_none());
    assert!(read("application_id = 5\n", Overrides::default()).unwrap().is_none());
    assert_eq!(read("", over(&["x:1"], None)).unwrap().unwrap().bootstrap_servers, ["x:1"]);
    let faults = read("[kafka]\nbootstrap_servers = [\"b\"]\n", Overrides::default()).unwrap_err();
    assert!(faults.to_string().contains(":2:22: \"b\" is no address of a broker"), "{faults}");
    assert!(kafka_without_file(&LoadOptions::connecting()).unwrap().is_none());
}

#[test]
fn the_instance_is_called_as_the_file_says() {
    let engine = |line: &str, variables: &[(&str, &str)]| {
        let text = format!("{BASE}[engine]\n{line}\n");
        load_text(&SourceFile::new("t.toml", text), None, &options(variables, Overrides::default()))
    };
    assert_eq!(&*engine("", &[]).unwrap().runtime_options("of-the-directory").instance_id, "of-the-directory");
    let pod = engine("instance_id = { env = \"POD\" }", &[("POD", "tidewatch-2")]).unwrap();
    assert_eq!(&*pod.runtime_options("of-the-directory").instance_id, "tidewatch-2");
    assert_eq!(
        list(engine("instance_id = \"a b\"", &[])),
        [
            "21:15 `instance_id` cannot contain ' ' | it becomes a part of `group.instance.id`: letters, digits, '.', '_' and '-' are allowed"
        ]
    );
    assert!(list(engine("instance_id = \"\"", &[]))[0].starts_with("21:15 `instance_id` is empty"));
    assert!(list(engine("instance_id = 5", &[]))[0].starts_with("21:15 `instance_id` must be a string, { env"));
    assert!(list(engine("instance_id = { env = \"POD\" }", &[]))[0].starts_with("21:15 the environment variable POD is not set"));
}

#[test]
fn standby_tasks_are_for_a_cluster() {
    let text = |line: &str| format!("{BASE}[engine]\n{line}\n");
    let there = |line: &str, bootstrap_servers: &[&str]| {
        let overrides = Overrides {
            bootstrap_servers: bootstrap_servers.iter().map(ToString::to_string).collect(),
            registry: Some("http://r:1".to_owned()),
        };
        let overrides = if bootstrap_servers.is_empty() { Overrides::default() } else { overrides };
        load_text(&SourceFile::new("t.toml", text(line)), None, &options(&[], overrides)).unwrap()
    };
    assert!(!there("", &["b:1"]).runtime_options("i").standby, "off by default");
    assert!(!there("standby = false", &["b:1"]).runtime_options("i").standby);
    let on = there("standby = true", &["b:1"]);
    assert_eq!((on.runtime_options("i").standby, on.warnings().iter().count()), (true, 0));
    let embedded = there("standby = true", &[]);
    assert!(!embedded.runtime_options("i").standby);
    assert_eq!(
        embedded.warnings().iter().map(|warning| warning.message.as_str()).collect::<Vec<_>>(),
        ["`standby` does nothing on the embedded log"]
    );
    assert_eq!(there("standby = false", &[]).warnings().iter().count(), 0);
    assert!(list(offline(&text("standby = 1")))[0].starts_with("21:11 `standby` must be true or false"));
}

#[test]
fn transactions_have_settings() {
    let engine = |lines: &str| offline(&format!("{BASE}[engine]\n{lines}\n"));
    let options =
        engine("transaction_timeout_ms = 60000\ncommit_interval_ms = 20000\ncommit_records_max = 500\ncommit_at_end_of_input = false");
    let options = options.unwrap().runtime_options("i");
    assert_eq!((options.transaction_timeout.as_secs(), options.commit_interval.as_secs()), (60, 20));
    assert_eq!((options.commit_records_max, options.commit_at_end_of_input), (500, false));
    let defaults = offline(BASE).unwrap().runtime_options("i");
    let of_engine = crate::streams::runtime::Options::new("app", "i");
    assert_eq!(defaults.transaction_timeout, of_engine.transaction_timeout);
    assert_eq!(defaults.commit_records_max, of_engine.commit_records_max);
    assert_eq!(defaults.commit_at_end_of_input, of_engine.commit_at_end_of_input);
    let hint = "a transaction that is open for longer may be aborted before it is committed; 100 is the default";
    assert_eq!(
        list(engine("transaction_timeout_ms = 4000\ncommit_interval_ms = 2000")),
        [format!("22:22 `commit_interval_ms` must be below 2000 ms, half of the transaction timeout | too long | {hint}")]
    );
    assert_eq!(list(engine("transaction_timeout_ms = 10")), ["21:26 `transaction_timeout_ms` cannot be 10 | 1000 to 900000"]);
    assert_eq!(
        list(engine("commit_at_end_of_inputs = true")),
        ["21:1 [engine] has no key `commit_at_end_of_inputs` | not known here | did you mean `commit_at_end_of_input`?"]
    );
}
