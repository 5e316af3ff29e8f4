//! What happens to alarms, record by record, and the table that records are kept in. A record is never changed or taken away; what
//! an alarm is at a time follows from its records alone. Knows nothing of rules that run, or of who acts.

use std::sync::{Arc, LazyLock};

use model::{AssetId, Batch, Column, Frames, Profile, Shape, Signal, Timestamp, ValueKind};
use serde::{Deserialize, Serialize};

use crate::engine::{Event, Shown, What};
use crate::rule::{Priority, Text};

/// The profile that records are kept in, which is also the name of their table.
pub const ALARM_PROFILE: &str = "alarm";

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| {
    let signal = |(id, kind, description): (&str, ValueKind, &str)| Signal {
        description: Some(description.into()),
        ..Signal::new(id, &format!("iec62682:{id}"), kind)
    };
    let signals = [
        ("alarm_rule", ValueKind::Text, "规则 The rule, or the source's own name of the alarm"),
        ("alarm_event", ValueKind::Text, "事件 What happened: raised, returned, acknowledged, shelved …"),
        (
            "alarm_raised",
            ValueKind::Integer,
            "发生时间 Which occurrence: when it was raised, in nanoseconds of Unix time",
        ),
        ("alarm_version", ValueKind::Integer, "规则版本 The version of the rule"),
        ("alarm_priority", ValueKind::Text, "优先级 low, medium, high or critical"),
        ("alarm_latched", ValueKind::Integer, "锁存 1 if it stays until it is reset"),
        ("alarm_title_zh", ValueKind::Text, "标题 What is wrong, in Chinese"),
        ("alarm_title_en", ValueKind::Text, "标题 What is wrong, in English"),
        ("alarm_explanation_zh", ValueKind::Text, "说明 With which values, in Chinese"),
        ("alarm_explanation_en", ValueKind::Text, "说明 With which values, in English"),
        ("alarm_values", ValueKind::Text, "数值 The values that were shown, as JSON"),
        ("alarm_by", ValueKind::Text, "操作人 Who did it"),
        ("alarm_comment", ValueKind::Text, "备注 What they said"),
        ("alarm_until", ValueKind::Integer, "搁置至 Until when it is shelved, in nanoseconds of Unix time"),
    ];
    let signals = signals.into_iter().map(signal).collect();
    Arc::new(Profile::new(ALARM_PROFILE, Shape::Frames, signals).expect("the list above is a profile"))
});

/// Something that happened to an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Whose alarm it is.
    pub asset: AssetId,
    /// The rule's id, or the source's own name of the alarm.
    pub rule: Box<str>,
    /// When: of what is found, the source time.
    pub time: Timestamp,
    /// Which occurrence is meant: when it was raised.
    pub raised: Timestamp,
    /// What it was.
    pub happened: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// It is so from now on.
    Raised(Box<Raised>),
    /// It is over.
    Returned,
    /// It is nobody's concern while that lasts, by the design of its rule.
    Suppressed,
    /// It is somebody's concern again.
    Unsuppressed,
    /// Its rule is no more, so that nobody can say whether it is over.
    Withdrawn,
    /// Somebody did something.
    Done(Deed, By),
    /// Somebody was told of it: whom, and after how many attempts. It changes nothing about the alarm.
    Notified(By),
    /// It was given up to tell somebody: whom, and why. It changes nothing about the alarm.
    NotNotified(By),
}

/// What is said when an alarm is raised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// The version of the rule.
    pub version: u32,
    /// How soon somebody has to act.
    pub priority: Priority,
    /// Stays until it is reset.
    pub latched: bool,
    /// What is wrong.
    pub title: Text,
    /// With which values.
    pub explanation: Text,
    /// These values.
    pub values: Vec<Shown>,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Has seen it.
    Acknowledged,
    /// Says something.
    Commented,
    /// Ends it, which stayed although it was over.
    Reset,
    /// Does not want to see it until then.
    Shelved(Timestamp),
    /// Wants to see it again.
    Unshelved,
    /// It is being worked on, and nobody is to be told of it.
    OutOfService,
    /// It counts again.
    InService,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Their name.
    pub who: Box<str>,
    /// What they said.
    pub comment: Box<str>,
}

impl Happened {
    /// The word that is kept and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Raised(_) => "raised",
            Self::Returned => "returned",
            Self::Suppressed => "suppressed",
            Self::Unsuppressed => "unsuppressed",
            Self::Withdrawn => "withdrawn",
            Self::Notified(_) => "notified",
            Self::NotNotified(_) => "not_notified",
            Self::Done(deed, _) => match deed {
                Deed::Acknowledged => "acknowledged",
                Deed::Commented => "commented",
                Deed::Reset => "reset",
                Deed::Shelved(_) => "shelved",
                Deed::Unshelved => "unshelved",
                Deed::OutOfService => "out_of_service",
                Deed::InService => "in_service",
            },
        }
    }
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Self {
        let rule = &event.rule;
        let happened = match event.what {
            What::Returned => Happened::Returned,
            What::Suppressed => Happened::Suppressed,
            What::Unsuppressed => Happened::Unsuppressed,
            What::Raised => Happened::Raised(Box::new(Raised {
                version: rule.version,
                priority: rule.priority,
                latched: rule.latched,
                title: rule.title.clone(),
                explanation: event.explanation(),
                values: event.shows.clone(),
            })),
        };
        let (asset, rule) = (event.asset.clone(), rule.id.as_str().into());
        Self { asset, rule, time: event.time, raised: event.raised, happened }
    }
}

