//! Alarms: as they are, as they became so, how well they serve, and what people do with them.

mod by_asset;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use diagnosis::{ALARM_PROFILE, Alarm, AlarmState, Book, By, Deed, Done, Figures, Priority, Raising, Rule, Text};
use model::{Timestamp, matches};
use query::Limits;
use query::format::json_value;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::by_asset::{OfAssetJson, by_asset};
use super::App;
use super::assets::parameters;
use super::error::ApiError;
use super::json;
use super::sql::answer;
use crate::alarms::NotDone;

/// Alarms of an answer.
const SHOWN: usize = 500;
const SHOWN_MAX: usize = 10_000;
/// Raisings that figures are made of.
const RAISINGS_MAX: usize = 1_000_000;
/// How long an answer may wait for something new.
const WAIT_SECS_MAX: u64 = 60;
const NAME_CHARS_MAX: usize = 100;
const COMMENT_CHARS_MAX: usize = 2_000;

/// The same in both languages.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TextJson {
    zh: String,
    en: String,
}

impl From<&Text> for TextJson {
    fn from(text: &Text) -> Self {
        Self { zh: text.zh.clone(), en: text.en.clone() }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ValueJson {
    name: String,
    /// Left out where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// UCUM.
    unit: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DoneJson {
    by: String,
    time: String,
    comment: String,
    /// Of what was shelved.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl From<&Done> for DoneJson {
    fn from(done: &Done) -> Self {
        let (by, comment) = (done.by.who.to_string(), done.by.comment.to_string());
        Self { by, time: done.time().to_string(), comment, until: None }
    }
}

/// An alarm: what one rule says of one asset.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Alarm)]
pub(crate) struct AlarmJson {
    asset: String,
    rule: String,
    /// `unacknowledged`, `acknowledged`, `returned_unacknowledged`, `latched_unacknowledged`, `latched_acknowledged`,
    /// `shelved`, `suppressed_by_design`, `out_of_service` or `normal`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Whether it is so at present.
    active: bool,
    /// `low`, `medium`, `high` or `critical`.
    #[schema(value_type = String)]
    priority: &'static str,
    title: TextJson,
    /// With which values.
    explanation: TextJson,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<TextJson>,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    rationale: Option<TextJson>,
    /// Where that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The version of the rule.
    version: u32,
    values: Vec<ValueJson>,
    raised: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<String>,
    changed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<DoneJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shelved: Option<DoneJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_service: Option<DoneJson>,
    /// An alarm of the same asset that is so at present and explains this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    consequence_of: Option<CauseJson>,
    /// How often it has been raised, as far as is known.
    times: u64,
    /// Raised three times or more within a minute (IEC 62682).
    chattering: bool,
    /// So for more than a day (IEC 62682).
    stale: bool,
}

/// What explains an alarm.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CauseJson {
    rule: String,
    title: TextJson,
}

impl AlarmJson {
    fn new(alarm: &Alarm, book: &Book, rules: &[Arc<Rule>], now: Timestamp) -> Self {
        let rule = rules.iter().find(|rule| rule.id == *alarm.rule);
        let value = |shown: &diagnosis::Shown| ValueJson {
            name: shown.name.clone(),
            value: Some(shown.value).filter(|value| value.is_finite()),
            unit: shown.unit.clone(),
        };
        let shelved = alarm.shelved(now);
        let causes = rule.into_iter().flat_map(|rule| &rule.consequence_of);
        let cause = causes.filter_map(|cause| book.get(alarm.asset.as_str(), cause)).find(|cause| cause.is_active);
        let cause = cause.map(|cause| CauseJson { rule: cause.rule.to_string(), title: (&cause.said.title).into() });
        Self {
            asset: alarm.asset.to_string(),
            rule: alarm.rule.to_string(),
            state: alarm.state(now).as_str(),
            active: alarm.is_active,
            priority: alarm.said.priority.as_str(),
            title: (&alarm.said.title).into(),
            explanation: (&alarm.said.explanation).into(),
            advice: rule.map(|rule| (&rule.advice).into()),
            rationale: rule.map(|rule| (&rule.rationale).into()),
            source: rule.map(|rule| rule.source.clone()),
            version: alarm.said.version,
            values: alarm.said.values.iter().map(value).collect(),
            raised: alarm.raised().to_string(),
            returned: alarm.returned().map(|time| time.to_string()),
            changed: alarm.changed().to_string(),
            acknowledged: alarm.acknowledged.as_ref().map(DoneJson::from),
            shelved: shelved.map(|(done, until)| DoneJson { until: Some(until.to_string()), ..done.into() }),
            out_of_service: alarm.out_of_service.as_ref().map(DoneJson::from),
            consequence_of: cause,
            times: alarm.times,
            chattering: alarm.is_chattering(),
            stale: alarm.is_stale(now),
        }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Alarms)]
pub(crate) struct AlarmsJson {
    /// Counts up with each change, of any alarm.
    revision: u64,
    /// The most urgent first, of those the newest.
    alarms: Vec<AlarmJson>,
    /// How many there are, also those that are not in this answer.
    total: usize,
    /// How many alarms are in each state, whatever was asked for.
    states: BTreeMap<&'static str, usize>,
    /// How many alarms of each priority want somebody, whatever was asked for.
    open: BTreeMap<&'static str, usize>,
    /// Asset by asset, also of those that are not in this answer; at most 10,000. Only with `by=asset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    assets: Option<BTreeMap<String, OfAssetJson>>,
}

/// Which alarms are wanted.
#[derive(Debug, PartialEq)]
struct Wanted {
    /// `None`: those that want somebody.
    states: Option<Vec<AlarmState>>,
    asset: Option<String>,
    rule: Option<String>,
    priority: Priority,
    limit: usize,
    is_by_asset: bool,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("invalid_request", message)
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let named = |name: &str| parameters(query, name).pop();
        let known = AlarmState::ALL.map(AlarmState::as_str).join(", ");
        let state = |word: &str| {
            AlarmState::of_word(word)
                .ok_or_else(|| invalid(format!("state: expected open, all, or of {known}, got `{word}`")))
        };
        let words = parameters(query, "state");
        let states = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["open"] => None,
            ["all"] => Some(AlarmState::ALL.to_vec()),
            ref words => Some(words.iter().map(|word| state(word)).collect::<Result<_, _>>()?),
        };
        let priority = named("priority").map_or(Ok(Priority::Low), |word| {
            Priority::of_word(&word)
                .ok_or_else(|| invalid(format!("priority: expected low, medium, high or critical, got `{word}`")))
        })?;
        let limit = named("limit").map_or(Some(SHOWN), |limit| limit.parse().ok().filter(|limit| *limit <= SHOWN_MAX));
        let limit = limit.ok_or_else(|| invalid(format!("limit: expected 0 to {SHOWN_MAX}")))?;
        let is_by_asset = match named("by").as_deref() {
            None => false,
            Some("asset") => true,
            Some(other) => return Err(invalid(format!("by: expected asset, got `{other}`"))),
        };
        Ok(Self { states, asset: named("asset"), rule: named("rule"), priority, limit, is_by_asset })
    }

