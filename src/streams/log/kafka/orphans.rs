//! Partitions that no member of a group has, although the group is at rest.
//!
//! A cooperative rebalance moves a partition in two rounds: in the first its owner is told to give it up, and the owner's joining again
//! begins the second. An owner that drops out in between and joins under its static id again is given its former place without any rebalance
//! (KIP-345): the second round never comes, and nobody reads the partition. Dropped out has whoever died and was started again, whoever did not poll for too
//! long (the engine does not while it can make no producer), and whoever heard nothing of its brokers for longer than its session lasts while they were all
//! away, so that no broker counted. So who was given a place in this way looks for a while whether something was left over.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::MetadataTopic;

use super::client::Client;
use super::context::Ear;
use crate::streams::clock::{Clock as _, SystemClock};
use crate::streams::log::TopicPartition;

/// How long a question to the brokers may take; one without an answer is asked again.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// In so many looks in a row partitions must be left over: an owner that lives may take seconds to let go of them before it joins again.
const LOOKS_IN_A_ROW: u32 = 9;

/// The most looks, where the group does not come to rest or nobody answers.
const LOOKS_MAX: u32 = 120;

/// After it has let go of everything, a member's client sends word of that within milliseconds.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

/// A group that is at rest; in any other state a rebalance is on its way.
const AT_REST: &str = "Stable";

/// How a member came to its place in the group.
#[derive(Debug, Default)]
pub(super) enum Standing {
    /// Its next place may be one that it had before it dropped out.
    #[default]
    DroppedOut,
    /// It has such a place, and it is looked whether the group is whole.
    Watching(Watch),
    /// It leaves, to join anew: that is a rebalance. Since when it has nothing more to let go of, as far as it knows.
    Leaving(SystemClock),
    /// The group has reckoned with it.
    Known,
}

impl Standing {
    /// Whoever leaves does so anyway.
    pub(super) fn drop_out(&mut self) {
        if !matches!(self, Self::Leaving(_)) {
            *self = Self::DroppedOut;
        }
    }

    /// A member was given its place; `watch` begins to look, where there is need. What was found before is of another place.
    pub(super) fn take_place(&mut self, watch: impl FnOnce() -> Option<Watch>) {
        let is_watched = match self {
            Self::DroppedOut => true,
            Self::Watching(watch) => watch.outcome.get().is_some(),
            Self::Leaving(_) | Self::Known => false,
        };
        if is_watched {
            *self = watch().map_or(Self::Known, Self::Watching);
        }
    }

    /// Whether the group has to be asked for another rebalance: then the member has to leave.
    pub(super) fn finds_orphans(&mut self) -> bool {
        let Self::Watching(watch) = self else { return false };
        let Some(&found) = watch.outcome.get() else { return false };
        *self = if found { Self::Leaving(SystemClock::new()) } else { Self::Known };
        found
    }

    /// All that the group wanted back is given back.
    pub(super) fn has_let_go(&mut self) {
        if let Self::Leaving(since) = self {
            *since = SystemClock::new();
        }
    }

    /// Whether it has left and may join, which is to be looked at like any other place: nobody says that it was in time to leave.
    pub(super) fn has_left(&mut self) -> bool {
        let has_left = matches!(self, Self::Leaving(since) if since.monotonic() >= LEAVES_WITHIN);
        if has_left {
            *self = Self::DroppedOut;
        }
        has_left
    }
}

/// Looks for what is left over, on a thread of its own: brokers that have just come back may take seconds to answer. It ends with its owner.
#[derive(Debug)]
pub(super) struct Watch {
    outcome: Arc<OnceLock<bool>>,
}

impl Watch {
    /// Begins to look; none where there is no thread to be had.
    pub(super) fn begin(consumer: &Client<BaseConsumer<Ear>>, group: &Arc<str>, topics: &[Arc<str>]) -> Option<Self> {
        let outcome = Arc::<OnceLock<bool>>::default();
        let (owner, consumer) = (Arc::downgrade(&outcome), Arc::downgrade(&consumer.share()));
        let (group, topics) = (Arc::clone(group), topics.to_vec());
        let work = move || watch(&owner, &consumer, &group, &topics);
        thread::Builder::new().name("orphans".to_owned()).spawn(work).ok()?;
        Some(Self { outcome })
    }
}

fn watch(owner: &Weak<OnceLock<bool>>, consumer: &Weak<BaseConsumer<Ear>>, group: &str, topics: &[Arc<str>]) {
    let mut in_a_row = 0;
    for _ in 0..LOOKS_MAX {
        let Some(share) = consumer.upgrade() else { return };
        let found = orphans(&share, group, topics);
        drop(share);
        match found {
            Ok(Some(orphans)) if orphans.is_empty() => break,
            Ok(Some(orphans)) => {
                in_a_row += 1;
                if in_a_row == LOOKS_IN_A_ROW {
                    let orphans: Vec<_> = orphans.iter().map(ToString::to_string).collect();
                    tracing::info!(group, partitions = orphans.join(" "), "nobody has these partitions");
                    break;
                }
            }
            unknown => {
                tracing::debug!(target: "librdkafka", group, ?unknown, "who has which partition is not known");
                in_a_row = 0;
            }
        }
        if owner.strong_count() == 0 {
            return;
        }
        thread::park_timeout(LOOK_AGAIN);
    }
    if let Some(outcome) = owner.upgrade() {
        outcome.get_or_init(|| in_a_row == LOOKS_IN_A_ROW);
    }
}

