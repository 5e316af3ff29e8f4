//! Everything a store has in memory: per profile its table, hot rows, latest values and segments. Rows are applied here
//! after the log has them, live and on recovery alike, by the same code in the same order. No I/O but reading the keys
//! of segments.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::SchemaRef;
use model::{Batch, Changes, Cursor, Frames, Observation, Profile, Rows, Shape, Timestamp, ValueKind};

use crate::catalog::{self, Assets, Places, Unacceptable};
use crate::generation::{Generation, RowKey, SortedKeys, Words};
use crate::latest::LatestTable;
use crate::rows::RowsBuilder;
use crate::segment::{self, Segment};
use crate::table;

/// How many keys of segments are kept at hand for telling late rows from repeats; one segment's at least.
const SEGMENT_KEYS_MAX: usize = 1 << 20;

/// A source time that is so far ahead of its receipt comes from a clock that is wrong. What was said is kept, but it is
/// never the latest: it would hide all that comes after.
const AHEAD_NANOS_MAX: i64 = 3_600_000_000_000;

fn is_ahead(time: Timestamp, received: Timestamp) -> bool {
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
    latest: LatestTable,
    /// The newest frame of each asset; changes have that in `latest`, signal by signal.
    newest_frame: HashMap<u32, (Timestamp, u32)>,
    segments: Vec<Segment>,
    /// The latest source time in any segment: rows that are newer are in none.
    sealed_until: Timestamp,
    /// Grows.
    pub(crate) hot: Generation,
    /// Is being written to a segment.
    pub(crate) sealing: Option<Generation>,
    segment_keys: VecDeque<(PathBuf, SortedKeys)>,
}

