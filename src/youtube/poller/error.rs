//! Why the poller ends, and why it stops what it is doing.

use std::sync::Arc;
use std::time::Duration;

use crate::avro::{EncodeError, Misfit, RegistryError};
use crate::streams::clock::Timestamp;
use crate::streams::log::{self, Class};
use crate::youtube::Problem;

/// Why the poller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can be asked with these settings: only another configuration helps.
    #[error("YouTube cannot be polled")]
    YouTube(#[source] Problem),
    /// The schema of the source wants what observations do not have.
    #[error("the schema of {topic} does not fit observations of videos")]
    Schema {
        /// The topic.
        topic: Arc<str>,
        /// The cause.
        #[source]
        source: Misfit,
    },
    /// The schema could not be registered.
    #[error("the schema of {topic} could not be registered")]
    Registry {
        /// The topic.
        topic: Arc<str>,
        /// The cause.
        #[source]
        source: RegistryError,
    },
    /// A video cannot be written with the schema.
    #[error("an observation of {id} cannot be written to {topic}")]
    Encode {
        /// The topic.
        topic: Arc<str>,
        /// The video.
        id: String,
        /// The cause.
        #[source]
        source: EncodeError,
    },
    /// The log failed, also when it was tried anew.
    #[error("the poller cannot work with the log")]
    Log(#[source] log::Error),
    /// The state cannot be written as JSON.
    #[error("the state of the poller cannot be written")]
    State(#[source] serde_json::Error),
    /// No runtime for the requests could be started.
    #[error("the runtime of the requests could not be started")]
    Runtime(#[source] std::io::Error),
    /// Another process does the polling.
    #[error("another poller of this application is active, and did not stop within {} s", waited.as_secs())]
    Busy {
        /// How long was waited.
        waited: Duration,
    },
    /// The quota of this day does not cover a poll.
    #[error("what is left of this day's quota ({left} units) does not cover a poll ({cost} units); it begins anew at {until}")]
    Budget {
        /// Units that are left.
        left: u64,
        /// Units that a poll costs.
        cost: u64,
        /// When the quota begins anew.
        until: Timestamp,
    },
}

impl Error {
    /// Whether only another configuration helps.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::YouTube(_) | Self::Schema { .. } | Self::Encode { .. } => true,
            Self::Registry { source, .. } => !matches!(source, RegistryError::Unavailable { .. }),
            _ => false,
        }
    }

    /// What somebody can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::YouTube(problem) => problem.hint(),
            Self::Schema { .. } => {
                Some("take schemas/youtube_video.avsc for the source, or give the fields that it does not have a default".to_owned())
            }
            Self::Log(error) if error.class == Class::UnknownTopic => Some("create the topics with `tidewatch setup`".to_owned()),
            Self::Log(error) if error.class == Class::Fenced => {
                Some("does another process work with a copy of this state directory? Both pass for the same instance".to_owned())
            }
            Self::Busy { .. } => Some("stop it, or wait: what it observes arrives in the same topic".to_owned()),
            Self::Budget { .. } => Some("raise `quota_per_day` of [youtube] if the key may spend more".to_owned()),
            _ => None,
        }
    }
}

/// Why a poll, or the way to one, was broken off.
#[derive(Debug)]
pub(super) enum Halt {
    /// It was told to stop.
    Stopped,
    /// The turn is another member's.
    TurnLost,
    /// The log failed: everything is begun anew.
    Log(log::Error),
    /// The registry is out of reach: tried again later.
    Registry(RegistryError),
    /// This poll can do no more; the reason is noted in its summary.
    Ended,
    /// The poller ends.
    Fatal(Error),
}

impl From<log::Error> for Halt {
    fn from(error: log::Error) -> Self {
        Self::Log(error)
    }
}
