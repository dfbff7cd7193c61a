//! The layout of the stored state, kept in the metadata of the committed offsets: it is there even when the disk is lost.
//!
//! Beside it lies the *epoch*: a name that the first start after a reset gives to the life of a task's changelogs. The disk has it too, so a
//! state of an earlier life, left on a machine that the reset did not see, is told from the present one. And the *ends*: how far the changelogs
//! must reach, so that one which lost records, or is another topic of the same name, is told from one that never had any.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Error, Result};
use crate::streams::clock::Timestamp;
use crate::streams::log::Offset;
use crate::streams::state::{LayoutFault, StoreLayout, StoreSpec, layout};
use crate::streams::task::TaskId;
use crate::streams::topology::Subtopology;

/// What a sub-topology keeps, and over how many partitions.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Layout {
    partitions: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// None: too long to be kept here, only the disk knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stores: Option<BTreeMap<String, StoreLayout>>,
    /// By store: up to where its changelog must reach for a state that belongs to this offset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ends: BTreeMap<String, i64>,
}

/// An end that no changelog reaches: what the state needs of it is lost, and no number of new records brings it back.
pub(super) const LOST: Offset = Offset(i64::MAX);

/// Brokers refuse offsets with longer metadata (Kafka's `offset.metadata.max.bytes`, by default).
const METADATA_BYTES_MAX: usize = 4096;

/// What the end of a store's changelog takes beside the store's name: quotes, colon, comma and the longest number.
const END_BYTES: usize = 24;

/// The metadata for the offsets of a task. Stores whose layout is too long for it are left out: then only the disk knows it.
pub(super) fn metadata(subtopology: &Subtopology, partitions: i32, epoch: &str) -> Arc<str> {
    let stores = subtopology.stores.iter().map(|store| (store.name.to_string(), store.layout.clone())).collect();
    let mut layout = Layout { partitions, epoch: Some(epoch.to_owned()), stores: Some(stores), ends: BTreeMap::new() };
    let text = serde_json::to_string(&layout).unwrap_or_default();
    let ends: usize = subtopology.stores.iter().map(|store| store.name.len() + END_BYTES).sum();
    if text.len() + ends + END_BYTES <= METADATA_BYTES_MAX {
        return text.into();
    }
    tracing::warn!(topic = %subtopology.topic, bytes = text.len(), "the layout of the stores is too long to be kept with the offsets");
    layout.stores = None;
    serde_json::to_string(&layout).unwrap_or_default().into()
}

/// The same metadata with the ends of the changelogs, by store. Text is put to text: this happens at every commit.
pub(super) fn with_ends<'a>(metadata: &str, ends: impl Iterator<Item = (&'a str, Offset)>) -> Arc<str> {
    let Some(head) = metadata.strip_suffix('}') else { return Arc::from(metadata) };
    let mut text = String::with_capacity(metadata.len() + 64);
    text.push_str(head);
    text.push_str(",\"ends\":{");
    for (place, (store, end)) in ends.enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        write!(text, "{comma}{}:{}", serde_json::Value::from(store), end.0).unwrap_or_default();
    }
    text.push_str("}}");
    text.into()
}

/// The same metadata without one store: what is forgotten binds nobody, the others stay as they are. A new life begins, so no epoch.
pub fn without_store(metadata: &str, store: &str) -> Arc<str> {
    let Ok(mut layout) = serde_json::from_str::<Layout>(metadata) else { return Arc::from("") };
    layout.epoch = None;
    if let Some(stores) = &mut layout.stores {
        stores.remove(store);
    }
    layout.ends.remove(store);
    serde_json::to_string(&layout).unwrap_or_default().into()
}

/// A name for a new life of a task's changelogs. No randomness: instance and time make it unique, and a simulation can be run again.
pub(super) fn new_epoch(task: TaskId, instance_id: &str, now: Timestamp) -> String {
    format!("{:016x}", xxh3_64(format!("{instance_id} {task} {}", now.0).as_bytes()))
}

/// Reads metadata; offsets set by hand carry none.
pub(super) fn read(metadata: &str) -> Option<Layout> {
    serde_json::from_str(metadata).ok()
}

impl Layout {
    /// Up to where the changelog of a store must reach; none where that was not said.
    pub(super) fn end(&self, store: &str) -> Option<Offset> {
        self.ends.get(store).copied().map(Offset)
    }

    pub(super) fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    /// Whether it says what the stores are.
    pub(super) fn knows_stores(&self) -> bool {
        self.stores.is_some()
    }

    /// Refuses a topology that does not fit what was stored, naming both sides and the remedy.
    pub(super) fn check(&self, task: TaskId, subtopology: &Subtopology, partitions: i32) -> Result<()> {
        let mut faults = self.stores.as_ref().and_then(|stores| layout::check(stores, &subtopology.stores).err()).unwrap_or_default();
        if self.partitions != partitions && !subtopology.stores.is_empty() {
            let count = |partitions: i32| usize::try_from(partitions).unwrap_or_default();
            let (stored, declared) = (count(self.partitions), count(partitions));
            let store = |store: &StoreSpec| LayoutFault::Partitions { store: store.name.to_string(), stored, declared };
            faults.extend(subtopology.stores.iter().map(store));
        }
        refuse(task, &faults)
    }
}

/// What the disk of a task is to the topology, where the offsets do not say what the stores are.
pub(super) fn check_disk(task: TaskId, subtopology: &Subtopology, stored: &BTreeMap<String, StoreLayout>) -> Result<()> {
    refuse(task, &layout::check(stored, &subtopology.stores).err().unwrap_or_default())
}

fn refuse(task: TaskId, faults: &[LayoutFault]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    Err(Error::Layout { task, faults: faults.join("; ") })
}
