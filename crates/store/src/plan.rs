//! What is worth doing with segments: which to merge, which to forget. Decides, and does nothing.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::segment::{Effort, SegmentFile, day_of};

/// Values of one segment at most, so that it can be read, copied and merged again in reasonable time.
pub(crate) const VALUES_MAX: u64 = 1 << 30;
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

/// Segments of one profile of so many columns that are worth merging when days before `settled_before` are over, and
/// with how much effort.
pub(crate) fn next_merge(
    segments: &[Arc<SegmentFile>],
    columns: usize,
    settled_before: i64,
) -> Option<(Vec<Arc<SegmentFile>>, Effort)> {
    days(segments, columns).into_iter().find_map(|(day, segments)| {
        let (settled, fresh): (Vec<_>, Vec<_>) = segments.into_iter().partition(|segment| segment.stored().settled);
        let rows = |segments: &[Arc<SegmentFile>]| segments.iter().map(|segment| segment.rows).sum::<u64>();
        if day < settled_before {
            let pays = fresh.len() >= FRESH_MAX || rows(&fresh) * LATE_PART >= rows(&settled);
            let worth_it = !fresh.is_empty() && pays;
            return worth_it.then(|| (fresh.into_iter().chain(settled).collect(), Effort::Thorough));
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
        (all.len() >= FRESH_MAX).then_some((all, Effort::Quick))
    })
}

/// Segments of one profile of so many columns that are not yet as small as can be.
pub(crate) fn next_merge_of_all(
    segments: &[Arc<SegmentFile>],
    columns: usize,
) -> Option<(Vec<Arc<SegmentFile>>, Effort)> {
    let mut days = days(segments, columns).into_iter();
    days.find_map(|(_, segments)| {
        let has_fresh = segments.iter().any(|segment| !segment.stored().settled);
        (has_fresh || segments.len() > 1).then_some((segments, Effort::Thorough))
    })
}

/// The segments of each day that may be merged: those that are not full already.
fn days(segments: &[Arc<SegmentFile>], columns: usize) -> Vec<(i64, Vec<Arc<SegmentFile>>)> {
    let is_full = |segment: &SegmentFile| segment.stored().settled && segment.rows * columns as u64 >= VALUES_MAX / 4;
    let mut open: Vec<_> = segments.iter().filter(|segment| !is_full(segment)).cloned().collect();
    // In the order in which they were made: of rows with the same key the first one stays.
    open.sort_by(|one, other| (one.stored().day(), &one.path).cmp(&(other.stored().day(), &other.path)));
    let by_day = open.chunk_by(|one, other| one.stored().day() == other.stored().day());
    by_day.map(|segments| (segments[0].stored().day(), segments.to_vec())).collect()
}
