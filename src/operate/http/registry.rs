//! The embedded registry in the REST form of Confluent's, so that any Avro client reads what the embedded log holds.
//!
//! Compatibility is always BACKWARD, schemas are always Avro, nothing is deleted: what would change that is not there.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::typed;
use crate::avro::{EmbeddedRegistry, Guid, Registered, Registry as _, RegistryError, Schema, SchemaId, check_readable};
use crate::streams::task::chain;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

type Shared = State<Arc<EmbeddedRegistry>>;

/// What goes wrong: status, code and message, as Confluent's registry has them.
type Fault = (StatusCode, u32, String);

pub(super) fn router(registry: Arc<EmbeddedRegistry>) -> Router {
    Router::new()
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(find))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/schemas/types", get(|| async { sent(&json!(["AVRO"])) }))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/versions", get(places))
        .route("/schemas/guids/{guid}", get(by_guid))
        .route("/config", get(|| async { sent(&json!({ "compatibilityLevel": "BACKWARD" })) }))
        .route("/config/{subject}", get(|| async { sent(&json!({ "compatibilityLevel": "BACKWARD" })) }))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(compatibility))
        .with_state(registry)
}

fn sent(value: &Value) -> Response {
    typed(StatusCode::OK, CONTENT_TYPE, value.to_string())
}

/// An error in a registry's form.
pub(super) fn fault(status: StatusCode, code: u32, message: &str) -> Response {
    typed(status, CONTENT_TYPE, json!({ "error_code": code, "message": message }).to_string())
}

/// Works on a thread that may block: the log is read and written.
async fn answer(
    registry: Arc<EmbeddedRegistry>,
    work: impl FnOnce(&EmbeddedRegistry) -> Result<Value, Fault> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&registry)).await {
        Ok(Ok(value)) => sent(&value),
        Ok(Err((status, code, message))) => fault(status, code, &message),
        Err(_) => fault(StatusCode::INTERNAL_SERVER_ERROR, 50_001, "the request failed"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn failed(error: RegistryError) -> Fault {
    match &error {
        RegistryError::Incompatible { .. } => (StatusCode::CONFLICT, 409, chain(&error)),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, 50_001, chain(&error)),
    }
}

fn no_subject(subject: &str) -> Fault {
    (StatusCode::NOT_FOUND, 40_401, format!("Subject '{subject}' not found."))
}

fn no_schema(name: &str) -> Fault {
    (StatusCode::NOT_FOUND, 40_403, format!("Schema {name} not found"))
}

fn invalid(reason: String) -> Fault {
    (StatusCode::UNPROCESSABLE_ENTITY, 42_201, reason)
}

/// The versions of a subject that there is.
fn known(registry: &EmbeddedRegistry, subject: &str) -> Result<Vec<Registered>, Fault> {
    let versions = registry.all_versions(subject).map_err(failed)?;
    if versions.is_empty() { Err(no_subject(subject)) } else { Ok(versions) }
}

fn version_of(registry: &EmbeddedRegistry, subject: &str, version: &str) -> Result<Registered, Fault> {
    let number = match version {
        "latest" | "-1" => None,
        text => {
            let number = text.parse().ok().filter(|&number: &u32| number > 0);
            let wrong = || (StatusCode::UNPROCESSABLE_ENTITY, 42_202, format!("The specified version '{text}' is not a valid version id."));
            Some(number.ok_or_else(wrong)?)
        }
    };
    let mut versions = known(registry, subject)?;
    let found = match number {
        None => versions.pop(),
        Some(number) => versions.into_iter().find(|known| known.version == number),
    };
    found.ok_or_else(|| (StatusCode::NOT_FOUND, 40_402, format!("Version {version} not found.")))
}

fn described(subject: &str, found: &Registered) -> Value {
    let text = found.schema.text();
    json!({ "subject": subject, "version": found.version, "id": found.id.0, "guid": Guid::of_text(text).to_string(), "schemaType": "AVRO", "schema": text })
}

fn text_of(schema: &Schema) -> Value {
    json!({ "schema": schema.text(), "schemaType": "AVRO", "guid": Guid::of_text(schema.text()).to_string() })
}

/// The schema of a request's body.
fn given(headers: &HeaderMap, body: &[u8]) -> Result<Schema, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Given {
        schema: String,
        schema_type: Option<String>,
        #[serde(default)]
        references: Option<Vec<Value>>,
    }
    // Without this any page in a browser could send one.
    let is_json = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| kind.contains("json"));
    if !is_json {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, format!("the header Content-Type must be {CONTENT_TYPE}")));
    }
    let given: Given =
        serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, 400, format!("the body is not what is wanted: {error}")))?;
    if given.schema_type.is_some_and(|kind| kind != "AVRO") {
        return Err(invalid("only schemas of the type AVRO are kept here".to_owned()));
    }
    if given.references.is_some_and(|references| !references.is_empty()) {
        return Err(invalid("references to other schemas are not supported: send one text with all types".to_owned()));
    }
    Schema::parse(&given.schema).map_err(|error| invalid(format!("Invalid schema: {}", chain(&error))))
}

