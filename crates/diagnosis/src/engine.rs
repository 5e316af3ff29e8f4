//! Runs rules over rows as they come in, and says when something begins and when it is over. The same rows, received at the same
//! times, give the same events, however they are handed over: nothing here asks a clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use model::{AssetId, Batch, Profile, Rows, SignalIndex, Timestamp, matches};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::evaluate::{Memories, Outcomes, evaluate};
use crate::expression::{Refusal, condition, number};
use crate::input::{AssetNumber, Handed, Input, Last};
use crate::native::{Natives, has_conditions};
use crate::rule::{Rule, RuleError, Text, Written};
use crate::state::{Remembered, State};
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
    /// When it was raised: the same as `time` where it is now.
    pub raised: Timestamp,
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
    /// It is so, and nobody's concern.
    Suppressed,
    /// It is so, and somebody's concern again.
    Unsuppressed,
}

impl What {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        ["raised", "returned", "suppressed", "unsuppressed"][self as usize]
    }
}

/// A value that an alarm shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its name in the rule.
    pub name: String,
    /// NaN where there is none; `null` where it is written.
    #[serde(serialize_with = "write_known", deserialize_with = "read_known")]
    pub value: f64,
    /// The UCUM unit.
    pub unit: String,
}

fn write_known<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*value).filter(|value| value.is_finite()).serialize(serializer)
}

fn read_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Event {
    /// What the rule says of it, with the values in their places.
    pub fn explanation(&self) -> Text {
        let filled = |text: &str| {
            let mut filled = text.to_owned();
            for shown in &self.shows {
                filled = filled.replace(&format!("{{{}}}", shown.name), &shown.to_string());
            }
            filled
        };
        Text { zh: filled(&self.rule.explanation.zh), en: filled(&self.rule.explanation.en) }
    }
}

impl fmt::Display for Shown {
    /// With four digits at most, which is what people read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_nan() {
            return f.write_str("–");
        }
        let whole = self.value.abs().max(1.0).log10().floor() as usize;
        let rounded = format!("{:.*}", 3_usize.saturating_sub(whole), self.value);
        let short = if rounded.contains('.') { rounded.trim_end_matches('0').trim_end_matches('.') } else { &rounded };
        match self.unit.as_str() {
            "" | "1" => f.write_str(short),
            unit => write!(f, "{short} {unit}"),
        }
    }
}

/// How far a rule has come with an asset. Where nothing is wrong, nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is so since then, but not for long enough.
    Pending(Timestamp),
    /// It was raised then; if it seems to be over, since then.
    Active { raised: Timestamp, over: Option<Timestamp>, is_suppressed: bool },
}

/// See the module.
#[derive(Default)]
pub struct Engine {
    rules: Vec<Arc<Rule>>,
    /// Profiles that no rule is about.
    ignored: HashSet<String>,
    profiles: BTreeMap<String, Watched>,
    /// Of profiles that have not been heard of again.
    remembered: BTreeMap<String, Remembered>,
    /// By profile; `None` where nobody wants to know what sources say themselves.
    natives: Option<BTreeMap<String, Natives>>,
    problems: Vec<RuleError>,
}

/// The rules of one profile, made into steps.
struct Watched {
    profile: Arc<Profile>,
    steps: Steps,
    made: Vec<Made>,
    signals: Vec<SignalIndex>,
    memories: Memories,
    /// Of each rule, for which asset something is not as it should be.
    phases: Vec<HashMap<AssetNumber, Phase>>,
    heard: Heard,
}

/// What was heard of the assets of one profile, whatever the rules are.
#[derive(Default)]
pub(crate) struct Heard {
    assets: HashMap<AssetId, AssetNumber>,
    pub(crate) names: Vec<AssetId>,
    pub(crate) newest: Vec<Timestamp>,
    pub(crate) last: HashMap<(AssetNumber, SignalIndex), Last>,
    pub(crate) late: u64,
}

/// A rule whose expressions have become steps.
struct Made {
    rule: Arc<Rule>,
    when: Step,
    clear: Option<Step>,
    suppressed: Option<Step>,
    shows: Vec<(String, Step, String)>,
}

