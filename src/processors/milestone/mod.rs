//! `milestone`: one message when a number reaches a boundary for the first time.
//!
//! Boundaries are the multiples of `every`, or a list. Per key the store keeps a high-water mark: a boundary that was reached once never makes
//! a message again, though the number falls and rises.
//!
//! - The first sight of a key sets the mark and makes no message. Where the row carries a known previous value (the input is a `latest` node), the
//!   mark is set from that value, and the current one is judged against it: a rule that is added to a running topology fires for boundaries
//!   that are reached from then on.
//! - One message for the highest boundary newly reached, however many were passed at once. The template and the condition see it as `boundary`.
//! - A null says nothing. A tombstone or a `removed` event keeps the mark: what comes back does not repeat its boundaries.
//! - A boundary that is reached while `when` is false is passed in silence.
//! - The mark is kept as the value that reached it, so that other boundaries can be judged against it when the file changes. Another field starts anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::avro::{Field, Row, Shape, Type, Value};
use crate::streams::kv;
use crate::streams::processor::{BoxError, InitContext, Processor, ProcessorContext, Record, StoreId};
use crate::streams::state::{StoreLayout, StoreSpec};

use super::fault::{Fault, OptionFault, meant};
use super::message::{MessageOptions, MessagePlan, MessageWriter, message_shape};
use super::{path_hash, type_name, varint};

/// The first byte of a stored row.
const VERSION: u8 = 1;

/// Where the boundaries lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boundaries {
    /// At the multiples of a number above 0.
    Every(i64),
    /// At these numbers.
    At(Vec<i64>),
}

impl Boundaries {
    /// The highest boundary that is not above `value`.
    fn reached(&self, value: i64) -> Option<i64> {
        match self {
            // At the low end of 64 bits there may be no multiple at or below.
            Self::Every(step) => value.checked_div_euclid(*step)?.checked_mul(*step),
            Self::At(list) => list.iter().copied().filter(|&boundary| boundary <= value).max(),
        }
    }
}

/// What the topology file says about a milestone node.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's name: part of the events' ids.
    pub name: String,
    /// The name of its store.
    pub store: String,
    /// The number to watch: a field of the input, or `views` for `current.views` of a `latest` node.
    pub field: String,
    /// Where the boundaries lie.
    pub boundaries: Boundaries,
    /// The message and its condition.
    pub message: MessageOptions,
}

/// A milestone node, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    shared: Arc<Shared>,
    shape: Shape,
    layout: StoreLayout,
}

#[derive(Debug)]
struct Shared {
    name: String,
    store: String,
    hash: u32,
    current: usize,
    previous: Option<usize>,
    removed: Option<usize>,
    boundaries: Boundaries,
    message: MessagePlan,
}

impl Plan {
    /// Checks the options against the shape of the input.
    pub fn new(options: &Options, input: &Shape) -> Result<Self, Vec<OptionFault>> {
        let mut faults = check_boundaries(&options.boundaries);
        let found = find_field(&options.field, input).map_err(|fault| faults.push(fault)).ok();
        let mut extended = input.clone();
        if input.index_of("boundary").is_some() {
            let fault = Fault::new(0..options.field.len(), "the input has a field `boundary`, which a milestone adds itself");
            faults.push(OptionFault::new("field", fault));
        } else {
            extended.fields.push(Field::new("boundary", Type::Long, false));
        }
        let message = MessagePlan::new(&options.message, &extended).map_err(|found| faults.extend(found)).ok();
        let (Some(found), Some(message), true) = (found, message, faults.is_empty()) else { return Err(faults) };
        let removed = input.index_of("removed").filter(|&index| input.fields.get(index).is_some_and(|field| field.ty == Type::Boolean));
        let layout =
            StoreLayout { kind: "milestone".to_owned(), fields: BTreeMap::from([(found.path.clone(), type_name(&Type::Long).to_owned())]) };
        let shared = Shared {
            name: options.name.clone(),
            store: options.store.clone(),
            hash: path_hash(&found.path),
            current: found.current,
            previous: found.previous,
            removed,
            boundaries: options.boundaries.clone(),
            message,
        };
        Ok(Self { shared: Arc::new(shared), shape: message_shape(), layout })
    }

    /// The shape of the output: a message.
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
    pub fn processor(&self) -> Milestone {
        let writer = self.shared.message.writer();
        Milestone { plan: Arc::clone(&self.shared), writer, store: None, encoded: Vec::new(), extra: [Value::Null] }
    }
}

struct Found {
    /// The path without `current.`: what the mark is kept under.
    path: String,
    current: usize,
    previous: Option<usize>,
}

