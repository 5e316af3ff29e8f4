//! How long to wait before the next attempt. Knows no clock: it only says the span.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Doubling waits with jitter, so that a hundred gateways do not knock at the same moment.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
    random: StdRng,
}

impl Backoff {
    /// Waits between `first` and `longest`; `seed` decides the jitter.
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, attempts: 0, random: StdRng::seed_from_u64(seed) }
    }

    /// The next wait: between half and all of `first × 2^attempts`, at most `longest`.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1).min(31);
        doubled.min(self.longest).mul_f64(self.random.random_range(0.5..=1.0))
    }

    /// After a success: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        for ceiling_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let wait = backoff.next_wait();
            let ceiling = Duration::from_millis(ceiling_ms);
            assert!(wait <= ceiling && wait >= ceiling / 2, "{wait:?} for {ceiling:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
        for _ in 0..100 {
            assert!(backoff.next_wait() <= Duration::from_secs(1), "never overflows");
        }
    }
}
