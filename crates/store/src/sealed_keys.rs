//! The keys of rows that are in segments, for telling late rows from repeats. Of a segment only those row groups are read
//! that may hold a row in question; what was read is kept at hand, up to a bound. This module must not know of hot rows.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use model::{Profile, Shape, Timestamp};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::catalog::Assets;
use crate::generation::{RowKey, for_each_key};
use crate::salvage;
use crate::segment::{SegmentFile, sort_columns};

/// How many keys are kept at hand; those of one row group at least.
const KEYS_MAX: usize = 1 << 20;
/// How many segments are known by the bounds of their row groups.
const SEGMENTS_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SealedKeys {
    bounds: HashMap<PathBuf, Arc<[Bounds]>>,
    /// Those that were wanted last come first.
    read: VecDeque<(PathBuf, Option<usize>, SortedKeys)>,
}

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

    fn cover(&self, asset: &str, time: Timestamp) -> bool {
        self.times.is_none_or(|(min, max)| (min..=max).contains(&time.nanos()))
            && self.assets.as_ref().is_none_or(|(min, max)| (&**min..=&**max).contains(&asset.as_bytes()))
    }
}

impl SealedKeys {
    /// Which of the rows `late` are in `segments`. A segment that does not read keeps nothing: its rows are taken again.
    pub(crate) fn find(
        &mut self,
        segments: &[Arc<SegmentFile>],
        mut late: HashSet<(u32, RowKey)>,
        codes: &mut Codes<'_>,
    ) -> HashSet<(u32, RowKey)> {
        let mut found = HashSet::new();
        for segment in segments {
            if !late.iter().any(|(_, key)| segment.covers(key.1)) {
                continue;
            }
            if let Err(error) = self.find_in(segment, &mut late, &mut found, codes) {
                let path = segment.path.display();
                tracing::error!(%path, %error, "a segment does not read; late rows are compared with what is left of it");
                segment.suspect();
                match self.keys_of(segment, None, codes) {
                    Ok(keys) => found.extend(late.extract_if(|(asset, key)| keys.contains(*asset, *key))),
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
        late: &mut HashSet<(u32, RowKey)>,
        found: &mut HashSet<(u32, RowKey)>,
        codes: &mut Codes<'_>,
    ) -> Result<(), ParquetError> {
        let bounds = match self.bounds.get(&segment.path) {
            Some(bounds) => Arc::clone(bounds),
            None => {
                let metadata = ArrowReaderMetadata::load(&segment.open()?, ArrowReaderOptions::new())?;
                let metadata: &ParquetMetaData = metadata.metadata();
                let bounds: Arc<[Bounds]> = metadata.row_groups().iter().map(Bounds::of).collect();
                if self.bounds.len() >= SEGMENTS_MAX {
                    self.bounds.clear();
                }
                self.bounds.insert(segment.path.clone(), Arc::clone(&bounds));
                bounds
            }
        };
        for (group, bounds) in bounds.iter().enumerate() {
            if late.iter().any(|(asset, key)| bounds.cover(codes.assets.ids()[*asset as usize].as_str(), key.1)) {
                let keys = self.keys_of(segment, Some(group), codes)?;
                found.extend(late.extract_if(|(asset, key)| keys.contains(*asset, *key)));
            }
        }
        Ok(())
    }

    /// The keys of a row group, or all that can be read of a damaged segment, from memory if they were wanted lately.
    fn keys_of(
        &mut self,
        segment: &SegmentFile,
        group: Option<usize>,
        codes: &mut Codes<'_>,
    ) -> Result<&SortedKeys, ParquetError> {
        let place = self.read.iter().position(|(path, known, _)| *known == group && *path == segment.path);
        let entry = match place.and_then(|place| self.read.remove(place)) {
            Some(entry) => entry,
            None => (segment.path.clone(), group, read_keys(segment, group, codes)?),
        };
        self.read.push_front(entry);
        let mut rows = 0;
        let kept = self.read.iter().take_while(|(_, _, keys)| {
            rows += keys.0.len();
            rows <= KEYS_MAX
        });
        let kept = kept.count().max(1);
        self.read.truncate(kept);
        Ok(&self.read[0].2)
    }
}

fn read_keys(segment: &SegmentFile, group: Option<usize>, codes: &mut Codes<'_>) -> Result<SortedKeys, ParquetError> {
    let shape = codes.profile.shape();
    let Some(group) = group else { return Ok(SortedKeys::new(&salvage::read_keys(segment, shape)?, shape, codes)) };
    let builder = ParquetRecordBatchReaderBuilder::try_new(segment.open()?)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), sort_columns(shape).iter().copied());
    let reader = builder.with_projection(mask).with_row_groups(vec![group]).with_batch_size(65_536).build()?;
    let chunks = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(SortedKeys::new(&chunks, shape, codes))
}

/// The sorted keys of rows, by asset code.
#[derive(Debug)]
struct SortedKeys(Vec<(u32, RowKey)>);

impl SortedKeys {
    fn new(chunks: &[RecordBatch], shape: Shape, codes: &mut Codes<'_>) -> Self {
        let mut keys = Vec::new();
        for chunk in chunks {
            for_each_sealed_key(chunk, shape, codes, |asset, key| keys.push((asset, key)));
        }
        keys.sort_unstable();
        Self(keys)
    }

    fn contains(&self, asset: u32, key: RowKey) -> bool {
        self.0.binary_search(&(asset, key)).is_ok()
    }
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
