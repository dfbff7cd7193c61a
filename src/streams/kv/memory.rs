//! [`Kv`] in memory, for tests, dry runs and the simulation.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use super::{Batch, Change, Direction, Durability, Kv, Result, Visit};

type Rows = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// A byte map that lives as long as the process.
#[derive(Debug, Default)]
pub struct Memory {
    rows: RwLock<Rows>,
}

impl Kv for Memory {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        let rows = self.rows.read();
        let Some(found) = rows.get(key) else { return Ok(false) };
        value.extend_from_slice(found);
        Ok(true)
    }

    fn write(&self, batch: &Batch, _durability: Durability) -> Result<()> {
        let mut rows = self.rows.write();
        for change in batch.changes() {
            match change {
                Change::Put(key, value) => {
                    rows.insert(key.into(), value.into());
                }
                Change::Delete(key) => {
                    rows.remove(key);
                }
                Change::DeleteRange(from, to) => {
                    let doomed: Vec<_> =
                        rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))).map(|(key, _)| key.clone()).collect();
                    for key in doomed {
                        rows.remove(&key);
                    }
                }
            }
        }
        Ok(())
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        let rows = self.rows.read();
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = rows.range::<[u8], _>((Bound::Included(from), upper));
        while let Some((key, value)) = match direction {
            Direction::Forward => range.next(),
            Direction::Reverse => range.next_back(),
        } {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
