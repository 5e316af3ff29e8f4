//! One vehicle: lets seconds pass, looks at its sensors, and says what the standard wants said and when. Pure: time is an
//! argument, and how it is cut into steps does not show.

use std::sync::Arc;

use gbt32960::{Command, Edition, Standard, Vin, WireTime, to_wire};
use model::Timestamp;

use super::alarms::Alarms;
use super::body::{State, Traits};
use super::fault::{FaultKind, Trouble};
use super::identity::Identity;
use super::noise::Noise;
use super::report::{CellBlock, ReportForm, Told};
use super::sensors::{Seen, Sensors};
use super::{CHINA_SECS, FleetOptions, Parked, VehicleKind};

/// How often thresholds are looked at when nothing is wrong, and when the vehicle stands asleep.
const LOOK_SECS: i64 = 10;
const LOOK_ASLEEP_SECS: i64 = 60;
/// What is told second by second from before an alarm of level 3, and of 2016 also from after it.
const AROUND_ALARM_SECS: i64 = 30;
/// The level at which that happens.
const STOP_LEVEL: u8 = 3;

/// What a vehicle has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It wakes up at this time, and logs in.
    Wakes(WireTime),
    /// A report.
    Report(Report),
    /// It logs out at this time, and sleeps.
    Sleeps(WireTime),
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Realtime, or reissued where it was made after its time.
    pub command: Command,
    /// The data unit, which begins with the time.
    pub data: Vec<u8>,
}

impl Report {
    /// The time as it stands in the report.
    pub fn time(&self) -> WireTime {
        self.data[..6].try_into().expect("a report begins with six bytes of time")
    }
}

/// A vehicle as it was some time ago: from there on its seconds can be gone through once more.
#[derive(Debug)]
struct Past {
    state: State,
    alarms: Alarms,
    is_usable: bool,
}

/// What is told every second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Nothing; an alarm of level 3 would begin it.
    Ready,
    /// Everything until then, or until the alarm is over.
    Until(i64),
    /// Enough has been told of this alarm.
    Told,
}

/// See the module.
#[derive(Debug)]
pub struct Vehicle {
    edition: Edition,
    identity: Identity,
    traits: Traits,
    sensors: Sensors,
    standard: Arc<Standard>,
    form: Arc<ReportForm>,
    parked: Parked,
    report_secs: i64,
    phase: i64,
    state: State,
    alarms: Alarms,
    seen: Seen,
    /// Half a minute to a minute ago, and up to half a minute ago.
    past: [Past; 2],
    stream: Stream,
    /// The last second that was told because of an alarm.
    told_until: i64,
    is_awake: bool,
}

impl Vehicle {
    /// The vehicle `number`, counted from 1, as it stands at the fleet's beginning.
    pub(super) fn new(
        options: &FleetOptions,
        number: u32,
        standard: &Arc<Standard>,
        form: impl FnOnce(Edition, VehicleKind) -> Arc<ReportForm>,
    ) -> Self {
        let kind = VehicleKind::of_number(number);
        let edition = options.editions[(number as usize / 2) % options.editions.len()];
        let seed = Noise::of(options.seed, u64::from(number)).bits();
        let traits = Traits::new(kind, seed);
        let troubles: Vec<Trouble> = options
            .faults
            .iter()
            .filter(|fault| fault.vehicle == number)
            .map(|fault| fault.trouble(options.from))
            .collect();
        let sensors = Sensors::new(&traits, troubles);
        let state = State::new(&traits, options.from.millis().div_euclid(1_000) + CHINA_SECS);
        let past = [0, 1].map(|_| Past { state: state.clone(), alarms: Alarms::default(), is_usable: false });
        let mut vehicle = Self {
            edition,
            identity: Identity::new(edition, kind, number, seed),
            seen: sensors.seen(&traits),
            sensors,
            standard: Arc::clone(standard),
            form: form(edition, kind),
            parked: options.parked,
            report_secs: 1,
            phase: 0,
            alarms: Alarms::default(),
            past,
            stream: Stream::Ready,
            told_until: 0,
            is_awake: false,
            state,
            traits,
        };
        vehicle.set_report_secs(options.report_secs);
        vehicle
    }

    /// Its VIN.
    pub fn vin(&self) -> Vin {
        self.identity.vin
    }

    /// The edition that it speaks.
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// What it is used for.
    pub fn kind(&self) -> VehicleKind {
        self.traits.kind
    }

