//! `tongmai diagnose`: whether rules make sense, and what they would have said of what is stored.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use diagnosis::{Engine, Event, RuleError, Text, What};
use gbt32960::Standard;
use model::{AssetId, Batch, Profile, Rows, Timestamp};
use serde_json::json;
use server::rules::Rules;
use store::{ReceivedRows, ReceivedSpan, TableSnapshot};

use crate::export::time;

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
    /// Rows that are put in order at once: those of several assets, if they have no more.
    #[arg(long, value_name = "ROWS", default_value_t = 500_000)]
    rows_max: usize,
}

pub(crate) fn run(arguments: DiagnoseArguments) -> Result<()> {
    match arguments.what {
        Task::Check(arguments) => check(&arguments),
        Task::Replay(arguments) => replay(&arguments),
    }
}

fn check(arguments: &CheckArguments) -> Result<()> {
    let Rules { rules, mut mistakes, cases } = read(&arguments.rules)?;
    let mut profiles = vec![Arc::clone(Standard::built_in().profile())];
    if let Some(data) = &arguments.data {
        profiles.extend(crate::ask::read(data)?.tables.into_iter().map(|table| table.profile));
    }
    let profiles: BTreeMap<&str, &Arc<Profile>> = profiles.iter().map(|profile| (profile.id(), profile)).collect();
    for rule in &rules {
        let fits: Vec<_> = profiles.values().map(|profile| diagnosis::fits(rule, profile)).collect();
        let is_known = fits.iter().any(|fits| *fits != Ok(false));
        mistakes.extend(fits.into_iter().filter_map(Result::err));
        if !is_known {
            mistakes.push(RuleError {
                place: rule.place.clone(),
                rule: Some(rule.id.clone()),
                problem: format!("profile: no `{}` is known here: name a data directory that has one", rule.profile),
            });
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
    let Rules { rules, mistakes, .. } = read(&arguments.rules)?;
    told(&mistakes)?;
    let snapshot = crate::ask::read(&arguments.data)?;
    let mut replay = Replay { engine: Engine::new(rules.clone()), arguments, rows: 0, raised: 0 };
    let mut output = BufWriter::new(io::stdout().lock());
    for table in snapshot.tables.iter().filter(|table| rules.iter().any(|rule| rule.profile == table.profile.id())) {
        let assets: Vec<&str> = table.assets.iter().map(AssetId::as_str).collect();
        replay.run(table, &assets, &mut output)?;
    }
    output.flush()?;
    told(replay.engine.problems())?;
    let (rows, late, raised) = (replay.rows, replay.engine.late(), replay.raised);
    writeln!(io::stderr(), "{rows} rows, {late} of them late; {raised} alarms by {} rules", rules.len())?;
    Ok(())
}

struct Replay<'a> {
    engine: Engine,
    arguments: &'a ReplayArguments,
    rows: usize,
    raised: usize,
}

impl Replay<'_> {
    /// Tells what the rules say of `assets`; half of them at a time, where they have too many rows.
    fn run(&mut self, table: &TableSnapshot, assets: &[&str], output: &mut impl Write) -> Result<()> {
        let rows_max = self.arguments.rows_max;
        let wanted: HashSet<&str> = assets.iter().copied().collect();
        let found = table.received(&ReceivedSpan {
            after: Timestamp::MIN,
            until: Timestamp::MAX,
            behind: None,
            is_wanted: &|asset| wanted.contains(asset),
            rows_max,
        })?;
        match assets {
            _ if found.is_all => self.tell(found, output),
            [asset] => bail!("{asset} has more than {rows_max} rows: allow for more with --rows-max"),
            _ => {
                let (some, others) = assets.split_at(assets.len() / 2);
                self.run(table, some, output)?;
                self.run(table, others, output)
            }
        }
    }

    fn tell(&mut self, found: ReceivedRows, output: &mut impl Write) -> Result<()> {
        let (from, to) = (self.arguments.from, self.arguments.to);
        let is_within = |time: &Timestamp| from.is_none_or(|from| *time >= from) && to.is_none_or(|to| *time < to);
        let times = match &found.rows {
            Rows::Frames(frames) => &frames.time,
            Rows::Changes(changes) => &changes.time,
        };
        let keep: Vec<bool> = times.iter().map(is_within).collect();
        let kept = found.received.iter().zip(&keep).filter(|(_, keep)| **keep);
        let received: Vec<Timestamp> = kept.map(|(received, _)| *received).collect();
        let batch = Batch { profile: found.profile, received: Timestamp::default(), rows: found.rows }.only(&keep);
        self.rows += received.len();
        for event in self.engine.replay(&batch.profile, &batch.rows, &received) {
            self.raised += usize::from(event.what == What::Raised);
            writeln!(output, "{}", line(&event))?;
        }
        Ok(())
    }
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
