//! The topology under simulation: the shipped node types and a few that remember more than they need to, in two sub-topologies.
//!
//! ```text
//! input -> latest -+-> changes (topic) -> chain -> totals (topic)
//!                  +-> notify ---+-> outbox (topic)
//!                  +-> milestone +
//!       -> chain -> folds (topic)
//!       -> ticker -> ticks (topic)
//! ```
//! A chain's row is a hash over everything that ever happened to its key: what is lost, repeated or out of order shows in all its results from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidewatch::avro::{Field, Row, Shape, Type, Value};
use tidewatch::processors::{MessageOptions, latest, milestone, notify};
use tidewatch::streams::log::RecordRef;
use tidewatch::streams::processor::{
    BoxError, Deserializer, InitContext, Processor, ProcessorContext, Punctuation, PunctuationType, Record, SerdeError, Serializer, StoreId,
};
use tidewatch::streams::state::{StoreLayout, StoreSpec};
use tidewatch::streams::topology::{Blueprint, ErrorPolicy, Source, Start, TopologyBuilder};

/// The topics that results go to.
pub(crate) const OUTPUTS: [&str; 5] = ["changes", "outbox", "folds", "ticks", "totals"];

/// The stores by sub-topology, in the order of their changelogs' partitions' tasks.
pub(crate) const STORES: [(usize, &str); 5] = [(0, "latest"), (0, "marks"), (0, "chain"), (0, "ticker"), (1, "total")];

pub(crate) const APPLICATION: &str = "sim";
pub(crate) const DEAD_LETTERS: &str = "sim-dead-letters";
pub(crate) const MILESTONE: i64 = 100;
/// Results with more bytes are refused by the engine.
pub(crate) const RESULT_BYTES_MAX: usize = 4_000;
/// What a value must contain to be refused by the log when it is flushed.
pub(crate) const REFUSED: &[u8] = b"#refused#";

/// Whether the registry answers; shared with the nemesis.
pub(crate) type Registry = Arc<AtomicBool>;

/// The next link of a chain.
pub(crate) fn link(row: Option<&[u8]>, parts: &[&[u8]]) -> String {
    let text = row.map_or("", |row| std::str::from_utf8(row).unwrap());
    let count: u64 = text.split(':').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [text.as_bytes()].iter().chain(parts) {
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{}:{hash:016x}", count + 1)
}

/// A value of the input, as its bytes say: `schema;title;views;likes;command`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Input {
    pub(crate) title: Option<String>,
    pub(crate) views: Option<i64>,
    pub(crate) likes: Option<i64>,
    pub(crate) command: String,
}

/// Reads a value; an error is a bad record, [`None`] means that the registry is needed.
pub(crate) fn parse(bytes: &[u8], registry: bool) -> Result<Option<Input>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not text")?;
    let parts: Vec<&str> = text.split(';').collect();
    let [schema, title, views, likes, command] = parts.as_slice() else { return Err("not five parts") };
    match *schema {
        "known" => {}
        "asked" if registry => {}
        "asked" | "unknown" if !registry => return Ok(None),
        _ => return Err("no such schema"),
    }
    let number = |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| "not a number") };
    let title = (!title.is_empty()).then(|| (*title).to_owned());
    Ok(Some(Input { title, views: number(views)?, likes: number(likes)?, command: (*command).to_owned() }))
}

#[derive(Debug)]
struct Reads(Registry);

impl Deserializer<Row> for Reads {
    fn deserialize(&mut self, bytes: &[u8], _: &RecordRef<'_>, into: &mut Row) -> Result<(), SerdeError> {
        let input = match parse(bytes, self.0.load(Ordering::Relaxed)) {
            Ok(Some(input)) => input,
            Ok(None) => return Err(SerdeError::Unavailable("the registry is out of reach".into())),
            Err(error) => return Err(SerdeError::Record(error.into())),
        };
        let long = |value: Option<i64>| value.map_or(Value::Null, Value::Long);
        into.values =
            vec![input.title.map_or(Value::Null, Value::String), long(input.views), long(input.likes), Value::String(input.command)];
        Ok(())
    }
}

/// A whole value as one text.
#[derive(Debug)]
struct ReadsText;

impl Deserializer<Row> for ReadsText {
    fn deserialize(&mut self, bytes: &[u8], _: &RecordRef<'_>, into: &mut Row) -> Result<(), SerdeError> {
        into.values = vec![Value::String(String::from_utf8_lossy(bytes).into_owned())];
        Ok(())
    }
}

/// The values of a row, separated by bars.
#[derive(Debug)]
struct Writes;

