//! The topics of a plan: which are missing, with which settings they are created, and how those that exist differ.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Tools;
use crate::config::Config;
use crate::operate::topics::{Needed, Role, needed};
use crate::streams::log::{Admin, CleanupPolicy, Result, TopicConfig};

/// Copies of a new topic where there are as many brokers.
const REPLICATION: i32 = 3;
/// Of three copies two must have a record: one broker may be down.
const MIN_INSYNC_REPLICAS: i32 = 2;

/// A topic, as it must be and as it is.
#[derive(Clone, Debug)]
pub struct TopicStep {
    /// Its name.
    pub name: Arc<str>,
    /// What it is to the application.
    pub role: Role,
    /// How it is created where it is missing.
    pub wanted: TopicConfig,
    /// How it is; none where it is missing.
    pub found: Option<Found>,
}

/// A topic that exists.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its settings.
    pub config: TopicConfig,
    /// What differs from what is wanted.
    pub differences: Vec<Difference>,
}

/// A setting that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Kafka's name of the setting.
    pub setting: &'static str,
    /// Its value.
    pub found: String,
    /// The value that it should have.
    pub wanted: String,
    /// What to do about it: a command, or a sentence.
    pub remedy: String,
    /// Whether `run` would be refused.
    pub refused: bool,
}

/// `retention.ms is 604800000, not -1`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, not {}", self.setting, self.found, self.wanted)
    }
}

impl TopicStep {
    /// Whether it is to be created.
    pub fn is_missing(&self) -> bool {
        self.found.is_none()
    }

    /// The number of partitions that it has or will have.
    fn partitions(&self) -> i32 {
        self.found.as_ref().map_or(self.wanted.partitions, |found| found.config.partitions)
    }

    /// How it differs.
    pub fn differences(&self) -> &[Difference] {
        self.found.as_ref().map_or(&[], |found| &found.differences)
    }
}

/// Compares each topic that is needed with what is there.
pub(super) fn plan(admin: &dyn Admin, config: &Config, tools: Option<&Tools>, partitions: Option<i32>) -> Result<Vec<TopicStep>> {
    let replication = match &config.kafka {
        None => None,
        Some(kafka) if kafka.replication.is_some() => kafka.replication,
        Some(_) => Some(i32::try_from(admin.brokers()?).unwrap_or(1).clamp(1, REPLICATION)),
    };
    // The embedded log has no such limit.
    let batch_bytes = config.kafka.as_ref().map_or(0, |kafka| kafka.log_options("").batch_bytes());
    let mut steps: Vec<TopicStep> = Vec::new();
    for Needed { name, role } in needed(config) {
        let known = admin.describe(&name)?.map(|description| description.config);
        let widest = |steps: &[TopicStep]| inputs(steps).max();
        let count = match &role {
            Role::Input => partitions.unwrap_or(config.engine.partitions),
            Role::Output | Role::DeadLetters | Role::Undelivered => partitions.or_else(|| widest(&steps)).unwrap_or(1),
            Role::Changelog { input: read } | Role::SentLog { outbox: read } => partitions_of(&steps, read),
            Role::PollerState => 1,
        };
        let wanted = wanted(&role, count, replication);
        let asked = partitions.is_some() || role.is_compacted();
        let found = known.map(|config| {
            let compared = Comparison { name: &name, role: &role, found: &config, wanted: &wanted, tools, batch_bytes };
            let differences = compared.differences(asked);
            Found { config, differences }
        });
        steps.push(TopicStep { name, role, wanted, found });
    }
    Ok(steps)
}

/// The numbers of partitions that the inputs have or will have.
fn inputs(steps: &[TopicStep]) -> impl Iterator<Item = i32> {
    steps.iter().filter(|step| step.role == Role::Input).map(TopicStep::partitions)
}

/// The number of partitions that a topic has or will have.
fn partitions_of(steps: &[TopicStep], topic: &str) -> i32 {
    steps.iter().find(|step| *step.name == *topic).map_or(1, TopicStep::partitions)
}

/// How a topic is created. Results carry the time of their input, so nothing may be deleted by the time of records.
fn wanted(role: &Role, partitions: i32, replication: Option<i32>) -> TopicConfig {
    let base = if role.is_compacted() { TopicConfig::compact(partitions) } else { TopicConfig::keep(partitions) };
    let min_insync_replicas = replication.filter(|copies| *copies >= REPLICATION).map(|_| MIN_INSYNC_REPLICAS);
    TopicConfig { replication, min_insync_replicas, ..base }
}

