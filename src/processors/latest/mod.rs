//! `latest`: remembers the previous and the current observation of every key and emits what changed.
//!
//! Per key the store keeps, for each watched field, the last known value and the one before, each with the time and offset at
//! which it was seen. A record is compared with what is known:
//!
//! - An event carries previous and current of *every* watched field, and in `changed` those that changed with this record. Previous is the last
//!   known value before it. A field that did not change has its last known value on both sides, so `current.x != previous.x` means "now".
//! - A null leaves its field as it was and is no change. With [`Nulls::Value`] null is a value like any other.
//! - The first sight of a key is no change: its previous would be null. [`OnFirst::Emit`] makes an event of it. The same holds for the first
//!   known value of one field of a known key (a field that was null so far, or is newly watched): it appears as current with a null
//!   previous, but is not in `changed` and makes no event by itself. So a field that is added to `watch` floods nobody.
//! - A record that changes nothing makes no event; [`Emit::Every`] makes one of each record, as ksqlDB does.
//! - A tombstone forgets the key and makes an event with `removed`, the last known values on both sides. For an unknown key it makes none.
//!   Its header [`REASON_HEADER`] says why the key is gone: the event has it as `reason`, which is null in all others.
//! - Records count in the order of their offsets. With [`Order::Timestamp`] one that is older than the key's last observation is left
//!   out and counted (`late_records_total`); a tombstone too.
//! - A record without a key, or whose key is not of the declared format (UTF-8 by default), is an error of that record. The state is kept under
//!   the bytes of the key; `key` in the event is what they mean.
//!
//! `previous.observed_at` is the time of the key's previous observation (null at first sight), whether or not it brought a
//! value for each field; `current.observed_at` is this record's.
//!
//! Stored rows carry a hash of each field's path, so watching more or fewer fields needs no migration.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::avro::{Field, KeyFormat, Shape, Type};
use crate::streams::state::{StoreLayout, StoreSpec};

use super::fault::{Fault, OptionFault, meant};
use super::{path_hash, type_name};

mod node;
mod schema;
mod state;
#[cfg(test)]
mod tests;

pub use node::Latest;
pub use schema::{DeriveError, derived_schema};
pub(super) use state::TAG_LONG;

/// The most fields that can be watched: a [`NameSet`](crate::avro::NameSet) has 64 bits.
pub const WATCHED_MAX: usize = 64;

/// The header in which a tombstone says why its key is gone, as UTF-8.
pub const REASON_HEADER: &str = "reason";

/// What the reason of a tombstone is cut to, in characters.
pub const REASON_CHARS_MAX: usize = 200;

/// What a null observation means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nulls {
    /// Nothing: the field stays as it was.
    #[default]
    Ignore,
    /// A value of its own: known to null and null to known are changes.
    Value,
}

/// What the first sight of a key, or of a field, means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFirst {
    /// It is remembered and nothing is emitted.
    #[default]
    Silent,
    /// It is a change from null.
    Emit,
}

/// Which records make an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emit {
    /// Those that changed a watched field.
    #[default]
    Changes,
    /// All.
    Every,
}

/// In which order observations count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they lie in the partition.
    #[default]
    Offset,
    /// By their time: older ones are left out.
    Timestamp,
}

/// What the topology file says about a latest node.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of its store.
    pub store: String,
    /// How the keys are written.
    pub key: KeyFormat,
    /// The paths of the fields to watch.
    pub watch: Vec<String>,
    /// What a null means.
    pub nulls: Nulls,
    /// What the first sight means.
    pub on_first: OnFirst,
    /// Which records make an event.
    pub emit: Emit,
    /// In which order observations count.
    pub order: Order,
}

/// A latest node, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    shared: Arc<Shared>,
    shape: Shape,
    layout: StoreLayout,
}

#[derive(Debug)]
struct Shared {
    store: String,
    key: KeyFormat,
    fields: Vec<Watched>,
    names: Arc<[Arc<str>]>,
    nulls: Nulls,
    on_first: OnFirst,
    emit: Emit,
    order: Order,
}

/// A watched field.
#[derive(Debug, Clone)]
struct Watched {
    /// Its place in the input.
    input: usize,
    hash: u32,
    tag: u8,
    path: Arc<str>,
}

