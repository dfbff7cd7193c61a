//! How the engine is, for those who ask: an orchestrator over HTTP, `tidewatch status` through the socket.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::streams::runtime::{ClientState, RestoreProgress, StandbyStatus, Status, Streams};
use crate::telegram::Desk;
use crate::youtube::poller::{self, StatusHandle};

/// What the parts of a process last reported; shared by those who tell it and those who ask.
#[derive(Clone, Debug)]
pub struct Reported(Arc<Mutex<Parts>>);

/// An engine's state and what its threads reported.
type Engine = (ClientState, Status);

#[derive(Debug, Default)]
struct Parts {
    /// None where this process does not run it.
    topology: Option<Engine>,
    sender: Option<Engine>,
    desk: Option<Arc<Desk>>,
    poller: Option<StatusHandle>,
}

impl Default for Reported {
    fn default() -> Self {
        Self::of(config::Parts::TOPOLOGY)
    }
}

impl Reported {
    /// Of a process that runs these parts. Until they report, they are being made.
    pub fn of(parts: config::Parts) -> Self {
        let created = || (ClientState::Created, Status::default());
        let (topology, sender) = (parts.topology.then(created), parts.send.then(created));
        Self(Arc::new(Mutex::new(Parts { topology, sender, ..Parts::default() })))
    }

    /// Takes down how the topology's engine is now.
    pub fn take(&self, engine: &Streams) {
        self.set(engine.state(), engine.status());
    }

    /// Takes down what the topology's engine reported.
    pub fn set(&self, state: ClientState, status: Status) {
        self.0.lock().topology = Some((state, status));
    }

    /// Takes down what the sender's engine reported.
    pub fn set_sender(&self, state: ClientState, status: Status) {
        self.0.lock().sender = Some((state, status));
    }

    /// From now on the sender's desk is asked, too.
    pub fn watch_desk(&self, desk: Arc<Desk>) {
        self.0.lock().desk = Some(desk);
    }

    /// From now on the poller is asked, too.
    pub fn watch_poller(&self, poller: StatusHandle) {
        self.0.lock().poller = Some(poller);
    }

    /// How they are.
    pub fn health(&self) -> Health {
        let parts = self.0.lock();
        // Who is asked for one engine's state is told the topology's, or that of the only one there is; a poller alone has none.
        let main = parts.topology.as_ref().or(parts.sender.as_ref());
        let state = main.map_or(ClientState::Running, |(state, _)| *state);
        let mut reasons = Vec::new();
        if state != ClientState::Running {
            reasons.push(Reason::State { state: state.to_string() });
        }
        let tasks = main.into_iter().flat_map(|(_, status)| &status.tasks);
        let tasks: Vec<Task> = tasks.map(|(id, task)| Task::of(id.to_string(), task, &mut reasons)).collect();
        let desk = parts.desk.as_ref().map(|desk| desk.status()).unwrap_or_default();
        let sender = parts.sender.as_ref().map(|(state, status)| Sender {
            state: state.to_string(),
            counters: counters(status),
            waiting: desk.waiting,
            in_flight: desk.in_flight,
            sent: desk.sent_total,
            out_of_reach: desk.out_of_reach,
            stopped: desk.stopped,
            standbys: standbys(status),
        });
        if desk.out_of_reach {
            reasons.push(Reason::Telegram);
        }
        // Without a topology the sender's state was told above.
        if let (Some((state, _)), Some(_)) = (&parts.sender, &parts.topology)
            && *state != ClientState::Running
        {
            reasons.push(Reason::Sender { state: state.to_string() });
        }
        let poller = parts.poller.as_ref().map(|poller| Poller::of(poller.get()));
        let cause = poller.as_ref().and_then(|poller| poller.problem.clone());
        reasons.extend(cause.map(|cause| Reason::Poller { cause }));
        let engines = [&parts.topology, &parts.sender];
        Health {
            ready: engines.into_iter().flatten().all(|(state, _)| *state == ClientState::Running),
            state: state.to_string(),
            pid: std::process::id(),
            commits: main.map_or(0, |(_, status)| status.commit_total),
            reasons,
            tasks,
            standbys: main.map(|(_, status)| standbys(status)).unwrap_or_default(),
            sender,
            poller,
        }
    }
}

/// What the nodes of an engine counted, over all its tasks.
fn counters(status: &Status) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    for ((_, name), count) in status.tasks.values().flat_map(|task| &task.counters.nodes) {
        *counters.entry((*name).to_owned()).or_default() += count;
    }
    counters
}

