//! Rules over what is stored, as they would have run then: asset by asset, within bounds, with what they raise and what that takes.
//! Must not know of HTTP, nor where what it finds is written.

mod labels;
mod report;
mod tally;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cpu_time::ThreadTime;
use diagnosis::{Engine, Event, Rule, RuleError};
use model::{AssetId, Batch, Profile, Rows, Timestamp, matches};
use store::{ReceivedPlace, ReceivedRows, ReceivedSpan, Snapshot, TableSnapshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::own;

pub use self::labels::{Label, LabelMistake, Labels};
pub use self::report::{AtBaseRate, Cost, Figures, Report, Scores};
pub use self::tally::{Alarm, Tally};

/// Rows of several assets that are read at once: so many that their assets can be numbered.
const PAGE_ROWS: usize = 65_536;

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Rows from this source time on.
    pub from: Timestamp,
    /// Rows before this source time.
    pub to: Timestamp,
    /// Assets whose name is so; `*` stands for any characters.
    pub assets: String,
}

/// How much may be looked at.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Rows that are read at once of one asset; of one that has more, some of its receipts at a time.
    pub rows_at_once: usize,
    /// Rows in all.
    pub rows_max: u64,
    /// Alarms in all.
    pub alarms_max: usize,
    /// Until when.
    pub deadline: Option<Instant>,
    /// Whether nobody waits for it any more.
    pub stop: CancellationToken,
}

/// Why it went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// So many rows.
    Rows(u64),
    /// So many alarms.
    Alarms(usize),
    /// The time is over.
    Time,
    /// Nobody waits for it.
    Stopped,
}

/// Why it cannot be known what the rules would have said.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// A segment does not read.
    #[error("failed to read the segment `{}`", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// So many rows of one asset came in at the same time.
    #[error("{asset} has more than {rows_max} rows that came in at once: more have to be read at once")]
    AtOnce {
        /// The asset.
        asset: String,
        /// The bound.
        rows_max: usize,
    },
    /// What was found could not be told.
    #[error("failed to tell what the rules say")]
    Untold(#[source] io::Error),
}

/// How much has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covered {
    /// Assets whose rows have all been looked at, or that have none.
    pub assets: usize,
    /// Assets that the rules are about.
    pub assets_in_all: usize,
}

/// See the module.
pub struct Backtest {
    engine: Engine,
    tally: Tally,
    covered: Covered,
    rules_cpu: Duration,
    reading_cpu: Duration,
    rule_rows: u64,
}

impl Backtest {
    /// A back-test of `rules`, also of those that are not enabled.
    pub fn new(rules: Vec<Rule>) -> Self {
        let engine = Engine::new(rules);
        let tally = Tally::new(engine.rules().map(Arc::clone).collect());
        let (rules_cpu, reading_cpu) = Default::default();
        Self { engine, tally, covered: Covered::default(), rules_cpu, reading_cpu, rule_rows: 0 }
    }

    /// What was raised, and of whom there were rows.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How much was looked at.
    pub fn covered(&self) -> Covered {
        self.covered
    }

    /// Rules that could not run, as far as that has shown.
    pub fn problems(&self) -> &[RuleError] {
        self.engine.problems()
    }

    /// What it took.
    pub fn cost(&self) -> Cost {
        let state = postcard::to_allocvec(&self.engine.state()).map_or(0, |state| state.len());
        let rules_cpu_secs = self.rules_cpu.as_secs_f64();
        Cost {
            rows: self.tally.rows(),
            late: self.engine.late(),
            too_late: self.engine.too_late(),
            rule_rows: self.rule_rows,
            rules_cpu_secs,
            reading_cpu_secs: self.reading_cpu.as_secs_f64(),
            rule_rows_per_cpu_sec: (rules_cpu_secs > 0.0).then(|| self.rule_rows as f64 / rules_cpu_secs),
            state_bytes: state as u64,
        }
    }

    /// The figures; against `labels`, where there are any, and with a share of assets that have the fault.
    pub fn report(&self, labels: Option<&Labels>, base_rate: Option<f64>) -> Report {
        report::report(&self.tally, labels, base_rate, self.cost())
    }

