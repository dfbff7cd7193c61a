//! Puts dead letters back where they came from, each exactly once: what was put back is committed with the records.
//!
//! First a [`Plan`], which is data and says how far it reaches; then its execution. A letter that was put back and fails again is another letter.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::progress::{METADATA_BYTES_MAX, Progress};
use super::{Error, Filter, Letters, Reason, read};
use crate::operate::tap::{From, Reader};
use crate::streams::log::{
    self, Consumer, ConsumerOptions, GroupMetadata, HeadersBuf, Isolation, Partition, Producer, ProducerOptions, ProducerRecord, RecordRef,
    TopicPartition,
};
use crate::streams::runtime::dead_letter_topic;
use crate::streams::task::{REPLAY_HEADER, is_own_header};

/// How long a call of the log may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What one transaction puts back at most.
const TRANSACTION_LETTERS_MAX: u64 = 1_000;
const TRANSACTION_BYTES_MAX: usize = 4 << 20;

/// What a replay will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How many letters go to which topic.
    pub targets: BTreeMap<String, u64>,
    /// How many were put back before and stay out of it.
    pub before: u64,
    /// How many cannot be put back, by the reason.
    pub obstacles: BTreeMap<String, u64>,
    /// How far it reaches: per topic of letters the ends of its partitions.
    pub ends: BTreeMap<String, Vec<i64>>,
}

impl Plan {
    /// How many letters are put back.
    pub fn letters(&self) -> u64 {
        self.targets.values().sum()
    }
}

/// What will be done, and what will not.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.targets.is_empty() {
            writeln!(f, "There is nothing to replay.")?;
        }
        for (topic, count) in &self.targets {
            writeln!(f, "This will append {} to {topic}.", letters(*count))?;
        }
        if self.before > 0 {
            let was = if self.before == 1 { "was" } else { "were" };
            writeln!(f, "{} {was} replayed before; --again would repeat that.", letters(self.before))?;
        }
        for (obstacle, count) in &self.obstacles {
            writeln!(f, "{} cannot be replayed: {obstacle}.", letters(*count))?;
        }
        Ok(())
    }
}

fn letters(count: u64) -> String {
    format!("{count} letter{}", if count == 1 { "" } else { "s" })
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many letters were put back.
    pub replayed: u64,
    /// Whether that is all of the plan; otherwise it was interrupted.
    pub complete: bool,
}

/// What was put back, by the partition of the letters.
pub(super) type AllProgress = BTreeMap<TopicPartition, Progress>;

