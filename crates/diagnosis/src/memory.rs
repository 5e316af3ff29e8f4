//! What a step that depends on the past remembers of one asset: a bounded amount, whatever was said. Knows no other step.

use std::collections::VecDeque;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::correlation::Correlation;
use crate::episode::Episodes;
use crate::siblings::Siblings;
use crate::steps::OverTime;
use crate::usual::Usual;

/// Parts that a stretch of time is divided into: what is older than it is forgotten part by part.
const PARTS: i64 = 32;
const NANOS: f64 = 1e9;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) enum Memory {
    #[default]
    Nothing,
    /// The last value that was known, and its time in nanoseconds.
    Value(f64, i64),
    /// Since when a condition has been true.
    Since(i64),
    Parts(VecDeque<Part>),
    Episodes(Box<Episodes>),
    Correlation(Box<Correlation>),
    Usual(Box<Usual>),
    Siblings(Box<Siblings>),
}

/// What is remembered of a part of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The number of the part since the epoch.
    number: i64,
    count: u32,
    sum: f64,
    least: f64,
    most: f64,
    first: f64,
    last: f64,
}

impl Memory {
    /// The episodes of a condition.
    pub(crate) fn episodes(&mut self) -> &mut Episodes {
        if !matches!(self, Self::Episodes(_)) {
            *self = Self::Episodes(Box::default());
        }
        let Self::Episodes(episodes) = self else { unreachable!("it was made above") };
        episodes
    }

    /// How elements go with a number.
    pub(crate) fn correlation(&mut self) -> &mut Correlation {
        if !matches!(self, Self::Correlation(_)) {
            *self = Self::Correlation(Box::default());
        }
        let Self::Correlation(correlation) = self else { unreachable!("it was made above") };
        correlation
    }

    /// What is usual.
    pub(crate) fn usual(&mut self) -> &mut Usual {
        if !matches!(self, Self::Usual(_)) {
            *self = Self::Usual(Box::default());
        }
        let Self::Usual(usual) = self else { unreachable!("it was made above") };
        usual
    }

    /// What all assets said last.
    pub(crate) fn siblings(&mut self) -> &mut Siblings {
        if !matches!(self, Self::Siblings(_)) {
            *self = Self::Siblings(Box::default());
        }
        let Self::Siblings(siblings) = self else { unreachable!("it was made above") };
        siblings
    }

    /// For how many seconds `value` has been the same.
    pub(crate) fn unchanged(&mut self, value: f64, time: Timestamp) -> f64 {
        if value.is_nan() {
            return f64::NAN;
        }
        match self {
            Self::Value(before, since) if before.to_bits() == value.to_bits() => {
                time.nanos().saturating_sub(*since) as f64 / NANOS
            }
            _ => {
                *self = Self::Value(value, time.nanos());
                0.0
            }
        }
    }

    /// The value before, which is replaced by `value` where that is known.
    pub(crate) fn previous(&mut self, value: f64, time: Timestamp) -> (f64, Timestamp) {
        let before = match self {
            Self::Value(before, at) => (*before, Timestamp::from_nanos(*at)),
            _ => (f64::NAN, time),
        };
        if !value.is_nan() {
            *self = Self::Value(value, time.nanos());
        }
        before
    }

    /// The change per second since the value before.
    pub(crate) fn rate(&mut self, value: f64, time: Timestamp) -> f64 {
        let (before, at) = self.previous(value, time);
        let seconds = time.nanos().saturating_sub(at.nanos()) as f64 / NANOS;
        if seconds > 0.0 { (value - before) / seconds } else { f64::NAN }
    }

    /// For how many seconds a condition has been true, that is `truth` now.
    pub(crate) fn lasts(&mut self, truth: Option<bool>, time: Timestamp) -> f64 {
        match (truth, &self) {
            (Some(false), _) => {
                *self = Self::Nothing;
                0.0
            }
            (Some(true), Self::Since(since)) => time.nanos().saturating_sub(*since) as f64 / NANOS,
            (Some(true), _) => {
                *self = Self::Since(time.nanos());
                0.0
            }
            (None, _) => f64::NAN,
        }
    }

    /// What becomes of the values of the last `nanos` nanoseconds, of which `value` is the newest.
    pub(crate) fn over_time(&mut self, what: OverTime, value: f64, time: Timestamp, nanos: i64) -> f64 {
        let width = (nanos / PARTS).max(1);
        let number = time.nanos().div_euclid(width);
        if !matches!(self, Self::Parts(_)) {
            *self = Self::Parts(VecDeque::new());
        }
        let Self::Parts(parts) = self else { return f64::NAN };
        while parts.front().is_some_and(|part| part.number <= number - PARTS) {
            parts.pop_front();
        }
        if !value.is_nan() {
            // How often a condition became true is counted where it does.
            let became = matches!(what, OverTime::Times) && value > parts.back().map_or(0.0, |part| part.last);
            let one = if matches!(what, OverTime::Times) { f64::from(u8::from(became)) } else { value };
            match parts.back_mut().filter(|part| part.number == number) {
                Some(part) => {
                    part.count = part.count.saturating_add(1);
                    part.sum += one;
                    part.least = part.least.min(value);
                    part.most = part.most.max(value);
                    part.last = value;
                }
                None => parts.push_back(Part {
                    number,
                    count: 1,
                    sum: one,
                    least: value,
                    most: value,
                    first: value,
                    last: value,
                }),
            }
        }
        let (Some(first), Some(last)) = (parts.front(), parts.back()) else { return f64::NAN };
        match what {
            OverTime::Mean => {
                let count: f64 = parts.iter().map(|part| f64::from(part.count)).sum();
                parts.iter().map(|part| part.sum).sum::<f64>() / count
            }
            OverTime::Times => parts.iter().map(|part| part.sum).sum(),
            OverTime::Least => parts.iter().map(|part| part.least).fold(f64::INFINITY, f64::min),
            OverTime::Most => parts.iter().map(|part| part.most).fold(f64::NEG_INFINITY, f64::max),
            OverTime::Change => last.last - first.first,
            OverTime::Slope => slope(parts, width as f64 / NANOS),
        }
    }
}

