//! Checks `[youtube]`: the key, what is named twice, and the source whose topic gets the observations.

use std::ops::Range;
use std::sync::Arc;

use super::super::closest;
use super::super::diagnostics::Diagnostic;
use super::super::document::{self, Document, Text};
use super::super::external::{External, Origin};
use super::super::model::ValueFormat;
use super::super::youtube::{self, YouTube};
use super::sources;
use crate::avro::{Encoder, KeyFormat, Misfit, Shape};
use crate::youtube::ids::{Channel, Uploads};
use crate::youtube::observation;

/// Where keys are made.
pub(super) const KEYS_URL: &str = "https://console.cloud.google.com/apis/credentials";

/// What became of a source: see [`super::nodes::Checked`].
type Source = Option<(sources::Checked, Shape, bool)>;

/// Checks `[youtube]`, with what became of the sources; none where it is absent or wrong.
pub(super) fn check(document: &mut Document, sources: &[Source], faults: &mut Vec<Diagnostic>) -> Option<YouTube> {
    let table = document.youtube.as_ref()?;
    if let Some(key) = &table.api_key {
        faults.extend(check_key(key));
    }
    if let Some(url) = &table.base_url {
        faults.extend(check_url(url));
    }
    twice(table, faults);
    let name = check_source(document, table, sources, faults);
    YouTube::assemble(document.youtube.take()?, name?)
}

/// What is wrong with the key; it is not shown, not even a part of it.
fn check_key(key: &toml::Spanned<External>) -> Option<Diagnostic> {
    let text = key.get_ref().value()?;
    let hint =
        format!("an API key has 39 characters and begins with AIza; one is made at {KEYS_URL} (\"Create credentials\", \"API key\")");
    if text.is_empty() {
        return Some(Diagnostic::error("bad-key", key.span(), "`api_key` is empty").hinted(hint));
    }
    if let Err(reason) = youtube::check_key(text) {
        return Some(Diagnostic::error("bad-key", key.span(), "`api_key` is no API key").labelled(reason).hinted(hint));
    }
    if !youtube::looks_like_a_key(text) {
        let what = match key.get_ref().origin() {
            Origin::Literal => "what stands here".to_owned(),
            Origin::Env(name) => format!("what {name} holds"),
            Origin::File(path) => format!("what {} holds", path.display()),
        };
        return Some(Diagnostic::warning("odd-key", key.span(), format!("{what} does not look like an API key")).hinted(hint));
    }
    None
}

fn check_url(url: &Text) -> Option<Diagnostic> {
    let example = "leave it out, or as in `base_url = \"https://www.googleapis.com/youtube/v3\"`";
    if let Err(reason) = youtube::check_base_url(url.get_ref()) {
        return Some(Diagnostic::error("bad-address", url.span(), "`base_url` is no address of an API").labelled(reason).hinted(example));
    }
    youtube::is_in_clear(url.get_ref()).then(|| {
        let fault = Diagnostic::warning("in-clear", url.span(), "the API key is sent to `base_url` unencrypted");
        fault.labelled("http, and another machine").hinted(example)
    })
}

/// What is named twice costs twice and brings nothing.
fn twice(table: &document::YouTube, faults: &mut Vec<Diagnostic>) {
    let mut seen: Vec<String> = Vec::new();
    let mut note = |names: Vec<String>, span: Range<usize>, shown: &str| {
        let is_known = names.iter().any(|name| seen.contains(name));
        seen.extend(names);
        if is_known {
            let fault = Diagnostic::warning("named-twice", span, format!("\"{shown}\" is watched already"));
            faults.push(fault.labelled("second time").hinted("leave it out"));
        }
    };
    for list in &table.playlists {
        note(vec![list.get_ref().clone()], list.span(), list.get_ref());
    }
    for it in &table.channels {
        let (channel, uploads) = it.get_ref();
        let names = match channel {
            Channel::Id(id) => known_lists(*uploads, id),
            // Handles are the same in capitals and small letters.
            Channel::Handle(name) => known_lists(*uploads, &format!("UC@{}", name.to_lowercase())),
        };
        note(names, it.span(), &channel.to_string());
    }
    for video in &table.videos {
        note(vec![format!("video {}", video.get_ref())], video.span(), video.get_ref());
    }
}

