//! `status`: whether the process that owns the state directory is ready, asked through its socket; made for a container's health check.

use std::ops::ControlFlow;

use super::context::{Context, remote};
use super::shutdown::Shutdown;
use super::terminal::Out;
use super::{Error, Result};
use crate::operate::health::Health;
use crate::operate::socket::{self, Request, Response};

/// Ask whether the process that owns the state directory is ready: exit code 0 if so, else 1
///
/// Ready means that the engine is RUNNING: every partition that this instance has is restored and processed. A spare instance without partitions
/// is ready as well, and how far its standby tasks are has no part in it. What is not ready is told with the reason: what is being restored, and how far it is; which input stands still, and for what.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object: `ready`, `state`, `pid`, `commits`, `reasons`, `tasks`, and `standbys`, `sender` and `poller` where it has them
    #[arg(long)]
    json: bool,
}

/// The engine is there and not ready.
#[derive(Debug, thiserror::Error)]
#[error("not ready")]
struct NotReady;

pub(super) fn execute(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    let directory = context.state_dir();
    let mut answer = None;
    let asked = socket::ask(&directory, &Request::Status, &|| shutdown.requested(), &mut |response| {
        if let Response::Status(status) = response {
            answer = Some(status);
        }
        ControlFlow::Continue(())
    });
    let asked = asked.map_err(|error| match error {
        socket::Error::NoAnswer { .. } => {
            Error::unavailable(error).hinted("Nothing runs on this directory, or --state-dir names another one.")
        }
        error @ socket::Error::BrokenOff { .. } => Error::unavailable(error),
    })?;
    if let Some(failure) = asked {
        return Err(remote(failure));
    }
    let answer = answer.ok_or_else(|| Error::unavailable("nothing was answered"))?;
    let health: Health = serde_json::from_value(answer).map_err(Error::internal)?;
    let mut out = Out::new();
    if args.json {
        out.line(&serde_json::to_string(&health).map_err(Error::internal)?)?;
    } else {
        let word = if health.ready { "ready" } else { "not ready" };
        let count = health.tasks.len();
        out.line(&format!("{word}: {}, {count} {}, process {}", health.state, if count == 1 { "task" } else { "tasks" }, health.pid))?;
        for standby in &health.standbys {
            out.line(&standby.to_string())?;
        }
        for reason in &health.reasons {
            out.line(&reason.to_string())?;
        }
    }
    out.flush()?;
    if health.ready { Ok(()) } else { Err(Error::unavailable(NotReady)) }
}
