//! Finds schemas by name: `schemas/NAME.avsc` beside the topology file, else the one that ships with the program.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use super::closest;
use super::diagnostics::Diagnostic;
use super::document::Text;
use crate::avro::{self, Schema};

/// The schemas that a topology file may name.
#[derive(Debug)]
pub(super) struct Schemas {
    folder: Option<PathBuf>,
    /// What was looked up; none was a fault.
    found: BTreeMap<String, Option<Schema>>,
}

impl Schemas {
    /// Schemas for a topology file in `folder`; without one only those that ship.
    pub(super) fn beside(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(|folder| folder.join("schemas")), found: BTreeMap::new() }
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
        let invalid = |what: String, error: avro::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Diagnostic::error("bad-schema", value.span(), format!("{what}: {error}{cause}"))
                .hinted("see https://avro.apache.org/docs for the format")
        };
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        if let Some(folder) = self.folder.as_ref().filter(|_| plain) {
            let path = folder.join(format!("{name}.avsc"));
            match std::fs::read_to_string(&path) {
                Ok(text) => return Schema::parse(&text).map_err(|error| invalid(path.display().to_string(), error)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Diagnostic::error("bad-schema", value.span(), format!("{} cannot be read: {error}", path.display())));
                }
            }
        }
        let Some(text) = avro::shipped(name) else { return Err(self.unknown(value)) };
        Schema::parse(text).map_err(|error| invalid(format!("the shipped schema {name}"), error))
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