fn find_field(path: &str, input: &Shape) -> Result<Found, OptionFault> {
    let fault = |message: String, hint| Err(OptionFault::new("field", Fault::new(0..path.len(), message).maybe_hint(hint)));
    let bare = path.strip_prefix("current.").unwrap_or(path);
    let found = input.index_of(&format!("current.{bare}")).map(|current| (current, input.index_of(&format!("previous.{bare}"))));
    let Some((current, previous)) = found.or_else(|| input.index_of(path).map(|index| (index, None))) else {
        let numbers = input.fields.iter().filter(|field| field.ty == Type::Long && !field.path.starts_with("previous."));
        let names: Vec<_> = numbers.map(|field| field.path.strip_prefix("current.").unwrap_or(&field.path)).collect();
        let hint = meant(path, names.iter().copied()).or_else(|| Some(format!("the numbers are {}", names.join(", "))));
        return fault(format!("unknown field `{path}`"), hint);
    };
    match input.fields.get(current).map(|field| &field.ty) {
        Some(Type::Long) => Ok(Found { path: bare.to_owned(), current, previous }),
        Some(other) => fault(format!("`{path}` is a {}, a milestone needs a long", type_name(other)), None),
        None => fault(format!("unknown field `{path}`"), None),
    }
}

fn check_boundaries(boundaries: &Boundaries) -> Vec<OptionFault> {
    match boundaries {
        Boundaries::Every(step) if *step < 1 => vec![OptionFault::new("every", Fault::new(0..0, "`every` must be above 0"))],
        Boundaries::At(list) if list.is_empty() => vec![OptionFault::new("at", Fault::new(0..0, "`at` has no boundaries"))],
        _ => Vec::new(),
    }
}

/// Why a record could not be judged.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a record without a key cannot have a mark in {store}")]
    NoKey { store: String },
    #[error("{name} is not connected to its store {store}")]
    NotConnected { name: String, store: String },
    #[error("a mark of {length_bytes} bytes cannot be read")]
    Malformed { length_bytes: usize },
}

/// The processor.
#[derive(Debug)]
pub struct Milestone {
    plan: Arc<Shared>,
    writer: MessageWriter,
    store: Option<StoreId>,
    encoded: Vec<u8>,
    extra: [Value; 1],
}

impl Processor<Row> for Milestone {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        let plan = &self.plan;
        let missing = || Error::NotConnected { name: plan.name.clone(), store: plan.store.clone() };
        self.store = Some(context.store(&plan.store).ok_or_else(missing)?);
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        let Self { plan, writer, store, encoded, extra } = self;
        let Some(row) = record.value else { return Ok(()) };
        if plan.removed.is_some_and(|index| matches!(row.get(index), Value::Boolean(true))) {
            return Ok(());
        }
        let &Value::Long(current) = row.get(plan.current) else { return Ok(()) };
        let missing = || Error::NotConnected { name: plan.name.clone(), store: plan.store.clone() };
        let store = store.ok_or_else(missing)?;
        let key = record.key.ok_or_else(|| Error::NoKey { store: plan.store.clone() })?;
        let stored = match context.store(store).get(key)? {
            Some(bytes) => mark_of(bytes, plan)?,
            None => None,
        };
        let previous = plan.previous.and_then(|index| if let Value::Long(value) = row.get(index) { Some(*value) } else { None });
        let mark = stored.or(previous);
        let reached = plan.boundaries.reached(current);
        let news = mark.and_then(|mark| reached.filter(|&boundary| plan.boundaries.reached(mark).is_none_or(|before| boundary > before)));
        let mut fires = false;
        if let Some(boundary) = news {
            *extra = [Value::Long(boundary)];
            if plan.message.holds(row, &*extra)? {
                writer.write(&plan.message, &plan.name, (row, extra), record, context)?;
                fires = true;
            }
        }
        // Order: the mark moves only once the message is made, so that a record whose message fails has not passed its boundary.
        if news.is_some() || stored.is_none() {
            let mark = if news.is_some() { current } else { mark.unwrap_or(current) };
            encode_mark(encoded, plan.hash, mark);
            context.store(store).put(key, encoded)?;
        }
        if fires { writer.forward(record, context) } else { Ok(()) }
    }
}

fn encode_mark(into: &mut Vec<u8>, hash: u32, mark: i64) {
    into.clear();
    into.push(VERSION);
    into.extend_from_slice(&hash.to_le_bytes());
    into.push(super::latest::TAG_LONG);
    varint::put(into, mark);
}

/// The stored mark; none where it is another field's.
fn mark_of(bytes: &[u8], plan: &Shared) -> Result<Option<i64>, kv::Error> {
    let parse = || {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (hash, rest) = rest.split_first_chunk::<4>()?;
        let mut rest = rest.strip_prefix(&[super::latest::TAG_LONG])?;
        let mark = varint::take(&mut rest)?;
        rest.is_empty().then_some((u32::from_le_bytes(*hash), mark))
    };
    match parse() {
        Some((hash, mark)) => Ok((hash == plan.hash).then_some(mark)),
        None => Err(kv::Error::Corrupt { store: plan.store.clone(), source: Box::new(Error::Malformed { length_bytes: bytes.len() }) }),
    }
}

#[cfg(test)]
mod tests;
