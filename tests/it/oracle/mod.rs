//! An oracle: what the shipped topology must say about a file of observations, computed without any of its code.
//!
//! It folds the rows in file order. Per video it knows the last value of each field; a null leaves a field as it was; the first
//! sight of a video, or of one of its fields, is no change. The rest is what `topology.toml` says: likes and comments for every change from a known value,
//! views for the highest multiple of 200 that was newly reached.

pub(crate) mod csv;
pub(crate) mod generated;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use csv::Observation;

const VIEWS_EVERY: i64 = 200;
const WATCHED: [&str; 4] = ["title", "views", "likes", "comments"];

/// A record of a topic, without its place in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) timestamp: i64,
    pub(crate) value: Value,
}

/// What must be in the topics when everything is committed.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) observations: usize,
    pub(crate) videos: usize,
    /// The records of `youtube_changes`, in the order of the observations.
    pub(crate) changes: Vec<Record>,
    /// The texts for `telegram_outbox`, in the order of the observations, each with the time of its observation.
    pub(crate) messages: Vec<(i64, String)>,
    /// Number of messages per rule.
    pub(crate) by_rule: BTreeMap<&'static str, usize>,
}

/// What is known of one video.
#[derive(Debug, Default)]
struct Video {
    observed_at: i64,
    /// Title, views, likes, comments; JSON so that one rule serves all.
    known: [Value; 4],
    /// The highest multiple of [`VIEWS_EVERY`] reached so far, in units of it.
    mark: Option<i64>,
}

impl Expected {
    /// Folds a file.
    pub(crate) fn of(observations: &[Observation]) -> Self {
        Self::of_records(observations.iter().map(|observation| (observation, false)))
    }

    /// Folds observations, some of which say that the video is gone: what is known of it is forgotten, but not how far its views had come. That it is
    /// gone makes a change, which is left out here.
    pub(crate) fn of_records<'a>(records: impl IntoIterator<Item = (&'a Observation, bool)>) -> Self {
        let mut expected = Self::default();
        let mut videos: HashMap<&str, Video> = HashMap::new();
        for (observation, gone) in records {
            if gone {
                if let Some(video) = videos.get_mut(observation.video_id.as_str()) {
                    video.known = [const { Value::Null }; 4];
                }
                continue;
            }
            expected.observations += 1;
            if let Some(video) = videos.get_mut(observation.video_id.as_str()) {
                expected.observe(video, observation);
            } else {
                let mark = observation.views.map(|views| views / VIEWS_EVERY);
                videos.insert(&observation.video_id, Video { observed_at: observation.observed_at, known: fields(observation), mark });
            }
        }
        expected.videos = videos.len();
        expected
    }

    fn observe(&mut self, video: &mut Video, observation: &Observation) {
        let before = video.known.clone();
        let before_at = std::mem::replace(&mut video.observed_at, observation.observed_at);
        let mut changed = Vec::new();
        for (index, value) in fields(observation).into_iter().enumerate() {
            if value.is_null() || value == before[index] {
                continue;
            }
            // The first known value of a field is its first sight, as that of a video is.
            if !before[index].is_null() {
                changed.push(WATCHED[index]);
            }
            video.known[index] = value;
        }
        if changed.is_empty() {
            return;
        }
        let now = &video.known;
        let mut value = json!({
            "video_id": observation.video_id, "title": now[0], "changed": changed, "removed": false, "removed_reason": null,
            "observed_at_previous": before_at, "observed_at_current": observation.observed_at,
        });
        for (index, name) in WATCHED.into_iter().enumerate() {
            value[format!("{name}_previous")] = before[index].clone();
            value[format!("{name}_current")] = now[index].clone();
        }
        self.changes.push(Record { key: observation.video_id.clone(), timestamp: observation.observed_at, value });
        self.tell(video, &before, observation.observed_at);
    }

    fn tell(&mut self, video: &mut Video, before: &[Value; 4], at: i64) {
        let now = &video.known;
        let title = now[0].as_str().unwrap_or_default();
        let mut say = |rule: &'static str, index: usize| {
            *self.by_rule.entry(rule).or_default() += 1;
            let (name, previous) = (WATCHED[index], &before[index]);
            let name = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
            let previous = if previous.is_null() { String::new() } else { previous.to_string() };
            self.messages.push((at, format!("{name} changed: {previous} => {}. {title}", now[index])));
        };
        for (rule, index) in [("likes", 2), ("comments", 3)] {
            if !before[index].is_null() && now[index] != before[index] {
                say(rule, index);
            }
        }
        if let Some(reached) = now[1].as_i64().map(|views| views / VIEWS_EVERY) {
            let mark = *video.mark.get_or_insert(reached);
            if reached > mark {
                say("views", 1);
                video.mark = Some(reached);
            }
        }
    }

    /// Number of messages of a rule.
    pub(crate) fn rule(&self, rule: &str) -> usize {
        self.by_rule.get(rule).copied().unwrap_or_default()
    }

    /// What `demo --from FILE --json` must print.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "observations": self.observations,
            "videos": self.videos,
            "changes": self.changes.len(),
            "messages": {"likes": self.rule("likes"), "comments": self.rule("comments"), "views": self.rule("views")},
            "dead_letters": 0,
        })
    }
}

fn fields(observation: &Observation) -> [Value; 4] {
    [json!(observation.title), json!(observation.views), json!(observation.likes), json!(observation.comments)]
}

mod knows_the_answers {
    use super::*;
    use crate::data;

    #[track_caller]
    fn assert_answers(text: &str, videos: usize, changes: usize, messages: [usize; 3]) {
        let expected = Expected::of(&csv::observations(text));
        assert_eq!((expected.videos, expected.changes.len()), (videos, changes));
        assert_eq!(["likes", "comments", "views"].map(|rule| expected.rule(rule)), messages);
        assert_eq!(expected.messages.len(), messages.iter().sum::<usize>());
    }

    #[test]
    fn of_the_trending_videos() {
        let Some(text) = data::trending() else { return };
        assert_answers(&text, 7645, 16848, [16459, 16195, 16779]);
    }

    #[test]
    fn of_the_trending_videos_with_hidden_counts() {
        let Some(text) = data::trending() else { return };
        assert_answers(&data::hide_zeros(&text), 7645, 16848, [16454, 16189, 16779]);
    }

    #[test]
    fn of_the_playlist() {
        let Some(text) = data::playlist() else { return };
        assert_answers(&text, 41, 833, [0, 0, 38]);
    }

    #[test]
    fn of_a_video_that_is_hidden_and_renamed() {
        let text = "observed_at,video_id,title,views,likes,comments\n\
            1970-01-01T00:00:01Z,a,One,199,5,\n\
            1970-01-01T00:00:02Z,a,One,199,5,\n\
            1970-01-01T00:00:03Z,a,Two,201,,7\n\
            1970-01-01T00:00:04Z,a,,150,5,8\n\
            1970-01-01T00:00:05Z,a,,250,6,8\n";
        let expected = Expected::of(&csv::observations(text));
        let texts: Vec<&str> = expected.messages.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["Views changed: 199 => 201. Two", "Comments changed: 7 => 8. Two", "Likes changed: 5 => 6. Two"]);
        let changed: Vec<&Value> = expected.changes.iter().map(|change| &change.value["changed"]).collect();
        assert_eq!(changed, [&json!(["title", "views"]), &json!(["views", "comments"]), &json!(["views", "likes"])]);
        assert_eq!(expected.changes[0].value["observed_at_previous"], json!(2000));
    }
}
