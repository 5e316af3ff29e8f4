//! What was measured, and its tables in Markdown. Knows no system.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;

use crate::meter::{Meter, Taken};

/// Asked in vain before it counts, so that what is cached is cached.
const WARM_UP: u32 = 5;

/// The names that ratios refer to.
pub(crate) const VICTORIA: &str = "VictoriaMetrics";
pub(crate) const POSTGRES: &str = "PostgreSQL";
pub(crate) const DUCKDB: &str = "DuckDB";
pub(crate) const OURS: &str = "Tongmai";

/// What is asked of every system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Latest,
    MinuteAverage,
}

impl Question {
    const ALL: [Self; 2] = [Self::Latest, Self::MinuteAverage];

    fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest values of 60 signals of all vehicles",
            Self::MinuteAverage => "one-minute averages of one signal, all vehicles, the whole time",
        }
    }
}

/// What it cost to take the workload in.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    pub(crate) system: &'static str,
    pub(crate) way: &'static str,
    pub(crate) points: u64,
    /// Until the last batch was acknowledged, what went on beside it included.
    pub(crate) acknowledged_cpu_secs: f64,
    pub(crate) acknowledged_wall_secs: f64,
    /// Until all work in the background had ended.
    pub(crate) whole_cpu_secs: f64,
    pub(crate) peak_bytes: Option<u64>,
}

impl Ingest {
    pub(crate) fn points_per_cpu_sec(&self) -> f64 {
        self.points as f64 / self.whole_cpu_secs
    }
}

/// What it takes on disk.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    pub(crate) system: &'static str,
    pub(crate) what: String,
    pub(crate) points: u64,
    pub(crate) taken: Taken,
}

/// What an answer costs.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) system: &'static str,
    pub(crate) way: &'static str,
    pub(crate) question: Question,
    pub(crate) cost: Cost,
}

/// Means of many runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_ms: f64,
    pub(crate) wall_ms: f64,
    pub(crate) runs: u32,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) ingests: Vec<Ingest>,
    pub(crate) sizes: Vec<Size>,
    pub(crate) answers: Vec<Answer>,
    /// Who is not there, and why.
    pub(crate) absent: Vec<String>,
}

impl Report {
    pub(crate) fn ingest(&mut self, ingest: Ingest) {
        println!(
            "{}, {}: {:.2} M points per CPU-second; {:.2} CPU s to the last acknowledgement, {:.2} CPU s in all",
            ingest.system,
            ingest.way,
            ingest.points_per_cpu_sec() / 1e6,
            ingest.acknowledged_cpu_secs,
            ingest.whole_cpu_secs
        );
        self.ingests.push(ingest);
    }

    pub(crate) fn size(&mut self, size: Size) {
        let bytes = size.taken.bytes as f64 / size.points as f64;
        println!("{}, {}: {bytes:.3} bytes per point, {} files", size.system, size.what, size.taken.files);
        self.sizes.push(size);
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        let Answer { system, way, question, cost } = &answer;
        println!("{system}, {way}: {}: {:.2} ms of CPU, mean of {}", question.as_str(), cost.cpu_ms, cost.runs);
        self.answers.push(answer);
    }

    /// Notes that `what` could not be measured, if that is the outcome; the others go on.
    pub(crate) fn unless_measured(&mut self, what: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            println!("not measured: {what}: {error:#}");
            self.absent.push(format!("{what}: {error:#}"));
        }
    }

    /// The tables.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        self.write_ingests(&mut text);
        _ = writeln!(text, "\n| on disk | what | bytes per point | files |\n|---|---|---|---|");
        for Size { system, what, points, taken } in &self.sizes {
            let bytes = taken.bytes as f64 / *points as f64;
            _ = writeln!(text, "| {system} | {what} | {bytes:.3} | {} |", taken.files);
        }
        for question in Question::ALL {
            _ = writeln!(text, "\n| {} | how | CPU ms | wall ms | runs |\n|---|---|---|---|---|", question.as_str());
            for Answer { system, way, cost, .. } in self.answers.iter().filter(|one| one.question == question) {
                _ = writeln!(text, "| {system} | {way} | {:.2} | {:.2} | {} |", cost.cpu_ms, cost.wall_ms, cost.runs);
            }
        }
        for absent in &self.absent {
            _ = writeln!(text, "\nNot measured: {absent}");
        }
        text
    }

    fn write_ingests(&self, text: &mut String) {
        let rate_of = |system| self.ingests.iter().find(|one| one.system == system).map(Ingest::points_per_cpu_sec);
        let (victoria, postgres) = (rate_of(VICTORIA), rate_of(POSTGRES));
        _ = writeln!(
            text,
            "| ingest | how | M points per CPU-second, all work included | against {VICTORIA} | against {POSTGRES} | \
             CPU s to the last acknowledgement | CPU s in all | wall s to the last acknowledgement | peak memory |\n\
             |---|---|---|---|---|---|---|---|---|"
        );
        for one in &self.ingests {
            let against = |other: Option<f64>| {
                other.map_or("–".to_owned(), |other| format!("{:.2}×", one.points_per_cpu_sec() / other))
            };
            _ = writeln!(
                text,
                "| {} | {} | {:.2} | {} | {} | {:.2} | {:.2} | {:.2} | {} |",
                one.system,
                one.way,
                one.points_per_cpu_sec() / 1e6,
                against(victoria),
                against(postgres),
                one.acknowledged_cpu_secs,
                one.whole_cpu_secs,
                one.acknowledged_wall_secs,
                one.peak_bytes.map_or("–".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6)),
            );
        }
    }
}

/// The time of day, for intervals.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What `ask` costs on `meter`, the mean of `runs`, none of the first ones among them.
pub(crate) fn cost(meter: &Meter, runs: u32, mut ask: impl FnMut() -> Result<()>) -> Result<Cost> {
    for _ in 0..WARM_UP {
        ask()?;
    }
    let (cpu, wall) = (meter.cpu_secs()?, now());
    for _ in 0..runs {
        ask()?;
    }
    let each = 1_000.0 / f64::from(runs);
    let wall_ms = wall.elapsed().as_secs_f64() * each;
    Ok(Cost { cpu_ms: (meter.cpu_secs()? - cpu) * each, wall_ms, runs })
}
