//! Segments: rows of one profile in a Parquet file, sorted by asset and time. A segment is written whole, synced and
//! renamed before it counts, and never changed afterwards. This module must not know of the log or of who asks.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, DictionaryArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Int32Type, TimestampNanosecondType, UInt32Type};
use model::{Profile, Shape, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use crate::disk::sync_parent;
use crate::stored::StoredProfile;
use crate::table;

const ROW_GROUP_ROWS: usize = 131_072;

/// One segment, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// The file, relative to the data directory.
    pub(crate) file: PathBuf,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// How large it is.
    pub(crate) bytes: u64,
    /// The earliest source time, in nanoseconds since the epoch.
    pub(crate) time_min_ns: i64,
    /// The latest source time.
    pub(crate) time_max_ns: i64,
}

impl Segment {
    pub(crate) fn covers(&self, time: Timestamp) -> bool {
        (self.time_min_ns..=self.time_max_ns).contains(&time.nanos())
    }
}

/// Why a segment could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    /// The file system refused.
    #[error("failed to {operation} `{path}`")]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The thread that wrote segments broke down.
    #[error("the thread that writes segments broke down; this is a mistake in Tongmai")]
    BrokeDown,
    /// The file is no Parquet file, or not one of ours.
    #[error("failed to {operation} segment `{path}`")]
    Parquet {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: ParquetError,
    },
}

/// Writes `rows` as segment `number` of `profile` below `dir`; when it returns, the file is durable.
///
/// # Errors
/// When the disk refuses; nothing is left behind then that would take the room that the log needs.
pub(crate) fn write(dir: &Path, number: u64, profile: &Profile, rows: &RecordBatch) -> Result<Segment, SegmentError> {
    let sorted = sort(profile, rows);
    let time = sorted.column_by_name("time").expect("every table has a time").as_primitive::<TimestampNanosecondType>();
    let time_min_ns = arrow::compute::min(time).unwrap_or(0);
    let time_max_ns = arrow::compute::max(time).unwrap_or(0);
    let date = Timestamp::from_nanos(time_min_ns).to_string();
    let file = Path::new("segments")
        .join(profile.id())
        .join(date.get(..10).unwrap_or("undated"))
        .join(format!("{number:012}.parquet"));
    let path = dir.join(&file);
    let temporary = path.with_extension("tmp");
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| SegmentError::File { operation, path, source }
    };
    let folder = path.parent().expect("the path was joined");
    create_folders(dir, folder).map_err(failed("make", folder))?;
    if let Err(error) = write_file(&temporary, profile, &sorted) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    fs::rename(&temporary, &path).map_err(failed("rename", &temporary))?;
    sync_parent(&path).map_err(failed("sync the folder of", &path))?;
    let bytes = fs::metadata(&path).map_err(failed("look at", &path))?.len();
    Ok(Segment { file, rows: sorted.num_rows() as u64, bytes, time_min_ns, time_max_ns })
}

/// Writes and syncs one Parquet file.
fn write_file(path: &Path, profile: &Profile, sorted: &RecordBatch) -> Result<(), SegmentError> {
    let failed = |operation| move |source| SegmentError::File { operation, path: path.to_owned(), source };
    let parquet = |source| SegmentError::Parquet { operation: "write", path: path.to_owned(), source };
    let output = File::create(path).map_err(failed("make"))?;
    let properties = properties(profile, sorted);
    let mut writer = ArrowWriter::try_new(output, sorted.schema(), Some(properties)).map_err(parquet)?;
    writer.write(sorted).map_err(parquet)?;
    let output = writer.into_inner().map_err(parquet)?;
    output.sync_all().map_err(failed("sync"))
}

/// Makes `folder` below `dir`, each new name durable.
fn create_folders(dir: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() || folder == dir {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(dir, parent)?;
    }
    fs::create_dir(folder)?;
    sync_parent(folder)
}

/// The names of the columns that segments of `shape` are sorted by.
fn sort_columns(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::Changes => &["asset", "signal", "time", "sequence"],
        Shape::Frames => &["asset", "time", "sequence"],
    }
}

/// `rows` in the order of [`sort_columns`]. The few words of the keys are put in order first, so that rows are compared
/// by numbers only.
fn sort(profile: &Profile, rows: &RecordBatch) -> RecordBatch {
    let column = |name: &str| rows.column_by_name(name).expect("every table has its key columns");
    let asset = column("asset").as_dictionary::<Int32Type>();
    let signal = (profile.shape() == Shape::Changes).then(|| column("signal").as_dictionary::<Int32Type>());
    let (time, sequence) =
        (column("time").as_primitive::<TimestampNanosecondType>(), column("sequence").as_primitive::<UInt32Type>());
    let (asset_ranks, signal_ranks) = (ranks(asset), signal.map(ranks).unwrap_or_default());
    let mut keys: Vec<(u32, u32, i64, u32, u32)> = (0..rows.num_rows())
        .map(|row| {
            let asset = asset_ranks[asset.keys().value(row) as usize];
            let signal = signal.map_or(0, |signal| signal_ranks[signal.keys().value(row) as usize]);
            (asset, signal, time.value(row), sequence.value(row), row as u32)
        })
        .collect();
    keys.sort_unstable();
    let order = UInt32Array::from_iter_values(keys.iter().map(|(.., row)| *row));
    take_record_batch(rows, &order).expect("the indices are of these rows")
}

