//! The stores of a stopped instance, row by row, as they lie on its disk. Needs no log and no topology: a directory knows what is in it.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::streams::kv;
use crate::streams::rocks::{self, Budget, Profile, Rocks};
use crate::streams::state::{self, StateDirectory, directory, export};

/// What reading a store may keep in memory.
const CACHE_BYTES: usize = 8 << 20;

/// Why stores cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be listed.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// A task's stores cannot be opened.
    #[error("the stores of task {task} cannot be opened")]
    Open {
        /// The task.
        task: String,
        /// The cause.
        #[source]
        source: kv::Error,
    },
    /// A task's stores cannot be read.
    #[error(transparent)]
    State(#[from] state::Error),
    /// No task has a store of this name.
    #[error("there is no store {store} in the directory; it has {}", if .known.is_empty() { "none" } else { .known })]
    NoStore {
        /// What was asked for.
        store: String,
        /// What there is.
        known: String,
    },
}

/// One line of what is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// Stands before the rows of a store of one task.
    Store {
        /// The store.
        store: String,
        /// The task.
        task: String,
        /// Its partition.
        partition: i32,
        /// The next changelog offset to read: up to there the store is complete.
        checkpoint: Option<i64>,
        /// The next input offset to read, as of the last write.
        input: Option<i64>,
    },
    /// A row.
    Row {
        /// The store.
        store: String,
        /// The task.
        task: String,
        /// Its partition.
        partition: i32,
        /// The key, in hexadecimal.
        key_hex: String,
        /// The value, in hexadecimal: what the changelog has for this key.
        value_hex: String,
    },
}

/// Shows the stores of all tasks of the topology, or the one of this name, until `emit` says that it is enough.
pub fn export(directory: &StateDirectory, only: Option<&str>, emit: &mut dyn FnMut(Line) -> ControlFlow<()>) -> Result<(), Error> {
    let options = rocks::Options::new(Profile::State, Budget::new(CACHE_BYTES, CACHE_BYTES));
    let mut known = Vec::new();
    let mut found = false;
    for task in directory.tasks(directory::TOPOLOGY)? {
        let path = directory.state_path(directory::TOPOLOGY).join(&task);
        let kv = Rocks::open(&path, &options).map_err(|source| Error::Open { task: task.clone(), source })?;
        let (input, stores) = export::stores(&task, &kv)?;
        let partition = task.rsplit('_').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        for on_disk in stores {
            if only.is_some_and(|only| only != on_disk.name) {
                known.push(on_disk.name);
                continue;
            }
            found = true;
            let store = on_disk.name.clone();
            let head = Line::Store {
                store: store.clone(),
                task: task.clone(),
                partition,
                checkpoint: on_disk.checkpoint.map(|offset| offset.0),
                input: input.map(|offset| offset.0),
            };
            if emit(head).is_break() {
                return Ok(());
            }
            let mut enough = false;
            export::rows(&task, &kv, &on_disk, &mut |key, value| {
                let (key_hex, value_hex) = (hexadecimal(key), hexadecimal(value));
                let flow = emit(Line::Row { store: store.clone(), task: task.clone(), partition, key_hex, value_hex });
                enough = flow.is_break();
                flow
            })?;
            if enough {
                return Ok(());
            }
        }
    }
    match only {
        Some(store) if !found => {
            known.sort_unstable();
            known.dedup();
            Err(Error::NoStore { store: store.to_owned(), known: known.join(", ") })
        }
        _ => Ok(()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
