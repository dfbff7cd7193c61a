//! What a poll asks for and what it writes.

use std::collections::BTreeSet;

use super::fake::error;
use super::*;

#[test]
fn costs_two_units_for_fifty_videos() {
    for (videos, units) in [(1, 2), (40, 2), (50, 2), (51, 4), (500, 20), (5_000, 200)] {
        let mut scene = Scene::new(videos);
        let summary = scene.poll(&mut scene.poller());
        assert!(summary.is_complete, "{summary:?}");
        assert_eq!((summary.observed, summary.videos, summary.units), (videos, videos, units), "{videos} videos");
        assert_eq!(scene.units_in_all(), units, "{videos} videos");
        // What this replaces asked for pages of 5 and for each video by itself.
        let before = u64::try_from(videos.div_ceil(5) + videos).unwrap();
        assert!(videos == 1 || units * 12 <= before, "{videos} videos: {units} instead of {before}");
        let ids: BTreeSet<String> = scene.records().into_iter().map(|record| record.id).collect();
        assert_eq!(ids.len(), videos);
    }
}

#[test]
fn writes_what_it_saw_under_the_videos_id_with_the_time_of_the_answer() {
    let mut scene = Scene::new(0);
    scene.fake.with(|world| {
        world.add("PLa", "one");
        world.add("PLa", "hidden");
        world.videos.get_mut("one").unwrap().views = 3_000_000_000;
        world.videos.get_mut("hidden").unwrap().likes = None;
    });
    let at = scene.now.now();
    scene.poll(&mut scene.poller());
    let records = scene.records();
    let [one, hidden] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((one.id.as_str(), one.at, one.text("title")), ("one", at, Some("Title of one")));
    assert_eq!(
        [one.field("views"), one.field("likes"), one.field("comments")],
        [&Value::Long(3_000_000_000), &Value::Long(10), &Value::Null]
    );
    assert_eq!(one.field("playlists"), &Value::Strings(vec!["PLa".to_owned()]));
    assert_eq!((one.field("duration_seconds"), one.text("live_state")), (&Value::Long(754), Some("none")));
    assert_eq!((one.field("published_at"), one.field("appeared")), (&Value::Long(1_777_741_205_000), &Value::Null));
    assert_eq!((hidden.id.as_str(), hidden.field("likes")), ("hidden", &Value::Null), "hidden is not zero");
}

#[test]
fn a_counter_beyond_what_fields_hold_is_the_largest_one() {
    let mut scene = Scene::new(1);
    scene.fake.with(|world| world.videos.get_mut(&id(0)).unwrap().views = u64::MAX);
    scene.poll(&mut scene.poller());
    assert_eq!(scene.records()[0].field("views"), &Value::Long(i64::MAX));
}

#[test]
fn a_video_is_asked_for_once_wherever_it_is() {
    let mut scene = Scene::new(0);
    scene.settings.playlists = vec!["PLa".to_owned(), "PLb".to_owned()];
    scene.settings.videos = vec!["both".to_owned(), "alone".to_owned()];
    scene.fake.with(|world| {
        world.add_all("PLa", &["both", "twice", "twice"]);
        world.add_all("PLb", &["both", "other"]);
        world.publish("alone");
    });
    scene.poll(&mut scene.poller());
    let seen: Vec<_> = scene.records().iter().map(|record| (record.id.clone(), record.field("playlists").to_string())).collect();
    assert_eq!(seen, [pair("both", "PLa, PLb"), pair("twice", "PLa"), pair("other", "PLb"), pair("alone", "")]);
}

#[test]
fn a_channel_is_the_list_of_its_uploads_and_its_handle_is_asked_for_once() {
    let mut scene = Scene::new(0);
    scene.settings.playlists.clear();
    let no_shorts = Uploads { shorts: false, ..Uploads::default() };
    scene.settings.channels =
        vec![watched(Channel::Handle("tides".to_owned()), Uploads::default()), watched(Channel::Id("UCother".to_owned()), no_shorts)];
    scene.fake.with(|world| {
        world.handles.insert("tides".to_owned(), "UCtides".to_owned());
        for (list, id) in [("UUtides", "one"), ("UULFother", "two"), ("UULVother", "three")] {
            world.add(list, id);
        }
    });
    assert_eq!(scene.poll(&mut scene.poller()).observed, 3);
    assert_eq!(scene.fake.paths(), ["channels", "playlistItems", "playlistItems", "playlistItems", "videos"]);
    // Another process knows it.
    assert_eq!(scene.poll(&mut scene.poller()).units, 4);
    assert_eq!(scene.state("handle/tides").unwrap()["channel"], "UCtides");
}

