//! Rows that are durable in the log and not yet in a segment, in memory as Arrow. Two generations exist at most: the
//! one that grows, and the one that is being written to a segment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, SchemaRef, TimestampNanosecondType, UInt32Type};
use foldhash::fast::RandomState;
use model::{Profile, Shape, Timestamp};

use crate::rows::{NewFrames, RowsBuilder};

/// Rows that one chunk gathers before the next begins.
const CHUNK_ROWS: usize = 8_192;
/// Small chunks, which readers cut, are put together when there are this many.
const CHUNKS_MAX: usize = 64;
/// After so many looks through all rows for the keys of some assets, those of all assets are gathered with the next.
const LOOKS_MAX: usize = 4;

/// What makes a row one row, besides its asset: signal (0 in frames), source time, sequence.
pub(crate) type RowKey = (u16, Timestamp, u32);

/// See the module.
#[derive(Debug)]
pub(crate) struct Generation {
    shape: Shape,
    chunks: Vec<RecordBatch>,
    building: RowsBuilder,
    rows: usize,
    chunk_bytes: usize,
    keys: Keys,
}

/// The keys of the assets that sent something late, so that it can be told from a repeat.
#[derive(Debug, Default)]
struct Keys {
    of: HashMap<u32, HashSet<RowKey, RandomState>, RandomState>,
    looks: usize,
}

/// What turns codes into texts: the dictionaries and the schema at one time.
pub(crate) struct Words {
    pub(crate) schema: SchemaRef,
    pub(crate) assets: Arc<StringArray>,
    pub(crate) signals: Arc<StringArray>,
}

