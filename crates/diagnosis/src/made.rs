//! One rule made into steps, and how far it has come with each asset. Knows not how steps are computed.

use std::collections::HashMap;
use std::sync::Arc;

use model::{AssetId, Profile, Timestamp, matches};

use crate::engine::{Event, Shown, What};
use crate::evaluate::{Outcomes, numbers, truths};
use crate::expression::{Refusal, condition, number};
use crate::input::{AssetNumber, Input};
use crate::rule::{Rule, RuleError, Written};
use crate::steps::{Step, Steps};

/// How far a rule has come with an asset. Where nothing is wrong, nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is so since then, but not for long enough.
    Pending(Timestamp),
    /// It was raised then; if it seems to be over, since then.
    Active { raised: Timestamp, over: Option<Timestamp>, is_suppressed: bool },
}

/// What is known of an alarm where rows are read a second time.
pub(crate) type IsKnown<'k> = dyn Fn(AssetNumber, usize) -> bool + 'k;

/// A rule whose expressions have become steps.
pub(crate) struct Made {
    pub(crate) rule: Arc<Rule>,
    pub(crate) when: Step,
    clear: Option<Step>,
    suppressed: Option<Step>,
    shows: Vec<(String, Step, String)>,
}

/// What is wrong with `rules`, as far as they are about `profile`.
pub fn check<'a>(rules: impl IntoIterator<Item = &'a Rule>, profile: &Profile) -> Vec<RuleError> {
    rules.into_iter().filter_map(|rule| fits(rule, profile).err()).collect()
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
pub(crate) fn made(rule: &Arc<Rule>, profile: &Profile, steps: &mut Steps) -> Result<Option<Made>, RuleError> {
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

impl Made {
    /// Adds what the rule says of the rows of `input` to `events`, each with the place of its row.
    pub(crate) fn take(
        &self,
        input: &Input<'_>,
        outcomes: &[Outcomes],
        phases: &mut HashMap<AssetNumber, Phase>,
        names: &[AssetId],
        events: &mut Vec<(usize, Event)>,
    ) {
        let suppressed = self.suppressed.map(|step| truths(outcomes, step));
        self.follow(input, outcomes, phases, |row, before, after, what| {
            let mut happened: Vec<What> = what.into_iter().collect();
            if let (Some(Phase::Active { is_suppressed, .. }), Some(suppressed)) = (after, suppressed)
                && let Some(now) = suppressed[row].filter(|now| now != is_suppressed)
            {
                *is_suppressed = now;
                happened.push(if now { What::Suppressed } else { What::Unsuppressed });
            }
            for what in happened {
                events.push((input.places[row], self.event(what, before, row, input, outcomes, names)));
            }
        });
    }

    /// The same of rows that are read a second time. What is suppressed there when it is raised, or is known already at the place of
    /// its row, is not told.
    pub(crate) fn take_late(
        &self,
        input: &Input<'_>,
        outcomes: &[Outcomes],
        (phases, is_known): (&mut HashMap<AssetNumber, Phase>, &IsKnown<'_>),
        names: &[AssetId],
        events: &mut Vec<(usize, Event)>,
    ) {
        let suppressed = self.suppressed.map(|step| truths(outcomes, step));
        self.follow(input, outcomes, phases, |row, before, after, what| {
            let is_told = match (&before, after) {
                (Some(Phase::Active { is_suppressed, .. }), _) => !*is_suppressed,
                (_, Some(Phase::Active { is_suppressed, .. })) => {
                    let is_nobodys = suppressed.is_some_and(|suppressed| suppressed[row] == Some(true));
                    *is_suppressed = is_nobodys || is_known(input.assets[row], input.places[row]);
                    !*is_suppressed
                }
                _ => false,
            };
            for what in what.into_iter().filter(|_| is_told) {
                events.push((input.places[row], self.event(what, before, row, input, outcomes, names)));
            }
        });
    }

    /// Brings `phases` up to date row by row; `tell` is told of each row in which something is or was not as it should be: the phase
    /// before, that after, and what happened.
    fn follow(
        &self,
        input: &Input<'_>,
        outcomes: &[Outcomes],
        phases: &mut HashMap<AssetNumber, Phase>,
        mut tell: impl FnMut(usize, Option<Phase>, &mut Option<Phase>, Option<What>),
    ) {
        let (when, clear) = (truths(outcomes, self.when), self.clear.map(|step| truths(outcomes, step)));
        for row in input.order.iter().copied() {
            let is_so = when[row];
            if is_so != Some(true) && phases.is_empty() {
                continue;
            }
            let (asset, time) = (input.assets[row], input.times[row]);
            let is_over = match (is_so, clear) {
                (Some(true), _) => Some(false),
                (_, Some(clear)) => clear[row],
                (is_so, None) => is_so.map(|is_so| !is_so),
            };
            let before = phases.get(&asset).copied();
            if before.is_none() && is_so != Some(true) {
                continue;
            }
            let (mut after, what) = self.next(before, is_so, is_over, time);
            tell(row, before, &mut after, what);
            match after {
                Some(phase) => phases.insert(asset, phase),
                None => phases.remove(&asset),
            };
        }
    }

    fn event(
        &self,
        what: What,
        before: Option<Phase>,
        row: usize,
        input: &Input<'_>,
        outcomes: &[Outcomes],
        names: &[AssetId],
    ) -> Event {
        let shown = |(name, step, unit): &(String, Step, String)| Shown {
            name: name.clone(),
            value: numbers(outcomes, *step)[row],
            unit: unit.clone(),
        };
        let (asset, time) = (names[input.assets[row] as usize].clone(), input.times[row]);
        let raised = match before {
            Some(Phase::Active { raised, .. }) => raised,
            _ => time,
        };
        let shows = self.shows.iter().map(shown).collect();
        Event { asset, rule: Arc::clone(&self.rule), time, raised, what, shows }
    }

    /// That an alarm of `asset`, which was `raised` then, is over at `time`.
    pub(crate) fn returned(&self, asset: &AssetId, raised: Timestamp, time: Timestamp) -> Event {
        let rule = Arc::clone(&self.rule);
        Event { asset: asset.clone(), rule, time, raised, what: What::Returned, shows: Vec::new() }
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
