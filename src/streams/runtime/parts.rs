//! [`Parts`]: what the threads of an engine share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Result;
use super::backend::StateBackend;
use super::options::Options;
use super::shared::Shared;
use super::topics::{self, TopicTable};
use crate::streams::clock::Clock;
use crate::streams::log::Log;
use crate::streams::topology::Blueprint;

/// What all threads of an engine are made from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) topology: Arc<dyn Blueprint>,
    pub(super) topics: Arc<TopicTable>,
    pub(crate) partitions: Arc<BTreeMap<Arc<str>, i32>>,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) options: Arc<Options>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
}

impl Parts {
    /// Checks the topics and creates the internal ones, where that is wanted.
    pub(crate) fn new(
        topology: Arc<dyn Blueprint>,
        log: Arc<dyn Log>,
        backend: Arc<dyn StateBackend>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let topics = TopicTable::new(&options, &*topology);
        let partitions = topics::prepare(&*log.admin(), &*topology, &topics, options.create_internal_topics)?;
        let shared = Arc::new(Shared::new(&clock, options.threads));
        let (topics, partitions, options) = (Arc::new(topics), Arc::new(partitions), Arc::new(options));
        Ok(Self { log, topology, topics, partitions, backend, options, clock, shared })
    }
}
