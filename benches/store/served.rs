//! A `tongmai serve` process: line protocol in over HTTP, questions over HTTP.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Plan;
use crate::http::Client;
use crate::meter::{peak_bytes, taken};
use crate::peer::{self, Peer};
use crate::report::{Answer, Ingest, OURS, Question, Report, Size, cost, now};
use crate::workload::{self, BEGIN_SECS, Expected, SPEED};

/// Sealing begins soon after the last batch, so that the bench need not wait a quarter of an hour for it.
const CONFIG: &str = "[store]\nseal_interval_secs = 10\n\n[query]\nrows_max = 1000000\n";
/// Longer than it takes until sealing begins.
const UNTIL_SEALED_SECS: u64 = 15;

/// A running server, and a connection to it.
struct Served {
    server: Peer,
    client: Client,
}

impl Served {
    /// Serves the data directory `data`; `folder` takes what belongs to the run.
    fn start(tongmai: &Path, data: &Path, folder: &Path) -> Result<Self> {
        let (config, log, port) = (folder.join("tongmai.toml"), folder.join("log"), peer::free_port()?);
        std::fs::write(&config, CONFIG)?;
        let path = |path: &Path| path.display().to_string();
        let words = [path(tongmai), "serve".into(), "--data".into(), path(data), "--config".into(), path(&config)];
        let words = [&words[..], &["--listen".into(), format!("127.0.0.1:{port}")]].concat();
        let mut server = Peer::start("tongmai", &words, "-TERM", &log)?;
        let client = Client::connect(port, || server.check(&log))?;
        Ok(Self { server, client })
    }
}

/// Takes workload W in as line protocol, then asks.
pub(crate) fn measure(plan: &Plan, report: &mut Report, tongmai: &Path) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("bench-tongmai-").tempdir_in(&plan.dir)?;
    let data = dir.path().join("data");
    let mut served = Served::start(tongmai, &data, dir.path())?;
    let meter = &served.server.meter;
    meter.wait_until_idle()?;
    let (cpu, wall) = (meter.cpu_secs()?, now());
    for batch in plan.workload.batches("ilp") {
        served.client.post("/write", "text/plain", &std::fs::read(batch)?)?;
    }
    let acknowledged_wall_secs = wall.elapsed().as_secs_f64();
    let acknowledged_cpu_secs = meter.cpu_secs()? - cpu;
    std::thread::sleep(std::time::Duration::from_secs(UNTIL_SEALED_SECS));
    meter.wait_until_idle()?;
    let points = plan.workload.points();
    report.ingest(Ingest {
        system: OURS,
        way: "line protocol over HTTP, acknowledged when synced; sealed and compacted",
        points,
        acknowledged_cpu_secs,
        acknowledged_wall_secs,
        whole_cpu_secs: meter.cpu_secs()? - cpu,
        peak_bytes: Some(peak_bytes(served.server.process())?),
    });
    let what = "everything, written as line protocol".into();
    report.size(Size { system: OURS, what, points, taken: taken(&data, &|_| true)? });
    let way = "over HTTP, written as line protocol";
    ask(&mut served, plan.runs, way, plan.workload.end_secs(), Some(plan.expected), report)
}

/// Asks a server of the data directory `data`, which holds the fleet's data until `end_secs`.
pub(crate) fn questions(
    plan: &Plan,
    report: &mut Report,
    (tongmai, data): (&Path, &Path),
    (way, end_secs, expected): (&'static str, i64, Option<Expected>),
) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("bench-tongmai-").tempdir_in(&plan.dir)?;
    let mut served = Served::start(tongmai, data, dir.path())?;
    ask(&mut served, plan.runs, way, end_secs, expected, report)
}

fn ask(
    served: &mut Served,
    runs: u32,
    way: &'static str,
    end_secs: i64,
    expected: Option<Expected>,
    report: &mut Report,
) -> Result<()> {
    let Served { server, client } = served;
    let time = |secs: i64| model::Timestamp::from_millis(secs * 1_000);
    let query = format!(
        "SELECT asset, date_bin(INTERVAL '1 minute', time) AS minute, avg({}) AS average FROM wide \
         WHERE time >= TIMESTAMP '{}' AND time < TIMESTAMP '{}' GROUP BY asset, minute",
        SPEED.0,
        time(BEGIN_SECS),
        time(end_secs)
    );
    let question = json!({ "query": query, "rows_max": 1_000_000 }).to_string();
    let mut sql = || client.post("/api/v1/sql", "application/json", question.as_bytes());
    let answer: Value = serde_json::from_slice(&sql()?).context("the answer is no JSON")?;
    let rows = answer["rows"].as_array().context("the answer has no rows")?;
    ensure!(!rows.is_empty() && answer["truncated"] == false, "the answer is not whole");
    if let Some(expected) = expected {
        let sum = rows.iter().filter_map(|row| row[2].as_f64()).sum();
        workload::check("the averages", sum, expected.minute_averages, 1e-9)?;
    }
    server.meter.wait_until_idle()?;
    let average = cost(&server.meter, runs, || sql().map(drop))?;
    report.answer(Answer { system: OURS, way, question: Question::MinuteAverage, cost: average });
    let mut current = || client.get("/api/v1/current");
    if let Some(expected) = expected {
        let answer: Value = serde_json::from_slice(&current()?).context("the answer is no JSON")?;
        let observations = answer["observations"].as_array().context("no observations")?;
        let speeds = observations.iter().filter(|one| one["signal"] == SPEED.0);
        let sum = speeds.filter_map(|one| one["value"].as_f64()).sum();
        workload::check("the latest speeds", sum, expected.latest_speeds, 1e-9)?;
    }
    let latest = cost(&server.meter, runs, || current().map(drop))?;
    report.answer(Answer { system: OURS, way, question: Question::Latest, cost: latest });
    Ok(())
}

/// The program: as told, or else beside this one.
pub(crate) fn program(told: Option<&PathBuf>) -> Option<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("tongmai"));
    told.cloned().or_else(beside).filter(|path| path.is_file())
}
