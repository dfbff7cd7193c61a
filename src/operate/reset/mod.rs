//! Begins anew: forgets the state of an application and sets its position in the input.
//!
//! Written against the log's admin side alone. First [`plan`], which says what will happen, then [`Plan::execute`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::streams::clock::Timestamp;
use crate::streams::log::{self, Admin, Class, Committed, Isolation, Offset, TopicPartition};
use crate::streams::runtime::{changelog_topic, without_store};

mod ends;

pub use ends::{poller, sender};

/// Why nothing was reset, or not all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error("the log failed")]
    Log(#[from] log::Error),
    /// There is no such store.
    #[error("the topology has no store {store}")]
    UnknownStore {
        /// What was asked for.
        store: String,
        /// The stores that there are.
        known: Vec<String>,
    },
    /// A cached state could not be removed.
    #[error("the state of task {task} could not be removed")]
    Task {
        /// The task.
        task: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where the application begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// At the first record that is still there.
    Earliest,
    /// At the end: only what comes from now on.
    Latest,
    /// At the first record that is not older.
    Time(Timestamp),
}

/// Not a place to begin at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not earliest, latest, or a time such as 2026-08-06T10:00:00Z")]
pub struct NotAPlace;

impl FromStr for To {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => text.parse().map(|at: jiff::Timestamp| Self::Time(Timestamp(at.as_millisecond()))).map_err(|_| NotAPlace),
        }
    }
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All state, and the position.
    All(To),
    /// One store; the position stays.
    Store(String),
}

/// The application, as far as a reset must know it.
#[derive(Clone, Debug, Default)]
pub struct Application {
    /// Its id: the group, and the prefix of its changelogs.
    pub id: String,
    /// The topics that it reads.
    pub inputs: Vec<String>,
    /// The topics that it writes.
    pub outputs: Vec<String>,
    /// Its stores.
    pub stores: Vec<String>,
    /// The tasks with a state on this machine.
    pub tasks: Vec<String>,
    /// The output whose messages a sender of this program sends; it keeps what it sent.
    pub outbox: Option<String>,
}

/// A committed offset that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    partition: TopicPartition,
    previous: Option<Offset>,
    current: Option<Offset>,
    metadata: Arc<str>,
}

/// What a reset will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose reset it is, in messages.
    whose: String,
    group: String,
    moves: Vec<Move>,
    changelogs: Vec<String>,
    tasks: Vec<String>,
    /// Whether the position moves.
    moves_position: bool,
    /// What follows from it, in sentences.
    consequences: Vec<String>,
}

/// Looks at what is there and decides what is to be done. Changes nothing.
pub fn plan(admin: &dyn Admin, application: &Application, scope: &Scope) -> Result<Plan, Error> {
    let stores = match scope {
        Scope::All(_) => application.stores.clone(),
        Scope::Store(store) if application.stores.contains(store) => vec![store.clone()],
        Scope::Store(store) => return Err(Error::UnknownStore { store: store.clone(), known: application.stores.clone() }),
    };
    let mut changelogs = Vec::new();
    for store in stores {
        let topic = changelog_topic(&application.id, &store);
        if admin.describe(&topic)?.is_some() {
            changelogs.push(topic);
        }
    }
    let committed = admin.group_offsets(&application.id)?;
    let known = |wanted: &TopicPartition| committed.iter().find(|(partition, _)| partition == wanted).map(|(_, committed)| committed);
    let mut moves = Vec::new();
    for topic in &application.inputs {
        let partitions = admin.describe(topic)?.map_or(0, |description| description.config.partitions);
        for partition in (0..partitions).map(|partition| TopicPartition::new(topic.as_str(), partition)) {
            let previous = known(&partition).map(|committed| committed.offset);
            // The layout of what is forgotten binds nobody; that of the other stores stays.
            let metadata = match (scope, known(&partition)) {
                (Scope::Store(store), Some(committed)) => without_store(&committed.metadata, store),
                _ => Arc::from(""),
            };
            let current = match scope {
                Scope::All(to) => Some(place(admin, &partition, *to)?),
                Scope::Store(_) => previous,
            };
            moves.push(Move { partition, previous, current, metadata });
        }
    }
    let moves_position = matches!(scope, Scope::All(_));
    let mut consequences = Vec::new();
    if moves_position && !application.outputs.is_empty() {
        consequences.push(format!("What is read a second time is written a second time: {}.", application.outputs.join(", ")));
    }
    if let Some(outbox) = application.outbox.as_ref().filter(|_| moves_position) {
        consequences
            .push(format!("Messages in {outbox} that were sent already are not sent again; `reset --sender` forgets what was sent."));
    }
    let whose = format!("the application {}", application.id);
    Ok(Plan { whose, group: application.id.clone(), moves, changelogs, tasks: application.tasks.clone(), moves_position, consequences })
}

fn place(admin: &dyn Admin, partition: &TopicPartition, to: To) -> Result<Offset, Error> {
    let (low, end) = admin.watermarks(partition, Isolation::ReadCommitted)?;
    Ok(match to {
        To::Earliest => low,
        To::Latest => end,
        To::Time(at) => admin.offset_for_time(partition, at)?.map_or(end, |offset| offset.clamp(low, end)),
    })
}

impl Plan {
    /// Does it. A reset that broke off is made again: the engine refuses state without a position, so nothing runs on half of one.
    pub fn execute(&self, admin: &dyn Admin, remove_task: &mut dyn FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
        let committed = |it: &Move| {
            let metadata = Arc::clone(&it.metadata);
            Some((it.partition.clone(), Some(Committed { offset: it.current?, metadata })))
        };
        let set: Vec<_> = self.moves.iter().filter_map(committed).collect();
        // Order: the group first, for it may refuse, and then nothing must be gone.
        if self.moves_position {
            // As long as there is old state, there is no position that it could be taken for.
            let held = self.moves.iter().filter(|it| it.previous.is_some());
            let forget: Vec<_> = held.map(|it| (it.partition.clone(), None)).collect();
            admin.alter_group_offsets(&self.group, &forget)?;
        } else {
            admin.alter_group_offsets(&self.group, &set)?;
        }
        for task in &self.tasks {
            remove_task(task)?;
        }
        for changelog in &self.changelogs {
            match admin.delete_topic(changelog) {
                Err(error) if error.class != Class::UnknownTopic => return Err(error.into()),
                _ => {}
            }
        }
        if self.moves_position {
            admin.alter_group_offsets(&self.group, &set)?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "This will, for {}:", self.whose)?;
        for changelog in &self.changelogs {
            writeln!(f, "  delete the topic {changelog} with all its records")?;
        }
        if !self.tasks.is_empty() {
            writeln!(f, "  delete the cached state of {}", plural(self.tasks.len(), "task"))?;
        }
        for Move { partition, previous, current, .. } in &self.moves {
            let previous = previous.map_or("nowhere".to_owned(), |offset| format!("offset {offset}"));
            match current {
                Some(current) if previous != format!("offset {current}") => {
                    writeln!(f, "  set the position in {partition} to offset {current} (now at {previous})")?;
                }
                Some(_) => writeln!(f, "  leave the position in {partition} at {previous}")?,
                None => {}
            }
        }
        writeln!(f, "It leaves all other topics as they are.")?;
        for consequence in &self.consequences {
            writeln!(f, "{consequence}")?;
        }
        Ok(())
    }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// RFC 3339, for messages about [`To::Time`].
impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Time(at) => at.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
