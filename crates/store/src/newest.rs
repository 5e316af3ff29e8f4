//! What each asset said last in frames: the key of its furthest frame and the latest value of each signal, written once per
//! batch. Knows no tables: it is fed rows that are durable. What changes said last stands in [`crate::latest`].

use std::cmp::Reverse;

use model::{Column, Frames, Observation, Quality, SignalIndex, Timestamp, Value};

use crate::latest::value_bytes;

/// Source time and sequence of a frame; what makes it one row, besides its asset.
pub(crate) type FrameKey = (Timestamp, u32);

/// What was said last of one signal.
#[derive(Debug, Clone)]
struct Slot {
    time: Timestamp,
    received: Timestamp,
    value: Value,
    sequence: u32,
    quality: Quality,
}

impl Slot {
    fn key(&self) -> FrameKey {
        (self.time, self.sequence)
    }
}

/// One asset.
#[derive(Debug, Clone)]
struct NewestOfAsset {
    /// The frame with the latest source time of all, also one that is ahead of its time: what is later is new.
    furthest: FrameKey,
    /// By the place of the signal.
    slots: Vec<Option<Slot>>,
}

/// An asset that has said nothing.
static SILENT: NewestOfAsset = NewestOfAsset { furthest: (Timestamp::MIN, 0), slots: Vec::new() };

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct NewestFrames {
    /// By the code of the asset.
    assets: Vec<NewestOfAsset>,
    /// About how many bytes all of it takes.
    bytes: usize,
}

/// Frames of a batch and how they are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) frames: &'a Frames,
    pub(crate) received: Timestamp,
    /// The place in the table of each column of the batch.
    pub(crate) places: &'a [SignalIndex],
    /// The sequence of every row.
    pub(crate) sequence: &'a [u32],
    /// The columns that any row speaks of: see [`spoken`].
    pub(crate) spoken: &'a [SignalIndex],
}

/// The columns that any row of `frames` speaks of: profiles have many that most assets know nothing of.
pub(crate) fn spoken(frames: &Frames) -> Vec<SignalIndex> {
    let has_any = |column: &Column| match column {
        Column::Integers(rows) => rows.iter().any(Option::is_some),
        Column::Numbers(rows) => rows.iter().any(Option::is_some),
        Column::Texts(rows) => rows.iter().any(Option::is_some),
        Column::Vectors(rows) => rows.rows().any(|row| row.is_some()),
    };
    let mut spoken: Vec<bool> = frames.columns.iter().map(has_any).collect();
    frames.exceptions.iter().for_each(|exception| spoken[usize::from(exception.signal)] = true);
    (0..).zip(spoken).filter(|(_, spoken)| *spoken).map(|(signal, _)| signal).collect()
}

impl Said<'_> {
    pub(crate) fn key(&self, row: u32) -> FrameKey {
        (self.frames.time[row as usize], self.sequence[row as usize])
    }

    /// What `row` says, with the places in the table as signals.
    pub(crate) fn observations_of(&self, row: u32) -> impl Iterator<Item = Observation> {
        let observations = self.frames.observations_of(row as usize);
        observations.map(|one| Observation { signal: self.places[usize::from(one.signal)], ..one })
    }
}

impl NewestFrames {
    fn of(&self, asset: u32) -> &NewestOfAsset {
        self.assets.get(asset as usize).unwrap_or(&SILENT)
    }

    fn of_mut(&mut self, asset: u32) -> &mut NewestOfAsset {
        let asset = asset as usize;
        if self.assets.len() <= asset {
            self.bytes += (asset + 1 - self.assets.len()) * size_of::<NewestOfAsset>();
            self.assets.resize(asset + 1, SILENT.clone());
        }
        &mut self.assets[asset]
    }

    /// About how many bytes all values take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frame with the latest source time of all that were kept of `asset`: none that is later was kept before.
    pub(crate) fn furthest(&self, asset: u32) -> FrameKey {
        self.of(asset).furthest
    }

    /// Notes that the frame `key` is kept.
    pub(crate) fn see(&mut self, asset: u32, key: FrameKey) {
        let known = self.of_mut(asset);
        known.furthest = known.furthest.max(key);
    }

    /// Takes in what `rows` say: frames of `asset` that are kept and whose time can be believed. Where values take
    /// `bytes_max` already, signals that have none get none: returns whether there are such.
    pub(crate) fn take(&mut self, asset: u32, said: &Said<'_>, rows: &mut [u32], bytes_max: usize) -> bool {
        let known = self.of_mut(asset).slots.len();
        let signals = said.places.iter().map(|place| usize::from(*place) + 1).max().unwrap_or(0);
        let missing = signals.saturating_sub(known);
        let added = missing * size_of::<Option<Slot>>();
        let is_full = missing > 0 && self.bytes + added > bytes_max;
        let slots = &mut self.assets[asset as usize].slots;
        if missing > 0 && !is_full {
            slots.reserve_exact(missing);
            slots.resize(signals, None);
            self.bytes += added;
        }
        let bytes = &mut self.bytes;
        rows.sort_unstable_by_key(|row| Reverse(said.key(*row)));
        // The newest frame mostly speaks of all signals; older ones are asked only about those that it is silent about.
        let mut silent: Vec<u16> = Vec::new();
        for (turn, row) in rows.iter().enumerate() {
            if turn == 0 {
                silent.extend(said.spoken.iter().copied().filter(|signal| !put(slots, said, (*row, *signal), bytes)));
            } else if silent.is_empty() {
                break;
            } else {
                silent.retain(|signal| !put(slots, said, (*row, *signal), bytes));
            }
        }
        is_full
    }

