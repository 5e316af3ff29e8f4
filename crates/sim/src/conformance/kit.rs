//! A vehicle that tries a platform's manners: what has to be acknowledged, what must not be, frames in pieces, glued and broken.

use std::io;
use std::time::Duration;

use gbt32960::{Command, Edition, EncodeError, Encryption, Frame, Header, Response, Vin, from_wire, to_wire};
use model::Timestamp;

use super::peer::{Heard, Peer, Terms, acknowledged, flaw, refused};
use super::{Check, Verdict};
use crate::fleet::{Fleet, FleetOptions, Said};

/// Between the pieces of a frame.
const PIECE_PAUSE: Duration = Duration::from_millis(50);
/// How far the platform's clock may be from ours.
const SKEW_NANOS_MAX: u64 = 300_000_000_000;
/// How much of its life the vehicle tells of.
const STORY_SECS: i64 = 3_600;
/// The least number of reports that are tried.
const REPORTS: usize = 8;

/// Tries the platform at `terms` as the vehicle `vin` of `edition`, which may log in there, at the time `now`.
///
/// # Errors
/// When the platform cannot be reached.
pub async fn try_manners(terms: Terms, edition: Edition, vin: Vin, now: Timestamp) -> io::Result<Vec<Check>> {
    let mut kit = Kit::new(terms, edition, vin, now)?;
    kit.before_login().await?;
    let mut peer = Peer::connect(terms).await?;
    kit.acknowledges(&mut peer, "a login is acknowledged", Command::VEHICLE_LOGIN, login(edition, now)).await;
    kit.reports(&mut peer).await;
    kit.pieces(&mut peer).await;
    kit.broken(&mut peer).await;
    kit.clock(&mut peer, now).await;
    kit.second_connection(peer, now).await?;
    Ok(kit.checks)
}

/// See the module.
struct Kit {
    terms: Terms,
    header: Header,
    /// Data units of reports, each told once.
    reports: Vec<Vec<u8>>,
    next: usize,
    checks: Vec<Check>,
}

impl Kit {
    fn new(terms: Terms, edition: Edition, vin: Vin, now: Timestamp) -> io::Result<Self> {
        let from = now.plus_nanos(-STORY_SECS * 1_000_000_000);
        let options = FleetOptions { editions: vec![edition], ..FleetOptions::new(1, 1, from) };
        let mut vehicles = Fleet::new(&options).map_err(io::Error::other)?.into_vehicles();
        let mut said = Vec::new();
        vehicles[0].advance(now, &mut said);
        let reports: Vec<Vec<u8>> = said
            .into_iter()
            .filter_map(|said| if let Said::Report(report) = said { Some(report.data) } else { None })
            .collect();
        if reports.len() < REPORTS {
            return Err(io::Error::other(format!("the simulated vehicle made {} reports only", reports.len())));
        }
        let (response, encryption) = (Response::COMMAND, Encryption::NONE);
        let header = Header { edition, command: Command::REALTIME, response, vin, encryption };
        Ok(Self { terms, header, reports, next: 0, checks: Vec::new() })
    }

    fn frame(&self, command: Command, data: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let written: Result<(), EncodeError> = Header { command, ..self.header }.write(data, &mut frame);
        written.expect("what the kit says is short");
        frame
    }

    /// The next report.
    fn report(&mut self) -> Vec<u8> {
        let data = self.reports[self.next % self.reports.len()].clone();
        self.next += 1;
        self.frame(Command::REALTIME, &data)
    }

    fn note(&mut self, what: &str, verdict: Verdict) {
        let what = format!("{}: {what}", self.header.edition.year());
        self.checks.push(Check { what, verdict });
    }

    async fn acknowledges(&mut self, peer: &mut Peer, what: &str, command: Command, data: Vec<u8>) {
        let frame = self.frame(command, &data);
        let heard = peer.ask(&frame).await;
        self.note(what, acknowledged(&frame, &heard, command.is_report()));
    }

    async fn before_login(&mut self) -> io::Result<()> {
        let mut stranger = Peer::connect(self.terms).await?;
        let report = self.report();
        let heard = stranger.ask(&report).await;
        self.note("a report before the login is not acknowledged", refused(&heard));
        Ok(())
    }

    async fn reports(&mut self, peer: &mut Peer) {
        let mut data = self.reports[self.next].clone();
        self.acknowledges(peer, "a realtime report is acknowledged", Command::REALTIME, data.clone()).await;
        self.acknowledges(peer, "the same report is taken again", Command::REALTIME, data.clone()).await;
        self.acknowledges(peer, "a reissued report is acknowledged", Command::REISSUED, data.clone()).await;
        data.extend([0x80, 0, 3, 1, 2, 3]);
        self.acknowledges(peer, "a block that a maker has defined is no mistake", Command::REALTIME, data).await;
        self.next += 1;
    }