impl Serializer<Row> for Writes {
    fn serialize(&mut self, value: &Row, _: &Record<'_, Row>, into: &mut Vec<u8>) -> Result<(), SerdeError> {
        for (index, value) in value.values.iter().enumerate() {
            if index > 0 {
                into.push(b'|');
            }
            let text = if value.is_null() { "~".to_owned() } else { value.to_string() };
            into.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }
}

/// Chains up all records of a key; does what the value's last field commands.
#[derive(Debug)]
struct Chain {
    name: &'static str,
    store: Option<StoreId>,
}

impl Processor<Row> for Chain {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        self.store = context.store(self.name);
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        let (Some(key), Some(store)) = (record.key, self.store) else { return Err("no key".into()) };
        let (offset, raw) =
            context.source().map(|source| (source.record.offset, source.record.value.map(<[u8]>::to_vec))).ok_or("no source")?;
        let Some(value) = record.value else {
            context.store(store).delete(key)?;
            return context.forward(&Record { value: Some(&Row { values: vec![Value::String("gone".to_owned())] }), ..*record });
        };
        let parts: [&[u8]; 3] = [&raw.unwrap_or_default(), &offset.0.to_le_bytes(), &record.timestamp.0.to_le_bytes()];
        let row = link(context.store(store).get(key)?, &parts);
        context.store(store).put(key, row.as_bytes())?;
        let command = if self.name == "chain" { value.get(3).to_string() } else { String::new() };
        let text = match command.as_str() {
            "big" => "x".repeat(RESULT_BYTES_MAX + 1),
            "refused" => String::from_utf8_lossy(REFUSED).into_owned(),
            _ => row,
        };
        context.forward(&Record { value: Some(&Row { values: vec![Value::String(text)] }), ..*record })?;
        match command.as_str() {
            "fail" => Err("told to fail".into()),
            "panic" => panic!("told to panic"),
            _ => Ok(()),
        }
    }
}

/// Counts the wall clock's punctuations of a task, and says each number once.
#[derive(Debug, Default)]
struct Ticker {
    store: Option<StoreId>,
    partition: Option<i32>,
}

impl Processor<Row> for Ticker {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        self.store = context.store("ticker");
        context.schedule(PunctuationType::WallClockTime, Duration::from_secs(3));
        Ok(())
    }

    fn process(&mut self, _: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        self.partition = context.source().map(|source| source.source.partition.0);
        Ok(())
    }

    fn punctuate(&mut self, at: &Punctuation, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        let (Some(store), Some(partition)) = (self.store, self.partition) else { return Ok(()) };
        let key = format!("t{partition}");
        let count: u64 = match context.store(store).get(key.as_bytes())? {
            Some(bytes) => std::str::from_utf8(bytes)?.parse()?,
            None => 0,
        };
        let next = (count + 1).to_string();
        context.store(store).put(key.as_bytes(), next.as_bytes())?;
        let row = Row { values: vec![Value::String(next)] };
        let headers = tidewatch::streams::log::Headers::EMPTY;
        context.forward(&Record { key: Some(key.as_bytes()), value: Some(&row), timestamp: at.timestamp, headers })
    }
}

fn store(name: &str) -> StoreSpec {
    StoreSpec { name: name.into(), layout: StoreLayout { kind: "simulated".to_owned(), ..StoreLayout::default() } }
}

fn message(name: &str, when: Option<&str>, text: &str) -> MessageOptions {
    let (when, text) = (when.map(str::to_owned), format!("{name} {text}"));
    MessageOptions { when, chat_id: "chat".to_owned(), text, ..MessageOptions::default() }
}

/// The topology, with this registry behind its input.
pub(crate) fn build(registry: &Registry, errors: ErrorPolicy) -> Arc<dyn Blueprint> {
    let fields = [("title", Type::String), ("views", Type::Long), ("likes", Type::Long), ("command", Type::String)];
    let input = Shape { fields: fields.into_iter().map(|(path, ty)| Field::new(path, ty, true)).collect() };
    let watch = ["title", "views", "likes"].map(str::to_owned).to_vec();
    let latest = latest::Plan::new(&latest::Options { store: "latest".to_owned(), watch, ..Default::default() }, &input).unwrap();
    let likes = message("likes", Some("current.likes != previous.likes"), "{{ key }} {{ previous.likes }} {{ current.likes }}");
    let likes = notify::Plan::new(&notify::Options { name: "likes".to_owned(), message: likes }, latest.shape()).unwrap();
    let (name, store_name, field) = ("views".to_owned(), "marks".to_owned(), "views".to_owned());
    let message = message("views", None, "{{ key }} {{ previous.views }} {{ current.views }} {{ boundary }}");
    let boundaries = milestone::Boundaries::Every(MILESTONE);
    let options = milestone::Options { name, store: store_name, field, boundaries, message };
    let views = milestone::Plan::new(&options, latest.shape()).unwrap();
    let registry = Arc::clone(registry);
    let topology = TopologyBuilder::new()
        .errors(errors)
        .source("in", Source::new("input", Start::Earliest, move || Reads(Arc::clone(&registry)), Row::default))
        .store(latest.store())
        .store(views.store())
        .store(store("chain"))
        .store(store("ticker"))
        .store(store("total"))
        .processor("latest", &["in"], &["latest"], move || latest.processor())
        .processor("likes", &["latest"], &[], move || likes.processor())
        .processor("views", &["latest"], &["marks"], move || views.processor())
        .processor("ticker", &["in"], &["ticker"], Ticker::default)
        .processor("chain", &["in"], &["chain"], || Chain { name: "chain", store: None })
        .source("again", Source::new("changes", Start::Earliest, || ReadsText, Row::default))
        .processor("total", &["again"], &["total"], || Chain { name: "total", store: None })
        .sink("to-changes", &["latest"], "changes", || Writes)
        .sink("to-outbox", &["likes", "views"], "outbox", || Writes)
        .sink("to-folds", &["chain"], "folds", || Writes)
        .sink("to-ticks", &["ticker"], "ticks", || Writes)
        .sink("to-totals", &["total"], "totals", || Writes)
        .build()
        .unwrap();
    Arc::new(topology)
}
