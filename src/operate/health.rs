//! How the engine is, for those who ask: an orchestrator over HTTP, `tidewatch status` through the socket.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::streams::runtime::{ClientState, RestoreProgress, Status, Streams};

/// What the engine last reported; shared by those who tell it and those who ask.
#[derive(Clone, Debug, Default)]
pub struct Reported(Arc<Mutex<(Option<ClientState>, Status)>>);

impl Reported {
    /// Takes down how the engine is now.
    pub fn take(&self, engine: &Streams) {
        self.set(engine.state(), engine.status());
    }

    /// Takes down what an engine reported.
    pub fn set(&self, state: ClientState, status: Status) {
        *self.0.lock() = (Some(state), status);
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let (state, status) = &*self.0.lock();
        let state = state.unwrap_or(ClientState::Created);
        let mut reasons = Vec::new();
        if state != ClientState::Running {
            reasons.push(Reason::State { state: state.to_string() });
        }
        let tasks: Vec<Task> = status.tasks.iter().map(|(id, task)| Task::of(id.to_string(), task, &mut reasons)).collect();
        Health {
            ready: state == ClientState::Running,
            state: state.to_string(),
            pid: std::process::id(),
            commits: status.commit_total,
            reasons,
            tasks,
        }
    }
}

/// An engine as it was last reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it does its work: all partitions that this instance has are processed. A spare instance without partitions is ready too.
    pub ready: bool,
    /// The state of the engine, by Kafka Streams' names.
    pub state: String,
    /// The process.
    pub pid: u32,
    /// Transactions committed.
    pub commits: u64,
    /// Why it is not ready, and what holds up a part of it although it is.
    pub reasons: Vec<Reason>,
    /// Its tasks, by name.
    pub tasks: Vec<Task>,
}

/// What holds up an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The engine is not running.
    State {
        /// Its state.
        state: String,
    },
    /// A store is being restored.
    Restoring {
        /// The task.
        task: String,
        /// The changelog partition.
        changelog: String,
        /// Offsets that are left.
        remaining: i64,
        /// Offsets per second, where known.
        rate: Option<f64>,
        /// Seconds that are left, where known.
        eta_seconds: Option<f64>,
    },
    /// An input stands still: something that it needs is out of reach.
    Paused {
        /// The task.
        task: String,
        /// The input partition.
        input: String,
        /// What it waits for.
        cause: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { state } => write!(f, "the engine is {state}"),
            Self::Restoring { task, changelog, remaining, rate, eta_seconds } => {
                write!(f, "task {task} is being restored from {changelog}: {remaining} left")?;
                if let (Some(rate), Some(eta)) = (rate, eta_seconds) {
                    write!(f, ", {rate:.0} per second, {eta:.0} s to go")?;
                }
                Ok(())
            }
            Self::Paused { task, input, cause } => write!(f, "task {task} has paused {input}: {cause}"),
        }
    }
}

/// A task as it was last reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub task: String,
    /// Its state.
    pub state: String,
    /// Its input partition.
    pub input: String,
    /// Its committed input offset.
    pub committed: i64,
    /// Records taken in.
    pub processed: u64,
    /// Records sent to the dead letters.
    pub dead_letters: u64,
}

impl Task {
    fn of(name: String, task: &crate::streams::runtime::TaskStatus, reasons: &mut Vec<Reason>) -> Self {
        let input = task.source.to_string();
        reasons.extend(task.restoring.iter().map(|store| restoring(&name, store)));
        if let Some(cause) = &task.paused {
            reasons.push(Reason::Paused { task: name.clone(), input: input.clone(), cause: cause.clone() });
        }
        Self {
            task: name,
            state: task.state.to_string(),
            input,
            committed: task.committed.0,
            processed: task.counters.process_total,
            dead_letters: task.counters.dead_letter_records_total,
        }
    }
}

fn restoring(task: &str, store: &RestoreProgress) -> Reason {
    Reason::Restoring {
        task: task.to_owned(),
        changelog: store.changelog.to_string(),
        remaining: store.remaining(),
        rate: store.rate(),
        eta_seconds: store.eta().map(|eta| eta.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::streams::log::{Offset, TopicPartition};
    use crate::streams::runtime::TaskStatus;
    use crate::streams::task::{Counters, State, TaskId};

    fn task(restoring: Vec<RestoreProgress>, paused: Option<&str>) -> Status {
        let status = TaskStatus {
            state: if restoring.is_empty() { State::Running } else { State::Restoring },
            source: TopicPartition::new("in", 0),
            committed: Offset(3),
            counters: Counters::default(),
            restoring,
            paused: paused.map(str::to_owned),
            unfinished: false,
        };
        Status { tasks: [(TaskId { subtopology: 0, partition: 0 }, status)].into(), ..Status::default() }
    }

    fn lines(health: &Health) -> Vec<String> {
        health.reasons.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_a_running_engine_is_ready() {
        let reported = Reported::default();
        assert_eq!((reported.health().ready, lines(&reported.health())), (false, vec!["the engine is CREATED".to_owned()]));
        reported.set(ClientState::Running, Status::default());
        assert_eq!((reported.health().ready, lines(&reported.health())), (true, vec![]), "a spare instance is ready");
        for state in
            [ClientState::Rebalancing, ClientState::PendingShutdown, ClientState::PendingError, ClientState::Error, ClientState::NotRunning]
        {
            reported.set(state, Status::default());
            assert_eq!((reported.health().ready, lines(&reported.health())), (false, vec![format!("the engine is {state}")]));
        }
    }

    #[test]
    fn the_reasons_name_what_is_waited_for() {
        let progress = RestoreProgress {
            changelog: TopicPartition::new("log", 0),
            start: Offset(0),
            position: Offset(100),
            end: Offset(300),
            records: 90,
            elapsed: Duration::from_secs(2),
        };
        let reported = Reported::default();
        reported.set(ClientState::Rebalancing, task(vec![progress], None));
        let expected = ["the engine is REBALANCING", "task 0_0 is being restored from log-0: 200 left, 50 per second, 4 s to go"];
        assert_eq!(lines(&reported.health()), expected);
        reported.set(ClientState::Running, task(vec![], Some("no registry")));
        assert_eq!((reported.health().ready, lines(&reported.health())), (true, vec!["task 0_0 has paused in-0: no registry".to_owned()]));
    }
}
