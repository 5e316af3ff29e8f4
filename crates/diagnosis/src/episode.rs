//! Means of a number, or of each element of a list, over the times in which a condition was true. Knows no other step.

use std::collections::VecDeque;

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// A time is over when nothing was said for longer, in nanoseconds.
const GAP_NANOS: i64 = 30 * 60 * 1_000_000_000;

/// The time that goes on, and the means of those that are over.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Episodes {
    now: Option<Mean>,
    /// When the condition was true last, in nanoseconds.
    last: i64,
    /// The newest last. Seven digits are enough for means of what was measured.
    over: VecDeque<Box<[f32]>>,
}

/// The mean of each element so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Mean {
    rows: u32,
    /// How often each element had a value; empty as long as all had one in every row.
    counts: Box<[u32]>,
    means: Box<[f32]>,
}

impl Episodes {
    /// Takes in what is said at `time`, while the condition is `truth`. An episode of fewer rows than `rows_min` does not count, and
    /// no more than `keep` of them are kept.
    pub(crate) fn take(
        &mut self,
        elements: &[f64],
        truth: Option<bool>,
        time: Timestamp,
        (rows_min, keep): (u16, usize),
    ) {
        let has_gap = self.now.is_some() && time.nanos().saturating_sub(self.last) > GAP_NANOS;
        if has_gap || truth == Some(false) {
            self.end(rows_min, keep);
        }
        if truth == Some(true) {
            self.last = time.nanos();
            self.now.get_or_insert_default().add(elements);
        }
    }

    fn end(&mut self, rows_min: u16, keep: usize) {
        let Some(mean) = self.now.take().filter(|mean| mean.rows >= rows_min.into()) else { return };
        if self.over.len() >= keep {
            self.over.pop_front();
        }
        self.over.push_back(mean.whole());
    }

    /// The means of the last episode that is over, or of one `back` before it.
    pub(crate) fn means(&self, back: u8) -> &[f32] {
        let place = self.over.len().checked_sub(1 + usize::from(back));
        place.and_then(|place| self.over.get(place)).map_or(&[], |means| means)
    }
}

impl Mean {
    /// Takes in a row; one with another number of elements than the first is passed over.
    fn add(&mut self, elements: &[f64]) {
        if self.rows == 0 {
            self.means = vec![0.0; elements.len()].into();
        }
        if elements.len() != self.means.len() || elements.is_empty() {
            return;
        }
        if self.counts.is_empty() && elements.iter().any(|element| element.is_nan()) {
            self.counts = vec![self.rows; elements.len()].into();
        }
        self.rows += 1;
        for (place, (element, mean)) in elements.iter().zip(&mut self.means).enumerate() {
            if element.is_nan() {
                continue;
            }
            let count = self.counts.get_mut(place).map_or(self.rows, |count| {
                *count += 1;
                *count
            });
            *mean += (*element as f32 - *mean) / count as f32;
        }
    }

    /// The means; NaN where an element had a value in less than half of the rows.
    fn whole(mut self) -> Box<[f32]> {
        for (count, mean) in self.counts.iter().zip(&mut self.means) {
            if count.saturating_mul(2) < self.rows {
                *mean = f32::NAN;
            }
        }
        self.means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_nanos(minutes * 60_000_000_000)
    }

    #[test]
    fn a_mean_counts_when_its_time_is_over() {
        let mut episodes = Episodes::default();
        let mut say = |at: i64, truth: Option<bool>, elements: &[f64]| {
            episodes.take(elements, truth, minute(at), (2, 2));
            [0, 1].map(|back| episodes.means(back).to_vec())
        };
        say(0, Some(true), &[1.0, 10.0]);
        say(1, None, &[100.0, 100.0]);
        say(2, Some(true), &[3.0, f64::NAN]);
        assert!(say(3, Some(true), &[3.5, f64::NAN]).concat().is_empty());
        let over = say(4, Some(false), &[9.0, 9.0]);
        assert_eq!((over[0][0], over[0][1].is_nan()), (2.5, true));
        // Too short to count.
        say(5, Some(true), &[7.0, 7.0]);
        assert_eq!(say(6, Some(false), &[7.0, 7.0])[0][0], 2.5);
        say(7, Some(true), &[4.0, 4.0]);
        say(8, Some(true), &[6.0, 6.0]);
        // What comes after a long silence is another time.
        let later = say(100, Some(true), &[8.0, 8.0]);
        assert_eq!((&later[0], later[1][0]), (&vec![5.0, 5.0], 2.5));
        say(101, Some(true), &[8.0]);
        say(102, Some(true), &[8.0, 8.0]);
        assert_eq!(say(103, Some(false), &[]), [vec![8.0, 8.0], vec![5.0, 5.0]]);
    }
}
