//! What the frames say that are kept of some assets and times, among the rows in memory and in segments: so that a frame
//! with the key of one that is kept is told from a repeat. Nobody asks for it as long as all keys are new.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use arrow::error::ArrowError;
use foldhash::fast::RandomState;
use model::{Observation, Profile, Quality, Timestamp, Value, ValueKind};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};

use crate::newest::{FrameKey, Said, is_same};
use crate::recollect::{exceptions, integers};
use crate::sealed_keys::SealedFrames;
use crate::table::integers_type;

/// The frames of some assets and times: see the module.
#[derive(Debug)]
pub(crate) struct KeptFrames {
    of: HashMap<(u32, Timestamp), Vec<(u32, Place)>, RandomState>,
    rows: Vec<KeptRows>,
}

/// Where it stands what a frame says.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In this row of these [`KeptRows`].
    Row(u32, u32),
    /// In this row of the batch that is being applied.
    Arrived(u32),
    /// Nowhere any more: the segment is damaged.
    Unknown,
}

/// Columns of a table.
#[derive(Debug)]
struct KeptRows {
    /// By the place of the signal.
    columns: Vec<Option<ArrayRef>>,
    exceptions: Option<ArrayRef>,
}

impl KeptFrames {
    /// None yet of the assets and times `wanted`.
    pub(crate) fn new(wanted: impl Iterator<Item = (u32, Timestamp)>) -> Self {
        Self { of: wanted.map(|one| (one, Vec::new())).collect(), rows: Vec::new() }
    }

    /// The assets and times that are wanted.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (u32, Timestamp)> {
        self.of.keys().copied()
    }

    /// Takes in those of a chunk of rows in memory that are wanted.
    pub(crate) fn add_chunk(&mut self, chunk: &RecordBatch, profile: &Profile) {
        let (Some(first), Some(last)) = (self.wanted().map(|one| one.1).min(), self.wanted().map(|one| one.1).max())
        else {
            return;
        };
        let column = |name: &str| chunk.column_by_name(name).expect("every table has the columns of its keys");
        let asset = column("asset").as_dictionary::<Int32Type>().keys().values();
        let time = column("time").as_primitive::<TimestampNanosecondType>().values();
        let sequence = column("sequence").as_primitive::<UInt32Type>().values();
        let (times, place, mut is_wanted) = (first.nanos()..=last.nanos(), self.rows.len() as u32, false);
        for (row, nanos) in (0..).zip(time).filter(|(_, nanos)| times.contains(*nanos)) {
            let key = (asset[row as usize] as u32, Timestamp::from_nanos(*nanos));
            if let Some(kept) = self.of.get_mut(&key) {
                kept.push((sequence[row as usize], Place::Row(place, row)));
                is_wanted = true;
            }
        }
        if is_wanted {
            self.rows.push(KeptRows::of(chunk, profile).expect("chunks have the types of their table"));
        }
    }

    /// Takes in frames of a row group of a segment.
    pub(crate) fn add_sealed(&mut self, frames: &SealedFrames<'_>, profile: &Profile) {
        let rows = read(frames, profile);
        if let Err(error) = &rows {
            let path = frames.segment.path.display();
            tracing::error!(%path, %error, "a segment does not read; late rows with its keys are taken for repeats");
            frames.segment.suspect();
        }
        let place = self.rows.len() as u32;
        for (row, (_, asset, (time, sequence))) in (0..).zip(&frames.rows) {
            let place = if rows.is_ok() { Place::Row(place, row) } else { Place::Unknown };
            self.of.entry((*asset, *time)).or_default().push((*sequence, place));
        }
        self.rows.extend(rows);
    }

    /// Takes in `row` of the batch that is being applied, if it is wanted.
    pub(crate) fn add_arrived(&mut self, asset: u32, (time, sequence): FrameKey, row: u32) {
        if let Some(kept) = self.of.get_mut(&(asset, time)) {
            kept.push((sequence, Place::Arrived(row)));
        }
    }

    /// The sequence that a frame is kept under which has the key of one that is kept and yet is no repeat: it says something
    /// that no frame of its asset and time says. `None` for repeats.
    pub(crate) fn successor(&self, asset: u32, said: &Said<'_>, row: u32, profile: &Profile) -> Option<u32> {
        let (time, sequence) = said.key(row);
        let kept = self.of.get(&(asset, time))?;
        // What is known by its key only cannot be compared: it is taken for the same.
        let is_found = kept.iter().any(|(known, _)| *known == sequence);
        let is_said = |one: &Observation| kept.iter().any(|(_, place)| self.says(*place, one, said, profile));
        if !is_found || said.observations_of(row).all(|one| is_said(&one)) {
            return None;
        }
        kept.iter().map(|(known, _)| *known).max()?.checked_add(1)
    }

    /// Whether the frame at `place` says `one`, too.
    fn says(&self, place: Place, one: &Observation, said: &Said<'_>, profile: &Profile) -> bool {
        let (value, exception) = match place {
            Place::Row(rows, row) => {
                let (rows, row) = (&self.rows[rows as usize], row as usize);
                let all = rows.exceptions.as_ref().map(|column| exceptions(column, row, profile)).unwrap_or_default();
                let exception = all.into_iter().find(|(signal, _)| *signal == one.signal).map(|(_, quality)| quality);
                (rows.value_at(usize::from(one.signal), row, profile.signal(one.signal).kind), exception)
            }
            Place::Arrived(row) => {
                let found = said.observations_of(row).find(|known| known.signal == one.signal);
                found.map_or((None, None), |known| (Some(known.value), Some(known.quality)))
            }
            Place::Unknown => return true,
        };
        (value.is_some() || exception.is_some())
            && one.quality == exception.unwrap_or(Quality::Good)
            && is_same(&one.value, &value.unwrap_or_default())
    }
}

