//! Faults 13, 14, 15 and 19: records that cannot be read or processed or written, a registry that is away, an input without any order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use crate::instance::Instance;
use crate::load::Look;
use crate::random::Random;
use crate::real::block_on;
use crate::real::front::{Fault, Gate};
use crate::real::registry::confluent_url;
use crate::scene::{CAUGHT_UP, Scene, Settings, Stage};
use crate::time::{nap, now_ms};

/// How many bad records of each kind.
const BAD: [u64; 2] = [4, 60];
const OUTAGES: [usize; 2] = [1, 10];
const KILLS: [usize; 2] = [4, 40];

/// Longer than the minute that a group waits for a poll.
const LONG_OUTAGE: Duration = Duration::from_secs(66);

/// A key whose processing panics.
const PANICS: &str = "video-panic";

/// A subject's schema that no instance has seen: the shipped one, with a field more.
fn another_schema(number: u64) -> String {
    let mut schema: serde_json::Value = serde_json::from_str(tidewatch::avro::shipped("youtube_video").unwrap()).unwrap();
    let field = json!({ "name": format!("extra_{number}"), "type": ["null", "long"], "default": null });
    schema["fields"].as_array_mut().unwrap().push(field);
    schema.to_string()
}

/// A value of the shipped schema, or of [`another_schema`]: title, views, likes, comments, and nothing known of the rest.
fn value(schema_id: u32, title: &str, count: i64, rest: usize) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(schema_id.to_be_bytes());
    bytes.push(2);
    long(i64::try_from(title.len()).unwrap(), &mut bytes);
    bytes.extend(title.as_bytes());
    for count in [count, count / 20, count / 300] {
        bytes.push(2);
        long(count, &mut bytes);
    }
    bytes.extend(std::iter::repeat_n(0, rest));
    bytes
}

fn long(value: i64, into: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        into.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    into.push(u8::try_from(rest).unwrap());
}

/// Fields of the shipped schema behind the four that are given here.
const REST: usize = 7;

/// Gives each record that is written beside the load a time that no other of its key has.
static LATER: AtomicU64 = AtomicU64::new(0);

/// Writes a record beside the load.
fn write<K: ToBytes + ?Sized>(scene: &Scene<'_>, key: Option<&K>, value: &[u8]) -> Result<(), String> {
    let producer: BaseProducer =
        scene.stage.client.clone().set("partitioner", "murmur2_random").create().map_err(|error| error.to_string())?;
    let time = now_ms() + 1_800_000 + i64::try_from(LATER.fetch_add(1, Ordering::Relaxed)).unwrap();
    let topic = scene.topic("youtube_videos");
    let mut record = BaseRecord::to(&topic).payload(value).timestamp(time);
    record.key = key;
    producer.send(record).map_err(|(error, _)| error.to_string())?;
    producer.flush(CAUGHT_UP).map_err(|error| error.to_string())
}

