//! A process of a part, which never outlives the tests.
//!
//! Statics are not dropped when the tests end, and nothing is when they are killed. So each process has a shell beside it that holds the other
//! end of a pipe: a line is the name of a signal to pass on, its end means that the tests are gone.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// `$1` is the folder: `log` in it takes what the process says; it goes with the tests. The rest is the command.
///
/// A shell gives a command in the background no standard input, so the pipe is handed over as descriptor 3. The log is there before the line that
/// says that the command is, which opens it only when it comes to run.
const WRAPPER: &str = r#"
trap '' INT HUP QUIT
folder=$1
shift
exec 3<&0 </dev/null
: >>"$folder/log" || exit 1
"$@" >>"$folder/log" 2>&1 3<&- &
child=$!
echo "$child"
(
    while read -r signal; do kill -s "$signal" "$child" 2>/dev/null; done <&3
    : >"$folder/orphaned"
    kill -s KILL "$child"
) >/dev/null 2>&1 &
watcher=$!
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
[ ! -e "$folder/orphaned" ] || rm -rf "$folder"
exit "$status"
"#;

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    wrapper: Child,
    orders: ChildStdin,
    id: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with a folder of its own, which must be there.
    pub(crate) fn start(name: &str, folder: &Path, command: &[OsString]) -> Self {
        Self::start_with(name, folder, command, &[])
    }

    /// The same, with variables added to the environment.
    pub(crate) fn start_with(name: &str, folder: &Path, command: &[OsString], environment: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", WRAPPER, "sh"]).arg(folder).args(command).envs(environment.iter().copied());
        let mut wrapper = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(wrapper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let id = line.trim().parse().expect("the wrapper says the process id");
        let orders = wrapper.stdin.take().unwrap();
        Self { name: name.to_owned(), wrapper, orders, id, log: folder.join("log") }
    }

    /// The process id of the command itself.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal by name: `TERM`, `STOP`, `CONT`, `KILL`. One to a process that is gone is lost.
    pub(crate) fn signal(&mut self, signal: &str) {
        // A broken pipe says that the shell is gone, and so the process before it.
        drop(writeln!(self.orders, "{signal}"));
    }

    /// How the process ended; none while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.wrapper.try_wait().unwrap()
    }

    /// Sends a signal and waits until the process is gone.
    pub(crate) fn stop(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.end()
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end; its threads: {}\n{}", self.name, self.threads(), self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The names of its threads, which tell what it is still at; nothing where the system does not say.
    fn threads(&self) -> String {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id)).into_iter().flatten().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect::<Vec<_>>().join(", ")
    }

    /// All that the process said so far, on both of its outputs.
    pub(crate) fn said(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Asks again and again until there is an answer; an error where the process ends before. Panics when it takes too long.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            if let Some(status) = self.ended() {
                return Err(format!("{} ended ({status}) before {what}:\n{}", self.name, self.said()));
            }
            assert!(Instant::now() < deadline, "{}: still not {what}:\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("KILL");
        drop(self.wrapper.wait());
    }
}

/// A port of the loopback that is free now, and that this process was not given before. Another process may be quicker: see [`port_was_taken`].
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    // Those that were given before are held meanwhile, or the system would name one of them again and again.
    let mut held = Vec::new();
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
        held.push(listener);
    }
}

/// Whether this is how a process of Java says that somebody else has its port.
pub(crate) fn port_was_taken(said: &str) -> bool {
    said.contains("Address already in use") || said.contains("already bound")
}

#[test]
fn a_process_ends_with_a_signal_and_leaves_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start("sleep", folder.path(), &["sh".into(), "-c".into(), "echo here; exec sleep 1000".into()]);
    process.wait_for("heard", |process| process.said().contains("here").then_some(())).unwrap();
    assert!(process.ended().is_none());
    if cfg!(target_os = "linux") {
        process.wait_for("named", |process| (process.threads() == "sleep").then_some(())).unwrap();
    }
    let id = process.id();
    assert_eq!(process.stop("TERM").code(), Some(128 + 15));
    assert!(!Path::new(&format!("/proc/{id}")).exists());
    assert!(folder.path().join("log").exists());
}

#[test]
fn a_process_that_ends_by_itself_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start("false", folder.path(), &["sh".into(), "-c".into(), "echo sorry; exit 3".into()]);
    let error = process.wait_for("ready", |_| None::<()>).unwrap_err();
    assert!(error.contains("before ready") && error.contains("sorry") && error.contains('3'), "{error}");
}

/// The end of the pipe is what the death of the tests looks like.
#[test]
fn a_process_and_its_folder_go_with_the_tests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own");
    fs::create_dir(&path).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", WRAPPER, "sh"]).arg(&path).args(["sleep", "1000"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut wrapper = shell.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(wrapper.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(path.join("log").exists());
    drop(wrapper.stdin.take());
    assert_eq!(wrapper.wait().unwrap().code(), Some(128 + 9));
    assert!(!path.exists());
    assert!(!Path::new("/proc").join(line.trim()).exists());
}
