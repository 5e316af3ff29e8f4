//! Follows the store: row by row as it comes in, or, where that was missed, as it is kept. Must not know of HTTP.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use diagnosis::{Alarm, Engine, Event, Record};
use gateway::IngestError;
use model::{AssetId, Batch, Timestamp};
use store::{Snapshot, Store, TableSnapshot};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::kept::{kept, read, span};
use super::{Alarms, Health, NAME};
use crate::own;

/// How often it is kept how far the rules have come.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked for what happens by itself.
const TICK: Duration = Duration::from_secs(1);
/// How long it waits after the store did not read.
const RETRY: Duration = Duration::from_secs(1);
/// Rows that are looked at together, as they come in.
const LIVE_ROWS: usize = 20_000;
/// About as many rows are read at once of what is kept.
const SPAN_ROWS: u64 = 200_000;
/// Where nothing is known of how far the rules have come, what came in before that is not looked at.
const LOOK_BACK: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub(super) struct Follower {
    alarms: Arc<Alarms>,
    store: Arc<Store>,
    engine: Engine,
    /// Rows that came in until then have been looked at.
    place: Timestamp,
    /// Where the file says that it is.
    written: Timestamp,
    changes: broadcast::Receiver<Arc<Batch>>,
}

/// Why it goes no further.
pub(super) enum Ended {
    /// The program is ending.
    Stopped,
    /// Something broke down.
    Broken(String),
}

impl From<IngestError> for Ended {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Closed => Self::Stopped,
            error => Self::Broken(format!("an alarm cannot be kept: {error}")),
        }
    }
}

/// What a span of receipts tells.
#[derive(Default)]
struct Seen {
    /// What was kept of alarms, in the order in which it was.
    kept: Vec<Record>,
    /// What the rules say.
    found: Vec<Record>,
}

impl Follower {
    /// A follower that is where the last one was. Whatever comes in from now on, it hears of.
    pub(super) async fn begin(alarms: Arc<Alarms>, store: Arc<Store>) -> Result<Self, Ended> {
        let changes = store.subscribe();
        let enabled = alarms.rules.iter().filter(|rule| rule.enabled);
        let engine = Engine::new(enabled.map(|rule| (**rule).clone())).with_natives();
        let path = alarms.checkpoint.clone();
        let known = blocking(move || Checkpoint::read(&path)).await?.unwrap_or_else(|error| {
            tracing::error!(%error, "what the rules remembered does not read: they look at the last day once more");
            None
        });
        let (place, written) = (Timestamp::MIN, Timestamp::MIN);
        let mut follower = Self { alarms, store, engine, place, written, changes };
        if let Some(checkpoint) = known {
            (follower.place, follower.written) = (checkpoint.place(), checkpoint.place());
            follower.engine.go_on(checkpoint.engine);
            follower.alarms.shelf().book = checkpoint.book;
        } else {
            follower.recollect().await?;
        }
        // Rules about silence are told of assets that say nothing more.
        for table in &follower.store.snapshot().tables {
            follower.engine.watches(&table.profile);
        }
        Ok(follower)
    }

    /// Takes in all that was ever kept of alarms, and goes back by a day.
    async fn recollect(&mut self) -> Result<(), Ended> {
        let snapshot = self.store.snapshot();
        self.place = snapshot.received.plus_nanos(-(LOOK_BACK.as_nanos() as i64));
        let until = snapshot.received;
        let mut after = Timestamp::MIN;
        while after < until {
            let (snapshot, seen_until) = (self.store.snapshot(), until);
            let seen = blocking(move || {
                let tables = || snapshot.tables.iter().filter(|table| table.profile.id() == NAME);
                let until = span(&tables(), after, seen_until, SPAN_ROWS);
                tables().try_fold(Vec::new(), |_, table| kept(table, after, until)).map(|kept| (kept, until))
            });
            let (kept, seen_until) = seen.await?.map_err(Ended::Broken)?;
            self.alarms.count(&kept.into_iter().map(|(_, record)| record).collect::<Vec<_>>());
            after = seen_until;
        }
        Ok(())
    }

