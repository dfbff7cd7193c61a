//! What is written down every five seconds, and what happened meanwhile.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::instance::Instance;

/// A broker that is away is not waited for.
const ASK: Duration = Duration::from_secs(2);

/// What the system says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Without the pages of files: those of the program's own come in as its code is used, and go when others need the room.
    pub(crate) memory_kib: u64,
    pub(crate) threads: u64,
    pub(crate) open_files: usize,
    pub(crate) cpu_ticks: u64,
}

impl Usage {
    /// None where the process is gone.
    pub(crate) fn of(id: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let number = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // Behind the name, which may hold anything: utime and stime are the 12th and 13th.
        let ticks = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        let open_files = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count();
        Some(Self { memory_kib: number("RssAnon:")?, threads: number("Threads:")?, open_files, cpu_ticks: ticks })
    }
}

/// What the files of a directory take on the disk, and how many there are. Files come and go meanwhile.
pub(crate) fn disk(directory: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(about) if about.is_dir() => {
                let below = disk(&entry.path());
                bytes += below.0;
                files += below.1;
            }
            Ok(about) => {
                bytes += 512 * about.blocks();
                files += 1;
            }
            Err(_) => {}
        }
    }
    (bytes, files)
}

/// How far a group is behind on a topic.
pub(crate) struct Lag {
    consumer: BaseConsumer,
    asked: TopicPartitionList,
}

impl Lag {
    pub(crate) fn new(client: &ClientConfig, group: &str, topic: &str, partitions: i32) -> Self {
        let mut config = client.clone();
        config.set("group.id", group).set("isolation.level", "read_uncommitted").set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        Self { consumer: config.create().unwrap(), asked }
    }

    /// The ends of the partitions, together; none where nobody answers.
    pub(crate) fn end(&self) -> Option<i64> {
        let elements = self.asked.elements();
        elements.iter().map(|place| Some(self.consumer.fetch_watermarks(place.topic(), place.partition(), ASK).ok()?.1)).sum()
    }

    /// How many offsets of all partitions are not committed, a marker at the end of each aside; none where nobody answers.
    pub(crate) fn now(&self) -> Option<i64> {
        let committed = self.consumer.committed_offsets(self.asked.clone(), ASK).ok()?;
        let behind = |place: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let (low, end) = self.consumer.fetch_watermarks(place.topic(), place.partition(), ASK).ok()?;
            let position = if let Offset::Offset(offset) = place.offset() { offset } else { low };
            Some(if end - position > 1 { end - position } else { 0 })
        };
        committed.elements().iter().map(behind).sum()
    }
}

/// The two files of a run.
#[derive(Debug)]
pub(crate) struct Samples {
    samples: File,
    events: File,
    began: Instant,
}

impl Samples {
    pub(crate) fn create(folder: &Path) -> Result<Self, String> {
        let create = |name: &str, head: &str| {
            let mut file = File::create(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
            writeln!(file, "{head}").map_err(|error| format!("{name}: {error}"))?;
            Ok::<_, String>(file)
        };
        let head = "seconds,process,life,age_seconds,memory_kib,open_files,threads,disk_bytes,disk_files,cpu_ticks,lag,lag_sender";
        Ok(Self { samples: create("samples.csv", head)?, events: create("events.csv", "seconds,what,who")?, began: Instant::now() })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes what happened, also for whoever watches.
    pub(crate) fn event(&mut self, what: &str, who: &str) {
        let seconds = self.elapsed().as_secs_f64();
        println!("{seconds:8.1} s  {what} {who}");
        writeln!(self.events, "{seconds:.1},{what},{who}").unwrap();
    }

    /// A line for each instance that runs.
    pub(crate) fn take(&mut self, instances: &[Instance], lag: Option<i64>, lag_sender: Option<i64>) {
        let text = |lag: Option<i64>| lag.map(|lag| lag.to_string()).unwrap_or_default();
        for instance in instances {
            let Some(Usage { memory_kib, threads, open_files, cpu_ticks }) = instance.id().and_then(Usage::of) else { continue };
            let (bytes, files) = disk(&instance.state_dir());
            writeln!(
                self.samples,
                "{:.1},{},{},{:.1},{memory_kib},{open_files},{threads},{bytes},{files},{cpu_ticks},{},{}",
                self.began.elapsed().as_secs_f64(),
                instance.name,
                instance.life,
                instance.since.elapsed().as_secs_f64(),
                text(lag),
                text(lag_sender),
            )
            .unwrap();
        }
    }
}
