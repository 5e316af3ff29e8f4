//! Segments: rows of one profile in a Parquet file, sorted by asset and time. A segment is written whole, synced and
//! renamed before it counts, and never changed afterwards; beside it stand its roll-ups. This module must not know of
//! the log, of when segments are made, or of who asks.

mod checked;
mod choice;
mod column;
mod decimal;
mod file;
mod packed;
mod receipts;
mod rolled;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fs, io};

use arrow::array::{AsArray, DictionaryArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, SchemaRef, TimestampNanosecondType, UInt32Type};
use model::{Profile, Shape, Timestamp};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

pub use self::checked::{CheckedFile, damaged_file};
pub(crate) use self::checked::{Fault, flipped_bit};
pub(crate) use self::decimal::{Decimals, schema_of_files, schema_of_rows};
use self::file::FileWriter;
pub(crate) use self::file::{Effort, FileFacts, ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use self::rolled::RollupWriter;
use crate::disk::{Disk, NewFile};
use crate::rollup::BUCKETS_SECS;
use crate::stored::StoredProfile;
use crate::table;

const DAY_NANOS: i64 = 86_400_000_000_000;
/// A segment with fewer rows is read as fast as its roll-ups would be.
const ROLLUP_ROWS_MIN: u64 = 10_000;

/// What a file must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checks {
    /// The first bytes, whose blocks have their checksums in the footer.
    pub(crate) checked_bytes: u64,
    /// The checksum of all bytes behind them.
    pub(crate) tail_crc32: u32,
}

/// One segment, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// When its first and its last row came in, in nanoseconds since the epoch. Unknown where an older program wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) received_ns: Option<(i64, i64)>,
    /// Unknown of segments that were written by manifest format 1.
    #[serde(default)]
    pub(crate) checks: Option<Checks>,
    /// Whether it was written as small as can be.
    #[serde(default)]
    pub(crate) settled: bool,
    /// What is kept of it by the minute and by the hour.
    #[serde(default)]
    pub(crate) rollups: Vec<Rollup>,
}

/// One roll-up of a segment, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollup {
    /// The file, relative to the data directory.
    pub(crate) file: PathBuf,
    /// What one row stands for.
    pub(crate) bucket_secs: u32,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// How large it is.
    pub(crate) bytes: u64,
    pub(crate) checks: Checks,
}

impl Segment {
    /// Its own file and those of its roll-ups, relative to the data directory.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.file).chain(self.rollups.iter().map(|rollup| &rollup.file))
    }

    /// The day of its earliest row.
    pub(crate) fn day(&self) -> i64 {
        day_of(self.time_min_ns)
    }

    /// Bytes of all its files.
    pub(crate) fn bytes_in_all(&self) -> u64 {
        self.bytes + self.rollups.iter().map(|rollup| rollup.bytes).sum::<u64>()
    }
}

/// The day of a source time, as days since the epoch in UTC.
pub(crate) fn day_of(time_ns: i64) -> i64 {
    time_ns.div_euclid(DAY_NANOS)
}

/// A segment as readers see it. While somebody holds it, its files can be read, also when other segments have taken
/// its place.
#[derive(Debug)]
pub struct SegmentFile {
    /// The Parquet file.
    pub path: PathBuf,
    /// How many rows it has.
    pub rows: u64,
    /// How large it is.
    pub bytes: u64,
    /// The earliest source time.
    pub time_min: Timestamp,
    /// The latest source time.
    pub time_max: Timestamp,
    /// What is kept of it by the minute and by the hour, the finest first.
    pub rollups: Vec<RollupFile>,
    dir: PathBuf,
    stored: Segment,
    /// Whether somebody could not read it.
    is_suspect: AtomicBool,
}

/// A roll-up as readers see it: see [`crate::rollup`].
#[derive(Debug)]
pub struct RollupFile {
    /// The Parquet file.
    pub path: PathBuf,
    /// What one row stands for.
    pub bucket_secs: u32,
    /// How many rows it has.
    pub rows: u64,
    /// How large it is.
    pub bytes: u64,
    dir: PathBuf,
    checks: Checks,
}

impl SegmentFile {
    pub(crate) fn new(dir: &Path, stored: Segment) -> Self {
        let rollup = |rollup: &Rollup| RollupFile {
            path: dir.join(&rollup.file),
            bucket_secs: rollup.bucket_secs,
            rows: rollup.rows,
            bytes: rollup.bytes,
            dir: dir.to_owned(),
            checks: rollup.checks,
        };
        Self {
            path: dir.join(&stored.file),
            rows: stored.rows,
            bytes: stored.bytes,
            time_min: Timestamp::from_nanos(stored.time_min_ns),
            time_max: Timestamp::from_nanos(stored.time_max_ns),
            rollups: stored.rollups.iter().map(rollup).collect(),
            dir: dir.to_owned(),
            stored,
            is_suspect: AtomicBool::new(false),
        }
    }

