//! The rules that ship for vehicles over a fleet that reports every 30 seconds, in the evening, when most are charged.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use diagnosis::Engine;
use gbt32960::{Frame, ReportRows, Standard};
use model::Timestamp;

use crate::vehicle::{Use, Vehicle};
use crate::{cpu, resident};

const INTERVAL_SECS: i64 = 30;
/// Of the days before, in which rules come to remember things, reports are further apart.
const WARM_UP_SECS: i64 = 300;
/// Reports that come in together.
const TOGETHER: usize = 2_000;
/// Half past nine in the evening in Beijing: charging begins within the first hour.
const BEGIN_SECS: i64 = 1_790_000_000 / 86_400 * 86_400 + 13 * 3_600 + 1_800;

pub(crate) fn run(vehicles: u32, rounds: u32, days: u32) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs/vehicle/rules");
    let mut rules = Vec::new();
    for file in std::fs::read_dir(&folder).context("failed to read the rules that ship")? {
        let path = file?.path().display().to_string();
        if path.ends_with(".toml") && !path.ends_with(".cases.toml") {
            let read = diagnosis::read(&path, &std::fs::read_to_string(&path)?)?;
            rules.extend(read.into_iter().collect::<Result<Vec<_>, _>>()?);
        }
    }
    let count = rules.len();
    let mut fleet: Vec<Vehicle> = (0..vehicles).map(|number| Vehicle::new(number, Use::Private)).collect();
    let mut rows = ReportRows::new(Arc::new(Standard::built_in()));
    let mut engine = Engine::new(rules);
    let before = resident()?;
    let mut meter = Meter::default();
    let warm_up = i64::from(days) * 86_400;
    for secs in (-warm_up..0).step_by(WARM_UP_SECS as usize) {
        Meter::default().round(&mut fleet, &mut rows, &mut engine, (BEGIN_SECS + secs, WARM_UP_SECS))?;
    }
    for round in 0..i64::from(rounds) {
        let now = BEGIN_SECS + round * INTERVAL_SECS;
        meter.round(&mut fleet, &mut rows, &mut engine, (now, INTERVAL_SECS))?;
    }
    let Meter { reading, looking, events } = meter;
    ensure!(engine.problems().is_empty(), "{}", engine.problems()[0]);
    ensure!(engine.late() == 0, "rows came late");
    let reports = f64::from(vehicles) * f64::from(rounds);
    let kept = postcard_bytes(&engine)?;
    println!(
        "{count} rules over {vehicles} vehicles after {days} days, {rounds} reports of each: {:.0} reports per CPU-second, {:.1} million rules x \
         reports; reading a frame costs {:.1} us, looking at it {:.1} us: {:.0} % of one core at a report every {INTERVAL_SECS} s; \
         {:.1} KB in memory for each vehicle, {:.1} KB in a checkpoint; {events} events",
        reports / looking,
        reports * count as f64 / looking / 1e6,
        reading / reports * 1e6,
        looking / reports * 1e6,
        looking / reports * f64::from(vehicles) / INTERVAL_SECS as f64 * 100.0,
        (resident()? - before) / f64::from(vehicles) / 1e3,
        kept as f64 / f64::from(vehicles) / 1e3,
    );
    Ok(())
}

/// What rounds took.
#[derive(Default)]
struct Meter {
    reading: f64,
    looking: f64,
    events: usize,
}

impl Meter {
    /// One report of each vehicle, at `now`, so many seconds after the one before.
    fn round(
        &mut self,
        fleet: &mut [Vehicle],
        rows: &mut ReportRows,
        engine: &mut Engine,
        (now, secs): (i64, i64),
    ) -> Result<()> {
        let mut report = Vec::new();
        for together in fleet.chunks_mut(TOGETHER) {
            report.clear();
            together.iter_mut().for_each(|vehicle| vehicle.report(now, secs, &mut report));
            let begin = cpu()?;
            for frame in report.chunks_exact(crate::vehicle::REPORT_BYTES) {
                let frame = Frame::parse(frame)?;
                rows.push(&frame.header, frame.data)?;
            }
            let batch = rows.take(Timestamp::from_nanos(now * 1_000_000_000));
            let read = cpu()?;
            self.events += engine.take(&batch).len();
            self.reading += read - begin;
            self.looking += cpu()? - read;
        }
        Ok(())
    }
}

fn postcard_bytes(engine: &Engine) -> Result<usize> {
    Ok(postcard::to_allocvec(&engine.state())?.len())
}
