//! Frames on their way into a table: which rows are new and under which sequence, decided row by row; then the rows are
//! kept column by column, and what each asset said last is written once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{Batch, Frames, SignalIndex, Timestamp};

use super::{Outcome, Table, is_ahead};
use crate::generation::{Generation, RowKey};
use crate::kept::KeptFrames;
use crate::newest::{FrameKey, Said, UNTOLD, spoken};
use crate::rows::NewFrames;
use crate::sealed_keys::Codes;

/// Stands for a row where there is none.
const NO_ROW: u32 = u32::MAX;

/// A batch of frames while it is being applied.
struct Arrival<'a> {
    frames: &'a Frames,
    received: Timestamp,
    places: &'a [SignalIndex],
    /// The code of each asset of the batch.
    codes: &'a [u32],
    /// For each asset of the batch, its first place: a batch may list an asset twice.
    senders: Vec<u16>,
    /// See [`Said::spoken`].
    spoken: Vec<SignalIndex>,
    /// The sequences that the rows are kept under.
    sequence: Cow<'a, [u32]>,
    /// For each asset, its last row that is new and can be its latest, and has not been looked at as such.
    last: Vec<u32>,
    /// For each of these rows, the one before it of the same asset.
    before: Vec<u32>,
    /// How many bytes latest values may take.
    latest_bytes_max: usize,
    /// Rows that could not be told of for want of these.
    unmentioned: u64,
}

impl<'a> Arrival<'a> {
    fn new(
        batch: &Batch,
        frames: &'a Frames,
        places: &'a [SignalIndex],
        codes: &'a [u32],
        latest_bytes_max: usize,
    ) -> Self {
        let mut known: HashMap<u32, u16, RandomState> =
            HashMap::with_capacity_and_hasher(codes.len(), RandomState::default());
        let senders = (0..).zip(codes).map(|(place, code)| *known.entry(*code).or_insert(place)).collect();
        let (last, before) = (vec![NO_ROW; codes.len()], vec![NO_ROW; frames.len()]);
        let sequence = Cow::Borrowed(&*frames.sequence);
        let (received, unmentioned, spoken) = (batch.received, 0, spoken(frames));
        Self { frames, received, places, codes, senders, spoken, sequence, last, before, latest_bytes_max, unmentioned }
    }

    fn sender(&self, row: usize) -> usize {
        usize::from(self.senders[usize::from(self.frames.asset[row])])
    }

    fn key(&self, row: usize) -> FrameKey {
        (self.frames.time[row], self.sequence[row])
    }

    fn said(&self) -> Said<'_> {
        let Self { frames, received, places, .. } = *self;
        Said { frames, received, places, sequence: &self.sequence, spoken: &self.spoken }
    }
}

fn row_key((time, sequence): FrameKey) -> RowKey {
    (0, time, sequence)
}

impl Table {
    /// Keeps the rows of `frames` that are new.
    pub(super) fn apply_frames(&mut self, batch: &Batch, frames: &Frames, latest_bytes_max: usize) -> Outcome {
        let profile = Arc::clone(&self.profile);
        let places = self.places.of(&batch.profile, &profile);
        let codes: Vec<u32> = frames.assets.iter().map(|asset| self.assets.code(asset)).collect();
        let mut arrival = Arrival::new(batch, frames, &places, &codes, latest_bytes_max);
        let late = self.late_frames(&arrival);
        let fresh = if late.is_empty() {
            (0..frames.len()).for_each(|row| self.see_new(&mut arrival, row));
            None
        } else {
            Some(self.tell_repeats(&mut arrival, &late))
        };
        for sender in 0..codes.len() {
            self.settle(&mut arrival, sender);
        }
        let rows: Option<Vec<u32>> =
            fresh.as_ref().map(|fresh| (0..).zip(fresh).filter(|(_, new)| **new).map(|(row, _)| row).collect());
        let (received, sequence) = (batch.received, &*arrival.sequence);
        let new = NewFrames { frames, received, codes: &codes, places: &places, sequence, rows: rows.as_deref() };
        let words = self.words();
        self.hot.append(&new, &profile, &words);
        Outcome { fresh, unmentioned: arrival.unmentioned }
    }

    /// The rows that are not later than all before them of their asset, and so may be repeats.
    fn late_frames(&self, arrival: &Arrival<'_>) -> Vec<usize> {
        let mut furthest: Vec<FrameKey> = arrival.codes.iter().map(|code| self.newest.furthest(*code)).collect();
        let is_late = |row: &usize| {
            let (furthest, key) = (&mut furthest[arrival.sender(*row)], arrival.key(*row));
            let is_late = key <= *furthest;
            *furthest = key.max(*furthest);
            is_late
        };
        (0..arrival.frames.len()).filter(is_late).collect()
    }

