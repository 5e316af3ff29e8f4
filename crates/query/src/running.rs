//! The queries that are being answered: to be seen, and to be ended. Knows nothing of what they ask.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::QueryError;

/// Queries at once. Servers let fewer in; this bounds what a mistake of theirs can do.
const QUERIES_MAX: usize = 1_024;
/// Bytes of a question that are kept to be shown.
const TEXT_BYTES_MAX: usize = 4_096;

/// A query that is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningQuery {
    /// Names it as long as the engine lives.
    pub id: u64,
    /// The question, cut off where it is very long.
    pub sql: String,
    /// How long it has been answered.
    pub elapsed: Duration,
    /// Rows of the answer that were fetched so far.
    pub rows: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Running {
    queries: Mutex<BTreeMap<u64, Query>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Query {
    sql: String,
    since: Instant,
    facts: Arc<Facts>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Facts {
    rows: AtomicU64,
    cancelled: AtomicBool,
}

/// Whoever waits for an answer holds one; without it the query ends.
#[derive(Debug)]
pub(crate) struct Ticket {
    id: u64,
    running: Arc<Running>,
    facts: Arc<Facts>,
}

impl Running {
    fn queries(&self) -> MutexGuard<'_, BTreeMap<u64, Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the query `sql`.
    ///
    /// # Errors
    /// When there are too many already.
    pub(crate) fn begin(
        self: &Arc<Self>,
        sql: &str,
        start: impl FnOnce() -> AbortHandle,
    ) -> Result<Ticket, QueryError> {
        let mut queries = self.queries();
        if queries.len() >= QUERIES_MAX {
            return Err(QueryError::Busy { limit: QUERIES_MAX });
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let facts = Arc::<Facts>::default();
        let sql = sql[..sql.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
        let query = Query { sql, since: Instant::now(), facts: Arc::clone(&facts), task: start() };
        queries.insert(id, query);
        Ok(Ticket { id, running: Arc::clone(self), facts })
    }

    pub(crate) fn list(&self) -> Vec<RunningQuery> {
        let shown = |(id, query): (&u64, &Query)| RunningQuery {
            id: *id,
            sql: query.sql.clone(),
            elapsed: query.since.elapsed(),
            rows: query.facts.rows.load(Ordering::Relaxed),
        };
        self.queries().iter().map(shown).collect()
    }

    pub(crate) fn cancel(&self, id: u64) -> bool {
        let queries = self.queries();
        let Some(query) = queries.get(&id) else { return false };
        query.facts.cancelled.store(true, Ordering::Release);
        query.task.abort();
        true
    }
}

impl Ticket {
    pub(crate) fn count(&self, rows: usize) {
        self.facts.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.facts.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(query) = self.running.queries().remove(&self.id) {
            query.task.abort();
        }
    }
}
