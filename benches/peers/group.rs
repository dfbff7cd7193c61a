//! How far a group is: by the offsets that it committed, which a transaction shows when it is committed and no sooner.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::peer::Job;
use crate::real::process::Process;

const TIMEOUT: Duration = Duration::from_secs(10);

/// How often the group is asked.
const STEP: Duration = Duration::from_millis(20);

/// Watches the group of a job; is no member of it.
pub(crate) struct Group {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Group {
    pub(crate) fn of(job: &Job<'_>) -> Self {
        let consumer: BaseConsumer = job.application.client().set("group.id", &job.id).create().unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..job.application.partitions {
            partitions.add_partition(&job.input, partition);
        }
        Self { consumer, partitions }
    }

    /// Records before the committed offsets.
    pub(crate) fn done(&self) -> u64 {
        let Ok(committed) = self.consumer.committed_offsets(self.partitions.clone(), TIMEOUT) else { return 0 };
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        u64::try_from(committed.elements().iter().map(|element| offset(element.offset())).sum::<i64>()).unwrap()
    }

    /// Waits until so many records are done; `step` is called with how many are so far.
    pub(crate) fn wait_for(&self, process: &mut Process, records: u64, limit: Duration, mut step: impl FnMut(u64)) {
        let deadline = Instant::now() + limit;
        loop {
            let done = self.done();
            if let Some(status) = process.ended() {
                panic!("ended ({status}) after {done} of {records} records:\n{}", process.said());
            }
            step(done);
            if done >= records {
                return;
            }
            assert!(Instant::now() < deadline, "{done} of {records} records in {limit:?}:\n{}", process.said());
            std::thread::park_timeout(STEP);
        }
    }
}