    /// Takes in which rows are new, where those at `late` may not be. Rows that are no repeats although they look like
    /// one get another sequence.
    fn tell_repeats(&mut self, arrival: &mut Arrival<'_>, late: &[usize]) -> Vec<bool> {
        let code_of = |arrival: &Arrival<'_>, row: usize| arrival.codes[arrival.sender(row)];
        let mut assets: Vec<u32> = late.iter().map(|row| code_of(arrival, *row)).collect();
        assets.sort_unstable();
        assets.dedup();
        self.watch(&assets);
        let known_before = late.iter().map(|row| (code_of(arrival, *row), arrival.key(*row)));
        let known_before: Vec<(u32, RowKey)> = known_before
            .filter(|(asset, key)| *key <= self.newest.furthest(*asset))
            .map(|(asset, key)| (asset, row_key(key)))
            .collect();
        let sealed = self.in_segments(known_before.into_iter());
        let is_kept = |table: &Self, asset: u32, key: FrameKey| {
            key <= table.newest.furthest(asset)
                && (sealed.contains(&(asset, row_key(key))) || table.is_hot(asset, row_key(key)))
        };
        let profile = Arc::clone(&self.profile);
        let mut kept: Option<KeptFrames> = None;
        let mut fresh = Vec::with_capacity(arrival.frames.len());
        for row in 0..arrival.frames.len() {
            let (asset, key) = (code_of(arrival, row), arrival.key(row));
            let mut is_new = !is_kept(self, asset, key);
            if !is_new {
                let kept = kept.get_or_insert_with(|| self.kept_frames(arrival, late, &fresh));
                if let Some(sequence) = kept.successor(asset, &arrival.said(), row as u32, &profile) {
                    arrival.sequence.to_mut()[row] = sequence;
                    is_new = true;
                }
            }
            if is_new {
                self.see_new(arrival, row);
                kept.iter_mut().for_each(|kept| kept.add_arrived(asset, arrival.key(row), row as u32));
            }
            fresh.push(is_new);
        }
        fresh
    }

    /// All frames that are kept of the assets and times of the rows at `late`, also those of `arrival` that `fresh` says are
    /// new.
    fn kept_frames(&mut self, arrival: &Arrival<'_>, late: &[usize], fresh: &[bool]) -> KeptFrames {
        self.cut();
        let profile = Arc::clone(&self.profile);
        let place = |row: &usize| (arrival.codes[arrival.sender(*row)], arrival.frames.time[*row]);
        let mut kept = KeptFrames::new(late.iter().map(place));
        let generations = self.sealing.iter().chain([&self.hot]);
        generations.flat_map(Generation::chunks).for_each(|chunk| kept.add_chunk(chunk, &profile));
        let sealed: Vec<_> = kept.wanted().filter(|(_, time)| *time <= self.sealed_until).collect();
        let mut codes = Codes { assets: &mut self.assets, profile: &profile };
        self.sealed_keys.for_each_frame_of(&self.segments, sealed.into_iter(), &mut codes, |frames| {
            kept.add_sealed(frames, &profile);
        });
        for row in (0..fresh.len()).filter(|row| fresh[*row]) {
            kept.add_arrived(arrival.codes[arrival.sender(row)], arrival.key(row), row as u32);
        }
        kept
    }

    /// Notes that `row` is kept.
    fn see_new(&mut self, arrival: &mut Arrival<'_>, row: usize) {
        let sender = arrival.sender(row);
        let (asset, key) = (arrival.codes[sender], arrival.key(row));
        if self.hot.is_watching() {
            self.hot.note(asset, row_key(key));
        }
        self.newest.see(asset, key);
        if !is_ahead(key.0, arrival.received) {
            arrival.before[row] = std::mem::replace(&mut arrival.last[sender], row as u32);
        }
    }

    /// Takes what the new rows of one asset say into what it said last.
    fn settle(&mut self, arrival: &mut Arrival<'_>, sender: usize) {
        let mut rows = Vec::new();
        let mut row = std::mem::replace(&mut arrival.last[sender], NO_ROW);
        while row != NO_ROW {
            rows.push(row);
            row = arrival.before[row as usize];
        }
        if !rows.is_empty() {
            let bytes_max = arrival.latest_bytes_max;
            let is_full = self.newest.take(arrival.codes[sender], &arrival.said(), &mut rows, bytes_max);
            arrival.unmentioned += if is_full { rows.len() as u64 } else { 0 };
        }
    }

    /// Takes in frames of a checkpoint; no rows are added.
    pub(super) fn restore_frames(&mut self, received: Timestamp, frames: &Frames, places: &[SignalIndex]) {
        let said = Said { frames, received, places, sequence: &frames.sequence, spoken: &spoken(frames) };
        for row in 0..frames.len() {
            let (asset, key) =
                (self.assets.code(&frames.assets[usize::from(frames.asset[row])]), said_key(frames, row));
            self.newest.see(asset, key);
            if received != UNTOLD {
                self.newest.take(asset, &said, &mut [row as u32], usize::MAX);
            }
        }
    }
}

fn said_key(frames: &Frames, row: usize) -> FrameKey {
    (frames.time[row], frames.sequence[row])
}
