//! What the fields behind a key say, by the form of the signal. Takes exactly the fields that belong to it, also where
//! they are wrong, so that the rest of the line is understood. Knows no time and no device.

use std::borrow::Cow;

use model::{Condition, ConditionLevel, Quality, Statistic, Value};

use super::SERIES_MAX;
use super::entries::{self, Malformed};
use super::fields::{Field, Fields};
use super::rows::{Said, unavailable};
use crate::device::Category;
use crate::mapping::{Form, Wire, message_text};
use crate::units::Conversion;

/// Why fields were not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Problem<'a> {
    /// A constant text: what is counted.
    pub(super) reason: &'static str,
    /// What should be there.
    pub(super) expected: &'static str,
    /// What is there.
    pub(super) got: &'a [u8],
    /// Where in the line, in bytes.
    pub(super) offset: usize,
}

impl<'a> Problem<'a> {
    pub(super) fn of(field: Field<'a>, reason: &'static str, expected: &'static str) -> Self {
        Self { reason, expected, got: field.bytes, offset: field.offset }
    }

    fn malformed(field: Field<'a>, reason: &'static str, malformed: Malformed) -> Self {
        let got = &field.bytes[malformed.offset.min(field.bytes.len())..];
        Self { reason, expected: malformed.expected, got, offset: field.offset + malformed.offset }
    }
}

/// How the line as a whole qualifies its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) duration_secs: Option<f64>,
    /// Whether native values are to be converted, or the adapter has done so.
    pub(super) converts: bool,
}

impl Context {
    fn statistic(self, reset_triggered: Option<Box<str>>, sample_rate_hz: Option<f64>) -> Option<Box<Statistic>> {
        if self.duration_secs.is_none() && reset_triggered.is_none() && sample_rate_hz.is_none() {
            return None;
        }
        Some(Box::new(Statistic { duration_secs: self.duration_secs, reset_triggered, sample_rate_hz }))
    }

    fn conversion(self, wire: &Wire) -> Option<Conversion> {
        wire.conversion.filter(|_| self.converts)
    }
}

/// Reads the value of a signal whose first field is `first`; a second observation follows where an alarm came and
/// went in one moment.
#[inline]
pub(super) fn read<'a>(
    wire: &Wire,
    context: Context,
    first: Field<'a>,
    fields: &mut Fields<'a>,
) -> Result<(Said, Option<Said>), Problem<'a>> {
    let said = match wire.form {
        Form::Number => number(wire, context, first),
        Form::Text => text(wire, context, first),
        Form::Condition => condition(context, first, fields),
        Form::Alarm => return alarm(context, first, fields),
        Form::ThreeSpace => three_space(wire, context, first),
        Form::TimeSeries => time_series(wire, context, first, fields),
        Form::DataSet | Form::Table => entries(wire, context, first),
        Form::Message => message(context, first, fields),
        Form::Asset => asset(context, first, fields),
    };
    said.map(|said| (said, None))
}

fn good(value: Value, statistic: Option<Box<Statistic>>) -> Said {
    Said { quality: Quality::Good, value, statistic }
}

fn text_of(field: Field<'_>) -> Result<Cow<'_, str>, Problem<'_>> {
    field.text().map_err(|_| Problem::of(field, "invalid UTF-8", "UTF-8"))
}

fn parse(text: &[u8]) -> Option<f64> {
    let number = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?;
    number.is_finite().then_some(number)
}

/// A reset trigger behind a colon, such as `123:DAY`: the standard's words are upper case.
fn split_trigger(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let at = memchr::memchr(b':', bytes)?;
    let trigger = std::str::from_utf8(bytes[at + 1..].trim_ascii()).ok()?;
    let plausible = trigger.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
    (plausible && !trigger.is_empty()).then_some((bytes[..at].trim_ascii(), trigger))
}

#[inline]
fn number<'a>(wire: &Wire, context: Context, field: Field<'a>) -> Result<Said, Problem<'a>> {
    let (number, reset) = match parse(field.bytes) {
        Some(number) => (number, None),
        None => match split_trigger(field.bytes) {
            Some((value, trigger)) if value.eq_ignore_ascii_case(b"UNAVAILABLE") => {
                return Ok(unavailable(wire.form, context.statistic(Some(trigger.into()), None)));
            }
            Some((value, trigger)) if parse(value).is_some() => {
                (parse(value).unwrap_or_default(), Some(trigger.into()))
            }
            _ => return not_a_number(wire, context, field),
        },
    };
    let number = context.conversion(wire).map_or(number, |conversion| conversion.apply(number));
    if !number.is_finite() {
        return Err(Problem::of(field, "not a number", "a number that can be converted"));
    }
    Ok(good(Value::Number(number), context.statistic(reset, None)))
}

