//! The rules about one profile, run over its rows. Rules about the same assets share their steps; a rule about few assets costs
//! nothing where others speak. Must not know how steps are computed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{AssetId, Profile, Rows, SignalIndex, Timestamp, matches};

use crate::clock::Clock;
use crate::engine::{Event, What};
use crate::evaluate::{evaluate, truths};
use crate::heard::{Heard, Turn};
use crate::input::{Arrivals, AssetNumber, Handed, Input, Received};
use crate::made::{Made, Phase, made};
use crate::remembered::Memories;
use crate::rule::{Rule, RuleError};
use crate::silence::Silence;
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
    /// What is known from the rows that come on time.
    pub(crate) first: Known,
    /// What is known from those that are read a second time.
    pub(crate) second: Known,
}

/// What is known of assets.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) memories: Memories,
    /// Of each rule, for which asset something is not as it should be.
    pub(crate) phases: Vec<HashMap<AssetNumber, Phase>>,
}

/// Whether an alarm is known: of which rule, by its place as well, of which asset, at which place among the rows.
type IsKnownOf<'k> = dyn Fn(usize, &Arc<Rule>, AssetNumber, usize) -> bool + 'k;

/// Rows by whose turn it is; both rise.
#[derive(Default)]
struct Turns {
    on_time: Vec<usize>,
    late: Vec<usize>,
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
            [group.first, group.second] = before.known(&group.pattern, &group.steps, &group.made, profile);
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
        let known = self.groups.iter().flat_map(|group| [(group, &group.first), (group, &group.second)]);
        known.flat_map(|(group, known)| group.made.iter().zip(&known.phases))
    }

    pub(crate) fn state(&self) -> Remembered {
        Remembered::new(&self.profile, &self.heard, &self.groups)
    }

    pub(crate) fn hear(&mut self, rows: &Rows, received: Received<'_>, clock: &Clock) -> Vec<Event> {
        let assets = match rows {
            Rows::Frames(frames) => &frames.assets,
            Rows::Changes(changes) => &changes.assets,
        };
        let numbers: Vec<AssetNumber> = assets.iter().map(|asset| self.heard.number_of(asset)).collect();
        self.know_groups();
        let profile = Arc::clone(&self.profile);
        let handed = Handed { profile: &profile, rows, received, numbers };
        let (input, arrivals) = handed.input(&self.signals, &mut self.heard);
        let mut turns: BTreeMap<u32, Turns> = BTreeMap::new();
        for (row, asset) in input.assets.iter().enumerate() {
            for group in &self.of_assets[*asset as usize] {
                let turns = turns.entry(*group).or_default();
                match arrivals.turns[row] {
                    Turn::OnTime => turns.on_time.push(row),
                    Turn::Late | Turn::LateAnew(_) => turns.late.push(row),
                    Turn::TooLate => {}
                }
            }
        }
        let mut events: Vec<(usize, Event)> = Vec::new();
        for (place, turns) in turns {
            self.groups[place as usize].hear((&input, &arrivals), &turns, (&self.heard.names, clock), &mut events);
        }
        events.sort_by_key(|(place, _)| *place);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Tells what is so by now without anything being said.
    pub(crate) fn advance(&mut self, clock: &Clock) -> Vec<Event> {
        let Some(now) = clock.now() else { return Vec::new() };
        self.know_groups();
        let (mut events, names) = (Vec::new(), &self.heard.names);
        for group in &mut self.groups {
            for (made, phases) in group.made.iter().zip(&mut group.first.phases) {
                if let Some(silence) = made.rule.silent {
                    events.extend(Silence::new(&made.rule, silence, names, clock).told(phases));
                }
            }
        }
        for (asset, until) in self.heard.end_readings(now) {
            for group in &self.of_assets[asset as usize] {
                let ended = self.groups[*group as usize].end_reading(asset, until, &self.heard.names);
                events.extend(ended);
            }
        }
        events
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
        let (steps, made, first, second) = Default::default();
        Self { pattern: pattern.to_owned(), steps, made, first, second }
    }

    fn hear(
        &mut self,
        (input, arrivals): (&Input<'_>, &Arrivals),
        turns: &Turns,
        (names, clock): (&[AssetId], &Clock),
        events: &mut Vec<(usize, Event)>,
    ) {
        let were_active = if turns.late.is_empty() { Vec::new() } else { self.active(input, &turns.late) };
        let only;
        let on_time = if turns.on_time.len() == input.len() {
            input
        } else {
            only = input.only(&turns.on_time);
            &only
        };
        let begin = events.len();
        let outcomes = evaluate(&self.steps, on_time, &mut self.first.memories);
        for (made, phases) in self.made.iter().zip(&mut self.first.phases) {
            if let Some(silence) = made.rule.silent {
                let (silence, when) = (Silence::new(&made.rule, silence, names, clock), truths(&outcomes, made.when));
                silence.heard((input, arrivals), &turns.on_time, when, phases, events);
            } else {
                made.take(on_time, &outcomes, phases, names, events);
            }
        }
        if turns.late.is_empty() {
            return;
        }
        let told = &events[begin..];
        let known = |made: usize, rule: &Arc<Rule>, asset: AssetNumber, place: usize| {
            let is_it = |event: &Event| Arc::ptr_eq(&event.rule, rule) && event.asset == names[asset as usize];
            let last = told.iter().rev().find(|(at, event)| *at < place && is_it(event));
            last.map_or_else(|| were_active[made].contains(&asset), |(_, last)| last.what != What::Returned)
        };
        let late = self.read_again((input, arrivals), &turns.late, names, &known);
        events.extend(late);
    }

    /// Of each rule, which of the assets of some rows have its alarm.
    fn active(&self, input: &Input<'_>, rows: &[usize]) -> Vec<BTreeSet<AssetNumber>> {
        let is_active = |phases: &HashMap<AssetNumber, Phase>, asset: &AssetNumber| {
            matches!(phases.get(asset), Some(Phase::Active { .. }))
        };
        let active = |phases: &HashMap<AssetNumber, Phase>| {
            rows.iter().map(|row| input.assets[*row]).filter(|asset| is_active(phases, asset)).collect()
        };
        self.first.phases.iter().map(active).collect()
    }

    /// Reads what came late a second time, and tells what is not `known`.
    fn read_again(
        &mut self,
        (input, arrivals): (&Input<'_>, &Arrivals),
        late: &[usize],
        names: &[AssetId],
        known: &IsKnownOf<'_>,
    ) -> Vec<(usize, Event)> {
        let mut events = Vec::new();
        let mut rows = late.to_vec();
        rows.sort_by_key(|row| input.places[*row]);
        let begins = |_: &usize, row: &usize| !matches!(arrivals.turns[*row], Turn::LateAnew(_));
        for together in rows.chunk_by(begins) {
            if let Turn::LateAnew(until) = arrivals.turns[together[0]] {
                let place = input.places[together[0]];
                let ended = self.end_reading(input.assets[together[0]], until, names);
                events.extend(ended.into_iter().map(|event| (place, event)));
            }
            let mut rising = together.to_vec();
            rising.sort_unstable();
            let input = input.only(&rising);
            let Known { memories, phases } = &mut self.second;
            let outcomes = evaluate(&self.steps, &input, memories);
            for (place, (made, phases)) in self.made.iter().zip(phases).enumerate() {
                if made.rule.silent.is_none() {
                    let is_known = |asset: AssetNumber, row: usize| known(place, &made.rule, asset, row);
                    made.take_late(&input, &outcomes, (phases, &is_known), names, &mut events);
                }
            }
        }
        events
    }

    /// Forgets what was read a second time of `asset`, until then, and ends what was raised there.
    fn end_reading(&mut self, asset: AssetNumber, until: Timestamp, names: &[AssetId]) -> Vec<Event> {
        let Known { memories, phases } = &mut self.second;
        memories.forget(asset);
        let ended = self.made.iter().zip(phases).filter_map(|(made, phases)| match phases.remove(&asset)? {
            Phase::Active { raised, is_suppressed: false, .. } => {
                Some(made.returned(&names[asset as usize], raised, until))
            }
            _ => None,
        });
        ended.collect()
    }
}