    pub(crate) fn stored(&self) -> &Segment {
        &self.stored
    }

    /// Whether a row of `time` may be in it.
    pub fn covers(&self, time: Timestamp) -> bool {
        (self.time_min..=self.time_max).contains(&time)
    }

    /// Opens it for reading, with its checksums at hand.
    ///
    /// # Errors
    /// When it is not there, or its end is damaged.
    pub fn open(&self) -> io::Result<CheckedFile> {
        open(&self.dir, &self.path, self.stored.checks, self.bytes)
    }

    /// Reads all of it, and tells what is wrong: see [`CheckedFile::examine`].
    pub(crate) fn examine(&self) -> io::Result<(Option<CheckedFile>, Vec<Fault>)> {
        examine(&self.dir, &self.path, self.stored.checks, self.bytes)
    }

    /// Remembers that it could not be read, so that somebody looks into it.
    pub(crate) fn suspect(&self) {
        self.is_suspect.store(true, Ordering::Relaxed);
    }

    /// Whether it could not be read since this was asked last.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.is_suspect.swap(false, Ordering::Relaxed)
    }
}

impl RollupFile {
    /// Opens it for reading, with its checksums at hand.
    ///
    /// # Errors
    /// When it is not there, or its end is damaged.
    pub fn open(&self) -> io::Result<CheckedFile> {
        open(&self.dir, &self.path, Some(self.checks), self.bytes)
    }

    /// Reads all of it, and tells what is wrong: see [`CheckedFile::examine`].
    pub(crate) fn examine(&self) -> io::Result<(Option<CheckedFile>, Vec<Fault>)> {
        examine(&self.dir, &self.path, Some(self.checks), self.bytes)
    }
}

/// Whether the file at `path` is the one that has these `checks`. Its blocks are not read: their checksums are covered.
pub(crate) fn is_whole(path: &Path, bytes: u64, checks: Checks) -> bool {
    let facts = FileFacts { bytes, checked_bytes: checks.checked_bytes, tail_crc32: checks.tail_crc32 };
    CheckedFile::open(path, Some(facts)).is_ok()
}

/// Where a file that counts no more waits until nobody reads it.
pub(crate) fn retired_path(dir: &Path, file: &Path) -> PathBuf {
    dir.join("retired").join(file.file_name().unwrap_or_default())
}

/// Where a file waits that is damaged, for somebody to look at.
pub(crate) fn quarantine_path(dir: &Path, file: &Path) -> PathBuf {
    dir.join("quarantine").join("segments").join(file.file_name().unwrap_or_default())
}

fn facts(checks: Option<Checks>, bytes: u64) -> Option<FileFacts> {
    checks.map(|Checks { checked_bytes, tail_crc32 }| FileFacts { bytes, checked_bytes, tail_crc32 })
}

fn open(dir: &Path, path: &Path, checks: Option<Checks>, bytes: u64) -> io::Result<CheckedFile> {
    let facts = facts(checks, bytes);
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut opened = CheckedFile::open(path, facts);
    for elsewhere in [retired_path(dir, path), quarantine_path(dir, path)] {
        if opened.as_ref().is_err_and(is_missing) {
            opened = CheckedFile::open(&elsewhere, facts);
        }
    }
    opened
}

