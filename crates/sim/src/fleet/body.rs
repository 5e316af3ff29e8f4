//! One second of a vehicle: what it is about to do, what that takes out of the pack or puts into it, how warm things get.
//! First-order models, good enough for charts. Knows neither frames nor what sensors show of it.

use super::DAY_SECS;
use super::kind::{Figures, VehicleKind};
use super::motion::Motion;
use super::noise::Noise;
use super::pack::{Balance, Cells, Flow, Pack, Short};
use super::plan::{Moment, Plan, Task};
use super::town::{TOWNS, Town};

const GRAVITY: f64 = 9.81;
const DRIVE_EFFICIENCY: f64 = 0.88;
const BRAKING_EFFICIENCY: f64 = 0.66;
/// Below this there is nothing to win by braking.
const BRAKING_M_PER_S_MIN: f64 = 2.5;
const SLOW_SECS: f64 = 90.0;
const COMFORT_CELSIUS: f64 = 22.0;
const COOLED_CELSIUS: f64 = 31.0;
const HEATED_CELSIUS: f64 = 6.0;
/// What a short circuit heats its neighbourhood by, and how fast.
const SHORT_K_PER_WATT: f64 = 0.35;
const SHORT_WARMS_SECS: f64 = 400.0;
/// Charging ends when so few per cent of the capacity flow in an hour.
const TAPER_SHARE: f64 = 0.04;
/// So empty a vehicle goes nowhere.
const STRANDED_SHARE: f64 = 0.03;

/// What does not change while the simulation runs.
#[derive(Debug)]
pub(super) struct Traits {
    pub(super) kind: VehicleKind,
    pub(super) seed: u64,
    pub(super) town: &'static Town,
    pub(super) plan: Plan,
    pub(super) cells: Cells,
}

impl Traits {
    pub(super) fn new(kind: VehicleKind, seed: u64) -> Self {
        let town = &TOWNS[Noise::of(seed, 5).below(TOWNS.len())];
        Self { kind, seed, town, plan: Plan::new(kind, seed), cells: Cells::new(kind.figures(), seed) }
    }

    pub(super) fn figures(&self) -> &'static Figures {
        self.kind.figures()
    }
}

/// Whether it is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plug {
    Out,
    Charging,
    /// Plugged in and full.
    Charged,
}

/// What comes after a task.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// What the plan says.
    Next,
    /// It stays where it is, plugged in.
    Charged { until: i64 },
    /// Somebody comes to charge it on the road.
    Stranded,
}

/// What changes from second to second, but for the cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    /// Seconds since the epoch in China's time.
    pub(super) secs: i64,
    noise: Noise,
    task: Task,
    turn: Option<Turn>,
    pub(super) plug: Plug,
    pub(super) motion: Motion,
    pub(super) flow: Flow,
    /// Of the drive, at the motor's terminals; negative while braking.
    pub(super) motor_watts: f64,
    pub(super) air_celsius: f64,
    pub(super) pack_celsius: f64,
    /// What the pack has lost in heat of late.
    pub(super) heat_watts: f64,
    pub(super) motor_celsius: f64,
    pub(super) controller_celsius: f64,
    /// By how much it is warmer next to a short circuit.
    pub(super) short_kelvin: f64,
    /// What the cells have not been told yet.
    untold_amp_secs: f64,
    untold_secs: f64,
}

/// A vehicle at one second.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) body: Body,
    pub(super) pack: Pack,
}

impl State {
    /// As it is found at `secs`.
    pub(super) fn new(traits: &Traits, secs: i64) -> Self {
        let (place, charge) = traits.plan.beginning(secs);
        let air = traits.town.air_celsius(secs);
        let mut noise = Noise::of(traits.seed, 6);
        let odometer_m = noise.between(4e6, 160e6);
        let warm = air + noise.between(1.0, 5.0);
        let body = Body {
            secs,
            noise,
            task: Task::Wait { until: secs },
            turn: Some(Turn::Next),
            plug: Plug::Out,
            motion: Motion::standing(place, odometer_m),
            flow: Flow { amps: 0.0, slow_amps: 0.0, ohms: traits.figures().cell_ohms },
            motor_watts: 0.0,
            air_celsius: air,
            pack_celsius: warm,
            heat_watts: 0.0,
            motor_celsius: warm,
            controller_celsius: warm,
            short_kelvin: 0.0,
            untold_amp_secs: 0.0,
            untold_secs: 0.0,
        };
        Self { body, pack: traits.cells.pack(charge, traits.seed) }
    }

