//! Runs rules over rows as they come in, and says when something begins and when it is over. The same rows, received at the same
//! times, give the same events, however they are handed over: nothing here asks a clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{AssetId, Batch, Profile, Rows, SignalIndex, Timestamp, matches};

use crate::evaluate::{Memories, Outcomes, evaluate};
use crate::expression::{condition, number};
use crate::input::{AssetNumber, Handed, Input, Last};
use crate::rule::{Rule, RuleError, Written};
use crate::steps::{Op, Step, Steps};

/// What a rule says of an asset at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Of whom.
    pub asset: AssetId,
    /// By which rule.
    pub rule: Arc<Rule>,
    /// At which source time.
    pub time: Timestamp,
    /// What happened.
    pub what: What,
    /// The values that the rule shows, with their units.
    pub shows: Vec<Shown>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is so from now on.
    Raised,
    /// It is over.
    Returned,
}

/// A value that an alarm shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its name in the rule.
    pub name: String,
    /// NaN where there is none.
    pub value: f64,
    /// The UCUM unit.
    pub unit: String,
}

/// How far a rule has come with an asset. Where nothing is wrong, nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is so since then, but not for long enough.
    Pending(Timestamp),
    /// It is so; if it seems to be over, since then.
    Active(Option<Timestamp>),
}

/// See the module.
#[derive(Default)]
pub struct Engine {
    rules: BTreeMap<String, Vec<Arc<Rule>>>,
    profiles: HashMap<String, Watched>,
    problems: Vec<RuleError>,
}

/// The rules of one profile, made into steps.
struct Watched {
    profile: Arc<Profile>,
    steps: Steps,
    made: Vec<Made>,
    signals: Vec<SignalIndex>,
    memories: Memories,
    last: HashMap<(AssetNumber, SignalIndex), Last>,
    assets: HashMap<AssetId, AssetNumber>,
    names: Vec<AssetId>,
    newest: Vec<Timestamp>,
    /// Of each rule, for which asset something is not as it should be.
    phases: Vec<HashMap<AssetNumber, Phase>>,
    late: u64,
}

/// A rule whose expressions have become steps.
struct Made {
    rule: Arc<Rule>,
    when: Step,
    clear: Option<Step>,
    shows: Vec<(String, Step, String)>,
}

impl Engine {
    /// An engine that runs `rules`.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut engine = Self::default();
        for rule in rules {
            engine.rules.entry(rule.profile.clone()).or_default().push(Arc::new(rule));
        }
        engine
    }

    /// Rules that cannot run, since they do not fit the profile that they are about.
    pub fn problems(&self) -> &[RuleError] {
        &self.problems
    }

    /// Rows that came later than newer ones of their asset, and were not looked at.
    pub fn late(&self) -> u64 {
        self.profiles.values().map(|watched| watched.late).sum()
    }

    /// What the rules say of the rows of `batch`.
    pub fn take(&mut self, batch: &Batch) -> Vec<Event> {
        self.hear(&batch.profile, &batch.rows, None)
    }

    /// What the rules say of rows that came in before, each at its own of `received`: what they said then.
    ///
    /// # Panics
    /// When `received` does not speak of every row.
    pub fn replay(&mut self, profile: &Arc<Profile>, rows: &Rows, received: &[Timestamp]) -> Vec<Event> {
        let count = match rows {
            Rows::Frames(frames) => frames.len(),
            Rows::Changes(changes) => changes.len(),
        };
        assert_eq!(received.len(), count, "one time for each row");
        self.hear(profile, rows, Some(received))
    }

    fn hear(&mut self, profile: &Arc<Profile>, rows: &Rows, received: Option<&[Timestamp]>) -> Vec<Event> {
        let Some(rules) = self.rules.get(profile.id()) else { return Vec::new() };
        let is_current = |watched: &Watched| Arc::ptr_eq(&watched.profile, profile);
        if !self.profiles.get(profile.id()).is_some_and(is_current) {
            let watched = match self.profiles.remove(profile.id()) {
                Some(before) if before.profile.signals() == profile.signals() => {
                    Watched { profile: Arc::clone(profile), ..before }
                }
                before => Watched::new(rules, profile, before, &mut self.problems),
            };
            self.profiles.insert(profile.id().to_owned(), watched);
        }
        let watched = self.profiles.get_mut(profile.id());
        watched.map(|watched| watched.hear(rows, received)).unwrap_or_default()
    }
}

