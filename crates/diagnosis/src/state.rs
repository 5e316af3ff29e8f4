//! Where an engine is, so that another one can go on there: after a restart, with other rules, or with a profile that has got
//! further signals. Signals, steps and rules go by what they are, not by where they stand.

use std::collections::{BTreeMap, HashMap};

use model::{AssetId, Profile, SignalIndex, Timestamp};
use serde::{Deserialize, Serialize};

use crate::asset_text;
use crate::clock::Clock;
use crate::heard::{Heard, Reading};
use crate::input::{AssetNumber, Last};
use crate::made::{Made, Phase};
use crate::memory::Memory;
use crate::native::Natives;
use crate::remembered::Memories;
use crate::rule::Rule;
use crate::steps::{Step, Steps};
use crate::watch::{Group, Known};

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    pub(crate) profiles: BTreeMap<String, Remembered>,
    pub(crate) natives: BTreeMap<String, Natives>,
    pub(crate) clock: Clock,
}

/// What is remembered of one profile. Assets go by their places in `assets`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Remembered {
    assets: Vec<Asset>,
    /// What each signal said last, of rows that say only what changes.
    last: BTreeMap<String, Vec<(AssetNumber, Last)>>,
    readings: Vec<(AssetNumber, KeptReading)>,
    first: KeptKnown,
    second: KeptKnown,
    late: u64,
    too_late: u64,
}

/// A [`Reading`]; times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptReading {
    newest: i64,
    received: i64,
    last: BTreeMap<String, Last>,
}

/// What is [`Known`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct KeptKnown {
    /// What steps remember, by the assets that their rules are about, since siblings are among these, and by their meaning.
    steps: BTreeMap<String, Vec<(AssetNumber, Memory)>>,
    rules: BTreeMap<String, OfRule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Asset {
    #[serde(with = "asset_text")]
    id: AssetId,
    /// The newest source time, in nanoseconds.
    newest: i64,
}

/// What a rule knew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OfRule {
    /// What the rule was: with another one nothing is known.
    condition: String,
    phases: Vec<(AssetNumber, Kept)>,
}

/// A [`Phase`]; times are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Kept {
    Pending(i64),
    /// Since when, over since when, and whether it is suppressed.
    Active(i64, Option<i64>, bool),
}

/// What a rule says of when it is so.
fn condition(rule: &Rule) -> String {
    let clear = rule.clear.as_ref().map_or("", |clear| &clear.text);
    let delays = (rule.on_delay, rule.off_delay);
    let lets: Vec<_> = rule.lets.iter().map(|(name, written)| (name, &written.text)).collect();
    let (version, assets, when, profile, silent) =
        (rule.version, &rule.assets, &rule.when.text, &rule.profile, rule.silent);
    format!("{version} {assets:?} {when:?} {clear:?} {delays:?} {profile:?} {lets:?} {silent:?}")
}

/// What the memory of a step is called.
fn kept_as(pattern: &str, steps: &Steps, step: usize, profile: &Profile) -> String {
    format!("{pattern} {}", steps.meaning(step as Step, profile))
}

impl KeptKnown {
    /// What is known to `groups` from one of their readings.
    fn new(profile: &Profile, groups: &[Group], known: impl Fn(&Group) -> &Known) -> Self {
        let mut steps: BTreeMap<String, Vec<(AssetNumber, Memory)>> = BTreeMap::new();
        for group in groups {
            let remembering = group.steps.ops().iter().enumerate().filter(|(_, op)| op.has_memory());
            for (step, _) in remembering {
                let remembered = known(group).memories.of_step(step);
                let remembered = remembered.map(|(asset, memory)| (asset, memory.clone()));
                steps.insert(kept_as(&group.pattern, &group.steps, step, profile), remembered.collect());
            }
        }
        for remembered in steps.values_mut() {
            remembered.sort_by_key(|(asset, _)| *asset);
        }
        let phases =
            groups.iter().flat_map(|group| group.made.iter().map(|made| &*made.rule).zip(&known(group).phases));
        let of_rule = |(rule, phases): (&Rule, &HashMap<AssetNumber, Phase>)| {
            let kept = |(asset, phase): (&AssetNumber, &Phase)| {
                let phase = match phase {
                    Phase::Pending(since) => Kept::Pending(since.nanos()),
                    Phase::Active { raised, over, is_suppressed } => {
                        Kept::Active(raised.nanos(), over.map(Timestamp::nanos), *is_suppressed)
                    }
                };
                (*asset, phase)
            };
            let mut phases: Vec<_> = phases.iter().map(kept).collect();
            phases.sort_by_key(|(asset, _)| *asset);
            (rule.id.clone(), OfRule { condition: condition(rule), phases })
        };
        Self { steps, rules: phases.map(of_rule).collect() }
    }

