//! All integration tests, as one binary: what the product promises, seen from outside, and the rules of its source.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking anywhere")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where data lies, and wait for processes of the real world"
)]

mod cli_live;
mod cli_once;
mod cli_setup;
mod cli_telegram;
mod cli_usage;
mod comparison;
mod conformance;
mod data;
mod dead_letters;
mod demo;
mod deployment;
mod dry_run;
mod http;
mod installation;
mod kafka;
mod kafka_log;
mod kafka_poller;
mod kills;
mod layout;
mod lifecycle;
mod newcomer;
mod oracle;
mod random;
mod real;
mod real_parts;
mod registry;
mod reset_ends;
mod whole;
