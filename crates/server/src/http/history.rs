//! What signals of one asset said over time, thinned for drawing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampNanosecondType};
use arrow::error::ArrowError;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use model::{AssetId, Quality, Shape, Timestamp, Value, ValueKind};
use query::Limits;
use serde::Serialize;
use store::{Latest, TableSnapshot};

use super::App;
use super::assets::{asset_parameters, parameters};
use super::error::ApiError;
use super::json;
use super::sql::answer;

const SIGNALS_MAX: usize = 32;
const ROWS_MAX: usize = 4_000_000;
const POINTS_DEFAULT: usize = 2_000;
const POINTS_MAX: usize = 100_000;
/// How far back the value that held at the beginning is looked for.
const BEFORE_NS: i64 = 24 * 3_600 * 1_000_000_000;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct History {
    asset: String,
    from: String,
    to: String,
    series: Vec<Series>,
}

/// One signal over time, beginning with what held at `from`: of a condition, all that was active.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
struct Series {
    signal: String,
    #[schema(value_type = String)]
    kind: &'static str,
    unit: Option<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    times: Vec<i64>,
    /// For numbers; null where the quality is not good. Thinned to the extremes of equal spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Option<f64>>>,
    /// For everything else; null where the quality is not good. Never thinned. Of a condition its level.
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Vec<Option<String>>>,
    /// Only for conditions: the native code that each level is about. Several may be active at once: a level ends that
    /// of the same code; NORMAL without code, and what is unavailable, end all.
    #[serde(skip_serializing_if = "Option::is_none")]
    codes: Option<Vec<Option<String>>>,
    /// Only for conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Option<String>>>,
}

/// What a condition said at one time.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    time: Timestamp,
    level: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

struct Wanted {
    asset: AssetId,
    signals: Vec<String>,
    from: Timestamp,
    to: Timestamp,
    points_max: usize,
}

impl Wanted {
    fn read(query: Option<&str>, now: Timestamp) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::bad_request("invalid_parameter", message);
        let one = |name: &str| parameters(query, name).into_iter().next();
        let time = |name: &str, default: Timestamp| match one(name) {
            Some(text) => text.parse().map_err(|error| invalid(format!("{name}: {error}"))),
            None => Ok(default),
        };
        let mut assets = asset_parameters(query)?;
        let (Some(asset), true) = (assets.pop(), assets.is_empty()) else {
            return Err(invalid("expected the parameter `asset`, once".to_owned()));
        };
        let signals = parameters(query, "signal");
        if signals.is_empty() || signals.len() > SIGNALS_MAX {
            return Err(invalid(format!("expected 1 to {SIGNALS_MAX} parameters `signal`, got {}", signals.len())));
        }
        let to = time("to", now)?;
        let from = time("from", to.plus_nanos(-3_600_000_000_000))?;
        if from >= to {
            return Err(invalid(format!("from ({from}) has to be before to ({to})")));
        }
        let points_max = match one("points_max") {
            Some(text) => text.parse().map_err(|_| invalid(format!("points_max: `{text}` is no number")))?,
            None => POINTS_DEFAULT,
        };
        Ok(Self { asset, signals, from, to, points_max: points_max.clamp(2, POINTS_MAX) })
    }

    /// The rows wanted between two times, as a condition of SQL.
    fn condition(&self, from: Timestamp, to: Timestamp) -> String {
        let signals: Vec<String> = self.signals.iter().map(|signal| quoted(signal)).collect();
        let mut sql = String::new();
        let _ = write!(
            sql,
            "asset = {} AND signal IN ({}) AND time >= '{from}' AND time < '{to}'",
            quoted(self.asset.as_str()),
            signals.join(", ")
        );
        sql
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Signals of one asset over time.
#[utoipa::path(
    get,
    path = "/api/v1/history",
    params(
        ("asset" = String, Query, description = "The asset"),
        ("signal" = Vec<String>, Query, description = "Its signals; may be repeated"),
        ("from" = Option<String>, Query, description = "Left out: an hour before `to`"),
        ("to" = Option<String>, Query, description = "Left out: now"),
        ("points_max" = Option<usize>, Query, description = "Points of a number after thinning; 2000 if left out"),
    ),
    responses(
        (status = 200, body = History, content_type = "application/json"),
        (status = 400, body = ApiError),
        (status = 404, body = ApiError),
        (status = 413, body = ApiError, description = "The answer is too large"),
        (status = 503, body = ApiError, description = "Too many questions wait already"),
    )
)]
pub(crate) async fn history(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let wanted = Wanted::read(query.as_deref(), app.clock.now())?;
    let snapshot = app.store.snapshot();
    let tables: Vec<_> = snapshot.tables.iter().filter(|table| table.assets.contains(&wanted.asset)).collect();
    let mut series = series_of(&tables, &wanted)?;
    if series.iter().any(|series| series.codes.is_none()) {
        for sql in observations_sql(&wanted) {
            for batch in rows(&app, &sql).await? {
                append(&mut series, &batch, &wanted).map_err(|error| failed(&error))?;
            }
        }
    }
    if series.iter().any(|series| series.codes.is_some()) {
        let batches = rows(&app, &conditions_sql(&tables, &wanted)).await?;
        append_conditions(&mut series, &batches, &wanted).map_err(|error| failed(&error))?;
    }
    for latest in app.store.current(Some(&wanted.asset)) {
        stand_still(&mut series, &latest, &wanted);
    }
    let thin = |series: Series| thinned(series, &wanted);
    let history = History {
        asset: wanted.asset.to_string(),
        from: wanted.from.to_string(),
        to: wanted.to.to_string(),
        series: series.into_iter().map(thin).collect(),
    };
    json::answer(&history, app.limits.answer_bytes_max)
}