fn examine(
    dir: &Path,
    path: &Path,
    checks: Option<Checks>,
    bytes: u64,
) -> io::Result<(Option<CheckedFile>, Vec<Fault>)> {
    let places = [path.to_owned(), retired_path(dir, path), quarantine_path(dir, path)];
    let there = places.iter().find(|place| place.exists()).unwrap_or(&places[0]);
    CheckedFile::examine(there, facts(checks, bytes))
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
    /// The store was closed meanwhile.
    #[error("the store was closed before all segments were written")]
    Stopped,
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

impl SegmentError {
    /// The segment that could not be read, if that is why.
    pub(crate) fn unread(&self) -> Option<&Path> {
        match self {
            Self::File { operation: "open" | "read", path, .. } | Self::Parquet { operation: "read", path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }
}

/// Gives out the numbers of files, each once.
#[derive(Debug)]
pub(crate) struct Numbers(AtomicU64);

impl Numbers {
    /// Numbers from `first` on.
    pub(crate) fn from(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// A number that has not been given out, and none after it has.
    pub(crate) fn unused(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where and how files are made.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
}

/// Writes one segment and its roll-ups.
pub(crate) struct SegmentWriter<'a> {
    place: Place<'a>,
    effort: Effort,
    file: PathBuf,
    writer: FileWriter<NewFile<'a>>,
    rollups: Vec<RollupWriter<'a>>,
    rows: u64,
    /// How many rows it will have at most.
    rows_max: u64,
    time_min_ns: i64,
    time_max_ns: i64,
    received_ns: (i64, i64),
}

impl<'a> SegmentWriter<'a> {
    /// Begins segment `number` of `profile`, for rows that begin on `day` and are stored as `schema` says: see
    /// [`schema_of_rows`] and [`schema_of_files`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn create(
        place: Place<'a>,
        number: u64,
        profile: &'a Profile,
        schema: &SchemaRef,
        day: i64,
        effort: Effort,
    ) -> Result<Self, SegmentError> {
        let file = file_of("segments", profile, day, &format!("{number:012}"));
        let definition = serde_json::to_string(&StoredProfile::from(profile)).unwrap_or_default();
        let metadata = vec![
            (table::META_PROFILE.to_owned(), profile.id().to_owned()),
            (table::META_DEFINITION.to_owned(), definition),
        ];
        let writer = begin(place, &file, schema, sort_columns(profile.shape()), effort, metadata)?;
        let buckets = if profile.shape() == Shape::Frames { BUCKETS_SECS.as_slice() } else { &[] };
        let rollup = |bucket_secs: &u32| {
            let file = file_of("rollups", profile, day, &format!("{number:012}-{bucket_secs}s"));
            RollupWriter::new(profile, *bucket_secs, file)
        };
        let rollups = buckets.iter().map(rollup).collect();
        let (rows, rows_max, time_min_ns, time_max_ns) = (0, u64::MAX, i64::MAX, i64::MIN);
        let received_ns = (i64::MAX, i64::MIN);
        Ok(Self { place, effort, file, writer, rollups, rows, rows_max, time_min_ns, time_max_ns, received_ns })
    }

    /// The same for at most `rows_max` rows, so that roll-ups which will not pay need not be made.
    pub(crate) fn with_rows_max(self, rows_max: u64) -> Self {
        Self { rows_max, ..self }
    }

    /// Adds rows, which come after all before them in the order of [`sort_columns`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), SegmentError> {
        let span = |name: &str, (min, max): (i64, i64)| {
            let times = column_of_times(rows, name);
            let least = arrow::compute::min(times).unwrap_or(i64::MAX);
            (min.min(least), max.max(arrow::compute::max(times).unwrap_or(i64::MIN)))
        };
        (self.time_min_ns, self.time_max_ns) = span("time", (self.time_min_ns, self.time_max_ns));
        self.received_ns = span("received", self.received_ns);
        self.rows += rows.num_rows() as u64;
        for rollup in &mut self.rollups {
            rollup.add(self.place, self.effort, rows, self.rows_max)?;
        }
        self.writer.write(rows).map_err(|source| unwritten(&self.place.dir.join(&self.file), source))
    }

    /// How many rows it has so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// When it returns, the segment and its roll-ups are durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn finish(self) -> Result<Segment, SegmentError> {
        let Self { place, effort, file, writer, rollups, rows, time_min_ns, time_max_ns, received_ns, .. } = self;
        let mut kept = Vec::new();
        let finish = || {
            for rollup in rollups.into_iter().filter(|_| rows >= ROLLUP_ROWS_MIN) {
                kept.extend(rollup.finish(place, effort, rows)?);
            }
            end(place, &file, writer)
        };
        let ended = finish();
        if ended.is_err() {
            kept.iter().for_each(|rollup| drop(place.disk.remove(&place.dir.join(&rollup.file))));
        }
        let (bytes, checks) = ended?;
        let (checks, settled) = (Some(checks), effort == Effort::Thorough);
        let received_ns = Some(received_ns);
        Ok(Segment { file, rows, bytes, time_min_ns, time_max_ns, received_ns, checks, settled, rollups: kept })
    }
}

/// The file `name` of `profile` among those of `day`, relative to the data directory.
fn file_of(folder: &str, profile: &Profile, day: i64, name: &str) -> PathBuf {
    let date = Timestamp::from_nanos(day.saturating_mul(DAY_NANOS)).to_string();
    Path::new(folder).join(profile.id()).join(date.get(..10).unwrap_or("undated")).join(format!("{name}.parquet"))
}

fn begin<'a>(
    place: Place<'a>,
    file: &Path,
    schema: &SchemaRef,
    sorted_by: &[&str],
    effort: Effort,
    metadata: Vec<(String, String)>,
) -> Result<FileWriter<NewFile<'a>>, SegmentError> {
    let path = place.dir.join(file);
    let failed = |source| SegmentError::File { operation: "make", path: path.clone(), source };
    place.disk.make_folders(path.parent().expect("the path was joined")).map_err(failed)?;
    let output = NewFile::create(place.disk, &path).map_err(failed)?;
    FileWriter::new(output, schema.clone(), sorted_by, effort, metadata).map_err(|source| unwritten(&path, source))
}

