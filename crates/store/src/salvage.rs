//! Salvage: what can be read of a damaged segment becomes a new one, row group by row group and column by column. A job
//! like a merge with one input; only the manifest that the writer commits afterwards makes its outcome count. This module
//! must not know how the damage was found, or where the damaged file goes.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use model::{Profile, Quality, Shape, Timestamp};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::segment::{
    self, CheckedFile, Effort, Fault, Numbers, Place, Segment, SegmentError, SegmentFile, SegmentWriter, sort_columns,
};
use crate::table;

/// Rows that are read at once.
const READ_ROWS: usize = 8_192;

/// A segment that is, or seems to be, damaged.
#[derive(Debug, Clone)]
pub(crate) struct SalvageJob {
    pub(crate) profile: Arc<Profile>,
    pub(crate) schema: SchemaRef,
    pub(crate) input: Arc<SegmentFile>,
    pub(crate) numbers: Arc<Numbers>,
}

/// What a job found and wrote.
#[derive(Debug)]
pub(crate) struct Salvaged {
    /// What takes the place of the damaged segment; none if nothing of it can be read.
    pub(crate) segment: Option<Segment>,
    /// The damaged files, relative to the data directory.
    pub(crate) damaged: Vec<PathBuf>,
    pub(crate) salvage: Salvage,
}

/// What became of a damaged segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Salvage {
    /// The damaged files, with what is wrong with each; relative to the data directory.
    pub damaged: Vec<(PathBuf, String)>,
    /// Whose rows they were.
    pub profile: Box<str>,
    /// How many rows there were.
    pub rows: u64,
    /// How many there are now.
    pub rows_kept: u64,
    /// What is missing; nothing where a flipped bit could be set right, or only a roll-up was damaged.
    pub lost: Vec<Loss>,
}

/// What is missing of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How many rows it concerns.
    pub rows: u64,
    /// What of them is missing; all of them if no column is named.
    pub columns: Vec<Box<str>>,
    /// The first and the last asset that it may concern, if that is known.
    pub assets: Option<(Box<str>, Box<str>)>,
    /// Their earliest source time.
    pub time_min: Timestamp,
    /// Their latest source time.
    pub time_max: Timestamp,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.columns.is_empty() {
            write!(f, "{} rows", self.rows)?;
        } else {
            write!(f, "{} of {} rows", self.columns.join(", "), self.rows)?;
        }
        match &self.assets {
            Some((first, last)) if first == last => write!(f, " of {first}")?,
            Some((first, last)) => write!(f, " of assets from {first} to {last}")?,
            None => {}
        }
        write!(f, " between {} and {}", self.time_min, self.time_max)
    }
}

