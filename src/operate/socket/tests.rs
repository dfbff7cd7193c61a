//! Asking and answering, and what happens to those who do not keep to it.

use super::*;

/// Answers a status with what it was made of; a tap without end; an import with a failure.
struct Parrot;

impl Handler for Parrot {
    fn handle(&self, request: Request, reply: &mut Reply) -> Result<(), Failure> {
        match request {
            Request::Status => {
                reply.say(&Response::Status(serde_json::json!({ "state": "RUNNING" })));
                Ok(())
            }
            Request::Tap(_) => {
                let over = reply.watch();
                while !over.is_over() && reply.send(&Response::Committed(1)).is_continue() {}
                Ok(())
            }
            Request::DeadLetters { .. } | Request::DryRun => Ok(()),
            Request::Import { path, .. } => {
                let causes = vec!["no such file".to_owned()];
                Err(Failure { message: format!("{} cannot be read", path.display()), causes, by_user: true, hints: Vec::new() })
            }
        }
    }
}

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Arc::new(Parrot)).unwrap();
    (folder, server)
}

fn ask_all(folder: &Path, request: &Request) -> (Vec<Response>, Option<Failure>) {
    let mut responses = Vec::new();
    let failure = ask(folder, request, &|| false, &mut |response| {
        responses.push(response);
        ControlFlow::Continue(())
    });
    (responses, failure.unwrap())
}

fn tap_request() -> Request {
    Request::Tap(tap::Request { topic: "t".to_owned(), from: tap::From::Earliest, key: None, follow: true })
}

#[test]
fn a_request_gets_its_answer() {
    let (folder, _server) = server();
    let (responses, failure) = ask_all(folder.path(), &Request::Status);
    assert!(matches!(responses.as_slice(), [Response::Status(status)] if status["state"] == "RUNNING"), "{responses:?}");
    assert_eq!(failure, None);
}

#[test]
fn a_failure_comes_with_its_causes() {
    let (folder, _server) = server();
    let (_, failure) = ask_all(folder.path(), &Request::Import { path: "/x".into(), source: None });
    let failure = failure.unwrap();
    assert_eq!((failure.message.as_str(), failure.causes.as_slice()), ("/x cannot be read", &["no such file".to_owned()][..]));
}

#[test]
fn only_the_user_may_connect() {
    let (folder, _server) = server();
    let mode = fs::metadata(folder.path().join("socket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    let (folder, _server) = server();
    for line in ["what?\n", "{\"command\":\"destroy\"}\n"] {
        let mut stream = UnixStream::connect(folder.path().join("socket")).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(matches!(serde_json::from_str(&answer).unwrap(), Response::Failed(_)), "{answer}");
    }
}

#[test]
fn a_request_without_end_is_not_read_to_its_end() {
    let (folder, _server) = server();
    let stream = UnixStream::connect(folder.path().join("socket")).unwrap();
    let mut writer = stream.try_clone().unwrap();
    // The server stops reading: at some point nothing more can be written.
    let chunk = vec![b'x'; 16 << 10];
    while writer.write_all(&chunk).is_ok() {}
    drop(stream);
    let (responses, _) = ask_all(folder.path(), &Request::Status);
    assert_eq!(responses.len(), 1, "others are still served");
}

#[test]
fn more_connections_than_allowed_are_refused_and_the_others_go_on() {
    let (folder, _server) = server();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = UnixStream::connect(folder.path().join("socket")).unwrap();
        stream.write_all(&serde_json::to_vec(&tap_request()).unwrap()).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut String::new()).unwrap();
        open.push(reader);
    }
    let (_, failure) = ask_all(folder.path(), &Request::Status);
    assert_eq!(failure.unwrap().message, "16 commands are being answered already");
    open[0].read_line(&mut String::new()).unwrap();
}

