//! Fault 18: a changelog that is cut, deleted, made anew, or in which somebody else's transaction stays open.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::monitor;
use crate::real::{block_on, records};
use crate::scene::{CAUGHT_UP, PARTITIONS, Scene, Settings, Stage};
use crate::time::nap;

const STORES: [&str; 2] = ["changes", "views"];

/// Rounds of the short run and of the long one.
const ROUNDS: [usize; 2] = [1, 5];

/// What is said where a changelog has lost records.
const LOST: &str = "records were deleted, or the topic was made anew";

/// More than the 20 seconds after which a restore tells that it waits, and less than what it has to be caught up in.
const OPEN_FOR_LONG: Duration = Duration::from_secs(30);

/// The last value of each key of each partition.
type Content = BTreeMap<(i32, Vec<u8>), Option<Vec<u8>>>;

pub(crate) fn play(stage: &Stage, _: &[u8]) -> Result<(), String> {
    // Nobody follows: what a reader was given of a changelog that is made anew is not what is there in the end.
    Scene::play(stage, "changelog", Settings { instances: 1, follow: false, ..Settings::default() }, |scene| {
        scene.start_all()?;
        for _ in 0..ROUNDS[usize::from(stage.long)] {
            held_open(scene, "open", Duration::from_secs(12))?;
            cut(scene)?;
            made_anew(scene)?;
        }
        held_open(scene, "open for long", OPEN_FOR_LONG)?;
        if !scene.instances[0].has_said("the restore waits, probably for the end of a transaction") {
            scene.ledger.broken(18, "it did not tell what it waits for");
        }
        Ok(())
    })
}

fn forget_disk(scene: &Scene<'_>) -> Result<(), String> {
    fs::remove_dir_all(scene.instances[0].state_dir().join("state")).map_err(|error| error.to_string())
}

/// Starts it, and expects that it goes on.
fn goes_on(scene: &mut Scene<'_>, kind: &str) -> Result<(), String> {
    let id = scene.ledger.plan(18, kind);
    scene.happened(18, &id, "changelog", None);
    scene.instances[0].start("");
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}

/// Starts it, and expects that it ends by itself and says why.
fn is_refused(scene: &mut Scene<'_>, kind: &str, says: &str) {
    let id = scene.ledger.plan(18, kind);
    let before = scene.monitor.committed();
    scene.instances[0].start("");
    let began = Instant::now();
    let ended = loop {
        let ended = scene.has_ended(0, 18);
        if ended.is_some() || began.elapsed() > Duration::from_secs(20) {
            break ended;
        }
        nap(Duration::from_millis(20));
    };
    scene.ledger.fired(18, &id, "changelog", None, scene.load.ends.sum());
    match ended {
        // A restart does not help.
        Some(ended) if ended.gave_up(&[2]) && ended.reason.contains(says) && scene.monitor.committed() == before => {}
        Some(ended) => scene.ledger.broken(18, format!("{kind}: it was not for {says:?} that {ended}")),
        None => {
            let said = scene.instances[0].last_said();
            scene.ledger.broken(18, format!("{kind}: it went on\n{said}"));
            scene.stop(0, 18);
        }
    }
}

/// Somebody's transaction stays open behind what is to be restored: nothing of it may be seen, and nothing before it may be missed.
fn held_open(scene: &mut Scene<'_>, kind: &str, time: Duration) -> Result<(), String> {
    let mut config = scene.stage.client.clone();
    config
        .set("transactional.id", format!("{}-somebody", scene.id))
        .set("transaction.timeout.ms", time.as_millis().to_string())
        .set("message.timeout.ms", "10000");
    let producer: BaseProducer = config.create().map_err(|error| error.to_string())?;
    let failed = |error: rdkafka::error::KafkaError| error.to_string();
    producer.init_transactions(CAUGHT_UP).map_err(failed)?;
    producer.begin_transaction().map_err(failed)?;
    for partition in 0..PARTITIONS {
        let topic = scene.changelog("changes");
        producer
            .send(BaseRecord::to(&topic).key("video-00001").payload("nobody's").partition(partition))
            .map_err(|(error, _)| failed(error))?;
    }
    producer.flush(CAUGHT_UP).map_err(failed)?;
    scene.watch_for(Duration::from_secs(1), 18);
    scene.instances[0].stop("KILL");
    forget_disk(scene)?;
    goes_on(scene, kind)?;
    drop(producer);
    Ok(())
}

/// Records are deleted from the changelog. With a disk that is complete nothing is lost; without one, or with one from before, the state cannot be had.
fn cut(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.stop(0, 18);
    let old = scene.instances[0].folder().join("old");
    copy(scene, &scene.instances[0].state_dir().join("state"), &old)?;
    scene.instances[0].start("");
    scene.wait_until_running()?;
    scene.watch_for(Duration::from_secs(3), 18);
    scene.stop(0, 18);
    let content = STORES.map(|store| content(scene, store));
    for store in STORES {
        delete_up_to_the_last(scene, store)?;
    }
    let state = scene.instances[0].state_dir().join("state");
    let complete = scene.instances[0].folder().join("complete");
    copy(scene, &state, &complete)?;
    forget_disk(scene)?;
    is_refused(scene, "cut, no disk", LOST);
    drop(fs::remove_dir_all(&state));
    fs::rename(&old, &state).map_err(|error| error.to_string())?;
    is_refused(scene, "cut, old disk", LOST);
    drop(fs::remove_dir_all(&state));
    fs::rename(&complete, &state).map_err(|error| error.to_string())?;
    goes_on(scene, "cut, disk complete")?;
    // What was cut is put back, or the verifier would miss it; what came since is newer.
    scene.stop(0, 18);
    for (store, mut content) in STORES.iter().zip(content) {
        let since = self::content(scene, store);
        content.retain(|place, _| !since.contains_key(place));
        write_back(scene, store, &content)?;
    }
    scene.start_all()
}