    fn is(&self, alarm: &Alarm, now: Timestamp) -> bool {
        let state = alarm.state(now);
        self.states.as_ref().map_or(state.wants_somebody(), |states| states.contains(&state))
            && alarm.said.priority >= self.priority
            && self.rule.as_ref().is_none_or(|rule| **rule == *alarm.rule)
            && self.asset.as_ref().is_none_or(|asset| matches(asset, alarm.asset.as_str()))
    }
}

/// Alarms as they are now.
#[utoipa::path(
    get,
    path = "/api/v1/alarms",
    params(
        ("state" = Option<Vec<String>>, Query, description = "Only in these states; `open`, which is those that want somebody, if left out; `all`"),
        ("asset" = Option<String>, Query, description = "Only of these assets; `*` stands for any characters"),
        ("rule" = Option<String>, Query, description = "Only by this rule"),
        ("priority" = Option<String>, Query, description = "Only of this priority, or more urgent"),
        ("limit" = Option<u32>, Query, description = "At most so many; 500 if left out, at most 10000"),
        ("by" = Option<String>, Query, description = "`asset`: also counts them asset by asset"),
        ("after" = Option<u64>, Query, description = "A revision: the answer waits for a later one"),
        ("wait_secs" = Option<u64>, Query, description = "For how long it waits; 0 if left out, at most 60"),
    ),
    responses((status = 200, body = AlarmsJson), (status = 400, body = ApiError, description = "No such parameter"))
)]
pub(crate) async fn alarms(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let wanted = Wanted::read(query.as_deref())?;
    let number = |name: &str| match parameters(query.as_deref(), name).pop() {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| invalid(format!("{name}: expected a number"))),
    };
    if let Some(after) = number("after")? {
        let wait = Duration::from_secs(number("wait_secs")?.unwrap_or(0).min(WAIT_SECS_MAX));
        tokio::select! {
            () = app.alarms.later_than(after) => {}
            () = tokio::time::sleep(wait) => {}
            () = app.stop.cancelled() => {}
        }
    }
    let now = app.alarms.now();
    let (read, revision) = app.alarms.read(|book| {
        let (mut states, mut open): (BTreeMap<_, usize>, BTreeMap<_, usize>) = Default::default();
        let mut found = Vec::new();
        for alarm in book.alarms() {
            let state = alarm.state(now);
            *states.entry(state.as_str()).or_default() += 1;
            if state.wants_somebody() {
                *open.entry(alarm.said.priority.as_str()).or_default() += 1;
            }
            if wanted.is(alarm, now) {
                found.push(alarm);
            }
        }
        let total = found.len();
        found.sort_by_key(|alarm| std::cmp::Reverse((alarm.said.priority, alarm.raised())));
        let assets = wanted.is_by_asset.then(|| by_asset(&found));
        let shown = found.into_iter().take(wanted.limit);
        let alarms = shown.map(|alarm| AlarmJson::new(alarm, book, app.alarms.rules(), now)).collect();
        AlarmsJson { revision: 0, alarms, total, states, open, assets }
    });
    json::answer(&AlarmsJson { revision, ..read }, app.limits.answer_bytes_max)
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeedBody {
    asset: String,
    rule: String,
    /// When it was raised, as whoever acts has seen it: if it has been raised again since, nothing is done.
    raised: Option<String>,
    /// `acknowledge`, `comment`, `reset`, `shelve`, `unshelve`, `out_of_service` or `in_service`.
    deed: String,
    /// Who does it.
    by: String,
    /// Why; needed to comment, to shelve, and to take out of service.
    #[serde(default)]
    comment: String,
    /// Of `shelve`: until when.
    until: Option<String>,
}

