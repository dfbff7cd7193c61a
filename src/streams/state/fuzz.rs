//! Fuzz target: the rows of a task's state.

use std::sync::Arc;

use super::keys::Kind;
use super::stored::Stored;
use super::{StoreLayout, StoreSpec, TaskState, layout};
use crate::fuzzing::input::run;
use crate::streams::kv::memory::Memory;
use crate::streams::kv::{Batch, Durability, Kv};

/// Any number of rows, keys and values by turns with their lengths before them. A state that can be opened can be opened again as it was.
pub(crate) fn rows(mut input: &[u8]) {
    let kv = Arc::new(Memory::default());
    let mut batch = Batch::default();
    batch.put(&super::keys::meta(Kind::Format, 0), &[super::keys::FORMAT_VERSION]);
    while !input.is_empty() {
        let (Some(key), Some(value)) = (run(&mut input), run(&mut input)) else { break };
        batch.put(key, value);
    }
    if kv.write(&batch, Durability::Volatile).is_err() {
        return;
    }
    let Ok(mut stored) = Stored::read("0_0", &*kv) else { return };
    let declared = vec![StoreSpec { name: "s".into(), layout: StoreLayout { kind: "latest".to_owned(), ..StoreLayout::default() } }];
    drop(layout::check(&stored.layouts, &declared));
    stored.number("s");
    let options = super::Options::default();
    let Ok(mut state) = TaskState::open("0_0", Arc::<Memory>::clone(&kv) as Arc<dyn Kv>, declared.clone(), options) else { return };
    let input = state.stored_input();
    state.flush(input).unwrap_or_else(|error| panic!("{error}"));
    drop(state);
    let again = TaskState::open("0_0", kv, declared, options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.stored_input(), input);
}
