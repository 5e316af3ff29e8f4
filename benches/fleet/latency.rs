//! How long an answer takes, from the last byte of a report that was written to the answer that was read, while reports are
//! offered at a fixed rate, one at a time on each connection in turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::fleet::{self, Form};
use crate::server::Program;
use crate::usage::{Cpu, now};
use crate::vehicle::{ANSWER_BYTES, REPORT_BYTES};

/// How often reports are sent.
const TICK: Duration = Duration::from_millis(1);
/// Answers that are read at once.
const READ_BYTES: usize = 64 * ANSWER_BYTES;

/// What was sent on a connection and not answered yet, and all times that were taken.
type Waiting = Rc<RefCell<VecDeque<Instant>>>;
type Taken = Rc<RefCell<Vec<Duration>>>;

/// Measures `form` at `rate` reports a second.
pub(crate) fn measure(program: &Program, dir: &Path, form: Form, rate: f64, seconds: u64) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("bench-fleet-").tempdir_in(dir)?;
    let reports = rate * seconds as f64;
    let frames = fleet::frames(form, (reports / form.connections as f64).ceil() as usize + 1);
    let mut server = program.start(folder.path())?;
    let connections = fleet::connect(&server, form, frames)?;
    let before = Cpu::of(server.process())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begin = now();
    let (mut taken, late) = LocalSet::new().block_on(&runtime, paced(connections, rate, reports as usize))?;
    let wall_secs = begin.elapsed().as_secs_f64();
    let cpu = Cpu::of(server.process())?.since(before);
    taken.sort_unstable();
    let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{:.0} reports a second on {} connections: answered after {:.1} ms (median), {:.1} ms (99 %), {:.1} ms (99.9 %), {:.1} \
         ms (at most); {late} of {} sent late because a connection was full; server {:.2} us of CPU a report",
        taken.len() as f64 / wall_secs,
        form.connections,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        taken.len(),
        1e6 * cpu.all() / taken.len() as f64
    );
    let rows = server.rows()?;
    ensure!(rows == taken.len() as u64, "{} reports were answered, {rows} are there", taken.len());
    server.end()
}

/// Sends `reports` reports in time; gives how long each answer took, and how often a connection took no more.
async fn paced(connections: Vec<fleet::Connection>, rate: f64, reports: usize) -> Result<(Vec<Duration>, u64)> {
    let taken: Taken = Rc::new(RefCell::new(Vec::with_capacity(reports)));
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for fleet::Connection { stream, frames, .. } in connections {
        stream.set_nonblocking(true)?;
        let (reader, writer) = TcpStream::from_std(stream)?.into_split();
        let waiting = Waiting::default();
        readers.push(tokio::task::spawn_local(read(reader, Rc::clone(&waiting), Rc::clone(&taken))));
        writers.push((writer, frames, 0, waiting));
    }
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (begin, count, mut sent, mut late) = (now(), writers.len(), 0, 0);
    while sent < reports {
        ticks.tick().await;
        let due = reports.min((begin.elapsed().as_secs_f64() * rate) as usize);
        while sent < due {
            let (writer, frames, at, waiting) = &mut writers[sent % count];
            let frame = frames.get(*at..*at + REPORT_BYTES).context("too few frames were made")?;
            match writer.try_write(frame) {
                Ok(written) => ensure!(written == frame.len(), "a report was cut"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    late += 1;
                    break;
                }
                Err(error) => return Err(error).context("a connection was closed"),
            }
            waiting.borrow_mut().push_back(now());
            (*at, sent) = (*at + REPORT_BYTES, sent + 1);
        }
    }
    while taken.borrow().len() < reports {
        tokio::time::sleep(TICK).await;
        ensure!(readers.iter().all(|reader| !reader.is_finished()), "a connection ended");
    }
    Ok((taken.take(), late))
}

async fn read(reader: OwnedReadHalf, waiting: Waiting, taken: Taken) -> Result<()> {
    let (mut buffer, mut rest) = ([0; READ_BYTES], 0);
    loop {
        reader.readable().await?;
        let count = match reader.try_read(&mut buffer[rest..]) {
            Ok(0) => return Ok(()),
            Ok(count) => rest + count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        let read = now();
        for answer in buffer[..count].chunks_exact(ANSWER_BYTES) {
            ensure!(answer[..4] == [0x23, 0x23, 2, 1], "a report was answered with {:02x?}", &answer[..4]);
            let sent = waiting.borrow_mut().pop_front().context("an answer to nothing")?;
            taken.borrow_mut().push(read - sent);
        }
        rest = count % ANSWER_BYTES;
        buffer.copy_within(count - rest..count, 0);
    }
}
