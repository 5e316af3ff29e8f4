//! How the store's cost grows: ten times the vehicles, ten times the time.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use crate::Plan;
use crate::meter::taken;
use crate::ours::{self, Feed, Task};
use crate::report::{Question, Report};
use crate::served;
use crate::workload::BEGIN_SECS;

/// How many times the vehicles, and how many times the seconds.
const SIZES: [(usize, usize); 3] = [(1, 1), (10, 1), (1, 10)];

/// Measures made-up fleets, each in a store of its own, and gives the table.
pub(crate) fn measure(plan: &Plan, tongmai: Option<&PathBuf>) -> Result<String> {
    let mut text = String::from(
        "\n| growth: vehicles × seconds, made up | CPU ns per point to the acknowledgement | sealed | compacted | bytes per point | \
         files | peak memory | latest values, `Store::current`, CPU ms | the same over HTTP | one-minute averages over \
         HTTP, CPU ms |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (times_vehicles, times_seconds) in SIZES {
        let (vehicles, seconds) = (plan.workload.vehicles * times_vehicles, plan.workload.seconds * times_seconds);
        let dir = tempfile::Builder::new().prefix("bench-tongmai-").tempdir_in(&plan.dir)?;
        let feed = Feed::MadeUp { vehicles, seconds };
        let workload = plan.workload.folder.clone();
        let task = Task { workload, feed, dir: dir.path().into(), in_flight: 1, runs: plan.runs };
        let outcome = ours::in_a_process(&task)?;
        let points = outcome.points as f64;
        let taken = taken(dir.path(), &|_| true)?;
        let mut answers = Report::default();
        if let Some(tongmai) = tongmai {
            let about = ("over HTTP", BEGIN_SECS + seconds as i64, None);
            let outcome = served::questions(plan, &mut answers, (tongmai, dir.path()), about);
            answers.unless_measured("questions to the server", outcome);
        }
        let cost = |question| {
            let answer = answers.answers.iter().find(|one| one.question == question);
            answer.map_or("–".to_owned(), |one| format!("{:.2}", one.cost.cpu_ms))
        };
        let row = format!(
            "| {vehicles} × {seconds} | {:.1} | {:.1} | {:.1} | {:.3} | {} | {:.0} MB | {:.2} | {} | {} |",
            outcome.acknowledged_cpu_secs * 1e9 / points,
            outcome.sealed_cpu_secs * 1e9 / points,
            outcome.whole_cpu_secs * 1e9 / points,
            taken.bytes as f64 / points,
            taken.files,
            outcome.peak_bytes as f64 / 1e6,
            outcome.current_cpu_ms,
            cost(Question::Latest),
            cost(Question::MinuteAverage),
        );
        println!("{row}");
        _ = writeln!(text, "{row}");
    }
    Ok(text)
}
