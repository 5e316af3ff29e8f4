//! The keys of rows that are in segments, for telling late rows from repeats. Of a segment only those row groups are read
//! that may hold a row in question; what was read is kept at hand, packed, up to a bound. This module must not know of hot
//! rows.

mod packed;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use foldhash::fast::RandomState;
use model::{Profile, Shape, Timestamp};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use self::packed::PackedKeys;
use crate::catalog::Assets;
use crate::generation::{RowKey, for_each_key};
use crate::newest::FrameKey;
use crate::salvage;
use crate::segment::{SegmentFile, sort_columns};

/// How many bytes of keys are kept at hand; those of one row group at least. A day of 100 vehicles that speak every second
/// takes about 35 MB.
const KEY_BYTES_MAX: usize = 64 << 20;
/// How many segments are known by the bounds of their row groups.
const SEGMENTS_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SealedKeys {
    bounds: HashMap<PathBuf, Arc<[Bounds]>>,
    /// By segment, then by row group; what can be read of a damaged segment has none.
    read: HashMap<PathBuf, HashMap<Option<usize>, ReadKeys>>,
    /// How many bytes all of them take.
    read_bytes: usize,
    /// How often keys were asked for.
    uses: u64,
}

#[derive(Debug)]
struct ReadKeys {
    keys: PackedKeys,
    /// Which use of all was the last one of these.
    used: u64,
}

/// Frames in one row group of a segment.
#[derive(Debug)]
pub(crate) struct SealedFrames<'a> {
    pub(crate) segment: &'a SegmentFile,
    pub(crate) group: usize,
    /// The place of each in the row group, in order, the code of its asset, and its key.
    pub(crate) rows: Vec<(u32, u32, FrameKey)>,
}

/// Rows in question, by the code of their asset.
type Late = HashMap<u32, Vec<RowKey>, RandomState>;

/// What turns words of a segment into codes.
pub(crate) struct Codes<'a> {
    pub(crate) assets: &'a mut Assets,
    pub(crate) profile: &'a Profile,
}

type Text = Box<[u8]>;

/// What a row group holds at most; nothing is known where it is `None`.
#[derive(Debug)]
struct Bounds {
    /// The first and the last one.
    assets: Option<(Text, Text)>,
    times: Option<(i64, i64)>,
}

impl Bounds {
    fn of(group: &RowGroupMetaData) -> Self {
        let statistics = |name: &str| {
            let column = group.columns().iter().find(|column| column.column_path().string() == name)?;
            column.statistics()
        };
        let assets = match statistics("asset") {
            Some(Statistics::ByteArray(assets)) => assets.min_opt().zip(assets.max_opt()),
            _ => None,
        };
        let times = match statistics("time") {
            Some(Statistics::Int64(times)) => times.min_opt().copied().zip(times.max_opt().copied()),
            _ => None,
        };
        Self { assets: assets.map(|(min, max)| (min.data().into(), max.data().into())), times }
    }

    /// Whether one of the rows `keys` of an asset may be there.
    fn cover(&self, asset: &str, keys: &[RowKey]) -> bool {
        self.assets.as_ref().is_none_or(|(min, max)| (&**min..=&**max).contains(&asset.as_bytes()))
            && self.times.is_none_or(|(min, max)| keys.iter().any(|key| (min..=max).contains(&key.1.nanos())))
    }
}

impl SealedKeys {
    /// Which of the rows `late` are in `segments`. A segment that does not read keeps nothing: its rows are taken again.
    pub(crate) fn find(
        &mut self,
        segments: &[Arc<SegmentFile>],
        late: impl Iterator<Item = (u32, RowKey)>,
        codes: &mut Codes<'_>,
    ) -> HashSet<(u32, RowKey)> {
        let (mut found, mut by_asset) = (HashSet::new(), Late::default());
        late.for_each(|(asset, key)| by_asset.entry(asset).or_default().push(key));
        for segment in segments {
            if !by_asset.values().flatten().any(|key| segment.covers(key.1)) {
                continue;
            }
            if let Err(error) = self.find_in(segment, &mut by_asset, &mut found, codes) {
                let path = segment.path.display();
                tracing::error!(%path, %error, "a segment does not read; late rows are compared with what is left of it");
                segment.suspect();
                match self.keys_of(segment, None, codes) {
                    Ok(keys) => by_asset.iter_mut().for_each(|(asset, late)| settle(*asset, late, keys, &mut found)),
                    Err(error) => tracing::error!(%path, %error, "nothing is left of the segment to compare with"),
                }
            }
        }
        found
    }

