//! The states of a task, with the transitions that are allowed. Names and meaning are Kafka Streams' (`Task.State`).
//!
//! ```text
//!              +---------+
//!              | CREATED |------------------.
//!              +----+----+                  |
//!                   v                       |
//!            +------+------+                |
//!        .-->|  RESTORING  |---------.      |
//!        |   +------+------+         |      |
//!        |          v                v      |
//!        |     +----+----+     +-----+-----+|
//!        +-----| RUNNING |---->| SUSPENDED ||
//!        |     +---------+     +-----+-----+|
//!        |                           |   |  |
//!        '---------------------------'   v  v
//!                                     +--+------+
//!                                     | CLOSED  |
//!                                     +---------+
//! ```

use std::fmt;

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Made, nothing read yet.
    Created,
    /// Its stores catch up with their changelogs.
    Restoring,
    /// It processes records.
    Running,
    /// It stands still and is about to be closed or restored again.
    Suspended,
    /// It is over.
    Closed,
}

/// A transition that the diagram does not have: a fault of the engine.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a task cannot go from {from} to {to}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: State,
    /// The state it was told to take.
    pub to: State,
}

impl State {
    /// Takes the next state.
    pub fn transition_to(&mut self, to: Self) -> Result<(), IllegalTransition> {
        let allowed = match self {
            Self::Created => matches!(to, Self::Restoring | Self::Closed),
            Self::Restoring => matches!(to, Self::Running | Self::Suspended),
            Self::Running => matches!(to, Self::Restoring | Self::Suspended),
            Self::Suspended => matches!(to, Self::Restoring | Self::Closed),
            Self::Closed => false,
        };
        if !allowed {
            return Err(IllegalTransition { from: *self, to });
        }
        *self = to;
        Ok(())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Restoring => "RESTORING",
            Self::Running => "RUNNING",
            Self::Suspended => "SUSPENDED",
            Self::Closed => "CLOSED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Closed, Created, Restoring, Running, Suspended};

    #[test]
    fn only_the_transitions_of_the_diagram_are_allowed() {
        let all = [Created, Restoring, Running, Suspended, Closed];
        let allowed = [
            (Created, Restoring),
            (Created, Closed),
            (Restoring, Running),
            (Restoring, Suspended),
            (Running, Restoring),
            (Running, Suspended),
            (Suspended, Restoring),
            (Suspended, Closed),
        ];
        for from in all {
            for to in all {
                let mut state = from;
                assert_eq!(state.transition_to(to).is_ok(), allowed.contains(&(from, to)), "{from} -> {to}");
            }
        }
    }
}
