//! What a day of a vehicle takes on disk: a whole day of some vehicles through the gateway, sealed and merged, then the
//! bytes of segments and roll-ups.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fleet::{self, Form};
use crate::server::Program;
use crate::usage::{Cpu, now, unix_secs};
use crate::vehicle::{REPORT_BYTES, Use, Vehicle};

const DAY_SECS: i64 = 86_400;
/// Reports that are sent before their answers are waited for.
const WINDOW: usize = 1_000;
/// Published for a vehicle and day with a report in 30 s, elsewhere.
const PUBLISHED_BYTES: f64 = 5.6e6;

/// Measures `vehicles` vehicles that report every `secs`.
pub(crate) fn measure(program: &Program, dir: &Path, usage: Use, vehicles: usize, secs: i64) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("bench-fleet-").tempdir_in(dir)?;
    let begin = (unix_secs() / DAY_SECS - 1) * DAY_SECS;
    let mut all: Vec<Vehicle> = (0..vehicles as u32).map(|number| Vehicle::new(number, usage)).collect();
    // The day before brings batteries to where they are at its end.
    let mut unused = Vec::new();
    for vehicle in &mut all {
        for second in (begin - DAY_SECS..begin).step_by(60) {
            unused.clear();
            vehicle.report(second, 60, &mut unused);
        }
    }
    let mut frames = Vec::with_capacity(vehicles * (DAY_SECS / secs) as usize * REPORT_BYTES);
    for second in (begin..begin + DAY_SECS).step_by(secs as usize) {
        all.iter_mut().for_each(|vehicle| vehicle.report(second, secs, &mut frames));
    }
    let reports = frames.len() / REPORT_BYTES;
    // With one vehicle it would not log in as a platform.
    let form = Form { connections: 1, vehicles: vehicles.max(2), window: WINDOW };
    let mut server = program.start(folder.path())?;
    let (started, cpu) = (now(), Cpu::of(server.process())?);
    let mut connections = fleet::connect(&server, form, vec![frames])?;
    let mut buffer = Vec::new();
    for connection in &mut connections {
        while connection.sent < connection.frames.len() {
            connection.send(WINDOW)?;
            connection.settle(&mut buffer)?;
        }
    }
    let (wall_secs, spent) = (started.elapsed().as_secs_f64(), Cpu::of(server.process())?.since(cpu).all());
    drop(connections);
    server.end()?;
    program.compact(folder.path())?;
    let data = folder.path().join("data");
    let bytes = |part: &str, profile: &str| bytes_below(&data.join(part).join(profile));
    let (segments, rollups) = (bytes("segments", "vehicle")?, bytes("rollups", "vehicle")?);
    let each = |bytes: u64| bytes as f64 / vehicles as f64;
    let whole = each(segments + rollups);
    println!(
        "{vehicles} vehicles ({usage:?}), a report every {secs} s, a day: {reports} reports in {wall_secs:.1} s, {:.2} us of the \
         server's CPU each; {:.0} bytes for a vehicle and day ({:.1} a report): {:.0} segments, {:.0} roll-ups; {:.1} times less \
         than {PUBLISHED_BYTES:.1e}",
        1e6 * spent / reports as f64,
        whole,
        whole * vehicles as f64 / reports as f64,
        each(segments),
        each(rollups),
        PUBLISHED_BYTES / whole
    );
    Ok(())
}

/// Bytes of all files below `folder`.
fn bytes_below(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("failed to look into `{}`", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}
