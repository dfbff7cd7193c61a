//! Whether what came out is what the job asks for: per video the sequence of the changes with all their fields, and the texts of the outbox.
//!
//! Held against a model that knows nothing of any of the peers, and read with Apache Avro; so outputs that are both right are equal. Texts have one
//! key, and the partitions' are mixed as it happens: they are compared without their order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidewatch::avro::shipped;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::keys::{Keys, Run};
use crate::load::{key, time, video};
use crate::observations::{TITLE, counts};
use crate::peer::{Job, Peer};

/// No topic takes longer to read.
const PATIENCE: Duration = Duration::from_secs(300);

/// Records and the bytes of their values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Volume {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What the job makes of a run.
#[derive(Debug)]
pub(crate) struct Expected {
    run: (Keys, u64, u64),
    /// By video: a hash over its changes in their order.
    changes: Vec<u64>,
    /// By the hash of a text: how many there are.
    texts: HashMap<u64, i64>,
}

/// Previous and current of title, views, likes and comments, the names of what changed, and both times: a line of text.
fn line(title: [Option<&str>; 2], pairs: [[Option<i64>; 2]; 3], changed: &[&str], times: [Option<i64>; 2]) -> String {
    format!("{title:?} {pairs:?} {changed:?} {times:?}")
}

impl Expected {
    pub(crate) fn of(run: (Keys, u64, u64)) -> Self {
        let mut expected = Self { run, changes: vec![0; usize::try_from(run.1).unwrap()], texts: HashMap::new() };
        model(run, |video, change, text| {
            let hash = &mut expected.changes[video];
            *hash = xxh3_64_with_seed(change.as_bytes(), *hash);
            if let Some(text) = text {
                *expected.texts.entry(xxh3_64(text.as_bytes())).or_default() += 1;
            }
        });
        expected
    }

    /// Panics with the first difference. The volumes of changes and outbox.
    pub(crate) fn check(&self, peer: Peer, job: &Job<'_>) -> [Volume; 2] {
        let client = job.application.client();
        let schemas = ["youtube_change", "telegram_message"].map(|name| Schema::parse_str(shipped(name).unwrap()).unwrap());
        let [change_reader, message_reader] = [&schemas[0], &schemas[1]].map(|schema| GenericDatumReader::builder(schema).build().unwrap());
        let mut changes = vec![0; self.changes.len()];
        let change_volume = each(&client, &job.changes(), |message| {
            let (video, text) = change_of(&change_reader, message);
            let hash = &mut changes[video];
            *hash = xxh3_64_with_seed(text.as_bytes(), *hash);
        });
        if let Some(video) = (0..changes.len()).find(|&video| changes[video] != self.changes[video]) {
            self.tell_change(peer, job, &change_reader, video);
        }
        let mut texts = self.texts.clone();
        let text_volume = each(&client, &job.outbox(), |message| {
            let text = text_of(&message_reader, message);
            let left = texts.entry(xxh3_64(text.as_bytes())).or_default();
            *left -= 1;
            assert!(*left >= 0, "{}: a message too many at {}/{}: {text}", peer.name(), message.partition(), message.offset());
        });
        let missing: i64 = texts.values().sum();
        if missing > 0 {
            let mut first = None;
            model(self.run, |_, change, text| {
                let is_missing = |text: &String| texts[&xxh3_64(text.as_bytes())] > 0;
                first = first.take().or_else(|| text.filter(is_missing).map(|text| format!("{text} ({change})")));
            });
            panic!("{}: {missing} messages are missing, the first: {}", peer.name(), first.unwrap_or_default());
        }
        [change_volume, text_volume]
    }

    fn tell_change(&self, peer: Peer, job: &Job<'_>, reader: &GenericDatumReader<'_>, wanted: usize) -> ! {
        let (mut right, mut seen) = (Vec::new(), Vec::new());
        model(self.run, |video, change, _| {
            if video == wanted {
                right.push(change.to_owned());
            }
        });
        each(&job.application.client(), &job.changes(), |message| {
            let (video, text) = change_of(reader, message);
            if video == wanted {
                seen.push(text);
            }
        });
        let place = (0..right.len().max(seen.len())).find(|&place| right.get(place) != seen.get(place)).unwrap_or_default();
        let name = key(u64::try_from(wanted).unwrap());
        panic!("{}: change {place} of {name}\n  is        {:?}\n  should be {:?}", peer.name(), seen.get(place), right.get(place));
    }
}

