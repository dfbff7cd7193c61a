//! The processor of a latest node: decode the key's row, compare, encode, put, forward. Nothing is allocated per record.

use std::sync::Arc;

use crate::avro::{Key, KeyError, NameSet, Row, Shape, Value};
use crate::streams::kv;
use crate::streams::log::Headers;
use crate::streams::processor::{BoxError, InitContext, Processor, ProcessorContext, Record, StoreId};

use super::state::{self, Head, Held, Known, Pair, Seen, Slot};
use super::{Emit, Nulls, OnFirst, Order, REASON_CHARS_MAX, REASON_HEADER, Shared};

/// Why a record could not be judged.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a record without a key has no previous observation in {store}")]
    NoKey { store: String },
    #[error("the key of a record for {store} cannot be read")]
    BadKey { store: String, source: KeyError },
    #[error("the node is not connected to its store {store}")]
    NotConnected { store: String },
}

/// The processor.
#[derive(Debug)]
pub struct Latest {
    plan: Arc<Shared>,
    store: Option<StoreId>,
    /// The key's row as it was.
    stored: Vec<u8>,
    /// The key's row as it becomes.
    encoded: Vec<u8>,
    slots: Vec<Slot>,
    event: Row,
}

impl Latest {
    pub(super) fn new(plan: Arc<Shared>, shape: &Shape) -> Self {
        let slots = vec![Slot::default(); plan.fields.len()];
        let mut event = Row::of(shape);
        if let [.., changed, removed, _] = event.values.as_mut_slice() {
            *changed = Value::Names(NameSet { names: Arc::clone(&plan.names), bits: 0 });
            *removed = Value::Boolean(false);
        }
        Self { plan, store: None, stored: Vec::new(), encoded: Vec::new(), slots, event }
    }

    /// Reads the key's row; none where the key is unknown.
    fn load(&mut self, store: StoreId, key: &[u8], context: &mut dyn ProcessorContext<Row>) -> Result<Option<Head>, BoxError> {
        let Some(bytes) = context.store(store).get(key)? else {
            self.slots.iter_mut().for_each(Slot::clear);
            return Ok(None);
        };
        self.stored.clear();
        self.stored.extend_from_slice(bytes);
        let fields = |place: usize| self.plan.fields.get(place).map(|field| (field.hash, field.tag));
        match state::decode(&self.stored, fields, &mut self.slots) {
            Ok(head) => Ok(Some(head)),
            Err(error) => Err(Box::new(kv::Error::Corrupt { store: self.plan.store.clone(), source: Box::new(error) })),
        }
    }

    /// Compares the record with what is known; fills the event and the new row. The bits of the fields that changed.
    fn observe(&mut self, row: &Row, head: Option<&Head>, now: Seen) -> u64 {
        let Self { plan, stored, encoded, slots, event, .. } = self;
        let next = Head { last: now, before: head.map(|head| head.last) };
        state::put_head(encoded, &next);
        let mut changed = 0_u64;
        let mut bit = 1_u64;
        let cells = event.values.get_mut(1..).unwrap_or_default().chunks_exact_mut(2);
        for ((field, slot), cells) in plan.fields.iter().zip(slots.iter()).zip(cells) {
            let last = slot.last(stored);
            let observed = Held::observed(row.get(field.input));
            let counts = plan.nulls == Nulls::Value || !observed.is_null();
            let pair = if counts { Some(Pair { last: Known { value: observed, seen: now }, before: last }) } else { slot.pair(stored) };
            if counts && last.map_or(plan.on_first == OnFirst::Emit, |last| !last.value.same(observed)) {
                changed |= bit;
            }
            bit <<= 1;
            if let Some(pair) = &pair {
                state::put_entry(encoded, &next, field.hash, field.tag, pair);
            }
            if let [previous, current] = cells {
                last.map_or(Held::Null, |last| last.value).copy_to(field.tag, previous);
                pair.map_or(Held::Null, |pair| pair.last.value).copy_to(field.tag, current);
            }
        }
        changed
    }

    /// Fills the event with the last known values on both sides.
    fn recall(&mut self) {
        let Self { plan, stored, slots, event, .. } = self;
        let cells = event.values.get_mut(1..).unwrap_or_default().chunks_exact_mut(2);
        for ((field, slot), cells) in plan.fields.iter().zip(slots.iter()).zip(cells) {
            let last = slot.last(stored).map_or(Held::Null, |last| last.value);
            for cell in cells {
                last.copy_to(field.tag, cell);
            }
        }
    }

    /// Fills what is not a watched field.
    fn finish(&mut self, key: Key<'_>, head: Option<&Head>, now: Seen, changed: u64, removed: Option<Headers<'_>>) {
        if let [first, .., previous_at, current_at, changed_names, removed_flag, reason] = self.event.values.as_mut_slice() {
            key.copy_to(first);
            *previous_at = head.map_or(Value::Null, |head| Value::Long(head.last.timestamp.0));
            *current_at = Value::Long(now.timestamp.0);
            if let Value::Names(set) = changed_names {
                set.bits = changed;
            }
            *removed_flag = Value::Boolean(removed.is_some());
            match removed.and_then(reason_of) {
                Some(text) => reason.set_str(text),
                None => *reason = Value::Null,
            }
        }
    }
}

/// Why a key is gone, as its tombstone says; none where it says nothing that is text.
fn reason_of(headers: Headers<'_>) -> Option<&str> {
    let text = std::str::from_utf8(headers.last(REASON_HEADER)?).ok().filter(|text| !text.is_empty())?;
    let end = text.char_indices().nth(REASON_CHARS_MAX).map_or(text.len(), |(end, _)| end);
    text.get(..end)
}

impl Processor<Row> for Latest {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        let store = &self.plan.store;
        self.store = Some(context.store(store).ok_or_else(|| Error::NotConnected { store: store.clone() })?);
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        let store = self.store.ok_or_else(|| Error::NotConnected { store: self.plan.store.clone() })?;
        let key_bytes = record.key.ok_or_else(|| Error::NoKey { store: self.plan.store.clone() })?;
        let key = self.plan.key.read(key_bytes).map_err(|source| Error::BadKey { store: self.plan.store.clone(), source })?;
        let offset = context.source().map(|source| source.record.offset).unwrap_or_default();
        let now = Seen { offset, timestamp: record.timestamp };
        let head = self.load(store, key_bytes, context)?;
        if self.plan.order == Order::Timestamp && head.is_some_and(|head| now.timestamp < head.last.timestamp) {
            context.count("late_records_total", 1);
            return Ok(());
        }
        let (changed, emits) = match (record.value, head) {
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                self.recall();
                context.store(store).delete(key_bytes)?;
                (0, true)
            }
            (Some(row), _) => {
                let changed = self.observe(row, head.as_ref(), now);
                context.store(store).put(key_bytes, &self.encoded)?;
                let first = head.is_none() && self.plan.on_first == OnFirst::Emit;
                (changed, changed != 0 || first || self.plan.emit == Emit::Every)
            }
        };
        if !emits {
            return Ok(());
        }
        self.finish(key, head.as_ref(), now, changed, record.value.is_none().then_some(record.headers));
        context.forward(&Record { value: Some(&self.event), ..*record })
    }
}
