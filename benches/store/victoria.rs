//! VictoriaMetrics, single-node: line protocol in, MetricsQL out.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Plan;
use crate::http::Client;
use crate::meter::{peak_bytes, taken};
use crate::peer::{self, Peer};
use crate::report::{Answer, Ingest, Question, Report, Size, VICTORIA, cost, now};
use crate::workload::{self, BEGIN_SECS};

const PACKAGE: &str = "victoria-metrics";
/// It acknowledges before it has written, let alone synced.
const WAY: &str = "line protocol over HTTP, acknowledged before it is on disk";
/// The last sample of each minute is that of the next full one, which an average over `(t-1m, t]` contains.
const TOLERANCE: f64 = 0.01;

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    if peer::find(PACKAGE, &[]).is_none() {
        peer::install_debian(PACKAGE);
    }
    let program = peer::find(PACKAGE, &[]).context("no program `victoria-metrics` (Debian: victoria-metrics)")?;
    let dir = tempfile::Builder::new().prefix("bench-victoria-").tempdir_in(&plan.dir)?;
    let (data, log, port) = (dir.path().join("data"), dir.path().join("log"), peer::free_port()?);
    let words = [
        program.display().to_string(),
        format!("-storageDataPath={}", data.display()),
        format!("-httpListenAddr=127.0.0.1:{port}"),
        "-retentionPeriod=100y".to_owned(),
    ];
    let mut victoria = Peer::start("victoria", &words, "-TERM", &log)?;
    let mut client = Client::connect(port, || victoria.check(&log))?;
    ingest(plan, report, &victoria, &mut client)?;
    let (points, taken) = (plan.workload.points(), taken(&data, &|_| true)?);
    report.size(Size { system: VICTORIA, what: "everything, after the final merge".into(), points, taken });
    questions(plan, report, &victoria, &mut client)
}

fn ingest(plan: &Plan, report: &mut Report, victoria: &Peer, client: &mut Client) -> Result<()> {
    victoria.meter.wait_until_idle()?;
    let (cpu, wall) = (victoria.meter.cpu_secs()?, now());
    for batch in plan.workload.batches("ilp") {
        client.post("/write", "text/plain", &std::fs::read(batch)?)?;
    }
    let acknowledged_wall_secs = wall.elapsed().as_secs_f64();
    let acknowledged_cpu_secs = victoria.meter.cpu_secs()? - cpu;
    client.get("/internal/force_flush")?;
    victoria.meter.wait_until_idle()?;
    client.get("/internal/force_merge")?;
    victoria.meter.wait_until_idle()?;
    report.ingest(Ingest {
        system: VICTORIA,
        way: WAY,
        points: plan.workload.points(),
        acknowledged_cpu_secs,
        acknowledged_wall_secs,
        whole_cpu_secs: victoria.meter.cpu_secs()? - cpu,
        peak_bytes: Some(peak_bytes(victoria.process())?),
    });
    Ok(())
}

fn questions(plan: &Plan, report: &mut Report, victoria: &Peer, client: &mut Client) -> Result<()> {
    let end = plan.workload.end_secs();
    // last_over_time({vehicle=~".+"}[1m])
    let latest = format!("/api/v1/query?query=last_over_time(%7Bvehicle%3D~%22.%2B%22%7D%5B1m%5D)&time={}", end - 1);
    let speeds: f64 = series(&client.get(&latest)?)?
        .iter()
        .filter(|one| one["metric"]["__name__"] == "wide_speed")
        .map(|one| number(&one["value"][1]))
        .sum();
    workload::check("the latest speeds", speeds, plan.expected.latest_speeds, 1e-9)?;
    let average = format!(
        "/api/v1/query_range?query=avg_over_time(wide_speed%5B1m%5D)&start={}&end={end}&step=60",
        BEGIN_SECS + 60
    );
    let minutes = series(&client.get(&format!("{average}&nocache=1"))?)?;
    let minutes = minutes.iter().filter_map(|one| one["values"].as_array()).flatten();
    let averages: Vec<f64> = minutes.map(|point| number(&point[1])).collect();
    ensure!(averages.len() == plan.workload.vehicles * plan.workload.seconds / 60, "{} averages", averages.len());
    workload::check("the averages", averages.iter().sum(), plan.expected.minute_averages, TOLERANCE)?;
    for (question, way, path) in [
        (Question::Latest, "last_over_time over HTTP", latest),
        (Question::MinuteAverage, "query_range over HTTP, nocache=1", format!("{average}&nocache=1")),
        (Question::MinuteAverage, "query_range over HTTP, the same question again: its cache answers", average),
    ] {
        let cost = cost(&victoria.meter, plan.runs, || client.get(&path).map(drop))?;
        report.answer(Answer { system: VICTORIA, way, question, cost });
    }
    Ok(())
}

fn series(answer: &[u8]) -> Result<Vec<Value>> {
    let mut answer: Value = serde_json::from_slice(answer).context("the answer is no JSON")?;
    match answer["data"]["result"].take() {
        Value::Array(series) => Ok(series),
        other => anyhow::bail!("expected series, got {other}"),
    }
}

/// Values come as texts.
fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}
