//! DuckDB in a Python of its own: COPY in from the same CSV batches, one transaction each, SQL out.

use std::path::Path;

use anyhow::{Context, Result};

use crate::Plan;
use crate::meter::{Meter, Taken, peak_bytes, taken};
use crate::peer::{self, Session};
use crate::report::{Answer, DUCKDB, Ingest, Question, Report, Size, cost, now};
use crate::workload::{self, BEGIN_SECS, SIGNALS, SPEED};

/// Runs what it is told.
const DRIVER: &str = include_str!("duck.py");
/// What the driver says when a statement is done.
const DONE: &str = "done";

/// A database and the Python that it runs in.
struct Duck {
    session: Session,
    meter: Meter,
}

impl Duck {
    fn open(python: &Path, dir: &Path, name: &str) -> Result<Self> {
        let driver = dir.join("driver.py");
        std::fs::write(&driver, DRIVER)?;
        let words = [python, &driver, &dir.join(name)].map(|word| word.display().to_string());
        let (meter, command) = peer::metered("duckdb", &words);
        let mut session = Session::start(command)?;
        session.ask("", DONE).context("no Python with duckdb")?;
        let meter = meter.unwrap_or(Meter::Tree(session.process()));
        Ok(Self { session, meter })
    }

    fn run(&mut self, statement: &str) -> Result<()> {
        self.session.ask(&format!("{statement}\n"), DONE).map(drop)
    }

    fn number(&mut self, statement: &str) -> Result<f64> {
        let lines = self.session.ask(&format!("{statement}\n"), DONE)?;
        let line = lines.first().context("no answer")?;
        line.parse().with_context(|| format!("`{line}` is no number"))
    }
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let python = plan.python.as_ref().context("no Python with duckdb")?;
    let dir = tempfile::Builder::new().prefix("bench-duckdb-").tempdir_in(&plan.dir)?;
    let mut duck = Duck::open(python, dir.path(), "wide.duckdb")?;
    ingest(plan, report, &mut duck)?;
    let points = plan.workload.points();
    let database = |name: &'static str| -> Result<Taken> {
        taken(dir.path(), &|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
    };
    let what = "the database, rows as they came".into();
    report.size(Size { system: DUCKDB, what, points, taken: database("wide.duckdb")? });
    questions(plan, report, &mut duck)?;
    duck.run(&format!("ATTACH '{}' AS other", dir.path().join("sorted.duckdb").display()))?;
    duck.run("CREATE TABLE other.wide AS SELECT * FROM wide ORDER BY vehicle, ts")?;
    duck.run("CHECKPOINT other")?;
    let what = "the database, written anew sorted by vehicle and time".into();
    report.size(Size { system: DUCKDB, what, points, taken: database("sorted.duckdb")? });
    Ok(())
}

fn ingest(plan: &Plan, report: &mut Report, duck: &mut Duck) -> Result<()> {
    let columns: Vec<String> = plan.workload.kinds.iter().map(|kind| format!("{} DOUBLE", kind.name)).collect();
    duck.run(&format!("CREATE TABLE wide (ts BIGINT, vehicle VARCHAR, {})", columns.join(", ")))?;
    let (cpu, wall) = (duck.meter.cpu_secs()?, now());
    for batch in plan.workload.batches("csv") {
        duck.run(&format!("COPY wide FROM '{}' (FORMAT csv, HEADER false)", batch.display()))?;
    }
    let acknowledged_wall_secs = wall.elapsed().as_secs_f64();
    let acknowledged_cpu_secs = duck.meter.cpu_secs()? - cpu;
    duck.run("CHECKPOINT")?;
    duck.meter.wait_until_idle()?;
    report.ingest(Ingest {
        system: DUCKDB,
        way: "COPY of CSV files, one transaction each, no key, a checkpoint at the end",
        points: plan.workload.points(),
        acknowledged_cpu_secs,
        acknowledged_wall_secs,
        whole_cpu_secs: duck.meter.cpu_secs()? - cpu,
        peak_bytes: Some(peak_bytes(duck.session.process())?),
    });
    let kept = duck.number("SELECT sum(1) FROM wide")?;
    workload::check("the rows", kept * SIGNALS as f64, plan.workload.points() as f64, 0.0)
}

fn questions(plan: &Plan, report: &mut Report, duck: &mut Duck) -> Result<()> {
    let newest: Vec<String> =
        plan.workload.kinds.iter().map(|kind| format!("arg_max({0}, ts) AS {0}", kind.name)).collect();
    let latest = format!("SELECT vehicle, max(ts), {} FROM wide GROUP BY vehicle", newest.join(", "));
    let (begin, end) = (BEGIN_SECS * 1_000, plan.workload.end_secs() * 1_000);
    let average = format!(
        "SELECT vehicle, ts // 60000 AS minute, avg({}) AS average FROM wide WHERE ts >= {begin} AND ts < {end} \
         GROUP BY vehicle, minute",
        SPEED.0
    );
    let sum = duck.number(&format!("SELECT sum({}) FROM ({latest})", SPEED.0))?;
    workload::check("the latest speeds", sum, plan.expected.latest_speeds, 1e-9)?;
    let sum = duck.number(&format!("SELECT sum(average) FROM ({average})"))?;
    workload::check("the averages", sum, plan.expected.minute_averages, 1e-9)?;
    for (question, way, query) in
        [(Question::Latest, "arg_max", &latest), (Question::MinuteAverage, "GROUP BY", &average)]
    {
        let Duck { session, meter } = &mut *duck;
        let cost = cost(meter, plan.runs, || session.ask(&format!("{query}\n"), DONE).map(drop))?;
        report.answer(Answer { system: DUCKDB, way, question, cost });
    }
    Ok(())
}
