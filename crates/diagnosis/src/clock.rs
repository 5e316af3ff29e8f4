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
    /// The last receipt, and those before it of which something may still come in.
    ticks: Vec<i64>,
    gaps: VecDeque<(i64, i64)>,
}

impl Clock {
    /// Takes in a receipt; those that do not rise are passed over.
    pub(crate) fn tick(&mut self, at: Timestamp) {
        let at = at.nanos();
        if let Some(last) = self.ticks.last() {
            if at <= *last {
                return;
            }
            if at - last > GAP_NANOS {
                self.gaps.push_back((*last, at));
                if self.gaps.len() > GAPS_MAX {
                    self.gaps.pop_front();
                }
            }
        }
        self.ticks.push(at);
    }

    /// The last receipt.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.ticks.last().copied().map(Timestamp::from_nanos)
    }

    /// Whether it was `time` by the last receipt that came no later than `received`. What has been missing since may be a gap, which
    /// shows only when the next one comes.
    pub(crate) fn has_passed(&self, time: Timestamp, received: Timestamp) -> bool {
        let until = self.ticks.partition_point(|tick| *tick <= received.nanos());
        until.checked_sub(1).is_some_and(|last| time.nanos() <= self.ticks[last])
    }

    /// Forgets all receipts but the last: nothing comes in any more that is older.
    pub(crate) fn settle(&mut self) {
        let before = self.ticks.len().saturating_sub(1);
        self.ticks.drain(..before);
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
        let has_passed = |time: i64, received: i64| clock.has_passed(second(time), second(received));
        assert!(has_passed(120, 130) && has_passed(120, 499) && has_passed(500, 500));
        assert!(!has_passed(121, 499) && !has_passed(100, 99) && !has_passed(901, 2_000));
        clock.settle();
        assert_eq!((clock.now(), clock.ticks.len()), (Some(second(900)), 1));
    }
}