    /// Takes over what `other` is, without asking for memory.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.body = other.body;
        self.pack.copy_from(&other.pack);
    }

    /// Lets a second pass.
    pub(super) fn second(&mut self, traits: &Traits, short: Option<Short>) {
        if let Some(turn) = self.body.turn.take() {
            self.turn(traits, turn, short);
        }
        let charge = self.pack.charge();
        let body = &mut self.body;
        body.secs += 1;
        if body.secs % 60 == 0 {
            body.air_celsius = traits.town.air_celsius(body.secs);
        }
        let rest_volts = traits.figures().chemistry.rest_volts(charge);
        body.flow.ohms = ohms(traits.figures(), body.pack_celsius, charge);
        body.flow.amps = match body.task {
            Task::Charge { watts, .. } => -body.charging_amps(traits.figures(), watts, rest_volts, &self.pack),
            _ => body.amps(traits, charge, rest_volts),
        };
        body.flow.slow_amps += (body.flow.amps - body.flow.slow_amps) / SLOW_SECS;
        body.untold_amp_secs += body.flow.amps;
        body.untold_secs += 1.0;
        body.warm(traits.figures(), short.map_or(0.0, |short| self.pack.short_watts(&traits.cells, short)));
        body.turn = body.ending(traits, charge);
    }

    /// Begins what comes after a task that has ended.
    fn turn(&mut self, traits: &Traits, turn: Turn, short: Option<Short>) {
        self.tell_cells(traits, short);
        let secs = self.body.secs;
        let (task, plug) = match turn {
            Turn::Next => {
                let moment = Moment { secs, place: self.body.motion.place, charge: self.pack.charge() };
                let task = traits.plan.next(&moment);
                (task, if matches!(task, Task::Charge { .. }) { Plug::Charging } else { Plug::Out })
            }
            Turn::Charged { until } => (Task::Park { until }, Plug::Charged),
            Turn::Stranded => (Task::Charge { watts: 60e3, to_share: 0.5, until: secs + 3_600 }, Plug::Charging),
        };
        (self.body.task, self.body.plug) = (task, plug);
    }

    /// Gives each cell its part of what has flowed.
    pub(super) fn tell_cells(&mut self, traits: &Traits, short: Option<Short>) {
        let body = &mut self.body;
        let balances = if body.plug == Plug::Out { Balance::Off } else { Balance::On };
        self.pack.discharge(&traits.cells, body.untold_amp_secs, body.untold_secs, balances, short);
        (body.untold_amp_secs, body.untold_secs) = (0.0, 0.0);
    }
}

/// Of a cell that is so warm and so full.
fn ohms(figures: &Figures, celsius: f64, charge: f64) -> f64 {
    let cold = if celsius < 25.0 { 0.028 * (25.0 - celsius) } else { -0.006 * (celsius - 25.0).min(30.0) };
    let empty = 4.0 * (0.12 - charge).clamp(0.0, 0.25);
    figures.cell_ohms * (1.0 + cold + empty)
}