/// Partitions of `topics` that the group has given to nobody, and will not without being asked; none while it is not at rest.
fn orphans(consumer: &BaseConsumer<Ear>, group: &str, topics: &[Arc<str>]) -> Result<Option<BTreeSet<TopicPartition>>, KafkaError> {
    let mut all = BTreeSet::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let known = all.len();
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        all.extend(partitions.map(|partition| TopicPartition::new(Arc::clone(topic), partition.id())));
        // A broker that has just come back may not know the topic yet.
        if all.len() == known {
            return Ok(None);
        }
    }
    let list = consumer.fetch_group_list(Some(group), TIMEOUT)?;
    let found = list.groups().iter().find(|found| found.name() == group && found.state() == AT_REST);
    Ok(found.map(|found| left_over(&all, found)))
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
    use std::sync::atomic::Ordering;

    use rdkafka::config::FromClientConfigAndContext;
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::streams::log::kafka::closing::close_in_time;
    use crate::streams::log::kafka::{Options, settings};
    use crate::streams::log::{ConsumerOptions, Isolation};

    #[test]
    fn librdkafka_says_when_a_member_has_dropped_out() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        // Longer than the three seconds that this cluster waits for more members.
        let options = Options { session_timeout: Duration::from_secs(5), ..Options::new([cluster.bootstrap_servers()]) };
        let wanted = ConsumerOptions { group: Some("g".into()), instance_id: None, isolation: Isolation::ReadCommitted };
        let consumer = BaseConsumer::from_config_and_context(&settings::consumer(&options, &wanted), Ear::default()).unwrap();
        let consumer = Closed(Arc::new(consumer));
        consumer.0.subscribe(&["t"]).unwrap();
        let until = |what: &str, holds: &dyn Fn(&Ear) -> bool| {
            for _ in 0..600 {
                if holds(consumer.0.context()) {
                    return;
                }
                drop(consumer.0.poll(Duration::from_millis(50)));
            }
            panic!("{what}: not within half a minute");
        };
        until("a place", &|ear| !ear.rebalances.lock().is_empty());
        assert!(!consumer.0.context().dropped_out.load(Ordering::Acquire));
        cluster.broker_down(1).unwrap();
        until("the session's end", &|ear| ear.dropped_out.load(Ordering::Acquire));
    }

    /// A consumer that is closed also where a test fails: its own drop would wait for ever for a revocation that nobody grants.
    struct Closed(Arc<BaseConsumer<Ear>>);

    impl Drop for Closed {
        fn drop(&mut self) {
            self.0.context().closing.store(true, Ordering::Release);
            if !close_in_time(&self.0) {
                std::mem::forget(Arc::clone(&self.0));
            }
        }
    }

    #[test]
    fn only_a_place_after_dropping_out_is_watched_and_what_is_found_is_told_once() {
        let watch = |outcome: Option<bool>| {
            let watch = Watch { outcome: Arc::default() };
            outcome.map(|found| watch.outcome.set(found));
            Some(watch)
        };
        let mut standing = Standing::default();
        standing.take_place(|| watch(None));
        assert!(!standing.finds_orphans(), "it still looks");
        standing.take_place(|| panic!("it looks already"));
        for found in [true, false] {
            standing = Standing::DroppedOut;
            standing.take_place(|| watch(Some(found)));
            assert_eq!(standing.finds_orphans(), found);
            assert!(!standing.finds_orphans());
            standing.take_place(|| panic!("the group has reckoned with it, or it leaves"));
        }
        standing.drop_out();
        standing.take_place(|| watch(Some(true)));
        // Another place, before anybody asked: what was found is of the former one.
        standing.take_place(|| watch(None));
        assert!(!standing.finds_orphans());
    }

    #[test]
    fn whoever_leaves_comes_back_when_it_has_let_go_and_is_watched_again() {
        let mut standing = Standing::Leaving(SystemClock::new());
        assert!(!standing.has_left(), "word of it may be on its way");
        standing.drop_out();
        standing.take_place(|| panic!("it leaves"));
        while !standing.has_left() {
            thread::park_timeout(Duration::from_millis(10));
        }
        assert!(matches!(standing, Standing::DroppedOut), "{standing:?}");
        assert!(!standing.has_left());
        standing = Standing::Leaving(SystemClock::new());
        thread::park_timeout(LEAVES_WITHIN);
        standing.has_let_go();
        assert!(!standing.has_left(), "it had something until now");
        assert!(!Standing::Known.has_left());
    }

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
