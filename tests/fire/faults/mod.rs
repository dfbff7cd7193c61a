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

/// A scene: which faults it is about, and how it goes.
pub(crate) struct Play {
    pub(crate) name: &'static str,
    pub(crate) faults: &'static [u8],
    pub(crate) run: fn(&Stage, &[u8]) -> Result<(), String>,
}

/// Scenes that do not disturb each other. Most of their time they wait, so as many go on as there are processors; the longest begin, or all would wait for one of them.
pub(crate) const SIDE_BY_SIDE: &[Play] = &[
    Play { name: "kills", faults: &[1, 2, 3], run: kills::play },
    Play { name: "sender", faults: &[21, 22, 24], run: sender::play },
    Play { name: "network", faults: &[7, 11], run: network::play },
    Play { name: "overdue", faults: &[5], run: zombies::stalled_for_long },
    Play { name: "zombies", faults: &[4], run: zombies::stopped },
    Play { name: "disk", faults: &[16], run: disk::full },
    Play { name: "storm", faults: &[12, 20], run: storm::play },
    Play { name: "damage", faults: &[17], run: disk::damaged },
    Play { name: "changelog", faults: &[18], run: changelog::play },
    Play { name: "stalls", faults: &[5], run: zombies::stalled },
    Play { name: "codes", faults: &[8], run: codes::play },
    Play { name: "poison", faults: &[13, 15], run: records::poison },
    Play { name: "registry", faults: &[14], run: records::registry },
    Play { name: "unguarded", faults: &[6], run: network::late_unguarded },
    Play { name: "late", faults: &[6], run: network::late },
    Play { name: "disorder", faults: &[19], run: records::disorder },
];

/// Whether there is a scene for a fault.
pub(crate) fn is_played(fault: u8) -> bool {
    SIDE_BY_SIDE.iter().chain(ALONE).any(|play| play.faults.contains(&fault))
}

/// Scenes that concern the whole cluster, each by itself.
pub(crate) const ALONE: &[Play] = &[Play { name: "brokers", faults: &[9, 10], run: brokers::play }];