    /// Moves the rows that are in `segment` from `late` to `found`.
    fn find_in(
        &mut self,
        segment: &SegmentFile,
        late: &mut Late,
        found: &mut HashSet<(u32, RowKey)>,
        codes: &mut Codes<'_>,
    ) -> Result<(), ParquetError> {
        for (group, bounds) in self.bounds_of(segment)?.iter().enumerate() {
            let covered = late
                .iter_mut()
                .filter(|(asset, keys)| bounds.cover(codes.assets.ids()[**asset as usize].as_str(), keys));
            let covered: Vec<(u32, &mut Vec<RowKey>)> = covered.map(|(asset, keys)| (*asset, keys)).collect();
            if covered.is_empty() {
                continue;
            }
            let keys = self.keys_of(segment, Some(group), codes)?;
            covered.into_iter().for_each(|(asset, late)| settle(asset, late, keys, found));
        }
        Ok(())
    }

    /// Calls `each` with the frames in `segments` of the assets and times `wanted`. Those in segments that do not read are
    /// passed over.
    pub(crate) fn for_each_frame_of(
        &mut self,
        segments: &[Arc<SegmentFile>],
        wanted: impl Iterator<Item = (u32, Timestamp)>,
        codes: &mut Codes<'_>,
        mut each: impl FnMut(&SealedFrames<'_>),
    ) {
        let mut by_asset = Late::default();
        wanted.for_each(|(asset, time)| by_asset.entry(asset).or_default().push((0, time, 0)));
        for segment in segments {
            if !by_asset.values().flatten().any(|key| segment.covers(key.1)) {
                continue;
            }
            let Ok(bounds) = self.bounds_of(segment) else { continue };
            for (group, bounds) in bounds.iter().enumerate() {
                let mut covered = Vec::new();
                for (asset, keys) in &by_asset {
                    if bounds.cover(codes.assets.ids()[*asset as usize].as_str(), keys) {
                        covered.extend(keys.iter().map(|(_, time, _)| (*asset, *time)));
                    }
                }
                let keys = if covered.is_empty() { None } else { self.keys_of(segment, Some(group), codes).ok() };
                let Some(keys) = keys else { continue };
                let rows_of = |(asset, time): (u32, Timestamp)| {
                    keys.rows_of(asset, 0, time).map(move |(row, sequence)| (row, asset, (time, sequence)))
                };
                let mut rows: Vec<_> = covered.into_iter().flat_map(rows_of).collect();
                rows.sort_unstable();
                if !rows.is_empty() {
                    each(&SealedFrames { segment, group, rows });
                }
            }
        }
    }

    /// What the row groups of a segment hold at most.
    fn bounds_of(&mut self, segment: &SegmentFile) -> Result<Arc<[Bounds]>, ParquetError> {
        if let Some(bounds) = self.bounds.get(&segment.path) {
            return Ok(Arc::clone(bounds));
        }
        let metadata = ArrowReaderMetadata::load(&segment.open()?, ArrowReaderOptions::new())?;
        let metadata: &ParquetMetaData = metadata.metadata();
        let bounds: Arc<[Bounds]> = metadata.row_groups().iter().map(Bounds::of).collect();
        if self.bounds.len() >= SEGMENTS_MAX {
            self.bounds.clear();
        }
        self.bounds.insert(segment.path.clone(), Arc::clone(&bounds));
        Ok(bounds)
    }

    /// The keys of a row group, or all that can be read of a damaged segment, from memory if they were wanted lately.
    fn keys_of(
        &mut self,
        segment: &SegmentFile,
        group: Option<usize>,
        codes: &mut Codes<'_>,
    ) -> Result<&PackedKeys, ParquetError> {
        self.uses += 1;
        let used = self.uses;
        let known = self.read.get_mut(&segment.path).and_then(|groups| groups.get_mut(&group));
        match known {
            Some(known) => known.used = used,
            None => {
                let keys = read_keys(segment, group, codes)?;
                self.read_bytes += keys.bytes();
                self.read.entry(segment.path.clone()).or_default().insert(group, ReadKeys { keys, used });
                while self.read_bytes > KEY_BYTES_MAX && self.forget_oldest(used) {}
            }
        }
        Ok(&self.read[&segment.path][&group].keys)
    }

    /// Forgets the keys that were wanted the longest time ago, and before the use `now`. Returns whether there are such.
    fn forget_oldest(&mut self, now: u64) -> bool {
        let all =
            self.read.iter().flat_map(|(path, groups)| groups.iter().map(move |(group, read)| (path, group, read)));
        let oldest = all.filter(|(.., read)| read.used < now).min_by_key(|(.., read)| read.used);
        let Some((path, group)) = oldest.map(|(path, group, _)| (path.clone(), *group)) else { return false };
        let groups = self.read.get_mut::<Path>(&path).expect("it was found there");
        self.read_bytes -= groups.remove(&group).map_or(0, |read| read.keys.bytes());
        if groups.is_empty() {
            self.read.remove::<Path>(&path);
        }
        true
    }
}

/// Moves those of the rows `late` of an asset that are among `keys` to `found`.
fn settle(asset: u32, late: &mut Vec<RowKey>, keys: &PackedKeys, found: &mut HashSet<(u32, RowKey)>) {
    found.extend(late.extract_if(.., |key| keys.contains(asset, *key)).map(|key| (asset, key)));
}

fn read_keys(segment: &SegmentFile, group: Option<usize>, codes: &mut Codes<'_>) -> Result<PackedKeys, ParquetError> {
    let shape = codes.profile.shape();
    let Some(group) = group else { return Ok(packed_keys(&salvage::read_keys(segment, shape)?, shape, codes)) };
    let builder = ParquetRecordBatchReaderBuilder::try_new(segment.open()?)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), sort_columns(shape).iter().copied());
    let reader = builder.with_projection(mask).with_row_groups(vec![group]).with_batch_size(65_536).build()?;
    let chunks = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(packed_keys(&chunks, shape, codes))
}

