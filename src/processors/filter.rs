//! `filter`: lets the records through that meet a condition. The rows keep their shape.
//!
//! Tombstones pass: they say that a key is gone, and what was let through for it before is to go too. The `removed` events of a
//! `latest` node are rows like others and are tested.

use std::sync::Arc;

use crate::avro::{Row, Shape};
use crate::streams::processor::{BoxError, Processor, ProcessorContext, Record};

use super::condition::Condition;
use super::fault::OptionFault;

/// What the topology file says about a filter.
#[derive(Clone, Debug)]
pub struct Options {
    /// The condition.
    pub when: String,
}

/// A filter, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    when: Arc<Condition>,
    shape: Shape,
}

impl Plan {
    /// Checks the options against the shape of the input.
    pub fn new(options: &Options, input: &Shape) -> Result<Self, Vec<OptionFault>> {
        let when = Condition::compile(&options.when, input);
        let when = when.map_err(|faults| faults.into_iter().map(|fault| OptionFault::new("when", fault)).collect::<Vec<_>>())?;
        Ok(Self { when: Arc::new(when), shape: input.clone() })
    }

    /// The shape of the output: the input's.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A processor for one task.
    pub fn processor(&self) -> Filter {
        Filter { when: Arc::clone(&self.when) }
    }
}

/// The processor.
#[derive(Debug)]
pub struct Filter {
    when: Arc<Condition>,
}

impl Processor<Row> for Filter {
    fn process(&mut self, record: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        match record.value {
            Some(row) if !self.when.test(row)? => Ok(()),
            _ => context.forward(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{Field, Type, Value};
    use crate::processors::testing::TestContext;

    fn shape() -> Shape {
        Shape { fields: vec![Field::new("n", Type::Long, true), Field::new("d", Type::Long, false)] }
    }

    fn plan(when: &str) -> Plan {
        Plan::new(&Options { when: when.to_owned() }, &shape()).unwrap()
    }

    fn row(n: Option<i64>, d: i64) -> Row {
        Row { values: vec![n.map_or(Value::Null, Value::Long), Value::Long(d)] }
    }

    #[test]
    fn lets_through_what_meets_the_condition() {
        let mut context = TestContext::new();
        let mut node = plan("n > 5").processor();
        for n in [Some(5), Some(6), None, Some(7)] {
            context.process(&mut node, Some(b"k"), Some(&row(n, 0))).unwrap();
        }
        assert_eq!(context.rows(), [row(Some(6), 0), row(Some(7), 0)]);
    }

    #[test]
    fn lets_tombstones_through() {
        let mut context = TestContext::new();
        context.process(&mut plan("n > 5").processor(), Some(b"k"), None).unwrap();
        assert_eq!(context.forwarded.len(), 1);
        assert_eq!(context.forwarded[0].key.as_deref(), Some(&b"k"[..]));
        assert!(context.forwarded[0].value.is_none());
    }

    #[test]
    fn a_condition_without_an_answer_is_a_processing_error() {
        let mut context = TestContext::new();
        let error = context.process(&mut plan("10 / d > 1").processor(), Some(b"k"), Some(&row(None, 0))).unwrap_err();
        assert_eq!(error.to_string(), "division by zero in a condition");
        assert!(context.forwarded.is_empty());
    }

    #[test]
    fn names_the_option_that_is_wrong() {
        let faults = Plan::new(&Options { when: "m > 5 && n".to_owned() }, &shape()).unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(faults.iter().all(|fault| fault.option == "when"));
    }
}