/// Which rows of a batch were new.
pub(crate) struct Applied {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
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
            newest_frame: HashMap::new(),
            segments: Vec::new(),
            sealed_until: Timestamp::MIN,
            sealing: None,
            segment_keys: VecDeque::new(),
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

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn add_segment(&mut self, segment: Segment) {
        self.sealed_until = self.sealed_until.max(Timestamp::from_nanos(segment.time_max_ns));
        self.segments.push(segment);
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
    fn admit(&mut self, given: &Arc<Profile>, assets: usize) -> Result<(), Unacceptable> {
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

    /// Whether the row is in memory.
    fn is_hot(&mut self, asset: u32, key: RowKey) -> bool {
        let shape = self.profile.shape();
        if !self.hot.has_keys_of(asset) {
            self.cut();
        }
        self.hot.contains(asset, key, shape)
            || self.sealing.as_mut().is_some_and(|sealing| sealing.contains(asset, key, shape))
    }

    /// Which of the rows with these keys are in segments. Each segment that may hold one is asked once, for all of them.
    fn in_segments(
        &mut self,
        dir: &Path,
        received: Timestamp,
        keys: impl Iterator<Item = (u32, RowKey)>,
    ) -> HashSet<(u32, RowKey)> {
        // Most late rows are late by moments only: later than every segment.
        let late = |(asset, key): &(u32, RowKey)| key.1 <= self.sealed_until && !self.is_newest(*asset, *key, received);
        let mut late: HashSet<(u32, RowKey)> = keys.filter(late).collect();
        let mut found = HashSet::new();
        for segment in self.segments.clone() {
            if late.iter().any(|(_, key)| segment.covers(key.1)) {
                let keys = self.keys_of(dir, &segment.file);
                late.retain(|(asset, key)| {
                    let known = keys.contains(*asset, *key);
                    if known {
                        found.insert((*asset, *key));
                    }
                    !known
                });
            }
        }
        found
    }

    /// The keys of a segment, from memory if they were wanted lately. A segment that does not read keeps nothing: its
    /// rows are taken again.
    fn keys_of(&mut self, dir: &Path, file: &Path) -> &SortedKeys {
        let place = self.segment_keys.iter().position(|(known, _)| known == file);
        let entry = match place {
            Some(place) => self.segment_keys.remove(place),
            None => {
                let shape = self.profile.shape();
                let chunks = segment::read_keys(&dir.join(file), shape).unwrap_or_else(|error| {
                    tracing::error!(%error, "a segment does not read; late rows are not compared with it");
                    Vec::new()
                });
                let (assets, profile) = (&mut self.assets, &self.profile);
                let code = |text: &str| text.parse().map_or(u32::MAX, |asset| assets.code(&asset));
                let signal = |text: &str| profile.signal_index(text).unwrap_or(u16::MAX);
                Some((file.to_owned(), SortedKeys::new(&chunks, shape, code, signal)))
            }
        };
        if let Some(entry) = entry {
            self.segment_keys.push_front(entry);
        }
        let mut rows = 0;
        let kept = self.segment_keys.iter().take_while(|(_, keys)| {
            rows += keys.len();
            rows <= SEGMENT_KEYS_MAX
        });
        let kept = kept.count().max(1);
        self.segment_keys.truncate(kept);
        &self.segment_keys[0].1
    }

    /// Whether a row is newer than all before it: of its signal, or of its asset's frames.
    fn is_newest(&self, asset: u32, key: RowKey, received: Timestamp) -> bool {
        if is_ahead(key.1, received) {
            return false;
        }
        let newest = match self.profile.shape() {
            Shape::Changes => self.latest.newest(asset, key.0),
            Shape::Frames => self.newest_frame.get(&asset).copied(),
        };
        newest.is_none_or(|newest| (key.1, key.2) > newest)
    }

    fn see_frame(&mut self, asset: u32, key: (Timestamp, u32)) {
        let newest = self.newest_frame.entry(asset).or_insert(key);
        *newest = key.max(*newest);
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

    /// After the latest values were lost: the newest row of every signal is known from the segments all the same.
    pub(crate) fn see_segments(&mut self, dir: &Path) {
        for segment in self.segments.clone() {
            let keys: Vec<_> = self.keys_of(dir, &segment.file).iter().collect();
            for (asset, (signal, time, sequence)) in keys {
                match self.profile.shape() {
                    Shape::Changes => self.latest.see(asset, signal, (time, sequence)),
                    Shape::Frames => self.see_frame(asset, (time, sequence)),
                }
            }
        }
    }

    fn apply_changes(&mut self, dir: &Path, batch: &Batch, changes: &Changes) -> Vec<bool> {
        let profile = Arc::clone(&self.profile);
        let places = self.places.of(&batch.profile, &profile);
        let codes: Vec<u32> = changes.assets.iter().map(|asset| self.assets.code(asset)).collect();
        let renumbered = self.renumbered(changes, &codes, &places);
        let changes = renumbered.as_ref().unwrap_or(changes);
        let mut statistics = changes.statistic.iter().peekable();
        let mut fresh = Vec::with_capacity(changes.len());
        let row_key = |row: usize| {
            let (asset, signal) = (codes[usize::from(changes.asset[row])], places[usize::from(changes.signal[row])]);
            (asset, (signal, changes.time[row], changes.sequence[row]))
        };
        let sealed = self.in_segments(dir, batch.received, (0..changes.len()).map(row_key));
        for row in 0..changes.len() {
            let (asset, key) = row_key(row);
            let signal = key.0;
            let statistic = statistics.next_if(|(place, _)| *place as usize == row).map(|(_, statistic)| statistic);
            let new = self.is_newest(asset, key, batch.received)
                || !(sealed.contains(&(asset, key)) || self.is_hot(asset, key));
            fresh.push(new);
            if !new {
                continue;
            }
            if let RowsBuilder::Changes(builder) = self.hot.row(asset, key) {
                builder.push(asset, signal, batch.received, changes, row, statistic.map(|statistic| &**statistic));
            }
            if is_ahead(key.1, batch.received) {
                // Kept, and that is all.
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
        fresh
    }

    fn apply_frames(&mut self, dir: &Path, batch: &Batch, frames: &Frames) -> Vec<bool> {
        let profile = Arc::clone(&self.profile);
        let places = self.places.of(&batch.profile, &profile);
        let codes: Vec<u32> = frames.assets.iter().map(|asset| self.assets.code(asset)).collect();
        let mut fresh = Vec::with_capacity(frames.len());
        let row_key = |row: usize| (codes[usize::from(frames.asset[row])], (0, frames.time[row], frames.sequence[row]));
        let sealed = self.in_segments(dir, batch.received, (0..frames.len()).map(row_key));
        for row in 0..frames.len() {
            let (asset, key) = row_key(row);
            let new = self.is_newest(asset, key, batch.received)
                || !(sealed.contains(&(asset, key)) || self.is_hot(asset, key));
            fresh.push(new);
            if !new {
                continue;
            }
            if let RowsBuilder::Frames(builder) = self.hot.row(asset, key) {
                builder.push(asset, batch.received, frames, row, &places, &profile);
            }
            if !is_ahead(key.1, batch.received) {
                self.see_frame(asset, (key.1, key.2));
                for observation in frame_observations(frames, row, &places) {
                    self.latest.apply(asset, observation, batch.received);
                }
            }
            if self.hot.needs_cut() {
                self.cut();
            }
        }
        fresh
    }

    /// Takes in a checkpoint of latest values; no rows are added.
    fn restore_latest(&mut self, batch: &Batch) {
        let profile = Arc::clone(&self.profile);
        let places = self.places.of(&batch.profile, &profile);
        match &batch.rows {
            Rows::Changes(changes) => {
                for row in 0..changes.len() {
                    let asset = self.assets.code(changes.asset_of(row));
                    let observation = observation(changes, row, places[usize::from(changes.signal[row])]);
                    self.latest.apply(asset, observation, batch.received);
                }
            }
            Rows::Frames(frames) => {
                for row in 0..frames.len() {
                    let asset = self.assets.code(&frames.assets[usize::from(frames.asset[row])]);
                    self.see_frame(asset, (frames.time[row], frames.sequence[row]));
                    for observation in frame_observations(frames, row, &places) {
                        self.latest.apply(asset, observation, batch.received);
                    }
                }
            }
        }
    }
}

/// Whether an observation of this kind says only what changed, so that the latest value needs the ones before it too.
fn adds_up(kind: ValueKind) -> bool {
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

/// What row `row` says of each signal that it speaks of, with the signals' places in the table.
fn frame_observations(frames: &Frames, row: usize, places: &[u16]) -> impl Iterator<Item = Observation> {
    let placed = |one: Observation| Observation { signal: places[usize::from(one.signal)], ..one };
    frames.observations_of(row).map(placed)
}

/// All tables and positions.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    pub(crate) tables: BTreeMap<Box<str>, Table>,
    pub(crate) cursors: HashMap<Box<str>, Box<str>>,
}

impl State {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), tables: BTreeMap::new(), cursors: HashMap::new() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
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
        catalog::check(&batch.profile)?;
        let distinct: HashSet<_> = assets.iter().collect();
        let table = self.tables.entry(batch.profile.id().into());
        table.or_insert_with(|| Table::new(Arc::clone(&batch.profile))).admit(&batch.profile, distinct.len())
    }

    /// Applies a batch that [`State::admit`] let in and that is in the log.
    pub(crate) fn apply(&mut self, batch: &Batch, cursor: Option<&Cursor>) -> Applied {
        let table = self.tables.get_mut(batch.profile.id()).expect("the batch was admitted");
        let fresh = match &batch.rows {
            Rows::Changes(changes) => table.apply_changes(&self.dir, batch, changes),
            Rows::Frames(frames) => table.apply_frames(&self.dir, batch, frames),
        };
        if let Some(cursor) = cursor {
            self.cursors.insert(cursor.source.clone(), cursor.position.clone());
        }
        let accepted = fresh.iter().filter(|new| **new).count() as u64;
        let duplicates = fresh.len() as u64 - accepted;
        Applied { accepted, duplicates, fresh: (duplicates > 0).then_some(fresh) }
    }

    /// Takes in latest values that a checkpoint kept.
    pub(crate) fn restore_latest(&mut self, batch: &Batch) -> Result<(), Unacceptable> {
        self.admit(batch)?;
        self.tables.get_mut(batch.profile.id()).expect("the batch was admitted").restore_latest(batch);
        Ok(())
    }

    /// Rows that are in no segment yet, and are not being written to one.
    pub(crate) fn hot_rows(&self) -> usize {
        self.tables.values().map(|table| table.hot.rows()).sum()
    }
}
