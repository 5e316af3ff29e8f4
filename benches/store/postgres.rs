//! PostgreSQL with one wide table: COPY in, one transaction a batch, synced before it is acknowledged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Plan;
use crate::meter::{Taken, taken};
use crate::peer::{self, Peer, Session};
use crate::report::{Answer, Ingest, POSTGRES, Question, Report, Size, cost, now};
use crate::workload::{self, BEGIN_SECS, SIGNALS, SPEED};

const PACKAGE: &str = "postgresql-15";
/// Where Debian keeps the server's programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// Beside the defaults: what a guide to bulk loading says. Durability is untouched; vacuuming is asked for, and not counted.
const SETTINGS: [&str; 5] =
    ["listen_addresses=", "shared_buffers=512MB", "max_wal_size=4GB", "autovacuum=off", "synchronous_commit=on"];
/// How often a server that is starting is knocked at.
const KNOCKS_MAX: u32 = 300;
const KNOCK: Duration = Duration::from_millis(100);
/// What psql says when a statement is done.
const DONE: &str = "done";

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let program = |name: &str| peer::find(name, &[PROGRAMS]);
    if program("postgres").is_none() {
        peer::install_debian(PACKAGE);
    }
    let postgres = program("postgres").context("no program `postgres` (Debian: postgresql-15)")?;
    let (initdb, psql) = (program("initdb").context("no program `initdb`")?, program("psql").context("no `psql`")?);
    let dir = tempfile::Builder::new().prefix("bench-postgres-").tempdir_in(&plan.dir)?;
    let data = dir.path().join("data");
    if peer::is_root() {
        peer::run(Command::new("chown").arg("postgres").arg(dir.path()))?;
    }
    let words = as_postgres(&[&initdb.display().to_string(), "-D", &data.display().to_string(), "-A", "trust"]);
    let user = ["-U".to_owned(), "postgres".to_owned()];
    peer::run(Command::new(&words[0]).args(&words[1..]).args(user).current_dir(dir.path())).context("initdb failed")?;
    let (data_word, socket) = (data.display().to_string(), dir.path().display().to_string());
    let postgres = postgres.display().to_string();
    let mut words = as_postgres(&[&postgres, "-D", &data_word, "-k", &socket]);
    words.extend(SETTINGS.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
    let log = dir.path().join("log");
    let mut server = Peer::start("postgres", &words, "-INT", &log)?;
    let mut session = connect(&psql, dir.path(), || server.check(&log))?;
    ingest(plan, report, &server, &mut session)?;
    sizes(plan, report, &mut session, &data)?;
    questions(plan, report, &server, &mut session)
}