async fn rows(app: &App, sql: &str) -> Result<Vec<RecordBatch>, ApiError> {
    Ok(answer(app, sql, Limits { rows_max: ROWS_MAX, bytes_max: app.limits.answer_bytes_max, timeout: app.timeout() })
        .await?
        .batches)
}

fn failed(error: &ArrowError) -> ApiError {
    query::QueryError::Failed(error.to_string()).into()
}

/// Two questions: what held before `from`, and what was said from then on.
fn observations_sql(wanted: &Wanted) -> [String; 2] {
    let before = format!(
        "SELECT signal, max(time) AS time, last_value(value ORDER BY time) AS value, last_value(text ORDER BY time) AS text, \
         last_value(quality ORDER BY time) AS quality FROM observations WHERE {} GROUP BY signal",
        wanted.condition(wanted.from.plus_nanos(-BEFORE_NS), wanted.from)
    );
    let within = format!(
        "SELECT signal, time, value, text, quality FROM observations WHERE {} ORDER BY time",
        wanted.condition(wanted.from, wanted.to)
    );
    [before, within]
}

/// All that was said from some time before `from`, since what is active then follows only from all before. It is asked
/// of the profiles' own tables: the view `observations` has no codes.
fn conditions_sql(tables: &[&TableSnapshot], wanted: &Wanted) -> String {
    let condition = wanted.condition(wanted.from.plus_nanos(-BEFORE_NS), wanted.to);
    let changes = tables.iter().filter(|table| table.profile.shape() == Shape::Changes);
    let part = |table: &&TableSnapshot| {
        let name = table.profile.id().replace('"', "\"\"");
        format!("SELECT signal, time, sequence, text, native_code, message FROM \"{name}\" WHERE {condition}")
    };
    let parts: Vec<String> = changes.map(part).collect();
    format!("{} ORDER BY time, sequence", parts.join(" UNION ALL "))
}

