//! What goes wrong: two instances of three are killed and restarted at random, partitions move, the broker is restarted. The third is left alone, so that
//! there is somebody who grows old.

use std::time::{Duration, Instant};

use crate::random::Random;

/// Longer than the session timeout: the others take over.
const LONG: (u64, u64) = (14, 25);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// `kill -9`, and back at once.
    Kill,
    /// `kill -9`, and back after the others have taken over.
    KillForLong,
    /// SIGTERM, and back at once. Who leaves its groups is missed at once.
    Restart,
    /// The broker is stopped in good order, and back at once.
    BrokerRestart,
    /// The broker is killed, and back at once.
    BrokerKill,
}

impl Trouble {
    /// One of each kind happens first, so that a short run has them all; then they come at random.
    pub(crate) const ALL: [Self; 5] = [Self::Kill, Self::BrokerRestart, Self::Restart, Self::KillForLong, Self::BrokerKill];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillForLong => "kill-for-long",
            Self::Restart => "restart",
            Self::BrokerRestart => "broker-restart",
            Self::BrokerKill => "broker-kill",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Plan {
    random: Random,
    next: usize,
    due: Instant,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::seeded(seed), next: 0, due: Instant::now() + Duration::from_secs(20) }
    }

    fn between(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_secs(least + self.random.below(most - least + 1))
    }

    /// What is due now, the instance that it is for (of so many), and how long that stays away.
    pub(crate) fn due(&mut self, instances: u64) -> Option<(Trouble, usize, Duration)> {
        if Instant::now() < self.due {
            return None;
        }
        let trouble = Trouble::ALL.get(self.next).copied().unwrap_or_else(|| match self.random.below(20) {
            0..=7 => Trouble::Kill,
            8..=10 => Trouble::KillForLong,
            11..=16 => Trouble::Restart,
            17 | 18 => Trouble::BrokerRestart,
            _ => Trouble::BrokerKill,
        });
        self.next += 1;
        let which = usize::try_from(self.random.below(instances)).unwrap_or_default();
        let away = if trouble == Trouble::KillForLong { self.between(LONG) } else { Duration::ZERO };
        let pause = if self.next < Trouble::ALL.len() { (15, 20) } else { (15, 75) };
        self.due = Instant::now() + away + self.between(pause);
        Some((trouble, which, away))
    }
}
