//! What is usual of a number under circumstances: its mean over each time that they last, how much such means differ, learnt time
//! by time. Knows no other step.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// Circumstances of one asset that are known; beyond it, those that were not seen for longest are forgotten.
const CIRCUMSTANCES_MAX: usize = 4_096;
/// Times that wait until they are accepted; beyond it, the oldest are not learnt.
const WAITING_MAX: usize = 4_096;
/// A time is over when nothing was said for longer, in nanoseconds.
const GAP_NANOS: i64 = 5 * 60 * 1_000_000_000;
/// So many of the last times count.
const MEMORY: f32 = 50.0;
/// After so many times, one that is far away counts as one that is this many standard deviations away.
const FAR_AFTER: u32 = 8;
const FAR: f32 = 4.0;
/// So many times are the first ones.
const FIRST: usize = 3;
/// How much of a time goes into where it stands now, and into where that goes from time to time (double exponential smoothing).
const LEVEL_SHARE: f32 = 0.3;
const TREND_SHARE: f32 = 0.1;

/// How many numbers [`Usual::told`] gives.
pub(crate) const TOLD: usize = 11;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Usual {
    learnt: BTreeMap<u64, Learnt>,
    /// Circumstances and means of times that are over.
    waiting: VecDeque<(u64, f32)>,
    now: Option<Now>,
    last: Option<Last>,
    /// Times that have begun.
    times: u32,
}

/// What is known of circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Learnt {
    mean: f32,
    variance: f32,
    count: u32,
    /// The first times; one of them may have been unlike the others.
    first: [f32; FIRST],
    /// The mean of about the last five times.
    level: f32,
    /// How much that changes from time to time.
    trend: f32,
    /// The number of the time that was the last to have them.
    seen: u32,
}

/// The time that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Now {
    circumstances: u64,
    /// Of what was said, times the seconds that it lasted.
    sum: f64,
    seconds: f64,
    value: f64,
    since: i64,
}

/// The last time that is over, and what was usual then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Last {
    mean: f32,
    usual: Learnt,
}

impl Usual {
    /// Takes in `value`, which is said at `time` under `circumstances`, if they are known.
    pub(crate) fn take(&mut self, value: f64, circumstances: Option<u64>, time: Timestamp, waits: bool) {
        if let Some(now) = &mut self.now {
            let is_over = now.lasts_until(time) || Some(now.circumstances) != circumstances;
            if is_over {
                let over = *now;
                self.now = None;
                self.end(over, waits);
            } else {
                now.value = value;
            }
        }
        if self.now.is_none()
            && let Some(circumstances) = circumstances
        {
            self.times = self.times.wrapping_add(1);
            self.now = Some(Now { circumstances, sum: 0.0, seconds: 0.0, value, since: time.nanos() });
        }
    }

    fn end(&mut self, over: Now, waits: bool) {
        if over.seconds <= 0.0 {
            return;
        }
        let mean = (over.sum / over.seconds) as f32;
        let usual = self.learnt.get(&over.circumstances).copied().unwrap_or_default();
        self.last = Some(Last { mean, usual });
        if waits {
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back((over.circumstances, mean));
        } else {
            self.learn(over.circumstances, mean);
        }
    }

    /// Learns from all times that wait.
    pub(crate) fn accept(&mut self) {
        for (circumstances, mean) in mem::take(&mut self.waiting) {
            self.learn(circumstances, mean);
        }
    }

    fn learn(&mut self, circumstances: u64, mean: f32) {
        if self.learnt.len() >= CIRCUMSTANCES_MAX && !self.learnt.contains_key(&circumstances) {
            let oldest = self.learnt.iter().max_by_key(|(_, learnt)| self.times.wrapping_sub(learnt.seen));
            if let Some(oldest) = oldest.map(|(circumstances, _)| *circumstances) {
                self.learnt.remove(&oldest);
            }
        }
        let learnt = self.learnt.entry(circumstances).or_default();
        learnt.seen = self.times;
        learnt.learn(mean);
    }

    /// What is usual under the circumstances of now: mean, standard deviation, from how many times; the mean so far; of the last
    /// time that is over its mean, and what had been usual before it; the middle one of the first times, the mean of the last few, and how it changes.
    pub(crate) fn told(&self) -> [f64; TOLD] {
        let now = self.now.as_ref();
        let learnt = |learnt: Option<&Learnt>| match learnt {
            Some(learnt) if learnt.count > 0 => {
                [f64::from(learnt.mean), f64::from(learnt.variance).sqrt(), f64::from(learnt.count)]
            }
            _ => [f64::NAN, f64::NAN, 0.0],
        };
        let usual = learnt(now.and_then(|now| self.learnt.get(&now.circumstances)));
        let so_far = now.filter(|now| now.seconds > 0.0).map_or(f64::NAN, |now| now.sum / now.seconds);
        let last = self.last.map_or(f64::NAN, |last| f64::from(last.mean));
        let before = learnt(self.last.as_ref().map(|last| &last.usual));
        let known = self.last.as_ref().map(|last| last.usual).filter(|usual| usual.count as usize >= FIRST);
        let [first, level, trend] = known.map_or([f32::NAN; 3], |usual| [usual.first(), usual.level, usual.trend]);
        let [first, level, trend] = [first, level, trend].map(f64::from);
        [usual[0], usual[1], usual[2], so_far, last, before[0], before[1], before[2], first, level, trend]
    }
}

