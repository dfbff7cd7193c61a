//! What is planned on a made-up cluster, and on the embedded log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::avro::{EmbeddedRegistry, Schema};
use crate::config::{self, LoadOptions, Overrides};
use crate::operate::topics::Role;
use crate::streams::clock::{ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{CleanupPolicy, Committed, Isolation, Log as _, Offset, Result, TopicConfig, TopicDescription, TopicPartition};

/// Topics in memory, with the settings that they were created with.
#[derive(Debug)]
struct Cluster {
    brokers: usize,
    topics: Mutex<BTreeMap<String, TopicConfig>>,
}

impl Cluster {
    fn of(brokers: usize) -> Self {
        Self { brokers, topics: Mutex::default() }
    }

    fn has(&self, topic: &str, config: TopicConfig) {
        self.topics.lock().insert(topic.to_owned(), config);
    }
}

impl Admin for Cluster {
    fn brokers(&self) -> Result<usize> {
        Ok(self.brokers)
    }
    fn topics(&self) -> Result<Vec<TopicDescription>> {
        unreachable!()
    }
    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        Ok(self.topics.lock().get(topic).map(|config| TopicDescription { name: topic.into(), config: config.clone() }))
    }
    fn create_topic(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        self.has(topic, config.clone());
        Ok(())
    }
    fn delete_topic(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    fn watermarks(&self, _: &TopicPartition, _: Isolation) -> Result<(Offset, Offset)> {
        unreachable!()
    }
    fn offset_for_time(&self, _: &TopicPartition, _: Timestamp) -> Result<Option<Offset>> {
        unreachable!()
    }
    fn group_offsets(&self, _: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        unreachable!()
    }
    fn alter_group_offsets(&self, _: &str, _: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        unreachable!()
    }
    fn maintain(&self, _: Timestamp) -> Result<()> {
        unreachable!()
    }
}

fn registry() -> EmbeddedRegistry {
    EmbeddedRegistry::open(LocalLog::in_memory(), Arc::new(ManualClock::default())).unwrap()
}

/// The shipped topology on a cluster.
fn on_kafka() -> Config {
    let overrides = Overrides { bootstrap_servers: vec!["b:9092".to_owned()], registry: Some("http://r".to_owned()) };
    config::shipped(&LoadOptions::offline().with(&overrides)).unwrap()
}

/// Kafka's settings of a topic that was created without any.
fn by_default(partitions: i32) -> TopicConfig {
    TopicConfig {
        retention: Some(Duration::from_secs(7 * 86_400)),
        replication: Some(1),
        min_insync_replicas: Some(1),
        ..TopicConfig::keep(partitions)
    }
}

const TOPICS: [&str; 6] = [
    "youtube_videos",
    "youtube_changes",
    "telegram_outbox",
    "youtube-changes-changes-changelog",
    "youtube-changes-views-changelog",
    "youtube-changes-dead-letters",
];

#[test]
fn on_an_empty_cluster_all_is_created_and_then_it_is_there() {
    let (cluster, registry, config) = (Cluster::of(5), registry(), on_kafka());
    let first = plan(&cluster, &registry, &config, Some(4)).unwrap();
    assert_eq!(first.topics.iter().map(|step| &*step.name).collect::<Vec<_>>(), TOPICS);
    assert_eq!(cluster.topics.lock().len(), 0, "planning changes nothing");
    let mut done = Vec::new();
    first
        .execute(&cluster, &registry, &mut |step| {
            done.push(match step {
                Done::Created(step) => step.name.to_string(),
                Done::Registered(step, id) => format!("{} {}", step.subject, id.0),
            });
        })
        .unwrap();
    let schemas = ["youtube_changes-value 1", "telegram_outbox-value 2", "youtube_videos-value 3"];
    assert_eq!(done, [&TOPICS[..], &schemas[..]].concat());
    for topic in TOPICS {
        let base = if topic.ends_with("-changelog") { TopicConfig::compact(4) } else { TopicConfig::keep(4) };
        let expected = TopicConfig { replication: Some(3), min_insync_replicas: Some(2), ..base };
        assert_eq!(cluster.topics.lock()[topic], expected, "{topic}");
    }
    let second = plan(&cluster, &registry, &config, Some(4)).unwrap();
    assert!(second.topics.iter().all(|step| !step.is_missing() && step.differences().is_empty()), "{second:?}");
    assert!(second.schemas.iter().all(|step| matches!(step.state, SchemaState::There { .. })), "{second:?}");
    assert_eq!(second.refusals(), [""; 0]);
    second.execute(&cluster, &registry, &mut |step| panic!("{step:?}")).unwrap();
}

#[test]
fn there_are_as_many_copies_as_there_can_be_or_as_the_file_says() {
    let copies = |brokers, replication| {
        let mut config = on_kafka();
        config.kafka.as_mut().unwrap().replication = replication;
        let plan = plan(&Cluster::of(brokers), &registry(), &config, None).unwrap();
        (plan.topics[0].wanted.replication, plan.topics[0].wanted.min_insync_replicas)
    };
    assert_eq!(copies(1, None), (Some(1), None));
    assert_eq!(copies(2, None), (Some(2), None));
    assert_eq!(copies(3, None), (Some(3), Some(2)));
    assert_eq!(copies(3, Some(1)), (Some(1), None));
    assert_eq!(copies(6, Some(5)), (Some(5), Some(2)));
}

#[test]
fn partitions_follow_the_input_that_is_there() {
    let cluster = Cluster::of(1);
    cluster.has("youtube_videos", TopicConfig::keep(12));
    let planned = plan(&cluster, &registry(), &on_kafka(), None).unwrap();
    assert!(planned.topics.iter().skip(1).all(|step| step.wanted.partitions == 12), "{planned:?}");
    // Changelogs follow it whatever is asked for.
    let planned = plan(&cluster, &registry(), &on_kafka(), Some(3)).unwrap();
    let partitions: Vec<i32> = planned.topics.iter().map(|step| step.wanted.partitions).collect();
    assert_eq!(partitions, [3, 3, 3, 12, 12, 3]);
}

/// Each difference in a line.
fn differences(plan: &Plan) -> Vec<String> {
    let topics = plan.topics.iter().flat_map(|step| step.differences().iter().map(move |it| format!("{}: {it}: {}", step.name, it.remedy)));
    topics.collect()
}

#[test]
fn what_differs_is_told_with_the_remedy_and_left_as_it_is() {
    let (cluster, registry) = (Cluster::of(3), registry());
    cluster.has("youtube_videos", TopicConfig { retention: None, replication: Some(3), ..by_default(2) });
    cluster.has("youtube_changes", TopicConfig { replication: Some(3), ..by_default(1) });
    cluster.has(
        "telegram_outbox",
        TopicConfig { cleanup: CleanupPolicy::Compact, replication: Some(3), min_insync_replicas: Some(2), ..by_default(2) },
    );
    let short = TopicConfig { delete_retention: Duration::from_secs(60), replication: Some(2), ..TopicConfig::compact(2) };
    cluster.has("youtube-changes-changes-changelog", short);
    let before = cluster.topics.lock().clone();
    let planned = plan(&cluster, &registry, &on_kafka(), Some(2)).unwrap();
    let configs = |topic: &str, setting: &str| {
        format!("kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name {topic} --add-config {setting}")
    };
    assert_eq!(
        differences(&planned),
        [
            format!("youtube_videos: min.insync.replicas is 1, not 2: {}", configs("youtube_videos", "min.insync.replicas=2")),
            "youtube_changes: partitions is 1, not 2: kafka-topics.sh --bootstrap-server b:9092 --alter --topic youtube_changes --partitions 2".to_owned(),
            format!("youtube_changes: retention.ms is 604800000, not -1: {}", configs("youtube_changes", "retention.ms=-1")),
            format!("youtube_changes: min.insync.replicas is 1, not 2: {}", configs("youtube_changes", "min.insync.replicas=2")),
            format!("telegram_outbox: cleanup.policy is compact, not delete: {}", configs("telegram_outbox", "cleanup.policy=delete")),
            format!(
                "youtube-changes-changes-changelog: delete.retention.ms is 60000, not 86400000: {}",
                configs("youtube-changes-changes-changelog", "delete.retention.ms=86400000")
            ),
            "youtube-changes-changes-changelog: replication is 2, not 3: kafka-reassign-partitions.sh with a plan that names more brokers for each partition"
                .to_owned(),
        ]
    );
    assert_eq!(planned.refusals(), [""; 0], "run would take them");
    planned.execute(&cluster, &registry, &mut |_| ()).unwrap();
    let after = cluster.topics.lock().clone();
    assert!(before.iter().all(|(topic, config)| after[topic] == *config));
    assert_eq!(after.len(), TOPICS.len());
}

#[test]
fn a_topic_must_take_what_producers_put_into_a_batch() {
    let said = |limit, property: Option<(&str, &str)>| {
        let (cluster, mut config) = (Cluster::of(1), on_kafka());
        cluster.has("youtube_videos", TopicConfig { max_message_bytes: Some(limit), ..TopicConfig::keep(1) });
        let properties = &mut config.kafka.as_mut().unwrap().properties;
        properties.extend(property.map(|(name, value)| (name.to_owned(), config::External::literal(value))));
        differences(&plan(&cluster, &registry(), &config, None).unwrap())
    };
    let command = "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name youtube_videos --add-config";
    let expected = format!("youtube_videos: max.message.bytes is 262143, not 262144: {command} max.message.bytes=262144");
    assert_eq!(said(262_143, None), [expected]);
    assert_eq!(said(262_144, None), [""; 0]);
    assert_eq!(said(100_000, Some(("batch.size", "100000"))), [""; 0]);
    assert_eq!(said(100_000, Some(("message.max.bytes", "100000"))), [""; 0]);
    assert_eq!(said(100_000, Some(("batch.size", "500000"))).len(), 1);
}

#[test]
fn an_input_is_never_said_to_need_other_partitions_than_it_has() {
    let cluster = Cluster::of(1);
    cluster.has("youtube_videos", TopicConfig::keep(2));
    let planned = plan(&cluster, &registry(), &on_kafka(), Some(4)).unwrap();
    let said = "youtube_videos: partitions is 2, not 4: leave it: keys would move to other partitions, and state does not move with them";
    assert_eq!(differences(&planned), [said]);
}

#[test]
fn a_changelog_on_which_run_is_refused_stands_in_the_way() {
    let cluster = Cluster::of(1);
    cluster.has("youtube_videos", TopicConfig::keep(4));
    cluster.has("youtube-changes-changes-changelog", TopicConfig::compact(1));
    cluster.has("youtube-changes-views-changelog", TopicConfig::keep(4));
    let planned = plan(&cluster, &registry(), &on_kafka(), None).unwrap();
    assert_eq!(
        planned.refusals(),
        [
            "the topic youtube-changes-changes-changelog: partitions is 1, not 4",
            "the topic youtube-changes-views-changelog: cleanup.policy is delete, not compact",
        ]
    );
}

const OLDER: &str = r#"{"type":"record","name":"youtube_change","namespace":"tidewatch","fields":[]}"#;
const UNREADABLE: &str =
    r#"{"type":"record","name":"youtube_change","namespace":"tidewatch","fields":[{"name":"video_id","type":"long"}]}"#;

#[test]
fn schemas_are_compared_with_the_latest_ones() {
    let state = |subject: &str, text: &str| {
        let registry = registry();
        registry.register(subject, &Schema::parse(text).unwrap()).unwrap();
        let planned = plan(&Cluster::of(1), &registry, &on_kafka(), None).unwrap();
        planned.schemas.into_iter().find(|step| step.subject == subject).unwrap().state
    };
    // A source reads what others write, with their schema.
    let foreign = r#"{"type":"record","name":"video","fields":[{"name":"VIEWS","type":"int"}]}"#;
    assert_eq!(state("youtube_videos-value", foreign), SchemaState::Foreign { version: 1 });
    let newer = state("telegram_outbox-value", crate::avro::shipped("telegram_message").unwrap());
    assert!(matches!(newer, SchemaState::There { version: 1, .. }), "{newer:?}");
    let refused = state("youtube_changes-value", UNREADABLE);
    assert!(matches!(&refused, SchemaState::Incompatible { version: 1, .. }), "{refused:?}");
    let missing_defaults = state("youtube_changes-value", OLDER);
    assert!(matches!(missing_defaults, SchemaState::NewVersion { .. } | SchemaState::Incompatible { .. }), "{missing_defaults:?}");
}

#[test]
fn an_incompatible_schema_stands_in_the_way_of_everything() {
    let registry = registry();
    registry.register("youtube_changes-value", &Schema::parse(UNREADABLE).unwrap()).unwrap();
    let planned = plan(&Cluster::of(1), &registry, &on_kafka(), None).unwrap();
    let refusals = planned.refusals();
    let begin = "the schema youtube_change cannot read what was written with version 1 of youtube_changes-value: field ";
    assert!(refusals.len() == 1 && refusals[0].starts_with(begin), "{refusals:?}");
}

/// A registry that takes whatever it is given, as some do unless they are told otherwise.
#[derive(Debug)]
struct Lenient(EmbeddedRegistry);

impl Registry for Lenient {
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        self.0.register(subject, schema)
    }
    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        self.0.schema(id)
    }
    fn schema_by_guid(&self, _: crate::avro::Guid) -> Result<Option<Arc<Schema>>, RegistryError> {
        unreachable!()
    }

    fn latest(&self, subject: &str) -> Result<Option<crate::avro::Registered>, RegistryError> {
        self.0.latest(subject)
    }
    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        self.0.versions(subject)
    }
    fn compatible(&self, _: &str, _: &Schema) -> Result<(), RegistryError> {
        Ok(())
    }
}

