//! `setup`: the topics and schemas that a topology needs, created where they are missing; what differs, and what must be allowed, in words.

use serde_json::json;

use super::context::{Context, refused};
use super::terminal::{Out, say};
use super::{Error, Result};
use crate::avro::{EmbeddedRegistry, SchemaId};
use crate::config::{Config, LoadOptions};
use crate::operate::installation::{self, Connection, Installation};
use crate::operate::setup::{self, Done, Plan, SchemaState, SchemaStep, TopicStep};
use crate::operate::topics::Role;
use crate::streams::log::local::LocalLog;

/// Create the topics that the topology needs and register its schemas
///
/// It creates what is missing (input topics, outputs, changelogs, dead letters) and changes nothing that exists: where a setting differs, it prints
/// the command that mends it. An incompatible schema, or a topic on which `run` would be refused, is found before anything is created.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Partitions of topics that are not there yet [default: that of the topology file for inputs, that of the inputs for the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=4096))]
    partitions: Option<i32>,
    /// On Kafka, print the ACLs too that each part of the program needs; principals are placeholders
    #[arg(long)]
    acls: bool,
    /// Print one JSON object; the ACLs are in it
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args, context: &Context) -> Result {
    let config = context.load(&LoadOptions::connecting())?;
    let (connection, _installation) = open(args, context, &config)?;
    let admin = connection.log.admin();
    let plan = setup::plan(&*admin, &*connection.registry, &config, args.partitions).map_err(failed)?;
    let refusals = plan.refusals();
    let mut ids = Vec::new();
    if refusals.is_empty() && !args.dry_run {
        let mut done = |done: Done<'_>| {
            if let Done::Registered(step, id) = done {
                ids.push((step.subject.clone(), id));
            }
        };
        plan.execute(&*admin, &*connection.registry, &mut done).map_err(failed)?;
    }
    let created = refusals.is_empty() && !args.dry_run;
    let report = Report { plan: &plan, created, ids: &ids };
    let mut out = Out::new();
    if args.json {
        out.line(&report.to_json().to_string())?;
    } else {
        report.lines().iter().try_for_each(|line| out.line(line))?;
        if args.acls {
            report.acls().iter().try_for_each(|line| out.line(line))?;
        }
    }
    out.flush()?;
    match (args.acls, plan.parts.is_empty()) {
        (false, false) if !args.json => say("`tidewatch setup --acls` also prints what each part of the program must be allowed to do."),
        (true, true) => say("There are no ACLs: the embedded log belongs to whoever can read its directory."),
        _ => {}
    }
    if refusals.is_empty() {
        return Ok(());
    }
    let error = Error::config(format!("nothing was created: {}", refusals.join("; ")));
    Err(error.hinted("Mend that first: a schema by a new topic or by fields with defaults, a topic as it is said above."))
}

/// The log and the registry; of the embedded log the installation too, which holds them open.
fn open(args: &Args, context: &Context, config: &Config) -> Result<(Connection, Option<Installation>)> {
    if let Some(kafka) = &config.kafka {
        return Ok((Context::connect(kafka)?, None));
    }
    if args.dry_run && !context.state_dir().is_dir() {
        // What is not there is empty: looking must not make it.
        let log = LocalLog::in_memory();
        let registry = EmbeddedRegistry::open(std::sync::Arc::<LocalLog>::clone(&log), std::sync::Arc::clone(&context.clock));
        let registry = registry.map_err(|error| refused(installation::Error::Registry(error)))?;
        return Ok((Connection { log, registry: std::sync::Arc::new(registry) }, None));
    }
    let installation = context.own_for(config)?;
    Ok((installation.connection().clone(), Some(installation)))
}

fn failed(error: setup::Error) -> Error {
    let began = matches!(error, setup::Error::Create { .. } | setup::Error::Register { .. });
    let error = Error::unavailable(error);
    if began { error.hinted("What was created stays; the same command goes on from there.") } else { error }
}

/// What is told at the end.
struct Report<'a> {
    plan: &'a Plan,
    /// Whether what was missing is there now.
    created: bool,
    ids: &'a [(String, SchemaId)],
}

