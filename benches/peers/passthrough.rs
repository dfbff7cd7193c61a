//! The limit: a client that reads the same records and writes as many bytes to as many topics in transactions, and does nothing with them.
//!
//! It runs as a process of its own, so that it can be measured as one: `peers passthrough SERVERS GROUP INPUT COMMIT_MS [OUTPUT BYTES PER_MILLION]...`.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The first argument of the child.
pub(crate) const ARGUMENT: &str = "passthrough";

/// What [`Output::per_million`] is a share of.
pub(crate) const MILLION: u64 = 1_000_000;

const TIMEOUT: Duration = Duration::from_secs(30);

/// What it writes for each record that it reads.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) topic: String,
    /// Bytes of a value.
    pub(crate) bytes: usize,
    /// For how many of a million records.
    pub(crate) per_million: u64,
}

/// A pass-through that is to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) servers: String,
    pub(crate) group: String,
    pub(crate) input: String,
    /// Under load a transaction takes this long; 0 commits whenever nothing more is there.
    pub(crate) commit_ms: u64,
    pub(crate) outputs: Vec<Output>,
}

impl Plan {
    /// The process that runs it, without end.
    pub(crate) fn command(&self) -> Vec<OsString> {
        let mut command = vec![std::env::current_exe().unwrap().into()];
        command.extend([ARGUMENT, &self.servers, &self.group, &self.input, &self.commit_ms.to_string()].map(OsString::from));
        for Output { topic, bytes, per_million } in &self.outputs {
            command.extend([topic, &bytes.to_string(), &per_million.to_string()].map(OsString::from));
        }
        command
    }

    fn parse(arguments: &[String]) -> Self {
        let [servers, group, input, commit_ms, outputs @ ..] = arguments else { panic!("{arguments:?}") };
        let output = |it: &[String]| Output { topic: it[0].clone(), bytes: it[1].parse().unwrap(), per_million: it[2].parse().unwrap() };
        Self {
            servers: servers.clone(),
            group: group.clone(),
            input: input.clone(),
            commit_ms: commit_ms.parse().unwrap(),
            outputs: outputs.chunks(3).map(output).collect(),
        }
    }
}

/// The same settings as tidewatch's own clients have, where they matter for speed.
fn clients(plan: &Plan) -> (BaseConsumer, BaseProducer) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &plan.servers);
    let mut reading = config.clone();
    for (key, value) in [
        ("group.id", &*plan.group),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("check.crcs", "true"),
        ("fetch.queue.backoff.ms", "10"),
        ("queued.max.messages.kbytes", "8192"),
        ("queued.min.messages", "20000"),
    ] {
        reading.set(key, value);
    }
    for (key, value) in [
        ("transactional.id", &*plan.group),
        ("linger.ms", "1"),
        ("batch.size", "262144"),
        ("queue.buffering.max.kbytes", "16384"),
        ("partitioner", "murmur2_random"),
        ("transaction.timeout.ms", "10000"),
    ] {
        config.set(key, value);
    }
    (reading.create().unwrap(), config.create().unwrap())
}

/// The child's main.
pub(crate) fn child(arguments: &[String]) {
    let plan = Plan::parse(arguments);
    let (consumer, producer) = clients(&plan);
    producer.init_transactions(TIMEOUT).unwrap();
    let metadata = consumer.fetch_metadata(Some(&plan.input), TIMEOUT).unwrap();
    let mut next = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        next.add_partition_offset(&plan.input, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&next).unwrap();
    let bytes = vec![b'x'; plan.outputs.iter().map(|output| output.bytes).max().unwrap_or(0)];
    let mut pass = Pass { plan: &plan, consumer: &consumer, producer: &producer, positions: vec![-1; next.count()], open: None };
    let mut read = 0;
    loop {
        let wait = if pass.open.is_some() && plan.commit_ms == 0 { Duration::ZERO } else { Duration::from_millis(5) };
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                let began = *pass.open.get_or_insert_with(|| {
                    producer.begin_transaction().unwrap();
                    Instant::now()
                });
                read += 1;
                pass.positions[usize::try_from(message.partition()).unwrap()] = message.offset() + 1;
                pass.write(&message, &bytes, read);
                if plan.commit_ms > 0 && read.is_multiple_of(64) && began.elapsed() >= Duration::from_millis(plan.commit_ms) {
                    pass.commit();
                }
            }
            Some(Err(error)) => panic!("{error}"),
            None => pass.commit(),
        }
    }
}

struct Pass<'a> {
    plan: &'a Plan,
    consumer: &'a BaseConsumer,
    producer: &'a BaseProducer,
    positions: Vec<i64>,
    open: Option<Instant>,
}

impl Pass<'_> {
    fn write(&self, message: &rdkafka::message::BorrowedMessage<'_>, bytes: &[u8], read: u64) {
        let key = message.key().unwrap_or_default();
        let is_due = |output: &&Output| read * output.per_million / MILLION > (read - 1) * output.per_million / MILLION;
        for output in self.plan.outputs.iter().filter(is_due) {
            let mut record = BaseRecord::to(&output.topic).key(key).payload(&bytes[..output.bytes]);
            record.timestamp = message.timestamp().to_millis();
            while let Err((_, back)) = self.producer.send(record) {
                self.producer.poll(Duration::ZERO);
                std::thread::park_timeout(Duration::from_micros(200));
                record = back;
            }
        }
        if read.is_multiple_of(256) {
            self.producer.poll(Duration::ZERO);
        }
    }

    fn commit(&mut self) {
        if self.open.take().is_none() {
            return;
        }
        // rust-rdkafka's flush waits in steps of 100 ms, and its poll looks without a rest for what is less than a millisecond.
        loop {
            for _ in 0..16 {
                self.producer.poll(Duration::ZERO);
            }
            if self.producer.in_flight_count() == 0 {
                break;
            }
            std::thread::park_timeout(Duration::from_micros(200));
        }
        let mut next = TopicPartitionList::new();
        for (partition, &offset) in self.positions.iter().enumerate().filter(|(_, offset)| **offset >= 0) {
            next.add_partition_offset(&self.plan.input, i32::try_from(partition).unwrap(), Offset::Offset(offset)).unwrap();
        }
        self.producer.send_offsets_to_transaction(&next, &self.consumer.group_metadata().unwrap(), TIMEOUT).unwrap();
        self.producer.commit_transaction(TIMEOUT).unwrap();
    }
}
