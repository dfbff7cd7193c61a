//! Makes the engine's topology of a checked configuration.

use std::sync::Arc;

use super::model::{self, Config, Sink, ValueFormat};
use crate::avro::{
    AvroDeserializer, AvroSerializer, CompileError, Encoder, JsonDeserializer, JsonSerializer, KeyChecker, KeyFormat, KeyedDeserializer,
    Misfit, Registry, RegistryError, Row, Shape, Value,
};
use crate::streams::processor::Deserializer;
use crate::streams::topology::{self, Source, Topology, TopologyBuilder};

/// Why a checked configuration could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schema of a sink could not be registered.
    #[error("schema {schema} cannot be registered as {subject}")]
    Register {
        /// The name of the schema.
        schema: Arc<str>,
        /// The subject.
        subject: String,
        /// What the registry says.
        #[source]
        source: RegistryError,
    },
    /// A sink does not fit its schema; the check finds it before.
    #[error("sink {sink} does not fit its schema")]
    Misfit {
        /// The sink.
        sink: Arc<str>,
        /// The first field that does not fit.
        #[source]
        source: Misfit,
    },
    /// The values of a source cannot be read as JSON; the check finds it before.
    #[error("source {source_name} cannot read JSON with its schema")]
    Json {
        /// The source.
        source_name: Arc<str>,
        /// What is wrong.
        #[source]
        source: CompileError,
    },
    /// The nodes do not make a topology; the check finds it before.
    #[error("the topology cannot be built")]
    Topology(#[from] topology::Error),
}

/// Builds the topology that `config` declares; registers the schemas of its sinks.
#[expect(clippy::needless_pass_by_value, reason = "the tasks of the topology share it from now on")]
pub fn build(config: &Config, registry: Arc<dyn Registry>) -> Result<Topology<Row>, Error> {
    let mut builder = TopologyBuilder::new().errors(config.errors);
    for source in &config.sources {
        builder = builder.source(&source.name, source_node(source, &registry)?);
    }
    for node in &config.processors {
        builder = node.plan.declare(&node.name, &node.input, builder);
    }
    for sink in &config.sinks {
        builder = declare_sink(sink, registry.as_ref(), builder)?;
    }
    Ok(builder.build()?)
}

/// A source as the engine has it.
fn source_node(source: &model::Source, registry: &Arc<dyn Registry>) -> Result<Source<Row>, Error> {
    let mut node = match source.format {
        ValueFormat::Avro => {
            let (registry, schema, shape) = (Arc::clone(registry), source.schema.clone(), source.shape.clone());
            let aliases = source.aliases.clone();
            let deserializer = move || AvroDeserializer::new(Arc::clone(&registry), schema.clone(), shape.clone(), aliases.clone());
            reading(source, deserializer)
        }
        ValueFormat::Json => {
            let deserializer = JsonDeserializer::new(&source.schema, &source.shape, &source.aliases);
            let deserializer = deserializer.map_err(|error| Error::Json { source_name: Arc::clone(&source.name), source: error })?;
            reading(source, move || deserializer.clone())
        }
    };
    if KeyChecker::is_needed(source.key) {
        let (key, registry) = (source.key, Arc::clone(registry));
        node = node.keys(move || KeyChecker::new(key, Arc::clone(&registry)));
    }
    Ok(match source.on_error {
        Some(on_error) => node.on_error(on_error),
        None => node,
    })
}

/// A source that reads values with what `deserializer` makes, and keys where the topology has a use for them.
fn reading<D: Deserializer<Row> + 'static>(source: &model::Source, deserializer: impl Fn() -> D + Send + Sync + 'static) -> Source<Row> {
    let (topic, start, key) = (Arc::clone(&source.topic), source.start, source.key);
    let mut blank = Row::of(&source.shape);
    if source.reads_key {
        blank.values.push(Value::Null);
        return Source::new(topic, start, move || KeyedDeserializer::new(deserializer(), key), move || blank.clone());
    }
    Source::new(topic, start, deserializer, move || blank.clone())
}

/// Declares a sink: one node for each shape that comes in, since an encoder is compiled for one.
///
/// Sinks have names among themselves (`[processors.changes]` and `[sinks.changes]` go together well), nodes of a topology do not:
/// the node is called `sinks.changes`, which no other can be.
fn declare_sink(sink: &Sink, registry: &dyn Registry, mut builder: TopologyBuilder<Row>) -> Result<TopologyBuilder<Row>, Error> {
    let subject = format!("{}-value", sink.topic);
    let register = || {
        let failed = |source| Error::Register { schema: Arc::clone(&sink.schema_name), subject: subject.clone(), source };
        registry.register(&subject, &sink.schema).map_err(failed)
    };
    // What JSON holds is no matter of the registry's.
    let id = if sink.format == ValueFormat::Avro { Some(register()?) } else { None };
    let mut shapes: Vec<((&Shape, KeyFormat), Vec<&str>)> = Vec::new();
    for input in &sink.inputs {
        let kind = (&input.shape, input.key);
        match shapes.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, inputs)) => inputs.push(&input.name),
            None => shapes.push((kind, vec![&*input.name])),
        }
    }
    for (number, ((shape, key), inputs)) in shapes.into_iter().enumerate() {
        let encoder = Encoder::compile_keyed(&sink.schema, shape, key).map_err(|misfits| misfit(sink, misfits))?;
        let name = if number == 0 { format!("sinks.{}", sink.name) } else { format!("sinks.{}.{}", sink.name, number + 1) };
        builder = if let Some(id) = id {
            builder.sink(&name, &inputs, &sink.topic, move || AvroSerializer::new(id, encoder.clone()))
        } else {
            let schema = sink.schema.clone();
            builder.sink(&name, &inputs, &sink.topic, move || JsonSerializer::new(schema.clone(), encoder.clone()))
        };
    }
    Ok(builder)
}

fn misfit(sink: &Sink, misfits: Vec<Misfit>) -> Error {
    Error::Misfit { sink: Arc::clone(&sink.name), source: Misfit::first(misfits) }
}
