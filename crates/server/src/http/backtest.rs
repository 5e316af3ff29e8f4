//! Rules tried on what is stored: one that runs, one that is not enabled, or one that is not in any file yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use diagnosis::{Event, Rule, RuleError, What};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use store::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::App;
use super::alarms::TextJson;
use super::error::ApiError;
use super::json;
use crate::backtest::{Backtest, BacktestError, Bounds, Cost, Figures, Reached, Scope, check};

/// Back-tests that wait for their turn; further ones are refused. One runs at a time.
const WAITING_MAX: usize = 8;
/// Rows of one asset that are read at once.
const ROWS_AT_ONCE: usize = 200_000;
/// Rows that are looked at.
const ROWS_MAX: u64 = 20_000_000;
/// Alarms that are counted.
const ALARMS_MAX: usize = 200_000;
/// Alarms that are told one by one: the newest.
const ALARMS_TOLD: usize = 1_000;
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Rules of a text.
const RULES_MAX: usize = 16;
const DAY_NANOS: i64 = 86_400_000_000_000;
const HOUR_NANOS: i64 = 3_600_000_000_000;
const DAYS_MAX: i64 = 366;
/// Shorter times are counted by the hour.
const BY_HOUR_DAYS_MAX: i64 = 2;

/// Whose turn it is.
pub(crate) struct Backtests {
    turn: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Backtests {
    pub(crate) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), waiting: Semaphore::new(WAITING_MAX) }
    }

    async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = |why: &str| ApiError::busy("too_many_backtests", format!("{why}: ask again later"));
        let Ok(_waits) = self.waiting.try_acquire() else {
            return Err(busy(&format!("{WAITING_MAX} back-tests wait for their turn already")));
        };
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&self.turn).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| busy("another back-test took all the time"))
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BacktestBody {
    /// A rule that there is, whether it is enabled or not; or else `text`.
    rule: Option<String>,
    /// Up to 16 rules as they would stand in a file of TOML.
    text: Option<String>,
    /// Rows from this source time on; a day before `to`, if left out.
    from: Option<String>,
    /// Rows before this source time; now, if left out.
    to: Option<String>,
    /// Only these assets; `*` stands for any characters.
    assets: Option<String>,
}

/// What is wrong with a rule, and where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestProblem)]
struct ProblemJson {
    /// As far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The line of the text, or of the file of the rule, counted from 1.
    line: usize,
    problem: String,
}

impl From<RuleError> for ProblemJson {
    fn from(error: RuleError) -> Self {
        Self { rule: error.rule, line: error.place.line, problem: error.problem }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestAlarm)]
struct FoundJson {
    rule: String,
    asset: String,
    #[schema(value_type = String)]
    priority: &'static str,
    raised: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<String>,
    explanation: TextJson,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestLimit)]
struct LimitJson {
    /// `time`, `rows` or `alarms`.
    #[schema(value_type = String)]
    what: &'static str,
    message: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestCovered)]
struct CoveredJson {
    /// Assets whose rows of that time have all been looked at; the first ones by name.
    assets: usize,
    /// Assets that the rules are about.
    assets_in_all: usize,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Backtest)]
pub(crate) struct BacktestJson {
    from: String,
    to: String,
    /// What is wrong with rules that did not run.
    problems: Vec<ProblemJson>,
    /// Rule by rule.
    figures: Vec<Figures>,
    /// The newest first, at most 1,000.
    alarms: Vec<FoundJson>,
    /// How many were raised in all.
    total: usize,
    /// For how long each of `counts` stands, the first from `from` on: an hour or a day.
    bucket_secs: i64,
    /// How many alarms were raised, by rule.
    counts: BTreeMap<String, Vec<usize>>,
    /// Which limit ended it before all was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitJson>,
    covered: CoveredJson,
    cost: Cost,
    elapsed_ms: f64,
}

/// What is to be tried, on what.
struct Trial {
    rules: Vec<Rule>,
    problems: Vec<RuleError>,
    scope: Scope,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("invalid_request", message)
}

