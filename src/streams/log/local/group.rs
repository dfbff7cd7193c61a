//! The group coordinator: members of this process, generations, sticky assignment, committed offsets.
//!
//! Cooperative: a partition moves only after its owner was told to give it up and did. A member acts under the generation
//! that it last learned in a poll, so a rebalance that it has not seen yet does not fail its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys;
use crate::streams::kv::Batch;
use crate::streams::log::{Class, Committed, Error, GroupMetadata, Offset, Polled, Result, TopicPartition};

#[derive(Debug, Default)]
pub(super) struct Member {
    instance_id: Option<Arc<str>>,
    topics: Vec<Arc<str>>,
    /// The generation that it last learned.
    generation: i32,
    /// What it has, including what it was told to give up.
    owned: BTreeSet<TopicPartition>,
    /// What it shall have.
    target: BTreeSet<TopicPartition>,
    told_to_revoke: BTreeSet<TopicPartition>,
    /// What the former holder of its instance id had: its own before anybody else's.
    inherited: BTreeSet<TopicPartition>,
    /// Whether it has heard what it has, which may be nothing.
    is_told: bool,
}

impl Member {
    /// Whether it waits to hear that there is nothing for it.
    fn is_spare(&self) -> bool {
        !self.is_told && self.target.is_empty() && self.owned.is_empty()
    }

    /// Partitions that it should rather have than others.
    fn claims(&self) -> impl Iterator<Item = &TopicPartition> {
        self.owned.iter().chain(&self.inherited).filter(|partition| !self.told_to_revoke.contains(*partition))
    }
}

/// A group.
#[derive(Debug, Default)]
pub(super) struct Group {
    generation: i32,
    members: BTreeMap<Arc<str>, Member>,
    /// Members that lost their partitions, until they hear of it.
    lost: BTreeMap<Arc<str>, Vec<TopicPartition>>,
    /// Members whose instance id another one took.
    fenced: BTreeSet<Arc<str>>,
    pub(super) offsets: BTreeMap<TopicPartition, Committed>,
    /// Partitions with offsets in open transactions, by producer.
    pub(super) pending: BTreeMap<u64, Vec<TopicPartition>>,
}

/// What a member hears at its poll.
#[derive(Debug)]
pub(super) enum News {
    Nothing,
    Event(Polled),
    /// It is no member any more and must join again.
    Rejoin(Vec<TopicPartition>),
}

impl Group {
    /// Adds a member; an earlier holder of its instance id is fenced and hands its partitions over.
    pub(super) fn join(&mut self, id: &Arc<str>, instance_id: Option<&Arc<str>>, topics: &[Arc<str>], partitions: &[TopicPartition]) {
        let former = self.members.iter().find(|(_, member)| instance_id.is_some() && member.instance_id.as_ref() == instance_id);
        let mut inherited = BTreeSet::new();
        if let Some(former) = former.map(|(former, _)| Arc::clone(former)) {
            if let Some(member) = self.members.remove(&former) {
                inherited = member.claims().cloned().collect();
            }
            self.fenced.insert(former);
        }
        let member = Member { instance_id: instance_id.cloned(), topics: topics.to_vec(), inherited, ..Member::default() };
        self.members.insert(Arc::clone(id), member);
        self.rebalance(partitions);
    }

    pub(super) fn leave(&mut self, id: &str, partitions: &[TopicPartition]) {
        self.fenced.remove(id);
        self.lost.remove(id);
        if self.members.remove(id).is_some() {
            self.rebalance(partitions);
        }
    }

    /// Takes everything from a member, as after a session timeout.
    pub(super) fn evict(&mut self, id: &str, partitions: &[TopicPartition]) -> bool {
        let Some((id, member)) = self.members.remove_entry(id) else { return false };
        self.lost.insert(id, member.owned.into_iter().collect());
        self.rebalance(partitions);
        true
    }

    /// The members and their instance ids.
    pub(super) fn members(&self) -> Vec<(Arc<str>, Option<Arc<str>>)> {
        self.members.iter().map(|(id, member)| (Arc::clone(id), member.instance_id.clone())).collect()
    }

    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn subscribed(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.values().flat_map(|member| &member.topics)
    }

