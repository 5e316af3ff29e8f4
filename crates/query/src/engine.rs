//! Runs queries, each within its limits. One engine serves many queries; they share its memory and its threads, which
//! are not those of the program: a query that computes without a pause holds up nobody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SQLOptions;
use futures::StreamExt;
use store::Snapshot;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::depth;
use crate::error::QueryError;
use crate::postgres::{self, Command, Description, Parameter, Question};
use crate::running::{Running, RunningQuery, Ticket};
use crate::session::Sessions;

/// Threads that run queries.
const THREADS: usize = 2;
/// What all queries together may write to temporary files.
const SPILL_BYTES_MAX: u64 = 4 << 30;
/// What the names of folders with temporary files begin with.
pub const SPILL_PREFIX: &str = "datafusion-";
/// The longest time that can be asked for.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);

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
    sessions: Arc<Sessions>,
    running: Arc<Running>,
    memory_bytes: usize,
    /// `None` only while it is dropped.
    threads: Option<Runtime>,
}

impl Engine {
    /// An engine whose queries together use at most `memory_bytes`, and write what does not fit to the system's folder
    /// for temporary files.
    ///
    /// # Errors
    /// When there are no threads.
    pub fn new(memory_bytes: usize) -> Result<Self, QueryError> {
        Self::with_disk(memory_bytes, DiskManagerMode::OsTmpDirectory)
    }

    /// The same, but what does not fit is written to folders below `folder`, whose names begin with
    /// [`SPILL_PREFIX`] and which are removed with the engine.
    ///
    /// # Errors
    /// When the folder cannot be made or written to, or there are no threads.
    pub fn spilling_to(folder: PathBuf, memory_bytes: usize) -> Result<Self, QueryError> {
        let made = std::fs::create_dir_all(&folder);
        made.map_err(|error| QueryError::Failed(format!("failed to make `{}`: {error}", folder.display())))?;
        Self::with_disk(memory_bytes, DiskManagerMode::Directories(vec![folder]))
    }

