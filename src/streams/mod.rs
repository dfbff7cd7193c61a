//! The engine: a Kafka Streams-style runtime over the seam [`log`]. It knows nothing of videos, Telegram or YouTube.

pub mod clock;
pub mod kv;
pub mod log;
pub mod processor;
pub mod rocks;
pub mod runtime;
pub mod state;
pub mod task;
pub mod testing;
pub mod topology;
