//! YouTube's refusals, and what becomes of a poll then.

use super::fake::error;
use super::*;

#[test]
fn one_bad_list_does_not_stop_the_others_and_is_asked_for_ever_less() {
    let mut scene = Scene::new(2);
    scene.settings.playlists = ["PLgone", "PLa", "PLprivate"].map(str::to_owned).to_vec();
    scene.settings.channels = vec![watched(Channel::Handle("nobody".to_owned()), Uploads::default())];
    scene.fake.with(|world| {
        world.fault =
            Some(Box::new(|target| target.contains("PLprivate").then(|| error(403, "playlistItemsNotAccessible", "youtube.playlistItem"))));
    });
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.observed, summary.units, summary.problem), (true, 2, 5, None));
    assert_eq!(scene.poll(&mut poller).units, 2, "the bad ones are left alone");
    // Also by another process, for an hour; then for two.
    drop(poller);
    let mut poller = scene.poller();
    let units: Vec<u64> = (0..20).map(|_| scene.poll(&mut poller).units).collect();
    assert_eq!(units.iter().filter(|&&units| units == 5).count(), 2, "{units:?}");
    // A person who asks for a poll wants to know.
    drop(poller);
    assert_eq!(scene.poller().once(&|| false).unwrap().units, 5);
    // It is there after all.
    scene.fake.with(|world| world.add("PLgone", "found"));
    assert_eq!(scene.poller().once(&|| false).unwrap().observed, 3);
    assert_eq!(scene.appeared(), NONE, "its back catalogue is not new");
}

#[test]
fn a_request_is_tried_three_times_then_the_poll_is_not_complete_and_the_next_one_comes_later() {
    let scene = Scene::new(1);
    let mut poller = scene.poller();
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some((500, String::new())))));
    let mut waits = Vec::new();
    for _ in 0..9 {
        let (summary, waited) = scene.next(&mut poller);
        assert_eq!((summary.is_complete, summary.units, summary.observed), (false, 3, 0));
        waits.push(waited.as_secs());
    }
    assert_eq!(waits[..3], [0, 600, 600], "not sooner than without trouble");
    assert!(waits[6] > 1_900 && waits[8] >= 3_600 && waits[8] < 5_400, "{waits:?}");
    scene.fake.with(|world| world.fault = None);
    assert!(scene.poll(&mut poller).is_complete);
    assert_eq!(scene.next(&mut poller).1, 10 * MINUTE);
}

#[test]
fn passing_trouble_passes() {
    let mut scene = Scene::new(60);
    let mut answers = vec![
        (503, "<html>busy</html>".to_owned()),
        (200, r#"{"kind":"youtube#playlistItemListResponse","items":[{"contentDet"#.to_owned()),
        error(429, "rateLimitExceeded", "global"),
    ];
    scene.fake.with(|world| {
        let mut turn = false;
        world.fault = Some(Box::new(move |_| {
            turn = !turn;
            if turn { answers.pop() } else { None }
        }));
    });
    let summary = scene.poll(&mut scene.poller());
    assert_eq!((summary.is_complete, summary.observed, summary.units), (true, 60, 7));
    assert_eq!(scene.records().len(), 60);
}

#[test]
fn a_lost_page_token_begins_the_list_anew_once() {
    let mut scene = Scene::new(120);
    let mut refusals = 1;
    let fault = move |target: &str| {
        let refused = target.contains("PAGE50") && refusals > 0;
        refusals -= i32::from(refused);
        refused.then(|| error(400, "invalidPageToken", "youtube.parameter"))
    };
    scene.fake.with(|world| world.fault = Some(Box::new(fault)));
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.observed, summary.units), (true, 120, 8));
    assert_eq!(scene.records().len(), 120);
    scene.fake.with(|world| {
        world.fault = Some(Box::new(|target| target.contains("PAGE50").then(|| error(400, "invalidPageToken", "youtube.parameter"))));
    });
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.units, summary.removed), (false, 4, 0));
}

#[test]
fn a_key_that_is_none_ends_the_poller_with_the_remedy() {
    let scene = Scene::new(1);
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some(error(400, "keyInvalid", "usageLimits")))));
    let error = scene.poller().run(&|| false).unwrap_err();
    assert!(error.is_configuration());
    assert!(error.hint().unwrap().contains("console.cloud.google.com"), "{error:?}");
    assert_eq!(scene.units_in_all(), 1);
    assert!(!format!("{error:?} {error}").contains("AIzaCanary"));
}

