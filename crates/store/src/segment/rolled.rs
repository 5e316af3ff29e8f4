//! The roll-ups of a segment while it is written: each goes to a file of its own, if it pays. Knows no segments but the one
//! whose rows it is given.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use model::Profile;

use super::file::{Effort, FileWriter};
use super::{Place, Rollup, SegmentError, begin, end, unwritten};
use crate::disk::NewFile;
use crate::rollup::RollupBuilder;

/// A roll-up is kept where it has at most one row for so many of the segment.
const ROLLUP_ROWS_PER_ROW: u64 = 10;

/// Writes one roll-up of a segment; nothing is left of it if it turns out not to pay.
pub(super) struct RollupWriter<'a> {
    bucket_secs: u32,
    file: PathBuf,
    /// `None` when it has turned out not to pay.
    builder: Option<RollupBuilder>,
    writer: Option<FileWriter<NewFile<'a>>>,
    rows: u64,
}

impl<'a> RollupWriter<'a> {
    /// A roll-up of `profile` in the file `file`, relative to the data directory.
    pub(super) fn new(profile: &Profile, bucket_secs: u32, file: PathBuf) -> Self {
        let builder = Some(RollupBuilder::new(profile, bucket_secs));
        Self { bucket_secs, file, builder, writer: None, rows: 0 }
    }

    /// Takes in rows of a segment that has at most `rows_max`.
    pub(super) fn add(
        &mut self,
        place: Place<'a>,
        effort: Effort,
        rows: &RecordBatch,
        rows_max: u64,
    ) -> Result<(), SegmentError> {
        let Some(builder) = &mut self.builder else { return Ok(()) };
        // Vehicles that report every ten seconds never fill a minute: their rows are not summed up in vain.
        if (self.rows + builder.buckets_with(rows) as u64).saturating_mul(ROLLUP_ROWS_PER_ROW) > rows_max {
            (self.builder, self.writer) = (None, None);
            return Ok(());
        }
        match builder.add(rows) {
            Some(rolled) => self.write(place, effort, &rolled),
            None => Ok(()),
        }
    }

    fn write(&mut self, place: Place<'a>, effort: Effort, rolled: &RecordBatch) -> Result<(), SegmentError> {
        self.rows += rolled.num_rows() as u64;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                self.writer.insert(begin(place, &self.file, &rolled.schema(), &["asset", "time"], effort, Vec::new())?)
            }
        };
        writer.write(rolled).map_err(|source| unwritten(&place.dir.join(&self.file), source))
    }

    /// Ends it after `rows` rows of the segment; `None` where it does not pay.
    pub(super) fn finish(
        mut self,
        place: Place<'a>,
        effort: Effort,
        rows: u64,
    ) -> Result<Option<Rollup>, SegmentError> {
        let Some(mut builder) = self.builder.take() else { return Ok(None) };
        let rest = builder.finish();
        if (self.rows + rest.num_rows() as u64) * ROLLUP_ROWS_PER_ROW > rows {
            return Ok(None);
        }
        self.write(place, effort, &rest)?;
        let Self { bucket_secs, file, writer, rows, .. } = self;
        let Some(writer) = writer else { return Ok(None) };
        let (bytes, checks) = end(place, &file, writer)?;
        Ok(Some(Rollup { file, bucket_secs, rows, bytes, checks }))
    }
}
