//! What a fleet says, as frames one after another: a file for those who want to import or replay it. Knows no network.

use std::io::{self, Write};

use gbt32960::{Command, Encryption, Header, Response};

use super::identity::SERIAL_MAX;
use super::{Fleet, Said, Vehicle};

/// Each vehicle is asked so many seconds at a time; what all have said in them is put into the order of time.
const CHUNK_SECS: i64 = 30;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes everything that `fleet` says within `secs` seconds to `output`, as fast as it can be made.
///
/// # Errors
/// When it cannot be written.
pub fn record(fleet: Fleet, secs: u32, output: &mut impl Write) -> io::Result<Recorded> {
    let mut vehicles = fleet.into_vehicles();
    let mut recorded = Recorded::default();
    let mut serials = vec![0_u16; vehicles.len()];
    let Some(begin) = vehicles.first().map(Vehicle::now) else { return Ok(recorded) };
    let mut frames = Frames::default();
    let mut said = Vec::new();
    let mut passed = 0;
    while passed < i64::from(secs) {
        passed = (passed + CHUNK_SECS).min(i64::from(secs));
        let to = begin.plus_nanos(passed * 1_000_000_000);
        for (vehicle, serial) in vehicles.iter_mut().zip(&mut serials) {
            vehicle.advance(to, &mut said);
            for said in said.drain(..) {
                frames.add(vehicle, serial, said);
            }
        }
        frames.write(output, &mut recorded)?;
    }
    output.flush()?;
    Ok(recorded)
}

/// Frames, and the bytes that each takes, by the time that stands in it.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    places: Vec<([u8; 6], std::ops::Range<usize>)>,
}

impl Frames {
    fn add(&mut self, vehicle: &Vehicle, serial: &mut u16, said: Said) {
        let (command, data) = match said {
            Said::Wakes(time) => {
                *serial = if *serial < SERIAL_MAX { *serial + 1 } else { 1 };
                (Command::VEHICLE_LOGIN, vehicle.login(time, *serial))
            }
            Said::Report(report) => (report.command, report.data),
            Said::Sleeps(time) => (Command::VEHICLE_LOGOUT, vehicle.logout(time, *serial)),
        };
        let begin = self.bytes.len();
        header(vehicle, command).write(&data, &mut self.bytes).expect("what a vehicle says is short");
        let time = data[..6].try_into().expect("all that it says begins with a time");
        self.places.push((time, begin..self.bytes.len()));
    }

    fn write(&mut self, output: &mut impl Write, recorded: &mut Recorded) -> io::Result<()> {
        // A stable order: what a vehicle says in one second stays as it said it.
        self.places.sort_by_key(|(time, _)| *time);
        for (_, place) in self.places.drain(..) {
            output.write_all(&self.bytes[place])?;
            recorded.frames += 1;
        }
        recorded.bytes += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

/// The header of what `vehicle` says by `command`.
pub(super) fn header(vehicle: &Vehicle, command: Command) -> Header {
    Header {
        edition: vehicle.edition(),
        command,
        response: Response::COMMAND,
        vin: vehicle.vin(),
        encryption: Encryption::NONE,
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;
    use crate::fleet::FleetOptions;

    #[test]
    fn a_login_comes_before_the_reports_of_its_vehicle() {
        let begin: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        let mut bytes = Vec::new();
        let fleet = Fleet::new(&FleetOptions::new(1, 20, begin)).unwrap();
        let recorded = record(fleet, 90, &mut bytes).unwrap();
        // The truck of 2016 tells its cells in two reports.
        assert_eq!((recorded.frames, recorded.bytes), (83, bytes.len() as u64), "20 logins and 60 reports");
        let mut buffer = gbt32960::FrameBuffer::default();
        buffer.extend(&bytes);
        let mut known = std::collections::HashSet::new();
        while let Some(frame) = buffer.next_frame() {
            let frame = frame.unwrap();
            let header = gbt32960::Frame::parse(&frame).unwrap().header;
            assert!(known.contains(&header.vin) != (header.command == Command::VEHICLE_LOGIN));
            known.insert(header.vin);
        }
    }
}
