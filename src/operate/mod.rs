//! What is done with a running application and its topics, without a word about how it is asked for: the command line is above.

pub mod append;
pub mod ends;
pub mod export;
#[cfg(feature = "faults")]
mod faults;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod health;
pub mod http;
pub mod import;
pub mod installation;
pub mod letters;
pub mod observations;
pub mod outgoing;
pub mod owner;
pub mod reset;
pub mod retention;
pub mod setup;
pub mod simulated;
pub mod socket;
pub mod tally;
pub mod tap;
pub mod topics;