impl Plan {
    /// Checks the options against the shape of the input.
    pub fn new(options: &Options, input: &Shape) -> Result<Self, Vec<OptionFault>> {
        let mut faults = Vec::new();
        if options.watch.is_empty() {
            faults.push(OptionFault::new("watch", Fault::new(0..0, "no field is watched")));
        }
        if options.watch.len() > WATCHED_MAX {
            let fault = Fault::new(0..0, format!("{} fields are watched, {WATCHED_MAX} is the most", options.watch.len()));
            faults.push(OptionFault::new("watch", fault));
        }
        let mut fields: Vec<Watched> = Vec::new();
        for (index, path) in options.watch.iter().enumerate() {
            match watched(path, input, &fields) {
                Ok(field) => fields.push(field),
                Err(fault) => faults.push(OptionFault::at("watch", index, fault)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let names: Arc<[Arc<str>]> = fields.iter().map(|field| Arc::clone(&field.path)).collect();
        let types = fields
            .iter()
            .filter_map(|field| input.fields.get(field.input))
            .map(|field| (field.path.to_string(), type_name(&field.ty).to_owned()));
        let layout = StoreLayout { kind: "latest".to_owned(), fields: types.collect::<BTreeMap<_, _>>() };
        let shape = shape_of(&fields, input, &names, options.key);
        let &Options { key, nulls, on_first, emit, order, .. } = options;
        let shared = Shared { store: options.store.clone(), key, fields, names, nulls, on_first, emit, order };
        Ok(Self { shared: Arc::new(shared), shape, layout })
    }

    /// The shape of the events: `key`, `previous.<field>` and `current.<field>` for each watched field, `previous.observed_at`,
    /// `current.observed_at`, `changed`, `removed`, `reason`.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What the store holds.
    pub fn layout(&self) -> &StoreLayout {
        &self.layout
    }

    /// The store that the node needs.
    pub fn store(&self) -> StoreSpec {
        StoreSpec { name: self.shared.store.as_str().into(), layout: self.layout.clone() }
    }

    /// A processor for one task.
    pub fn processor(&self) -> Latest {
        Latest::new(Arc::clone(&self.shared), &self.shape)
    }
}

fn watched(path: &str, input: &Shape, before: &[Watched]) -> Result<Watched, Fault> {
    let span = 0..path.len();
    let Some(input_index) = input.index_of(path) else {
        let names = || input.fields.iter().map(|field| &*field.path);
        let all = || format!("there are {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
        return Err(Fault::new(span, format!("unknown field `{path}`")).hint(meant(path, names()).unwrap_or_else(all)));
    };
    if path == "observed_at" {
        return Err(Fault::new(span, "`observed_at` cannot be watched: the event's own times have this name"));
    }
    if before.iter().any(|field| &*field.path == path) {
        return Err(Fault::new(span, format!("`{path}` is watched twice")));
    }
    let hash = path_hash(path);
    if let Some(other) = before.iter().find(|field| field.hash == hash) {
        let message = format!("`{path}` and `{}` cannot be watched in one node: their names have the same hash", other.path);
        return Err(Fault::new(span, message).hint("watch one of them in a node of its own"));
    }
    let field = input.fields.get(input_index).map(|field| (state::tag_of(&field.ty), &field.path));
    match field {
        Some((Some(tag), path)) => Ok(Watched { input: input_index, hash, tag, path: Arc::clone(path) }),
        _ => Err(Fault::new(span, format!("`{path}` is a set of names, which cannot be watched"))),
    }
}

fn shape_of(watched: &[Watched], input: &Shape, names: &Arc<[Arc<str>]>, key: KeyFormat) -> Shape {
    let mut fields = vec![Field::new("key", key.ty(), false)];
    for field in watched.iter().filter_map(|field| input.fields.get(field.input)) {
        fields.push(Field::new(format!("previous.{}", field.path), field.ty.clone(), true));
        fields.push(Field::new(format!("current.{}", field.path), field.ty.clone(), true));
    }
    fields.push(Field::new("previous.observed_at", Type::Timestamp, true));
    fields.push(Field::new("current.observed_at", Type::Timestamp, false));
    fields.push(Field::new("changed", Type::Names(Arc::clone(names)), false));
    fields.push(Field::new("removed", Type::Boolean, false));
    fields.push(Field::new("reason", Type::String, true));
    Shape { fields }
}
