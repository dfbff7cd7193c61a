//! Ranges over a store: the rows on disk, with what is newer in memory laid over them.
//!
//! Only dirty and pending rows can differ from the disk, so only they are collected and sorted: a scan costs as much as
//! the rows that it passes plus the rows that wait for commit or flush.

use std::ops::ControlFlow;

use super::cache::{NONE, Slot};
use super::error::{Error, Result};
use super::keys::{self, HEAD_LENGTH, Kind};
use super::store::Rows;
use crate::streams::kv::{Direction, Visit};

impl Rows {
    /// Visits the keys of `from..to` of the current store, ascending.
    pub(super) fn scan(&mut self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let number = self.number()?;
        let mut found = std::mem::take(&mut self.found);
        self.collect(from, to, &mut found);
        let first = [&keys::meta(Kind::Row, number)[..], from].concat();
        let last = to.map_or_else(|| keys::end(Kind::Row, number).to_vec(), |to| [&keys::meta(Kind::Row, number)[..], to].concat());
        let result = self.merge(&first, &last, &found, visit);
        found.clear();
        self.found = found;
        result
    }

    /// The rows of the current store in `from..to` that the disk does not know as they are, sorted by key.
    fn collect(&self, from: &[u8], to: Option<&[u8]>, found: &mut Vec<Slot>) {
        found.clear();
        let dirty = self.cache.dirty().iter().copied().filter(|&slot| self.cache.row(slot).pending == NONE);
        let pending = self.overlay.iter().map(|pending| pending.row);
        found.extend(dirty.chain(pending).filter(|&slot| {
            let row = self.cache.row(slot);
            row.store() == self.current && row.key() >= from && to.is_none_or(|to| row.key() < to)
        }));
        found.sort_unstable_by(|&a, &b| self.cache.row(a).key().cmp(self.cache.row(b).key()));
    }

    fn merge(&self, first: &[u8], last: &[u8], found: &[Slot], visit: &mut Visit<'_>) -> Result<()> {
        let mut waiting = found.iter().copied().peekable();
        let mut ended = false;
        let scanned = self.kv.scan(first, Some(last), Direction::Forward, &mut |key, value| {
            let key = key.get(HEAD_LENGTH..).unwrap_or_default();
            while let Some(slot) = waiting.next_if(|&slot| self.cache.row(slot).key() < key) {
                if self.show(slot, visit).is_break() {
                    ended = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match waiting.next_if(|&slot| self.cache.row(slot).key() == key) {
                Some(slot) => self.show(slot, visit),
                None => visit(key, value),
            };
            ended = flow.is_break();
            flow
        });
        scanned.map_err(|error| Error::of(&self.task, error))?;
        if !ended {
            for slot in waiting {
                if self.show(slot, visit).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn show(&self, slot: Slot, visit: &mut Visit<'_>) -> ControlFlow<()> {
        self.visible(slot).map_or(ControlFlow::Continue(()), |value| visit(self.cache.row(slot).key(), value))
    }
}
