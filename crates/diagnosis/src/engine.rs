//! Runs rules over rows as they come in, and says when something begins and when it is over. The same rows, received at the same
//! times, give the same events, however they are handed over: nothing here asks a clock.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use model::{AssetId, Batch, Profile, Rows, Timestamp, matches};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Clock;
use crate::input::{AssetNumber, Received};
use crate::made::Phase;
use crate::native::{Natives, has_conditions};
use crate::rule::{Rule, RuleError, Text};
use crate::state::{Remembered, State};
use crate::watch::Watched;

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

/// See the module.
#[derive(Default)]
pub struct Engine {
    rules: Vec<Arc<Rule>>,
    /// Profiles that no rule is about, so that their rows cost nothing.
    ignored: HashMap<String, Arc<Profile>>,
    profiles: BTreeMap<String, Watched>,
    /// Of profiles that have not been heard of again.
    remembered: BTreeMap<String, Remembered>,
    /// By profile; `None` where nobody wants to know what sources say themselves.
    natives: Option<BTreeMap<String, Natives>>,
    clock: Clock,
    problems: Vec<RuleError>,
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
    pub fn watches(&mut self, profile: &Arc<Profile>) -> bool {
        (self.natives.is_some() && has_conditions(profile)) || self.watched(profile).is_some()
    }

    /// Goes on where another engine was that had taken the same rows. What its rules knew is known to those of this one that
    /// are the same, and what steps remembered to the rules that ask for the same steps.
    pub fn go_on(&mut self, state: State) {
        (self.remembered, self.clock) = (state.profiles, state.clock);
        if let Some(natives) = &mut self.natives {
            *natives = state.natives;
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        let watched = self.profiles.iter().map(|(profile, watched)| (profile.clone(), watched.state()));
        let remembered = self.remembered.iter().map(|(profile, remembered)| (profile.clone(), remembered.clone()));
        let (profiles, natives) = (remembered.chain(watched).collect(), self.natives.clone().unwrap_or_default());
        State { profiles, natives, clock: self.clock.clone() }
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
            watched.phases().for_each(|(made, phases)| add(&made.rule, &watched.heard.names, phases));
        }
        for (profile, remembered) in &self.remembered {
            let names = remembered.names();
            for rule in self.about(profile) {
                remembered.phases(rule).iter().for_each(|phases| add(rule, &names, phases));
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

    /// Rows that came later than newer ones of their asset. They are read by themselves, in the order in which they come.
    pub fn late(&self) -> u64 {
        self.profiles.values().map(|watched| watched.heard.late).sum()
    }

    /// Rows that came later than newer ones that were late as well, and were not looked at.
    pub fn too_late(&self) -> u64 {
        self.profiles.values().map(|watched| watched.heard.too_late).sum()
    }

    /// Takes in when something was received that is said all the time: by that clock assets are silent. It may be told before what
    /// came in between is handed over.
    pub fn tick(&mut self, received: impl IntoIterator<Item = Timestamp>) {
        received.into_iter().for_each(|received| self.clock.tick(received));
    }

    /// What is so by now without anything being said: who is silent, and what of what came late is over. Everything that came in
    /// until the last tick is to be handed over before.
    pub fn advance(&mut self) -> Vec<Event> {
        let events = self.profiles.values_mut().flat_map(|watched| watched.advance(&self.clock)).collect();
        self.clock.settle();
        events
    }

    /// What the rules say of the rows of `batch`.
    pub fn take(&mut self, batch: &Batch) -> Vec<Event> {
        self.hear(&batch.profile, &batch.rows, Received::AtOnce(batch.received))
    }

    /// What the rules say of rows that came in before, each at its own of `received`: what they said then.
    ///
    /// # Panics
    /// When `received` does not speak of every row.
    pub fn replay(&mut self, profile: &Arc<Profile>, rows: &Rows, received: &[Timestamp]) -> Vec<Event> {
        assert_eq!(received.len(), rows.len(), "one time for each row");
        self.hear(profile, rows, Received::Each(received))
    }

    fn hear(&mut self, profile: &Arc<Profile>, rows: &Rows, received: Received<'_>) -> Vec<Event> {
        let mut events = self.hear_natives(profile, rows, received);
        let clock = std::mem::take(&mut self.clock);
        if let Some(watched) = self.watched(profile) {
            events.extend(watched.hear(rows, received, &clock));
        }
        self.clock = clock;
        events
    }

    /// The rules that are about `profile`, if there are any.
    fn watched(&mut self, profile: &Arc<Profile>) -> Option<&mut Watched> {
        let is_same = |known: &Arc<Profile>| Arc::ptr_eq(known, profile) || known.signals() == profile.signals();
        if self.ignored.get(profile.id()).is_some_and(is_same) {
            return None;
        }
        let is_current = |watched: &Watched| Arc::ptr_eq(&watched.profile, profile);
        if !self.profiles.get(profile.id()).is_some_and(is_current) {
            let watched = match self.profiles.remove(profile.id()) {
                Some(before) if before.profile.signals() == profile.signals() => before.with_profile(profile),
                before => {
                    let before = before.map(|before| before.state());
                    let before = before.or_else(|| self.remembered.remove(profile.id())).unwrap_or_default();
                    let rules: Vec<Arc<Rule>> = self.about(profile.id()).cloned().collect();
                    Watched::new(&rules, profile, &before, &mut self.problems)
                }
            };
            if watched.is_idle() {
                self.ignored.insert(profile.id().to_owned(), Arc::clone(profile));
                return None;
            }
            self.profiles.insert(profile.id().to_owned(), watched);
        }
        self.profiles.get_mut(profile.id())
    }

    fn hear_natives(&mut self, profile: &Profile, rows: &Rows, received: Received<'_>) -> Vec<Event> {
        match &mut self.natives {
            Some(natives) if has_conditions(profile) => {
                natives.entry(profile.id().to_owned()).or_default().hear(profile, rows, received)
            }
            _ => Vec::new(),
        }
    }
}
