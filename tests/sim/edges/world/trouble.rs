//! What goes wrong by itself, until it is calm.

use std::time::Duration;

use tidewatch::streams::log::{Committed as Offsets, Log as _, Offset, ProducerOptions, TopicPartition};

use super::{Moment, World};
use crate::edges::APPLICATION;
use crate::edges::process::{POINTS, Point};

impl World {
    /// Something goes wrong.
    pub(crate) fn disturb(&mut self) {
        let place = usize::try_from(self.random.below(self.processes.len() as u64)).unwrap();
        match self.random.below(20) {
            0..=7 => {
                let moment = *self.random.pick(&[Moment::Intent, Moment::Request, Moment::Answer, Moment::Record]);
                self.processes[place].dies = Some(moment);
            }
            8..=12 => {
                let (point, calls) = (*self.random.pick(&POINTS), self.random.between(1, 4));
                if let Some(life) = &self.processes[place].life {
                    life.hand.arm(point, u32::try_from(calls).unwrap());
                }
            }
            13 => self.close(place),
            14 => {
                self.count("all die at once");
                (0..self.processes.len()).for_each(|place| self.kill(place, "all at once"));
            }
            15 => {
                self.count("stalled");
                self.processes[place].stalls_until = self.now() + self.random.between(1_000, 25_000);
            }
            16 => self.fence(place),
            17 => self.set_clock(),
            18 => self.read_again(),
            _ => self.replay(),
        }
    }

    /// Another takes the transactions of a process: its next commit fails.
    fn fence(&mut self, place: usize) {
        self.count("fenced");
        let name = self.processes[place].name;
        let transaction_timeout = Duration::from_secs(1);
        let transactional_id = format!("{APPLICATION}-{name}-0").into();
        let options = ProducerOptions { transactional_id, topics: Vec::new(), transaction_timeout };
        self.log.producer(options).unwrap().init_transactions(transaction_timeout).unwrap();
        if let Some(life) = &self.processes[place].life {
            life.hand.fence();
        }
        self.tell(&format!("{name} is fenced"));
    }

    fn set_clock(&mut self) {
        let by = i64::try_from(self.random.between(500, 7_200_000)).unwrap();
        let by = if self.random.permille(500) { -by } else { by };
        self.count(if by < 0 { "clock set back" } else { "clock set forward" });
        self.common.time.set_wall(by);
        self.common.telegram.wall_was_set(u64::try_from(by).unwrap_or(0));
        self.tell(&format!("the clock is set by {by} ms"));
    }

    /// The outbox is read again from its beginning; what was sent is remembered.
    fn read_again(&mut self) {
        (0..self.processes.len()).for_each(|place| self.close(place));
        let admin = self.log.admin();
        let offsets = admin.group_offsets(APPLICATION).unwrap();
        let from_start = |(place, known): (TopicPartition, Offsets)| (place, Some(Offsets { offset: Offset(0), ..known }));
        let offsets: Vec<_> = offsets.into_iter().map(from_start).collect();
        if admin.alter_group_offsets(APPLICATION, &offsets).is_ok() {
            self.count("outbox read again");
            self.tell("the outbox is read again");
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.common.telegram.book.lock().trouble = 0;
        for process in &mut self.processes {
            (process.dies, process.stalls_until) = (None, 0);
            if let Some(life) = &process.life {
                life.hand.arm(Point::DiesBeforeCommit, u32::MAX);
            }
        }
    }
}
