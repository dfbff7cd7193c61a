//! The simulated channel, served as the YouTube Data API v3 serves channels: playlistItems.list, videos.list and channels.list.
//!
//! Ten minutes pass on the channel when the first page of its playlist is asked for: whoever polls it sees it move. Every request costs a unit,
//! also one that is refused; when the day's are spent there is 403 until [`YouTube::refill`].

mod documents;
mod errors;
mod mask;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::channel::{CHANNEL_ID, Event, HANDLE, PLAYLIST};
use super::server::{Answer, Asked, Error, Server, Service, hang};
use super::{Channel, Fault, Faults, set};
use errors::Refusal;
use mask::Mask;

/// Where the methods are, below the server.
const BASE_PATH: &str = "/youtube/v3";

/// The most that one page, and one request for videos, may hold.
const PAGE_MAX: usize = 50;

/// What a page holds where the request does not say.
const PAGE_DEFAULT: usize = 5;

/// What page tokens begin with.
const TOKEN: &str = "EAAaB1BUOk";

/// Events that nobody has asked for; older ones are forgotten.
const EVENTS_MAX: usize = 64;

/// How the service is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The only key that is valid.
    pub api_key: String,
    /// Units of a day.
    pub units_per_day: u64,
    /// What goes wrong, by the number of the request.
    pub faults: Faults,
}

#[derive(Debug)]
struct State {
    channel: Channel,
    /// The playlist that makes time pass: the first one that was asked for.
    leading: Option<String>,
    units: u64,
    units_today: u64,
    observations: u64,
    faults: Faults,
    events: VecDeque<Event>,
}

/// The service; it answers until it is dropped.
#[derive(Debug)]
pub struct YouTube {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct Answering {
    state: Arc<Mutex<State>>,
    api_key: String,
    units_per_day: u64,
}

impl YouTube {
    /// Serves `channel` on a free port of the loopback.
    pub fn start(channel: Channel, options: Options) -> Result<Self, Error> {
        let Options { api_key, units_per_day, faults } = options;
        let state = State { channel, leading: None, units: 0, units_today: 0, observations: 0, faults, events: VecDeque::new() };
        let state = Arc::new(Mutex::new(state));
        let answering = Answering { state: Arc::clone(&state), api_key, units_per_day };
        Ok(Self { server: Server::start("youtube", Arc::new(answering))?, state })
    }

    /// What the methods' names are appended to, as `https://www.googleapis.com/youtube/v3` is.
    pub fn base_url(&self) -> String {
        format!("http://{}{BASE_PATH}", self.server.address())
    }

    /// The units spent so far, one per request.
    pub fn units(&self) -> u64 {
        self.state.lock().units
    }

    /// The videos that videos.list answered with so far.
    pub fn observations(&self) -> u64 {
        self.state.lock().observations
    }

    /// A new day: all of its units are there.
    pub fn refill(&self) {
        self.state.lock().units_today = 0;
    }

    /// What happened on the channel since the last time, the last 64 at most.
    pub fn take_events(&self) -> Vec<Event> {
        self.state.lock().events.drain(..).collect()
    }

    /// The next requests meet these faults.
    pub fn push_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.push(faults);
    }
}

impl Service for Answering {
    async fn answer(&self, asked: Asked) -> Option<Answer> {
        let fault = self.state.lock().faults.next();
        match fault {
            Some(Fault::HangBefore) => hang().await,
            Some(Fault::ResetBefore) => return None,
            Some(Fault::BadGateway) => return Some(Answer::bad_gateway()),
            _ => {}
        }
        let answer = self.take(&asked, fault).unwrap_or_else(Refusal::answer);
        zipped(answer, &asked).after(fault).await
    }
}

impl Answering {
    /// Counts the request and does what it asks for.
    fn take(&self, asked: &Asked, fault: Option<Fault>) -> Result<Answer, Refusal> {
        let mut state = self.state.lock();
        let key = asked.header("x-goog-api-key").or_else(|| asked.parameter("key")).filter(|key| !key.is_empty());
        if key.ok_or(Refusal::NoKey)? != self.api_key {
            return Err(Refusal::WrongKey);
        }
        state.units += 1;
        state.units_today += 1;
        match fault {
            _ if state.units_today > self.units_per_day => return Err(Refusal::Quota),
            Some(Fault::TooMany { .. }) => return Err(Refusal::TooMany),
            Some(Fault::Internal) => return Err(Refusal::Internal),
            _ => {}
        }
        let method = asked.path.strip_prefix(BASE_PATH).filter(|_| asked.method == "GET");
        let mask = asked.parameter("fields").map_or(Some(Mask::All), Mask::parse).ok_or(Refusal::Fields)?;
        let parts: Vec<&str> = asked.query.iter().filter(|(name, _)| name == "part").flat_map(|(_, parts)| parts.split(',')).collect();
        let known: fn(&mut State, &Asked, &[&str]) -> Result<Value, Refusal> = match method {
            Some("/playlistItems") => State::playlist_items,
            Some("/videos") => State::videos,
            Some("/channels") => State::channels,
            _ => return Err(Refusal::NoSuchMethod),
        };
        if parts.is_empty() {
            return Err(Refusal::Missing("part"));
        }
        let mut document = known(&mut state, asked, &parts)?;
        let etag = documents::etag(&document);
        set(&mut document, "etag", etag);
        mask.apply(&mut document);
        Ok(Answer::json(200, &document))
    }
}