impl Generation {
    pub(crate) fn new(profile: &Profile) -> Self {
        let building = RowsBuilder::new(profile);
        Self { shape: profile.shape(), chunks: Vec::new(), building, rows: 0, chunk_bytes: 0, keys: Keys::default() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the rows take.
    pub(crate) fn bytes(&self) -> usize {
        self.chunk_bytes + self.building.bytes()
    }

    /// The builder to add the row `key` of `asset` to.
    pub(crate) fn row(&mut self, asset: u32, key: RowKey) -> &mut RowsBuilder {
        self.note(asset, key);
        self.rows += 1;
        &mut self.building
    }

    /// Adds frames; the keys of those that may be asked for have been [noted](Self::note).
    pub(crate) fn append(&mut self, new: &NewFrames<'_>, profile: &Profile, words: &Words) {
        let mut from = 0;
        while from < new.len() {
            let end = new.len().min(from + CHUNK_ROWS - self.building.len());
            let RowsBuilder::Frames(builder) = &mut self.building else { unreachable!("a profile keeps its shape") };
            builder.append(new, from..end, profile);
            if self.needs_cut() {
                self.cut(words);
            }
            from = end;
        }
        self.rows += new.len();
    }

    pub(crate) fn needs_cut(&self) -> bool {
        self.building.len() >= CHUNK_ROWS
    }

    /// Makes a chunk of the rows that are being built.
    pub(crate) fn cut(&mut self, words: &Words) {
        if self.building.len() == 0 {
            return;
        }
        let schema = Arc::clone(&words.schema);
        let chunk = match &mut self.building {
            RowsBuilder::Changes(builder) => builder.finish(schema, &words.assets, &words.signals),
            RowsBuilder::Frames(builder) => builder.finish(schema, &words.assets),
        };
        self.chunk_bytes += bytes_of(&chunk);
        self.chunks.push(chunk);
        let small = self.chunks.iter().rev().take_while(|chunk| chunk.num_rows() < CHUNK_ROWS).count();
        if small >= CHUNKS_MAX {
            let tail = self.chunks.split_off(self.chunks.len() - small);
            let tail: Vec<RecordBatch> = tail.iter().map(|chunk| reworded(chunk, words)).collect();
            self.chunks.push(joined(&words.schema, &tail));
            self.chunk_bytes = self.chunks.iter().map(bytes_of).sum();
        }
    }

    /// After the profile has grown: the same rows with the new columns, which are empty in them.
    pub(crate) fn grow(&mut self, profile: &Profile, before: &Words, schema: &SchemaRef) {
        self.cut(before);
        self.building = RowsBuilder::new(profile);
        for chunk in &mut self.chunks {
            *chunk = conform(chunk, schema);
        }
        self.chunk_bytes = self.chunks.iter().map(bytes_of).sum();
    }

    pub(crate) fn chunks(&self) -> &[RecordBatch] {
        &self.chunks
    }

    /// Makes [`Generation::contains`] know the rows of `assets`, those that are here and those to come.
    pub(crate) fn watch(&mut self, assets: impl IntoIterator<Item = u32>) {
        let mut unknown: HashMap<u32, HashSet<RowKey, RandomState>, RandomState> = HashMap::default();
        unknown.extend(
            assets.into_iter().filter(|asset| !self.keys.knows(*asset)).map(|asset| (asset, HashSet::default())),
        );
        if unknown.is_empty() {
            return;
        }
        self.keys.looks += 1;
        let all = self.keys.looks > LOOKS_MAX;
        let mut each = |asset: u32, key: RowKey| {
            if all {
                unknown.entry(asset).or_default().insert(key);
            } else if let Some(keys) = unknown.get_mut(&asset) {
                keys.insert(key);
            }
        };
        self.chunks.iter().for_each(|chunk| for_each_key(chunk, self.shape, &mut each));
        self.building.for_each_key(&mut each);
        self.keys.of.extend(unknown);
    }

    /// Whether the row is here; its asset has to be [watched](Self::watch).
    pub(crate) fn contains(&self, asset: u32, key: RowKey) -> bool {
        debug_assert!(self.keys.knows(asset), "nobody watches the asset");
        self.keys.of.get(&asset).is_some_and(|keys| keys.contains(&key))
    }

    /// Whether keys of rows to come have to be noted.
    pub(crate) fn is_watching(&self) -> bool {
        self.keys.looks > 0
    }

    /// Notes the key of a row that is about to be added.
    pub(crate) fn note(&mut self, asset: u32, key: RowKey) {
        if self.keys.looks > LOOKS_MAX {
            self.keys.of.entry(asset).or_default().insert(key);
        } else if let Some(keys) = self.keys.of.get_mut(&asset) {
            keys.insert(key);
        }
    }
}

impl Keys {
    fn knows(&self, asset: u32) -> bool {
        self.looks > LOOKS_MAX || self.of.contains_key(&asset)
    }
}

/// The memory of a chunk, but for the words that all chunks share.
fn bytes_of(chunk: &RecordBatch) -> usize {
    let bytes = chunk.columns().iter().map(|column| match column.as_dictionary_opt::<Int32Type>() {
        Some(words) => words.keys().get_buffer_memory_size(),
        None => column.get_buffer_memory_size(),
    });
    bytes.sum()
}

/// Calls `each` with the dictionary code of the asset and the key of every row.
pub(crate) fn for_each_key(chunk: &RecordBatch, shape: Shape, mut each: impl FnMut(u32, RowKey)) {
    let column = |name: &str| chunk.column_by_name(name).unwrap_or_else(|| panic!("every table has the column {name}"));
    let asset = column("asset").as_dictionary::<Int32Type>().keys();
    let time = column("time").as_primitive::<TimestampNanosecondType>();
    let sequence = column("sequence").as_primitive::<UInt32Type>();
    let signal = (shape == Shape::Changes).then(|| column("signal").as_dictionary::<Int32Type>().keys());
    for row in 0..chunk.num_rows() {
        let signal = signal.map_or(0, |signal| signal.value(row) as u16);
        each(asset.value(row) as u32, (signal, Timestamp::from_nanos(time.value(row)), sequence.value(row)));
    }
}

/// The same rows under the newest dictionaries, of which the chunk's own are the beginning: dictionaries that are the
/// same are not rewritten when chunks are joined, and so a key stays the code of its asset and signal.
fn reworded(chunk: &RecordBatch, words: &Words) -> RecordBatch {
    let schema = chunk.schema();
    let columns = schema.fields().iter().zip(chunk.columns()).map(|(field, column)| {
        let texts: ArrayRef = match field.name().as_str() {
            "asset" => Arc::<StringArray>::clone(&words.assets),
            "signal" => Arc::<StringArray>::clone(&words.signals),
            _ => return Arc::clone(column),
        };
        match column.as_dictionary_opt::<Int32Type>() {
            Some(codes) => Arc::new(codes.with_values(texts)) as ArrayRef,
            None => Arc::clone(column),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).expect("dictionaries of texts stay dictionaries of texts")
}

/// All of `chunks` as one.
pub(crate) fn joined(schema: &SchemaRef, chunks: &[RecordBatch]) -> RecordBatch {
    concat_batches(schema, chunks).expect("the chunks of a table have its schema")
}

/// The columns of `schema`, by name; those that `chunk` does not have are null.
fn conform(chunk: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| match chunk.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), chunk.num_rows()),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect())
        .expect("a table only ever gains columns that may be null")
}
