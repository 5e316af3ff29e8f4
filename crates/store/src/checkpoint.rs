//! The latest values as of a segment, in a file of log records, so that opening a store need not read its segments.
//! Knows the record format and the latest values; not when a checkpoint is due.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{
    Batch, Changes, Column, FrameException, Frames, Observation, Profile, Quality, Shape, Timestamp, Value, ValueKind,
    Vectors,
};

use crate::codec::Encoder;
use crate::disk::{Disk, put_file};
use crate::log;
use crate::newest::{FrameKey, UNTOLD};
use crate::record::{self, Definitions, Record, VALUES_MAX};
use crate::state::{State, Table};

/// Rows of one record.
const ROWS_MAX: usize = 4_096;
/// Bytes of one record, where it has more than one row.
const RECORD_BYTES: usize = 8 << 20;

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the latest values in `{path}`: {reason}")]
pub(crate) struct CheckpointError {
    path: PathBuf,
    reason: String,
}

/// The latest values of all tables of `state`, as the bytes of a checkpoint.
pub(crate) fn encode(state: &State) -> Vec<u8> {
    let mut framed = Vec::new();
    for (number, table) in state.tables.values().enumerate() {
        let mut encoder = Encoder::default();
        record::encode_profile(&mut encoder, number as u32, table.profile());
        log::frame(&mut framed, &encoder.bytes);
        match table.profile().shape() {
            Shape::Changes => {
                let rows = observations(table);
                let together = rows.chunk_by(|one, next| one.2 == next.2);
                for rows in together.flat_map(|rows| rows.chunks(ROWS_MAX)) {
                    encode_rows(&mut framed, number as u32, rows, &|rows| changes(table, rows));
                }
                for rows in untold_times(table).chunks(ROWS_MAX) {
                    encode_rows(&mut framed, number as u32, rows, &|rows| untold_changes(table, rows));
                }
            }
            Shape::Frames => {
                let rows = kept_frames(table);
                let rows_max = ROWS_MAX.min(VALUES_MAX / table.profile().signals().len().max(1)).max(1);
                let together = rows.chunk_by(|one, next| one.0 == next.0);
                for rows in together.flat_map(|rows| rows.chunks(rows_max)) {
                    encode_rows(&mut framed, number as u32, rows, &|rows| frames(table, rows));
                }
            }
        }
    }
    framed
}

/// One record of the `batch` of `rows`, or several where one would be too large.
fn encode_rows<R>(framed: &mut Vec<u8>, number: u32, rows: &[R], batch: &impl Fn(&[R]) -> Batch) {
    let mut encoder = Encoder::default();
    record::encode_batch(&mut encoder, number, &batch(rows), None);
    if encoder.bytes.len() <= RECORD_BYTES || rows.len() == 1 {
        if encoder.bytes.len() <= log::RECORD_BYTES_MAX {
            log::frame(framed, &encoder.bytes);
        }
        return;
    }
    let (first, second) = rows.split_at(rows.len() / 2);
    encode_rows(framed, number, first, batch);
    encode_rows(framed, number, second, batch);
}

/// An observation of the asset with this code, and when it came in.
type Row<'a> = (u32, &'a Observation, Timestamp);

/// Puts a checkpoint at `path`, all or nothing.
pub(crate) fn write(disk: &dyn Disk, path: &Path, framed: &[u8]) -> io::Result<()> {
    put_file(disk, path, &[log::MAGIC, framed])
}

/// Reads the checkpoint at `path` into `state`.
///
/// # Errors
/// When it is missing or any part of it is damaged: without it, repeats could not be told from news.
pub(crate) fn read(path: &Path, state: &mut State) -> Result<(), CheckpointError> {
    let failed = |reason: String| CheckpointError { path: path.to_owned(), reason };
    let mut definitions = Definitions::new();
    let mut outcome = Ok(());
    let damages = log::read_records(path, |bytes, offset| {
        let so_far = outcome.is_ok();
        if so_far {
            outcome = match record::decode(bytes, &mut definitions) {
                Ok(Record::Profile) => Ok(()),
                Ok(Record::Batch { batch, .. }) => state.restore_latest(&batch).map_err(|error| error.to_string()),
                Err(error) => Err(format!("record at byte {offset}: {error}")),
            };
        }
        so_far
    });
    let damages = damages.map_err(|error| failed(error.to_string()))?;
    if let Some(damage) = damages.first() {
        return Err(failed(format!("{} bytes at byte {} are damaged", damage.bytes, damage.offset)));
    }
    outcome.map_err(failed)
}

