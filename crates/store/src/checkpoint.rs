//! The latest values as of a segment, in a file of log records, so that opening a store need not read its segments.
//! Knows the record format and the latest values; not when a checkpoint is due.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Batch, Changes, Column, FrameException, Frames, Observation, Quality, Shape, Timestamp, Value, ValueKind};

use crate::codec::Encoder;
use crate::log;
use crate::manifest::replace_file;
use crate::record::{self, Definitions, Record};
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
        let observations = observations(table);
        let together = observations.chunk_by(|one, next| one.2 == next.2);
        for rows in together.flat_map(|rows| rows.chunks(ROWS_MAX)) {
            encode_rows(&mut framed, number as u32, table, rows);
        }
    }
    framed
}

/// One record of `rows`, or several where one would be too large.
fn encode_rows(framed: &mut Vec<u8>, number: u32, table: &Table, rows: &[Row<'_>]) {
    let mut encoder = Encoder::default();
    record::encode_batch(&mut encoder, number, &batch(table, rows), None);
    if encoder.bytes.len() <= RECORD_BYTES || rows.len() == 1 {
        if encoder.bytes.len() <= log::RECORD_BYTES_MAX {
            log::frame(framed, &encoder.bytes);
        }
        return;
    }
    let (first, second) = rows.split_at(rows.len() / 2);
    encode_rows(framed, number, table, first);
    encode_rows(framed, number, table, second);
}

/// An observation of the asset with this code, and when it came in.
type Row<'a> = (u32, &'a Observation, Timestamp);

/// Puts a checkpoint at `path`, all or nothing.
pub(crate) fn write(path: &Path, framed: &[u8]) -> io::Result<()> {
    let mut bytes = log::MAGIC.to_vec();
    bytes.extend_from_slice(framed);
    replace_file(path, &bytes)
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

fn batch(table: &Table, rows: &[Row<'_>]) -> Batch {
    let received = rows[0].2;
    let ids = table.assets().ids();
    match table.profile().shape() {
        Shape::Changes => {
            let mut changes = Changes::default();
            for (asset, observation, _) in rows {
                let asset = changes.intern(&ids[*asset as usize]);
                changes.push(asset, (*observation).clone());
            }
            Batch::changes(Arc::clone(table.profile()), received, changes)
        }
        Shape::Frames => Batch::frames(Arc::clone(table.profile()), received, frames(table, rows)),
    }
}

/// One frame for what each asset said at one time.
fn frames(table: &Table, rows: &[Row<'_>]) -> Frames {
    let mut frames = Frames::default();
    let mut columns: Vec<Column> = table
        .profile()
        .signals()
        .iter()
        .map(|signal| match signal.kind {
            ValueKind::Integer => Column::Integers(Vec::new()),
            ValueKind::Number => Column::Numbers(Vec::new()),
            _ => Column::Texts(Vec::new()),
        })
        .collect();
    let key = |row: &Row<'_>| (row.0, row.1.time, row.1.sequence);
    for said in rows.chunk_by(|one, next| key(one) == key(next)) {
        let row = frames.time.len();
        let id = &table.assets().ids()[said[0].0 as usize];
        let place = frames.assets.iter().position(|known| known == id).unwrap_or_else(|| {
            frames.assets.push(id.clone());
            frames.assets.len() - 1
        });
        frames.asset.push(place as u16);
        frames.time.push(said[0].1.time);
        frames.sequence.push(said[0].1.sequence);
        for (signal, column) in columns.iter_mut().enumerate() {
            let observation = said.iter().map(|(_, one, _)| *one).find(|one| usize::from(one.signal) == signal);
            if let Some(quality) = observation.map(|one| one.quality).filter(|quality| *quality != Quality::Good) {
                frames.exceptions.push(FrameException { row: row as u32, signal: signal as u16, quality });
            }
            push_value(column, observation.map(|one| &one.value));
        }
    }
    frames.columns = columns;
    frames
}

fn push_value(column: &mut Column, value: Option<&Value>) {
    match (column, value) {
        (Column::Integers(rows), Some(Value::Integer(value))) => rows.push(Some(*value)),
        (Column::Numbers(rows), Some(Value::Number(value))) => rows.push(Some(*value)),
        (Column::Texts(rows), Some(Value::Text(value))) => rows.push(Some(value.clone())),
        (Column::Integers(rows), _) => rows.push(None),
        (Column::Numbers(rows), _) => rows.push(None),
        (Column::Texts(rows), _) => rows.push(None),
    }
}
