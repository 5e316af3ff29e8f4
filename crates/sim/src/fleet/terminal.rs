//! The terminal of a vehicle: logs in and out, sends reports, keeps each until it is acknowledged, sends again what was
//! refused, and answers commands. Knows no socket; time is an argument.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gbt32960::{Command, Frame, Layout, Response, WireTime};
use model::Timestamp;
use tokio::time::Instant;

use super::counts::Counters;
use super::identity::SERIAL_MAX;
use super::network::Network;
use super::parameters::{Effect, Parameters};
use super::record::header;
use super::{Said, Vehicle};

/// Reports that are on their way at the same time.
const WAITING_MAX: usize = 32;
/// How often a report that is refused is sent again.
const RESENDS_MAX: u8 = 3;
/// Logins that fail before a longer pause.
const LOGINS_MAX: u32 = 3;

/// How long a terminal waits for what; by default as the standard says.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an answer; then the connection is taken for broken.
    pub answer: Duration,
    /// After a login that failed.
    pub login: Duration,
    /// After three of them.
    pub logins: Duration,
    /// After a report was refused.
    pub resend: Duration,
    /// After a connection that broke; twice as long each time, up to the second one.
    pub reconnect: [Duration; 2],
    /// At the end, for what is outstanding.
    pub last: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            login: Duration::from_secs(60),
            logins: Duration::from_secs(30 * 60),
            resend: Duration::from_secs(60),
            reconnect: [Duration::from_secs(1), Duration::from_secs(60)],
            last: Duration::from_secs(15),
        }
    }
}

impl Patience {
    /// The same, everything so many times shorter.
    #[must_use]
    pub fn shorter(&self, times: f64) -> Self {
        let shorter = |wait: Duration| wait.div_f64(times);
        Self {
            answer: shorter(self.answer),
            login: shorter(self.login),
            logins: shorter(self.logins),
            resend: shorter(self.resend),
            reconnect: self.reconnect.map(shorter),
            last: self.last,
        }
    }
}

/// Whether a platform answers good reports: the standard leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// It does: what is not answered is sent again.
    Expected,
    /// It does not: what was sent counts as acknowledged.
    None,
}

/// Whether what a vehicle says can be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Online,
    Offline,
}

/// What somebody has said to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    LoggedIn,
    LoginRefused,
    LoggedOut,
    /// The connection is to begin anew.
    Reconnect,
}

/// A report that is kept.
#[derive(Debug)]
struct Kept {
    data: Vec<u8>,
    refusals: u8,
    not_before: Option<Instant>,
}

/// A report on its way.
#[derive(Debug)]
struct Sent {
    kept: Kept,
    at: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) vehicle: Vehicle,
    pub(super) counters: Arc<Counters>,
    patience: Patience,
    replies: Replies,
    backlog_max: usize,
    parameters: Parameters,
    /// To be sent in time.
    fresh: VecDeque<Kept>,
    /// To be sent later or again.
    late: VecDeque<Kept>,
    /// Sent, in this order, and not acknowledged.
    waiting: VecDeque<Sent>,
    serial: u16,
    serial_day: [u8; 3],
    /// Since when it sleeps; none while it is awake.
    asleep: Option<WireTime>,
    logins_failed: u32,
    said: Vec<Said>,
}

impl Terminal {
    pub(super) fn new(
        vehicle: Vehicle,
        counters: Arc<Counters>,
        patience: Patience,
        replies: Replies,
        backlog_max: usize,
    ) -> Self {
        Self {
            asleep: Some(vehicle.clock()),
            vehicle,
            counters,
            patience,
            replies,
            backlog_max,
            parameters: Parameters::default(),
            fresh: VecDeque::new(),
            late: VecDeque::new(),
            waiting: VecDeque::new(),
            serial: 0,
            serial_day: [0; 3],
            logins_failed: 0,
            said: Vec::new(),
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.is_some()
    }

    /// Whether there is nothing left that a platform has not acknowledged.
    pub(super) fn is_clear(&self) -> bool {
        self.fresh.is_empty() && self.late.is_empty() && self.waiting.is_empty()
    }

    /// Lets the vehicle live up to `to`.
    pub(super) fn advance(&mut self, to: Timestamp, reach: Reach) {
        let mut said = std::mem::take(&mut self.said);
        self.vehicle.advance(to, &mut said);
        for said in said.drain(..) {
            match said {
                Said::Wakes(_) => self.asleep = None,
                Said::Sleeps(time) => self.asleep = Some(time),
                Said::Report(report) => {
                    self.counters.made.add(1);
                    let kept = Kept { data: report.data, refusals: 0, not_before: None };
                    match (reach, report.command) {
                        (Reach::Online, Command::REALTIME) => self.fresh.push_back(kept),
                        _ => self.late.push_back(kept),
                    }
                }
            }
        }
        self.said = said;
        self.forget();
    }

    /// Adds the frame of a login to `output`.
    pub(super) fn login(&mut self, output: &mut Vec<u8>) {
        let time = self.vehicle.clock();
        let day = [time[0], time[1], time[2]];
        // Serial numbers begin anew each day.
        self.serial = if day == self.serial_day && self.serial < SERIAL_MAX { self.serial + 1 } else { 1 };
        self.serial_day = day;
        let data = self.vehicle.login(time, self.serial);
        self.write(Command::VEHICLE_LOGIN, &data, output);
    }

    /// Adds the frame of a logout to `output`.
    pub(super) fn logout(&self, output: &mut Vec<u8>) {
        let data = self.vehicle.logout(self.asleep.unwrap_or_else(|| self.vehicle.clock()), self.serial);
        self.write(Command::VEHICLE_LOGOUT, &data, output);
    }

    /// Adds the frame of a heartbeat to `output`.
    pub(super) fn heartbeat(&self, output: &mut Vec<u8>) {
        self.write(Command::HEARTBEAT, &[], output);
    }

    pub(super) fn heartbeat_period(&self) -> Duration {
        Duration::from_secs(self.parameters.heartbeat_secs(self.layout()))
    }

    /// How long to wait after a login that failed.
    pub(super) fn login_failed(&mut self) -> Duration {
        self.counters.logins_refused.add(1);
        self.logins_failed += 1;
        if self.logins_failed.is_multiple_of(LOGINS_MAX) { self.patience.logins } else { self.patience.login }
    }

    /// Adds the next report that is to be sent to `output`; whether there is one.
    pub(super) fn next_report(&mut self, now: Instant, output: &mut Vec<u8>) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        let is_due = |kept: &Kept| kept.not_before.is_none_or(|time| time <= now);
        let (command, kept) = if let Some(kept) = self.fresh.pop_front() {
            self.counters.sent.add(1);
            (Command::REALTIME, kept)
        } else if let Some(place) = self.late.iter().position(is_due) {
            let Some(kept) = self.late.remove(place) else { return false };
            self.counters.reissued.add(1);
            (Command::REISSUED, kept)
        } else {
            return false;
        };
        self.write(command, &kept.data, output);
        match self.replies {
            Replies::Expected => self.waiting.push_back(Sent { kept, at: now }),
            Replies::None => self.counters.acknowledged.add(1),
        }
        true
    }

