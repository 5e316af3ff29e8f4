//! The rows of a table that came in during a span, in the order of asset, source time and sequence, some at a time: for
//! those who pass on what comes in, and have to go on where they were. Which rows that are and how they are ordered does not
//! depend on which segments they stand in. This module must not know where they are passed on to.

use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef, TimestampNanosecondType, UInt32Type};
use arrow::error::ArrowError;
use model::{
    AssetId, Changes, Column, FrameException, Frames, Observation, Profile, Rows, Shape, Timestamp, ValueKind, Vectors,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

use crate::recollect::{exceptions_of_all, quality_of, statistic, value};
use crate::salvage::{completed, times_of, words, words_of};
use crate::segment::{SegmentFile, sort_columns};
use crate::snapshot::TableSnapshot;

/// Assets that rows can be about at once.
const ASSETS_MAX: usize = 1 << 16;
/// Keys that are read at once.
const READ_ROWS: usize = 65_536;

/// Where a row stands in the order of this module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceivedPlace {
    /// The asset, as text.
    pub asset: Arc<str>,
    /// The source time.
    pub time: Timestamp,
    /// Tells rows at the same time apart.
    pub sequence: u32,
}

/// Which rows are wanted.
pub struct ReceivedSpan<'a> {
    /// Those that came in after this.
    pub after: Timestamp,
    /// And until then.
    pub until: Timestamp,
    /// And that stand behind this place.
    pub behind: Option<&'a ReceivedPlace>,
    /// Whose source time is not before this.
    pub from: Timestamp,
    /// And before this.
    pub to: Timestamp,
    /// Of these assets.
    pub is_wanted: &'a dyn Fn(&str) -> bool,
    /// And of none that stands behind this one.
    pub last_asset: Option<&'a str>,
    /// At most so many, the first ones; and of at most 65,536 assets.
    pub rows_max: usize,
}

impl<'a> ReceivedSpan<'a> {
    /// The first `rows_max` rows of the assets that `is_wanted` that came in after `after` and until `until`, whatever their source
    /// time.
    pub fn new((after, until): (Timestamp, Timestamp), is_wanted: &'a dyn Fn(&str) -> bool, rows_max: usize) -> Self {
        let (from, to) = (Timestamp::MIN, Timestamp::MAX);
        Self { after, until, behind: None, from, to, is_wanted, last_asset: None, rows_max }
    }

    /// Whether rows may be wanted whose source times are `min` to `max`.
    fn may_want(&self, min: Timestamp, max: Timestamp) -> bool {
        min < self.to && max >= self.from
    }

    fn wants(&self, asset: &str) -> bool {
        self.last_asset.is_none_or(|last| asset <= last) && (self.is_wanted)(asset)
    }
}

/// Rows in the order of this module. Those of one place are all there, or none of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedRows {
    /// Of which profile; it has more signals than an older program has written.
    pub profile: Arc<Profile>,
    /// What they say.
    pub rows: Rows,
    /// When each came in.
    pub received: Vec<Timestamp>,
    /// Whether these are all that were wanted.
    pub is_all: bool,
}

impl ReceivedRows {
    /// Where the last row stands.
    pub fn last_place(&self) -> Option<ReceivedPlace> {
        let (assets, asset, time, sequence) = match &self.rows {
            Rows::Frames(rows) => (&rows.assets, &rows.asset, &rows.time, &rows.sequence),
            Rows::Changes(rows) => (&rows.assets, &rows.asset, &rows.time, &rows.sequence),
        };
        let asset = &assets[usize::from(*asset.last()?)];
        Some(ReceivedPlace { asset: asset.as_str().into(), time: *time.last()?, sequence: *sequence.last()? })
    }
}

/// A segment that does not read. Somebody looks into it; then the rows that are left of it can be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the segment `{path}`")]
pub struct ReceivedError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: ArrowError,
}

