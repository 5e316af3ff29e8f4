//! What a gateway is given: the way in, its clock, its place to report to, and the signal to stop.

use std::sync::Arc;
use std::time::Duration;

use model::{AssetId, Batch, Clock, Cursor};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Backoff, Connection, Counters, Ingest, IngestError, Status};

/// Something that could not be understood, to be kept for inspection.
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'a> {
    /// A constant text: what is counted.
    pub reason: &'static str,
    /// Where in the message, what was expected and what was found instead.
    pub detail: &'a str,
    /// The message, or as much of it as shows the mistake.
    pub bytes: &'a [u8],
}

/// Keeps rejected input for inspection, within bounds of its own.
pub trait Quarantine: Send + Sync + 'static {
    /// Keeps `rejection` of the gateway `source`.
    fn keep(&self, source: &str, rejection: Rejection<'_>);
}

/// The link between one gateway and the rest of the house.
#[derive(Clone)]
pub struct Link {
    name: Arc<str>,
    ingest: Arc<dyn Ingest>,
    quarantine: Arc<dyn Quarantine>,
    clock: Arc<dyn Clock>,
    status: Arc<watch::Sender<Status>>,
    counters: Arc<Counters>,
    stop: CancellationToken,
}

impl Link {
    /// A link for the gateway `name`.
    pub fn new(
        name: &str,
        ingest: Arc<dyn Ingest>,
        quarantine: Arc<dyn Quarantine>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        let status = Status { connection: Connection::Connecting, since: clock.now(), assets: Vec::new() };
        Self {
            name: name.into(),
            ingest,
            quarantine,
            clock,
            status: Arc::new(watch::Sender::new(status)),
            counters: Arc::default(),
            stop,
        }
    }

    /// The name of the gateway.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The clock to read time from.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Cancelled when the gateway should end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The counters of this gateway.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How the gateway is doing.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Tells the state of the connection.
    pub fn report(&self, connection: Connection) {
        let now = self.clock.now();
        self.status.send_if_modified(|status| {
            let modified = status.connection != connection;
            if modified {
                tracing::info!(gateway = %self.name, state = connection.as_str(), reason = connection.reason(), "gateway state");
                status.connection = connection;
                status.since = now;
            }
            modified
        });
    }

    /// Tells which assets speak through this gateway.
    pub fn report_assets(&self, assets: Vec<AssetId>) {
        self.status.send_modify(|status| status.assets = assets);
    }

    /// Counts a rejection and hands it to the quarantine.
    pub fn reject(&self, rejection: Rejection<'_>) {
        self.counters.reject(rejection.reason);
        self.quarantine.keep(&self.name, rejection);
    }

    /// The last durable position of this gateway.
    pub fn cursor(&self) -> Option<Box<str>> {
        self.ingest.cursor(&self.name)
    }

    /// Delivers `batch` and returns when it is durable. While nothing can be kept it waits and tries again: the
    /// gateway reads no further meanwhile, and the source is held back.
    ///
    /// # Errors
    /// When the batch can never be kept, or the program is ending.
    pub async fn deliver(&self, batch: Batch, position: Option<Box<str>>) -> Result<(), IngestError> {
        let batch = Arc::new(batch);
        let cursor = position.map(|position| Cursor { source: (*self.name).into(), position });
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), 0);
        loop {
            match self.ingest.submit(Arc::clone(&batch), cursor.clone()).await {
                Ok(receipt) => {
                    self.counters.kept(receipt);
                    if matches!(self.status.borrow().connection, Connection::Refused(_)) {
                        self.report(Connection::Connected);
                    }
                    return Ok(());
                }
                Err(IngestError::Refused { reason }) => {
                    self.report(Connection::Refused(reason.to_string()));
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                        () = self.stop.cancelled() => return Err(IngestError::Closed),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// At most one delivery under way while the next batch is decoded: the longer a sync takes, the larger the next
/// batch, and memory stays bounded.
#[derive(Default)]
pub struct Pending(Option<JoinHandle<Result<(), IngestError>>>);

impl Pending {
    /// Waits for the delivery under way, then starts delivering `batch`.
    ///
    /// # Errors
    /// See [`Link::deliver`]; of the delivery before this one.
    pub async fn deliver(&mut self, link: &Link, batch: Batch, position: Option<Box<str>>) -> Result<(), IngestError> {
        self.settle().await?;
        if !batch.is_empty() || position.is_some() {
            let link = link.clone();
            self.0 = Some(tokio::spawn(async move { link.deliver(batch, position).await }));
        }
        Ok(())
    }

    /// Waits for the delivery under way.
    ///
    /// # Errors
    /// See [`Link::deliver`].
    pub async fn settle(&mut self) -> Result<(), IngestError> {
        match self.0.take() {
            Some(delivery) => delivery.await.unwrap_or(Err(IngestError::Closed)),
            None => Ok(()),
        }
    }
}