fn not_a_number<'a>(wire: &Wire, context: Context, field: Field<'a>) -> Result<Said, Problem<'a>> {
    if field.is_unavailable() {
        return Ok(unavailable(wire.form, context.statistic(None, None)));
    }
    let text = text_of(field)?;
    match wire.category {
        // Nothing that an event says is lost, even where the standard would have a number.
        Category::Event => Ok(good(Value::Text(text.into()), context.statistic(None, None))),
        _ => Err(Problem::of(field, "not a number", "a number")),
    }
}

#[inline]
fn text<'a>(wire: &Wire, context: Context, field: Field<'a>) -> Result<Said, Problem<'a>> {
    if field.is_unavailable() {
        return Ok(unavailable(wire.form, context.statistic(None, None)));
    }
    let text = text_of(field)?;
    if wire.resets
        && let Some((value, trigger)) = text.split_once(':')
        && !trigger.is_empty()
    {
        let statistic = context.statistic(Some(trigger.to_ascii_uppercase().into()), None);
        return Ok(good(Value::Text(value.into()), statistic));
    }
    Ok(good(Value::Text(text.into()), context.statistic(None, None)))
}

fn numbers(text: &[u8]) -> Option<Vec<f64>> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.take(SERIES_MAX + 1).map(parse).collect()
}

fn converted(numbers: Vec<f64>, conversion: Option<Conversion>) -> Option<Value> {
    let numbers: Box<[f64]> = match conversion {
        Some(conversion) => numbers.into_iter().map(|number| conversion.apply(number)).collect(),
        None => numbers.into(),
    };
    numbers.iter().all(|number| number.is_finite()).then_some(Value::Vector(numbers))
}

fn three_space<'a>(wire: &Wire, context: Context, field: Field<'a>) -> Result<Said, Problem<'a>> {
    if field.is_unavailable() {
        return Ok(unavailable(wire.form, context.statistic(None, None)));
    }
    let three = numbers(field.bytes).filter(|numbers| numbers.len() == 3);
    match three.and_then(|three| converted(three, context.conversion(wire))) {
        Some(value) => Ok(good(value, context.statistic(None, None))),
        None if wire.category == Category::Event => {
            Ok(good(Value::Text(text_of(field)?.into()), context.statistic(None, None)))
        }
        None => Err(Problem::of(field, "not three numbers", "three numbers separated by white space")),
    }
}

/// `count|rate|values`.
fn time_series<'a>(
    wire: &Wire,
    context: Context,
    count: Field<'a>,
    fields: &mut Fields<'a>,
) -> Result<Said, Problem<'a>> {
    let (rate, values) = (fields.next(), fields.next());
    let rate_hz = match rate {
        None => None,
        Some(rate) if rate.bytes.is_empty() => None,
        Some(rate) => Some(rate).filter(|rate| !rate.is_unavailable()).map(|rate| {
            let hz = parse(rate.bytes).filter(|hz| *hz >= 0.0);
            hz.ok_or(Problem::of(rate, "malformed time series", "the rate in values per second"))
        }),
    };
    let unknown = |field: &Field<'_>| field.is_unavailable();
    if unknown(&count) || values.as_ref().is_some_and(unknown) {
        return Ok(unavailable(wire.form, context.statistic(None, None)));
    }
    let rate_hz = rate_hz.transpose()?.or(wire.sample_rate_hz);
    let values = values.ok_or(Problem::of(count, "malformed time series", "count, rate and values"))?;
    let series = numbers(values.bytes).ok_or(Problem::of(values, "malformed time series", "numbers only"))?;
    if series.len() > SERIES_MAX {
        return Err(Problem::of(count, "malformed time series", "at most 100,000 values"));
    }
    if !count.bytes.is_empty() && parse(count.bytes) != Some(series.len() as f64) {
        return Err(Problem::of(count, "malformed time series", "the number of values that follow"));
    }
    let value = converted(series, context.conversion(wire));
    let value = value.ok_or(Problem::of(values, "malformed time series", "numbers that can be converted"))?;
    Ok(good(value, context.statistic(None, rate_hz)))
}

fn entries<'a>(wire: &Wire, context: Context, field: Field<'a>) -> Result<Said, Problem<'a>> {
    if field.is_unavailable() {
        return Ok(unavailable(wire.form, context.statistic(None, None)));
    }
    let text = text_of(field)?;
    // `:TRIGGER k=v …` says that the set begins anew.
    let (trigger, pairs) = match text.strip_prefix(':') {
        Some(rest) => rest.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((rest, "")),
        None => ("", &*text),
    };
    let (read, reason): (Result<_, Malformed>, _) = match wire.form {
        Form::Table => (entries::table(pairs), "malformed table"),
        _ => (entries::data_set(pairs), "malformed data set"),
    };
    let skipped = text.len() - pairs.len();
    let pairs = read.map_err(|malformed| {
        Problem::malformed(field, reason, Malformed { offset: malformed.offset + skipped, ..malformed })
    })?;
    let trigger = (!trigger.is_empty()).then(|| trigger.to_ascii_uppercase().into());
    Ok(good(Value::Entries(pairs), context.statistic(trigger, None)))
}

