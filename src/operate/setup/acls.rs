//! What each part of the program must be allowed to do, as the commands that allow it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::Tools;
use crate::config::Config;
use crate::operate::topics::{Role, needed, sent_log_topic};
use crate::streams::runtime::dead_letter_topic;
use crate::telegram;
use crate::youtube::poller;

/// Sinks with values of this schema are outboxes: a sender reads them.
const OUTBOX_SCHEMA: &str = "telegram_message";

/// What the client calls the group of a process that is no instance and in no group.
const READER_GROUP: &str = "tidewatch-reader";

/// A part of the program, with what it needs.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it must be allowed to do.
    pub grants: Vec<Grant>,
}

/// A kind of resource, and whether the name is that of one or the beginning of many.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Topics(Vec<Arc<str>>),
    Group(String),
    Groups(String),
    TransactionalIds(String),
}

/// One `kafka-acls.sh` command.
#[derive(Clone, Debug)]
pub struct Grant {
    tools: Tools,
    principal: &'static str,
    operations: &'static [&'static str],
    resource: Resource,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka-acls.sh {} --add --allow-principal {}", self.tools, self.principal)?;
        for operation in self.operations {
            write!(f, " --operation {operation}")?;
        }
        match &self.resource {
            Resource::Topics(topics) => topics.iter().try_for_each(|topic| write!(f, " --topic {topic}")),
            Resource::Group(group) => write!(f, " --group {group}"),
            Resource::Groups(prefix) => write!(f, " --group {prefix} --resource-pattern-type prefixed"),
            Resource::TransactionalIds(prefix) => write!(f, " --transactional-id {prefix} --resource-pattern-type prefixed"),
        }
    }
}

/// What the parts of the application need. Principals are placeholders.
pub(super) fn parts(config: &Config, tools: &Tools) -> Vec<Part> {
    let topics = needed(config);
    let of = |wanted: &dyn Fn(&Role) -> bool| -> Vec<Arc<str>> {
        topics.iter().filter(|topic| wanted(&topic.role)).map(|topic| Arc::clone(&topic.name)).collect()
    };
    let inputs = of(&|role| *role == Role::Input);
    let dead_letters = of(&|role| *role == Role::DeadLetters);
    let outputs: Vec<Arc<str>> = config.sinks.iter().map(|sink| Arc::clone(&sink.topic)).chain(dead_letters.clone()).collect();
    let changelogs = of(&|role| matches!(role, Role::Changelog { .. }));
    let outboxes: Vec<Arc<str>> =
        config.sinks.iter().filter(|sink| &*sink.schema_name == OUTBOX_SCHEMA).map(|sink| Arc::clone(&sink.topic)).collect();
    let id = &config.application_id;

    let part = |name, about, principal: &'static str, grants: Vec<Right>| {
        let grants = grants.into_iter().filter(|(_, resource)| *resource != Resource::Topics(Vec::new()));
        let grants = grants.map(|(operations, resource)| Grant { tools: tools.clone(), principal, operations, resource });
        Part { name, about, grants: grants.collect() }
    };
    let mut parts = vec![
        part(
            "setup",
            "creates what is missing",
            "User:SETUP",
            vec![(
                &["Create", "Describe", "DescribeConfigs"],
                Resource::Topics(topics.iter().map(|topic| Arc::clone(&topic.name)).collect()),
            )],
        ),
        part(
            "processor",
            "`run`: reads the inputs, writes the outputs, keeps its state",
            "User:PROCESSOR",
            vec![
                (&["Read", "Describe", "DescribeConfigs"], Resource::Topics(inputs.clone())),
                (&["Write", "Describe", "DescribeConfigs"], Resource::Topics(outputs)),
                (&["Read", "Write", "Describe", "DescribeConfigs"], Resource::Topics(changelogs)),
                (&["Read", "Describe"], Resource::Group(id.to_string())),
                // Readers outside the group have names too: `ID-INSTANCE-reader`. They have no members and commit nothing.
                (&["Describe"], Resource::Groups(format!("{id}-"))),
                (&["Write", "Describe"], Resource::TransactionalIds(format!("{id}-"))),
            ],
        ),
        part(
            "import",
            "`import` and whatever else fills the inputs",
            "User:IMPORT",
            vec![
                // Read, because the position of an import is committed as an offset of its topic.
                (&["Read", "Write", "Describe", "DescribeConfigs"], Resource::Topics(inputs.clone())),
                (&["Write", "Describe", "DescribeConfigs"], Resource::Topics(dead_letters)),
                (&["Read", "Describe"], Resource::Groups(format!("{id}-import-"))),
                (&["Write", "Describe"], Resource::TransactionalIds(format!("{id}-import-"))),
            ],
        ),
    ];
    parts.push(part(
        "reader",
        "`tap`",
        "User:READER",
        vec![
            (&["Read", "Describe", "DescribeConfigs"], Resource::Topics(topics.iter().map(|topic| Arc::clone(&topic.name)).collect())),
            (&["Describe"], Resource::Group(READER_GROUP.to_owned())),
        ],
    ));
    parts.push(operator(&part, config, inputs, &outboxes));
    parts.extend(config.youtube_source().map(|source| poller(&part, id, Arc::clone(&source.topic))));
    parts.extend(sender(&part, config, outboxes));
    parts
}

