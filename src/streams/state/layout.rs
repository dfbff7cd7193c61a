//! What the stored rows look like, and which changes of it a topology may make without starting over.
//!
//! | change | |
//! |---|---|
//! | another store | starts empty |
//! | another field | starts without a value: its previous is null until it was seen twice |
//! | a field no longer watched | its values stay until their rows are written again |
//! | a field of another type | refused |
//! | a store of another kind | refused |
//! | a store that is gone (renamed or removed) | refused |
//! | another number of input partitions | refused; compared by the engine, which knows the changelog |
//!
//! What is refused is never guessed: `tidewatch reset` starts over.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What the rows of a store look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreLayout {
    /// What writes them: `latest`, `milestone`, ...
    pub kind: String,
    /// Type name of each field, by its path.
    pub fields: BTreeMap<String, String>,
}

/// A store that a topology declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Its name, unique in the topology.
    pub name: Arc<str>,
    /// What its rows look like.
    pub layout: StoreLayout,
}

/// Why the stored rows cannot be used by the topology as it is now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutFault {
    /// The store was written by a node of another kind.
    #[error(
        "store {store} was written by a node of type {stored}, the topology has {declared} there now; change it back or start over with `tidewatch reset`"
    )]
    Kind {
        /// Which store.
        store: String,
        /// The kind on disk.
        stored: String,
        /// The kind in the topology.
        declared: String,
    },
    /// A field has another type than the stored values.
    #[error(
        "field {field} of store {store} was stored as {stored}, its type is {declared} now; change it back or start over with `tidewatch reset`"
    )]
    FieldType {
        /// Which store.
        store: String,
        /// Which field.
        field: String,
        /// The type on disk.
        stored: String,
        /// The type in the topology.
        declared: String,
    },
    /// The topology no longer has the store.
    #[error(
        "store {store} holds state but the topology has no node of that name (it has {}); name it as it was or start over with `tidewatch reset`",
        list(declared)
    )]
    Gone {
        /// Which store.
        store: String,
        /// The stores of the topology.
        declared: Vec<String>,
    },
    /// The state is spread over another number of partitions than the input has.
    #[error(
        "store {store} was written for {stored} input partitions, the input has {declared} now, so keys would miss their state; start over with `tidewatch reset`"
    )]
    Partitions {
        /// Which store.
        store: String,
        /// Partitions of its changelog.
        stored: usize,
        /// Partitions of the input.
        declared: usize,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Compares what is stored with what a topology declares; all faults at once.
pub fn check(stored: &BTreeMap<String, StoreLayout>, declared: &[StoreSpec]) -> Result<(), Vec<LayoutFault>> {
    let mut faults = Vec::new();
    for (name, layout) in stored {
        match declared.iter().find(|spec| *spec.name == **name) {
            Some(spec) => compare(name, layout, &spec.layout, &mut faults),
            None => faults
                .push(LayoutFault::Gone { store: name.clone(), declared: declared.iter().map(|spec| spec.name.to_string()).collect() }),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn compare(store: &str, stored: &StoreLayout, declared: &StoreLayout, faults: &mut Vec<LayoutFault>) {
    if stored.kind != declared.kind {
        let (stored, declared) = (stored.kind.clone(), declared.kind.clone());
        faults.push(LayoutFault::Kind { store: store.to_owned(), stored, declared });
        return;
    }
    for (field, stored) in &stored.fields {
        if let Some(declared) = declared.fields.get(field).filter(|declared| *declared != stored) {
            faults.push(LayoutFault::FieldType {
                store: store.to_owned(),
                field: field.clone(),
                stored: stored.clone(),
                declared: declared.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(kind: &str, fields: &[(&str, &str)]) -> StoreLayout {
        StoreLayout { kind: kind.to_owned(), fields: fields.iter().map(|&(path, ty)| (path.to_owned(), ty.to_owned())).collect() }
    }

    fn stored() -> BTreeMap<String, StoreLayout> {
        BTreeMap::from([("changes".to_owned(), layout("latest", &[("likes", "long"), ("title", "string")]))])
    }

    fn declared(stores: &[(&str, StoreLayout)]) -> Vec<StoreSpec> {
        stores.iter().map(|(name, layout)| StoreSpec { name: Arc::from(*name), layout: layout.clone() }).collect()
    }

    fn texts(declared: &[StoreSpec]) -> Vec<String> {
        check(&stored(), declared).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unchanged_layout_is_accepted() {
        assert_eq!(texts(&declared(&[("changes", layout("latest", &[("likes", "long"), ("title", "string")]))])), [""; 0]);
    }

    #[test]
    fn another_store_is_accepted() {
        let unchanged = layout("latest", &[("likes", "long"), ("title", "string")]);
        assert_eq!(texts(&declared(&[("views", layout("milestone", &[("mark", "long")])), ("changes", unchanged)])), [""; 0]);
    }

    #[test]
    fn another_field_is_accepted() {
        let wider = layout("latest", &[("likes", "long"), ("title", "string"), ("views", "long")]);
        assert_eq!(texts(&declared(&[("changes", wider)])), [""; 0]);
    }

    #[test]
    fn a_field_no_longer_watched_is_accepted() {
        assert_eq!(texts(&declared(&[("changes", layout("latest", &[("likes", "long")]))])), [""; 0]);
    }

    #[test]
    fn a_field_of_another_type_is_refused() {
        assert_eq!(
            texts(&declared(&[("changes", layout("latest", &[("likes", "double"), ("title", "string")]))])),
            [
                "field likes of store changes was stored as long, its type is double now; change it back or start over with `tidewatch reset`"
            ]
        );
    }

    #[test]
    fn a_store_of_another_kind_is_refused() {
        assert_eq!(
            texts(&declared(&[("changes", layout("milestone", &[("likes", "double")]))])),
            [
                "store changes was written by a node of type latest, the topology has milestone there now; change it back or start over with `tidewatch reset`"
            ]
        );
    }

    #[test]
    fn a_renamed_store_is_refused_and_the_message_names_both_sides() {
        assert_eq!(
            texts(&declared(&[("deltas", layout("latest", &[("likes", "long"), ("title", "string")]))])),
            [
                "store changes holds state but the topology has no node of that name (it has deltas); name it as it was or start over with `tidewatch reset`"
            ]
        );
    }

    #[test]
    fn a_removed_store_is_refused() {
        assert_eq!(
            texts(&[]),
            [
                "store changes holds state but the topology has no node of that name (it has none); name it as it was or start over with `tidewatch reset`"
            ]
        );
    }

    #[test]
    fn another_number_of_input_partitions_has_its_message() {
        let fault = LayoutFault::Partitions { store: "changes".to_owned(), stored: 4, declared: 6 };
        assert_eq!(
            fault.to_string(),
            "store changes was written for 4 input partitions, the input has 6 now, so keys would miss their state; start over with `tidewatch reset`"
        );
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        assert_eq!(texts(&declared(&[("changes", layout("latest", &[("likes", "double"), ("title", "bytes")]))])).len(), 2);
    }
}
