//! A row with values of the node's own behind it, read as one: `boundary` of a milestone, say. Nothing is copied.

use crate::avro::{Row, Value};

/// A row, and further values after its last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    row: &'a [Value],
    extra: &'a [Value],
}

impl<'a> View<'a> {
    pub(crate) fn of(row: &'a Row, extra: &'a [Value]) -> Self {
        Self { row: &row.values, extra }
    }

    /// The value at this place; null where there is none.
    pub(crate) fn get(&self, index: usize) -> &'a Value {
        const NULL: &Value = &Value::Null;
        match self.row.get(index) {
            Some(value) => value,
            None => index.checked_sub(self.row.len()).and_then(|index| self.extra.get(index)).unwrap_or(NULL),
        }
    }
}