    /// The latest value of every signal of `asset`, in the order of the signals, and when each came in.
    pub(crate) fn current(&self, asset: u32) -> impl Iterator<Item = (Observation, Timestamp)> {
        let slots = (0..).zip(&self.of(asset).slots);
        slots.filter_map(|(signal, slot)| {
            let Slot { time, received, value, sequence, quality } = slot.clone()?;
            Some((Observation { signal, time, sequence, quality, value, statistic: None }, received))
        })
    }

    /// The latest value of one signal of `asset`, and when it came in.
    pub(crate) fn one(&self, asset: u32, signal: SignalIndex) -> Option<(Observation, Timestamp)> {
        let slot = self.of(asset).slots.get(usize::from(signal))?.clone()?;
        let Slot { time, received, value, sequence, quality } = slot;
        Some((Observation { signal, time, sequence, quality, value, statistic: None }, received))
    }

    /// All frames that a checkpoint needs of `asset`: when each came in, and its key. See [`Self::value_at`].
    pub(crate) fn to_restore(&self, asset: u32) -> Vec<(Timestamp, FrameKey)> {
        let known = self.of(asset);
        let mut frames: Vec<_> = known.slots.iter().flatten().map(|slot| (slot.received, slot.key())).collect();
        frames.sort_unstable();
        frames.dedup();
        // The newest frame may have said nothing at all; it is kept all the same, and must not be kept again.
        let is_there = frames.iter().any(|(_, key)| *key == known.furthest);
        if known.furthest > SILENT.furthest && !is_there {
            frames.push((UNTOLD, known.furthest));
        }
        frames
    }

    /// What `asset` said last of the signal at `place`, if that was in the frame `key` that came in at `received`.
    pub(crate) fn value_at(
        &self,
        asset: u32,
        place: usize,
        received: Timestamp,
        key: FrameKey,
    ) -> Option<(&Value, Quality)> {
        let slot = self.of(asset).slots.get(place)?.as_ref()?;
        (slot.received == received && slot.key() == key).then_some((&slot.value, slot.quality))
    }
}

/// In a checkpoint: the time of receipt of a frame or a change of which nothing is known but that it is kept. Every source
/// time is ahead of it.
pub(crate) const UNTOLD: Timestamp = Timestamp::MIN;

/// Puts what a row says of a signal into its slot, if there is one and nothing newer stands there; `bytes` are those of
/// all slots. Returns whether it says anything.
fn put(slots: &mut [Option<Slot>], said: &Said<'_>, (row, signal): (u32, u16), bytes: &mut usize) -> bool {
    let (frames, at) = (said.frames, row as usize);
    let exceptions = if frames.exceptions.is_empty() { &[] } else { frames.exceptions_of(at) };
    if let Column::Vectors(rows) = &frames.columns[usize::from(signal)]
        && exceptions.is_empty()
        && let Some(elements) = rows.row(at)
        && let Some(Some(slot)) = slots.get_mut(usize::from(said.places[usize::from(signal)]))
        && let Value::Integers(known) = &mut slot.value
        && known.len() == elements.len()
        && said.key(row) >= (slot.time, slot.sequence)
    {
        // Lists keep their length, and so their memory.
        known.copy_from_slice(elements);
        ((slot.time, slot.sequence), slot.received, slot.quality) = (said.key(row), said.received, Quality::Good);
        return true;
    }
    let value = match &frames.columns[usize::from(signal)] {
        Column::Integers(rows) => rows[at].map(Value::Integer),
        Column::Numbers(rows) => rows[at].map(Value::Number),
        Column::Texts(rows) => rows[at].clone().map(Value::Text),
        Column::Vectors(rows) => rows.row(at).map(|elements| Value::Integers(elements.into())),
    };
    let exception = exceptions.iter().find(|exception| exception.signal == signal && exception.element.is_none());
    if value.is_none() && exception.is_none() {
        return false;
    }
    let (time, sequence) = said.key(row);
    let Some(slot) = slots.get_mut(usize::from(said.places[usize::from(signal)])) else { return true };
    if slot.as_ref().is_none_or(|slot| (time, sequence) >= slot.key()) {
        let (value, quality) = (value.unwrap_or_default(), exception.map_or(Quality::Good, |one| one.quality));
        *bytes += value_bytes(&value);
        let old = slot.replace(Slot { time, received: said.received, value, sequence, quality });
        *bytes -= old.map_or(0, |old| value_bytes(&old.value));
    }
    true
}

/// Whether two values are the same; no number is one too.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || (one.is_nan() && other.is_nan()),
        _ => one == other,
    }
}
