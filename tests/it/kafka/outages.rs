//! What is not there: topics, the registry.

use std::time::Duration;

use apache_avro::types::Value as Avro;
use rustix::process::Signal;
use serde_json::json;

use super::{ALL, Application};
use crate::real::broker::Broker;
use crate::real::records;
use crate::real::registry::Registry;

/// Two versions of somebody's writer.
const FIRST: &str = r#"{"type":"record","name":"video","fields":[{"name":"title","type":"string"},{"name":"likes","type":["null","long"],"default":null}]}"#;
const SECOND: &str = r#"{"type":"record","name":"video","fields":[{"name":"title","type":"string"},{"name":"likes","type":["null","long"],"default":null},
    {"name":"views","type":["null","long"],"default":null}]}"#;

/// What Confluent's serializer makes of a value, with Apache Avro as the encoder.
fn confluent(id: u32, schema: &str, value: serde_json::Value) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let value = Avro::try_from(value).unwrap().resolve(&schema).unwrap();
    let body = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
    [&[0], &id.to_be_bytes()[..], &body].concat()
}

#[test]
fn a_registry_that_is_gone_stops_nothing_for_good_and_makes_no_dead_letter() {
    let (Some(broker), Some(mut registry)) = (Broker::shared(), Registry::start()) else { return };
    let application = Application::shipped_on(broker, &registry, "");
    application.home.succeed(&["setup"]);
    let topic = application.topic("youtube_videos");
    let ids = [FIRST, SECOND].map(|schema| registry.register(&format!("theirs-{}", schema.len()), schema));
    let write = |value: &[u8]| records::write(&application.client, &topic, &[("a", value)]);
    write(&confluent(ids[0], FIRST, json!({ "title": "Tides", "likes": 1 })));
    write(&confluent(ids[0], FIRST, json!({ "title": "Tides", "likes": 2 })));

    let mut live = application.home.start(&["run", "--only", "topology"]);
    application.progress("youtube_videos").wait_for(ALL, &mut [&mut live]);
    registry.stop();
    // What is known stays known; what is not makes the partition wait.
    write(&confluent(ids[0], FIRST, json!({ "title": "Tides", "likes": 3 })));
    application.progress("youtube_videos").wait_for(ALL, &mut [&mut live]);
    write(&confluent(ids[1], SECOND, json!({ "title": "Tides", "likes": 4, "views": 100 })));
    live.wait_for_said("input paused");
    write(&confluent(ids[0], FIRST, json!({ "title": "Tides", "likes": 5 })));
    let progress = application.progress("youtube_videos");
    assert!(progress.share() < ALL && live.ended().is_none(), "it did not wait: {:?}", progress.shares());

    registry.start_again();
    progress.wait_for(ALL, &mut [&mut live]);
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{said:#?}");
    let Some(changes) = application.read("youtube_changes") else { return };
    let likes: Vec<_> = changes.iter().map(|change| change.value["likes_current"].clone()).collect();
    assert_eq!(likes, [2, 3, 4, 5]);
    assert_eq!(records::read(&application.client, &format!("{}-dead-letters", application.id)), []);
}

#[test]
fn an_id_that_the_registry_does_not_know_is_a_bad_record_and_not_an_outage() {
    let Some(application) = Application::shipped("") else { return };
    application.home.succeed(&["setup"]);
    let value = confluent(2_000_000_000, FIRST, json!({ "title": "Tides", "likes": 1 }));
    records::write(&application.client, &application.topic("youtube_videos"), &[("a", &value)]);
    application.instance().succeed(&["run", "--only", "topology", "--until-end"]);
    let letters = records::read(&application.client, &format!("{}-dead-letters", application.id));
    assert_eq!(letters.iter().map(|letter| letter.value.clone()).collect::<Vec<_>>(), [Some(value)]);
}

#[test]
fn run_refuses_a_cluster_that_nobody_set_up() {
    let Some(application) = Application::shipped("") else { return };
    let refused = |missing: &[String]| {
        let output = application.home.output(&["run", "--only", "topology", "--until-end"]);
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains("hint: `tidewatch setup`"), "{}", output.stderr);
        let error = output.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(missing.iter().all(|topic| error.contains(topic)), "not all of {missing:?} are named: {error}");
    };
    let topics = ["youtube_videos", "youtube_changes", "telegram_outbox"].map(|topic| application.topic(topic));
    let internal = ["changes-changelog", "views-changelog", "dead-letters"].map(|topic| format!("{}-{topic}", application.id));
    refused(&[topics, internal].concat());
    application.home.succeed(&["setup"]);
    application.home.succeed(&["run", "--only", "topology", "--until-end"]);
}
