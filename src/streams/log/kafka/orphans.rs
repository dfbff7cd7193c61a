//! Partitions that no member of a group has, although the group is at rest.
//!
//! A cooperative rebalance moves a partition in two rounds: in the first its owner is told to give it up, and the owner's joining again
//! begins the second. An owner that dies in between and comes back under its static id is given its former place without any rebalance: the
//! second round never comes, and nobody reads the partition. So who comes back looks whether something was left over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::MetadataTopic;

use super::context::Ear;
use crate::streams::log::TopicPartition;

/// How long a question to the brokers may take; one without an answer is let be.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The group is looked at so often: an owner that lives may be just about to join again.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A group that is at rest; in any other state a rebalance is on its way.
const AT_REST: &str = "Stable";

/// Whether somebody who took up the place of a dead member has to ask for another rebalance.
pub(super) fn any_left(consumer: &BaseConsumer<Ear>, group: Option<&str>, topics: &[Arc<str>]) -> bool {
    let Some(group) = group else { return false };
    match orphans(consumer, group, topics) {
        Ok(orphans) if orphans.is_empty() => false,
        Ok(orphans) => {
            let orphans: Vec<_> = orphans.iter().map(ToString::to_string).collect();
            tracing::info!(group, partitions = orphans.join(" "), "joining anew: nobody has these partitions");
            true
        }
        Err(cause) => {
            tracing::debug!(target: "librdkafka", error = %cause, "who has which partition is not known");
            false
        }
    }
}

/// Partitions of `topics` that the group has given to nobody, and will not without being asked.
fn orphans(consumer: &BaseConsumer<Ear>, group: &str, topics: &[Arc<str>]) -> Result<BTreeSet<TopicPartition>, KafkaError> {
    let mut all = BTreeSet::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        all.extend(partitions.map(|partition| TopicPartition::new(Arc::clone(topic), partition.id())));
    }
    let mut left = BTreeSet::new();
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::park_timeout(LOOK_AGAIN);
        }
        let list = consumer.fetch_group_list(Some(group), TIMEOUT)?;
        let Some(found) = list.groups().iter().find(|found| found.name() == group && found.state() == AT_REST) else {
            return Ok(BTreeSet::new());
        };
        left = left_over(&all, found);
        if left.is_empty() {
            break;
        }
    }
    Ok(left)
}

fn left_over(all: &BTreeSet<TopicPartition>, group: &GroupInfo) -> BTreeSet<TopicPartition> {
    let mut left = all.clone();
    for member in group.members() {
        // What cannot be read is somebody else's protocol: nothing is known then, and nothing is to be done.
        let Some(assigned) = member.assignment().map_or(Some(Vec::new()), assignment) else { return BTreeSet::new() };
        for partition in &assigned {
            left.remove(partition);
        }
    }
    left
}

/// Reads `ConsumerProtocolAssignment`: a version, then topics with their partitions; what follows is the assignor's own.
fn assignment(mut bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let bytes = &mut bytes;
    let mut partitions = Vec::new();
    take::<2>(bytes)?;
    for _ in 0..i32::from_be_bytes(take(bytes)?) {
        let length = usize::try_from(i16::from_be_bytes(take(bytes)?)).ok()?;
        let (topic, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let topic: Arc<str> = std::str::from_utf8(topic).ok()?.into();
        for _ in 0..i32::from_be_bytes(take(bytes)?) {
            partitions.push(TopicPartition::new(Arc::clone(&topic), i32::from_be_bytes(take(bytes)?)));
        }
    }
    Some(partitions)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_brokers_keep_it() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x02uv\0\0\0\x01\0\0\0\x01\0\0\0\0";
        let expected = [("t", 0), ("t", 3), ("uv", 1)].map(|(topic, number)| TopicPartition::new(topic, number));
        assert_eq!(assignment(bytes), Some(expected.to_vec()));
        assert_eq!(assignment(b""), Some(Vec::new()));
        assert_eq!(assignment(b"\0\0\0\0\0\0\xff\xff\xff\xff"), Some(Vec::new()));
        for cut in 1..bytes.len() - 4 {
            assert_eq!(assignment(&bytes[..cut]), None, "{cut}");
        }
    }
}
