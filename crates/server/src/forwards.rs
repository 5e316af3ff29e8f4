//! The upstreams that the configuration names, each with a forwarder that reads the store. Knows each kind by its constructor
//! only.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forward_gbt32960::{
    Begin, ForwardOptions, Forwarder, Part, Place, ReadError, Replies, Reports, State, Status, Vehicles, Wanted,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use gbt32960::{Edition, Standard, Vin};
use model::{Clock, Timestamp};
use store::{ReceivedPlace, ReceivedSpan, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{BeginConfig, ForwardConfig, Gbt32960ForwardConfig, RepliesConfig};
use crate::forward_keys;

/// What the store holds, for forwarders.
struct StoreReports(Arc<Store>);

impl Reports for StoreReports {
    fn received(&self) -> Timestamp {
        self.0.received()
    }

    fn read(&self, wanted: Wanted) -> BoxFuture<'static, Result<Option<Part>, ReadError>> {
        // The snapshot alone is held while files are read, so that the store can be closed.
        let snapshot = self.0.snapshot();
        let read = tokio::task::spawn_blocking(move || {
            let table = snapshot.tables.iter().find(|table| table.profile.id() == wanted.table);
            let Some(table) = table else { return Ok(None) };
            let behind = wanted.behind.map(|Place { asset, time, sequence }| ReceivedPlace { asset, time, sequence });
            let (receipts, rows_max) = ((wanted.after, wanted.until), wanted.rows_max);
            let is_wanted = |asset: &str| wanted.vehicles.contain(asset);
            let span = ReceivedSpan { behind: behind.as_ref(), ..ReceivedSpan::new(receipts, &is_wanted, rows_max) };
            let found = table.received(&span).map_err(|error| {
                let path = error.path.display().to_string();
                ReadError(format!("the segment `{path}`: {}", error.source))
            })?;
            let (profile, rows, received, is_all) = (found.profile, found.rows, found.received, found.is_all);
            Ok(Some(Part { profile, rows, received, is_all }))
        });
        read.map(|read| read.unwrap_or_else(|error| Err(ReadError(error.to_string())))).boxed()
    }

    fn rows_about(&self, table: &str, after: Timestamp, until: Timestamp) -> u64 {
        let snapshot = self.0.snapshot();
        let table = snapshot.tables.iter().find(|known| known.profile.id() == table);
        table.map_or(0, |table| table.rows_received_about(after, until))
    }
}

/// One upstream, for whoever asks how it is doing.
struct Forward {
    config: ForwardConfig,
    /// Or why there is none.
    made: Result<Arc<Forwarder>, Box<Status>>,
}

/// How one upstream is doing.
#[derive(Debug, Clone)]
pub(crate) struct ForwardReport {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) address: String,
    pub(crate) edition: u16,
    pub(crate) status: Status,
}

/// All upstreams.
pub(crate) struct Forwards {
    forwards: Vec<Forward>,
    tasks: JoinSet<()>,
}

impl Forwards {
    /// Starts a forwarder for each of `configs`, which keep how far they have come in the data directory `data`. One that
    /// cannot start says so in its state, and the others run.
    pub(crate) fn start(
        configs: &[ForwardConfig],
        store: &Arc<Store>,
        data: &Path,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Self {
        let mut all = Self { forwards: Vec::new(), tasks: JoinSet::new() };
        let standard = Arc::new(Standard::built_in());
        for config in configs {
            let ForwardConfig::Gbt32960(gbt32960) = config;
            let options = options(gbt32960, data);
            let sealed = options.and_then(|options| {
                let seal = forward_keys::seal(gbt32960.encryption_key.as_deref(), options.edition)?;
                Ok((options, seal))
            });
            let made = sealed.map(|(options, seal)| {
                let reports = Arc::new(StoreReports(Arc::clone(store)));
                let (standard, clock) = (Arc::clone(&standard), Arc::clone(clock));
                let forwarder = Arc::new(Forwarder::new(options, standard, reports, seal, clock));
                let (running, stop) = (Arc::clone(&forwarder), stop.clone());
                all.tasks.spawn(async move { running.run(stop).await });
                forwarder
            });
            let made = made.map_err(|reason| {
                tracing::error!(forward = gbt32960.name, reason, "nothing is forwarded");
                Box::new(Status::new(State::Failed(reason), clock.now()))
            });
            all.forwards.push(Forward { config: config.clone(), made });
        }
        all
    }

    /// How all of them are doing.
    pub(crate) fn reports(&self) -> Vec<ForwardReport> {
        let report = |forward: &Forward| {
            let ForwardConfig::Gbt32960(config) = &forward.config;
            let status = match &forward.made {
                Ok(forwarder) => forwarder.status(),
                Err(status) => (**status).clone(),
            };
            let (name, address) = (config.name.clone(), config.address.clone());
            ForwardReport { name, kind: "gbt32960", address, edition: config.edition, status }
        };
        self.forwards.iter().map(report).collect()
    }

    /// Waits until all have ended; they have been told to.
    pub(crate) async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn options(config: &Gbt32960ForwardConfig, data: &Path) -> Result<ForwardOptions, String> {
    let edition = Edition::of_year(config.edition).ok_or("expected edition = 2016 or 2025")?;
    let code = config.code.as_deref().unwrap_or(&config.user);
    let cursor = data.join("forward").join(format!("{}.json", config.name));
    Ok(ForwardOptions {
        takes_2016: config.takes_2016,
        user: config.user.clone(),
        password: config.password.0.clone(),
        code: Vin::padded(code).ok_or("expected a code of at most 17 characters of ASCII")?,
        vehicles: vehicles(config)?,
        replies: match config.replies {
            RepliesConfig::Each => Replies::Each,
            RepliesConfig::None => Replies::None,
        },
        begin: match config.begin {
            BeginConfig::Now => Begin::Now,
            BeginConfig::Oldest => Begin::Oldest,
        },
        window_frames: config.window_frames,
        fresh_max: Duration::from_secs(config.fresh_secs_max),
        heartbeat: Duration::from_secs(config.heartbeat_secs),
        reply_wait: Duration::from_secs(config.reply_secs_max),
        ..ForwardOptions::new(&config.name, &config.address, edition, cursor)
    })
}

fn vehicles(config: &Gbt32960ForwardConfig) -> Result<Vehicles, String> {
    if config.vehicles.is_none() && config.vins.is_empty() {
        return Ok(Vehicles::All);
    }
    let mut lines = String::new();
    if let Some(path) = &config.vehicles {
        let text = std::fs::read_to_string(path);
        lines = text.map_err(|error| format!("failed to read the vehicles `{}`: {error}", path.display()))?;
    }
    for vin in &config.vins {
        let _ = write!(lines, "\n{vin}");
    }
    Vehicles::read(&lines).map_err(|error| format!("in the list of vehicles: {error}"))
}
