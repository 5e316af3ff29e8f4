//! The clock by which an asset is silent: the receipts of something that is said all the time. Where these are missing nobody
//! listened, and nobody can be blamed for having been silent. Asks no operating system.

use std::collections::VecDeque;

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// Without a receipt for so long nobody listened, in nanoseconds.
const GAP_NANOS: i64 = 60 * 1_000_000_000;
/// Gaps that are known; the oldest are forgotten.
const GAPS_MAX: usize = 64;

/// See the module. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Clock {
    now: Option<i64>,
    gaps: VecDeque<(i64, i64)>,
}

impl Clock {
    /// Takes in a receipt; those that do not rise are passed over.
    pub(crate) fn tick(&mut self, at: Timestamp) {
        let at = at.nanos();
        match self.now {
            Some(now) if at <= now => return,
            Some(now) if at - now > GAP_NANOS => {
                self.gaps.push_back((now, at));
                if self.gaps.len() > GAPS_MAX {
                    self.gaps.pop_front();
                }
            }
            _ => {}
        }
        self.now = Some(at);
    }

    /// Everything that came in until then is known.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.now.map(Timestamp::from_nanos)
    }

    /// When somebody who was heard last at `since` has been silent for `nanos` to those who listened.
    pub(crate) fn due(&self, since: Timestamp, nanos: i64) -> Timestamp {
        let mut since = since.nanos();
        for (from, until) in &self.gaps {
            if *until > since && since.saturating_add(nanos) > *from {
                since = *until;
            }
        }
        Timestamp::from_nanos(since.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn silence_while_nobody_listens_does_not_count() {
        let mut clock = Clock::default();
        for at in [100, 110, 120, 115, 500, 510, 900] {
            clock.tick(second(at));
        }
        assert_eq!(clock.now(), Some(second(900)));
        let due = |since: i64, seconds: i64| clock.due(second(since), seconds * 1_000_000_000).nanos() / 1_000_000_000;
        assert_eq!(due(90, 30), 120);
        assert_eq!(due(90, 31), 931);
        assert_eq!(due(90, 400), 1_300);
        // Ten seconds between two gaps are not enough.
        assert_eq!(due(110, 60), 960);
        assert_eq!(due(950, 60), 1_010);
    }
}
