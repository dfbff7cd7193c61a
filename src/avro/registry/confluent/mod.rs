//! Confluent's schema registry, and whatever speaks its REST interface (Apicurio's `/apis/ccompat/v7`, Redpanda, Karapace).
//!
//! Ids, GUIDs and what belongs to them never change: what was found once is remembered for ever. A look-up runs in the background; a stream
//! thread waits a quarter of a second for it, and not at all while the registry is slow (see [`lookups`]).

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::runtime::{Builder, Runtime};

use super::{Registered, Registry, RegistryError};
use crate::avro::{Guid, Schema, SchemaId, SchemaKey};
use client::Client;
use lookups::Lookups;
use trouble::Trouble;

mod client;
mod lookups;
#[cfg(test)]
mod tests;
mod trouble;

/// How long a stream thread waits for a look-up: most registries answer in a few milliseconds, and then nothing has to be paused.
const PATIENCE: Duration = Duration::from_millis(250);

/// Where a registry is, and how to talk to it.
#[derive(Clone)]
pub struct ConfluentOptions {
    /// Its URL, such as `https://registry:8081`; may hold user and password.
    pub url: String,
    /// The user for basic authentication: at Confluent Cloud the API key.
    pub username: Option<String>,
    /// The password: at Confluent Cloud the API secret.
    pub password: Option<SecretString>,
    /// A PEM file with the certificates of authorities that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
}

impl ConfluentOptions {
    /// A registry without authentication, with ten seconds for a request.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), username: None, password: None, ca: None, timeout: Duration::from_secs(10) }
    }
}

/// Without the URL, which may hold a password, and without the user.
impl fmt::Debug for ConfluentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfluentOptions").field("ca", &self.ca).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// A schema registry behind HTTP. Its calls block, but never a thread of an asynchronous runtime's: it has one of its own.
pub struct ConfluentRegistry {
    client: Arc<Client>,
    lookups: Arc<Lookups>,
    /// Ids by subject and text.
    registered: Mutex<HashMap<(String, String), SchemaId>>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for ConfluentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfluentRegistry").field("url", &self.client.place()).finish_non_exhaustive()
    }
}

impl ConfluentRegistry {
    /// A registry with these settings; it is not asked anything yet.
    pub fn new(options: &ConfluentOptions) -> Result<Self, RegistryError> {
        let client = Arc::new(Client::new(options)?);
        let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(2).thread_name("registry").enable_all().build();
        let runtime = runtime.map_err(|source| RegistryError::Unavailable {
            what: "its thread could not be started".to_owned(),
            source: Some(Box::new(source)),
        })?;
        let lookups = Arc::new(Lookups::new(runtime.handle().clone(), Arc::clone(&client)));
        Ok(Self { client, lookups, registered: Mutex::default(), runtime: Some(runtime) })
    }

    /// Runs a request and waits for it; the client's time limit ends it.
    fn call<F, T>(&self, what: &str, request: impl FnOnce(Arc<Client>) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
        T: Send + 'static,
    {
        let broken = || Trouble::unavailable(self.client.doing(what), "the request broke off");
        let Some(runtime) = &self.runtime else { return Err(broken()) };
        // Not `block_on`, which panics where the caller is itself on a thread of some runtime.
        let (sender, receiver) = mpsc::sync_channel(1);
        let request = request(Arc::clone(&self.client));
        runtime.spawn(async move { sender.send(request.await).unwrap_or_default() });
        receiver.recv().map_err(|_| broken())?
    }
}

impl Drop for ConfluentRegistry {
    fn drop(&mut self) {
        // Dropping it would wait for its threads, and panic on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Registry for ConfluentRegistry {
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        let key = (subject.to_owned(), schema.text().to_owned());
        if let Some(id) = self.registered.lock().get(&key) {
            return Ok(*id);
        }
        let (subject, text) = key.clone();
        let what = format!("registering a schema for {subject}");
        let id = self.call(&what, |client| async move { client.register(&subject, &text).await })?;
        self.registered.lock().insert(key, id);
        self.lookups.remember(SchemaKey::Id(id), &Arc::new(schema.clone()));
        Ok(id)
    }

    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        self.lookup(SchemaKey::Id(id))
    }

    fn schema_by_guid(&self, guid: Guid) -> Result<Option<Arc<Schema>>, RegistryError> {
        self.lookup(SchemaKey::Guid(guid))
    }

    fn lookup(&self, key: SchemaKey) -> Result<Option<Arc<Schema>>, RegistryError> {
        Ok(self.lookups.ask(key, None)?)
    }

    fn resolve(&self, key: SchemaKey) -> Result<Option<Arc<Schema>>, RegistryError> {
        Ok(self.lookups.ask(key, Some(PATIENCE))?)
    }

    fn latest(&self, subject: &str) -> Result<Option<Registered>, RegistryError> {
        let name = subject.to_owned();
        let what = format!("asking for the latest version of {subject}");
        let latest = self.call(&what, |client| async move { client.latest(&name).await })?;
        if let Some(Registered { id, schema, .. }) = &latest {
            self.lookups.remember(SchemaKey::Id(*id), schema);
        }
        Ok(latest)
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        let name = subject.to_owned();
        let versions = self.call(&format!("asking for the versions of {subject}"), |client| async move { client.versions(&name).await })?;
        versions.ok_or_else(|| RegistryError::NotFound(subject.to_owned()))
    }

    fn compatible(&self, subject: &str, schema: &Schema) -> Result<(), RegistryError> {
        let (name, text) = (subject.to_owned(), schema.text().to_owned());
        let what = format!("asking whether a schema is compatible with {subject}");
        Ok(self.call(&what, |client| async move { client.compatible(&name, &text).await })?)
    }
}
