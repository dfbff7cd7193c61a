//! The faults, by the number that they have in the table of docs/reliability.md.

mod kills;

use crate::scene::Stage;

/// A scene: which faults it is about, and how it goes.
pub(crate) struct Play {
    pub(crate) name: &'static str,
    pub(crate) faults: &'static [u8],
    pub(crate) run: fn(&Stage, &[u8]) -> Result<(), String>,
}

/// All scenes, in the order in which they are played.
pub(crate) const PLAYS: &[Play] = &[Play { name: "kills", faults: &[1, 2, 3], run: kills::play }];
