//! Random histories of several producers against a model that keeps every record and how its transaction ended.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PRODUCERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Send { producer: usize, topic: usize, key: u8, tombstone: bool },
    Flush(usize),
    Offsets(usize),
    Commit(usize),
    Abort(usize),
    TakeOver(usize),
    Maintain,
    Reopen,
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..PRODUCERS;
    let send = (who.clone(), 0..2usize, 0..6u8, prop::bool::weighted(0.2));
    let step = prop_oneof![
        10 => send.prop_map(|(producer, topic, key, tombstone)| Step::Send { producer, topic, key, tombstone }),
        4 => who.clone().prop_map(Step::Flush),
        2 => who.clone().prop_map(Step::Offsets),
        5 => who.clone().prop_map(Step::Commit),
        2 => who.clone().prop_map(Step::Abort),
        1 => who.prop_map(Step::TakeOver),
        2 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        3 => Just(Step::Read),
    ];
    prop::collection::vec(step, 1..150)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

/// A record or (without a key) a marker.
#[derive(Clone, Debug)]
struct Slot {
    key: Option<u8>,
    value: Option<String>,
    transaction: usize,
}

/// Per producer: the open transaction, what it queued (topic, key, value), the topics it touched, its offsets.
#[derive(Clone, Debug, Default)]
struct Open {
    transaction: usize,
    queued: Vec<(usize, u8, Option<String>)>,
    touched: Vec<usize>,
    offset: Option<i64>,
}

#[derive(Debug, Default)]
struct Model {
    logs: [Vec<Slot>; 2],
    fates: Vec<Fate>,
    open: Vec<Option<Open>>,
    offset: Option<i64>,
}

impl Model {
    fn begin(&mut self, producer: usize) -> &mut Open {
        let transaction = self.fates.len();
        let open = &mut self.open[producer];
        if open.is_none() {
            self.fates.push(Fate::Open);
        }
        open.get_or_insert_with(|| Open { transaction, ..Open::default() })
    }

    fn flush(&mut self, producer: usize) {
        let Some(open) = &mut self.open[producer] else { return };
        for (topic, key, value) in open.queued.drain(..) {
            self.logs[topic].push(Slot { key: Some(key), value, transaction: open.transaction });
            if !open.touched.contains(&topic) {
                open.touched.push(topic);
            }
        }
    }

    fn end(&mut self, producer: usize, fate: Fate) {
        if fate == Fate::Committed {
            self.flush(producer);
        }
        let Some(open) = self.open[producer].take() else { return };
        for topic in open.touched {
            self.logs[topic].push(Slot { key: None, value: None, transaction: open.transaction });
        }
        self.fates[open.transaction] = fate;
        if fate == Fate::Committed {
            self.offset = open.offset.or(self.offset);
        }
    }

    fn stable(&self, topic: usize) -> usize {
        let log = &self.logs[topic];
        log.iter().position(|slot| self.fates[slot.transaction] == Fate::Open).unwrap_or(log.len())
    }

    fn committed(&self, topic: usize) -> Vec<(i64, u8, Option<String>)> {
        let stable = self.logs[topic][..self.stable(topic)].iter().enumerate();
        stable
            .filter(|(_, slot)| self.fates[slot.transaction] == Fate::Committed)
            .filter_map(|(offset, slot)| Some((i64::try_from(offset).unwrap(), slot.key?, slot.value.clone())))
            .collect()
    }
}

const TOPICS: [&str; 2] = ["keep", "compact"];

struct Run {
    kv: Arc<dyn Kv>,
    log: Arc<LocalLog>,
    producers: Vec<Box<dyn Producer>>,
    /// Reads along the topic that keeps everything.
    along: Box<dyn Consumer>,
    seen: Vec<(i64, u8, Option<String>)>,
    model: Model,
}

impl Run {
    fn new(kv: Arc<dyn Kv>) -> Self {
        let log = LocalLog::open(Arc::clone(&kv)).unwrap();
        topic(&log, TOPICS[0], &TopicConfig::keep(1));
        topic(&log, TOPICS[1], &TopicConfig::compact(1));
        let (producers, along) = (Vec::new(), reader(&log, Isolation::ReadCommitted));
        let model = Model { open: vec![None; PRODUCERS], ..Model::default() };
        let mut run = Self { kv, log, producers, along, seen: Vec::new(), model };
        run.start(Offset(0));
        run
    }

    fn start(&mut self, position: Offset) {
        eager(&self.log);
        let settings = &mut self.log.shared.compactor.lock().settings;
        (settings.dirty_bytes_min, settings.tail_chunks_max, settings.keys_max, settings.step_bytes) = (300, 10, 4, 300);
        self.producers = (0..PRODUCERS).map(|number| producer(&self.log, &number.to_string(), &TOPICS)).collect();
        self.along = reader(&self.log, Isolation::ReadCommitted);
        self.along.assign(&at(TOPICS[0]), position).unwrap();
    }

