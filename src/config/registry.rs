//! The schema registry as a topology file needs it: for the schemas that the file leaves to it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::diagnostics::Diagnostic;
use super::kafka::Kafka;
use crate::avro::{ConfluentRegistry, Registry, Schema};
use crate::streams::processor::BoxError;
use crate::streams::task::chain;

type Connect = dyn Fn() -> Result<Arc<dyn Registry>, BoxError> + Send + Sync;

/// A registry, or how to get one: it is only connected to where a file needs it.
#[derive(Clone, Default)]
pub struct RegistryLookup(Lookup);

#[derive(Clone, Default)]
enum Lookup {
    /// There is no registry.
    #[default]
    None,
    /// There may be one, but it is not to be asked.
    Offline,
    Connect(Arc<Connect>),
}

impl RegistryLookup {
    /// There is none.
    pub fn none() -> Self {
        Self(Lookup::None)
    }

    /// It is not to be asked.
    pub fn offline() -> Self {
        Self(Lookup::Offline)
    }

    /// The same; where nothing was said, the registry that the file itself names, if it does.
    pub(super) fn or_of(&self, kafka: Option<&Kafka>) -> Self {
        match (&self.0, kafka.and_then(Kafka::registry_options)) {
            (Lookup::None, Some(options)) => Self::connecting(move || Ok(Arc::new(ConfluentRegistry::new(&options)?))),
            _ => self.clone(),
        }
    }

    /// This one.
    pub fn of(registry: Arc<dyn Registry>) -> Self {
        Self::connecting(move || Ok(Arc::clone(&registry)))
    }

    /// What `connect` gives; it is called once per check, and only if need be.
    pub fn connecting(connect: impl Fn() -> Result<Arc<dyn Registry>, BoxError> + Send + Sync + 'static) -> Self {
        Self(Lookup::Connect(Arc::new(connect)))
    }
}

impl fmt::Debug for RegistryLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Lookup::None => "RegistryLookup(none)",
            Lookup::Offline => "RegistryLookup(offline)",
            Lookup::Connect(_) => "RegistryLookup(some)",
        })
    }
}

/// What one check asks of the registry.
pub(super) struct Subjects<'a> {
    lookup: &'a RegistryLookup,
    connected: Option<Result<Arc<dyn Registry>, String>>,
}

impl<'a> Subjects<'a> {
    pub(super) fn new(lookup: &'a RegistryLookup) -> Self {
        Self { lookup, connected: None }
    }

    /// The latest schema of a subject, for what stands at `span`; `instead` is what the file may say to need none.
    pub(super) fn latest(&mut self, subject: &str, span: &Range<usize>, instead: &str) -> Result<Schema, Diagnostic> {
        let fault = |message: String, hint: String| {
            Diagnostic::error("registry-schema", span.clone(), message).labelled("asks the registry").hinted(hint)
        };
        let connect = match &self.lookup.0 {
            Lookup::Connect(connect) => connect,
            Lookup::Offline => {
                let hint =
                    format!("`check --offline` and `demo` ask for nothing from outside: run `check` without --offline, or {instead}");
                return Err(fault(format!("the schema of {subject} is in the registry, which is not asked offline"), hint));
            }
            Lookup::None => {
                let hint = format!("[kafka] names one under `registry`; without it {instead}");
                return Err(fault(format!("the schema of {subject} is in a registry, and there is none to ask"), hint));
            }
        };
        let failed = |cause: &str| {
            let hint = "see that it runs, and that its address and credentials are right".to_owned();
            fault(format!("the registry cannot be asked for {subject}: {cause}"), hint)
        };
        let connected = self.connected.get_or_insert_with(|| connect().map_err(|error| chain(&*error)));
        let registry = connected.as_ref().map_err(|cause| failed(cause))?;
        match registry.latest(subject) {
            Ok(Some(registered)) => Ok(Schema::clone(&registered.schema)),
            Ok(None) => Err(fault(
                format!("the registry has no subject {subject}"),
                format!("it is there once a producer has registered its schema; else {instead}"),
            )),
            Err(error) => Err(failed(&chain(&error))),
        }
    }
}
