//! The production runtime under tests: the same stream thread, commit protocol, restore and stores, a step at a time, and a way to get between it and
//! all that is outside of it.

mod driver;
mod instance;
pub mod interposed;

pub use driver::{TestRecord, TopologyTestDriver};
pub use instance::{Instance, StoreRows};
