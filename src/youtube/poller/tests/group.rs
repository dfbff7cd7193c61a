//! Several pollers, and pollers that are killed.

use super::*;
use crate::config::{self, LoadOptions};
use crate::streams::runtime::MemoryBackend;
use crate::streams::testing::TopologyTestDriver;

/// The pollers take steps in turn while a day passes, minute by minute.
fn a_day(scene: &Scene, pollers: &mut [Poller]) -> usize {
    let mut polls = 0;
    for _ in 0..24 * 60 {
        for poller in pollers.iter_mut() {
            // Each hears of its turn, and polls.
            for _ in 0..3 {
                polls += usize::from(matches!(poller.step(&|| false, false).unwrap(), Step::Polled(_)));
            }
        }
        scene.now.advance(MINUTE);
    }
    polls
}

/// What the shipped topology finds changed in all observations.
fn changes(scene: &Scene) -> usize {
    let config = config::shipped(&LoadOptions::offline()).unwrap();
    let topology = config::build(&config, Arc::clone(&scene.registry)).unwrap();
    let log = Arc::clone(&scene.log) as Arc<dyn Log>;
    let options = config.runtime_options("test");
    let mut driver = TopologyTestDriver::with(Arc::new(topology), log, Arc::new(MemoryBackend::default()), options).unwrap();
    driver.run().unwrap();
    assert!(driver.read("youtube-changes-dead-letters").unwrap().is_empty());
    driver.read("youtube_changes").unwrap().len()
}

#[test]
fn two_pollers_cost_what_one_costs() {
    let scene = Scene::new(60);
    let log = || Arc::clone(&scene.log) as Arc<dyn Log>;
    let mut pollers = [scene.poller_on("one", log()), scene.poller_on("two", log())];
    assert_eq!(a_day(&scene, &mut pollers), 144);
    assert_eq!(scene.units_in_all(), 144 * 4);
    assert_eq!(pollers.iter().filter(|poller| poller.status().get().is_active).count(), 1);
}

#[test]
fn the_other_goes_on_where_the_active_one_was_killed() {
    let mut scene = Scene::new(120);
    let (mut first, mortal) = scene.mortal();
    let mut second = scene.poller_on("two", Arc::clone(&scene.log) as Arc<dyn Log>);
    scene.poll(&mut first);
    assert_eq!(second.step(&|| false, false).unwrap(), Step::StandingBy);
    // It dies after the first of three batches was answered.
    scene.fake.with(|world| world.kill = Some((4, Arc::clone(&mortal.dead))));
    scene.now.advance(10 * MINUTE);
    let killed = scene.now.now();
    assert!(matches!(first.step(&|| false, false), Ok(Step::Recovering)));
    drop(first);
    let (summary, _) = scene.next(&mut second);
    assert!(summary.is_complete);
    assert!(summary.started.0 - killed.0 <= 600_000, "one poll is lost, not two");
    assert_eq!(summary.new, 0, "what the dead one had seen is not new");
    let written = scene.records();
    assert_eq!(written.iter().filter(|record| record.at == killed).count(), 0, "a batch without its commit is none");
    assert_eq!(written.len(), 240);
}

#[test]
fn a_kill_at_any_request_repeats_nothing_that_harms() {
    // Three pages and three batches; then one look at a video that left.
    for request in 1..=7 {
        let mut scene = Scene::new(130);
        scene.settings.removed_after = 1;
        let (mut first, mortal) = scene.mortal();
        scene.poll(&mut first);
        scene.fake.with(|world| {
            world.leave("PLa", &id(0));
            world.add("PLa", "fresh");
            world.kill = Some((request, Arc::clone(&mortal.dead)));
        });
        scene.now.advance(10 * MINUTE);
        assert!(matches!(first.step(&|| false, false), Ok(Step::Recovering)), "request {request}");
        drop(first);
        scene.fake.with(|world| world.kill = None);
        let mut second = scene.poller();
        assert!(scene.poll(&mut second).is_complete, "request {request}");
        scene.poll(&mut second);
        let records = scene.records();
        let removed: Vec<_> = records.iter().filter(|record| record.row.is_none()).map(|record| record.id.clone()).collect();
        assert_eq!(removed, [id(0)], "request {request}");
        let new = records.iter().filter(|record| record.row.is_some() && record.text("appeared") == Some("new")).count();
        assert_eq!(new, 1, "request {request}");
        // The counters stood still: nothing has changed but that one is removed.
        assert_eq!(changes(&scene), 1, "request {request}");
        let counted = scene.state("quota").unwrap()["units"].as_u64().unwrap();
        let spent = scene.units_in_all();
        assert!((spent..=spent + 2 * crate::youtube::poller::round::BLOCK).contains(&counted), "{counted} counted, {spent} spent");
    }
}

