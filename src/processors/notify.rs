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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{Field, Type, Value};
    use crate::processors::testing::TestContext;

    fn shape() -> Shape {
        let field = |path: &str, ty| Field::new(path, ty, true);
        let removed = Field::new("removed", Type::Boolean, false);
        Shape {
            fields: vec![
                field("previous.likes", Type::Long),
                field("current.likes", Type::Long),
                field("current.title", Type::String),
                removed,
            ],
        }
    }

    fn change(previous: Option<i64>, current: i64, title: Option<&str>) -> Row {
        let title = title.map_or(Value::Null, |title| Value::String(title.to_owned()));
        Row { values: vec![previous.map_or(Value::Null, Value::Long), Value::Long(current), title, Value::Boolean(false)] }
    }

    fn options() -> Options {
        let message = MessageOptions {
            when: Some("current.likes != previous.likes".to_owned()),
            chat_id: "-100123".to_owned(),
            text: "Likes changed: {{ previous.likes }} => {{ current.likes }}. {{ current.title }}".to_owned(),
            ..MessageOptions::default()
        };
        Options { name: "likes".to_owned(), message }
    }

    fn run(options: &Options, rows: &[Row]) -> TestContext {
        let mut context = TestContext::new();
        let mut node = Plan::new(options, &shape()).unwrap().processor();
        for row in rows {
            context.process(&mut node, Some(b"video"), Some(row)).unwrap();
        }
        context
    }

    #[test]
    fn makes_the_message_as_the_original_worded_it() {
        let context = run(&options(), &[change(Some(412), 415, Some("A <b> & \"c\" 🎬"))]);
        let message = &context.forwarded[0];
        assert_eq!(message.key.as_deref(), Some(&b"-100123"[..]));
        assert_eq!(message.timestamp.0, 1_000);
        let values = &message.value.as_ref().unwrap().values;
        assert_eq!(values.len(), message_shape().fields.len());
        assert_eq!(values[0], Value::String("-100123".to_owned()));
        assert_eq!(values[1], Value::String("Likes changed: 412 => 415. A <b> & \"c\" 🎬".to_owned()));
        assert_eq!(values[2..6], [Value::String(String::new()), Value::Long(0), Value::Boolean(false), Value::Boolean(false)]);
        assert!(matches!(&values[6], Value::String(id) if id.len() == 32));
    }

    #[test]
    fn a_change_from_null_and_a_removed_event_do_not_meet_an_unequal() {
        let mut removed = change(Some(415), 415, None);
        removed.values[3] = Value::Boolean(true);
        assert!(run(&options(), &[change(None, 415, None), removed.clone()]).forwarded.is_empty());
        let mut options = options();
        options.message.when = Some("removed".to_owned());
        assert_eq!(run(&options, &[change(Some(1), 2, None), removed]).forwarded.len(), 1);
    }

    #[test]
    fn messages_about_one_key_share_an_edit_key_where_they_are_edited_in_place() {
        let edit_keys = |options: &Options, keys: &[&[u8]]| {
            let mut node = Plan::new(options, &shape()).unwrap().processor();
            let mut context = TestContext::new();
            for key in keys {
                context.process(&mut node, Some(key), Some(&change(Some(1), 2, None))).unwrap();
            }
            context.rows().iter().map(|row| row.values[7].clone()).collect::<Vec<_>>()
        };
        assert_eq!(edit_keys(&options(), &[b"a"]), [Value::String(String::new())]);
        let mut options = options();
        options.message.edit_in_place = true;
        let keys = edit_keys(&options, &[b"a", b"b", b"a"]);
        assert_eq!((keys[0] == keys[2], keys[0] == keys[1]), (true, false));
        assert_eq!(keys[0], Value::String("40244eaaeae54af9d65093afcc97dee6".to_owned()), "it never changes");
        options.name = "other".to_owned();
        assert_ne!(edit_keys(&options, &[b"a"])[0], keys[0]);
    }

    #[test]
    fn html_is_escaped_only_in_html() {
        let mut options = options();
        options.message.parse_mode = "HTML".to_owned();
        options.message.text = "<b>{{ current.title }}</b>".to_owned();
        let context = run(&options, &[change(Some(1), 2, Some("a<b"))]);
        assert_eq!(context.rows()[0].values[1..3], [Value::String("<b>a&lt;b</b>".to_owned()), Value::String("HTML".to_owned())]);
    }

    #[test]
    fn each_event_has_its_own_id_and_keeps_it() {
        let rows = [change(Some(1), 2, None), change(Some(2), 3, None)];
        let ids = |options: &Options| run(options, &rows).rows().iter().map(|row| row.values[6].clone()).collect::<Vec<_>>();
        let first = ids(&options());
        assert_ne!(first[0], first[1]);
        assert_eq!(first, ids(&options()));
        assert_ne!(first, ids(&Options { name: "other".to_owned(), ..options() }));
    }

    #[test]
    fn an_empty_text_is_a_processing_error_and_a_tombstone_says_nothing() {
        let mut options = options();
        options.message.text = " {{ current.title }}\n".to_owned();
        let mut node = Plan::new(&options, &shape()).unwrap().processor();
        let mut context = TestContext::new();
        let error = context.process(&mut node, Some(b"k"), Some(&change(Some(1), 2, None))).unwrap_err();
        assert_eq!(error.to_string(), "the text of likes is empty for this record");
        context.process(&mut node, Some(b"k"), None).unwrap();
        assert!(context.forwarded.is_empty());
    }
}
