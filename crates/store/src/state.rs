//! Everything a store has in memory: per profile its table, hot rows, latest values and segments. Rows are applied here
//! after the log has them, live and on recovery alike, by the same code in the same order. No I/O but reading the keys
//! of segments.

mod frames;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::SchemaRef;
use model::{AssetId, Batch, Changes, Cursor, Observation, Profile, Rows, Shape, SignalIndex, Timestamp, ValueKind};

use crate::catalog::{self, Assets, Places, Unacceptable};
use crate::generation::{Generation, RowKey, Words};
use crate::latest::{LatestTable, Span};
use crate::newest::{NewestFrames, UNTOLD};
use crate::rows::RowsBuilder;
use crate::salvage;
use crate::sealed_keys::{Codes, SealedKeys, for_each_sealed_key};
use crate::segment::{self, SegmentFile};
use crate::table;

/// A source time that is so far ahead of its receipt comes from a clock that is wrong. What was said is kept, but it is
/// never the latest: it would hide all that comes after.
const AHEAD_NANOS_MAX: i64 = 3_600_000_000_000;

pub(crate) fn is_ahead(time: Timestamp, received: Timestamp) -> bool {
    time > received.plus_nanos(AHEAD_NANOS_MAX)
}

/// All of one profile.
#[derive(Debug)]
pub(crate) struct Table {
    profile: Arc<Profile>,
    schema: SchemaRef,
    signals: Arc<StringArray>,
    assets: Assets,
    places: Places,
    /// Of changes.
    latest: LatestTable,
    /// Of frames.
    newest: NewestFrames,
    segments: Vec<Arc<SegmentFile>>,
    /// The latest source time in any segment: rows that are newer are in none.
    sealed_until: Timestamp,
    /// Grows.
    pub(crate) hot: Generation,
    /// Is being written to a segment.
    pub(crate) sealing: Option<Generation>,
    sealed_keys: SealedKeys,
}

/// What became of the rows of a batch.
struct Outcome {
    /// Which of them were new; all if it does not say.
    fresh: Option<Vec<bool>>,
    unmentioned: u64,
}

/// Which rows of a batch were new.
pub(crate) struct Applied {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    /// New rows that say something which there was no room for among the latest values.
    pub(crate) unmentioned: u64,
    /// One entry per row, when there were duplicates.
    pub(crate) fresh: Option<Vec<bool>>,
}

impl Table {
    pub(crate) fn new(profile: Arc<Profile>) -> Self {
        let signals = profile.signals().iter().map(|signal| &*signal.id);
        Self {
            schema: table::schema(&profile),
            signals: Arc::new(StringArray::from_iter_values(signals)),
            hot: Generation::new(&profile),
            profile,
            assets: Assets::default(),
            places: Places::default(),
            latest: LatestTable::default(),
            newest: NewestFrames::default(),
            segments: Vec::new(),
            sealed_until: Timestamp::MIN,
            sealing: None,
            sealed_keys: SealedKeys::default(),
        }
    }

    pub(crate) fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn assets(&self) -> &Assets {
        &self.assets
    }

    pub(crate) fn latest(&self) -> &LatestTable {
        &self.latest
    }

    pub(crate) fn newest(&self) -> &NewestFrames {
        &self.newest
    }

    /// About how many bytes the latest values take.
    fn latest_bytes(&self) -> usize {
        self.latest.bytes() + self.newest.bytes()
    }

    /// The latest value of every signal of an asset, in the order of the signals, and when each came in.
    pub(crate) fn current(&self, asset: u32) -> impl Iterator<Item = (Observation, Timestamp)> {
        self.latest.of(asset).cloned().chain(self.newest.current(asset))
    }

    /// The latest value of one signal of an asset, and when it came in.
    pub(crate) fn current_one(&self, asset: u32, signal: SignalIndex) -> Option<(Observation, Timestamp)> {
        self.latest.one(asset, signal).cloned().or_else(|| self.newest.one(asset, signal))
    }

    pub(crate) fn segments(&self) -> &[Arc<SegmentFile>] {
        &self.segments
    }

    pub(crate) fn add_segment(&mut self, segment: Arc<SegmentFile>) {
        self.sealed_until = self.sealed_until.max(segment.time_max);
        self.segments.push(segment);
    }