impl Report<'_> {
    fn topic_state(&self, step: &TopicStep) -> &'static str {
        match (step.is_missing(), step.differences().is_empty()) {
            (true, _) if self.created => "created",
            (true, _) => "missing",
            (false, true) => "there",
            (false, false) => "differs",
        }
    }

    fn id(&self, step: &SchemaStep) -> Option<SchemaId> {
        match step.state {
            SchemaState::There { id, .. } => Some(id),
            _ => self.ids.iter().find(|(subject, _)| *subject == step.subject).map(|(_, id)| *id),
        }
    }

    fn schema_state(&self, step: &SchemaStep) -> &'static str {
        match step.state {
            SchemaState::New | SchemaState::NewVersion { .. } if self.created => "registered",
            SchemaState::New => "missing",
            SchemaState::NewVersion { .. } => "new version",
            SchemaState::There { .. } => "there",
            SchemaState::Foreign { .. } => "another one is there",
            SchemaState::Incompatible { .. } => "incompatible",
        }
    }

    /// For people.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for step in &self.plan.topics {
            let details = if step.is_missing() { format!(" ({})", details(step)) } else { String::new() };
            lines.push(format!("topic {}: {}{details}", step.name, self.topic_state(step)));
            for difference in step.differences() {
                lines.push(format!("  {difference}"));
                if !difference.remedy.is_empty() {
                    lines.push(format!("    {}", difference.remedy));
                }
            }
        }
        for step in &self.plan.schemas {
            let id = self.id(step).map(|id| format!(" (id {})", id.0)).unwrap_or_default();
            let reason = match &step.state {
                SchemaState::Incompatible { version, reason } => format!(" with version {version}: {reason}"),
                SchemaState::Foreign { version } => format!(" (version {version}); values are read with it"),
                _ => String::new(),
            };
            lines.push(format!("schema {} of {}: {}{id}{reason}", step.schema_name, step.subject, self.schema_state(step)));
        }
        lines
    }

    /// The commands that allow each part what it does.
    fn acls(&self) -> Vec<String> {
        let of_part = |part: &setup::Part| {
            let grants = part.grants.iter().map(ToString::to_string);
            std::iter::once(format!("# {}: {}", part.name, part.about)).chain(grants).collect::<Vec<_>>()
        };
        self.plan.parts.iter().flat_map(of_part).collect()
    }

    /// For programs.
    fn to_json(&self) -> serde_json::Value {
        let topics = self.plan.topics.iter().map(|step| {
            let shown = step.found.as_ref().map_or(&step.wanted, |found| &found.config);
            let differences = step.differences().iter().map(|difference| {
                let setup::Difference { setting, found, wanted, remedy, refused } = difference;
                json!({ "setting": setting, "found": found, "wanted": wanted, "remedy": remedy, "run_refuses": refused })
            });
            json!({
                "topic": &*step.name, "role": role(&step.role), "state": self.topic_state(step), "partitions": shown.partitions,
                "replication": shown.replication, "differences": differences.collect::<Vec<_>>(),
            })
        });
        let schemas = self.plan.schemas.iter().map(|step| {
            let id = self.id(step).map(|id| id.0);
            json!({ "subject": step.subject, "schema": &*step.schema_name, "state": self.schema_state(step), "id": id })
        });
        let acls = self.plan.parts.iter().map(|part| {
            let commands: Vec<String> = part.grants.iter().map(ToString::to_string).collect();
            json!({ "part": part.name, "commands": commands })
        });
        json!({
            "created": self.created,
            "topics": topics.collect::<Vec<_>>(),
            "schemas": schemas.collect::<Vec<_>>(),
            "acls": acls.collect::<Vec<_>>(),
            "refusals": self.plan.refusals(),
        })
    }
}

fn role(role: &Role) -> &'static str {
    match role {
        Role::Input => "input",
        Role::Output => "output",
        Role::Changelog { .. } => "changelog",
        Role::DeadLetters => "dead letters",
        Role::PollerState => "state of the poller",
        Role::SentLog { .. } => "what was sent",
        Role::Undelivered => "undelivered messages",
    }
}

/// `output, 4 partitions, 3 copies`.
fn details(step: &TopicStep) -> String {
    let plural = |count: i32, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let partitions = plural(step.wanted.partitions, "partition", "partitions");
    let copies = step.wanted.replication.map(|count| format!(", {}", plural(count, "copy", "copies"))).unwrap_or_default();
    format!("{}, {partitions}{copies}", role(&step.role))
}