/// The place of each word of a dictionary in the order of all its words; a word that stands there twice has one place.
fn ranks(words: &DictionaryArray<Int32Type>) -> Vec<u32> {
    let texts = words.values().as_string::<i32>();
    let mut order: Vec<usize> = (0..words.values().len()).collect();
    order.sort_unstable_by_key(|place| texts.value(*place));
    let mut ranks = vec![0; order.len()];
    for pair in order.windows(2) {
        ranks[pair[1]] = ranks[pair[0]] + u32::from(texts.value(pair[0]) != texts.value(pair[1]));
    }
    ranks
}

fn properties(profile: &Profile, rows: &RecordBatch) -> WriterProperties {
    let definition = serde_json::to_string(&StoredProfile::from(profile)).unwrap_or_default();
    let sorting = sort_columns(profile.shape()).iter().map(|name| SortingColumn {
        column_idx: rows.schema().index_of(name).expect("every table has its key columns") as i32,
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_sorting_columns(Some(sorting.collect()))
        .set_key_value_metadata(Some(vec![
            KeyValue::new(table::META_PROFILE.to_owned(), profile.id().to_owned()),
            KeyValue::new(table::META_DEFINITION.to_owned(), definition),
        ]));
    for field in rows.schema().fields() {
        if matches!(field.data_type(), DataType::Timestamp(..) | DataType::Int64 | DataType::UInt32) {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

/// Reads the columns of the keys of the segment at `path`.
///
/// # Errors
/// When the file is missing or damaged.
pub(crate) fn read_keys(path: &Path, shape: Shape) -> Result<Vec<RecordBatch>, SegmentError> {
    let parquet = |source| SegmentError::Parquet { operation: "read", path: path.to_owned(), source };
    let file =
        File::open(path).map_err(|source| SegmentError::File { operation: "open", path: path.to_owned(), source })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), sort_columns(shape).iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(65_536).build().map_err(parquet)?;
    reader.collect::<Result<Vec<_>, _>>().map_err(|error| parquet(error.into()))
}

/// Removes what a stop left unfinished below `dir/segments`: temporary files, and segments that were made after the
/// manifest was written, which are numbered `next` or higher. Files of anybody else are left alone.
pub(crate) fn remove_unfinished(dir: &Path, next: u64) {
    for profile in folders(&dir.join("segments")) {
        for date in folders(&profile) {
            for entry in fs::read_dir(&date).into_iter().flatten().flatten() {
                let path = entry.path();
                let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
                let ours = match path.extension().and_then(|end| end.to_str()) {
                    Some("parquet") => number.is_some_and(|number| number >= next),
                    Some("tmp") => number.is_some(),
                    _ => false,
                };
                if ours && fs::remove_file(&path).is_ok() {
                    tracing::info!(path = %path.display(), "removed an unfinished segment; its rows are in the log");
                }
            }
        }
    }
}

/// The folders in `folder`, but for links to others.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};
    use model::{Signal, ValueKind};

    use super::*;
    use crate::rows::RowsBuilder;

    #[test]
    fn rows_are_sorted_by_the_texts_of_their_keys_whatever_their_codes() {
        let signals = ["speed", "load"].map(|id| Signal::new(id, "x:A", ValueKind::Number));
        let profile = Profile::new("press", Shape::Changes, signals.into()).unwrap();
        let asset = "machine/m".parse().unwrap();
        let mut changes = model::Changes { assets: vec![asset], ..Default::default() };
        for (signal, millis, sequence) in [(0, 1, 0), (1, 2, 1), (1, 2, 0), (0, 0, 0), (1, 1, 0)] {
            let (time, value) = (Timestamp::from_millis(millis), model::Value::Absent);
            let quality = model::Quality::Good;
            changes.push(0, model::Observation { signal, time, sequence, quality, value, statistic: None });
        }
        let RowsBuilder::Changes(mut builder) = RowsBuilder::new(&profile) else { panic!("a profile of changes") };
        for row in 0..changes.len() {
            builder.push(row as u32 % 2, changes.signal[row], Timestamp::default(), &changes, row, None);
        }
        let words = |texts: Vec<&str>| Arc::new(StringArray::from(texts));
        let schema = table::schema(&profile);
        let rows = builder.finish(schema, &words(vec!["machine/b", "machine/a"]), &words(vec!["speed", "load"]));
        let sorted = sort(&profile, &rows);
        let text = |name: &str, row: usize| {
            let column: &ArrayRef = sorted.column_by_name(name).unwrap();
            arrow::util::display::array_value_to_string(column, row).unwrap()
        };
        let time = sorted.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
        let key = |row: usize| {
            let millis = time.value(row) / 1_000_000;
            format!("{} {} {millis} {}", text("asset", row), text("signal", row), text("sequence", row))
        };
        let keys: Vec<String> = (0..sorted.num_rows()).map(key).collect();
        assert_eq!(
            keys,
            [
                "machine/a load 2 1",
                "machine/a speed 0 0",
                "machine/b load 1 0",
                "machine/b load 2 0",
                "machine/b speed 1 0"
            ]
        );
    }

    #[test]
    fn a_word_that_stands_twice_in_a_dictionary_has_one_place() {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "b", "c"]));
        let words = DictionaryArray::new(Int32Array::from(vec![0, 1, 2, 3]), values);
        assert_eq!(ranks(&words), [1, 0, 1, 2]);
    }
}
