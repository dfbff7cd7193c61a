//! A YouTube on loopback for simulated weeks: real HTTP, faults from the seed, its own idea of the quota's days, and an access log.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tidewatch::streams::clock::Clock as _;

use super::super::process::Hand;
use super::clock::Passing;
use crate::random::Random;

pub(super) const LIST: &str = "PLsimulated";

/// A video, as it is now.
#[derive(Clone, Debug)]
pub(super) struct Video {
    pub(super) views: i64,
    pub(super) is_listed: bool,
    pub(super) is_private: bool,
    pub(super) is_deleted: bool,
    /// When it became visible and listed, or ceased to be, one after the other, beginning with visible.
    pub(super) changes: Vec<i64>,
    /// Its counter through time: from this time on so many.
    pub(super) history: Vec<(i64, i64)>,
}

impl Video {
    pub(super) fn is_there(&self) -> bool {
        self.is_listed && self.is_shown()
    }

    pub(super) fn is_shown(&self) -> bool {
        !self.is_private && !self.is_deleted
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) at_ms: i64,
    pub(super) said: &'static str,
}

/// All there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) videos: BTreeMap<String, Video>,
    pub(super) log: Vec<Access>,
    /// How many of a thousand requests fail.
    pub(super) trouble: u64,
    /// Until when all of them fail in one way.
    pub(super) outage: Option<(i64, &'static str)>,
    /// Somebody else spends units of the same project: from now on there are none left, until the day ends.
    pub(super) is_spent_on: Option<i64>,
    pub(super) spent_days: BTreeSet<i64>,
    /// After so many more requests whoever asks is dead.
    pub(super) kill: Option<(u64, Arc<Hand>)>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// The days of the quota, by a table: midnight on the Pacific coast is at 8:00 UTC in winter and 7:00 in summer.
const SUMMERS: [(&str, &str); 3] = [
    ("2025-03-09T10:00:00Z", "2025-11-02T09:00:00Z"),
    ("2026-03-08T10:00:00Z", "2026-11-01T09:00:00Z"),
    ("2027-03-14T10:00:00Z", "2027-11-07T09:00:00Z"),
];

pub(super) fn moment(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// The number of the day that a moment is in.
pub(super) fn day(at_ms: i64) -> i64 {
    let is_summer = SUMMERS.iter().any(|(from, to)| (moment(from)..moment(to)).contains(&at_ms));
    (at_ms - if is_summer { 7 } else { 8 } * 3_600_000).div_euclid(86_400_000)
}

const KINDS: [&str; 9] =
    ["rateLimitExceeded", "429 Retry-After", "500", "503 Retry-After", "half a document", "cut", "HTML 403", "HTML 502", "empty"];

impl World {
    pub(super) fn new(random: Random) -> Self {
        let (videos, log, spent_days, counts) = (BTreeMap::new(), Vec::new(), BTreeSet::new(), BTreeMap::new());
        Self { random, videos, log, trouble: 0, outage: None, is_spent_on: None, spent_days, kill: None, counts }
    }

    /// What is answered: its kind, status, a header, the body, and how much of it.
    fn answer(&mut self, target: &str, now: i64) -> (&'static str, u16, Option<&'static str>, String, bool) {
        let today = day(now);
        if self.is_spent_on == Some(today) {
            self.spent_days.insert(today);
            return ("quotaExceeded", 403, None, refusal(403, "quotaExceeded", "youtube.quota"), false);
        }
        let fault = match self.outage {
            Some((until, kind)) if now < until => Some(kind),
            _ if self.random.permille(self.trouble) => Some(*self.random.pick(&KINDS)),
            _ => None,
        };
        if let Some(kind) = fault {
            let (status, header, body, cut) = match kind {
                "rateLimitExceeded" => (403, None, refusal(403, "rateLimitExceeded", "usageLimits"), false),
                "429 Retry-After" => (429, Some("retry-after: 40"), refusal(429, "RATE_LIMIT_EXCEEDED", "global"), false),
                "500" => (500, None, refusal(500, "backendError", "global"), false),
                "503 Retry-After" => (503, Some("retry-after: 200"), refusal(503, "SERVICE_UNAVAILABLE", "global"), false),
                "half a document" => {
                    let whole = self.document(target);
                    (200, None, whole[..whole.len() / 2].to_owned(), false)
                }
                "cut" => (200, None, self.document(target), true),
                "HTML 403" => (403, None, "<html>no</html>".to_owned(), false),
                "HTML 502" => (502, None, "<html>bad gateway</html>".to_owned(), false),
                _ => (200, None, String::new(), false),
            };
            return (kind, status, header, body, cut);
        }
        ("200", 200, None, self.document(target), false)
    }

    fn document(&self, target: &str) -> String {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let get = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        if target.starts_with("/playlistItems") {
            let listed: Vec<_> = self.videos.iter().filter(|(_, video)| video.is_listed && !video.is_deleted).collect();
            let start: usize = get("pageToken").map_or(0, |token| token.trim_start_matches("PAGE").parse().unwrap());
            let item = |(id, video): &(&String, &Video)| {
                let privacy = if video.is_private { "private" } else { "public" };
                json!({"contentDetails": {"videoId": id}, "status": {"privacyStatus": privacy}})
            };
            let items: Vec<Value> = listed.iter().skip(start).take(50).map(item).collect();
            let mut page = json!({"kind": "youtube#playlistItemListResponse", "items": items});
            if start + 50 < listed.len() {
                page["nextPageToken"] = json!(format!("PAGE{}", start + 50));
            }
            return page.to_string();
        }
        let ids = get("id").unwrap().replace("%2C", ",");
        let seen = ids.split(',').filter_map(|id| Some((id, self.videos.get(id).filter(|video| video.is_shown())?)));
        let items: Vec<Value> = seen
            .map(|(id, video)| {
                json!({"id": id, "snippet": {"title": format!("Title of {id}"), "channelId": "UCsimulated", "channelTitle": "A channel",
                        "publishedAt": "2025-05-02T17:00:05Z", "liveBroadcastContent": "none"},
                       "statistics": {"viewCount": video.views.to_string(), "likeCount": "7", "commentCount": "3"},
                       "contentDetails": {"duration": "PT1M"}, "status": {"privacyStatus": "public"}})
            })
            .collect();
        json!({"kind": "youtube#videoListResponse", "items": items}).to_string()
    }
}

fn refusal(status: u16, reason: &str, domain: &str) -> String {
    json!({"error": {"code": status, "message": "no", "errors": [{"message": "no", "domain": domain, "reason": reason}]}}).to_string()
}

/// The server; it ends when it is dropped.
pub(super) struct YouTube {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl YouTube {
    pub(super) fn start(clock: &Passing, world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (world, stop) = (Arc::new(Mutex::new(world)), Arc::new(AtomicBool::new(false)));
        let (served, stopping, clock) = (Arc::clone(&world), Arc::clone(&stop), clock.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (world, clock, stream) = (Arc::clone(&served), clock.clone(), stream.unwrap());
                // A client that goes away is no fault of the run.
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
}

impl Drop for YouTube {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, world: &Mutex<World>, clock: &Passing) -> std::io::Result<()> {
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
        let (killed, status, header, body, is_cut) = {
            let mut world = world.lock();
            let at_ms = clock.now().0;
            let mut killed = None;
            if let Some((left, hand)) = &mut world.kill {
                *left = left.saturating_sub(1);
                killed = (*left == 0).then(|| Arc::clone(hand));
            }
            let (said, status, header, body, is_cut) = world.answer(&target, at_ms);
            world.log.push(Access { at_ms, said });
            *world.counts.entry(said).or_default() += 1;
            (killed, status, header, body, is_cut)
        };
        if let Some(hand) = killed {
            hand.kill_and_wait();
        }
        let more = header.map(|header| format!("{header}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} Simulated\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n", body.len());
        let sent = if is_cut { &body[..body.len() / 2] } else { &body };
        let mut writer = stream;
        writer.write_all([head.as_bytes(), sent.as_bytes()].concat().as_slice())?;
        if is_cut {
            return Ok(());
        }
    }
}