    /// The assets in `snapshot` that the rules and `scope` are about.
    pub fn assets<'a>(&'a self, snapshot: &'a Snapshot, scope: &'a Scope) -> impl Iterator<Item = &'a AssetId> {
        snapshot.tables.iter().flat_map(move |table| {
            let is_wanted = self.tally.wants(&table.profile, &scope.assets);
            table.assets.iter().filter(move |asset| is_wanted(asset.as_str()))
        })
    }

    /// Runs the rules over the rows of `snapshot` that `scope` names, and tells what they say; as far as `bounds` allow.
    ///
    /// # Errors
    /// When a segment does not read, when too many rows came in at once, or when `tell` fails.
    pub fn run(
        &mut self,
        snapshot: &Snapshot,
        scope: &Scope,
        bounds: &Bounds,
        tell: &mut dyn FnMut(&Event) -> io::Result<()>,
    ) -> Result<Option<Reached>, BacktestError> {
        self.covered.assets_in_all = self.assets(snapshot, scope).count();
        if let Some(reached) = self.set_clock(snapshot, scope, bounds)? {
            return Ok(Some(reached));
        }
        for table in &snapshot.tables {
            if !self.engine.watches(&table.profile) {
                continue;
            }
            if let Some(reached) = self.run_table(table, scope, bounds, tell)? {
                return Ok(Some(reached));
            }
        }
        let events = self.engine.advance();
        self.tell(&events, tell)?;
        Ok(None)
    }

    /// Tells the rules by which clock assets are silent: what the server has said of itself.
    fn set_clock(
        &mut self,
        snapshot: &Snapshot,
        scope: &Scope,
        bounds: &Bounds,
    ) -> Result<Option<Reached>, BacktestError> {
        for table in snapshot.tables.iter().filter(|table| table.profile.id() == own::NAME) {
            let mut behind: Option<ReceivedPlace> = None;
            loop {
                if let Some(reached) = self.reached(bounds) {
                    return Ok(Some(reached));
                }
                let receipts = (Timestamp::MIN, Timestamp::MAX);
                let span = ReceivedSpan {
                    behind: behind.as_ref(),
                    from: scope.from,
                    to: scope.to,
                    ..ReceivedSpan::new(receipts, &|_| true, PAGE_ROWS.min(bounds.rows_at_once))
                };
                let found = self.read(table, &span)?;
                self.engine.tick(found.received.iter().copied());
                if found.is_all {
                    break;
                }
                behind = found.last_place();
            }
        }
        Ok(None)
    }

    fn tell(&mut self, events: &[Event], tell: &mut dyn FnMut(&Event) -> io::Result<()>) -> Result<(), BacktestError> {
        for event in events {
            self.tally.take(event);
            tell(event).map_err(BacktestError::Untold)?;
        }
        Ok(())
    }

    fn run_table(
        &mut self,
        table: &TableSnapshot,
        scope: &Scope,
        bounds: &Bounds,
        tell: &mut dyn FnMut(&Event) -> io::Result<()>,
    ) -> Result<Option<Reached>, BacktestError> {
        let is_wanted = self.tally.wants(&table.profile, &scope.assets);
        let before = self.covered.assets;
        let mut wanted: Vec<&str> = table.assets.iter().map(AssetId::as_str).filter(|asset| is_wanted(asset)).collect();
        wanted.sort_unstable();
        let mut behind: Option<ReceivedPlace> = None;
        loop {
            if let Some(reached) = self.reached(bounds) {
                return Ok(Some(reached));
            }
            let span = ReceivedSpan {
                behind: behind.as_ref(),
                from: scope.from,
                to: scope.to,
                ..ReceivedSpan::new((Timestamp::MIN, Timestamp::MAX), &is_wanted, PAGE_ROWS.min(bounds.rows_at_once))
            };
            let found = self.read(table, &span)?;
            if found.is_all {
                self.hear(&found, tell)?;
                self.covered.assets = before + wanted.len();
                return Ok(None);
            }
            let (last, whole) = without_last_asset(found);
            let done = match whole {
                Some((found, asset)) => {
                    self.hear(&found, tell)?;
                    asset
                }
                None => {
                    if let Some(reached) = self.run_alone((table, &last), scope, bounds, tell)? {
                        return Ok(Some(reached));
                    }
                    last
                }
            };
            self.covered.assets = before + wanted.partition_point(|asset| *asset <= &*done);
            behind = Some(ReceivedPlace { asset: Arc::from(&*done), time: Timestamp::MAX, sequence: u32::MAX });
        }
    }

    /// Runs over the rows of one asset, in the order in which they came in: as many receipts at a time as have few enough.
    fn run_alone(
        &mut self,
        (table, asset): (&TableSnapshot, &str),
        scope: &Scope,
        bounds: &Bounds,
        tell: &mut dyn FnMut(&Event) -> io::Result<()>,
    ) -> Result<Option<Reached>, BacktestError> {
        let is_wanted = |one: &str| one == asset;
        let before = ReceivedPlace { asset: Arc::from(asset), time: Timestamp::MIN, sequence: 0 };
        let mut parts = vec![(Timestamp::MIN, Timestamp::MAX)];
        while let Some(receipts) = parts.pop() {
            if let Some(reached) = self.reached(bounds) {
                return Ok(Some(reached));
            }
            let span = ReceivedSpan {
                behind: Some(&before),
                from: scope.from,
                to: scope.to,
                last_asset: Some(asset),
                ..ReceivedSpan::new(receipts, &is_wanted, bounds.rows_at_once)
            };
            let found = self.read(table, &span)?;
            if found.is_all {
                self.hear(&found, tell)?;
                continue;
            }
            let at_once = || BacktestError::AtOnce { asset: asset.to_owned(), rows_max: bounds.rows_at_once };
            let middle = between(&found.received, receipts).ok_or_else(at_once)?;
            parts.extend([(middle, receipts.1), (receipts.0, middle)]);
        }
        Ok(None)
    }

    fn reached(&self, bounds: &Bounds) -> Option<Reached> {
        if bounds.stop.is_cancelled() {
            return Some(Reached::Stopped);
        }
        if bounds.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(Reached::Time);
        }
        if self.tally.rows() >= bounds.rows_max {
            return Some(Reached::Rows(bounds.rows_max));
        }
        (self.tally.alarms().len() >= bounds.alarms_max).then_some(Reached::Alarms(bounds.alarms_max))
    }

    fn read(&mut self, table: &TableSnapshot, span: &ReceivedSpan<'_>) -> Result<ReceivedRows, BacktestError> {
        let began = ThreadTime::now();
        let found = table.received(span);
        self.reading_cpu += began.elapsed();
        found.map_err(|error| BacktestError::Unread { path: error.path, source: error.source })
    }

    fn hear(
        &mut self,
        found: &ReceivedRows,
        tell: &mut dyn FnMut(&Event) -> io::Result<()>,
    ) -> Result<(), BacktestError> {
        self.tally.see(&found.rows);
        let began = ThreadTime::now();
        let events = self.engine.replay(&found.profile, &found.rows, &found.received);
        self.rules_cpu += began.elapsed();
        self.rule_rows += found.received.len() as u64 * self.tally.rules_of(&found.profile).count() as u64;
        self.tell(&events, tell)
    }
}