/// The observations to restore, in the order in which they have to be applied.
fn observations(table: &Table) -> Vec<Row<'_>> {
    let mut observations: Vec<Row<'_>> =
        table.latest().to_restore().map(|(asset, (observation, received))| (asset, observation, *received)).collect();
    // In the order of source time, since an older observation never replaces a newer one.
    observations
        .sort_by_key(|(asset, observation, _)| (observation.time, observation.sequence, *asset, observation.signal));
    observations
}

fn changes(table: &Table, rows: &[Row<'_>]) -> Batch {
    let mut changes = Changes::default();
    for (asset, observation, _) in rows {
        let asset = changes.intern(&table.assets().ids()[*asset as usize]);
        changes.push(asset, (*observation).clone());
    }
    Batch::changes(Arc::clone(table.profile()), rows[0].2, changes)
}

/// The code of an asset, and the first or the last of its source times that no latest value tells of.
type UntoldTime = (u32, Timestamp);

fn untold_times(table: &Table) -> Vec<UntoldTime> {
    let assets = 0..table.assets().ids().len() as u32;
    let spans = assets.filter_map(|asset| Some((asset, table.latest().untold(asset)?)));
    spans.flat_map(|(asset, untold)| [(asset, untold.first), (asset, untold.last)]).collect()
}

/// Changes of which nothing is known but that some are kept of these assets up to and from these times: without them an
/// asset that was always ahead would not be known at all.
fn untold_changes(table: &Table, rows: &[UntoldTime]) -> Batch {
    let mut changes = Changes::default();
    for (asset, time) in rows {
        let asset = changes.intern(&table.assets().ids()[*asset as usize]);
        let (value, quality) = (Value::Absent, Quality::Invalid);
        changes.push(asset, Observation { signal: 0, time: *time, sequence: 0, quality, value, statistic: None });
    }
    Batch::changes(Arc::clone(table.profile()), UNTOLD, changes)
}

/// When a frame came in, its key, and the code of its asset.
type KeptFrame = (Timestamp, FrameKey, u32);

/// All frames that some signal's latest value stands in, in the order in which they came in.
fn kept_frames(table: &Table) -> Vec<KeptFrame> {
    let assets = 0..table.assets().ids().len() as u32;
    let kept = |asset| table.newest().to_restore(asset).into_iter().map(move |(received, key)| (received, key, asset));
    let mut frames: Vec<KeptFrame> = assets.flat_map(kept).collect();
    frames.sort_unstable();
    frames
}

/// Frames with what is the latest in each of `rows`.
fn frames(table: &Table, rows: &[KeptFrame]) -> Batch {
    let mut frames = Frames { columns: empty_columns(table.profile()), ..Frames::default() };
    let mut places: HashMap<u32, u16> = HashMap::new();
    for (row, (received, key, asset)) in (0..).zip(rows) {
        let place = *places.entry(*asset).or_insert_with(|| {
            frames.assets.push(table.assets().ids()[*asset as usize].clone());
            (frames.assets.len() - 1) as u16
        });
        frames.asset.push(place);
        frames.time.push(key.0);
        frames.sequence.push(key.1);
        for (signal, column) in frames.columns.iter_mut().enumerate() {
            let said = table.newest().value_at(*asset, signal, *received, *key);
            push_value(column, said.map(|(value, _)| value));
            if let Some((_, quality)) = said.filter(|(_, quality)| *quality != Quality::Good) {
                frames.exceptions.push(FrameException { row, signal: signal as u16, element: None, quality });
            }
        }
    }
    Batch::frames(Arc::clone(table.profile()), rows[0].0, frames)
}

fn empty_columns(profile: &Profile) -> Vec<Column> {
    let columns = profile.signals().iter().map(|signal| match signal.kind {
        ValueKind::Integer => Column::Integers(Vec::new()),
        ValueKind::Number => Column::Numbers(Vec::new()),
        ValueKind::Vector => Column::Vectors(Vectors::default()),
        _ => Column::Texts(Vec::new()),
    });
    columns.collect()
}

fn push_value(column: &mut Column, value: Option<&Value>) {
    match (column, value) {
        (Column::Integers(rows), Some(Value::Integer(value))) => rows.push(Some(*value)),
        (Column::Numbers(rows), Some(Value::Number(value))) => rows.push(Some(*value)),
        (Column::Texts(rows), Some(Value::Text(value))) => rows.push(Some(value.clone())),
        (Column::Vectors(rows), Some(Value::Integers(elements))) => rows.push(Some(elements.iter().copied())),
        (Column::Vectors(rows), _) => rows.push(None::<[i64; 0]>),
        (Column::Integers(rows), _) => rows.push(None),
        (Column::Numbers(rows), _) => rows.push(None),
        (Column::Texts(rows), _) => rows.push(None),
    }
}
