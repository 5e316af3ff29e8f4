//! The rows of one piece of a body, on their way into batches: lines of one asset and time are put together.
//!
//! A row's `sequence` is the place of its first field in the profile, plus 8,192 for each row of the same asset and time
//! before it that contradicts it. So rows whose fields come one by one, each in a body of its own, are all kept, what is
//! sent twice is kept once, and rows that begin with the measurement's first field have 0. A sender that retries may put
//! lines together otherwise than before: of rows with the same key the store compares what they say.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{AssetId, Batch, Column, Frames, Profile, Timestamp};

use crate::fields::Measurement;
use crate::scan::{self, Scalar};

/// Rows of one batch.
const BATCH_ROWS_MAX: usize = 10_000;
/// Rows times columns of one batch.
const BATCH_CELLS_MAX: usize = 1 << 20;
/// As many empty cells are added to rows that are there when a field comes up; for more a new batch is begun.
const PADDED_CELLS_MAX: usize = 1 << 16;
/// The distance between the sequences of rows that contradict one another; more fields than a profile may have.
const REPEAT_STRIDE: u32 = 8_192;
/// What the rest of a row takes, in cells.
const ROW_CELLS: usize = 4;
/// Rows of one asset and time that contradict one another.
const REPEATS_MAX: u32 = u32::MAX / REPEAT_STRIDE;

/// Rows that become one batch.
#[derive(Debug, Default)]
struct Chunk {
    /// Set when later fields are no longer its affair.
    profile: Option<Arc<Profile>>,
    assets: Vec<AssetId>,
    places: HashMap<u32, u16, RandomState>,
    asset: Vec<u16>,
    time: Vec<Timestamp>,
    repeat: Vec<u32>,
    /// The first field of each row.
    first: Vec<u16>,
    columns: Vec<Column>,
}

/// The rows of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    chunks: Vec<Chunk>,
    /// The last row of each asset and time: its chunk and its place there.
    last: HashMap<(u32, i64), (u32, u32), RandomState>,
}

/// A line that is about to become a row, or part of one.
pub(crate) struct Line<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) asset: u32,
    pub(crate) time: i64,
    pub(crate) values: &'a [(u16, Scalar)],
}

/// There are too many rows of one asset and time.
#[derive(Debug)]
pub(crate) struct TooManyRepeats;

impl Rows {
    /// Adds `line` of `measurement`; returns the cells that this took.
    pub(crate) fn add(
        &mut self,
        line: &Line<'_>,
        measurement: &mut Measurement,
        assets: &[AssetId],
    ) -> Result<usize, TooManyRepeats> {
        let mut repeat = 0;
        if let Some((chunk, row)) = self.last.get(&(line.asset, line.time)).copied() {
            let chunk = &mut self.chunks[chunk as usize];
            if chunk.agrees(row as usize, line) {
                return Ok(chunk.fill(row as usize, line, measurement));
            }
            repeat = chunk.repeat[row as usize] + 1;
            if repeat > REPEATS_MAX {
                return Err(TooManyRepeats);
            }
        }
        if self.chunks.is_empty() {
            self.last.reserve(measurement.rows_expected);
        }
        let cells = self.make_room(measurement);
        let place = self.chunks.len() - 1;
        let chunk = &mut self.chunks[place];
        let row = chunk.time.len();
        chunk.push(line, repeat, &assets[line.asset as usize]);
        self.last.insert((line.asset, line.time), (place as u32, row as u32));
        Ok(cells + chunk.fill(row, line, measurement))
    }

    /// Makes the last chunk one that can take a row; returns the cells that the row takes.
    fn make_room(&mut self, measurement: &mut Measurement) -> usize {
        let fields = measurement.len();
        let rows_max = BATCH_ROWS_MAX.min(BATCH_CELLS_MAX / fields.max(1)).max(1);
        let fits = self.chunks.last().is_some_and(|chunk| {
            let added = fields.saturating_sub(chunk.columns.len());
            chunk.profile.is_none() && chunk.time.len() < rows_max && chunk.time.len() * added <= PADDED_CELLS_MAX
        });
        if !fits {
            if let Some(full) = self.chunks.last_mut().filter(|chunk| chunk.profile.is_none()) {
                full.close(measurement);
            }
            let expected = self.chunks.last().map_or(measurement.rows_expected, |chunk| chunk.time.len()).min(rows_max);
            let columns = (0..fields).map(|field| measurement.kind(field).column(expected)).collect();
            self.chunks.push(Chunk { columns, ..Chunk::default() });
        }
        fields + ROW_CELLS
    }