#[test]
fn a_poller_that_lost_its_turn_writes_nothing_more() {
    let mut scene = Scene::new(3);
    let log = || Arc::clone(&scene.log) as Arc<dyn Log>;
    let (mut first, mut second) = (scene.poller_on("one", log()), scene.poller_on("a third", log()));
    scene.poll(&mut first);
    second.step(&|| false, false).unwrap();
    let before = scene.records().len();
    // Its session ends while the answer with the videos is on its way.
    let (member, log) = (first.member.as_ref().unwrap().metadata().member_id, Arc::clone(&scene.log));
    scene.fake.with(|world| {
        world.fault = Some(Box::new(move |target| {
            if target.starts_with("/videos") {
                log.evict("app-poller", &member);
            }
            None
        }));
    });
    scene.now.advance(10 * MINUTE);
    assert_eq!(first.step(&|| false, false).unwrap(), Step::StandingBy);
    scene.fake.with(|world| world.fault = None);
    assert_eq!((scene.records().len(), before), (0, 3));
    assert!(scene.poll(&mut second).is_complete);
    assert_eq!(first.step(&|| false, false).unwrap(), Step::StandingBy);
    assert_eq!(scene.records().len(), 3);
}

#[test]
fn a_poller_that_loses_its_turn_does_not_wait_for_the_answer() {
    let mut scene = Scene::new(3);
    let log = || Arc::clone(&scene.log) as Arc<dyn Log>;
    let (mut first, mut second) = (scene.poller_on("one", log()), scene.poller_on("a third", log()));
    scene.poll(&mut first);
    second.step(&|| false, false).unwrap();
    scene.records();
    let (member, log) = (first.member.as_ref().unwrap().metadata().member_id, Arc::clone(&scene.log));
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let is_answered = Arc::new(AtomicBool::new(false));
    let answered = Arc::clone(&is_answered);
    scene.fake.with(|world| {
        world.fault = Some(Box::new(move |_| {
            log.evict("app-poller", &member);
            // Until the step is over; or, should it wait for this, until the client soon has enough.
            held.recv_timeout(Duration::from_secs(8)).unwrap_or_default();
            answered.store(true, Ordering::SeqCst);
            None
        }));
    });
    scene.now.advance(10 * MINUTE);
    assert_eq!(first.step(&|| false, false).unwrap(), Step::StandingBy);
    assert!(!is_answered.load(Ordering::SeqCst), "it was waited for");
    drop(hold);
    scene.fake.with(|world| world.fault = None);
    assert!(scene.poll(&mut second).is_complete);
    assert_eq!(scene.records().len(), 3);
}

#[test]
fn a_poller_that_stops_hands_over_at_once() {
    let scene = Scene::new(3);
    let log = || Arc::clone(&scene.log) as Arc<dyn Log>;
    let (mut first, mut second) = (scene.poller_on("one", log()), scene.poller_on("two", log()));
    scene.poll(&mut first);
    assert_eq!(second.step(&|| false, false).unwrap(), Step::StandingBy);
    first.run(&|| true).unwrap();
    let (summary, waited) = scene.next(&mut second);
    assert_eq!((summary.is_complete, waited), (true, 10 * MINUTE), "the next poll is due when it would have been");
}

#[test]
fn once_gives_up_where_another_one_is_active() {
    let scene = Scene::new(3);
    let log = || Arc::clone(&scene.log) as Arc<dyn Log>;
    let mut first = scene.poller_on("one", log());
    scene.poll(&mut first);
    let error = scene.poller_on("two", log()).once(&|| false).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert_eq!(scene.units_in_all(), 2);
}

#[test]
fn an_instance_that_comes_back_has_its_turn_before_others() {
    let scene = Scene::new(3);
    let log = || Arc::clone(&scene.log) as Arc<dyn Log>;
    let (mut first, mut second) = (scene.poller_on("one", log()), scene.poller_on("two", log()));
    scene.poll(&mut first);
    second.step(&|| false, false).unwrap();
    // The former one is not gone yet.
    let mut again = scene.poller_on("one", log());
    assert_eq!(scene.next(&mut again).1, 10 * MINUTE);
    assert_eq!(second.step(&|| false, false).unwrap(), Step::StandingBy);
    // It finds out that somebody else has its id, and ends after a few tries.
    scene.now.advance(10 * MINUTE);
    let error = (0..1_000).find_map(|_| again.step(&|| false, false).err().or_else(|| first.step(&|| false, false).err()));
    assert!(matches!(error, Some(Error::Log(_))), "{error:?}");
}