/// An empty series for each signal that is wanted.
fn series_of(tables: &[&TableSnapshot], wanted: &Wanted) -> Result<Vec<Series>, ApiError> {
    if tables.is_empty() {
        return Err(ApiError::not_found("unknown_asset", format!("nothing was ever heard of `{}`", wanted.asset)));
    }
    let series = |id: &String| {
        let signal = tables.iter().find_map(|table| Some(table.profile.signal(table.profile.signal_index(id)?)));
        let signal = signal
            .ok_or_else(|| ApiError::not_found("unknown_signal", format!("`{}` has no signal `{id}`", wanted.asset)))?;
        let numeric = matches!(signal.kind, ValueKind::Number | ValueKind::Integer);
        let condition = signal.kind == ValueKind::Condition;
        Ok(Series {
            signal: id.clone(),
            kind: signal.kind.as_str(),
            unit: signal.unit.as_deref().map(str::to_owned),
            times: Vec::new(),
            values: numeric.then(Vec::new),
            texts: (!numeric).then(Vec::new),
            codes: condition.then(Vec::new),
            messages: condition.then(Vec::new),
        })
    };
    wanted.signals.iter().map(series).collect()
}

fn append(series: &mut [Series], batch: &RecordBatch, wanted: &Wanted) -> Result<(), ArrowError> {
    let text = |place: usize| cast(batch.column(place), &DataType::Utf8);
    let (signals, texts, qualities) = (text(0)?, text(3)?, text(4)?);
    let (signals, texts, qualities) =
        (signals.as_string::<i32>(), texts.as_string::<i32>(), qualities.as_string::<i32>());
    let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
    let values = batch.column(2).as_primitive::<Float64Type>();
    for row in 0..batch.num_rows() {
        let mine = |series: &&mut Series| series.codes.is_none() && series.signal == signals.value(row);
        let Some(series) = series.iter_mut().find(mine) else { continue };
        let good = qualities.value(row) == "good";
        let time = Timestamp::from_nanos(times.value(row)).max(wanted.from);
        series.times.push(time.millis());
        if let Some(numbers) = &mut series.values {
            numbers.push((good && values.is_valid(row)).then(|| values.value(row)));
        }
        if let Some(words) = &mut series.texts {
            words.push((good && texts.is_valid(row)).then(|| texts.value(row).to_owned()));
        }
    }
    Ok(())
}

/// Fills the series of conditions from rows in the order of time.
fn append_conditions(series: &mut [Series], batches: &[RecordBatch], wanted: &Wanted) -> Result<(), ArrowError> {
    let mut said: HashMap<String, Vec<Said>> = HashMap::new();
    for batch in batches {
        let text = |place: usize| cast(batch.column(place), &DataType::Utf8);
        let columns = [text(0)?, text(3)?, text(4)?, text(5)?];
        let [signals, levels, codes, messages] = columns.each_ref().map(AsArray::as_string::<i32>);
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        for row in 0..batch.num_rows() {
            let own = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            said.entry(signals.value(row).to_owned()).or_default().push(Said {
                time: Timestamp::from_nanos(times.value(row)),
                level: own(levels),
                code: own(codes).filter(|code| !code.is_empty()),
                message: own(messages),
            });
        }
    }
    for series in series {
        let (Some(texts), Some(codes), Some(messages)) = (&mut series.texts, &mut series.codes, &mut series.messages)
        else {
            continue;
        };
        for said in begun_at(wanted.from, said.remove(&series.signal).unwrap_or_default()) {
            series.times.push(said.time.millis());
            texts.push(said.level);
            codes.push(said.code);
            messages.push(said.message);
        }
    }
    Ok(())
}

/// What a condition said, cut off before `from`: it begins with what held then, by the rules of MTConnect part 2.
fn begun_at(from: Timestamp, said: Vec<Said>) -> Vec<Said> {
    let is_active = |said: &Said| matches!(said.level.as_deref(), Some("WARNING" | "FAULT"));
    let mut held: Vec<Said> = Vec::new();
    let mut later = Vec::new();
    for one in said {
        if one.time >= from {
            later.push(one);
            continue;
        }
        if is_active(&one) || (one.level.as_deref() == Some("NORMAL") && one.code.is_some()) {
            held.retain(|other| is_active(other) && other.code != one.code);
        } else {
            held.clear();
        }
        if is_active(&one) || held.is_empty() {
            held.push(one);
        }
    }
    held.into_iter().map(|one| Said { time: from, ..one }).chain(later).collect()
}