#[test]
fn while_a_handle_is_not_known_nothing_is_forgotten_for_it() {
    // The service fails; or it knows no such handle, for now.
    for answer in [error(500, "backendError", "global"), (200, r#"{"kind": "youtube#channelListResponse", "items": []}"#.to_owned())] {
        let mut scene = Scene::new(1);
        scene.settings.channels = vec![watched(Channel::Id("UCtides".to_owned()), Uploads::default())];
        scene.fake.with(|world| world.add_all("UUtides", &["one", "two"]));
        assert_eq!(scene.poll(&mut scene.poller()).observed, 3);
        // The same channel, by its handle from now on.
        scene.settings.channels = vec![watched(Channel::Handle("tides".to_owned()), Uploads::default())];
        scene.fake.with(|world| {
            world.handles.insert("tides".to_owned(), "UCtides".to_owned());
            world.fault = Some(Box::new(move |target| target.starts_with("/channels").then(|| answer.clone())));
        });
        let mut poller = scene.poller();
        for _ in 0..4 {
            assert_eq!(scene.poll(&mut poller).videos, 3);
        }
        assert!(scene.state("video/one").is_some() && scene.state("list/UUtides").is_some());
        scene.fake.with(|world| {
            world.fault = None;
            world.add("UUtides", "fresh");
        });
        scene.now.advance(24 * HOUR);
        assert_eq!(scene.poll(&mut poller).observed, 4);
        assert_eq!(scene.appeared(), [pair("fresh", "new")], "the others were known");
    }
}

#[test]
fn what_is_new_is_known_from_the_back_catalogue() {
    let mut scene = Scene::new(3);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    assert_eq!(scene.appeared(), NONE, "the back catalogue is not new");
    scene.fake.with(|world| world.add("PLa", "fresh"));
    assert_eq!(scene.poll(&mut poller).new, 1);
    assert_eq!(scene.appeared(), [pair("fresh", "new")]);
    scene.poll(&mut poller);
    assert_eq!(scene.appeared(), NONE, "said once");
    // A list that is watched from now on brings its own back catalogue, and so does a video that is.
    scene.settings.playlists.push("PLb".to_owned());
    scene.settings.videos.push("alone".to_owned());
    scene.fake.with(|world| {
        world.add("PLb", "old");
        world.publish("alone");
    });
    drop(poller);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    assert_eq!(scene.appeared(), NONE);
    scene.fake.with(|world| world.add("PLb", "young"));
    scene.poll(&mut poller);
    assert_eq!(scene.appeared(), [pair("young", "new")]);
}

#[test]
fn what_the_configuration_names_no_more_is_forgotten_without_a_word() {
    let mut scene = Scene::new(2);
    scene.settings.playlists.push("PLb".to_owned());
    scene.fake.with(|world| world.add("PLb", "other"));
    scene.poll(&mut scene.poller());
    scene.records();
    scene.settings.playlists.pop();
    let mut poller = scene.poller();
    for _ in 0..4 {
        assert_eq!(scene.poll(&mut poller).removed, 0);
    }
    assert!(scene.records().iter().all(|record| record.row.is_some()));
    assert_eq!((scene.state("video/other"), scene.state("list/PLb")), (None, None));
    assert!(scene.state("list/PLa").is_some());
}

#[test]
fn a_list_without_end_is_ended() {
    let scene = Scene::new(1);
    let mut count = 0;
    scene.fake.with(|world| {
        world.fault = Some(Box::new(move |target| {
            let body = r#"{"kind":"youtube#playlistItemListResponse","nextPageToken":"again","items":[]}"#;
            count += 1;
            assert!(count < 10, "asked without end");
            target.starts_with("/playlistItems").then(|| (200, body.to_owned()))
        }));
    });
    let summary = scene.poll(&mut scene.poller());
    assert_eq!((summary.units, summary.is_complete), (2, true));
}

#[test]
fn once_polls_now_and_leaves() {
    let scene = Scene::new(3);
    assert_eq!(scene.poller().once(&|| false).unwrap().observed, 3);
    // Nothing is due for ten minutes, which a person who asks does not mind.
    assert_eq!(scene.poller().once(&|| false).unwrap().observed, 3);
    assert!(matches!(scene.try_next(&mut scene.poller()), Ok((_, wait)) if wait == 10 * MINUTE));
}

#[test]
fn the_status_says_what_the_poller_is_at() {
    let scene = Scene::new(3);
    let mut poller = scene.poller();
    let handle = poller.status();
    assert!(!handle.get().is_active);
    scene.poll(&mut poller);
    let (status, now) = (handle.get(), scene.now.now());
    assert_eq!((status.is_active, status.last_poll, status.videos, status.units_today), (true, Some(now), 3, 2));
    assert_eq!((status.next_poll, status.problem), (Some(Timestamp(now.0 + 600_000)), None));
}
