//! Readers of everything, while it happens: the input feeds the oracle, each result is compared with what the oracle says as soon as it can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Admin, Consumer, ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, RecordRef, TopicPartition};
use tidewatch::streams::runtime::changelog_topic;
use tidewatch::streams::topology::ErrorPolicy;

use crate::disk::{Rows, Snapshot};
use crate::oracle::{Out, Record, Task};
use crate::plan::Plan;
use crate::topology::{APPLICATION, DEAD_LETTERS, STORES};
use crate::trace::Violation;

/// Sub-topology and partition.
pub(crate) type Id = (usize, i32);

#[derive(Debug)]
struct Reader {
    at: TopicPartition,
    name: &'static str,
    consumer: Box<dyn Consumer>,
}

/// What was read of one changelog partition: offset, key, value.
type Changelog = Vec<(i64, Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug)]
pub(crate) struct Readers {
    all: Vec<Reader>,
    batch: RecordBatch,
    errors: ErrorPolicy,
    pub(crate) tasks: BTreeMap<Id, Task>,
    /// How many results of each task were read, by topic and key.
    seen: BTreeMap<(Id, &'static str, Option<String>), usize>,
    /// The input offset of the last result of each task, by topic and partition.
    causes: BTreeMap<(Id, &'static str, i32), Offset>,
    /// The partition that is being read.
    partition: i32,
    /// The last tick of each partition.
    pub(crate) ticks: BTreeMap<i32, u64>,
    /// Where each key's changes lie.
    homes: BTreeMap<Vec<u8>, i32>,
    ids: BTreeSet<Vec<u8>>,
    changelogs: BTreeMap<(&'static str, i32), Changelog>,
    /// What dead processes left on their disks, until the changelogs were read as far as that.
    left: Vec<Snapshot>,
    pub(crate) inspected: u64,
    pub(crate) forgotten: bool,
}

fn violation(invariant: &'static str, text: String) -> Violation {
    Violation { invariant, text }
}

fn show(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Which partition's input a key belongs to: keys are called `k<partition>-<number>`, ticks `t<partition>`.
fn partition_of(key: &str) -> Option<i32> {
    key.get(1..)?.split('-').next()?.parse().ok()
}

impl Readers {
    pub(crate) fn new(log: &Arc<LocalLog>, plan: &Plan) -> Self {
        let mut readers = Vec::new();
        let stores = STORES.iter().map(|(_, store)| (changelog_topic(APPLICATION, store), *store));
        // Order: causes are read before what follows from them.
        let topics = ["input", "changes", "outbox", "folds", "ticks", "totals"].map(|name| (name.to_owned(), name));
        for (topic, name) in topics.into_iter().chain([(DEAD_LETTERS.to_owned(), "dead")]).chain(stores) {
            for partition in 0..plan.partitions {
                let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
                let (at, mut consumer) = (TopicPartition::new(topic.as_str(), partition), log.consumer(options).unwrap());
                consumer.assign(&at, Offset(0)).unwrap();
                readers.push(Reader { at, name, consumer });
            }
        }
        Self {
            all: readers,
            batch: RecordBatch::default(),
            errors: plan.errors,
            tasks: BTreeMap::new(),
            seen: BTreeMap::new(),
            causes: BTreeMap::new(),
            partition: 0,
            ticks: BTreeMap::new(),
            homes: BTreeMap::new(),
            ids: BTreeSet::new(),
            changelogs: BTreeMap::new(),
            left: Vec::new(),
            inspected: 0,
            forgotten: false,
        }
    }

    /// The changelogs are not what they were: from now on nothing is compared with them.
    pub(crate) fn forget_changelogs(&mut self) {
        self.all.retain(|reader| !reader.at.topic.ends_with("-changelog"));
        self.forgotten = true;
        self.left.clear();
    }

    /// A process has died and left this; looked at when the changelogs were read.
    pub(crate) fn left_behind(&mut self, mut snapshots: Vec<Snapshot>, admin: &dyn Admin) {
        if self.forgotten {
            return;
        }
        for snapshot in &mut snapshots {
            for (number, end) in &mut snapshot.restored {
                let Some(name) = snapshot.names.get(number) else { continue };
                let at = TopicPartition::new(changelog_topic(APPLICATION, name), snapshot.task.partition);
                *end = admin.watermarks(&at, Isolation::ReadUncommitted).unwrap().1.0;
            }
        }
        self.left.extend(snapshots);
    }

    pub(crate) fn read(&mut self, log: &LocalLog) -> Result<(), Violation> {
        let mut batch = std::mem::take(&mut self.batch);
        for index in 0..self.all.len() {
            loop {
                let reader = &mut self.all[index];
                if reader.consumer.poll(Duration::ZERO, &mut batch).unwrap() != Polled::Records {
                    break;
                }
                let (name, partition) = (reader.name, reader.at.partition.0);
                batch.iter().try_for_each(|record| self.take(name, partition, &record))?;
            }
        }
        self.batch = batch;
        self.inspect(&*log.admin())
    }

    fn take(&mut self, name: &'static str, partition: i32, record: &RecordRef<'_>) -> Result<(), Violation> {
        let owned = Record {
            offset: record.offset,
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        };
        self.partition = partition;
        match name {
            "input" => {
                self.tasks.entry((0, partition)).or_default().input(&owned, self.errors);
                Ok(())
            }
            "changes" => {
                self.homes.insert(owned.key.clone().unwrap_or_default(), partition);
                self.tasks.entry((1, partition)).or_default().total(&owned);
                self.compare(name, &owned, "")
            }
            "outbox" | "folds" | "totals" => self.compare(name, &owned, ""),
            "ticks" => self.tick(&owned),
            "dead" => self.dead(&owned, record),
            store => {
                let changelog = self.changelogs.entry((store, partition)).or_default();
                changelog.push((owned.offset.0, owned.key.unwrap_or_default(), owned.value));
                Ok(())
            }
        }
    }

    fn tick(&mut self, record: &Record) -> Result<(), Violation> {
        let (key, text) = (show(record.key.as_deref()), show(record.value.as_deref()));
        let last = self.ticks.entry(partition_of(&key).unwrap_or(-1)).or_default();
        if text != (*last + 1).to_string() {
            return Err(violation("results of punctuations are there once", format!("{key}: {text} after {last}")));
        }
        *last += 1;
        Ok(())
    }

    fn dead(&mut self, record: &Record, raw: &RecordRef<'_>) -> Result<(), Violation> {
        let header = |name: &str| raw.headers.last(&format!("__streams.errors.{name}")).map(String::from_utf8_lossy).unwrap_or_default();
        let (partition, offset) = (header("partition").parse().unwrap_or(-1), header("offset").parse().unwrap_or(-1));
        let id = (0, partition);
        let exception =
            ["DeserializationError", "ProcessingError", "ProductionError"].into_iter().find(|known| header("exception") == *known);
        let found = Out {
            key: record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()),
            value: record.value.clone(),
            timestamp: record.timestamp,
            exception: exception.unwrap_or("other"),
        };
        self.compare_with(id, "dead", &found, Some(Offset(offset)))
    }

    fn compare(&mut self, name: &'static str, record: &Record, exception: &'static str) -> Result<(), Violation> {
        let mut value = record.value.clone();
        let mut key = record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned());
        let about = if name == "outbox" {
            let text = show(value.as_deref());
            let mut parts = text.rsplitn(3, '|');
            let (_, id, rest) = (parts.next(), parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default().to_owned());
            if !self.ids.insert(id.clone().into_bytes()) {
                return Err(violation("ids of messages are unique", text));
            }
            value = Some(rest.clone().into_bytes());
            rest.split([' ', '|']).nth(2).unwrap_or_default().to_owned()
        } else {
            key.clone().unwrap_or_default()
        };
        let partition = partition_of(&about).unwrap_or(-1);
        let id = if name == "totals" { (1, self.homes.get(about.as_bytes()).copied().unwrap_or(-1)) } else { (0, partition) };
        let found = Out { key: key.take(), value, timestamp: record.timestamp, exception };
        self.compare_with(id, name, &found, None)
    }

    /// The next result of a task about a key must be the next that the oracle expects there, and not before those of earlier input.
    fn compare_with(&mut self, id: Id, name: &'static str, found: &Out, cause: Option<Offset>) -> Result<(), Violation> {
        let results = self.tasks.get(&id).and_then(|task| task.results.get(&(name, found.key.clone())));
        let place = self.seen.entry((id, name, found.key.clone())).or_default();
        // Letters without a key go to any partition: only their cause tells them apart.
        let by_cause =
            results.filter(|_| found.key.is_none()).and_then(|results| results.iter().find(|(offset, _)| Some(*offset) == cause));
        let expected = by_cause.or_else(|| results.and_then(|results| results.get(*place)));
        let last = self.causes.entry((id, name, self.partition)).or_insert(Offset(-1));
        let several = matches!(name, "outbox");
        let fits = expected.is_some_and(|(offset, out)| {
            out == found && cause.is_none_or(|cause| cause == *offset) && (*offset > *last || several && *offset == *last)
        });
        if let (true, Some((offset, _))) = (fits, expected) {
            *last = *offset;
            *place += 1;
            return Ok(());
        }
        let say = |out: &Out| format!("{:?} = {} at {} {}", out.key, show(out.value.as_deref()), out.timestamp, out.exception);
        let expected =
            expected.map_or_else(|| "nothing more".to_owned(), |(offset, out)| format!("(of input offset {offset}) {}", say(out)));
        let (last, place, found) = (*last, *place, say(found));
        let text = format!(
            "{name} of task {}_{}, result {place} of its key, after one of offset {last}:\n    expected {expected}\n    found    {found}",
            id.0, id.1
        );
        Err(violation("results are those of the input, once and in order", text))
    }

    /// Results that are not there, where the input is committed up to these offsets: what the same transactions must have brought.
    pub(crate) fn lacking(&self, id: Id, committed: Offset) -> Option<Violation> {
        let task = self.tasks.get(&id)?;
        for ((name, key), results) in &task.results {
            let due = results.iter().take_while(|(offset, _)| *offset < committed).count();
            let seen = self.seen.get(&(id, *name, key.clone())).copied().unwrap_or_default();
            if due != seen {
                let text = format!(
                    "{name} of task {}_{} about {key:?}: {seen} results, but the input is committed up to {committed}, which gives {due}",
                    id.0, id.1
                );
                return Some(violation("offsets are committed with their results", text));
            }
        }
        None
    }

    /// Where the reader of a topic partition is.
    pub(crate) fn all_read(&self, admin: &dyn Admin) -> bool {
        self.all.iter().all(|reader| {
            let high = admin.watermarks(&reader.at, Isolation::ReadUncommitted).unwrap().1;
            reader.consumer.position(&reader.at) == Some(high)
        })
    }

    /// The first partition with an open transaction in it.
    pub(crate) fn hanging(&self, admin: &dyn Admin) -> Option<String> {
        let hanging = self.all.iter().find(|reader| {
            let end = |isolation| admin.watermarks(&reader.at, isolation).unwrap().1;
            end(Isolation::ReadCommitted) != end(Isolation::ReadUncommitted)
        });
        hanging.map(|reader| reader.at.to_string())
    }

    /// What a store holds when its changelog is read up to an offset.
    pub(crate) fn state(&self, store: &str, partition: i32, up_to: i64) -> Rows {
        let mut rows = Rows::new();
        let Some((_, changelog)) = self.changelogs.iter().find(|((name, at), _)| *name == store && *at == partition) else { return rows };
        for (_, key, value) in changelog.iter().take_while(|(offset, ..)| *offset < up_to) {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows
    }

    /// What a restore lacks on its way and finds later: a row may be any earlier one of its key where the changelog went on with that key when the process
    /// died, for compaction removes what came in between. What is passed over is taken for expected.
    fn pass_over(&self, store: &str, partition: i32, (checkpoint, end): (i64, i64), found: &Rows, expected: &mut Rows) {
        let Some((_, changelog)) = self.changelogs.iter().find(|((name, at), _)| *name == store && *at == partition) else { return };
        let replaced: BTreeSet<_> =
            changelog.iter().filter(|(offset, ..)| (checkpoint..end).contains(offset)).map(|(_, key, _)| key.clone()).collect();
        for key in replaced {
            let row = found.get(&key);
            let was_so =
                |(offset, of, value): &(i64, Vec<u8>, Option<Vec<u8>>)| *of == key && *offset < checkpoint && value.as_ref() == row;
            match row {
                Some(row) if changelog.iter().any(was_so) => drop(expected.insert(key, row.clone())),
                Some(_) => {}
                None => drop(expected.remove(&key)),
            }
        }
    }

    /// Compares what dead processes left with the changelogs: the disk never leads, and holds what its checkpoint says.
    fn inspect(&mut self, admin: &dyn Admin) -> Result<(), Violation> {
        for snapshot in std::mem::take(&mut self.left) {
            let mut waits = false;
            for (number, checkpoint) in &snapshot.checkpoints {
                let Some(name) = snapshot.names.get(number) else { continue };
                let topic = changelog_topic(APPLICATION, name);
                let at = TopicPartition::new(topic.as_str(), snapshot.task.partition);
                let position = self.all.iter().find(|reader| reader.at == at).and_then(|reader| reader.consumer.position(&at)).unwrap();
                let (_, end) = admin.watermarks(&at, Isolation::ReadUncommitted).unwrap();
                if *checkpoint > end.0 {
                    let text = format!("checkpoint {checkpoint} of {at}, which ends at {end}");
                    return Err(violation("the disk never leads the changelog", text));
                }
                if position.0 < *checkpoint {
                    waits = true;
                    continue;
                }
                let mut expected = self.state(name, snapshot.task.partition, *checkpoint);
                let empty = Rows::new();
                let found = snapshot.rows.get(number).unwrap_or(&empty);
                self.inspected += 1;
                if let Some(end) = snapshot.restored.get(number) {
                    self.pass_over(name, snapshot.task.partition, (*checkpoint, *end), found, &mut expected);
                }
                if let Some(text) = difference(found, &expected) {
                    let text = format!("store {name} of task {} with checkpoint {checkpoint}: {text}", snapshot.task);
                    return Err(violation("the disk holds what its checkpoint says", text));
                }
            }
            if waits {
                self.left.push(snapshot);
            }
        }
        Ok(())
    }
}

/// The first row in which two stores differ.
pub(crate) fn difference(found: &Rows, expected: &Rows) -> Option<String> {
    let keys = found.keys().chain(expected.keys());
    let key = keys.into_iter().find(|key| found.get(*key) != expected.get(*key))?;
    let (found, expected) = (show(found.get(key).map(Vec::as_slice)), show(expected.get(key).map(Vec::as_slice)));
    Some(format!("row {}: expected {expected}, found {found}", show(Some(key))))
}
