//! One question that runs for a client: its rows, as many at a time as are asked for. Holds one of the turns that
//! questions have from its first row to its last.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::{BufMut, BytesMut};
use query::postgres::{Parameter, PostgresType, Question};
use query::{ATTEMPTS_MAX, QueryError, Rows, put_right};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Ended};
use crate::error::SqlError;
use crate::message::{self, Format};
use crate::server::Service;
use crate::value::Column;

/// A question with its parameters, and how far it has come.
pub(crate) struct Portal {
    pub(crate) question: Arc<Question>,
    parameters: Vec<Parameter>,
    formats: Vec<Format>,
    /// The columns that the client was told before, which have to stay.
    promised: Option<SchemaRef>,
    state: State,
}

enum State {
    Waiting,
    Running(Box<Running>),
    Ended,
    /// It held a turn for longer than it may.
    Expired,
}

struct Running {
    rows: Rows,
    columns: SchemaRef,
    next: Next,
    deadline: Instant,
    _turn: OwnedSemaphorePermit,
}

/// What comes next of an answer.
enum Next {
    /// Rows that are there, and how many of them were sent.
    Batch(Vec<Column>, RecordBatch, usize),
    /// Whatever the engine has.
    Unknown,
    /// Nothing.
    End,
}

impl Next {
    fn of(batch: Option<RecordBatch>, formats: &[Format]) -> Result<Self, SqlError> {
        let Some(batch) = batch else { return Ok(Self::End) };
        let formats = (0..batch.num_columns()).map(|place| Format::at(formats, place));
        let columns = batch.columns().iter().zip(formats).map(|(values, format)| Column::new(values, format));
        Ok(Self::Batch(columns.collect::<Result<_, _>>()?, batch, 0))
    }
}

/// How an execution ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There are no more rows.
    Complete { rows: u64 },
    /// There may be more.
    Suspended,
}

/// What stops a question from outside.
pub(crate) struct Watch<'a> {
    pub(crate) channel: &'a mut Channel,
    pub(crate) cancelled: &'a CancellationToken,
}

impl Watch<'_> {
    /// Waits for `work`, unless the client cancels it or goes.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(SqlError::cancelled().into()),
            done = work => Ok(done),
            () = self.channel.gone() => Err(Ended::Gone),
        }
    }

    /// Sends what waits until `deadline`: a client that does not read must not hold its turn for ever.
    async fn flush(&mut self, deadline: Instant) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(SqlError::cancelled().into()),
            flushed = tokio::time::timeout_at(deadline, self.channel.flush()) => match flushed {
                Ok(flushed) => Ok(flushed?),
                Err(_) => Err(Ended::Gone),
            },
        }
    }
}

impl Portal {
    pub(crate) fn new(question: Arc<Question>, parameters: Vec<Parameter>, formats: Vec<Format>) -> Self {
        Self { question, parameters, formats, promised: None, state: State::Waiting }
    }

    pub(crate) fn promising(mut self, columns: Option<SchemaRef>) -> Self {
        self.promised = columns;
        self
    }

