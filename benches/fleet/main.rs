//! A fleet of electric cars against the platform that they report to by GB/T 32960: how many reports are answered and what
//! one costs, how long an answer takes, what a connection takes in memory, and what a day of a vehicle takes on disk.
//!
//! ```text
//! cargo build --release -p cli && cargo run --release -p benches --bin fleet -- --tongmai target/release/tongmai
//!     [--phases throughput,latency,connections,storage] [--seconds 30] [--reports 3000000] [--connections 100000]
//!     [--vehicles 50] [--rate REPORTS] [--forms all|CONNECTIONSxVEHICLESxWINDOW,…] [--dir DIR]
//! ```
//!
//! Without `--tongmai` gateway and store are measured alone, in a process of their own as the whole server would be: that
//! needs no build of the SQL engine. Every report counts only when its answer says that it is kept, and the answers are
//! compared with the rows that can be asked for. This module must not know how anything is measured.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

mod connections;
mod fleet;
#[path = "../store/http.rs"]
#[expect(dead_code, reason = "the other bench asks more")]
mod http;
mod latency;
mod part;
mod server;
mod storage;
mod throughput;
mod usage;
mod vehicle;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use fleet::Form;
use server::Program;
use vehicle::Use;

const OPTIONS: &str =
    "--tongmai, --phases, --seconds, --reports, --connections, --vehicles, --forms, --rate or --dir, each with a value";
const PHASES: [&str; 4] = ["throughput", "latency", "connections", "storage"];
/// Platforms that pass on what many vehicles say, as a national platform has them; vehicles that catch up after a dead
/// zone; vehicles that say one thing at a time.
const FORMS: [Form; 3] = [
    Form { connections: 50, vehicles: 400, window: 400 },
    Form { connections: 2_000, vehicles: 1, window: 16 },
    Form { connections: 10_000, vehicles: 1, window: 1 },
];
/// The form that latency is measured with: one report at a time on each connection.
const LATENCY: Form = Form { connections: 2_000, vehicles: 1, window: 1 };
/// The share of the rate that was reached which latency is measured at.
const LATENCY_SHARE: f64 = 0.5;
/// What the command line says.
struct Options {
    program: Program,
    phases: Vec<String>,
    seconds: u64,
    reports: usize,
    connections: usize,
    vehicles: usize,
    forms: Vec<Form>,
    rate: Option<f64>,
    /// On a disk, unlike `/tmp` on many machines: a file system in memory would make syncing free.
    dir: PathBuf,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [word, data, listen] if word == server::SERVE => part::serve(data.as_ref(), listen.parse()?),
        [word, data] if word == server::COMPACT => part::compact(data.as_ref()),
        _ => measure(&options(&words)?),
    }
}

fn options(words: &[String]) -> Result<Options> {
    let mut options = Options {
        program: Program::Part,
        phases: PHASES.map(str::to_owned).to_vec(),
        seconds: 30,
        reports: 3_000_000,
        connections: 100_000,
        vehicles: 50,
        forms: FORMS.to_vec(),
        rate: None,
        dir: "/var/tmp".into(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("`{word}` needs a value; expected {OPTIONS}"))?;
        match word.as_str() {
            "--tongmai" => options.program = Program::Whole(value.into()),
            "--phases" => options.phases = value.split(',').map(str::to_owned).collect(),
            "--seconds" => options.seconds = value.parse()?,
            "--reports" => options.reports = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--vehicles" => options.vehicles = value.parse()?,
            "--rate" => options.rate = Some(value.parse()?),
            "--forms" if value == "all" => {}
            "--forms" => options.forms = value.split(',').map(form).collect::<Result<_>>()?,
            "--dir" => options.dir = value.into(),
            _ => bail!("`{word} {value}` is not known, expected {OPTIONS}"),
        }
    }
    if let Some(phase) = options.phases.iter().find(|phase| !PHASES.contains(&phase.as_str())) {
        bail!("`{phase}` is no phase, expected some of {}", PHASES.join(", "));
    }
    Ok(options)
}

/// For example `2000x1x16`.
fn form(text: &str) -> Result<Form> {
    let numbers: Vec<usize> = text.split('x').map(str::parse).collect::<Result<_, _>>()?;
    let [connections, vehicles, window] = numbers[..] else {
        bail!("`{text}`: expected three numbers, as in 2000x1x16")
    };
    Ok(Form { connections, vehicles, window })
}

fn measure(options: &Options) -> Result<()> {
    let Options { program, dir, seconds, .. } = options;
    println!(
        "{}",
        match program {
            Program::Whole(path) => format!("the whole server, `{}`", path.display()),
            Program::Part => "gateway and store, without the rest of the server".to_owned(),
        }
    );
    let mut reached: f64 = 0.0;
    for phase in &options.phases {
        println!("\n{phase}");
        match phase.as_str() {
            "throughput" => {
                for form in &options.forms {
                    let form = Form { connections: connections::possible(form.connections)?, ..*form };
                    let rate = throughput::measure(program, dir, form, options.reports, *seconds)?;
                    reached = reached.max(rate);
                }
            }
            "latency" => {
                let rate = options.rate.or((reached > 0.0).then_some(LATENCY_SHARE * reached));
                let rate =
                    rate.context("--rate says at which rate latency is measured, or the phase throughput before")?;
                latency::measure(program, dir, LATENCY, rate, *seconds)?;
            }
            "connections" => connections::measure(program, dir, connections::possible(options.connections)?)?,
            _ => {
                for (usage, secs) in [(Use::Private, 10), (Use::Taxi, 10), (Use::Taxi, 30)] {
                    storage::measure(program, dir, usage, options.vehicles, secs)?;
                }
            }
        }
    }
    Ok(())
}
