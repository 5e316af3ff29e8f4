//! Cases: what an asset says in the course of time, and what a rule is to find in it. They are written beside rules, and show that
//! these do what they are meant to.

use std::sync::Arc;
use std::time::Duration;

use model::{
    AssetId, Batch, Changes, Column, Frames, Observation, Profile, Quality, Shape, Signal, Timestamp, Value, ValueKind,
    Vectors,
};
use serde::Deserialize;
use toml::Spanned;

use crate::engine::{Engine, Event, What};
use crate::rule::{Place, Rule, RuleError, duration};

/// Rows of one case.
const ROWS_MAX: usize = 100_000;
/// When a case begins.
const BEGIN_SECS: i64 = 1_767_225_600;
/// Whose case it is.
const ASSET: &str = "site/case";
/// What says that there is no value.
const NOTHING: &str = "-";
/// A case is no longer.
const LASTS_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// How often the clock ticks.
const TICK_SECS: u64 = 10;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows.
    pub title: String,
    /// The rule that it is about.
    pub rule: String,
    signals: Vec<String>,
    rows: Vec<(Duration, Vec<String>)>,
    until: Option<Duration>,
    expect: Vec<(String, Duration)>,
    says: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// What stands in a file of cases.
#[derive(Debug, Default)]
pub struct Cases {
    /// The cases.
    pub cases: Vec<Case>,
    /// Profiles that some of them are about: of rules that are about any profile.
    pub profiles: Vec<Arc<Profile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "case")]
    cases: Vec<Spanned<CaseTable>>,
    #[serde(default, rename = "profile")]
    profiles: Vec<Spanned<ProfileTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileTable {
    id: String,
    signals: Vec<SignalTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalTable {
    id: String,
    meaning: String,
    kind: SignalKind,
    unit: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SignalKind {
    Number,
    Text,
}

impl ProfileTable {
    fn profile(self) -> Result<Arc<Profile>, String> {
        let signal = |table: SignalTable| {
            let kind = match table.kind {
                SignalKind::Number => ValueKind::Number,
                SignalKind::Text => ValueKind::Text,
            };
            Signal {
                unit: table.unit.map(Into::into),
                description: table.description.map(Into::into),
                ..Signal::new(&table.id, &table.meaning, kind)
            }
        };
        let signals = self.signals.into_iter().map(signal).collect();
        Profile::new(&self.id, Shape::Changes, signals).map(Arc::new).map_err(|error| error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseTable {
    title: String,
    rule: String,
    rows: Spanned<String>,
    until: Option<String>,
    expect: Vec<String>,
    says: Option<String>,
}

/// The cases that stand in `text`, the content of `file`.
///
/// # Errors
/// With the first mistake.
pub fn read_cases(file: &str, text: &str) -> Result<Cases, RuleError> {
    let place = |byte: usize| {
        let line = 1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count();
        Place { file: file.to_owned(), line }
    };
    let parsed: File = toml::from_str(text).map_err(|error| RuleError {
        place: place(error.span().map_or(0, |span| span.start)),
        rule: None,
        problem: error.message().to_owned(),
    })?;
    let case = |table: Spanned<CaseTable>| {
        let begin = place(table.span().start);
        let table = table.into_inner();
        // A line break right behind the quotes is not part of the text.
        let start = table.rows.span().start;
        let quotes = ["'''\n", "\"\"\"\n"];
        let is_below = quotes.iter().any(|quotes| text[start..].starts_with(quotes));
        let first = place(start + if is_below { quotes[0].len() } else { 0 });
        let wrong = |place: Place, problem: String| RuleError { place, rule: Some(table.rule.clone()), problem };
        let (signals, rows) = rows(table.rows.get_ref())
            .map_err(|(line, problem)| wrong(Place { line: first.line + line, ..first.clone() }, problem))?;
        let expect = table.expect.iter().map(|text| {
            let known = |(what, at): (&str, &str)| Some((what.to_owned(), duration(at.trim())?));
            let expected = text.split_once(' ').and_then(known);
            expected
                .ok_or_else(|| wrong(begin.clone(), format!("expect: expected such as \"raised 90s\", got `{text}`")))
        });
        let expect = expect.collect::<Result<_, _>>()?;
        let until = table.until.as_ref().map(|text| {
            let expected = || {
                let days = LASTS_MAX.as_secs() / 86_400;
                let problem = format!("until: expected a time such as \"30min\", of at most {days} days, got `{text}`");
                wrong(begin.clone(), problem)
            };
            duration(text).filter(|until| *until <= LASTS_MAX).ok_or_else(expected)
        });
        let until = until.transpose()?;
        Ok(Case {
            title: table.title,
            rule: table.rule.clone(),
            signals,
            rows,
            until,
            expect,
            says: table.says,
            place: begin,
        })
    };
    let profile = |table: Spanned<ProfileTable>| {
        let place = place(table.span().start);
        table.into_inner().profile().map_err(|problem| RuleError { place, rule: None, problem })
    };
    let profiles = parsed.profiles.into_iter().map(profile).collect::<Result<_, _>>()?;
    Ok(Cases { cases: parsed.cases.into_iter().map(case).collect::<Result<_, _>>()?, profiles })
}

type Rows = (Vec<String>, Vec<(Duration, Vec<String>)>);

/// The signals that the first line of `text` names, and the rows below: a time, or times such as `0s..5min/30s`, and values. What is
/// wrong comes with its line.
fn rows(text: &str) -> Result<Rows, (usize, String)> {
    let mut lines = (0..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or_else(|| (0, "rows: expected a line with signals".to_owned()))?;
    let signals: Vec<String> = head.split_whitespace().map(ToOwned::to_owned).collect();
    let mut rows = Vec::new();
    for (number, line) in lines {
        let wrong = |problem: String| (number, format!("rows: {problem}"));
        let mut words = line.split_whitespace();
        let times = words.next().unwrap_or_default();
        let values: Vec<String> = words.map(ToOwned::to_owned).collect();
        if values.len() != signals.len() {
            return Err(wrong(format!("expected a time and {} values, got {} values", signals.len(), values.len())));
        }
        let span = span(times).ok_or_else(|| wrong(format!("expected `90s` or `0s..5min/30s`, got `{times}`")))?;
        let (mut at, end, step) = span;
        while at <= end {
            if rows.last().is_some_and(|(last, _)| *last >= at) || rows.len() >= ROWS_MAX || at > LASTS_MAX {
                let days = LASTS_MAX.as_secs() / 86_400;
                let problem = format!("expected times that rise, at most {ROWS_MAX} rows, and at most {days} days");
                return Err(wrong(problem));
            }
            rows.push((at, values.clone()));
            at += step;
        }
    }
    Ok((signals, rows))
}

fn span(text: &str) -> Option<(Duration, Duration, Duration)> {
    let Some((from, rest)) = text.split_once("..") else {
        let at = duration(text)?;
        return Some((at, at, Duration::from_secs(1)));
    };
    let (to, step) = rest.split_once('/')?;
    let step = duration(step).filter(|step| !step.is_zero())?;
    Some((duration(from)?, duration(to)?, step))
}

/// When something is, that comes so long after the beginning.
fn time(at: Duration) -> Timestamp {
    Timestamp::from_nanos(BEGIN_SECS * 1_000_000_000 + at.as_nanos() as i64)
}

impl Case {
    /// Tries whether `rule`, which is about `profile`, finds what is expected.
    ///
    /// # Errors
    /// With what it finds instead, or what is wrong with the rows.
    pub fn hold(&self, rule: &Rule, profile: &Arc<Profile>) -> Result<(), RuleError> {
        let wrong = |problem: String| RuleError {
            place: self.place.clone(),
            rule: Some(self.rule.clone()),
            problem: format!("case \"{}\": {problem}", self.title),
        };
        let batch = self.batch(profile).map_err(wrong)?;
        let mut engine = Engine::new([rule.clone()]);
        // Each row is received when it is said, and somebody listens until the end.
        let received = batch.rows.times().to_vec();
        let end = self.rows.iter().map(|(at, _)| *at).chain(self.until).max().unwrap_or_default();
        engine.tick((0..=end.as_secs() / TICK_SECS).map(|tick| time(Duration::from_secs(tick * TICK_SECS))));
        let mut events = engine.replay(&batch.profile, &batch.rows, &received);
        events.extend(engine.advance());
        if let Some(problem) = engine.problems().first() {
            return Err(problem.clone());
        }
        let told = |what: &str, at: Duration| format!("{what} {}s", at.as_secs_f64());
        let seconds = |event: &Event| (event.time.nanos() - BEGIN_SECS * 1_000_000_000).unsigned_abs();
        let found: Vec<String> =
            events.iter().map(|event| told(event.what.as_str(), Duration::from_nanos(seconds(event)))).collect();
        let expected: Vec<String> = self.expect.iter().map(|(what, at)| told(what, *at)).collect();
        if found != expected {
            return Err(wrong(format!("expected {expected:?}, found {found:?}")));
        }
        let said = events.iter().find(|event| event.what == What::Raised).map(|event| event.explanation().en);
        match &self.says {
            Some(says) if said.as_ref() != Some(says) => {
                Err(wrong(format!("expected it to say {says:?}, it says {:?}", said.unwrap_or_default())))
            }
            _ => Ok(()),
        }
    }

    fn batch(&self, profile: &Arc<Profile>) -> Result<Batch, String> {
        let asset: AssetId = ASSET.parse().expect("it is an asset");
        let places: Vec<usize> = self
            .signals
            .iter()
            .map(|name| profile.signal_index(name).map(usize::from).ok_or_else(|| unknown(name, profile)))
            .collect::<Result<_, _>>()?;
        let received = Timestamp::from_nanos(BEGIN_SECS * 1_000_000_000);
        if profile.shape() == Shape::Frames {
            let column = |(index, signal): (usize, &Signal)| {
                let word = |row: &[String]| {
                    let place = places.iter().position(|place| *place == index)?;
                    row.get(place).filter(|word| *word != NOTHING).cloned()
                };
                column(signal, self.rows.iter().map(|(_, row)| word(row)))
            };
            let columns = profile.signals().iter().enumerate().map(column).collect::<Result<_, _>>()?;
            let frames = Frames {
                assets: vec![asset],
                asset: vec![0; self.rows.len()],
                time: self.rows.iter().map(|(at, _)| time(*at)).collect(),
                sequence: vec![0; self.rows.len()],
                columns,
                exceptions: Vec::new(),
            };
            return Ok(Batch::frames(Arc::clone(profile), received, frames));
        }
        let mut changes = Changes::default();
        let asset = changes.intern(&asset);
        for (at, row) in &self.rows {
            for (place, word) in places.iter().zip(row) {
                let (quality, value) = match word.as_str() {
                    NOTHING => (Quality::Unavailable, Value::Absent),
                    word => (Quality::Good, value(profile.signal(*place as u16), word)?),
                };
                let (signal, time) = (*place as u16, time(*at));
                changes.push(asset, Observation { signal, time, sequence: 0, quality, value, statistic: None });
            }
        }
        Ok(Batch::changes(Arc::clone(profile), received, changes))
    }
}

fn unknown(name: &str, profile: &Profile) -> String {
    format!("rows: the profile {} has no signal `{name}`", profile.id())
}

fn number(signal: &Signal, word: &str) -> Result<f64, String> {
    word.parse().map_err(|_| format!("rows: {}: expected a number or `-`, got `{word}`", signal.id))
}

fn raw(signal: &Signal, word: &str) -> Result<i64, String> {
    let number = number(signal, word)?;
    Ok(((number - signal.scale.offset) * signal.scale.divisor).round() as i64)
}

/// The elements of a list such as `3.6*95,3.52`.
fn elements(word: &str) -> impl Iterator<Item = &str> {
    word.split(',').flat_map(|element| {
        let (element, count) = element.split_once('*').unwrap_or((element, "1"));
        std::iter::repeat_n(element, count.parse().unwrap_or(0))
    })
}

fn column(signal: &Signal, words: impl Iterator<Item = Option<String>>) -> Result<Column, String> {
    Ok(match signal.kind {
        ValueKind::Integer => Column::Integers(
            words.map(|word| word.map(|word| raw(signal, &word)).transpose()).collect::<Result<_, _>>()?,
        ),
        ValueKind::Number => Column::Numbers(
            words.map(|word| word.map(|word| number(signal, &word)).transpose()).collect::<Result<_, _>>()?,
        ),
        ValueKind::Vector => {
            let mut vectors = Vectors::default();
            for word in words {
                let row = word.map(|word| elements(&word).map(|one| raw(signal, one)).collect::<Result<Vec<_>, _>>());
                vectors.push(row.transpose()?);
            }
            Column::Vectors(vectors)
        }
        _ => Column::Texts(words.map(|word| word.map(Into::into)).collect()),
    })
}

fn value(signal: &Signal, word: &str) -> Result<Value, String> {
    Ok(match signal.kind {
        ValueKind::Integer => Value::Integer(raw(signal, word)?),
        ValueKind::Number => Value::Number(number(signal, word)?),
        ValueKind::Vector => {
            Value::Vector(elements(word).map(|one| number(signal, one)).collect::<Result<Vec<_>, _>>()?.into())
        }
        _ => Value::Text(word.into()),
    })
}