/// A kind of operation on a resource.
type Right = (&'static [&'static str], Resource);

/// Makes a part of its name, what it does, who it is, and its rights.
type Make<'a> = &'a dyn Fn(&'static str, &'static str, &'static str, Vec<Right>) -> Part;

/// `dead-letters`: reads letters, and writes where they came from.
fn operator(part: Make<'_>, config: &Config, inputs: Vec<Arc<str>>, outboxes: &[Arc<str>]) -> Part {
    let letters = dead_letter_topic(&config.application_id);
    let mut readable = vec![Arc::from(letters.as_str())];
    readable.extend(config.telegram.iter().map(|_| Arc::from(telegram::DEAD_LETTERS)));
    let sent = config.telegram.iter().map(|telegram| &telegram.outbox);
    let mut seen = BTreeSet::new();
    let all = inputs.into_iter().chain(outboxes.iter().chain(sent).map(Arc::clone));
    let writable = all.filter(|topic| seen.insert(Arc::clone(topic))).collect();
    part(
        "dead letters",
        "`dead-letters list` and `replay`, which puts them back where they came from",
        "User:OPERATOR",
        vec![
            (&["Read", "Describe", "DescribeConfigs"], Resource::Topics(readable)),
            (&["Write", "Describe"], Resource::Topics(writable)),
            (&["Read", "Describe"], Resource::Group(letters.clone())),
            (&["Describe"], Resource::Group(READER_GROUP.to_owned())),
            (&["Write", "Describe"], Resource::TransactionalIds(letters)),
        ],
    )
}

/// `run` with `[youtube]`: one polls, the others of its group stand by.
fn poller(part: Make<'_>, id: &str, observations: Arc<str>) -> Part {
    part(
        "poller",
        "`run` with [youtube]: writes observations",
        "User:POLLER",
        vec![
            (&["Write", "Describe", "DescribeConfigs"], Resource::Topics(vec![observations])),
            (&["Read", "Write", "Describe", "DescribeConfigs"], Resource::Topics(vec![poller::state_topic(id).into()])),
            (&["Read", "Describe"], Resource::Group(poller::group(id))),
            (&["Describe"], Resource::Groups(format!("{id}-"))),
            (&["Write", "Describe"], Resource::TransactionalIds(poller::group(id))),
        ],
    )
}

/// `run` with `[telegram]`, or whoever else empties the outboxes, where there are any.
fn sender(part: Make<'_>, config: &Config, outboxes: Vec<Arc<str>>) -> Option<Part> {
    let id = &config.application_id;
    if let Some(telegram) = &config.telegram {
        return Some(part(
            "sender",
            "`run` with [telegram]: sends the messages and remembers what it sent",
            "User:SENDER",
            vec![
                (&["Read", "Describe", "DescribeConfigs"], Resource::Topics(vec![Arc::clone(&telegram.outbox)])),
                (&["Write", "Describe", "DescribeConfigs"], Resource::Topics(vec![telegram::DEAD_LETTERS.into()])),
                (&["Read", "Write", "Describe", "DescribeConfigs"], Resource::Topics(vec![sent_log_topic(config).into()])),
                (&["Read", "Describe"], Resource::Group(telegram::application_id(config))),
                (&["Describe"], Resource::Groups(format!("{id}-"))),
                (&["Write", "Describe"], Resource::TransactionalIds(telegram::application_id(config))),
            ],
        ));
    }
    (!outboxes.is_empty()).then(|| {
        part(
            "sender",
            "whoever delivers the messages; the group of a Kafka Connect sink is connect-NAME",
            "User:SENDER",
            vec![
                (&["Read", "Describe", "DescribeConfigs"], Resource::Topics(outboxes)),
                (&["Read", "Describe"], Resource::Groups(format!("{id}-send"))),
            ],
        )
    })
}
