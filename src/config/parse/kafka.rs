//! Reads `[kafka]`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::diagnostics::Diagnostic;
use super::super::document::{Kafka, Property, RegistryTable, Text};
use super::super::external::External;
use super::super::kafka;
use super::reader::{self, Reader, Value};
use super::{as_table, nodes, spanned};

const SERVERS_EXAMPLE: &str = "bootstrap_servers = [\"broker:9092\"]";
const REGISTRY_EXAMPLE: &str = "registry = { url = \"http://registry:8081\" }";

/// Shorter than brokers allow by default, and longer than others should wait for the partitions of a dead instance.
const SESSION_TIMEOUT_MS: Range<i64> = 6_000..15_001;

/// `[kafka]`.
pub(super) fn kafka(place: Range<usize>, value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Option<Kafka> {
    let mut table = Reader::new("[kafka]", place.clone(), as_table("kafka", value, "[kafka]", faults)?, faults);
    let absent = ["bootstrap_servers", "registry"].into_iter().filter(|key| !table.has(key)).collect();
    let bootstrap_servers = servers(&mut table);
    let registry = table.take("registry").and_then(|(_, value)| registry(value, table.faults()));
    let mut properties = Vec::new();
    if let Some((_, value)) = table.take("properties")
        && let Some(inner) = as_table("properties", value, "properties = { \"security.protocol\" = \"SSL\" }", table.faults())
    {
        collect("", inner, &mut properties, table.faults());
        properties.sort_by_key(|property| property.name.span().start);
    }
    let replication = table.integer("replication", 1..33).and_then(|count| i32::try_from(count.into_inner()).ok());
    let session_timeout = table.integer("session_timeout_ms", SESSION_TIMEOUT_MS);
    let session_timeout = session_timeout.map(|millis| std::time::Duration::from_millis(millis.into_inner().unsigned_abs()));
    table.finish();
    Some(Kafka { place, bootstrap_servers, registry, properties, replication, session_timeout, absent })
}

fn servers(table: &mut Reader<'_, '_>) -> Option<Vec<Text>> {
    let (_, value) = table.take("bootstrap_servers")?;
    let servers = table.texts("bootstrap_servers", value, SERVERS_EXAMPLE)?;
    if servers.is_empty() {
        let fault = Diagnostic::error("empty-list", value.span(), "`bootstrap_servers` names no broker");
        table.faults().push(fault.hinted(format!("as in `{SERVERS_EXAMPLE}`")));
        return None;
    }
    let count = servers.len();
    let good = servers.into_iter().filter(|server| match kafka::check_server(server.get_ref()) {
        Ok(()) => true,
        Err(reason) => {
            let fault = Diagnostic::error("bad-address", server.span(), format!("\"{}\" is no address of a broker", server.get_ref()));
            table.faults().push(fault.labelled(reason).hinted(format!("as in `{SERVERS_EXAMPLE}`")));
            false
        }
    });
    let good: Vec<Text> = good.collect();
    (good.len() == count).then_some(good)
}

/// `registry = { url, username, password, ca }`.
fn registry(value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Option<RegistryTable> {
    let mut table = Reader::new("`registry`", value.span(), as_table("registry", value, REGISTRY_EXAMPLE, faults)?, faults);
    let mut read = |key: &'static str, example: &str| {
        let (_, value) = table.take(key)?;
        outside(key, value, example, table.faults())
    };
    let url = read("url", "url = \"http://registry:8081\"");
    let username = read("username", "username = { env = \"REGISTRY_KEY\" }");
    let password = read("password", "password = { env = \"REGISTRY_SECRET\" }");
    let ca = read("ca", "ca = \"ca.pem\"");
    if !table.has("url") {
        table.missing("url", "`url`", "url = \"http://registry:8081\"");
    }
    table.finish();
    Some(RegistryTable { url, username, password, ca })
}

/// The properties of a table. `security.protocol = "SSL"` without quotes around the name is a table in a table for TOML: it means the same.
fn collect(prefix: &str, table: &DeTable<'_>, into: &mut Vec<Property>, faults: &mut Vec<Diagnostic>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let text = match value.get_ref() {
            DeValue::Table(inner) if !is_outside(inner) => {
                collect(&format!("{name}."), inner, into, faults);
                continue;
            }
            DeValue::Boolean(seen) => Some(spanned(value, External::literal(if *seen { "true" } else { "false" }))),
            DeValue::Integer(_) => reader::as_integer(&name, value, &(i64::MIN..i64::MAX), faults)
                .map(|number| spanned(value, External::literal(&number.get_ref().to_string()))),
            _ => outside(&name, value, &format!("\"{name}\" = \"...\""), faults),
        };
        if let Some(value) = text {
            into.push(Property { name: Spanned::new(key.span(), name), value });
        }
    }
}

/// Whether a table says where a value comes from. No property of librdkafka ends in `.env` or `.file`.
fn is_outside(table: &DeTable<'_>) -> bool {
    table.is_empty() || table.iter().any(|(key, _)| matches!(&**key.get_ref(), "env" | "file"))
}

/// Text, `{ env = "NAME" }` or `{ file = "path" }`.
pub(super) fn outside(key: &str, value: &Value<'_>, example: &str, faults: &mut Vec<Diagnostic>) -> Option<Spanned<External>> {
    match value.get_ref() {
        DeValue::String(text) => Some(spanned(value, External::literal(text))),
        DeValue::Table(_) => nodes::external(key, value, faults),
        _ => {
            reader::wrong_type(&format!("`{key}`"), value, "a string, { env = \"NAME\" } or { file = \"path\" }", example, faults);
            None
        }
    }
}
