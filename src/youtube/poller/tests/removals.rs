//! Videos that go and come back.

use super::fake::error;
use super::*;

#[test]
fn a_video_is_removed_when_enough_polls_have_missed_it() {
    let mut scene = Scene::new(3);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    // Ordinary lists keep the item of a deleted video.
    scene.fake.with(|world| world.videos.remove(&id(1)));
    let counts: Vec<usize> = (0..4).map(|_| scene.poll(&mut poller).removed).collect();
    assert_eq!(counts, [0, 0, 1, 0], "at the third poll, and once");
    assert_eq!(scene.removed(), [pair(&id(1), "gone")]);
    assert_eq!(scene.state(&format!("video/{}", id(1))).unwrap()["gone"]["reason"], "gone");
}

#[test]
fn the_reason_is_what_lists_and_youtube_say() {
    let mut scene = Scene::new(0);
    scene.settings.removed_after = 1;
    scene.fake.with(|world| world.add_all("PLa", &["private", "left", "deleted", "stays"]));
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    scene.fake.with(|world| {
        world.private.insert("private".to_owned());
        world.videos.remove("private");
        world.leave("PLa", "left");
        world.leave("PLa", "deleted");
        world.videos.remove("deleted");
    });
    let summary = scene.poll(&mut poller);
    // One more look at those that are in no list: whether they are only not in it.
    assert_eq!((summary.removed, summary.videos, summary.units), (3, 1, 3));
    let mut removed = scene.removed();
    removed.sort();
    assert_eq!(removed, [pair("deleted", "gone"), pair("left", "left-playlist"), pair("private", "private")]);
    assert_eq!(scene.poll(&mut poller).units, 2);
    assert_eq!(scene.removed(), NONE);
}

#[test]
fn the_reason_is_remembered_as_it_is_told() {
    let mut scene = Scene::new(0);
    scene.settings.removed_after = 2;
    scene.fake.with(|world| world.add_all("PLa", &["private", "left", "deleted", "stays"]));
    scene.poll(&mut scene.poller());
    scene.fake.with(|world| {
        world.private.insert("private".to_owned());
        world.videos.remove("private");
        world.leave("PLa", "left");
        world.videos.remove("deleted");
    });
    // Each poll by another process: misses and reasons lie in the state.
    assert_eq!(scene.poll(&mut scene.poller()).removed, 0);
    assert_eq!(scene.poll(&mut scene.poller()).removed, 3);
    for (id, reason) in [("private", "private"), ("left", "left-playlist"), ("deleted", "gone")] {
        assert_eq!(scene.state(&format!("video/{id}")).unwrap()["gone"]["reason"], reason);
    }
    assert_eq!(scene.poll(&mut scene.poller()).removed, 0, "told once");
    scene.fake.with(|world| {
        world.private.clear();
        world.publish("private");
        world.publish("deleted");
        world.add("PLa", "left");
    });
    assert_eq!(scene.poll(&mut scene.poller()).restored, 3);
}

#[test]
fn one_list_that_says_private_is_enough() {
    for says in ["PLa/hidden", "PLb/hidden"] {
        let mut scene = Scene::new(1);
        scene.settings.removed_after = 1;
        scene.settings.playlists.push("PLb".to_owned());
        scene.fake.with(|world| {
            world.add("PLa", "hidden");
            world.add("PLb", "hidden");
        });
        let mut poller = scene.poller();
        scene.poll(&mut poller);
        // The other list has not heard of it yet.
        scene.fake.with(|world| {
            world.private.insert(says.to_owned());
            world.videos.remove("hidden");
        });
        scene.poll(&mut poller);
        assert_eq!(scene.removed(), [pair("hidden", "private")], "{says}");
    }
}