    fn step(&mut self, number: usize, step: &Step) {
        match *step {
            Step::Send { producer, topic, key, tombstone } => {
                let value = (!tombstone).then(|| number.to_string());
                self.begin(producer);
                self.model.begin(producer).queued.push((topic, key, value.clone()));
                let key = [key];
                let text = std::str::from_utf8(&key).unwrap();
                self.producers[producer].send(&ProducerRecord { topic, ..record(text, value.as_deref(), 0) }).unwrap();
            }
            Step::Flush(producer) if self.model.open[producer].is_some() => {
                self.producers[producer].flush(ZERO).unwrap();
                self.model.flush(producer);
            }
            Step::Offsets(producer) => {
                self.begin(producer);
                let next = i64::try_from(number).unwrap();
                self.model.begin(producer).offset = Some(next);
                self.producers[producer].send_offsets(&[(at("keep"), offset(next))], &no_member("g"), ZERO).unwrap();
            }
            Step::Commit(producer) if self.model.open[producer].is_some() => {
                self.producers[producer].commit(ZERO).unwrap();
                self.model.end(producer, Fate::Committed);
            }
            Step::Abort(producer) if self.model.open[producer].is_some() => {
                self.producers[producer].abort(ZERO).unwrap();
                self.model.end(producer, Fate::Aborted);
            }
            Step::TakeOver(producer) => {
                self.producers[producer] = super::producer(&self.log, &producer.to_string(), &TOPICS);
                self.model.end(producer, Fate::Aborted);
            }
            Step::Maintain => self.log.admin().maintain(Timestamp(1)).unwrap(),
            Step::Reopen => {
                let position = self.along.position(&at(TOPICS[0])).unwrap();
                self.log = LocalLog::open(Arc::clone(&self.kv)).unwrap();
                // In the order of their ids, as the log does it.
                (0..PRODUCERS).for_each(|producer| self.model.end(producer, Fate::Aborted));
                self.start(position);
            }
            Step::Read => self.read_along(),
            _ => {}
        }
    }

    fn begin(&mut self, producer: usize) {
        if self.model.open[producer].is_none() {
            self.producers[producer].begin().unwrap();
        }
    }

    fn read_along(&mut self) {
        let mut batch = RecordBatch::default();
        while self.along.poll(ZERO, &mut batch).unwrap() == Polled::Records {
            self.seen.extend(records(&batch));
        }
        assert_eq!(self.seen, self.model.committed(0));
        assert_eq!(self.along.position(&at(TOPICS[0])).unwrap().0, i64::try_from(self.model.stable(0)).unwrap());
    }

    fn check(&self) {
        for (number, topic) in TOPICS.iter().enumerate() {
            let ends = [(Isolation::ReadCommitted, self.model.stable(number)), (Isolation::ReadUncommitted, self.model.logs[number].len())];
            for (isolation, end) in ends {
                assert_eq!(self.log.admin().watermarks(&at(topic), isolation).unwrap(), (Offset(0), Offset(i64::try_from(end).unwrap())));
            }
        }
        let offsets = self.log.admin().group_offsets("g").unwrap();
        assert_eq!(offsets.first().map(|(_, committed)| committed.offset.0), self.model.offset);
    }

    fn check_contents(&self) {
        let all = |topic| {
            let mut consumer = reader(&self.log, Isolation::ReadCommitted);
            consumer.assign(&at(topic), Offset(0)).unwrap();
            let (mut seen, mut batch) = (Vec::new(), RecordBatch::default());
            while consumer.poll(ZERO, &mut batch).unwrap() == Polled::Records {
                seen.extend(records(&batch));
            }
            seen
        };
        assert_eq!(all(TOPICS[0]), self.model.committed(0));
        let (compacted, expected) = (all(TOPICS[1]), self.model.committed(1));
        assert!(compacted.iter().all(|seen| expected.contains(seen)), "{compacted:?} of {expected:?}");
        assert!(compacted.is_sorted_by_key(|(offset, ..)| *offset));
        let last = |records: Vec<(i64, u8, Option<String>)>| -> BTreeMap<u8, (i64, Option<String>)> {
            records.into_iter().map(|(offset, key, value)| (key, (offset, value))).collect()
        };
        assert_eq!(last(compacted), last(expected));
    }
}

fn records(batch: &RecordBatch) -> Vec<(i64, u8, Option<String>)> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    batch.iter().map(|record| (record.offset.0, record.key.unwrap()[0], record.value.map(text))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn read_committed_shows_what_was_committed_whatever_happened(steps in steps()) {
        let mut run = Run::new(Arc::new(Memory::default()));
        for (number, step) in steps.iter().enumerate() {
            run.step(number, step);
            run.check();
        }
        run.read_along();
        run.check_contents();
    }
}
