//! The Unix socket in the state directory: other commands ask the owner of the embedded log, who alone may read and write it.
//!
//! One request per connection: a line of JSON; the answer is lines of JSON, the last one [`Response::Done`] or [`Response::Failed`]. Bounded:
//! the length of a request, the number of connections, the time that a client may take to ask. Only the user may connect (mode 0600).

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::import::Outcome;
use super::{letters, outgoing, tap};
use crate::telegram::dry_run;

/// A longer request is refused.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// More connections at a time are refused.
const CONNECTIONS_MAX: usize = 16;

/// So many more are told why; the rest is closed without a word.
const REFUSALS_MAX: usize = 16;

/// In how many reads of at most a [`STEP`] a request must have come: 5 s, however slowly its bytes trickle in.
const REQUEST_READS_MAX: usize = 25;

/// The same for a request that is refused anyway: 1 s.
const REFUSED_READS_MAX: usize = 5;

/// After how many writes in a row that a client took nothing of it is given up, where others would wait for it: 5 s.
const WRITES_WAITED_MAX: usize = 25;

/// How often whoever waits looks whether to stop.
const STEP: Duration = Duration::from_millis(200);

/// What can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Read a topic.
    Tap(tap::Request),
    /// Append a file to the topic of a source.
    Import {
        /// The file; absolute, since the owner has a working directory of its own.
        path: PathBuf,
        /// The name of the source; none where there is only one.
        source: Option<String>,
    },
    /// List dead letters, or put them back.
    DeadLetters {
        /// What of it.
        request: letters::Request,
    },
    /// Say what the sender would send.
    DryRun,
    /// Say how the engine is.
    Status,
}

/// A line of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// A record of a topic.
    Record(tap::Tapped),
    /// A dead letter.
    Letter(Box<letters::Letter>),
    /// What a replay of dead letters would do.
    ReplayPlan(letters::Plan),
    /// What became of a replay.
    Replayed(letters::Outcome),
    /// A row went to the dead letters.
    BadRow {
        /// Its line in the file.
        line: u64,
        /// What is wrong with it.
        fault: String,
    },
    /// A message that would be sent.
    Pending(Box<outgoing::Pending>),
    /// What a dry run of the sender found.
    Previewed(dry_run::Summary),
    /// So many rows, or letters, are committed.
    Committed(u64),
    /// The import is over.
    Imported(Outcome),
    /// How the engine is.
    Status(serde_json::Value),
    /// That was all.
    Done,
    /// It went wrong.
    Failed(Failure),
}

/// An error on its way through the socket: its message, its causes, and whether asking again may help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The message.
    pub message: String,
    /// The messages of its causes.
    pub causes: Vec<String>,
    /// Whether the request itself is at fault.
    pub by_user: bool,
    /// What to do.
    pub hints: Vec<String>,
}

impl Failure {
    /// An error in words.
    pub fn of(error: &dyn std::error::Error, by_user: bool) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect();
        Self { message: error.to_string(), causes, by_user, hints: Vec::new() }
    }
}

/// Answers requests.
pub trait Handler: Send + Sync {
    /// Answers with any number of [`Response`]s; the last word is said by the server.
    fn handle(&self, request: Request, reply: &mut Reply) -> Result<(), Failure>;
}

/// Where a handler sends its answer.
#[derive(Debug)]
pub struct Reply {
    stream: UnixStream,
    over: Arc<Over>,
    line: Vec<u8>,
    lost: bool,
}

impl Reply {
    /// An answer into `stream`, whose writes end after a [`STEP`].
    pub(super) fn new(stream: UnixStream, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let over = Arc::new(Over { stream: stream.try_clone()?, stop });
        Ok(Self { stream, over, line: Vec::new(), lost: false })
    }

    /// Sends a line; breaks off when the client is gone or the server stops. A client that reads slowly is waited for.
    pub fn send(&mut self, response: &Response) -> ControlFlow<()> {
        self.write(response, usize::MAX)
    }

    /// The same, but a client that does not read is given up: from then on everything breaks off.
    pub fn send_in_time(&mut self, response: &Response) -> ControlFlow<()> {
        self.write(response, WRITES_WAITED_MAX)
    }

