//! The spine: SHDR lines per CPU-second, from a socket to the synced log and on to segments.
//!
//! ```text
//! cargo bench -p benches --bench spine -- [--lines 2000000] [--rounds 5] [--dir DIR] [--part spine]
//! ```
//!
//! Every figure is taken in a process of its own, which counts the CPU time of all its threads; the lines come from yet
//! another process, whose time is not counted. Parts are measured in turn, round after round, so that a disturbance of
//! the machine meets all of them. This module must not know how a part is measured.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

mod part;
mod source;
mod usage;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use part::Part;
use source::EndOfStream;
use usage::Figures;

/// What the command line says.
struct Options {
    lines: u64,
    rounds: usize,
    dir: PathBuf,
    parts: Vec<Part>,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", lines, end] => source::send(lines.parse()?, EndOfStream::named(end)?),
        ["measure", part, lines, dir] => {
            println!("{}", part::measure(Part::named(part)?, lines.parse()?, dir.as_ref())?);
            Ok(())
        }
        _ => compare(&options(&words)?),
    }
}

fn options(words: &[String]) -> Result<Options> {
    // The default is on the disk that cargo builds on: a file system in memory would make syncing free.
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut options = Options { lines: 2_000_000, rounds: 5, dir, parts: Part::ALL.to_vec() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--bench" {
            continue;
        }
        let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--lines" => options.lines = value.parse().context("--lines takes a number")?,
            "--rounds" => options.rounds = value.parse().context("--rounds takes a number")?,
            "--dir" => options.dir = value.into(),
            "--part" => options.parts = vec![Part::named(value)?],
            _ => bail!("`{word}` is not known, expected --lines, --rounds, --dir or --part"),
        }
    }
    ensure!(options.rounds > 0 && options.lines > 0, "at least one round of one line");
    Ok(options)
}

fn compare(options: &Options) -> Result<()> {
    println!("source: {}", source::Source::load()?.described);
    let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); options.parts.len()];
    for round in 1..=options.rounds {
        for (part, figures) in options.parts.iter().zip(&mut figures) {
            let one = in_a_process(*part, options)?;
            println!("round {round}, {:8} {one}", part.name());
            figures.push(one);
        }
    }
    println!(
        "\n| part | lines/CPU-s, median (least to most) | CPU ns/line | of it system | wall s | peak MB | what it is |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (part, figures) in options.parts.iter().zip(&figures) {
        let column = |of: fn(&Figures) -> f64| median(figures.iter().map(of).collect());
        let [least, middle, most] = column(Figures::lines_per_cpu_sec);
        println!(
            "| {} | {middle:.0} ({least:.0} to {most:.0}) | {:.0} | {:.0} % | {:.2} | {:.0} | {} |",
            part.name(),
            1e9 / middle,
            column(|one| one.system_secs * 100.0 / one.cpu_secs())[1],
            column(|one| one.wall_secs)[1],
            column(|one| one.peak_bytes as f64 / 1e6)[1],
            part.meaning(),
        );
    }
    Ok(())
}

fn in_a_process(part: Part, options: &Options) -> Result<Figures> {
    let dir = tempfile::tempdir_in(&options.dir).context("failed to make a data directory")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["measure", part.name(), &options.lines.to_string()])
        .arg(dir.path())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start a measurement")?;
    ensure!(output.status.success(), "the measurement of `{}` failed", part.name());
    String::from_utf8(output.stdout)?.parse()
}

/// The least, the middle and the most of `values`.
fn median(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}
