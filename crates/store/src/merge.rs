//! Merging: several segments of one profile become one that is sorted throughout, and as small as can be. A job runs
//! beside the writer; only the manifest that the writer commits afterwards makes its outcome count. This module must not
//! know of the log, of hot rows, or of when merging is due.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{Float64Type, Int32Type, SchemaRef, TimestampNanosecondType, UInt32Type};
use model::{Profile, Shape};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::plan::VALUES_MAX;
use crate::segment::{
    self, CheckedFile, Decimals, Effort, Numbers, Place, Segment, SegmentError, SegmentFile, SegmentWriter,
};

/// Rows that are read from one input at once: few, since there are many inputs.
pub(crate) const READ_ROWS: usize = 2_048;
/// Rows that are written at once.
const WRITE_ROWS: usize = 16_384;

/// Segments of one profile that are to become one.
#[derive(Debug, Clone)]
pub(crate) struct MergeJob {
    pub(crate) profile: Arc<Profile>,
    pub(crate) schema: SchemaRef,
    pub(crate) inputs: Vec<Arc<SegmentFile>>,
    pub(crate) effort: Effort,
    pub(crate) numbers: Arc<Numbers>,
    /// Set when nobody waits for the outcome any more.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// What makes a row one row: ranks of asset and signal, source time, sequence.
type Key = (u32, u32, i64, u32);

impl MergeJob {
    /// Writes the merged segments; of rows with the same key, the one in the first of the inputs stays.
    ///
    /// # Errors
    /// When the disk refuses, or an input is damaged; nothing is left behind then.
    pub(crate) fn run(&self, place: Place<'_>) -> Result<Vec<Segment>, SegmentError> {
        let mut segments = Vec::new();
        let merged = self.merge(place, &mut segments);
        if merged.is_err() {
            segment::discard(place, segments.iter());
        }
        merged.map(|()| segments)
    }

    fn merge(&self, place: Place<'_>, segments: &mut Vec<Segment>) -> Result<(), SegmentError> {
        let words = Words::of(&self.inputs, self.profile.shape())?;
        let mut inputs = Vec::new();
        for file in &self.inputs {
            let input = Input::open(file, self, &words)?;
            inputs.extend((!input.keys.is_empty()).then_some(input));
        }
        let day = self.inputs.iter().map(|input| input.stored().day()).min().unwrap_or(0);
        let schema = self.stored_schema()?;
        let rows_max = VALUES_MAX / self.schema.fields().len() as u64;
        let rows_in_all = self.inputs.iter().map(|input| input.rows).sum::<u64>();
        let create = || {
            let number = self.numbers.next();
            let writer = SegmentWriter::create(place, number, &self.profile, &schema, day, self.effort)?;
            Ok(writer.with_rows_max(rows_in_all.min(rows_max + WRITE_ROWS as u64)))
        };
        let mut writer: Option<SegmentWriter<'_>> = None;
        let mut last: Option<Key> = None;
        while !inputs.is_empty() {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(SegmentError::Stopped);
            }
            let rows = self.next_rows(&mut inputs, &words, &mut last)?;
            let full = writer.as_ref().is_some_and(|writer| writer.rows() >= rows_max);
            if full && let Some(full) = writer.take() {
                segments.push(full.finish()?);
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(create()?),
            };
            writer.write(&rows)?;
        }
        if let Some(writer) = writer {
            segments.push(writer.finish()?);
        }
        Ok(())
    }

    /// The schema of the table as the merged segments store it.
    fn stored_schema(&self) -> Result<SchemaRef, SegmentError> {
        if self.profile.shape() == Shape::Changes {
            return Ok(Arc::clone(&self.schema));
        }
        let files = self.inputs.iter().map(|input| opened(input)).collect::<Result<Vec<CheckedFile>, _>>()?;
        let footers: Vec<&ParquetMetaData> = files.iter().map(CheckedFile::metadata).collect();
        segment::schema_of_files(&self.schema, &footers, |place, column| self.decimals(&self.inputs[place], column))
    }

