//! The plan of a decoder and how it is carried out. [`compile`](super::compile) makes it.

use std::sync::Arc;

use super::Reason;
use crate::avro::Value;
use crate::avro::cursor::Cursor;

/// Blocks within blocks: bounds the stack that a malformed body can take.
const DEPTH_MAX: usize = 1_000;

/// What a failed decode found: the path of the field and the fault. Boxed, so that success returns in a register.
pub(super) type Fault = Box<(Arc<str>, Reason)>;

/// How a wanted value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Boolean,
    Int,
    Long,
    /// A time in units of which this many are a millisecond.
    Scaled(u32),
    Float,
    Double,
    /// An int or long as a double.
    LongAsDouble,
    /// An int or long as a float.
    LongAsFloat,
    Text,
    Bytes,
    Fixed(u32),
    /// Index into [`Plan::symbols`].
    Symbol(u32),
    /// An array of strings.
    Strings,
    /// An array of unions; index into [`Plan::texts`]: the branches that are strings.
    StringsOf(u32),
}

/// How an unwanted value is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Varint,
    Bytes,
    Fixed(u32),
}

/// One step of a plan. Blocks, tables and reasons are indices into the plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Read {
        read: Read,
        slot: u32,
    },
    /// A union of null and one other type.
    ReadOptional {
        null_last: bool,
        read: Read,
        slot: u32,
    },
    Skip(Skip),
    SkipOptional {
        null_last: bool,
        skip: Skip,
    },
    /// Ahead of so many [`Step::SkipOptional`] whose null comes first: passes over them at once where all are null.
    SkipNulls {
        count: u32,
    },
    SetNull {
        slot: u32,
    },
    /// Any other union: the table has a block for each branch.
    Union {
        table: u32,
    },
    /// An array, or with `map` a map, of what the block passes over; `empty` where its items take no bytes.
    Items {
        block: u32,
        map: bool,
        empty: bool,
    },
    Call {
        block: u32,
    },
    Fail {
        reason: u32,
    },
}

/// Steps, each with the path of the writer's field that it is for.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) steps: Vec<Step>,
    pub(super) paths: Vec<Arc<str>>,
}

/// What to do with a body. The first block is the record.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Number of values in a row.
    pub(super) width: usize,
    /// Values that the writer does not have.
    pub(super) defaults: Vec<(u32, Value)>,
    pub(super) blocks: Vec<Block>,
    pub(super) tables: Vec<Vec<u32>>,
    /// For each symbol of a writer's enum what the reader makes of it; an error is a symbol that it does not have.
    pub(super) symbols: Vec<Vec<Result<Arc<str>, Arc<str>>>>,
    pub(super) texts: Vec<Vec<Result<(), Reason>>>,
    pub(super) reasons: Vec<Reason>,
}

/// An index into a table of the plan. Schemas are far smaller than what overflows it: the text of one is limited by the size of a record.
pub(super) fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The state of one decode.
struct Run<'p, 'b, 'v> {
    plan: &'p Plan,
    cursor: Cursor<'b>,
    values: &'v mut [Value],
    depth: usize,
}

impl Plan {
    pub(super) fn decode(&self, cursor: &mut Cursor<'_>, values: &mut [Value]) -> Result<(), Fault> {
        for (slot, value) in &self.defaults {
            if let Some(place) = values.get_mut(*slot as usize) {
                place.copy_from(value);
            }
        }
        let mut run = Run { plan: self, cursor: *cursor, values, depth: 0 };
        let done = run.block(0);
        *cursor = run.cursor;
        done?;
        match cursor.left() {
            0 => Ok(()),
            left => Err(Box::new(("".into(), Reason::Trailing(left)))),
        }
    }
}

