//! The faults, by the number that they have in the table of docs/reliability.md.

mod brokers;
mod changelog;
mod codes;
mod disk;
mod kills;
mod network;
mod records;
mod sender;
mod storm;
mod zombies;

use crate::scene::Stage;

type Run = fn(&Stage, &[u8]) -> Result<(), String>;

/// A scene: which faults it is about, and how it goes.
pub(crate) struct Play {
    pub(crate) name: &'static str,
    pub(crate) faults: &'static [u8],
    pub(crate) run: Run,
    /// Whether the short run does without it.
    pub(crate) long: bool,
}

impl Play {
    const fn new(name: &'static str, faults: &'static [u8], run: Run) -> Self {
        Self { name, faults, run, long: false }
    }

    const fn of_the_long_run(mut self) -> Self {
        self.long = true;
        self
    }
}

/// Scenes that do not disturb each other. Those come first that take longest, or all would wait for one of them in the end.
pub(crate) const SIDE_BY_SIDE: &[Play] = &[
    Play::new("kills", &[1, 2, 3], kills::play),
    Play::new("sender", &[21, 22, 24], sender::play),
    Play::new("network", &[7, 11], network::play),
    Play::new("overdue", &[5], zombies::stalled_for_long),
    Play::new("zombies", &[4], zombies::stopped),
    Play::new("disk", &[16], disk::full),
    Play::new("storm", &[12, 20], storm::play),
    Play::new("damage", &[17], disk::damaged),
    Play::new("changelog", &[18], changelog::play),
    Play::new("stalls", &[5], zombies::stalled).of_the_long_run(),
    Play::new("codes", &[8], codes::play),
    Play::new("poison", &[13, 15], records::poison),
    Play::new("registry", &[14], records::registry),
    Play::new("unguarded", &[6], network::late_unguarded),
    Play::new("late", &[6], network::late),
    Play::new("disorder", &[19], records::disorder),
];

/// Whether there is a scene for a fault.
pub(crate) fn is_played(fault: u8) -> bool {
    SIDE_BY_SIDE.iter().chain(ALONE).any(|play| play.faults.contains(&fault))
}

/// Scenes that concern the whole cluster, each by itself.
pub(crate) const ALONE: &[Play] =
    &[Play::new("half-way", &[10], brokers::half_way).of_the_long_run(), Play::new("brokers", &[9, 10], brokers::play)];
