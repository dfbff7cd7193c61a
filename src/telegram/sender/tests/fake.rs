//! Telegram on loopback: takes messages, gives them numbers, and answers otherwise where a test says so. Real HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

/// What is done about a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The message is taken.
    Take,
    /// It is not; status and document.
    Say(u16, Value),
    /// It is taken, and the connection is cut before the answer.
    TakeAndCut,
    /// It is taken, and the answer comes when [`Fake::open`] is called.
    TakeAndHold,
    /// Not a document: bytes, and the end of the connection.
    Raw(&'static str),
}

/// A refusal as Telegram writes it.
pub(super) fn refusal(code: u16, description: &str) -> Answer {
    Answer::Say(code, json!({"ok": false, "error_code": code, "description": description}))
}

/// A message as it lies in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) chat: String,
    pub(super) text: String,
    /// Whether it replaced the text of an earlier one.
    pub(super) edited: bool,
}

#[derive(Debug, Default)]
struct Book {
    /// Per chat what is answered next; nothing left: it is taken.
    scripts: BTreeMap<String, VecDeque<Answer>>,
    /// All requests: method and body.
    asked: Vec<(String, Value)>,
    arrived: Vec<Arrived>,
    /// Requests per chat whose answer is not given yet, and the most there ever were.
    open: BTreeMap<String, usize>,
    most_open: usize,
    gate: bool,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    changed: Condvar,
    stop: AtomicBool,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that goes away is no fault of the test.
                std::thread::spawn(move || serve(&stream.unwrap(), &serving).unwrap_or_default());
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests for a chat are answered so.
    pub(super) fn script(&self, chat: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared.book.lock().scripts.entry(chat.to_owned()).or_default().extend(answers);
    }

    /// What was scripted for a chat is not answered any more.
    pub(super) fn forget(&self, chat: &str) {
        self.shared.book.lock().scripts.remove(chat);
    }

    /// The answers that are held back are given, now and from now on.
    pub(super) fn open(&self) {
        self.shared.book.lock().gate = true;
        self.shared.changed.notify_all();
    }

    /// Waits until so many messages have arrived.
    pub(super) fn wait_for(&self, messages: usize) {
        let mut book = self.shared.book.lock();
        while book.arrived.len() < messages {
            let waited = self.shared.changed.wait_for(&mut book, Duration::from_secs(30));
            assert!(!waited.timed_out(), "only {:?} arrived", book.arrived);
        }
    }

    /// Waits until no request is open.
    pub(super) fn drain(&self) {
        let mut book = self.shared.book.lock();
        while book.open.values().any(|open| *open > 0) {
            let waited = self.shared.changed.wait_for(&mut book, Duration::from_secs(30));
            assert!(!waited.timed_out(), "a request stays open");
        }
    }

    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.shared.book.lock().arrived.clone()
    }

    /// The texts that a chat has got, in order.
    pub(super) fn texts(&self, chat: &str) -> Vec<String> {
        self.arrived().into_iter().filter(|arrived| arrived.chat == chat).map(|arrived| arrived.text).collect()
    }

    /// The requests since the last time.
    pub(super) fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.shared.book.lock().asked)
    }

    /// The most requests that one chat ever had open.
    pub(super) fn most_open(&self) -> usize {
        self.shared.book.lock().most_open
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.open();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let method = line.split_whitespace().nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let chat = body["chat_id"].as_str().unwrap().to_owned();
    let answer = begin(shared, &method, &chat, &body);
    let said = reply(shared, &answer);
    *shared.book.lock().open.get_mut(&chat).unwrap() -= 1;
    shared.changed.notify_all();
    let mut stream = stream;
    stream.write_all(said.as_bytes())
}

/// Takes down a request; what is answered, with the message's number where it is taken.
fn begin(shared: &Shared, method: &str, chat: &str, body: &Value) -> (Answer, i64) {
    let mut book = shared.book.lock();
    let open = book.open.entry(chat.to_owned()).or_default();
    *open += 1;
    let open = *open;
    book.most_open = book.most_open.max(open);
    book.asked.push((method.to_owned(), body.clone()));
    let answer = book.scripts.get_mut(chat).and_then(VecDeque::pop_front).unwrap_or(Answer::Take);
    if matches!(answer, Answer::Take | Answer::TakeAndCut | Answer::TakeAndHold) {
        let text = body["text"].as_str().unwrap().to_owned();
        book.arrived.push(Arrived { chat: chat.to_owned(), text, edited: method == "editMessageText" });
        shared.changed.notify_all();
    }
    let number = body["message_id"].as_i64().unwrap_or_else(|| i64::try_from(book.arrived.len()).unwrap());
    (answer, number)
}

fn reply(shared: &Shared, (answer, number): &(Answer, i64)) -> String {
    let document = |status: u16, document: &Value| {
        let body = document.to_string();
        format!(
            "HTTP/1.1 {status} Fake\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let taken = || document(200, &json!({"ok": true, "result": {"message_id": number, "date": 1, "text": "t"}}));
    match answer {
        Answer::Take => taken(),
        Answer::Say(status, said) => document(*status, said),
        Answer::TakeAndCut => String::new(),
        Answer::TakeAndHold => {
            let mut book = shared.book.lock();
            while !book.gate {
                shared.changed.wait(&mut book);
            }
            taken()
        }
        Answer::Raw(bytes) => (*bytes).to_owned(),
    }
}
