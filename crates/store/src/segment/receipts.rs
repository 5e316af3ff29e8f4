//! When the rows of a segment came in: whether it is worth reading for those who follow what comes in.

use model::Timestamp;

use super::SegmentFile;

impl SegmentFile {
    /// Whether rows may be in it that came in after `after` and until `until`.
    pub fn may_hold(&self, after: Timestamp, until: Timestamp) -> bool {
        self.stored.received_ns.is_none_or(|(min, max)| after.nanos() < max && min <= until.nanos())
    }

    /// About how many of its rows came in after `after` and until `until`, as if they had come in evenly.
    pub(crate) fn rows_received_about(&self, after: Timestamp, until: Timestamp) -> u64 {
        let Some((min, max)) = self.stored.received_ns else { return self.rows };
        if !self.may_hold(after, until) {
            return 0;
        }
        let (from, to) = (after.nanos().max(min), until.nanos().min(max));
        let part = (to as f64 - from as f64) / (max as f64 - min as f64).max(1.0);
        (self.rows as f64 * part.clamp(0.0, 1.0)).ceil() as u64
    }

    /// When its last row came in, if that is known.
    pub(crate) fn received_max(&self) -> Option<Timestamp> {
        self.stored.received_ns.map(|(_, max)| Timestamp::from_nanos(max))
    }
}
