//! What must hold of simulated weeks: by the access log of the service, and by the history of its channel.

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use tidewatch::streams::clock::Clock as _;
use tidewatch::streams::log::{ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, TopicPartition};

use super::youtube::{Access, Video, day};
use super::{Scene, TOPIC};

const HOUR_MS: i64 = 3_600_000;

/// A record of the topic: when, and how many views, or that the video is gone.
type Row = (i64, Option<i64>);

pub(super) fn judge(scene: &mut Scene, start: i64, storm: i64) {
    let log = scene.youtube.with(|world| world.log.clone());
    judge_units(scene, &log);
    judge_quota(scene, &log);
    judge_haste(scene, &log);
    judge_resumption(scene, &log, start);
    judge_rows(scene, storm);
}

/// No day has more units than it may have.
fn judge_units(scene: &mut Scene, log: &[Access]) {
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    for access in log {
        *days.entry(day(access.at_ms)).or_default() += 1;
    }
    for (day, units) in days {
        if units > scene.settings.quota_per_day {
            scene.violations.push(format!("{units} units on day {day}, of {}", scene.settings.quota_per_day));
        }
    }
}

/// Once the quota is said to be spent nothing is asked before the day ends; in its first hour that may be said of the day before.
fn judge_quota(scene: &mut Scene, log: &[Access]) {
    let mut spent: Option<(i64, i64)> = None;
    for access in log {
        let today = day(access.at_ms);
        if let Some((at, _)) = spent.filter(|(_, day)| *day == today) {
            let begins_now = day(at - HOUR_MS) != today;
            let pause = access.at_ms - at;
            if !begins_now || pause < 500_000 {
                let is_killed = scene.kills.iter().any(|kill| (at..=access.at_ms).contains(kill));
                // Who is killed before it is written down does not know: once for each kill.
                if !is_killed {
                    scene.violations.push(format!("asked again {} s after the quota was spent, at {}", pause / 1_000, access.at_ms));
                }
            }
        }
        spent = (access.said == "quotaExceeded").then_some((access.at_ms, today)).or(spent);
    }
}

/// No hour has more requests than its polls need, with each tried three times, and those that begin anew after a kill.
fn judge_haste(scene: &mut Scene, log: &[Access]) {
    let videos = scene.youtube.with(|world| world.videos.len());
    let cost = 2 * videos.div_ceil(50) + 1;
    let polls = usize::try_from(3_600 / scene.settings.every.as_secs()).unwrap() + 1;
    for (place, first) in log.iter().enumerate() {
        let within = log[place..].iter().take_while(|access| access.at_ms < first.at_ms + HOUR_MS).count();
        let kills = scene.kills.iter().filter(|kill| (first.at_ms..first.at_ms + HOUR_MS).contains(kill)).count();
        let most = (polls + kills) * cost * 3;
        if within > most {
            scene.violations.push(format!("{within} requests in the hour from {}, {most} would be enough", first.at_ms));
            return;
        }
    }
}

/// A new day is begun: within two hours of its midnight there is a request, whatever was before.
fn judge_resumption(scene: &mut Scene, log: &[Access], start: i64) {
    let end = scene.clock.now().0;
    let mut at = start;
    while at < end - 3 * HOUR_MS {
        if day(at) != day(at - 60_000) {
            let next = log.iter().find(|access| access.at_ms >= at - 60_000);
            let longest = 2 * HOUR_MS + i64::try_from(scene.settings.every.as_millis()).unwrap();
            if next.is_none_or(|access| access.at_ms > at + longest) {
                scene.violations.push(format!("nothing is asked after the midnight at {at}"));
            }
        }
        at += 60_000;
    }
}

/// The rows of the topic are what the channel was, and at the end what it is.
fn judge_rows(scene: &mut Scene, storm: i64) {
    let rows = rows(scene);
    let videos = scene.youtube.with(|world| world.videos.clone());
    let patience = patience(scene);
    for (id, rows) in &rows {
        let Some(video) = videos.get(id) else {
            scene.violations.push(format!("a row of {id}, which never was"));
            continue;
        };
        for (place, (at, said)) in rows.iter().enumerate() {
            let (was_there, since) = presence(video, *at);
            match said {
                // A poll takes some time: what it saw may just have changed.
                Some(views) if !shown(video, *views, *at) => scene.violations.push(format!("{id} had never {views} views around {at}")),
                None if was_there && at - since > patience => {
                    scene.violations.push(format!("{id} is removed at {at} although it is there since {since}"));
                }
                None if place == 0 || rows[place - 1].1.is_none() => scene.violations.push(format!("{id} is removed twice, at {at}")),
                _ => {}
            }
        }
    }
    if scene.clock.now().0 < storm + 2 * 86_400_000 {
        return;
    }
    for (id, video) in &videos {
        let last = rows.get(id).and_then(|rows| rows.last());
        match last {
            Some((_, Some(views))) if video.is_there() && *views == video.views => {}
            Some((_, None)) | None if !video.is_there() => {}
            // Nobody saw it in time.
            other => scene.violations.push(format!("at the end {id} is {video:?}, and the topic says {other:?}")),
        }
    }
}

/// How long a poll may take, with all its pauses.
fn patience(scene: &Scene) -> i64 {
    i64::try_from(scene.settings.every.as_millis()).unwrap() + HOUR_MS
}

/// Whether a video was there at a moment, and since when that is so.
fn presence(video: &Video, at: i64) -> (bool, i64) {
    let passed: Vec<i64> = video.changes.iter().copied().filter(|change| *change <= at).collect();
    (passed.len() % 2 == 1, passed.last().copied().unwrap_or(i64::MIN))
}

/// Whether the video had these views at about that moment.
fn shown(video: &Video, views: i64, at: i64) -> bool {
    let until = |place: usize| video.history.get(place + 1).map_or(i64::MAX, |(next, _)| *next);
    let mut spans = video.history.iter().enumerate();
    spans.any(|(place, (from, count))| *count == views && *from <= at && at <= until(place).saturating_add(600_000))
}

/// The committed rows of each video, read without the project's own decoder.
fn rows(scene: &Scene) -> BTreeMap<String, Vec<Row>> {
    let schema = apache_avro::Schema::parse_str(tidewatch::avro::shipped("youtube_video").unwrap()).unwrap();
    let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
    let mut consumer = scene.log.consumer(options).unwrap();
    consumer.assign(&TopicPartition::new(TOPIC, 0), Offset(0)).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let (mut batch, mut rows) = (RecordBatch::default(), BTreeMap::<String, Vec<Row>>::new());
    while consumer.poll(Duration::ZERO, &mut batch).unwrap() == Polled::Records {
        for record in batch.iter() {
            let id = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            // Behind the magic byte and the number of the schema.
            let views = record.value.map(|value| views(&reader.read_value(&mut &value[5..]).unwrap()));
            rows.entry(id).or_default().push((record.timestamp.0, views));
        }
    }
    rows
}

fn views(row: &Value) -> i64 {
    let Value::Record(fields) = row else { panic!("{row:?}") };
    match fields.iter().find(|(name, _)| name == "views") {
        Some((_, Value::Union(_, value))) => match **value {
            Value::Long(views) => views,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
