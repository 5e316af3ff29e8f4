//! What readers get: all rows at one moment, as segments and chunks in memory. Holds no lock and sees no later row.

use std::ops::Bound;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::{AssetId, Observation, Profile, Timestamp};

use crate::generation::Generation;
use crate::latest::Latest;
use crate::segment::SegmentFile;
use crate::state::{State, Table};

/// What one asset said last of a few signals.
#[derive(Debug, Clone, PartialEq)]
pub struct LatestFew {
    /// The asset.
    pub asset: AssetId,
    /// One for each signal that was asked for, and when it came in; none where it never spoke of it.
    pub said: Box<[Option<(Observation, Timestamp)>]>,
}

/// All tables at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// In the order of their profiles' names.
    pub tables: Vec<TableSnapshot>,
    /// When the last batch came in: all rows that came in until then are here, and every other one comes in later.
    pub received: Timestamp,
}

/// All rows of one profile at one moment.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The union of all profiles of that name.
    pub profile: Arc<Profile>,
    /// The schema of `rows`; segments may have fewer columns.
    pub schema: SchemaRef,
    /// Rows in files, which stay there as long as somebody holds them.
    pub segments: Vec<Arc<SegmentFile>>,
    /// Rows that are in no segment.
    pub rows: Vec<RecordBatch>,
    /// The assets that are known of it.
    pub assets: Vec<AssetId>,
}

pub(crate) fn of(state: &mut State) -> Snapshot {
    let table = |table: &mut Table| {
        table.cut();
        let chunks = table.sealing.iter().chain([&table.hot]).flat_map(Generation::chunks);
        TableSnapshot {
            profile: Arc::clone(table.profile()),
            schema: Arc::clone(table.schema()),
            segments: table.segments().to_vec(),
            rows: chunks.cloned().collect(),
            assets: table.assets().ids().to_vec(),
        }
    };
    Snapshot { received: state.received(), tables: state.tables.values_mut().map(table).collect() }
}

/// The latest values of the assets that `is_wanted`, from `from` on, a profile and a place in the order in which its
/// assets came, until there are `values_max`; and where the rest begins.
pub(crate) fn current_page(
    state: &State,
    from: (&str, u32),
    values_max: usize,
    is_wanted: &dyn Fn(&AssetId) -> bool,
) -> (Vec<Latest>, Option<(Box<str>, u32)>) {
    let mut page = Vec::new();
    for (profile, table) in state.tables.range::<str, _>((Bound::Included(from.0), Bound::Unbounded)) {
        let first = if **profile == *from.0 { from.1 } else { 0 };
        for (code, id) in (0..).zip(table.assets().ids()).skip(first as usize).filter(|(_, id)| is_wanted(id)) {
            if page.len() >= values_max {
                return (page, Some((profile.clone(), code)));
            }
            page.extend(table.current(code).map(|(observation, received)| Latest {
                asset: id.clone(),
                profile: Arc::clone(table.profile()),
                observation,
                received,
            }));
        }
    }
    (page, None)
}

pub(crate) fn current(state: &State, asset: Option<&AssetId>) -> Vec<Latest> {
    let mut all = Vec::new();
    for table in state.tables.values() {
        let codes = match asset {
            Some(asset) => table.assets().known(asset).map_or(0..0, |code| code..code + 1),
            None => 0..table.assets().ids().len() as u32,
        };
        for code in codes {
            let id = &table.assets().ids()[code as usize];
            all.extend(table.current(code).map(|(observation, received)| Latest {
                asset: id.clone(),
                profile: Arc::clone(table.profile()),
                observation,
                received,
            }));
        }
    }
    all
}

/// What at most `assets_max` assets of `profile`, from the place `from` on, said last of `signals`.
pub(crate) fn current_few(
    state: &State,
    profile: &str,
    signals: &[&str],
    from: usize,
    assets_max: usize,
) -> Vec<LatestFew> {
    let Some(table) = state.tables.get(profile) else { return Vec::new() };
    let places: Vec<_> = signals.iter().map(|signal| table.profile().signal_index(signal)).collect();
    let few = |(code, asset): (u32, &AssetId)| LatestFew {
        asset: asset.clone(),
        said: places.iter().map(|place| table.current_one(code, (*place)?)).collect(),
    };
    (0..).zip(table.assets().ids()).skip(from).take(assets_max).map(few).collect()
}