#[test]
fn a_document_without_items_is_an_empty_list_only_where_it_says_that_it_is_one() {
    let mut scene = Scene::new(2);
    scene.settings.removed_after = 1;
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    for path in ["/videos", "/playlistItems"] {
        for body in ["{}", r#"{"kind": "youtube#channelListResponse"}"#, r#"{"error": {}}"#] {
            scene.fake.with(|world| world.fault = Some(Box::new(move |target| target.starts_with(path).then(|| (200, body.to_owned())))));
            let summary = scene.poll(&mut poller);
            assert_eq!((summary.is_complete, summary.removed, summary.videos), (false, 0, 2), "{path}: {body}");
        }
    }
    scene.fake.with(|world| {
        let body = r#"{"kind": "youtube#videoListResponse"}"#;
        world.fault = Some(Box::new(move |target| target.starts_with("/videos").then(|| (200, body.to_owned()))));
    });
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.removed), (true, 2));
}

#[test]
fn a_video_that_comes_back_is_restored_and_one_that_came_back_in_time_was_never_gone() {
    let mut scene = Scene::new(2);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    let video = scene.fake.with(|world| world.videos.remove(&id(0)).unwrap());
    scene.poll(&mut poller);
    scene.poll(&mut poller);
    scene.fake.with(|world| world.videos.insert(id(0), video.clone()));
    scene.poll(&mut poller);
    scene.fake.with(|world| world.videos.remove(&id(0)).unwrap());
    scene.poll(&mut poller);
    scene.poll(&mut poller);
    assert_eq!(scene.removed(), NONE, "the count begins anew");
    // The counts outlive the process.
    drop(poller);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    assert_eq!(scene.removed(), [pair(&id(0), "gone")]);
    scene.fake.with(|world| world.videos.insert(id(0), video));
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.restored, summary.new, summary.videos), (1, 0, 2));
    assert_eq!(scene.appeared(), [pair(&id(0), "restored")]);
    scene.poll(&mut poller);
    assert_eq!(scene.appeared(), NONE);
}

#[test]
fn what_is_gone_for_long_is_forgotten() {
    let mut scene = Scene::new(2);
    (scene.settings.removed_after, scene.settings.every) = (1, 24 * HOUR);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    scene.fake.with(|world| world.leave("PLa", &id(0)));
    scene.poll(&mut poller);
    let key = format!("video/{}", id(0));
    for _ in 0..30 {
        scene.poll(&mut poller);
    }
    assert!(scene.state(&key).is_some());
    scene.poll(&mut poller);
    assert_eq!(scene.state(&key), None);
    assert_eq!(scene.removed(), [pair(&id(0), "left-playlist")]);
    scene.fake.with(|world| world.add("PLa", &id(0)));
    scene.poll(&mut poller);
    assert_eq!(scene.appeared(), [pair(&id(0), "new")]);
}

#[test]
fn a_poll_that_is_not_complete_removes_nothing() {
    let mut scene = Scene::new(0);
    scene.settings.playlists.push("PLb".to_owned());
    scene.settings.removed_after = 1;
    scene.fake.with(|world| {
        world.add_all("PLa", &["both", "first"]);
        world.add_all("PLb", &["both", "second"]);
    });
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    // One list cannot be read, and what was in both lists left the other one.
    scene.fake.with(|world| {
        world.leave("PLa", "both");
        world.fault = Some(Box::new(|target| target.contains("PLb").then(|| error(500, "backendError", "youtube"))));
    });
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.removed, summary.observed), (false, 0, 1));
    // What was in both is in the one that can be read, and YouTube leaves it out: the other one may know better.
    let both = scene.fake.with(|world| {
        world.add("PLa", "both");
        world.videos.remove("both").unwrap()
    });
    assert_eq!(scene.poll(&mut poller).removed, 0);
    scene.fake.with(|world| world.videos.insert("both".to_owned(), both));
    // No answer at all.
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some((502, "<html>no</html>".to_owned())))));
    for _ in 0..3 {
        assert_eq!(scene.poll(&mut poller).removed, 0);
    }
    scene.fake.with(|world| world.fault = None);
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.removed, summary.observed), (true, 0, 3));
    assert_eq!(scene.removed(), NONE);
}

