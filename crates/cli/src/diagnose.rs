//! `tongmai diagnose`: whether rules make sense, and what they would have said of what is stored.

mod labels;
mod summary;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use diagnosis::{Event, Rule, RuleError, Text};
use gbt32960::Standard;
use model::{Profile, Timestamp};
use serde_json::json;
use server::backtest::{Backtest, BacktestError, Bounds, Labels, Report, Scope, unknown_profile};
use server::rules::Rules;
use store::Snapshot;
use tokio_util::sync::CancellationToken;

use crate::export::time;

/// Alarms that figures are made of.
const ALARMS_MAX: usize = 10_000_000;
/// Mistakes in labels that are told.
const MISTAKES_TOLD: usize = 20;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct DiagnoseArguments {
    #[command(subcommand)]
    what: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Tell what is wrong with rules.
    Check(CheckArguments),
    /// Run rules over what is stored, as they would have run then, and tell what they raise, a line of JSON each.
    Replay(ReplayArguments),
}

#[derive(clap::Args)]
struct CheckArguments {
    /// Files of rules, or folders of such files.
    #[arg(required = true, value_name = "FILE|DIR")]
    rules: Vec<PathBuf>,
    /// A data directory with the profiles that the rules are about; that of vehicles is known without.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(clap::Args)]
struct ReplayArguments {
    /// The data directory, also while a server writes to it.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Files of rules, or folders of such files.
    #[arg(long, required = true, value_name = "FILE|DIR")]
    rules: Vec<PathBuf>,
    /// Only rows from this source time or day on, for example 2026-01-31T08:00:00Z or 2026-01-31 (UTC).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only rows before this source time or day.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Only this rule of the files, also where it is not enabled. May be repeated.
    #[arg(long, value_name = "ID")]
    rule: Vec<String>,
    /// Times in which something really was wrong, to compare alarms with: JSON lines or CSV with asset, from, to, and, where it is
    /// known, rule and label.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The share of assets that have the fault elsewhere: tells the precision that is to be expected there.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "labels")]
    base_rate: Option<f64>,
    /// Write all figures to this file, as JSON; `-` is the standard output, in place of the alarms.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Rows that are put in order at once. Of an asset that has more, some are looked at after the others.
    #[arg(long, value_name = "ROWS", default_value_t = 500_000, value_parser = rows)]
    rows_max: usize,
}

pub(crate) fn run(arguments: DiagnoseArguments) -> Result<()> {
    match arguments.what {
        Task::Check(arguments) => check(&arguments),
        Task::Replay(arguments) => replay(&arguments),
    }
}

fn check(arguments: &CheckArguments) -> Result<()> {
    let Rules { rules, mut mistakes, cases, profiles: of_cases, .. } = read(&arguments.rules)?;
    let mut profiles = vec![Arc::clone(Standard::built_in().profile())];
    profiles.extend(of_cases);
    if let Some(data) = &arguments.data {
        profiles.extend(crate::ask::read(data)?.tables.into_iter().map(|table| table.profile));
    }
    let profiles: BTreeMap<&str, &Arc<Profile>> = profiles.iter().map(|profile| (profile.id(), profile)).collect();
    for rule in &rules {
        let fits: Vec<_> = profiles.values().map(|profile| diagnosis::fits(rule, profile)).collect();
        let is_known = fits.iter().any(|fits| *fits != Ok(false));
        mistakes.extend(fits.into_iter().filter_map(Result::err));
        if !is_known {
            mistakes.push(unknown_profile(rule, "name a data directory that has one"));
        }
    }
    for case in &cases {
        let rule = rules.iter().find(|rule| rule.id == case.rule);
        let fits = |profile: &&&Arc<Profile>| rule.is_some_and(|rule| diagnosis::fits(rule, profile) == Ok(true));
        let held = match (rule, profiles.values().find(fits)) {
            (Some(rule), Some(profile)) => case.hold(rule, profile),
            // Why there is none has been told.
            (Some(_), None) => Ok(()),
            (None, _) => Err(RuleError {
                place: case.place.clone(),
                rule: Some(case.rule.clone()),
                problem: format!("case \"{}\": there is no such rule here", case.title),
            }),
        };
        mistakes.extend(held.err());
    }
    told(&mistakes)?;
    crate::say(&format!("nothing is wrong with the rules: {}; their cases hold: {}\n", rules.len(), cases.len()))
}

fn told(mistakes: &[RuleError]) -> Result<()> {
    let mut errors = io::stderr().lock();
    for mistake in mistakes {
        writeln!(errors, "{mistake}")?;
    }
    if mistakes.is_empty() { Ok(()) } else { bail!("rules that cannot be used: {}", mistakes.len()) }
}

/// The rules that `paths` name, and what is wrong with others.
fn read(paths: &[PathBuf]) -> Result<Rules> {
    let mut rules = Rules::default();
    paths.iter().try_for_each(|path| rules.read(path))?;
    if rules.rules.is_empty() && rules.mistakes.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!("there are no rules in `{}`: expected files of TOML with [[rule]]", names.join("`, `"));
    }
    Ok(rules)
}

