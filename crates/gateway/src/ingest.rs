//! The way in: where gateways hand over what they decoded. Knows nothing of how it is kept.

use std::sync::Arc;

use futures::future::BoxFuture;
use model::{Batch, Cursor};

/// What became of a batch that is now durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Rows that are new.
    pub accepted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
}

/// Takes batches, and answers only when they are durable.
pub trait Ingest: Send + Sync + 'static {
    /// Queues `batch`, waiting for room in the bounded queue. The answer comes when the log has been synced: batch
    /// and cursor are then durable together, or neither is.
    fn submit(&self, batch: Arc<Batch>, cursor: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>>;

    /// The last durable position of `source`.
    fn cursor(&self, source: &str) -> Option<Box<str>>;
}

/// Why a batch was not taken. The batch may be submitted again: what is already there is not doubled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IngestError {
    /// Nothing can be kept at present: the disk is full or read-only, for example.
    #[error("nothing can be kept at present: {reason}")]
    Refused {
        /// What is in the way, for people.
        reason: Arc<str>,
    },
    /// The batch itself cannot be kept, now or later.
    #[error("the batch cannot be kept: {reason}")]
    Unacceptable {
        /// What is wrong with it, for people.
        reason: Arc<str>,
    },
    /// Nothing is taken any more: the program is ending, or the store broke down.
    #[error("nothing is taken any more")]
    Closed,
}
