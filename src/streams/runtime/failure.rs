//! The failure policy: everything that can happen instead of success, and what is done about it. One `match`.
//!
//! | action | transaction | overlay | producer | tasks |
//! |---|---|---|---|---|
//! | `Rewind` | aborted | dropped | kept | go on from the committed offsets |
//! | `Pause` | aborted | dropped | kept | as `Rewind`, after a while |
//! | `Restart` | aborted if possible | dropped | replaced | restored from their changelogs |
//! | `RestartUnknown` | left alone | dropped | replaced | restored; the committed offsets decide |
//! | `Rejoin` | left alone | dropped | replaced | closed; the group is joined anew, unless somebody else is in it under this name |
//! | `Yield` | aborted if possible | dropped | dropped | closed: another process has the instance id |
//! | `Rebuild` | aborted | dropped | kept | the store is wiped and restored |
//! | `Narrow` | aborted if possible | dropped | replaced | as `Restart`, then fewer records at a time |
//! | `Stop` | aborted if possible | dropped | dropped | closed |

use super::commit::Phase;
use crate::streams::log::Class;
use crate::streams::task::{self, StorageTrouble, storage_trouble};

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Rewind,
    Pause,
    Restart,
    RestartUnknown,
    Rejoin,
    Yield,
    Rebuild,
    Narrow,
    Stop,
}

/// What to do about an error of the log. Retriable ones have been tried again up to their deadline before they come here.
pub(super) fn of_log(phase: Phase, class: Class) -> Action {
    match (phase, class) {
        // Whatever its flags say: somebody else is the owner now.
        (_, Class::Fenced) => Action::Rejoin,
        // Never abort what may be committed.
        (Phase::Commit, _) | (_, Class::Unknown) => Action::RestartUnknown,
        // An ordinary rebalance overtook the commit; the rows in the write-back cache are committed and stay.
        (_, Class::Rebalanced) => Action::Rewind,
        (_, Class::DiskFull) => Action::Pause,
        // The producer has lost count with it.
        (_, Class::Record) => Action::Narrow,
        (_, Class::OutOfRange | Class::UnknownTopic | Class::Exists | Class::Denied) => Action::Stop,
        (_, Class::Retriable | Class::Abortable | Class::Fatal) => Action::Restart,
    }
}

/// What to do about an error of a poll.
pub(super) fn of_poll(class: Class) -> Action {
    match class {
        // Somebody else has joined under this name, later than this one: it is theirs. Only a holder of the same id can do that.
        Class::Fenced => Action::Yield,
        // The consumer has come to its end; another one may go on.
        Class::Fatal => Action::Rejoin,
        class => of_log(Phase::Produce, class),
    }
}

/// What to do about an error of a store.
pub(super) fn of_store(error: &(dyn std::error::Error + 'static)) -> Action {
    match storage_trouble(error) {
        Some(StorageTrouble::Damaged) => Action::Rebuild,
        Some(StorageTrouble::DiskFull) => Action::Pause,
        Some(StorageTrouble::Other) | None => Action::Stop,
    }
}

/// What to do about an error of a task.
pub(super) fn of_task(error: &task::Error) -> Action {
    match error {
        task::Error::Log { source, .. } => of_log(Phase::Produce, source.class),
        task::Error::Stores { .. } | task::Error::Store { .. } => of_store(error),
        _ if storage_trouble(error).is_some() => of_store(error),
        task::Error::Record { .. } | task::Error::Node { .. } | task::Error::State { .. } => Action::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::kv;

    #[test]
    fn an_error_of_the_commit_call_is_never_aborted() {
        for class in [Class::Retriable, Class::Abortable, Class::Rebalanced, Class::Unknown, Class::DiskFull, Class::Fatal] {
            assert_eq!(of_log(Phase::Commit, class), Action::RestartUnknown, "{class:?}");
        }
    }

    #[test]
    fn fencing_wins_over_everything() {
        for phase in [Phase::Produce, Phase::SendOffsets, Phase::Commit] {
            assert_eq!(of_log(phase, Class::Fenced), Action::Rejoin);
        }
    }

    #[test]
    fn a_member_that_is_fenced_yields() {
        assert_eq!(of_poll(Class::Fenced), Action::Yield);
        assert_eq!(of_poll(Class::Fatal), Action::Rejoin);
        assert_eq!(of_poll(Class::Retriable), of_log(Phase::Produce, Class::Retriable));
    }

    #[test]
    fn a_rebalance_that_overtakes_the_offsets_keeps_the_producer() {
        assert_eq!(of_log(Phase::SendOffsets, Class::Rebalanced), Action::Rewind);
    }

    #[test]
    fn errors_before_the_commit_call_restart_or_pause_or_stop() {
        assert_eq!(of_log(Phase::Produce, Class::Abortable), Action::Restart);
        assert_eq!(of_log(Phase::Produce, Class::Retriable), Action::Restart);
        assert_eq!(of_log(Phase::Produce, Class::Unknown), Action::RestartUnknown);
        assert_eq!(of_log(Phase::Produce, Class::DiskFull), Action::Pause);
        assert_eq!(of_log(Phase::Produce, Class::OutOfRange), Action::Stop);
        assert_eq!(of_log(Phase::Produce, Class::Denied), Action::Stop);
        assert_eq!(of_log(Phase::Produce, Class::Record), Action::Narrow);
        assert_eq!(of_log(Phase::Commit, Class::Denied), Action::RestartUnknown);
    }

    #[test]
    fn damage_rebuilds_and_a_full_disk_waits() {
        let cause = || Box::<dyn std::error::Error + Send + Sync>::from("x");
        assert_eq!(of_store(&kv::Error::Corrupt { store: "s".into(), source: cause() }), Action::Rebuild);
        assert_eq!(of_store(&kv::Error::DiskFull { store: "s".into(), source: cause() }), Action::Pause);
        assert_eq!(of_store(&kv::Error::Failed { store: "s".into(), source: cause() }), Action::Stop);
    }
}
