//! That the simulated channel does what real ones do.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const START: Timestamp = Timestamp(1_785_942_000_000);

/// What can be seen after each of so many polls: id, title, counts.
fn polls(seed: u64, count: usize) -> Vec<Vec<(String, String, [i64; 3])>> {
    let mut channel = Channel::new(seed, START);
    let mut polls = Vec::new();
    for _ in 0..count {
        polls.push(channel.public().map(|video| (video.id.clone(), video.title.clone(), video.shown)).collect());
        channel.pass();
    }
    polls
}

#[test]
fn the_same_seed_gives_the_same_channel() {
    assert_eq!(polls(7, 200), polls(7, 200));
    assert_ne!(polls(7, 10), polls(8, 10));
}

#[test]
fn ids_look_like_those_of_videos_and_differ() {
    let ids: BTreeSet<_> = polls(1, 1).remove(0).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), 12);
    assert!(ids.iter().all(|id| id.len() == 11));
    assert_eq!((CHANNEL_ID.len(), PLAYLIST.len()), (24, 34));
}

#[test]
fn counters_mostly_rise_often_stand_still_and_sometimes_fall() {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let (mut up, mut same, mut down) = (0, 0, 0);
    for (id, _, [views, ..]) in polls(3, 500).into_iter().flatten() {
        match last.insert(id, views) {
            Some(before) if before < views => up += 1,
            Some(before) if before > views => down += 1,
            Some(_) => same += 1,
            None => {}
        }
    }
    assert!(up > 4 * down && down > 50 && same > 1_500, "{up} {same} {down}");
}

#[test]
fn what_happens_seldom_happens_early_and_is_told() {
    for seed in 0..20 {
        let mut channel = Channel::new(seed, START);
        let mut told = Vec::new();
        for poll in 2..28 {
            channel.pass();
            told.extend(channel.events().iter().map(|event| (poll, event.clone())));
        }
        let words: Vec<(u32, String)> =
            told.iter().map(|(poll, event)| (*poll, event.to_string().split(':').next().unwrap().to_owned())).collect();
        let expected = [
            (4, "takes off"),
            (6, "likes are hidden now"),
            (9, "renamed"),
            (12, "removed"),
            (16, "published"),
            (20, "likes are shown again"),
            (27, "public again"),
        ];
        assert_eq!(words, expected.map(|(poll, word)| (poll, word.to_owned())));
        assert_eq!(told[3].1, Event::Removed("Why is my <div> crying? 😭".to_owned(), Gone::Private));
        assert_eq!(told[6].1, Event::Restored("Why is my <div> crying? 😭".to_owned()));
    }
}

#[test]
fn each_video_stands_there_once_and_the_channel_keeps_its_size() {
    let mut channel = Channel::new(5, START);
    let mut ways = BTreeSet::new();
    for _ in 0..20_000 {
        channel.pass();
        ways.extend(channel.events().iter().filter_map(|event| match event {
            Event::Removed(_, how) => Some(format!("{how:?}")),
            _ => None,
        }));
        let mut ids: Vec<_> = channel.videos.iter().map(|video| &video.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), channel.videos.len());
        assert!(channel.public().count() >= VIDEOS.start && channel.videos.len() <= VIDEOS.end);
        assert!(channel.listed().count() >= channel.public().count());
    }
    assert_eq!(ways.len(), 3, "{ways:?}");
}
