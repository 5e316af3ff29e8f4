//! What rules cost: many rules over some machines, and the rules that ship over a national fleet.
//!
//! ```text
//! cargo run --release -p benches --bin diagnosis -- [--phases own,all,fleet] [--rules 10000] [--assets 2000]
//!     [--vehicles 100000] [--rounds 20] [--days 3]
//! ```
//!
//! One thread does all of it, so that CPU time is that of one core. Memory is what is resident, the rules themselves included.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

mod fleet;
mod machines;
#[path = "../spine/usage.rs"]
#[expect(dead_code, reason = "the other bench asks more")]
mod usage;
#[path = "../fleet/vehicle.rs"]
#[expect(dead_code, reason = "the other bench asks more")]
mod vehicle;

use anyhow::{Context, Result, bail};

/// What the command line says.
struct Options {
    phases: Vec<String>,
    rules: usize,
    assets: usize,
    vehicles: u32,
    rounds: u32,
    days: u32,
}

fn main() -> Result<()> {
    let options = options()?;
    for phase in &options.phases {
        match phase.as_str() {
            "own" => machines::own(options.rules, options.assets)?,
            "all" => machines::all(options.rules, options.assets)?,
            "fleet" => fleet::run(options.vehicles, options.rounds, options.days)?,
            other => bail!("expected own, all or fleet, got `{other}`"),
        }
    }
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options {
        phases: ["own", "all", "fleet"].map(str::to_owned).to_vec(),
        rules: 10_000,
        assets: 2_000,
        vehicles: 100_000,
        rounds: 20,
        days: 3,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("expected a value behind `{word}`"))?;
        match word.as_str() {
            "--phases" => options.phases = value.split(',').map(str::to_owned).collect(),
            "--rules" => options.rules = value.parse()?,
            "--assets" => options.assets = value.parse()?,
            "--vehicles" => options.vehicles = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--days" => options.days = value.parse()?,
            _ => bail!("expected --phases, --rules, --assets, --vehicles, --rounds or --days, got `{word}`"),
        }
    }
    Ok(options)
}

/// CPU seconds of this process so far.
fn cpu() -> Result<f64> {
    let (user, system) = usage::cpu_secs()?;
    Ok(user + system)
}

/// Bytes that are resident now.
fn resident() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("this bench needs Linux")?;
    let pages: f64 = text.split_whitespace().nth(1).context("no resident pages in /proc/self/statm")?.parse()?;
    Ok(pages * 4_096.0)
}
