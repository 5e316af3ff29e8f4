//! The figures of a back-test: what each rule raised, how well that meets what really was wrong, and what it took.

use std::collections::{HashMap, HashSet};

use diagnosis::Rule;
use model::{Timestamp, matches};
use serde::Serialize;

use super::labels::{Label, Labels};
use super::tally::{Alarm, Tally};

const HOURS_PER_DAY: f64 = 24.0;
const NANOS_PER_SEC: f64 = 1e9;

/// What a back-test took.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestCost)]
pub struct Cost {
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that came later than newer ones of their asset.
    pub late: u64,
    /// Those of them that came too late to be looked at.
    pub too_late: u64,
    /// Rows times the rules that are about them.
    pub rule_rows: u64,
    /// CPU-seconds that the rules took.
    pub rules_cpu_secs: f64,
    /// CPU-seconds that reading took.
    pub reading_cpu_secs: f64,
    /// Rows times rules that one CPU-second is enough for, without reading.
    pub rule_rows_per_cpu_sec: Option<f64>,
    /// What the rules remembered at the end, in bytes as a checkpoint has it.
    pub state_bytes: u64,
}

/// What would be true of alarms if a certain share of assets had the fault.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestAtBaseRate)]
pub struct AtBaseRate {
    /// That share.
    pub base_rate: f64,
    /// Of assets with a label, the share with a true alarm.
    pub true_positive_rate: Option<f64>,
    /// Of assets without a label, the share with an alarm.
    pub false_positive_rate: Option<f64>,
    /// Of assets with an alarm, the share that would have the fault.
    pub precision: Option<f64>,
}

/// How well alarms meet labels: an alarm is true when it is so during a label of its asset that names its rule, or none.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestScores)]
pub struct Scores {
    /// Alarms that are so during a label.
    pub true_alarms: usize,
    /// The others.
    pub false_alarms: usize,
    /// Labels that were found.
    pub found: usize,
    /// The others.
    pub missed: usize,
    /// Of alarms, the share that is true.
    pub precision: Option<f64>,
    /// Of labels, the share that was found.
    pub recall: Option<f64>,
    /// From the beginning of a label to the first alarm, 0 where it was there before: the median of labels found.
    pub delay_secs_median: Option<f64>,
    /// The longest.
    pub delay_secs_max: Option<f64>,
    /// False alarms in 1,000 days of an asset.
    pub false_alarms_per_1000_asset_days: Option<f64>,
    /// With another share of faulty assets than there is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_base_rate: Option<AtBaseRate>,
}

/// The figures of one rule, or of all together.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestFigures)]
pub struct Figures {
    /// The rule; `null` for all together.
    pub rule: Option<String>,
    /// Its version.
    pub version: Option<u32>,
    /// Alarms that were raised.
    pub alarms: usize,
    /// Those that were not over at the end.
    pub active: usize,
    /// Assets with alarms.
    pub assets: usize,
    /// Assets that said something, of those that the rule is about.
    pub assets_heard: usize,
    /// Days in which they said something, in all: 24 hours of an asset with a row in each are one.
    pub asset_days: f64,
    /// Alarms in 1,000 days of an asset.
    pub alarms_per_1000_asset_days: Option<f64>,
    /// Against labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Rule by rule.
    pub rules: Vec<Figures>,
    /// All rules together: a label is found when any of them finds it.
    pub all: Figures,
    /// How many labels there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// What it took.
    pub cost: Cost,
}

/// What one rule makes of alarms and labels, or all of them.
#[derive(Default)]
struct Lane {
    alarms: Vec<(Alarm, bool)>,
    /// Of each label that the rule is about, by its place: how long it took until the first alarm, if there was one.
    labels: HashMap<usize, Option<i64>>,
    /// The assets that it is about and that said something.
    heard: HashSet<u32>,
}

pub(super) fn report(tally: &Tally, labels: Option<&Labels>, base_rate: Option<f64>, cost: Cost) -> Report {
    let mut of_rule: HashMap<u32, Vec<Alarm>> = HashMap::new();
    for alarm in tally.alarms() {
        of_rule.entry(alarm.rule).or_default().push(*alarm);
    }
    let mut all = Lane::default();
    let mut rules = Vec::new();
    for (place, rule) in (0..).zip(tally.rules()) {
        let lane = lane(tally, rule, of_rule.remove(&place).unwrap_or_default(), labels);
        all.heard.extend(&lane.heard);
        for (label, delay) in &lane.labels {
            let first = all.labels.entry(*label).or_default();
            *first = [*first, *delay].into_iter().flatten().min();
        }
        all.alarms.extend(&lane.alarms);
        rules.push(figures(tally, Some(rule), &lane, labels, base_rate));
    }
    Report { rules, all: figures(tally, None, &all, labels, base_rate), labels: labels.map(Labels::len), cost }
}

