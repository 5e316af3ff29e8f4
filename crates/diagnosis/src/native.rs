//! Alarms that sources raise themselves: conditions of MTConnect (part 3, `Condition`). One is active from a warning or a fault on, for
//! each native code of each signal, until `NORMAL` is said of that code, or of the signal as a whole. Knows no rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{AssetId, Changes, Condition, ConditionLevel, Profile, Rows, Timestamp, Value, ValueKind};
use serde::{Deserialize, Serialize};

use crate::engine::{Event, What};
use crate::input::Received;
use crate::rule::{Place, Priority, Rule, Text, Written};

/// Codes of one signal that are active at once; further ones are not told.
const CODES_MAX: usize = 256;
/// Characters of a code that tell it apart.
const CODE_CHARS_MAX: usize = 64;

/// What is active, by asset and signal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Natives(BTreeMap<String, BTreeMap<String, OfSignal>>);

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct OfSignal {
    /// The newest source time, in nanoseconds: what is older says nothing of now.
    newest: i64,
    /// By code: when it was raised, and whether as a fault.
    active: BTreeMap<String, (i64, bool)>,
}

/// Whether `profile` has signals that may raise alarms themselves.
pub(crate) fn has_conditions(profile: &Profile) -> bool {
    profile.signals().iter().any(|signal| signal.kind == ValueKind::Condition)
}

impl Natives {
    /// What `rows` say of conditions. They came in at `received`.
    pub(crate) fn hear(&mut self, profile: &Profile, rows: &Rows, received: Received<'_>) -> Vec<Event> {
        let Rows::Changes(changes) = rows else { return Vec::new() };
        let is_condition = |row: &usize| matches!(changes.value[*row], Value::Condition(_));
        let mut order: Vec<usize> = (0..changes.len()).filter(is_condition).collect();
        order.sort_by_key(|row| (received.of(*row), changes.asset[*row], changes.time[*row], changes.sequence[*row]));
        let mut events = Vec::new();
        for row in order {
            self.take(profile, changes, row, &mut events);
        }
        events
    }

    fn take(&mut self, profile: &Profile, changes: &Changes, row: usize, events: &mut Vec<Event>) {
        let Value::Condition(condition) = &changes.value[row] else { return };
        let asset = &changes.assets[usize::from(changes.asset[row])];
        let signal = &*profile.signal(changes.signal[row]).id;
        let of_asset = self.0.entry(asset.to_string()).or_default();
        let of_signal = of_asset.entry(signal.to_owned()).or_default();
        let time = changes.time[row];
        if time.nanos() < of_signal.newest {
            return;
        }
        of_signal.newest = time.nanos();
        let code: String = condition.native_code.iter().flat_map(|code| code.chars()).take(CODE_CHARS_MAX).collect();
        let mut tell = |code: &str, raised: i64, what: What, condition: &Condition| {
            let rule = Arc::new(rule(profile.id(), signal, code, condition));
            let raised = Timestamp::from_nanos(raised);
            events.push(Event { asset: asset.clone(), rule, time, raised, what, shows: Vec::new() });
        };
        match condition.level {
            ConditionLevel::Warning | ConditionLevel::Fault => {
                let is_fault = condition.level == ConditionLevel::Fault;
                let known = of_signal.active.get(&code);
                let is_worse = known.is_none_or(|(_, was_fault)| is_fault && !was_fault);
                if is_worse && (known.is_some() || of_signal.active.len() < CODES_MAX) {
                    tell(&code, time.nanos(), What::Raised, condition);
                    of_signal.active.insert(code, (time.nanos(), is_fault));
                }
            }
            ConditionLevel::Normal if code.is_empty() => {
                for (code, (raised, _)) in std::mem::take(&mut of_signal.active) {
                    tell(&code, raised, What::Returned, condition);
                }
            }
            ConditionLevel::Normal => {
                if let Some((raised, _)) = of_signal.active.remove(&code) {
                    tell(&code, raised, What::Returned, condition);
                }
            }
            // What is not known ends nothing.
            ConditionLevel::Unavailable => {}
        }
    }

    /// What is active: by which name, of whom, and since when.
    pub(crate) fn active(&self) -> impl Iterator<Item = (String, AssetId, Timestamp)> {
        let signals = self.0.iter().flat_map(|(asset, signals)| signals.iter().map(move |of| (asset, of)));
        signals.flat_map(|(asset, (signal, of_signal))| {
            let active = of_signal.active.iter();
            active.filter_map(move |(code, (raised, _))| {
                Some((name(signal, code), asset.parse().ok()?, Timestamp::from_nanos(*raised)))
            })
        })
    }
}

/// The name of the alarm. No rule has one like it: their names have no colons.
fn name(signal: &str, code: &str) -> String {
    if code.is_empty() { format!("condition:{signal}") } else { format!("condition:{signal}:{code}") }
}

/// What is said of it, in the form of a rule.
fn rule(profile: &str, signal: &str, code: &str, condition: &Condition) -> Rule {
    let message = condition.message.as_deref().filter(|message| !message.trim().is_empty());
    let title = message.unwrap_or(if code.is_empty() { signal } else { code });
    let parts = [Some(signal), Some(code), condition.native_severity.as_deref(), condition.qualifier.as_deref()];
    let explanation: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let both = |text: &str| Text { zh: text.to_owned(), en: text.to_owned() };
    let place = Place { file: "MTConnect".to_owned(), line: 0 };
    let is_fault = condition.level == ConditionLevel::Fault;
    Rule {
        id: name(signal, code),
        version: 1,
        profile: profile.to_owned(),
        assets: "*".to_owned(),
        priority: if is_fault { Priority::High } else { Priority::Medium },
        title: both(title),
        advice: Text::default(),
        rationale: Text::default(),
        source: "MTConnect, part 3: Condition".to_owned(),
        explanation: both(&explanation.join(" · ")),
        enabled: true,
        latched: false,
        on_delay: Duration::ZERO,
        off_delay: Duration::ZERO,
        silent: None,
        lets: Vec::new(),
        when: Written { text: String::new(), place: place.clone() },
        clear: None,
        suppressed_when: None,
        consequence_of: Vec::new(),
        shows: Vec::new(),
        place,
    }
}
