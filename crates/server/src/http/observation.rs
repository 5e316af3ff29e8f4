//! An observation as the API tells it.

use std::sync::Arc;

use model::{Batch, Changes, Condition, ConditionLevel, Frames, Profile, Quality, Timestamp, Value, Vectors};
use serde::Serialize;
use store::Latest;

/// One signal of one asset at one source time.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Observation)]
pub(crate) struct ObservationJson {
    /// For example `machine/lathe-01`.
    #[schema(value_type = String)]
    pub(crate) asset: Arc<str>,
    /// The signal's id in its profile.
    #[schema(value_type = String)]
    signal: Arc<str>,
    /// When the source says that it was so.
    #[schema(value_type = String)]
    time: Arc<str>,
    /// When it came in.
    #[schema(value_type = String)]
    received: Arc<str>,
    /// Tells observations of one signal at the same time apart.
    sequence: u32,
    /// How far the value can be trusted: `good`, `abnormal`, `invalid` or `unavailable`.
    #[schema(value_type = String)]
    quality: &'static str,
    /// The physical value, if it is a number.
    value: Option<f64>,
    /// The text; of a condition, its level.
    #[schema(value_type = Option<String>)]
    text: Option<Box<str>>,
    /// Numbers that belong together: a position, a time series.
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<Box<[Option<f64>]>>,
    /// A data set or table.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<ConditionJson>,
}

/// The state of a condition.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Condition)]
struct ConditionJson {
    /// `NORMAL`, `WARNING`, `FAULT` or `UNAVAILABLE`.
    #[schema(value_type = String)]
    level: &'static str,
    #[schema(value_type = Option<String>)]
    native_code: Option<Box<str>>,
    #[schema(value_type = Option<String>)]
    native_severity: Option<Box<str>>,
    #[schema(value_type = Option<String>)]
    qualifier: Option<Box<str>>,
    #[schema(value_type = Option<String>)]
    message: Option<Box<str>>,
}

impl From<&Condition> for ConditionJson {
    fn from(condition: &Condition) -> Self {
        Self {
            level: condition.level.as_str(),
            native_code: condition.native_code.clone(),
            native_severity: condition.native_severity.clone(),
            qualifier: condition.qualifier.clone(),
            message: condition.message.clone(),
        }
    }
}

/// What is told beside the value.
struct Said<'a> {
    asset: &'a str,
    signal: u16,
    time: Timestamp,
    received: Timestamp,
    sequence: u32,
    quality: Quality,
}

/// Texts that observations have in common: neighbours mostly are of one asset, and of one time.
struct Shared {
    asset: Arc<str>,
    time: TimeText,
    received: TimeText,
}

struct TimeText {
    time: Timestamp,
    text: Arc<str>,
}

impl TimeText {
    fn of(time: Timestamp) -> Self {
        Self { time, text: time.to_string().into() }
    }

    fn text(&mut self, time: Timestamp) -> Arc<str> {
        if self.time != time {
            *self = Self::of(time);
        }
        Arc::clone(&self.text)
    }
}

impl Shared {
    fn new() -> Self {
        let time = || TimeText::of(Timestamp::default());
        Self { asset: "".into(), time: time(), received: time() }
    }

    fn asset(&mut self, asset: &str) -> Arc<str> {
        if *self.asset != *asset {
            self.asset = asset.into();
        }
        Arc::clone(&self.asset)
    }

    fn observation(&mut self, profile: &Profile, said: &Said<'_>, value: &Value) -> ObservationJson {
        let signal = profile.signal(said.signal);
        let mut json = ObservationJson {
            asset: self.asset(said.asset),
            signal: Arc::clone(&signal.id),
            time: self.time.text(said.time),
            received: self.received.text(said.received),
            sequence: said.sequence,
            quality: said.quality.as_str(),
            value: None,
            text: None,
            vector: None,
            entries: None,
            condition: None,
        };
        match value {
            Value::Absent => {}
            Value::Number(number) => json.value = Some(*number),
            Value::Integer(raw) => json.value = Some(signal.scale.physical(*raw)),
            Value::Text(text) => json.text = Some(text.clone()),
            Value::Vector(numbers) => json.vector = Some(numbers.iter().copied().map(Some).collect()),
            Value::Integers(raw) => {
                let physical = |raw: &i64| (*raw != Vectors::MISSING).then(|| signal.scale.physical(*raw));
                json.vector = Some(raw.iter().map(physical).collect());
            }
            Value::Entries(entries) => json.entries = Some(store::entries_json(entries)),
            Value::Condition(condition) => {
                let known = condition.level != ConditionLevel::Unavailable;
                json.text = known.then(|| condition.level.as_str().into());
                json.condition = Some(ConditionJson::from(&**condition));
            }
        }
        json
    }
}

impl ObservationJson {
    pub(crate) fn of_latest<'a>(all: impl Iterator<Item = &'a Latest>) -> Vec<Self> {
        let mut shared = Shared::new();
        let observation = |latest: &Latest| {
            let observation = &latest.observation;
            let said = Said {
                asset: latest.asset.as_str(),
                signal: observation.signal,
                time: observation.time,
                received: latest.received,
                sequence: observation.sequence,
                quality: observation.quality,
            };
            shared.observation(&latest.profile, &said, &observation.value)
        };
        all.map(observation).collect()
    }

    pub(crate) fn of_changes(batch: &Batch, changes: &Changes) -> Vec<Self> {
        let mut shared = Shared::new();
        let observation = |row: usize| {
            let said = Said {
                asset: changes.asset_of(row).as_str(),
                signal: changes.signal[row],
                time: changes.time[row],
                received: batch.received,
                sequence: changes.sequence[row],
                quality: changes.quality[row],
            };
            shared.observation(&batch.profile, &said, &changes.value[row])
        };
        (0..changes.len()).map(observation).collect()
    }

    pub(crate) fn of_frames(batch: &Batch, frames: &Frames) -> Vec<Self> {
        let mut shared = Shared::new();
        let mut told = Vec::new();
        for row in 0..frames.len() {
            for observation in frames.observations_of(row) {
                let said = Said {
                    asset: frames.assets[usize::from(frames.asset[row])].as_str(),
                    signal: observation.signal,
                    time: observation.time,
                    received: batch.received,
                    sequence: observation.sequence,
                    quality: observation.quality,
                };
                told.push(shared.observation(&batch.profile, &said, &observation.value));
            }
        }
        told
    }
}