    /// Up to when everything has been told.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.secs() * 1_000)
    }

    /// What its pack holds when it is full.
    pub fn amp_hours(&self) -> f64 {
        self.traits.cells.amp_secs() / 3_600.0
    }

    /// Another seed for what surrounds the vehicle.
    pub(super) fn seed(&self) -> u64 {
        Noise::of(self.traits.seed, 9).bits()
    }

    pub(super) fn standard(&self) -> &Standard {
        &self.standard
    }

    /// How often it reports from now on. Vehicles of the same period take turns.
    pub(super) fn set_report_secs(&mut self, secs: u32) {
        self.report_secs = i64::from(secs.max(1));
        self.phase = Noise::of(self.traits.seed, 10).below(secs.max(1) as usize) as i64;
    }

    /// The next time at which it may have something to say.
    pub(super) fn due(&self) -> Timestamp {
        let secs = self.secs();
        let quiet = self.stream == Stream::Ready && self.alarms.level() == 0 && !self.sensors.has_troubles();
        let to_report = self.report_secs - (secs + self.phase).rem_euclid(self.report_secs);
        Timestamp::from_millis((secs + if quiet { to_report } else { 1 }) * 1_000)
    }

    /// The data unit of a login.
    pub(super) fn login(&self, time: WireTime, serial: u16) -> Vec<u8> {
        self.identity.login(self.standard.layout(self.edition), time, serial)
    }

    /// The data unit of a logout.
    pub(super) fn logout(&self, time: WireTime, serial: u16) -> Vec<u8> {
        self.identity.logout(self.standard.layout(self.edition), time, serial)
    }

    /// The time that its clock shows now.
    pub(super) fn clock(&self) -> WireTime {
        self.wire_time(self.secs())
    }

    /// Adds what it has to say up to and including `to`; a time in the past adds nothing.
    pub fn advance(&mut self, to: Timestamp, output: &mut Vec<Said>) {
        while self.secs() < to.millis().div_euclid(1_000) {
            self.second(output);
        }
    }

    fn secs(&self) -> i64 {
        self.state.body.secs - CHINA_SECS
    }

    fn is_due(&self, secs: i64) -> bool {
        (secs + self.phase).rem_euclid(self.report_secs) == 0
    }

    fn second(&mut self, output: &mut Vec<Said>) {
        let secs = self.secs() + 1;
        self.state.second(&self.traits, self.sensors.short(secs * 1_000));
        let is_asleep =
            self.parked == Parked::LogsOut && self.state.body.is_asleep() && self.alarms.level() < STOP_LEVEL;
        if self.is_awake == is_asleep {
            self.is_awake = !is_asleep;
            let time = self.wire_time(secs);
            output.push(if is_asleep { Said::Sleeps(time) } else { Said::Wakes(time) });
        }
        let is_due = self.is_due(secs) && !is_asleep;
        let every = if is_asleep { LOOK_ASLEEP_SECS } else { LOOK_SECS };
        if is_due || secs % every == 0 || self.alarms.level() > 0 {
            self.look(secs);
            let streams = self.streams(secs, output);
            if is_due || streams {
                self.report(secs, Command::REALTIME, output);
            }
        }
        if secs % AROUND_ALARM_SECS == 0 {
            self.past.swap(0, 1);
            let past = &mut self.past[1];
            past.state.copy_from(&self.state);
            (past.alarms, past.is_usable) = (self.alarms, true);
        }
    }

    fn look(&mut self, secs: i64) {
        self.state.tell_cells(&self.traits, self.sensors.short(secs * 1_000));
        self.sensors.look(&self.traits, &self.state, secs * 1_000, &mut self.seen);
        self.alarms.look(self.traits.figures().chemistry, &self.seen);
    }

    /// Whether this second is told because of an alarm; tells the seconds before the first one.
    fn streams(&mut self, secs: i64, output: &mut Vec<Said>) -> bool {
        let stops = self.alarms.level() >= STOP_LEVEL;
        self.stream = match (self.stream, stops) {
            (Stream::Ready, true) => {
                self.tell_before(secs, output);
                Stream::Until(match self.edition {
                    Edition::E2016 => secs + AROUND_ALARM_SECS,
                    Edition::E2025 => i64::MAX,
                })
            }
            (Stream::Until(end), true) if secs > end => Stream::Told,
            // Of 2016, also what comes after a short alarm is told.
            (Stream::Until(end), false) if secs > end || end == i64::MAX => Stream::Ready,
            (Stream::Told, false) => Stream::Ready,
            (stream, _) => stream,
        };
        let streams = matches!(self.stream, Stream::Until(_));
        if streams {
            self.told_until = secs;
        }
        streams
    }

    /// Goes through the seconds before `secs` again, and tells those that have not been told.
    fn tell_before(&mut self, secs: i64, output: &mut Vec<Said>) {
        let Some(place) = self.past.iter().position(|past| past.is_usable) else { return };
        let now = self.state.clone();
        let alarms = self.alarms;
        let past = &mut self.past[place];
        past.is_usable = false;
        self.state.copy_from(&past.state);
        self.alarms = past.alarms;
        while self.secs() + 1 < secs {
            let at = self.secs() + 1;
            self.state.second(&self.traits, self.sensors.short(at * 1_000));
            if at >= secs - AROUND_ALARM_SECS && at > self.told_until && !self.is_due(at) {
                self.look(at);
                self.report(at, Command::REISSUED, output);
            }
        }
        (self.state, self.alarms) = (now, alarms);
        self.sensors.look(&self.traits, &self.state, secs * 1_000, &mut self.seen);
    }

    /// Tells what was seen last, in as many reports as it takes.
    fn report(&self, secs: i64, command: Command, output: &mut Vec<Said>) {
        let at_ms = secs * 1_000;
        let cells = match self.sensors.trouble(FaultKind::MissingCells, at_ms) {
            Some((trouble, _)) if Noise::of(self.traits.seed, at_ms as u64).happens(trouble.severity) => {
                CellBlock::Missing
            }
            _ => CellBlock::There,
        };
        let told = Told {
            figures: self.traits.figures(),
            town: self.traits.town,
            body: &self.state.body,
            seen: &self.seen,
            alarms: &self.alarms,
        };
        let (mut data, time) = (Vec::new(), self.wire_time(secs));
        self.form.write(&told, time, cells, &mut data);
        output.push(Said::Report(Report { command, data }));
        if cells == CellBlock::There {
            output.extend(self.form.more(&told, time).map(|data| Said::Report(Report { command, data })));
        }
    }

    /// What the terminal's clock shows at `secs`.
    fn wire_time(&self, secs: i64) -> WireTime {
        let ahead = match self.sensors.trouble(FaultKind::TimeJump, secs * 1_000) {
            Some((trouble, _)) => (trouble.severity * 60.0) as i64,
            None => 0,
        };
        to_wire(Timestamp::from_millis((secs + ahead) * 1_000)).unwrap_or_default()
    }
}