/// An optional text: nothing where the field is missing or empty.
fn optional(field: Option<Field<'_>>) -> Result<Option<Box<str>>, Problem<'_>> {
    match field {
        Some(field) if !field.bytes.is_empty() => Ok(Some(text_of(field)?.into())),
        _ => Ok(None),
    }
}

/// `level|native code|native severity|qualifier|text`, of which the last ones may be missing.
fn condition<'a>(context: Context, level: Field<'a>, fields: &mut Fields<'a>) -> Result<Said, Problem<'a>> {
    let [native_code, native_severity, qualifier, message] = std::array::from_fn(|_| fields.next());
    let known =
        ConditionLevel::ALL.into_iter().find(|known| level.bytes.eq_ignore_ascii_case(known.as_str().as_bytes()));
    let Some(known) = known else {
        return Err(Problem::of(level, "invalid condition level", "NORMAL, WARNING, FAULT or UNAVAILABLE"));
    };
    let value = Value::Condition(Box::new(Condition {
        level: known,
        native_code: optional(native_code)?,
        native_severity: optional(native_severity)?,
        qualifier: optional(qualifier)?,
        message: optional(message)?,
    }));
    let quality = if known == ConditionLevel::Unavailable { Quality::Unavailable } else { Quality::Good };
    Ok(Said { quality, value, statistic: context.statistic(None, None) })
}

/// `code|native code|severity|state|text`, as MTConnect 1.0 had it. The code becomes the qualifier.
fn alarm<'a>(context: Context, code: Field<'a>, fields: &mut Fields<'a>) -> Result<(Said, Option<Said>), Problem<'a>> {
    let [native_code, severity, state, message] = std::array::from_fn(|_| fields.next());
    if code.is_unavailable() {
        return Ok((unavailable(Form::Alarm, context.statistic(None, None)), None));
    }
    let state = state.ok_or(Problem::of(code, "malformed alarm", "code, native code, severity, state and text"))?;
    let is = |field: Option<Field<'_>>, word: &str| {
        field.is_some_and(|field| field.bytes.eq_ignore_ascii_case(word.as_bytes()))
    };
    let active = match severity {
        severity if is(severity, "WARNING") => ConditionLevel::Warning,
        severity if is(severity, "INFORMATION") => ConditionLevel::Normal,
        _ => ConditionLevel::Fault,
    };
    let [cleared, instant] = ["CLEARED", "INSTANT"].map(|word| is(Some(state), word));
    if !cleared && !instant && !is(Some(state), "ACTIVE") {
        return Err(Problem::of(state, "malformed alarm", "ACTIVE, CLEARED or INSTANT"));
    }
    let mut alarm = Condition {
        level: if cleared { ConditionLevel::Normal } else { active },
        native_code: optional(native_code)?,
        native_severity: optional(severity)?,
        qualifier: optional(Some(code))?,
        message: optional(message)?,
    };
    let statistic = context.statistic(None, None);
    let first = good(Value::Condition(Box::new(alarm.clone())), statistic.clone());
    let end = instant.then(|| {
        alarm.level = ConditionLevel::Normal;
        good(Value::Condition(Box::new(alarm)), statistic)
    });
    Ok((first, end))
}

/// `native code|text`; a single field is the text.
fn message<'a>(context: Context, first: Field<'a>, fields: &mut Fields<'a>) -> Result<Said, Problem<'a>> {
    let second = fields.next();
    let unknown = match second {
        Some(second) => second.is_unavailable() || (second.bytes.is_empty() && first.is_unavailable()),
        None => first.is_unavailable(),
    };
    let statistic = context.statistic(None, None);
    if unknown {
        return Ok(unavailable(Form::Message, statistic));
    }
    let text = match second {
        Some(second) => message_text(&text_of(first)?, &text_of(second)?),
        None => text_of(first)?.into(),
    };
    Ok(good(Value::Text(text), statistic))
}

/// `type|id` of an asset, said like any other data item.
fn asset<'a>(context: Context, first: Field<'a>, fields: &mut Fields<'a>) -> Result<Said, Problem<'a>> {
    let second = fields.next();
    let (kind, id) = match second {
        Some(id) => (first, id),
        None => (first.emptied(), first),
    };
    let statistic = context.statistic(None, None);
    if id.is_unavailable() || (id.bytes.is_empty() && kind.is_unavailable()) {
        return Ok(unavailable(Form::Asset, statistic));
    }
    let mut pairs = vec![("assetId".into(), model::Entry::Text(text_of(id)?.into()))];
    if !kind.bytes.is_empty() {
        pairs.push(("type".into(), model::Entry::Text(text_of(kind)?.into())));
    }
    Ok(good(Value::Entries(pairs.into()), statistic))
}
