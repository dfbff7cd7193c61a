//! The embedded log.

use std::sync::Arc;

use super::{Admin, Class, Consumer, ConsumerOptions, Error, Log, Producer, ProducerOptions, Result};
use crate::streams::kv::Kv;
use crate::streams::kv::memory::Memory;

/// Placeholder until the log lands.
#[derive(Debug)]
pub struct LocalLog {
    _kv: Arc<dyn Kv>,
}

impl LocalLog {
    /// Opens the log kept in `kv`.
    pub fn open(kv: Arc<dyn Kv>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { _kv: kv }))
    }

    /// A log that lives as long as the process.
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self { _kv: Arc::new(Memory::default()) })
    }
}

impl Log for LocalLog {
    fn consumer(&self, _options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Err(Error::new(Class::Fatal, "consumer", "not there yet"))
    }

    fn producer(&self, _options: ProducerOptions) -> Result<Box<dyn Producer>> {
        Err(Error::new(Class::Fatal, "producer", "not there yet"))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        unreachable!("placeholder")
    }
}
