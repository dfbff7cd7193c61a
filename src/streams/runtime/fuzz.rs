//! Fuzz target: the metadata of committed offsets.

use super::layout::{read, without_store};
use crate::streams::state::StoreSpec;
use crate::streams::task::TaskId;
use crate::streams::topology::{ErrorPolicy, Start, Subtopology};

/// The text beside a committed offset.
pub(crate) fn offsets(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let without = without_store(&text, "s");
    let Some(layout) = read(&text) else { return assert!(without.is_empty()) };
    assert!(read(&without).is_some_and(|layout| layout.epoch().is_none()), "{without}");
    let stores = vec![StoreSpec { name: "s".into(), layout: crate::streams::state::StoreLayout::default() }];
    let subtopology =
        Subtopology { id: 0, topic: "t".into(), source: "t".into(), start: Start::Earliest, stores, errors: ErrorPolicy::default() };
    drop(layout.check(TaskId { subtopology: 0, partition: 0 }, &subtopology, 1));
    assert!(layout.epoch().is_none_or(|epoch| text.len() >= epoch.len()));
    layout.knows_stores();
}
