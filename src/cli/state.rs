//! `state`: what lies in the stores of a stopped instance.

use std::ops::ControlFlow;

use super::context::Context;
use super::terminal::Out;
use super::{Error, Result, context};
use crate::operate::export::{self, Line};
use crate::operate::installation;
use crate::streams::state::StateDirectory;

/// Look into the stores of this instance
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Export(Export),
}

/// Print all rows of the stores on this instance's disk; nothing may run on the state directory
///
/// A JSON object per line. Before the rows of each store and task stands one that says up to where they are complete: `store`, `task`, `partition`,
/// `checkpoint` (the next offset of the changelog), `input` (the next offset of the input). A row has `store`, `task`, `partition`, `key_hex`,
/// `value_hex`: key and value as they are in the changelog, in hexadecimal. The disk may lag behind the changelog, never lead it. A directory may also hold
/// partitions that another instance has taken over since: their checkpoints are the older ones.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The store; without it all
    store: Option<String>,
}

pub(super) fn execute(command: &Command, context: &Context) -> Result {
    let Command::Export(args) = command;
    context.must_exist()?;
    let directory = StateDirectory::open(&context.state_dir(), &context::command_line())
        .map_err(|error| context::held(installation::Error::Directory(error)))?;
    let mut out = Out::new();
    let mut failed = None;
    let mut emit = |line: Line| {
        let printed = serde_json::to_string(&line).map_err(Error::internal).and_then(|text| out.line(&text));
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    export::export(&directory, args.store.as_deref(), &mut emit).map_err(|error| match error {
        export::Error::NoStore { .. } => Error::user(error),
        export::Error::State(_) | export::Error::Open { .. } => {
            Error::unavailable(error).hinted("The next `run` rebuilds from the changelog what cannot be read.")
        }
        export::Error::Directory(_) => Error::unavailable(error),
    })?;
    failed.map_or_else(|| out.flush(), Err)
}
