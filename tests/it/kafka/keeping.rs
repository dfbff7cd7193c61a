//! Old records stay: brokers delete by the time of records, and what is observed may be older than a broker's default keeps.

use std::time::Instant;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::{Application, PATIENCE};
use crate::comparison::assert_same;
use crate::oracle::{Expected, generated};
use crate::real::block_on;
use crate::real::broker::{Broker, Settings};
use crate::real::records;
use crate::real::registry::Registry;

/// The setting of a topic.
fn setting(broker: &Broker, topic: &str, name: &str) -> Option<String> {
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &AdminOptions::new())).unwrap();
    let resource = described.into_iter().next().unwrap().unwrap_or_else(|error| panic!("{topic}: {error}"));
    resource.get(name).and_then(|entry| entry.value.clone())
}

/// Waits until the broker has deleted the record of a topic that keeps records as long as brokers do by default.
fn wait_for_a_deletion(broker: &Broker, topic: &str, timestamp: i64) {
    broker.create_topic(topic, 1, &[]);
    let producer: BaseProducer = broker.client().create().unwrap();
    producer.send(BaseRecord::to(topic).key("k").payload("v").timestamp(timestamp)).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    let consumer: BaseConsumer = broker.client().create().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap() != (1, 1) {
        assert!(Instant::now() < deadline, "{topic} still has its record: this broker deletes nothing");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_data_of_last_year_outlives_the_brokers_cleaning() {
    // A broker that looks for old records all the time instead of every five minutes.
    let properties = [("log.retention.check.interval.ms", "100"), ("log.initial.task.delay.ms", "100"), ("log.retention.hours", "168")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let Some(broker) = Broker::start(&Settings { properties, ..Settings::default() }) else { return };
    let Some(registry) = Registry::shared() else { return };
    let application = Application::shipped_on(&broker, registry, "");
    let mut observations = generated::observations(30, 20, 4);
    for observation in &mut observations {
        // 2025.
        observation.observed_at -= 90 * 86_400_000;
    }
    let expected = Expected::of(&observations);
    application.set_up(2, &generated::to_csv(&observations));
    application.instance().succeed(&["run", "--only", "topology", "--until-end"]);

    // When the second is gone, the broker has been through all topics since the first was.
    wait_for_a_deletion(&broker, "first", observations[0].observed_at);
    wait_for_a_deletion(&broker, "second", observations[0].observed_at);
    application.assert_outputs(&expected, 2);
    let mut found: Vec<_> =
        records::read(&broker.client(), &application.topic("youtube_videos")).into_iter().filter_map(|record| record.timestamp).collect();
    found.sort_unstable();
    let mut wanted: Vec<_> = observations.iter().map(|observation| observation.observed_at).collect();
    wanted.sort_unstable();
    assert_same("the times of youtube_videos", &found, &wanted);

    let names = ["youtube_videos", "youtube_changes", "telegram_outbox"].map(|name| application.topic(name));
    for topic in names.into_iter().chain([format!("{}-dead-letters", application.id)]) {
        assert_eq!(setting(&broker, &topic, "retention.ms").as_deref(), Some("-1"), "{topic}");
        assert_eq!(setting(&broker, &topic, "cleanup.policy").as_deref(), Some("delete"), "{topic}");
    }
    for store in ["changes", "views"] {
        let topic = format!("{}-{store}-changelog", application.id);
        assert_eq!(setting(&broker, &topic, "cleanup.policy").as_deref(), Some("compact"), "{topic}");
    }
}