/// The playlists of a channel, with their parts where it is all of them.
fn known_lists(uploads: Uploads, id: &str) -> Vec<String> {
    let mut lists = uploads.lists(id);
    if uploads == Uploads::default() {
        for part in [(true, false, false), (false, true, false), (false, false, true)] {
            lists.extend(Uploads { videos: part.0, shorts: part.1, live: part.2 }.lists(id));
        }
    }
    lists
}

/// The name of the source that is written: the one that the table names, or the only one.
fn check_source(document: &Document, table: &document::YouTube, sources: &[Source], faults: &mut Vec<Diagnostic>) -> Option<Arc<str>> {
    let names: Vec<&str> = document.sources.iter().map(|source| source.name.get_ref().as_str()).collect();
    let (place, span) = match (&table.source, names.as_slice()) {
        (Some(wanted), _) => {
            let Some(place) = names.iter().position(|name| name == wanted.get_ref()) else {
                let fault = Diagnostic::error("unknown-source", wanted.span(), format!("there is no source `{}`", wanted.get_ref()));
                faults.push(fault.labelled("not declared").hinted(closest::hint(wanted.get_ref(), &names)));
                return None;
            };
            (place, wanted.span())
        }
        (None, [_]) => (0, table.place.clone()),
        // That there is none is said elsewhere.
        (None, []) => return None,
        (None, [first, ..]) => {
            let fault = Diagnostic::error("missing-key", table.place.clone(), "[youtube] must say which source it writes");
            faults.push(fault.labelled("in this table").hinted(format!("add `source = \"{first}\"`: there are several")));
            return None;
        }
    };
    let source = document.sources.get(place)?;
    let (checked, _, _) = sources.get(place)?.as_ref()?;
    let name = source.name.get_ref().as_str();
    let refusal = unfit(checked, !source.item.alias.is_empty());
    if let Some((what, hint)) = refusal {
        let fault = Diagnostic::error("unfit-source", span, format!("observations cannot be written to the topic of `{name}`: {what}"));
        faults.push(fault.labelled(format!("writes `{name}`")).hinted(hint));
        return None;
    }
    Some(name.into())
}

/// Why observations cannot be records of a source, and what to do about it.
fn unfit(source: &sources::Checked, has_aliases: bool) -> Option<(String, String)> {
    let example = "a source of the schema youtube_video takes them: `value = \"youtube_video\"`";
    let because = |what: &str| Some((what.to_owned(), example.to_owned()));
    if source.format != ValueFormat::Avro {
        return because("they are Avro, and it declares JSON");
    }
    if source.key != KeyFormat::String {
        return because("their keys are the ids of videos, and it declares keys that are no text");
    }
    if has_aliases {
        return because("it has aliases, so its records are somebody else's");
    }
    let shape = observation::shape();
    let schema = &source.schema_name;
    if let Err(misfits) = Encoder::compile(&source.schema, &shape) {
        let first = misfits.first().map(Misfit::to_string).unwrap_or_default();
        return because(&format!("the schema {schema} does not fit: {first}"));
    }
    let fields: Vec<_> = source.schema.shape().fields.iter().filter(|field| shape.index_of(&field.path).is_some()).collect();
    if fields.is_empty() {
        return because(&format!("the schema {schema} has none of their fields (title, views, likes, comments, ...)"));
    }
    let strict = fields.iter().find(|field| !field.nullable)?;
    let what = format!("the schema {schema} does not let {} be null, and YouTube may hide it", strict.path);
    Some((what, format!("give {} the type [\"null\", ...]", strict.path)))
}