impl BacktestBody {
    fn scope(&self, now: Timestamp) -> Result<Scope, ApiError> {
        let time = |name: &str, text: &Option<String>, otherwise: Timestamp| match text {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|error| invalid(format!("{name}: {error}"))),
        };
        let to = time("to", &self.to, now)?;
        let from = time("from", &self.from, to.plus_nanos(-DAY_NANOS))?;
        if from >= to {
            return Err(invalid(format!("from ({from}) has to be before to ({to})")));
        }
        if to.nanos().saturating_sub(from.nanos()) > DAYS_MAX * DAY_NANOS {
            return Err(invalid(format!("from: expected at most {DAYS_MAX} days before to")));
        }
        Ok(Scope { from, to, assets: self.assets.clone().unwrap_or_else(|| "*".to_owned()) })
    }

    fn trial(self, known: &[Arc<Rule>], now: Timestamp) -> Result<Trial, ApiError> {
        let scope = self.scope(now)?;
        let (rules, problems) = match (self.rule, self.text) {
            (Some(id), None) => {
                let rule = known.iter().find(|rule| rule.id == id);
                let unknown = || ApiError::not_found("unknown_rule", format!("there is no rule `{id}`"));
                (vec![(**rule.ok_or_else(unknown)?).clone()], Vec::new())
            }
            (None, Some(text)) if text.len() > TEXT_BYTES_MAX => {
                return Err(invalid(format!("text: expected at most {TEXT_BYTES_MAX} bytes, got {}", text.len())));
            }
            (None, Some(text)) => read(&text)?,
            _ => return Err(invalid("expected `rule`, which there is, or `text`, which is to be tried")),
        };
        Ok(Trial { rules, problems, scope })
    }
}

fn read(text: &str) -> Result<(Vec<Rule>, Vec<RuleError>), ApiError> {
    let read = match diagnosis::read("text", text) {
        Ok(read) => read,
        Err(mistake) => return Ok((Vec::new(), vec![mistake])),
    };
    if read.is_empty() || read.len() > RULES_MAX {
        return Err(invalid(format!("text: expected 1 to {RULES_MAX} rules, each with [[rule]], got {}", read.len())));
    }
    let (mut rules, mut problems): (Vec<Rule>, Vec<RuleError>) = Default::default();
    for rule in read {
        match rule {
            Ok(rule) if rules.iter().any(|known| known.id == rule.id) => problems.push(RuleError {
                place: rule.place,
                rule: Some(rule.id),
                problem: "id: there is another rule of that name".to_owned(),
            }),
            Ok(rule) => rules.push(rule),
            Err(mistake) => problems.push(mistake),
        }
    }
    Ok((rules, problems))
}

/// What a rule would have raised: over what is stored, within limits, and without a word to anybody. One back-test runs at a time.
#[utoipa::path(
    post,
    path = "/api/v1/rules/backtest",
    request_body = BacktestBody,
    responses(
        (status = 200, body = BacktestJson, content_type = "application/json", description = "What it would have raised; or what is wrong with it, as `problems`"),
        (status = 400, body = ApiError, description = "No rule, or no such times"),
        (status = 404, body = ApiError, description = "No such rule"),
        (status = 413, body = ApiError, description = "The answer is too large"),
        (status = 500, body = ApiError, description = "What is stored does not read"),
        (status = 503, body = ApiError, description = "Too many back-tests wait already"),
    )
)]
pub(crate) async fn backtest(
    State(app): State<Arc<App>>,
    body: Result<Json<BacktestBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(body) = body.map_err(|rejection| invalid(rejection.body_text()))?;
    let trial = body.trial(app.alarms.rules(), app.clock.now())?;
    let (started, timeout) = (Instant::now(), app.timeout());
    let deadline = started + timeout;
    let turn = app.backtests.turn(deadline).await?;
    let stop = app.stop.child_token();
    // Whoever goes away drops this, and with it the work ends.
    let _gone = stop.clone().drop_guard();
    let bounds = Bounds {
        rows_at_once: ROWS_AT_ONCE,
        rows_max: ROWS_MAX,
        alarms_max: ALARMS_MAX,
        deadline: Some(deadline),
        stop,
    };
    let snapshot = app.store.snapshot();
    let tried = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        run(trial, &snapshot, &bounds, timeout)
    });
    let broken = |_| ApiError::failed("backtest_failed", "the back-test broke down");
    let mut answer = tried.await.map_err(broken)??;
    answer.elapsed_ms = started.elapsed().as_secs_f64() * 1_000.0;
    json::answer(&answer, app.limits.answer_bytes_max)
}