fn end(place: Place<'_>, file: &Path, writer: FileWriter<NewFile<'_>>) -> Result<(u64, Checks), SegmentError> {
    let path = place.dir.join(file);
    let (output, facts) = writer.finish().map_err(|source| unwritten(&path, source))?;
    if let Err(source) = output.put() {
        // It may have its name all the same, and would count for whoever reads all files that are there.
        let _ = place.disk.remove(&path);
        return Err(SegmentError::File { operation: "put", path, source });
    }
    Ok((facts.bytes, Checks { checked_bytes: facts.checked_bytes, tail_crc32: facts.tail_crc32 }))
}

fn unwritten(path: &Path, source: ParquetError) -> SegmentError {
    SegmentError::Parquet { operation: "write", path: path.to_owned(), source }
}

pub(crate) fn times(rows: &RecordBatch) -> &arrow::array::TimestampNanosecondArray {
    column_of_times(rows, "time")
}

fn column_of_times<'a>(rows: &'a RecordBatch, name: &str) -> &'a arrow::array::TimestampNanosecondArray {
    rows.column_by_name(name).expect("every table has its times").as_primitive::<TimestampNanosecondType>()
}

/// The names of the columns that segments of `shape` are sorted by.
pub(crate) fn sort_columns(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::Changes => &["asset", "signal", "time", "sequence"],
        Shape::Frames => &["asset", "time", "sequence"],
    }
}

/// `rows` in the order of [`sort_columns`]. The few words of the keys are put in order first, so that rows are compared
/// by numbers only.
pub(crate) fn sort(profile: &Profile, rows: &RecordBatch) -> RecordBatch {
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
pub(crate) fn ranks(words: &DictionaryArray<Int32Type>) -> Vec<u32> {
    let texts = words.values().as_string::<i32>();
    let mut order: Vec<usize> = (0..words.values().len()).collect();
    order.sort_unstable_by_key(|place| texts.value(*place));
    let mut ranks = vec![0; order.len()];
    for pair in order.windows(2) {
        ranks[pair[1]] = ranks[pair[0]] + u32::from(texts.value(pair[0]) != texts.value(pair[1]));
    }
    ranks
}

/// Reads the columns of the keys of a segment.
///
/// # Errors
/// When the file is missing or damaged.
pub(crate) fn read_keys(segment: &SegmentFile, shape: Shape) -> Result<Vec<RecordBatch>, SegmentError> {
    let path = &segment.path;
    let parquet = |source| SegmentError::Parquet { operation: "read", path: path.clone(), source };
    let file = segment.open().map_err(|source| SegmentError::File { operation: "open", path: path.clone(), source })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), sort_columns(shape).iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(65_536).build().map_err(parquet)?;
    reader.collect::<Result<Vec<_>, _>>().map_err(|error| parquet(error.into()))
}

/// Removes the files of segments that will not count after all.
pub(crate) fn discard<'a>(place: Place<'_>, segments: impl Iterator<Item = &'a Segment>) {
    for file in segments.flat_map(Segment::files) {
        let _ = place.disk.remove(&place.dir.join(file));
    }
}

/// Removes what a stop left unfinished: temporary files, and files numbered `next` or higher that are not `listed`.
/// Files of anybody else are left alone.
pub(crate) fn remove_unfinished(place: Place<'_>, next: u64, listed: &HashSet<PathBuf>) {
    for path in remove_unlisted(place, next, listed) {
        tracing::info!(path = %path.display(), "removed an unfinished segment; its rows are elsewhere");
    }
}

/// Removes what is numbered `next` or higher and not `listed`; tells which files.
pub(crate) fn remove_unlisted(place: Place<'_>, next: u64, listed: &HashSet<PathBuf>) -> Vec<PathBuf> {
    let mut removed = Vec::new();
    for tree in ["segments", "rollups"] {
        let dates = folders(&place.dir.join(tree)).into_iter().flat_map(|profile| folders(&profile));
        for entry in dates.flat_map(|date| fs::read_dir(date).into_iter().flatten().flatten()) {
            let path = entry.path();
            let number = number_of(&path);
            let ours = match path.extension().and_then(|end| end.to_str()) {
                Some("parquet") => number.is_some_and(|number| number >= next) && !listed.contains(&path),
                Some("tmp") => number.is_some(),
                _ => false,
            };
            if ours && place.disk.remove(&path).is_ok() {
                removed.push(path);
            }
        }
    }
    removed
}

/// The number of the segment that a file is or belongs to.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.split('-').next()?.parse().ok()
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