/// What is wrong with `rules`, as far as they are about `profile`.
pub fn check<'a>(rules: impl IntoIterator<Item = &'a Rule>, profile: &Profile) -> Vec<RuleError> {
    let mut steps = Steps::default();
    let about = rules.into_iter().filter(|rule| rule.profile == profile.id());
    about.filter_map(|rule| made(&Arc::new(rule.clone()), profile, &mut steps).err()).collect()
}

fn made(rule: &Arc<Rule>, profile: &Profile, steps: &mut Steps) -> Result<Made, RuleError> {
    let wrong = |written: &Written, name: &str, problem: String| RuleError {
        place: written.place.clone(),
        rule: Some(rule.id.clone()),
        problem: format!("{name}: {problem}"),
    };
    let mut of_rule = steps.clone();
    let when =
        condition(&rule.when.text, profile, &mut of_rule).map_err(|problem| wrong(&rule.when, "when", problem))?;
    let clear = match &rule.clear {
        Some(clear) => {
            let step = condition(&clear.text, profile, &mut of_rule);
            Some(step.map_err(|problem| wrong(clear, "clear", problem))?)
        }
        None => None,
    };
    let show = |(name, written): &(String, Written), steps: &mut Steps| {
        let shown = number(&written.text, profile, steps).map_err(|problem| wrong(written, name, problem))?;
        Ok((name.clone(), shown.0, shown.1.map(|unit| unit.to_string()).unwrap_or_default()))
    };
    let shows = rule.shows.iter().map(|shown| show(shown, &mut of_rule)).collect::<Result<_, RuleError>>()?;
    *steps = of_rule;
    Ok(Made { rule: Arc::clone(rule), when, clear, shows })
}

impl Watched {
    /// The rules of `profile`, which go on where they were `before`.
    fn new(rules: &[Arc<Rule>], profile: &Arc<Profile>, before: Option<Self>, problems: &mut Vec<RuleError>) -> Self {
        let mut steps = Steps::default();
        let mut all = Vec::new();
        problems.retain(|problem| !rules.iter().any(|rule| problem.rule.as_ref() == Some(&rule.id)));
        for rule in rules {
            match made(rule, profile, &mut steps) {
                Ok(made) => all.push(made),
                Err(problem) => problems.push(problem),
            }
        }
        let signal = |op: &Op| match op {
            Op::Signal(signal) | Op::IsOneOf { signal, .. } | Op::List { signal, .. } => Some(*signal),
            _ => None,
        };
        let signals = steps.ops().iter().filter_map(signal).collect();
        let memories = Memories::of(&steps);
        let mut watched = Self {
            profile: Arc::clone(profile),
            phases: all.iter().map(|_| HashMap::new()).collect(),
            steps,
            made: all,
            signals,
            memories,
            last: HashMap::new(),
            assets: HashMap::new(),
            names: Vec::new(),
            newest: Vec::new(),
            late: 0,
        };
        if let Some(before) = before {
            watched.go_on(before);
        }
        watched
    }

    /// Takes over what is known of assets. A profile only gets further signals, so that steps that were there are there again.
    fn go_on(&mut self, before: Self) {
        let place = |op: &Op, steps: &Steps| {
            let of_memory = steps.ops().iter().filter(|op| op.has_memory());
            of_memory.clone().position(|known| known == op)
        };
        let ours: Vec<Option<usize>> = self
            .steps
            .ops()
            .iter()
            .filter(|op| op.has_memory())
            .map(|op| if self.steps.starts_as(&before.steps) { place(op, &before.steps) } else { None })
            .collect();
        for asset in 0..before.names.len() as AssetNumber {
            let known = before.memories.of_asset(asset);
            let moved = ours.iter().map(|place| place.and_then(|place| known.get(place)).cloned().unwrap_or_default());
            self.memories.set(asset, moved.collect());
        }
        for (made, phases) in self.made.iter().zip(&mut self.phases) {
            let known = before.made.iter().position(|known| known.rule.id == made.rule.id);
            if let Some(known) = known {
                phases.clone_from(&before.phases[known]);
            }
        }
        (self.last, self.assets, self.names) = (before.last, before.assets, before.names);
        (self.newest, self.late) = (before.newest, before.late);
    }

    fn number_of(&mut self, asset: &AssetId) -> AssetNumber {
        if let Some(number) = self.assets.get(asset) {
            return *number;
        }
        let number = self.names.len() as AssetNumber;
        self.assets.insert(asset.clone(), number);
        self.names.push(asset.clone());
        self.newest.push(Timestamp::MIN);
        number
    }