impl TableSnapshot {
    /// The first rows of `span`. Reads files.
    ///
    /// # Errors
    /// When a segment does not read.
    pub fn received(&self, span: &ReceivedSpan<'_>) -> Result<ReceivedRows, ReceivedError> {
        let may_hold = |segment: &SegmentFile| {
            segment.may_hold(span.after, span.until) && span.may_want(segment.time_min, segment.time_max)
        };
        let segments: Vec<_> = self.segments.iter().filter(|segment| may_hold(segment)).collect();
        let mut first = First { span, shape: self.profile.shape(), keys: BinaryHeap::new(), is_all: true };
        for (source, chunk) in (0..).zip(&self.rows) {
            first.add(chunk, Source { source, group: IN_MEMORY, row: 0 });
        }
        for (source, segment) in (0..).zip(&segments) {
            first.add_segment(segment, source).map_err(|error| unread(segment, error))?;
        }
        let (keys, is_all) = first.ended();
        let mut wanted: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for Source { source, group, row } in keys.iter().map(|key| key.source) {
            wanted.entry((group, source)).or_default().push(row);
        }
        let mut parts = BTreeMap::new();
        for ((group, source), mut rows) in wanted {
            rows.sort_unstable();
            let read = if group == IN_MEMORY {
                take_record_batch(&self.rows[source as usize], &UInt32Array::from(rows.clone()))
                    .expect("the rows were seen there")
            } else {
                let segment = segments[source as usize];
                read_rows(segment, group as usize, &rows, &self.schema, &self.profile)
                    .map_err(|error| unread(segment, error))?
            };
            parts.insert((group, source), (rows, read));
        }
        let places = keys.iter().map(|key| {
            let (rows, part) = &parts[&(key.source.group, key.source.source)];
            (part, rows.binary_search(&key.source.row).expect("it was wanted"))
        });
        let places: Vec<(&RecordBatch, usize)> = places.collect();
        let rows = match self.profile.shape() {
            Shape::Changes => Rows::Changes(changes(&self.profile, &keys, &places)),
            Shape::Frames => Rows::Frames(frames(&self.profile, &keys, &places)),
        };
        let received = keys.iter().map(|key| key.received).collect();
        Ok(ReceivedRows { profile: Arc::clone(&self.profile), rows, received, is_all })
    }
}

impl TableSnapshot {
    /// About how many rows came in after `after` and until `until`; of a segment that holds others too, a part is taken.
    pub fn rows_received_about(&self, after: Timestamp, until: Timestamp) -> u64 {
        let in_segments = self.segments.iter().map(|segment| segment.rows_received_about(after, until));
        let (after, until) = (after.nanos(), until.nanos());
        let in_chunk = |chunk: &RecordBatch| {
            let received = column(chunk, "received").as_primitive::<TimestampNanosecondType>().values();
            received.iter().filter(|received| **received > after && **received <= until).count() as u64
        };
        in_segments.sum::<u64>() + self.rows.iter().map(in_chunk).sum::<u64>()
    }
}

fn unread(segment: &SegmentFile, source: ArrowError) -> ReceivedError {
    segment.suspect();
    ReceivedError { path: segment.path.clone(), source }
}

/// When the last row of `segment` came in, as its own statistics tell.
///
/// # Errors
/// When it does not read.
pub(crate) fn last_of(segment: &SegmentFile) -> Result<Timestamp, ArrowError> {
    let file = ParquetRecordBatchReaderBuilder::try_new(segment.open()?)?;
    let groups = file.metadata().row_groups().iter();
    let last: Option<Vec<_>> = groups.map(|group| Some(times_of(column_chunk(group, "received")?)?.1)).collect();
    let last = last.and_then(|last| last.into_iter().max());
    last.ok_or_else(|| ArrowError::ParquetError("nothing tells when its rows came in".to_owned()))
}

fn column_chunk<'a>(
    group: &'a RowGroupMetaData,
    name: &str,
) -> Option<&'a parquet::file::metadata::ColumnChunkMetaData> {
    group.columns().iter().find(|column| column.column_path().string() == name)
}

/// Stands for the row group of what is in memory.
const IN_MEMORY: u32 = u32::MAX;

/// Where a row is kept: in which chunk or segment, in which row group, and in which row of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    source: u32,
    group: u32,
    row: u32,
}

/// A row, in the order of this module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    place: ReceivedPlace,
    signal: Option<Arc<str>>,
    received: Timestamp,
    source: Source,
}

/// The first rows of a span, as far as they have been seen.
struct First<'a> {
    span: &'a ReceivedSpan<'a>,
    shape: Shape,
    /// The last of them on top.
    keys: BinaryHeap<Key>,
    is_all: bool,
}