/// Bad records between good ones: each becomes a dead letter, once, and nobody else suffers. Killed meanwhile, it is the same.
pub(crate) fn poison(stage: &Stage, wanted: &[u8]) -> Result<(), String> {
    let column = usize::from(stage.long);
    let mut random = Random::seeded(stage.seed + 13);
    let spec = json!({ "poison": [{ "key": PANICS }, { "field": "title", "contains": "far too long" }] });
    let settings = Settings { instances: 2, spec, ..Settings::default() };
    Scene::play(stage, "poison", settings, |scene| {
        let plan = format!("panic={PANICS}");
        for instance in &mut scene.instances {
            instance.start(&plan);
        }
        scene.wait_until_running()?;
        let id = stage
            .registry
            .register(&format!("{}-value", scene.topic("youtube_videos")), tidewatch::avro::shipped("youtube_video").unwrap());
        if wanted.contains(&13) {
            for number in 0..BAD[column] {
                if number % 2 == 1 {
                    // It dies with a letter in its transaction.
                    scene.stop(0, 13);
                    scene.order(0, 13, "LETTER");
                    scene.instances[0].start(&format!("{plan},kill=LETTER@1"));
                }
                bad_records(scene, id, number, &mut random)?;
                let began = Instant::now();
                while scene.ordered[0].is_some() && began.elapsed() < CAUGHT_UP {
                    for ended in scene.tend() {
                        if !ended.was_ordered() {
                            scene.ledger.broken(13, ended.to_string());
                        }
                        scene.instances[ended.instance].start(&plan);
                    }
                    // Only some of them are of its partitions.
                    bad_records(scene, id, number, &mut random)?;
                    nap(Duration::from_millis(200));
                }
            }
            scene.monitor.wait_for_recovery(CAUGHT_UP)?;
        }
        if wanted.contains(&15) {
            // More than a batch of the producer takes, or nothing would get through.
            limit(stage, &scene.topic("youtube_changes"), 300_000)?;
            for number in 0..BAD[column] {
                let planned = scene.ledger.plan(15, "large");
                let title = format!("far too long {}", "x".repeat(200_000));
                let count = i64::try_from(number).unwrap() + 1;
                // Seen before, so that it makes a change.
                write(scene, Some("video-large"), &value(id, "short", count * 1000, REST))?;
                write(scene, Some("video-large"), &value(id, &title, count * 1000 + 500, REST))?;
                scene.happened(15, &planned, "record", None);
                scene.watch_for(Duration::from_millis(500), 15);
            }
            scene.monitor.wait_for_recovery(CAUGHT_UP)?;
        }
        Ok(())
    })
}

fn bad_records(scene: &mut Scene<'_>, id: u32, number: u64, random: &mut Random) -> Result<(), String> {
    let good = value(id, "good", 1000, REST);
    let noise: Vec<u8> = (0..40).map(|_| u8::try_from(random.below(255)).unwrap() | 1).collect();
    let key = format!("video-bad-{number}-{}", random.below(1_000_000));
    let kinds: [(&str, Option<&str>, Vec<u8>); 5] = [
        ("noise", Some(&key), noise),
        ("cut", Some(&key), good[..good.len() - REST - 2].to_vec()),
        ("schema", Some(&key), value(2_000_000_000, "nobody knows this schema", 1, REST)),
        ("nokey", None, good.clone()),
        ("panic", Some(PANICS), good),
    ];
    for (kind, key, bytes) in kinds {
        let planned = scene.ledger.plan(13, kind);
        write(scene, key, &bytes)?;
        scene.happened(13, &planned, "record", None);
    }
    Ok(())
}

/// Changes the largest record that a topic takes.
fn limit(stage: &Stage, topic: &str, bytes: usize) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = stage.client.create().map_err(|error| error.to_string())?;
    let (bytes, resource) = (bytes.to_string(), ResourceSpecifier::Topic(topic));
    let config = AlterConfig::new(resource).set("max.message.bytes", &bytes).set("retention.ms", "-1").set("cleanup.policy", "delete");
    let altered = block_on(admin.alter_configs([&config], &AdminOptions::new())).map_err(|error| error.to_string())?;
    altered.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, error)| error.to_string()))
}

/// A registry that is down, answers with errors or does not answer: its records wait, and none of them becomes a dead letter.
pub(crate) fn registry(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let gate = Gate::before(stage.registry.port(), None);
    let settings = Settings { instances: 2, registry: Some(confluent_url("http", gate.port())), ..Settings::default() };
    Scene::play(stage, "registry", settings, |scene| {
        scene.start_all()?;
        scene.catch_up()?;
        let kinds = [("error", Fault::Status(500)), ("gone", Fault::Close), ("slow", Fault::Delay(Duration::from_secs(20)))];
        for number in 0..OUTAGES[usize::from(stage.long)] * kinds.len() {
            let (kind, fault) = &kinds[number % kinds.len()];
            unregistered(scene, &gate, u64::try_from(number).unwrap(), (kind, fault))?;
            if number % 2 == 1 {
                // Who starts meanwhile knows no schema at all.
                scene.instances[0].stop("KILL");
                scene.must_go_on(14);
                scene.instances[0].start("");
            }
            restarting(scene, Duration::from_secs(4));
            gate.always(None);
            restarting(scene, Duration::from_secs(2));
            let began = Instant::now();
            while scene.monitor.wait_for_recovery(Duration::from_millis(50)).is_err() && began.elapsed() < CAUGHT_UP {
                restarting(scene, Duration::from_millis(50));
            }
            scene.monitor.wait_for_recovery(Duration::ZERO)?;
        }
        stays_in_the_group(scene, &gate)
    })
}