#[test]
fn a_registry_that_takes_anything_is_not_believed() {
    let registry = Lenient(registry());
    let wider = crate::avro::shipped("telegram_message").unwrap().replace("\"int\"", "\"long\"");
    registry.register("telegram_outbox-value", &Schema::parse(&wider).unwrap()).unwrap();
    let refusals = plan(&Cluster::of(1), &registry, &on_kafka(), None).unwrap().refusals();
    let said =
        "the schema telegram_message cannot read what was written with version 1 of telegram_outbox-value: field message_thread_id: ";
    assert!(refusals.len() == 1 && refusals[0].starts_with(said), "{refusals:?}");
}

#[test]
fn each_part_is_told_what_it_must_be_allowed() {
    let planned = plan(&Cluster::of(1), &registry(), &on_kafka(), None).unwrap();
    let text: Vec<String> = planned
        .parts
        .iter()
        .flat_map(|part| std::iter::once(format!("# {}", part.name)).chain(part.grants.iter().map(ToString::to_string)))
        .map(|line| line.replace("kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal", "ADD"))
        .collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    # setup
    ADD User:SETUP --operation Create --operation Describe --operation DescribeConfigs --topic youtube_videos --topic youtube_changes --topic telegram_outbox --topic youtube-changes-changes-changelog --topic youtube-changes-views-changelog --topic youtube-changes-dead-letters
    # processor
    ADD User:PROCESSOR --operation Read --operation Describe --operation DescribeConfigs --topic youtube_videos
    ADD User:PROCESSOR --operation Write --operation Describe --operation DescribeConfigs --topic youtube_changes --topic telegram_outbox --topic youtube-changes-dead-letters
    ADD User:PROCESSOR --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic youtube-changes-changes-changelog --topic youtube-changes-views-changelog
    ADD User:PROCESSOR --operation Read --operation Describe --group youtube-changes
    ADD User:PROCESSOR --operation Describe --group youtube-changes- --resource-pattern-type prefixed
    ADD User:PROCESSOR --operation Write --operation Describe --transactional-id youtube-changes- --resource-pattern-type prefixed
    # import
    ADD User:IMPORT --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic youtube_videos
    ADD User:IMPORT --operation Write --operation Describe --operation DescribeConfigs --topic youtube-changes-dead-letters
    ADD User:IMPORT --operation Read --operation Describe --group youtube-changes-import- --resource-pattern-type prefixed
    ADD User:IMPORT --operation Write --operation Describe --transactional-id youtube-changes-import- --resource-pattern-type prefixed
    # reader
    ADD User:READER --operation Read --operation Describe --operation DescribeConfigs --topic youtube_videos --topic youtube_changes --topic telegram_outbox --topic youtube-changes-changes-changelog --topic youtube-changes-views-changelog --topic youtube-changes-dead-letters
    ADD User:READER --operation Describe --group tidewatch-reader
    # dead letters
    ADD User:OPERATOR --operation Read --operation Describe --operation DescribeConfigs --topic youtube-changes-dead-letters
    ADD User:OPERATOR --operation Write --operation Describe --topic youtube_videos --topic telegram_outbox
    ADD User:OPERATOR --operation Read --operation Describe --group youtube-changes-dead-letters
    ADD User:OPERATOR --operation Describe --group tidewatch-reader
    ADD User:OPERATOR --operation Write --operation Describe --transactional-id youtube-changes-dead-letters --resource-pattern-type prefixed
    # sender
    ADD User:SENDER --operation Read --operation Describe --operation DescribeConfigs --topic telegram_outbox
    ADD User:SENDER --operation Read --operation Describe --group youtube-changes-send --resource-pattern-type prefixed
    ");
}