fn lane(tally: &Tally, rule: &Rule, alarms: Vec<Alarm>, labels: Option<&Labels>) -> Lane {
    let about = (0..).zip(tally.assets()).filter(|(_, asset)| matches(&rule.assets, asset.id.as_str()));
    let heard = about.map(|(place, _)| place).collect();
    let Some(labels) = labels else {
        return Lane {
            alarms: alarms.into_iter().map(|alarm| (alarm, false)).collect(),
            labels: HashMap::new(),
            heard,
        };
    };
    let mut of_asset: HashMap<u32, Vec<Alarm>> = HashMap::new();
    for alarm in &alarms {
        of_asset.entry(alarm.asset).or_default().push(*alarm);
    }
    let is_about = |label: &Label| label.rule.as_ref().is_none_or(|named| *named == rule.id);
    let by_asset = labels.by_asset();
    let mut lane = Lane { alarms: Vec::with_capacity(alarms.len()), labels: HashMap::new(), heard };
    for (place, asset) in (0..).zip(tally.assets()) {
        let alarms = of_asset.remove(&place).unwrap_or_default();
        let places = by_asset.get(&asset.id).cloned().unwrap_or_default();
        let about: Vec<(usize, &Label)> =
            places.map(|place| (place, &labels.all()[place])).filter(|(_, label)| is_about(label)).collect();
        if lane.heard.contains(&place) {
            lane.labels.extend(about.iter().map(|(place, label)| (*place, delay(label, &alarms))));
        }
        // Until when a label of this asset lasts that begins no later than each one.
        let lasts: Vec<Timestamp> = about
            .iter()
            .scan(Timestamp::MIN, |last, (_, label)| {
                *last = (*last).max(label.to);
                Some(*last)
            })
            .collect();
        let is_true = |alarm: &Alarm| {
            let begun = about.partition_point(|(_, label)| label.from <= end(alarm));
            begun.checked_sub(1).is_some_and(|last| lasts[last] > alarm.raised)
        };
        lane.alarms.extend(alarms.iter().map(|alarm| (*alarm, is_true(alarm))));
    }
    lane
}

/// What is not over goes on.
fn end(alarm: &Alarm) -> Timestamp {
    alarm.returned.unwrap_or(Timestamp::MAX)
}

