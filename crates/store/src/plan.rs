//! What is worth doing with segments: which to merge, which to forget. Decides, and does nothing.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::merge::READ_ROWS;
use crate::segment::{Effort, ROW_GROUP_BYTES, ROW_GROUP_ROWS, SegmentFile, day_of};

/// Values of one segment at most, so that it can be read, copied and merged again in reasonable time.
pub(crate) const VALUES_MAX: u64 = 1 << 30;
/// Segments that are merged at least, however large they are: with one at a time nothing would ever be merged.
const INPUTS_MIN: usize = 2;
/// So much larger is what was written than what is in the file, but for texts that repeat: most of it is packed, and
/// packed numbers do not become much smaller.
const UNCOMPRESSED_TIMES: u64 = 4;
/// Bytes of a value that was read: as the file has it, and as the table has it.
const VALUE_BYTES: u64 = 24;
/// So many small segments of a day that is not over are merged.
const FRESH_MAX: usize = 8;
/// How much later than its end a day counts as over: most of what is late has come by then.
const SETTLE_NANOS: i64 = 2 * 3_600_000_000_000;
/// What came late to a day that is over is merged into it when it is more than this part of it.
const LATE_PART: u64 = 8;

/// How long what is kept.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What is forgotten; nothing by default.
    pub retention: Vec<Retention>,
    /// What is kept in any case.
    pub holds: Vec<Hold>,
}

/// When rows of a profile are forgotten: whole segments at a time, the oldest first.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The profile; each of them if none is named.
    pub profile: Option<Box<str>>,
    /// Segments whose latest row is older are forgotten.
    pub age_max: Option<Duration>,
    /// The oldest segments beyond so many bytes are forgotten, profile by profile.
    pub bytes_max: Option<u64>,
}

/// Rows that retention spares: somebody needs them, whatever the rules say.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The profile; each of them if none is named.
    pub profile: Option<Box<str>>,
    /// From this source time on.
    pub from: Timestamp,
    /// Up to this source time.
    pub until: Timestamp,
}

/// The segments that `plan` no longer wants at `now`.
pub(crate) fn expired<'a>(
    tables: impl Iterator<Item = (&'a str, &'a [Arc<SegmentFile>])>,
    plan: &Plan,
    now: Timestamp,
) -> Vec<Arc<SegmentFile>> {
    let mut expired = Vec::new();
    for (profile, segments) in tables {
        let concerns = |named: &Option<Box<str>>| named.as_deref().is_none_or(|named| named == profile);
        let is_held = |segment: &SegmentFile| {
            let holds = plan.holds.iter().filter(|hold| concerns(&hold.profile));
            holds.into_iter().any(|hold| segment.time_max >= hold.from && segment.time_min <= hold.until)
        };
        let mut oldest_first: Vec<&Arc<SegmentFile>> = segments.iter().collect();
        oldest_first.sort_by_key(|segment| (segment.time_max, segment.time_min));
        let mut bytes: u64 = segments.iter().map(|segment| segment.stored().bytes_in_all()).sum();
        for segment in oldest_first {
            let is_unwanted = |retention: &Retention| {
                let nanos = |age: Duration| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
                let is_old = |age| segment.time_max.nanos() < now.nanos().saturating_sub(nanos(age));
                retention.age_max.is_some_and(is_old) || retention.bytes_max.is_some_and(|bytes_max| bytes > bytes_max)
            };
            let mut retention = plan.retention.iter().filter(|retention| concerns(&retention.profile));
            if retention.any(is_unwanted) && !is_held(segment) {
                bytes -= segment.stored().bytes_in_all();
                expired.push(Arc::clone(segment));
            }
        }
    }
    expired
}

/// The first day that is not over at `now`.
pub(crate) fn settled_before(now: Timestamp) -> i64 {
    day_of(now.nanos().saturating_sub(SETTLE_NANOS))
}

/// What a merge is made of: segments of one profile, and with how much effort.
pub(crate) type Merge = (Vec<Arc<SegmentFile>>, Effort);

/// What limits a merge: how many columns the table has, and how many bytes its inputs may take in memory together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) columns: usize,
    pub(crate) bytes_max: u64,
}

