//! What is told, and what it looks like as JSON, which is stable: docs/alarms.md describes it. Must not know how it gets there.

use std::fmt::Write as _;

use diagnosis::{Alarm, By, Happened, Priority, Raised, Record, Shown, Text};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of the form; what is added later changes nothing about it.
const VERSION: u32 = 1;
/// Bytes of an id that are shown.
const ID_BYTES: usize = 16;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// One alarm.
    Alarm,
    /// Several of them, because there were too many to tell one by one.
    Summary,
    /// None: somebody wants to see whether messages arrive.
    Test,
}

/// Something that happened to an alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The same whenever this is told to this target.
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) asset: String,
    pub(crate) rule: String,
    pub(crate) priority: Priority,
    pub(crate) title: Text,
    pub(crate) explanation: Text,
    pub(crate) values: Vec<Shown>,
    /// Which occurrence: when it was raised.
    pub(crate) raised: String,
    /// When it happened.
    pub(crate) time: String,
    /// When that became known.
    pub(crate) received: String,
    /// Who did it, and what they said, of what people do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) comment: Option<String>,
}

impl Entry {
    /// What `target` is told of `record`, which came in at `received`; `said` is what was said when the alarm was raised.
    pub(crate) fn new(target: &str, received: Timestamp, record: &Record, said: &Raised) -> Self {
        let by = match &record.happened {
            Happened::Done(_, by) => Some(by),
            _ => None,
        };
        let text = |part: fn(&By) -> &str| by.map(part).filter(|text| !text.is_empty()).map(str::to_owned);
        let (raised, time, event) = (record.raised.to_string(), record.time.to_string(), record.happened.as_str());
        Self {
            id: digest([target, record.asset.as_str(), &record.rule, event, &raised, &time]),
            event: event.to_owned(),
            asset: record.asset.to_string(),
            rule: record.rule.to_string(),
            priority: said.priority,
            title: said.title.clone(),
            explanation: said.explanation.clone(),
            values: said.values.clone(),
            raised,
            time,
            received: received.to_string(),
            by: text(|by| &by.who),
            comment: text(|by| &by.comment),
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.title, &self.explanation].map(|text| text.zh.len() + text.en.len());
        let values: usize = self.values.iter().map(|value| value.name.len() + value.unit.len() + 40).sum();
        let more = [&self.by, &self.comment].map(|text| text.as_ref().map_or(0, String::len));
        400 + texts.iter().chain(&more).sum::<usize>() + values + self.asset.len() + self.rule.len()
    }

    /// The record that says what became of it at `time`.
    pub(crate) fn record(&self, time: Timestamp, happened: Happened) -> Option<Record> {
        let (asset, raised) = (self.asset.parse().ok()?, self.raised.parse().ok()?);
        Some(Record { asset, rule: self.rule.as_str().into(), time, raised, happened })
    }
}

/// What is told at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) version: u32,
    /// The same whenever this message is sent.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Who is told.
    pub(crate) target: String,
    /// When it was put together.
    pub(crate) made: String,
    /// In the order in which it became known.
    pub(crate) alarms: Vec<Entry>,
}

impl Message {
    /// What tells `target` of `alarms`, put together at `now`.
    pub(crate) fn new(target: &str, alarms: Vec<Entry>, now: Timestamp) -> Self {
        let (kind, id) = match &alarms[..] {
            [] => (Kind::Test, digest([target, "test", &now.to_string()])),
            [one] => (Kind::Alarm, one.id.clone()),
            more => (Kind::Summary, digest(more.iter().map(|entry| entry.id.as_str()))),
        };
        Self { version: VERSION, id, kind, target: target.to_owned(), made: now.to_string(), alarms }
    }

    /// The JSON that is sent.
    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The most urgent of what it tells.
    pub(crate) fn priority(&self) -> Priority {
        self.alarms.iter().map(|entry| entry.priority).max().unwrap_or(Priority::Low)
    }

    /// When the newest of what it tells became known.
    pub(crate) fn newest(&self) -> Timestamp {
        let received = self.alarms.iter().filter_map(|entry| entry.received.parse().ok());
        received.max().or_else(|| self.made.parse().ok()).unwrap_or(Timestamp::MIN)
    }
}

/// A name for what `parts` say together.
fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    let mut text = String::new();
    for byte in &sum.finalize()[..ID_BYTES] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What was said when the alarm of `record` was raised.
pub(crate) fn said<'a>(record: &'a Record, alarm: Option<&'a Alarm>) -> Option<&'a Raised> {
    match &record.happened {
        Happened::Raised(said) => Some(said),
        _ => alarm.map(|alarm| &alarm.said),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An alarm that was raised at `second`.
    pub(crate) fn raised(second: i64) -> Record {
        let text = || Text { zh: "过热".into(), en: "too hot".into() };
        let values = vec![Shown { name: "spindle".into(), value: f64::NAN, unit: "Cel".into() }];
        let (priority, title, explanation) = (Priority::High, text(), text());
        let said = Raised { version: 1, priority, latched: false, title, explanation, values };
        let time = Timestamp::from_millis(second * 1_000);
        let asset = "machine/M1".parse().unwrap();
        Record { asset, rule: "hot".into(), time, raised: time, happened: Happened::Raised(Box::new(said)) }
    }

    pub(crate) fn entry(target: &str, second: i64) -> Entry {
        let record = raised(second);
        Entry::new(target, record.time.plus_nanos(5), &record, said(&record, None).unwrap())
    }

    #[test]
    fn what_is_told_again_has_the_same_id_and_anything_else_another() {
        assert_eq!(entry("a", 1).id, entry("a", 1).id);
        assert_ne!(entry("a", 1).id, entry("b", 1).id);
        assert_ne!(entry("a", 1).id, entry("a", 2).id);
        let now = Timestamp::from_millis(9_000);
        let one = Message::new("a", vec![entry("a", 1)], now);
        assert_eq!((one.kind, &one.id), (Kind::Alarm, &entry("a", 1).id));
        let both = Message::new("a", vec![entry("a", 1), entry("a", 2)], now);
        assert_eq!((both.kind, both.newest()), (Kind::Summary, Timestamp::from_millis(2_000).plus_nanos(5)));
        assert_ne!(both.id, one.id);
    }

    #[test]
    fn the_form_is_stable() {
        let message = Message::new("a", vec![entry("a", 1)], Timestamp::from_millis(9_000));
        let expected = "{\"version\":1,\"id\":\"ID\",\"kind\":\"alarm\",\"target\":\"a\",\"made\":\"1970-01-01T00:00:09Z\",\
             \"alarms\":[{\"id\":\"ID\",\"event\":\"raised\",\"asset\":\"machine/M1\",\"rule\":\"hot\",\"priority\":\"high\",\
             \"title\":{\"zh\":\"过热\",\"en\":\"too hot\"},\"explanation\":{\"zh\":\"过热\",\"en\":\"too hot\"},\
             \"values\":[{\"name\":\"spindle\",\"value\":null,\"unit\":\"Cel\"}],\"raised\":\"1970-01-01T00:00:01Z\",\
             \"time\":\"1970-01-01T00:00:01Z\",\"received\":\"1970-01-01T00:00:01.000000005Z\"}]}";
        let body = String::from_utf8(message.body()).unwrap();
        assert_eq!(body, expected.replace("ID", &message.id));
        assert_eq!(serde_json::from_str::<Message>(&body).unwrap().body(), body.into_bytes());
    }
}
