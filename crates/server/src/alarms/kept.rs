//! What is kept of alarms, read by spans of receipts. Must not know who reads it.

use diagnosis::{Happened, Record, records};
use model::{Rows, Timestamp};
use store::{ReceivedRows, ReceivedSpan, TableSnapshot};

/// The end of a span of receipts that begins `after`, ends at `until` at the latest, and holds about `rows_max` rows of `tables`,
/// if one receipt does not hold more.
pub(crate) fn span<'a>(
    tables: &(impl Iterator<Item = &'a TableSnapshot> + Clone),
    after: Timestamp,
    until: Timestamp,
    rows_max: u64,
) -> Timestamp {
    let mut until = until;
    let rows = |until| tables.clone().map(|table| table.rows_received_about(after, until)).sum::<u64>();
    while rows(until) > rows_max {
        let middle = until.nanos().midpoint(after.nanos());
        if middle <= after.nanos() {
            break;
        }
        until = Timestamp::from_nanos(middle);
    }
    until
}

/// The rows of `table` that came in after `after`, until `until`.
pub(crate) fn read(table: &TableSnapshot, after: Timestamp, until: Timestamp) -> Result<ReceivedRows, String> {
    let span = ReceivedSpan { after, until, behind: None, is_wanted: &|_| true, rows_max: u32::MAX as usize };
    table.received(&span).map_err(|error| format!("{error}: {}", error.source))
}

/// What was kept of alarms in such a span, with its receipts, in the order in which it was.
pub(crate) fn kept(
    table: &TableSnapshot,
    after: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Timestamp, Record)>, String> {
    let found = read(table, after, until)?;
    let Rows::Frames(frames) = &found.rows else { return Ok(Vec::new()) };
    let mut kept: Vec<(Timestamp, Record)> = found
        .received
        .iter()
        .zip(records(&found.profile, frames))
        .filter_map(|(received, record)| Some((*received, record?)))
        .collect();
    // What is raised comes before what is said of it.
    kept.sort_by_key(|(received, record)| (*received, record.time, !matches!(record.happened, Happened::Raised(_))));
    Ok(kept)
}
