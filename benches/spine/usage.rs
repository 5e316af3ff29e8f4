//! What a run used, and how the figures pass from the process that took them to the one that compares them. Knows
//! nothing of what ran. Needs Linux: the figures are the kernel's own.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

/// Clock ticks per second in `/proc`, on every architecture (`USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;

/// CPU seconds of all threads of this process so far, ended ones included, child processes not: user, then system.
pub(crate) fn cpu_secs() -> Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/stat").context("this bench needs Linux")?;
    // The name of the program stands in parentheses and may hold anything.
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = |place: usize| -> Result<f64> {
        Ok(fields.split_whitespace().nth(place).context("too few fields in /proc/self/stat")?.parse()?)
    };
    Ok((ticks(11)? / TICKS_PER_SEC, ticks(12)? / TICKS_PER_SEC))
}

/// The most memory that was resident at once.
pub(crate) fn peak_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status").context("this bench needs Linux")?;
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|text| text.split_whitespace().next()).context("no VmHWM in /proc/self/status")?;
    Ok(kibibytes.parse::<u64>()? * 1_024)
}

/// The outcome of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) lines: u64,
    /// Rows acknowledged.
    pub(crate) rows: u64,
    pub(crate) user_secs: f64,
    pub(crate) system_secs: f64,
    pub(crate) wall_secs: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) log_bytes: u64,
    pub(crate) segments: u64,
    pub(crate) segment_bytes: u64,
}

impl Figures {
    pub(crate) fn cpu_secs(&self) -> f64 {
        self.user_secs + self.system_secs
    }

    pub(crate) fn lines_per_cpu_sec(&self) -> f64 {
        self.lines as f64 / self.cpu_secs()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lines {} rows {} user_secs {:.2} system_secs {:.2} wall_secs {:.3} peak_bytes {} syncs {} log_bytes {} \
             segments {} segment_bytes {}",
            self.lines,
            self.rows,
            self.user_secs,
            self.system_secs,
            self.wall_secs,
            self.peak_bytes,
            self.syncs,
            self.log_bytes,
            self.segments,
            self.segment_bytes,
        )
    }
}

impl FromStr for Figures {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut figures = Self::default();
        for pair in words.chunks(2) {
            ensure!(pair.len() == 2, "expected pairs of a name and a number in `{text}`");
            let count = || pair[1].parse::<u64>().with_context(|| format!("`{}` is no number", pair[1]));
            let secs = || pair[1].parse::<f64>().with_context(|| format!("`{}` is no number", pair[1]));
            match pair[0] {
                "lines" => figures.lines = count()?,
                "rows" => figures.rows = count()?,
                "user_secs" => figures.user_secs = secs()?,
                "system_secs" => figures.system_secs = secs()?,
                "wall_secs" => figures.wall_secs = secs()?,
                "peak_bytes" => figures.peak_bytes = count()?,
                "syncs" => figures.syncs = count()?,
                "log_bytes" => figures.log_bytes = count()?,
                "segments" => figures.segments = count()?,
                "segment_bytes" => figures.segment_bytes = count()?,
                name => anyhow::bail!("`{name}` is no figure"),
            }
        }
        Ok(figures)
    }
}
