//! What lies on the disk of one task, for people and tools: which stores, up to where each is complete, and their rows as they are.

use std::ops::ControlFlow;

use super::error::{Error, Result};
use super::keys::{self, HEAD_LENGTH, Kind};
use super::stored::Stored;
use crate::streams::kv::{Direction, Kv, Visit};
use crate::streams::log::Offset;

/// A store as the disk has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// Its name.
    pub name: String,
    /// Up to where it is complete: the next offset of its changelog. None: nothing was written yet.
    pub checkpoint: Option<Offset>,
    number: u16,
}

/// The next input offset to read, and the stores of a task by name, sorted.
pub fn stores(task: &str, kv: &dyn Kv) -> Result<(Option<Offset>, Vec<OnDisk>)> {
    let stored = Stored::read(task, kv)?;
    let store = |(name, number): (&String, &u16)| OnDisk {
        name: name.clone(),
        checkpoint: stored.checkpoints.get(number).copied(),
        number: *number,
    };
    Ok((stored.input, stored.numbers.iter().map(store).collect()))
}

/// Visits the rows of a store, ascending by key.
pub fn rows(task: &str, kv: &dyn Kv, store: &OnDisk, visit: &mut Visit<'_>) -> Result<()> {
    let (from, to) = (keys::meta(Kind::Row, store.number), keys::end(Kind::Row, store.number));
    let mut each = |key: &[u8], value: &[u8]| match key.get(HEAD_LENGTH..) {
        Some(key) => visit(key, value),
        None => ControlFlow::Continue(()),
    };
    kv.scan(&from, Some(&to), Direction::Forward, &mut each).map_err(|error| Error::of(task, error))
}