    fn write(&mut self, response: &Response, waits_max: usize) -> ControlFlow<()> {
        self.line.clear();
        if self.lost || serde_json::to_writer(&mut self.line, response).is_err() {
            return ControlFlow::Break(());
        }
        self.line.push(b'\n');
        let mut rest = self.line.as_slice();
        let mut waits = 0;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(length) if length > 0 => {
                    rest = rest.get(length..).unwrap_or_default();
                    waits = 0;
                }
                Err(error) if is_timeout(&error) && waits < waits_max => waits += 1,
                Ok(_) | Err(_) => self.lost = true,
            }
            // After half a line nothing that follows could be understood.
            self.lost |= !rest.is_empty() && self.over.stopping();
            if self.lost {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether the client was lost or given up.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Sends a line, whether anybody still listens or not: who wants to know asks [`Over::is_over`].
    pub fn say(&mut self, response: &Response) {
        match self.send(response) {
            ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
        }
    }

    /// Tells whether there is still somebody to answer, while the reply itself is in use.
    pub fn watch(&self) -> Arc<Over> {
        Arc::clone(&self.over)
    }
}

/// Tells whether an answer is still wanted. For the thread that answers, and no other.
#[derive(Debug)]
pub struct Over {
    stream: UnixStream,
    stop: Arc<AtomicBool>,
}

impl Over {
    /// Whether the server is being stopped, or the client has gone away.
    pub fn is_over(&self) -> bool {
        self.stopping() || self.client_is_gone()
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// A client sends nothing after its request: what can be read is the end.
    fn client_is_gone(&self) -> bool {
        let read = self.stream.set_nonblocking(true).and_then(|()| (&self.stream).read(&mut [0]));
        let back = self.stream.set_nonblocking(false);
        back.is_err() || matches!(read, Ok(0)) || read.is_err_and(|error| !is_timeout(&error))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Serves requests until it is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    /// The listening socket.
    waker: UnixStream,
    /// Dropped to end the wait after a connection that failed.
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `socket` in a directory that this process holds; what lies there is a dead owner's.
    pub fn start(directory: &Path, handler: Arc<dyn Handler>) -> io::Result<Self> {
        let place = Place::of(directory)?;
        let (path, early) = (place.path("socket"), place.path("socket.new"));
        for leftover in [&path, &early] {
            match fs::remove_file(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let listener = UnixListener::bind(&early)?;
        // Order: nobody may find it under its name before it is private.
        fs::set_permissions(&early, fs::Permissions::from_mode(0o600))?;
        fs::rename(&early, &path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let (wake, stopped) = std::sync::mpsc::channel();
        let waker = UnixStream::from(OwnedFd::from(listener.try_clone()?));
        let body = move || accept(listener.incoming(), &handler, &stopping, &stopped);
        let thread = std::thread::Builder::new().name("socket".to_owned()).spawn(body)?;
        Ok(Self { path: directory.join("socket"), stop, waker, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake = None;
        // Wakes the thread that accepts; unlike a connection of one's own this needs no file descriptor.
        let woken = self.waker.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok())
            && thread.join().is_err()
        {
            tracing::error!("the thread of the socket panicked");
        }
        fs::remove_file(&self.path).unwrap_or_default();
    }
}

/// A directory under a name that is short enough for a socket: the kernel takes 107 bytes.
struct Place {
    folder: PathBuf,
    _open: Option<fs::File>,
}

impl Place {
    fn of(directory: &Path) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        use std::os::unix::ffi::OsStrExt;
        const PATH_BYTES_MAX: usize = 90;
        if directory.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return Ok(Self { folder: directory.to_owned(), _open: None });
        }
        let open = fs::File::open(directory)?;
        Ok(Self { folder: PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())), _open: Some(open) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn connect(directory: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Place::of(directory)?.path("socket"))
}

fn accept(
    connections: impl Iterator<Item = io::Result<UnixStream>>,
    handler: &Arc<dyn Handler>,
    stop: &Arc<AtomicBool>,
    stopped: &Receiver<()>,
) {
    let open = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for stream in connections {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the socket failed");
                    // The connection still waits, for a file descriptor for example: trying at once would fail at once.
                    match stopped.recv_timeout(STEP) {
                        Err(RecvTimeoutError::Timeout) => continue,
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            };
            if open.load(Ordering::SeqCst) >= CONNECTIONS_MAX + REFUSALS_MAX {
                continue;
            }
            let full = open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX;
            let open = &open;
            let serve = move || {
                if let Err(error) = serve(stream, full, &**handler, stop) {
                    tracing::debug!(%error, "a client of the socket went away");
                }
                open.fetch_sub(1, Ordering::SeqCst);
            };
            if let Err(error) = std::thread::Builder::new().name("client".to_owned()).spawn_scoped(scope, serve) {
                open.fetch_sub(1, Ordering::SeqCst);
                tracing::warn!(%error, "no thread for a client of the socket");
            }
        }
    });
}

fn serve(stream: UnixStream, full: bool, handler: &dyn Handler, stop: &Arc<AtomicBool>) -> io::Result<()> {
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    // Also what is refused is read first: a client that is still writing would not look for the reason.
    let line = read_request(&mut &stream, if full { REFUSED_READS_MAX } else { REQUEST_READS_MAX }, stop);
    let mut reply = Reply::new(stream, Arc::clone(stop))?;
    let refused = |message: String| Failure { message, causes: Vec::new(), by_user: false, hints: Vec::new() };
    let outcome = match line {
        _ if full => Err(refused(format!("{CONNECTIONS_MAX} commands are being answered already"))),
        Ok(line) => match serde_json::from_slice(&line) {
            Ok(request) => handler.handle(request, &mut reply),
            Err(error) => Err(Failure::of(&error, true)),
        },
        Err(error) => Err(refused(error.to_string())),
    };
    let last = outcome.map_or_else(Response::Failed, |()| Response::Done);
    match reply.send_in_time(&last) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Reads a line, or as much as a request may be long, in at most `reads_max` reads, each of which ends after a [`STEP`].
fn read_request(stream: &mut dyn Read, reads_max: usize, stop: &AtomicBool) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = [0; 4 << 10];
    // Only waiting for bytes that trickle counts: a long request comes in full chunks.
    let mut reads = 0;
    while reads < reads_max {
        if stop.load(Ordering::SeqCst) {
            return Err(io::Error::other("the owner is stopping"));
        }
        let length = match stream.read(&mut chunk) {
            Ok(0) => return Ok(line),
            Ok(length) => length,
            Err(error) if is_timeout(&error) => 0,
            Err(error) => return Err(error),
        };
        line.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if line.len() >= REQUEST_BYTES_MAX || line.ends_with(b"\n") {
            line.truncate(REQUEST_BYTES_MAX);
            return Ok(line);
        }
        reads += usize::from(length < chunk.len());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the request took too long to arrive"))
}

/// Why the owner did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("the owner of {path} does not answer")]
    NoAnswer {
        /// The directory.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The answer broke off: the owner was stopped, for example.
    #[error("the answer of the owner of {path} broke off")]
    BrokenOff {
        /// The directory.
        path: String,
    },
}

/// Whether the owner of a directory can be asked.
pub fn answers(directory: &Path) -> bool {
    connect(directory).is_ok()
}

/// Asks the owner of a directory; `each` takes the answer until it breaks off. Ends early when `stop` says so.
pub fn ask(
    directory: &Path,
    request: &Request,
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(Response) -> ControlFlow<()>,
) -> Result<Option<Failure>, Error> {
    let path = || directory.display().to_string();
    let no_answer = |source| Error::NoAnswer { path: path(), source };
    let mut stream = connect(directory).map_err(no_answer)?;
    stream.set_read_timeout(Some(STEP)).map_err(no_answer)?;
    let mut line = serde_json::to_vec(request).map_err(|error| no_answer(error.into()))?;
    line.push(b'\n');
    // Who refuses may have closed before all was written; the reason can be read nevertheless.
    let written = stream.write_all(&line);
    let mut reader = BufReader::new(stream);
    line.clear();
    while !stop() {
        match reader.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => {}
            // What was read of the line stays in it.
            Err(error) if is_timeout(&error) => continue,
            Ok(_) | Err(_) => return Err(written.err().map_or_else(|| Error::BrokenOff { path: path() }, no_answer)),
        }
        match serde_json::from_slice(&line) {
            Ok(Response::Done) => return Ok(None),
            Ok(Response::Failed(failure)) => return Ok(Some(failure)),
            Ok(response) => match each(response) {
                ControlFlow::Continue(()) => line.clear(),
                ControlFlow::Break(()) => return Ok(None),
            },
            Err(_) => return Err(Error::BrokenOff { path: path() }),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