    /// When the connection is to be taken for broken because nobody answers.
    pub(super) fn overdue(&self) -> Option<Instant> {
        self.waiting.front().map(|sent| sent.at + self.patience.answer)
    }

    /// When after `now` a report that was refused is to be sent again.
    pub(super) fn resend(&self, now: Instant) -> Option<Instant> {
        self.late.iter().filter_map(|kept| kept.not_before).filter(|time| *time > now).min()
    }

    /// The connection is gone: what is not acknowledged has to be sent again.
    pub(super) fn lose(&mut self, network: &mut Network) {
        let sent = self.waiting.drain(..).map(|sent| sent.kept);
        let mut late: VecDeque<Kept> = sent.chain(self.late.drain(..)).chain(self.fresh.drain(..)).collect();
        for kept in &mut late {
            kept.not_before = None;
        }
        network.shuffle(&mut late);
        self.late = late;
        self.forget();
    }

    fn forget(&mut self) {
        while self.late.len() + self.fresh.len() > self.backlog_max {
            let oldest = if self.late.is_empty() { self.fresh.pop_front() } else { self.late.pop_front() };
            self.counters.forgotten.add(u64::from(oldest.is_some()));
        }
    }

    /// Takes in what a platform has sent; adds an answer to `output` where there is one.
    pub(super) fn hear(&mut self, frame: &Frame<'_>, now: Instant, output: &mut Vec<u8>) -> Heard {
        let header = &frame.header;
        if header.vin != self.vehicle.vin() {
            return Heard::Nothing;
        }
        if header.response == Response::COMMAND {
            return self.obey(frame, output);
        }
        let is_good = header.response == Response::OK;
        match header.command {
            Command::VEHICLE_LOGIN if is_good => {
                self.counters.logins.add(1);
                self.logins_failed = 0;
                Heard::LoggedIn
            }
            Command::VEHICLE_LOGIN => Heard::LoginRefused,
            Command::VEHICLE_LOGOUT => {
                self.counters.logouts.add(u64::from(is_good));
                Heard::LoggedOut
            }
            command if command.is_report() => {
                self.answered(frame.data, header.response, now);
                Heard::Nothing
            }
            _ => Heard::Nothing,
        }
    }

    /// A report was answered: with its time, with all of it, or with nothing; then the oldest one is meant.
    fn answered(&mut self, data: &[u8], response: Response, now: Instant) {
        let place = match data.get(..6) {
            Some(time) => self.waiting.iter().position(|sent| sent.kept.data[..6] == *time),
            None => Some(0),
        };
        let Some(sent) = place.and_then(|place| self.waiting.remove(place)) else { return };
        if response == Response::OK {
            self.counters.acknowledged.add(1);
            return;
        }
        self.counters.refused.add(1);
        let mut kept = sent.kept;
        kept.refusals += 1;
        if kept.refusals > RESENDS_MAX {
            self.counters.given_up.add(1);
        } else {
            kept.not_before = Some(now + self.patience.resend);
            self.late.push_back(kept);
        }
    }

    fn obey(&mut self, frame: &Frame<'_>, output: &mut Vec<u8>) -> Heard {
        let layout = self.vehicle.standard().layout(self.vehicle.edition());
        let answer = self.parameters.answer(layout, frame, self.vehicle.clock());
        frame.header.answered(answer.response).write(&answer.data, output).expect("answers are short");
        self.counters.commands.add(1);
        match answer.effect {
            Effect::Nothing => Heard::Nothing,
            Effect::ReportPeriod(secs) => {
                self.vehicle.set_report_secs(secs);
                Heard::Nothing
            }
            Effect::Reconnect => Heard::Reconnect,
        }
    }

    fn layout(&self) -> &Layout {
        self.vehicle.standard().layout(self.vehicle.edition())
    }

    fn write(&self, command: Command, data: &[u8], output: &mut Vec<u8>) {
        header(&self.vehicle, command).write(data, output).expect("what a vehicle says is short");
    }
}
