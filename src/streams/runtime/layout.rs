//! The layout of the stored state, kept in the metadata of the committed offsets: it is there even when the disk is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::streams::state::{LayoutFault, StoreLayout, StoreSpec, layout};
use crate::streams::task::TaskId;
use crate::streams::topology::Subtopology;

/// What a sub-topology keeps, and over how many partitions.
#[derive(Debug, Serialize, Deserialize)]
struct Layout {
    partitions: i32,
    stores: BTreeMap<String, StoreLayout>,
}

/// Brokers refuse offsets with longer metadata (Kafka's `offset.metadata.max.bytes`, by default).
const METADATA_BYTES_MAX: usize = 4096;

/// The metadata for the offsets of a sub-topology. A layout that is too long for it is left out: then only the disk knows it.
pub(super) fn metadata(subtopology: &Subtopology, partitions: i32) -> Arc<str> {
    let stores = subtopology.stores.iter().map(|store| (store.name.to_string(), store.layout.clone())).collect();
    let text = serde_json::to_string(&Layout { partitions, stores }).unwrap_or_default();
    if text.len() > METADATA_BYTES_MAX {
        tracing::warn!(topic = %subtopology.topic, bytes = text.len(), "the layout of the stores is too long to be kept with the offsets");
        return Arc::from("");
    }
    text.into()
}

/// The same metadata without one store: what is forgotten binds nobody, the others stay as they are.
pub fn without_store(metadata: &str, store: &str) -> Arc<str> {
    let Ok(mut layout) = serde_json::from_str::<Layout>(metadata) else { return Arc::from("") };
    layout.stores.remove(store);
    serde_json::to_string(&layout).unwrap_or_default().into()
}

/// Refuses a topology that does not fit what was stored, naming both sides and the remedy.
pub(super) fn check(task: TaskId, subtopology: &Subtopology, partitions: i32, metadata: &str) -> Result<()> {
    // Offsets set by hand carry no layout.
    let Ok(stored) = serde_json::from_str::<Layout>(metadata) else { return Ok(()) };
    let mut faults = layout::check(&stored.stores, &subtopology.stores).err().unwrap_or_default();
    if stored.partitions != partitions && !subtopology.stores.is_empty() {
        let count = |partitions: i32| usize::try_from(partitions).unwrap_or_default();
        let (stored, declared) = (count(stored.partitions), count(partitions));
        let store = |store: &StoreSpec| LayoutFault::Partitions { store: store.name.to_string(), stored, declared };
        faults.extend(subtopology.stores.iter().map(store));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    Err(Error::Layout { task, faults: faults.join("; ") })
}