#[test]
fn stopping_ends_an_answer_without_end_and_leaves_no_socket() {
    let (folder, server) = server();
    let (begun, wait) = std::sync::mpsc::channel();
    let path = folder.path().to_owned();
    let client = std::thread::spawn(move || {
        ask(&path, &tap_request(), &|| false, &mut |_| {
            begun.send(()).unwrap_or_default();
            ControlFlow::Continue(())
        })
    });
    wait.recv().unwrap();
    drop(server);
    assert!(client.join().unwrap().is_ok());
    assert!(!folder.path().join("socket").exists());
    assert!(!answers(folder.path()));
    let error = ask(folder.path(), &Request::Status, &|| false, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.to_string(), format!("the owner of {} does not answer", folder.path().display()));
}

#[test]
fn a_dead_owners_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(folder.path().join("socket")).unwrap());
    assert!(folder.path().join("socket").exists());
    let _server = Server::start(folder.path(), Arc::new(Parrot)).unwrap();
    assert_eq!(ask_all(folder.path(), &Request::Status).0.len(), 1);
}

#[test]
fn a_long_path_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120)).join("y".repeat(120));
    fs::create_dir_all(&long).unwrap();
    let server = Server::start(&long, Arc::new(Parrot)).unwrap();
    assert_eq!(ask_all(&long, &Request::Status).0.len(), 1);
    drop(server);
    assert!(!long.join("socket").exists());
}

/// Gives a byte per read, without end, and stops the server after some.
struct Trickle {
    reads: usize,
    stop_after: usize,
    stop: Arc<AtomicBool>,
}

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads == self.stop_after {
            self.stop.store(true, Ordering::SeqCst);
        }
        into[0] = b'x';
        Ok(1)
    }
}

#[test]
fn a_request_that_trickles_in_ends_in_time_and_when_the_server_stops() {
    for (stop_after, reads, message) in
        [(usize::MAX, REQUEST_READS_MAX, "the request took too long to arrive"), (3, 3, "the owner is stopping")]
    {
        let stop = Arc::new(AtomicBool::new(false));
        let mut trickle = Trickle { reads: 0, stop_after, stop: Arc::clone(&stop) };
        let error = read_request(&mut trickle, REQUEST_READS_MAX, &stop).unwrap_err();
        assert_eq!((trickle.reads, error.to_string().as_str()), (reads, message));
    }
}

#[test]
fn a_client_that_is_refused_early_still_reads_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let failure = Failure { message: "no".to_owned(), causes: Vec::new(), by_user: false, hints: Vec::new() };
        serde_json::to_writer(&mut stream, &Response::Failed(failure)).unwrap();
        stream.write_all(b"\n").unwrap();
    });
    // Longer than what a socket holds: the write fails when the other side closes.
    let path = PathBuf::from("x".repeat(4 << 20));
    let (_, failure) = ask_all(folder.path(), &Request::Import { path, source: None });
    assert_eq!(failure.unwrap().message, "no");
    server.join().unwrap();
}

#[test]
fn a_refused_request_is_read_before_the_answer() {
    let (mut client, stream) = UnixStream::pair().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut observer = stream.try_clone().unwrap();
    client.write_all(b"\"status\"\n").unwrap();
    serve(stream, true, &Parrot, &stop).unwrap();
    observer.set_nonblocking(true).unwrap();
    assert!(observer.read(&mut [0]).is_err_and(|error| is_timeout(&error)), "something was left unread");
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer).unwrap();
    assert!(answer.contains("16 commands"), "{answer}");
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let (_client, stream) = UnixStream::pair().unwrap();
    // As if every wait were over at once.
    stream.set_nonblocking(true).unwrap();
    let mut reply = Reply::new(stream, Arc::default()).unwrap();
    while reply.send_in_time(&Response::Committed(1)).is_continue() {}
    assert!(reply.is_lost());
    assert!(reply.send(&Response::Done).is_break());
}

#[test]
fn after_a_failed_connection_the_next_is_waited_for_and_stopping_is_seen() {
    let (wake, stopped) = std::sync::mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tries = 0;
    let failing = std::iter::from_fn(|| {
        tries += 1;
        if tries == 2 {
            wake.send(()).unwrap();
        }
        (tries < 1_000).then(|| Err(io::Error::other("too many open files")))
    });
    let handler: Arc<dyn Handler> = Arc::new(Parrot);
    accept(failing, &handler, &stop, &stopped);
    assert_eq!(tries, 2);
}
