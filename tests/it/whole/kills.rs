//! One process with all parts on the embedded log, killed with `kill -9` at random moments: everything arrives.

use std::time::Duration;

use tidewatch::operate::simulated::{Fault, Faults};

use super::deliveries::Deliveries;
use super::{KEY, Outside, TOKEN, assert_outbox, installation, secrets, stop};
use crate::installation::{Installation, Live};
use crate::random::Random;

const KILLS: usize = 30;

/// Requests that meet a fault, so that it is killed while it waits or does not know.
pub(crate) const FAULTS: [(f64, Fault); 4] =
    [(0.03, Fault::TooMany { retry_after: 1 }), (0.03, Fault::Internal), (0.02, Fault::HangAfter), (0.02, Fault::ResetBefore)];

fn start(installation: &Installation) -> Live {
    let live = installation.start(&["run"]);
    live.wait_for_said("starting");
    live
}

#[test]
fn of_the_whole_process_lose_nothing() {
    let mut outside = Outside::start(21, Faults::by_chance(21, &FAULTS));
    let installation = installation(&outside.topology(""));
    let mut random = Random::seeded(21);
    let mut live = start(&installation);
    for _ in 0..KILLS {
        outside.wait_for_requests(random.below(8), &mut [&mut live]);
        // Not always just behind a request.
        std::thread::sleep(Duration::from_micros(random.below(50_000)));
        outside.kill(&mut live);
        live = start(&installation);
    }
    stop(live);
    installation.succeed(&["run", "--only", "topology", "--until-end"]);
    installation.succeed(&["run", "--only", "send", "--until-end"]);

    println!("{}", secrets::assert_none(&secrets::bytes_below(&installation.state_dir()), &[TOKEN, KEY]));
    let texts = assert_outbox(&installation.tap("youtube_videos"), &installation.tap("telegram_outbox"));
    let twice = Deliveries::of(&outside.telegram.requests(), &texts).assert_right(&outside.kills);
    let sent: usize = texts.values().map(Vec::len).sum();
    println!("{KILLS} kills: {sent} messages, {twice} of them twice");
    assert!(sent >= KILLS, "only {sent} messages");
}
