//! `notify`: makes a message of each record that meets a condition.
//!
//! Without `when` every row makes a message, the `removed` events of a `latest` node too. In those previous and current are equal, so a
//! condition like `current.likes != previous.likes` does not hold; `removed` asks for them. A tombstone makes no message.

use std::sync::Arc;

use crate::avro::{Row, Shape};
use crate::streams::processor::{BoxError, Processor, ProcessorContext, Record};

use super::fault::OptionFault;
use super::message::{MessageOptions, MessagePlan, MessageWriter, message_shape};

/// What the topology file says about a notify node.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The node's name: part of the events' ids.
    pub name: String,
    /// The message and its condition.
    pub message: MessageOptions,
}

/// A notify node, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    name: Arc<str>,
    message: Arc<MessagePlan>,
    shape: Shape,
}

impl Plan {
    /// Checks the options against the shape of the input.
    pub fn new(options: &Options, input: &Shape) -> Result<Self, Vec<OptionFault>> {
        let message = MessagePlan::new(&options.message, input)?;
        Ok(Self { name: options.name.as_str().into(), message: Arc::new(message), shape: message_shape() })
    }

    /// The shape of the output: a message.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A processor for one task.
    pub fn processor(&self) -> Notify {
        Notify { name: Arc::clone(&self.name), plan: Arc::clone(&self.message), writer: self.message.writer() }
    }
}

/// The processor.
#[derive(Debug)]
pub struct Notify {
    name: Arc<str>,
    plan: Arc<MessagePlan>,
    writer: MessageWriter,
}

impl Processor<Row> for Notify {
    fn process(&mut self, record: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        let Some(row) = record.value else { return Ok(()) };
        if !self.plan.holds(row, &[])? {
            return Ok(());
        }
        self.writer.write(&self.plan, &self.name, (row, &[]), record, context)?;
        self.writer.forward(record, context)
    }
}
