//! What is done with a running application and its topics, without a word about how it is asked for: the command line is above.

pub mod append;
pub mod channel;
pub mod health;
pub mod http;
pub mod import;
pub mod installation;
pub mod letters;
pub mod observations;
pub mod owner;
mod random;
pub mod reset;
pub mod retention;
pub mod setup;
pub mod socket;
pub mod tally;
pub mod tap;
pub mod topics;