/// The change per second of the straight line that fits the means of `parts` best; NaN where there are fewer than three.
fn slope(parts: &VecDeque<Part>, width: f64) -> f64 {
    let (Some(first), 3..) = (parts.front(), parts.len()) else { return f64::NAN };
    let point = |part: &Part| ((part.number - first.number) as f64 * width, part.sum / f64::from(part.count));
    let count = parts.len() as f64;
    let (x, y) = parts.iter().map(point).fold((0.0, 0.0), |(x, y), one| (x + one.0 / count, y + one.1 / count));
    let away = parts.iter().map(point).map(|one| (one.0 - x, one.1 - y));
    let (both, own) = away.fold((0.0, 0.0), |(both, own), (x, y)| (both + x * y, own + x * x));
    both / own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_stretch_of_time_forgets_what_is_older() {
        let minute = 64 * 1_000_000_000;
        let mut memories: [Memory; 4] = Default::default();
        let what = [OverTime::Mean, OverTime::Least, OverTime::Most, OverTime::Change];
        let mut say = |second: i64, value: f64| {
            let mut got = [0.0; 4];
            for ((got, memory), what) in got.iter_mut().zip(&mut memories).zip(what) {
                *got = memory.over_time(what, value, at(second), minute);
            }
            got
        };
        assert_eq!(say(0, 10.0), [10.0, 10.0, 10.0, 0.0]);
        assert_eq!(say(2, 30.0), [20.0, 10.0, 30.0, 20.0]);
        assert_eq!(say(62, f64::NAN), [20.0, 10.0, 30.0, 20.0]);
        assert_eq!(say(65, 50.0), [40.0, 30.0, 50.0, 20.0]);
        let far = say(10_000, f64::NAN);
        assert!(far.iter().all(|value| value.is_nan()), "{far:?}");
    }

    #[test]
    fn what_rises_has_a_slope_and_what_stays_is_unchanged() {
        let (mut slope, hour) = (Memory::default(), 3_600_000_000_000);
        let slopes: Vec<f64> =
            (0..10).map(|at| slope.over_time(OverTime::Slope, 5.0 + at as f64, at_minute(at), hour)).collect();
        assert!(slopes[1].is_nan() && (slopes[9] - 1.0 / 60.0).abs() < 0.002, "{slopes:?}");
        let mut same = Memory::default();
        let said = [(1.0, 0), (1.0, 5), (f64::NAN, 6), (1.0, 9), (2.0, 10), (2.0, 12)];
        let lasts: Vec<f64> = said.into_iter().map(|(value, second)| same.unchanged(value, at(second))).collect();
        assert!(lasts[2].is_nan());
        assert_eq!([lasts[0], lasts[1], lasts[3], lasts[4], lasts[5]], [0.0, 5.0, 9.0, 0.0, 2.0]);
    }

    fn at_minute(minutes: i64) -> Timestamp {
        at(minutes * 60)
    }

    #[test]
    fn a_condition_is_counted_when_it_becomes_true() {
        let (mut memory, hour) = (Memory::default(), 3_600_000_000_000);
        let truths = [0.0, 1.0, 1.0, 0.0, 1.0, f64::NAN, 1.0, 0.0];
        let counts: Vec<f64> = (0..)
            .zip(truths)
            .map(|(second, truth)| memory.over_time(OverTime::Times, truth, at(second), hour))
            .collect();
        assert_eq!(counts, [0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn what_was_before_is_remembered_over_what_is_not_known() {
        let mut memory = Memory::default();
        assert!(memory.rate(1.0, at(0)).is_nan());
        assert_eq!(memory.rate(3.0, at(4)), 0.5);
        assert!(memory.rate(f64::NAN, at(5)).is_nan());
        assert_eq!(memory.rate(6.0, at(10)), 0.5);
        assert!(memory.rate(6.0, at(10)).is_nan());
        let mut memory = Memory::default();
        let lasts = [(Some(true), 0), (Some(true), 5), (None, 6), (Some(true), 9), (Some(false), 10), (Some(true), 11)];
        let lasts: Vec<f64> = lasts.into_iter().map(|(truth, second)| memory.lasts(truth, at(second))).collect();
        assert!(lasts[2].is_nan());
        assert_eq!([lasts[0], lasts[1], lasts[3], lasts[4], lasts[5]], [0.0, 5.0, 9.0, 0.0, 0.0]);
    }
}