fn run(trial: Trial, snapshot: &Snapshot, bounds: &Bounds, timeout: Duration) -> Result<BacktestJson, ApiError> {
    let Trial { mut rules, mut problems, scope } = trial;
    let unfit = check(&rules, snapshot);
    rules.retain(|rule| unfit.iter().all(|problem| problem.rule.as_ref() != Some(&rule.id)));
    problems.extend(unfit);
    let mut backtest = Backtest::new(rules);
    let mut newest: Vec<Event> = Vec::new();
    let reached = backtest.run(snapshot, &scope, bounds, &mut |event| {
        if event.what == What::Raised {
            newest.push(event.clone());
            if newest.len() >= 2 * ALARMS_TOLD {
                keep_newest(&mut newest);
            }
        }
        Ok(())
    });
    let reached = reached.map_err(|error| match &error {
        BacktestError::Unread { source, .. } => {
            let message = format!("{error}: what can be read of it is being saved, ask again");
            tracing::warn!(error = %source, "a back-test came upon a segment that does not read");
            ApiError::failed("file_unreadable", message)
        }
        _ => ApiError::failed("backtest_failed", error.to_string()),
    })?;
    keep_newest(&mut newest);
    let report = backtest.report(None, None);
    let covered = backtest.covered();
    let (bucket_nanos, counts) = counts(&backtest, &scope);
    Ok(BacktestJson {
        from: scope.from.to_string(),
        to: scope.to.to_string(),
        problems: problems.into_iter().map(ProblemJson::from).collect(),
        figures: report.rules,
        alarms: found(&backtest, &newest),
        total: report.all.alarms,
        bucket_secs: bucket_nanos / 1_000_000_000,
        counts,
        limit: reached.and_then(|reached| limit(reached, timeout)),
        covered: CoveredJson { assets: covered.assets, assets_in_all: covered.assets_in_all },
        cost: report.cost,
        elapsed_ms: 0.0,
    })
}

fn keep_newest(events: &mut Vec<Event>) {
    events.sort_by(|one, other| (other.time, &one.asset).cmp(&(one.time, &other.asset)));
    events.truncate(ALARMS_TOLD);
}

fn found(backtest: &Backtest, events: &[Event]) -> Vec<FoundJson> {
    let tally = backtest.tally();
    let name = |alarm: &crate::backtest::Alarm| {
        let (rule, asset) = (&tally.rules()[alarm.rule as usize].id, &tally.assets()[alarm.asset as usize].id);
        (rule.as_str(), asset.as_str(), alarm.raised)
    };
    let oldest = events.last().map_or(Timestamp::MAX, |event| event.time);
    let shown = tally.alarms().iter().filter(|alarm| alarm.raised >= oldest);
    let returned: HashMap<_, _> = shown.map(|alarm| (name(alarm), alarm.returned)).collect();
    let found = |event: &Event| {
        let (rule, asset) = (event.rule.id.as_str(), event.asset.as_str());
        let returned = returned.get(&(rule, asset, event.time)).copied().flatten();
        FoundJson {
            rule: rule.to_owned(),
            asset: asset.to_owned(),
            priority: event.rule.priority.as_str(),
            raised: event.time.to_string(),
            returned: returned.map(|time| time.to_string()),
            explanation: (&event.explanation()).into(),
        }
    };
    events.iter().map(found).collect()
}

