//! The latest value of every signal that speaks in changes, from memory. Knows no tables: it is fed rows that are durable.
//! What frames said last stands in [`crate::newest`].

use model::{AssetId, Condition, ConditionLevel, Entry, Observation, Quality, SignalIndex, Timestamp, Value};

use crate::newest::is_same;

/// The most native codes that are kept at once for one condition signal; further ones are not told apart.
const ACTIVE_CODES_MAX: usize = 256;
/// The most keys that are kept of one data set.
const ENTRIES_MAX: usize = 4_096;

/// The latest observations of one signal of one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// The asset.
    pub asset: AssetId,
    /// The profile that the signal belongs to.
    pub profile: std::sync::Arc<model::Profile>,
    /// What was observed; `signal` is its place in `profile`.
    pub observation: Observation,
    /// When it came in.
    pub received: Timestamp,
}

/// What is known of one signal of one asset.
#[derive(Debug, Clone)]
struct Slot {
    newest: (Timestamp, u32),
    /// One observation; of a condition, one for each active native code. None between [`LatestTable::see`] and the
    /// [`LatestTable::apply`] that has to follow.
    current: Vec<(Observation, Timestamp)>,
    /// The newest observation when it is not among `current`: it ended one of several active codes.
    settled: Option<Box<(Observation, Timestamp)>>,
}

impl Slot {
    fn observations(&self) -> impl Iterator<Item = &(Observation, Timestamp)> {
        self.current.iter().chain(self.settled.as_deref())
    }

    /// About how many bytes it takes besides itself.
    fn heap_bytes(&self) -> usize {
        self.observations().map(|said| size_of_val(said) + observation_bytes(&said.0)).sum()
    }
}

/// What is known of one asset.
#[derive(Debug, Clone, Default)]
struct LatestOfAsset {
    /// The signals that have spoken, in order: most profiles have many that an asset never speaks of.
    signals: Vec<SignalIndex>,
    /// One for each of `signals`.
    slots: Vec<Slot>,
    /// What no slot tells of.
    untold: Option<Span>,
}

impl LatestOfAsset {
    /// The place of the slot of a signal, or the place where it would stand.
    fn place(&self, signal: SignalIndex) -> Result<usize, usize> {
        // As long as all signals before it have spoken, a signal stands at its own number.
        match self.signals.get(usize::from(signal)) {
            Some(there) if *there == signal => Ok(usize::from(signal)),
            _ => self.signals.binary_search(&signal),
        }
    }
}

/// The latest values of one profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct LatestTable {
    /// By the code of the asset.
    assets: Vec<LatestOfAsset>,
    /// About how many bytes all of it takes.
    bytes: usize,
}

/// The first and the last source time of one asset at which something is kept that no slot tells of, since it was ahead
/// of its receipt: of the times between these, slots do not tell what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Span {
    pub(crate) fn of(time: Timestamp) -> Self {
        Self { first: time, last: time }
    }

    pub(crate) fn extend(&mut self, time: Timestamp) {
        (self.first, self.last) = (self.first.min(time), self.last.max(time));
    }
}

impl LatestTable {
    /// Whether nothing of this signal, time and sequence can have been kept before: it is later than all that was
    /// applied, and not among the times that no slot tells of.
    pub(crate) fn is_news(&self, asset: u32, signal: SignalIndex, key: (Timestamp, u32)) -> bool {
        self.newest(asset, signal).is_none_or(|newest| key > newest)
            && self.untold(asset).is_none_or(|untold| !(untold.first..=untold.last).contains(&key.0))
    }

    /// About how many bytes all values take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a signal has spoken whose observations can be the latest.
    pub(crate) fn knows(&self, asset: u32, signal: SignalIndex) -> bool {
        self.slot(asset, signal).is_some()
    }

    /// The source times of an asset that no slot tells of.
    pub(crate) fn untold(&self, asset: u32) -> Option<Span> {
        self.assets.get(asset as usize)?.untold
    }

    /// Notes that something is kept of `time` that is never the latest.
    pub(crate) fn see_untold(&mut self, asset: u32, time: Timestamp) {
        self.of_mut(asset).untold.get_or_insert(Span::of(time)).extend(time);
    }

