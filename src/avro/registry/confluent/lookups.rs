//! Look-ups by id and GUID: each runs once at a time in the background, whoever asks and however long they wait.
//!
//! The rule for a stream thread: it waits `patience` for a look-up, so that the ordinary case pauses nothing. Where that was not enough, or
//! the registry is out of reach, nobody waits until one look-up has succeeded: otherwise a thread with several partitions would do nothing
//! but wait, and those whose schemas are known would stand still as well. What a look-up found is remembered for ever; "none" and an outage
//! are told to those who waited, or once to who asks next, and then forgotten: the next question goes to the registry again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use super::client::Client;
use super::trouble::Trouble;
use crate::avro::{Schema, SchemaKey};

/// More look-ups than this at a time are refused.
const LOOKUPS_MAX: usize = 256;

/// What a look-up brought; none where the registry does not know the schema.
pub(super) type Outcome = Result<Option<Arc<Schema>>, Trouble>;

/// See the module.
#[derive(Debug)]
pub(super) struct Lookups {
    handle: Handle,
    client: Arc<Client>,
    table: Mutex<Table>,
    ended: Condvar,
    /// Set while nobody waits for an answer.
    slow: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    /// What will never change: a schema, or why it cannot be used.
    known: HashMap<SchemaKey, Result<Arc<Schema>, Trouble>>,
    open: HashMap<SchemaKey, Lookup>,
    /// Why the last look-up failed, where it did.
    last: Option<String>,
}

/// A look-up under way, or over with its outcome not told to everybody yet.
#[derive(Debug, Default)]
struct Lookup {
    waiting: usize,
    outcome: Option<Outcome>,
}

impl Table {
    fn known(&self, key: SchemaKey) -> Option<Outcome> {
        self.known.get(&key).map(|known| known.as_ref().map(|schema| Some(Arc::clone(schema))).map_err(Clone::clone))
    }

    /// The outcome of a look-up that is over; it is forgotten when nobody else waits for it.
    fn take(&mut self, key: SchemaKey) -> Option<Outcome> {
        if let Some(known) = self.known(key) {
            return Some(known);
        }
        let lookup = self.open.get(&key)?;
        let outcome = lookup.outcome.clone()?;
        if lookup.waiting == 0 {
            self.open.remove(&key);
        }
        Some(outcome)
    }
}

impl Lookups {
    pub(super) fn new(handle: Handle, client: Arc<Client>) -> Self {
        Self { handle, client, table: Mutex::default(), ended: Condvar::new(), slow: AtomicBool::new(false) }
    }

    /// Keeps what was learned otherwise.
    pub(super) fn remember(&self, key: SchemaKey, schema: &Arc<Schema>) {
        self.table.lock().known.entry(key).or_insert_with(|| Ok(Arc::clone(schema)));
    }

    /// The schema, looked up where it is not known; waits up to `patience`, without one until the request's time limit.
    pub(super) fn ask(self: &Arc<Self>, key: SchemaKey, patience: Option<Duration>) -> Outcome {
        let mut table = self.table.lock();
        if let Some(outcome) = table.take(key) {
            return outcome;
        }
        if !table.open.contains_key(&key) {
            if table.open.len() >= LOOKUPS_MAX {
                // What nobody came back for.
                table.open.retain(|_, lookup| lookup.outcome.is_none() || lookup.waiting > 0);
            }
            if table.open.len() >= LOOKUPS_MAX {
                return Err(Trouble::unavailable(self.client.looking_up(key), format!("{LOOKUPS_MAX} look-ups are under way already")));
            }
            table.open.insert(key, Lookup::default());
            self.start(key);
        }
        let patience = patience.map(|patience| if self.slow.load(Ordering::Relaxed) { Duration::ZERO } else { patience });
        if let Some(lookup) = table.open.get_mut(&key) {
            lookup.waiting += 1;
        }
        let mut under_way = |table: &mut Table| table.open.get(&key).is_some_and(|lookup| lookup.outcome.is_none());
        match patience {
            None => self.ended.wait_while(&mut table, &mut under_way),
            Some(Duration::ZERO) => {}
            Some(patience) => {
                if self.ended.wait_while_for(&mut table, &mut under_way, patience).timed_out() {
                    self.slow.store(true, Ordering::Relaxed);
                }
            }
        }
        if let Some(lookup) = table.open.get_mut(&key) {
            lookup.waiting -= 1;
        }
        table.take(key).unwrap_or_else(|| {
            let before = table.last.as_ref().map(|last| format!("; before: {last}")).unwrap_or_default();
            Err(Trouble::unavailable(self.client.looking_up(key), format!("the answer is not there yet{before}")))
        })
    }

    /// How many wait for a look-up.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.table.lock().open.values().map(|lookup| lookup.waiting).sum()
    }

    fn start(self: &Arc<Self>, key: SchemaKey) {
        let lookups = Arc::clone(self);
        let client = Arc::clone(&self.client);
        // A task of its own, so that even a panic in it is an outcome.
        let request = self.handle.spawn(async move { client.schema(key).await });
        self.handle.spawn(async move {
            let broken = |_| Err(Trouble::unavailable(lookups.client.looking_up(key), "the request broke off"));
            lookups.end(key, request.await.unwrap_or_else(broken));
        });
    }

    fn end(&self, key: SchemaKey, outcome: Outcome) {
        let mut table = self.table.lock();
        table.last = outcome.as_ref().err().and_then(Trouble::cause);
        self.slow.store(table.last.is_some(), Ordering::Relaxed);
        match outcome {
            Ok(Some(schema)) => {
                table.known.insert(key, Ok(schema));
                table.open.remove(&key);
            }
            Err(trouble) if !trouble.may_change() => {
                table.known.insert(key, Err(trouble));
                table.open.remove(&key);
            }
            outcome => {
                if let Some(lookup) = table.open.get_mut(&key) {
                    lookup.outcome = Some(outcome);
                }
            }
        }
        drop(table);
        self.ended.notify_all();
    }
}