impl First<'_> {
    fn is_full(&self) -> bool {
        self.keys.len() > self.span.rows_max
    }

    /// Takes in the keys in `rows`, the first of which is at `first`.
    fn add(&mut self, rows: &RecordBatch, first: Source) {
        let column = |name: &str| rows.column_by_name(name).expect("every table has the columns of its keys");
        let times = |name: &str| column(name).as_primitive::<TimestampNanosecondType>().values();
        let (time, received) = (times("time"), times("received"));
        let sequence = column("sequence").as_primitive::<UInt32Type>().values();
        let (asset, mut assets) = (column("asset").as_dictionary::<arrow::datatypes::Int32Type>(), Vec::new());
        assets.resize(asset.values().len(), None);
        let signal = (self.shape == Shape::Changes).then(|| words(column("signal")));
        let (after, until) = (self.span.after.nanos(), self.span.until.nanos());
        let texts = asset.values().as_string::<i32>();
        let (from, to) = (self.span.from.nanos(), self.span.to.nanos());
        let is_within = |row: &usize| {
            (received[*row] > after && received[*row] <= until) && (time[*row] >= from && time[*row] < to)
        };
        for row in (0..rows.num_rows()).filter(is_within) {
            let word = asset.keys().value(row) as usize;
            let known: &Option<Arc<str>> = assets[word].get_or_insert_with(|| {
                let text = texts.value(word);
                self.span.wants(text).then(|| Arc::from(text))
            });
            let Some(asset) = known else { continue };
            let (time, sequence) = (Timestamp::from_nanos(time[row]), sequence[row]);
            let is_behind =
                |place: &ReceivedPlace| (&**asset, time, sequence) > (&*place.asset, place.time, place.sequence);
            if self.span.behind.is_some_and(|place| !is_behind(place)) {
                continue;
            }
            if self.is_full() && self.keys.peek().is_some_and(|last| is_behind(&last.place)) {
                self.is_all = false;
                continue;
            }
            let place = ReceivedPlace { asset: Arc::clone(asset), time, sequence };
            let signal = signal.as_ref().and_then(|signal| signal(row)).map(Arc::from);
            let source = Source { row: first.row + row as u32, ..first };
            self.keys.push(Key { place, signal, received: Timestamp::from_nanos(received[row]), source });
            if self.keys.len() > self.span.rows_max + 1 {
                self.keys.pop();
                self.is_all = false;
            }
        }
    }

    /// Takes in the keys in `segment`, as far as any of them can be among the first.
    fn add_segment(&mut self, segment: &SegmentFile, source: u32) -> Result<(), ArrowError> {
        let file = segment.open()?;
        let groups = file.metadata().num_row_groups();
        for group in 0..groups {
            let about = file.metadata().row_group(group);
            let assets = column_chunk(about, "asset").and_then(words_of);
            if let (Some((first, _)), Some(last)) = (&assets, self.keys.peek())
                && self.is_full()
                && **first > *last.place.asset
            {
                // Those that follow stand even further behind.
                self.is_all = false;
                return Ok(());
            }
            if let (Some((first, _)), Some(last)) = (&assets, self.span.last_asset)
                && **first > *last
            {
                return Ok(());
            }
            let is_before = assets.is_some_and(|(_, last)| self.span.behind.is_some_and(|place| *last < *place.asset));
            let received = column_chunk(about, "received").and_then(times_of);
            let is_apart = received.is_some_and(|(min, max)| max <= self.span.after || min > self.span.until);
            let time = column_chunk(about, "time").and_then(times_of);
            let is_apart = is_apart || time.is_some_and(|(min, max)| !self.span.may_want(min, max));
            if is_before || is_apart {
                continue;
            }
            let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone())?;
            let columns = sort_columns(self.shape).iter().copied().chain(["received"]);
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
            let reader =
                builder.with_projection(mask).with_row_groups(vec![group]).with_batch_size(READ_ROWS).build()?;
            let mut row = 0;
            for rows in reader {
                let rows = rows?;
                self.add(&rows, Source { source, group: group as u32, row });
                row += rows.num_rows() as u32;
            }
        }
        Ok(())
    }

    /// The rows in their order, without those of a place of which there are more; and whether these are all.
    fn ended(self) -> (Vec<Key>, bool) {
        let mut keys = self.keys.into_sorted_vec();
        let begins = |row: &usize| *row == 0 || keys[*row - 1].place.asset != keys[*row].place.asset;
        if let Some(first) = (0..keys.len()).filter(begins).nth(ASSETS_MAX) {
            keys.truncate(first);
            return (keys, false);
        }
        if keys.len() <= self.span.rows_max {
            return (keys, self.is_all);
        }
        // The last one is there to tell whether its place goes on.
        if let Some(first) = keys.last().and_then(|last| keys.iter().position(|key| key.place == last.place))
            && first > 0
        {
            keys.truncate(first);
        }
        (keys, false)
    }
}

