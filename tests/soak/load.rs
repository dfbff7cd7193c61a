//! The load: twice a second some observations of a fixed set of videos, evenly after a rush at the beginning. Much changes, little is worth a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::KafkaResult;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
use tidewatch::avro::{Encoder, Row, Schema, SchemaId, Shape, Value, shipped, wire};

use crate::random::Random;
use crate::real::PATIENCE;

/// How many observations come at once, and how often.
const BURST: u64 = 50;

/// How many at first: what is bounded, as caches and write buffers, has to be full when the warm-up is over, or it would be taken for growth.
const RUSH: u64 = 400;

const EVERY: Duration = Duration::from_millis(500);

/// So many videos there are.
const VIDEOS: u64 = 4000;

/// So long a title is, and another one each time: then write buffers are full within the warm-up, and what comes after is what stays.
const TITLE_LENGTH: usize = 200;

/// Counts what the brokers took.
#[derive(Debug, Default)]
struct Reports {
    taken: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Counting(Arc<Reports>);

impl ClientContext for Counting {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.0.taken } else { &self.0.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread that writes until it is told to stop.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    reports: Arc<Reports>,
    thread: Option<JoinHandle<KafkaResult<()>>>,
}

impl Load {
    /// Begins, and is in a rush for so long.
    pub(crate) fn start(client: &ClientConfig, topic: &str, schema: u32, seed: u64, rush: Duration) -> Self {
        let (stop, reports) = (Arc::new(AtomicBool::new(false)), Arc::new(Reports::default()));
        let mut config = client.clone();
        config
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        let producer: BaseProducer<Counting> = config.create_with_context(Counting(Arc::clone(&reports))).unwrap();
        let (told, topic) = (Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::spawn(move || write(&producer, &topic, Videos::new(SchemaId(schema), seed), &told, rush));
        Self { stop, reports, thread: Some(thread) }
    }

    /// How many records the brokers have taken.
    pub(crate) fn taken(&self) -> u64 {
        self.reports.taken.load(Ordering::Relaxed)
    }

    /// Ends when all is there; how many records that are.
    pub(crate) fn stop(mut self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Release);
        let flushed = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join).map_err(|_| "the load's thread panicked")?;
        flushed.map_err(|error| format!("the load's last records were not taken within {PATIENCE:?}: {error}"))?;
        match self.reports.refused.load(Ordering::Relaxed) {
            0 => Ok(self.taken()),
            refused => Err(format!("{refused} records of the load were refused")),
        }
    }
}

fn write(producer: &BaseProducer<Counting>, topic: &str, mut videos: Videos, stop: &AtomicBool, rush: Duration) -> KafkaResult<()> {
    let began = Instant::now();
    let mut due = began;
    while !stop.load(Ordering::Acquire) {
        if Instant::now() < due {
            producer.poll(Duration::from_millis(20));
            continue;
        }
        due += EVERY;
        for _ in 0..if began.elapsed() < rush { RUSH } else { BURST } {
            videos.observe();
            let mut record = BaseRecord::to(topic).key(&videos.key).payload(&videos.value).timestamp(videos.at);
            while let Err((_, back)) = producer.send(record) {
                // The queue is full: the broker is away.
                producer.poll(Duration::from_millis(20));
                record = back;
            }
        }
    }
    producer.flush(PATIENCE)
}

/// Observations, one after the other.
struct Videos {
    encoder: Encoder,
    row: Row,
    schema: SchemaId,
    random: Random,
    views: Vec<i64>,
    likes: Vec<i64>,
    key: String,
    value: Vec<u8>,
    /// Each its own time, so that whoever compares can tell them apart.
    at: i64,
}

impl Videos {
    fn new(id: SchemaId, seed: u64) -> Self {
        let schema = Schema::parse(shipped("youtube_video").unwrap()).unwrap();
        let fields = ["title", "views", "likes", "comments"].map(|path| schema.shape().field(path).unwrap().clone());
        let shape = Shape { fields: fields.to_vec() };
        let mut random = Random::seeded(seed);
        let views = (0..VIDEOS).map(|_| i64::try_from(random.below(1_000_000)).unwrap()).collect();
        let likes = (0..VIDEOS).map(|_| i64::try_from(random.below(10_000)).unwrap()).collect();
        let (encoder, row) = (Encoder::compile(&schema, &shape).unwrap(), Row::of(&shape));
        Self { encoder, row, schema: id, random, views, likes, key: String::new(), value: Vec::new(), at: 0 }
    }

    fn observe(&mut self) {
        let number = self.random.below(VIDEOS);
        let place = usize::try_from(number).unwrap();
        self.key = format!("video-{number:05}");
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap();
        self.at = now.max(self.at + 1);
        self.views[place] += i64::try_from(self.random.below(4)).unwrap();
        self.likes[place] += i64::from(self.random.below(400) == 0);
        let hidden = self.random.below(50) == 0;
        self.row.values[0] = Value::String(format!("{:.<TITLE_LENGTH$}", format!("Video {number} at {}", self.at)));
        self.row.values[1] = Value::Long(self.views[place]);
        self.row.values[2] = if hidden { Value::Null } else { Value::Long(self.likes[place]) };
        self.row.values[3] = Value::Long(self.views[place] / 100_000);
        self.value.clear();
        wire::prefix(self.schema, &mut self.value);
        self.encoder.encode(&self.row, None, &mut self.value).unwrap();
    }
}