/// One topic beside what it should be.
struct Comparison<'a> {
    name: &'a str,
    role: &'a Role,
    found: &'a TopicConfig,
    wanted: &'a TopicConfig,
    tools: Option<&'a Tools>,
    /// What producers put into one batch at most.
    batch_bytes: i64,
}

impl Comparison<'_> {
    fn differences(&self, asked_for_partitions: bool) -> Vec<Difference> {
        let partitions = if asked_for_partitions { self.partitions() } else { None };
        let all =
            [partitions, self.cleanup(), self.retention(), self.delete_retention(), self.replication(), self.min_insync(), self.batch()];
        all.into_iter().flatten().collect()
    }

    fn difference(&self, setting: &'static str, found: &dyn ToString, wanted: &dyn ToString) -> Difference {
        let wanted = wanted.to_string();
        let remedy = match self.tools {
            Some(tools) => {
                format!("kafka-configs.sh {tools} --alter --entity-type topics --entity-name {} --add-config {setting}={wanted}", self.name)
            }
            None => String::new(),
        };
        Difference { setting, found: found.to_string(), wanted, remedy, refused: false }
    }

    fn partitions(&self) -> Option<Difference> {
        let (found, wanted) = (self.found.partitions, self.wanted.partitions);
        if found == wanted {
            return None;
        }
        let remedy = match (self.role, self.tools) {
            (Role::Changelog { .. }, _) => {
                "`tidewatch reset` deletes it with the state that no longer fits; then `tidewatch setup` again".to_owned()
            }
            (Role::PollerState, _) => "`tidewatch reset --poller` deletes it; then `tidewatch setup` again".to_owned(),
            (Role::SentLog { .. }, _) => {
                "`tidewatch reset --sender` deletes it and says what that means; then `tidewatch setup` again".to_owned()
            }
            (Role::Input, _) => "leave it: keys would move to other partitions, and state does not move with them".to_owned(),
            (_, Some(tools)) if found < wanted => {
                format!("kafka-topics.sh {tools} --alter --topic {} --partitions {wanted}", self.name)
            }
            _ => "leave it: a topic never loses partitions".to_owned(),
        };
        Some(Difference { remedy, refused: self.role.is_compacted(), ..self.difference("partitions", &found, &wanted) })
    }

    /// A compacted input is somebody's choice; a compacted output would lose all but the last record of a key.
    fn cleanup(&self) -> Option<Difference> {
        let word = |policy| if policy == CleanupPolicy::Compact { "compact" } else { "delete" };
        let differs = self.found.cleanup != self.wanted.cleanup && *self.role != Role::Input;
        let difference = || self.difference("cleanup.policy", &word(self.found.cleanup), &word(self.wanted.cleanup));
        differs.then(|| Difference { refused: self.role.is_compacted(), ..difference() })
    }

    fn retention(&self) -> Option<Difference> {
        let found = self.found.retention.filter(|_| self.found.cleanup == CleanupPolicy::Delete && !self.role.is_compacted())?;
        Some(self.difference("retention.ms", &found.as_millis(), &-1))
    }

    /// A tombstone that goes too early leaves a key alive in a state that was away for longer.
    fn delete_retention(&self) -> Option<Difference> {
        let millis = |duration: Duration| duration.as_millis();
        let (found, wanted) = (self.found.delete_retention, self.wanted.delete_retention);
        let differs = self.role.is_compacted() && self.found.cleanup == CleanupPolicy::Compact && found < wanted;
        differs.then(|| self.difference("delete.retention.ms", &millis(found), &millis(wanted)))
    }

    fn replication(&self) -> Option<Difference> {
        let (found, wanted) = (self.found.replication?, self.wanted.replication?);
        let remedy = "kafka-reassign-partitions.sh with a plan that names more brokers for each partition".to_owned();
        (found < wanted).then(|| Difference { remedy, ..self.difference("replication", &found, &wanted) })
    }

    /// Only where there are the copies for it: more than there are would stop all writing.
    fn min_insync(&self) -> Option<Difference> {
        let (found, wanted) = (self.found.min_insync_replicas?, self.wanted.min_insync_replicas?);
        let differs = found < wanted && self.found.replication.is_some_and(|copies| copies > wanted);
        differs.then(|| self.difference("min.insync.replicas", &found, &wanted))
    }

    /// A topic that takes smaller batches than producers make refuses them under load, and with them the transaction.
    fn batch(&self) -> Option<Difference> {
        let found = self.found.max_message_bytes?;
        (found < self.batch_bytes).then(|| self.difference("max.message.bytes", &found, &self.batch_bytes))
    }
}
