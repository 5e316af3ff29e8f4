//! Tells people and programs of alarms: each target by itself, from what is kept, so that nothing is forgotten when a target, or
//! the server, is down for a while. Must not know how alarms are found.

mod mail;
mod message;
mod mqtt;
mod pace;
mod place;
mod selection;
mod target;
mod teller;
mod waiting;
mod webhook;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Timestamp;
use store::Store;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::selection::Selection;
use self::target::Target;
use self::teller::Teller;
use self::waiting::Reader;
use crate::alarms::Alarms;
use crate::config::NotifyConfig;
use crate::vehicle_keys::seed;

/// One target, for whoever asks how it is doing.
struct Notifier {
    config: NotifyConfig,
    /// Or why there is none.
    made: Result<Arc<Teller>, String>,
    /// One for the test that may be under way.
    test: Semaphore,
}

/// How one target is doing.
#[derive(Debug, Clone)]
pub(crate) struct NotifyReport {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) state: &'static str,
    /// Why, where nothing can be told to it.
    pub(crate) reason: Option<String>,
    /// About how many records wait.
    pub(crate) waiting: u64,
    pub(crate) told: u64,
    pub(crate) given_up: u64,
    pub(crate) failures: u64,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_error: Option<(Timestamp, String)>,
}

/// Why a test did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    #[error("nobody is called `{0}`")]
    Unknown(String),
    #[error("a test is under way already")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

/// All targets.
pub(crate) struct Notifiers {
    notifiers: Vec<Notifier>,
    tasks: JoinSet<()>,
}

impl Notifiers {
    /// Begins to tell each of `configs` what becomes of `alarms` in `store`; how far is kept in the data directory `data`. One that
    /// cannot be told says so in its state, and the others are.
    pub(crate) fn start(
        configs: &[NotifyConfig],
        alarms: &Arc<Alarms>,
        store: &Arc<Store>,
        data: &Path,
        stop: &CancellationToken,
    ) -> Self {
        let mut all = Self { notifiers: Vec::new(), tasks: JoinSet::new() };
        for config in configs {
            let made = teller(config, alarms, store, data).map(|teller| {
                let teller = Arc::new(teller);
                let (running, stop) = (Arc::clone(&teller), stop.clone());
                all.tasks.spawn(async move { running.run(stop).await });
                teller
            });
            if let Err(reason) = &made {
                tracing::error!(notify = config.name, reason, "somebody is not told of alarms");
            }
            all.notifiers.push(Notifier { config: config.clone(), made, test: Semaphore::new(1) });
        }
        all
    }

    /// How all of them are doing.
    pub(crate) fn reports(&self) -> Vec<NotifyReport> {
        self.notifiers.iter().map(Notifier::report).collect()
    }

    /// Tells the target `name` that this is a test.
    ///
    /// # Errors
    /// When there is none, or it has not taken it.
    pub(crate) async fn test(&self, name: &str) -> Result<(), TestError> {
        let found = self.notifiers.iter().find(|notifier| notifier.config.name == name);
        let notifier = found.ok_or_else(|| TestError::Unknown(name.to_owned()))?;
        let teller = notifier.made.as_ref().map_err(|reason| TestError::Failed(reason.clone()))?;
        let _turn = notifier.test.try_acquire().map_err(|_| TestError::Busy)?;
        teller.test().await.map_err(|failure| TestError::Failed(failure.reason))
    }

    /// Waits until all have ended; they have been told to.
    pub(crate) async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn teller(config: &NotifyConfig, alarms: &Arc<Alarms>, store: &Arc<Store>, data: &Path) -> Result<Teller, String> {
    let seed = seed()?;
    Ok(Teller {
        target: Target::new(config)?,
        reader: Reader {
            target: config.name.clone(),
            selection: Selection::new(config),
            alarms: Arc::clone(alarms),
            store: Arc::clone(store),
        },
        path: data.join("notify").join(format!("{}.json", config.name)),
        per_minute_max: config.per_minute_max,
        give_up: Duration::from_secs(config.give_up_secs),
        seed: u64::from_le_bytes(seed[..8].try_into().unwrap_or_default()),
        status: Mutex::default(),
    })
}

impl Notifier {
    fn report(&self) -> NotifyReport {
        let kind = match (&self.config.webhook, &self.config.smtp) {
            (Some(_), _) => "webhook",
            (_, Some(_)) => "smtp",
            _ => "mqtt",
        };
        let (status, waiting) = self.made.as_ref().map(|teller| teller.report()).unwrap_or_default();
        let reason = self.made.as_ref().err().cloned();
        let state = match (&reason, status.attempts) {
            (Some(_), _) => "failed",
            (None, 0) => "ready",
            (None, _) => "retrying",
        };
        NotifyReport {
            name: self.config.name.clone(),
            kind,
            state,
            reason,
            waiting,
            told: status.told,
            given_up: status.given_up,
            failures: status.failures,
            last_success: status.last_success,
            last_error: status.last_error,
        }
    }
}