/// How many alarms each rule raised, hour by hour or day by day; and which of the two.
fn counts(backtest: &Backtest, scope: &Scope) -> (i64, BTreeMap<String, Vec<usize>>) {
    let nanos = scope.to.nanos() - scope.from.nanos();
    let bucket = if nanos <= BY_HOUR_DAYS_MAX * DAY_NANOS { HOUR_NANOS } else { DAY_NANOS };
    let buckets = ((nanos - 1) / bucket + 1) as usize;
    let tally = backtest.tally();
    let mut of_rule = vec![vec![0; buckets]; tally.rules().len()];
    for alarm in tally.alarms() {
        of_rule[alarm.rule as usize][((alarm.raised.nanos() - scope.from.nanos()) / bucket) as usize] += 1;
    }
    (bucket, tally.rules().iter().map(|rule| rule.id.clone()).zip(of_rule).collect())
}

fn limit(reached: Reached, timeout: Duration) -> Option<LimitJson> {
    let (what, message) = match reached {
        Reached::Time => ("time", format!("it may take {} s", timeout.as_secs())),
        Reached::Rows(rows) => ("rows", format!("at most {rows} rows are looked at")),
        Reached::Alarms(alarms) => ("alarms", format!("at most {alarms} alarms are counted")),
        // Nobody is there to be told.
        Reached::Stopped => return None,
    };
    Some(LimitJson { what, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    fn body(text: &str) -> BacktestBody {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn parameters_are_checked() {
        let rules: Vec<Arc<Rule>> = Rules::shipped().rules.into_iter().map(Arc::new).collect();
        let now = "2026-07-07T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("{}", "expected `rule`, which there is, or `text`"),
            (r#"{"rule": "insulation-low", "text": "x"}"#, "expected `rule`, which there is, or `text`"),
            (r#"{"rule": "none"}"#, "there is no rule `none`"),
            (r#"{"rule": "insulation-low", "from": "2026-07-08T00:00:00Z"}"#, "has to be before to"),
            (r#"{"rule": "insulation-low", "from": "2025-07-01T00:00:00Z"}"#, "expected at most 366 days"),
            (r#"{"rule": "insulation-low", "to": "soon"}"#, "to: `soon` is not a time"),
            (r#"{"text": "x = 1"}"#, ""),
            (r#"{"text": ""}"#, "text: expected 1 to 16 rules"),
        ] {
            let trial = body(text).trial(&rules, now);
            match trial {
                Ok(trial) => assert!(expected.is_empty() && trial.problems.len() == 1, "{text}"),
                Err(error) => assert!(!expected.is_empty() && format!("{error:?}").contains(expected), "{error:?}"),
            }
        }
        let trial = body(r#"{"rule": "insulation-low", "assets": "vehicle/LTM*"}"#).trial(&rules, now).unwrap();
        assert_eq!((trial.rules.len(), trial.scope.assets.as_str()), (1, "vehicle/LTM*"));
        assert_eq!(trial.scope.from.to_string(), "2026-07-06T00:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn one_runs_at_a_time_and_few_wait() {
        let backtests = Backtests::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        let refused = |turn: Result<OwnedSemaphorePermit, ApiError>| format!("{:?}", turn.map(drop).unwrap_err());
        let first = backtests.turn(deadline).await.unwrap();
        let others = futures::future::join_all((0..=WAITING_MAX).map(|_| backtests.turn(deadline))).await;
        assert_eq!(Instant::now(), deadline);
        let told: Vec<String> = others.into_iter().map(refused).collect();
        assert!(told[0].contains("another back-test took all the time"), "{told:?}");
        assert!(told[WAITING_MAX].contains("8 back-tests wait for their turn already"), "{told:?}");
        drop(first);
        assert!(backtests.turn(deadline + Duration::from_secs(1)).await.is_ok());
    }
}
