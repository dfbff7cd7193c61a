//! The lists of a poll: which there are, and what is in them.

use std::collections::HashSet;
use std::time::Duration;

use super::error::Halt;
use super::memory::Refused;
use super::round::{Extent, ListRead, Listed, Reply, Round};
use super::schedule::after;
use crate::config::WatchedChannel;
use crate::youtube::ids::Channel;
use crate::youtube::{Item, Page};

/// The most items that are read of a list. `YouTube` itself ends the uploads of a channel there, so that older ones fall out of sight.
const ITEMS_MAX: usize = 20_000;

/// The most pages, should they be nearly empty.
const PAGES_MAX: usize = 1_000;

/// The most videos of one poll.
const VIDEOS_MAX: usize = 200_000;

/// A longer list says how far it is, every so many pages of at most 50 items.
pub(super) const PROGRESS_STEPS: usize = 10;

/// A list that cannot be read is asked for again after this time, then after twice as long, and so on.
const REFUSED_FIRST: Duration = Duration::from_secs(3_600);
const REFUSED_MOST: Duration = Duration::from_secs(6 * 3_600);

impl Round<'_> {
    /// Reads all lists.
    pub(super) fn read_lists(&mut self) -> Result<(), Halt> {
        self.is_resolved = true;
        let ids = self.list_ids()?;
        self.lists = ids.into_iter().map(|id| ListRead { id, extent: Extent::Unread }).collect();
        for place in 0..self.lists.len() {
            let Some(id) = self.lists.get(place).map(|list| list.id.clone()) else { continue };
            if !self.may_ask(&id) {
                continue;
            }
            let Some((items, mut extent)) = self.read_list(&id)? else { continue };
            for item in items {
                if !self.see(item, Some(place)) {
                    extent = Extent::Bounded;
                }
            }
            self.accept(&id);
            if let Some(list) = self.lists.get_mut(place) {
                list.extent = extent;
            }
        }
        let settings = self.settings;
        for id in &settings.videos {
            self.see(Item { video_id: id.clone(), privacy: None }, None);
        }
        Ok(())
    }

    /// The ids of all lists that are watched, each once; asks for the channels of handles that are not known yet.
    fn list_ids(&mut self) -> Result<Vec<String>, Halt> {
        let settings = self.settings;
        let mut ids = settings.playlists.clone();
        for WatchedChannel { channel, uploads } in &settings.channels {
            let id = match channel {
                Channel::Id(id) => Some(id.clone()),
                Channel::Handle(handle) => self.resolve(handle)?,
            };
            match id {
                Some(id) => ids.extend(uploads.lists(&id)),
                None => self.is_resolved = false,
            }
        }
        let mut known = HashSet::new();
        ids.retain(|id| known.insert(id.clone()));
        Ok(ids)
    }

    /// The id of the channel with a handle.
    fn resolve(&mut self, handle: &str) -> Result<Option<String>, Halt> {
        if let Some(id) = self.active.memory.channel_of(handle) {
            return Ok(Some(id.to_owned()));
        }
        let name = format!("@{handle}");
        if !self.may_ask(&name) {
            return Ok(None);
        }
        match self.request(|client| client.channel_by_handle(handle))? {
            Reply::Got(Some(channel)) => {
                tracing::info!(handle = name, channel = channel.id, title = channel.title, "channel found");
                self.active.memory.set_channel(handle, channel.id.clone());
                self.accept(&name);
                Ok(Some(channel.id))
            }
            Reply::Got(None) => {
                self.refuse(&name, "there is no channel with this handle".to_owned(), None);
                Ok(None)
            }
            Reply::Refused(problem) => {
                self.refuse(&name, problem.to_string(), problem.hint().as_deref());
                Ok(None)
            }
            Reply::PagingLost(problem) | Reply::Failed(problem) => self.fail(&name, &problem).map(|()| None),
        }
    }

    /// Reads a list; none where that is not possible now.
    fn read_list(&mut self, id: &str) -> Result<Option<(Vec<Item>, Extent)>, Halt> {
        let (mut items, mut tokens, mut page) = (Vec::new(), HashSet::new(), None::<String>);
        let (mut pages, mut restarted) = (0, false);
        loop {
            let found = match self.request(|client| client.playlist_items(id, page.as_deref()))? {
                Reply::Got(found) => found,
                Reply::Refused(problem) => {
                    self.refuse(id, problem.to_string(), problem.hint().as_deref());
                    return Ok(None);
                }
                Reply::PagingLost(problem) if !restarted => {
                    tracing::info!(list = id, %problem, "read again from its start");
                    restarted = true;
                    (pages, page) = (0, None);
                    items.clear();
                    tokens.clear();
                    continue;
                }
                Reply::PagingLost(problem) | Reply::Failed(problem) => return self.fail(id, &problem).map(|()| None),
            };
            tracing::debug!(list = id, page = ?found, "got a page");
            let Page { items: more, next } = found;
            items.extend(more);
            pages += 1;
            if pages % PROGRESS_STEPS == 0 {
                tracing::info!(list = id, pages, items = items.len(), "reading");
            }
            let is_full = items.len() >= ITEMS_MAX || pages >= PAGES_MAX;
            match next {
                Some(token) if !is_full && tokens.insert(token.clone()) => page = Some(token),
                // An uploads list that is as long as lists get has lost its oldest videos: they did not leave it.
                None if !is_full => return Ok(Some((items, Extent::Whole))),
                next => {
                    if !is_full {
                        tracing::warn!(list = id, pages, token = next, "a page was to follow that was there before: taken for the end");
                    }
                    return Ok(Some((items, Extent::Bounded)));
                }
            }
        }
    }

    /// Takes in an item; says whether there was room.
    fn see(&mut self, item: Item, list: Option<usize>) -> bool {
        let place = match self.places.get(&item.video_id) {
            Some(&place) => place,
            None if self.listed.len() >= VIDEOS_MAX => return false,
            None => {
                self.places.insert(item.video_id.clone(), self.listed.len());
                self.listed.push(Listed { id: item.video_id, ..Listed::default() });
                self.listed.len() - 1
            }
        };
        if let Some(listed) = self.listed.get_mut(place) {
            listed.is_private |= item.privacy.as_deref() == Some("private");
            listed.lists.extend(list.filter(|list| !listed.lists.contains(list)));
        }
        true
    }

    /// Whether a list is asked for now: one that could not be read is left alone for a while, since each request costs a unit.
    fn may_ask(&self, id: &str) -> bool {
        let refused = self.active.memory.list(id).refused;
        // What is further off than any pause was noted by a clock that was set back since.
        let now = self.clock.now();
        self.is_eager || refused.is_none_or(|refused| refused.again <= now.0 || refused.again > after(now, REFUSED_MOST).0)
    }

    /// Notes that a list cannot be read; said once.
    fn refuse(&mut self, id: &str, why: String, hint: Option<&str>) {
        let mut list = self.active.memory.list(id);
        let times = list.refused.as_ref().map_or(0, |refused| refused.times);
        let pause = REFUSED_FIRST.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(REFUSED_MOST);
        let again = after(self.clock.now(), pause);
        if list.refused.as_ref().is_none_or(|refused| refused.why != why) {
            tracing::warn!(
                list = id,
                problem = why,
                hint,
                again = again.to_string(),
                "cannot be read: left out, and asked for again later"
            );
        }
        list.refused = Some(Refused { why, times: times.saturating_add(1), again: again.0 });
        self.active.memory.set_list(id, list);
    }

    /// Notes that a list can be read.
    fn accept(&mut self, id: &str) {
        let mut list = self.active.memory.list(id);
        if list.refused.take().is_some() {
            tracing::info!(list = id, "can be read again");
            self.active.memory.set_list(id, list);
        }
    }
}