/// The shipped topology on a cluster, with both ends.
fn with_both_ends() -> Config {
    let ends = "\n[youtube]\napi_key = \"k\"\nvideos = [\"dQw4w9WgXcQ\"]\n[telegram]\ntoken = \"1:a\"\n";
    let overrides = Overrides { bootstrap_servers: vec!["b:9092".to_owned()], registry: Some("http://r".to_owned()) };
    let file = config::SourceFile::new("t.toml", config::SHIPPED.to_owned() + ends);
    config::load_text(&file, None, &LoadOptions::offline().with(&overrides)).unwrap()
}

#[test]
fn both_ends_have_topics_of_their_own() {
    let (cluster, config) = (Cluster::of(1), with_both_ends());
    let planned = plan(&cluster, &registry(), &config, Some(4)).unwrap();
    let own: Vec<_> =
        planned.topics.iter().skip(TOPICS.len()).map(|step| (&*step.name, step.wanted.partitions, step.wanted.cleanup)).collect();
    let expected = [
        ("youtube-changes-poller-state", 1, CleanupPolicy::Compact),
        ("youtube-changes-sender-sent-log-changelog", 4, CleanupPolicy::Compact),
        ("telegram_dead_letters", 4, CleanupPolicy::Delete),
    ];
    assert_eq!(own, expected);
    planned.execute(&cluster, &registry(), &mut |_| ()).unwrap();
    cluster.has("telegram_outbox", TopicConfig::keep(8));
    cluster.has("youtube-changes-poller-state", TopicConfig::keep(2));
    let planned = plan(&cluster, &registry(), &config, None).unwrap();
    let refused = [
        "the topic youtube-changes-poller-state: partitions is 2, not 1",
        "the topic youtube-changes-poller-state: cleanup.policy is delete, not compact",
        "the topic youtube-changes-sender-sent-log-changelog: partitions is 4, not 8",
    ];
    assert_eq!(planned.refusals(), refused);
}