impl State {
    fn playlist_items(&mut self, asked: &Asked, parts: &[&str]) -> Result<Value, Refusal> {
        let playlist = asked.parameter("playlistId").ok_or(Refusal::Missing("playlistId"))?;
        let page = match asked.parameter("maxResults").map(str::parse) {
            None => PAGE_DEFAULT,
            Some(Ok(page @ 0..=PAGE_MAX)) => page,
            Some(_) => return Err(Refusal::MaxResults),
        };
        documents::list(&self.channel, playlist).ok_or(Refusal::NoSuchPlaylist)?;
        let token = asked.parameter("pageToken").filter(|token| !token.is_empty());
        let place = |token: &str| token.strip_prefix(TOKEN).and_then(|place| usize::from_str_radix(place, 16).ok());
        let first = token.map_or(Some(0), place).ok_or(Refusal::PageToken)?;
        if token.is_none() {
            self.time_passes(playlist);
        }
        let list = documents::list(&self.channel, playlist).ok_or(Refusal::NoSuchPlaylist)?;
        let items = list.iter().enumerate().skip(first).take(page);
        let items: Vec<Value> = items.map(|(place, video)| documents::playlist_item(playlist, place, video, parts)).collect();
        let mut document = json!({
            "kind": "youtube#playlistItemListResponse",
            "items": items,
            "pageInfo": {"totalResults": list.len(), "resultsPerPage": page},
        });
        let token = |place: usize| Value::from(format!("{TOKEN}{place:x}"));
        if page > 0 && first + page < list.len() {
            set(&mut document, "nextPageToken", token(first + page));
        }
        if first > 0 {
            set(&mut document, "prevPageToken", token(first.saturating_sub(page)));
        }
        Ok(document)
    }

    /// Ten minutes pass where this is the playlist that is polled, and not for the first time.
    fn time_passes(&mut self, playlist: &str) {
        match &self.leading {
            None => self.leading = Some(playlist.to_owned()),
            Some(leading) if leading == playlist => {
                self.channel.pass();
                self.events.extend(self.channel.events().iter().cloned());
                let old = self.events.len().saturating_sub(EVENTS_MAX);
                self.events.drain(..old);
            }
            Some(_) => {}
        }
    }

    fn videos(&mut self, asked: &Asked, parts: &[&str]) -> Result<Value, Refusal> {
        let ids: Vec<&str> = asked.query.iter().filter(|(name, _)| name == "id").flat_map(|(_, ids)| ids.split(',')).collect();
        if ids.len() > PAGE_MAX {
            return Err(Refusal::TooManyIds);
        }
        if ids.is_empty() {
            return Err(Refusal::Missing("id"));
        }
        // What cannot be seen is left out without a word.
        let items: Vec<Value> =
            self.channel.public().filter(|video| ids.contains(&&*video.id)).map(|video| documents::video(video, parts)).collect();
        self.observations += items.len() as u64;
        let page = json!({"totalResults": items.len(), "resultsPerPage": items.len()});
        Ok(json!({"kind": "youtube#videoListResponse", "items": items, "pageInfo": page}))
    }

    fn channels(&mut self, asked: &Asked, parts: &[&str]) -> Result<Value, Refusal> {
        let found = match (asked.parameter("forHandle"), asked.parameter("id")) {
            (Some(handle), _) => handle.trim_start_matches('@').eq_ignore_ascii_case(HANDLE.trim_start_matches('@')),
            (None, Some(ids)) => ids.split(',').any(|id| id == CHANNEL_ID),
            (None, None) => return Err(Refusal::Missing("id")),
        };
        let count = u8::from(found);
        let mut document = json!({"kind": "youtube#channelListResponse", "pageInfo": {"totalResults": count, "resultsPerPage": 5}});
        if found {
            // An empty list has no items at all.
            set(&mut document, "items", vec![documents::channel(&self.channel, parts)]);
        }
        Ok(document)
    }
}

/// Compressed where the client reads that.
fn zipped(mut answer: Answer, asked: &Asked) -> Answer {
    if !asked.header("accept-encoding").is_some_and(|codings| codings.contains("gzip")) {
        return answer;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zipped = encoder.write_all(&answer.body).and_then(|()| encoder.finish());
    if let Ok(zipped) = zipped {
        answer.body = zipped;
        answer = answer.with("content-encoding", "gzip");
    }
    answer
}