    /// What the numbers of `column` are, if all of them are decimals: one that was stored by a program that did not look.
    fn decimals(&self, input: &SegmentFile, column: &str) -> Result<Option<Decimals>, SegmentError> {
        let mut found = Decimals::default();
        for rows in reader(input, Some(&[column]), 65_536)? {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(SegmentError::Stopped);
            }
            let rows = rows.map_err(|error| unreadable(input, error.into()))?;
            let numbers = rows.column_by_name(column).and_then(|numbers| numbers.as_primitive_opt::<Float64Type>());
            let Some(all) = numbers.and_then(|numbers| found.and(numbers)) else { return Ok(None) };
            found = all;
        }
        Ok(Some(found))
    }

    /// The next rows of all inputs in order. Inputs that are at their end are taken away.
    fn next_rows(
        &self,
        inputs: &mut Vec<Input>,
        words: &Words,
        last: &mut Option<Key>,
    ) -> Result<RecordBatch, SegmentError> {
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(WRITE_ROWS);
        // Rows are taken until a batch of an input is used up, since they are put together from the batches at hand.
        let used_up = loop {
            let next = |place: &usize| (inputs[*place].keys[inputs[*place].at], *place);
            let Some(first) = (0..inputs.len()).min_by_key(next) else { break None };
            // All rows of this input that come before those of the others.
            let others = (0..inputs.len()).filter(|place| *place != first).map(|place| next(&place)).min();
            let input = &mut inputs[first];
            while order.len() < WRITE_ROWS && input.at < input.keys.len() {
                let key = input.keys[input.at];
                if others.is_some_and(|other| (key, first) > other) {
                    break;
                }
                if *last != Some(key) {
                    order.push((first, input.at));
                    *last = Some(key);
                }
                input.at += 1;
            }
            if input.at == input.keys.len() {
                break Some(first);
            }
            if order.len() == WRITE_ROWS {
                break None;
            }
        };
        let batches: Vec<&RecordBatch> = inputs.iter().map(|input| &input.rows).collect();
        let rows = interleave_record_batch(&batches, &order).expect("all batches have the schema of the table");
        if let Some(place) = used_up
            && !inputs[place].advance(self, words)?
        {
            inputs.remove(place);
        }
        Ok(rows)
    }
}

/// The words of the keys of all inputs, in order: a word's place is its rank, in every input the same.
struct Words {
    assets: Ranked,
    signals: Ranked,
}

struct Ranked {
    texts: Arc<StringArray>,
    ranks: HashMap<Box<str>, u32>,
}

impl Ranked {
    fn new(words: &BTreeSet<Box<str>>) -> Self {
        let texts = Arc::new(StringArray::from_iter_values(words));
        Self { texts, ranks: words.iter().cloned().zip(0..).collect() }
    }

    /// The ranks of a column of words, row by row.
    fn of(&self, column: &ArrayRef) -> Vec<i32> {
        let words = column.as_dictionary::<Int32Type>();
        let texts = words.values().as_string::<i32>();
        let ranks: Vec<i32> = (0..texts.len()).map(|place| self.ranks[texts.value(place)] as i32).collect();
        words.keys().values().iter().map(|code| ranks[*code as usize]).collect()
    }
}

impl Words {
    fn of(inputs: &[Arc<SegmentFile>], shape: Shape) -> Result<Self, SegmentError> {
        let (mut assets, mut signals) = (BTreeSet::new(), BTreeSet::new());
        for input in inputs {
            let columns: &[&str] = if shape == Shape::Changes { &["asset", "signal"] } else { &["asset"] };
            for rows in reader(input, Some(columns), 65_536)? {
                let rows = rows.map_err(|error| unreadable(input, error.into()))?;
                for (column, words) in rows.columns().iter().zip([&mut assets, &mut signals]) {
                    let column = column.as_dictionary::<Int32Type>();
                    let texts = column.values().as_string::<i32>();
                    // A dictionary may have words that no row has: harmless, but they must be known.
                    for text in texts.iter().flatten() {
                        if !words.contains(text) {
                            words.insert(text.into());
                        }
                    }
                }
            }
        }
        Ok(Self { assets: Ranked::new(&assets), signals: Ranked::new(&signals) })
    }
}

