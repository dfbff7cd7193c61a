//! The whole way on a real broker, each part a process of its own: whichever is killed, every message arrives. And nobody reads a secret.

use std::time::Duration;

use tidewatch::operate::simulated::{Fault, Faults};

use super::{Application, Instance, Surroundings};
use crate::http::ask;
use crate::installation::{Live, PATIENCE};
use crate::random::Random;
use crate::real::broker::Broker;
use crate::real::registry::Registry;
use crate::real::security::{Listener, PASSWORD, USER};
use crate::whole::deliveries::Deliveries;
use crate::whole::kills::FAULTS;
use crate::whole::{KEY, Outside, TOKEN, assert_outbox, secrets, stop};

const KILLS: usize = 30;

/// Two of each: of the pollers one is active, the senders share the chats.
const PARTS: [&str; 6] = ["poll", "poll", "topology", "topology", "send", "send"];

pub(super) fn application(outside: &Outside, flags: &[&str], more: &str) -> Option<Application> {
    let (broker, registry) = (Broker::shared()?, Registry::shared()?);
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let surroundings = Surroundings {
        topology: outside.topology(more),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        environment: vec![owned("YOUTUBE_API_KEY", KEY), owned("TELEGRAM_BOT_TOKEN", TOKEN), owned("KAFKA_PASSWORD", PASSWORD)],
        ..Surroundings::default()
    };
    Some(Application::within(broker, registry, surroundings))
}

fn start(instance: &Instance, part: &str) -> Live {
    let live = instance.start(&["run", "--only", part]);
    live.wait_for_said("starting");
    live
}

#[test]
fn whichever_process_is_killed_every_message_arrives() {
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let mut outside = Outside::start(31, Faults::by_chance(31, &FAULTS));
    let flags = ["--bootstrap-servers", broker.bootstrap_servers(), "--registry", &registry.url()];
    let Some(application) = application(&outside, &flags, "[engine]\ncommit_interval_ms = 20\n") else { return };
    application.home.succeed(&["setup", "--partitions", "2"]);
    let machines = PARTS.map(|part| (part, application.instance()));
    let mut live = machines.each_ref().map(|(part, machine)| start(machine, part));
    let mut random = Random::seeded(31);
    for kill in 0..KILLS {
        outside.wait_for_requests(random.below(6), &mut live.each_mut());
        std::thread::sleep(Duration::from_micros(random.below(50_000)));
        // Each as often as the others.
        let which = kill * 5 % PARTS.len();
        outside.kill(&mut live[which]);
        let (part, machine) = &machines[which];
        live[which] = start(machine, part);
    }
    live.into_iter().for_each(stop);
    // A poll is two requests, of which there is one a second; one that is killed may have to be begun anew.
    let (seconds, killed) = (outside.running().as_secs(), KILLS as u64 / 3);
    assert!(
        outside.youtube.units() <= 2 * (seconds + killed + 1),
        "{} units in {seconds} s are not those of one poller",
        outside.youtube.units()
    );
    for place in [2, 4] {
        let (part, machine) = &machines[place];
        machine.succeed(&["run", "--only", part, "--until-end"]);
    }
    let (Some(videos), Some(outbox)) = (application.read("youtube_videos"), application.read("telegram_outbox")) else { return };
    let texts = assert_outbox(&videos, &outbox);
    let twice = Deliveries::of(&outside.telegram.requests(), &texts).assert_right(&outside.kills);
    let sent: usize = texts.values().map(Vec::len).sum();
    println!("{KILLS} kills: {sent} messages, {twice} of them twice");
    assert!(sent >= KILLS, "only {sent} messages");
}

#[test]
fn no_secret_is_in_anything_that_somebody_could_read() {
    let (Some(broker), Some(registry)) = (Broker::secured(), Registry::shared()) else { return };
    let faults = [(0.1, Fault::HangAfter), (0.1, Fault::ResetBefore), (0.1, Fault::BadGateway), (0.1, Fault::CutBody)];
    let outside = Outside::start(41, Faults::by_chance(41, &faults));
    let kafka = format!(
        "[kafka]\nbootstrap_servers = [\"{}\"]\nregistry = {{ url = \"{}\" }}\n[kafka.properties]\nsecurity.protocol = \"SASL_PLAINTEXT\"\n\
         sasl.mechanism = \"SCRAM-SHA-512\"\nsasl.username = \"{USER}\"\nsasl.password = {{ env = \"KAFKA_PASSWORD\" }}\n",
        broker.address(Listener::SaslPlaintext),
        registry.url()
    );
    let Some(mut application) = application(&outside, &[], &kafka) else { return };
    application.client = broker.client();
    let mut seen = secrets::Seen::new();
    let keep = |seen: &mut secrets::Seen, what: &str, text: String| seen.push((what.to_owned(), text.into_bytes()));

    let home = &application.home;
    for command in [&["check"][..], &["setup", "--acls", "-vvv"], &["telegram", "chats", "-vvv"], &["telegram", "test", "-vvv"]] {
        let output = home.output(command);
        assert_ne!(output.code, None, "{command:?}");
        keep(&mut seen, &command.join(" "), output.stdout + &output.stderr);
    }
    let live = home.start(&["run", "--http", "127.0.0.1:0", "-vvv"]);
    let begin = live.said_until("HTTP on ");
    let line = begin.last().unwrap();
    let address = line[line.find("http://").unwrap()..].trim().to_owned();
    assert!(outside.telegram.wait_for(PATIENCE, |counts| counts.requests >= 30), "{:#?}", live.said());
    for path in ["/livez", "/readyz", "/metrics", "/subjects"] {
        keep(&mut seen, path, ask(&address, &format!("GET {path}"), "").1);
    }
    keep(&mut seen, "status", home.succeed(&["status", "--json"]).stdout);
    // Last: what is said when nothing works any more.
    outside.telegram.revoke(true);
    let (code, said) = live.join(PATIENCE);
    assert_eq!(code, Some(2), "a revoked token is a matter of the configuration: {said:#?}");
    assert!(said.iter().any(|line| line.contains("Unauthorized")), "{said:#?}");
    keep(&mut seen, "run", begin.join("\n") + &said.join("\n"));
    home.installation.write("canary.csv", secrets::ROWS);
    for command in secrets::by_hand(&|name| application.topic(name)) {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        // A reset is refused while the group remembers its member: what it says then is searched as well.
        let output = home.output(&words);
        assert_ne!(output.code, None, "{command:?}");
        keep(&mut seen, &command.join(" "), output.stdout + &output.stderr);
    }
    seen.extend(secrets::bytes_below(&home.installation.state_dir()));
    seen.extend(secrets::bytes_of_topics(&application.client, &application.id, &["telegram_dead_letters"]));
    println!("{}", secrets::assert_none(&seen, &[TOKEN, KEY, PASSWORD]));
}
