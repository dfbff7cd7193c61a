//! What the program says about itself: on standard error, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use super::redaction;
use crate::config;

/// The form of what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line of text per event.
    Human,
    /// A JSON object per event and line.
    Json,
}

/// How much is said where `RUST_LOG` is silent.
pub(crate) fn default_filter(verbosity: i16) -> &'static str {
    match verbosity {
        ..=-1 => "error",
        0 => "warn",
        1 => "warn,tidewatch=info",
        2 => "info,tidewatch=debug",
        3.. => "debug,tidewatch=trace",
    }
}

/// Sends events to standard error. `verbosity` counts from 0, which says only what needs attention.
pub(crate) fn install(format: Format, verbosity: i16) {
    let filter = config::env_var("RUST_LOG").and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(default_filter(verbosity)));
    let terminal = io::stderr().is_terminal();
    let colours = terminal && config::env_var("NO_COLOR").is_none();
    let subscriber =
        fmt::Subscriber::builder().with_env_filter(filter).with_writer(redaction::stderr).with_ansi(colours).with_target(false);
    // A second installation can only come from a second call: the first one stays.
    let installed = match (format, terminal) {
        (Format::Json, _) => tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).with_target(true).finish()),
        (Format::Human, true) => tracing::subscriber::set_global_default(subscriber.compact().without_time().finish()),
        (Format::Human, false) => tracing::subscriber::set_global_default(subscriber.compact().finish()),
    };
    installed.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_filter_is_one() {
        for verbosity in -3..5 {
            assert!(EnvFilter::try_new(default_filter(verbosity)).is_ok(), "{verbosity}");
        }
    }
}