fn standbys(status: &Status) -> Vec<Standby> {
    status.standbys.iter().map(|(id, standby)| Standby::of(id.to_string(), standby)).collect()
}

/// A process as its parts last reported.
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
    /// Its standby tasks, by name; they have no part in whether it is ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<Standby>,
    /// The sender; none where this process does not send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// The poller; none where this process does not poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poller: Option<Poller>,
}

/// A sender as it was last reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// The state of its engine.
    pub state: String,
    /// Requests that wait for Telegram's limits.
    pub waiting: usize,
    /// Requests on their way.
    pub in_flight: usize,
    /// Messages sent or edited since the start.
    pub sent: u64,
    /// What else its tasks counted since they began, by name, such as `unknown_outcomes_total`.
    pub counters: BTreeMap<String, u64>,
    /// Whether Telegram does not answer: it is tried now and then.
    pub out_of_reach: bool,
    /// Why nothing is sent any more.
    pub stopped: Option<String>,
    /// The standby tasks of its engine, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<Standby>,
}

/// A poller as it was last reported. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poller {
    /// Whether it is the active one of its application; the others stand by.
    pub active: bool,
    /// When the last poll began.
    pub last_poll: Option<String>,
    /// When the next one is due.
    pub next_poll: Option<String>,
    /// Units of this day.
    pub units_today: u64,
    /// Videos that are known and not removed.
    pub videos: usize,
    /// What is wrong.
    pub problem: Option<String>,
}

impl Poller {
    fn of(status: poller::Status) -> Self {
        Self {
            active: status.is_active,
            last_poll: status.last_poll.map(|at| at.to_string()),
            next_poll: status.next_poll.map(|at| at.to_string()),
            units_today: status.units_today,
            videos: status.videos,
            problem: status.problem,
        }
    }
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
    /// The sender's engine is not running.
    Sender {
        /// Its state.
        state: String,
    },
    /// Telegram does not answer: the messages wait.
    Telegram,
    /// The poller could not ask for everything, or not at all. It goes on by itself.
    Poller {
        /// What is wrong.
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
            Self::Telegram => f.write_str("Telegram is out of reach: the messages wait"),
            Self::Sender { state } => write!(f, "the sender is {state}"),
            Self::Poller { cause } => write!(f, "the poller: {cause}"),
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

/// A standby task as it was last reported: the state of somebody else's task, kept warm here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Its name.
    pub task: String,
    /// Offsets of its changelogs that are left to read; what a takeover now would restore. None while it follows nothing.
    pub lag: Option<i64>,
    /// Why it follows nothing, where it does not.
    pub waiting: Option<String>,
}

impl Standby {
    fn of(name: String, standby: &StandbyStatus) -> Self {
        Self { task: name, lag: standby.waiting.is_none().then(|| standby.lag()), waiting: standby.waiting.clone() }
    }
}

/// In one line.
impl fmt::Display for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standby task {}: ", self.task)?;
        match (&self.waiting, self.lag) {
            (Some(cause), _) => write!(f, "waits: {cause}"),
            (None, lag) => write!(f, "{} behind", lag.unwrap_or_default()),
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
    use crate::streams::runtime::{StandbyProgress, TaskStatus};
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
    fn standby_tasks_are_told_of_and_make_nobody_unready() {
        let log =
            |position, end| StandbyProgress { changelog: TopicPartition::new("log", 1), position: Offset(position), end: Offset(end) };
        // The end is asked for from time to time only: what was read since may be beyond it.
        let follows = StandbyStatus { changelogs: vec![log(100, 160), log(70, 60)], waiting: None };
        let waits = StandbyStatus { changelogs: vec![], waiting: Some("nothing is committed yet".to_owned()) };
        let id = |partition| TaskId { subtopology: 0, partition };
        let reported = Reported::default();
        reported.set(ClientState::Running, Status { standbys: [(id(1), follows), (id(2), waits)].into(), ..Status::default() });
        let health = reported.health();
        let lines: Vec<_> = health.standbys.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["standby task 0_1: 60 behind", "standby task 0_2: waits: nothing is committed yet"]);
        assert_eq!((health.ready, health.reasons.len(), health.tasks.len()), (true, 0, 0));
        let json = serde_json::to_value(&health).unwrap();
        assert_eq!(json["standbys"][0], serde_json::json!({ "task": "0_1", "lag": 60, "waiting": null }));
        assert_eq!(json["standbys"][1]["lag"], serde_json::Value::Null);
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
