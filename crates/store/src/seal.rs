//! Sealing: hot rows become segments. A job holds everything it needs, runs beside the writer, and may be run again
//! after a failure; only the manifest that the writer commits afterwards makes its outcome count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use model::{Profile, Shape};

use crate::checkpoint;
use crate::generation::{Generation, joined};
use crate::segment::{self, Effort, Numbers, Place, Segment, SegmentError, SegmentWriter};
use crate::state::State;

/// Days that one job makes segments of their own for; what is older goes into one together.
const DAYS_MAX: usize = 32;

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
    numbers: Arc<Numbers>,
    pub(crate) log_first: u64,
    pub(crate) cursors: BTreeMap<String, String>,
}

/// What a job wrote.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) segments: Vec<(Box<str>, Segment)>,
    pub(crate) latest: PathBuf,
}

impl SealJob {
    /// Sets the hot rows of `state` aside, which stand in log files before `log_first`.
    pub(crate) fn begin(state: &mut State, log_first: u64, numbers: Arc<Numbers>) -> Self {
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
        Self { tables, latest, numbers, log_first, cursors }
    }

    /// Writes everything and syncs it.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left behind then.
    pub(crate) fn run(&self, place: Place<'_>) -> Result<Sealed, SegmentError> {
        let mut segments = Vec::new();
        let written = self.write(place, &mut segments);
        if written.is_err() {
            segment::discard(place, segments.iter().map(|(_, segment)| segment));
        }
        let latest = written?;
        Ok(Sealed { segments, latest })
    }

    /// Writes the segments, then the latest values; gives the file of the latter.
    fn write(&self, place: Place<'_>, segments: &mut Vec<(Box<str>, Segment)>) -> Result<PathBuf, SegmentError> {
        for table in &self.tables {
            let sorted = segment::sort(&table.profile, &joined(&table.schema, &table.chunks));
            for (day, rows) in by_day(&sorted) {
                let (number, profile) = (self.numbers.next(), &table.profile);
                let schema = match profile.shape() {
                    // A column of theirs is one signal; the numbers of changes are those of all signals.
                    Shape::Frames => segment::schema_of_rows(&table.schema, std::slice::from_ref(&rows)),
                    Shape::Changes => Arc::clone(&table.schema),
                };
                let writer = SegmentWriter::create(place, number, profile, &schema, day, Effort::Quick)?;
                let mut writer = writer.with_rows_max(rows.num_rows() as u64);
                writer.write(&rows)?;
                segments.push((profile.id().into(), writer.finish()?));
            }
        }
        let latest = Path::new("latest").join(format!("{:012}.log", self.numbers.next()));
        let path = place.dir.join(&latest);
        checkpoint::write(place.disk, &path, &self.latest).map_err(|source| SegmentError::File {
            operation: "write the latest values to",
            path,
            source,
        })?;
        Ok(latest)
    }
}

/// The rows of each day, the earliest first, in the order in which they stand in `sorted`.
fn by_day(sorted: &RecordBatch) -> Vec<(i64, RecordBatch)> {
    let days: Vec<i64> = segment::times(sorted).values().iter().map(|time| segment::day_of(*time)).collect();
    let mut distinct = days.clone();
    distinct.sort_unstable();
    distinct.dedup();
    match distinct.as_slice() {
        [] => return Vec::new(),
        [day] => return vec![(*day, sorted.clone())],
        _ => {}
    }
    // Source times are the sources' word: a clock that runs wild must not make thousands of files.
    let older = distinct.len().saturating_sub(DAYS_MAX - 1).max(1);
    let (together, apart) = distinct.split_at(older);
    let rows = |from: i64, to: i64| {
        let mask: BooleanArray = days.iter().map(|day| Some((from..=to).contains(day))).collect();
        let rows = filter_record_batch(sorted, &mask).expect("the mask has one place for each row");
        (from, rows)
    };
    let first = rows(together[0], together[together.len() - 1]);
    std::iter::once(first).chain(apart.iter().map(|day| rows(*day, *day))).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, TimestampNanosecondArray};

    use super::*;

    fn check(hours: &[i64], expected: &[(i64, &[i64])]) {
        let nanos = 3_600_000_000_000;
        let times = TimestampNanosecondArray::from_iter_values(hours.iter().map(|hour| hour * nanos));
        let rows = RecordBatch::try_from_iter([("time", Arc::new(times.with_timezone("UTC")) as ArrayRef)]).unwrap();
        let found = by_day(&rows);
        let hours = |rows: &RecordBatch| segment::times(rows).values().iter().map(|time| time / nanos).collect();
        let found: Vec<(i64, Vec<i64>)> = found.iter().map(|(day, rows)| (*day, hours(rows))).collect();
        assert_eq!(found, expected.iter().map(|(day, hours)| (*day, hours.to_vec())).collect::<Vec<_>>());
    }

    #[test]
    fn each_day_has_its_rows_in_order() {
        check(&[], &[]);
        check(&[1, 2, 3], &[(0, &[1, 2, 3])]);
        check(&[23, 25, -1, 1], &[(-1, &[-1]), (0, &[23, 1]), (1, &[25])]);
    }

    #[test]
    fn a_wild_clock_makes_no_thousands_of_files() {
        let hours: Vec<i64> = (0..1_000).map(|day| day * 24).collect();
        let times = TimestampNanosecondArray::from_iter_values(hours.iter().map(|hour| hour * 3_600_000_000_000));
        let rows = RecordBatch::try_from_iter([("time", Arc::new(times.with_timezone("UTC")) as ArrayRef)]).unwrap();
        let found = by_day(&rows);
        assert_eq!((found.len(), found[0].0, found[0].1.num_rows()), (DAYS_MAX, 0, 1_000 - DAYS_MAX + 1));
        assert_eq!(found.iter().map(|(_, rows)| rows.num_rows()).sum::<usize>(), 1_000);
    }
}