#[test]
fn a_schema_that_does_not_fit_is_refused_at_once() {
    let mut scene = Scene::new(1);
    let text = r#"{"type": "record", "name": "v", "fields": [{"name": "colour", "type": "string"}]}"#;
    scene.settings.schema = Schema::parse(text).unwrap();
    let parts = scene.parts("one", Arc::clone(&scene.log) as Arc<dyn Log>);
    let error = Poller::new(parts).unwrap_err();
    assert_eq!(
        (error.is_configuration(), error.to_string().as_str()),
        (true, "the schema of youtube_videos does not fit observations of videos")
    );
}

#[test]
fn an_open_outcome_of_a_commit_is_read_from_the_log() {
    let mut scene = Scene::new(60);
    let (mut poller, mortal) = scene.mortal();
    scene.poll(&mut poller);
    scene.records();
    mortal.unknown.store(true, Ordering::SeqCst);
    let summary = scene.poll(&mut poller);
    assert!(summary.is_complete, "{summary:?}");
    assert_eq!(poller.failures, 0, "a poll that came off ends the count");
    assert_eq!(scene.records().len(), 60);
    assert!(scene.state("quota").unwrap()["units"].as_u64().unwrap() >= scene.units_in_all());
}

#[test]
fn a_commit_whose_outcome_is_open_and_that_came_to_nothing_is_made_up_for() {
    // The start of the poll, each of two batches, the misses, the end.
    for lost in 1..=5 {
        let mut scene = Scene::new(60);
        let (mut poller, mortal) = scene.mortal();
        scene.poll(&mut poller);
        scene.records();
        scene.fake.with(|world| {
            world.add("PLa", "fresh");
            world.videos.remove(&id(0));
        });
        mortal.lost.store(lost, Ordering::SeqCst);
        assert!(scene.poll(&mut poller).is_complete);
        assert_eq!(mortal.lost.load(Ordering::SeqCst), 0, "commit {lost} was not made");
        scene.poll(&mut poller);
        scene.poll(&mut poller);
        let records = scene.records();
        let (rows, removals): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.row.is_some());
        let appeared: Vec<&str> = rows.iter().filter_map(|record| record.text("appeared")).collect();
        assert_eq!((appeared, removals.len()), (vec!["new"], 1), "commit {lost}: told, and once");
        assert!(rows.len() >= 3 * 60, "commit {lost}");
        assert!(scene.state("quota").unwrap()["units"].as_u64().unwrap() >= scene.units_in_all(), "commit {lost}");
    }
}

#[test]
fn a_log_that_fails_for_good_ends_the_poller() {
    let scene = Scene::new(1);
    let (mut poller, mortal) = scene.mortal();
    scene.poll(&mut poller);
    mortal.dead.store(true, Ordering::SeqCst);
    let error = poller.run(&|| false).unwrap_err();
    assert!(matches!(error, Error::Log(_)), "{error:?}");
    assert!(!error.is_configuration(), "a restart may help");
    assert!(poller.status().get().problem.is_some());
}

#[test]
fn stops_while_an_answer_is_waited_for() {
    let scene = Scene::new(1);
    let stop = AtomicBool::new(false);
    let (sent, asked) = std::sync::mpsc::channel();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    scene.fake.with(|world| {
        world.fault = Some(Box::new(move |_| {
            sent.send(()).unwrap();
            // Until the test is over.
            held.recv().unwrap_or_default();
            None
        }));
    });
    let mut poller = scene.poller();
    std::thread::scope(|threads| {
        let running = threads.spawn(|| poller.run(&|| stop.load(Ordering::SeqCst)));
        asked.recv().unwrap();
        stop.store(true, Ordering::SeqCst);
        running.join().unwrap().unwrap();
    });
    drop(hold);
}

#[test]
fn a_list_that_youtube_objects_to_does_not_stop_the_others() {
    let mut scene = Scene::new(2);
    scene.settings.playlists.insert(0, "PLodd".to_owned());
    scene.settings.playlists.insert(0, "PLodder".to_owned());
    scene.fake.with(|world| {
        world.fault = Some(Box::new(|target| target.contains("PLodd").then(|| error(400, "somethingNew", "youtube.parameter"))));
    });
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.observed, summary.units), (true, 2, 4));
    assert!(summary.unseen[0].starts_with("PLodder (") && summary.unseen[0].contains("somethingNew"), "{summary:?}");
    // A wall in between refuses everything: that says nothing about a list.
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some((403, "<html>no</html>".to_owned())))));
    assert!(!scene.poll(&mut poller).is_complete);
    scene.fake.with(|world| world.fault = None);
    assert_eq!(scene.poll(&mut poller).observed, 2);
}