/// What is wrong with `rules` over what is in `snapshot`.
pub fn check(rules: &[Rule], snapshot: &Snapshot) -> Vec<RuleError> {
    let mut problems = Vec::new();
    for rule in rules {
        let fits: Vec<_> = snapshot.tables.iter().map(|table| diagnosis::fits(rule, &table.profile)).collect();
        if fits.iter().all(|fits| *fits == Ok(false)) {
            problems.push(unknown_profile(rule, "nothing was ever heard of it"));
        }
        problems.extend(fits.into_iter().filter_map(Result::err));
    }
    problems
}

/// That nothing is known of the profile that `rule` is about, and what follows.
pub fn unknown_profile(rule: &Rule, why: &str) -> RuleError {
    let problem = format!("profile: no `{}` is known here: {why}", rule.profile);
    RuleError { place: rule.place.clone(), rule: Some(rule.id.clone()), problem }
}

/// A time that parts rows which came in at `received`, after and until `receipts`; none, where it would part nothing.
fn between(received: &[Timestamp], (after, until): (Timestamp, Timestamp)) -> Option<Timestamp> {
    let (first, last) = (received.iter().min()?, received.iter().max()?);
    let middle = match first.nanos().midpoint(last.nanos()) {
        middle if first < last => Timestamp::from_nanos(middle),
        _ if *last < until => *last,
        _ => last.plus_nanos(-1),
    };
    (middle > after && middle < until).then_some(middle)
}

/// The last asset of `found`; and, if there are others, their rows and the last one of those.
fn without_last_asset(found: ReceivedRows) -> (String, Option<(ReceivedRows, String)>) {
    let (assets, of_rows) = match &found.rows {
        Rows::Frames(frames) => (&frames.assets, &frames.asset),
        Rows::Changes(changes) => (&changes.assets, &changes.asset),
    };
    let name = |place: Option<&u16>| place.map(|place| assets[usize::from(*place)].to_string()).unwrap_or_default();
    let last = name(of_rows.last());
    let Some(before) = of_rows.iter().rev().find(|place| Some(*place) != of_rows.last()) else { return (last, None) };
    let (asset, end) = (name(Some(before)), of_rows.last().copied());
    let keep: Vec<bool> = of_rows.iter().map(|place| Some(*place) != end).collect();
    let received = found.received.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(received, _)| *received).collect();
    let batch = Batch { profile: Arc::clone(&found.profile), received: Timestamp::default(), rows: found.rows };
    let rows = batch.only(&keep).rows;
    (last, Some((ReceivedRows { rows, received, profile: found.profile, is_all: true }, asset)))
}

/// Whether one of `rules` that is about `profile` is also about an asset, which has to be one of `assets`.
fn about<'a>(rules: &[Arc<Rule>], profile: &Profile, assets: &'a str) -> impl Fn(&str) -> bool + use<'a> {
    let patterns: Vec<String> =
        rules.iter().filter(|rule| matches(&rule.profile, profile.id())).map(|rule| rule.assets.clone()).collect();
    move |asset: &str| matches(assets, asset) && patterns.iter().any(|pattern| matches(pattern, asset))
}
