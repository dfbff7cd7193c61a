//! Rows of all three schemas, made as the job makes them: observations by the poller, changes by a `latest` node, messages by a `notify` node.

use tidewatch::avro::{Row, Shape, Value};
use tidewatch::processors::{MessageOptions, latest, message_shape, notify};

use super::node::Driven;
use super::observations;

/// Rows of a batch: enough that no branch of theirs is learnt by heart, few enough to stay in the processor's cache.
pub(crate) const BATCH: u64 = 256;

/// Rows of one shape.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) shape: Shape,
    pub(crate) rows: Vec<Row>,
}

/// The key of an observation.
pub(crate) fn key(index: u64) -> String {
    format!("video-{:06}", index % BATCH)
}

/// What the shipped topology's first node watches, as its options.
pub(crate) fn plan() -> latest::Plan {
    let shape = observations::watched(&observations::schema("youtube_video"));
    let watch = shape.fields.iter().map(|field| field.path.to_string()).collect();
    latest::Plan::new(&latest::Options { store: "changes".to_owned(), watch, ..latest::Options::default() }, &shape).unwrap()
}

/// Whole observations, all fields but `appeared` set.
pub(crate) fn videos() -> Rows {
    let shape = observations::schema("youtube_video").shape().clone();
    let mut watched = Row { values: vec![Value::Null; 4] };
    let rows = (0..BATCH).map(|index| {
        observations::fill(&mut watched, index, BATCH);
        let text = |text: &str| Value::String(text.to_owned());
        let mut values = watched.values.clone();
        values.extend([text("UC0123456789abcdefghijkl"), text("A channel about the sea")]);
        values.push(Value::Strings(vec!["PL0123456789abcdef".to_owned(), format!("PL{index:016}")]));
        let number = i64::try_from(index).unwrap();
        values.extend([Value::Long(1_700_000_000_000 + number * 3_600_000), Value::Long(300 + number), text("none"), Value::Null]);
        Row { values }
    });
    let rows: Vec<Row> = rows.collect();
    assert!(rows.iter().all(|row| row.values.len() == shape.fields.len()), "the schema has other fields now");
    Rows { shape, rows }
}

/// Changes of all counters, the previous values known.
pub(crate) fn changes() -> Rows {
    let plan = plan();
    let mut node = Driven::new(plan.processor());
    let mut row = Row { values: vec![Value::Null; 4] };
    for index in 0..2 * BATCH {
        if index == BATCH {
            node.keep();
        }
        observations::fill(&mut row, index, BATCH);
        node.process(key(index).as_bytes(), &row);
    }
    let rows = node.kept();
    assert_eq!(rows.len() as u64, BATCH, "every observation was to change something");
    Rows { shape: plan.shape().clone(), rows }
}

/// The messages of the shipped topology's rule about likes.
pub(crate) fn messages() -> Rows {
    let changes = changes();
    let message = MessageOptions {
        when: Some("current.likes != previous.likes".to_owned()),
        chat_id: "-1001234567890".to_owned(),
        text: "Likes changed: {{ previous.likes }} => {{ current.likes }}. {{ current.title }}".to_owned(),
        ..MessageOptions::default()
    };
    let plan = notify::Plan::new(&notify::Options { name: "likes".to_owned(), message }, &changes.shape).unwrap();
    let mut node = Driven::new(plan.processor());
    node.keep();
    for (index, row) in (0..).zip(&changes.rows) {
        node.process(key(index).as_bytes(), row);
    }
    let rows = node.kept();
    assert_eq!(rows.len() as u64, BATCH, "every change was to make a message");
    Rows { shape: message_shape(), rows }
}
