//! One question that runs for a client: its rows, as fast as they are taken. Holds one of the turns that questions have
//! from its first row to its last, and not for longer than a question may take.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::{Stream, StreamExt};
use query::{ATTEMPTS_MAX, QueryError, Rows, put_right};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::error::status;
use crate::server::Service;
use crate::statement::{Statement, as_sent};

/// What an answer is sent as.
pub(crate) type Sent = std::pin::Pin<Box<dyn Stream<Item = Result<arrow_flight::FlightData, Status>> + Send>>;

/// Rows, then that this was all.
type Told = Result<Option<RecordBatch>, Status>;

/// A question that has begun.
pub(crate) struct Answer {
    /// The first rows. They were fetched before anything is sent, so that a question which meets a damaged file can be
    /// asked again.
    first: Option<RecordBatch>,
    rows: Rows,
    columns: SchemaRef,
    deadline: Instant,
    timeout: Duration,
    cancelled: CancellationToken,
    _turn: OwnedSemaphorePermit,
}

impl Answer {
    /// Begins `statement`, unless it is `cancelled` before.
    ///
    /// # Errors
    /// When its turn does not come in time, or it cannot be planned.
    pub(crate) async fn begin(
        service: &Service,
        statement: &Statement,
        cancelled: CancellationToken,
    ) -> Result<Self, Status> {
        let timeout = service.timeout;
        let deadline = Instant::now() + timeout;
        let begin = async {
            let turn = tokio::time::timeout_at(deadline, Arc::clone(&service.turns).acquire_owned());
            let Ok(Ok(turn)) = turn.await else { return Err(QueryError::Timeout { limit: timeout }) };
            let (first, rows) = ask(service, statement, deadline).await?;
            Ok((turn, first, rows))
        };
        let begun = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(QueryError::Cancelled),
            begun = begin => begun,
        };
        let (turn, first, rows) = begun.map_err(|error| why(error, timeout))?;
        let columns = Arc::clone(&statement.columns);
        let found = as_sent(rows.schema());
        let is_promised = |(found, promised): (&FieldRef, &FieldRef)| {
            found.name() == promised.name() && found.data_type().equals_datatype(promised.data_type())
        };
        if found.fields().len() != columns.fields().len()
            || !found.fields().iter().zip(columns.fields()).all(is_promised)
        {
            return Err(changed());
        }
        Ok(Self { first, rows, columns, deadline, timeout, cancelled, _turn: turn })
    }

    /// Splits it into what fetches the rows, to be run beside, and what is sent. The former ends when the latter is
    /// dropped, and so do the question and its turn; a client that does not read cannot hold them past their time.
    pub(crate) fn send(self) -> (impl Future<Output = ()> + Send, Sent) {
        let (told, rows) = mpsc::channel(1);
        let columns = Arc::clone(&self.columns);
        let reason = (self.cancelled.clone(), self.timeout);
        let batches = futures::stream::unfold(Some(rows), move |rows| next(rows, reason.clone()));
        let sent = FlightDataEncoderBuilder::new().with_schema(columns).build(batches);
        (self.fetch(told), Box::pin(sent.map(|data| data.map_err(Status::from))))
    }

    async fn fetch(mut self, told: mpsc::Sender<Told>) {
        let deadline = self.deadline;
        let cancelled = self.cancelled.clone();
        let fetch = async {
            // Where there are no first rows, there are none.
            let mut first = Some(self.first.take());
            loop {
                let batch = match first.take() {
                    Some(first) => Ok(first),
                    None => self.rows.next().await.map_err(|error| why(error, self.timeout)),
                };
                let batch = batch.and_then(|batch| batch.map(|batch| under(&self.columns, &batch)).transpose());
                let is_last = !matches!(batch, Ok(Some(_)));
                if told.send(batch).await.is_err() || is_last {
                    return;
                }
            }
        };
        // Whichever comes first: what is left unsaid here, the other side knows how to tell.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => {}
            () = told.closed() => {}
            _ = tokio::time::timeout_at(deadline, fetch) => {}
        }
    }
}

/// Asks `statement` until `deadline`, again where it met a damaged file that could be put right; gives its first rows too.
async fn ask(
    service: &Service,
    statement: &Statement,
    deadline: Instant,
) -> Result<(Option<RecordBatch>, Rows), QueryError> {
    let mut attempt = 1;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let snapshot = service.store.snapshot();
        let begun = async {
            let mut rows = service.engine.ask(&snapshot, &statement.question, Vec::new(), left).await?;
            Ok((rows.next().await?, rows))
        };
        let error = match begun.await {
            Ok(begun) => return Ok(begun),
            Err(error) => error,
        };
        if !put_right(&service.store, &error, deadline).await || attempt == ATTEMPTS_MAX {
            return Err(error);
        }
        attempt += 1;
    }
}

/// The status for `error`. The engine was given what was left of `timeout`; what was allowed is what helps.
fn why(error: QueryError, timeout: Duration) -> Status {
    match error {
        QueryError::Timeout { .. } => status(&QueryError::Timeout { limit: timeout }),
        error => status(&error),
    }
}

/// The next rows to be sent, and where those after them come from.
async fn next(
    rows: Option<mpsc::Receiver<Told>>,
    (cancelled, timeout): (CancellationToken, Duration),
) -> Option<(Result<RecordBatch, FlightError>, Option<mpsc::Receiver<Told>>)> {
    let mut rows = rows?;
    match rows.recv().await {
        Some(Ok(batch)) => Some((Ok(batch?), Some(rows))),
        Some(Err(error)) => Some((Err(FlightError::from(error)), None)),
        None => {
            let late = QueryError::Timeout { limit: timeout };
            let reason = if cancelled.is_cancelled() { QueryError::Cancelled } else { late };
            Some((Err(FlightError::from(status(&reason))), None))
        }
    }
}

/// `batch` with the columns that were promised; only how they are kept may differ.
fn under(columns: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, Status> {
    let arrays = batch.columns().iter().zip(columns.fields()).map(|(array, field)| cast(array, field.data_type()));
    let arrays = arrays.collect::<Result<Vec<_>, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = arrays.and_then(|arrays| RecordBatch::try_new_with_options(Arc::clone(columns), arrays, &options));
    batch.map_err(|_| changed())
}

fn changed() -> Status {
    Status::aborted("what the question gives has changed since it was asked: ask again")
}
