//! Stands between an instance and everything outside of it, and lets happen what is planned.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tidewatch::streams::kv;
use tidewatch::streams::log::{Class, Error, Polled};
use tidewatch::streams::testing::interposed::{Call, Client, Fault as Told, Interposer};

use crate::plan::{Fault, Point, Site};
use crate::topology::REFUSED;
use crate::world::World;

/// Between one process and the world. Its calls take effect while the process lives.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) world: Weak<World>,
    pub(crate) slot: usize,
    pub(crate) life: u64,
}

/// A fault that waits for its moment.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    pub(crate) fault: Fault,
    /// So many moments are let pass, or so many times it happens.
    pub(crate) left: u32,
}

fn site(client: &Client, call: &Call<'_>) -> Site {
    match call {
        Call::Poll(_) if *client == Client::Reader => Site::RestorePoll,
        Call::Poll(_) => Site::Poll,
        Call::Committed(_) => Site::Committed,
        Call::Ask => Site::Ask,
        Call::Init => Site::Init,
        Call::Begin => Site::Begin,
        Call::Send(_) => Site::Send,
        Call::Flush => Site::Flush,
        Call::SendOffsets => Site::SendOffsets,
        Call::Commit => Site::Commit,
        Call::Abort => Site::Abort,
        Call::Get(_) => Site::Get,
        Call::Open => Site::Open,
        Call::Write(..) => Site::Write,
        Call::Sync => Site::Sync,
        _ => Site::Other,
    }
}

