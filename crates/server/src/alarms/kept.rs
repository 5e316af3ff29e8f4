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

/// The rows of `table` that came in after `after`, until `until`; in parts, where they are of more assets than rows can be about at
/// once.
pub(crate) fn read(table: &TableSnapshot, after: Timestamp, until: Timestamp) -> Result<Vec<ReceivedRows>, String> {
    let mut parts: Vec<ReceivedRows> = Vec::new();
    loop {
        let behind = parts.last().and_then(ReceivedRows::last_place);
        let span =
            ReceivedSpan { behind: behind.as_ref(), ..ReceivedSpan::new((after, until), &|_| true, u32::MAX as usize) };
        let part = table.received(&span).map_err(|error| format!("{error}: {}", error.source))?;
        let is_all = part.is_all;
        parts.push(part);
        if is_all {
            return Ok(parts);
        }
    }
}

/// What was kept of alarms in such a span, with its receipts, in the order in which it was.
pub(crate) fn kept(
    table: &TableSnapshot,
    after: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Timestamp, Record)>, String> {
    let mut kept: Vec<(Timestamp, Record)> = Vec::new();
    for part in read(table, after, until)? {
        let Rows::Frames(frames) = &part.rows else { continue };
        let found = part.received.iter().zip(records(&part.profile, frames));
        kept.extend(found.filter_map(|(received, record)| Some((*received, record?))));
    }
    // What is raised comes before what is said of it.
    kept.sort_by_key(|(received, record)| (*received, record.time, !matches!(record.happened, Happened::Raised(_))));
    Ok(kept)
}
