//! Several threads at once, with housekeeping and rebalances: each record is copied exactly once, in order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

const PARTITIONS: i32 = 4;
const PER_WRITER: usize = 1_500;
const WRITERS: usize = 3;

/// Writes `writer-number` to all partitions in turn, aborting now and then.
fn write(log: &LocalLog, writer: usize) {
    let mut producer = producer(log, &format!("writer-{writer}"), &["in"]);
    let mut next = 0;
    while next < PER_WRITER {
        let count = (next % 7 + 1).min(PER_WRITER - next);
        for aborts in [next % 5 == 0, false] {
            producer.begin().unwrap();
            for number in next..next + count {
                let partition = Partition(i32::try_from(number).unwrap() % PARTITIONS);
                let value = number.to_string();
                producer.send(&ProducerRecord { partition: Some(partition), ..record(&writer.to_string(), Some(&value), 0) }).unwrap();
                if number % 3 == 0 {
                    producer.flush(ZERO).unwrap();
                }
            }
            if aborts {
                producer.abort(ZERO).unwrap();
            } else {
                producer.commit(ZERO).unwrap();
                break;
            }
        }
        next += count;
    }
}

/// A member of the group that copies `in` to `out`; every tenth transaction is aborted and done again.
fn copy(log: &LocalLog, worker: usize, copied: &AtomicUsize) {
    let mut consumer = member(log, "g", &worker.to_string());
    consumer.subscribe(&["in".into()]).unwrap();
    let mut producer = producer(log, &format!("worker-{worker}"), &["out"]);
    let mut batch = RecordBatch::default();
    let mut round = worker;
    while copied.load(Ordering::SeqCst) < WRITERS * PER_WRITER {
        match consumer.poll(Duration::from_millis(20), &mut batch).unwrap() {
            Polled::Assigned(partitions) => {
                for partition in partitions {
                    let committed = consumer.committed(std::slice::from_ref(&partition), Duration::from_secs(60)).unwrap();
                    consumer.assign(&partition, committed[0].as_ref().map_or(Offset(0), |committed| committed.offset)).unwrap();
                }
            }
            Polled::Revoked(partitions) => partitions.iter().for_each(|partition| consumer.unassign(partition).unwrap()),
            Polled::Records => {
                round += 1;
                let source = batch.source().unwrap().clone();
                producer.begin().unwrap();
                for record in batch.iter() {
                    let (key, value, timestamp) = (record.key, record.value, record.timestamp);
                    let partition = Some(source.partition);
                    producer.send(&ProducerRecord { topic: 0, partition, key, value, headers: record.headers, timestamp }).unwrap();
                }
                producer.flush(ZERO).unwrap();
                let next = Committed { offset: consumer.position(&source).unwrap(), metadata: "".into() };
                let sent = producer.send_offsets(&[(source.clone(), next)], &consumer.group_metadata(), ZERO);
                if sent.is_err() || round.is_multiple_of(10) {
                    producer.abort(ZERO).unwrap();
                    let committed = consumer.committed(std::slice::from_ref(&source), ZERO).unwrap();
                    consumer.seek(&source, committed[0].as_ref().map_or(Offset(0), |committed| committed.offset)).unwrap();
                } else {
                    producer.commit(ZERO).unwrap();
                    copied.fetch_add(batch.len(), Ordering::SeqCst);
                }
            }
            Polled::Lost(_) | Polled::Nothing => {}
        }
    }
}

