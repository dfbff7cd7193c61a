//! What must hold at the end: nothing is lost, what is there twice had an unknown outcome, and all of it soon after the last fault.

use std::collections::BTreeMap;

use tidewatch::config::OnUnknown;
use tidewatch::telegram::sent_log::{self, Event as Noted};

use super::events::Event;
use super::world::{POISON, World};

/// After the last fault so long, and the waits that were told before it.
const SOON_MS: u64 = 60_000;

/// A chat that takes nothing is left alone for an hour.
const PARK_MS: u64 = 3_600_000;

/// Goes on until all is through, and looks at what came of it.
pub(crate) fn finish(world: &mut World) {
    let allowed = allowance(world);
    let began = world.now();
    let mut quiet = 0_u64;
    while !is_through(world) {
        world.start();
        world.evict_the_silent();
        let mut busy = false;
        for place in 0..world.processes.len() {
            busy |= world.step(place);
        }
        quiet = if busy { 0 } else { quiet + 1 };
        // Where nothing happens, time passes faster.
        let pause = if quiet < 20 { 20 } else { (quiet - 19) * 50 }.min(20_000);
        let next = world.common.telegram.next_due().map_or(pause, |at| at.saturating_sub(world.now()).max(1));
        world.common.time.pass(pause.min(next));
        world.common.telegram.run();
        let is_late = world.now() - began > allowed;
        if is_late || !world.common.telegram.book.lock().violations.is_empty() {
            if is_late {
                tell_what_waits(world);
                violation(
                    world,
                    format!("not through {} s after the last fault, {} s were enough", (world.now() - began) / 1_000, allowed / 1_000),
                );
            }
            return;
        }
    }
    let mut letters: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut poison = 0;
    for (class, value) in world.all_letters() {
        if value == POISON {
            poison += 1;
            continue;
        }
        let message: serde_json::Value = serde_json::from_slice(&value).unwrap();
        letters.entry(Event::number(message["text"].as_str().unwrap())).or_default().push(class);
    }
    // What was read again became a dead letter again: the sent log remembers events, and these are none.
    let again = world.common.telegram.book.lock().counts.get("outbox read again").copied().unwrap_or(0);
    if poison < world.poison || again == 0 && poison != world.poison {
        violation(world, format!("{poison} dead letters of {} bad records", world.poison));
    }
    let count = world.common.telegram.book.lock().events.len();
    for event in 0..count {
        judge(world, event, letters.get(&event).map(Vec::as_slice).unwrap_or_default());
    }
    judge_counters(world);
    judge_stores(world);
}

/// Shows what is not through.
fn tell_what_waits(world: &World) {
    let book = world.common.telegram.book.lock();
    let rows: Vec<String> = world.chats.iter().map(|chat| format!("chat {chat}: {:?}", book.committed.chat(chat))).collect();
    drop(book);
    for row in rows {
        world.tell(&row);
    }
    world.tell(&format!(
        "{} records are not read, of {} chats a process has {} in memory",
        world.lag(),
        world.chats.len(),
        world.common.settings.chats_max
    ));
}

fn violation(world: &World, what: String) {
    world.common.telegram.book.lock().violations.push(what);
}

/// How long it may take from now on.
fn allowance(world: &World) -> u64 {
    let book = world.common.telegram.book.lock();
    let is_parked = ["403", "400 chat"].iter().any(|name| book.counts.contains_key(name));
    let rates = world.common.rates;
    let each = (60_000 / u64::from(rates.group_per_minute.get())).max(1_000 / u64::from(rates.chat_per_second.get())) + 400;
    // Each message in its turn, some twice; waits of up to 20 s at a time, begun anew where the clock was set back.
    let messages = book.events.len() as u64 * 2 * each;
    SOON_MS + messages + if is_parked { PARK_MS + 120_000 } else { 60_000 }
}

/// Everything that was written is read, and nothing waits.
fn is_through(world: &World) -> bool {
    let mut book = world.common.telegram.book.lock();
    book.committed.refresh();
    let count = book.events.len();
    let noted = |event: usize| {
        let said = &book.events[event];
        said.is_aborted || matches!(book.committed.event(&said.chat, &Event::id(event)), Some(Noted::Sent { .. } | Noted::GivenUp { .. }))
    };
    book.committed.queued() == 0 && (0..count).all(noted) && world.lag() == 0
}