/// One segment on its way into another.
struct Input {
    file: Arc<SegmentFile>,
    reader: ParquetRecordBatchReader,
    /// The batch at hand, in the schema of the table and with the words of all inputs.
    rows: RecordBatch,
    keys: Vec<Key>,
    /// The next row.
    at: usize,
}

impl Input {
    fn open(file: &Arc<SegmentFile>, job: &MergeJob, words: &Words) -> Result<Self, SegmentError> {
        let reader = reader(file, None, READ_ROWS)?;
        let rows = RecordBatch::new_empty(Arc::clone(&job.schema));
        let mut input = Self { file: Arc::clone(file), reader, rows, keys: Vec::new(), at: 0 };
        input.advance(job, words)?;
        Ok(input)
    }

    /// Goes to the next batch; whether there is one.
    fn advance(&mut self, job: &MergeJob, words: &Words) -> Result<bool, SegmentError> {
        (self.at, self.keys) = (0, Vec::new());
        while self.keys.is_empty() {
            let Some(rows) = self.reader.next() else { return Ok(false) };
            let rows = rows.map_err(|error| unreadable(&self.file, error.into()))?;
            self.take(&rows, job, words).map_err(|error| unreadable(&self.file, error.into()))?;
        }
        Ok(true)
    }

    fn take(&mut self, rows: &RecordBatch, job: &MergeJob, words: &Words) -> Result<(), arrow::error::ArrowError> {
        let mut columns = Vec::with_capacity(job.schema.fields().len());
        let (mut assets, mut signals) = (Vec::new(), vec![0; rows.num_rows()]);
        for field in job.schema.fields() {
            let Some(column) = rows.column_by_name(field.name()) else {
                columns.push(new_null_array(field.data_type(), rows.num_rows()));
                continue;
            };
            columns.push(match field.name().as_str() {
                "asset" => {
                    assets = words.assets.of(column);
                    with_words(&assets, &words.assets)
                }
                "signal" if job.profile.shape() == Shape::Changes => {
                    signals = words.signals.of(column);
                    with_words(&signals, &words.signals)
                }
                _ if column.data_type() == field.data_type() => Arc::clone(column),
                _ => cast(column, field.data_type())?,
            });
        }
        self.rows = RecordBatch::try_new(Arc::clone(&job.schema), columns)?;
        let time =
            rows.column_by_name("time").expect("every table has a time").as_primitive::<TimestampNanosecondType>();
        let sequence = rows.column_by_name("sequence").expect("every table has one").as_primitive::<UInt32Type>();
        let key = |row: usize| (assets[row] as u32, signals[row] as u32, time.value(row), sequence.value(row));
        self.keys = (0..rows.num_rows()).map(key).collect();
        Ok(())
    }
}

fn with_words(ranks: &[i32], words: &Ranked) -> ArrayRef {
    let texts: ArrayRef = Arc::<StringArray>::clone(&words.texts);
    Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(ranks.to_vec()), texts))
}

/// Reads `columns` of a segment, or all of them.
fn reader(
    segment: &SegmentFile,
    columns: Option<&[&str]>,
    rows: usize,
) -> Result<ParquetRecordBatchReader, SegmentError> {
    let failed = |source| unreadable(segment, source);
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened(segment)?).map_err(failed)?;
    let mask = match columns {
        Some(columns) => {
            // By their places: the name of a signal may have dots in it, which stand for parts of a column elsewhere.
            let fields = builder.parquet_schema().root_schema().get_fields().iter().enumerate();
            let wanted = fields.filter(|(_, field)| columns.contains(&field.name())).map(|(place, _)| place);
            ProjectionMask::roots(builder.parquet_schema(), wanted.collect::<Vec<_>>())
        }
        None => ProjectionMask::all(),
    };
    builder.with_projection(mask).with_batch_size(rows).build().map_err(failed)
}