/// A call on one line.
fn describe(call: &Call<'_>) -> String {
    let text = |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".to_owned(), |bytes| bytes.escape_ascii().to_string());
    match call {
        Call::Send(record) => format!("Send to topic {}: {} = {}", record.topic, text(record.key), text(record.value)),
        Call::Write(batch, durability) => format!("Write {} rows, {durability:?}", batch.changes().count()),
        Call::Assign(at, offset) => format!("Assign {at} at {offset}"),
        Call::Seek(at, offset) => format!("Seek {at} to {offset}"),
        Call::Committed(at) => format!("Committed {}", at.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        Call::Unassign(at) | Call::PauseOrResume(at) => {
            format!("{} {at}", if matches!(call, Call::Unassign(_)) { "Unassign" } else { "Pause or resume" })
        }
        other => format!("{other:?}"),
    }
}

/// Whether the call is a request to a broker that fails when none is reached.
fn is_request(site: Site) -> bool {
    matches!(site, Site::Committed | Site::Ask | Site::Init | Site::Flush | Site::SendOffsets | Site::Commit | Site::Abort)
}

fn refuse(class: Class, site: Site) -> Told {
    Told::Log(Error::new(class, format!("{site:?}"), "simulated"))
}

/// Whether a process that is to die at `point` dies now.
fn dies(point: Point, site: Site, after: bool, polled: Option<&Polled>) -> bool {
    match point {
        Point::K1AfterPoll => after && site == Site::Poll && polled == Some(&Polled::Records),
        Point::K2MidBatch => !after && matches!(site, Site::Send | Site::Get),
        Point::K3BeforeFlush => !after && site == Site::Flush,
        Point::K4AfterFlush => after && site == Site::Flush,
        Point::K5AfterOffsets => after && site == Site::SendOffsets,
        Point::K6AnswerLost => after && site == Site::Commit,
        Point::K7BeforeStoreWrite => !after && site == Site::Write,
        Point::K8AfterStoreWrite => after && site == Site::Write,
        Point::K9DuringStoreFlush => !after && site == Site::Sync,
        Point::K10MidRestore => after && site == Site::RestorePoll && polled == Some(&Polled::Records),
        Point::K11InRevoke => after && matches!(polled, Some(Polled::Revoked(_))),
        Point::K12AfterAssign => !after && site == Site::Committed,
    }
}

impl Post {
    fn dead(site: Site) -> Told {
        if matches!(site, Site::Get | Site::Open | Site::Write | Site::Sync) {
            let source = "the process is dead".into();
            return Told::Store(kv::Error::Failed { store: "dead".to_owned(), source });
        }
        refuse(Class::Fatal, site)
    }

    /// Asked before and after a call: does what is armed for it.
    fn meet(&self, world: &World, site: Site, after: bool, client: &Client, polled: Option<&Polled>) -> Result<(), Told> {
        let slot = &world.slots[self.slot];
        let mut place = 0;
        loop {
            let armed = slot.armed.lock().get(place).cloned();
            let Some(Armed { fault, left }) = armed else { break };
            let matches = match &fault {
                Fault::Crash(point, _) => dies(*point, site, after, polled),
                Fault::Fail { site: at, after: when, .. } | Fault::Stall { site: at, after: when, .. } => *at == site && *when == after,
                Fault::Forgotten { site: at, .. } => *at == site && !after && slot.in_transaction.load(Ordering::Relaxed),
                Fault::SlowCommit { .. } => after && site == Site::Commit,
                Fault::SlowAbort { .. } => after && site == Site::Abort,
                Fault::LateCommit { .. } => !after && site == Site::Commit,
                // Of whose producer it is: a later process of this place has the same id.
                Fault::Arrives { site: at, .. } => *at == site && after == (site == Site::Flush || site == Site::SendOffsets),
                _ => false,
            };
            if !matches || (matches!(fault, Fault::Stall { .. } | Fault::Forgotten { .. }) && world.is_nested()) {
                place += 1;
                continue;
            }
            {
                let mut armed = slot.armed.lock();
                let waits = if matches!(fault, Fault::Crash(..)) { left > 0 } else { left > 1 };
                if waits {
                    armed[place].left -= 1;
                } else {
                    armed.remove(place);
                }
                if waits && matches!(fault, Fault::Crash(..)) {
                    place += 1;
                    continue;
                }
            }
            world.fired(&fault, self.slot);
            self.strike(world, &fault, site, client)?;
        }
        if slot.life.load(Ordering::Relaxed) == self.life { Ok(()) } else { Err(Self::dead(site)) }
    }

    /// A request to end a transaction is still on its way.
    fn resend(&self, world: &World, client: &Client, commits: bool, site: Site) {
        let Client::Producer(id) = client else { return };
        let Some(epoch) = world.log.epoch(id) else { return };
        let fault = Fault::Arrives { site, id: Arc::clone(id), epoch, commits };
        world.slots[self.slot].armed.lock().push(Armed { fault, left: 1 });
    }

    fn strike(&self, world: &World, fault: &Fault, site: Site, client: &Client) -> Result<(), Told> {
        match fault {
            Fault::Crash(..) => {
                world.kill(self.slot);
                Err(Self::dead(site))
            }
            Fault::Fail { class, .. } => {
                if *class == Class::Retriable {
                    world.time.pass(50);
                }
                Err(refuse(*class, site))
            }
            Fault::SlowCommit { ms, resent } | Fault::SlowAbort { ms, resent } => {
                self.resend(world, client, site == Site::Commit, *resent);
                world.time.pass(*ms);
                Ok(())
            }
            Fault::LateCommit { resent } => {
                self.resend(world, client, true, *resent);
                Err(refuse(Class::Unknown, site))
            }
            Fault::Arrives { id, epoch, commits, .. } => {
                let ended = world.log.end_late(id, *epoch, *commits).unwrap();
                world.say(|| format!("[{}] a late request: it ended a transaction: {ended}", self.slot));
                if ended {
                    world.counts.lock().add("late request ended a transaction");
                }
                Ok(())
            }
            Fault::Stall { ms, .. } => {
                world.stall(self.slot, *ms);
                Ok(())
            }
            Fault::Forgotten { ms, .. } => {
                world.evict(world.slots[self.slot].instance);
                world.stall(self.slot, *ms);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Interposer for Post {
    fn before(&self, client: &Client, call: &Call<'_>) -> Result<(), Told> {
        let site = site(client, call);
        let Some(world) = self.world.upgrade() else { return Err(Self::dead(site)) };
        let slot = &world.slots[self.slot];
        if slot.life.load(Ordering::Relaxed) != self.life {
            return Err(Self::dead(site));
        }
        if matches!(call, Call::Maintain) {
            return Err(Self::dead(site));
        }
        world.note(self.slot, site as u64, || describe(call), client, call);
        self.meet(&world, site, false, client, None)?;
        if is_request(site) {
            let (until, ms) = *slot.slow.lock();
            if world.time.now() < until {
                world.time.pass(ms);
            }
            if !world.reaches(self.slot) {
                world.time.pass(500);
                return Err(refuse(Class::Retriable, site));
            }
        }
        let mut refusal = slot.refusal.lock();
        match call {
            Call::Send(record) if record.value.is_some_and(|value| value == REFUSED) => refusal.0 = true,
            Call::Flush if refusal.0 || refusal.1 => {
                let class = if refusal.0 { Class::Record } else { Class::Fatal };
                refusal.1 = true;
                return Err(refuse(class, site));
            }
            Call::Abort => refusal.0 = false,
            Call::Init => *refusal = (false, false),
            _ => {}
        }
        match call {
            Call::Send(_) => slot.in_transaction.store(true, Ordering::Relaxed),
            Call::Commit | Call::Abort | Call::Init => slot.in_transaction.store(false, Ordering::Relaxed),
            _ => {}
        }
        Ok(())
    }

    fn after(&self, client: &Client, call: &Call<'_>) -> Result<(), Told> {
        let site = site(client, call);
        let Some(world) = self.world.upgrade() else { return Err(Self::dead(site)) };
        let polled = if let Call::Poll(Some((polled, _))) = call { Some(*polled) } else { None };
        if let Some(Polled::Assigned(_) | Polled::Revoked(_) | Polled::Lost(_)) = polled {
            world.note(self.slot, 100, || format!("{polled:?}"), client, call);
        }
        self.meet(&world, site, true, client, polled)
    }

    fn is_silent(&self, client: &Client) -> bool {
        let reached = self.world.upgrade().is_some_and(|world| world.reaches(self.slot));
        let is_consumer = matches!(client, Client::Member | Client::Reader);
        is_consumer && !reached
    }
}