    /// When it has to be over, if it runs.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Running(running) => Some(running.deadline),
            _ => None,
        }
    }

    /// Ends it if its time is over; its turn goes to another.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.state = State::Expired;
        }
    }

    /// Begins it, unless it has begun.
    pub(crate) async fn start(
        &mut self,
        service: &Service,
        timeout: Duration,
        watch: &mut Watch<'_>,
    ) -> Result<(), Ended> {
        if !matches!(self.state, State::Waiting) {
            return Ok(());
        }
        let deadline = Instant::now() + timeout;
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&service.turns).acquire_owned());
        let Ok(Ok(turn)) = watch.unless(turn).await? else {
            return Err(SqlError::from(QueryError::Timeout { limit: timeout }).into());
        };
        let (rows, first) = self.ask(service, deadline, timeout, watch).await?;
        let columns = rows.schema();
        if self.promised.as_ref().is_some_and(|promised| types(promised).ne(types(&columns))) {
            return Err(SqlError::new("0A000", "cached plan must not change result type").into());
        }
        let count = columns.fields().len();
        if self.formats.len() > 1 && self.formats.len() != count {
            let message =
                format!("bind message has {} result formats but query has {count} columns", self.formats.len());
            return Err(SqlError::new("08P01", message).into());
        }
        let next = Next::of(first, &self.formats)?;
        self.state = State::Running(Box::new(Running { rows, columns, next, deadline, _turn: turn }));
        Ok(())
    }

    /// Asks for the first rows over what is there now; again where a damaged file was in the way that is put right.
    async fn ask(
        &self,
        service: &Service,
        deadline: Instant,
        timeout: Duration,
        watch: &mut Watch<'_>,
    ) -> Result<(Rows, Option<RecordBatch>), Ended> {
        let mut attempt = 1;
        loop {
            let snapshot = service.store.snapshot();
            let left = deadline.saturating_duration_since(Instant::now());
            let begun = async {
                let rows = service.engine.ask(&snapshot, &self.question, self.parameters.clone(), left);
                let mut rows = rows.await?;
                let first = rows.next().await?;
                Ok::<_, QueryError>((rows, first))
            };
            let error = match watch.unless(begun).await? {
                Ok(begun) => return Ok(begun),
                Err(QueryError::Timeout { .. }) => QueryError::Timeout { limit: timeout },
                Err(error) => error,
            };
            if !watch.unless(put_right(&service.store, &error, deadline)).await? || attempt == ATTEMPTS_MAX {
                return Err(SqlError::from(error).into());
            }
            attempt += 1;
        }
    }

    /// Appends the description of the columns, once it has begun.
    pub(crate) fn describe(&self, out: &mut BytesMut) {
        match &self.state {
            State::Running(running) => put_columns(out, &running.columns, &self.question, &self.formats),
            _ => message::put_empty(out, b'n'),
        }
    }

    /// Sends rows until there are no more, or `rows_max` of them unless that is 0.
    pub(crate) async fn send_rows(
        &mut self,
        service: &Service,
        rows_max: usize,
        watch: &mut Watch<'_>,
    ) -> Result<Progress, Ended> {
        let running = match &mut self.state {
            State::Running(running) => running,
            State::Expired => {
                return Err(SqlError::new("57014", "canceling statement due to statement timeout").into());
            }
            State::Waiting | State::Ended => return Ok(Progress::Complete { rows: 0 }),
        };
        let mut sent = 0;
        loop {
            match &mut running.next {
                Next::Batch(columns, batch, row) => {
                    while *row < batch.num_rows() {
                        if rows_max > 0 && sent == rows_max as u64 {
                            return Ok(Progress::Suspended);
                        }
                        put_row(&mut watch.channel.out, columns, *row);
                        *row += 1;
                        sent += 1;
                        if watch.channel.is_full() {
                            watch.flush(running.deadline).await?;
                        }
                    }
                    running.next = Next::Unknown;
                }
                Next::Unknown => {
                    let next = match watch.unless(running.rows.next()).await? {
                        Ok(next) => next,
                        Err(error) => return Err(broken_off(service, error, running.deadline, watch).await?.into()),
                    };
                    running.next = Next::of(next, &self.formats)?;
                }
                Next::End => {
                    self.state = State::Ended;
                    return Ok(Progress::Complete { rows: sent });
                }
            }
        }
    }
}

/// Why an answer ends of which the client has rows already: those cannot be taken back, but it can ask again.
async fn broken_off(
    service: &Service,
    error: QueryError,
    deadline: Instant,
    watch: &mut Watch<'_>,
) -> Result<SqlError, Ended> {
    let is_right = watch.unless(put_right(&service.store, &error, deadline)).await?;
    let mut told = SqlError::from(error);
    if is_right {
        told.message.push_str("; what can be read of it is saved: ask again");
    }
    Ok(told)
}

fn types(schema: &SchemaRef) -> impl Iterator<Item = PostgresType> {
    schema.fields().iter().map(|field| PostgresType::of(field.data_type()))
}

fn put_row(out: &mut BytesMut, columns: &[Column], row: usize) {
    message::put(out, b'D', |out| {
        out.put_u16(columns.len() as u16);
        columns.iter().for_each(|column| column.put(row, out));
    });
}

/// Appends the description of the columns of `question`.
pub(crate) fn put_columns(out: &mut BytesMut, columns: &SchemaRef, question: &Question, formats: &[Format]) {
    let names = question.names.as_ref().filter(|names| names.len() == columns.fields().len());
    message::put(out, b'T', |out| {
        out.put_u16(columns.fields().len() as u16);
        for (place, field) in columns.fields().iter().enumerate() {
            let kind = PostgresType::of(field.data_type());
            message::put_string(out, names.map_or(field.name(), |names| &names[place]));
            // No table and no column of one.
            out.put_u32(0);
            out.put_u16(0);
            out.put_u32(kind.oid());
            out.put_i16(kind.size());
            out.put_i32(-1);
            out.put_u16(u16::from(Format::at(formats, place) == Format::Binary));
        }
    });
}
