//! The store's own interface: batches submitted to a store in a process of its own, which counts its CPU time.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use model::Batch;
use serde::{Deserialize, Serialize};
use store::{Store, StoreOptions, SystemDisk};

use crate::fleet;
use crate::meter::{Meter, peak_bytes, taken, thread_cpu_secs};
use crate::peer;
use crate::report::{Cost, cost, now};
use crate::workload::{SIGNALS, Workload};

/// Made-up batches that wait for the store.
const BATCHES_AHEAD: usize = 4;

/// Where the batches come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Feed {
    /// Workload W, all batches made before the clock starts.
    Workload { seconds: usize },
    /// Made up beside the store, one after the other, by a thread whose CPU time is not counted.
    MadeUp { vehicles: usize, seconds: usize },
}

/// What the process is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) workload: PathBuf,
    pub(crate) feed: Feed,
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// Batches submitted before the first is acknowledged.
    pub(crate) in_flight: usize,
    /// How often all latest values are asked for.
    pub(crate) runs: u32,
}

/// What it found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) points: u64,
    pub(crate) acknowledged_cpu_secs: f64,
    pub(crate) acknowledged_wall_secs: f64,
    /// Until everything is sealed.
    pub(crate) sealed_cpu_secs: f64,
    /// Until everything is compacted too, and the store closed.
    pub(crate) whole_cpu_secs: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) current_values: usize,
    pub(crate) current_cpu_ms: f64,
    pub(crate) current_wall_ms: f64,
}

impl Outcome {
    pub(crate) fn current(&self, runs: u32) -> Cost {
        Cost { cpu_ms: self.current_cpu_ms, wall_ms: self.current_wall_ms, runs }
    }
}

/// Runs `task` in a process of its own.
pub(crate) fn in_a_process(task: &Task) -> Result<Outcome> {
    let words = ["measure".to_owned(), serde_json::to_string(task)?];
    let program = std::env::current_exe()?.display().to_string();
    let (meter, mut command) = peer::metered("store", &[&[program], &words[..]].concat());
    let group = match &meter {
        Some(Meter::Group { folder, version }) => Some((folder, version)),
        _ => None,
    };
    command.env(GROUP, serde_json::to_string(&group)?);
    let output = command.stderr(Stdio::inherit()).output().context("failed to start a measurement")?;
    ensure!(output.status.success(), "the measurement of the store failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Tells the process which control group it is in.
const GROUP: &str = "BENCH_GROUP";

/// What the process does; gives what it tells the one that started it.
pub(crate) fn measure(task: &str) -> Result<String> {
    let task: Task = serde_json::from_str(task)?;
    let group: Option<(PathBuf, u8)> = serde_json::from_str(&std::env::var(GROUP)?)?;
    // Whoever started us removes the group.
    let meter = ManuallyDrop::new(match group {
        Some((folder, version)) => Meter::Group { folder, version },
        None => Meter::Tree(std::process::id()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (store, _) = Store::open(StoreOptions::new(&task.dir), Arc::new(SystemDisk)).context("failed to open")?;
    let mut made_up = None;
    let batches: Box<dyn Iterator<Item = Arc<Batch>>> = match task.feed {
        Feed::Workload { seconds } => {
            Box::new(fleet::of_workload(&Workload::read(&task.workload, seconds)?)?.into_iter())
        }
        Feed::MadeUp { vehicles, seconds } => {
            let kinds = Workload::read(&task.workload, 0)?.kinds;
            let (sender, receiver) = sync_channel(BATCHES_AHEAD);
            made_up = Some(std::thread::spawn(move || -> Result<f64> {
                for batch in fleet::made_up(&kinds, vehicles, seconds)? {
                    sender.send(batch).context("nobody takes the batches")?;
                }
                thread_cpu_secs()
            }));
            Box::new(receiver.into_iter())
        }
    };
    let (cpu, wall) = (meter.cpu_secs()?, now());
    let submitted = stream::iter(batches).map(|batch| store.submit(batch, None)).buffered(task.in_flight);
    let accepted = submitted.try_fold(0, async |sum, receipt| Ok(sum + receipt.accepted));
    let rows = runtime.block_on(accepted).context("a batch was refused")?;
    let acknowledged_wall_secs = wall.elapsed().as_secs_f64();
    let making = match made_up {
        Some(thread) => thread.join().map_err(|_| anyhow::anyhow!("the fleet's thread failed"))??,
        None => 0.0,
    };
    let acknowledged_cpu_secs = meter.cpu_secs()? - cpu - making;
    runtime.block_on(store.seal()).context("failed to seal")?;
    let sealed = meter.cpu_secs()?;
    runtime.block_on(store.compact()).context("failed to compact")?;
    let compacted = meter.cpu_secs()?;
    let mut current_values = 0;
    let current = cost(&meter, task.runs, || {
        current_values = std::hint::black_box(store.current(None)).len();
        Ok(())
    })?;
    let asked = meter.cpu_secs()?;
    store.close();
    let outcome = Outcome {
        points: rows * SIGNALS as u64,
        acknowledged_cpu_secs,
        acknowledged_wall_secs,
        sealed_cpu_secs: sealed - cpu - making,
        whole_cpu_secs: compacted - cpu - making + meter.cpu_secs()? - asked,
        peak_bytes: peak_bytes(std::process::id())?,
        current_values,
        current_cpu_ms: current.cpu_ms,
        current_wall_ms: current.wall_ms,
    };
    Ok(serde_json::to_string(&outcome)?)
}

/// What the folders of a data directory take, each, and all together.
pub(crate) fn parts(dir: &Path) -> Result<Vec<(String, crate::meter::Taken)>> {
    let mut parts = vec![("everything".to_owned(), taken(dir, &|_| true)?)];
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            parts.push((format!("`{name}`"), taken(&path, &|_| true)?));
        }
    }
    Ok(parts)
}
