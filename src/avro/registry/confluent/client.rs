//! The requests: `schema_registry_converter` asks and registers, what it has no call for goes to the same place by the same kind of client.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use reqwest::{Certificate, ClientBuilder, Url, redirect};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_versions, get_schema_by_guid, get_schema_by_id, get_schema_by_subject_and_version, post_schema,
};
use schema_registry_converter::schema_registry_common::{RegisteredSchema, SchemaType, SuppliedSchema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::trouble::{Failure, Trouble, words};
use super::{ConfluentOptions, Registered, RegistryError};
use crate::avro::{Schema, SchemaId, SchemaKey};

/// What a registry sends and wants to get.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A registry's client.
pub(super) struct Client {
    /// Its URL without credentials and without a slash at the end.
    place: String,
    username: Option<String>,
    password: Option<SecretString>,
    settings: SrSettings,
    http: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

fn wrong(reason: impl Into<String>) -> RegistryError {
    RegistryError::Settings { reason: reason.into(), source: None }
}

impl Client {
    pub(super) fn new(options: &ConfluentOptions) -> Result<Self, RegistryError> {
        // The text of the URL is not repeated: it may hold a password.
        let mut url = Url::parse(&options.url).map_err(|error| wrong(format!("its URL is none: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("its URL must begin with http:// or https:// and name a host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("its URL must end with the path, without ? and #"));
        }
        let (username, password) = credentials(&url, options)?;
        let unusable = |()| wrong("the user and the password cannot be taken out of its URL");
        url.set_username("").and_then(|()| url.set_password(None)).map_err(unusable)?;
        let place = url.as_str().trim_end_matches('/').to_owned();
        let mut builder = SrSettings::new_builder(place.clone());
        builder.set_timeout(options.timeout);
        if let Some(username) = &username {
            builder.set_basic_authorization(username, password.as_ref().map(SecretString::expose_secret));
        }
        let failed = || wrong("no HTTP client can be made with them");
        let settings = builder.build_with(http(options)?).map_err(|_| failed())?;
        let http = http(options)?.timeout(options.timeout).build().map_err(|_| failed())?;
        Ok(Self { place, username, password, settings, http })
    }

    /// Where the registry is.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What is being done, with the place.
    pub(super) fn doing(&self, what: &str) -> String {
        format!("{what} at {}", self.place)
    }

    pub(super) fn looking_up(&self, key: SchemaKey) -> String {
        self.doing(&format!("looking up schema {key}"))
    }

    /// The schema that a record names.
    pub(super) async fn schema(&self, key: SchemaKey) -> Result<Option<Arc<Schema>>, Trouble> {
        let found = match key {
            SchemaKey::Id(id) => get_schema_by_id(id.0, &self.settings).await,
            SchemaKey::Guid(guid) => get_schema_by_guid(&guid.to_string(), &self.settings).await,
        };
        match found {
            Ok(found) => usable(&format!("schema {key}"), &found).map(Some),
            Err(error) => match (Failure::of_client(&error), key) {
                (Failure::Missing, _) => Ok(None),
                (Failure::NotThere, SchemaKey::Guid(_)) if self.is_registry().await => Err(Trouble::NoGuids { url: self.place.clone() }),
                (failure, _) => Err(self.trouble(failure.of_a_lookup(), "schema", &self.looking_up(key))),
            },
        }
    }

    /// Whether the place knows a request that every registry knows.
    async fn is_registry(&self) -> bool {
        let answer = self.send(self.http.get(format!("{}/schemas/types", self.place))).await;
        answer.is_ok_and(|body| serde_json::from_slice::<Vec<String>>(&body).is_ok())
    }

    pub(super) async fn register(&self, subject: &str, text: &str) -> Result<SchemaId, Trouble> {
        let schema = SuppliedSchema::new(None, SchemaType::Avro, text.to_owned());
        let registered = post_schema(&self.settings, encoded(subject), schema).await;
        let doing = || self.doing(&format!("registering a schema for {subject}"));
        registered.map(|registered| SchemaId(registered.id)).map_err(|error| self.trouble(Failure::of_client(&error), subject, &doing()))
    }

    pub(super) async fn latest(&self, subject: &str) -> Result<Option<Registered>, Trouble> {
        let doing = || self.doing(&format!("asking for the latest version of {subject}"));
        match get_schema_by_subject_and_version(&self.settings, &encoded(subject), None).await {
            Ok(found) => {
                let schema = usable(&format!("the latest schema of {subject}"), &found)?;
                Ok(Some(Registered { id: SchemaId(found.id), version: found.version.unwrap_or_default(), schema }))
            }
            Err(error) => match Failure::of_client(&error) {
                Failure::Missing => Ok(None),
                failure => Err(self.trouble(failure, subject, &doing())),
            },
        }
    }

    /// The versions of a subject; none where there is no such subject.
    pub(super) async fn versions(&self, subject: &str) -> Result<Option<Vec<u32>>, Trouble> {
        let doing = || self.doing(&format!("asking for the versions of {subject}"));
        match get_all_versions(&self.settings, encoded(subject)).await {
            Ok(versions) => Ok(Some(versions).filter(|versions| !versions.is_empty())),
            Err(error) => match Failure::of_client(&error) {
                Failure::Missing => Ok(None),
                failure => Err(self.trouble(failure, subject, &doing())),
            },
        }
    }

    /// Whether the latest version of a subject lets a schema follow; a new subject does.
    pub(super) async fn compatible(&self, subject: &str, text: &str) -> Result<(), Trouble> {
        #[derive(Deserialize)]
        struct Verdict {
            is_compatible: bool,
            #[serde(default)]
            messages: Vec<String>,
        }
        let doing = || self.doing(&format!("asking whether a schema is compatible with {subject}"));
        let url = format!("{}/compatibility/subjects/{}/versions/latest?verbose=true", self.place, encoded(subject));
        let body = serde_json::json!({ "schema": text, "schemaType": "AVRO" }).to_string();
        let answer = match self.send(self.http.post(url).header("content-type", CONTENT_TYPE).body(body)).await {
            Ok(answer) => answer,
            Err(Failure::Missing) => return Ok(()),
            Err(failure) => return Err(self.trouble(failure, subject, &doing())),
        };
        let verdict: Verdict = serde_json::from_slice(&answer)
            .map_err(|_| Trouble::unavailable(doing(), "its answer is not what a schema registry answers"))?;
        if verdict.is_compatible {
            return Ok(());
        }
        let reason = self.scrubbed(words(&verdict.messages.join("; ")));
        let reason = if reason.is_empty() { "it gives no reason".to_owned() } else { reason };
        Err(Trouble::Conflict { subject: subject.to_owned(), reason })
    }

    /// Sends a request of our own; the body of an answer that is none of an error.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
        let request = match &self.username {
            Some(username) => request.basic_auth(username, self.password.as_ref().map(SecretString::expose_secret)),
            None => request,
        };
        let answer = request.header("accept", CONTENT_TYPE).send().await.map_err(|error| Failure::of_transport(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| Failure::of_transport(&error))?;
        if status.is_success() { Ok(body.to_vec()) } else { Err(Failure::of_answer(status, &body)) }
    }

    /// What a failure means where something was asked of a subject.
    fn trouble(&self, failure: Failure, subject: &str, doing: &str) -> Trouble {
        match failure {
            Failure::Unavailable(cause) => Trouble::unavailable(doing, self.scrubbed(cause)),
            Failure::Missing => Trouble::Refused { what: doing.to_owned(), reason: format!("it knows no {subject}") },
            Failure::NotThere => Trouble::unavailable(doing, "there is no schema registry (404): is the path of its URL right?"),
            Failure::Conflict(reason) => Trouble::Conflict { subject: subject.to_owned(), reason: self.scrubbed(reason) },
            Failure::Invalid(reason) => Trouble::Invalid { what: format!("the schema for {subject}"), reason: self.scrubbed(reason) },
            Failure::Refused(reason) => Trouble::Refused { what: doing.to_owned(), reason: self.scrubbed(reason) },
        }
    }

    /// What it says without the password, which it may have repeated.
    fn scrubbed(&self, said: String) -> String {
        match self.password.as_ref().map(SecretString::expose_secret) {
            Some(password) if !password.is_empty() => said.replace(password, "***"),
            _ => said,
        }
    }
}

/// User and password, from the settings or from the URL.
fn credentials(url: &Url, options: &ConfluentOptions) -> Result<(Option<String>, Option<SecretString>), RegistryError> {
    let in_url = !url.username().is_empty() || url.password().is_some();
    if in_url && (options.username.is_some() || options.password.is_some()) {
        return Err(wrong("user and password are in its URL and beside it: leave one out"));
    }
    if !in_url {
        if options.username.is_none() && options.password.is_some() {
            return Err(wrong("a password needs a username"));
        }
        return Ok((options.username.clone(), options.password.clone()));
    }
    let decoded = |text: &str| decoded(text).ok_or_else(|| wrong("user and password in its URL are no text"));
    let password = url.password().map(decoded).transpose()?;
    Ok((Some(decoded(url.username())?), password.map(SecretString::from)))
}

/// No redirections: they would carry the credentials elsewhere. No proxy from the environment: only the configuration counts.
fn http(options: &ConfluentOptions) -> Result<ClientBuilder, RegistryError> {
    let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
    let Some(path) = &options.ca else { return Ok(builder) };
    let file = |source: Box<dyn std::error::Error + Send + Sync>| RegistryError::Settings {
        reason: format!("{} cannot be used as `ca`: a PEM file with certificates is wanted", path.display()),
        source: Some(source),
    };
    let pem = std::fs::read(path).map_err(|error| file(error.into()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| file(error.into()))?;
    if certificates.is_empty() {
        return Err(file("there is no certificate in it".into()));
    }
    Ok(builder.tls_certs_merge(certificates))
}

/// The schema of an answer, where it can be used here.
fn usable(what: &str, found: &RegisteredSchema) -> Result<Arc<Schema>, Trouble> {
    let unsupported = |reason: String| Trouble::Unsupported { what: what.to_owned(), reason };
    match &found.schema_type {
        SchemaType::Avro => {}
        SchemaType::Protobuf => return Err(unsupported("it is Protobuf, not Avro".to_owned())),
        SchemaType::Json => return Err(unsupported("it is JSON Schema, not Avro".to_owned())),
        other => return Err(unsupported(format!("it is {other:?}, not Avro"))),
    }
    if let Some(reference) = found.references.first() {
        let name = words(&reference.name);
        return Err(unsupported(format!("it refers to another schema ({name}): register it with all its types in one text")));
    }
    let schema = Schema::parse(&found.schema);
    schema.map(Arc::new).map_err(|error| Trouble::Invalid { what: what.to_owned(), reason: words(&crate::streams::task::chain(&error)) })
}

/// A subject as a segment of a URL.
fn encoded(subject: &str) -> String {
    subject.bytes().fold(String::new(), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(segment, "%{byte:02X}").unwrap_or_default();
        }
        segment
    })
}

/// Text with `%XX` replaced; none where it is malformed or no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
