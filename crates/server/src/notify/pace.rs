//! How many messages go out in a minute, and when it is time to sum up. Knows no clock: it is told what time it is.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace {
    per_minute_max: usize,
    /// When the messages of the last minute went out.
    sent: VecDeque<Instant>,
}

/// What may be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The next one can be told by itself.
    One,
    /// One more message may go out: it tells all that waits.
    Rest,
    /// Nothing until then.
    Wait(Instant),
}

impl Pace {
    pub(crate) fn new(per_minute_max: usize) -> Self {
        Self { per_minute_max, sent: VecDeque::new() }
    }

    /// What may be done at `now`.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        while self.sent.front().is_some_and(|sent| now.duration_since(*sent) >= MINUTE) {
            self.sent.pop_front();
        }
        match (self.per_minute_max.saturating_sub(self.sent.len()), self.sent.front()) {
            (0, Some(first)) => Turn::Wait(*first + MINUTE),
            (0 | 1, _) => Turn::Rest,
            _ => Turn::One,
        }
    }

    /// A message goes out at `now`.
    pub(crate) fn take(&mut self, now: Instant) {
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_a_minute_tells_all_the_rest() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::new(3);
        for (now, expected) in [
            (0, Turn::One),
            (0, Turn::One),
            (10, Turn::Rest),
            (10, Turn::Wait(at(60))),
            (60, Turn::One),
            (60, Turn::Rest),
            (61, Turn::Wait(at(70))),
            (70, Turn::Rest),
        ] {
            let turn = pace.turn(at(now));
            assert_eq!(turn, expected, "at {now}");
            if !matches!(turn, Turn::Wait(_)) {
                pace.take(at(now));
            }
        }
        let mut single = Pace::new(1);
        assert_eq!(single.turn(start), Turn::Rest);
    }
}
