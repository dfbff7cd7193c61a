//! Where the restore of a store begins and ends, or why there cannot be one.

use std::time::Duration;

use super::failure::{self, Action};
use super::restore::Outcome;
use super::{Error, layout};
use crate::streams::clock::Timestamp;
use crate::streams::log::{self, Admin, Committed, Offset, TopicPartition};
use crate::streams::processor::StoreId;
use crate::streams::state::TaskState;
use crate::streams::task::{self, TaskId};
use crate::streams::topology::Subtopology;

/// Up to where what is committed needs the changelog of a store, which may be nothing; none where the offsets do not say.
pub(super) fn needed_end(committed: &Committed, subtopology: &Subtopology, store: StoreId) -> Option<Offset> {
    let layout = layout::read(&committed.metadata)?;
    Some(layout.end(&subtopology.stores.get(store.0)?.name).unwrap_or_default())
}

pub(super) fn log_failed(error: log::Error) -> Outcome {
    Outcome::Failed(error.into())
}

/// Whether what lies on the disk belongs to what is committed, and both to the topology; returns the life of the changelogs, where it has a name.
pub(super) fn fit(
    id: TaskId,
    stores: &TaskState,
    subtopology: &Subtopology,
    partitions: i32,
    committed: Option<&Committed>,
) -> Result<Option<String>, Outcome> {
    // Nothing is committed: a state, if there is one, is refused when it is restored; otherwise a new life begins.
    let Some(committed) = committed else { return Ok(None) };
    let kept = layout::read(&committed.metadata);
    if let Some(kept) = &kept {
        kept.check(id, subtopology, partitions).map_err(Outcome::Failed)?;
    }
    let life = kept.as_ref().and_then(layout::Layout::epoch);
    // A state without a name was written before there were any: it is trusted, and named.
    if stores.stored_epoch().is_some_and(|stored| Some(stored) != life) {
        return Err(Outcome::Rebuild(
            "it belongs to an earlier life of its changelogs, before a reset or another way to set offsets".to_owned(),
        ));
    }
    let on_disk = layout::check_disk(id, subtopology, stores.stored_layouts());
    match on_disk {
        // The offsets know better: the disk was left by another topology.
        Err(error) if kept.as_ref().is_some_and(layout::Layout::knows_stores) => Err(Outcome::Rebuild(task::chain(&error))),
        Err(error) => Err(Outcome::Failed(error)),
        Ok(()) => Ok(life.map(str::to_owned)),
    }
}

/// What there is of a changelog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent<'a> {
    pub(super) changelog: &'a TopicPartition,
    /// The first offset still in the log.
    pub(super) low: Offset,
    /// The high watermark.
    pub(super) end: Offset,
}

/// Where the restore of a store begins. A checkpoint outside the changelog is not believed; whether it is too old its [`Lifetime`] tells. Where something is
/// committed, all of the changelog is needed, up to where it `reaches` at least.
pub(super) fn start_of(
    stores: &TaskState,
    store: StoreId,
    Extent { changelog, low, end }: Extent<'_>,
    reaches: Option<Offset>,
) -> Result<Offset, Outcome> {
    let checkpoint = stores.checkpoint(store);
    let is_outside = checkpoint.is_some_and(|offset| offset < low || offset > end);
    if reaches == Some(layout::LOST) {
        return Err(Outcome::Failed(Error::ChangelogMadeAnew { changelog: changelog.to_string() }));
    }
    // Compaction keeps the log's beginning where it is. Where that has moved, or the end is before what the disk has or the offsets ask for, records
    // are gone that nothing can bring back: a state without them would be wrong, and nobody would know.
    if let Some(asked) = reaches
        && (is_outside || checkpoint.is_none() && low.0 > 0 || asked > end)
    {
        let needed = checkpoint.unwrap_or_default();
        let (changelog, reaches) = (changelog.to_string(), asked.max(needed).0);
        return Err(Outcome::Failed(Error::ChangelogLost { changelog, needed: needed.0, reaches, low: low.0, end: end.0 }));
    }
    match checkpoint {
        Some(checkpoint) if is_outside => {
            Err(Outcome::Rebuild(format!("checkpoint {checkpoint} of {changelog} is outside its log ({low} to {end})")))
        }
        checkpoint => Ok(checkpoint.unwrap_or(low)),
    }
}

