//! The store against its peers: what it costs to take workload W in, to keep it and to ask about it, all in one run.
//!
//! ```text
//! cargo build --release -p cli && cargo run --release -p benches --bin store
//!     -- [--quick] [--peers all|none|NAME,…] [--ours all|none] [--growth all|none]
//!        [--tongmai PATH] [--dir DIR] [--workload DIR]
//! ```
//!
//! Every system runs in processes of its own, whose CPU time the kernel counts; the time of the client that feeds them
//! is not counted. Each is followed to the end of its work in the background. This module must not know how a system
//! is measured.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

mod duck;
mod fleet;
mod growth;
mod http;
mod meter;
mod ours;
mod peer;
mod postgres;
mod report;
mod served;
mod victoria;
mod workload;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};

use ours::{Feed, Task};
use report::{Answer, Ingest, OURS, Question, Report, Size};
use workload::{Expected, Workload};

const OPTIONS: &str = "--quick, --peers, --ours, --growth, --tongmai, --dir or --workload";
/// On a disk, unlike `/tmp` on many machines: a file system in memory would make syncing free.
const DIR: &str = "/var/tmp";
const PEERS: [&str; 3] = ["victoria", "postgres", "duckdb"];
/// The whole workload, and its beginning.
const SECONDS: usize = 3_600;
const SECONDS_QUICK: usize = 600;
/// How often each question is asked.
const RUNS: u32 = 100;
const RUNS_QUICK: u32 = 20;

/// What the command line says.
struct Options {
    quick: bool,
    peers: Vec<String>,
    ours: bool,
    growth: bool,
    tongmai: Option<PathBuf>,
    dir: PathBuf,
    workload: Option<PathBuf>,
}

/// What every system is given.
struct Plan {
    workload: Workload,
    expected: Expected,
    /// Where data directories are made.
    dir: PathBuf,
    runs: u32,
    python: Option<PathBuf>,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, task] = &words[..]
        && word == "measure"
    {
        println!("{}", ours::measure(task)?);
        return Ok(());
    }
    compare(&options(&words)?)
}

fn options(words: &[String]) -> Result<Options> {
    let mut options = Options {
        quick: false,
        peers: PEERS.map(str::to_owned).to_vec(),
        ours: true,
        growth: true,
        tongmai: None,
        dir: DIR.into(),
        workload: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--quick" {
            options.quick = true;
            continue;
        }
        let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
        match (word.as_str(), value.as_str()) {
            ("--peers" | "--ours" | "--growth", "all") => {}
            ("--peers", "none") => options.peers.clear(),
            ("--peers", names) => options.peers = names.split(',').map(str::to_owned).collect(),
            ("--ours", "none") => options.ours = false,
            ("--growth", "none") => options.growth = false,
            ("--tongmai", path) => options.tongmai = Some(path.into()),
            ("--dir", path) => options.dir = path.into(),
            ("--workload", path) => options.workload = Some(path.into()),
            _ => bail!("`{word} {value}` is not known, expected {OPTIONS}"),
        }
    }
    if let Some(name) = options.peers.iter().find(|name| !PEERS.contains(&name.as_str())) {
        bail!("`{name}` is no peer, expected some of {}", PEERS.join(", "));
    }
    Ok(options)
}

fn compare(options: &Options) -> Result<()> {
    // Beside the build's other artefacts, so that it is made once.
    let folder = std::env::current_exe()?.with_file_name("bench-store");
    let python = workload::python(&folder.join("python"));
    let (seconds, runs) = if options.quick { (SECONDS_QUICK, RUNS_QUICK) } else { (SECONDS, RUNS) };
    let workload = match (&options.workload, &python) {
        (Some(made), _) => Workload::read(made, seconds)?,
        (None, Ok(python)) => Workload::prepare(&folder.join("workload"), python, seconds)?,
        (None, Err(error)) => bail!("failed to make workload W: {error:#}"),
    };
    let expected = workload.expected()?;
    println!("workload: {} vehicles, {seconds} s, {} points", workload.vehicles, workload.points());
    let plan = Plan { workload, expected, dir: options.dir.clone(), runs, python: python.ok() };
    let mut report = Report::default();
    for name in &options.peers {
        let outcome = match name.as_str() {
            "victoria" => victoria::measure(&plan, &mut report),
            "postgres" => postgres::measure(&plan, &mut report),
            _ => duck::measure(&plan, &mut report),
        };
        report.unless_measured(name, outcome);
    }
    let tongmai = served::program(options.tongmai.as_ref());
    if options.ours && tongmai.is_none() {
        let advice = "no `tongmai` beside this program: `cargo build --release -p cli`, or --tongmai PATH";
        report.unless_measured("the server", Err(anyhow!(advice)));
    }
    if options.ours {
        measure_store(&plan, &mut report, tongmai.as_ref())?;
        if let Some(tongmai) = &tongmai {
            let outcome = served::measure(&plan, &mut report, tongmai);
            report.unless_measured("line protocol into the server", outcome);
        }
    }
    let mut tables = report.markdown();
    if options.ours && options.growth {
        tables += &growth::measure(&plan, tongmai.as_ref())?;
    }
    println!("\n{tables}");
    Ok(())
}

/// The store by its own interface, one batch under way at a time and then four, and a server of what was kept.
fn measure_store(plan: &Plan, report: &mut Report, tongmai: Option<&PathBuf>) -> Result<()> {
    for (in_flight, way) in [
        (1, "`Store::submit`, one batch at a time, each synced; sealed and compacted"),
        (4, "`Store::submit`, four batches under way; sealed and compacted"),
    ] {
        let dir = tempfile::Builder::new().prefix("bench-tongmai-").tempdir_in(&plan.dir)?;
        let (workload, feed) = (plan.workload.folder.clone(), Feed::Workload { seconds: plan.workload.seconds });
        let task = Task { workload, feed, dir: dir.path().into(), in_flight, runs: plan.runs };
        let outcome = ours::in_a_process(&task)?;
        let points = plan.workload.points();
        ensure!(outcome.points == points, "{} points were kept of {points}", outcome.points);
        let sealed = outcome.sealed_cpu_secs - outcome.acknowledged_cpu_secs;
        let compacted = outcome.whole_cpu_secs - outcome.sealed_cpu_secs;
        println!("behind the last acknowledgement: {sealed:.2} CPU s to seal the rest, {compacted:.2} to compact");
        report.ingest(Ingest {
            system: OURS,
            way,
            points,
            acknowledged_cpu_secs: outcome.acknowledged_cpu_secs,
            acknowledged_wall_secs: outcome.acknowledged_wall_secs,
            whole_cpu_secs: outcome.whole_cpu_secs,
            peak_bytes: Some(outcome.peak_bytes),
        });
        if in_flight > 1 {
            continue;
        }
        let question = Question::Latest;
        report.answer(Answer { system: OURS, way: "`Store::current`", question, cost: outcome.current(plan.runs) });
        for (what, taken) in ours::parts(dir.path())? {
            report.size(Size { system: OURS, what, points, taken });
        }
        if let Some(tongmai) = tongmai {
            let about = ("over HTTP", plan.workload.end_secs(), Some(plan.expected));
            let outcome = served::questions(plan, report, (tongmai, dir.path()), about);
            report.unless_measured("questions to the server", outcome);
        }
    }
    Ok(())
}