/// What became of an event.
fn judge(world: &World, event: usize, letters: &[String]) {
    let mut book = world.common.telegram.book.lock();
    let said = book.events[event].clone();
    let asks: Vec<_> = book.asks.iter().filter(|ask| ask.event == event).cloned().collect();
    let (taken, unknown) = (asks.iter().filter(|ask| ask.taken_ms.is_some()).count(), asks.iter().filter(|ask| ask.is_unknown()).count());
    let mut faults = Vec::new();
    if said.is_aborted {
        if taken > 0 || !letters.is_empty() {
            faults.push("it was aborted".to_owned());
        }
    } else {
        let is_sent = matches!(book.committed.event(&said.chat, &Event::id(event)), Some(Noted::Sent { .. }));
        // An edit that changes nothing is as good as taken: another request had shown the event before.
        if is_sent && taken == 0 {
            faults.push("it is noted as sent, and was never taken: lost".to_owned());
        }
        if !is_sent && letters.is_empty() {
            faults.push("neither sent nor a dead letter: lost".to_owned());
        }
        if taken > 1 + unknown {
            faults.push(format!("taken {taken} times, with {unknown} unknown outcomes"));
        }
        // What was put back by hand is put back again where the outbox is read again.
        let readings = 1 + book.counts.get("outbox read again").copied().unwrap_or(0);
        if letters.len() as u64 > 1 + u64::from(said.replays) * readings {
            faults.push(format!("{} dead letters: {letters:?}", letters.len()));
        }
        let policy = world.common.settings.chats.get(&said.chat).copied().unwrap_or_default();
        for class in letters {
            let is_right = match class.as_str() {
                "Unknown" => policy == OnUnknown::DeadLetter && unknown + book.unmade.get(&event).copied().unwrap_or(0) > 0,
                "Parked" => true,
                "Refused" => asks.iter().any(|ask| matches!(ask.kind.name(), "400 empty")),
                "Migrated" => asks.iter().filter(|ask| ask.kind.name() == "400 migrated").count() > 1,
                _ => false,
            };
            if !is_right {
                faults.push(format!("a dead letter {class}, for which there is no reason"));
            }
        }
    }
    if taken > 1 {
        *book.counts.entry("duplicates").or_default() += taken as u64 - 1;
    }
    drop(book);
    for fault in faults {
        violation(world, format!("event {event} to {}: {fault}", said.chat));
    }
}

/// Each duplicate was counted by the sender itself.
fn judge_counters(world: &mut World) {
    for place in 0..world.processes.len() {
        world.close(place);
    }
    let counted = world.counted.get("unknown_outcomes_total").copied().unwrap_or(0);
    let mut book = world.common.telegram.book.lock();
    *book.counts.entry("unknown, as the sender counts").or_default() += counted;
    let duplicates = book.counts.get("duplicates").copied().unwrap_or(0);
    let untold = world.untold;
    if duplicates > counted + untold {
        book.violations.push(format!("{duplicates} messages are there twice, and the sender counted {counted} unknown outcomes"));
    }
}

/// The rows of a process that begins anew are the changelog's.
fn judge_stores(world: &mut World) {
    world.common.time.pass(10_000);
    world.start();
    for _ in 0..200 {
        world.evict_the_silent();
        for place in 0..world.processes.len() {
            world.step(place);
        }
        world.common.time.pass(20);
    }
    let mut found = Vec::new();
    for process in &mut world.processes {
        let Some(life) = &mut process.life else { continue };
        found.extend(life.instance.rows(sent_log::STORE).unwrap().into_values().flatten());
    }
    found.sort();
    let mut book = world.common.telegram.book.lock();
    book.committed.refresh();
    let rows: Vec<_> = book.committed.rows().map(|(key, value)| (key.clone(), value.clone())).collect();
    if found != rows {
        book.violations.push(format!("the stores have {} rows that are not those of the changelog, which has {}", found.len(), rows.len()));
    }
}
