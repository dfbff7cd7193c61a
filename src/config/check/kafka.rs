//! Checks `[kafka]`: what is missing, what the engine keeps for itself, what librdkafka would not take; and the instance's id.

use super::super::closest;
use super::super::diagnostics::Diagnostic;
use super::super::document::{Described, Document, Kafka, KeyWord, Property, RegistryTable, Source};
use super::super::external::{External, Origin};
use super::super::kafka::{Overrides, check_url};
use super::super::model::ValueFormat;
use crate::streams::log::kafka::{Refusal, owned, refusal};

/// `<application_id>-<instance_id>-<thread>` must be a legal name of Kafka's.
const INSTANCE_BYTES_MAX: usize = 128;

/// Names that are looked through for what may have been meant.
const COMMON: [&str; 16] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.scope",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "client.rack",
    "linger.ms",
];

/// Reports what is wrong with `[kafka]`, and with what the command line says instead.
pub(super) fn check(document: &Document, overrides: &Overrides, faults: &mut Vec<Diagnostic>) {
    if let Some(Err(reason)) = overrides.registry.as_deref().map(check_url) {
        faults.push(whole(
            "bad-address",
            &format!("the address after --registry is none of a schema registry: {reason}"),
            "as in `--registry https://registry:8081`",
        ));
    }
    let Some(table) = &document.kafka else {
        return without_table(document, overrides, faults);
    };
    missing(document, table, overrides, faults);
    if let Some(registry) = &table.registry {
        check_registry(registry, overrides, faults);
    }
    for property in &table.properties {
        faults.extend(check_property(property));
    }
    check_sasl(table, faults);
}

/// A fault of the command line has no place in the file.
fn whole(code: &'static str, message: &str, hint: &str) -> Diagnostic {
    Diagnostic { span: None, ..Diagnostic::error(code, 0..0, message).hinted(hint) }
}

/// The command line alone turns Kafka on: then it must say everything.
fn without_table(document: &Document, overrides: &Overrides, faults: &mut Vec<Diagnostic>) {
    if let Some(place) = document.standby.clone().filter(|_| overrides.bootstrap_servers.is_empty()) {
        let fault = Diagnostic::warning("unused-standby", place, "`standby` does nothing on the embedded log");
        faults.push(fault.hinted("one process owns it: nobody else has partitions that could be taken over"));
    }
    match (overrides.bootstrap_servers.is_empty(), &overrides.registry) {
        (true, Some(_)) => faults.push(whole(
            "missing-key",
            "--registry is given, but no broker: the embedded log has a registry of its own",
            "name the brokers too: `--bootstrap-servers HOST:PORT`, or `bootstrap_servers` in [kafka]",
        )),
        (false, None) if needs_registry(document) => faults.push(whole(
            "missing-key",
            "--bootstrap-servers is given, but no registry, and Avro values need one",
            "name it too: `--registry URL`, or `registry` in [kafka]",
        )),
        _ => {}
    }
}

/// Whether some value or key is Avro: its schema must be somewhere.
fn needs_registry(document: &Document) -> bool {
    // A sink that says nothing writes a derived schema.
    let is_avro = |value: Option<&Described>| value.is_none_or(|value| value.format == ValueFormat::Avro);
    let read = |source: &Source| is_avro(source.value.as_ref()) || source.key.as_ref().is_some_and(|key| *key.get_ref() == KeyWord::Avro);
    document.sources.iter().any(|source| read(&source.item)) || document.sinks.iter().any(|sink| is_avro(sink.item.value.as_ref()))
}

fn missing(document: &Document, table: &Kafka, overrides: &Overrides, faults: &mut Vec<Diagnostic>) {
    let absent = |key: &str, given: bool| table.absent.contains(&key) && !given;
    let mut report = |what: &str, example: &str, flag: &str| {
        let fault = Diagnostic::error("missing-key", table.place.clone(), format!("[kafka] has no {what}")).labelled("in this table");
        faults.push(fault.hinted(format!("add `{example}`, or give `{flag}`")));
    };
    if absent("bootstrap_servers", !overrides.bootstrap_servers.is_empty()) {
        report("`bootstrap_servers`", "bootstrap_servers = [\"broker:9092\"]", "--bootstrap-servers HOST:PORT");
    }
    if absent("registry", overrides.registry.is_some()) && needs_registry(document) {
        report("`registry`, and Avro values need one", "registry = { url = \"http://registry:8081\" }", "--registry URL");
    }
}

fn check_registry(registry: &RegistryTable, overrides: &Overrides, faults: &mut Vec<Diagnostic>) {
    if let Some(url) = registry.url.as_ref().filter(|_| overrides.registry.is_none())
        && let Some(text) = url.get_ref().value()
        && let Err(reason) = check_url(text)
    {
        let fault = Diagnostic::error("bad-address", url.span(), "`url` is no address of a schema registry");
        faults.push(fault.labelled(reason).hinted("as in `url = \"https://registry:8081\"`"));
    }
    match (&registry.username, &registry.password) {
        (Some(one), None) | (None, Some(one)) => {
            let fault = Diagnostic::error("missing-key", one.span(), "`username` and `password` of the registry go together");
            faults.push(fault.hinted("give both, or neither"));
        }
        _ => {}
    }
    if let Some(ca) = &registry.ca
        && let Origin::File(path) = ca.get_ref().origin()
    {
        let fault = Diagnostic::error("wrong-type", ca.span(), "`ca` is the path of a file already");
        faults.push(fault.hinted(format!("as in `ca = \"{}\"`", path.display())));
    }
}

