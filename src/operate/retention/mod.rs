//! Refuses to write what would be deleted at once: results carry the time of their input, and a log deletes by the time of records.
//!
//! A year-old record in a topic that keeps a week is gone minutes after it was written. So the age of what is read next is compared with the
//! retention of what is written, at the start.

use std::sync::Arc;
use std::time::Duration;

use super::topics::{Role, needed};
use crate::config::{Config, Source};
use crate::streams::clock::{Clock, Timestamp};
use crate::streams::log::{
    self, Admin, CleanupPolicy, Consumer, ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, TopicConfig, TopicPartition,
};
use crate::streams::topology::Start;

/// How long one record may take to come. Without it the start goes on unchecked: this is a help, not a guarantee.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Why the application must not run on these topics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error("the retention of the topics could not be checked")]
    Log(#[from] log::Error),
    /// An output would lose its records.
    #[error(
        "the topic {topic} keeps records for {}, but what is read next from {input} is {} old: results carry its time and would be deleted",
        in_words(*.retention), in_words(*.age)
    )]
    TooShort {
        /// The output.
        topic: Arc<str>,
        /// How long it keeps records.
        retention: Duration,
        /// The input partition.
        input: TopicPartition,
        /// How old its next record is.
        age: Duration,
        /// Some of the brokers, for the remedy; empty for the embedded log.
        brokers: String,
    },
}

impl Error {
    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        let Self::TooShort { topic, brokers, .. } = self else { return None };
        let brokers = if brokers.is_empty() { "HOST:PORT" } else { brokers };
        Some(format!(
            "Let it keep them: `kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {topic} --add-config \
             retention.ms=-1`; `tidewatch setup` shows all topics that differ."
        ))
    }
}

/// Compares the age of the next record of each input partition with the retention of all outputs. An input that keeps its records for less
/// than that is told in the log: who fills it decides.
pub fn check(log: &dyn Log, config: &Config, clock: &dyn Clock) -> Result<(), Error> {
    let admin = log.admin();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for topic in needed(config) {
        let Some(description) = admin.describe(&topic.name)? else { continue };
        let retention = retention(&description.config);
        match topic.role {
            Role::Input => inputs.push((topic.name, description.config.partitions, retention)),
            Role::Output | Role::DeadLetters | Role::Undelivered => outputs.extend(retention.map(|retention| (topic.name, retention))),
            Role::Changelog { .. } | Role::PollerState | Role::SentLog { .. } => {}
        }
    }
    if outputs.is_empty() && inputs.iter().all(|(_, _, retention)| retention.is_none()) {
        return Ok(());
    }
    let shortest = outputs.iter().min_by_key(|(_, retention)| *retention);
    let committed = admin.group_offsets(&config.application_id)?;
    let mut reader = log.consumer(ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted })?;
    for (name, partitions, kept) in inputs {
        let Some(source) = config.source_of(&name) else { continue };
        for input in (0..partitions).map(|partition| TopicPartition::new(Arc::clone(&name), partition)) {
            let known = committed.iter().find(|(partition, _)| *partition == input).map(|(_, committed)| committed.offset);
            let Some((from, end)) = next(&*admin, source, &input, known)? else { continue };
            let Some(at) = time_at(&mut *reader, &input, (from, end), clock)? else { continue };
            let age = Duration::from_millis(u64::try_from(clock.now().0.saturating_sub(at.0)).unwrap_or_default());
            if let Some(kept) = kept.filter(|kept| *kept < age) {
                tracing::warn!(
                    input = %input, keeps = in_words(kept), age = in_words(age),
                    "the input keeps its records for less than the age of the next one: what is not read soon may be deleted unread"
                );
            }
            if let Some((topic, retention)) = shortest.filter(|(_, retention)| *retention < age) {
                let brokers = config.kafka.as_ref().map(|kafka| kafka.bootstrap_servers.join(",")).unwrap_or_default();
                return Err(Error::TooShort { topic: Arc::clone(topic), retention: *retention, input, age, brokers });
            }
        }
    }
    Ok(())
}

/// How long a topic keeps records; none: for ever, or the last of each key.
fn retention(config: &TopicConfig) -> Option<Duration> {
    config.retention.filter(|_| config.cleanup == CleanupPolicy::Delete)
}

/// Where the group reads on, and the end; none where there is nothing to read, or where the engine will refuse the position anyway.
fn next(admin: &dyn Admin, source: &Source, input: &TopicPartition, committed: Option<Offset>) -> Result<Option<(Offset, Offset)>, Error> {
    let (low, end) = admin.watermarks(input, Isolation::ReadCommitted)?;
    let from = match (committed, source.start) {
        (Some(offset), _) => offset,
        (None, Start::Earliest) => low,
        (None, Start::Latest) => end,
    };
    Ok((from >= low && from < end).then_some((from, end)))
}

/// The time of the first record from an offset on.
fn time_at(
    reader: &mut dyn Consumer,
    input: &TopicPartition,
    (from, end): (Offset, Offset),
    clock: &dyn Clock,
) -> Result<Option<Timestamp>, Error> {
    reader.assign(input, from)?;
    let found = first(reader, input, end, clock);
    reader.unassign(input)?;
    found
}

fn first(reader: &mut dyn Consumer, input: &TopicPartition, end: Offset, clock: &dyn Clock) -> Result<Option<Timestamp>, Error> {
    let mut batch = RecordBatch::default();
    let begin = clock.monotonic();
    while clock.monotonic().saturating_sub(begin) < READ_TIMEOUT {
        if reader.poll(POLL_TIMEOUT, &mut batch)? == Polled::Records {
            // Before 1970 is no time at all.
            return Ok(batch.iter().next().map(|record| record.timestamp).filter(|at| at.0 >= 0));
        }
        if reader.position(input).is_some_and(|position| position >= end) {
            return Ok(None);
        }
    }
    tracing::warn!(%input, "no record came in time: its age could not be compared with the retention of the outputs");
    Ok(None)
}

/// The largest unit that is not zero, rounded down.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
