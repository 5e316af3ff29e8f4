//! Merging: several segments of one profile become one that is sorted throughout, and as small as can be. A job runs
//! beside the writer; only the manifest that the writer commits afterwards makes its outcome count. This module must not
//! know of the log, of hot rows, or of when merging is due.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{Int32Type, SchemaRef, TimestampNanosecondType, UInt32Type};
use model::{Profile, Shape};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::plan::VALUES_MAX;
use crate::segment::{self, Effort, Numbers, Place, Segment, SegmentError, SegmentFile, SegmentWriter};

/// Rows that are read from one input at once.
const READ_ROWS: usize = 8_192;
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
        let create =
            || SegmentWriter::create(place, self.numbers.next(), &self.profile, &self.schema, day, self.effort);
        let rows_max = VALUES_MAX / self.schema.fields().len() as u64;
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
    let path = &segment.path;
    let file = segment.open().map_err(|source| SegmentError::File { operation: "open", path: path.clone(), source })?;
    let failed = |source| unreadable(segment, source);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let mask = match columns {
        Some(columns) => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    builder.with_projection(mask).with_batch_size(rows).build().map_err(failed)
}

fn unreadable(segment: &SegmentFile, source: ParquetError) -> SegmentError {
    SegmentError::Parquet { operation: "read", path: segment.path.clone(), source }
}