impl fmt::Display for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, fault) in &self.damaged {
            write!(f, "{}: {fault}; ", path.display())?;
        }
        if self.lost.is_empty() {
            return write!(f, "all {} rows of {} were saved", self.rows, self.profile);
        }
        write!(f, "{} of {} rows of {} were saved; lost: ", self.rows_kept, self.rows, self.profile)?;
        for (place, loss) in self.lost.iter().enumerate() {
            write!(f, "{}{loss}", if place > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl SalvageJob {
    /// Saves what can be read. `None` if nothing is wrong.
    ///
    /// # Errors
    /// When the disk refuses, which says nothing of the segment; nothing is left behind then.
    pub(crate) fn run(&self, place: Place<'_>) -> Result<Option<Salvaged>, SegmentError> {
        let stored = self.input.stored();
        let looked = |path: &PathBuf| {
            let path = path.clone();
            move |source| SegmentError::File { operation: "look into", path, source }
        };
        let (file, faults) = self.input.examine().map_err(looked(&self.input.path))?;
        let mut damaged: Vec<(PathBuf, String)> = Vec::new();
        damaged.extend((!faults.is_empty()).then(|| (stored.file.clone(), told(&faults))));
        for (rollup, file) in stored.rollups.iter().zip(&self.input.rollups) {
            let (_, faults) = file.examine().map_err(looked(&file.path))?;
            damaged.extend((!faults.is_empty()).then(|| (rollup.file.clone(), told(&faults))));
        }
        let mut saved = Saved::default();
        // Checksums tell everything; without them only reading does.
        if damaged.is_empty() && stored.checks.is_some() {
            return Ok(None);
        }
        match &file {
            Some(file) => self.save(place, file, &faults, &mut saved)?,
            None => saved.lost.push(all_of(&self.input)),
        }
        if let Some(damage) = saved.undecoded.take().filter(|_| faults.is_empty()) {
            damaged.insert(0, (stored.file.clone(), damage));
        }
        if damaged.is_empty() {
            segment::discard(place, saved.segment.iter());
            return Ok(None);
        }
        let rows_kept = saved.segment.as_ref().map_or(0, |segment| segment.rows);
        let salvage = Salvage {
            damaged: damaged.clone(),
            profile: self.profile.id().into(),
            rows: stored.rows,
            rows_kept,
            lost: joined(saved.lost),
        };
        let damaged = damaged.into_iter().map(|(path, _)| path).collect();
        Ok(Some(Salvaged { segment: saved.segment, damaged, salvage }))
    }

    /// Writes what can be read of `file` to a new segment.
    fn save(
        &self,
        place: Place<'_>,
        file: &CheckedFile,
        faults: &[Fault],
        saved: &mut Saved,
    ) -> Result<(), SegmentError> {
        let stored = self.input.stored();
        let effort = if stored.settled { Effort::Thorough } else { Effort::Quick };
        let columns = columns_of(file);
        let hit = file.hit_by(faults);
        // What is left of decimals is decimals.
        let Ok(schema) = segment::schema_of_files(&self.schema, &[file.metadata()], |_, _| Ok::<_, Infallible>(None));
        let mut writer: Option<SegmentWriter<'_>> = None;
        for (group, about) in file.metadata().row_groups().iter().enumerate() {
            let mut unreadable: BTreeSet<usize> =
                hit.iter().filter(|(place, _)| *place == group).map(|(_, column)| *column).collect();
            let known = unreadable.len();
            let batches = self.read_group(file, group, &mut unreadable);
            if unreadable.len() > known {
                saved.undecoded.get_or_insert_with(|| format!("row group {group} cannot be decoded"));
            }
            let Some(batches) = batches else {
                saved.lost.push(loss(about, Vec::new(), &self.input));
                continue;
            };
            if !unreadable.is_empty() {
                let names = unreadable.iter().map(|column| columns[*column].as_str().into()).collect();
                saved.lost.push(loss(about, names, &self.input));
            }
            for rows in batches {
                let writer = match &mut writer {
                    Some(writer) => writer,
                    None => {
                        let (number, day) = (self.numbers.next(), stored.day());
                        let begun = SegmentWriter::create(place, number, &self.profile, &schema, day, effort)?;
                        writer.insert(begun)
                    }
                };
                let lost: BTreeSet<&str> = unreadable.iter().map(|column| columns[*column].as_str()).collect();
                let rows = completed(&rows, &self.schema, &self.profile, &lost).map_err(|error| {
                    let (path, source) = (self.input.path.clone(), ParquetError::from(error));
                    SegmentError::Parquet { operation: "read", path, source }
                })?;
                writer.write(&rows)?;
            }
        }
        saved.segment = writer.map(SegmentWriter::finish).transpose()?;
        Ok(())
    }

    /// The rows of a group, without the columns in `unreadable`, to which those are added that do not decode. `None` when
    /// it cannot be said which rows they are.
    fn read_group(
        &self,
        file: &CheckedFile,
        group: usize,
        unreadable: &mut BTreeSet<usize>,
    ) -> Option<Vec<RecordBatch>> {
        let columns = columns_of(file);
        let is_key = |column: &usize| sort_columns(self.profile.shape()).contains(&columns[*column].as_str());
        loop {
            if unreadable.iter().any(is_key) {
                return None;
            }
            let readable: Vec<usize> = (0..columns.len()).filter(|column| !unreadable.contains(column)).collect();
            if let Some(batches) = read_columns(file, group, &readable) {
                return Some(batches);
            }
            let before = unreadable.len();
            unreadable.extend(readable.into_iter().filter(|column| read_columns(file, group, &[*column]).is_none()));
            if unreadable.len() == before {
                // Each reads by itself, and all together do not: nothing that could be relied on.
                unreadable.extend(0..columns.len());
            }
        }
    }
}

/// What was written so far, and what is missing in it.
#[derive(Debug, Default)]
struct Saved {
    segment: Option<Segment>,
    lost: Vec<Loss>,
    /// What does not decode though nothing is known to be damaged: files without checksums tell it only so.
    undecoded: Option<String>,
}

/// The keys of the rows that can be read, of a segment that is damaged.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn read_keys(segment: &SegmentFile, shape: Shape) -> std::io::Result<Vec<RecordBatch>> {
    let (file, _) = segment.examine()?;
    let Some(file) = file else { return Ok(Vec::new()) };
    let columns = columns_of(&file);
    let is_key = |column: &usize| sort_columns(shape).contains(&columns[*column].as_str());
    let keys: Vec<usize> = (0..columns.len()).filter(is_key).collect();
    let groups = 0..file.metadata().num_row_groups();
    Ok(groups.filter_map(|group| read_columns(&file, group, &keys)).flatten().collect())
}

/// What is missing of the file where `faults` are, without reading it.
pub(crate) fn losses(file: &CheckedFile, faults: &[Fault], shape: Shape, input: &SegmentFile) -> Vec<Loss> {
    let columns = columns_of(file);
    let mut hit: BTreeMap<usize, Vec<Box<str>>> = BTreeMap::new();
    for (group, column) in file.hit_by(faults) {
        hit.entry(group).or_default().push(columns[column].as_str().into());
    }
    let losses = hit.into_iter().map(|(group, names)| {
        let costs_all = names.iter().any(|name| sort_columns(shape).contains(&&**name));
        loss(file.metadata().row_group(group), if costs_all { Vec::new() } else { names }, input)
    });
    joined(losses.collect())
}

/// What does not decode of a file that has no checksums.
pub(crate) fn undecoded(file: &CheckedFile, shape: Shape, input: &SegmentFile) -> Vec<Loss> {
    let columns = columns_of(file);
    let mut losses = Vec::new();
    for (group, about) in file.metadata().row_groups().iter().enumerate() {
        let unreadable = (0..columns.len()).filter(|column| read_columns(file, group, &[*column]).is_none());
        let names: Vec<Box<str>> = unreadable.map(|column| columns[column].as_str().into()).collect();
        if !names.is_empty() {
            let costs_all = names.iter().any(|name| sort_columns(shape).contains(&&**name));
            losses.push(loss(about, if costs_all { Vec::new() } else { names }, input));
        }
    }
    joined(losses)
}

/// All rows of a segment.
pub(crate) fn all_of(segment: &SegmentFile) -> Loss {
    let (time_min, time_max) = (segment.time_min, segment.time_max);
    Loss { rows: segment.rows, columns: Vec::new(), assets: None, time_min, time_max }
}

/// Faults in one line.
pub(crate) fn told(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join(", ")
}

/// The names of the columns of a file, as its table has them.
fn columns_of(file: &CheckedFile) -> Vec<String> {
    let schema = file.metadata().file_metadata().schema_descr().root_schema();
    schema.get_fields().iter().map(|field| field.name().to_owned()).collect()
}

/// Columns of a row group, if all of them can be read.
fn read_columns(file: &CheckedFile, group: usize, columns: &[usize]) -> Option<Vec<RecordBatch>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).ok()?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
    let expected = file.metadata().row_group(group).num_rows() as usize;
    let reader = builder.with_projection(mask).with_row_groups(vec![group]).with_batch_size(READ_ROWS).build().ok()?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().ok()?;
    (batches.iter().map(RecordBatch::num_rows).sum::<usize>() == expected).then_some(batches)
}

