//! The load: observations at an even rate, from a seed, written until told to stop, so that no fault meets an input that is used up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use tidewatch::avro::{Encoder, Row, Schema, SchemaId, Shape, Value, shipped, wire};

use crate::random::Random;
use crate::time::{nap, now_ms};

/// What the observations are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Observations a second.
    pub(crate) rate: u32,
    /// Different keys.
    pub(crate) keys: u64,
    /// Of a thousand records, how many are tombstones.
    pub(crate) tombstones: u64,
    /// Of a thousand records, how many are older than the one before of their key, or from a clock far off.
    pub(crate) out_of_order: u64,
    /// Of a thousand records, how many are written twice.
    pub(crate) twice: u64,
    /// How much longer titles are than they have to be.
    pub(crate) padding: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self { rate: 300, keys: 400, tombstones: 5, out_of_order: 0, twice: 0, padding: 0 }
    }
}

/// How far the input is.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Per partition the offset behind the last record that is there.
    reached: Mutex<Vec<i64>>,
    written: AtomicU64,
    failed: AtomicU64,
}

impl Ends {
    fn reach(&self, partition: i32, end: i64) {
        let mut ends = self.reached.lock().unwrap();
        let place = usize::try_from(partition).unwrap();
        if ends.len() <= place {
            ends.resize(place + 1, 0);
        }
        ends[place] = ends[place].max(end);
    }

    /// Behind the last record of each partition.
    pub(crate) fn of_each(&self) -> Vec<i64> {
        self.reached.lock().unwrap().clone()
    }

    /// How many records are there.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The sum over the partitions.
    pub(crate) fn sum(&self) -> i64 {
        self.reached.lock().unwrap().iter().sum()
    }
}

/// What the producer tells of records.
pub(crate) struct Reports(pub(crate) Arc<Ends>);

impl ClientContext for Reports {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                self.0.written.fetch_add(1, Ordering::Relaxed);
                self.0.reach(message.partition(), message.offset() + 1);
            }
            Err(_) => drop(self.0.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// A thread that writes until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) ends: Arc<Ends>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(client: &ClientConfig, topic: &str, schema: SchemaId, shape: Look, seed: u64) -> Self {
        let (stop, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(Ends::default()));
        let mut config = client.clone();
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "5");
        let producer = BaseProducer::from_config_and_context(&config, Reports(Arc::clone(&ends))).unwrap();
        let (told, topic) = (Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::spawn(move || write(&producer, &topic, Source::new(schema, shape, seed), &told));
        Self { stop, ends, thread: Some(thread) }
    }

    /// Stops when all is there; how many records that are.
    pub(crate) fn stop(&mut self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(|_| "the load's thread panicked".to_owned())?;
        match self.ends.failed.load(Ordering::Relaxed) {
            0 => Ok(self.ends.written()),
            failed => Err(format!("{failed} records of the load were not taken by the brokers")),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn write(producer: &BaseProducer<Reports>, topic: &str, mut source: Source, stop: &AtomicBool) {
    let began = Instant::now();
    let mut number = 0_u32;
    while !stop.load(Ordering::Acquire) {
        let due = Duration::from_secs(1) * number / source.shape.rate;
        if began.elapsed() < due {
            // Not a poll with a time-out: rust-rdkafka looks without a rest for what is less than a millisecond.
            producer.poll(Duration::ZERO);
            nap(Duration::from_millis(2));
            continue;
        }
        number += 1;
        source.next();
        let times = if source.random.below(1000) < source.shape.twice { 2 } else { 1 };
        for _ in 0..times {
            let mut record = BaseRecord::to(topic).key(&source.key).timestamp(source.timestamp);
            record.payload = source.value.as_deref();
            while let Err((_, back)) = producer.send(record) {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
    }
    // What was not taken by then is told as failed.
    if producer.flush(Duration::from_secs(60)).is_err() {
        producer.context().0.failed.fetch_add(u64::try_from(producer.in_flight_count()).unwrap_or(1).max(1), Ordering::Relaxed);
    }
}

/// Observations one after the other.
struct Source {
    encoder: Encoder,
    row: Row,
    id: SchemaId,
    shape: Look,
    random: Random,
    views: Vec<i64>,
    key: String,
    value: Option<Vec<u8>>,
    timestamp: i64,
    last: i64,
}

impl Source {
    fn new(id: SchemaId, shape: Look, seed: u64) -> Self {
        let schema = Schema::parse(shipped("youtube_video").unwrap()).unwrap();
        let fields = ["title", "views", "likes", "comments"].map(|path| schema.shape().field(path).unwrap().clone());
        let watched = Shape { fields: fields.to_vec() };
        let mut random = Random::seeded(seed);
        let views = (0..shape.keys).map(|_| i64::try_from(random.below(1_000_000)).unwrap()).collect();
        let encoder = Encoder::compile(&schema, &watched).unwrap();
        let row = Row::of(&watched);
        Self { encoder, row, id, shape, random, views, key: String::new(), value: None, timestamp: 0, last: 0 }
    }

    fn next(&mut self) {
        let number = self.random.below(self.shape.keys);
        self.key = format!("video-{number:05}");
        // Each its own: that is how a change is found again by whoever compares.
        self.last = now_ms().max(self.last + 1);
        self.timestamp = self.last;
        if self.random.below(1000) < self.shape.out_of_order {
            // Brokers refuse what is more than an hour ahead.
            let off = i64::try_from(self.random.below(90_000_000)).unwrap();
            self.timestamp = if self.random.below(4) == 0 { self.last + off % 3_000_000 } else { (self.last - off).max(1) };
        }
        if self.random.below(1000) < self.shape.tombstones {
            self.value = None;
            return;
        }
        let views = &mut self.views[usize::try_from(number).unwrap()];
        // Some observations say nothing new, some fall back, a few counts are hidden.
        *views = (*views + i64::try_from(self.random.below(300)).unwrap() - 90).max(0);
        let count = |random: &mut Random, per: i64| if random.below(20) == 0 { Value::Null } else { Value::Long(*views / per) };
        let title = format!("Video {number}, part {}{}", *views / 50_000, "-".repeat(self.shape.padding));
        self.row.values[0] = if self.random.below(50) == 0 { Value::Null } else { Value::String(title) };
        self.row.values[1] = count(&mut self.random, 1);
        self.row.values[2] = count(&mut self.random, 20);
        self.row.values[3] = count(&mut self.random, 300);
        let mut value = Vec::new();
        wire::prefix(self.id, &mut value);
        self.encoder.encode(&self.row, None, &mut value).unwrap();
        self.value = Some(value);
    }
}
