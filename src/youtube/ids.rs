//! What people paste for a playlist, a channel or a video: ids, addresses of any kind, handles; and the playlists that every channel has.
//!
//! Ids are not taken by their length, which YouTube may change, but by their characters, since they go into URLs and keys of records. Where an id
//! is clearly one of another kind, the right place for it is named.

use std::fmt;

use reqwest::Url;

/// No id is nearly as long.
const ID_BYTES_MAX: usize = 128;

/// Handles have 3 to 30 characters.
const HANDLE_CHARS_MAX: usize = 60;

/// Ids of videos have 11 characters, those of channels 24, those of playlists 13 and more.
const VIDEO_CHARS: usize = 11;
const CHANNEL_CHARS_MIN: usize = 20;

/// What the ids of playlists begin with: made by people, uploads, favourites, albums, mixes.
const LIST_PREFIXES: [&str; 5] = ["PL", "UU", "FL", "OLAK5uy_", "RD"];

/// Playlists that only their owner can read: watch later, likes, history, liked music.
const OWN_LISTS: [&str; 4] = ["WL", "LL", "HL", "LM"];

/// Mixes that are the same for everybody.
const SHARED_MIX: &str = "RDCLAK5uy_";

/// Why a text is not what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unfit {
    /// What it is, or is not.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A channel, as it was named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// By its id: `UC…`.
    Id(String),
    /// By its handle, without the `@`: its id must be asked for.
    Handle(String),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Handle(name) => write!(f, "@{name}"),
        }
    }
}

/// Which uploads of a channel are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// Videos that are neither Shorts nor live broadcasts.
    pub videos: bool,
    /// Shorts.
    pub shorts: bool,
    /// Live broadcasts, past and coming.
    pub live: bool,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { videos: true, shorts: true, live: true }
    }
}

impl Uploads {
    /// The playlists that hold them. `UU…` is documented (`relatedPlaylists.uploads`); the others are not, but widely used. None where
    /// `channel` is no id of a channel.
    pub fn lists(self, channel: &str) -> Vec<String> {
        let Some(rest) = channel.strip_prefix("UC") else { return Vec::new() };
        if self == Self::default() {
            return vec![format!("UU{rest}")];
        }
        let parts = [(self.videos, "UULF"), (self.shorts, "UUSH"), (self.live, "UULV")];
        parts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, prefix)| format!("{prefix}{rest}")).collect()
    }
}

/// The id of a channel without its `UC`, where a list is that of one kind of its uploads.
pub(super) fn part_of_uploads(list: &str) -> Option<&str> {
    ["UULF", "UUSH", "UULV"].iter().find_map(|prefix| list.strip_prefix(prefix))
}

/// Whether `text` has only characters of ids.
pub fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether `name` may be a handle without its `@`: letters of any script, digits, `.`, `-`, `_` and `·`.
pub fn is_handle(name: &str) -> bool {
    let legal = |c: char| match c {
        '.' | '-' | '_' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => !c.is_control() && !c.is_whitespace(),
    };
    !name.is_empty() && name.chars().count() <= HANDLE_CHARS_MAX && name.chars().all(legal)
}

/// The id of the playlist that a text names: an id, or an address with `list=`.
pub fn playlist(text: &str) -> Result<String, Unfit> {
    let id = match look(text)? {
        Named { list: Some(list), .. } => list,
        Named { bare: Some(id), .. } if is_channel(&id) => return Err(channel_as_playlist(&id)),
        Named { bare: Some(id), .. } if id.len() == VIDEO_CHARS && !has_list_prefix(&id) => {
            return Err(wrong_key(&id, "a video", "videos"));
        }
        Named { bare: Some(id), .. } => id,
        Named { channel: Some(Channel::Id(id)), .. } => return Err(channel_as_playlist(&id)),
        Named { channel: Some(channel), .. } => return Err(wrong_key(&channel.to_string(), "a channel", "channels")),
        Named { video: Some(video), .. } => return Err(wrong_key(&video, "a video", "videos")),
        Named { .. } => return Err(nothing(text)),
    };
    if OWN_LISTS.contains(&id.as_str()) {
        let hint = "watch later, likes and history are private: make a playlist that is public or unlisted".to_owned();
        return Err(Unfit { message: format!("{id} is a playlist that only its owner can read"), hint });
    }
    if id.starts_with("RD") && !id.starts_with(SHARED_MIX) {
        let hint = "make a playlist of what is in it: a mix is another one for everybody".to_owned();
        return Err(Unfit { message: format!("{id} is a mix, which no key can read"), hint });
    }
    Ok(id)
}

/// The channel that a text names: an id, a handle, or an address with one of them.
pub fn channel(text: &str) -> Result<Channel, Unfit> {
    match look(text)? {
        Named { channel: Some(channel), .. } => Ok(channel),
        Named { bare: Some(id), .. } if id.starts_with("UC") => Ok(Channel::Id(id)),
        Named { bare: Some(id), .. } if is_list(&id) => Err(wrong_key(&id, "a playlist", "playlists")),
        Named { bare: Some(id), .. } => {
            let hint = format!("a channel is its id (UC...) or its handle with the @: did you mean \"@{id}\"?");
            Err(Unfit { message: format!("\"{id}\" is no id of a channel"), hint })
        }
        Named { video: Some(video), .. } => Err(wrong_key(&video, "a video", "videos")),
        Named { list: Some(list), .. } => Err(wrong_key(&list, "a playlist", "playlists")),
        Named { .. } => Err(nothing(text)),
    }
}

