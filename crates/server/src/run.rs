//! One server from start to end: opens the store, listens, runs the gateways, and ends in the opposite order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway::{Ingest, Link, Quarantine};
use model::Clock;
use query::{Engine, QueryError, SPILL_PREFIX};
use store::{OpenError, Plan, Store, StoreOptions, SystemDisk};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::SystemClock;
use crate::alarms::{self, Alarms};
use crate::config::{Config, ConfigError};
use crate::fleet::follow::Follower;
use crate::flight_sql;
use crate::forwards::Forwards;
use crate::http::backtest::Backtests;
use crate::http::backup::Backups;
use crate::http::fleet::FleetView;
use crate::http::write::Writing;
use crate::http::{self, App};
use crate::ingest::StoreIngest;
use crate::live::Live;
use crate::notify::Notifiers;
use crate::postgres;
use crate::quarantine::FileQuarantine;
use crate::receive::{self, Receivers};
use crate::rules::RulesError;
use crate::sources::Sources;
use crate::vehicles::Vehicles;

/// How long open requests may take when the server ends.
const GRACE: Duration = Duration::from_secs(2);

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(ConfigError),
    /// The address is taken, or not ours.
    #[error(
        "failed to listen on {address}: is another Tongmai running there? `http.listen` (or --listen) names another address"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address of PostgreSQL's protocol is taken, or not ours.
    #[error("failed to listen on {address} for PostgreSQL's protocol: `postgres.listen` names another address")]
    ListenPostgres {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address of Flight SQL is taken, or not ours.
    #[error("failed to listen on {address} for Flight SQL: `flight_sql.listen` names another address")]
    ListenFlightSql {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data directory cannot be opened.
    #[error("failed to open the data directory `{path}`")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The rules do not read.
    #[error(transparent)]
    Rules(RulesError),
    /// No questions can be answered.
    #[error("failed to start the SQL engine")]
    Query(#[source] QueryError),
    /// A part of the program broke down while starting.
    #[error("a part of the program broke down while starting")]
    Broken(#[source] JoinError),
}

/// See the module.
pub struct Server;

/// A server that runs.
pub struct Running {
    address: SocketAddr,
    postgres: Option<SocketAddr>,
    flight_sql: Option<SocketAddr>,
    stop: CancellationToken,
    served: JoinHandle<io::Result<()>>,
    tasks: Vec<JoinHandle<()>>,
    app: Arc<App>,
}

impl Server {
    /// Starts a server that keeps its data in `data`.
    ///
    /// # Errors
    /// See [`ServeError`]. A gateway that cannot start is no such error: the others run, and it says why.
    pub async fn start(config: Config, data: PathBuf) -> Result<Running, ServeError> {
        config.check().map_err(ServeError::Config)?;
        let address = config.http.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let postgres = postgres::listen(&config.postgres)?;
        let postgres_address = postgres.as_ref().map(|postgres| postgres.address);
        let flight_sql = flight_sql::listen(&config.flight_sql)?;
        let flight_sql_address = flight_sql.as_ref().map(|flight_sql| flight_sql.address);
        let store = Arc::new(open(&config, data.clone()).await?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bytes_max = config.store.quarantine_bytes_max;
        let quarantine = Arc::new(FileQuarantine::new(data.join("quarantine"), bytes_max, Arc::clone(&clock)));
        let stop = CancellationToken::new();
        let (live, follower) = (Live::new(), Arc::<Follower>::default());
        let ingest: Arc<dyn Ingest> = Arc::new(StoreIngest(Arc::clone(&store)));
        let keeper: Arc<dyn Quarantine> = Arc::<FileQuarantine>::clone(&quarantine);
        let mut tasks = vec![
            tokio::spawn(live.clone().run(Arc::clone(&store), stop.clone())),
            tokio::spawn(Arc::clone(&follower).run(Arc::clone(&store), stop.clone())),
            tokio::spawn(keep(
                Arc::clone(&store),
                Duration::from_secs(config.store.seal_interval_secs),
                config.store.plan().map_err(ServeError::Config)?,
                Arc::clone(&clock),
                stop.clone(),
            )),
        ];
        let link = |name| Link::new(name, Arc::clone(&ingest), Arc::clone(&keeper), Arc::clone(&clock), stop.clone());
        let vehicles = Vehicles::new(data.join("accepted"), link(gateway_gbt32960::ORDER_PROFILE));
        let mut sources = Sources::start(&config.gateways, &store, &ingest, &keeper, &clock, &vehicles, &stop);
        let [lines, samples] = [receive::LINE_PROTOCOL, receive::REMOTE_WRITE].map(|name| (name, link(name)));
        [&lines, &samples].into_iter().for_each(|(name, link)| sources.wait(name, link.clone()));
        let alarms = Alarms::open(&config.diagnosis, link(alarms::NAME), &data).map_err(ServeError::Rules)?;
        tasks.push(tokio::spawn(Arc::clone(&alarms).run(Arc::clone(&store), stop.clone())));
        let notifiers = Notifiers::start(&config.notify, &alarms, &store, &data, &stop);
        let forwards = Forwards::start(&config.forwards, &store, &data, &clock, &stop);
        let receivers = Receivers::new(&config.write, &store, Arc::clone(&ingest), lines.1, samples.1);
        let app = Arc::new(App {
            engine: Arc::new(engine(&config, &data).await?),
            questions: Arc::new(Semaphore::new(config.query.concurrent_max)),
            waiting: Semaphore::new(http::WAITING_MAX),
            limits: config.query,
            sources,
            vehicles,
            alarms,
            backtests: Backtests::new(),
            forwards,
            notifiers,
            writing: Writing::new(receivers, config.write, !address.ip().is_loopback()),
            backups: Backups::new(config.backup.dir),
            store,
            clock,
            quarantine,
            live,
            fleet: FleetView::new(follower, config.fleet),
            stop: stop.clone(),
        });
        tasks.extend(speak(&app, postgres, flight_sql));
        tasks.push(tokio::spawn(http::orders::look_after(Arc::clone(&app))));
        let router = http::router(Arc::clone(&app), !config.http.allow_remote_without_accounts);
        let stopped = stop.clone().cancelled_owned();
        let served = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        tracing::info!(%address, data = %data.display(), "serving");
        Ok(Running { address, postgres: postgres_address, flight_sql: flight_sql_address, stop, served, tasks, app })
    }
}

/// Answers by those protocols that are listened for.
fn speak(
    app: &Arc<App>,
    postgres: Option<postgres::Listening>,
    flight_sql: Option<flight_sql::Listening>,
) -> impl Iterator<Item = JoinHandle<()>> {
    let stop = || app.stop.clone();
    let postgres = postgres.map(|postgres| tokio::spawn(postgres.serve(postgres::service(app), stop())));
    let flight_sql = flight_sql.map(|flight_sql| tokio::spawn(flight_sql.serve(flight_sql::service(app), stop())));
    postgres.into_iter().chain(flight_sql)
}

async fn open(config: &Config, data: PathBuf) -> Result<Store, ServeError> {
    let options = StoreOptions {
        hot_rows_max: config.store.hot_rows_max,
        hot_bytes_max: config.store.hot_bytes_max.unwrap_or(config.limits.share()),
        log_bytes_max: config.store.log_bytes_max,
        ..StoreOptions::new(data.clone())
    };
    let opened = tokio::task::spawn_blocking(move || Store::open(options, Arc::new(SystemDisk)));
    let (store, recovery) =
        opened.await.map_err(ServeError::Broken)?.map_err(|source| ServeError::Open { path: data, source })?;
    if recovery.rows > 0 {
        tracing::info!(rows = recovery.rows, "recovered from the log");
    }
    recovery.tell();
    Ok(store)
}

/// The SQL engine, with an empty folder for its temporary files.
async fn engine(config: &Config, data: &Path) -> Result<Engine, ServeError> {
    let memory_bytes = config.query.memory_bytes_max.unwrap_or(config.limits.share());
    let spill = config.query.spill_dir.clone().unwrap_or_else(|| data.join("spill"));
    let made = tokio::task::spawn_blocking(move || {
        remove_spilled(&spill);
        Engine::spilling_to(spill, memory_bytes).or_else(|error| {
            // A full disk, for example: questions that need no such files are answered nevertheless.
            tracing::warn!(%error, "temporary files of questions go to the system's folder for them");
            Engine::new(memory_bytes)
        })
    });
    made.await.map_err(ServeError::Broken)?.map_err(ServeError::Query)
}

/// Removes what a run that did not end by itself left in the folder for temporary files, and nothing else.
fn remove_spilled(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(SPILL_PREFIX) {
            continue;
        }
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "temporary files of an earlier run could not be removed");
        }
    }
}

/// Every `interval`: rows in memory become segments, segments are merged where that pays, and what `plan` no longer keeps
/// is forgotten.
async fn keep(store: Arc<Store>, interval: Duration, plan: Plan, clock: Arc<dyn Clock>, stop: CancellationToken) {
    warn_of_unknown_profiles(&store, &plan);
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = store.seal().await {
            tracing::warn!(%error, "rows in memory could not be written to segments");
        }
        if let Err(error) = store.maintain(clock.now(), plan.clone()).await {
            tracing::warn!(%error, "segments could not be looked after");
        }
    }
}