    /// The batches of all rows.
    pub(crate) fn finish(self, measurement: &mut Measurement, received: Timestamp, batches: &mut Vec<Batch>) {
        measurement.rows_expected = self.chunks.iter().map(|chunk| chunk.time.len()).max().unwrap_or(0);
        for mut chunk in self.chunks {
            if chunk.profile.is_none() {
                chunk.close(measurement);
            }
            batches.extend(chunk.finish(received));
        }
    }
}

impl Chunk {
    fn push(&mut self, line: &Line<'_>, repeat: u32, asset: &AssetId) {
        let place = *self.places.entry(line.asset).or_insert_with(|| {
            self.assets.push(asset.clone());
            (self.assets.len() - 1) as u16
        });
        self.asset.push(place);
        self.time.push(Timestamp::from_nanos(line.time));
        self.repeat.push(repeat);
        self.first.push(u16::MAX);
    }

    /// Whether nothing in `line` contradicts row `row`.
    fn agrees(&self, row: usize, line: &Line<'_>) -> bool {
        line.values.iter().all(|(field, value)| match self.columns.get(usize::from(*field)) {
            Some(Column::Numbers(rows)) => match (rows.get(row).copied().flatten(), value) {
                (Some(known), Scalar::Number(number)) => known.to_bits() == number.to_bits(),
                (known, _) => known.is_none(),
            },
            Some(Column::Integers(rows)) => match (rows.get(row).copied().flatten(), value) {
                (Some(known), Scalar::Integer(integer)) => known == *integer,
                (Some(known), Scalar::Boolean(boolean)) => known == i64::from(*boolean),
                (known, _) => known.is_none(),
            },
            Some(Column::Texts(rows)) => match rows.get(row) {
                Some(Some(known)) => **known == *text(line.bytes, value),
                _ => true,
            },
            Some(Column::Vectors(_)) => unreachable!("no field is a vector"),
            // A closed chunk has no more columns.
            None => self.profile.is_none(),
        })
    }

    /// Puts the values of `line` into row `row`; returns the cells that columns for new fields take.
    fn fill(&mut self, row: usize, line: &Line<'_>, measurement: &Measurement) -> usize {
        let mut added = 0;
        let mut first = u16::MAX;
        for (field, value) in line.values {
            first = first.min(*field);
            while self.columns.len() <= usize::from(*field) {
                self.columns.push(measurement.kind(self.columns.len()).column(0));
                added += row + 1;
            }
            match (&mut self.columns[usize::from(*field)], value) {
                (Column::Numbers(rows), Scalar::Number(number)) => put(rows, row, *number),
                (Column::Integers(rows), Scalar::Integer(integer)) => put(rows, row, *integer),
                (Column::Integers(rows), Scalar::Boolean(boolean)) => put(rows, row, i64::from(*boolean)),
                (Column::Texts(rows), value) => put(rows, row, text(line.bytes, value)),
                _ => unreachable!("a field never changes its kind"),
            }
        }
        self.first[row] = first.min(self.first[row]);
        added
    }

    /// From now on the chunk gets no more fields.
    fn close(&mut self, measurement: &mut Measurement) {
        for column in &mut self.columns {
            match column {
                Column::Numbers(rows) => rows.resize(self.time.len(), None),
                Column::Integers(rows) => rows.resize(self.time.len(), None),
                Column::Texts(rows) => rows.resize(self.time.len(), None),
                Column::Vectors(_) => unreachable!("no field is a vector"),
            }
        }
        self.profile = Some(measurement.profile(self.columns.len()));
    }

    fn finish(self, received: Timestamp) -> Option<Batch> {
        let sequences = self.first.iter().zip(&self.repeat);
        let frames = Frames {
            assets: self.assets,
            asset: self.asset,
            time: self.time,
            sequence: sequences.map(|(first, repeat)| u32::from(*first) + repeat * REPEAT_STRIDE).collect(),
            columns: self.columns,
            exceptions: Vec::new(),
        };
        Some(Batch::frames(self.profile?, received, frames))
    }
}

/// Puts `value` into row `row`; the rows before that have none are filled up.
#[inline]
fn put<T: Clone>(rows: &mut Vec<Option<T>>, row: usize, value: T) {
    if rows.len() == row {
        rows.push(Some(value));
    } else if rows.len() < row {
        rows.resize(row, None);
        rows.push(Some(value));
    } else {
        rows[row] = Some(value);
    }
}

/// The text that `value` stands for.
fn text(bytes: &[u8], value: &Scalar) -> Box<str> {
    let Scalar::Text { begin, end, escapes } = value else { unreachable!("a field never changes its kind") };
    let wire = &bytes[*begin as usize..*end as usize];
    let plain = if *escapes { scan::unescaped(wire, b"\"\\") } else { wire.to_vec() };
    // The scan has found it to be UTF-8, and backslashes and quotes are whole characters.
    String::from_utf8(plain).map_or_else(|_| Box::default(), String::into_boxed_str)
}
