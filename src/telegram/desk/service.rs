//! The courier of a real installation: makes the requests over HTTP, on a thread of its own.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

use super::board::Next;
use super::tray::{Courier, Tray};
use crate::telegram::{Client, Outcome};

/// Makes requests at the Bot API until it is dropped; those that are under way then are broken off.
pub struct Service {
    tray: Arc<Tray>,
    called: Arc<Notify>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Starts its thread.
    pub fn start(client: Client, tray: Arc<Tray>) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(2).thread_name("telegram").enable_all().build()?;
        let called = Arc::new(Notify::new());
        runtime.spawn(serve(client, Arc::clone(&tray), Arc::clone(&called), runtime.handle().clone()));
        Ok(Self { tray, called, runtime: Some(runtime) })
    }
}

impl Courier for Service {
    fn call(&self) {
        self.called.notify_one();
    }

    fn wait(&self, ended: u64) {
        self.tray.wait(ended);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Dropping it would wait for its threads, and panic on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(client: Client, tray: Arc<Tray>, called: Arc<Notify>, handle: Handle) {
    loop {
        let Next { requests, look_in } = tray.next();
        for (job, request) in requests {
            let (client, tray, called) = (client.clone(), Arc::clone(&tray), Arc::clone(&called));
            handle.spawn(async move {
                let mut unfinished = Unfinished { tray: &tray, called: &called, job, outcome: None };
                unfinished.outcome = Some(client.send(&request).await);
            });
        }
        match look_in {
            Some(wait) => drop(tokio::time::timeout(wait, called.notified()).await),
            None => called.notified().await,
        }
    }
}

/// A request under way: however it ends, its task hears of it.
struct Unfinished<'a> {
    tray: &'a Tray,
    called: &'a Notify,
    job: u64,
    outcome: Option<Outcome>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome::Unknown { reason: "the request was broken off here".to_owned() });
        self.tray.done(self.job, outcome);
        self.called.notify_one();
    }
}
