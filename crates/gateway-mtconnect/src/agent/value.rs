//! From an observation as an agent said it to quality and value, by the form that the mapping gives its signal. An
//! agent publishes in the units of the model already, so nothing is converted. Must not know of sequences or batches.

use model::{Condition, ConditionLevel, Entry, Quality, Statistic, Value};

use super::document::{Name, Said, SaidEntry};
use crate::device::Category;
use crate::mapping::{Form, Wire, message_text};

/// The word for what the source cannot tell.
const UNAVAILABLE: &str = "UNAVAILABLE";
/// The most numbers of one vector or entries of one data set.
const ITEMS_MAX: usize = 100_000;

/// Why an observation cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

fn refusal(reason: &'static str, expected: &str, got: &str) -> Refusal {
    Refusal { reason, detail: format!("expected {expected}, got `{got:.64}`") }
}

/// Quality and value of `said`.
pub(super) fn value_of(said: &Said, wire: &Wire) -> Result<(Quality, Value), Refusal> {
    match wire.form {
        Form::Condition => return condition(said),
        Form::Alarm => return Ok(alarm(said)),
        _ if said.category == Category::Condition => {
            return Err(refusal("unexpected condition", "a value", &said.element));
        }
        _ => {}
    }
    if said.text == UNAVAILABLE && said.entries.is_empty() {
        return Ok((Quality::Unavailable, Value::Absent));
    }
    let value = match wire.form {
        Form::Number => number(said, wire)?,
        Form::ThreeSpace => Value::Vector(numbers(said, 3)?),
        Form::TimeSeries => Value::Vector(numbers(said, ITEMS_MAX)?),
        Form::DataSet | Form::Table => entries(said)?,
        Form::Asset => asset(said, None),
        Form::Message => Value::Text(message_text(said.attribute(Name::NativeCode).unwrap_or_default(), &said.text)),
        Form::Text | Form::Condition | Form::Alarm => Value::Text(said.text.as_str().into()),
    };
    Ok((Quality::Good, value))
}

/// How the value came to be, where that was said.
pub(super) fn statistic_of(said: &Said, wire: &Wire) -> Option<Box<Statistic>> {
    let number = |name| said.attribute(name).and_then(|text| text.parse::<f64>().ok()).filter(|n| n.is_finite());
    let mut statistic = Statistic {
        duration_secs: number(Name::Duration),
        reset_triggered: said.attribute(Name::ResetTriggered).map(Into::into),
        sample_rate_hz: number(Name::SampleRate).filter(|rate| *rate > 0.0),
    };
    if wire.form == Form::TimeSeries && said.text != UNAVAILABLE {
        statistic.sample_rate_hz = statistic.sample_rate_hz.or(wire.sample_rate_hz);
    }
    (statistic != Statistic::default()).then(|| Box::new(statistic))
}

fn number(said: &Said, wire: &Wire) -> Result<Value, Refusal> {
    match finite(&said.text) {
        Some(number) => Ok(Value::Number(number)),
        // Controllers put words where the standard wants a number; an event may, a measurement may not.
        None if wire.category == Category::Event => Ok(Value::Text(said.text.as_str().into())),
        None => Err(refusal("not a number", "a number", &said.text)),
    }
}

fn finite(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn numbers(said: &Said, count_max: usize) -> Result<Box<[f64]>, Refusal> {
    let mut numbers = Vec::new();
    for word in said.text.split_ascii_whitespace() {
        if numbers.len() >= count_max {
            return Err(refusal("too many numbers", &format!("at most {count_max} numbers"), &said.text));
        }
        numbers.push(finite(word).ok_or_else(|| refusal("not a number", "numbers", word))?);
    }
    Ok(numbers.into())
}

fn entries(said: &Said) -> Result<Value, Refusal> {
    if said.entries.is_empty() && !said.text.is_empty() {
        return Err(refusal("invalid data set", "entries", &said.text));
    }
    if said.entries.len() > ITEMS_MAX {
        return Err(refusal("too many entries", &format!("at most {ITEMS_MAX} entries"), &said.element));
    }
    Ok(Value::Entries(said.entries.iter().map(|entry| (entry.key.clone(), entry_of(entry))).collect()))
}

fn entry_of(entry: &SaidEntry) -> Entry {
    if entry.removed {
        return Entry::Removed;
    }
    if entry.cells.is_empty() {
        return plain(&entry.text);
    }
    Entry::Row(entry.cells.iter().map(|(key, text)| (key.clone(), plain(text))).collect())
}

fn plain(text: &str) -> Entry {
    finite(text).map_or_else(|| Entry::Text(text.into()), Entry::Number)
}

/// Entries `assetId`, `type` where it was said, and `document` where it could be had.
pub(super) fn asset(said: &Said, document: Option<&str>) -> Value {
    let entries = [
        ("assetId", Some(said.text.as_str()).filter(|id| !id.is_empty())),
        ("type", said.attribute(Name::AssetType)),
        ("document", document),
    ];
    let given = entries.into_iter().filter_map(|(key, text)| Some((key.into(), Entry::Text(text?.into()))));
    Value::Entries(given.collect())
}

/// The level is the element; agents that are not quite there yet say it as text in an element of the type.
fn condition(said: &Said) -> Result<(Quality, Value), Refusal> {
    let level_of = |word: &str| ConditionLevel::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word));
    let (level, message) = match (level_of(&said.element), level_of(&said.text)) {
        (Some(level), _) => (level, said.text.as_str()),
        (None, Some(level)) => (level, ""),
        (None, None) => {
            return Err(refusal("invalid condition", "Normal, Warning, Fault or Unavailable", &said.element));
        }
    };
    // Since 2.3 a condition has an id of its own, which is the native code where only one of both is given.
    let native_code = said.attribute(Name::NativeCode).or_else(|| said.attribute(Name::ConditionId));
    let condition = Condition {
        level,
        native_code: native_code.map(Into::into),
        native_severity: said.attribute(Name::NativeSeverity).map(Into::into),
        qualifier: said.attribute(Name::Qualifier).map(Into::into),
        message: Some(message).filter(|text| !text.is_empty()).map(Into::into),
    };
    let quality = if level == ConditionLevel::Unavailable { Quality::Unavailable } else { Quality::Good };
    Ok((quality, Value::Condition(Box::new(condition))))
}

