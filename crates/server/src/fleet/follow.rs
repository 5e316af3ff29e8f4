//! Follows the store for as long as somebody looks at the fleet: a complete picture first, and then what is new. Where
//! nobody has looked for a while it takes nothing in, so that vehicles cost nothing that nobody wants to see.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Scale;
use store::Store;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Fleet, scales};

/// How long it goes on after somebody looked.
const FOLLOW: Duration = Duration::from_secs(120);
/// Vehicles that are read from the store at once: nothing can be taken in meanwhile.
const ASSETS_PER_READ: usize = 1_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Follower {
    fleet: Mutex<Fleet>,
    asked: Notify,
    is_current: watch::Sender<bool>,
}

impl Follower {
    /// The fleet as it is now. The first one waits until it was read.
    pub(crate) async fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.asked.notify_one();
        // It only fails when the sender is gone, which is here.
        let _ = self.is_current.subscribe().wait_for(|is_current| *is_current).await;
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows `store` until `stop`.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<Store>, stop: CancellationToken) {
        while stop.run_until_cancelled(self.asked.notified()).await.is_some() {
            // What comes in while the store is read is taken in afterwards.
            let mut changes = store.subscribe();
            self.read(&store).await;
            self.is_current.send_replace(true);
            if stop.run_until_cancelled(self.follow(&store, &mut changes)).await.is_none() {
                return;
            }
            self.is_current.send_replace(false);
        }
    }

    async fn follow(&self, store: &Store, changes: &mut broadcast::Receiver<Arc<model::Batch>>) {
        let mut asked = Instant::now();
        loop {
            tokio::select! {
                received = changes.recv() => match received {
                    Ok(batch) => self.lock().take(&batch),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.read(store).await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = self.asked.notified() => asked = Instant::now(),
                () = tokio::time::sleep_until(asked + FOLLOW) => return,
            }
        }
    }

    /// Takes in all latest values.
    async fn read(&self, store: &Store) {
        for (profile, signals) in Fleet::wanted() {
            let scales = scales_of(store, profile);
            for from in (0..).step_by(ASSETS_PER_READ) {
                let latest = store.current_few(profile, signals, from, ASSETS_PER_READ);
                self.lock().take_latest(profile, &scales, &latest);
                if latest.len() < ASSETS_PER_READ {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

fn scales_of(store: &Store, profile: &str) -> Vec<Scale> {
    let snapshot = store.snapshot();
    let table = snapshot.tables.iter().find(|table| table.profile.id() == profile);
    table.map_or_else(Vec::new, |table| scales(&table.profile).to_vec())
}