/// Calls `each` with every change that a run makes, by its video, and the text of its message where there is one.
fn model((keys, videos, records): (Keys, u64, u64), mut each: impl FnMut(usize, &str, Option<String>)) {
    let mut last: Vec<Option<u64>> = vec![None; usize::try_from(videos).unwrap()];
    for seen in Run::new(keys, videos).take(usize::try_from(records).unwrap()) {
        let place = usize::try_from(seen.video).unwrap();
        let Some(before) = last[place].replace(seen.index) else { continue };
        let (previous, current) = (counts(seen.video, seen.poll - 1), counts(seen.video, seen.poll));
        let pairs = [0, 1, 2].map(|field| [Some(previous[field]), Some(current[field])]);
        let names = ["views", "likes", "comments"].into_iter().zip(pairs);
        let changed: Vec<&str> = names.filter(|(_, [previous, current])| previous != current).map(|(name, _)| name).collect();
        let change = line([Some(TITLE); 2], pairs, &changed, [Some(time(before)), Some(time(seen.index))]);
        let text = || format!("Comments changed: {} => {}. {TITLE}", previous[2], current[2]);
        each(place, &change, (previous[2] != current[2]).then(text));
    }
}

fn change_of(reader: &GenericDatumReader<'_>, message: &BorrowedMessage<'_>) -> (usize, String) {
    let fields = decode(reader, message);
    let key = message.key().expect("a change has a key");
    let video = video(key).expect("the key of a change is one of ours");
    let text = |name: &str| field(&fields, name).and_then(|value| if let Value::String(text) = value { Some(text.as_str()) } else { None });
    let number = |name: &str| match field(&fields, name) {
        Some(Value::Long(number) | Value::TimestampMillis(number)) => Some(*number),
        _ => None,
    };
    let pair = |name: &str| [number(&format!("{name}_previous")), number(&format!("{name}_current"))];
    let changed: Vec<&str> = match field(&fields, "changed") {
        Some(Value::Array(names)) => {
            names.iter().filter_map(|name| if let Value::String(name) = name { Some(name.as_str()) } else { None }).collect()
        }
        _ => Vec::new(),
    };
    assert_eq!(text("video_id").map(str::as_bytes), Some(key));
    assert_eq!(text("title"), text("title_current"));
    assert!(matches!(field(&fields, "removed"), Some(Value::Boolean(false))), "{fields:?}");
    assert_eq!(number("observed_at_current"), message.timestamp().to_millis(), "a change has the time of its observation");
    let pairs = [pair("views"), pair("likes"), pair("comments")];
    (video, line([text("title_previous"), text("title_current")], pairs, &changed, pair("observed_at")))
}

fn text_of(reader: &GenericDatumReader<'_>, message: &BorrowedMessage<'_>) -> String {
    let fields = decode(reader, message);
    assert_eq!(message.key(), Some(&b"4711"[..]));
    assert!(matches!(field(&fields, "event_id"), Some(Value::String(id)) if id.len() == 32), "{fields:?}");
    match field(&fields, "text") {
        Some(Value::String(text)) => text.clone(),
        _ => panic!("{fields:?}"),
    }
}

/// The fields of a value in the wire format.
fn decode(reader: &GenericDatumReader<'_>, message: &BorrowedMessage<'_>) -> Vec<(String, Value)> {
    let mut body = message.payload().and_then(|value| value.get(5..)).expect("a value with a prefix");
    match reader.read_value(&mut body) {
        Ok(Value::Record(fields)) if body.is_empty() => fields,
        other => panic!("{}/{}: {other:?}, {} bytes left", message.partition(), message.offset(), body.len()),
    }
}

fn field<'a>(fields: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| if let Value::Union(_, value) = value { &**value } else { value })
}

/// Calls `each` with every committed record that is in a topic, in the order of each partition.
pub(crate) fn each(client: &ClientConfig, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) -> Volume {
    let mut config = client.clone();
    config.set("group.id", "unused").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    config.set("fetch.queue.backoff.ms", "10").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut open, mut volume, deadline) = (assignment.count(), Volume::default(), Instant::now() + PATIENCE);
    assert!(open > 0, "no topic {topic}");
    while open > 0 {
        assert!(Instant::now() < deadline, "{topic}: {open} partitions have no end after {} records", volume.records);
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{topic}: {error}"),
            Some(Ok(message)) => {
                volume.records += 1;
                volume.bytes += u64::try_from(message.payload_len()).unwrap();
                each(&message);
            }
        }
    }
    volume
}