    /// The newest (time, sequence) of a signal, in all that was ever applied.
    pub(crate) fn newest(&self, asset: u32, signal: SignalIndex) -> Option<(Timestamp, u32)> {
        self.slot(asset, signal).map(|slot| slot.newest)
    }

    /// Takes in an observation; older ones than the latest change nothing.
    pub(crate) fn apply(&mut self, asset: u32, observation: Observation, received: Timestamp) {
        let key = (observation.time, observation.sequence);
        let slot = self.slot_mut(asset, observation.signal, key);
        if key >= slot.newest {
            slot.newest = key;
            let before = slot.heap_bytes();
            slot.settled = merge(&mut slot.current, observation, received).map(Box::new);
            let after = slot.heap_bytes();
            self.bytes = self.bytes + after - before;
        }
    }

    /// Notes that a signal spoke at `key`, without what it said: for the many observations of a batch that the next
    /// one of the same signal replaces, so that none is copied in vain. The newest of them has to be applied afterwards.
    pub(crate) fn see(&mut self, asset: u32, signal: SignalIndex, key: (Timestamp, u32)) {
        let slot = self.slot_mut(asset, signal, key);
        slot.newest = slot.newest.max(key);
    }

    fn of_mut(&mut self, asset: u32) -> &mut LatestOfAsset {
        let asset = asset as usize;
        if self.assets.len() <= asset {
            self.bytes += (asset + 1 - self.assets.len()) * size_of::<LatestOfAsset>();
            self.assets.resize_with(asset + 1, LatestOfAsset::default);
        }
        &mut self.assets[asset]
    }

    fn slot(&self, asset: u32, signal: SignalIndex) -> Option<&Slot> {
        let known = self.assets.get(asset as usize)?;
        known.place(signal).ok().map(|place| &known.slots[place])
    }

    /// The slot of a signal; one that speaks for the first time does so at `key`.
    fn slot_mut(&mut self, asset: u32, signal: SignalIndex, key: (Timestamp, u32)) -> &mut Slot {
        let known = self.of_mut(asset);
        let (place, added) = match known.place(signal) {
            Ok(place) => (place, 0),
            Err(place) => {
                known.signals.insert(place, signal);
                known.slots.insert(place, Slot { newest: key, current: Vec::new(), settled: None });
                (place, size_of::<Slot>() + size_of::<SignalIndex>())
            }
        };
        self.bytes += added;
        &mut self.assets[asset as usize].slots[place]
    }

    /// Whether the newest observation of a signal said something else than this. Of data sets that is not known: only
    /// the whole is kept, and an observation says only what changed.
    pub(crate) fn contradicts(&self, asset: u32, signal: SignalIndex, quality: Quality, value: &Value) -> bool {
        let newest = self.slot(asset, signal).and_then(|slot| {
            let mut all = slot.observations().map(|(observation, _)| observation);
            all.find(|observation| (observation.time, observation.sequence) == slot.newest)
        });
        newest.is_some_and(|newest| {
            !matches!(value, Value::Entries(_)) && (newest.quality != quality || !is_same(&newest.value, value))
        })
    }

    /// All that has to be applied to an empty table to get this one.
    pub(crate) fn to_restore(&self) -> impl Iterator<Item = (u32, &(Observation, Timestamp))> {
        (0..).zip(&self.assets).flat_map(|(asset, known)| {
            let observations = known.slots.iter().flat_map(Slot::observations);
            observations.map(move |observation| (asset, observation))
        })
    }

    /// The latest of one signal; of a condition, the one of several that has been active longest.
    pub(crate) fn one(&self, asset: u32, signal: SignalIndex) -> Option<&(Observation, Timestamp)> {
        self.slot(asset, signal)?.current.first()
    }

    /// All of one asset, in the order of the signals.
    pub(crate) fn of(&self, asset: u32) -> impl Iterator<Item = &(Observation, Timestamp)> {
        self.assets.get(asset as usize).into_iter().flat_map(|known| &known.slots).flat_map(|slot| &slot.current)
    }
}

/// About how many bytes an observation takes besides itself.
fn observation_bytes(observation: &Observation) -> usize {
    let statistic = observation.statistic.as_ref().map_or(0, |statistic| {
        size_of_val(&**statistic) + statistic.reset_triggered.as_ref().map_or(0, |text| text.len())
    });
    statistic + value_bytes(&observation.value)
}

