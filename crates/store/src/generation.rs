//! Rows that are durable in the log and not yet in a segment, in memory as Arrow. Two generations exist at most: the
//! one that grows, and the one that is being written to a segment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, SchemaRef, TimestampNanosecondType, UInt32Type};
use foldhash::fast::RandomState;
use model::{Profile, Shape, Timestamp};

use crate::rows::RowsBuilder;

/// Rows that one chunk gathers before the next begins.
const CHUNK_ROWS: usize = 8_192;
/// Small chunks, which readers cut, are put together when there are this many.
const CHUNKS_MAX: usize = 64;

/// What makes a row one row, besides its asset: signal (0 in frames), source time, sequence.
pub(crate) type RowKey = (u16, Timestamp, u32);

/// See the module.
#[derive(Debug)]
pub(crate) struct Generation {
    chunks: Vec<RecordBatch>,
    building: RowsBuilder,
    rows: usize,
    /// The keys of the assets that sent something late, so that it can be told from a repeat.
    keys: HashMap<u32, HashSet<RowKey, RandomState>, RandomState>,
}

/// What turns codes into texts: the dictionaries and the schema at one time.
pub(crate) struct Words {
    pub(crate) schema: SchemaRef,
    pub(crate) assets: Arc<StringArray>,
    pub(crate) signals: Arc<StringArray>,
}

impl Generation {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self { chunks: Vec::new(), building: RowsBuilder::new(profile), rows: 0, keys: HashMap::default() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The builder to add the row `key` of `asset` to.
    pub(crate) fn row(&mut self, asset: u32, key: RowKey) -> &mut RowsBuilder {
        if let Some(keys) = self.keys.get_mut(&asset) {
            keys.insert(key);
        }
        self.rows += 1;
        &mut self.building
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
        self.chunks.push(match &mut self.building {
            RowsBuilder::Changes(builder) => builder.finish(schema, &words.assets, &words.signals),
            RowsBuilder::Frames(builder) => builder.finish(schema, &words.assets),
        });
        let small = self.chunks.iter().rev().take_while(|chunk| chunk.num_rows() < CHUNK_ROWS).count();
        if small >= CHUNKS_MAX {
            let tail = self.chunks.split_off(self.chunks.len() - small);
            let tail: Vec<RecordBatch> = tail.iter().map(|chunk| reworded(chunk, words)).collect();
            self.chunks.push(joined(&words.schema, &tail));
        }
    }

    /// After the profile has grown: the same rows with the new columns, which are empty in them.
    pub(crate) fn grow(&mut self, profile: &Profile, before: &Words, schema: &SchemaRef) {
        self.cut(before);
        self.building = RowsBuilder::new(profile);
        for chunk in &mut self.chunks {
            *chunk = conform(chunk, schema);
        }
    }

    pub(crate) fn chunks(&self) -> &[RecordBatch] {
        &self.chunks
    }

    /// Whether the row is here; all rows have to be in chunks.
    pub(crate) fn contains(&mut self, asset: u32, key: RowKey, shape: Shape) -> bool {
        let chunks = &self.chunks;
        let keys = self.keys.entry(asset).or_insert_with(|| {
            let mut keys = HashSet::default();
            for chunk in chunks {
                for_each_key(chunk, shape, |code, key| {
                    if code == asset {
                        keys.insert(key);
                    }
                });
            }
            keys
        });
        keys.contains(&key)
    }

    /// Whether keys of `asset` are at hand, so that [`Generation::contains`] needs no look at the chunks.
    pub(crate) fn has_keys_of(&self, asset: u32) -> bool {
        self.keys.contains_key(&asset)
    }
}

/// Calls `each` with the dictionary code of the asset and the key of every row.
fn for_each_key(chunk: &RecordBatch, shape: Shape, mut each: impl FnMut(u32, RowKey)) {
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

/// The sorted keys of rows that are already in segments, by asset code.
#[derive(Debug)]
pub(crate) struct SortedKeys(Vec<(u32, RowKey)>);

impl SortedKeys {
    /// The keys in `chunks`, whose asset and signal dictionaries are translated by `asset` and `signal`.
    pub(crate) fn new(
        chunks: &[RecordBatch],
        shape: Shape,
        mut asset: impl FnMut(&str) -> u32,
        signal: impl Fn(&str) -> u16,
    ) -> Self {
        let mut keys = Vec::new();
        for chunk in chunks {
            let texts = |name: &str| -> Option<Vec<String>> {
                let dictionary = chunk.column_by_name(name)?.as_dictionary::<Int32Type>().values();
                Some(dictionary.as_string::<i32>().iter().map(|text| text.unwrap_or("").to_owned()).collect())
            };
            let assets: Vec<u32> = texts("asset").unwrap_or_default().iter().map(|text| asset(text)).collect();
            let signals: Vec<u16> = texts("signal").unwrap_or_default().iter().map(|text| signal(text)).collect();
            for_each_key(chunk, shape, |code, (place, time, sequence)| {
                let place = if shape == Shape::Changes { signals[usize::from(place)] } else { 0 };
                keys.push((assets[code as usize], (place, time, sequence)));
            });
        }
        keys.sort_unstable();
        Self(keys)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, RowKey)> {
        self.0.iter().copied()
    }

    pub(crate) fn contains(&self, asset: u32, key: RowKey) -> bool {
        self.0.binary_search(&(asset, key)).is_ok()
    }
}
