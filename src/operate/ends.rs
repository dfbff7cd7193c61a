//! The two ends of the way in an installation: the poller, which fills the first topic, and the sender, which empties the last one.

use std::sync::Arc;

use super::installation::{Error, Installation};
use crate::config::{Config, Parts};
use crate::streams::clock::Clock;
use crate::streams::runtime::{Options, Streams};
use crate::streams::state::directory;
use crate::telegram::{self, Desk};
use crate::youtube::poller::{self, Poller};
use crate::youtube::{self, Problem};

/// The sender: an engine of its own, and the desk where its requests are made.
#[derive(Debug)]
pub struct Sender {
    /// The engine, not started.
    pub engine: Streams,
    /// The desk.
    pub desk: Arc<Desk>,
}

impl Installation {
    /// The poller that `config` asks for, on this clock; none without `[youtube]`.
    pub fn poller(&self, config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Poller>, Error> {
        let (Some(youtube), Some(settings)) = (&config.youtube, poller::Settings::of(config)) else { return Ok(None) };
        self.create_topics(config, Parts { poll: true, topology: false, send: false })?;
        let no_key = || Problem::Settings { reason: "the API key is not known".to_owned() };
        let client = youtube::Client::new(&youtube::Options::of(youtube).ok_or_else(no_key)?)?;
        let parts = poller::Parts {
            log: self.log(),
            registry: self.registry(),
            clock,
            client,
            settings,
            instance_id: config.engine.instance_id_or(self.directory().instance_id()),
            creates_topic: self.embedded.is_some(),
        };
        Ok(Some(Poller::new(parts)?))
    }

    /// The sender that `config` asks for, not started; none without `[telegram]`. `adjust` changes the options of its engine.
    pub fn sender(&self, config: &Config, adjust: impl FnOnce(&mut Options)) -> Result<Option<Sender>, Error> {
        let Some(telegram) = &config.telegram else { return Ok(None) };
        self.create_topics(config, Parts { poll: false, topology: false, send: true })?;
        let outbox = self.log().admin().describe(&telegram.outbox)?;
        let partitions = outbox.map_or(config.engine.partitions, |outbox| outbox.config.partitions);
        let desk = Desk::of(telegram, partitions, Arc::clone(&self.clock))?;
        let topology = telegram::topology(&telegram::Settings::of(config, telegram), self.registry(), Arc::clone(&desk))?;
        let mut options = telegram::runtime_options(config, self.directory().instance_id());
        adjust(&mut options);
        let engine = self.beside(directory::SENDER, Arc::new(topology), options)?;
        Ok(Some(Sender { engine, desk }))
    }
}
