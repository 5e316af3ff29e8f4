//! Workload W: what `../shared/tools/workload_w.py` makes, and the Python that makes it. Knows no system under measurement.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::peer;

/// 2026-11-20T00:00:00Z, the first second.
pub(crate) const BEGIN_SECS: i64 = 1_795_132_800;
/// The signals of a vehicle.
pub(crate) const SIGNALS: usize = 60;
/// The signal that questions are about, and its place.
pub(crate) const SPEED: (&str, usize) = ("speed", 0);
/// Of the whole workload.
const VEHICLES: usize = 100;
const SECONDS: usize = 3_600;
/// Of the fleet, in one batch.
pub(crate) const SECONDS_OF_BATCH: usize = 20;
/// What the Python environment holds.
const REQUIREMENTS: [&str; 2] = ["numpy", "duckdb==2.0.0"];

/// A signal: its name, and the steps per unit in which it is measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) divisor: f64,
}

/// The files of the workload, of which the first `seconds` are used.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) folder: PathBuf,
    pub(crate) vehicles: usize,
    pub(crate) seconds: usize,
    pub(crate) kinds: Vec<Kind>,
}

impl Workload {
    /// The workload in `folder`, made by `python` if it is not there.
    pub(crate) fn prepare(folder: &Path, python: &Path, seconds: usize) -> Result<Self> {
        let done = folder.join("kinds.json");
        if !folder.join(format!("csv/{:04}", SECONDS / SECONDS_OF_BATCH - 1)).exists() || !done.exists() {
            let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tools/workload_w.py");
            ensure!(tool.exists(), "`{}` makes the workload and is absent", tool.display());
            println!("making workload W, about two minutes");
            peer::run(Command::new(python).arg(tool).arg(folder)).context("failed to make workload W")?;
        }
        Self::read(folder, seconds)
    }

    /// The workload that is in `folder`.
    pub(crate) fn read(folder: &Path, seconds: usize) -> Result<Self> {
        let path = folder.join("kinds.json");
        let text = std::fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let kinds: Vec<(String, String, f64)> = serde_json::from_slice(&text).context("kinds.json")?;
        let kinds: Vec<Kind> = kinds.into_iter().map(|(name, _, divisor)| Kind { name, divisor }).collect();
        ensure!(kinds.len() == SIGNALS && kinds[SPEED.1].name == SPEED.0, "kinds.json is of another workload");
        ensure!(seconds <= SECONDS, "the workload has {SECONDS} seconds");
        Ok(Self { folder: folder.to_owned(), vehicles: VEHICLES, seconds, kinds })
    }

    pub(crate) fn points(&self) -> u64 {
        (self.vehicles * self.seconds * SIGNALS) as u64
    }

    /// The end of the workload, exclusive, in seconds since the epoch.
    pub(crate) fn end_secs(&self) -> i64 {
        BEGIN_SECS + self.seconds as i64
    }

    /// The batches, as files of the folder `form`: `ilp` or `csv`.
    pub(crate) fn batches(&self, form: &str) -> Vec<PathBuf> {
        let folder = self.folder.join(form);
        (0..self.seconds / SECONDS_OF_BATCH).map(|batch| folder.join(format!("{batch:04}"))).collect()
    }

    /// The physical values, second by second, vehicle by vehicle, signal by signal.
    pub(crate) fn values(&self) -> Result<Vec<f64>> {
        let path = self.folder.join("wide.npy");
        let file = File::open(&path).with_context(|| format!("failed to open `{}`", path.display()))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut head = [0; 10];
        file.read_exact(&mut head)?;
        ensure!(head.starts_with(b"\x93NUMPY\x01"), "`{}` is no array of NumPy", path.display());
        let mut description = vec![0; usize::from(u16::from_le_bytes([head[8], head[9]]))];
        file.read_exact(&mut description)?;
        let description = String::from_utf8_lossy(&description);
        let shape = format!("({SECONDS}, {VEHICLES}, {SIGNALS})");
        ensure!(
            description.contains("'<f8'") && description.contains("False") && description.contains(&shape),
            "`{}` has another form: {description}",
            path.display()
        );
        let mut values = vec![0.0; self.seconds * self.vehicles * SIGNALS];
        let mut bytes = [0; 8];
        for value in &mut values {
            file.read_exact(&mut bytes)?;
            *value = f64::from_le_bytes(bytes);
        }
        Ok(values)
    }

    /// What the answers to the questions have to add up to.
    pub(crate) fn expected(&self) -> Result<Expected> {
        let values = self.values()?;
        let speeds = || values.iter().skip(SPEED.1).step_by(SIGNALS);
        Ok(Expected {
            latest_speeds: speeds().rev().take(self.vehicles).sum(),
            minute_averages: speeds().sum::<f64>() / 60.0,
        })
    }
}

/// Sums that show that an answer is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Of the latest speeds of all vehicles.
    pub(crate) latest_speeds: f64,
    /// Of the average speeds of all vehicles in all minutes.
    pub(crate) minute_averages: f64,
}

/// Refuses a sum that is further than `tolerance` times the expected one from it.
pub(crate) fn check(what: &str, sum: f64, expected: f64, tolerance: f64) -> Result<()> {
    let off = (sum - expected).abs();
    ensure!(off <= tolerance * expected.abs(), "{what} add up to {sum}, expected {expected}");
    Ok(())
}

/// A Python with what the bench needs, set up in `folder` unless that has been done.
pub(crate) fn python(folder: &Path) -> Result<PathBuf> {
    let (python, stamp) = (folder.join("bin/python"), folder.join("installed"));
    let wanted = REQUIREMENTS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("setting up Python with {}", REQUIREMENTS.join(" and "));
    peer::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
        .context("the workload needs python3 with venv (Debian: python3-venv)")?;
    let mut install = Command::new(&python);
    peer::run(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(REQUIREMENTS))?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}
