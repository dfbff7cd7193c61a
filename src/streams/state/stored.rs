//! What the disk says of a task beside its rows: format, stores with their numbers and layouts, checkpoints, input.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::keys::{self, FORMAT_VERSION, Kind};
use super::layout::StoreLayout;
use crate::streams::clock::Timestamp;
use crate::streams::kv::{Direction, Kv};
use crate::streams::log::Offset;
use crate::streams::processor::BoxError;

/// The value of a row of [`Kind::Store`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) layout: StoreLayout,
}

/// Everything on disk that is not a user's row.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Whether anything was written at all.
    pub(super) is_formatted: bool,
    /// The number of each store by its name.
    pub(super) numbers: BTreeMap<String, u16>,
    /// The layout of each store by its name.
    pub(super) layouts: BTreeMap<String, StoreLayout>,
    /// The checkpoint of each store by its number.
    pub(super) checkpoints: BTreeMap<u16, Offset>,
    /// The next input offset to read, as of the last flush.
    pub(super) input: Option<Offset>,
    /// When the checkpoint of each store, by its number, was known to be the changelog's end.
    pub(super) as_of: BTreeMap<u16, Timestamp>,
    /// The life of the changelogs that the rows come from.
    pub(super) epoch: Option<Arc<str>>,
}

impl Stored {
    /// Reads it all.
    pub(super) fn read(task: &str, kv: &dyn Kv) -> Result<Self> {
        let mut stored = Self::default();
        let mut version = None;
        let mut bad: Option<BoxError> = None;
        let end = [Kind::Row as u8];
        kv.scan(&[], Some(&end), Direction::Forward, &mut |key, value| match stored.take(key, value, &mut version) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                bad = Some(error);
                ControlFlow::Break(())
            }
        })
        .map_err(|error| Error::of(task, error))?;
        match version {
            // The format row sorts first: whatever else was read is to be judged by it.
            Some(version) if version != FORMAT_VERSION => {
                return Err(Error::Format { task: task.to_owned(), stored: version, known: FORMAT_VERSION });
            }
            Some(_) => stored.is_formatted = true,
            None if bad.is_none() && stored.numbers.is_empty() && stored.checkpoints.is_empty() && !has_rows(task, kv)? => {}
            None => return Err(Error::corrupt(task, "there are rows but no format")),
        }
        match bad {
            Some(source) => Err(Error::corrupt(task, source)),
            None => Ok(stored),
        }
    }

    fn take(&mut self, key: &[u8], value: &[u8], version: &mut Option<u8>) -> Result<(), BoxError> {
        let kind = key.first().copied().unwrap_or_default();
        let number = keys::number_of(key).ok_or("a key is too short")?;
        if kind == Kind::Format as u8 {
            let stored = value.first().copied().ok_or("the format is empty")?;
            *version = Some(stored);
            if stored != FORMAT_VERSION {
                return Err("another format".into());
            }
        } else if kind == Kind::Store as u8 {
            let Description { name, layout } = serde_json::from_slice(value)?;
            self.numbers.insert(name.clone(), number);
            self.layouts.insert(name, layout);
        } else if kind == Kind::Checkpoint as u8 {
            self.checkpoints.insert(number, keys::offset_of(value).ok_or("a checkpoint is not an offset")?);
        } else if kind == Kind::Input as u8 {
            self.input = Some(keys::offset_of(value).ok_or("the input position is not an offset")?);
        } else if kind == Kind::AsOf as u8 {
            self.as_of.insert(number, keys::time_of(value).ok_or("the time of a checkpoint is not a time")?);
        } else if kind == Kind::Epoch as u8 {
            self.epoch = Some(std::str::from_utf8(value)?.into());
        } else {
            return Err(format!("key of unknown kind {kind}").into());
        }
        Ok(())
    }

    /// The number of a store, a new one where it has none. None when there are no more.
    pub(super) fn number(&mut self, name: &str) -> Option<u16> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let number = match self.numbers.values().max() {
            Some(last) => last.checked_add(1)?,
            None => 0,
        };
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }
}

/// Whether there is any user's row at all.
fn has_rows(task: &str, kv: &dyn Kv) -> Result<bool> {
    let mut found = false;
    kv.scan(&[Kind::Row as u8], None, Direction::Forward, &mut |_, _| {
        found = true;
        ControlFlow::Break(())
    })
    .map_err(|error| Error::of(task, error))?;
    Ok(found)
}
