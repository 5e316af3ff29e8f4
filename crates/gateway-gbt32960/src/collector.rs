//! Puts what all connections say into one batch, and makes it durable while the next one fills: the longer a sync takes,
//! the more it carries. Says by the number of the round when a batch is durable. Must not know of sockets.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::try_join3;
use gateway::{Backoff, Connection as State, IngestError, Link};
use gbt32960::{DecodeError, Header, ReportRows, Standard};
use model::{
    AssetId, AssetKind, Batch, Changes, Observation, Profile, Quality, Shape, Signal, Timestamp, Value, ValueKind,
};
use tokio::sync::{Notify, watch};

use crate::security::Security;

/// Reports in a batch at the most; then connections wait.
const ROWS_MAX: usize = 16_384;
/// Logins, logouts and lost connections in a batch at the most.
const SESSIONS_MAX: usize = 4_096;
/// The profile that logins and logouts are kept in.
pub const SESSION_PROFILE: &str = "vehicle_session";

/// What is kept of a vehicle's coming and going.
static SESSIONS: LazyLock<Arc<Profile>> = LazyLock::new(|| {
    let signals = vec![
        Signal::new("session", "gbt32960:session", ValueKind::Text),
        Signal::new("iccid", "gbt32960:vehicle_login.iccid", ValueKind::Text),
        Signal::new("login_serial", "gbt32960:vehicle_login.serial", ValueKind::Integer),
    ];
    Arc::new(Profile::new(SESSION_PROFILE, Shape::Changes, signals).expect("the list above is a profile"))
});

/// What happened to the session of a vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionChange<'a> {
    pub(crate) vin: &'a str,
    /// `login`, `logout` or `lost`.
    pub(crate) what: &'static str,
    pub(crate) time: Timestamp,
    pub(crate) iccid: Option<&'a str>,
    pub(crate) serial: Option<u16>,
}

/// The batch of this round takes no more; when the round is durable, there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) u64);

/// See the module.
pub(crate) struct Collector {
    security: Arc<Security>,
    filling: Mutex<Filling>,
    filled: Notify,
    /// The last round that is durable.
    durable: watch::Sender<u64>,
}

/// What fills until the batch before it is durable.
struct Filling {
    round: u64,
    rows: ReportRows,
    sessions: Changes,
}

impl Collector {
    pub(crate) fn new(standard: Arc<Standard>, security: Arc<Security>) -> Self {
        let filling = Filling { round: 1, rows: ReportRows::new(standard), sessions: Changes::default() };
        Self { security, filling: Mutex::new(filling), filled: Notify::new(), durable: watch::Sender::new(0) }
    }

    fn filling(&self) -> MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells which round was the last to become durable.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Adds a report, and what became of its `signature`. Gives the round that makes it durable and how many values it has,
    /// or what is wrong with it.
    ///
    /// # Errors
    /// When the batch is full: nothing was added.
    pub(crate) fn report(
        &self,
        header: &Header,
        data: &[u8],
        signature: Option<&str>,
    ) -> Result<Result<(u64, u64), DecodeError>, Full> {
        let mut filling = self.filling();
        if filling.rows.len() >= ROWS_MAX || filling.rows.is_full() {
            return Err(Full(filling.round));
        }
        let before = filling.rows.values();
        let outcome = filling.rows.push(header, data).map(|_| (filling.round, filling.rows.values() - before));
        if let (Ok(_), Some(signature)) = (&outcome, signature) {
            filling.rows.mark_signature(signature);
        }
        drop(filling);
        if outcome.is_ok() {
            self.filled.notify_one();
        }
        Ok(outcome)
    }

    /// Adds a change of a vehicle's session; gives the round that makes it durable.
    ///
    /// # Errors
    /// When the batch is full: nothing was added.
    pub(crate) fn session(&self, change: &SessionChange<'_>) -> Result<u64, Full> {
        let mut filling = self.filling();
        if filling.sessions.len() >= SESSIONS_MAX {
            return Err(Full(filling.round));
        }
        let Ok(asset) = AssetId::new(AssetKind::Vehicle, change.vin) else { return Ok(filling.round) };
        let place = filling.sessions.intern(&asset);
        let values = [
            Some(Value::Text(change.what.into())),
            change.iccid.map(|iccid| Value::Text(iccid.into())),
            change.serial.map(|serial| Value::Integer(i64::from(serial))),
        ];
        for (signal, value) in (0..).zip(values) {
            let Some(value) = value else { continue };
            let (time, quality) = (change.time, Quality::Good);
            let observation = Observation { signal, time, sequence: 0, quality, value, statistic: None };
            filling.sessions.push(place, observation);
        }
        let round = filling.round;
        drop(filling);
        self.filled.notify_one();
        Ok(round)
    }

    /// The round that makes durable what has been learned of keys.
    pub(crate) fn keys(&self) -> u64 {
        let round = self.filling().round;
        self.filled.notify_one();
        round
    }

    /// Makes batch after batch durable until `end`, and then what is left.
    ///
    /// # Errors
    /// When a batch can never be kept, or the program is ending.
    pub(crate) async fn run(&self, link: &Link, end: impl Future<Output = ()>) -> Result<(), IngestError> {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = self.filled.notified() => self.deliver(link).await?,
                () = &mut end => return self.deliver(link).await,
            }
        }
    }

    async fn deliver(&self, link: &Link) -> Result<(), IngestError> {
        let received = link.clock().now();
        let (round, rows, sessions) = {
            let mut filling = self.filling();
            let round = filling.round;
            filling.round += 1;
            let rows = (!filling.rows.is_empty()).then(|| filling.rows.take(received));
            (round, rows, std::mem::take(&mut filling.sessions))
        };
        let sessions = (!sessions.is_empty()).then(|| Batch::changes(Arc::clone(&SESSIONS), received, sessions));
        let deliver = |batch: Option<Batch>| async move {
            match batch {
                Some(batch) => link.deliver(batch, None).await,
                None => Ok(()),
            }
        };
        try_join3(deliver(rows), deliver(sessions), self.keep_keys(link)).await?;
        self.durable.send_replace(round);
        Ok(())
    }

    /// Keeps what has been learned of keys. While that is not possible it waits and tries again, and nothing is acknowledged.
    async fn keep_keys(&self, link: &Link) -> Result<(), IngestError> {
        let records: Arc<[_]> = self.security.keyring.take_pending().into();
        let Some(store) = self.security.store.as_ref().filter(|_| !records.is_empty()) else { return Ok(()) };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), 0);
        for attempt in 0_u32.. {
            let (store, records) = (Arc::clone(store), Arc::clone(&records));
            let kept = tokio::task::spawn_blocking(move || store.append(&records)).await;
            let reason = match kept {
                Ok(Ok(())) if attempt == 0 => return Ok(()),
                Ok(Ok(())) => {
                    link.report(State::Connected);
                    return Ok(());
                }
                Ok(Err(error)) => format!("failed to keep keys: {error}"),
                Err(error) => format!("failed to keep keys: {error}"),
            };
            link.report(State::Refused(reason));
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = link.stop().cancelled() => break,
            }
        }
        Err(IngestError::Closed)
    }
}