impl KeptRows {
    /// The columns of `rows` as the table has them, whatever they are stored as.
    fn of(rows: &RecordBatch, profile: &Profile) -> Result<Self, ArrowError> {
        let mut columns = vec![None; profile.signals().len()];
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            let Some(place) = profile.signal_index(field.name()) else { continue };
            let data_type = match profile.signal(place).kind {
                ValueKind::Integer => DataType::Int64,
                ValueKind::Number => DataType::Float64,
                ValueKind::Vector => integers_type(),
                _ => DataType::Utf8,
            };
            let is_same = *column.data_type() == data_type;
            columns[usize::from(place)] = Some(if is_same { column.clone() } else { cast(column, &data_type)? });
        }
        Ok(Self { columns, exceptions: rows.column_by_name("exceptions").cloned() })
    }

    fn value_at(&self, place: usize, row: usize, kind: ValueKind) -> Option<Value> {
        let column = self.columns[place].as_ref().filter(|column| column.is_valid(row))?;
        Some(match kind {
            ValueKind::Integer => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
            ValueKind::Number => Value::Number(column.as_primitive::<Float64Type>().value(row)),
            ValueKind::Vector => integers(column, row),
            _ => Value::Text(column.as_string::<i32>().value(row).into()),
        })
    }
}

/// The rows of `frames`, in their order.
fn read(frames: &SealedFrames<'_>, profile: &Profile) -> Result<KeptRows, ArrowError> {
    let file = ParquetRecordBatchReaderBuilder::try_new(frames.segment.open()?)?;
    let rows_in_all = file.metadata().row_group(frames.group).num_rows() as usize;
    let rows = frames.rows.iter().map(|(row, ..)| *row as usize..*row as usize + 1);
    let selection = RowSelection::from_consecutive_ranges(rows, rows_in_all);
    let reader = file.with_row_groups(vec![frames.group]).with_row_selection(selection);
    let reader = reader.with_batch_size(frames.rows.len().max(1)).build()?;
    let (schema, batches) = (arrow::array::RecordBatchReader::schema(&reader), reader.collect::<Result<Vec<_>, _>>()?);
    let rows = arrow::compute::concat_batches(&schema, &batches)?;
    if rows.num_rows() != frames.rows.len() {
        return Err(ArrowError::ParquetError("there are fewer rows than keys".to_owned()));
    }
    KeptRows::of(&rows, profile)
}