#[test]
fn a_batch_that_fails_says_nothing_about_its_videos() {
    let mut scene = Scene::new(120);
    scene.settings.removed_after = 1;
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    // The second of three batches, each time that it is tried.
    let second = id(50);
    scene.fake.with(|world| {
        world.fault = Some(Box::new(move |target| {
            (target.starts_with("/videos") && target.contains(&second)).then(|| error(503, "backendError", "youtube"))
        }));
    });
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.removed, summary.observed), (false, 0, 70));
    assert_eq!(scene.removed(), NONE);
}

#[test]
fn when_most_videos_are_missing_at_once_they_are_not_believed_gone_for_a_day() {
    for is_list in [true, false] {
        let mut scene = Scene::new(60);
        let mut poller = scene.poller();
        scene.poll(&mut poller);
        let (list, videos) = scene.fake.with(|world| {
            if is_list { (world.lists.insert("PLa".to_owned(), Vec::new()), None) } else { (None, Some(std::mem::take(&mut world.videos))) }
        });
        for _ in 0..10 {
            let summary = scene.poll(&mut poller);
            assert_eq!((summary.is_complete, summary.removed, summary.units <= 4), (true, 0, true), "{summary:?}");
        }
        let told = "60 of 60 videos are missing all at once: they count as removed when they have been for a day";
        assert_eq!(poller.status().get().problem.as_deref(), Some(told));
        // It was YouTube's fault.
        scene.fake.with(|world| {
            world.lists.extend(list.map(|list| ("PLa".to_owned(), list)));
            world.videos.extend(videos.into_iter().flatten());
        });
        let summary = scene.poll(&mut poller);
        assert_eq!((summary.observed, summary.new, summary.restored, poller.status().get().problem), (60, 0, 0, None));
        assert_eq!(scene.removed(), NONE);
        // It was not.
        scene
            .fake
            .with(|world| if is_list { world.lists.insert("PLa".to_owned(), Vec::new()).map_or((), drop) } else { world.videos.clear() });
        let began = scene.now.now();
        let reason = if is_list { "left-playlist" } else { "gone" };
        let removed = (0..200).map(|_| scene.poll(&mut poller)).find(|summary| summary.removed > 0).unwrap();
        assert_eq!((removed.removed, removed.videos), (60, 0));
        assert_eq!(scene.removed().into_iter().filter(|(_, why)| why == reason).count(), 60);
        assert!(removed.started.0 - began.0 >= 86_400_000 - 600_000, "{removed:?}");
    }
}

#[test]
fn half_of_the_videos_or_a_few_may_go_at_once() {
    for (videos, gone) in [(60, 30), (20, 20)] {
        let scene = Scene::new(videos);
        let mut poller = scene.poller();
        scene.poll(&mut poller);
        scene.fake.with(|world| (0..gone).for_each(|number| world.leave("PLa", &id(number))));
        let counts: Vec<usize> = (0..3).map(|_| scene.poll(&mut poller).removed).collect();
        assert_eq!(counts, [0, 0, gone]);
    }
}

#[test]
fn a_list_that_is_not_read_to_its_end_removes_nothing() {
    let mut scene = Scene::new(3);
    scene.settings.removed_after = 1;
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    scene.fake.with(|world| {
        let body = r#"{"kind":"youtube#playlistItemListResponse","nextPageToken":"again","items":[]}"#;
        world.fault = Some(Box::new(move |target| target.starts_with("/playlistItems").then(|| (200, body.to_owned()))));
    });
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.removed, summary.videos), (true, 0, 3));
}

#[test]
fn what_a_failed_batch_left_out_is_not_new_to_the_next_poll() {
    let mut scene = Scene::new(120);
    let second = id(50);
    scene.fake.with(|world| {
        world.fault = Some(Box::new(move |target| {
            (target.starts_with("/videos") && target.contains(&second)).then(|| error(503, "backendError", "youtube"))
        }));
    });
    let mut poller = scene.poller();
    assert_eq!(scene.poll(&mut poller).observed, 70);
    scene.fake.with(|world| world.fault = None);
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.observed, summary.new), (120, 0));
    assert_eq!(scene.appeared(), NONE);
}
