//! What is new, for everyone who watches: one task turns durable rows into text once, however many watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{AssetId, AssetKind, Batch, Rows};
use store::Store;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::http::observation::ObservationJson;

/// How long rows are gathered before they are told.
const GATHER: Duration = Duration::from_millis(100);
/// More new rows than this at once are not told one by one: watchers fetch the latest values instead.
const ROWS_MAX: usize = 5_000;
/// Tellings that a slow watcher may be behind.
const QUEUE: usize = 256;

/// What watchers are told.
#[derive(Debug, Clone)]
pub(crate) enum Telling {
    /// New observations: of each asset, JSON objects with commas between them.
    Observations(Arc<BTreeMap<Arc<str>, String>>),
    /// There was too much: fetch the latest values.
    Resync,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Live {
    tellings: broadcast::Sender<Telling>,
    watchers: Arc<Watchers>,
}

/// How many watch assets of each kind: what nobody watches is not turned into text.
#[derive(Default)]
struct Watchers([AtomicUsize; AssetKind::ALL.len()]);

impl Watchers {
    fn of(&self, kind: AssetKind) -> &AtomicUsize {
        &self.0[kind as usize]
    }

    fn want(&self, batch: &Batch) -> bool {
        let assets: &[AssetId] = match &batch.rows {
            Rows::Changes(changes) => &changes.assets,
            Rows::Frames(frames) => &frames.assets,
        };
        assets.iter().any(|asset| self.of(asset.kind()).load(Ordering::Relaxed) > 0)
    }
}

/// Counts among the watchers for as long as it is there.
pub(crate) struct Watching {
    watchers: Arc<Watchers>,
    kinds: Vec<AssetKind>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        for kind in &self.kinds {
            self.watchers.of(*kind).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { tellings: broadcast::Sender::new(QUEUE), watchers: Arc::default() }
    }

    /// Watches assets of `kinds`; what it is told may be about others as well.
    pub(crate) fn watch(&self, kinds: Vec<AssetKind>) -> (broadcast::Receiver<Telling>, Watching) {
        for kind in &kinds {
            self.watchers.of(*kind).fetch_add(1, Ordering::Relaxed);
        }
        (self.tellings.subscribe(), Watching { watchers: Arc::clone(&self.watchers), kinds })
    }

    pub(crate) fn watchers(&self) -> usize {
        self.tellings.receiver_count()
    }

    /// Tells what `store` takes in, until `stop`.
    pub(crate) async fn run(self, store: Arc<Store>, stop: CancellationToken) {
        let mut changes = store.subscribe();
        let mut gathered: Vec<Arc<Batch>> = Vec::new();
        let mut rows = 0;
        loop {
            let received = tokio::select! {
                received = changes.recv() => received,
                () = stop.cancelled() => return,
            };
            let mut missed = false;
            match received {
                Ok(batch) if self.watchers.want(&batch) => {
                    rows += batch.len();
                    gathered.push(batch);
                }
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(_)) => missed = true,
                Err(broadcast::error::RecvError::Closed) => return,
            }
            tokio::time::sleep(GATHER).await;
            loop {
                match changes.try_recv() {
                    Ok(batch) if self.watchers.want(&batch) => {
                        rows += batch.len();
                        if rows <= ROWS_MAX {
                            gathered.push(batch);
                        }
                    }
                    Ok(_) => {}
                    Err(broadcast::error::TryRecvError::Lagged(_)) => missed = true,
                    Err(_) => break,
                }
            }
            if self.watchers() > 0 {
                if missed || rows > ROWS_MAX {
                    let _ = self.tellings.send(Telling::Resync);
                } else {
                    self.tell(&gathered);
                }
            }
            gathered.clear();
            rows = 0;
        }
    }

    fn tell(&self, batches: &[Arc<Batch>]) {
        let mut by_asset: BTreeMap<Arc<str>, String> = BTreeMap::new();
        for batch in batches {
            let observations = match &batch.rows {
                Rows::Changes(changes) => ObservationJson::of_changes(batch, changes),
                Rows::Frames(frames) => ObservationJson::of_frames(batch, frames),
            };
            for observation in observations {
                let Ok(object) = serde_json::to_string(&observation) else { continue };
                let objects = by_asset.entry(observation.asset).or_default();
                if !objects.is_empty() {
                    objects.push(',');
                }
                objects.push_str(&object);
            }
        }
        let _ = self.tellings.send(Telling::Observations(Arc::new(by_asset)));
    }
}