async fn subjects(State(registry): Shared) -> Response {
    answer(registry, |registry| Ok(json!(registry.subjects().map_err(failed)?))).await
}

async fn versions(State(registry): Shared, Path(subject): Path<String>) -> Response {
    answer(registry, move |registry| Ok(known(registry, &subject)?.iter().map(|known| known.version).collect())).await
}

async fn version(State(registry): Shared, Path((subject, version)): Path<(String, String)>) -> Response {
    answer(registry, move |registry| Ok(described(&subject, &version_of(registry, &subject, &version)?))).await
}

async fn version_text(State(registry): Shared, Path((subject, version)): Path<(String, String)>) -> Response {
    answer(registry, move |registry| {
        let found = version_of(registry, &subject, &version)?;
        serde_json::from_str(found.schema.text()).map_err(|error| invalid(error.to_string()))
    })
    .await
}

async fn by_id(State(registry): Shared, Path(id): Path<String>) -> Response {
    answer(registry, move |registry| {
        let number = id.parse().map_err(|_| no_schema(&id))?;
        let schema = registry.schema(SchemaId(number)).map_err(failed)?;
        schema.map(|schema| text_of(&schema)).ok_or_else(|| no_schema(&id))
    })
    .await
}

async fn by_guid(State(registry): Shared, Path(guid): Path<String>) -> Response {
    answer(registry, move |registry| {
        let number = guid.parse().map_err(|_| no_schema(&guid))?;
        let schema = registry.schema_by_guid(number).map_err(failed)?;
        schema.map(|schema| text_of(&schema)).ok_or_else(|| no_schema(&guid))
    })
    .await
}

/// Where a schema is used: subjects and versions.
async fn places(State(registry): Shared, Path(id): Path<String>) -> Response {
    answer(registry, move |registry| {
        let mut places = Vec::new();
        for subject in registry.subjects().map_err(failed)? {
            let versions = registry.all_versions(&subject).map_err(failed)?;
            let those = versions.iter().filter(|known| known.id.to_string() == id);
            places.extend(those.map(|known| json!({ "subject": subject, "version": known.version })));
        }
        if places.is_empty() { Err(no_schema(&id)) } else { Ok(Value::Array(places)) }
    })
    .await
}

async fn register(State(registry): Shared, Path(subject): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    answer(registry, move |registry| {
        let schema = given(&headers, &body)?;
        let id = registry.register(&subject, &schema).map_err(failed)?;
        let versions = registry.all_versions(&subject).map_err(failed)?;
        let found = versions.iter().find(|known| known.id == id);
        Ok(found.map_or_else(|| json!({ "id": id.0 }), |found| described(&subject, found)))
    })
    .await
}

/// Looks a schema up in its subject.
async fn find(State(registry): Shared, Path(subject): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    answer(registry, move |registry| {
        let schema = given(&headers, &body)?;
        let versions = known(registry, &subject)?;
        let found = versions.iter().find(|known| *known.schema == schema);
        found.map(|found| described(&subject, found)).ok_or_else(|| (StatusCode::NOT_FOUND, 40_403, "Schema not found".to_owned()))
    })
    .await
}

async fn compatibility(
    State(registry): Shared,
    Path((subject, version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(registry, move |registry| {
        let schema = given(&headers, &body)?;
        let found = version_of(registry, &subject, &version)?;
        let messages = check_readable(&found.schema, &schema).err().map(|error| error.to_string());
        Ok(json!({ "is_compatible": messages.is_none(), "messages": messages.into_iter().collect::<Vec<_>>() }))
    })
    .await
}
