//! A YouTube on loopback: lists and videos that a test changes, over real HTTP in the API's own shapes. It counts units by Pacific days.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::streams::clock::{Clock, ManualClock};
use crate::youtube::PacificDay;

/// Items of a page.
const PAGE: usize = 50;

/// A video that can be seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) title: String,
    pub(super) views: u64,
    /// None where they are hidden.
    pub(super) likes: Option<u64>,
}

/// What answers in the place of the world: a status and a body, for requests whose target it knows.
type Fault = Box<dyn FnMut(&str) -> Option<(u16, String)> + Send>;

/// All there is.
#[derive(Default)]
pub(super) struct World {
    /// The items of each list, in order; ids may repeat.
    pub(super) lists: BTreeMap<String, Vec<String>>,
    /// What `videos.list` knows.
    pub(super) videos: BTreeMap<String, Seen>,
    /// Those whose items say that they are private: in all lists, or as `<list>/<id>` in that one.
    pub(super) private: BTreeSet<String>,
    /// Channels by their handles.
    pub(super) handles: BTreeMap<String, String>,
    pub(super) fault: Option<Fault>,
    /// Units per day, also of requests that fail.
    pub(super) units: BTreeMap<PacificDay, u64>,
    pub(super) requests: Vec<String>,
    /// After this many more requests whoever asks is dead: the answer is given, and then nothing works any more.
    pub(super) kill: Option<(u64, Arc<AtomicBool>)>,
}

impl World {
    pub(super) fn add(&mut self, list: &str, id: &str) {
        self.lists.entry(list.to_owned()).or_default().push(id.to_owned());
        self.publish(id);
    }

    pub(super) fn add_all(&mut self, list: &str, ids: &[&str]) {
        for id in ids {
            self.add(list, id);
        }
    }

    pub(super) fn publish(&mut self, id: &str) {
        let seen = Seen { title: format!("Title of {id}"), views: 100, likes: Some(10) };
        self.videos.entry(id.to_owned()).or_insert(seen);
    }

    pub(super) fn leave(&mut self, list: &str, id: &str) {
        self.lists.get_mut(list).unwrap().retain(|item| item != id);
    }

    fn answer(&mut self, target: &str) -> (u16, String) {
        if let Some(answer) = self.fault.as_mut().and_then(|fault| fault(target)) {
            return answer;
        }
        let url = Url::parse(&format!("http://youtube{target}")).unwrap();
        let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        match url.path() {
            "/playlistItems" => self.page(&get("playlistId").unwrap(), get("pageToken").as_deref(), &get("maxResults").unwrap()),
            "/videos" => self.batch(&get("id").unwrap()),
            "/channels" => {
                let found = self.handles.get(&get("forHandle").unwrap());
                let items: Vec<Value> = found.into_iter().map(|id| json!({ "id": id, "snippet": { "title": "A channel" } })).collect();
                (200, json!({ "kind": "youtube#channelListResponse", "items": items }).to_string())
            }
            path => (404, path.to_owned()),
        }
    }

    fn page(&self, list: &str, token: Option<&str>, size: &str) -> (u16, String) {
        assert_eq!(size, "50");
        let Some(items) = self.lists.get(list) else { return error(404, "playlistNotFound", "youtube.playlistItem") };
        let start: usize = token.map_or(0, |token| token.strip_prefix("PAGE").unwrap().parse().unwrap());
        let is_private = |id: &String| self.private.contains(id) || self.private.contains(&format!("{list}/{id}"));
        let privacy = |id: &String| if is_private(id) { "private" } else { "public" };
        let page: Vec<Value> = (items.iter().skip(start).take(PAGE))
            .map(|id| json!({ "contentDetails": { "videoId": id }, "status": { "privacyStatus": privacy(id) } }))
            .collect();
        let mut body = json!({ "kind": "youtube#playlistItemListResponse", "items": page });
        if start + PAGE < items.len() {
            body["nextPageToken"] = json!(format!("PAGE{}", start + PAGE));
        }
        (200, body.to_string())
    }

    fn batch(&self, ids: &str) -> (u16, String) {
        let ids: Vec<&str> = ids.split(',').collect();
        if ids.len() > PAGE {
            return error(400, "invalidFilters", "youtube.parameter");
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is asked for twice");
        // The order is not promised.
        let items: Vec<Value> = ids.iter().rev().filter_map(|id| Some(video(id, self.videos.get(*id)?))).collect();
        let mut body = json!({ "kind": "youtube#videoListResponse" });
        // An empty answer may have no list at all.
        if !items.is_empty() {
            body["items"] = json!(items);
        }
        (200, body.to_string())
    }
}

fn video(id: &str, seen: &Seen) -> Value {
    let mut statistics = Map::new();
    statistics.insert("viewCount".to_owned(), json!(seen.views.to_string()));
    statistics.insert("favoriteCount".to_owned(), json!("0"));
    if let Some(likes) = seen.likes {
        statistics.insert("likeCount".to_owned(), json!(likes.to_string()));
    }
    json!({
        "id": id,
        "snippet": {
            "title": seen.title, "channelId": "UCfake", "channelTitle": "A channel", "publishedAt": "2026-05-02T17:00:05Z",
            "liveBroadcastContent": "none",
        },
        "statistics": statistics,
        "contentDetails": { "duration": "PT12M34S" },
        "status": { "privacyStatus": "public" },
    })
}

/// An error as YouTube writes it.
pub(super) fn error(status: u16, reason: &str, domain: &str) -> (u16, String) {
    let one = json!({ "message": format!("because of <code>{reason}</code>"), "domain": domain, "reason": reason });
    (status, json!({ "error": { "code": status, "message": "no", "errors": [one] } }).to_string())
}

/// The server; it ends when it is dropped.
pub(super) struct Fake {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(super) fn start(clock: ManualClock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (world, stop) = (Arc::<Mutex<World>>::default(), Arc::new(AtomicBool::new(false)));
        let (served, stopping) = (Arc::clone(&world), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (world, clock, stream) = (Arc::clone(&served), clock.clone(), stream.unwrap());
                // A client that goes away is no fault of the test.
                std::thread::spawn(move || serve(&stream, &world, &clock).unwrap_or_default());
            }
        });
        Self { address, world, stop, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the world, or looks at it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock())
    }

    /// The paths that were asked for since the last time.
    pub(super) fn paths(&self) -> Vec<String> {
        let requests = self.with(|world| std::mem::take(&mut world.requests));
        requests.into_iter().map(|target| target.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned()).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, world: &Mutex<World>, clock: &ManualClock) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while !line.trim_end().is_empty() {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let (status, body) = {
            let mut world = world.lock();
            *world.units.entry(PacificDay::of(clock.now())).or_default() += 1;
            world.requests.push(target.clone());
            if let Some((left, dead)) = &mut world.kill {
                *left = left.saturating_sub(1);
                dead.fetch_or(*left == 0, Ordering::SeqCst);
            }
            world.answer(&target)
        };
        let head = format!("HTTP/1.1 {status} Fake\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut writer = stream;
        writer.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())?;
    }
}
