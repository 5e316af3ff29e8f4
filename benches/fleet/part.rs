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
use gateway_gbt32960::{ListenerOptions, Orders, PlatformAccount, PlatformGateway, Registry};
use gbt32960::Standard;
use model::{Batch, Clock, Cursor, Timestamp};
use store::{Store, StoreOptions, SubmitError, SystemDisk, TableSnapshot};
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

/// How many reports can be asked for.
fn reports(store: &Store) -> u64 {
    let tables = store.snapshot().tables;
    let reports = tables.iter().filter(|table| table.profile.id() == gbt32960::PROFILE);
    let of_table = |table: &TableSnapshot| {
        let in_segments = table.segments.iter().map(|segment| segment.rows).sum::<u64>();
        in_segments + table.rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>()
    };
    reports.map(of_table).sum()
}

/// Lets vehicles in until the input ends; answers each line of it with the number of reports that can be asked for.
pub(crate) fn serve(data: &Path, listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (store, _) = Store::open(StoreOptions::new(data), Arc::new(SystemDisk)).context("failed to open the store")?;
    let store = Arc::new(store);
    let stop = CancellationToken::new();
    let ingest = Arc::new(StoreIngest(Arc::clone(&store)));
    let link = Link::new("fleet", ingest, Arc::new(Nowhere), Arc::new(SystemClock), stop.clone());
    let registry = Registry::open(vec![PlatformAccount { user: USER.into(), password: PASSWORD.into() }]);
    let standard = Arc::new(Standard::built_in());
    let orders = Arc::new(Orders::new(Arc::clone(&standard), link.clone()));
    let gateway = PlatformGateway::new(ListenerOptions::new(listen), standard, Arc::new(registry), orders);
    let gateway = runtime.spawn(async move { supervise(&gateway, &link).await });
    for line in std::io::stdin().lock().lines() {
        line?;
        if let Some(trouble) = store.stats().trouble {
            bail!("the store is in trouble: {trouble}");
        }
        println!("{}", reports(&store));
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
