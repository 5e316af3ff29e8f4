//! When an adapter fails its clients: seeded, about once in twenty minutes. Knows neither machine nor sockets.

use model::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MEAN_GAP_SECS: f64 = 20.0 * 60.0;
const NANOS_PER_SEC: f64 = 1e9;

/// What happens in an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// One client's connection is closed; it may come back at once.
    One,
    /// All connections are closed, and for a while new ones too.
    All,
}

/// The coming outages of one adapter.
#[derive(Debug)]
pub(super) struct Outages {
    random: StdRng,
    next: Option<Timestamp>,
    refusing_until: Timestamp,
    happens: bool,
}

impl Outages {
    pub(super) fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, next: None, refusing_until: Timestamp::MIN, happens: true }
    }

    /// An adapter that never fails.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self { happens: false, ..Self::new(0) }
    }

    /// From now on, outages may happen.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.happens {
            let share: f64 = self.random.random_range(0.0..1.0);
            // Exponential gaps, but none shorter than a minute.
            let gap_secs = 60.0 - (1.0 - share).ln() * (MEAN_GAP_SECS - 60.0);
            self.next = Some(now.plus_nanos((gap_secs * NANOS_PER_SEC) as i64));
        }
    }

    /// The outage that has become due; asks for the next one from then on.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Outage> {
        if now < self.next? {
            return None;
        }
        let outage = if self.random.random_range(0..2) == 0 { Outage::One } else { Outage::All };
        if outage == Outage::All {
            let span_secs = self.random.random_range(10.0..60.0);
            self.refusing_until = now.plus_nanos((span_secs * NANOS_PER_SEC) as i64);
        }
        self.begin(now);
        Some(outage)
    }

    /// Whether new clients are turned away.
    pub(super) fn is_refusing(&self, now: Timestamp) -> bool {
        now < self.refusing_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_come_about_once_in_twenty_minutes_and_refuse_for_less_than_a_minute() {
        let mut outages = Outages::new(5);
        outages.begin(Timestamp::from_millis(0));
        let (mut count, mut refusing_secs) = (0, 0);
        let days = 10;
        for second in 0..days * 86_400 {
            let now = Timestamp::from_millis(second * 1000);
            count += i64::from(outages.due(now).is_some());
            refusing_secs += i64::from(outages.is_refusing(now));
        }
        assert!((days * 60..days * 84).contains(&count), "{count}");
        assert!((1..count * 60).contains(&refusing_secs), "{refusing_secs}");
    }

    #[test]
    fn without_a_beginning_there_is_no_outage() {
        let mut outages = Outages::never();
        outages.begin(Timestamp::from_millis(0));
        assert_eq!(outages.due(Timestamp::MAX), None);
    }
}