/// What is missing of one row group.
fn loss(about: &RowGroupMetaData, columns: Vec<Box<str>>, input: &SegmentFile) -> Loss {
    let column = |name: &str| about.columns().iter().find(|column| column.column_path().string() == name);
    let (time_min, time_max) = column("time").and_then(times_of).unwrap_or((input.time_min, input.time_max));
    let assets = column("asset").and_then(words_of);
    Loss { rows: about.num_rows() as u64, columns, assets, time_min, time_max }
}

pub(crate) fn times_of(column: &ColumnChunkMetaData) -> Option<(Timestamp, Timestamp)> {
    match column.statistics()? {
        Statistics::Int64(times) => {
            Some((Timestamp::from_nanos(*times.min_opt()?), Timestamp::from_nanos(*times.max_opt()?)))
        }
        _ => None,
    }
}

pub(crate) fn words_of(column: &ColumnChunkMetaData) -> Option<(Box<str>, Box<str>)> {
    let statistics = column.statistics()?;
    let word = |bytes: Option<&[u8]>| Some(std::str::from_utf8(bytes?).ok()?.into());
    Some((word(statistics.min_bytes_opt())?, word(statistics.max_bytes_opt())?))
}

/// Losses of the same columns in neighbouring row groups, as one.
fn joined(losses: Vec<Loss>) -> Vec<Loss> {
    let mut joined: Vec<Loss> = Vec::new();
    for loss in losses {
        match joined.last_mut().filter(|last| last.columns == loss.columns) {
            Some(last) => {
                last.rows += loss.rows;
                last.time_min = last.time_min.min(loss.time_min);
                last.time_max = last.time_max.max(loss.time_max);
                last.assets = match (last.assets.take(), loss.assets) {
                    (Some((first, _)), Some((_, end))) => Some((first, end)),
                    _ => None,
                };
            }
            None => joined.push(loss),
        }
    }
    joined
}

