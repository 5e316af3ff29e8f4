//! How many reports are answered in a second, and what that costs the server. Every connection sends a window of reports,
//! and the next one when all of these are answered. Blocking sockets in turn: a client cannot be much lighter.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::fleet::{self, Connection, Form};
use crate::server::{Program, Server};
use crate::usage::{Cpu, now, resident_bytes, threads, wait_until_idle};

/// The rate that the national fleet of 2020 would report at: one report of each vehicle in 30 s.
pub(crate) const NATIONAL_PER_SEC: f64 = 107_700.0;

/// Measures `form` with up to `reports` reports in all, for `seconds` at most; gives the rate.
pub(crate) fn measure(program: &Program, dir: &Path, form: Form, reports: usize, seconds: u64) -> Result<f64> {
    let folder = tempfile::Builder::new().prefix("bench-fleet-").tempdir_in(dir)?;
    let frames = fleet::frames(form, reports.div_ceil(form.connections));
    let mut server = program.start(folder.path())?;
    let mut connections = fleet::connect(&server, form, frames)?;
    let (process, own) = (server.process(), std::process::id());
    let before = (Cpu::of(process)?, Cpu::of(own)?, threads(process)?);
    let begin = now();
    let acknowledged = send(&mut connections, form.window, Duration::from_secs(seconds))?;
    let wall_secs = begin.elapsed().as_secs_f64();
    let cpu = (Cpu::of(process)?.since(before.0), Cpu::of(own)?.since(before.1));
    let rows = rows_when_asked(&mut server, acknowledged)?;
    let rate = acknowledged as f64 / wall_secs;
    let Form { connections: count, vehicles, window } = form;
    println!(
        "{count} connections of {vehicles} vehicles, {window} reports at a time: {acknowledged} reports in {wall_secs:.1} s, \
         {rate:.0} a second ({:.0} % of the national fleet)",
        100.0 * rate / NATIONAL_PER_SEC
    );
    let each = |cpu: Cpu| (1e6 * cpu.all() / acknowledged as f64, 1e6 * cpu.system / acknowledged as f64);
    let ((server_us, server_system_us), (client_us, _)) = (each(cpu.0), each(cpu.1));
    println!(
        "  server: {server_us:.2} us of CPU a report ({server_system_us:.2} of it system), {:.0} reports per CPU-second; \
         client: {client_us:.2} us a report",
        1e6 / server_us
    );
    for (name, after) in threads(process)? {
        let spent = after.since(before.2.get(&name).copied().unwrap_or_default());
        println!("    {name}: {:.2} us a report, {:.2} of it system", each(spent).0, each(spent).1);
    }
    println!("  {rows} rows can be asked for; peak memory {} MB", resident_bytes(process, "VmHWM")? / 1_000_000);
    let begun = Cpu::of(process)?;
    wait_until_idle(process)?;
    println!("  behind the last answer: {:.2} us of CPU a report", each(Cpu::of(process)?.since(begun)).0);
    drop(connections);
    server.end()?;
    Ok(rate)
}

/// Sends until `wall` has passed, or everything is sent; gives how many reports were answered.
fn send(connections: &mut [Connection], window: usize, wall: Duration) -> Result<u64> {
    let (begin, mut acknowledged, mut buffer) = (now(), 0, Vec::new());
    while begin.elapsed() < wall && connections.iter().any(|connection| connection.sent < connection.frames.len()) {
        for connection in connections.iter_mut() {
            acknowledged += connection.settle(&mut buffer)?;
            connection.send(window)?;
        }
    }
    for connection in connections {
        acknowledged += connection.settle(&mut buffer)?;
    }
    Ok(acknowledged)
}

/// What was answered can be asked for at once, and nothing else.
fn rows_when_asked(server: &mut Server, acknowledged: u64) -> Result<u64> {
    let rows = server.rows().context("failed to ask for the rows")?;
    ensure!(rows == acknowledged, "{acknowledged} reports were answered, {rows} are there");
    Ok(rows)
}
