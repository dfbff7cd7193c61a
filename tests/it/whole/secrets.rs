//! The search for secrets in every byte that somebody could read.

use std::fs;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataTopic;

use crate::real::{PATIENCE, records};

/// Places and what is in them.
pub(crate) type Seen = Vec<(String, Vec<u8>)>;

/// All files below a directory.
pub(crate) fn bytes_below(path: &Path) -> Seen {
    let mut seen = Seen::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            seen.extend(bytes_below(&path));
        } else if kind.is_file() {
            seen.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    seen
}

fn place_of<'a>(seen: impl IntoIterator<Item = &'a (String, Vec<u8>)>, text: &str) -> Option<&'a str> {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    seen.into_iter().find(|(_, bytes)| holds(bytes)).map(|(place, _)| place.as_str())
}

/// Keys, values and headers of topics, those of aborted transactions too.
pub(crate) fn bytes_of_topics(client: &ClientConfig, prefix: &str, others: &[&str]) -> Seen {
    let consumer: BaseConsumer = client.clone().set("group.id", "unused").create().unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let own = metadata.topics().iter().map(MetadataTopic::name).filter(|name| name.starts_with(prefix));
    let mut seen = Seen::new();
    for topic in own.chain(others.iter().copied()) {
        for record in records::read_uncommitted(client, topic) {
            let headers = record.headers.into_iter().flat_map(|(name, value)| [name.into_bytes(), value.unwrap_or_default()]);
            let all = [record.key.unwrap_or_default(), record.value.unwrap_or_default()].into_iter().chain(headers);
            seen.push((topic.to_owned(), all.flatten().collect()));
        }
    }
    seen
}

/// The same as [`search`], which must find nothing.
#[track_caller]
pub(crate) fn assert_none(seen: &Seen, secrets: &[&str]) -> String {
    search(seen, &[""], secrets).unwrap_or_else(|found| panic!("{found}"))
}

/// Looks for each of the secrets, and for the second half of one. What was searched; an error where something is found, or where a kind of place (what
/// its name contains) does not even have the messages that must be there: the search finds what is there.
pub(crate) fn search(seen: &Seen, kinds: &[&str], secrets: &[&str]) -> Result<String, String> {
    for kind in kinds {
        let of_kind = seen.iter().filter(|(place, _)| place.contains(kind));
        place_of(of_kind, "Likes changed: ").ok_or_else(|| format!("not even the messages were found in {kind:?}"))?;
    }
    for secret in secrets {
        for part in [secret, &secret[secret.len() / 2..]] {
            if let Some(place) = place_of(seen, part) {
                return Err(format!("{part} of {secret} is in {place}"));
            }
        }
    }
    let bytes: usize = seen.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(format!("{} places, {bytes} bytes: no secret", seen.len()))
}

/// Rows of which one is none.
pub(crate) const ROWS: &str = "observed_at,video_id,likes\n1000,canary,1\n2000,canary,many\n";

/// Commands that people give by hand, told to say all that they can; topics by what `topic` calls them. They follow a [`ROWS`] in `canary.csv`.
pub(crate) fn by_hand(topic: &dyn Fn(&str) -> String) -> Vec<Vec<String>> {
    let commands: [&[&str]; 12] = [
        &["import", "canary.csv"],
        &["status"],
        &["tap", "*youtube_videos", "--until-end"],
        &["tap", "*youtube_videos", "--until-end", "--json"],
        &["tap", "*telegram_outbox", "--until-end", "--json"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "replay", "--yes"],
        &["telegram", "dry-run"],
        &["reset", "--sender", "--to", "earliest", "--yes"],
        &["reset", "--poller", "--yes"],
        &["reset", "--to", "earliest", "--yes"],
    ];
    let word = |word: &&str| word.strip_prefix('*').map_or_else(|| (*word).to_owned(), topic);
    commands.iter().map(|command| command.iter().map(word).chain(["-vvv".to_owned()]).collect()).collect()
}