    /// Takes away the segments that `others` have taken the place of, or nobody wants any more.
    pub(crate) fn remove_segments(&mut self, gone: &[Arc<SegmentFile>]) {
        self.segments.retain(|segment| !gone.iter().any(|gone| Arc::ptr_eq(gone, segment)));
    }

    fn words(&mut self) -> Words {
        let (schema, signals) = (Arc::clone(&self.schema), Arc::clone(&self.signals));
        Words { schema, assets: self.assets.texts(), signals }
    }

    /// Makes all hot rows visible as chunks.
    pub(crate) fn cut(&mut self) {
        let words = self.words();
        self.hot.cut(&words);
    }

    /// Makes room for what `given` has beyond this table's profile.
    fn admit(&mut self, given: &Arc<Profile>, assets: &[AssetId]) -> Result<(), Unacceptable> {
        if !self.assets.has_room_for(assets) {
            return Err(Unacceptable::Assets { profile: self.profile.id().to_owned() });
        }
        if self.places.knows(given) {
            return Ok(());
        }
        catalog::check(given)?;
        if let Some(grown) = catalog::union(&self.profile, given)? {
            let before = self.words();
            self.profile = Arc::new(grown);
            self.schema = table::schema(&self.profile);
            self.signals = Arc::new(StringArray::from_iter_values(self.profile.signals().iter().map(|s| &*s.id)));
            self.places = Places::default();
            self.hot.grow(&self.profile, &before, &self.schema);
            if let Some(sealing) = &mut self.sealing {
                sealing.grow(&self.profile, &before, &self.schema);
            }
        }
        Ok(())
    }

    /// Whether a row of an asset whose keys are watched is in memory.
    fn is_hot(&self, asset: u32, key: RowKey) -> bool {
        self.hot.contains(asset, key) || self.sealing.as_ref().is_some_and(|sealing| sealing.contains(asset, key))
    }

    /// Makes [`Table::is_hot`] know the rows of `assets`.
    fn watch(&mut self, assets: &[u32]) {
        self.hot.watch(assets.iter().copied());
        if let Some(sealing) = &mut self.sealing {
            sealing.watch(assets.iter().copied());
        }
    }

    /// Which of the rows `late` are in segments.
    fn in_segments(&mut self, late: impl Iterator<Item = (u32, RowKey)>) -> HashSet<(u32, RowKey)> {
        // Most late rows are late by moments only: later than every segment.
        let mut late = late.filter(|(_, key)| key.1 <= self.sealed_until).peekable();
        if late.peek().is_none() {
            return HashSet::new();
        }
        let mut codes = Codes { assets: &mut self.assets, profile: &self.profile };
        self.sealed_keys.find(&self.segments, late, &mut codes)
    }

    /// Whether a change cannot have been kept before, as its time tells.
    fn is_news(&self, asset: u32, (signal, time, sequence): RowKey) -> bool {
        self.latest.is_news(asset, signal, (time, sequence))
    }

    /// The changes with the next sequences where they contradict what is current at the very same time: a source that
    /// was counted anew, after a restart, says something else there, and that is no repeat. `None` where nothing does.
    fn renumbered(&self, changes: &Changes, codes: &[u32], places: &[u16]) -> Option<Changes> {
        let mut shifted: HashSet<(u32, u16, Timestamp)> = HashSet::new();
        let mut sequences = None;
        for row in 0..changes.len() {
            let (asset, signal) = (codes[usize::from(changes.asset[row])], places[usize::from(changes.signal[row])]);
            let (time, sequence) = (changes.time[row], changes.sequence[row]);
            let contradicts = self.latest.newest(asset, signal) == Some((time, sequence))
                && self.latest.contradicts(asset, signal, changes.quality[row], &changes.value[row]);
            if contradicts {
                shifted.insert((asset, signal, time));
            }
            if !shifted.is_empty() && shifted.contains(&(asset, signal, time)) {
                sequences.get_or_insert_with(|| changes.sequence.clone())[row] = sequence.saturating_add(1);
            }
        }
        sequences.map(|sequence| Changes { sequence, ..changes.clone() })
    }

    /// Notes that rows of `asset` are kept which were ahead of their receipt.
    pub(crate) fn see_untold(&mut self, asset: &AssetId, ahead: Span) {
        let asset = self.assets.code(asset);
        self.latest.see_untold(asset, ahead.first);
        self.latest.see_untold(asset, ahead.last);
    }

