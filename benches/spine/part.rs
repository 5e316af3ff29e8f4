//! The parts of the spine that are measured, each containing the one before it, and one run of one of them.

use std::io::{self, Read};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Gateway, Ingest, IngestError, Link, Quarantine, Receipt, Rejection};
use gateway_mtconnect::device::read_devices;
use gateway_mtconnect::mapping::Mapping;
use gateway_mtconnect::shdr::{ShdrGateway, ShdrOptions};
use model::{Batch, Clock, Cursor, Timestamp};
use store::{Disk, DiskFile, Store, StoreOptions, SubmitError, SystemDisk};
use tokio_util::sync::CancellationToken;

use crate::source::{EndOfStream, Sender, Source};
use crate::usage::{Figures, cpu_secs, peak_bytes};

/// As much as the gateway reads at a time.
const READ_BYTES: usize = 256 << 10;
/// How often the end of a run is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Split,
    Decode,
    Memory,
    Log,
    Spine,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Split, Self::Decode, Self::Memory, Self::Log, Self::Spine];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Decode => "decode",
            Self::Memory => "memory",
            Self::Log => "log",
            Self::Spine => "spine",
        }
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Split => "the socket read and its line feeds counted: no program can do less",
            Self::Decode => "the gateway, its batches acknowledged at once and dropped",
            Self::Memory => "besides: encoded for the log, applied to memory; the log's file forgets everything",
            Self::Log => "besides: the log on disk, synced before the acknowledgement",
            Self::Spine => "besides: every row sealed to Parquet; the defaults of a server",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let part = Self::ALL.into_iter().find(|part| part.name() == name);
        part.with_context(|| format!("`{name}` is no part, expected split, decode, memory, log or spine"))
    }
}

/// Runs `part` with at least `lines` lines in the data directory `dir`.
pub(crate) fn measure(part: Part, lines: u64, dir: &Path) -> Result<Figures> {
    let source = Source::load()?;
    let (_, lines) = source.repetitions(lines);
    if part == Part::Split {
        return split(lines);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = match part {
        Part::Split | Part::Decode => None,
        Part::Memory => Some(open(sealing_excluded(dir), Arc::new(Forgetful))?),
        Part::Log => Some(open(sealing_excluded(dir), Arc::new(SystemDisk))?),
        Part::Spine => Some(open(StoreOptions::new(dir), Arc::new(SystemDisk))?),
    };
    let ingest: Arc<dyn Ingest> = match &store {
        Some(store) => Arc::new(StoreIngest(Arc::clone(store))),
        None => Arc::new(Nowhere),
    };
    let mut figures = runtime.block_on(through_gateway(&source, lines, ingest, async {
        match &store {
            Some(store) if part == Part::Spine => store.seal().await.context("failed to seal"),
            _ => Ok(()),
        }
    }))?;
    if let Some(store) = store {
        let stats = store.stats();
        ensure!(stats.trouble.is_none(), "the store is in trouble: {:?}", stats.trouble);
        ensure!(stats.accepted == figures.rows, "{} rows acknowledged, {} kept", figures.rows, stats.accepted);
        figures.syncs = stats.syncs;
        figures.log_bytes = stats.log_bytes;
        figures.segments = stats.segments as u64;
        figures.segment_bytes = stats.segment_bytes;
    }
    Ok(figures)
}

fn open(options: StoreOptions, disk: Arc<dyn Disk>) -> Result<Arc<Store>> {
    let (store, _) = Store::open(options, disk).context("failed to open the store")?;
    Ok(Arc::new(store))
}

fn sealing_excluded(dir: &Path) -> StoreOptions {
    StoreOptions { hot_rows_max: usize::MAX, log_bytes_max: u64::MAX, ..StoreOptions::new(dir) }
}

/// Measures from the connection to the acknowledgement of the last row, and `afterwards` to its end.
async fn through_gateway(
    source: &Source,
    lines: u64,
    ingest: Arc<dyn Ingest>,
    afterwards: impl Future<Output = Result<()>>,
) -> Result<Figures> {
    let devices = read_devices(&source.device_model).context("failed to read the device model")?;
    let mapping = Mapping::new(&devices.devices[0], "lathe").context("failed to make a profile of the device")?;
    let sender = Sender::start(lines, EndOfStream::LeftOpen)?;
    let link = Link::new("bench", ingest, Arc::new(Nowhere), Arc::new(SystemClock), CancellationToken::new());
    let gateway = ShdrGateway::new(ShdrOptions::new(&sender.address), vec![Arc::new(mapping)]);
    let start = Start::now()?;
    let running = {
        let link = link.clone();
        tokio::spawn(async move { gateway.run(&link).await })
    };
    let tally = loop {
        tokio::time::sleep(LOOK).await;
        let tally = link.counters().tally();
        if tally.messages >= lines && tally.accepted + tally.duplicates == tally.observations {
            break tally;
        }
        ensure!(!running.is_finished(), "the gateway ended before all was read");
    };
    afterwards.await?;
    let figures = start.figures(lines, tally.accepted)?;
    link.stop().cancel();
    running.await?.context("the gateway failed")?;
    // The log tells some tools twice in the same moment, which is one row; told again later it is news as the rest is.
    let repetitions = source.repetitions(lines).0;
    ensure!(tally.messages == lines && tally.duplicates.is_multiple_of(repetitions), "not all was news: {tally:?}");
    Ok(figures)
}

fn split(lines: u64) -> Result<Figures> {
    let sender = Sender::start(lines, EndOfStream::Told)?;
    let mut buffer = vec![0; READ_BYTES];
    let start = Start::now()?;
    let mut stream = TcpStream::connect(&sender.address)?;
    let mut seen = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        seen += buffer[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    ensure!(seen == lines, "{seen} lines arrived of {lines}");
    start.figures(lines, 0)
}

/// The CPU time and the time of day at the beginning of a measurement.
struct Start {
    cpu: (f64, f64),
    wall: Instant,
}

impl Start {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    fn now() -> Result<Self> {
        Ok(Self { cpu: cpu_secs()?, wall: Instant::now() })
    }

    fn figures(&self, lines: u64, rows: u64) -> Result<Figures> {
        let (user, system) = cpu_secs()?;
        Ok(Figures {
            lines,
            rows,
            user_secs: user - self.cpu.0,
            system_secs: system - self.cpu.1,
            wall_secs: self.wall.elapsed().as_secs_f64(),
            peak_bytes: peak_bytes()?,
            ..Figures::default()
        })
    }
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "here the clock is made that others are given")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(since.as_nanos() as i64)
    }
}

/// Acknowledges everything and keeps nothing.
struct Nowhere;

impl Ingest for Nowhere {
    fn submit(&self, batch: Arc<Batch>, _: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        std::future::ready(Ok(Receipt { accepted: batch.len() as u64, duplicates: 0 })).boxed()
    }

    fn cursor(&self, _: &str) -> Option<Box<str>> {
        None
    }
}

impl Quarantine for Nowhere {
    fn keep(&self, _: &str, _: Rejection<'_>) {}
}

/// The store, as the server gives it to gateways.
struct StoreIngest(Arc<Store>);

impl Ingest for StoreIngest {
    fn submit(&self, batch: Arc<Batch>, cursor: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        let submitted = self.0.submit(batch, cursor);
        async move {
            match submitted.await {
                Ok(receipt) => Ok(Receipt { accepted: receipt.accepted, duplicates: receipt.duplicates }),
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

/// A disk whose files take everything and hold nothing.
struct Forgetful;

impl Disk for Forgetful {
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Self))
    }
}

impl DiskFile for Forgetful {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