impl Body {
    /// Whether somebody has switched it on.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.task, Task::Drive { .. } | Task::Wait { .. })
    }

    /// Whether it stands with nobody in it and nothing plugged in, or nothing left to charge.
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.task, Task::Park { .. })
    }

    /// Moves, and tells what comes next where the task ends with this second.
    fn ending(&mut self, traits: &Traits, charge: f64) -> Option<Turn> {
        let next = |has_ended: bool| has_ended.then_some(Turn::Next);
        match self.task {
            Task::Park { until } | Task::Wait { until } => next(self.secs >= until),
            Task::Drive { .. } if charge < STRANDED_SHARE => Some(Turn::Stranded),
            Task::Drive { to } => {
                let of_day = self.secs.rem_euclid(DAY_SECS);
                next(self.motion.drive(traits.kind, to, of_day, &mut self.noise))
            }
            Task::Charge { to_share, until, .. } => {
                let least = TAPER_SHARE * traits.figures().cell_amp_hours;
                let tapered = -self.flow.slow_amps < least && -self.flow.amps < least && charge > 0.9;
                let is_full = tapered || charge >= to_share.min(0.9999);
                if is_full && to_share >= 1.0 && self.secs < until {
                    return Some(Turn::Charged { until });
                }
                next(is_full || self.secs >= until)
            }
        }
    }

    /// What flows into the pack from a charger of so many watts.
    fn charging_amps(&mut self, figures: &Figures, watts: f64, rest_volts: f64, pack: &Pack) -> f64 {
        self.motion.stand();
        self.motor_watts = 0.0;
        let amp_hours = figures.cell_amp_hours;
        let by_power = watts / (figures.cells as f64 * (rest_volts - self.flow.ohms * self.flow.slow_amps));
        let by_temperature = amp_hours
            * match self.pack_celsius {
                cold if cold < 0.0 => 0.08,
                cold if cold < 10.0 => 0.08 + 0.03 * cold,
                hot if hot > 44.0 => 0.3,
                _ => 1.1,
            };
        // The fullest cell is held at its limit: that is the constant voltage at the end.
        let left_volts = figures.chemistry.full_volts() - rest_volts - pack.lead_volts();
        let by_voltage = (left_volts / self.flow.ohms + 0.4 * self.flow.slow_amps) / 0.6;
        let amps = by_power.min(by_temperature).min(by_voltage).max(0.0);
        // Chargers raise their current over some seconds.
        let before = (-self.flow.amps).max(0.0);
        before + (amps - before).clamp(-0.1 * amp_hours, 0.02 * amp_hours)
    }

    /// What flows when nothing is plugged in.
    fn amps(&mut self, traits: &Traits, charge: f64, rest_volts: f64) -> f64 {
        let figures = traits.figures();
        if !self.is_on() {
            self.motion.stand();
            self.motor_watts = 0.0;
            return 0.0;
        }
        if !matches!(self.task, Task::Drive { .. }) {
            self.motion.stand();
        }
        let loaded = matches!(self.task, Task::Drive { to } if traits.plan.is_loaded(to));
        let mass = figures.mass_kg + if loaded { figures.load_kg } else { 0.0 };
        let Motion { speed_m_per_s: speed, acceleration_m_per_s2: acceleration, grade, .. } = self.motion;
        let newtons = mass * acceleration
            + figures.drag * speed * speed
            + if speed > 0.0 { mass * GRAVITY * (figures.rolling + grade) } else { 0.0 };
        let mechanical = newtons * speed;
        self.motor_watts = if mechanical >= 0.0 {
            (mechanical / DRIVE_EFFICIENCY).min(figures.drive_watts)
        } else if speed < BRAKING_M_PER_S_MIN {
            0.0
        } else {
            let room = ((1.0 - charge) / 0.06).clamp(0.0, 1.0) * if self.pack_celsius < 0.0 { 0.3 } else { 1.0 };
            (mechanical * BRAKING_EFFICIENCY).max(-figures.braking_watts * room)
        };
        let climate =
            (figures.climate_watts_per_k * (self.air_celsius - COMFORT_CELSIUS).abs()).min(figures.climate_watts_max);
        let heating = if self.pack_celsius < HEATED_CELSIUS { 0.6 * figures.cooling_watts } else { 0.0 };
        let watts = self.motor_watts + figures.base_watts + climate + heating;
        let cells = figures.cells as f64;
        let volts = cells * (rest_volts - 0.4 * self.flow.ohms * self.flow.slow_amps);
        let ohms = cells * 0.6 * self.flow.ohms;
        2.0 * watts / (volts + (volts * volts - 4.0 * ohms * watts).max(0.0).sqrt())
    }

    fn warm(&mut self, figures: &Figures, short_watts: f64) {
        let heat = figures.cells as f64 * self.flow.ohms * self.flow.amps * self.flow.amps;
        self.heat_watts += (heat - self.heat_watts) / 600.0;
        let is_active = self.is_on() || self.plug == Plug::Charging;
        let cooling = if is_active {
            figures.cooling_watts * ((self.pack_celsius - COOLED_CELSIUS) / 5.0).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let heating = if is_active && self.pack_celsius < HEATED_CELSIUS { 0.5 * figures.cooling_watts } else { 0.0 };
        let to_air = figures.pack_watts_per_k
            * (1.0 + self.motion.speed_m_per_s / 25.0)
            * (self.pack_celsius - self.air_celsius);
        self.pack_celsius += (heat + heating + short_watts - cooling - to_air) / figures.pack_joules_per_k;
        self.short_kelvin += (short_watts * SHORT_K_PER_WATT - self.short_kelvin) / SHORT_WARMS_SECS;
        // The root, because it is also warm where it has little to do: oil is churned, and one radiator serves all.
        let effort = (self.motor_watts.abs() / figures.drive_watts).sqrt();
        self.motor_celsius += (self.air_celsius + 75.0 * effort - self.motor_celsius) / 900.0;
        self.controller_celsius += (self.air_celsius + 40.0 * effort - self.controller_celsius) / 300.0;
    }
}
