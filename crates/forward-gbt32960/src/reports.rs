//! Where reports come from: rows of two tables, by when they came in. Knows no store.

use std::sync::Arc;

use futures::future::BoxFuture;
use model::{Profile, Rows, Timestamp};

use crate::vehicles::Vehicles;

/// Where a row stands among those of a span: ordered by asset, then time, then sequence. The order does not depend on where
/// the rows are kept, so that reading can go on there at any time later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The asset, as text.
    pub asset: Arc<str>,
    /// The source time.
    pub time: Timestamp,
    /// Tells rows at the same time apart.
    pub sequence: u32,
}

/// Which rows are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The name of the table.
    pub table: &'static str,
    /// Those that came in after this.
    pub after: Timestamp,
    /// And until then.
    pub until: Timestamp,
    /// And that stand behind this place.
    pub behind: Option<Place>,
    /// Of these vehicles.
    pub vehicles: Arc<Vehicles>,
    /// At most so many, the first ones; those of one place together.
    pub rows_max: usize,
}

/// Rows, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What they are about.
    pub profile: Arc<Profile>,
    /// What was said.
    pub rows: Rows,
    /// When each came in.
    pub received: Vec<Timestamp>,
    /// Whether these are all that were wanted.
    pub is_all: bool,
}

/// Rows that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read what is to be forwarded: {0}")]
pub struct ReadError(pub String);

/// See the module.
pub trait Reports: Send + Sync + 'static {
    /// When the last row came in that can be read. Every later row comes in later than that.
    fn received(&self) -> Timestamp;

    /// The rows that are wanted; `None` where there is no such table.
    fn read(&self, wanted: Wanted) -> BoxFuture<'static, Result<Option<Part>, ReadError>>;

    /// About how many rows of `table` came in after `after` and until `until`.
    fn rows_about(&self, table: &str, after: Timestamp, until: Timestamp) -> u64;
}
