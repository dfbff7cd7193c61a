//! The units of a day: what polls may cost, however often the poller is killed.

use super::fake::error;
use super::*;

/// Polls for a week; says the longest and the shortest pause between two polls of one day.
fn a_week(scene: &Scene, kills: bool) -> (Duration, Duration) {
    let end = scene.now.now().0 + 7 * 86_400_000;
    let (mut poller, mut mortal) = scene.mortal();
    let (mut shortest, mut longest, mut deaths) = (Duration::MAX, Duration::ZERO, 0_u64);
    while scene.now.now().0 < end {
        let day = PacificDay::of(scene.now.now());
        // Once per life: some die within a poll, some live for several.
        if kills && scene.fake.with(|world| world.kill.is_none()) {
            let requests = xxhash_rust::xxh3::xxh3_64(&deaths.to_le_bytes()) % 13 + 1;
            scene.fake.with(|world| world.kill = Some((requests, Arc::clone(&mortal.dead))));
        }
        let mut waited = Duration::ZERO;
        loop {
            match poller.step(&|| false, false).unwrap() {
                Step::Waiting(wait) => {
                    waited += wait;
                    scene.now.advance(wait);
                }
                Step::Recovering if mortal.dead.load(Ordering::SeqCst) => {
                    deaths += 1;
                    drop(poller);
                    (poller, mortal) = scene.mortal();
                    scene.fake.with(|world| world.kill = None);
                    scene.now.advance(MINUTE);
                    break;
                }
                Step::Polled(_) => break,
                _ => {}
            }
        }
        if !waited.is_zero() && PacificDay::of(scene.now.now()) == day {
            (shortest, longest) = (shortest.min(waited), longest.max(waited));
        }
    }
    assert!(!kills || deaths > 50, "{deaths} deaths");
    (shortest, longest)
}

#[test]
fn a_week_with_too_small_a_budget_spreads_it_over_each_day() {
    // Days of 24, 25 and 23 hours.
    for start in ["2026-11-25T08:00:00Z", "2026-10-29T07:00:00Z", "2026-03-05T08:00:00Z"] {
        let mut scene = Scene::at(start, 60);
        scene.settings.quota_per_day = 200;
        let (shortest, longest) = a_week(&scene, false);
        let units = scene.units();
        println!("{start}: a poll of 4 units every {shortest:?} to {longest:?} for 200 units a day: {units:?}");
        assert!(units.values().all(|&units| units <= 200), "{units:?}");
        assert!(units.values().take(7).all(|&units| units >= 192), "what is there is used: {units:?}");
        // 200 units are 50 polls: one in 28 to 30 minutes, by the length of the day.
        assert!(shortest >= 27 * MINUTE && longest <= 33 * MINUTE, "{start}: {shortest:?} to {longest:?}");
    }
}

#[test]
fn a_week_with_enough_polls_as_often_as_it_shall() {
    let scene = Scene::at("2026-11-25T08:00:00Z", 60);
    let (shortest, longest) = a_week(&scene, false);
    assert_eq!((shortest, longest), (10 * MINUTE, 10 * MINUTE));
    assert!(scene.units().values().take(7).all(|&units| units == 144 * 4), "{:?}", scene.units());
}

#[test]
fn a_week_of_kills_never_spends_more_than_the_day_has() {
    for start in ["2026-10-29T07:00:00Z", "2026-03-05T08:00:00Z"] {
        let mut scene = Scene::at(start, 60);
        scene.settings.quota_per_day = 200;
        a_week(&scene, true);
        let units = scene.units();
        println!("{start}, killed again and again: {units:?}");
        assert!(units.values().all(|&units| units <= 200), "{units:?}");
    }
}

#[test]
fn a_spent_quota_is_asked_for_again_at_the_pacific_midnight_and_not_before() {
    let scene = Scene::new(1);
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some(error(403, "quotaExceeded", "youtube.quota")))));
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.units, summary.next_in), (false, 1, 12 * HOUR));
    scene.now.advance(HOUR);
    // Neither by another process, nor by hand.
    drop(poller);
    let mut poller = scene.poller();
    assert!(matches!(poller.step(&|| false, false).unwrap(), Step::StandingBy));
    assert!(matches!(scene.poller_on("one", Arc::clone(&scene.log) as Arc<dyn Log>).once(&|| false), Err(Error::Budget { left: 0, .. })));
    assert_eq!(scene.units_in_all(), 1);
    drop(poller);
    scene.fake.with(|world| world.fault = None);
    let (summary, waited) = scene.next(&mut scene.poller());
    assert_eq!((summary.is_complete, waited), (true, 11 * HOUR));
    assert_eq!(summary.started, Timestamp("2026-11-26T08:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond()));
}

#[test]
fn a_poll_that_is_not_covered_is_not_begun() {
    let mut scene = Scene::new(1);
    scene.settings.quota_per_day = 3;
    assert!(scene.poller().once(&|| false).unwrap().is_complete);
    let error = scene.poller().once(&|| false).unwrap_err();
    assert!(matches!(error, Error::Budget { left: 1, cost: 2, .. }), "{error:?}");
    assert!(error.to_string().ends_with("it begins anew at 2026-11-26T08:00:00Z"), "{error}");
    assert_eq!(scene.units_in_all(), 2);
}

#[test]
fn a_day_that_does_not_cover_one_poll_is_told() {
    let mut scene = Scene::new(500);
    scene.settings.quota_per_day = 15;
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.observed, summary.units, summary.is_complete), (0, 10, false));
    assert!(summary.problem.unwrap().contains("costs 20 units"));
    let (_, waited) = scene.next(&mut poller);
    assert_eq!(waited, 12 * HOUR, "once a day it looks whether there is less to watch");
    assert!(scene.units().values().all(|&units| units <= 15));
    // There is.
    scene.fake.with(|world| world.lists.get_mut("PLa").unwrap().truncate(100));
    assert!(scene.poll(&mut poller).is_complete);
}

