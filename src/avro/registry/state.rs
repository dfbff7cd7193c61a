//! What the records of the topic `_schemas` add up to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Registered, RegistryError};
use crate::avro::{Guid, Schema, SchemaId};
use crate::streams::log::Offset;

/// All schemas and subjects.
#[derive(Debug, Default)]
pub(super) struct State {
    schemas: HashMap<SchemaId, Arc<Schema>>,
    ids: HashMap<String, SchemaId>,
    guids: HashMap<Guid, SchemaId>,
    /// By subject and version; a deleted version keeps its number.
    subjects: BTreeMap<String, BTreeMap<u32, Version>>,
    highest: u32,
}

#[derive(Debug)]
struct Version {
    id: SchemaId,
    deleted: bool,
}

#[derive(Deserialize, Serialize)]
struct Key {
    keytype: String,
    subject: Option<String>,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    magic: u8,
}

#[derive(Deserialize, Serialize)]
struct Value {
    subject: String,
    version: u32,
    id: u32,
    schema: String,
    #[serde(default)]
    deleted: bool,
}

/// The record of a new version: key and value.
pub(super) fn record(subject: &str, version: u32, id: SchemaId, schema: &Schema) -> (String, String) {
    let key = Key { keytype: "SCHEMA".to_owned(), subject: Some(subject.to_owned()), version, magic: 1 };
    let value = Value { subject: subject.to_owned(), version, id: id.0, schema: schema.text().to_owned(), deleted: false };
    (json(&key), json(&value))
}

fn json(value: &impl Serialize) -> String {
    // Strings and numbers in a struct always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

impl State {
    /// Takes in a record of the topic; those of other kinds (Confluent's settings) pass by.
    pub(super) fn apply(&mut self, offset: Offset, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), RegistryError> {
        let invalid = |source: Box<dyn std::error::Error + Send + Sync>| RegistryError::Invalid {
            what: format!("the record at offset {offset} of _schemas"),
            source,
        };
        let key: Key = serde_json::from_slice(key.unwrap_or_default()).map_err(|error| invalid(error.into()))?;
        if key.keytype != "SCHEMA" {
            return Ok(());
        }
        let Some(value) = value else {
            if let Some(version) =
                self.subjects.get_mut(key.subject.as_deref().unwrap_or_default()).and_then(|versions| versions.get_mut(&key.version))
            {
                version.deleted = true;
            }
            return Ok(());
        };
        let value: Value = serde_json::from_slice(value).map_err(|error| invalid(error.into()))?;
        let schema = Schema::parse(&value.schema).map_err(|error| invalid(error.into()))?;
        let id = SchemaId(value.id);
        self.highest = self.highest.max(value.id);
        self.ids.entry(schema.text().to_owned()).or_insert(id);
        self.guids.entry(Guid::of_text(schema.text())).or_insert(id);
        self.schemas.entry(id).or_insert_with(|| Arc::new(schema));
        self.subjects.entry(value.subject).or_default().insert(value.version, Version { id, deleted: value.deleted });
        Ok(())
    }

    pub(super) fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.schemas.get(&id).map(Arc::clone)
    }

    pub(super) fn schema_by_guid(&self, guid: Guid) -> Option<Arc<Schema>> {
        self.schema(*self.guids.get(&guid)?)
    }

    /// The subjects that have a version that is not deleted, sorted.
    pub(super) fn subjects(&self) -> Vec<String> {
        let alive = |versions: &BTreeMap<u32, Version>| versions.values().any(|version| !version.deleted);
        self.subjects.iter().filter(|(_, versions)| alive(versions)).map(|(subject, _)| subject.clone()).collect()
    }

    /// The versions of a subject that are not deleted, ascending.
    pub(super) fn versions(&self, subject: &str) -> impl DoubleEndedIterator<Item = Registered> {
        let versions = self.subjects.get(subject).into_iter().flatten().filter(|(_, version)| !version.deleted);
        versions.filter_map(|(&version, found)| Some(Registered { id: found.id, version, schema: self.schema(found.id)? }))
    }

    /// The id and version that a new schema of a subject gets: an id is one schema's for ever, whatever the subject.
    pub(super) fn next(&self, subject: &str, schema: &Schema) -> (SchemaId, u32) {
        let id = self.ids.get(schema.text()).copied().unwrap_or(SchemaId(self.highest + 1));
        let last = self.subjects.get(subject).and_then(|versions| versions.keys().last().copied());
        (id, last.unwrap_or(0) + 1)
    }
}