/// About how many bytes a value takes besides itself.
pub(crate) fn value_bytes(value: &Value) -> usize {
    let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    match value {
        Value::Text(text) => text.len(),
        Value::Vector(numbers) => size_of_val(&**numbers),
        Value::Integers(integers) => size_of_val(&**integers),
        Value::Entries(entries) => entries_bytes(entries),
        Value::Condition(condition) => {
            let Condition { native_code, native_severity, qualifier, message, .. } = &**condition;
            let texts = [native_code, native_severity, qualifier, message];
            size_of::<Condition>() + texts.into_iter().map(text).sum::<usize>()
        }
        Value::Absent | Value::Number(_) | Value::Integer(_) => 0,
    }
}

fn entries_bytes(entries: &[(Box<str>, Entry)]) -> usize {
    let words = entries.iter().map(|(key, entry)| {
        key.len()
            + match entry {
                Entry::Text(text) => text.len(),
                Entry::Row(cells) => entries_bytes(cells),
                Entry::Number(_) | Entry::Removed => 0,
            }
    });
    size_of_val(entries) + words.sum::<usize>()
}

/// Puts a newer observation beside or in place of what is current; gives it back where it only ended something.
fn merge(
    current: &mut Vec<(Observation, Timestamp)>,
    newer: Observation,
    received: Timestamp,
) -> Option<(Observation, Timestamp)> {
    match (&newer.value, current.first().map(|(observation, _)| &observation.value)) {
        (Value::Condition(condition), Some(Value::Condition(_))) => {
            // A NORMAL or UNAVAILABLE without a code speaks for the whole condition (MTConnect part 3, Condition).
            let code = condition.native_code.clone();
            if condition.level.is_active() || code.is_some() {
                current.retain(|(old, _)| match &old.value {
                    Value::Condition(old) => old.level.is_active() && old.native_code != code,
                    _ => false,
                });
            } else {
                current.clear();
            }
            if condition.level == ConditionLevel::Normal && !current.is_empty() {
                return Some((newer, received));
            }
            if current.len() == ACTIVE_CODES_MAX {
                current.remove(0);
            }
            put(current, newer, received);
        }
        (Value::Entries(_), Some(Value::Entries(_)))
            if newer.statistic.as_ref().is_none_or(|statistic| statistic.reset_triggered.is_none()) =>
        {
            let (old, _) = current.remove(0);
            current.clear();
            put(current, merged_entries(&old, newer), received);
        }
        _ => {
            current.clear();
            put(current, newer, received);
        }
    }
    None
}

/// Adds an observation without room for more, since mostly there is one.
fn put(current: &mut Vec<(Observation, Timestamp)>, newer: Observation, received: Timestamp) {
    current.reserve_exact(1);
    current.push((newer, received));
}

