//! What the engine says while it runs: counted, and written into the trace where somebody reads it.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::Weak;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::edges::Telegram;
use crate::world::World;

thread_local! {
    static WORLD: RefCell<Weak<World>> = const { RefCell::new(Weak::new()) };
    static EDGES: RefCell<Weak<Telegram>> = const { RefCell::new(Weak::new()) };
}

/// What is said in this thread from now on is said of this world.
pub(crate) fn listen(world: Weak<World>) {
    WORLD.with(|current| *current.borrow_mut() = world);
}

/// The same for a run of the sender.
pub(crate) fn listen_at_the_edges(telegram: Weak<Telegram>) {
    EDGES.with(|current| *current.borrow_mut() = telegram);
}

/// Hears all threads.
#[derive(Debug)]
pub(crate) struct Listener;

#[derive(Default)]
struct Said {
    message: String,
    action: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let into = match field.name() {
            "message" => &mut self.message,
            "action" => &mut self.action,
            name => {
                write!(self.fields, " {name}={value:?}").unwrap();
                return;
            }
        };
        write!(into, "{value:?}").unwrap();
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("tidewatch")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let (world, telegram) = (WORLD.with(|current| current.borrow().upgrade()), EDGES.with(|current| current.borrow().upgrade()));
        if world.is_none() && telegram.is_none() {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let Said { message, action, fields } = &said;
        if let Some(world) = world {
            world.told(message, action, fields);
        } else if let Some(telegram) = telegram {
            telegram.told(&format!("said: {message} {action}{fields}"));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl World {
    fn told(&self, message: &str, action: &str, fields: &str) {
        if let Some(mut counts) = self.counts.try_lock() {
            let name = match message {
                "recovering" => format!("action {action}"),
                "the store is rebuilt from its changelog" => format!("rebuilt: {}", cause(fields)),
                "store restored" | "partitions assigned" | "partitions revoked" | "running" | "restoring" => String::new(),
                other => format!("said: {other}"),
            };
            if !name.is_empty() {
                counts.add(name);
            }
        }
        if let Some(mut trace) = self.trace.try_lock() {
            trace.note(self.time.now(), &[], || format!("    said: {message} {action}{fields}"));
        }
    }
}

/// Which of the reasons for a rebuild it is.
fn cause(fields: &str) -> &'static str {
    let known = [
        ("checksum", "the disk is damaged"),
        ("outside its log", "the checkpoint is outside the changelog"),
        ("tombstones", "the checkpoint is too old"),
        ("set back", "the clock was set back"),
        ("earlier life", "it belongs to another life"),
    ];
    known.into_iter().find(|(part, _)| fields.contains(part)).map_or("another reason", |(_, name)| name)
}
