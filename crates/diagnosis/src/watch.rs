//! The rules about one profile, run over its rows. Rules about the same assets share their steps; a rule about few assets costs
//! nothing where others speak. Must not know how steps are computed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use model::{AssetId, Profile, Rows, SignalIndex, Timestamp, matches};

use crate::engine::Event;
use crate::evaluate::evaluate;
use crate::input::{AssetNumber, Handed, Input, Last};
use crate::made::{Made, Phase, made};
use crate::remembered::Memories;
use crate::rule::{Rule, RuleError};
use crate::state::Remembered;
use crate::steps::{Op, Steps};

/// See the module.
pub(crate) struct Watched {
    pub(crate) profile: Arc<Profile>,
    signals: Vec<SignalIndex>,
    groups: Vec<Group>,
    /// Groups about one asset.
    by_name: HashMap<String, u32>,
    /// Groups about assets whose names are alike.
    by_pattern: Vec<u32>,
    /// Of each asset the groups about it.
    of_assets: Vec<Box<[u32]>>,
    pub(crate) heard: Heard,
}

/// Rules about the same assets.
pub(crate) struct Group {
    pub(crate) pattern: String,
    pub(crate) steps: Steps,
    pub(crate) made: Vec<Made>,
    pub(crate) memories: Memories,
    /// Of each rule, for which asset something is not as it should be.
    pub(crate) phases: Vec<HashMap<AssetNumber, Phase>>,
}

/// What was heard of the assets of one profile, whatever the rules are.
#[derive(Default)]
pub(crate) struct Heard {
    assets: HashMap<AssetId, AssetNumber, FixedState>,
    pub(crate) names: Vec<AssetId>,
    pub(crate) newest: Vec<Timestamp>,
    pub(crate) last: HashMap<(AssetNumber, SignalIndex), Last>,
    pub(crate) late: u64,
}

impl Watched {
    /// The rules of `profile`, which know what was remembered `before`.
    pub(crate) fn new(
        rules: &[Arc<Rule>],
        profile: &Arc<Profile>,
        before: &Remembered,
        problems: &mut Vec<RuleError>,
    ) -> Self {
        problems.retain(|problem| !rules.iter().any(|rule| problem.rule.as_ref() == Some(&rule.id)));
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for rule in rules {
            let place = *places.entry(&rule.assets).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Group::new(&rule.assets));
            }
            match made(rule, profile, &mut groups[place].steps) {
                Ok(made) => groups[place].made.extend(made),
                Err(problem) => problems.push(problem),
            }
        }
        let (mut by_name, mut by_pattern) = (HashMap::new(), Vec::new());
        for (place, group) in (0..).zip(&mut groups) {
            group.memories = before.memories(&group.pattern, &group.steps, profile);
            group.phases = group.made.iter().map(|made| before.phases(&made.rule)).collect();
            if group.pattern.contains('*') {
                by_pattern.push(place);
            } else {
                by_name.insert(group.pattern.clone(), place);
            }
        }
        let signal = |op: &Op| match op {
            Op::Signal(signal) | Op::Word(signal) | Op::Elements(signal) | Op::IsOneOf { signal, .. } => Some(*signal),
            _ => None,
        };
        let ops = groups.iter().flat_map(|group| group.steps.ops());
        let mut signals: Vec<SignalIndex> = ops.filter_map(signal).collect();
        signals.sort_unstable();
        signals.dedup();
        let (heard, of_assets) = (before.heard(profile), Vec::new());
        Self { profile: Arc::clone(profile), signals, groups, by_name, by_pattern, of_assets, heard }
    }

    /// Whether no rule fits.
    pub(crate) fn is_idle(&self) -> bool {
        self.groups.iter().all(|group| group.made.is_empty())
    }

    /// The same under `profile`, which has the same signals.
    pub(crate) fn with_profile(self, profile: &Arc<Profile>) -> Self {
        Self { profile: Arc::clone(profile), ..self }
    }

    /// Its rules, each with how far it has come.
    pub(crate) fn phases(&self) -> impl Iterator<Item = (&Made, &HashMap<AssetNumber, Phase>)> {
        self.groups.iter().flat_map(|group| group.made.iter().zip(&group.phases))
    }

    pub(crate) fn state(&self) -> Remembered {
        Remembered::new(&self.profile, &self.heard, &self.groups)
    }

    pub(crate) fn hear(&mut self, rows: &Rows, received: Option<&[Timestamp]>) -> Vec<Event> {
        let assets = match rows {
            Rows::Frames(frames) => &frames.assets,
            Rows::Changes(changes) => &changes.assets,
        };
        let numbers: Vec<AssetNumber> = assets.iter().map(|asset| self.heard.number_of(asset)).collect();
        self.know_groups();
        let profile = Arc::clone(&self.profile);
        let handed = Handed { profile: &profile, rows, received, numbers };
        let input = handed.input(&self.signals, &mut self.heard);
        self.heard.late += input.late.iter().filter(|late| **late).count() as u64;
        let mut rows_of: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (row, asset) in input.assets.iter().enumerate() {
            for group in &self.of_assets[*asset as usize] {
                rows_of.entry(*group).or_default().push(row);
            }
        }
        let mut events: Vec<(usize, Event)> = Vec::new();
        for (place, rows) in rows_of {
            let group = &mut self.groups[place as usize];
            if rows.len() == input.len() {
                group.hear(&input, &self.heard.names, &mut events);
            } else {
                group.hear(&input.only(&rows), &self.heard.names, &mut events);
            }
        }
        events.sort_by_key(|(place, _)| *place);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Finds the groups about assets that were not heard of before.
    fn know_groups(&mut self) {
        for name in &self.heard.names[self.of_assets.len()..] {
            let alike =
                self.by_pattern.iter().filter(|group| matches(&self.groups[**group as usize].pattern, name.as_str()));
            let mut groups: Vec<u32> = alike.chain(self.by_name.get(name.as_str())).copied().collect();
            groups.sort_unstable();
            self.of_assets.push(groups.into());
        }
    }
}

impl Group {
    fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
            steps: Steps::default(),
            made: Vec::new(),
            memories: Memories::default(),
            phases: Vec::new(),
        }
    }

    fn hear(&mut self, input: &Input<'_>, names: &[AssetId], events: &mut Vec<(usize, Event)>) {
        let outcomes = evaluate(&self.steps, input, &mut self.memories);
        for (made, phases) in self.made.iter().zip(&mut self.phases) {
            made.take(input, &outcomes, phases, names, events);
        }
    }
}

impl Heard {
    pub(crate) fn number_of(&mut self, asset: &AssetId) -> AssetNumber {
        if let Some(number) = self.assets.get(asset) {
            return *number;
        }
        let number = self.names.len() as AssetNumber;
        self.assets.insert(asset.clone(), number);
        self.names.push(asset.clone());
        self.newest.push(Timestamp::MIN);
        number
    }
}
