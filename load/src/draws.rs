//! Numbers that look random and follow from a seed.

/// A stream of draws: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), whose state is a counter.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
    /// The second of a pair of normal draws.
    spare: Option<f64>,
}

impl Draws {
    /// The stream that belongs to one number under a seed.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let state = mixed(seed ^ mixed(number.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        Self { state, spare: None }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number of at least 0 and less than 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something happens that happens so many times in a million.
    pub(crate) fn happens(&mut self, in_a_million: u64) -> bool {
        self.below(1_000_000) < in_a_million
    }

    /// A draw from the standard normal distribution (Box-Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (one, two) = (1.0 - self.unit(), self.unit());
        let radius = (-2.0 * one.ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * two).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

/// The finalizer of SplitMix64.
pub(crate) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_normal_ones_are_normal() {
        let mut draws = Draws::of(1, 2);
        let mean = (0..100_000).map(|_| draws.below(1000) as f64).sum::<f64>() / 1e5;
        assert!((mean - 499.5).abs() < 4.0, "{mean}");
        let normal: Vec<f64> = (0..100_000).map(|_| draws.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 1e5;
        let variance = normal.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
