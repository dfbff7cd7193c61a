//! Fuzz targets: records of the dead letter topics, and what is noted of a replay.

use std::hint::black_box;

use super::progress::Progress;
use super::{Filter, Reason};
use crate::avro;
use crate::fuzzing::input::run;
use crate::operate::tap;
use crate::streams::clock::Timestamp;
use crate::streams::log::{Committed, Headers, Offset, RecordRef, TopicPartition};

/// Headers, a key and a value, the first two with their lengths before them, as people are shown them.
pub(crate) fn letter(mut input: &[u8]) {
    let headers = Headers::from_bytes(run(&mut input).unwrap_or_default());
    let key = run(&mut input);
    let place = TopicPartition::new("t", 0);
    let record = RecordRef { offset: Offset(1), timestamp: Timestamp(i64::MAX), key, value: Some(input), headers };
    let reason = Reason::of(headers);
    black_box(reason.destination(&[("t".to_owned(), 1)]).is_ok());
    let filter = Filter { reason: Some("Error".to_owned()), key: Some("k".to_owned()), ..Filter::default() };
    filter.wants(&place, &record, &reason);
    let shown = tap::decode(&*avro::fuzz::registry(), &place, &record);
    assert!(!shown.to_string().is_empty());
    drop(serde_json::to_string(&shown));
}

/// An offset and the text beside it.
pub(crate) fn progress(offset: i64, text: &str) {
    let committed = Committed { offset: Offset(offset), metadata: text.into() };
    let mut progress = Progress::read(Some(&committed), Offset(1 << 62));
    let places: Vec<i64> = (0..40).chain([offset.saturating_sub(1), offset, 1 << 61]).filter(|place| *place >= 0).collect();
    let noted: Vec<bool> = places.iter().map(|place| progress.contains(*place)).collect();
    // Going through letters changes what is known of these, and of no other.
    for place in 0..20 {
        progress.pass(place, place % 3 == 0);
    }
    let written = progress.write();
    let again = Progress::read(Some(&written), Offset(i64::MAX));
    assert_eq!(again.write(), Progress::read(Some(&again.write()), Offset(i64::MAX)).write());
    for (place, noted) in places.into_iter().zip(noted) {
        assert_eq!(again.contains(place), if place < 20 { place % 3 == 0 } else { noted }, "{place} of {text:?}: {written:?}");
    }
}
