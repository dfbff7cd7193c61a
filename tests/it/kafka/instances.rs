//! Several instances of one application: killed with `kill -9`, added and restarted, they leave what one undisturbed instance leaves.
//!
//! The moments are chosen by what the group has committed, so that they fall into work on a machine of any speed.

use std::time::Duration;

use rustix::process::Signal;

use super::{ALL, Application, Instance, observations};
use crate::installation::Live;
use crate::oracle::{Expected, generated};
use crate::random::Random;

const PARTITIONS: i64 = 4;

/// Small transactions: many moments to be killed at, inside of one and between two.
const ENGINE: &str = "commit_interval_ms = 20\ncommit_records_max = 500";

/// How often is killed at random, where `TIDEWATCH_KILLS` does not say more; and from which seed, where `TIDEWATCH_SEED` does not.
const KILLS: i64 = 6;
const SEED: i64 = 11;

const RUN: [&str; 5] = ["run", "--only", "topology", "--log", "json"];

/// An application with a long input, and what it must say about it.
fn with_input() -> Option<(Application, Expected)> {
    let application = Application::shipped(ENGINE)?;
    let observations = observations(2);
    application.set_up(PARTITIONS, &generated::to_csv(&observations));
    Some((application, Expected::of(&observations)))
}

/// Starts an instance and waits until it knows what signals mean.
fn start(instance: &Instance) -> Live {
    let live = instance.start(&RUN);
    live.wait_for_said("starting");
    live
}

#[track_caller]
fn stop(live: Live) {
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{said:#?}");
}

#[test]
fn one_is_killed_one_is_added_and_the_first_comes_back() {
    let Some((application, expected)) = with_input() else { return };
    let progress = application.progress("youtube_videos");
    let machines = [(); 3].map(|()| application.instance());
    let [mut first, mut second] = [&machines[0], &machines[1]].map(start);

    let killed_at = progress.wait_for(200, &mut [&mut first, &mut second]);
    assert!(killed_at < 800, "killed at the end, not in the middle: {killed_at}");
    first.kill();
    let mut third = start(&machines[2]);
    let mut first = start(&machines[0]);
    third.wait_for_said("\"message\":\"running\"");
    progress.wait_for(ALL, &mut [&mut first, &mut second, &mut third]);
    [first, second, third].into_iter().for_each(stop);
    application.assert_outputs(&expected, PARTITIONS);
}

#[test]
fn many_kills_at_random_moments_leave_no_trace() {
    let Some((application, expected)) = with_input() else { return };
    let progress = application.progress("youtube_videos");
    let machines = [(); 2].map(|()| application.instance());
    let mut live = machines.each_ref().map(start);
    let set = |name: &str| std::env::var(name).ok().map(|value| value.parse::<i64>().unwrap());
    let (kills, seed) = (set("TIDEWATCH_KILLS").unwrap_or(KILLS), set("TIDEWATCH_SEED").unwrap_or(SEED));
    let mut random = Random::seeded(seed.cast_unsigned());
    for kill in 0..kills {
        let share = (kill * ALL + i64::try_from(random.below(1000)).unwrap()) / kills;
        let [first, second] = &mut live;
        progress.wait_for(share * 9 / 10, &mut [first, second]);
        // Not always just behind a commit.
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        let which = usize::try_from(random.below(2)).unwrap();
        live[which].kill();
        live[which] = start(&machines[which]);
    }
    let [first, second] = &mut live;
    progress.wait_for(ALL, &mut [first, second]);
    live.into_iter().for_each(stop);
    application.assert_outputs(&expected, PARTITIONS);
}

/// Nobody comes back: the survivor takes over what the dead one had.
#[test]
fn the_survivor_takes_over_from_one_that_never_comes_back() {
    let Some((application, expected)) = with_input() else { return };
    let progress = application.progress("youtube_videos");
    let machines = [(); 2].map(|()| application.instance());
    let [mut first, mut second] = machines.each_ref().map(start);
    let killed_at = progress.wait_for(300, &mut [&mut first, &mut second]);
    assert!(killed_at < 900, "killed at the end, not in the middle: {killed_at}");
    first.kill();
    progress.wait_for(ALL, &mut [&mut second]);
    stop(second);
    application.assert_outputs(&expected, PARTITIONS);
}