fn packed_keys(chunks: &[RecordBatch], shape: Shape, codes: &mut Codes<'_>) -> PackedKeys {
    let mut keys = Vec::with_capacity(chunks.iter().map(RecordBatch::num_rows).sum());
    for chunk in chunks {
        for_each_sealed_key(chunk, shape, codes, |asset, key| keys.push((asset, key)));
    }
    PackedKeys::new(&keys)
}

/// Calls `each` with the code of the asset and the key of every row of a chunk that was read from a segment.
pub(crate) fn for_each_sealed_key(
    chunk: &RecordBatch,
    shape: Shape,
    codes: &mut Codes<'_>,
    mut each: impl FnMut(u32, RowKey),
) {
    let texts = |name: &str| -> Vec<&str> {
        let column = chunk.column_by_name(name).filter(|_| name == "asset" || shape == Shape::Changes);
        let Some(column) = column.and_then(|column| column.as_dictionary_opt::<Int32Type>()) else { return Vec::new() };
        column.values().as_string::<i32>().iter().map(Option::unwrap_or_default).collect()
    };
    let (assets, profile) = (&mut codes.assets, codes.profile);
    let code = |text: &&str| text.parse().map_or(u32::MAX, |asset| assets.code(&asset));
    let assets: Vec<u32> = texts("asset").iter().map(code).collect();
    let place = |text: &&str| profile.signal_index(text).unwrap_or(u16::MAX);
    let signals: Vec<u16> = texts("signal").iter().map(place).collect();
    for_each_key(chunk, shape, |code, (signal, time, sequence)| {
        let signal = signals.get(usize::from(signal)).copied().unwrap_or(0);
        each(assets[code as usize], (signal, time, sequence));
    });
}
