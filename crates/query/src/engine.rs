//! Runs queries, each within its limits. One engine serves many queries; they share its memory and its threads, which
//! are not those of the program: a query that computes without a pause holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use store::Snapshot;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::QueryError;
use crate::tables;

/// Threads that run queries.
const THREADS: usize = 2;
/// What all queries together may write to temporary files.
const SPILL_BYTES_MAX: u64 = 4 << 30;
/// The longest time that can be asked for.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Functions that make much of little in one step, past every limit on memory.
const WITHHELD: [&str; 4] = ["repeat", "lpad", "rpad", "array_repeat"];

/// What one query may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of the answer.
    pub rows_max: usize,
    /// Bytes of the answer in memory.
    pub bytes_max: usize,
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
    environment: Arc<RuntimeEnv>,
    memory_bytes: usize,
    /// `None` only while it is dropped.
    threads: Option<Runtime>,
}

impl Engine {
    /// An engine whose queries together use at most `memory_bytes`, and write to the disk what does not fit.
    ///
    /// # Errors
    /// When there is no place for temporary files, or there are no threads.
    pub fn new(memory_bytes: usize) -> Result<Self, QueryError> {
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_max_temp_directory_size(SPILL_BYTES_MAX))
            .build_arc()
            .map_err(|error| QueryError::new(&error, memory_bytes))?;
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("query")
            .enable_time()
            .build()
            .map_err(|error| QueryError::Failed(format!("no threads for queries: {error}")))?;
        Ok(Self { environment, memory_bytes, threads: Some(threads) })
    }

    /// Answers `sql` over `snapshot`, row batch by row batch.
    ///
    /// # Errors
    /// When it is no query, or cannot be planned in time.
    pub async fn stream(&self, snapshot: &Snapshot, sql: &str, timeout: Duration) -> Result<Rows, QueryError> {
        let timeout = timeout.min(TIMEOUT_MAX);
        let deadline = Instant::now() + timeout;
        let (told, mut messages) = mpsc::channel(2);
        let query = run(Arc::clone(&self.environment), self.memory_bytes, snapshot.clone(), sql.to_owned(), told);
        let Some(threads) = &self.threads else { return Err(QueryError::Failed("the engine ended".to_owned())) };
        let running = Running(threads.spawn(query).abort_handle());
        match receive(&mut messages, deadline, timeout).await? {
            Some(Message::Schema(schema)) => Ok(Rows { schema, messages, deadline, timeout, _running: running }),
            _ => Err(QueryError::Failed("the query ended without an answer".to_owned())),
        }
    }

    /// Answers `sql` over `snapshot` within `limits`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn answer(&self, snapshot: &Snapshot, sql: &str, limits: Limits) -> Result<Answer, QueryError> {
        let mut rows = self.stream(snapshot, sql, limits.timeout).await?;
        let mut answer = Answer { schema: rows.schema(), batches: Vec::new(), truncated: false };
        let (mut room, mut bytes) = (limits.rows_max, 0);
        while let Some(batch) = rows.next().await? {
            bytes += batch.get_array_memory_size();
            if bytes > limits.bytes_max {
                return Err(QueryError::TooLarge { limit_bytes: limits.bytes_max });
            }
            answer.truncated = batch.num_rows() > room;
            answer.batches.push(batch.slice(0, batch.num_rows().min(room)));
            room = room.saturating_sub(batch.num_rows());
            if answer.truncated {
                break;
            }
        }
        Ok(answer)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// What a query tells whoever asked: its columns, then its rows.
enum Message {
    Schema(SchemaRef),
    Rows(RecordBatch),
}

type Told = Result<Message, QueryError>;

/// Ends a query whose answer nobody waits for any more.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(
    environment: Arc<RuntimeEnv>,
    memory_bytes: usize,
    snapshot: Snapshot,
    sql: String,
    told: mpsc::Sender<Told>,
) {
    let failed = |error| QueryError::new(&error, memory_bytes);
    let mut stream = match plan(environment, &snapshot, &sql).await {
        Ok(stream) => stream,
        Err(error) => return drop(told.send(Err(failed(error))).await),
    };
    let mut next = Ok(Message::Schema(stream.schema()));
    loop {
        let ended = next.is_err();
        if told.send(next).await.is_err() || ended {
            return;
        }
        next = match stream.next().await {
            Some(rows) => rows.map(Message::Rows).map_err(failed),
            None => return,
        };
    }
}

async fn plan(
    environment: Arc<RuntimeEnv>,
    snapshot: &Snapshot,
    sql: &str,
) -> datafusion::error::Result<SendableRecordBatchStream> {
    let config = SessionConfig::new().with_information_schema(true).with_target_partitions(THREADS);
    let context = SessionContext::new_with_config_rt(config, environment);
    for function in WITHHELD {
        context.deregister_udf(function);
    }
    tables::register(&context, snapshot)?;
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    context.sql_with_options(sql, read_only).await?.execute_stream().await
}

async fn receive(
    messages: &mut mpsc::Receiver<Told>,
    deadline: Instant,
    timeout: Duration,
) -> Result<Option<Message>, QueryError> {
    match tokio::time::timeout_at(deadline, messages.recv()).await {
        Ok(told) => told.transpose(),
        Err(_) => Err(QueryError::Timeout { limit: timeout }),
    }
}

/// The rows of an answer, as they come. Dropping them ends the query.
pub struct Rows {
    schema: SchemaRef,
    messages: mpsc::Receiver<Told>,
    deadline: Instant,
    timeout: Duration,
    _running: Running,
}

impl Rows {
    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        match receive(&mut self.messages, self.deadline, self.timeout).await? {
            Some(Message::Rows(batch)) => Ok(Some(batch)),
            Some(Message::Schema(_)) => Err(QueryError::Failed("columns where rows were expected".to_owned())),
            None => Ok(None),
        }
    }
}