/// A signal that has said nothing for longer than is looked back still stands where it stood.
fn stand_still(series: &mut [Series], latest: &Latest, wanted: &Wanted) {
    let observation = &latest.observation;
    let signal = latest.profile.signal(observation.signal);
    let silent = |series: &&mut Series| {
        series.signal == *signal.id && series.times.iter().all(|time| *time == wanted.from.millis())
    };
    let Some(series) = series.iter_mut().find(silent) else { return };
    // Several conditions may stand at once; what was found by looking back stands already.
    let stands = !series.times.is_empty() && series.codes.is_none();
    let oldest = wanted.from.plus_nanos(-BEFORE_NS);
    if stands || observation.time >= oldest {
        return;
    }
    series.times.push(wanted.from.millis());
    let good = observation.quality == Quality::Good;
    if let Some(numbers) = &mut series.values {
        numbers.push(match observation.value {
            Value::Number(number) if good => Some(number),
            Value::Integer(raw) if good => Some(signal.scale.physical(raw)),
            _ => None,
        });
    }
    if let Some(texts) = &mut series.texts {
        texts.push(match &observation.value {
            Value::Text(text) if good => Some(text.to_string()),
            Value::Condition(condition) if good => Some(condition.level.as_str().to_owned()),
            _ => None,
        });
    }
    if let (Some(codes), Some(messages), Value::Condition(condition)) =
        (&mut series.codes, &mut series.messages, &observation.value)
    {
        codes.push(condition.native_code.as_deref().map(str::to_owned));
        messages.push(condition.message.as_deref().map(str::to_owned));
    }
}