#[test]
fn an_outbox_that_somebody_else_writes_is_needed_too() {
    let mut config = with_both_ends();
    config.telegram.as_mut().unwrap().outbox = "theirs".into();
    let planned = plan(&Cluster::of(1), &registry(), &config, Some(3)).unwrap();
    let theirs = planned.topics.iter().find(|step| &*step.name == "theirs").unwrap();
    assert_eq!((&theirs.role, theirs.wanted.partitions), (&Role::Output, 3));
    assert!(planned.topics.iter().any(|step| step.role == Role::SentLog { outbox: "theirs".into() }));
}

#[test]
fn both_ends_are_told_what_they_must_be_allowed() {
    let planned = plan(&Cluster::of(1), &registry(), &with_both_ends(), None).unwrap();
    let of = |name: &str| {
        let part = planned.parts.iter().find(|part| part.name == name).unwrap();
        let line = |grant: &Grant| grant.to_string().replace("kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal", "ADD");
        part.grants.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(of("poller"), @r"
    ADD User:POLLER --operation Write --operation Describe --operation DescribeConfigs --topic youtube_videos
    ADD User:POLLER --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic youtube-changes-poller-state
    ADD User:POLLER --operation Read --operation Describe --group youtube-changes-poller
    ADD User:POLLER --operation Describe --group youtube-changes- --resource-pattern-type prefixed
    ADD User:POLLER --operation Write --operation Describe --transactional-id youtube-changes-poller --resource-pattern-type prefixed
    ");
    insta::assert_snapshot!(of("sender"), @r"
    ADD User:SENDER --operation Read --operation Describe --operation DescribeConfigs --topic telegram_outbox
    ADD User:SENDER --operation Write --operation Describe --operation DescribeConfigs --topic telegram_dead_letters
    ADD User:SENDER --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic youtube-changes-sender-sent-log-changelog
    ADD User:SENDER --operation Read --operation Describe --group youtube-changes-sender
    ADD User:SENDER --operation Describe --group youtube-changes- --resource-pattern-type prefixed
    ADD User:SENDER --operation Write --operation Describe --transactional-id youtube-changes-sender --resource-pattern-type prefixed
    ");
    insta::assert_snapshot!(of("dead letters"), @r"
    ADD User:OPERATOR --operation Read --operation Describe --operation DescribeConfigs --topic youtube-changes-dead-letters --topic telegram_dead_letters
    ADD User:OPERATOR --operation Write --operation Describe --topic youtube_videos --topic telegram_outbox
    ADD User:OPERATOR --operation Read --operation Describe --group youtube-changes-dead-letters
    ADD User:OPERATOR --operation Describe --group tidewatch-reader
    ADD User:OPERATOR --operation Write --operation Describe --transactional-id youtube-changes-dead-letters --resource-pattern-type prefixed
    ");
}

#[test]
fn the_tools_are_told_of_a_file_where_a_login_is_needed() {
    let mut config = on_kafka();
    let kafka = config.kafka.as_mut().unwrap();
    kafka.properties.insert("security.protocol".to_owned(), config::External::literal("SSL"));
    kafka.bootstrap_servers.push("c:9092".to_owned());
    let planned = plan(&Cluster::of(1), &registry(), &config, None).unwrap();
    let command = planned.parts[0].grants[0].to_string();
    assert!(command.starts_with("kafka-acls.sh --bootstrap-server b:9092,c:9092 --command-config client.properties --add"), "{command}");
}

#[test]
fn the_embedded_log_is_set_up_in_the_same_way() {
    let log = LocalLog::in_memory();
    let registry = EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::new(ManualClock::default())).unwrap();
    let (admin, config) = (log.admin(), config::shipped(&LoadOptions::offline()).unwrap());
    let first = plan(&*admin, &registry, &config, None).unwrap();
    assert!(first.parts.is_empty());
    first.execute(&*admin, &registry, &mut |_| ()).unwrap();
    for topic in TOPICS {
        assert!(admin.describe(topic).unwrap().is_some(), "{topic}");
    }
    let second = plan(&*admin, &registry, &config, None).unwrap();
    assert!(second.topics.iter().all(|step| !step.is_missing() && step.differences().is_empty()), "{second:?}");
}

#[test]
fn a_topic_that_is_read_and_written_counts_as_an_input() {
    let text = config::SHIPPED.to_owned() + CHAINED;
    let config = config::load_text(&config::SourceFile::new("t.toml", text), None, &LoadOptions::offline()).unwrap();
    let needed = crate::operate::topics::needed(&config);
    let roles: Vec<_> = needed.iter().map(|topic| (&*topic.name, topic.role.clone())).collect();
    assert_eq!(roles[1], ("youtube_changes", Role::Input));
    assert_eq!(roles.iter().filter(|(name, _)| *name == "youtube_changes").count(), 1);
    let changelog = roles.iter().find(|(name, _)| *name == "youtube-changes-again-changelog").unwrap();
    assert_eq!(changelog.1, Role::Changelog { input: "youtube_changes".into() });
}

/// A second sub-topology, on an output of the first.
const CHAINED: &str = r#"
[sources.written]
topic = "youtube_changes"
value = "youtube_change"
start = "earliest"
[processors.seen]
type = "filter"
input = "written"
when = "views_current != null"
[processors.again]
type = "latest"
input = "seen"
watch = ["views_current"]
[processors.told]
type = "notify"
input = "again"
chat_id = "1"
text = "x"
[sinks.told]
input = "told"
topic = "telegram_outbox"
value = "telegram_message"
"#;