impl DeedBody {
    fn time(name: &str, text: Option<&String>) -> Result<Option<Timestamp>, ApiError> {
        let wrong = |error: model::InvalidTimestamp| invalid(format!("{name}: {error}"));
        text.map(|text| text.parse()).transpose().map_err(wrong)
    }

    fn deed(&self) -> Result<Deed, ApiError> {
        let until = Self::time("until", self.until.as_ref())?;
        let deed = match (self.deed.as_str(), until) {
            ("shelve", Some(until)) => Deed::Shelved(until),
            ("shelve", None) => return Err(invalid("until: expected until when it is to be shelved")),
            (_, Some(_)) => return Err(invalid("until: only what is shelved has an end")),
            ("acknowledge", None) => Deed::Acknowledged,
            ("comment", None) => Deed::Commented,
            ("reset", None) => Deed::Reset,
            ("unshelve", None) => Deed::Unshelved,
            ("out_of_service", None) => Deed::OutOfService,
            ("in_service", None) => Deed::InService,
            (other, None) => {
                let known = "acknowledge, comment, reset, shelve, unshelve, out_of_service or in_service";
                return Err(invalid(format!("deed: expected {known}, got `{other}`")));
            }
        };
        let wants_reason = matches!(deed, Deed::Commented | Deed::Shelved(_) | Deed::OutOfService);
        if wants_reason && self.comment.trim().is_empty() {
            return Err(invalid(format!("comment: to {} takes a reason", self.deed)));
        }
        Ok(deed)
    }

