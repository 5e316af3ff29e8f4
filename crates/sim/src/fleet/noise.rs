//! Chance from a seed, in eight bytes: a vehicle's state is copied often, and ten thousand of them are in memory.

/// SplitMix64.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The noise of the thing called `name` within what `seed` stands for.
    pub(super) fn of(seed: u64, name: u64) -> Self {
        Self(mixed(seed ^ mixed(name)))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// From 0 to 1, 1 excluded.
    pub(super) fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.share()
    }

    /// A whole number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.share() * count as f64) as usize
    }

    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// About normal, with mean 0 and deviation 1: four numbers of 16 bits, added.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u32 = [0, 16, 32, 48].map(|shift| (bits >> shift) as u32 & 0xFFFF).iter().sum();
        (f64::from(sum) / 65_536.0 - 2.0) * 1.732
    }
}

fn mixed(seed: u64) -> u64 {
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