impl Engine {
    /// An engine that runs `rules`.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// Also tells of what sources raise themselves: conditions of MTConnect.
    #[must_use]
    pub fn with_natives(mut self) -> Self {
        self.natives = Some(BTreeMap::new());
        self
    }

    /// Whether anything could be said of rows of `profile`.
    pub fn watches(&self, profile: &Profile) -> bool {
        self.about(profile.id()).next().is_some() || (self.natives.is_some() && has_conditions(profile))
    }

    /// Goes on where another engine was that had taken the same rows. What its rules knew is known to those of this one that
    /// are the same, and what steps remembered to the rules that ask for the same steps.
    pub fn go_on(&mut self, state: State) {
        self.remembered = state.profiles;
        if let Some(natives) = &mut self.natives {
            *natives = state.natives;
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        let watched = self.profiles.iter().map(|(profile, watched)| (profile.clone(), watched.state()));
        let remembered = self.remembered.iter().map(|(profile, remembered)| (profile.clone(), remembered.clone()));
        State { profiles: remembered.chain(watched).collect(), natives: self.natives.clone().unwrap_or_default() }
    }

    /// What its rules have raised and not returned: by which rule, of whom, and when.
    pub fn active(&self) -> Vec<(String, AssetId, Timestamp)> {
        let mut active: Vec<_> =
            self.natives.iter().flat_map(|natives| natives.values()).flat_map(Natives::active).collect();
        let mut add = |rule: &Rule, names: &[AssetId], phases: &HashMap<AssetNumber, Phase>| {
            active.extend(phases.iter().filter_map(|(asset, phase)| match phase {
                Phase::Active { raised, .. } => Some((rule.id.clone(), names[*asset as usize].clone(), *raised)),
                Phase::Pending(_) => None,
            }));
        };
        for watched in self.profiles.values() {
            let made = watched.made.iter().zip(&watched.phases);
            made.for_each(|(made, phases)| add(&made.rule, &watched.heard.names, phases));
        }
        for (profile, remembered) in &self.remembered {
            let names = remembered.names();
            for rule in self.about(profile) {
                add(rule, &names, &remembered.phases(rule));
            }
        }
        active
    }

    /// The rules that it was given.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }

    /// The rules about assets of `profile`.
    fn about(&self, profile: &str) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(move |rule| matches(&rule.profile, profile))
    }

    /// Rules that cannot run, since they do not fit the profile that they are about.
    pub fn problems(&self) -> &[RuleError] {
        &self.problems
    }

    /// Rows that came later than newer ones of their asset, and were not looked at.
    pub fn late(&self) -> u64 {
        self.profiles.values().map(|watched| watched.heard.late).sum()
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
        let mut events = self.hear_natives(profile, rows, received);
        if self.ignored.contains(profile.id()) {
            return events;
        }
        let is_current = |watched: &Watched| Arc::ptr_eq(&watched.profile, profile);
        if !self.profiles.get(profile.id()).is_some_and(is_current) {
            let rules: Vec<Arc<Rule>> = self.about(profile.id()).cloned().collect();
            if rules.is_empty() {
                self.ignored.insert(profile.id().to_owned());
                return events;
            }
            let watched = match self.profiles.remove(profile.id()) {
                Some(before) if before.profile.signals() == profile.signals() => {
                    Watched { profile: Arc::clone(profile), ..before }
                }
                before => {
                    let before = before.map(|before| before.state());
                    let before = before.or_else(|| self.remembered.remove(profile.id())).unwrap_or_default();
                    Watched::new(&rules, profile, &before, &mut self.problems)
                }
            };
            self.profiles.insert(profile.id().to_owned(), watched);
        }
        let watched = self.profiles.get_mut(profile.id());
        events.extend(watched.map(|watched| watched.hear(rows, received)).unwrap_or_default());
        events
    }

    fn hear_natives(&mut self, profile: &Profile, rows: &Rows, received: Option<&[Timestamp]>) -> Vec<Event> {
        match &mut self.natives {
            Some(natives) if has_conditions(profile) => {
                natives.entry(profile.id().to_owned()).or_default().hear(profile, rows, received)
            }
            _ => Vec::new(),
        }
    }
}