/// The registry fails, and there are records of a schema that only it knows.
fn unregistered(scene: &mut Scene<'_>, gate: &Gate, number: u64, (kind, fault): (&str, &Fault)) -> Result<(), String> {
    let planned = scene.ledger.plan(14, kind);
    let registry = &scene.stage.registry;
    let id = registry.register(&format!("{}-other-{number}", scene.id), &another_schema(number));
    gate.always(Some(fault.clone()));
    for place in 0..6_u32 {
        let count = 1000 * i64::from(place) + i64::try_from(number).unwrap();
        write(scene, Some(&format!("video-{:05}", place * 7)), &value(id, "of another schema", count, REST + 1))?;
    }
    scene.happened(14, &planned, "registry", None);
    Ok(())
}

/// An outage that is longer than the group waits for a poll: nobody who waits for the registry leaves.
fn stays_in_the_group(scene: &mut Scene<'_>, gate: &Gate) -> Result<(), String> {
    scene.start_all()?;
    scene.catch_up()?;
    let moves = |scene: &Scene<'_>| {
        let moved = ["partitions assigned", "partitions revoked", "partitions lost"];
        let moves = |instance: &Instance| instance.said().iter().filter(|line| moved.iter().any(|moved| line["message"] == *moved)).count();
        scene.instances.iter().map(moves).collect::<Vec<_>>()
    };
    let before = moves(scene);
    unregistered(scene, gate, 1_000, ("long", &Fault::Status(500)))?;
    scene.watch_for(LONG_OUTAGE, 14);
    gate.always(None);
    scene.monitor.wait_for_recovery(CAUGHT_UP)?;
    if before.contains(&0) || moves(scene) != before {
        let said = scene.last_said();
        scene.ledger.broken(14, format!("partitions moved for want of a registry: {before:?}, {:?}\n{said}", moves(scene)));
    }
    Ok(())
}

/// Who starts without the registry ends and says so; a supervisor starts it again. Who was there before goes on.
fn restarting(scene: &mut Scene<'_>, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        for ended in scene.tend() {
            if ended.instance != 0 || !ended.gave_up(&[1]) || !ended.reason.contains("the schema registry is unavailable") {
                scene.ledger.broken(14, ended.to_string());
            }
            nap(Duration::from_millis(500));
            scene.instances[ended.instance].start("");
        }
        nap(Duration::from_millis(10));
    }
}

/// An input without any order: written twice, out of order, from clocks that are wrong, with many tombstones; and kills on top.
pub(crate) fn disorder(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 19);
    let look = Look { rate: 400, keys: 120, tombstones: 60, out_of_order: 150, twice: 150, padding: 0 };
    // Two stream threads each, which share a state directory.
    let engine = "threads = 2".to_owned();
    Scene::play(stage, "disorder", Settings { instances: 2, look, engine, ..Settings::default() }, |scene| {
        scene.start_all()?;
        for number in 0..KILLS[usize::from(stage.long)] {
            let planned = scene.ledger.plan(19, "disorder");
            scene.watch_for(Duration::from_millis(1500 + random.below(1500)), 19);
            scene.happened(19, &planned, "disorder", None);
            scene.instances[number % 2].stop("KILL");
            scene.must_go_on(19);
            scene.instances[number % 2].start("");
        }
        scene.monitor.wait_for_recovery(CAUGHT_UP)
    })
}
