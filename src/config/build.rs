//! Makes the engine's topology of a checked configuration.

use std::sync::Arc;

use super::model::{Config, Sink};
use crate::avro::{Aliases, AvroDeserializer, AvroSerializer, Encoder, Misfit, Registry, RegistryError, Row, Shape};
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
    /// The nodes do not make a topology; the check finds it before.
    #[error("the topology cannot be built")]
    Topology(#[from] topology::Error),
}

/// Builds the topology that `config` declares; registers the schemas of its sinks.
#[expect(clippy::needless_pass_by_value, reason = "the tasks of the topology share it from now on")]
pub fn build(config: &Config, registry: Arc<dyn Registry>) -> Result<Topology<Row>, Error> {
    let mut builder = TopologyBuilder::new().errors(config.errors);
    for source in &config.sources {
        let (registry, schema, shape) = (Arc::clone(&registry), source.schema.clone(), source.shape.clone());
        let blank = source.shape.clone();
        let deserializer = move || AvroDeserializer::new(Arc::clone(&registry), schema.clone(), shape.clone(), Aliases::default());
        let mut node = Source::new(Arc::clone(&source.topic), source.start, deserializer, move || Row::of(&blank));
        if let Some(on_error) = source.on_error {
            node = node.on_error(on_error);
        }
        builder = builder.source(&source.name, node);
    }
    for node in &config.processors {
        builder = node.plan.declare(&node.name, &node.input, builder);
    }
    for sink in &config.sinks {
        builder = declare_sink(sink, registry.as_ref(), builder)?;
    }
    Ok(builder.build()?)
}

/// Declares a sink: one node for each shape that comes in, since an encoder is compiled for one.
///
/// Sinks have names among themselves (`[processors.changes]` and `[sinks.changes]` go together well), nodes of a topology do not:
/// the node is called `sinks.changes`, which no other can be.
fn declare_sink(sink: &Sink, registry: &dyn Registry, mut builder: TopologyBuilder<Row>) -> Result<TopologyBuilder<Row>, Error> {
    let subject = format!("{}-value", sink.topic);
    let id = registry.register(&subject, &sink.schema).map_err(|source| Error::Register {
        schema: Arc::clone(&sink.schema_name),
        subject: subject.clone(),
        source,
    })?;
    let mut shapes: Vec<(&Shape, Vec<&str>)> = Vec::new();
    for (input, shape) in &sink.inputs {
        match shapes.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, inputs)) => inputs.push(input),
            None => shapes.push((shape, vec![input])),
        }
    }
    for (number, (shape, inputs)) in shapes.into_iter().enumerate() {
        let encoder = Encoder::compile(&sink.schema, shape).map_err(|misfits| misfit(sink, misfits))?;
        let name = if number == 0 { format!("sinks.{}", sink.name) } else { format!("sinks.{}.{}", sink.name, number + 1) };
        builder = builder.sink(&name, &inputs, &sink.topic, move || AvroSerializer::new(id, encoder.clone()));
    }
    Ok(builder)
}

fn misfit(sink: &Sink, misfits: Vec<Misfit>) -> Error {
    let unknown = || Misfit { field: "".into(), wanted: String::new(), path: None, found: None };
    Error::Misfit { sink: Arc::clone(&sink.name), source: misfits.into_iter().next().unwrap_or_else(unknown) }
}
