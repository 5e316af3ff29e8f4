//! How well alarms serve those who have to act on them: the performance figures of IEC 62682 (clause 16), for one operator.

use std::collections::HashMap;

use model::Timestamp;

use crate::rule::Priority;

/// What rates are counted in.
const PERIOD_NANOS: i64 = 600 * 1_000_000_000;
/// A flood begins with more alarms than this in one period …
const FLOOD_BEGINS: usize = 10;
/// … and ends with fewer than this.
const FLOOD_ENDS: usize = 5;
/// So many of the most frequent alarms are told.
const MOST_FREQUENT: usize = 10;

/// One raising of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raising {
    /// When.
    pub time: Timestamp,
    /// Of whom.
    pub asset: String,
    /// By which rule.
    pub rule: String,
    /// How soon somebody had to act.
    pub priority: Priority,
}

/// A time in which more alarms came than anybody can deal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood {
    /// Its first period begins then.
    pub from: Timestamp,
    /// Its last period ends then.
    pub until: Timestamp,
    /// Alarms in it.
    pub alarms: usize,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Alarms in all.
    pub alarms: usize,
    /// Of each priority, the least urgent first.
    pub of_priority: [usize; 4],
    /// Alarms in ten minutes, in the mean.
    pub mean_per_period: f64,
    /// The most alarms in ten minutes.
    pub peak_per_period: usize,
    /// The share of ten-minute periods with more than ten alarms.
    pub share_over_ten: f64,
    /// All floods.
    pub floods: Vec<Flood>,
    /// The share of time in floods.
    pub share_in_floods: f64,
    /// The most frequent alarms, as asset, rule and count.
    pub most_frequent: Vec<(String, String, usize)>,
}

impl Figures {
    /// The figures of `raisings` from `from` to `until`.
    pub fn of(raisings: &[Raising], from: Timestamp, until: Timestamp) -> Self {
        let mut of_priority = [0; 4];
        let mut of_alarm: HashMap<(&str, &str), usize> = HashMap::new();
        let mut of_period: HashMap<i64, usize> = HashMap::new();
        let inside = raisings.iter().filter(|raising| raising.time >= from && raising.time < until);
        let mut alarms = 0;
        for raising in inside {
            alarms += 1;
            of_priority[raising.priority as usize] += 1;
            *of_alarm.entry((&raising.asset, &raising.rule)).or_default() += 1;
            *of_period.entry((raising.time.nanos() - from.nanos()) / PERIOD_NANOS).or_default() += 1;
        }
        let periods = ((until.nanos() - from.nanos()).max(1) as f64 / PERIOD_NANOS as f64).max(1.0);
        let floods = floods(&of_period, from);
        let in_floods: i64 = floods.iter().map(|flood| flood.until.nanos() - flood.from.nanos()).sum();
        let mut most: Vec<((&str, &str), usize)> = of_alarm.into_iter().collect();
        most.sort_by(|(one, times), (other, others)| others.cmp(times).then(one.cmp(other)));
        most.truncate(MOST_FREQUENT);
        Self {
            alarms,
            of_priority,
            mean_per_period: alarms as f64 / periods,
            peak_per_period: of_period.values().copied().max().unwrap_or_default(),
            share_over_ten: of_period.values().filter(|count| **count > FLOOD_BEGINS).count() as f64 / periods.ceil(),
            floods,
            share_in_floods: (in_floods as f64 / (periods * PERIOD_NANOS as f64)).min(1.0),
            most_frequent: most
                .into_iter()
                .map(|((asset, rule), times)| (asset.to_owned(), rule.to_owned(), times))
                .collect(),
        }
    }
}

/// The floods among periods, which begin at `from`, with their counts.
fn floods(of_period: &HashMap<i64, usize>, from: Timestamp) -> Vec<Flood> {
    let mut periods: Vec<(i64, usize)> = of_period.iter().map(|(period, count)| (*period, *count)).collect();
    periods.sort_unstable();
    let at = |period: i64| from.plus_nanos(period * PERIOD_NANOS);
    let mut floods: Vec<Flood> = Vec::new();
    let mut is_open = false;
    let mut next = 0;
    for (period, count) in periods {
        let goes_on = is_open && period == next && count >= FLOOD_ENDS;
        match floods.last_mut() {
            Some(flood) if goes_on => {
                (flood.until, flood.alarms) = (at(period + 1), flood.alarms + count);
            }
            _ if count > FLOOD_BEGINS => {
                floods.push(Flood { from: at(period), until: at(period + 1), alarms: count });
            }
            _ => {}
        }
        is_open = goes_on || count > FLOOD_BEGINS;
        next = period + 1;
    }
    floods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raising(second: i64, rule: &str) -> Raising {
        let time = Timestamp::from_nanos(second * 1_000_000_000);
        Raising { time, asset: "machine/M".into(), rule: rule.into(), priority: Priority::High }
    }

    #[test]
    fn floods_begin_with_more_than_ten_and_end_with_fewer_than_five() {
        let counts = [(0, 3), (1, 11), (2, 5), (3, 10), (4, 4), (5, 10), (7, 12), (9, 5)];
        let raisings: Vec<Raising> = counts
            .iter()
            .flat_map(|(period, count)| (0..*count).map(move |second| raising(period * 600 + second, "r")))
            .collect();
        let second = |second: i64| Timestamp::from_nanos(second * 1_000_000_000);
        let figures = Figures::of(&raisings, second(0), second(6_000));
        let flood = |from: i64, until: i64, alarms| Flood { from: second(from), until: second(until), alarms };
        assert_eq!(figures.floods, [flood(600, 2_400, 26), flood(4_200, 4_800, 12)]);
        assert_eq!((figures.alarms, figures.peak_per_period, figures.mean_per_period), (60, 12, 6.0));
        assert_eq!((figures.share_over_ten, figures.share_in_floods), (0.2, 0.4));
        assert_eq!(figures.of_priority, [0, 0, 60, 0]);
    }

    #[test]
    fn what_is_most_frequent_is_told_first_and_what_is_outside_does_not_count() {
        let raisings = [raising(5, "a"), raising(6, "b"), raising(7, "b"), raising(100, "b"), raising(-1, "a")];
        let figures = Figures::of(&raisings, Timestamp::from_nanos(0), Timestamp::from_nanos(60_000_000_000));
        let told: Vec<(&str, usize)> =
            figures.most_frequent.iter().map(|(_, rule, times)| (rule.as_str(), *times)).collect();
        assert_eq!(told, [("b", 2), ("a", 1)]);
        assert_eq!(Figures::of(&[], Timestamp::from_nanos(0), Timestamp::from_nanos(0)).mean_per_period, 0.0);
    }
}