#[test]
fn threads_copy_each_record_once_and_in_order_while_chunks_are_rewritten() {
    on_each(|log| {
        topic(&log, "in", &TopicConfig::keep(PARTITIONS));
        topic(&log, "out", &TopicConfig::keep(PARTITIONS));
        eager(&log);
        log.shared.compactor.lock().settings.tail_chunks_max = 20;
        let (copied, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let log = &*log;
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    scope.spawn({
                        let copied = &copied;
                        move || copy(log, worker, copied)
                    })
                })
                .collect();
            for writer in 0..WRITERS {
                scope.spawn(move || write(log, writer));
            }
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    log.admin().maintain(Timestamp(1)).unwrap();
                }
            });
            let results: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::SeqCst);
            for result in results {
                result.unwrap();
            }
        });
        for partition in 0..PARTITIONS {
            let all = |topic: &str| {
                let at = TopicPartition::new(topic, partition);
                let mut consumer = reader(&log, Isolation::ReadCommitted);
                consumer.assign(&at, Offset(0)).unwrap();
                let (mut seen, mut batch) = (Vec::new(), RecordBatch::default());
                while consumer.poll(ZERO, &mut batch).unwrap() == Polled::Records {
                    seen.extend(batch.iter().map(|record| (record.key.unwrap().to_vec(), record.value.unwrap().to_vec())));
                }
                seen
            };
            let (read, written) = (all("in"), all("out"));
            assert_eq!(read.len(), WRITERS * PER_WRITER / usize::try_from(PARTITIONS).unwrap());
            assert_eq!(read, written, "partition {partition}");
        }
    });
}

/// Figures for a note: `cargo test --lib rates -- --ignored --nocapture`.
#[test]
#[ignore = "measures, asserts nothing about speed"]
fn rates() {
    use crate::streams::clock::{Clock, SystemClock};
    let directory = tempfile::tempdir().unwrap();
    let rocks = Rocks::open(&directory.path().join("log"), &Options::new(Profile::Log, Budget::new(16 << 20, 32 << 20))).unwrap();
    let log = LocalLog::open(Arc::new(rocks)).unwrap();
    topic(&log, "t", &TopicConfig::keep(4));
    let clock = SystemClock::new();
    let rate = |what: &str, count: usize, mut work: Box<dyn FnMut() + '_>| {
        let began = clock.monotonic();
        work();
        println!("{what}: {:.0}/s", f64::from(u32::try_from(count).unwrap()) / clock.monotonic().saturating_sub(began).as_secs_f64());
    };
    let value = [7; 100];
    let send = |producer: &mut dyn Producer, number: usize| {
        let key = number.to_le_bytes();
        let (key, value) = (Some(&key[..8]), Some(&value[..]));
        let record = ProducerRecord { topic: 0, partition: None, key, value, headers: Headers::EMPTY, timestamp: Timestamp(0) };
        producer.send(&record).unwrap();
    };
    let mut writer = producer(&log, "p", &["t"]);
    for per_transaction in [10_000, 1_000, 10, 1] {
        let count = if per_transaction > 100 { 2_000_000 } else { 2_000 * per_transaction };
        let work = || {
            for number in 0..count {
                if number % per_transaction == 0 {
                    writer.begin().unwrap();
                }
                send(&mut *writer, number);
                if (number + 1) % per_transaction == 0 {
                    writer.commit(ZERO).unwrap();
                }
            }
        };
        rate(&format!("records produced durably, {per_transaction} a transaction"), count, Box::new(work));
    }
    let total: i64 =
        (0..4).map(|number| log.admin().watermarks(&TopicPartition::new("t", number), Isolation::ReadCommitted).unwrap().1.0).sum();
    let mut readers = || {
        let mut consumer = reader(&log, Isolation::ReadCommitted);
        (0..4).for_each(|number| consumer.assign(&TopicPartition::new("t", number), Offset(0)).unwrap());
        let mut batch = RecordBatch::default();
        while consumer.poll(ZERO, &mut batch).unwrap() == Polled::Records {}
    };
    rate("offsets read", usize::try_from(total).unwrap(), Box::new(&mut readers));
    let mut work = || (0..20).for_each(|_| log.admin().maintain(Timestamp(1)).unwrap());
    rate("maintain calls", 20, Box::new(&mut work));
    rate("offsets read after merging", usize::try_from(total).unwrap(), Box::new(&mut readers));
    let commits = || {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let mut producer = producer(&log, &format!("thread-{thread}"), &["t"]);
                scope.spawn(move || {
                    for number in 0..500 {
                        producer.begin().unwrap();
                        send(&mut *producer, number);
                        producer.commit(ZERO).unwrap();
                    }
                });
            }
        });
    };
    rate("commits of four threads", 2_000, Box::new(commits));
}