    fn by(&self) -> Result<By, ApiError> {
        let (who, comment) = (self.by.trim(), self.comment.trim());
        if who.is_empty() || who.chars().count() > NAME_CHARS_MAX || who.chars().any(char::is_control) {
            return Err(invalid(format!("by: expected who does it, in 1 to {NAME_CHARS_MAX} characters")));
        }
        if comment.chars().count() > COMMENT_CHARS_MAX {
            return Err(invalid(format!("comment: expected at most {COMMENT_CHARS_MAX} characters")));
        }
        Ok(By { who: who.into(), comment: comment.into() })
    }
}

/// Does something with an alarm. It is kept for ever, with who did it.
#[utoipa::path(
    post,
    path = "/api/v1/alarms/deeds",
    request_body = DeedBody,
    responses(
        (status = 200, body = AlarmJson, description = "It is durable; the alarm as it is now"),
        (status = 400, body = ApiError, description = "No deed"),
        (status = 404, body = ApiError, description = "No such alarm"),
        (status = 409, body = ApiError, description = "Its state does not allow it, or it has been raised again"),
        (status = 503, body = ApiError, description = "Nothing can be kept at present"),
    )
)]
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    body: Result<Json<DeedBody>, JsonRejection>,
) -> Result<Json<AlarmJson>, ApiError> {
    let Json(body) = body.map_err(|rejection| invalid(rejection.body_text()))?;
    let (raised, deed, by) = (DeedBody::time("raised", body.raised.as_ref())?, body.deed()?, body.by()?);
    match app.alarms.act((&body.asset, &body.rule), raised, deed, by).await {
        Ok(alarm) => {
            let json = |book: &Book| AlarmJson::new(&alarm, book, app.alarms.rules(), app.alarms.now());
            Ok(Json(app.alarms.read(json).0))
        }
        Err(NotDone::Senseless(error)) => Err(match error {
            diagnosis::DeedError::Unknown { .. } => ApiError::not_found("unknown_alarm", error.to_string()),
            diagnosis::DeedError::ShelvedUntil => invalid(format!("until: {error}")),
            _ => ApiError::conflict("not_allowed", error.to_string()),
        }),
        Err(error @ NotDone::NotKept(_)) => Err(ApiError::busy("not_kept", error.to_string())),
    }
}

/// Something that happened to an alarm.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RecordJson {
    /// The source time.
    time: Value,
    /// When that was known.
    received: Value,
    asset: Value,
    rule: Value,
    /// `raised`, `returned`, `withdrawn`, `acknowledged`, `commented`, `reset`, `shelved`, `unshelved`, `out_of_service`,
    /// `in_service`, `suppressed`, `unsuppressed`, `notified` or `not_notified`.
    event: Value,
    /// Which occurrence: when it was raised.
    raised: Value,
    version: Value,
    priority: Value,
    explanation_zh: Value,
    explanation_en: Value,
    by: Value,
    comment: Value,
    until: Value,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RecordsJson {
    /// The newest first.
    #[schema(value_type = Vec<Object>)]
    records: Vec<RecordJson>,
}

