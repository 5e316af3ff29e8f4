//! The rows of one device: gives each observation its sequence and remembers which signals were heard of. Knows no
//! wire format.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::{
    Batch, Changes, Condition, ConditionLevel, Entry, Observation, Quality, SignalIndex, Statistic, Timestamp, Value,
};

use crate::mapping::{Form, Mapping};

/// How many earlier times of each signal are remembered.
const EARLIER: usize = 8;
/// How many times that came late are remembered in all; beyond that all of them are forgotten.
const LATE_MAX: usize = 65_536;

/// What was heard of one signal.
#[derive(Debug, Clone, Copy)]
struct Heard {
    newest: Timestamp,
    /// How many observations there were at the newest time; 0 before the first.
    count: u32,
    available: bool,
    /// Times before the newest and their counts, as a ring.
    earlier: [(Timestamp, u32); EARLIER],
    ring: u8,
}

const UNHEARD: Heard =
    Heard { newest: Timestamp::MIN, count: 0, available: false, earlier: [(Timestamp::MIN, 0); EARLIER], ring: 0 };

/// Collects the observations of one device.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) mapping: Arc<Mapping>,
    changes: Changes,
    asset: u16,
    heard: Vec<Heard>,
    late: HashMap<(SignalIndex, Timestamp), u32, FixedState>,
    /// When the source was last lost; what it says of times up to then was only known again on receipt.
    lost: Timestamp,
}

/// One observation, but for its sequence.
pub(super) struct Said {
    pub(super) quality: Quality,
    pub(super) value: Value,
    pub(super) statistic: Option<Box<Statistic>>,
}

impl Rows {
    pub(super) fn new(mapping: Arc<Mapping>) -> Self {
        let mut changes = Changes::default();
        let asset = changes.intern(mapping.asset());
        let heard = vec![UNHEARD; mapping.profile().signals().len()];
        Self { mapping, changes, asset, heard, late: HashMap::default(), lost: Timestamp::MIN }
    }

    /// The number of rows collected.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Adds what was `said` of `signal` at `time` and received at `received`.
    #[inline]
    pub(super) fn push(&mut self, signal: SignalIndex, time: Timestamp, received: Timestamp, said: Said) {
        let time = if time <= self.lost { received } else { time };
        let heard = &mut self.heard[usize::from(signal)];
        heard.available = said.quality != Quality::Unavailable;
        let sequence = if time > heard.newest || heard.count == 0 {
            if heard.count > 0 {
                heard.earlier[usize::from(heard.ring) % EARLIER] = (heard.newest, heard.count);
                heard.ring = heard.ring.wrapping_add(1);
            }
            (heard.newest, heard.count) = (time, 1);
            0
        } else if time == heard.newest {
            heard.count = heard.count.saturating_add(1);
            heard.count - 1
        } else {
            self.sequence_of_late(signal, time)
        };
        let Said { quality, value, statistic } = said;
        self.changes.push(self.asset, Observation { signal, time, sequence, quality, value, statistic });
    }

    /// Adds what was said of an asset of the device. Adapters tell all assets anew after each connection, with the times
    /// at which they once changed: what makes two tellings the same is what they say, and that is their sequence.
    pub(super) fn push_asset(&mut self, signal: SignalIndex, time: Timestamp, entries: Box<[(Box<str>, Entry)]>) {
        let mut digest = crc32fast::Hasher::new();
        feed(&mut digest, &entries);
        let (sequence, value) = (digest.finalize(), Value::Entries(entries));
        let quality = Quality::Good;
        self.changes.push(self.asset, Observation { signal, time, sequence, quality, value, statistic: None });
    }

    /// Sources go back in time.
    #[cold]
    fn sequence_of_late(&mut self, signal: SignalIndex, time: Timestamp) -> u32 {
        let earlier = &mut self.heard[usize::from(signal)].earlier;
        let count = match earlier.iter_mut().find(|(known, count)| *known == time && *count > 0) {
            Some((_, count)) => count,
            None => {
                if self.late.len() >= LATE_MAX {
                    self.late.clear();
                }
                self.late.entry((signal, time)).or_insert(0)
            }
        };
        *count = count.saturating_add(1);
        *count - 1
    }

    /// The source was lost at `now`: whatever it spoke of is no longer known, but for its assets.
    /// Returns how many observations that makes.
    pub(super) fn lose(&mut self, now: Timestamp) -> u64 {
        let mut lost = 0;
        for signal in 0..self.heard.len() {
            let form = self.mapping.wire(signal as SignalIndex).form;
            if self.heard[signal].available {
                self.push(signal as SignalIndex, now, now, unavailable(form, None));
                lost += 1;
            }
        }
        self.lost = self.lost.max(now);
        lost
    }

