//! What the simulations have met: each kind of fault, and each row of the failure policy. Something that never happens proves nothing.

use crate::plan::CALLS;
use crate::trace::Counts;

/// Every kind of fault, as it is counted.
pub(crate) const KINDS: &[&str] = &[
    "crash K1AfterPoll",
    "crash K2MidBatch",
    "crash K3BeforeFlush",
    "crash K4AfterFlush",
    "crash K5AfterOffsets",
    "crash K6AnswerLost",
    "crash K7BeforeStoreWrite",
    "crash K8AfterStoreWrite",
    "crash K9DuringStoreFlush",
    "crash K10MidRestore",
    "crash K11InRevoke",
    "crash K12AfterAssign",
    "CrashNow",
    "CrashAll",
    "stop",
    "stop and leave",
    "Join",
    "fail Init",
    "fail Begin",
    "fail Send",
    "fail Flush",
    "fail SendOffsets",
    "fail Commit",
    "fail Abort",
    "fail Committed",
    "answer lost Init",
    "answer lost Flush",
    "answer lost SendOffsets",
    "answer lost Commit",
    "answer lost Abort",
    "SlowCommit",
    "SlowAbort",
    "LateCommit",
    "late request ended a transaction",
    "Slow",
    "Unreachable",
    "BrokersDown",
    "stall Poll",
    "stall Flush",
    "stall SendOffsets",
    "stall Commit",
    "stall Abort",
    "stall Write",
    "stall RestorePoll",
    "Zombie",
    "Evict",
    "forgotten Poll",
    "forgotten Flush",
    "forgotten SendOffsets",
    "Twin",
    "DiskFull",
    "DiskDamaged",
    "DiskLost",
    "DiskMistaken",
    "DiskFromBackup",
    "DamagedInUse",
    "MarkersHeld",
    "ForeignOpen",
    "RegistryDown",
    "ClockJump",
    "aged after a kill",
    "aged after a stop",
    "Truncated",
    "Deleted",
    "MadeAnew",
    "rows not flushed were lost",
    "said: the restore is broken off",
    "input: a tombstone",
    "input: bytes that are no value",
    "input: an unknown schema",
    "input: its processing fails",
    "input: its processing panics",
    "input: a result too large",
    "input: a result that the log refuses",
    "input: no key",
    "input: out of order",
    "input: twice",
];

/// The rows of the failure policy and of the restore, each with what shows that it was met: any of these counts.
pub(crate) const POLICY: &[(&str, &[&str])] = &[
    (
        "the commit is slow, or the assignment changed under it: the producer is replaced",
        &["said: a commit may have been sent twice: replacing the producer"],
    ),
    ("a rebalance overtook the commit: the tasks are rewound", &["action Rewind"]),
    ("a request fails retriably and is made again", &["class Flush Retriable", "class SendOffsets Retriable", "class Commit Retriable"]),
    ("an error before the commit call: abort, new producer, restore", &["action Restart"]),
    ("the outcome of the commit is unknown: nothing is aborted, the committed offsets decide", &["class Commit Unknown"]),
    ("fenced: tasks are closed, the group is joined anew", &["action Rejoin"]),
    ("fenced again and again: the instance ends", &["exit Fenced"]),
    ("failures without a commit between them: the instance ends", &["exit TooManyFailures"]),
    ("the disk is full: the input stands still", &["action Pause", "said: standing still until there is space again"]),
    ("committed rows wait in memory for space", &["said: committed rows stay in memory until there is space"]),
    ("a damaged store is rebuilt", &["action Rebuild", "rebuilt: the disk is damaged"]),
    ("a store of another life is rebuilt", &["rebuilt: it belongs to another life"]),
    ("a checkpoint older than the tombstones is not believed", &["rebuilt: the checkpoint is too old"]),
    ("a checkpoint of a time to come is not believed", &["rebuilt: the clock was set back"]),
    ("a record that the log refuses is looked for", &["action Narrow"]),
    ("a foreign transaction, or a broker, is waited for", &["said: waiting for a foreign transaction, or for a broker"]),
    ("no producer can be made: tried again later", &["said: no producer can be made now; it will be tried again"]),
    ("something that a record needs is out of reach: its input pauses", &["said: input paused: something it needs is out of reach"]),
    ("bad records go to the dead letters", &["said: record sent to the dead letters"]),
    ("bad records are skipped", &["said: record skipped"]),
    ("an abort is slow: the producer is replaced", &["said: an abort may have been sent twice: replacing the producer"]),
    ("a restore waits for space on the disk", &["said: the restore waits until there is space"]),
    ("a changelog has lost records: the instance stops and says so", &["stopped for want of a changelog"]),
    ("partitions are lost without a commit", &["said: partitions lost"]),
];

/// What should have happened and did not.
pub(crate) fn missing(counts: &Counts) -> Vec<String> {
    let happened = |name: &str| counts.0.get(name).is_some_and(|count| *count > 0);
    let kinds = KINDS.iter().filter(|kind| !happened(kind)).map(|kind| format!("fault: {kind}"));
    let pairs = CALLS.iter().flat_map(|(site, classes)| classes.iter().map(move |class| format!("class {site:?} {class:?}")));
    let pairs = pairs.filter(|pair| !happened(pair)).map(|pair| format!("fault: {pair}"));
    let rows = POLICY.iter().filter(|(_, signs)| !signs.iter().any(|sign| happened(sign))).map(|(row, _)| format!("policy: {row}"));
    kinds.chain(pairs).chain(rows).collect()
}

/// A table for people.
pub(crate) fn table(counts: &Counts) -> Vec<String> {
    let of = |name: &str| counts.0.get(name).copied().unwrap_or_default();
    let mut lines = vec!["faults:".to_owned()];
    lines.extend(KINDS.iter().map(|kind| format!("{:>9}  {kind}", of(kind))));
    lines.push("policy:".to_owned());
    lines.extend(POLICY.iter().map(|(row, signs)| format!("{:>9}  {row}", signs.iter().map(|sign| of(sign)).sum::<u64>())));
    let others = counts
        .0
        .iter()
        .filter(|(name, _)| !KINDS.contains(&name.as_str()) && !POLICY.iter().any(|(_, signs)| signs.contains(&name.as_str())));
    lines.push("else:".to_owned());
    lines.extend(others.map(|(name, count)| format!("{count:>9}  {name}")));
    lines
}
