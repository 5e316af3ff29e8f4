//! What waits to be told to somebody, read from what is kept of alarms. Must not know how it is told.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use store::{Snapshot, Store};

use super::message::{Entry, said};
use super::place::Key;
use super::selection::Selection;
use crate::alarms::kept::{kept, span};
use crate::alarms::{Alarms, NAME};

/// About as many rows are read at once.
const SPAN_ROWS: u64 = 5_000;
/// What one message tells at most.
const ENTRIES_MAX: usize = 500;
/// As bytes.
const BYTES_MAX: usize = 1 << 20;
/// A record counts when the alarm is known to be as it says; this long after it was kept at the latest.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What is to be told, in order, with where each stands.
    pub(crate) entries: Vec<(Key, Entry)>,
    /// Whether they fill a message.
    pub(crate) is_full: bool,
    /// What is before that is not told.
    pub(crate) behind: Key,
}

/// See the module.
pub(crate) struct Reader {
    pub(crate) target: String,
    pub(crate) selection: Selection,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) store: Arc<Store>,
}

impl Reader {
    /// The first records that are told of those behind `behind`, as many as one message can tell.
    ///
    /// # Errors
    /// When what is kept does not read.
    pub(crate) async fn waiting(&self, behind: &Key) -> Result<Waiting, String> {
        let mut found = Waiting { entries: Vec::new(), is_full: false, behind: behind.clone() };
        let mut bytes = 0;
        let after = i64::try_from(self.selection.after.as_nanos()).unwrap_or(i64::MAX);
        let now = self.alarms.now();
        // In this order: what is in the snapshot is then all that came in until then.
        let received = self.store.received();
        let snapshot = self.store.snapshot();
        let end = if after == 0 { received } else { received.min(now.plus_nanos(-after)) };
        let looked_at = self.alarms.health().place;
        let mut seen = behind.received().plus_nanos(-1);
        while seen < end {
            let (records, until) = records(&snapshot, seen, end).await?;
            for (received, record) in records {
                let key = Key::of(received, &record);
                if key <= *behind {
                    continue;
                }
                let ((settled, entry), _) = self.alarms.read(|book| {
                    let alarm = book.get(record.asset.as_str(), &record.rule);
                    let settled = alarm.is_some_and(|alarm| alarm.raised() >= record.raised)
                        || looked_at >= received
                        || now > received.plus_nanos(SETTLED_AFTER.as_nanos() as i64);
                    let is_wanted = self.selection.wants(&record, alarm, now);
                    let said = said(&record, alarm).filter(|_| is_wanted);
                    (settled, said.map(|said| Entry::new(&self.target, received, &record, said)))
                });
                if !settled {
                    return Ok(found);
                }
                match entry {
                    Some(entry) => {
                        bytes += entry.bytes();
                        if !found.entries.is_empty() && bytes > BYTES_MAX {
                            found.is_full = true;
                            return Ok(found);
                        }
                        found.entries.push((key, entry));
                        if found.entries.len() >= ENTRIES_MAX {
                            found.is_full = true;
                            return Ok(found);
                        }
                    }
                    None if found.entries.is_empty() => found.behind = key,
                    None => {}
                }
            }
            seen = until;
            if found.entries.is_empty() {
                found.behind = found.behind.max(Key::behind(until));
            }
        }
        Ok(found)
    }

    /// About how many records there are behind `behind`, whether they are told or not.
    pub(crate) fn about(&self, behind: &Key) -> u64 {
        let snapshot = self.store.snapshot();
        let tables = snapshot.tables.iter().filter(|table| table.profile.id() == NAME);
        tables.map(|table| table.rows_received_about(behind.received(), Timestamp::MAX)).sum()
    }
}

/// Records that came in after `after`: all of them until `until`, or until a time before, which is told.
async fn records(
    snapshot: &Snapshot,
    after: Timestamp,
    until: Timestamp,
) -> Result<(Vec<(Timestamp, diagnosis::Record)>, Timestamp), String> {
    let Some(table) = snapshot.tables.iter().find(|table| table.profile.id() == NAME) else {
        return Ok((Vec::new(), until));
    };
    let until = span(&std::iter::once(table), after, until, SPAN_ROWS);
    if table.rows_received_about(after, until) == 0 {
        return Ok((Vec::new(), until));
    }
    let table = table.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut records = kept(&table, after, until)?;
        records.sort_by_cached_key(|(received, record)| Key::of(*received, record));
        Ok::<_, String>(records)
    });
    Ok((read.await.map_err(|error| error.to_string())??, until))
}
