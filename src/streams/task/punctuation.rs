//! When the nodes of a task are called without a record.

use crate::streams::clock::Timestamp;
use crate::streams::processor::{Punctuation, PunctuationType, ScheduleId};
use crate::streams::topology::Scheduled;

#[derive(Debug)]
struct Entry {
    scheduled: Scheduled,
    next: Option<Timestamp>,
}

/// The punctuations that the nodes of a task asked for.
#[derive(Debug, Default)]
pub(super) struct PunctuationQueue {
    entries: Vec<Entry>,
}

impl PunctuationQueue {
    pub(super) fn new(scheduled: Vec<Scheduled>) -> Self {
        Self { entries: scheduled.into_iter().map(|scheduled| Entry { scheduled, next: None }).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The next call that is due at `now`; a time that was missed several times is called once, as in Kafka Streams.
    pub(super) fn due(&mut self, kind: PunctuationType, now: Timestamp) -> Option<(usize, Punctuation)> {
        for entry in self.entries.iter_mut().filter(|entry| entry.scheduled.kind == kind) {
            let interval_ms = i64::try_from(entry.scheduled.interval.as_millis()).unwrap_or(i64::MAX).max(1);
            // The first interval begins when the time is first known.
            let soon = Timestamp(now.0.saturating_add(interval_ms));
            // A clock that was set back does not make anybody wait until it is where it was.
            let next = *entry.next.insert(entry.next.map_or(soon, |next| next.min(soon)));
            if now >= next {
                let missed = (now.0 - next.0) / interval_ms + 1;
                entry.next = Some(Timestamp(next.0.saturating_add(missed.saturating_mul(interval_ms))));
                return Some((entry.scheduled.node, Punctuation { kind, timestamp: now, schedule: ScheduleId(entry.scheduled.schedule) }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn is_due_once_per_interval_and_once_for_a_gap() {
        let kind = PunctuationType::StreamTime;
        let mut queue = PunctuationQueue::new(vec![Scheduled { node: 3, schedule: 0, kind, interval: Duration::from_millis(10) }]);
        assert_eq!(queue.due(kind, Timestamp(100)), None);
        assert_eq!(queue.due(kind, Timestamp(109)), None);
        assert_eq!(queue.due(kind, Timestamp(110)).map(|(node, _)| node), Some(3));
        assert_eq!(queue.due(kind, Timestamp(111)), None);
        assert!(queue.due(kind, Timestamp(155)).is_some());
        assert_eq!(queue.due(kind, Timestamp(159)), None);
        assert!(queue.due(kind, Timestamp(160)).is_some());
        assert_eq!(queue.due(PunctuationType::WallClockTime, Timestamp(1000)), None);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_no_calls() {
        let kind = PunctuationType::WallClockTime;
        let mut queue = PunctuationQueue::new(vec![Scheduled { node: 1, schedule: 0, kind, interval: Duration::from_millis(10) }]);
        assert_eq!(queue.due(kind, Timestamp(1_000_000)), None);
        assert!(queue.due(kind, Timestamp(1_000_010)).is_some());
        assert_eq!(queue.due(kind, Timestamp(500)), None);
        assert_eq!(queue.due(kind, Timestamp(509)), None);
        assert!(queue.due(kind, Timestamp(510)).is_some());
    }
}
