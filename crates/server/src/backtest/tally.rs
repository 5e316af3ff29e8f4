//! What a back-test has found: the alarms with their spans, and for how long each asset was heard.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diagnosis::{Event, Rule, What};
use model::{AssetId, Profile, Rows, Timestamp, matches};

use super::about;

const HOUR_NANOS: i64 = 3_600 * 1_000_000_000;

/// One raising of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The place of its rule among [`Tally::rules`].
    pub rule: u32,
    /// The place of its asset among [`Tally::assets`].
    pub asset: u32,
    /// From when on it is so.
    pub raised: Timestamp,
    /// When it was over, if it was.
    pub returned: Option<Timestamp>,
}

/// An asset of which there were rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Who.
    pub id: AssetId,
    /// Hours in which it said something.
    pub hours: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Tally {
    rules: Vec<Arc<Rule>>,
    rule_places: HashMap<String, u32>,
    assets: Vec<Watched>,
    asset_places: HashMap<AssetId, u32>,
    alarms: Vec<Alarm>,
    /// Alarms that are not over: rule, asset, and when it was raised.
    open: HashMap<(u32, u32, Timestamp), usize>,
    rows: u64,
    /// The hours of the asset that is being heard: rows come asset by asset.
    hours: (Option<u32>, HashSet<i64>),
}

impl Tally {
    pub(super) fn new(rules: Vec<Arc<Rule>>) -> Self {
        let rule_places = (0..).zip(&rules).map(|(place, rule)| (rule.id.clone(), place)).collect();
        Self {
            rules,
            rule_places,
            assets: Vec::new(),
            asset_places: HashMap::new(),
            alarms: Vec::new(),
            open: HashMap::new(),
            rows: 0,
            hours: (None, HashSet::new()),
        }
    }

    /// The rules that ran.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Those who said something.
    pub fn assets(&self) -> &[Watched] {
        &self.assets
    }

    /// What was raised, asset by asset; what came late is where it was found.
    pub fn alarms(&self) -> &[Alarm] {
        &self.alarms
    }

    /// Rows that were looked at.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rules that are about `profile`.
    pub(super) fn rules_of(&self, profile: &Profile) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(move |rule| matches(&rule.profile, profile.id()))
    }

    /// Tells whether an asset of `profile` is one of `assets` and one that a rule is about.
    pub(super) fn wants<'a>(&self, profile: &Profile, assets: &'a str) -> impl Fn(&str) -> bool + use<'a> {
        about(&self.rules, profile, assets)
    }

    pub(super) fn asset(&mut self, id: &AssetId) -> u32 {
        if let Some(place) = self.asset_places.get(id) {
            return *place;
        }
        let place = self.assets.len() as u32;
        self.assets.push(Watched { id: id.clone(), hours: 0 });
        self.asset_places.insert(id.clone(), place);
        place
    }

    /// Takes in whose rows these are.
    pub(super) fn see(&mut self, rows: &Rows) {
        let (assets, of_rows) = match rows {
            Rows::Frames(frames) => (&frames.assets, &frames.asset),
            Rows::Changes(changes) => (&changes.assets, &changes.asset),
        };
        let mut places: Vec<Option<u32>> = vec![None; assets.len()];
        for (place, time) in of_rows.iter().zip(rows.times()) {
            let place = usize::from(*place);
            let asset = *places[place].get_or_insert_with(|| self.asset(&assets[place]));
            if self.hours.0 != Some(asset) {
                self.hours = (Some(asset), HashSet::new());
            }
            if self.hours.1.insert(time.nanos().div_euclid(HOUR_NANOS)) {
                self.assets[asset as usize].hours += 1;
            }
        }
        self.rows += of_rows.len() as u64;
    }

    pub(super) fn take(&mut self, event: &Event) {
        let Some(rule) = self.rule_places.get(&event.rule.id).copied() else { return };
        let asset = self.asset(&event.asset);
        match event.what {
            What::Raised => {
                self.open.insert((rule, asset, event.raised), self.alarms.len());
                self.alarms.push(Alarm { rule, asset, raised: event.time, returned: None });
            }
            What::Returned => {
                if let Some(place) = self.open.remove(&(rule, asset, event.raised)) {
                    self.alarms[place].returned = Some(event.time);
                }
            }
            What::Suppressed | What::Unsuppressed => {}
        }
    }

    #[cfg(test)]
    pub(super) fn heard_for(&mut self, asset: u32, hours: u64) {
        self.assets[asset as usize].hours = hours;
    }
}