impl Now {
    /// Counts what was said until `time`, and tells whether the time ended in between.
    fn lasts_until(&mut self, time: Timestamp) -> bool {
        let nanos = time.nanos().saturating_sub(self.since);
        if nanos > GAP_NANOS {
            return true;
        }
        self.since = time.nanos();
        if !self.value.is_nan() {
            let seconds = nanos as f64 / 1e9;
            self.sum += self.value * seconds;
            self.seconds += seconds;
        }
        false
    }
}

impl Learnt {
    fn learn(&mut self, mean: f32) {
        self.count = self.count.saturating_add(1);
        let mut away = mean - self.mean;
        if self.count > FAR_AFTER {
            let far = FAR * self.variance.sqrt();
            away = away.clamp(-far, far);
        }
        let new = (1.0 / self.count as f32).max(1.0 / MEMORY);
        self.mean += new * away;
        self.variance = (1.0 - new) * (self.variance + new * away * away);
        if let Some(first) = self.first.get_mut(self.count as usize - 1) {
            (*first, self.level) = (mean, self.mean);
            return;
        }
        let away = mean - self.level - self.trend;
        self.level += self.trend + LEVEL_SHARE * away;
        self.trend += TREND_SHARE * away;
    }

    /// The middle one of the first times.
    fn first(&self) -> f32 {
        let mut first = self.first;
        first.sort_by(f32::total_cmp);
        first[FIRST / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    /// Circumstances 7 for ten seconds with `load`, then others.
    fn cut(usual: &mut Usual, begin: i64, load: f64) {
        usual.take(load - 1.0, Some(7), at(begin), true);
        usual.take(load + 1.0, Some(7), at(begin + 5), true);
        usual.take(0.0, Some(8), at(begin + 10), true);
    }

    #[test]
    fn what_is_usual_is_learnt_when_it_is_accepted() {
        let mut usual = Usual::default();
        for (number, load) in (0..).zip([50.0, 52.0, 48.0, 50.0]) {
            cut(&mut usual, number * 100, load);
        }
        assert_eq!(usual.told()[4], 50.0);
        usual.take(1.0, Some(7), at(400), true);
        assert_eq!(usual.told()[2], 0.0, "nothing is accepted");
        usual.accept();
        let told = usual.told();
        assert!((told[0] - 50.0).abs() < 1e-5 && (told[1] - 2.0_f64.sqrt()).abs() < 1e-5, "{told:?}");
        assert_eq!(told[2], 4.0);
        usual.take(90.0, Some(7), at(402), true);
        usual.take(90.0, Some(7), at(404), true);
        assert_eq!(usual.told()[3], 45.5);
        usual.take(0.0, None, at(404), true);
        let told = usual.told();
        assert!((told[4] - 45.5).abs() < 1e-5 && (told[5] - 50.0).abs() < 1e-5 && told[2] == 0.0, "{told:?}");
    }

    #[test]
    fn what_it_was_at_first_is_known_and_how_it_changes() {
        let mut usual = Usual::default();
        for number in 0..40 {
            cut(&mut usual, number * 100, 50.0 + number as f64);
            usual.accept();
        }
        let [first, level, trend] = usual.told()[8..] else { panic!("three numbers") };
        assert_eq!(first, 51.0);
        assert!((level - 88.0).abs() < 0.3 && (trend - 1.0).abs() < 0.05, "{level} {trend}");
        let few = Usual::default().told();
        assert!(few[8..].iter().all(|number| number.is_nan()));
    }

    #[test]
    fn one_that_is_far_away_changes_little_and_a_silence_is_an_end() {
        let mut usual = Usual::default();
        for number in 0..20 {
            cut(&mut usual, number * 100, 50.0 + f64::from(number as i32 % 3));
            usual.accept();
        }
        cut(&mut usual, 3_000, 500.0);
        usual.accept();
        usual.take(50.0, Some(7), at(4_000), false);
        let told = usual.told();
        assert!((50.0..52.0).contains(&told[0]), "{told:?}");
        usual.take(50.0, Some(7), at(9_000), false);
        assert!(usual.told()[3].is_nan());
        for circumstances in 0..5_000 {
            usual.take(1.0, Some(circumstances + 100), at(10_000 + circumstances as i64), false);
        }
        assert_eq!(usual.learnt.len(), CIRCUMSTANCES_MAX);
        assert!(!usual.learnt.contains_key(&7));
    }
}