/// What happened to alarms, all of it: nothing of it can be changed or taken away.
#[utoipa::path(
    get,
    path = "/api/v1/alarms/records",
    params(
        ("asset" = Option<String>, Query, description = "Only of this asset"),
        ("rule" = Option<String>, Query, description = "Only by this rule"),
        ("limit" = Option<u32>, Query, description = "At most so many; 500 if left out, at most 10000"),
    ),
    responses((status = 200, body = RecordsJson), (status = 400, body = ApiError, description = "No number"))
)]
pub(crate) async fn records(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<RecordsJson>, ApiError> {
    let wanted = Wanted::read(query.as_deref())?;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let is = |column: &str, text: &Option<String>| {
        text.as_ref().map_or_else(|| "true".to_owned(), |text| format!("{column} = {}", quoted(text)))
    };
    let question = format!(
        "SELECT time, received, asset, alarm_rule, alarm_event, to_timestamp_nanos(alarm_raised), alarm_version, \
         alarm_priority, alarm_explanation_zh, alarm_explanation_en, alarm_by, alarm_comment, \
         to_timestamp_nanos(alarm_until) FROM {ALARM_PROFILE} WHERE {} AND {} ORDER BY time DESC, received DESC LIMIT {}",
        is("asset", &wanted.asset),
        is("alarm_rule", &wanted.rule),
        wanted.limit,
    );
    let Some(answer) = asked(&app, &question, wanted.limit).await? else {
        return Ok(Json(RecordsJson { records: Vec::new() }));
    };
    let record = |batch: &arrow::array::RecordBatch, row: usize| {
        let mut values = batch.columns().iter().map(|column| json_value(column, row));
        let mut next = || values.next().unwrap_or_default();
        RecordJson {
            time: next(),
            received: next(),
            asset: next(),
            rule: next(),
            event: next(),
            raised: next(),
            version: next(),
            priority: next(),
            explanation_zh: next(),
            explanation_en: next(),
            by: next(),
            comment: next(),
            until: next(),
        }
    };
    let batches = answer.batches.iter();
    let records = batches.flat_map(|batch| (0..batch.num_rows()).map(move |row| record(batch, row))).collect();
    Ok(Json(RecordsJson { records }))
}

/// The answer to `question`, which is about the records; `None` where there are none yet.
async fn asked(app: &App, question: &str, rows_max: usize) -> Result<Option<query::Answer>, ApiError> {
    if !app.store.snapshot().tables.iter().any(|table| table.profile.id() == ALARM_PROFILE) {
        return Ok(None);
    }
    let limits = Limits { rows_max, bytes_max: app.limits.answer_bytes_max, timeout: app.timeout() };
    answer(app, question, limits).await.map(Some)
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FloodJson {
    from: String,
    until: String,
    alarms: usize,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FrequentJson {
    asset: String,
    rule: String,
    alarms: usize,
    /// Of all alarms.
    share: f64,
}

/// The performance figures of IEC 62682.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FiguresJson {
    from: String,
    until: String,
    /// Alarms that were raised.
    alarms: usize,
    /// By priority.
    #[schema(value_type = Object)]
    priorities: BTreeMap<&'static str, usize>,
    /// Alarms in ten minutes, in the mean; up to about 1 can be managed, about 2 at most.
    mean_per_10_min: f64,
    /// The most in ten minutes; not more than 10 can be managed.
    peak_per_10_min: usize,
    /// The share of ten-minute periods with more than 10; below 0.01 is aimed at.
    share_over_10: f64,
    /// Times with more alarms than anybody can deal with.
    floods: Vec<FloodJson>,
    /// The share of time in floods; below 0.01 is aimed at.
    share_in_floods: f64,
    /// The ten most frequent alarms; together below 0.05 of all is aimed at.
    most_frequent: Vec<FrequentJson>,
    /// Alarms that come and go so often that nobody can follow; none is aimed at.
    chattering: usize,
    /// Alarms that have been so for more than a day; fewer than 5 are aimed at.
    stale: usize,
}

/// How well alarms serve those who have to act on them.
#[utoipa::path(
    get,
    path = "/api/v1/alarms/figures",
    params(
        ("from" = Option<String>, Query, description = "Left out: a day before `until`"),
        ("until" = Option<String>, Query, description = "Left out: now"),
    ),
    responses((status = 200, body = FiguresJson), (status = 400, body = ApiError, description = "No times"))
)]
pub(crate) async fn figures(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<FiguresJson>, ApiError> {
    let time = |name: &str| DeedBody::time(name, parameters(query.as_deref(), name).pop().as_ref());
    let now = app.alarms.now();
    let until = time("until")?.unwrap_or(now);
    let from = time("from")?.unwrap_or_else(|| until.plus_nanos(-86_400_000_000_000));
    if from >= until {
        return Err(invalid(format!("from ({from}) has to be before until ({until})")));
    }
    let question = format!(
        "SELECT time, asset, alarm_rule, alarm_priority FROM {ALARM_PROFILE} WHERE alarm_event = 'raised' AND \
         time >= '{from}' AND time < '{until}' LIMIT {RAISINGS_MAX}"
    );
    let answer = asked(&app, &question, RAISINGS_MAX).await?;
    let raising = |batch: &arrow::array::RecordBatch, row: usize| {
        let text = |column: usize| json_value(batch.column(column), row).as_str().map(str::to_owned);
        let (time, priority) = (text(0)?.parse().ok()?, Priority::of_word(&text(3)?)?);
        Some(Raising { time, asset: text(1)?, rule: text(2)?, priority })
    };
    let batches = answer.iter().flat_map(|answer| &answer.batches);
    let raisings: Vec<Raising> =
        batches.flat_map(|batch| (0..batch.num_rows()).filter_map(move |row| raising(batch, row))).collect();
    let figures = Figures::of(&raisings, from, until);
    let ((chattering, stale), _) = app.alarms.read(|book| {
        let count = |(chattering, stale), alarm: &Alarm| {
            (chattering + usize::from(alarm.is_chattering()), stale + usize::from(alarm.is_stale(now)))
        };
        book.alarms().fold((0, 0), count)
    });
    let share = |times: usize| times as f64 / figures.alarms.max(1) as f64;
    let frequent = figures.most_frequent.iter().map(|(asset, rule, alarms)| FrequentJson {
        asset: asset.clone(),
        rule: rule.clone(),
        alarms: *alarms,
        share: share(*alarms),
    });
    let flood = |flood: &diagnosis::Flood| FloodJson {
        from: flood.from.to_string(),
        until: flood.until.to_string(),
        alarms: flood.alarms,
    };
    Ok(Json(FiguresJson {
        from: from.to_string(),
        until: until.to_string(),
        alarms: figures.alarms,
        priorities: Priority::ALL.map(Priority::as_str).into_iter().zip(figures.of_priority).collect(),
        mean_per_10_min: figures.mean_per_period,
        peak_per_10_min: figures.peak_per_period,
        share_over_10: figures.share_over_ten,
        floods: figures.floods.iter().map(flood).collect(),
        share_in_floods: figures.share_in_floods,
        most_frequent: frequent.collect(),
        chattering,
        stale,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked() {
        for (query, expected) in [
            ("state=gone", "state: expected open, all, or of normal, unacknowledged"),
            ("priority=urgent", "priority: expected low, medium, high or critical, got `urgent`"),
            ("by=rule", "by: expected asset, got `rule`"),
            ("limit=10001", "limit: expected 0 to 10000"),
        ] {
            let error = format!("{:?}", Wanted::read(Some(query)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let wanted = Wanted::read(Some("state=shelved&state=normal&asset=vehicle/*&priority=high")).unwrap();
        assert_eq!(wanted.states, Some(vec![AlarmState::Shelved, AlarmState::Normal]));
        assert_eq!(
            (wanted.asset.as_deref(), wanted.priority, wanted.limit),
            (Some("vehicle/*"), Priority::High, SHOWN)
        );
    }

    #[test]
    fn a_deed_takes_a_name_and_what_hides_an_alarm_a_reason() {
        let body = |text: &str| {
            serde_json::from_str::<DeedBody>(&format!("{{\"asset\":\"a\",\"rule\":\"r\",{text}}}")).unwrap()
        };
        for (text, expected) in [
            (r#""deed":"delete","by":"Li""#, "deed: expected acknowledge, comment"),
            (r#""deed":"shelve","by":"Li","comment":"c""#, "until: expected until when"),
            (r#""deed":"shelve","by":"Li","until":"2026-01-31T08:00:00Z""#, "comment: to shelve takes a reason"),
            (r#""deed":"shelve","by":"Li","until":"soon","comment":"c""#, "until: `soon` is not a time"),
            (r#""deed":"reset","by":"Li","until":"2026-01-31T08:00:00Z""#, "until: only what is shelved"),
            (r#""deed":"out_of_service","by":"Li""#, "takes a reason"),
            (r#""deed":"acknowledge","by":" ""#, "by: expected who does it"),
        ] {
            let body = body(text);
            let error = body.deed().err().or_else(|| body.by().err()).unwrap();
            assert!(format!("{error:?}").contains(expected), "{error:?}");
        }
        let body = body(r#""deed":"acknowledge","by":" 李 ","comment":"on my way""#);
        assert_eq!(body.deed().unwrap(), Deed::Acknowledged);
        assert_eq!(body.by().unwrap(), By { who: "李".into(), comment: "on my way".into() });
    }
}
