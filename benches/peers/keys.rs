//! Which video an observation is of. The same numbers always make the same observations, also the first of a longer run.

use std::str::FromStr;

/// How observations are spread over the videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// One after the other, and again from the first.
    InTurn,
    /// Any, all as likely.
    Uniform,
    /// Any, the first most likely: Zipf with exponent 1.1.
    Zipf,
}

/// The exponent of [`Keys::Zipf`].
const EXPONENT: f64 = 1.1;

const SEED: u64 = 0x7469_6465;

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "in-turn" => Ok(Self::InTurn),
            "uniform" => Ok(Self::Uniform),
            "zipf" => Ok(Self::Zipf),
            other => Err(format!("no keys {other}: in-turn, uniform, zipf")),
        }
    }
}

impl Keys {
    /// For a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InTurn => "in turn",
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf 1.1",
        }
    }
}

/// One observation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its place in the run.
    pub(crate) index: u64,
    pub(crate) video: u64,
    /// How many observations of this video come before it.
    pub(crate) poll: u64,
}

/// The observations of a run, without end.
#[derive(Debug)]
pub(crate) struct Run {
    keys: Keys,
    videos: u64,
    next: u64,
    polls: Vec<u32>,
    /// For [`Keys::Zipf`]: the likelihood of each video and all before it.
    cumulated: Vec<f64>,
}

impl Run {
    pub(crate) fn new(keys: Keys, videos: u64) -> Self {
        let cumulated = if keys == Keys::Zipf { cumulated(videos) } else { Vec::new() };
        Self { keys, videos, next: 0, polls: vec![0; usize::try_from(videos).unwrap()], cumulated }
    }

    fn video(&self, index: u64) -> u64 {
        match self.keys {
            Keys::InTurn => index % self.videos,
            Keys::Uniform => random(index) % self.videos,
            Keys::Zipf => {
                let share = fraction(random(index));
                let found = self.cumulated.partition_point(|upto| *upto < share);
                u64::try_from(found).unwrap().min(self.videos - 1)
            }
        }
    }
}

impl Iterator for Run {
    type Item = Seen;

    fn next(&mut self) -> Option<Seen> {
        let index = self.next;
        self.next += 1;
        let video = self.video(index);
        let poll = &mut self.polls[usize::try_from(video).unwrap()];
        let seen = Seen { index, video, poll: u64::from(*poll) };
        *poll += 1;
        Some(seen)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are few videos")]
fn cumulated(videos: u64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut upto: Vec<f64> = Vec::with_capacity(usize::try_from(videos).unwrap());
    for rank in 1..=videos {
        sum += (rank as f64).powf(-EXPONENT);
        upto.push(sum);
    }
    for value in &mut upto {
        *value /= sum;
    }
    upto
}

/// The finaliser of `SplitMix64`.
fn random(index: u64) -> u64 {
    let mut mixed = (index ^ (SEED << 32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// From 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept on purpose")]
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}