/// A hold that names no profile there is protects nothing: somebody may have mistyped it.
fn warn_of_unknown_profiles(store: &Store, plan: &Plan) {
    let snapshot = store.snapshot();
    let held = plan.holds.iter().filter_map(|hold| hold.profile.as_deref());
    let forgotten = plan.retention.iter().filter_map(|retention| retention.profile.as_deref());
    for profile in held.chain(forgotten) {
        if !snapshot.tables.iter().any(|table| table.profile.id() == profile) {
            tracing::warn!(profile, "a hold or a retention is for a profile that is not there");
        }
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it speaks PostgreSQL's protocol, if it does.
    pub fn postgres(&self) -> Option<SocketAddr> {
        self.postgres
    }

    /// Where it speaks Flight SQL, if it does.
    pub fn flight_sql(&self) -> Option<SocketAddr> {
        self.flight_sql
    }

    /// Ends it: gateways first, then what they delivered is made durable, then the rest.
    pub async fn stop(self) {
        let Self { stop, mut served, tasks, app, .. } = self;
        stop.cancel();
        if tokio::time::timeout(GRACE, &mut served).await.is_err() {
            served.abort();
            let _ = served.await;
        }
        for task in tasks {
            let _ = task.await;
        }
        // Requests that were cut off may hold the rest for a moment longer.
        let mut app = app;
        for _ in 0..50 {
            match Arc::try_unwrap(app) {
                Ok(App { sources, forwards, notifiers, store, writing, vehicles, alarms, .. }) => {
                    // They hold the way into the store.
                    drop((writing, vehicles, alarms));
                    sources.ended().await;
                    forwards.ended().await;
                    notifiers.ended().await;
                    close(store).await;
                    return;
                }
                Err(held) => app = held,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tracing::warn!("ended while requests were under way; everything acknowledged is in the log");
    }
}

async fn close(store: Arc<Store>) {
    if let Some(store) = Arc::into_inner(store) {
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}