#[test]
fn what_is_new_is_known_although_another_list_fails_each_time() {
    let mut scene = Scene::new(1);
    scene.settings.playlists.push("PLb".to_owned());
    scene.fake.with(|world| {
        world.fault = Some(Box::new(|target| target.contains("PLb").then(|| error(500, "backendError", "global"))));
    });
    let mut poller = scene.poller();
    assert!(!scene.poll(&mut poller).is_complete);
    scene.fake.with(|world| world.add("PLa", "fresh"));
    assert_eq!((scene.poll(&mut poller).new, scene.appeared()), (1, vec![pair("fresh", "new")]));
}

#[test]
fn what_cannot_be_read_is_in_the_status_until_it_can() {
    let mut scene = Scene::new(0);
    scene.settings.playlists = vec!["PLwrong".to_owned()];
    scene.settings.videos = vec!["mistyped".to_owned()];
    scene.settings.channels = vec![watched(Channel::Handle("nobody".to_owned()), Uploads::default())];
    let mut poller = scene.poller();
    let told = "cannot be read: PLwrong (YouTube knows no playlist PLwrong (playlistNotFound)); \
                @nobody (there is no channel with this handle); the video mistyped";
    for _ in 0..2 {
        assert!(scene.poll(&mut poller).is_complete);
        assert_eq!(poller.status().get().problem.as_deref(), Some(told), "also while it is not asked for");
    }
    // A restart knows it, before it asks.
    drop(poller);
    let mut poller = scene.poller();
    while !matches!(poller.step(&|| false, false).unwrap(), Step::Waiting(_)) {}
    let problem = poller.status().get().problem.unwrap();
    assert!(problem.contains("PLwrong (YouTube knows") && problem.contains("@nobody (there"), "{problem}");
    scene.fake.with(|world| {
        world.add("PLwrong", "right");
        world.handles.insert("nobody".to_owned(), "UCsomebody".to_owned());
        world.add("UUsomebody", "first");
        world.publish("mistyped");
    });
    scene.now.advance(HOUR);
    assert_eq!(scene.poll(&mut poller).observed, 3);
    assert_eq!(poller.status().get().problem, None);
}

#[test]
fn a_channel_without_shorts_is_no_trouble_but_one_that_is_not_there_is() {
    let mut scene = Scene::new(0);
    scene.settings.playlists.clear();
    let no_live = Uploads { live: false, ..Uploads::default() };
    scene.settings.channels = ["UCreal", "UCwrong"].map(|id| watched(Channel::Id(id.to_owned()), no_live)).to_vec();
    scene.fake.with(|world| world.add("UULFreal", "one"));
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.observed, summary.unseen.len()), (true, 1, 2), "{summary:?}");
    assert!(summary.unseen.iter().all(|what| what.contains("wrong")), "{summary:?}");
    scene.fake.with(|world| world.add("UUSHreal", "short"));
    scene.now.advance(HOUR);
    assert_eq!(scene.poll(&mut poller).observed, 2);
    // What was there once is missed.
    scene.fake.with(|world| world.lists.remove("UUSHreal"));
    assert_eq!(scene.poll(&mut poller).unseen.len(), 3);
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut scene = Scene::new(1);
    scene.settings.playlists.push("PLgone".to_owned());
    let right = scene.now.now();
    scene.now.advance(300 * 24 * HOUR);
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some((500, String::new())))));
    scene.poll(&mut poller);
    scene.fake.with(|world| world.fault = None);
    // Set right: neither the pause after that poll nor that of the list ends in ten months.
    scene.now.set(right);
    let (summary, waited) = scene.next(&mut poller);
    assert_eq!((summary.is_complete, summary.units, waited), (true, 3, Duration::ZERO));
    assert_eq!(scene.next(&mut poller).1, 10 * MINUTE);
    // Also after a poll that came off.
    scene.now.advance(24 * HOUR);
    scene.poll(&mut poller);
    scene.now.set(right);
    assert_eq!(scene.next(&mut poller).1, Duration::ZERO);
}