/// A data set says only what changed; the latest value is the whole set.
fn merged_entries(old: &Observation, mut newer: Observation) -> Observation {
    if let (Value::Entries(old), Value::Entries(new)) = (&old.value, &newer.value) {
        let mut all: Vec<(Box<str>, Entry)> = old.to_vec();
        for (key, entry) in new.iter() {
            match all.iter().position(|(known, _)| known == key) {
                Some(place) => all[place].1 = entry.clone(),
                None if all.len() < ENTRIES_MAX => all.push((key.clone(), entry.clone())),
                None => {}
            }
        }
        all.retain(|(_, entry)| *entry != Entry::Removed);
        newer.value = Value::Entries(all.into());
    }
    newer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(seconds: i64, value: Value) -> Observation {
        let time = Timestamp::from_millis(seconds * 1_000);
        Observation { signal: 0, time, sequence: 0, quality: Quality::Good, value, statistic: None }
    }

    fn condition(level: ConditionLevel, code: &str) -> Value {
        let native_code = (!code.is_empty()).then(|| code.into());
        Value::Condition(Box::new(Condition { level, native_code, ..Condition::default() }))
    }

    fn check(said: Vec<Value>, expected: &[Value]) {
        let mut latest = LatestTable::default();
        for (second, value) in said.into_iter().enumerate() {
            latest.apply(7, observation(second as i64, value), Timestamp::default());
        }
        let current: Vec<Value> = latest.of(7).map(|(observation, _)| observation.value.clone()).collect();
        assert_eq!(current, expected);
    }

    #[test]
    fn the_latest_by_source_time_wins_whatever_the_order() {
        let mut latest = LatestTable::default();
        latest.apply(7, observation(20, Value::Number(2.0)), Timestamp::default());
        latest.apply(7, observation(10, Value::Number(1.0)), Timestamp::default());
        assert_eq!(latest.of(7).next().unwrap().0.value, Value::Number(2.0));
        assert_eq!(latest.newest(7, 0), Some((Timestamp::from_millis(20_000), 0)));
    }

    #[test]
    fn what_was_only_seen_counts_as_the_newest() {
        let mut latest = LatestTable::default();
        latest.see(7, 0, (Timestamp::from_millis(20_000), 0));
        latest.see(7, 0, (Timestamp::from_millis(10_000), 0));
        assert_eq!(latest.newest(7, 0), Some((Timestamp::from_millis(20_000), 0)));
        assert_eq!((latest.newest(7, 1), latest.newest(8, 0)), (None, None));
        latest.apply(7, observation(10, Value::Number(1.0)), Timestamp::default());
        assert_eq!(latest.of(7).count(), 0, "it was replaced before it came");
        latest.apply(7, observation(20, Value::Number(2.0)), Timestamp::default());
        assert_eq!(latest.of(7).next().unwrap().0.value, Value::Number(2.0));
    }

    #[test]
    fn a_signal_with_a_high_number_takes_no_more_than_another() {
        let bytes = |signal: SignalIndex| {
            let mut latest = LatestTable::default();
            for second in 0..3 {
                let observation = Observation { signal, ..observation(second, Value::Text("abc".into())) };
                latest.apply(0, observation, Timestamp::default());
            }
            latest.bytes()
        };
        assert_eq!(bytes(8_000), bytes(0));
        assert!(bytes(0) < 256, "{}", bytes(0));
    }

    #[test]
    fn signals_that_come_up_in_any_order_stay_apart() {
        let mut latest = LatestTable::default();
        let signals = [5, 0, 900, 1, 2, 3, 899];
        for (second, signal) in (0..).zip(signals) {
            let observation = Observation { signal, ..observation(second, Value::Integer(signal.into())) };
            latest.apply(1, observation, Timestamp::default());
        }
        for (second, signal) in (0..).zip(signals) {
            assert_eq!(latest.newest(1, signal), Some((Timestamp::from_millis(second * 1_000), 0)));
        }
        assert_eq!((latest.newest(1, 4), latest.newest(1, 901), latest.newest(0, 0)), (None, None, None));
        let said: Vec<_> = latest.of(1).map(|(observation, _)| observation.signal).collect();
        assert_eq!(said, [0, 1, 2, 3, 5, 899, 900]);
    }

    #[test]
    fn active_conditions_stand_side_by_side_until_they_are_normal() {
        use ConditionLevel::{Fault, Normal, Unavailable, Warning};
        let (a, b) = (condition(Warning, "401"), condition(Fault, "402"));
        check(vec![a.clone(), b.clone()], &[a.clone(), b.clone()]);
        check(vec![condition(Normal, ""), a.clone(), b.clone()], &[a.clone(), b.clone()]);
        check(vec![a.clone(), b.clone(), condition(Normal, "401")], std::slice::from_ref(&b));
        check(vec![a.clone(), condition(Fault, "401")], &[condition(Fault, "401")]);
        check(vec![a.clone(), b.clone(), condition(Normal, "")], &[condition(Normal, "")]);
        check(vec![a.clone(), condition(Normal, "401")], &[condition(Normal, "401")]);
        check(vec![a, b, condition(Unavailable, "")], &[condition(Unavailable, "")]);
    }

    #[test]
    fn data_sets_are_whole() {
        let set = |entries: &[(&str, Entry)]| {
            Value::Entries(entries.iter().map(|(key, entry)| ((*key).into(), entry.clone())).collect())
        };
        check(
            vec![
                set(&[("a", Entry::Number(1.0)), ("b", Entry::Number(2.0))]),
                set(&[("b", Entry::Removed), ("c", Entry::Text("x".into()))]),
            ],
            &[set(&[("a", Entry::Number(1.0)), ("c", Entry::Text("x".into()))])],
        );
    }
}