    /// After the latest values were lost: the newest row of every signal is known from the segments all the same.
    pub(crate) fn see_segments(&mut self) {
        let shape = self.profile.shape();
        for segment in &self.segments {
            let chunks = segment::read_keys(segment, shape).unwrap_or_else(|error| {
                tracing::error!(%error, "a segment does not read; only what is left of it is known");
                salvage::read_keys(segment, shape).unwrap_or_default()
            });
            let mut codes = Codes { assets: &mut self.assets, profile: &self.profile };
            for chunk in &chunks {
                for_each_sealed_key(chunk, shape, &mut codes, |asset, (signal, time, sequence)| match shape {
                    Shape::Changes => self.latest.see(asset, signal, (time, sequence)),
                    Shape::Frames => self.newest.see(asset, (time, sequence)),
                });
            }
        }
    }

    /// Keeps the rows of `changes` that are new.
    fn apply_changes(&mut self, batch: &Batch, changes: &Changes, latest_bytes_max: usize) -> Outcome {
        let profile = Arc::clone(&self.profile);
        let places = self.places.of(&batch.profile, &profile);
        let codes: Vec<u32> = changes.assets.iter().map(|asset| self.assets.code(asset)).collect();
        let renumbered = self.renumbered(changes, &codes, &places);
        let changes = renumbered.as_ref().unwrap_or(changes);
        let mut statistics = changes.statistic.iter().peekable();
        let (mut fresh, mut unmentioned) = (Vec::with_capacity(changes.len()), 0);
        let row_key = |row: usize| {
            let (asset, signal) = (codes[usize::from(changes.asset[row])], places[usize::from(changes.signal[row])]);
            (asset, (signal, changes.time[row], changes.sequence[row]))
        };
        let late: Vec<_> = (0..changes.len()).map(row_key).collect();
        let late = late.into_iter().filter(|(asset, key)| !self.is_news(*asset, *key));
        let late: Vec<_> = late.collect();
        let sealed = self.in_segments(late.into_iter());
        for row in 0..changes.len() {
            let (asset, key) = row_key(row);
            let signal = key.0;
            let statistic = statistics.next_if(|(place, _)| *place as usize == row).map(|(_, statistic)| statistic);
            let mut new = self.is_news(asset, key);
            if !new && !sealed.contains(&(asset, key)) {
                self.watch(&[asset]);
                new = !self.is_hot(asset, key);
            }
            fresh.push(new);
            if !new {
                continue;
            }
            if let RowsBuilder::Changes(builder) = self.hot.row(asset, key) {
                builder.push(asset, signal, batch.received, changes, row, statistic.map(|statistic| &**statistic));
            }
            let is_full = self.latest.bytes() >= latest_bytes_max && !self.latest.knows(asset, signal);
            unmentioned += u64::from(is_full);
            if is_full || is_ahead(key.1, batch.received) {
                self.latest.see_untold(asset, key.1);
            } else if adds_up(profile.signal(signal).kind) {
                self.latest.apply(asset, observation(changes, row, signal), batch.received);
            } else {
                self.latest.see(asset, signal, (key.1, key.2));
            }
            if self.hot.needs_cut() {
                self.cut();
            }
        }
        for row in (0..changes.len()).filter(|row| fresh[*row]) {
            let (asset, signal) = (codes[usize::from(changes.asset[row])], places[usize::from(changes.signal[row])]);
            let newest = self.latest.newest(asset, signal);
            if newest == Some((changes.time[row], changes.sequence[row])) && !adds_up(profile.signal(signal).kind) {
                self.latest.apply(asset, observation(changes, row, signal), batch.received);
            }
        }
        Outcome { fresh: Some(fresh), unmentioned }
    }

    /// Takes in a checkpoint of latest values; no rows are added.
    fn restore_latest(&mut self, batch: &Batch) {
        let profile = Arc::clone(&self.profile);
        let places = self.places.of(&batch.profile, &profile);
        match &batch.rows {
            Rows::Changes(changes) => {
                for row in 0..changes.len() {
                    let asset = self.assets.code(changes.asset_of(row));
                    if batch.received == UNTOLD {
                        self.latest.see_untold(asset, changes.time[row]);
                        continue;
                    }
                    let observation = observation(changes, row, places[usize::from(changes.signal[row])]);
                    self.latest.apply(asset, observation, batch.received);
                }
            }
            Rows::Frames(frames) => self.restore_frames(batch.received, frames, &places),
        }
    }
}

