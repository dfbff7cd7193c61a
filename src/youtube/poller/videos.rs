//! The videos of a poll: observed in batches of 50, and those that are missing.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Error, Halt};
use super::lists::PROGRESS_STEPS;
use super::memory::{Gone, Last, Reason, Video as Known};
use super::round::{Extent, Listed, Reply, Round};
use super::schedule::after;
use super::writer::{Said, Written};
use crate::avro::wire;
use crate::streams::clock::Timestamp;
use crate::youtube::observation::{self, Appeared};
use crate::youtube::{IDS_MAX, Video};

/// Removed videos are remembered for so long: one that comes back within it is a restored one, later a new one.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// So many videos that are missing in one poll, and more than half of all, are not believed before they are for so long.
const MANY: usize = 20;
const MANY_WAIT: Duration = Duration::from_secs(86_400);

/// Under this name it is noted that this was told.
const MANY_TOLD: &str = "many are missing";

/// A poll of more videos names only those that changed since the last one, and the others at DEBUG.
const NAMED_MAX: usize = 200;

/// Values of the state that are committed at once where they come with no observation.
const STATE_BATCH: usize = 500;

impl Round<'_> {
    /// Observes everything that is listed.
    pub(super) fn observe(&mut self) -> Result<(), Halt> {
        let count = self.listed.len();
        let needed = u64::try_from(count.div_ceil(IDS_MAX)).unwrap_or(u64::MAX);
        let left = self.units_left();
        if needed > left {
            let cost = self.summary.units + needed;
            self.active.memory.poll_mut().cost = cost;
            tracing::warn!(cost, left, "the quota of this day does not cover the poll: raise `quota_per_day` of [youtube] or watch less");
            return Err(self.end(format!("a poll of {count} videos costs {cost} units, which the quota of this day does not cover")));
        }
        let mut are_all_asked = true;
        for (step, start) in (0..count).step_by(IDS_MAX).enumerate() {
            let batch = start..count.min(start + IDS_MAX);
            let ids: Vec<String> = self.listed.get(batch.clone()).unwrap_or_default().iter().map(|listed| listed.id.clone()).collect();
            let Some(videos) = self.ask(&ids)? else {
                are_all_asked = false;
                continue;
            };
            self.record(batch, videos)?;
            if (step + 1) % PROGRESS_STEPS == 0 {
                tracing::info!(videos = start + ids.len(), of = count, "observing");
            }
        }
        self.is_observed = are_all_asked;
        Ok(())
    }

    /// What YouTube says of at most 50 videos; none where it does not answer in this poll.
    fn ask(&mut self, ids: &[String]) -> Result<Option<HashMap<String, Video>>, Halt> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let answer = self.request(|client| client.videos(&ids))?;
        match answer {
            Reply::Got(videos) => {
                tracing::debug!(?videos, "got videos");
                Ok(Some(videos.into_iter().map(|video| (video.id.clone(), video)).collect()))
            }
            Reply::Refused(problem) | Reply::PagingLost(problem) | Reply::Failed(problem) => self.fail("videos", &problem).map(|()| None),
        }
    }

    /// Writes what a batch brought, with the state that explains it.
    fn record(&mut self, batch: Range<usize>, mut videos: HashMap<String, Video>) -> Result<(), Halt> {
        let at = self.clock.now();
        let mut written = Vec::with_capacity(batch.len());
        let mut got = Vec::with_capacity(batch.len());
        for place in batch {
            let Some(listed) = self.listed.get(place).cloned() else { continue };
            match videos.remove(&listed.id) {
                Some(video) => {
                    let is_named = is_named(self.listed.len(), self.active.memory.video(&listed.id), &last(&video, at));
                    written.push(self.seen(&listed, &video, at)?);
                    got.push((video, is_named));
                }
                None => self.unseen(&listed),
            }
        }
        self.commit(&written)?;
        for (Video { id, title, views, likes, comments, .. }, is_named) in got {
            if is_named {
                tracing::info!(id, title, views, likes, comments, "GOT");
            } else {
                tracing::debug!(id, title, views, likes, comments, "GOT");
            }
        }
        Ok(())
    }

    fn seen(&mut self, listed: &Listed, video: &Video, at: Timestamp) -> Result<Written, Halt> {
        let known = self.active.memory.video(&listed.id);
        let lists = self.lists_of(listed, known);
        let appeared = match known {
            None if self.is_in_known_list(listed) => Some(Appeared::New),
            Some(known) if known.gone.is_some() => Some(Appeared::Restored),
            _ => None,
        };
        match appeared {
            Some(Appeared::New) => self.summary.new += 1,
            Some(Appeared::Restored) => self.summary.restored += 1,
            None => {}
        }
        let mut value = Vec::new();
        wire::prefix(self.active.schema, &mut value);
        let row = observation::row(video, &lists, appeared);
        let encoded = self.active.encoder.encode(&row, Some(listed.id.as_bytes()), &mut value);
        encoded.map_err(|source| Halt::Fatal(Error::Encode { topic: Arc::clone(&self.settings.topic), id: listed.id.clone(), source }))?;
        self.active.memory.set_video(&listed.id, Known { last: last(video, at), lists, missed: 0, gone: None });
        self.summary.observed += 1;
        Ok(Written { id: listed.id.clone(), said: Said::Row(value), at })
    }

    /// A video that is in a list, or watched by itself, and that YouTube leaves out.
    fn unseen(&mut self, listed: &Listed) {
        let Some(known) = self.active.memory.video(&listed.id) else {
            if listed.lists.is_empty() {
                self.unknown(&listed.id);
            }
            return;
        };
        // A list that failed in this poll may know better; one that nobody can read any more will not.
        let is_open = |id: &str| self.extent(id) == Some(Extent::Unread) && self.active.memory.list(id).refused.is_none();
        if known.gone.is_none() && !known.lists.iter().any(|id| is_open(id)) {
            let reason = if listed.is_private { Reason::Private } else { Reason::Gone };
            self.missing.push((listed.id.clone(), reason));
        }
    }

    /// A video that the configuration names, and that was never seen.
    fn unknown(&mut self, id: &str) {
        if self.active.told.insert(format!("video/{id}")) {
            let hint = "is its id right? It may also be private or deleted";
            tracing::warn!(id, hint, "YouTube does not show this video of `videos`: it is asked for in each poll");
        }
        self.summary.unseen.push(format!("the video {id}"));
    }

    /// Counts a miss; after enough of them the video is removed for this reason, where one is known.
    fn miss(&mut self, id: &str, reason: Option<Reason>, at: Timestamp) -> Option<Written> {
        let mut known = self.active.memory.video(id)?.clone();
        known.missed = known.missed.saturating_add(1);
        let (missed, limit) = (known.missed, self.settings.removed_after);
        let removed = reason.filter(|_| missed >= limit && !self.is_held(&known, at));
        if let Some(reason) = removed {
            tracing::info!(id, title = known.last.title, reason = reason.name(), "REMOVED");
            known.gone = Some(Gone { since: at.0, reason });
            self.summary.removed += 1;
        } else if missed == 1 {
            tracing::info!(id, title = known.last.title, "not there any more: removed when {limit} polls have missed it");
        }
        self.active.memory.set_video(id, known);
        removed.map(|reason| Written { id: id.to_owned(), said: Said::Removed(reason), at })
    }

    /// Counts the misses: of videos that are listed and left out, and of those that are in none of their lists any more.
    pub(super) fn count_the_missing(&mut self) -> Result<(), Halt> {
        let missing = std::mem::take(&mut self.missing);
        let away = self.active.memory.videos().iter().filter(|(id, known)| self.has_left(id, known));
        let away: Vec<String> = away.map(|(id, _)| id.clone()).collect();
        self.look_how_many(missing.len() + away.len());
        for batch in missing.chunks(STATE_BATCH) {
            let at = self.clock.now();
            let written: Vec<Written> = batch.iter().filter_map(|(id, reason)| self.miss(id, Some(*reason), at)).collect();
            self.commit(&written)?;
        }
        self.look_for_those_that_left(away)
    }

    /// Where most videos are missing at once it is more likely YouTube's fault than their end.
    fn look_how_many(&mut self, missing: usize) {
        let known = self.active.memory.present();
        self.are_many_missing = missing > MANY && missing * 2 > known;
        if !self.are_many_missing {
            self.active.told.remove(MANY_TOLD);
            return;
        }
        let what = format!("{missing} of {known} videos are missing all at once: they count as removed when they have been for a day");
        if self.active.told.insert(MANY_TOLD.to_owned()) {
            tracing::warn!("{what}");
        }
        self.summary.many_missing = Some(what);
    }

    /// Whether a video that is missing is not to be removed yet.
    fn is_held(&self, known: &Known, at: Timestamp) -> bool {
        self.are_many_missing && at < after(Timestamp(known.last.at), MANY_WAIT)
    }

    /// Videos that are in none of their lists any more. Before one is removed YouTube is asked for it once more: whether it is only not in the
    /// lists, or gone.
    fn look_for_those_that_left(&mut self, away: Vec<String>) -> Result<(), Halt> {
        let (limit, now) = (self.settings.removed_after, self.clock.now());
        let is_due = |id: &String| {
            let known = self.active.memory.video(id);
            known.is_some_and(|known| known.missed.saturating_add(1) >= limit && !self.is_held(known, now))
        };
        let (due, early): (Vec<String>, Vec<String>) = away.into_iter().partition(is_due);
        for ids in early.chunks(STATE_BATCH) {
            let at = self.clock.now();
            for id in ids {
                // Without a reason nothing is removed.
                self.miss(id, None, at);
            }
            self.commit(&[])?;
        }
        for ids in due.chunks(IDS_MAX) {
            let Some(found) = self.ask(ids)? else { continue };
            let at = self.clock.now();
            let reason = |id: &String| if found.contains_key(id) { Reason::LeftPlaylist } else { Reason::Gone };
            let written: Vec<Written> = ids.iter().filter_map(|id| self.miss(id, Some(reason(id)), at)).collect();
            self.commit(&written)?;
        }
        Ok(())
    }

    /// Whether a video is in none of its lists any more; where one of them was not read to its end nobody knows.
    fn has_left(&self, id: &str, known: &Known) -> bool {
        let mut extents = known.lists.iter().filter_map(|list| self.extent(list)).peekable();
        known.gone.is_none() && !self.places.contains_key(id) && extents.peek().is_some() && extents.all(|extent| extent == Extent::Whole)
    }

    /// Forgets what nobody watches any more, without a word, for it is not YouTube's doing; and what is gone for long.
    pub(super) fn forget(&mut self) -> Result<(), Halt> {
        let now = self.clock.now();
        let limit = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        let is_old = |known: &Known| known.gone.is_some_and(|gone| now.0.saturating_sub(gone.since) > limit);
        // Without the channel behind a handle it is not known whose lists are watched.
        let is_unwatched = |id: &str, known: &Known| {
            self.is_resolved && !self.places.contains_key(id) && !known.lists.iter().any(|list| self.extent(list).is_some())
        };
        let videos = self.active.memory.videos().iter();
        let unwatched: Vec<String> = videos.clone().filter(|(id, known)| is_unwatched(id, known)).map(|(id, _)| id.clone()).collect();
        // One that is still listed is asked for in each poll: while it is, its end is remembered.
        let old = videos.filter(|(id, known)| is_old(known) && !self.places.contains_key(*id)).map(|(id, _)| id.clone());
        let forgotten: Vec<String> = unwatched.iter().cloned().chain(old).collect();
        if !unwatched.is_empty() {
            tracing::info!(videos = unwatched.len(), "not watched any more, and forgotten: the configuration does not name their lists");
        }
        for ids in forgotten.chunks(STATE_BATCH) {
            for id in ids {
                self.active.memory.forget_video(id);
            }
            self.commit(&[])?;
        }
        if self.is_resolved {
            let (settings, lists) = (self.settings, &self.lists);
            let has_handle = |name: &str| settings.handles().any(|handle| handle == name);
            let is_list = |id: &str| lists.iter().any(|list| list.id == id) || id.strip_prefix('@').is_some_and(has_handle);
            self.active.memory.keep(is_list, has_handle);
        }
        Ok(())
    }

    /// How far a list was read; none where it is not watched.
    fn extent(&self, id: &str) -> Option<Extent> {
        self.lists.iter().find(|list| list.id == id).map(|list| list.extent)
    }

    /// The lists that a video is in: those that have it, and those that had it and cannot tell now.
    fn lists_of(&self, listed: &Listed, known: Option<&Known>) -> Vec<String> {
        let had = |id: &String| known.is_some_and(|known| known.lists.contains(id));
        let is_in = |(place, list): &(usize, &super::round::ListRead)| {
            listed.lists.contains(place) || list.extent != Extent::Whole && had(&list.id)
        };
        self.lists.iter().enumerate().filter(is_in).map(|(_, list)| list.id.clone()).collect()
    }

    fn is_in_known_list(&self, listed: &Listed) -> bool {
        let mut lists = listed.lists.iter().filter_map(|&place| self.lists.get(place));
        lists.any(|list| self.active.memory.list(&list.id).complete)
    }
}

/// What is remembered of a video that was observed.
fn last(video: &Video, at: Timestamp) -> Last {
    let [views, likes, comments] = [video.views, video.likes, video.comments].map(observation::count);
    Last { at: at.0, title: video.title.clone(), views, likes, comments }
}

/// Whether the log has a line for a video at INFO: for each of a few, and for what changed of many.
fn is_named(videos: usize, before: Option<&Known>, now: &Last) -> bool {
    let is_same = |before: &Known| Last { at: now.at, ..before.last.clone() } == *now;
    videos <= NAMED_MAX || !before.is_some_and(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_videos_the_log_names_those_that_changed() {
        let last = |at: i64, views: i64| Last { at, views: Some(views), ..Last::default() };
        let known = Known { last: last(1, 7), ..Known::default() };
        let named = |videos, views| is_named(videos, Some(&known), &last(2, views));
        assert_eq!([named(200, 7), named(201, 7), named(201, 8), named(201, 6)], [true, false, true, true]);
        assert!(is_named(5_000, None, &last(2, 7)), "what was never seen is a change");
    }
}
