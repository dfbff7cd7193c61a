//! The real parts that tests run against: a Kafka broker, a schema registry, a worker of Kafka Connect, Confluent's Python client.
//!
//! They are fetched from packages (`tests/packages/`) into a cache outside the clone, started on free ports of the loopback with a temporary
//! directory each, and stopped by their own process ids, also when the tests are killed. Each test asks for what it needs:
//! `let Some(broker) = Broker::shared() else { return };`. Where Java, Maven or Python is missing it gets nothing and is skipped,
//! loudly; with `TIDEWATCH_REQUIRE_REAL=1` it fails instead.

pub(crate) mod broker;
pub(crate) mod connect;
pub(crate) mod front;
pub(crate) mod http;
pub(crate) mod packages;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod records;
pub(crate) mod registry;
pub(crate) mod security;
pub(crate) mod verifier;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// No part may take longer to start, to answer or to end: the machine may be slow, but it does not stand still.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The names of the tests that were skipped so far.
static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What was found, or nothing and the note that the calling test is skipped.
#[track_caller]
pub(crate) fn or_skip<T>(found: Result<T, String>) -> Option<T> {
    let missing = match found {
        Ok(found) => return Some(found),
        Err(missing) => missing,
    };
    let required = std::env::var("TIDEWATCH_REQUIRE_REAL").is_ok_and(|value| value == "1");
    assert!(!required, "TIDEWATCH_REQUIRE_REAL is set, but {missing}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut skipped = SKIPPED.lock().unwrap();
    skipped.insert(test.clone());
    let count = skipped.len();
    drop(skipped);
    // Past the test harness, which holds back what passing tests print.
    let note = format!("SKIPPED ({count} so far, for want of a real part): {test}: {missing}\n");
    std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes()).unwrap();
    None
}

/// A name that no other run and no other test has: a broker that is not ours keeps its topics and groups.
pub(crate) fn unique(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{name}-{since:x}-{:x}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Runs a future to its end.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
