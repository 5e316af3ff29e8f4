//! `tongmai frames`: a conformance kit for platforms of GB/T 32960, ours or another's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gbt32960::{Edition, Vin};
use model::Clock;
use server::SystemClock;
use sim::conformance::{Check, Recorded, Terms, Verdict, replay, try_manners};

use crate::decode::{Frames, read_input};

/// See the module.
#[derive(clap::Args)]
pub(crate) struct FramesArguments {
    /// Recorded frames to say again: a file with their bytes or with a line of hexadecimal digits for each, or `-`. Left out,
    /// a vehicle of each edition tries what a platform has to acknowledge and what it must not.
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
    /// The platform.
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Without recorded frames: only the edition of this year, 2016 or 2025.
    #[arg(long, value_name = "YEAR", conflicts_with = "input")]
    edition: Option<u16>,
    /// Without recorded frames: the vehicle, which the platform has to know if it does not let in everybody.
    #[arg(long, default_value = "LTMTEST0000000001", conflicts_with = "input")]
    vin: String,
    /// Milliseconds that a reply may take.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    wait_ms: u64,
}

pub(crate) async fn run(arguments: FramesArguments) -> Result<()> {
    let terms = Terms { to: arguments.to, wait: Duration::from_millis(arguments.wait_ms) };
    let unreachable = || format!("failed to reach the platform at {}", arguments.to);
    let mut tally = Tally::default();
    match &arguments.input {
        Some(input) => {
            let mut recorded = Vec::new();
            for (place, frame) in Frames::of(&read_input(&input.to_string_lossy())?).0 {
                match frame {
                    Ok(bytes) => recorded.push(Recorded { place, bytes }),
                    Err(error) => tally.add(&Check { what: place, verdict: Verdict::Failed(error) })?,
                }
            }
            let mut told = Ok(());
            replay(terms, &recorded, |check| {
                if told.is_ok() {
                    told = tally.add(&check);
                }
            })
            .await
            .with_context(unreachable)?;
            told?;
        }
        None => {
            let vin = Vin::new(&arguments.vin).with_context(|| format!("`{}` is no VIN", arguments.vin))?;
            let editions = match arguments.edition {
                None => Edition::ALL.to_vec(),
                Some(year) => vec![Edition::of_year(year).context("the editions are those of 2016 and 2025")?],
            };
            for edition in editions {
                let checks = try_manners(terms, edition, vin, SystemClock.now()).await.with_context(unreachable)?;
                checks.iter().try_for_each(|check| tally.add(check))?;
            }
        }
    }
    tally.end()
}

/// How many passed and failed.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn add(&mut self, check: &Check) -> Result<()> {
        if matches!(check.verdict, Verdict::Failed(_)) {
            self.failed += 1;
        } else {
            self.passed += 1;
        }
        crate::say(&format!("{check}\n"))
    }

    fn end(self) -> Result<()> {
        match (self.passed, self.failed) {
            (0, 0) => bail!("there are no frames in the input"),
            (passed, 0) => crate::say(&format!("{passed} passed\n")),
            (passed, failed) => bail!("{failed} of {} failed", passed + failed),
        }
    }
}
