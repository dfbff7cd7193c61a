//! Finds schemas: by name (`schemas/NAME.avsc` beside the topology file, else the one that ships with the program), by file, in the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::closest;
use super::diagnostics::Diagnostic;
use super::document::{Described, SchemaRef, Text};
use super::registry::Subjects;
use crate::avro::{self, Schema};
use crate::streams::task::chain;

/// What needs no registry.
const INSTEAD: &str = "name a file, as in `schema = \"orders.avsc\"`";

/// The schemas that a topology file may name.
#[derive(Debug)]
pub(super) struct Schemas {
    /// The folder of the topology file.
    beside: Option<PathBuf>,
    folder: Option<PathBuf>,
    /// What was looked up; none was a fault.
    found: BTreeMap<String, Option<Schema>>,
}

impl Schemas {
    /// Schemas for a topology file in `folder`; without one only those that ship.
    pub(super) fn beside(folder: Option<&Path>) -> Self {
        Self { beside: folder.map(Path::to_owned), folder: folder.map(|folder| folder.join("schemas")), found: BTreeMap::new() }
    }

    /// The schema that a `value` refers to, and what it is called; none where there is a fault, or where it is made of something else.
    pub(super) fn refer(
        &mut self,
        value: &Described,
        topic: Option<&Text>,
        subjects: &mut Subjects<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<(Arc<str>, Schema)> {
        match &value.schema {
            SchemaRef::Named(name) => Some((name.get_ref().as_str().into(), self.find(name, faults)?)),
            SchemaRef::File(path) => {
                let schema = self.read(path).map_err(|fault| faults.push(fault)).ok()?;
                Some((path.get_ref().as_str().into(), schema))
            }
            SchemaRef::Registry => {
                let subject = format!("{}-value", topic?.get_ref());
                let schema = subjects.latest(&subject, &value.span, INSTEAD).map_err(|fault| faults.push(fault)).ok()?;
                if schema.record().is_none() {
                    let fault = Diagnostic::error("registry-schema", value.span.clone(), format!("the schema of {subject} is no record"));
                    faults.push(fault.hinted("a value is a record, so that its fields have names"));
                    return None;
                }
                Some((subject.into(), schema))
            }
            SchemaRef::Derived => None,
        }
    }

    /// The schema in a file, whose path is relative to the topology file.
    fn read(&self, path: &Text) -> Result<Schema, Diagnostic> {
        let file = self.beside.as_deref().unwrap_or(Path::new("")).join(path.get_ref());
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Diagnostic::error("bad-schema", path.span(), format!("{} cannot be read: {error}", file.display()))
                .labelled("a file")
                .hinted("paths are relative to the topology file; without .avsc it is the name of a schema in schemas/")
        })?;
        Schema::parse(&text).map_err(|error| invalid(path, &file.display().to_string(), &error))
    }

    /// The schema that `value` names; a fault the first time that there is none.
    pub(super) fn find(&mut self, value: &Text, faults: &mut Vec<Diagnostic>) -> Option<Schema> {
        let name = value.get_ref();
        if let Some(known) = self.found.get(name) {
            if known.is_none() {
                faults.push(self.unknown(value));
            }
            return known.clone();
        }
        let found = self.load(value);
        let schema = match found {
            Ok(schema) => Some(schema),
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        self.found.insert(name.clone(), schema.clone());
        schema
    }

    fn load(&self, value: &Text) -> Result<Schema, Diagnostic> {
        let name = value.get_ref();
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        if let Some(folder) = self.folder.as_ref().filter(|_| plain) {
            let path = folder.join(format!("{name}.avsc"));
            match std::fs::read_to_string(&path) {
                Ok(text) => return Schema::parse(&text).map_err(|error| invalid(value, &path.display().to_string(), &error)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Diagnostic::error("bad-schema", value.span(), format!("{} cannot be read: {error}", path.display())));
                }
            }
        }
        let Some(text) = avro::shipped(name) else { return Err(self.unknown(value)) };
        Schema::parse(text).map_err(|error| invalid(value, &format!("the shipped schema {name}"), &error))
    }

    fn unknown(&self, value: &Text) -> Diagnostic {
        let name = value.get_ref();
        let known = self.names();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = match closest::meant(name, &known) {
            Some(meant) => meant,
            None => format!("put it into schemas/{name}.avsc beside the topology file; known: {}", known.join(", ")),
        };
        Diagnostic::error("unknown-schema", value.span(), format!("there is no schema \"{name}\"")).labelled("unknown schema").hinted(hint)
    }

    /// The names of all schemas, sorted.
    fn names(&self) -> Vec<String> {
        let files = self.folder.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let own = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".avsc")?.to_owned()));
        let mut names: Vec<String> = own.chain(avro::SHIPPED.iter().map(|(name, _)| (*name).to_owned())).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn invalid(value: &Text, what: &str, error: &avro::Error) -> Diagnostic {
    let fault = Diagnostic::error("bad-schema", value.span(), format!("{what}: {}", chain(error)));
    fault.hinted("see https://avro.apache.org/docs for the format")
}