impl Bounds {
    fn values(self, segment: &SegmentFile) -> u64 {
        segment.rows.saturating_mul(self.columns as u64)
    }

    /// About how many bytes a segment takes while it is read: a row group as it was before it was compressed, and of each
    /// column the rows that are taken from it next.
    fn bytes(self, segment: &SegmentFile) -> u64 {
        let row_group = segment.bytes.saturating_mul(UNCOMPRESSED_TIMES);
        let row_group = row_group / segment.rows.div_ceil(ROW_GROUP_ROWS as u64).max(1);
        let taken = segment.rows.min(READ_ROWS as u64) * self.columns as u64 * VALUE_BYTES;
        row_group.min(ROW_GROUP_BYTES as u64) + taken
    }

    /// The first of `segments` that may be merged at once, and with `effort` if that is all of them. Else what comes of
    /// them is merged again with others: quickly, and only of those that are not full, or there would be no end to it.
    fn first_of(self, segments: Vec<Arc<SegmentFile>>, effort: Effort) -> Merge {
        let fitting = |segments: &[Arc<SegmentFile>]| {
            let mut bytes = 0;
            let fit = segments.iter().take_while(|segment| {
                bytes += self.bytes(segment);
                bytes <= self.bytes_max
            });
            fit.count().max(INPUTS_MIN).min(segments.len())
        };
        let count = fitting(&segments);
        if count == segments.len() {
            return (segments, effort);
        }
        let open: Vec<_> = segments.iter().filter(|segment| self.values(segment) < VALUES_MAX / 4).cloned().collect();
        if open.len() < INPUTS_MIN {
            return (segments[..count].to_vec(), effort);
        }
        (open[..fitting(&open)].to_vec(), Effort::Quick)
    }
}

/// Segments of one profile that are worth merging when days before `settled_before` are over.
pub(crate) fn next_merge(segments: &[Arc<SegmentFile>], bounds: Bounds, settled_before: i64) -> Option<Merge> {
    days(segments, bounds).into_iter().find_map(|(day, segments)| {
        let (settled, fresh): (Vec<_>, Vec<_>) = segments.into_iter().partition(|segment| segment.stored().settled);
        let rows = |segments: &[Arc<SegmentFile>]| segments.iter().map(|segment| segment.rows).sum::<u64>();
        if day < settled_before {
            let pays = fresh.len() >= FRESH_MAX || rows(&fresh) * LATE_PART >= rows(&settled);
            let worth_it = !fresh.is_empty() && pays;
            return worth_it.then(|| bounds.first_of(fresh.into_iter().chain(settled).collect(), Effort::Thorough));
        }
        // The smallest ones, as long as each is not larger than all before it together: a row is written again only
        // when the segment that it is in has doubled.
        let mut all = [fresh, settled].concat();
        all.sort_by_key(|segment| segment.rows);
        let mut sum = 0;
        let similar = all.iter().enumerate().take_while(|(place, segment)| {
            let fits = *place < FRESH_MAX || segment.rows <= sum;
            sum += segment.rows;
            fits
        });
        let similar = similar.count();
        all.truncate(similar);
        (all.len() >= FRESH_MAX).then(|| bounds.first_of(all, Effort::Quick))
    })
}

/// Segments of one profile that are not yet as small as can be.
pub(crate) fn next_merge_of_all(segments: &[Arc<SegmentFile>], bounds: Bounds) -> Option<Merge> {
    let mut days = days(segments, bounds).into_iter();
    days.find_map(|(_, segments)| {
        let has_fresh = segments.iter().any(|segment| !segment.stored().settled);
        (has_fresh || segments.len() > 1).then(|| bounds.first_of(segments, Effort::Thorough))
    })
}