    /// Goes on until the program ends.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), Ended> {
        self.catch_up(stop).await?;
        self.arrive(self.place);
        let active: HashSet<(String, AssetId, Timestamp)> = self.engine.active().into_iter().collect();
        let is_known = |alarm: &Alarm| active.contains(&(alarm.rule.to_string(), alarm.asset.clone(), alarm.raised()));
        let withdrawn = self.alarms.shelf().book.withdrawn(is_known, self.alarms.now());
        self.alarms.keep(&withdrawn).await?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checkpointed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                batch = self.changes.recv() => match batch {
                    Ok(batch) => self.take(batch, stop).await?,
                    Err(RecvError::Lagged(_)) => self.catch_up(stop).await?,
                    Err(RecvError::Closed) => break,
                },
                _ = tick.tick() => {
                    let due = self.alarms.shelf().book.unshelved(self.alarms.now());
                    self.alarms.keep(&due).await?;
                    if checkpointed.elapsed() >= CHECKPOINT_EVERY {
                        self.checkpoint().await?;
                        checkpointed = Instant::now();
                    }
                }
            }
        }
        self.checkpoint().await
    }

    /// Looks at `batch`, and at others that are there already.
    async fn take(&mut self, batch: Arc<Batch>, stop: &CancellationToken) -> Result<(), Ended> {
        let mut rows = batch.len();
        let mut batches = vec![batch];
        let mut is_behind = false;
        while rows < LIVE_ROWS {
            match self.changes.try_recv() {
                Ok(batch) => {
                    rows += batch.len();
                    batches.push(batch);
                }
                Err(TryRecvError::Lagged(_)) => {
                    is_behind = true;
                    break;
                }
                Err(_) => break,
            }
        }
        let last = batches.iter().map(|batch| batch.received).fold(self.place, Timestamp::max);
        let place = self.place;
        batches.retain(|batch| batch.received > place && batch.profile.id() != NAME);
        if !batches.is_empty() {
            let found = self.with_engine(move |engine| {
                let is_own = |batch: &&Arc<Batch>| batch.profile.id() == own::NAME;
                engine.tick(batches.iter().filter(is_own).map(|batch| batch.received));
                let mut events: Vec<Event> = batches.iter().flat_map(|batch| engine.take(batch)).collect();
                if batches.iter().any(|batch| is_own(&batch)) {
                    events.extend(engine.advance());
                }
                events.iter().map(Record::from).collect::<Vec<_>>()
            });
            let found = found.await?;
            self.alarms.keep(&found).await?;
        }
        self.arrive(last);
        if is_behind { self.catch_up(stop).await } else { Ok(()) }
    }

    /// Looks at what is kept and has not been looked at.
    async fn catch_up(&mut self, stop: &CancellationToken) -> Result<(), Ended> {
        loop {
            let until = self.store.received();
            if until <= self.place {
                return Ok(());
            }
            if stop.is_cancelled() {
                return Err(Ended::Stopped);
            }
            let (after, snapshot) = (self.place, self.store.snapshot());
            let seen = self.with_engine(move |engine| see(engine, &snapshot, after, until)).await?;
            match seen {
                Ok((seen, until)) => {
                    self.alarms.count(&seen.kept);
                    self.alarms.keep(&seen.found).await?;
                    self.arrive(until);
                }
                Err(error) => {
                    // Whoever reads a damaged segment has it put right.
                    tracing::error!(error, "the rules cannot go on for the moment");
                    self.alarms.see(Health { trouble: Some(error), ..self.alarms.health() });
                    let _ = stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                }
            }
        }
    }

    fn arrive(&mut self, place: Timestamp) {
        self.place = place;
        let (late, too_late) = (self.engine.late(), self.engine.too_late());
        self.alarms.see(Health { problems: self.engine.problems().to_vec(), late, too_late, place, trouble: None });
    }

    /// Does `work` where it keeps nobody waiting.
    async fn with_engine<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let mut engine = std::mem::take(&mut self.engine);
        let (engine, done) = blocking(move || {
            let done = work(&mut engine);
            (engine, done)
        })
        .await?;
        self.engine = engine;
        Ok(done)
    }

    /// Keeps how far the rules have come.
    async fn checkpoint(&mut self) -> Result<(), Ended> {
        if self.place == self.written {
            return Ok(());
        }
        let (place, path) = (self.place, self.alarms.checkpoint.clone());
        let book = self.alarms.shelf().book.clone();
        let written = self.with_engine(move |engine| Checkpoint::new(place, engine.state(), book).write(&path)).await?;
        match written {
            Ok(()) => self.written = place,
            Err(error) => tracing::warn!(%error, "it cannot be kept how far the rules have come"),
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ended> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| if error.is_panic() { Ended::Broken("it broke down".to_owned()) } else { Ended::Stopped })
}

/// What came in after `after`: all of it until `until`, or until a time before, which is told.
fn see(
    engine: &mut Engine,
    snapshot: &Snapshot,
    after: Timestamp,
    until: Timestamp,
) -> Result<(Seen, Timestamp), String> {
    let is_wanted =
        |table: &&TableSnapshot| [NAME, own::NAME].contains(&table.profile.id()) || engine.watches(&table.profile);
    let tables: Vec<&TableSnapshot> = snapshot.tables.iter().filter(is_wanted).collect();
    let until = span(&tables.iter().copied(), after, until, SPAN_ROWS);
    // All is read before any of it is looked at: what fails is tried again as a whole.
    let mut seen = Seen::default();
    let mut parts = Vec::new();
    for table in tables {
        if table.profile.id() == NAME {
            seen.kept = kept(table, after, until)?.into_iter().map(|(_, record)| record).collect();
        } else {
            parts.extend(read(table, after, until)?);
        }
    }
    let of_own = parts.iter().filter(|part| part.profile.id() == own::NAME);
    let mut ticks: Vec<Timestamp> = of_own.flat_map(|part| part.received.iter().copied()).collect();
    ticks.sort_unstable();
    engine.tick(ticks);
    for part in &parts {
        let events = engine.replay(&part.profile, &part.rows, &part.received);
        seen.found.extend(events.iter().map(Record::from));
    }
    seen.found.extend(engine.advance().iter().map(Record::from));
    Ok((seen, until))
}
