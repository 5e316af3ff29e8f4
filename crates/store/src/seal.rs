//! Sealing: hot rows become segments. A job holds everything it needs, runs beside the writer, and may be run again
//! after a failure; only the manifest that the writer commits afterwards makes its outcome count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::Profile;

use crate::checkpoint;
use crate::generation::{Generation, joined};
use crate::segment::{self, Segment, SegmentError};
use crate::state::State;

/// Rows of one profile to be written.
#[derive(Debug, Clone)]
struct SealTable {
    profile: Arc<Profile>,
    schema: SchemaRef,
    chunks: Vec<RecordBatch>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct SealJob {
    tables: Vec<SealTable>,
    latest: Vec<u8>,
    segment_next: u64,
    pub(crate) log_first: u64,
    pub(crate) cursors: BTreeMap<String, String>,
}

/// What a job wrote.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) segments: Vec<(Box<str>, Segment)>,
    pub(crate) latest: PathBuf,
    pub(crate) segment_next: u64,
}

impl SealJob {
    /// Sets the hot rows of `state` aside, which stand in log files before `log_first`.
    pub(crate) fn begin(state: &mut State, log_first: u64, segment_next: u64) -> Self {
        let latest = checkpoint::encode(state);
        let cursors = state.cursors.iter().map(|(source, position)| (source.to_string(), position.to_string()));
        let cursors = cursors.collect();
        let mut tables = Vec::new();
        for table in state.tables.values_mut().filter(|table| table.hot.rows() > 0) {
            table.cut();
            let empty = Generation::new(table.profile());
            let sealing = std::mem::replace(&mut table.hot, empty);
            tables.push(SealTable {
                profile: Arc::clone(table.profile()),
                schema: Arc::clone(table.schema()),
                chunks: sealing.chunks().to_vec(),
            });
            assert!(table.sealing.replace(sealing).is_none(), "one generation is sealed at a time");
        }
        Self { tables, latest, segment_next, log_first, cursors }
    }

    /// Writes everything below `dir` and syncs it.
    ///
    /// # Errors
    /// When the disk refuses. Files that were made do not count, and the next run replaces them.
    pub(crate) fn run(&self, dir: &Path) -> Result<Sealed, SegmentError> {
        let mut segment_next = self.segment_next;
        let mut segments = Vec::new();
        for table in &self.tables {
            let rows = joined(&table.schema, &table.chunks);
            segments.push((table.profile.id().into(), segment::write(dir, segment_next, &table.profile, &rows)?));
            segment_next += 1;
        }
        let latest = Path::new("latest").join(format!("{segment_next:012}.log"));
        let path = dir.join(&latest);
        checkpoint::write(&path, &self.latest).map_err(|source| SegmentError::File {
            operation: "write the latest values to",
            path,
            source,
        })?;
        Ok(Sealed { segments, latest, segment_next: segment_next + 1 })
    }
}