fn replay(arguments: &ReplayArguments) -> Result<()> {
    let Rules { mut rules, mistakes, .. } = read(&arguments.rules)?;
    told(&mistakes)?;
    if let Some(unknown) = arguments.rule.iter().find(|id| rules.iter().all(|rule| rule.id != **id)) {
        bail!("there is no rule `{unknown}` in these files");
    }
    let runs = |rule: &Rule| if arguments.rule.is_empty() { rule.enabled } else { arguments.rule.contains(&rule.id) };
    rules.retain(runs);
    let snapshot = crate::ask::read(&arguments.data)?;
    let scope = Scope {
        from: arguments.from.unwrap_or(Timestamp::MIN),
        to: arguments.to.unwrap_or(Timestamp::MAX),
        assets: "*".to_owned(),
    };
    let mut backtest = Backtest::new(rules);
    let labels = arguments.labels.as_deref().map(|path| labels_of(path, &backtest, &snapshot, &scope)).transpose()?;
    let bounds = Bounds {
        rows_at_once: arguments.rows_max,
        rows_max: u64::MAX,
        alarms_max: ALARMS_MAX,
        deadline: None,
        stop: CancellationToken::new(),
    };
    let mut output = arguments.events().map(BufWriter::new);
    let reached = backtest.run(&snapshot, &scope, &bounds, &mut |event| match &mut output {
        Some(output) => writeln!(output, "{}", line(event)),
        None => Ok(()),
    });
    match reached {
        Ok(None) => {}
        Ok(Some(_)) => bail!("more than {ALARMS_MAX} alarms: look at fewer rules, or at less time"),
        Err(error @ BacktestError::AtOnce { .. }) => bail!("{error}: allow for more with --rows-max"),
        Err(error) => return Err(error.into()),
    }
    if let Some(mut output) = output {
        output.flush()?;
    }
    told(backtest.problems())?;
    let report = backtest.report(labels.as_ref(), arguments.base_rate);
    match &arguments.report {
        Some(path) if path == Path::new("-") => crate::say(&written(&report)?)?,
        Some(path) => {
            fs::write(path, written(&report)?).with_context(|| format!("failed to write `{}`", path.display()))?;
        }
        None => {}
    }
    summary::write(&report, &mut io::stderr().lock())?;
    Ok(())
}

fn written(report: &Report) -> Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

impl ReplayArguments {
    /// Where events go: the standard output, unless the report goes there.
    fn events(&self) -> Option<io::StdoutLock<'static>> {
        let is_taken = self.report.as_deref() == Some(Path::new("-"));
        (!is_taken).then(|| io::stdout().lock())
    }
}

/// The labels in the file `path` that are about `scope`.
fn labels_of(path: &Path, backtest: &Backtest, snapshot: &Snapshot, scope: &Scope) -> Result<Labels> {
    let read = labels::read(path)?;
    let rules = backtest.tally().rules().iter().map(|rule| rule.id.as_str());
    let (within, outside): (Vec<_>, Vec<_>) =
        read.into_iter().partition(|label| label.from < scope.to && label.to > scope.from);
    if !outside.is_empty() {
        writeln!(io::stderr(), "labels outside of the time that is looked at: {}", outside.len())?;
    }
    Labels::new(within, backtest.assets(snapshot, scope), rules).map_err(|mistakes| {
        let told: Vec<String> = mistakes.iter().take(MISTAKES_TOLD).map(ToString::to_string).collect();
        anyhow!("{}: labels that cannot be used: {}\n{}", path.display(), mistakes.len(), told.join("\n"))
    })
}

fn rows(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|rows| *rows > 0).ok_or_else(|| format!("`{text}` is no number of rows"))
}

/// A share between 0 and 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| format!("`{text}` is no share: expected a number between 0 and 1, such as 0.0006"))
}

fn line(event: &Event) -> serde_json::Value {
    let shows =
        event.shows.iter().map(|shown| (shown.name.clone(), json!({ "value": shown.value, "unit": shown.unit })));
    json!({
        "time": event.time.to_string(),
        "asset": event.asset.as_str(),
        "event": event.what.as_str(),
        "rule": event.rule.id,
        "version": event.rule.version,
        "priority": event.rule.priority.as_str(),
        "title": both(&event.rule.title),
        "explanation": both(&event.explanation()),
        "shows": shows.collect::<serde_json::Map<_, _>>(),
    })
}

fn both(text: &Text) -> serde_json::Value {
    json!({ "zh": text.zh, "en": text.en })
}
