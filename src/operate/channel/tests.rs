//! That the simulated channel does what real ones do.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const START: Timestamp = Timestamp(1_785_942_000_000);

fn steps(seed: u64, count: usize) -> Vec<(String, Option<Row>, Timestamp)> {
    let mut channel = Channel::new(seed, START);
    (0..count)
        .map(|_| {
            let seen = channel.step();
            (seen.id.to_owned(), seen.row.cloned(), seen.at)
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_channel() {
    assert_eq!(steps(7, 2_000), steps(7, 2_000));
    assert_ne!(steps(7, 100), steps(8, 100));
}

#[test]
fn ids_look_like_those_of_videos_and_differ() {
    let ids: BTreeSet<_> = steps(1, 12).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), 12);
    assert!(ids.iter().all(|id| id.len() == 11));
}

#[test]
fn counters_mostly_rise_often_stand_still_and_sometimes_fall() {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let (mut up, mut same, mut down) = (0, 0, 0);
    for (id, row, _) in steps(3, 6_000) {
        let Some(Value::Long(views)) = row.map(|row| row.get(1).clone()) else { continue };
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
fn what_happens_seldom_happens_early() {
    let steps = steps(42, 400);
    let removed = steps.iter().filter(|(_, row, _)| row.is_none()).count();
    let hidden = steps.iter().filter(|(_, row, _)| row.as_ref().is_some_and(|row| row.get(2).is_null())).count();
    let titles: BTreeMap<_, BTreeSet<_>> = steps.iter().filter_map(|(id, row, _)| Some((id, row.as_ref()?.get(0).to_string()))).fold(
        BTreeMap::new(),
        |mut titles: BTreeMap<_, BTreeSet<_>>, (id, title)| {
            titles.entry(id).or_default().insert(title);
            titles
        },
    );
    assert_eq!(removed, 1);
    assert!((10..200).contains(&hidden), "{hidden}");
    assert_eq!(titles.values().filter(|titles| titles.len() > 1).count(), 1, "one was renamed");
    assert!(titles.values().flatten().any(|title| title.contains('<') && title.contains('&') && title.contains('"')));
}

#[test]
fn a_removed_video_is_seen_no_more() {
    let steps = steps(42, 2_000);
    let (place, id) = steps.iter().enumerate().find(|(_, (_, row, _))| row.is_none()).map(|(place, (id, ..))| (place, id)).unwrap();
    assert!(steps[place + 1..].iter().all(|(later, ..)| later != id));
}

#[test]
fn each_video_is_observed_once_a_poll_and_the_channel_keeps_its_size() {
    let mut polls: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (id, row, at) in steps(5, 50_000) {
        if row.is_some() {
            polls.entry(at.0).or_default().push(id);
        }
    }
    polls.pop_last();
    for (at, mut ids) in polls {
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{at}");
        assert!((VIDEOS.start - 1..=VIDEOS.end).contains(&count), "{at}: {count}");
    }
}
