//! Reads `[errors]` and `[engine]`.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::super::diagnostics::Diagnostic;
use super::super::external::External;
use super::super::model::Engine;
use super::reader::{Reader, Value};
use super::{as_table, kafka};
use crate::streams::topology::{ErrorPolicy, OnError};

/// What may become of a bad record.
pub(super) const POLICIES: [(&str, OnError); 3] = [("fail", OnError::Fail), ("skip", OnError::Skip), ("dead-letter", OnError::DeadLetter)];

/// A time that nothing takes: the longest watchdog is one that is switched off.
const WATCHDOG_MAX: Duration = Duration::from_secs(3_650 * 86_400);

const MEBIBYTE: usize = 1 << 20;

const INSTANCE_EXAMPLE: &str = "instance_id = { env = \"POD_NAME\" }";

/// `[errors]`.
pub(super) fn errors(value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> ErrorPolicy {
    let Some(table) = as_table("errors", value, "[errors]", faults) else { return ErrorPolicy::default() };
    let mut table = Reader::new("[errors]", value.span(), table, faults);
    let default = ErrorPolicy::default();
    let policy = ErrorPolicy {
        deserialization: table.choice("deserialization", &POLICIES).unwrap_or(default.deserialization),
        processing: table.choice("processing", &POLICIES).unwrap_or(default.processing),
        production: table.choice("production", &POLICIES).unwrap_or(default.production),
    };
    table.finish();
    policy
}

/// `[engine]`, the instance id, which is still to be resolved, and where standby tasks are asked for.
pub(super) fn engine(value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> (Engine, Option<Spanned<External>>, Option<Range<usize>>) {
    let mut engine = Engine::default();
    let Some(table) = as_table("engine", value, "[engine]", faults) else { return (engine, None, None) };
    let mut table = Reader::new("[engine]", value.span(), table, faults);
    set(&mut engine.threads, table.integer("threads", 1..257), |count| usize::try_from(count).unwrap_or(1));
    set(&mut engine.partitions, table.integer("partitions", 1..4097), |count| i32::try_from(count).unwrap_or(1));
    let instance_id = table.take("instance_id").map(|(_, value)| value);
    let instance_id = instance_id.and_then(|value| kafka::outside("instance_id", value, INSTANCE_EXAMPLE, table.faults()));
    set(&mut engine.transaction_timeout, table.integer("transaction_timeout_ms", 1_000..900_001), millis);
    let transaction_timeout_ms = i64::try_from(engine.transaction_timeout.as_millis()).unwrap_or(i64::MAX);
    commit_interval(&mut table, transaction_timeout_ms, &mut engine.commit_interval);
    set(&mut engine.commit_records_max, table.integer("commit_records_max", 1..10_000_001), i64::unsigned_abs);
    engine.commit_at_end_of_input = table.boolean_or("commit_at_end_of_input", engine.commit_at_end_of_input);
    set(&mut engine.overlay_bytes_max, table.integer("overlay_mib", 1..4097), mebibytes);
    set(&mut engine.cache_bytes, table.integer("cache_mib", 1..65_537), mebibytes);
    set(&mut engine.write_back_bytes, table.integer("write_back_mib", 1..4097), mebibytes);
    set(&mut engine.write_back_interval, table.integer("write_back_interval_ms", 1..3_600_001), millis);
    set(&mut engine.endtxn_guard, table.integer("endtxn_guard_ms", 1..transaction_timeout_ms), millis);
    engine.watchdog = watchdog(&mut table, engine.transaction_timeout, engine.watchdog);
    let standby = table.set_at("standby");
    engine.standby = standby.is_some();
    table.finish();
    (engine, instance_id, standby)
}

fn set<T>(into: &mut T, number: Option<Spanned<i64>>, convert: fn(i64) -> T) {
    if let Some(number) = number {
        *into = convert(number.into_inner());
    }
}

fn mebibytes(count: i64) -> usize {
    usize::try_from(count).unwrap_or(1).saturating_mul(MEBIBYTE)
}

fn millis(count: i64) -> Duration {
    Duration::from_millis(count.unsigned_abs())
}

/// A client may take so long to end, where its brokers are silent and its group is to be joined anew.
const CLIENT_ENDS: Duration = Duration::from_secs(20);

/// A call to the brokers takes up to the transaction timeout and may be made once more, and a client takes its time to end: that is no standstill.
fn watchdog(table: &mut Reader<'_, '_>, transaction_timeout: Duration, default: Duration) -> Duration {
    let longest_step = (transaction_timeout * 2 + Duration::from_secs(5)).max(CLIENT_ENDS);
    let default = default.max(transaction_timeout * 3);
    table.duration("watchdog", &format!("{}s", default.as_secs()), &(longest_step..=WATCHDOG_MAX)).unwrap_or(default)
}

/// A transaction that stays open for half of its timeout leaves no time to end it.
fn commit_interval(table: &mut Reader<'_, '_>, transaction_timeout_ms: i64, into: &mut Duration) {
    let Some(number) = table.integer("commit_interval_ms", 0..i64::MAX) else { return };
    let limit = transaction_timeout_ms / 2;
    if *number.get_ref() >= limit {
        let message = format!("`commit_interval_ms` must be below {limit} ms, half of the transaction timeout");
        let fault = Diagnostic::error("commit-interval", number.span(), message);
        table.faults().push(
            fault
                .labelled("too long")
                .hinted("a transaction that is open for longer may be aborted before it is committed; 100 is the default"),
        );
        return;
    }
    *into = millis(number.into_inner());
}