    fn memories(&self, pattern: &str, steps: &Steps, profile: &Profile) -> Memories {
        let mut memories = Memories::of(steps);
        for (step, op) in steps.ops().iter().enumerate() {
            if !op.has_memory() {
                continue;
            }
            for (asset, memory) in self.steps.get(&kept_as(pattern, steps, step, profile)).into_iter().flatten() {
                memories.set(*asset, step, memory.clone());
            }
        }
        memories
    }

    fn phases(&self, rule: &Rule) -> HashMap<AssetNumber, Phase> {
        let known = self.rules.get(&rule.id).filter(|known| known.condition == condition(rule));
        let time = Timestamp::from_nanos;
        let phase = |(asset, kept): &(AssetNumber, Kept)| {
            let phase = match kept {
                Kept::Pending(since) => Phase::Pending(time(*since)),
                Kept::Active(raised, over, is_suppressed) => {
                    Phase::Active { raised: time(*raised), over: over.map(time), is_suppressed: *is_suppressed }
                }
            };
            (*asset, phase)
        };
        known.into_iter().flat_map(|known| &known.phases).map(phase).collect()
    }
}

impl Remembered {
    /// What is to be remembered.
    pub(crate) fn new(profile: &Profile, heard: &Heard, groups: &[Group]) -> Self {
        let asset = |(id, newest): (&AssetId, &Timestamp)| Asset { id: id.clone(), newest: newest.nanos() };
        let name = |signal: SignalIndex| profile.signal(signal).id.to_string();
        let mut last: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for ((asset, signal), said) in &heard.last {
            last.entry(name(*signal)).or_default().push((*asset, said.clone()));
        }
        for said in last.values_mut() {
            said.sort_by_key(|(asset, _)| *asset);
        }
        let reading = |(asset, reading): (&AssetNumber, &Reading)| {
            let last = reading.last.iter().map(|(signal, said)| (name(*signal), said.clone())).collect();
            (*asset, KeptReading { newest: reading.newest.nanos(), received: reading.received.nanos(), last })
        };
        Self {
            assets: heard.names.iter().zip(&heard.newest).map(asset).collect(),
            last,
            readings: heard.readings.iter().map(reading).collect(),
            first: KeptKnown::new(profile, groups, |group| &group.first),
            second: KeptKnown::new(profile, groups, |group| &group.second),
            late: heard.late,
            too_late: heard.too_late,
        }
    }

    /// The assets, by their numbers.
    pub(crate) fn names(&self) -> Vec<AssetId> {
        self.assets.iter().map(|asset| asset.id.clone()).collect()
    }

    /// What was heard, of the signals that `profile` has.
    pub(crate) fn heard(&self, profile: &Profile) -> Heard {
        let mut heard = Heard::default();
        for asset in &self.assets {
            let number = heard.number_of(&asset.id);
            heard.newest[number as usize] = Timestamp::from_nanos(asset.newest);
        }
        let known: HashMap<&str, SignalIndex> =
            (0..).zip(profile.signals()).map(|(place, signal)| (&*signal.id, place)).collect();
        for (signal, said) in &self.last {
            let Some(signal) = known.get(signal.as_str()) else { continue };
            heard.last.extend(said.iter().map(|(asset, said)| ((*asset, *signal), said.clone())));
        }
        for (asset, kept) in &self.readings {
            let last = kept.last.iter().filter_map(|(signal, said)| Some((*known.get(&**signal)?, said.clone())));
            let [newest, received] = [kept.newest, kept.received].map(Timestamp::from_nanos);
            heard.readings.insert(*asset, Reading { newest, received, last: last.collect() });
        }
        (heard.late, heard.too_late) = (self.late, self.too_late);
        heard
    }

    /// What is known to rules that are `made` of `steps` and about the assets `pattern`.
    pub(crate) fn known(&self, pattern: &str, steps: &Steps, made: &[Made], profile: &Profile) -> [Known; 2] {
        let known = |known: &KeptKnown| Known {
            memories: known.memories(pattern, steps, profile),
            phases: made.iter().map(|made| known.phases(&made.rule)).collect(),
        };
        [known(&self.first), known(&self.second)]
    }

    /// How far `rule` had come, in what was read once and in what was read a second time.
    pub(crate) fn phases(&self, rule: &Rule) -> [HashMap<AssetNumber, Phase>; 2] {
        [self.first.phases(rule), self.second.phases(rule)]
    }
}