/// The columns of the table, of rows as a file has them. What is not there is null; where nothing may be null and the
/// column is `lost`, something that promises too little stands in its place.
pub(crate) fn completed(
    rows: &RecordBatch,
    schema: &SchemaRef,
    profile: &Profile,
    lost: &BTreeSet<&str>,
) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match (rows.column_by_name(field.name()), field.name().as_str()) {
            (Some(column), _) if column.data_type() == field.data_type() => Arc::clone(column),
            (Some(column), _) => cast(column, field.data_type())?,
            // It came in when it was measured at the earliest.
            (None, "received") => Arc::clone(rows.column_by_name("time").expect("a key is never lost alone")),
            (None, "quality") if profile.shape() == Shape::Changes => distrusted(rows.num_rows()),
            (None, "exceptions") if lost.contains("exceptions") => distrusted_frames(rows, profile),
            (None, _) => new_null_array(field.data_type(), rows.num_rows()),
        });
    }
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// The quality of values whose quality is lost: none that anybody would rely on.
fn distrusted(rows: usize) -> ArrayRef {
    let words: ArrayRef = Arc::new(StringArray::from(vec![Quality::Invalid.as_str()]));
    Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; rows]), words))
}

/// The same for frames: an exception for every value.
fn distrusted_frames(rows: &RecordBatch, profile: &Profile) -> ArrayRef {
    let element = Field::new("item", DataType::Struct(table::exception_fields()), false);
    let fields = StructBuilder::from_fields(table::exception_fields(), rows.num_rows());
    let mut builder = ListBuilder::new(fields).with_field(element);
    let columns: Vec<(&str, &ArrayRef)> =
        profile.signals().iter().filter_map(|signal| Some((&*signal.id, rows.column_by_name(&signal.id)?))).collect();
    for row in 0..rows.num_rows() {
        for (signal, _) in columns.iter().filter(|(_, column)| column.is_valid(row)) {
            for (place, word) in [*signal, Quality::Invalid.as_str()].into_iter().enumerate() {
                let words = builder.values().field_builder::<StringBuilder>(place);
                words.expect("both fields are texts").append_value(word);
            }
            builder.values().append(true);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The texts of a column of words, row by row.
pub(crate) fn words<'a>(column: &'a ArrayRef) -> impl Fn(usize) -> Option<&'a str> {
    let words = column.as_dictionary::<Int32Type>();
    let texts = words.values().as_string::<i32>();
    move |row| words.is_valid(row).then(|| texts.value(words.keys().value(row) as usize))
}
