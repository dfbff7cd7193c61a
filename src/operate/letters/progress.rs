//! Which letters of a partition were put back, kept as the committed offset of a group: everything before the offset was, and the ranges in the
//! text beside it.
//!
//! Letters are put back by a filter, so what was put back has gaps. Offsets that are no letters (the markers of transactions) belong to whatever is
//! around them: so the ranges are as few as can be, and a replay of everything leaves none.

use std::fmt::Write as _;

use crate::streams::log::{Committed, Offset};

/// What Kafka keeps beside an offset at most (`offset.metadata.max.bytes` by default), in bytes.
pub(super) const METADATA_BYTES_MAX: usize = 4096;

/// What the text begins with.
const VERSION: &str = "1";

/// From the first offset to the one behind the last.
type Range = (i64, i64);

/// What of a partition was put back. It is changed by going through all letters from the first on, each once, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// What was noted before; ascending, apart from each other.
    noted: Vec<Range>,
    /// What is noted anew of the letters gone through so far. The first range begins at the very beginning, and may be empty.
    anew: Vec<Range>,
    /// Behind the last letter that was gone through.
    at: i64,
    /// Whether that letter was put back.
    open: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Progress {
    fn of(noted: Vec<Range>) -> Self {
        Self { noted, anew: vec![(0, 0)], at: 0, open: true }
    }

    /// What a group has committed. What cannot be read, or is behind the `end` of the partition (of a topic that was made anew), says nothing.
    pub(super) fn read(committed: Option<&Committed>, end: Offset) -> Self {
        let Some(committed) = committed.filter(|committed| committed.offset <= end) else { return Self::default() };
        let mut noted = vec![(0, committed.offset.0)];
        let mut parts = committed.metadata.split(' ');
        if parts.next() == Some(VERSION) {
            for part in parts {
                let numbers = part.split_once('+').and_then(|(gap, length)| Some((gap.parse().ok()?, length.parse().ok()?)));
                let last = noted.last().map_or(0, |(_, end)| *end);
                let range = numbers.and_then(|(gap, length): (i64, i64)| {
                    let start = last.checked_add(gap.max(1))?;
                    Some((start, start.checked_add(length.max(1))?))
                });
                // What follows is counted from this one.
                let Some(range) = range else { break };
                noted.push(range);
            }
        }
        Self::of(noted)
    }

    /// Whether the letter at this offset was put back, as it was noted before.
    pub(super) fn contains(&self, offset: i64) -> bool {
        let behind = self.noted.partition_point(|(start, _)| *start <= offset);
        behind.checked_sub(1).and_then(|place| self.noted.get(place)).is_some_and(|(_, end)| offset < *end)
    }

    /// Goes on to the next letter, which was or now is put back, or not.
    pub(super) fn pass(&mut self, offset: i64, replayed: bool) {
        // What lies between two letters is none.
        let end = if replayed { offset + 1 } else { offset };
        match self.anew.last_mut() {
            Some(last) if self.open => last.1 = end,
            _ if replayed => self.anew.push((offset, end)),
            _ => {}
        }
        (self.at, self.open) = (offset + 1, replayed);
    }

    /// What is to be committed.
    pub(super) fn write(&self) -> Committed {
        let mut ranges = self.anew.clone();
        for (start, end) in self.noted.iter().map(|&(start, end)| (start.max(self.at), end)).filter(|(start, end)| start < end) {
            match ranges.last_mut() {
                Some(last) if start <= last.1 => last.1 = end,
                _ => ranges.push((start, end)),
            }
        }
        let first = ranges.first().map_or(0, |(_, end)| *end);
        let mut metadata = VERSION.to_owned();
        let mut last = first;
        for (start, end) in ranges.into_iter().skip(1) {
            // Writing to a string cannot fail.
            write!(metadata, " {}+{}", start - last, end - start).unwrap_or_default();
            last = end;
        }
        Committed { offset: Offset(first), metadata: metadata.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const END: Offset = Offset(i64::MAX);

    fn passed(before: &Progress, letters: &[(i64, bool)]) -> Progress {
        let mut progress = before.clone();
        for &(offset, replayed) in letters {
            progress.pass(offset, replayed);
        }
        progress
    }

    #[test]
    fn the_text_never_changes() {
        let progress = passed(&Progress::default(), &[(2, true), (4, true), (5, false), (7, true), (9, true), (11, false), (40, true)]);
        assert_eq!(progress.write(), Committed { offset: Offset(5), metadata: "1 2+4 29+1".into() });
        let all = passed(&Progress::default(), &[(2, true), (40, true)]);
        assert_eq!(all.write(), Committed { offset: Offset(41), metadata: "1".into() });
        let none = passed(&Progress::default(), &[(2, false), (40, false)]);
        assert_eq!(none.write(), Committed { offset: Offset(2), metadata: "1".into() });
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        let committed = |offset, metadata: &str| Committed { offset: Offset(offset), metadata: metadata.into() };
        assert!(!Progress::read(None, END).contains(0));
        assert!(!Progress::read(Some(&committed(9, "1")), Offset(8)).contains(0), "of a topic that was there before");
        assert!(Progress::read(Some(&committed(9, "1")), Offset(9)).contains(8));
        for garbled in ["", "2 3+4", "1 x", "1 3", "1 -5+-9", "1 9223372036854775807+1"] {
            let progress = Progress::read(Some(&committed(5, garbled)), END);
            assert!(progress.contains(4) && !progress.contains(5), "{garbled}");
        }
    }

    proptest! {
        /// Any replays of any letters, each broken off anywhere: what was put back is known, and nothing else.
        #[test]
        fn knows_what_was_replayed(
            gaps in prop::collection::vec(1_i64..4, 1..40),
            replays in prop::collection::vec((prop::collection::vec(any::<bool>(), 40), 0_usize..40), 0..6),
        ) {
            let letters: Vec<i64> = gaps.iter().scan(-1, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut model = BTreeSet::new();
            let mut committed = None;
            for (chosen, breaks_off) in &replays {
                let mut progress = Progress::read(committed.as_ref(), END);
                for (&letter, &chosen) in letters.iter().zip(chosen).take(*breaks_off) {
                    prop_assert_eq!(progress.contains(letter), model.contains(&letter));
                    if chosen {
                        model.insert(letter);
                    }
                    progress.pass(letter, model.contains(&letter));
                }
                committed = Some(progress.write());
                let read = Progress::read(committed.as_ref(), END);
                let known: BTreeSet<i64> = letters.iter().copied().filter(|letter| read.contains(*letter)).collect();
                prop_assert_eq!(&known, &model);
            }
        }
    }
}