    /// Spreads the partitions anew: balanced, and each stays with its owner as long as that one has not too many.
    pub(super) fn rebalance(&mut self, partitions: &[TopicPartition]) {
        self.generation += 1;
        for member in self.members.values_mut() {
            member.target.clear();
        }
        let wanted: BTreeSet<_> =
            partitions.iter().filter(|partition| self.subscribed().any(|topic| *topic == partition.topic)).cloned().collect();
        let mut order: Vec<_> = self.members.iter().map(|(id, member)| (member.instance_id.clone(), Arc::clone(id))).collect();
        order.sort();
        let count = order.len().max(1);
        let (least, extra) = (wanted.len() / count, wanted.len() % count);
        let mut rest = wanted.clone();
        // Those with more partitions now keep the larger shares: fewer have to move.
        order.sort_by_key(|(_, id)| std::cmp::Reverse(self.members.get(id).map_or(0, |member| member.claims().count())));
        let mut quotas: Vec<(Arc<str>, usize)> =
            order.into_iter().enumerate().map(|(rank, (_, id))| (id, least + usize::from(rank < extra))).collect();
        for (id, quota) in &mut quotas {
            let Some(member) = self.members.get_mut(id) else { continue };
            let kept: BTreeSet<_> = member
                .claims()
                .filter(|partition| rest.contains(*partition) && member.topics.contains(&partition.topic))
                .take(*quota)
                .cloned()
                .collect();
            *quota -= kept.len();
            for partition in kept {
                rest.remove(&partition);
                member.target.insert(partition);
            }
        }
        for partition in rest {
            let able = |members: &BTreeMap<Arc<str>, Member>, id: &Arc<str>| {
                members.get(id).is_some_and(|member| member.topics.contains(&partition.topic))
            };
            let place = quotas
                .iter()
                .position(|(id, quota)| *quota > 0 && able(&self.members, id))
                .or_else(|| quotas.iter().position(|(id, _)| able(&self.members, id)));
            let Some((id, quota)) = place.and_then(|place| quotas.get_mut(place)) else { continue };
            *quota = quota.saturating_sub(1);
            if let Some(member) = self.members.get_mut(id) {
                member.target.insert(partition);
            }
        }
    }

    /// What a member hears now; it learns the generation with it.
    pub(super) fn news(&mut self, id: &str) -> Result<News> {
        if self.fenced.contains(id) {
            return Err(Error::new(Class::Fenced, "polling", format!("the instance id of member {id} was taken by another one")));
        }
        if let Some(lost) = self.lost.remove(id) {
            return Ok(News::Rejoin(lost));
        }
        let taken: BTreeSet<_> =
            self.members.iter().filter(|(other, _)| ***other != *id).flat_map(|(_, member)| member.owned.iter().cloned()).collect();
        let Some(member) = self.members.get_mut(id) else { return Ok(News::Nothing) };
        member.generation = self.generation;
        let revoked: Vec<_> = member
            .owned
            .iter()
            .filter(|partition| !member.target.contains(*partition) && !member.told_to_revoke.contains(*partition))
            .cloned()
            .collect();
        if !revoked.is_empty() {
            member.told_to_revoke.extend(revoked.iter().cloned());
            return Ok(News::Event(Polled::Revoked(revoked)));
        }
        let assigned: Vec<_> =
            member.target.iter().filter(|partition| !member.owned.contains(*partition) && !taken.contains(*partition)).cloned().collect();
        if assigned.is_empty() && !member.is_spare() {
            return Ok(News::Nothing);
        }
        member.is_told = true;
        member.inherited.clear();
        member.owned.extend(assigned.iter().cloned());
        Ok(News::Event(Polled::Assigned(assigned)))
    }

    /// Whether [`news`](Self::news) would bring something.
    pub(super) fn has_news(&self, id: &str) -> bool {
        if self.fenced.contains(id) || self.lost.contains_key(id) {
            return true;
        }
        let Some(member) = self.members.get(id) else { return false };
        let taken = |partition| self.members.iter().any(|(other, member)| **other != *id && member.owned.contains(partition));
        member.is_spare()
            || member.owned.iter().any(|partition| !member.target.contains(partition) && !member.told_to_revoke.contains(partition))
            || member.target.iter().any(|partition| !member.owned.contains(partition) && !taken(partition))
    }

    /// A member gives up a partition that it was told to.
    pub(super) fn give_up(&mut self, id: &str, partition: &TopicPartition) {
        if let Some(member) = self.members.get_mut(id)
            && member.told_to_revoke.remove(partition)
        {
            member.owned.remove(partition);
        }
    }

    pub(super) fn generation_of(&self, id: &str) -> i32 {
        self.members.get(id).map_or(-1, |member| member.generation)
    }

    /// Whether offsets may be sent in this member's name.
    pub(super) fn check_member(&self, operation: &str, group: &GroupMetadata) -> Result<()> {
        if self.fenced.contains(&group.member_id) {
            return Err(Error::new(
                Class::Fenced,
                operation,
                format!("the instance id of member {} was taken by another one", group.member_id),
            ));
        }
        let alone = group.generation < 0 && group.member_id.is_empty() && self.members.is_empty();
        let current = self.members.get(&group.member_id).is_some_and(|member| member.generation == group.generation);
        if alone || current {
            return Ok(());
        }
        let message = format!("member {} of group {} is not in generation {} any more", group.member_id, group.group, group.generation);
        Err(Error::new(Class::Rebalanced, operation, message))
    }

    pub(super) fn put_offset(group: &str, partition: &TopicPartition, committed: &Committed, batch: &mut Batch) {
        let value = [committed.offset.0.to_le_bytes().as_slice(), committed.metadata.as_bytes()].concat();
        batch.put(&keys::offset(group, partition), &value);
    }

    pub(super) fn read_offset(value: &[u8]) -> Option<Committed> {
        let (offset, metadata) = value.split_first_chunk::<8>()?;
        Some(Committed { offset: Offset(i64::from_le_bytes(*offset)), metadata: std::str::from_utf8(metadata).ok()?.into() })
    }
}