/// What is wrong with a property by itself. Values that come from outside may be secrets: they are in no message.
fn check_property(property: &Property) -> Option<Diagnostic> {
    let name = property.name.get_ref();
    if let Some(reason) = owned(name) {
        let fault = Diagnostic::error("owned-property", property.name.span(), format!("`{name}` cannot be set"));
        return Some(fault.labelled("not for users").hinted(reason));
    }
    let value = property.value.get_ref();
    if is_mechanism(name) && value.value().is_some_and(|value| value.eq_ignore_ascii_case("GSSAPI")) {
        let fault = Diagnostic::error("not-supported", property.value.span(), "Kerberos (GSSAPI) is not built in");
        return Some(fault.hinted("built in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"));
    }
    match refusal(name, value.value().unwrap_or_default()) {
        Some(Refusal::Unknown) => {
            let fault = Diagnostic::error("unknown-property", property.name.span(), format!("librdkafka has no property `{name}`"));
            let all = "librdkafka's names are not always Java's: see its CONFIGURATION.md";
            Some(fault.labelled("not known").hinted(closest::meant(name, &COMMON).unwrap_or_else(|| all.to_owned())))
        }
        Some(Refusal::Value(words)) if value.value().is_some() => {
            let fault =
                Diagnostic::error("bad-property", property.value.span(), format!("librdkafka does not take this value of `{name}`"));
            let known = *value.origin() == Origin::Literal;
            let hint = if known { words } else { "see its CONFIGURATION.md for what it takes".to_owned() };
            Some(fault.hinted(hint))
        }
        _ => None,
    }
}

fn is_mechanism(name: &str) -> bool {
    matches!(name, "sasl.mechanism" | "sasl.mechanisms")
}

/// What properties need of each other. Without a mechanism librdkafka takes Kerberos.
fn check_sasl(table: &Kafka, faults: &mut Vec<Diagnostic>) {
    let find = |wanted: &dyn Fn(&str) -> bool| table.properties.iter().find(|property| wanted(property.name.get_ref()));
    let known = |property: &'_ Property| property.value.get_ref().value().map(str::to_ascii_uppercase);
    let mechanism = find(&is_mechanism);
    let protocol = find(&|name| name == "security.protocol");
    let Some((protocol, text)) = protocol.and_then(|property| Some((property, known(property)?))) else { return };
    if !text.starts_with("SASL_") {
        if let Some(user) = find(&|name| name.starts_with("sasl.")) {
            let message = format!("`{}` is not used: `security.protocol` is {text}", user.name.get_ref());
            let fault = Diagnostic::warning("unused-property", user.name.span(), message);
            faults.push(fault.hinted("SASL_SSL or SASL_PLAINTEXT asks for a password"));
        }
        return;
    }
    let Some(mechanism) = mechanism else {
        let fault = Diagnostic::error("missing-property", protocol.value.span(), format!("{text} needs `sasl.mechanism`"));
        faults.push(fault.hinted("add `\"sasl.mechanism\" = \"PLAIN\"`, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"));
        return;
    };
    let is = |name: &str, wanted: &str| find(&|it| it == name).is_some_and(|property| known(property).is_none_or(|it| it == wanted));
    let Some(kind) = known(mechanism) else { return };
    if kind == "OAUTHBEARER" && !is("enable.sasl.oauthbearer.unsecure.jwt", "TRUE") {
        let fault = Diagnostic::error("missing-property", mechanism.value.span(), "OAUTHBEARER does not know where its tokens come from");
        faults.push(fault.hinted(
            "add `\"enable.sasl.oauthbearer.unsecure.jwt\" = true` with `sasl.oauthbearer.config`: fetching tokens (OIDC) is not built in",
        ));
    }
    if kind != "PLAIN" && !kind.starts_with("SCRAM-") {
        return;
    }
    for needed in ["sasl.username", "sasl.password"] {
        if find(&|name| name == needed).is_none() {
            let fault = Diagnostic::error("missing-property", mechanism.value.span(), format!("{kind} needs `{needed}`"));
            faults.push(fault.hinted(format!("add `\"{needed}\" = {{ env = \"NAME\" }}`")));
        }
    }
}

/// The id becomes a part of names that Kafka limits.
pub(super) fn check_instance_id(document: &Document, faults: &mut Vec<Diagnostic>) {
    let Some(id) = &document.instance_id else { return };
    let Some(text) = id.get_ref().value() else { return };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let message = if text.is_empty() {
        "`instance_id` is empty".to_owned()
    } else if let Some(bad) = text.chars().find(|&c| !legal(c)) {
        format!("`instance_id` cannot contain {bad:?}")
    } else if text.len() > INSTANCE_BYTES_MAX {
        format!("`instance_id` cannot be longer than {INSTANCE_BYTES_MAX} characters")
    } else {
        return;
    };
    let fault = Diagnostic::error("bad-name", id.span(), message);
    faults.push(fault.hinted("it becomes a part of `group.instance.id`: letters, digits, '.', '_' and '-' are allowed"));
}

/// The values of `[kafka]` that may come from outside.
pub(super) fn values(table: &mut Kafka) -> impl Iterator<Item = &mut toml::Spanned<External>> {
    let Kafka { registry, properties, .. } = table;
    let registry = registry.iter_mut().flat_map(|registry| {
        // A path is a path: what is in the file is read by the registry's client.
        let ca = registry.ca.as_mut().filter(|ca| !matches!(ca.get_ref().origin(), Origin::File(_)));
        [registry.url.as_mut(), registry.username.as_mut(), registry.password.as_mut(), ca].into_iter().flatten()
    });
    registry.chain(properties.iter_mut().map(|property| &mut property.value))
}