/// Numbers thinned to the least, the greatest and the gaps of equal spans of time, so that no peak is lost.
fn thinned(mut series: Series, wanted: &Wanted) -> Series {
    let Some(values) = series.values.take_if(|values| values.len() > wanted.points_max) else { return series };
    let spans = (wanted.points_max / 2) as i64;
    let from = wanted.from.millis();
    let width = ((wanted.to.millis() - from) / spans).max(1);
    let span = |place: usize| (series.times[place] - from) / width;
    let mut kept = Vec::new();
    let mut place = 0;
    while place < values.len() {
        let end = (place..values.len()).find(|next| span(*next) != span(place)).unwrap_or(values.len());
        let by_value = |a: &usize, b: &usize| values[*a].partial_cmp(&values[*b]).unwrap_or(std::cmp::Ordering::Equal);
        let least = (place..end).filter(|place| values[*place].is_some()).min_by(by_value);
        let greatest = (place..end).filter(|place| values[*place].is_some()).max_by(by_value);
        let gap = (place..end).find(|place| values[*place].is_none());
        let mut chosen: Vec<usize> = [least, greatest, gap].into_iter().flatten().collect();
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen);
        place = end;
    }
    series.times = kept.iter().map(|place| series.times[*place]).collect();
    series.values = Some(kept.iter().map(|place| values[*place]).collect());
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(points_max: usize) -> Wanted {
        Wanted {
            asset: "machine/o'neill".parse().unwrap(),
            signals: vec!["a".into()],
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(1_000),
            points_max,
        }
    }

    #[test]
    fn a_signal_that_has_long_been_silent_stands_where_it_stood() {
        let signal = model::Signal::new("a", "x:A", ValueKind::Number);
        let profile = std::sync::Arc::new(model::Profile::new("press", Shape::Changes, vec![signal]).unwrap());
        let check = |said_ms: i64, times: &[i64], expected: &[Option<f64>]| {
            let observation = model::Observation {
                signal: 0,
                time: Timestamp::from_millis(said_ms),
                sequence: 0,
                quality: Quality::Good,
                value: Value::Number(4.5),
                statistic: None,
            };
            let asset = wanted(2).asset;
            let received = observation.time;
            let latest = Latest { asset, profile: std::sync::Arc::clone(&profile), observation, received };
            let mut series = [Series {
                signal: "a".into(),
                kind: "number",
                unit: None,
                times: times.to_vec(),
                values: Some(vec![Some(1.0); times.len()]),
                texts: None,
                codes: None,
                messages: None,
            }];
            stand_still(&mut series, &latest, &wanted(2));
            assert_eq!(series[0].values.as_deref(), Some(expected), "said at {said_ms}, series of {times:?}");
            assert_eq!(series[0].times.len(), expected.len());
        };
        let days_ago = -3 * 86_400_000;
        check(days_ago, &[], &[Some(4.5)]);
        check(days_ago, &[0], &[Some(1.0)]);
        check(days_ago, &[500], &[Some(1.0)]);
        check(500, &[], &[]);
    }

    #[test]
    fn thinning_keeps_peaks_and_gaps() {
        let mut values: Vec<Option<f64>> = (0..1_000).map(|place| Some(f64::from(place % 10))).collect();
        values[503] = Some(99.0);
        values[777] = None;
        let series = Series {
            signal: "a".into(),
            kind: "number",
            unit: None,
            times: (0..1_000).collect(),
            values: Some(values),
            texts: None,
            codes: None,
            messages: None,
        };
        let thin = thinned(series.clone(), &wanted(20));
        let kept = thin.values.unwrap();
        assert!(kept.len() <= 21, "{}", kept.len());
        assert_eq!(thin.times.len(), kept.len());
        assert!(thin.times.is_sorted());
        assert!(kept.contains(&Some(99.0)) && kept.contains(&None));
        assert_eq!(thinned(series.clone(), &wanted(2_000)), series);
    }

    /// A condition's past, as `seconds level code`, cut off before second 10.
    fn check_begin(past: &[&str], expected: &[&str]) {
        let said = |text: &&str| {
            let words: Vec<&str> = text.split(' ').collect();
            let level = Some(words[1].to_owned()).filter(|level| level != "-");
            let code = words.get(2).map(|code| (*code).to_owned());
            Said { time: Timestamp::from_millis(words[0].parse::<i64>().unwrap() * 1_000), level, code, message: None }
        };
        let begun = begun_at(Timestamp::from_millis(10_000), past.iter().map(said).collect());
        assert_eq!(begun, expected.iter().map(said).collect::<Vec<_>>(), "{past:?}");
    }

    #[test]
    fn conditions_begin_with_all_that_was_active() {
        check_begin(&[], &[]);
        check_begin(&["1 NORMAL", "2 NORMAL"], &["10 NORMAL"]);
        check_begin(&["1 FAULT a", "2 WARNING b", "11 NORMAL a"], &["10 FAULT a", "10 WARNING b", "11 NORMAL a"]);
        check_begin(&["1 WARNING a", "2 FAULT a"], &["10 FAULT a"]);
        check_begin(&["1 FAULT a", "2 FAULT b", "3 NORMAL a"], &["10 FAULT b"]);
        check_begin(&["1 FAULT a", "2 NORMAL a"], &["10 NORMAL a"]);
        check_begin(&["1 FAULT a", "2 NORMAL a", "3 WARNING"], &["10 WARNING"]);
        check_begin(&["1 FAULT a", "2 FAULT b", "3 NORMAL"], &["10 NORMAL"]);
        check_begin(&["1 FAULT a", "2 -"], &["10 -"]);
        check_begin(&["1 -", "10 NORMAL"], &["10 -", "10 NORMAL"]);
    }

    #[test]
    fn texts_in_conditions_are_quoted() {
        let condition = wanted(2).condition(Timestamp::from_millis(0), Timestamp::from_millis(1));
        assert!(
            condition.starts_with("asset = 'machine/o''neill' AND signal IN ('a') AND time >= '1970-"),
            "{condition}"
        );
    }

    #[test]
    fn parameters_are_checked() {
        let now = Timestamp::from_millis(10_000_000);
        for (query, expected) in [
            ("signal=a", "`asset`, once"),
            ("asset=machine/a", "1 to 32 parameters `signal`"),
            ("asset=x&signal=a", "`x` is not an asset"),
            ("asset=machine/a&signal=a&from=yesterday", "from: `yesterday` is not a time"),
            ("asset=machine/a&signal=a&from=1970-01-02T00:00:00Z", "has to be before"),
            ("asset=machine/a&signal=a&points_max=many", "points_max"),
        ] {
            let error = format!("{:?}", Wanted::read(Some(query), now).err());
            assert!(error.contains(expected), "{query}: {error}");
        }
    }
}