    fn with_disk(memory_bytes: usize, mode: DiskManagerMode) -> Result<Self, QueryError> {
        let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(SPILL_BYTES_MAX);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| QueryError::new(&error, memory_bytes))?;
        let sessions = Sessions::new(environment, THREADS).map_err(|error| QueryError::new(&error, memory_bytes))?;
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("query")
            .thread_stack_size(depth::STACK_BYTES)
            .enable_time()
            .build()
            .map_err(|error| QueryError::Failed(format!("no threads for queries: {error}")))?;
        Ok(Self { sessions: Arc::new(sessions), running: Arc::default(), memory_bytes, threads: Some(threads) })
    }

    /// Answers `sql` over `snapshot`, row batch by row batch.
    ///
    /// # Errors
    /// When it is no query, or cannot be planned in time.
    pub async fn stream(&self, snapshot: &Snapshot, sql: &str, timeout: Duration) -> Result<Rows, QueryError> {
        self.run(snapshot, Asked::Sql(sql.to_owned()), timeout).await
    }

    /// The commands in `sql`, which a PostgreSQL client sent in the name of `user`.
    ///
    /// # Errors
    /// When it is no SQL.
    pub async fn understand(&self, sql: &str, user: &str) -> Result<Vec<Command>, QueryError> {
        let (sql, user) = (sql.to_owned(), user.to_owned());
        // Here and not with the caller, since it is these threads that have a stack for it.
        self.apart(async move { postgres::commands(&sql, &user) }, TIMEOUT_MAX).await
    }

    /// Answers a question of a PostgreSQL client over `snapshot`, with the values of its parameters, `$1` first.
    ///
    /// # Errors
    /// When it cannot be planned, with these values and in time.
    pub async fn ask(
        &self,
        snapshot: &Snapshot,
        question: &Arc<Question>,
        parameters: Vec<Parameter>,
        timeout: Duration,
    ) -> Result<Rows, QueryError> {
        self.run(snapshot, Asked::Postgres(Arc::clone(question), parameters), timeout).await
    }

    /// Says what a question of a PostgreSQL client takes and gives, without answering it.
    ///
    /// # Errors
    /// When it cannot be planned, or not in time.
    pub async fn describe(
        &self,
        snapshot: &Snapshot,
        question: &Arc<Question>,
        timeout: Duration,
    ) -> Result<Description, QueryError> {
        let timeout = timeout.min(TIMEOUT_MAX);
        let (sessions, memory_bytes) = (Arc::clone(&self.sessions), self.memory_bytes);
        let (snapshot, question) = (snapshot.clone(), Arc::clone(question));
        let describing = async move {
            let described = describe(&sessions, snapshot, &question).await;
            described.map_err(|error| QueryError::new(&error, memory_bytes))
        };
        self.apart(describing, timeout).await
    }

    /// Does `work` on the threads of the engine, unless it takes too long or nobody waits any more.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
        timeout: Duration,
    ) -> Result<T, QueryError> {
        let Some(threads) = &self.threads else { return Err(QueryError::Failed("the engine ended".to_owned())) };
        let work = threads.spawn(work);
        let _ends = EndsWork(work.abort_handle());
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(QueryError::Failed("the question ended before its time".to_owned())),
            Err(_) => Err(QueryError::Timeout { limit: timeout }),
        }
    }

    async fn run(&self, snapshot: &Snapshot, asked: Asked, timeout: Duration) -> Result<Rows, QueryError> {
        if let Asked::Sql(sql) = &asked {
            depth::check(sql)?;
        }
        let timeout = timeout.min(TIMEOUT_MAX);
        let deadline = Instant::now() + timeout;
        let (told, messages) = mpsc::channel(2);
        let text = asked.text();
        let query = run(Arc::clone(&self.sessions), self.memory_bytes, snapshot.clone(), asked, told);
        let Some(threads) = &self.threads else { return Err(QueryError::Failed("the engine ended".to_owned())) };
        let ticket = self.running.begin(&text, || threads.spawn(query).abort_handle())?;
        let mut messages = Messages { messages, deadline, timeout, ticket };
        match messages.next().await? {
            Message::Schema(schema) => Ok(Rows { schema, messages }),
            _ => Err(QueryError::Failed("the query ended without an answer".to_owned())),
        }
    }

    /// The queries that are being answered, the oldest first.
    pub fn running(&self) -> Vec<RunningQuery> {
        self.running.list()
    }

    /// Ends the query `id`; whoever asked it is told. False if there is none.
    pub fn cancel(&self, id: u64) -> bool {
        self.running.cancel(id)
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

/// What a query tells whoever asked: its columns, then its rows, then that this was all.
enum Message {
    Schema(SchemaRef),
    Rows(RecordBatch),
    End,
}

/// What is to be answered: SQL as it is, or what a PostgreSQL client asks.
enum Asked {
    Sql(String),
    Postgres(Arc<Question>, Vec<Parameter>),
}

impl Asked {
    fn text(&self) -> String {
        match self {
            Self::Sql(sql) => sql.clone(),
            Self::Postgres(question, _) => question.text(),
        }
    }
}

type Told = Result<Message, QueryError>;

/// Ends work whose outcome nobody waits for any more.
struct EndsWork(AbortHandle);

impl Drop for EndsWork {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(sessions: Arc<Sessions>, memory_bytes: usize, snapshot: Snapshot, asked: Asked, told: mpsc::Sender<Told>) {
    let failed = |error| QueryError::new(&error, memory_bytes);
    let mut stream = match plan(&sessions, snapshot, &asked).await {
        Ok(stream) => stream,
        Err(error) => return drop(told.send(Err(failed(error))).await),
    };
    let mut next = Ok(Message::Schema(stream.schema()));
    loop {
        let ended = !matches!(next, Ok(Message::Schema(_) | Message::Rows(_)));
        if told.send(next).await.is_err() || ended {
            return;
        }
        next = match stream.next().await {
            Some(rows) => rows.map(Message::Rows).map_err(failed),
            None => Ok(Message::End),
        };
    }
}

async fn plan(
    sessions: &Sessions,
    snapshot: Snapshot,
    asked: &Asked,
) -> datafusion::error::Result<SendableRecordBatchStream> {
    let context = sessions.over(snapshot)?;
    let answer = match asked {
        Asked::Sql(sql) => context.sql_with_options(sql, read_only()).await?,
        Asked::Postgres(question, parameters) => {
            postgres::register(&context)?;
            let plan = postgres::plan(&context, question, Some(parameters)).await?;
            read_only().verify_plan(&plan)?;
            context.execute_logical_plan(plan).await?
        }
    };
    answer.execute_stream().await
}

async fn describe(
    sessions: &Sessions,
    snapshot: Snapshot,
    question: &Question,
) -> datafusion::error::Result<Description> {
    let context = sessions.over(snapshot)?;
    postgres::register(&context)?;
    let plan = postgres::plan(&context, question, None).await?;
    read_only().verify_plan(&plan)?;
    let parameters = postgres::parameter_types(&plan, question)?;
    Ok(Description { columns: Arc::clone(plan.schema().inner()), parameters })
}

fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// What a query tells, while there is time.
struct Messages {
    messages: mpsc::Receiver<Told>,
    deadline: Instant,
    timeout: Duration,
    /// The query ends when nobody waits for it any more.
    ticket: Ticket,
}

impl Messages {
    async fn next(&mut self) -> Told {
        match tokio::time::timeout_at(self.deadline, self.messages.recv()).await {
            Ok(Some(told)) => told,
            Ok(None) if self.ticket.is_cancelled() => Err(QueryError::Cancelled),
            Ok(None) => Err(QueryError::Failed("the query broke down; this is a mistake in Tongmai".to_owned())),
            Err(_) => Err(QueryError::Timeout { limit: self.timeout }),
        }
    }
}

/// The rows of an answer, as they come. Dropping them ends the query.
pub struct Rows {
    schema: SchemaRef,
    messages: Messages,
}

impl Rows {
    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows. After the last ones, or an error, there is nothing more to ask for.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        match self.messages.next().await? {
            Message::Rows(batch) => {
                self.messages.ticket.count(batch.num_rows());
                Ok(Some(batch))
            }
            Message::End => Ok(None),
            Message::Schema(_) => Err(QueryError::Failed("columns where rows were expected".to_owned())),
        }
    }
}