fn opened(segment: &SegmentFile) -> Result<CheckedFile, SegmentError> {
    let path = &segment.path;
    segment.open().map_err(|source| SegmentError::File { operation: "open", path: path.clone(), source })
}

fn unreadable(segment: &SegmentFile, source: ParquetError) -> SegmentError {
    SegmentError::Parquet { operation: "read", path: segment.path.clone(), source }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, TimestampNanosecondArray, UInt32Array};
    use arrow::datatypes::DataType;
    use model::{Signal, ValueKind};

    use super::*;
    use crate::disk::SystemDisk;
    use crate::table;

    /// How two files are merged that a program wrote which knew no decimals.
    fn check(columns: [&[Option<f64>]; 2], expected: &DataType) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { disk: &SystemDisk, dir: folder.path() };
        let signal = Signal::new("load.peak", "x:LOAD", ValueKind::Number);
        let profile = Arc::new(Profile::new("van", Shape::Frames, vec![signal]).unwrap());
        let (schema, numbers) = (table::schema(&profile), Arc::new(Numbers::from(1)));
        let inputs = columns.iter().enumerate().map(|(file, column)| {
            let rows = column.len();
            let words: ArrayRef = Arc::new(StringArray::from(vec!["vehicle/V1"]));
            let asset = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; rows]), words);
            let times = || {
                let times =
                    TimestampNanosecondArray::from_iter_values((0..rows as i64).map(|row| 2 * row + file as i64));
                Arc::new(times.with_timezone("UTC"))
            };
            let load: Float64Array = column.iter().copied().collect();
            let exceptions = new_null_array(schema.field_with_name("exceptions").unwrap().data_type(), rows);
            let sequence = Arc::new(UInt32Array::from(vec![0; rows]));
            let columns: Vec<ArrayRef> = vec![Arc::new(asset), times(), times(), sequence, Arc::new(load), exceptions];
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            let mut writer = SegmentWriter::create(place, numbers.next(), &profile, &schema, 0, Effort::Quick).unwrap();
            writer.write(&rows).unwrap();
            Arc::new(SegmentFile::new(folder.path(), writer.finish().unwrap()))
        });
        let (inputs, effort, stopping) = (inputs.collect(), Effort::Thorough, Arc::default());
        let (profile, schema, numbers) = (Arc::clone(&profile), Arc::clone(&schema), Arc::clone(&numbers));
        let merged = MergeJob { profile, schema, inputs, effort, numbers, stopping }.run(place).unwrap();
        let rows =
            reader(&SegmentFile::new(folder.path(), merged[0].clone()), None, 100).unwrap().next().unwrap().unwrap();
        let load = rows.column_by_name("load.peak").unwrap();
        assert_eq!(load.data_type(), expected);
        let load = cast(load, &DataType::Float64).unwrap();
        let given = (0..columns[0].len()).flat_map(|row| columns.iter().filter_map(move |column| column.get(row)));
        let bits = |number: Option<f64>| number.map(f64::to_bits);
        let found: Vec<_> = load.as_primitive::<Float64Type>().iter().map(bits).collect();
        assert_eq!(found, given.map(|number| bits(*number)).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_of_older_files_become_decimals_if_all_of_them_are() {
        check([&[Some(1.5), None], &[Some(-0.25)]], &DataType::Decimal128(18, 2));
        check([&[Some(1e15), None], &[Some(0.001)]], &DataType::Float64);
        check([&[Some(1.5), Some(2.5)], &[Some(-0.0)]], &DataType::Float64);
        check([&[None, None], &[None]], &DataType::Float64);
    }
}