impl Letters<'_> {
    /// Looks at what is there and says what a replay would do. Changes nothing. When `stop` says so it ends early, and is no plan of all letters.
    pub fn plan(&self, filter: &Filter, again: bool, stop: &dyn Fn() -> bool) -> Result<Plan, Error> {
        let known = self.known_topics()?;
        let mut plan = Plan::default();
        for topic in self.topics(filter, &known)? {
            let mut reader = Reader::open(self.log, &topic, From::Earliest)?;
            let mut progress = self.progress(&reader)?;
            plan.ends.insert(topic.clone(), reader.ends().map(|(_, end)| end.0).collect());
            let ended = read(&mut reader, &topic, stop, &mut |place, record| {
                let Some(progress) = progress.get_mut(place) else { return Ok(ControlFlow::Continue(())) };
                let before = progress.contains(record.offset.0);
                let reason = Reason::of(record.headers);
                // As if it were no letter: so it makes no gap in what is noted.
                if self.is_foreign(place, &reason) {
                    return Ok(ControlFlow::Continue(()));
                }
                let mut chosen = false;
                if filter.wants(place, record, &reason) {
                    match reason.destination(&known) {
                        Err(obstacle) => *plan.obstacles.entry(obstacle.to_owned()).or_default() += 1,
                        Ok(_) if before && !again => plan.before += 1,
                        Ok((origin, _)) => {
                            *plan.targets.entry(origin.topic.clone()).or_default() += 1;
                            chosen = true;
                        }
                    }
                }
                progress.pass(record.offset.0, before || chosen);
                Ok(ControlFlow::Continue(()))
            })?;
            if ended.is_break() {
                break;
            }
            // Found out now, before anything is done.
            progress.iter().try_for_each(|(partition, progress)| writable(partition, progress).map(drop))?;
        }
        Ok(plan)
    }

    /// Puts back what `plan` says, in transactions; `committed` hears how many letters are through. Ends early when `stop` says so: what was
    /// appended until then is committed.
    pub fn replay(
        &self,
        (filter, again): (&Filter, bool),
        plan: &Plan,
        stop: &dyn Fn() -> bool,
        committed: &mut dyn FnMut(u64),
    ) -> Result<Outcome, Error> {
        let known = self.known_topics()?;
        let topics = self.topics(filter, &known)?;
        let mut session = Session::open(self, plan, &known)?;
        for topic in topics {
            let Some(ends) = plan.ends.get(&topic) else { continue };
            let mut reader = Reader::open(self.log, &topic, From::Earliest)?;
            // Order: whoever did the same was fenced when the session was opened, so what is read now is the last word.
            session.progress = self.progress(&reader)?;
            let ended = read(&mut reader, &topic, stop, &mut |place, record| {
                let end = usize::try_from(place.partition.0).ok().and_then(|place| ends.get(place)).copied();
                if end.is_none_or(|end| record.offset.0 >= end) {
                    return Ok(ControlFlow::Continue(()));
                }
                let reason = Reason::of(record.headers);
                if self.is_foreign(place, &reason) {
                    return Ok(ControlFlow::Continue(()));
                }
                let wanted = filter.wants(place, record, &reason);
                let target = reason.destination(&known).ok().filter(|_| wanted);
                session.pass(place, record, target.map(|(origin, partitions)| (&*origin.topic, origin.partition, partitions)), again)?;
                if session.is_full() {
                    session.commit()?;
                    committed(session.replayed);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            session.commit()?;
            committed(session.replayed);
            if ended.is_break() {
                return Ok(Outcome { replayed: session.replayed, complete: false });
            }
        }
        Ok(Outcome { replayed: session.replayed, complete: true })
    }

    /// The group under which it is kept what was put back; also the id of the transactions that do it.
    fn group(&self) -> Arc<str> {
        dead_letter_topic(self.application_id).into()
    }

    fn consumer(&self) -> Result<Box<dyn Consumer>, Error> {
        let options = ConsumerOptions { group: Some(self.group()), instance_id: None, isolation: Isolation::ReadCommitted };
        self.log.consumer(options).map_err(|source| Error::Log { operation: "asking what was replayed", source })
    }

    /// What was put back of a topic.
    pub(super) fn progress(&self, reader: &Reader) -> Result<AllProgress, Error> {
        let partitions: Vec<TopicPartition> = reader.ends().map(|(partition, _)| partition.clone()).collect();
        let committed = self.consumer()?.committed(&partitions, CALL_TIMEOUT);
        let committed = committed.map_err(|source| Error::Log { operation: "asking what was replayed", source })?;
        let read = |((partition, end), committed): ((&TopicPartition, log::Offset), Option<log::Committed>)| {
            (partition.clone(), Progress::read(committed.as_ref(), end))
        };
        Ok(reader.ends().zip(committed).map(read).collect())
    }
}

/// What is to be committed for a partition, if the log can keep it.
fn writable(partition: &TopicPartition, progress: &Progress) -> Result<log::Committed, Error> {
    let committed = progress.write();
    let bytes = committed.metadata.len();
    if bytes > METADATA_BYTES_MAX {
        return Err(Error::Scattered { partition: partition.clone(), bytes, limit: METADATA_BYTES_MAX });
    }
    Ok(committed)
}

/// A replay at work.
struct Session {
    producer: Box<dyn Producer>,
    group: GroupMetadata,
    /// Where letters go, as the producer was told.
    targets: Vec<Arc<str>>,
    progress: AllProgress,
    headers: HeadersBuf,
    open: bool,
    /// What the open transaction holds.
    letters: u64,
    bytes: usize,
    /// Committed so far.
    replayed: u64,
}

impl Session {
    fn open(letters: &Letters<'_>, plan: &Plan, known: &[(String, i32)]) -> Result<Self, Error> {
        let is_known = |topic: &&String| known.iter().any(|(name, _)| name == *topic);
        let targets: Vec<Arc<str>> = plan.targets.keys().filter(is_known).map(|topic| topic.as_str().into()).collect();
        let failed = |source| Error::Log { operation: "opening the replay", source };
        let options =
            ProducerOptions { transactional_id: letters.group(), topics: targets.clone(), transaction_timeout: Duration::from_secs(60) };
        let mut producer = letters.log.producer(options).map_err(failed)?;
        // A replay that was killed is fenced, and its transaction ended.
        producer.init_transactions(CALL_TIMEOUT).map_err(failed)?;
        let group = letters.consumer()?.group_metadata();
        let (progress, headers) = (AllProgress::new(), HeadersBuf::default());
        Ok(Self { producer, group, targets, progress, headers, open: false, letters: 0, bytes: 0, replayed: 0 })
    }

    /// Goes on to the next letter. It is put back where it has a target (a topic, a partition and the number of those) and was not put back yet.
    fn pass(&mut self, place: &TopicPartition, record: &RecordRef<'_>, target: Option<(&str, i32, i32)>, again: bool) -> Result<(), Error> {
        let before = self.progress.get(place).is_some_and(|progress| progress.contains(record.offset.0));
        let target = target.filter(|_| again || !before).and_then(|(topic, partition, partitions)| {
            let index = self.targets.iter().position(|known| **known == *topic)?;
            // Where it was: the state of its key is there. A topic that was made anew with fewer partitions goes by the key.
            Some((index, (partition < partitions).then_some(Partition(partition))))
        });
        if let Some((topic, partition)) = target {
            self.append(place, record, topic, partition)?;
        }
        if let Some(progress) = self.progress.get_mut(place) {
            progress.pass(record.offset.0, before || target.is_some());
        }
        Ok(())
    }

    fn append(&mut self, place: &TopicPartition, record: &RecordRef<'_>, topic: usize, partition: Option<Partition>) -> Result<(), Error> {
        self.headers.clear();
        for (name, value) in record.headers.iter().filter(|(name, _)| is_own_header(name)) {
            self.headers.push(name, value);
        }
        self.headers.push(REPLAY_HEADER, Some(format!("{place}@{}", record.offset).as_bytes()));
        self.begin()?;
        let &RecordRef { key, value, timestamp, .. } = record;
        let headers = self.headers.as_headers();
        let sent = self.producer.send(&ProducerRecord { topic, partition, key, value, headers, timestamp });
        sent.map_err(|source| Error::Log { operation: "appending a letter", source })?;
        self.letters += 1;
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers.as_bytes().len();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.letters >= TRANSACTION_LETTERS_MAX || self.bytes >= TRANSACTION_BYTES_MAX
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !self.open {
            self.producer.begin().map_err(|source| Error::Log { operation: "opening the replay", source })?;
            self.open = true;
        }
        Ok(())
    }

    /// Commits the letters and that they were put back; nothing where there are none.
    fn commit(&mut self) -> Result<(), Error> {
        if !self.open {
            return Ok(());
        }
        let failed = |source| Error::Log { operation: "committing the replay", source };
        let offset = |(partition, progress): (&TopicPartition, &Progress)| Ok((partition.clone(), writable(partition, progress)?));
        let offsets: Vec<_> = self.progress.iter().map(offset).collect::<Result<_, Error>>()?;
        self.producer.flush(CALL_TIMEOUT).map_err(failed)?;
        self.producer.send_offsets(&offsets, &self.group, CALL_TIMEOUT).map_err(failed)?;
        // From here on the outcome is the log's: nothing may abort any more.
        self.open = false;
        self.producer.commit(CALL_TIMEOUT).map_err(failed)?;
        self.replayed += self.letters;
        (self.letters, self.bytes) = (0, 0);
        Ok(())
    }
}

/// An open transaction would hold up all readers until it times out.
impl Drop for Session {
    fn drop(&mut self) {
        if self.open {
            // The log aborts it in the end if this does not.
            self.producer.abort(CALL_TIMEOUT).unwrap_or_default();
        }
    }
}
