//! The gateway and the store without the rest of the server, in a process of its own: what a vehicle's report costs up to
//! its answer, without a build of the SQL engine. Knows no vehicle.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Ingest, IngestError, Link, Quarantine, Receipt, Rejection, supervise};
use gateway_gbt32960::{ListenerOptions, PlatformAccount, PlatformGateway, Registry};
use gbt32960::Standard;
use model::{Batch, Clock, Cursor, Timestamp};
use store::{Store, StoreOptions, SubmitError, SystemDisk};
use tokio_util::sync::CancellationToken;

use crate::server::{PASSWORD, USER};
use crate::usage::unix_nanos;

struct StoreIngest(Arc<Store>);

impl Ingest for StoreIngest {
    fn submit(&self, batch: Arc<Batch>, cursor: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        let submitted = self.0.submit(batch, cursor);
        async move {
            match submitted.await {
                Ok(receipt) => Ok(Receipt { accepted: receipt.accepted, duplicates: receipt.duplicates }),
                Err(SubmitError::Refused(reason)) => Err(IngestError::Refused { reason }),
                Err(SubmitError::Closed) => Err(IngestError::Closed),
                Err(error) => Err(IngestError::Unacceptable { reason: error.to_string().into() }),
            }
        }
        .boxed()
    }

    fn cursor(&self, source: &str) -> Option<Box<str>> {
        self.0.cursor(source)
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(unix_nanos())
    }
}

/// Rejections are counted by their answers.
struct Nowhere;

impl Quarantine for Nowhere {
    fn keep(&self, _: &str, _: Rejection<'_>) {}
}

/// Lets vehicles in until the input ends; answers each line of it with the number of rows that were accepted.
pub(crate) fn serve(data: &Path, listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (store, _) = Store::open(StoreOptions::new(data), Arc::new(SystemDisk)).context("failed to open the store")?;
    let store = Arc::new(store);
    let stop = CancellationToken::new();
    let ingest = Arc::new(StoreIngest(Arc::clone(&store)));
    let link = Link::new("fleet", ingest, Arc::new(Nowhere), Arc::new(SystemClock), stop.clone());
    let registry = Registry::open(vec![PlatformAccount { user: USER.into(), password: PASSWORD.into() }]);
    let gateway =
        PlatformGateway::new(ListenerOptions::new(listen), Arc::new(Standard::built_in()), Arc::new(registry));
    let gateway = runtime.spawn(async move { supervise(&gateway, &link).await });
    for line in std::io::stdin().lock().lines() {
        line?;
        let stats = store.stats();
        if let Some(trouble) = stats.trouble {
            bail!("the store is in trouble: {trouble}");
        }
        println!("{} {} {}", stats.accepted, stats.syncs, stats.log_bytes);
    }
    stop.cancel();
    runtime.block_on(gateway)?;
    drop(runtime);
    Arc::into_inner(store).context("somebody still holds the store")?.close();
    Ok(())
}

/// Puts the segments of the data directory `data` together, as `tongmai store compact` does.
pub(crate) fn compact(data: &Path) -> Result<()> {
    let (store, _) = Store::open(StoreOptions::new(data), Arc::new(SystemDisk)).context("failed to open the store")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(store.compact()).context("failed to compact")?;
    store.close();
    Ok(())
}