/// The id of the video that a text names: an id, or an address of a video, a Short or a live broadcast.
pub fn video(text: &str) -> Result<String, Unfit> {
    match look(text)? {
        Named { video: Some(video), .. } => Ok(video),
        Named { bare: Some(id), .. } if is_list(&id) => Err(wrong_key(&id, "a playlist", "playlists")),
        Named { bare: Some(id), .. } if is_channel(&id) => Err(wrong_key(&id, "a channel", "channels")),
        Named { bare: Some(id), .. } => Ok(id),
        Named { channel: Some(channel), .. } => Err(wrong_key(&channel.to_string(), "a channel", "channels")),
        Named { list: Some(list), .. } => Err(wrong_key(&list, "a playlist", "playlists")),
        Named { .. } => Err(nothing(text)),
    }
}

/// What a text names; a video's address may name the playlist too.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    /// An id alone, whose kind only its place or its look can tell.
    bare: Option<String>,
    video: Option<String>,
    list: Option<String>,
    channel: Option<Channel>,
}

fn look(text: &str) -> Result<Named, Unfit> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Unfit { message: "an empty text names nothing".to_owned(), hint: "give an id, or an address of YouTube's".to_owned() });
    }
    if let Some(name) = text.strip_prefix('@') {
        return handle(name).map(|channel| Named { channel: Some(channel), ..Named::default() });
    }
    if text.contains(['/', '?', ':']) {
        return address(text);
    }
    id(text).map(|id| Named { bare: Some(id), ..Named::default() })
}

fn address(text: &str) -> Result<Named, Unfit> {
    let hint = "as in https://www.youtube.com/watch?v=..., https://youtu.be/..., https://www.youtube.com/playlist?list=...".to_owned();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&with_scheme).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return Err(Unfit { message: format!("\"{}\" is neither an id nor an address", shown(text)), hint });
    };
    let site = ["www.", "m.", "music."].iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(host);
    if !matches!(site, "youtube.com" | "youtube-nocookie.com" | "youtu.be") {
        return Err(Unfit { message: format!("\"{}\" is not an address of YouTube's", shown(text)), hint });
    }
    let of_query = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| id(&value)).transpose();
    let mut named = Named { video: of_query("v")?, list: of_query("list")?, ..Named::default() };
    let path: Vec<String> = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        // An address of a playlist to embed.
        ["embed", "videoseries"] => {}
        [video, ..] if site == "youtu.be" => named.video = Some(id(video)?),
        ["shorts" | "live" | "embed" | "v" | "watch", video, ..] => named.video = Some(id(video)?),
        ["channel", channel, ..] => named.channel = Some(Channel::Id(channel_id(channel)?)),
        [name, ..] if name.starts_with('@') => named.channel = Some(handle(name.trim_start_matches('@'))?),
        ["c" | "user", name, ..] => {
            let hint = format!("open it in a browser and take the handle that the page shows under its name, as in \"@{}\"", shown(name));
            return Err(Unfit { message: "an old address of a channel (/c/, /user/) cannot be looked up".to_owned(), hint });
        }
        _ => {}
    }
    Ok(named)
}

/// An id of characters that ids have.
fn id(text: &str) -> Result<String, Unfit> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let message = format!("\"{}\" cannot be an id of YouTube's", shown(text));
    Err(Unfit { message, hint: "ids are made of letters, digits, - and _; a handle of a channel begins with @".to_owned() })
}

fn channel_id(text: &str) -> Result<String, Unfit> {
    let id = id(text)?;
    if id.starts_with("UC") {
        return Ok(id);
    }
    Err(Unfit { message: format!("\"{id}\" is no id of a channel"), hint: "they begin with UC".to_owned() })
}

fn handle(name: &str) -> Result<Channel, Unfit> {
    if is_handle(name) {
        return Ok(Channel::Handle(name.to_owned()));
    }
    let hint = "letters, digits, '.', '_' and '-' follow the @".to_owned();
    Err(Unfit { message: format!("\"@{}\" is no handle of a channel", shown(name)), hint })
}

fn is_channel(id: &str) -> bool {
    id.starts_with("UC") && id.len() >= CHANNEL_CHARS_MIN
}

fn is_list(id: &str) -> bool {
    OWN_LISTS.contains(&id) || has_list_prefix(id) && id.len() > VIDEO_CHARS
}

fn has_list_prefix(id: &str) -> bool {
    LIST_PREFIXES.iter().any(|prefix| id.starts_with(prefix))
}

fn wrong_key(what: &str, kind: &str, key: &str) -> Unfit {
    Unfit { message: format!("\"{what}\" is {kind}"), hint: format!("put it under `{key}`") }
}

fn channel_as_playlist(id: &str) -> Unfit {
    let rest = id.strip_prefix("UC").unwrap_or(id);
    Unfit {
        message: format!("\"{id}\" is a channel"),
        hint: format!("put it under `channels`; the playlist of all its uploads is UU{rest}"),
    }
}

fn nothing(text: &str) -> Unfit {
    let hint = "open the video, the playlist or the channel and copy its address".to_owned();
    Unfit { message: format!("\"{}\" names no video, playlist or channel", shown(text)), hint }
}

/// A text as a message shows it.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    text.chars().take(CHARS_MAX).filter(|c| !c.is_control()).collect()
}

/// A part of a path with its `%XX` replaced; as it is where they make no text.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = if *first == b'%' { after.first_chunk::<2>() } else { None };
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}