/// `rows` of a row group, in their order, with the columns of `schema`.
fn read_rows(
    segment: &SegmentFile,
    group: usize,
    rows: &[u32],
    schema: &SchemaRef,
    profile: &Profile,
) -> Result<RecordBatch, ArrowError> {
    let file = ParquetRecordBatchReaderBuilder::try_new(segment.open()?)?;
    let rows_in_all = file.metadata().row_group(group).num_rows() as usize;
    let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
    let selection = RowSelection::from_consecutive_ranges(ranges, rows_in_all);
    let reader = file.with_row_groups(vec![group]).with_row_selection(selection).with_batch_size(rows.len()).build()?;
    let (stored, batches) = (arrow::array::RecordBatchReader::schema(&reader), reader.collect::<Result<Vec<_>, _>>()?);
    let read = arrow::compute::concat_batches(&stored, &batches)?;
    if read.num_rows() != rows.len() {
        return Err(ParquetError::General("there are fewer rows than keys".to_owned()).into());
    }
    completed(&read, schema, profile, &Default::default())
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    rows.column_by_name(name).unwrap_or_else(|| panic!("the rows have the columns of their table, also {name}"))
}

/// The assets of `keys`, and which of them each has.
fn assets_of(keys: &[Key]) -> (Vec<AssetId>, Vec<u16>) {
    let (mut assets, mut places) = (Vec::new(), Vec::with_capacity(keys.len()));
    for (row, key) in keys.iter().enumerate() {
        if row == 0 || keys[row - 1].place.asset != key.place.asset {
            assets.push(key.place.asset.parse().expect("it is kept as an asset"));
        }
        places.push((assets.len() - 1) as u16);
    }
    (assets, places)
}

fn changes(profile: &Profile, keys: &[Key], places: &[(&RecordBatch, usize)]) -> Changes {
    let (assets, asset) = assets_of(keys);
    let mut changes = Changes { assets, ..Changes::default() };
    for ((key, asset), (rows, row)) in keys.iter().zip(asset).zip(places) {
        let Some(signal) = key.signal.as_ref().and_then(|signal| profile.signal_index(signal)) else { continue };
        let quality = words(column(rows, "quality"))(*row).and_then(quality_of).unwrap_or(model::Quality::Invalid);
        let (time, sequence) = (key.place.time, key.place.sequence);
        let (value, statistic) = (value(rows, *row, profile.signal(signal).kind), statistic(rows, *row));
        changes.push(asset, Observation { signal, time, sequence, quality, value, statistic });
    }
    changes
}

fn frames(profile: &Profile, keys: &[Key], places: &[(&RecordBatch, usize)]) -> Frames {
    let (assets, asset) = assets_of(keys);
    let columns = profile.signals().iter().map(|signal| column_of(&signal.id, signal.kind, places));
    let mut exceptions = Vec::new();
    for (row, (rows, place)) in (0..).zip(places) {
        let all = exceptions_of_all(column(rows, "exceptions"), *place, profile);
        exceptions.extend(all.map(|(signal, element, quality)| FrameException { row, signal, element, quality }));
    }
    Frames {
        assets,
        asset,
        time: keys.iter().map(|key| key.place.time).collect(),
        sequence: keys.iter().map(|key| key.place.sequence).collect(),
        columns: columns.collect(),
        exceptions,
    }
}

/// The column `name` of the rows at `places`.
fn column_of(name: &str, kind: ValueKind, places: &[(&RecordBatch, usize)]) -> Column {
    let there = places.iter().map(|(rows, row)| (column(rows, name), *row));
    match kind {
        ValueKind::Integer => Column::Integers(
            there
                .map(|(array, row)| array.is_valid(row).then(|| array.as_primitive::<Int64Type>().value(row)))
                .collect(),
        ),
        ValueKind::Number => Column::Numbers(
            there
                .map(|(array, row)| array.is_valid(row).then(|| array.as_primitive::<Float64Type>().value(row)))
                .collect(),
        ),
        ValueKind::Vector => {
            let mut vectors = Vectors::default();
            for (array, row) in there {
                let list = array.is_valid(row).then(|| array.as_list::<i32>().value(row));
                let elements = list.as_ref().map(|list| list.as_primitive::<Int64Type>().iter());
                vectors.push(elements.map(|all| all.map(|element| element.unwrap_or(Vectors::MISSING))));
            }
            Column::Vectors(vectors)
        }
        _ => Column::Texts(
            there.map(|(array, row)| array.is_valid(row).then(|| array.as_string::<i32>().value(row).into())).collect(),
        ),
    }
}
