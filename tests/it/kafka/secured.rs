//! Brokers and a registry that ask who comes: the ways of the documentation, each from `setup` to `tap`. No output holds a password.

use std::time::Instant;

use super::{Application, Surroundings, file};
use crate::installation::{Output, PATIENCE};
use crate::oracle::{Expected, generated};
use crate::real::broker::Broker;
use crate::real::front::{Gate, Tls};
use crate::real::registry::{Registry, confluent_url};
use crate::real::security::{Listener, PASSWORD, USER};

/// What nobody's password is.
const GUESS: &str = "gu3ss =with; #signs";

/// All commands that talk to the cluster.
const ALL: [&str; 4] = ["setup", "import", "run", "tap"];

/// A way in: the lines of `[kafka.properties]`, those of `registry`, and where the secrets are.
#[derive(Debug, Default)]
struct Way<'a> {
    properties: String,
    registry: String,
    files: &'a [(&'a str, &'a str)],
    environment: &'a [(&'a str, &'a str)],
}

impl Way<'_> {
    /// The shipped topology with the `[kafka]` of this way.
    fn application(&self, broker: &Broker, registry: &Registry, listener: Listener) -> Application {
        let (servers, Self { properties, registry: at, .. }) = (broker.address(listener), self);
        let kafka = format!("[kafka]\nbootstrap_servers = [\"{servers}\"]\nregistry = {at}\n\n[kafka.properties]\n{properties}\n");
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let topology = format!("{}\n{kafka}", file("topology.toml"));
        let (files, environment) = (owned(self.files), owned(self.environment));
        Application::within(broker, registry, Surroundings { topology, flags: Vec::new(), files, environment })
    }
}

/// The commands that talk to the cluster, as talkative as they can be.
fn commands(application: &Application) -> Vec<Vec<String>> {
    let changes = application.topic("youtube_changes");
    let lines = [
        "setup --partitions 2",
        "import observations.csv",
        "run --only topology --until-end",
        &format!("tap {changes} --json --until-end"),
    ];
    lines.iter().map(|line| format!("{line} -vv").split(' ').map(str::to_owned).collect()).collect()
}

fn run(application: &Application, command: &[String]) -> Output {
    let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = application.home.output(&arguments);
    for secret in [PASSWORD, GUESS] {
        let shown = output.stdout.contains(secret) || output.stderr.contains(secret);
        assert!(!shown, "{command:?} shows the password:\n{}{}", output.stdout, output.stderr);
    }
    output
}

/// Every command does its work.
#[track_caller]
fn assert_lets_in(way: &Way<'_>, listener: Listener) {
    let (Some(broker), Some(registry)) = (Broker::secured(), Registry::shared()) else { return };
    let application = way.application(broker, registry, listener);
    let observations = generated::observations(20, 10, 7);
    application.home.installation.write("observations.csv", &generated::to_csv(&observations));
    let expected = Expected::of(&observations);
    let mut tapped = 0;
    for command in commands(&application) {
        let output = run(&application, &command);
        assert_eq!(output.code, Some(0), "{command:?}: {}", output.stderr);
        tapped = output.stdout.lines().count();
    }
    assert_eq!(tapped, expected.changes.len());
    application.assert_outputs(&expected, 2);
}

/// The commands that `which` begin with end soon, with this exit code and an error that says `why`.
#[track_caller]
fn assert_refuses(way: &Way<'_>, listener: Listener, which: &[&str], (code, why): (i32, &str)) {
    let (Some(broker), Some(registry)) = (Broker::secured(), Registry::shared()) else { return };
    let application = way.application(broker, registry, listener);
    application.home.installation.write("observations.csv", "observed_at,video_id,likes\n1,a,1\n");
    for command in commands(&application).into_iter().filter(|command| which.contains(&&*command[0])) {
        let start = Instant::now();
        let output = run(&application, &command);
        let took = start.elapsed();
        // Longer than it takes to be told, shorter than waiting for an answer would be.
        assert!(took < PATIENCE / 4, "{command:?} took {took:?}");
        assert_eq!(output.code, Some(code), "{command:?}: {}", output.stderr);
        let told = output.stderr.lines().any(|line| (line.starts_with("error: ") || line.starts_with("caused by: ")) && line.contains(why));
        assert!(told, "{command:?} does not say {why:?}:\n{}", output.stderr);
    }
}

/// The registry as it is for everybody.
fn open_registry() -> Option<String> {
    Some(format!("{{ url = \"{}\" }}", Registry::shared()?.url()))
}