/// The segments of each day that may be merged: those that are not full already.
fn days(segments: &[Arc<SegmentFile>], bounds: Bounds) -> Vec<(i64, Vec<Arc<SegmentFile>>)> {
    let is_full = |segment: &SegmentFile| segment.stored().settled && bounds.values(segment) >= VALUES_MAX / 4;
    let mut open: Vec<_> = segments.iter().filter(|segment| !is_full(segment)).cloned().collect();
    // In the order in which they were made: of rows with the same key the first one stays.
    open.sort_by(|one, other| (one.stored().day(), &one.path).cmp(&(other.stored().day(), &other.path)));
    let by_day = open.chunk_by(|one, other| one.stored().day() == other.stored().day());
    by_day.map(|segments| (segments[0].stored().day(), segments.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::segment::Segment;

    /// A segment of `day`, made as number `number`.
    fn segment(number: u32, rows: u64, bytes: u64, settled: bool) -> Segment {
        let file = format!("{number:012}.parquet").into();
        let (time_min_ns, time_max_ns, checks, rollups) = (0, 0, None, Vec::new());
        Segment { file, rows, bytes, time_min_ns, time_max_ns, received_ns: None, checks, settled, rollups }
    }

    /// Merges until there is nothing left to do; how many inputs each merge had, and how many segments are left.
    fn merged(
        mut kept: Vec<Segment>,
        bounds: Bounds,
        next: impl Fn(&[Arc<SegmentFile>]) -> Option<Merge>,
    ) -> (Vec<usize>, usize) {
        let (mut counts, mut number) = (Vec::new(), 1_000);
        loop {
            let file = |segment: &Segment| Arc::new(SegmentFile::new(Path::new(""), segment.clone()));
            let Some((inputs, effort)) = next(&kept.iter().map(file).collect::<Vec<_>>()) else {
                return (counts, kept.len());
            };
            let bytes: u64 = inputs.iter().map(|input| bounds.bytes(input)).sum();
            assert!(bytes <= bounds.bytes_max || inputs.len() <= INPUTS_MIN, "{bytes} bytes of {}", inputs.len());
            assert!(counts.len() < 1_000, "there is no end to it: {counts:?}");
            counts.push(inputs.len());
            kept.retain(|segment| inputs.iter().all(|input| input.stored() != segment));
            let mut rows: u64 = inputs.iter().map(|input| input.rows).sum();
            let bytes_of_row = inputs.iter().map(|input| input.bytes).sum::<u64>() / rows;
            while rows > 0 {
                let now = rows.min(VALUES_MAX / bounds.columns as u64);
                number += 1;
                kept.push(segment(number, now, now * bytes_of_row, effort == Effort::Thorough));
                rows -= now;
            }
        }
    }

    #[test]
    fn a_fast_fleet_is_merged_some_segments_at_a_time() {
        let bounds = Bounds { columns: 64, bytes_max: 256 << 20 };
        let all = |files: &[Arc<SegmentFile>]| next_merge_of_all(files, bounds);
        let over = |files: &[Arc<SegmentFile>]| next_merge(files, bounds, 1);
        let fresh = |count| (0..count).map(|number| segment(number, 262_144, 8 << 20, false)).collect::<Vec<_>>();
        assert_eq!(merged(fresh(13), bounds, all), (vec![13], 1));
        assert_eq!(merged(fresh(40), bounds, all), (vec![13, 13, 13, 4], 1));
        assert_eq!(merged(fresh(40), bounds, over), (vec![13, 13, 13, 4], 1));
        // What is small is merged all at once.
        let small: Vec<_> = (0..90).map(|number| segment(number, 100, 10_000, false)).collect();
        assert_eq!(merged(small, bounds, all), (vec![90], 1));
    }

    #[test]
    fn merging_comes_to_an_end_however_large_segments_are() {
        let bounds = Bounds { columns: 64, bytes_max: 1 << 20 };
        let full = VALUES_MAX / 64;
        for rows in [full / 100, full / 3, full - 1, full] {
            for settled in [false, true] {
                let is_settled = |number: u32| settled && number.is_multiple_of(2);
                let kept = (0..9).map(|number| segment(number, rows, 1 << 30, is_settled(number)));
                let kept: Vec<_> = kept.collect();
                let (counts, left) = merged(kept.clone(), bounds, |files| next_merge_of_all(files, bounds));
                assert!(counts.iter().all(|count| *count <= INPUTS_MIN) && left <= 9, "{rows}: {counts:?}, {left}");
                merged(kept, bounds, |files| next_merge(files, bounds, 1));
            }
        }
    }
}
