//! A small random number generator for the simulated channel: the same seed gives the same channel everywhere, for ever.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from 0 (inclusive) to 1 (exclusive).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from 0 to `end` (exclusive); 0 where there is nothing to choose.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// How often something happens that happens `mean` times on average.
    #[expect(clippy::cast_possible_truncation, reason = "counts of a simulation are small")]
    pub(crate) fn poisson(&mut self, mean: f64) -> i64 {
        if mean > 30.0 {
            // Close enough to a normal distribution; the sum of twelve even ones is one.
            let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
            return mean.sqrt().mul_add(normal, mean).round().max(0.0) as i64;
        }
        // Knuth's method.
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_numbers_of_the_reference_implementation() {
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn counts_have_their_mean() {
        let mut random = Random::new(1);
        for mean in [0.0, 0.5, 4.0, 100.0] {
            let sum: i64 = (0..2_000).map(|_| random.poisson(mean)).sum();
            #[expect(clippy::cast_precision_loss, reason = "a small sum")]
            let seen = sum as f64 / 2_000.0;
            assert!((seen - mean).abs() <= mean * 0.1, "{mean}: {seen}");
        }
    }
}