#[test]
fn a_restart_changes_nothing_about_when_the_next_poll_is_due() {
    let mut scene = Scene::at("2026-11-25T08:00:00Z", 60);
    scene.settings.quota_per_day = 200;
    let mut poller = scene.poller();
    scene.poll(&mut poller);
    let due = poller.status().get().next_poll.unwrap();
    scene.now.advance(MINUTE);
    drop(poller);
    let mut poller = scene.poller();
    let (summary, _) = scene.next(&mut poller);
    assert_eq!(summary.started, due);
    // What is past is due at once.
    scene.now.advance(5 * HOUR);
    drop(poller);
    assert_eq!(scene.next(&mut scene.poller()).1, Duration::ZERO);
}

/// The units of the day that a poller knows of when it has become active, before it asks anything.
fn units_known(poller: &mut Poller) -> u64 {
    while !matches!(poller.step(&|| false, false).unwrap(), Step::Waiting(_)) {}
    poller.status().get().units_today
}

#[test]
fn a_restart_knows_the_units_of_the_day() {
    let scene = Scene::new(60);
    let mut poller = scene.poller();
    assert_eq!((scene.poll(&mut poller).units_today, scene.poll(&mut poller).units_today), (4, 8));
    drop(poller);
    assert_eq!(units_known(&mut scene.poller()), 8, "to the unit, after a stop between two polls");
    // In the middle of a poll that needs no more units than are reserved from the one before.
    for kill in 2..=4 {
        let scene = Scene::new(60);
        let (mut poller, mortal) = scene.mortal();
        scene.poll(&mut poller);
        scene.fake.with(|world| world.kill = Some((kill, Arc::clone(&mortal.dead))));
        scene.now.advance(10 * MINUTE);
        assert!(matches!(poller.step(&|| false, false), Ok(Step::Recovering)));
        drop(poller);
        let (known, spent) = (units_known(&mut scene.poller()), scene.units_in_all());
        assert_eq!(spent, 4 + kill);
        assert!((spent..spent + 10).contains(&known), "{known} known, {spent} spent");
    }
}

#[test]
fn a_clock_that_is_set_back_over_midnight_gives_no_units_twice() {
    for restarts in [false, true] {
        let midnight = "2026-11-26T08:00:00Z";
        let mut scene = Scene::at(midnight, 1);
        scene.settings.quota_per_day = 10;
        let mut poller = scene.poller();
        // A day that has begun, some of whose units are spent.
        assert_eq!((scene.poll(&mut poller).units_today, scene.poll(&mut poller).units_today), (2, 4));
        let began = Timestamp(midnight.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        scene.now.set(Timestamp(began.0 - 60_000));
        if restarts {
            drop(poller);
            poller = scene.poller();
        }
        assert_eq!(scene.poll(&mut poller).units_today, 6, "it does not end, and begin again");
        scene.now.set(Timestamp(began.0 + 60_000));
        while PacificDay::of(scene.now.now()) == PacificDay::of(began) {
            scene.poll(&mut poller);
        }
        let units = scene.units();
        assert_eq!(units.values().take(2).sum::<u64>(), 10, "{units:?}");
    }
}

#[test]
fn a_quota_that_is_spent_right_after_midnight_is_that_of_the_day_before() {
    // This clock is ahead of theirs, or they are late.
    let scene = Scene::at("2026-11-26T08:00:01Z", 1);
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some(error(403, "quotaExceeded", "youtube.quota")))));
    let mut poller = scene.poller();
    let summary = scene.poll(&mut poller);
    assert_eq!((summary.is_complete, summary.next_in), (false, 10 * MINUTE));
    scene.fake.with(|world| world.fault = None);
    let (summary, waited) = scene.next(&mut poller);
    assert_eq!((summary.is_complete, waited), (true, 10 * MINUTE));
    // An hour later it is this day's.
    scene.fake.with(|world| world.fault = Some(Box::new(|_| Some(error(403, "quotaExceeded", "youtube.quota")))));
    scene.now.advance(HOUR);
    assert!(scene.poll(&mut poller).next_in > 22 * HOUR);
}