    async fn pieces(&mut self, peer: &mut Peer) {
        let report = self.report();
        for piece in report.chunks(report.len().div_ceil(3)) {
            peer.say(piece).await;
            tokio::time::sleep(PIECE_PAUSE).await;
        }
        let heard = peer.hear().await;
        self.note("a report in three pieces is acknowledged", acknowledged(&report, &heard, true));
        let both = [self.report(), self.report()];
        peer.say(&both.concat()).await;
        for report in both {
            let heard = peer.hear().await;
            self.note("each of two reports in one piece is acknowledged", acknowledged(&report, &heard, true));
        }
    }

    async fn broken(&mut self, peer: &mut Peer) {
        let mut report = self.report();
        let last = report.len() - 1;
        report[last] ^= 0x55;
        let heard = peer.ask(&report).await;
        self.note("a report with a wrong check byte is not acknowledged", refused(&heard));
        let cut: Vec<u8> = self.reports[0][..20].to_vec();
        let cut = self.frame(Command::REALTIME, &cut);
        let heard = if heard == Heard::End { Heard::End } else { peer.ask(&cut).await };
        self.note("a report that ends in the middle of a block is not acknowledged", refused(&heard));
        if heard == Heard::End {
            match Peer::connect(self.terms).await {
                Ok(again) => *peer = again,
                Err(error) => return self.note("it can be reached again", Verdict::Failed(error.to_string())),
            }
            let time = self.reports[0][..6].try_into().ok().and_then(|time| from_wire(time).ok()).unwrap_or_default();
            self.acknowledges(
                peer,
                "after that the vehicle logs in again",
                Command::VEHICLE_LOGIN,
                login(self.header.edition, time),
            )
            .await;
        }
        let report = self.report();
        let heard = peer.ask(&report).await;
        self.note("what comes after a broken report is acknowledged", acknowledged(&report, &heard, true));
    }

    async fn clock(&mut self, peer: &mut Peer, now: Timestamp) {
        self.acknowledges(peer, "a heartbeat is acknowledged", Command::HEARTBEAT, Vec::new()).await;
        let asked = self.frame(Command::TIME_SYNC, &[]);
        let heard = peer.ask(&asked).await;
        let verdict = match &heard {
            Heard::Frame(reply) => told_time(&asked, reply, now),
            _ => acknowledged(&asked, &heard, false),
        };
        self.note("the platform tells the time", verdict);
    }

    async fn second_connection(&mut self, mut first: Peer, now: Timestamp) -> io::Result<()> {
        let mut second = Peer::connect(self.terms).await?;
        self.acknowledges(
            &mut second,
            "a second connection of the vehicle logs in",
            Command::VEHICLE_LOGIN,
            login(self.header.edition, now),
        )
        .await;
        let ended = first.hear().await;
        let verdict = match ended {
            Heard::End => Verdict::Passed,
            _ => Verdict::Failed("the first one is still open".to_owned()),
        };
        self.note("which closes the first", verdict);
        let logout = to_wire(now).unwrap_or_default().into_iter().chain([0, 1]).collect();
        self.acknowledges(&mut second, "a logout is acknowledged", Command::VEHICLE_LOGOUT, logout).await;
        let report = self.report();
        let heard = second.ask(&report).await;
        self.note("a report after the logout is not acknowledged", refused(&heard));
        Ok(())
    }
}

/// The data unit of a login that names no packs.
fn login(edition: Edition, time: Timestamp) -> Vec<u8> {
    let mut data = to_wire(time).unwrap_or_default().to_vec();
    data.extend([0, 1]);
    data.extend(b"89860000000000000001");
    data.extend(if edition == Edition::E2016 { &[0, 0][..] } else { &[0] });
    data
}

fn told_time(asked: &[u8], reply: &[u8], now: Timestamp) -> Verdict {
    let (asked, reply) = match (Frame::parse(asked), Frame::parse(reply)) {
        (Ok(asked), Ok(reply)) => (asked, reply),
        (Err(error), _) | (_, Err(error)) => return Verdict::Failed(error.to_string()),
    };
    if let Some(flaw) = flaw(&asked, &reply) {
        return Verdict::Failed(flaw);
    }
    match reply.data.try_into().map(from_wire) {
        Ok(Ok(time)) if time.nanos().abs_diff(now.nanos()) <= SKEW_NANOS_MAX => Verdict::Passed,
        Ok(Ok(_)) => Verdict::Failed("its time is more than five minutes from ours".to_owned()),
        Ok(Err(error)) => Verdict::Failed(error.to_string()),
        Err(_) if reply.data.is_empty() => Verdict::Noted("acknowledged without a time".to_owned()),
        Err(_) => Verdict::Failed(format!("expected six bytes of time, got {}", reply.data.len())),
    }
}