/// From the beginning of `label` to the first of `alarms` that is so during it.
fn delay(label: &Label, alarms: &[Alarm]) -> Option<i64> {
    let during = alarms.iter().filter(|alarm| end(alarm) >= label.from && alarm.raised < label.to);
    let first = during.map(|alarm| alarm.raised).min()?;
    Some(first.nanos().saturating_sub(label.from.nanos()).max(0))
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn figures(
    tally: &Tally,
    rule: Option<&Rule>,
    lane: &Lane,
    labels: Option<&Labels>,
    base_rate: Option<f64>,
) -> Figures {
    let hours: u64 = lane.heard.iter().map(|asset| tally.assets()[*asset as usize].hours).sum();
    let asset_days = hours as f64 / HOURS_PER_DAY;
    let per_1000_days = |alarms: usize| (asset_days > 0.0).then(|| alarms as f64 * 1_000.0 / asset_days);
    let assets: HashSet<u32> = lane.alarms.iter().map(|(alarm, _)| alarm.asset).collect();
    let scores = labels.map(|labels| {
        let true_alarms = lane.alarms.iter().filter(|(_, is_true)| *is_true).count();
        let false_alarms = lane.alarms.len() - true_alarms;
        let mut delays: Vec<i64> = lane.labels.values().copied().flatten().collect();
        delays.sort_unstable();
        let secs = |nanos: i64| nanos as f64 / NANOS_PER_SEC;
        let median = (!delays.is_empty()).then(|| {
            let (low, high) = (delays[(delays.len() - 1) / 2], delays[delays.len() / 2]);
            secs(low).midpoint(secs(high))
        });
        Scores {
            true_alarms,
            false_alarms,
            found: delays.len(),
            missed: lane.labels.len() - delays.len(),
            precision: share(true_alarms, lane.alarms.len()),
            recall: share(delays.len(), lane.labels.len()),
            delay_secs_median: median,
            delay_secs_max: delays.last().map(|longest| secs(*longest)),
            false_alarms_per_1000_asset_days: per_1000_days(false_alarms),
            at_base_rate: base_rate.map(|base_rate| at_base_rate(tally, lane, labels, base_rate)),
        }
    });
    Figures {
        rule: rule.map(|rule| rule.id.clone()),
        version: rule.map(|rule| rule.version),
        alarms: lane.alarms.len(),
        active: lane.alarms.iter().filter(|(alarm, _)| alarm.returned.is_none()).count(),
        assets: assets.len(),
        assets_heard: lane.heard.len(),
        asset_days,
        alarms_per_1000_asset_days: per_1000_days(lane.alarms.len()),
        scores,
    }
}

fn at_base_rate(tally: &Tally, lane: &Lane, labels: &Labels, base_rate: f64) -> AtBaseRate {
    let labelled: HashSet<_> = lane.labels.keys().map(|place| &labels.all()[*place].asset).collect();
    let is_labelled = |asset: &u32| labelled.contains(&tally.assets()[*asset as usize].id);
    let of = |is_true: bool| {
        let alarms = lane.alarms.iter().filter(|(_, was_true)| *was_true == is_true);
        alarms.map(|(alarm, _)| alarm.asset).collect::<HashSet<u32>>()
    };
    let raised_without = of(false).into_iter().filter(|asset| !is_labelled(asset)).count();
    let with = lane.heard.iter().filter(|asset| is_labelled(asset)).count();
    let true_positive_rate = share(of(true).len(), with);
    let false_positive_rate = share(raised_without, lane.heard.len() - with);
    let precision = true_positive_rate.zip(false_positive_rate).and_then(|(hits, errors)| {
        let (true_ones, false_ones) = (base_rate * hits, (1.0 - base_rate) * errors);
        (true_ones + false_ones > 0.0).then(|| true_ones / (true_ones + false_ones))
    });
    AtBaseRate { base_rate, true_positive_rate, false_positive_rate, precision }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use diagnosis::{Event, What};
    use model::AssetId;

    use super::*;

    const NONE: Cost = Cost {
        rows: 0,
        late: 0,
        too_late: 0,
        rule_rows: 0,
        rules_cpu_secs: 0.0,
        reading_cpu_secs: 0.0,
        rule_rows_per_cpu_sec: None,
        state_bytes: 0,
    };

    fn rule(id: &str) -> Arc<Rule> {
        let text = format!(
            "[[rule]]\nid = '{id}'\nversion = 1\nprofile = 'vehicle'\npriority = 'high'\ntitle = {{ zh = '一', en = 'a' }}\n\
             advice = {{ zh = '一', en = 'a' }}\nrationale = {{ zh = '一', en = 'a' }}\nsource = 'a test'\nwhen = 'vehicle_soc < 10'"
        );
        Arc::new(diagnosis::read("a test", &text).unwrap().remove(0).unwrap())
    }

    fn asset(name: &str) -> AssetId {
        format!("vehicle/{name}").parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    /// A tally of vehicles A to D, each heard for a day, with these alarms.
    fn tally(alarms: &[(&str, &str, i64, Option<i64>)]) -> Tally {
        let rules = [rule("one"), rule("two")];
        let mut tally = Tally::new(rules.to_vec());
        for name in ["A", "B", "C", "D"] {
            let place = tally.asset(&asset(name));
            tally.heard_for(place, 24);
        }
        for (name, id, raised, returned) in alarms {
            let rule = rules.iter().find(|rule| rule.id == *id).unwrap();
            for (what, time) in [(What::Raised, Some(*raised)), (What::Returned, *returned)] {
                let Some(time) = time else { continue };
                let (asset, rule) = (asset(name), Arc::clone(rule));
                tally.take(&Event { asset, rule, time: at(time), raised: at(*raised), what, shows: Vec::new() });
            }
        }
        tally
    }

    fn labels(labels: &[(&str, i64, i64, Option<&str>)]) -> Labels {
        let label = |(name, from, to, rule): &(&str, i64, i64, Option<&str>)| Label {
            asset: asset(name),
            from: at(*from),
            to: at(*to),
            rule: rule.map(str::to_owned),
            line: 1,
        };
        let assets = ["A", "B", "C", "D"].map(asset);
        Labels::new(labels.iter().map(label).collect(), assets.iter(), ["one", "two"].into_iter()).unwrap()
    }

    #[test]
    fn an_alarm_is_true_when_it_is_so_during_a_label_of_its_asset() {
        let tally = tally(&[
            ("A", "one", 0, Some(5)),     // before
            ("A", "one", 8, Some(10)),    // until it begins
            ("A", "one", 50, Some(60)),   // during the longer of two
            ("A", "one", 100, Some(110)), // it is over
            ("B", "one", 5, None),        // goes on
            ("C", "one", 10, Some(20)),   // of whom nobody says anything
        ]);
        let labels = labels(&[
            ("A", 10, 100, None),
            ("A", 20, 30, Some("one")),
            ("B", 100, 110, None),
            ("D", 0, 9, Some("two")),
        ]);
        let report = report(&tally, Some(&labels), Some(0.01), NONE);
        let one = &report.rules[0];
        assert_eq!((one.alarms, one.active, one.assets, one.assets_heard, one.asset_days), (6, 1, 3, 4, 4.0));
        let scores = one.scores.as_ref().unwrap();
        assert_eq!((scores.true_alarms, scores.false_alarms, scores.precision), (3, 3, Some(0.5)));
        assert_eq!((scores.found, scores.missed), (2, 1), "the shorter one of A was missed, that of D is not its own");
        assert_eq!((scores.delay_secs_median, scores.delay_secs_max), (Some(0.0), Some(0.0)));
        assert_eq!(scores.false_alarms_per_1000_asset_days, Some(750.0));
        let rates = scores.at_base_rate.as_ref().unwrap();
        assert_eq!((rates.true_positive_rate, rates.false_positive_rate), (Some(1.0), Some(0.5)));
        assert!((rates.precision.unwrap() - 0.01 / (0.01 + 0.99 * 0.5)).abs() < 1e-12);
        let two = report.rules[1].scores.as_ref().unwrap();
        assert_eq!((two.true_alarms, two.found, two.missed, two.precision, two.recall), (0, 0, 3, None, Some(0.0)));
        let all = report.all.scores.as_ref().unwrap();
        assert_eq!((all.found, all.missed, report.labels), (2, 2, Some(4)));
    }

    #[test]
    fn the_delay_is_from_the_beginning_of_a_label_to_the_first_alarm() {
        let tally = tally(&[
            ("A", "one", 13, Some(14)),
            ("A", "one", 15, Some(16)),
            ("B", "one", 25, Some(26)),
            ("C", "one", 17, None),
            ("A", "two", 11, Some(12)),
        ]);
        let labels = labels(&[("A", 10, 20, None), ("B", 20, 30, None), ("C", 10, 20, None)]);
        let report = report(&tally, Some(&labels), None, NONE);
        let scores = |figures: &Figures| {
            let scores = figures.scores.clone().unwrap();
            (scores.delay_secs_median, scores.delay_secs_max)
        };
        assert_eq!(scores(&report.rules[0]), (Some(5.0), Some(7.0)));
        assert_eq!(scores(&report.all), (Some(5.0), Some(7.0)), "the second rule was earlier with one of three");
        assert!(report.all.scores.unwrap().at_base_rate.is_none());
    }

    #[test]
    fn labels_of_nobody_are_mistakes() {
        let label = |name: &str, from: i64, to: i64, rule: Option<&str>, line| Label {
            asset: asset(name),
            from: at(from),
            to: at(to),
            rule: rule.map(str::to_owned),
            line,
        };
        let wrong = vec![label("X", 0, 1, None, 2), label("A", 1, 1, None, 3), label("A", 0, 1, Some("three"), 4)];
        let assets = [asset("A")];
        let mistakes = Labels::new(wrong, assets.iter(), ["one"].into_iter()).unwrap_err();
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "line 2: asset: there are no rows of `vehicle/X` that the rules are about");
        assert_eq!(told[1], "line 3: to: expected a time after 1970-01-01T00:00:01Z, got 1970-01-01T00:00:01Z");
        assert_eq!(told[2], "line 4: rule: there is no rule `three` among those that run");
    }
}
