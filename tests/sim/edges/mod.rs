//! The sender in the simulation: processes that send for one outbox to a Telegram that answers from a seed, and die anywhere on a message's way.

mod answers;
pub(crate) mod command;
mod events;
mod oracle;
pub(crate) mod poller;
mod process;
mod sent_log;
mod telegram;
mod time;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::telegram::Telegram;
use self::world::World;
use crate::random::Random;
use crate::told;

const APPLICATION: &str = "app-sender";
const OUTBOX: &str = "telegram_outbox";
const DEAD_LETTERS: &str = "telegram_dead_letters";

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How often each fault was tried, and what it did.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// What should not be, the first first.
    pub(crate) violations: Vec<String>,
    /// What happened.
    pub(crate) trace: Vec<String>,
}

/// One run.
pub(crate) fn run(seed: u64) -> Report {
    let mut world = World::new(seed);
    told::listen_at_the_edges(Arc::downgrade(&world.common.telegram));
    let mut plan = Random::of(seed, 3);
    let turns = plan.between(150, 500);
    let mut turn = 0;
    while turn < turns || !world.has_written_all() {
        turn += 1;
        if plan.permille(150) && !world.has_written_all() {
            world.write();
        }
        if plan.permille(40) {
            world.disturb();
        }
        world.start();
        world.evict_the_silent();
        let place = usize::try_from(plan.below(world.processes.len() as u64)).unwrap();
        world.step(place);
        let ms = match plan.below(100) {
            0..80 => plan.between(1, 50),
            80..97 => plan.between(50, 900),
            _ => plan.between(900, 4_000),
        };
        world.common.time.pass(ms);
        world.common.telegram.run();
        world.look_for_moments();
        if !world.common.telegram.book.lock().violations.is_empty() {
            return report(&world);
        }
    }
    world.calm();
    oracle::finish(&mut world);
    report(&world)
}

fn report(world: &World) -> Report {
    let mut book = world.common.telegram.book.lock();
    Report { counts: book.counts.clone(), violations: book.violations.clone(), trace: std::mem::take(&mut book.trace) }
}