/// An alarm of MTConnect 1.0 as the condition that took its place in 1.1. The code becomes the qualifier.
fn alarm(said: &Said) -> (Quality, Value) {
    if said.text == UNAVAILABLE {
        return (Quality::Unavailable, Value::Condition(Box::default()));
    }
    let level = match (said.attribute(Name::State), said.attribute(Name::Severity)) {
        (Some("CLEARED"), _) | (_, Some("INFORMATION")) => ConditionLevel::Normal,
        (_, Some("WARNING")) => ConditionLevel::Warning,
        _ => ConditionLevel::Fault,
    };
    let condition = Condition {
        level,
        native_code: said.attribute(Name::NativeCode).map(Into::into),
        native_severity: said.attribute(Name::Severity).map(Into::into),
        qualifier: said.attribute(Name::Code).map(Into::into),
        message: Some(said.text.as_str()).filter(|text| !text.is_empty()).map(Into::into),
    };
    (Quality::Good, Value::Condition(Box::new(condition)))
}

/// The end of an alarm that says itself that it was over at once.
pub(super) fn end_of_alarm(said: &Said, wire: &Wire, value: &Value) -> Option<Value> {
    match value {
        Value::Condition(alarm) if wire.form == Form::Alarm && said.attribute(Name::State) == Some("INSTANT") => {
            Some(Value::Condition(Box::new(Condition { level: ConditionLevel::Normal, ..(**alarm).clone() })))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::document::{Document, read_document};

    /// The one observation `xml` within `container`.
    fn said(container: &str, xml: &str) -> Said {
        let common = "dataItemId='a' sequence='1' timestamp='2026-01-05T08:00:00Z'";
        let document = format!(
            "<MTConnectStreams><DeviceStream><{container}>{}</{container}></DeviceStream></MTConnectStreams>",
            xml.replacen(' ', &format!(" {common} "), 1)
        );
        match read_document(document.as_bytes()) {
            Ok(Document::Streams(mut streams)) => streams.devices.remove(0).said.remove(0),
            other => panic!("{document}: {other:?}"),
        }
    }

    fn wire(form: Form, category: Category) -> Wire {
        Wire { form, category, conversion: None, resets: false, sample_rate_hz: Some(50.0), made: false }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn values_follow_the_form_of_their_signal() {
        use Category::{Event, Sample};
        let check = |xml: &str, form, category, expected: (Quality, Value)| {
            assert_eq!(value_of(&said("Events", xml), &wire(form, category)), Ok(expected), "{xml}");
        };
        let good = |value| (Quality::Good, value);
        check("<Load >12.5</Load>", Form::Number, Sample, good(Value::Number(12.5)));
        check("<Load >-1E-3</Load>", Form::Number, Sample, good(Value::Number(-0.001)));
        check("<Load >UNAVAILABLE</Load>", Form::Number, Sample, (Quality::Unavailable, Value::Absent));
        check("<PartCount >7</PartCount>", Form::Number, Event, good(Value::Number(7.0)));
        check("<PartCount >7/10</PartCount>", Form::Number, Event, good(text("7/10")));
        check("<Program >7</Program>", Form::Text, Event, good(text("7")));
        check("<Program />", Form::Text, Event, good(text("")));
        check("<Message nativeCode='401'>Door</Message>", Form::Message, Event, good(text("[401] Door")));
        check("<P >1 2 -3.5</P>", Form::ThreeSpace, Sample, good(Value::Vector([1.0, 2.0, -3.5].into())));
        check("<T sampleCount='2'>1\n2</T>", Form::TimeSeries, Sample, good(Value::Vector([1.0, 2.0].into())));
        check("<V count='0'/>", Form::DataSet, Event, good(Value::Entries([].into())));
        check("<V >UNAVAILABLE</V>", Form::DataSet, Event, (Quality::Unavailable, Value::Absent));
    }

    #[test]
    fn values_that_do_not_fit_are_refused_with_the_reason() {
        let check = |xml: &str, form, category, expected: &str| {
            let refusal = value_of(&said("Samples", xml), &wire(form, category)).unwrap_err();
            assert_eq!(format!("{}: {}", refusal.reason, refusal.detail), expected, "{xml}");
        };
        check("<Load >fast</Load>", Form::Number, Category::Sample, "not a number: expected a number, got `fast`");
        check("<Load >NaN</Load>", Form::Number, Category::Sample, "not a number: expected a number, got `NaN`");
        check("<Load />", Form::Number, Category::Sample, "not a number: expected a number, got ``");
        check("<P >1 two 3</P>", Form::ThreeSpace, Category::Sample, "not a number: expected numbers, got `two`");
        check(
            "<P >1 2 3 4</P>",
            Form::ThreeSpace,
            Category::Sample,
            "too many numbers: expected at most 3 numbers, got `1 2 3 4`",
        );
        check("<V >a=1</V>", Form::DataSet, Category::Event, "invalid data set: expected entries, got `a=1`");
    }

    #[test]
    fn conditions_are_read_in_the_words_of_all_versions() {
        let check =
            |container: &str, xml: &str, form, expected: (Quality, ConditionLevel, Option<&str>, Option<&str>)| {
                let (quality, value) = value_of(&said(container, xml), &wire(form, Category::Condition)).unwrap();
                let Value::Condition(condition) = value else { panic!("{xml}: {value:?}") };
                let got = (quality, condition.level, condition.native_code.as_deref(), condition.message.as_deref());
                assert_eq!(got, expected, "{xml}");
            };
        use ConditionLevel::{Fault, Normal, Unavailable, Warning};
        let good = Quality::Good;
        let condition = Form::Condition;
        check("Condition", "<Fault nativeCode='9'>hot</Fault>", condition, (good, Fault, Some("9"), Some("hot")));
        check("Condition", "<Warning nativeCode='9' conditionId='c'/>", condition, (good, Warning, Some("9"), None));
        check("Condition", "<Warning conditionId='c'/>", condition, (good, Warning, Some("c"), None));
        check("Condition", "<Normal />", condition, (good, Normal, None, None));
        check("Condition", "<Unavailable />", condition, (Quality::Unavailable, Unavailable, None, None));
        check("Conditions", "<Temperature >NORMAL</Temperature>", condition, (good, Normal, None, None));
        let alarm = Form::Alarm;
        let jam = |rest: &str| format!("<Alarm nativeCode='7' code='JAM' {rest}>chip</Alarm>");
        for (rest, level) in [
            ("severity='CRITICAL' state='ACTIVE'", Fault),
            ("severity='WARNING' state='INSTANT'", Warning),
            ("severity='CRITICAL' state='CLEARED'", Normal),
        ] {
            check("Events", &jam(rest), alarm, (good, level, Some("7"), Some("chip")));
        }
        check("Events", "<Alarm >UNAVAILABLE</Alarm>", alarm, (Quality::Unavailable, Unavailable, None, None));
        let instant = said("Events", &jam("severity='CRITICAL' state='INSTANT'"));
        let wire = wire(alarm, Category::Event);
        let (_, value) = value_of(&instant, &wire).unwrap();
        let Some(Value::Condition(end)) = end_of_alarm(&instant, &wire, &value) else { panic!("it is over at once") };
        assert_eq!((end.level, end.qualifier.as_deref()), (Normal, Some("JAM")));
    }

    #[test]
    fn how_a_value_came_to_be_is_kept() {
        let check = |xml: &str, form, duration_secs, reset_triggered: Option<&str>, sample_rate_hz| {
            let got = statistic_of(&said("Samples", xml), &wire(form, Category::Sample));
            let reset_triggered = reset_triggered.map(Into::into);
            let expected = Statistic { duration_secs, reset_triggered, sample_rate_hz };
            assert_eq!(got.map_or_else(Statistic::default, |statistic| *statistic), expected, "{xml}");
        };
        check("<Load >1</Load>", Form::Number, None, None, None);
        check("<Load duration='10.5'>1</Load>", Form::Number, Some(10.5), None, None);
        check("<Load resetTriggered='DAY' duration='x'>1</Load>", Form::Number, None, Some("DAY"), None);
        check("<Load sampleCount='1' sampleRate='100'>1</Load>", Form::TimeSeries, None, None, Some(100.0));
        check("<Load sampleCount='1'>1</Load>", Form::TimeSeries, None, None, Some(50.0));
        check("<Load sampleCount='0'>UNAVAILABLE</Load>", Form::TimeSeries, None, None, None);
    }
}