    /// The rows collected, as a batch; `None` if there are none.
    pub(super) fn take(&mut self, received: Timestamp) -> Option<Batch> {
        if self.changes.is_empty() {
            return None;
        }
        let mut next = Changes::default();
        next.intern(self.mapping.asset());
        // The next batch is likely as large as this one.
        let rows = self.changes.len();
        next.asset.reserve(rows);
        next.signal.reserve(rows);
        next.time.reserve(rows);
        next.sequence.reserve(rows);
        next.quality.reserve(rows);
        next.value.reserve(rows);
        let changes = std::mem::replace(&mut self.changes, next);
        Some(Batch::changes(Arc::clone(self.mapping.profile()), received, changes))
    }
}

/// Makes `digest` depend on all of `entries`.
fn feed(digest: &mut crc32fast::Hasher, entries: &[(Box<str>, Entry)]) {
    for (key, entry) in entries {
        digest.update(key.as_bytes());
        match entry {
            Entry::Number(number) => digest.update(&number.to_le_bytes()),
            Entry::Text(text) => digest.update(text.as_bytes()),
            Entry::Removed => digest.update(b"\0"),
            Entry::Row(cells) => feed(digest, cells),
        }
        digest.update(b"|");
    }
}

/// "Nothing is known", in the form of the signal.
pub(super) fn unavailable(form: Form, statistic: Option<Box<Statistic>>) -> Said {
    let value = match form {
        Form::Condition | Form::Alarm => {
            Value::Condition(Box::new(Condition { level: ConditionLevel::Unavailable, ..Condition::default() }))
        }
        _ => Value::Absent,
    };
    Said { quality: Quality::Unavailable, value, statistic }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, read_devices};

    fn rows() -> Rows {
        let xml = "<Devices><Device uuid='m'><DataItems><DataItem id='a' category='EVENT' type='X'/>\
                   <DataItem id='c' category='CONDITION' type='X'/></DataItems></Device></Devices>";
        let device: &Device = &read_devices(xml.as_bytes()).unwrap().devices[0];
        Rows::new(Arc::new(Mapping::new(device, "m").unwrap()))
    }

    fn said() -> Said {
        Said { quality: Quality::Good, value: Value::Text("x".into()), statistic: None }
    }

    fn changes(rows: &mut Rows) -> Changes {
        match rows.take(Timestamp::from_nanos(0)).unwrap().rows {
            model::Rows::Changes(changes) => changes,
            model::Rows::Frames(_) => unreachable!("the profile has changes"),
        }
    }

    #[test]
    fn repeats_at_one_time_are_numbered_even_when_they_come_late() {
        let mut rows = rows();
        for time in [5, 5, 7, 5, 5, 3, 3, 7, 9, 8, 8, 3] {
            rows.push(0, Timestamp::from_nanos(time), Timestamp::from_nanos(99), said());
        }
        rows.push(1, Timestamp::from_nanos(5), Timestamp::from_nanos(99), said());
        assert_eq!(changes(&mut rows).sequence, [0, 1, 0, 2, 3, 0, 1, 1, 0, 0, 1, 2, 0]);
    }

    #[test]
    fn the_same_news_of_an_asset_has_the_same_sequence() {
        let mut rows = rows();
        let (changed, at) = (rows.mapping.asset_changed(), Timestamp::from_nanos);
        let tool = |id: &str| -> Box<[(Box<str>, Entry)]> { [("assetId".into(), Entry::Text(id.into()))].into() };
        for id in ["T1", "T2", "T1"] {
            rows.push_asset(changed, at(5), tool(id));
        }
        rows.lose(at(10));
        rows.push_asset(changed, at(5), tool("T1"));
        let changes = changes(&mut rows);
        let [one, two, again, after_loss] = changes.sequence[..] else { panic!("four rows") };
        assert!(one != two && one == again && one == after_loss);
        assert!(changes.time.iter().all(|time| *time == at(5)));
    }

    #[test]
    fn what_was_heard_becomes_unavailable_once_and_returns_at_its_receipt() {
        let mut rows = rows();
        let at = Timestamp::from_nanos;
        rows.push(0, at(5), at(6), said());
        assert_eq!(rows.lose(at(10)), 1, "the condition was never heard of");
        assert_eq!(rows.lose(at(20)), 0, "nothing is known already");
        rows.push(0, at(15), at(30), said());
        rows.push(1, at(21), at(30), said());
        let changes = changes(&mut rows);
        assert_eq!(changes.time, [5, 10, 30, 21].map(at));
        assert_eq!(changes.quality[1], Quality::Unavailable);
        assert_eq!(rows.lose(at(40)), 2);
        let condition = unavailable(Form::Condition, None).value;
        assert!(matches!(condition, Value::Condition(condition) if condition.level == ConditionLevel::Unavailable));
    }
}