/// A batch of `records`, received at `received`. The same record makes the same row, so that a table keeps it once.
pub fn batch(records: &[Record], received: Timestamp) -> Batch {
    let mut assets: Vec<AssetId> = records.iter().map(|record| record.asset.clone()).collect();
    assets.sort();
    assets.dedup();
    let asset = |record: &Record| assets.binary_search(&record.asset).expect("it is among them") as u16;
    let raised = |record: &Record| match &record.happened {
        Happened::Raised(raised) => Some(raised.clone()),
        _ => None,
    };
    let by = |record: &Record| match &record.happened {
        Happened::Done(_, by) | Happened::Notified(by) | Happened::NotNotified(by) => Some(by.clone()),
        _ => None,
    };
    let until = |record: &Record| match &record.happened {
        Happened::Done(Deed::Shelved(until), _) => Some(until.nanos()),
        _ => None,
    };
    let texts = |text: &dyn Fn(&Record) -> Option<String>| {
        Column::Texts(
            records.iter().map(|record| text(record).filter(|text| !text.is_empty()).map(Into::into)).collect(),
        )
    };
    let integers = |integer: &dyn Fn(&Record) -> Option<i64>| Column::Integers(records.iter().map(integer).collect());
    let values = |record: &Record| {
        let raised = raised(record).filter(|raised| !raised.values.is_empty())?;
        Some(serde_json::to_string(&raised.values).expect("values are JSON"))
    };
    let columns = vec![
        texts(&|record| Some(record.rule.to_string())),
        texts(&|record| Some(record.happened.as_str().to_owned())),
        integers(&|record| Some(record.raised.nanos())),
        integers(&|record| raised(record).map(|raised| raised.version.into())),
        texts(&|record| raised(record).map(|raised| raised.priority.as_str().to_owned())),
        integers(&|record| raised(record).map(|raised| raised.latched.into())),
        texts(&|record| raised(record).map(|raised| raised.title.zh)),
        texts(&|record| raised(record).map(|raised| raised.title.en)),
        texts(&|record| raised(record).map(|raised| raised.explanation.zh)),
        texts(&|record| raised(record).map(|raised| raised.explanation.en)),
        texts(&values),
        texts(&|record| by(record).map(|by| by.who.into())),
        texts(&|record| by(record).map(|by| by.comment.into())),
        integers(&until),
    ];
    let frames = Frames {
        asset: records.iter().map(asset).collect(),
        time: records.iter().map(|record| record.time).collect(),
        sequence: vec![0; records.len()],
        assets,
        columns,
        exceptions: Vec::new(),
    };
    Batch::frames(Arc::clone(&PROFILE), received, frames)
}

/// The record that each of the rows `frames` of `profile` is; `None` for what a later version of this program has written.
pub fn records(profile: &Profile, frames: &Frames) -> Vec<Option<Record>> {
    let column = |id: &str| {
        let place = profile.signals().iter().position(|signal| &*signal.id == id)?;
        frames.columns.get(place)
    };
    let text = |id: &str, row: usize| match column(id) {
        Some(Column::Texts(rows)) => rows.get(row).cloned().flatten(),
        _ => None,
    };
    let integer = |id: &str, row: usize| match column(id) {
        Some(Column::Integers(rows)) => rows.get(row).copied().flatten(),
        _ => None,
    };
    let both = |id: &str, row: usize| {
        let one = |language: &str| text(&format!("{id}_{language}"), row).unwrap_or_default().into_string();
        Text { zh: one("zh"), en: one("en") }
    };
    let record = |row: usize| {
        let by = || By {
            who: text("alarm_by", row).unwrap_or_default(),
            comment: text("alarm_comment", row).unwrap_or_default(),
        };
        let deed = |deed| Some(Happened::Done(deed, by()));
        let happened = match &*text("alarm_event", row)? {
            "raised" => {
                let values = text("alarm_values", row).and_then(|values| serde_json::from_str(&values).ok());
                Happened::Raised(Box::new(Raised {
                    version: integer("alarm_version", row).unwrap_or_default() as u32,
                    priority: Priority::of_word(&text("alarm_priority", row)?)?,
                    latched: integer("alarm_latched", row) == Some(1),
                    title: both("alarm_title", row),
                    explanation: both("alarm_explanation", row),
                    values: values.unwrap_or_default(),
                }))
            }
            "returned" => Happened::Returned,
            "suppressed" => Happened::Suppressed,
            "unsuppressed" => Happened::Unsuppressed,
            "withdrawn" => Happened::Withdrawn,
            "notified" => Happened::Notified(by()),
            "not_notified" => Happened::NotNotified(by()),
            word => match word {
                "acknowledged" => deed(Deed::Acknowledged),
                "commented" => deed(Deed::Commented),
                "reset" => deed(Deed::Reset),
                "shelved" => deed(Deed::Shelved(Timestamp::from_nanos(integer("alarm_until", row)?))),
                "unshelved" => deed(Deed::Unshelved),
                "out_of_service" => deed(Deed::OutOfService),
                "in_service" => deed(Deed::InService),
                _ => None,
            }?,
        };
        let raised = Timestamp::from_nanos(integer("alarm_raised", row)?);
        let asset = frames.assets[usize::from(frames.asset[row])].clone();
        Some(Record { asset, rule: text("alarm_rule", row)?, time: frames.time[row], raised, happened })
    };
    (0..frames.len()).map(record).collect()
}