/// What is wrong with `rules`, as far as they are about `profile`.
pub fn check<'a>(rules: impl IntoIterator<Item = &'a Rule>, profile: &Profile) -> Vec<RuleError> {
    let mut steps = Steps::default();
    let about = rules.into_iter().filter(|rule| matches(&rule.profile, profile.id()));
    about.filter_map(|rule| made(&Arc::new(rule.clone()), profile, &mut steps).err()).collect()
}

/// Whether `profile` has what `rule` speaks of.
///
/// # Errors
/// When it has, and the rule makes no sense all the same.
pub fn fits(rule: &Rule, profile: &Profile) -> Result<bool, RuleError> {
    if !matches(&rule.profile, profile.id()) {
        return Ok(false);
    }
    made(&Arc::new(rule.clone()), profile, &mut Steps::default()).map(|made| made.is_some())
}

/// Makes `rule` into steps; where that fails, none of its steps stay. A rule about any profile is not about one that lacks a signal
/// of it.
fn made(rule: &Arc<Rule>, profile: &Profile, steps: &mut Steps) -> Result<Option<Made>, RuleError> {
    let before = steps.ops().len();
    let made = read(rule, profile, steps);
    if made.is_err() {
        steps.truncate(before);
    }
    match made {
        Ok(made) => Ok(Some(made)),
        Err((_, true)) if rule.profile.contains('*') => Ok(None),
        Err((error, _)) => Err(error),
    }
}

fn read(rule: &Arc<Rule>, profile: &Profile, steps: &mut Steps) -> Result<Made, (RuleError, bool)> {
    let wrong = |written: &Written, name: &str, refusal: Refusal| {
        let problem = format!("{name}: {}", refusal.problem);
        (RuleError { place: written.place.clone(), rule: Some(rule.id.clone()), problem }, refusal.is_absent)
    };
    let when =
        condition(&rule.when.text, &rule.lets, profile, steps).map_err(|problem| wrong(&rule.when, "when", problem))?;
    let mut optional = |written: &Option<Written>, name: &str| match written {
        Some(written) => {
            let step = condition(&written.text, &rule.lets, profile, steps);
            step.map(Some).map_err(|problem| wrong(written, name, problem))
        }
        None => Ok(None),
    };
    let clear = optional(&rule.clear, "clear")?;
    let suppressed = optional(&rule.suppressed_when, "suppressed_when")?;
    let mut show = |(name, written): &(String, Written)| {
        let shown =
            number(&written.text, &rule.lets, profile, steps).map_err(|problem| wrong(written, name, problem))?;
        Ok((name.clone(), shown.0, shown.1.map(|unit| unit.to_string()).unwrap_or_default()))
    };
    let shows = rule.shows.iter().map(&mut show).collect::<Result<_, _>>()?;
    Ok(Made { rule: Arc::clone(rule), when, clear, suppressed, shows })
}

impl Watched {
    /// The rules of `profile`, which know what was remembered `before`.
    fn new(rules: &[Arc<Rule>], profile: &Arc<Profile>, before: &Remembered, problems: &mut Vec<RuleError>) -> Self {
        let mut steps = Steps::default();
        let mut all = Vec::new();
        problems.retain(|problem| !rules.iter().any(|rule| problem.rule.as_ref() == Some(&rule.id)));
        for rule in rules {
            match made(rule, profile, &mut steps) {
                Ok(made) => all.extend(made),
                Err(problem) => problems.push(problem),
            }
        }
        let signal = |op: &Op| match op {
            Op::Signal(signal) | Op::Word(signal) | Op::Elements(signal) | Op::IsOneOf { signal, .. } => Some(*signal),
            _ => None,
        };
        let signals = steps.ops().iter().filter_map(signal).collect();
        let heard = before.heard(profile);
        let memories = before.memories(&steps, profile);
        let phases = all.iter().map(|made| before.phases(&made.rule)).collect();
        Self { profile: Arc::clone(profile), steps, made: all, signals, memories, phases, heard }
    }

    fn state(&self) -> Remembered {
        let phases = self.made.iter().map(|made| &*made.rule).zip(&self.phases);
        Remembered::new(&self.profile, &self.heard, &self.steps, &self.memories, phases)
    }