/// The shortest time that a restore is given, however soon its changelog lets tombstones go: with less than it takes it would begin anew for ever. And so far
/// may a clock be set back without a doubt about the age of rows.
const GRACE: Duration = Duration::from_secs(60);

/// How long rows on the disk may be read on from. Tombstones that were written after them are kept for that long, later ones may be missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    /// When the rows were complete: the age of their checkpoint, or, where there is none, the beginning of the restore.
    pub(super) as_of: Timestamp,
    /// How long the changelog keeps tombstones; none where that is not known, or does not matter any more.
    pub(super) kept: Option<Duration>,
}

/// How long a changelog keeps tombstones, as far as that is known; zero is what a cluster answers that does not say.
pub(super) fn kept(admin: &dyn Admin, changelog: &TopicPartition) -> log::Result<Option<Duration>> {
    let kept = admin.describe(&changelog.topic)?.map(|topic| topic.config.delete_retention);
    Ok(kept.filter(|kept| !kept.is_zero()).map(|kept| kept.max(GRACE)))
}

impl Lifetime {
    /// The lifetime of the rows that are there when a store is to be read `from` an offset to an end, if it is not over already.
    pub(super) fn begin(
        stores: &TaskState,
        store: StoreId,
        from: Offset,
        Extent { changelog, end, .. }: Extent<'_>,
        now: Timestamp,
        kept: impl FnOnce() -> log::Result<Option<Duration>>,
    ) -> Result<Self, Outcome> {
        let kept = if may_hold_tombstones(from, end) { kept().map_err(log_failed)? } else { None };
        let lifetime = Self { as_of: stores.as_of(store).unwrap_or(now), kept };
        lifetime.check(changelog, now).map(|()| lifetime)
    }

    /// Asked again before what was read is applied, and at the end: on the way, too, tombstones may go. So whatever was read up to a checkpoint was read in
    /// time, and only what lies after it counts when the restore goes on another time.
    pub(super) fn check(self, changelog: &TopicPartition, now: Timestamp) -> Result<(), Outcome> {
        let Some(kept) = self.kept else { return Ok(()) };
        let age_ms = now.0.saturating_sub(self.as_of.0);
        let ahead = Duration::from_millis(age_ms.min(0).unsigned_abs());
        if ahead > GRACE {
            return Err(Outcome::Outlived(format!(
                "its rows were complete at a time that is {ahead:?} ahead of the clock, which was set back: how old they are is not known"
            )));
        }
        let age = Duration::from_millis(age_ms.max(0).unsigned_abs());
        if age <= kept {
            return Ok(());
        }
        let kept = kept.as_millis();
        Err(Outcome::Outlived(format!(
            "its rows were complete {age:?} ago, tombstones in {changelog} since then may be gone (delete.retention.ms is {kept})"
        )))
    }
}

/// Between a checkpoint and an end. One slot is the marker of the transaction at the checkpoint, or the first record of an open one; a tombstone and its
/// marker are two.
pub(super) fn may_hold_tombstones(from: Offset, end: Offset) -> bool {
    end.0 - from.0 > 1
}

pub(super) fn store_failed(id: TaskId, source: impl std::error::Error + Send + Sync + 'static) -> Outcome {
    match failure::of_store(&source) {
        Action::Rebuild => Outcome::Rebuild(task::chain(&source)),
        _ => Outcome::Failed(Error::Stores { task: id, source: Box::new(source) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_be_read_on_from_while_their_age_is_known_and_tombstones_last() {
        let changelog = TopicPartition::new("app-counts-changelog", 0);
        let hour = 3_600_000;
        let lifetime = Lifetime { as_of: Timestamp(10 * hour), kept: Some(Duration::from_secs(3600)) };
        let check = |lifetime: Lifetime, now| match lifetime.check(&changelog, Timestamp(now)) {
            Ok(()) => String::new(),
            Err(Outcome::Outlived(cause)) => cause,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(check(lifetime, 11 * hour), "");
        assert!(check(lifetime, 11 * hour + 1).contains("delete.retention.ms is 3600000"));
        // A clock is put right by seconds all the time; one that was set back says nothing of an age.
        assert_eq!(check(lifetime, 10 * hour - 60_000), "");
        assert!(check(lifetime, 10 * hour - 60_001).contains("60.001s ahead of the clock"));
        assert_eq!(check(Lifetime { kept: None, ..lifetime }, 0), "");
    }
}