fn scram() -> Option<Way<'static>> {
    let login = "security.protocol = \"SASL_PLAINTEXT\"\nsasl.mechanism = \"SCRAM-SHA-512\"\n";
    let properties = format!("{login}sasl.username = \"{USER}\"\nsasl.password = {{ env = \"KAFKA_PASSWORD\" }}\n");
    Some(Way { properties, registry: open_registry()?, environment: &[("KAFKA_PASSWORD", PASSWORD)], ..Way::default() })
}

/// What Confluent Cloud asks for, where a file holds the password of the brokers.
fn plain(registry: &str, tls: &Tls) -> Option<Way<'static>> {
    let authority = Broker::secured()?.certificates().authority();
    let login = "security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\n";
    let (authority, trusted) = (authority.display(), tls.certificates().authority());
    let properties = format!(
        "{login}ssl.ca.location = \"{authority}\"\nsasl.username = {{ env = \"KAFKA_KEY\" }}\nsasl.password = {{ file = \"kafka-password\" }}\n"
    );
    let login = "username = { env = \"SR_KEY\" }, password = { env = \"SR_SECRET\" }";
    let registry = format!("{{ url = \"{registry}\", {login}, ca = \"{}\" }}", trusted.display());
    let environment = &[("KAFKA_KEY", USER), ("SR_KEY", USER), ("SR_SECRET", PASSWORD)];
    Some(Way { properties, registry, files: &[("kafka-password", PASSWORD)], environment })
}

/// The registry behind TLS and a password.
fn closed_registry() -> Option<(String, Gate, Tls)> {
    let gate = Gate::before(Registry::shared()?.port(), Some((USER, PASSWORD)));
    let tls = Tls::before(gate.port())?;
    Some((confluent_url("https", tls.port()), gate, tls))
}

#[test]
fn tls() {
    let (Some(broker), Some(registry)) = (Broker::secured(), open_registry()) else { return };
    let authority = broker.certificates().authority();
    let properties = format!("security.protocol = \"SSL\"\nssl.ca.location = \"{}\"\n", authority.display());
    assert_lets_in(&Way { properties, registry, ..Way::default() }, Listener::Ssl);
}

#[test]
fn sasl_with_scram() {
    let Some(way) = scram() else { return };
    assert_lets_in(&way, Listener::SaslPlaintext);
}

#[test]
fn sasl_over_tls_with_a_registry_that_wants_a_password() {
    let Some((url, gate, tls)) = closed_registry() else { return };
    let Some(way) = plain(&url, &tls) else { return };
    assert_lets_in(&way, Listener::SaslSsl);
    assert!(!gate.seen().is_empty(), "the registry was asked another way");
}

#[test]
fn a_wrong_password_of_the_brokers_is_told() {
    let Some(way) = scram() else { return };
    assert_refuses(
        &Way { environment: &[("KAFKA_PASSWORD", GUESS)], ..way },
        Listener::SaslPlaintext,
        &ALL,
        (2, "the cluster refuses the credentials"),
    );
}

#[test]
fn a_wrong_password_in_a_file_is_told() {
    let Some((url, _gate, tls)) = closed_registry() else { return };
    let Some(way) = plain(&url, &tls) else { return };
    assert_refuses(
        &Way { files: &[("kafka-password", GUESS)], ..way },
        Listener::SaslSsl,
        &ALL,
        (2, "the cluster refuses the credentials"),
    );
}

/// The authority of somebody else.
#[test]
fn a_broker_that_is_not_trusted_is_told() {
    let (Some((_, _gate, tls)), Some(registry)) = (closed_registry(), open_registry()) else { return };
    let authority = tls.certificates().authority();
    let properties = format!("security.protocol = \"SSL\"\nssl.ca.location = \"{}\"\n", authority.display());
    assert_refuses(&Way { properties, registry, ..Way::default() }, Listener::Ssl, &ALL, (2, "there is no secure connection"));
}

#[test]
fn a_wrong_password_of_the_registry_is_told() {
    let Some((url, _gate, tls)) = closed_registry() else { return };
    let Some(way) = plain(&url, &tls) else { return };
    let environment = &[("KAFKA_KEY", USER), ("SR_KEY", USER), ("SR_SECRET", GUESS)];
    assert_refuses(&Way { environment, ..way }, Listener::SaslSsl, &["setup"], (1, "refuses the credentials (401)"));
}
