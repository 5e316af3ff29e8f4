//! Runs rules over what the store takes in, and keeps what becomes of alarms in the store: so each is there once, whatever happens
//! in between. After a restart, what came in since the last checkpoint is looked at once more; the same rows raise the same alarms
//! at the same times, and the store knows those that it has.

mod checkpoint;
mod follow;
pub(crate) mod kept;
pub(crate) mod open;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diagnosis::{ALARM_PROFILE, Alarm, Book, By, Deed, DeedError, Record, Rule, RuleError, batch};
use gateway::{IngestError, Link};
use model::Timestamp;
use store::Store;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::follow::{Ended, Follower};
use self::open::Open;
use crate::config::DiagnosisConfig;
use crate::rules::{Rules, RulesError};

/// The name by which alarms are kept.
pub(crate) const NAME: &str = ALARM_PROFILE;
/// Records that are kept at once.
const RECORDS_MAX: usize = 5_000;

/// See the module.
pub(crate) struct Alarms {
    link: Link,
    rules: Vec<Arc<Rule>>,
    mistakes: Vec<RuleError>,
    texts: BTreeMap<String, String>,
    checkpoint: PathBuf,
    shelf: Mutex<Shelf>,
    /// Counts up with each change of the book.
    revision: watch::Sender<u64>,
    health: Mutex<Health>,
    counted: Mutex<Option<(Instant, Arc<Open>)>>,
}

#[derive(Default)]
struct Shelf {
    book: Book,
    /// No two deeds have the same time.
    last_deed: Timestamp,
}

/// How the rules are doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// Rules that do not fit the profile that they are about.
    pub(crate) problems: Vec<RuleError>,
    /// Rows that came later than newer ones of their asset.
    pub(crate) late: u64,
    /// Those of them that came too late to be looked at.
    pub(crate) too_late: u64,
    /// Rows that came in until then have been looked at.
    pub(crate) place: Timestamp,
    /// Why nothing is looked at.
    pub(crate) trouble: Option<String>,
}

/// Why a deed is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    #[error(transparent)]
    Senseless(#[from] DeedError),
    #[error("it could not be kept: {0}")]
    NotKept(IngestError),
}

impl Alarms {
    /// The rules that `config` names; what is kept goes through `link`, and how far they have come into the data directory `data`.
    ///
    /// # Errors
    /// When a file of rules does not read. What is wrong with a rule is told, and the others run.
    pub(crate) fn open(config: &DiagnosisConfig, link: Link, data: &Path) -> Result<Arc<Self>, RulesError> {
        let mut own = Rules::default();
        config.rules.iter().try_for_each(|path| own.read(path))?;
        let shipped = if config.shipped_rules { Rules::shipped() } else { Rules::default() };
        let Rules { rules, mistakes, texts, .. } = shipped.replaced_by(own);
        for mistake in &mistakes {
            tracing::error!(%mistake, "a rule cannot be used");
        }
        let rules = rules.into_iter().map(Arc::new).collect();
        let checkpoint = data.join("diagnosis").join("checkpoint");
        Ok(Arc::new(Self {
            link,
            rules,
            mistakes,
            texts,
            checkpoint,
            shelf: Mutex::default(),
            revision: watch::Sender::default(),
            health: Mutex::default(),
            counted: Mutex::default(),
        }))
    }

    /// How the rule `id` is written.
    pub(crate) fn text(&self, id: &str) -> Option<&str> {
        self.texts.get(id).map(String::as_str)
    }

    /// The rules, also those that are not enabled.
    pub(crate) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// What is wrong with rules that do not.
    pub(crate) fn mistakes(&self) -> &[RuleError] {
        &self.mistakes
    }

    /// How they are doing.
    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the alarms, what `read` makes of them; and the number of the state that they are in.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> (T, u64) {
        let revision = *self.revision.borrow();
        (read(&self.shelf().book), revision)
    }

    /// Waits until the number of the state is another one than `revision`.
    pub(crate) async fn later_than(&self, revision: u64) {
        // It only fails when the sender is gone, which is here.
        let _ = self.revision.subscribe().wait_for(|now| *now != revision).await;
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.link.clock().now()
    }

    /// Does `deed` with the alarm `rule` of `asset`, which was raised at `raised` for all that `by` knows; returns when that is
    /// durable.
    ///
    /// # Errors
    /// When it makes no sense, or cannot be kept.
    pub(crate) async fn act(
        &self,
        (asset, rule): (&str, &str),
        raised: Option<Timestamp>,
        deed: Deed,
        by: By,
    ) -> Result<Alarm, NotDone> {
        let record = {
            let mut shelf = self.shelf();
            let now = self.link.clock().now().max(shelf.last_deed.plus_nanos(1));
            let record = shelf.book.deed((asset, rule), raised, deed, by, now)?;
            shelf.last_deed = now;
            record
        };
        self.keep(&[record]).await.map_err(NotDone::NotKept)?;
        let shelf = self.shelf();
        let unknown = || DeedError::Unknown { rule: rule.to_owned(), asset: asset.to_owned() };
        Ok(shelf.book.get(asset, rule).ok_or_else(unknown)?.clone())
    }

    /// Makes `records` durable, and has them count.
    ///
    /// # Errors
    /// When they cannot be kept.
    pub(crate) async fn keep(&self, records: &[Record]) -> Result<(), IngestError> {
        for records in records.chunks(RECORDS_MAX) {
            self.link.deliver(batch(records, self.link.clock().now()), None).await?;
            self.count(records);
        }
        Ok(())
    }

    fn count(&self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        let mut shelf = self.shelf();
        records.iter().for_each(|record| shelf.book.apply(record));
        drop(shelf);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Follows `store` until `stop`.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<Store>, stop: CancellationToken) {
        let follow = async {
            let follower = Follower::begin(Arc::clone(&self), store).await?;
            follower.run(&stop).await
        };
        if let Err(Ended::Broken(reason)) = follow.await {
            tracing::error!(reason, "no rules run any more");
            self.see(Health { trouble: Some(reason), ..self.health() });
        }
    }
}