    fn hear(&mut self, rows: &Rows, received: Option<&[Timestamp]>) -> Vec<Event> {
        let assets = match rows {
            Rows::Frames(frames) => &frames.assets,
            Rows::Changes(changes) => &changes.assets,
        };
        let numbers: Vec<AssetNumber> = assets.iter().map(|asset| self.heard.number_of(asset)).collect();
        let profile = Arc::clone(&self.profile);
        let handed = Handed { profile: &profile, rows, received, numbers };
        let input = handed.input(&self.signals, &mut self.heard.last, &self.heard.newest);
        let mut late = vec![false; input.len()];
        for row in &input.order {
            let newest = &mut self.heard.newest[input.assets[*row] as usize];
            late[*row] = input.times[*row] < *newest;
            *newest = (*newest).max(input.times[*row]);
        }
        self.heard.late += late.iter().filter(|late| **late).count() as u64;
        let outcomes = evaluate(&self.steps, &input, &late, &mut self.memories);
        let mut events: Vec<(usize, Event)> = Vec::new();
        for (made, phases) in self.made.iter().zip(&mut self.phases) {
            made.take(&input, &late, &outcomes, phases, &self.heard.names, &mut events);
        }
        events.sort_by_key(|(place, _)| *place);
        events.into_iter().map(|(_, event)| event).collect()
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
            _ => &[],
        };
        let (when, clear, suppressed) = (truths(self.when), self.clear.map(truths), self.suppressed.map(truths));
        for (place, row) in input.order.iter().copied().enumerate() {
            let is_so = when.get(row).copied().flatten();
            if late[row] || (is_so != Some(true) && phases.is_empty()) {
                continue;
            }
            let (asset, time) = (input.assets[row], input.times[row]);
            let is_over = match (is_so, clear) {
                (Some(true), _) => Some(false),
                (_, Some(clear)) => clear[row],
                (is_so, None) => is_so.map(|is_so| !is_so),
            };
            let before = phases.get(&asset).copied();
            if before.is_none() && (is_so != Some(true) || !matches(&self.rule.assets, names[asset as usize].as_str()))
            {
                continue;
            }
            let (mut after, what) = self.next(before, is_so, is_over, time);
            let mut happened: Vec<What> = what.into_iter().collect();
            if let (Some(Phase::Active { is_suppressed, .. }), Some(suppressed)) = (&mut after, suppressed)
                && let Some(now) = suppressed[row].filter(|now| now != is_suppressed)
            {
                *is_suppressed = now;
                happened.push(if now { What::Suppressed } else { What::Unsuppressed });
            }
            match after {
                Some(phase) => phases.insert(asset, phase),
                None => phases.remove(&asset),
            };
            for what in happened {
                let value = |step: Step| match &outcomes[step as usize] {
                    Outcomes::Numbers(numbers) => numbers[row],
                    _ => f64::NAN,
                };
                let shown = |(name, step, unit): &(String, Step, String)| Shown {
                    name: name.clone(),
                    value: value(*step),
                    unit: unit.clone(),
                };
                let (asset, rule) = (names[asset as usize].clone(), Arc::clone(&self.rule));
                let shows = self.shows.iter().map(shown).collect();
                let raised = match before {
                    Some(Phase::Active { raised, .. }) => raised,
                    _ => time,
                };
                events.push((place, Event { asset, rule, time, raised, what, shows }));
            }
        }
    }

    /// What follows from a row: the phase, and what is to be told.
    fn next(
        &self,
        before: Option<Phase>,
        is_so: Option<bool>,
        is_over: Option<bool>,
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
                        (Some(Phase::Active { raised: time, over: None, is_suppressed: false }), Some(What::Raised))
                    }
                    Some(true) => (Some(Phase::Pending(since)), None),
                    Some(false) => (None, None),
                    // What is not known changes nothing.
                    None => (before, None),
                }
            }
            Some(Phase::Active { raised, over, is_suppressed }) => match is_over {
                Some(true) => {
                    let since = over.unwrap_or(time);
                    if has_lasted(since, self.rule.off_delay) {
                        (None, Some(What::Returned))
                    } else {
                        (Some(Phase::Active { raised, over: Some(since), is_suppressed }), None)
                    }
                }
                Some(false) => (Some(Phase::Active { raised, over: None, is_suppressed }), None),
                None => (before, None),
            },
        }
    }
}
