//! How old a checkpoint is: what a restore may say of it on the way to the changelog's end, and at the end.

use super::*;

const HOUR: i64 = 3_600_000;

fn batch(offsets: std::ops::Range<i64>) -> RecordBatch {
    let mut batch = RecordBatch::default();
    batch.start(TopicPartition::new("changelog", 0));
    for offset in offsets {
        let (key, value) = (format!("key{offset:05}"), [b'x'; 100]);
        let record = RecordRef {
            offset: Offset(offset),
            timestamp: Timestamp(offset),
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: Headers::EMPTY,
        };
        batch.push(&record);
    }
    batch
}

/// Rows on the disk that were complete at this time.
fn aged(kv: &Arc<Faulty>, hours: i64) -> TaskState {
    let mut state = open(kv);
    state.tell_time(Timestamp(hours * HOUR));
    state.restore(A, &batch(0..10), Offset(10)).unwrap();
    state.restore_done(A, Offset(10)).unwrap();
    assert_eq!(state.as_of(A), Some(Timestamp(hours * HOUR)));
    state
}

#[test]
fn on_the_way_it_is_as_old_as_the_rows_that_were_there_before() {
    let kv = Faulty::new();
    let mut state = aged(&kv, 1);
    // Tombstones of the second hour lie ahead: who goes on in the 25th may not find them any more, however lately a part was read.
    state.tell_time(Timestamp(20 * HOUR));
    state.restore(A, &batch(10..400), Offset(400)).unwrap();
    assert!(state.checkpoint(A) > Some(Offset(10)), "a part was written on the way");
    assert_eq!(state.as_of(A), Some(Timestamp(HOUR)));
    state.restore_so_far(A).unwrap();
    assert_eq!((state.checkpoint(A), state.as_of(A)), (Some(Offset(400)), Some(Timestamp(HOUR))));
    let mut state = open(&kv);
    assert_eq!((state.checkpoint(A), state.as_of(A)), (Some(Offset(400)), Some(Timestamp(HOUR))));
    state.tell_time(Timestamp(20 * HOUR));
    state.restore_done(A, Offset(401)).unwrap();
    assert_eq!(open(&kv).as_of(A), Some(Timestamp(20 * HOUR)), "at the end it is as young as that was");
}

#[test]
fn what_began_with_nothing_is_as_old_as_its_beginning() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    state.tell_time(Timestamp(5 * HOUR));
    state.restore(A, &batch(0..100), Offset(100)).unwrap();
    state.restore_so_far(A).unwrap();
    assert_eq!(open(&kv).as_of(A), Some(Timestamp(5 * HOUR)));
}

#[test]
fn an_end_that_does_not_move_is_confirmed_from_time_to_time() {
    let kv = Faulty::new();
    let mut state = aged(&kv, 1);
    for (minutes, known) in [(9, 60), (11, 71)] {
        state.tell_time(Timestamp(HOUR + minutes * 60_000));
        state.restore_done(A, Offset(10)).unwrap();
        assert_eq!(open(&kv).as_of(A), Some(Timestamp(known * 60_000)), "after {minutes} minutes");
    }
    assert_eq!(open(&kv).checkpoint(A), Some(Offset(10)));
}
