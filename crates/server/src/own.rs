//! The server's own health, watched like that of any other asset: a frame every few seconds, into the same store.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Connection, Gateway, GatewayError, Link};
use model::{AssetId, Batch, Column, Frames, Profile, Scale, Shape, Signal, ValueKind};
use store::{Store, StoreStats};

/// The name of the gateway and of its profile.
pub(crate) const NAME: &str = "tongmai";
const INTERVAL: Duration = Duration::from_secs(10);

/// What a reading is made of.
struct Reading {
    stats: StoreStats,
    resident_bytes: Option<i64>,
    processor_ms: Option<i64>,
}

/// A signal: id, UCUM unit, divisor from raw to physical, and how it is read.
type Watched = (&'static str, &'static str, f64, fn(&Reading) -> Option<i64>);

const WATCHED: [Watched; 9] = [
    ("resident_memory", "MiBy", 1_048_576.0, |reading| reading.resident_bytes),
    ("processor_time", "s", 1_000.0, |reading| reading.processor_ms),
    ("queued_batches", "1", 1.0, |reading| Some(reading.stats.queued_batches as i64)),
    ("hot_rows", "1", 1.0, |reading| Some(reading.stats.hot_rows as i64)),
    ("rows_accepted", "1", 1.0, |reading| Some(reading.stats.accepted as i64)),
    ("rows_duplicate", "1", 1.0, |reading| Some(reading.stats.duplicates as i64)),
    ("log_syncs", "1", 1.0, |reading| Some(reading.stats.syncs as i64)),
    ("log_written", "MiBy", 1_048_576.0, |reading| Some(reading.stats.log_bytes as i64)),
    ("segment_size", "MiBy", 1_048_576.0, |reading| Some(reading.stats.segment_bytes as i64)),
];

/// See the module.
pub(crate) struct OwnGateway {
    store: Arc<Store>,
    asset: AssetId,
    profile: Arc<Profile>,
}

impl OwnGateway {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let signals = WATCHED.map(|(id, unit, divisor, _)| {
            let mut signal = Signal::new(id, &format!("tongmai:{id}"), ValueKind::Integer).with_unit(unit);
            signal.scale = Scale { divisor, offset: 0.0 };
            signal
        });
        let profile = Profile::new(NAME, Shape::Frames, signals.to_vec()).expect("the list above is a profile");
        let asset = AssetId::new(model::AssetKind::Site, "local").expect("the identifier is plain");
        Self { store, asset, profile: Arc::new(profile) }
    }

    fn frame(&self, link: &Link) -> Batch {
        let reading =
            Reading { stats: self.store.stats(), resident_bytes: resident_bytes(), processor_ms: processor_ms() };
        let now = link.clock().now();
        let frames = Frames {
            assets: vec![self.asset.clone()],
            asset: vec![0],
            time: vec![now],
            sequence: vec![0],
            columns: WATCHED.iter().map(|(.., read)| Column::Integers(vec![read(&reading)])).collect(),
            exceptions: Vec::new(),
        };
        Batch::frames(Arc::clone(&self.profile), now, frames)
    }
}

impl Gateway for OwnGateway {
    fn run<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>> {
        async move {
            link.report(Connection::Connected);
            link.report_assets(vec![self.asset.clone()]);
            loop {
                let batch = self.frame(link);
                link.counters().read(0, 1, WATCHED.len() as u64, batch.received);
                link.deliver(batch, None).await.map_err(GatewayError::Delivery)?;
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = link.stop().cancelled() => return Ok(()),
                }
            }
        }
        .boxed()
    }
}

/// Memory that this process has in use, where the system tells (Linux: /proc).
pub(crate) fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// Processor time that this process has used, where the system tells (Linux: /proc, in hundredths of a second).
pub(crate) fn processor_ms() -> Option<i64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (i64, i64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * 10)
}
