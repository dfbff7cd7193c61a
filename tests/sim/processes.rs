//! The processes of the application: they start, take turns, stop, and end by themselves.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Class, Log};
use tidewatch::streams::runtime::Error;
use tidewatch::streams::testing::Instance;
use tidewatch::streams::testing::interposed::{InterposedBackend, InterposedLog, Interposer};

use crate::clock::InstanceClock;
use crate::disk::DiskOf;
use crate::nemesis::Post;
use crate::plan::{Fault, Site};
use crate::topology::APPLICATION;
use crate::world::World;

impl World {
    /// One turn of what is at this place.
    pub(crate) fn step(&self, index: usize) {
        let slot = &self.slots[index];
        let now = self.time.now();
        let Some(mut running) = slot.running.try_lock() else { return };
        if now < slot.frozen_until.load(Ordering::Relaxed) {
            return;
        }
        if running.as_ref().is_some_and(|(life, _)| *life != slot.life.load(Ordering::Relaxed)) {
            *running = None;
        }
        let Some((life, instance)) = running.as_mut() else {
            if slot.wanted.load(Ordering::Relaxed) && now >= slot.start_at.load(Ordering::Relaxed) {
                self.start(index, &mut running);
            }
            return;
        };
        let outcome = instance.step();
        if slot.life.load(Ordering::Relaxed) != *life {
            *running = None;
            return;
        }
        match outcome {
            Ok(true) => self.idle.store(0, Ordering::Relaxed),
            Ok(false) => self.rest(),
            Err(error) => {
                *running = None;
                self.exited(index, &error);
            }
        }
    }

    /// Where nobody has anything to do, time flies.
    fn rest(&self) {
        if self.idle.fetch_add(1, Ordering::Relaxed) > 12 {
            let ms = self.random.lock().range(10, 60);
            self.time.pass(ms);
        }
    }

    fn start(&self, index: usize, running: &mut Option<(u64, Instance)>) {
        let slot = &self.slots[index];
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        slot.life.store(life, Ordering::Relaxed);
        self.idle.store(0, Ordering::Relaxed);
        self.trace.lock().note(self.time.now(), &[index as u64, life], || format!("[{index}] STARTS"));
        let post: Arc<dyn Interposer> = Arc::new(Post { world: Weak::clone(&self.me), slot: index, life });
        let log: Arc<dyn Log> = Arc::<LocalLog>::clone(&self.log);
        let disk = Arc::new(DiskOf(Arc::clone(&slot.disk.lock())));
        let outcome = Instance::new(
            Arc::clone(&self.topology),
            Arc::new(InterposedLog::new(log, Arc::clone(&post))),
            Arc::new(InterposedBackend::new(disk, post)),
            Arc::<InstanceClock>::clone(&slot.clock),
            self.plan.options(slot.instance, slot.leaves.load(Ordering::Relaxed)),
        );
        match outcome {
            _ if slot.life.load(Ordering::Relaxed) != life => {}
            Ok(instance) => {
                *running = Some((life, instance));
                let own = format!("{APPLICATION}-i{}-", slot.instance);
                if let Some(id) = self.log.open_transactions().into_iter().find(|id| id.starts_with(&own)) {
                    self.violated("a start ends what its predecessor left open", format!("instance {index} has started, {id} is open"));
                }
            }
            Err(error) => self.exited(index, &error),
        }
    }

    /// A process ended by itself. Somebody starts it again; what it said decides whether that was right.
    fn exited(&self, index: usize, error: &Error) {
        let text = chain(error);
        self.say(|| format!("[{index}] EXITS: {text}"));
        self.counts.lock().add(format!("exit {}", kind(error)));
        if !matches!(error, Error::Fenced { .. } | Error::TooManyFailures { .. }) {
            self.counts.lock().add(format!("exit: {}", without_numbers(text.split(" (").next().unwrap_or_default())));
        }
        self.kill(index);
        let slot = &self.slots[index];
        slot.start_at.store(self.time.now() + 1_000, Ordering::Relaxed);
        let mut exits = slot.exits.lock();
        exits.push(text.clone());
        if exits.len() > 40 {
            self.violated("the restart loop is bounded", format!("instance {index} ended {} times, at last: {text}", exits.len()));
        }
        if self.is_destroyed.load(Ordering::Relaxed) && is_about_a_changelog(error) {
            // It stays so until somebody comes.
            self.counts.lock().add("stopped for want of a changelog");
            slot.wanted.store(false, Ordering::Relaxed);
            self.is_stopped.store(true, Ordering::Relaxed);
        } else if !self.may_exit(error) {
            self.violated("an instance ends only for a reason", text);
        }
    }

    fn may_exit(&self, error: &Error) -> bool {
        match error {
            // Others took its place, or it was told so, or it stood still for so long that they did.
            Error::Fenced { .. } => {
                self.has_planned(Class::Fenced)
                    || self.has_in_plan(|fault| {
                        matches!(
                            fault,
                            Fault::Twin { .. } | Fault::Evict | Fault::Zombie { .. } | Fault::Stall { .. } | Fault::Forgotten { .. }
                        )
                    })
            }
            Error::TooManyFailures { .. } => self.has_in_plan(|fault| matches!(fault, Fault::Fail { .. })),
            Error::RebuiltTwice { .. } => self.has_in_plan(|fault| {
                matches!(fault, Fault::DiskDamaged | Fault::DiskMistaken | Fault::DiskFromBackup | Fault::DamagedInUse)
            }),
            // A broker that is not reached at the start, and what the plan made of it.
            Error::Log(error) => error.class == Class::Retriable || self.has_planned(error.class),
            Error::Task(_) | Error::Stores { .. } => self.has_in_plan(|fault| {
                matches!(fault, Fault::Fail { site: Site::Begin | Site::Send, .. } | Fault::DiskFull { .. } | Fault::DamagedInUse)
            }),
            _ => false,
        }
    }

    fn has_in_plan(&self, is: impl Fn(&Fault) -> bool) -> bool {
        self.plan.events.iter().any(|event| is(&event.fault))
    }

    /// Whether the plan has calls fail in this way.
    fn has_planned(&self, wanted: Class) -> bool {
        self.has_in_plan(|fault| matches!(fault, Fault::Fail { class, .. } if *class == wanted))
    }

    /// Stops a process in good order.
    pub(crate) fn stop(&self, index: usize) {
        let slot = &self.slots[index];
        let Some(mut running) = slot.running.try_lock() else { return };
        let Some((life, instance)) = running.take() else { return };
        self.say(|| format!("[{index}] is told to stop"));
        let outcome = instance.close();
        if let Err(error) = &outcome {
            self.say(|| format!("[{index}] could not stop in good order: {}", chain(error)));
        }
        if slot.life.load(Ordering::Relaxed) == life {
            self.kill(index);
        }
    }
}

/// Whether it says that a changelog is not what it was.
fn is_about_a_changelog(error: &Error) -> bool {
    let unknown = chain(error).contains("-changelog") && matches!(error, Error::Log(_) | Error::Task(_) | Error::MissingTopic { .. });
    matches!(error, Error::ChangelogLost { .. } | Error::ChangelogMadeAnew { .. }) || unknown
}

/// What kind of end it was.
fn kind(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The text with each number made an `N`, so that what differs by numbers alone is counted together.
fn without_numbers(text: &str) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if short.ends_with('N') => {}
            '0'..='9' => short.push('N'),
            other => short.push(other),
        }
    }
    short
}
