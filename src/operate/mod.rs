//! What is done with a running application and its topics, without a word about how it is asked for: the command line is above.

pub mod channel;
pub mod observations;
mod random;