impl Run<'_, '_, '_> {
    fn block(&mut self, block: u32) -> Result<(), Fault> {
        let plan = self.plan;
        let Some(block) = plan.blocks.get(block as usize) else { return Ok(()) };
        let mut steps = block.steps.iter();
        while let Some(step) = steps.next() {
            let done = match *step {
                Step::Read { read, slot } => self.read(read, slot),
                Step::ReadOptional { null_last, read, slot } => self.read_optional(null_last, read, slot),
                Step::Skip(skip) => self.skip(skip),
                Step::SkipOptional { null_last, skip } => self.skip_optional(null_last, skip),
                Step::SkipNulls { count } => {
                    if self.cursor.zeros(count as usize) {
                        steps.nth(count as usize - 1);
                    }
                    Ok(())
                }
                Step::SetNull { slot } => {
                    self.set(slot, Value::Null);
                    Ok(())
                }
                Step::Fail { reason } => Err(plan.reasons.get(reason as usize).cloned().unwrap_or(Reason::Null)),
                Step::Union { .. } | Step::Items { .. } | Step::Call { .. } => match self.nested(step) {
                    Ok(()) => Ok(()),
                    Err(Stop::Here(reason)) => Err(reason),
                    Err(Stop::Within(fault)) => return Err(fault),
                },
            };
            if let Err(reason) = done {
                let path = block.paths.get(block.steps.len() - steps.len() - 1).map_or_else(|| "".into(), Arc::clone);
                return Err(Box::new((path, reason)));
            }
        }
        Ok(())
    }

    fn nested(&mut self, step: &Step) -> Result<(), Stop> {
        if self.depth >= DEPTH_MAX {
            return Err(Stop::Here(Reason::Depth));
        }
        self.depth += 1;
        match *step {
            Step::Union { table } => {
                let branches = self.plan.tables.get(table as usize).map_or(&[][..], Vec::as_slice);
                let index = self.cursor.index(branches.len())?;
                if let Some(&block) = branches.get(index) {
                    self.block(block)?;
                }
            }
            Step::Items { block, map, empty } => self.items(block, map, empty)?,
            Step::Call { block } => self.block(block)?,
            _ => {}
        }
        self.depth -= 1;
        Ok(())
    }

    fn items(&mut self, block: u32, map: bool, empty: bool) -> Result<(), Stop> {
        loop {
            let (count, size) = self.cursor.block()?;
            if count == 0 {
                return Ok(());
            }
            if let Some(size) = size {
                self.cursor.fixed(usize::try_from(size).unwrap_or(usize::MAX))?;
                continue;
            }
            if empty && !map {
                continue;
            }
            for _ in 0..count {
                if map {
                    self.cursor.bytes()?;
                }
                self.block(block)?;
            }
        }
    }

    #[inline]
    fn set(&mut self, slot: u32, value: Value) {
        if let Some(place) = self.values.get_mut(slot as usize) {
            *place = value;
        }
    }

    #[inline]
    fn read_optional(&mut self, null_last: bool, read: Read, slot: u32) -> Result<(), Reason> {
        if self.cursor.is_null(null_last)? {
            self.set(slot, Value::Null);
            return Ok(());
        }
        self.read(read, slot)
    }

    #[inline]
    fn read(&mut self, read: Read, slot: u32) -> Result<(), Reason> {
        let Some(value) = self.values.get_mut(slot as usize) else { return Ok(()) };
        match (read, value) {
            (Read::Long, Value::Long(value)) => *value = self.cursor.long()?,
            (Read::Text, value) => value.set_str(self.cursor.text()?),
            (_, value) => read_other(self.plan, &mut self.cursor, read, value)?,
        }
        Ok(())
    }

    #[inline]
    fn skip_optional(&mut self, null_last: bool, skip: Skip) -> Result<(), Reason> {
        if self.cursor.is_null(null_last)? { Ok(()) } else { self.skip(skip) }
    }

    #[inline]
    fn skip(&mut self, skip: Skip) -> Result<(), Reason> {
        match skip {
            Skip::Varint => self.cursor.skip_varint(),
            Skip::Bytes => self.cursor.bytes().map(|_| ()),
            Skip::Fixed(size) => self.cursor.fixed(size as usize).map(|_| ()),
        }
    }
}

/// Where a nested step failed: in its own bytes, or in a block that it ran.
enum Stop {
    Here(Reason),
    Within(Fault),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Here(reason)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Within(fault)
    }
}

#[expect(clippy::cast_precision_loss, reason = "Avro's promotions round to the nearest")]
fn read_other(plan: &Plan, cursor: &mut Cursor<'_>, read: Read, value: &mut Value) -> Result<(), Reason> {
    *value = match read {
        Read::Boolean => Value::Boolean(cursor.boolean()?),
        Read::Int => Value::Long(i64::from(cursor.int()?)),
        Read::Long => Value::Long(cursor.long()?),
        Read::Scaled(unit) => Value::Long(cursor.long()?.div_euclid(i64::from(unit))),
        Read::Float => Value::Double(f64::from(cursor.float()?)),
        Read::Double => Value::Double(cursor.double()?),
        Read::LongAsDouble => Value::Double(cursor.long()? as f64),
        Read::LongAsFloat => Value::Double(f64::from(cursor.long()? as f32)),
        Read::Text => return cursor.text().map(|text| value.set_str(text)),
        Read::Bytes => return cursor.bytes().map(|bytes| value.set_bytes(bytes)),
        Read::Fixed(size) => return cursor.fixed(size as usize).map(|bytes| value.set_bytes(bytes)),
        Read::Symbol(table) => {
            let symbols = plan.symbols.get(table as usize).map_or(&[][..], Vec::as_slice);
            match symbols.get(cursor.index(symbols.len())?) {
                Some(Ok(symbol)) => value.set_str(symbol),
                Some(Err(symbol)) => return Err(Reason::Symbol(Arc::clone(symbol))),
                None => {}
            }
            return Ok(());
        }
        Read::Strings => return read_strings(cursor, None, value),
        Read::StringsOf(table) => return read_strings(cursor, plan.texts.get(table as usize).map(Vec::as_slice), value),
    };
    Ok(())
}

/// Reads an array of strings into the strings that are there already. Every item takes a byte at least, so that the body bounds it.
fn read_strings(cursor: &mut Cursor<'_>, branches: Option<&[Result<(), Reason>]>, value: &mut Value) -> Result<(), Reason> {
    if !matches!(value, Value::Strings(_)) {
        *value = Value::Strings(Vec::new());
    }
    let Value::Strings(held) = value else { return Ok(()) };
    let mut filled = 0;
    loop {
        let (count, _) = cursor.block()?;
        if count == 0 {
            held.truncate(filled);
            return Ok(());
        }
        for _ in 0..count {
            if let Some(branches) = branches
                && let Some(Err(reason)) = branches.get(cursor.index(branches.len())?)
            {
                return Err(reason.clone());
            }
            let text = cursor.text()?;
            if let Some(place) = held.get_mut(filled) {
                place.clear();
                place.push_str(text);
            } else {
                held.push(text.to_owned());
            }
            filled += 1;
        }
    }
}
