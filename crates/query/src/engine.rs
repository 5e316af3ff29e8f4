//! Runs queries, each within its limits. One engine serves many queries; they share its memory.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use store::Snapshot;
use tokio::time::Instant;

use crate::error::QueryError;
use crate::tables;

/// What one query may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of the answer.
    pub rows_max: usize,
    /// Time from the question to the last row.
    pub timeout: Duration,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there would have been more than the limit allows.
    pub truncated: bool,
}

/// See the module.
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    memory_bytes: usize,
}

impl Engine {
    /// An engine whose queries together use at most `memory_bytes`, and write to the disk what does not fit.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub fn new(memory_bytes: usize) -> Result<Self, QueryError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
            .build_arc()
            .map_err(|error| QueryError::new(&error, memory_bytes))?;
        Ok(Self { runtime, memory_bytes })
    }

    /// Answers `sql` over `snapshot`, row batch by row batch.
    ///
    /// # Errors
    /// When it is no query, or cannot be planned in time.
    pub async fn stream(&self, snapshot: &Snapshot, sql: &str, timeout: Duration) -> Result<Rows, QueryError> {
        let deadline = Instant::now() + timeout;
        let planned = tokio::time::timeout_at(deadline, self.plan(snapshot, sql)).await;
        let stream = planned.map_err(|_| QueryError::Timeout { limit: timeout })??;
        Ok(Rows { stream, deadline, timeout, memory_bytes: self.memory_bytes })
    }

    /// Answers `sql` over `snapshot` within `limits`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn answer(&self, snapshot: &Snapshot, sql: &str, limits: Limits) -> Result<Answer, QueryError> {
        let mut rows = self.stream(snapshot, sql, limits.timeout).await?;
        let mut answer = Answer { schema: rows.schema(), batches: Vec::new(), truncated: false };
        let mut room = limits.rows_max;
        while let Some(batch) = rows.next().await? {
            answer.truncated = batch.num_rows() > room;
            answer.batches.push(batch.slice(0, batch.num_rows().min(room)));
            room = room.saturating_sub(batch.num_rows());
            if answer.truncated {
                break;
            }
        }
        Ok(answer)
    }

    async fn plan(&self, snapshot: &Snapshot, sql: &str) -> Result<SendableRecordBatchStream, QueryError> {
        let failed = |error| QueryError::new(&error, self.memory_bytes);
        let config = SessionConfig::new().with_information_schema(true).with_target_partitions(2);
        let context = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        tables::register(&context, snapshot).map_err(failed)?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = context.sql_with_options(sql, read_only).await.map_err(failed)?;
        frame.execute_stream().await.map_err(failed)
    }
}

/// The rows of an answer, as they come.
pub struct Rows {
    stream: SendableRecordBatchStream,
    deadline: Instant,
    timeout: Duration,
    memory_bytes: usize,
}

impl Rows {
    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let next = tokio::time::timeout_at(self.deadline, self.stream.next()).await;
        let next = next.map_err(|_| QueryError::Timeout { limit: self.timeout })?;
        next.transpose().map_err(|error| QueryError::new(&error, self.memory_bytes))
    }
}