/// Whether an observation of this kind says only what changed, so that the latest value needs the ones before it too.
pub(crate) fn adds_up(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Entries | ValueKind::Condition)
}

/// Row `row` by itself; `signal` is its place in the table.
fn observation(changes: &Changes, row: usize, signal: u16) -> Observation {
    Observation {
        signal,
        time: changes.time[row],
        sequence: changes.sequence[row],
        quality: changes.quality[row],
        value: changes.value[row].clone(),
        statistic: changes.statistic_of(row).cloned().map(Box::new),
    }
}

/// All tables and positions.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tables: BTreeMap<Box<str>, Table>,
    pub(crate) cursors: HashMap<Box<str>, Box<str>>,
    /// When the batch came in that was applied last: all before it came in earlier.
    received: Timestamp,
    /// How many bytes latest values may take. At as many, signals that have none yet get none: what they say is kept like
    /// all else, and is never the latest.
    latest_bytes_max: usize,
}

impl State {
    pub(crate) fn new(latest_bytes_max: usize) -> Self {
        let (tables, cursors) = (BTreeMap::new(), HashMap::new());
        Self { tables, cursors, received: Timestamp::MIN, latest_bytes_max }
    }

    /// When the last batch came in. No row of a later one came in then or earlier.
    pub(crate) fn received(&self) -> Timestamp {
        self.received
    }

    /// Takes in that rows are kept which came in at `received`.
    pub(crate) fn see_received(&mut self, received: Timestamp) {
        self.received = self.received.max(received);
    }

    /// Makes sure that `batch` can be applied, now or after it has been logged.
    ///
    /// # Errors
    /// When it contradicts what is kept.
    pub(crate) fn admit(&mut self, batch: &Batch) -> Result<(), Unacceptable> {
        let assets = match &batch.rows {
            Rows::Changes(changes) => &changes.assets,
            Rows::Frames(frames) => &frames.assets,
        };
        if !self.tables.contains_key(batch.profile.id()) {
            catalog::check(&batch.profile)?;
        }
        let table = self.tables.entry(batch.profile.id().into());
        table.or_insert_with(|| Table::new(Arc::clone(&batch.profile))).admit(&batch.profile, assets)
    }

    /// Applies a batch that [`State::admit`] let in and that is in the log.
    pub(crate) fn apply(&mut self, batch: &Batch, cursor: Option<&Cursor>) -> Applied {
        self.see_received(batch.received);
        let latest_bytes = self.latest_bytes();
        let table = self.tables.get_mut(batch.profile.id()).expect("the batch was admitted");
        let of_others = latest_bytes - table.latest_bytes();
        let latest_bytes_max = self.latest_bytes_max.saturating_sub(of_others);
        let Outcome { fresh, unmentioned } = match &batch.rows {
            Rows::Changes(changes) => table.apply_changes(batch, changes, latest_bytes_max),
            Rows::Frames(frames) => table.apply_frames(batch, frames, latest_bytes_max),
        };
        if let Some(cursor) = cursor {
            self.cursors.insert(cursor.source.clone(), cursor.position.clone());
        }
        let repeats = fresh.as_ref().map_or(0, |fresh| fresh.iter().filter(|new| !**new).count());
        let (accepted, duplicates) = ((batch.len() - repeats) as u64, repeats as u64);
        Applied { accepted, duplicates, unmentioned, fresh: fresh.filter(|_| duplicates > 0) }
    }

    /// Takes in latest values that a checkpoint kept.
    pub(crate) fn restore_latest(&mut self, batch: &Batch) -> Result<(), Unacceptable> {
        self.admit(batch)?;
        self.tables.get_mut(batch.profile.id()).expect("the batch was admitted").restore_latest(batch);
        Ok(())
    }

    /// About how many bytes the latest values take.
    pub(crate) fn latest_bytes(&self) -> usize {
        self.tables.values().map(Table::latest_bytes).sum()
    }

    /// Rows that are in no segment yet, and are not being written to one.
    pub(crate) fn hot_rows(&self) -> usize {
        self.tables.values().map(|table| table.hot.rows()).sum()
    }

    /// About how many bytes these rows take.
    pub(crate) fn hot_bytes(&self) -> usize {
        self.tables.values().map(|table| table.hot.bytes()).sum()
    }
}
