//! What must come out, computed from the committed input alone: the nodes' rules written down a second time, without their code and their stores.

use std::collections::BTreeMap;

use tidewatch::streams::log::Offset;
use tidewatch::streams::topology::{ErrorPolicy, OnError};

use crate::disk::Rows;
use crate::topology::{Input, MILESTONE, link, parse};

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) offset: Offset,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// A result: its key, its value (of a message without its id), its time; of a dead letter also what became of the record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Out {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: i64,
    pub(crate) exception: &'static str,
}

/// What is known of a video.
#[derive(Clone, Debug, Default)]
pub(crate) struct Video {
    /// Where and when it was last observed.
    pub(crate) offset: i64,
    pub(crate) observed_at: i64,
    pub(crate) title: Option<String>,
    pub(crate) views: Option<i64>,
    pub(crate) likes: Option<i64>,
}

impl std::fmt::Display for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (title, views, likes) = (text(self.title.as_ref()), text(self.views.as_ref()), text(self.likes.as_ref()));
        write!(f, "{title}, {views} views, {likes} likes at {} of offset {}", self.observed_at, self.offset)
    }
}

/// A topic and a key.
pub(crate) type ResultsOf = (&'static str, Option<String>);

/// What is expected of one task: for each topic its results, each with the input offset that causes it.
#[derive(Debug, Default)]
pub(crate) struct Task {
    videos: BTreeMap<Vec<u8>, Video>,
    marks: BTreeMap<Vec<u8>, i64>,
    chains: Rows,
    /// By topic and key: a key's results lie in one partition, in their order.
    pub(crate) results: BTreeMap<ResultsOf, Vec<(Offset, Out)>>,
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "~".to_owned(), ToString::to_string)
}

fn plain<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(String::new, ToString::to_string)
}

impl Task {
    /// Takes in the next record of the second sub-topology.
    pub(crate) fn total(&mut self, record: &Record) {
        let out = self.chain(record);
        self.put("totals", record, out);
    }

    fn chain(&mut self, record: &Record) -> String {
        let key = record.key.clone().unwrap();
        let Some(value) = &record.value else {
            self.chains.remove(&key);
            return "gone".to_owned();
        };
        let row = link(self.chains.get(&key).map(Vec::as_slice), &[value, &record.offset.0.to_le_bytes(), &record.timestamp.to_le_bytes()]);
        self.chains.insert(key, row.clone().into_bytes());
        row
    }

    fn put(&mut self, topic: &'static str, record: &Record, value: String) {
        let key = if topic == "outbox" {
            Some("chat".to_owned())
        } else {
            record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned())
        };
        let out = Out { key, value: Some(value.into_bytes()), timestamp: record.timestamp, exception: "" };
        self.results.entry((topic, out.key.clone())).or_default().push((record.offset, out));
    }

    /// Takes in the next record of the input.
    pub(crate) fn input(&mut self, record: &Record, errors: ErrorPolicy) {
        let input = match record.value.as_deref().map(|bytes| parse(bytes, true)) {
            None => None,
            Some(Ok(input)) => input,
            Some(Err(_)) => return self.bad(record, errors.deserialization, "DeserializationError"),
        };
        if record.key.is_none() {
            return self.bad(record, errors.processing, "ProcessingError");
        }
        match input.as_ref().map(|input| input.command.as_str()) {
            Some("fail" | "panic") => return self.bad(record, errors.processing, "ProcessingError"),
            Some("big" | "refused") => return self.bad(record, errors.production, "ProductionError"),
            _ => {}
        }
        self.observe(record, input.as_ref());
        let out = self.chain(record);
        self.put("folds", record, out);
    }

    fn bad(&mut self, record: &Record, policy: OnError, exception: &'static str) {
        if policy != OnError::DeadLetter {
            return;
        }
        let key = record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned());
        let out = Out { key, value: record.value.clone(), timestamp: record.timestamp, exception };
        self.results.entry(("dead", out.key.clone())).or_default().push((record.offset, out));
    }

    fn observe(&mut self, record: &Record, input: Option<&Input>) {
        let key = record.key.clone().unwrap();
        let name = String::from_utf8_lossy(&key).into_owned();
        let now = record.timestamp;
        let Some(input) = input else {
            let Some(gone) = self.videos.remove(&key) else { return };
            let (title, views, likes) = (text(gone.title.as_ref()), text(gone.views.as_ref()), text(gone.likes.as_ref()));
            let before = gone.observed_at;
            self.put("changes", record, format!("{name}|{title}|{title}|{views}|{views}|{likes}|{likes}|{before}|{now}||true|~"));
            return;
        };
        let former = self.videos.get(&key).cloned();
        let before = former.clone().unwrap_or_default();
        let after = Video {
            offset: record.offset.0,
            observed_at: now,
            title: input.title.clone().or_else(|| before.title.clone()),
            views: input.views.or(before.views),
            likes: input.likes.or(before.likes),
        };
        let mut changed = Vec::new();
        let mut note = |name, known: bool, differs: bool| {
            if known && differs {
                changed.push(name);
            }
        };
        note("title", before.title.is_some(), before.title != after.title);
        note("views", before.views.is_some(), before.views != after.views);
        note("likes", before.likes.is_some(), before.likes != after.likes);
        self.videos.insert(key.clone(), after.clone());
        if changed.is_empty() {
            return;
        }
        let row = [
            name.clone(),
            text(before.title.as_ref()),
            text(after.title.as_ref()),
            text(before.views.as_ref()),
            text(after.views.as_ref()),
            text(before.likes.as_ref()),
            text(after.likes.as_ref()),
            text(former.map(|former| former.observed_at).as_ref()),
            now.to_string(),
            changed.join(", "),
            "false".to_owned(),
            "~".to_owned(),
        ];
        self.put("changes", record, row.join("|"));
        if before.likes.is_some() && before.likes != after.likes {
            let said = format!("likes {name} {} {}", plain(before.likes.as_ref()), plain(after.likes.as_ref()));
            self.say(record, &said);
        }
        self.milestone(record, &name, before.views, after.views);
    }

    fn milestone(&mut self, record: &Record, name: &str, before: Option<i64>, after: Option<i64>) {
        let (key, Some(views)) = (record.key.clone().unwrap(), after) else { return };
        let mark = *self.marks.entry(key.clone()).or_insert(before.unwrap_or(views));
        let boundary = views.div_euclid(MILESTONE) * MILESTONE;
        if boundary > mark.div_euclid(MILESTONE) * MILESTONE {
            self.marks.insert(key, views);
            self.say(record, &format!("views {name} {} {views} {boundary}", plain(before.as_ref())));
        }
    }

    /// A message, without its id.
    fn say(&mut self, record: &Record, said: &str) {
        self.put("outbox", record, format!("chat|{said}||0|false|false"));
    }

    /// What a store of the first sub-topology means, in the words of [`crate::rows::meanings`].
    pub(crate) fn meanings(&self, store: &str) -> Rows {
        match store {
            "latest" => self.videos.iter().map(|(key, video)| (key.clone(), video.to_string().into_bytes())).collect(),
            "marks" => self.marks.iter().map(|(key, mark)| (key.clone(), mark.to_string().into_bytes())).collect(),
            _ => self.chains.clone(),
        }
    }
}
