//! The topology that a file becomes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::avro::{Guid, Registered, Registry, RegistryError, Schema, SchemaId};
use crate::streams::runtime;

/// A registry that only counts.
#[derive(Debug, Default)]
struct Counting(Mutex<Vec<(String, Schema)>>);

impl Registry for Counting {
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        self.0.lock().push((subject.to_owned(), schema.clone()));
        Ok(SchemaId(u32::try_from(self.0.lock().len()).unwrap()))
    }

    fn schema(&self, _id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        Ok(None)
    }

    fn schema_by_guid(&self, _guid: Guid) -> Result<Option<Arc<Schema>>, RegistryError> {
        Ok(None)
    }

    fn latest(&self, _subject: &str) -> Result<Option<Registered>, RegistryError> {
        Ok(None)
    }

    fn versions(&self, _subject: &str) -> Result<Vec<u32>, RegistryError> {
        Ok(Vec::new())
    }

    fn compatible(&self, _subject: &str, _schema: &Schema) -> Result<(), RegistryError> {
        Ok(())
    }
}

fn described(config: &Config) -> String {
    build(config, Arc::new(Counting::default())).unwrap().describe().to_string()
}

#[test]
fn the_shipped_file_becomes_a_topology() {
    insta::assert_snapshot!(described(&shipped(&LoadOptions::offline()).unwrap()), @r"
    Topologies:
      Sub-topology: 0
        Source: videos (topics: [youtube_videos])
          --> changes
        Processor: changes (stores: [changes])
          --> likes, comments, views, sinks.changes
          <-- videos
        Processor: likes (stores: [])
          --> sinks.outbox
          <-- changes
        Processor: comments (stores: [])
          --> sinks.outbox
          <-- changes
        Processor: views (stores: [views])
          --> sinks.outbox
          <-- changes
        Sink: sinks.changes (topic: youtube_changes)
          <-- changes
        Sink: sinks.outbox (topic: telegram_outbox)
          <-- likes, comments, views
    ");
}

#[test]
fn the_schemas_of_sinks_are_registered() {
    let registry = Arc::new(Counting::default());
    build(&shipped(&LoadOptions::offline()).unwrap(), Arc::clone(&registry) as Arc<dyn Registry>).unwrap();
    let subjects: Vec<String> = registry.0.lock().iter().map(|(subject, _)| subject.clone()).collect();
    assert_eq!(subjects, ["youtube_changes-value", "telegram_outbox-value"]);
}

#[test]
fn a_sink_of_rows_of_different_shapes_becomes_two_nodes() {
    let more = "[processors.more]\ntype = \"latest\"\ninput = \"videos\"\nwatch = [\"title\"]\n[sinks.all]\n\
                inputs = [\"changes\", \"more\"]\ntopic = \"all\"\nvalue = \"youtube_change\"\n";
    insta::assert_snapshot!(described(&offline(&format!("{BASE}{more}")).unwrap()), @r"
    Topologies:
      Sub-topology: 0
        Source: videos (topics: [youtube_videos])
          --> changes, more
        Processor: changes (stores: [changes])
          --> likes, sinks.all
          <-- videos
        Processor: more (stores: [more])
          --> sinks.all.2
          <-- videos
        Processor: likes (stores: [])
          --> sinks.outbox
          <-- changes
        Sink: sinks.outbox (topic: telegram_outbox)
          <-- likes
        Sink: sinks.all (topic: all)
          <-- changes
        Sink: sinks.all.2 (topic: all)
          <-- more
    ");
}

#[test]
fn the_defaults_are_the_engines_own() {
    let config = offline(BASE).unwrap();
    let engine = runtime::Options::new("app", "i");
    assert_eq!(format!("{:?}", config.runtime_options("i")), format!("{engine:?}"));
}