/// The words of a command, preceded by what makes root the user that the server insists on.
fn as_postgres(words: &[&str]) -> Vec<String> {
    let prefix: &[&str] = match peer::is_root() {
        true => &["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"],
        false => &[],
    };
    prefix.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

fn connect(psql: &PathBuf, socket: &Path, mut check: impl FnMut() -> Result<()>) -> Result<Session> {
    let mut command = Command::new(psql);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres"]);
    command.arg("-h").arg(socket);
    let mut last = Ok(());
    for _ in 0..KNOCKS_MAX {
        let mut knock = Command::new(psql);
        last = peer::run(knock.args(["-X", "-U", "postgres", "-d", "postgres", "-c", "", "-h"]).arg(socket));
        if last.is_ok() {
            return Session::start(command);
        }
        check()?;
        std::thread::sleep(KNOCK);
    }
    last.and_then(|()| Session::start(command))
}

fn sql(session: &mut Session, statement: &str) -> Result<Vec<String>> {
    session.ask(&format!("{statement}\n\\echo {DONE}\n"), DONE)
}

fn ingest(plan: &Plan, report: &mut Report, server: &Peer, session: &mut Session) -> Result<()> {
    let columns: Vec<String> =
        plan.workload.kinds.iter().map(|kind| format!("{} double precision", kind.name)).collect();
    sql(
        session,
        &format!(
            "CREATE TABLE wide (ts bigint NOT NULL, vehicle text NOT NULL, {}, PRIMARY KEY (vehicle, ts));",
            columns.join(", ")
        ),
    )?;
    server.meter.wait_until_idle()?;
    let (cpu, wall) = (server.meter.cpu_secs()?, now());
    for batch in plan.workload.batches("csv") {
        sql(session, &format!("\\copy wide from '{}' csv", batch.display()))?;
    }
    let acknowledged_wall_secs = wall.elapsed().as_secs_f64();
    let acknowledged_cpu_secs = server.meter.cpu_secs()? - cpu;
    sql(session, "CHECKPOINT;")?;
    server.meter.wait_until_idle()?;
    report.ingest(Ingest {
        system: POSTGRES,
        way: "COPY, one synced transaction a batch, a checkpoint at the end",
        points: plan.workload.points(),
        acknowledged_cpu_secs,
        acknowledged_wall_secs,
        whole_cpu_secs: server.meter.cpu_secs()? - cpu,
        peak_bytes: None,
    });
    let kept = first_number(&sql(session, "SELECT count(*) FROM wide;")?)?;
    workload::check("the rows", kept * SIGNALS as f64, plan.workload.points() as f64, 0.0)
}

fn sizes(plan: &Plan, report: &mut Report, session: &mut Session, data: &Path) -> Result<()> {
    let points = plan.workload.points();
    let bytes = first_number(&sql(session, "SELECT pg_total_relation_size('wide');")?)? as u64;
    let files = first_number(&sql(session, "SELECT count(*) FROM pg_class WHERE relname ~ '^wide';")?)? as u64;
    report.size(Size {
        system: POSTGRES,
        what: "the table and its index".into(),
        points,
        taken: Taken { bytes, files },
    });
    let taken = taken(data, &|_| true)?;
    report.size(Size { system: POSTGRES, what: "everything, its log included".into(), points, taken });
    Ok(())
}

fn questions(plan: &Plan, report: &mut Report, server: &Peer, session: &mut Session) -> Result<()> {
    sql(session, "VACUUM ANALYZE wide;")?;
    sql(session, "CREATE TABLE vehicles AS SELECT DISTINCT vehicle FROM wide; ANALYZE vehicles;")?;
    let lateral = "SELECT latest.* FROM vehicles, LATERAL (SELECT * FROM wide \
                   WHERE wide.vehicle = vehicles.vehicle ORDER BY ts DESC LIMIT 1) latest";
    let distinct = "SELECT DISTINCT ON (vehicle) * FROM wide ORDER BY vehicle, ts DESC";
    let (begin, end) = (BEGIN_SECS * 1_000, plan.workload.end_secs() * 1_000);
    let average = format!(
        "SELECT vehicle, ts / 60000 AS minute, avg({}) AS average FROM wide WHERE ts >= {begin} AND ts < {end} \
         GROUP BY vehicle, minute",
        SPEED.0
    );
    let sum = format!("SELECT sum({}) FROM ({lateral}) answer;", SPEED.0);
    workload::check("the latest speeds", first_number(&sql(session, &sum)?)?, plan.expected.latest_speeds, 1e-9)?;
    let sum = format!("SELECT sum(average) FROM ({average}) answer;");
    workload::check("the averages", first_number(&sql(session, &sum)?)?, plan.expected.minute_averages, 1e-9)?;
    for (question, way, query, runs) in [
        (Question::Latest, "a lateral join from a table of the vehicles", lateral, plan.runs),
        (Question::Latest, "DISTINCT ON", distinct, plan.runs.min(10)),
        (Question::MinuteAverage, "GROUP BY", &average, plan.runs),
    ] {
        let cost = cost(&server.meter, runs, || sql(session, &format!("{query};")).map(drop))?;
        report.answer(Answer { system: POSTGRES, way, question, cost });
    }
    Ok(())
}

fn first_number(lines: &[String]) -> Result<f64> {
    let line = lines.first().context("no answer")?;
    line.parse().with_context(|| format!("`{line}` is no number"))
}
