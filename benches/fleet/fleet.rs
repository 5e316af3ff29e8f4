//! A fleet that has logged in: connections, and the frames that each will send, made before any clock starts.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use crate::server::{PASSWORD, Server, USER};
use crate::usage::unix_secs;
use crate::vehicle::{ANSWER_BYTES, REPORT_BYTES, Use, Vehicle, platform_login};

/// Connections that are opened before the first is waited for.
const LOGINS_AT_ONCE: usize = 256;
/// Connections to one address: fewer than there are ports.
const CONNECTIONS_OF_ADDRESS: usize = 20_000;
/// How long before the present the first report of a run is.
const SECS_BETWEEN: i64 = 10;

/// How vehicles are connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) connections: usize,
    /// On each connection; more than one log in as a platform that passes on what they say.
    pub(crate) vehicles: usize,
    /// Reports that are sent before their answers are waited for.
    pub(crate) window: usize,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// What it will send.
    pub(crate) frames: Vec<u8>,
    /// How much of that it has sent.
    pub(crate) sent: usize,
    /// Answers that are awaited.
    pub(crate) awaited: usize,
}

impl Connection {
    /// Sends the next `count` reports, or those that are left.
    pub(crate) fn send(&mut self, count: usize) -> Result<()> {
        let begin = self.sent;
        self.sent = self.frames.len().min(begin + count * REPORT_BYTES);
        self.awaited += (self.sent - begin) / REPORT_BYTES;
        self.stream.write_all(&self.frames[begin..self.sent]).context("a connection was closed")
    }

    /// Waits for all answers, of which none may be an error; gives how many there were.
    pub(crate) fn settle(&mut self, buffer: &mut Vec<u8>) -> Result<u64> {
        let count = std::mem::take(&mut self.awaited);
        buffer.resize(count * ANSWER_BYTES, 0);
        self.stream.read_exact(buffer).context("a connection was closed")?;
        for answer in buffer.chunks(ANSWER_BYTES) {
            ensure!(answer[..4] == [0x23, 0x23, 2, 1], "a report was answered with {:02x?}", &answer[..4]);
        }
        Ok(count as u64)
    }
}

/// Frames of `form`, `reports` of each connection, one vehicle after the other.
pub(crate) fn frames(form: Form, reports: usize) -> Vec<Vec<u8>> {
    let rounds = reports.div_ceil(form.vehicles);
    let begin = unix_secs() - rounds as i64 * SECS_BETWEEN;
    let of_connection = |connection: usize| {
        let first = (connection * form.vehicles) as u32;
        let mut vehicles: Vec<Vehicle> =
            (first..first + form.vehicles as u32).map(|number| Vehicle::new(number, Use::Taxi)).collect();
        let mut frames = Vec::with_capacity(rounds * form.vehicles * REPORT_BYTES);
        for round in 0..rounds as i64 {
            vehicles
                .iter_mut()
                .for_each(|vehicle| vehicle.report(begin + round * SECS_BETWEEN, SECS_BETWEEN, &mut frames));
        }
        frames
    };
    (0..form.connections).map(of_connection).collect()
}

/// Logs in, with `frames` to be sent on each connection.
pub(crate) fn connect(server: &Server, form: Form, frames: Vec<Vec<u8>>) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(form.connections);
    for frames in frames {
        let number = connections.len();
        let mut stream = TcpStream::connect(server.address((number / CONNECTIONS_OF_ADDRESS) as u8))
            .with_context(|| format!("failed to open connection {number}"))?;
        stream.set_nodelay(true)?;
        let login = match form.vehicles {
            1 => Vehicle::new(number as u32, Use::Taxi).login(unix_secs()),
            _ => platform_login(unix_secs(), USER, PASSWORD),
        };
        stream.write_all(&login)?;
        connections.push(Connection { stream, frames, sent: 0, awaited: 0 });
        if connections.len().is_multiple_of(LOGINS_AT_ONCE) || connections.len() == form.connections {
            let first = (connections.len() - 1) / LOGINS_AT_ONCE * LOGINS_AT_ONCE;
            connections[first..].iter_mut().try_for_each(logged_in)?;
        }
    }
    Ok(connections)
}

fn logged_in(connection: &mut Connection) -> Result<()> {
    let mut answer = [0; ANSWER_BYTES];
    connection.stream.read_exact(&mut answer).context("no answer to a login")?;
    ensure!(answer[3] == 1, "a login was answered with {:02x?}", &answer[..4]);
    Ok(())
}
