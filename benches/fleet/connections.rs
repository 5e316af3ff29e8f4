//! What it costs to have many vehicles connected that seldom speak: memory of the server and of the kernel for each.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::fleet::{self, Connection, Form};
use crate::server::{Program, Server};
use crate::usage::{Cpu, kernel_socket_bytes, now, raise_files, resident_bytes, wait_until_idle};
use crate::vehicle::{Use, Vehicle};

/// Files that are open besides connections.
const OTHER_FILES: u64 = 200;
/// Bytes of an answer to a heartbeat.
const HEARTBEAT_BYTES: usize = 25;

/// How many connections a bench that wants `wanted` can have on this machine.
pub(crate) fn possible(wanted: usize) -> Result<usize> {
    let files = raise_files(std::process::id(), wanted as u64 + OTHER_FILES)?;
    let possible = wanted.min(files.saturating_sub(OTHER_FILES) as usize);
    if possible < wanted {
        println!("this machine lets a process have {files} open files: {possible} connections instead of {wanted}");
    }
    Ok(possible)
}

/// Opens `count` connections, lets each vehicle report and say that it is there, and tells what that takes.
pub(crate) fn measure(program: &Program, dir: &Path, count: usize) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("bench-fleet-").tempdir_in(dir)?;
    let form = Form { connections: count, vehicles: 1, window: 1 };
    let frames = fleet::frames(form, 1);
    let mut server = program.start(folder.path())?;
    let process = server.process();
    raise_files(process, count as u64 + OTHER_FILES)?;
    // The threads and buffers that the first connection brings are there without the others.
    drop(fleet::connect(&server, Form { connections: 1, ..form }, vec![Vec::new()])?);
    wait_until_idle(process)?;
    let begin = now();
    let memory = Memory::of(&server)?;
    let cpu = Cpu::of(process)?;
    let mut connections = fleet::connect(&server, form, frames)?;
    let spent = Cpu::of(process)?.since(cpu).all();
    let wall_secs = begin.elapsed().as_secs_f64();
    println!("{count} connections logged in within {wall_secs:.1} s: {:.1} us of CPU each", 1e6 * spent / count as f64);
    wait_until_idle(process)?;
    memory.tell("logged in", &server, count)?;
    let cpu = Cpu::of(process)?;
    let mut buffer = Vec::new();
    connections.iter_mut().try_for_each(|connection| connection.send(1))?;
    connections.iter_mut().try_for_each(|connection| connection.settle(&mut buffer).map(drop))?;
    let spent = Cpu::of(process)?.since(cpu).all();
    println!("  a report of each: {:.2} us of CPU each", 1e6 * spent / count as f64);
    wait_until_idle(process)?;
    memory.tell("having reported: latest values and a row included", &server, count)?;
    let cpu = Cpu::of(process)?;
    for (number, connection) in connections.iter_mut().enumerate() {
        beat(number as u32, connection)?;
    }
    let spent = Cpu::of(process)?.since(cpu).all();
    println!("  a heartbeat of each: {:.2} us of CPU each", 1e6 * spent / count as f64);
    let rows = server.rows()?;
    ensure!(rows >= count as u64, "{count} reports were answered, {rows} are there");
    drop(connections);
    wait_until_idle(process)?;
    memory.tell("after all have gone", &server, count)?;
    server.end()
}

fn beat(number: u32, connection: &mut Connection) -> Result<()> {
    connection.stream.write_all(&Vehicle::new(number, Use::Taxi).heartbeat())?;
    let mut answer = [0; HEARTBEAT_BYTES];
    connection.stream.read_exact(&mut answer).context("no answer to a heartbeat")?;
    ensure!(answer[2..4] == [7, 1], "a heartbeat was answered with {:02x?}", &answer[..4]);
    Ok(())
}

/// What is taken without the connections.
struct Memory {
    resident: u64,
    kernel: Option<u64>,
}

impl Memory {
    fn of(server: &Server) -> Result<Self> {
        Ok(Self { resident: resident_bytes(server.process(), "VmRSS")?, kernel: kernel_socket_bytes() })
    }

    fn tell(&self, when: &str, server: &Server, count: usize) -> Result<()> {
        let now = Self::of(server)?;
        let each = |now: u64, before: u64| (now as f64 - before as f64) / count as f64;
        // Both ends of every connection are on this machine.
        let kernel = match (now.kernel, self.kernel) {
            (Some(now), Some(before)) => format!("{:.0} bytes of the kernel's", each(now, before) / 2.0),
            _ => "the kernel does not tell its own".into(),
        };
        let resident = now.resident / 1_000_000;
        println!(
            "  {when}: {:.0} bytes for each connection ({resident} MB in all), {kernel}",
            each(now.resident, self.resident)
        );
        Ok(())
    }
}