/// The changelogs are deleted; then they are there again, and empty.
fn made_anew(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.watch_for(Duration::from_secs(1), 18);
    scene.stop(0, 18);
    let content = STORES.map(|store| content(scene, store));
    let before = STORES.map(|store| ends(scene, store));
    let admin: AdminClient<DefaultClientContext> = scene.stage.client.create().map_err(|error| error.to_string())?;
    let topics = STORES.map(|store| scene.changelog(store));
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    block_on(admin.delete_topics(&names, &AdminOptions::new())).map_err(|error| error.to_string())?;
    nap(Duration::from_secs(1));
    is_refused(scene, "deleted", &format!("the cluster lacks the topics {}", topics[0]));
    for name in &names {
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(3)).set("cleanup.policy", "compact");
        let made = block_on(admin.create_topics([&topic], &AdminOptions::new())).map_err(|error| error.to_string())?;
        made.into_iter().try_for_each(|result| result.map(drop).map_err(|(name, error)| format!("{name}: {error}")))?;
    }
    nap(Duration::from_secs(1));
    is_refused(scene, "made anew", LOST);
    drop(fs::remove_dir_all(scene.instances[0].state_dir().join("state")));
    is_refused(scene, "made anew, no disk", LOST);
    drop(fs::remove_dir_all(scene.instances[0].state_dir().join("state")));
    // What was in them is put back, from a copy, and as much of it as there was: then all is as it was.
    for ((store, content), before) in STORES.iter().zip(&content).zip(&before) {
        pad(scene, store, content, before)?;
    }
    goes_on(scene, "put back")
}

fn copy(_: &Scene<'_>, from: &std::path::Path, to: &std::path::Path) -> Result<(), String> {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("cp: {status}")) }
}

fn content(scene: &Scene<'_>, store: &str) -> Content {
    let records = records::read(&scene.stage.client, &scene.changelog(store));
    records.into_iter().map(|record| ((record.partition, record.key.unwrap_or_default()), record.value)).collect()
}

/// Deletes all records of a changelog but the last few.
fn delete_up_to_the_last(scene: &Scene<'_>, store: &str) -> Result<(), String> {
    let topic = scene.changelog(store);
    let mut before = TopicPartitionList::new();
    for ((_, partition), end) in ends(scene, store) {
        before.add_partition_offset(&topic, partition, Offset::Offset((end - 3).max(0))).map_err(|error| error.to_string())?;
    }
    let admin: AdminClient<DefaultClientContext> = scene.stage.client.create().map_err(|error| error.to_string())?;
    // Brokers delete records by hand only where they would delete some by themselves.
    set_policy(&admin, &topic, "compact,delete")?;
    let delete = || {
        let deleted = block_on(admin.delete_records(&before, &AdminOptions::new())).map_err(|error| error.to_string())?;
        deleted.elements().iter().try_for_each(|element| element.error().map_err(|error| format!("{topic}: {error}")))
    };
    // It waits for all copies, which busy brokers may not have in time: what is deleted already is deleted once more then.
    delete().or_else(|_| delete())?;
    set_policy(&admin, &topic, "compact")
}

fn set_policy(admin: &AdminClient<DefaultClientContext>, topic: &str, policy: &str) -> Result<(), String> {
    let config = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("cleanup.policy", policy).set("retention.ms", "-1");
    let altered = block_on(admin.alter_configs([&config], &AdminOptions::new())).map_err(|error| error.to_string())?;
    altered.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, error)| error.to_string()))?;
    // The leaders hear of it a moment later.
    nap(Duration::from_secs(1));
    Ok(())
}

fn write_back(scene: &Scene<'_>, store: &str, content: &Content) -> Result<(), String> {
    let producer: BaseProducer =
        scene.stage.client.clone().set("enable.idempotence", "true").create().map_err(|error| error.to_string())?;
    let topic = scene.changelog(store);
    for ((partition, key), value) in content {
        let mut record = BaseRecord::to(&topic).key(key).partition(*partition);
        record.payload = value.as_ref();
        producer.send(record).map_err(|(error, _)| error.to_string())?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(CAUGHT_UP).map_err(|error| error.to_string())
}

/// Where each partition of a changelog ends.
fn ends(scene: &Scene<'_>, store: &str) -> BTreeMap<(String, i32), i64> {
    monitor::ends(&scene.stage.client, &scene.changelog(store), "read_committed")
}

/// Writes the content again and again until the changelog is as long as it was.
fn pad(scene: &Scene<'_>, store: &str, content: &Content, before: &BTreeMap<(String, i32), i64>) -> Result<(), String> {
    while ends(scene, store).values().zip(before.values()).any(|(now, before)| now < before) {
        write_back(scene, store, content)?;
    }
    Ok(())
}