    fn hear(&mut self, rows: &Rows, received: Option<&[Timestamp]>) -> Vec<Event> {
        let assets = match rows {
            Rows::Frames(frames) => &frames.assets,
            Rows::Changes(changes) => &changes.assets,
        };
        let numbers: Vec<AssetNumber> = assets.iter().map(|asset| self.number_of(asset)).collect();
        let profile = Arc::clone(&self.profile);
        let handed = Handed { profile: &profile, rows, received, numbers };
        let input = handed.input(&self.signals, &mut self.last, &self.newest);
        let mut late = vec![false; input.len()];
        for row in &input.order {
            let newest = &mut self.newest[input.assets[*row] as usize];
            late[*row] = input.times[*row] < *newest;
            *newest = (*newest).max(input.times[*row]);
        }
        self.late += late.iter().filter(|late| **late).count() as u64;
        let outcomes = evaluate(&self.steps, &input, &late, &mut self.memories);
        let mut events: Vec<(usize, Event)> = Vec::new();
        for (made, phases) in self.made.iter().zip(&mut self.phases) {
            made.take(&input, &late, &outcomes, phases, &self.names, &mut events);
        }
        events.sort_by_key(|(place, _)| *place);
        events.into_iter().map(|(_, event)| event).collect()
    }
}

impl Made {
    fn take(
        &self,
        input: &Input<'_>,
        late: &[bool],
        outcomes: &[Outcomes],
        phases: &mut HashMap<AssetNumber, Phase>,
        names: &[AssetId],
        events: &mut Vec<(usize, Event)>,
    ) {
        let truths = |step: Step| match &outcomes[step as usize] {
            Outcomes::Truths(truths) => truths.as_slice(),
            Outcomes::Numbers(_) => &[],
        };
        let (when, clear) = (truths(self.when), self.clear.map(truths));
        for (place, row) in input.order.iter().copied().enumerate() {
            let is_so = when.get(row).copied().flatten();
            if late[row] || (is_so != Some(true) && phases.is_empty()) {
                continue;
            }
            let (asset, time) = (input.assets[row], input.times[row]);
            let is_over = match clear {
                Some(clear) => clear[row] == Some(true) && is_so != Some(true),
                None => is_so == Some(false),
            };
            let before = phases.get(&asset).copied();
            if before.is_none() && (is_so != Some(true) || !matches(&self.rule.assets, names[asset as usize].as_str()))
            {
                continue;
            }
            let (after, what) = self.next(before, is_so, is_over, time);
            match after {
                Some(phase) => phases.insert(asset, phase),
                None => phases.remove(&asset),
            };
            if let Some(what) = what {
                let value = |step: Step| match &outcomes[step as usize] {
                    Outcomes::Numbers(numbers) => numbers[row],
                    Outcomes::Truths(_) => f64::NAN,
                };
                let shown = |(name, step, unit): &(String, Step, String)| Shown {
                    name: name.clone(),
                    value: value(*step),
                    unit: unit.clone(),
                };
                let (asset, rule) = (names[asset as usize].clone(), Arc::clone(&self.rule));
                let shows = self.shows.iter().map(shown).collect();
                events.push((place, Event { asset, rule, time, what, shows }));
            }
        }
    }

    /// What follows from a row: the phase, and what is to be told.
    fn next(
        &self,
        before: Option<Phase>,
        is_so: Option<bool>,
        is_over: bool,
        time: Timestamp,
    ) -> (Option<Phase>, Option<What>) {
        let has_lasted = |since: Timestamp, delay: std::time::Duration| {
            i128::from(time.nanos()) - i128::from(since.nanos()) >= delay.as_nanos() as i128
        };
        match before {
            None | Some(Phase::Pending(_)) => {
                let since = if let Some(Phase::Pending(since)) = before { since } else { time };
                match is_so {
                    Some(true) if has_lasted(since, self.rule.on_delay) => {
                        (Some(Phase::Active(None)), Some(What::Raised))
                    }
                    Some(true) => (Some(Phase::Pending(since)), None),
                    Some(false) => (None, None),
                    // What is not known changes nothing.
                    None => (before, None),
                }
            }
            Some(Phase::Active(over)) if is_over => {
                let since = over.unwrap_or(time);
                if has_lasted(since, self.rule.off_delay) {
                    (None, Some(What::Returned))
                } else {
                    (Some(Phase::Active(Some(since))), None)
                }
            }
            Some(Phase::Active(over)) => (Some(Phase::Active(over.filter(|_| is_so.is_none()))), None),
        }
    }
}
