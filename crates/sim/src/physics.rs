//! What a machine's sensors would read: spindle, axes, temperatures, coolant, power. First-order models, good enough that
//! an engineer believes the curves. Knows neither why the machine moves nor who listens.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::calendar::DAY_MS;
use crate::program::{Coolant, HOME, Position};
use crate::signals::MachineType;

const SPINDLE_RAMP_SECS: f64 = 0.6;
const SPINDLE_WARM_UP_SECS: f64 = 25.0 * 60.0;
const COOLANT_WARM_UP_SECS: f64 = 50.0 * 60.0;
/// Coolant dragged out and evaporated while the pump runs.
const COOLANT_LOSS_PCT_PER_SEC: f64 = 3.5 / 3600.0;
/// Hydraulics, control cabinet, fans.
const BASE_WATTS: f64 = 1_150.0;
/// Below this the spindle counts as standing.
const STANDING_RPM: f64 = 5.0;

/// What can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Of an axis by its place in [`Position`].
    Position(usize),
    /// Of a linear axis.
    AxisLoad(usize),
    SpindleSpeed,
    SpindleLoad,
    SpindleTemperature,
    /// Root mean square of the acceleration at the spindle nose.
    SpindleVibration,
    Feedrate,
    PathPosition,
    Power,
    Energy,
    CoolantTemperature,
    CoolantLevel,
    CoolantPressure,
}

/// How the machine moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Rest,
    Rapid,
    Cut,
}

/// What the machine does during one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Motion {
    pub(crate) from: Position,
    pub(crate) to: Position,
    pub(crate) pace: Pace,
    /// Along the path; 0 at rest.
    pub(crate) feed_mm_per_s: f64,
    pub(crate) spindle_rpm: f64,
    /// Spindle load that the cut asks for with a new tool.
    pub(crate) cutting_load_pct: f64,
    /// How worn the tool is, 0 to about 1.2.
    pub(crate) wear: f64,
    pub(crate) coolant: Coolant,
}

impl Motion {
    /// Standing still at `position`.
    pub(crate) fn rest(position: Position) -> Self {
        Self {
            from: position,
            to: position,
            pace: Pace::Rest,
            feed_mm_per_s: 0.0,
            spindle_rpm: 0.0,
            cutting_load_pct: 0.0,
            wear: 0.0,
            coolant: Coolant::Off,
        }
    }

    /// What a worn tool asks for: a third more at the end of its life, slowly at first.
    fn load_pct(&self) -> f64 {
        self.cutting_load_pct * (1.0 + 0.35 * self.wear.powf(1.6))
    }
}

/// The state of what has inertia.
#[derive(Debug)]
pub(crate) struct Body {
    kind: MachineType,
    noise: StdRng,
    motion: Motion,
    motion_start_ms: i64,
    motion_end_ms: i64,
    at_ms: i64,
    spindle_rpm: f64,
    spindle_celsius: f64,
    coolant_celsius: f64,
    pub(crate) coolant_level_pct: f64,
    energy_watt_secs: f64,
}

impl Body {
    /// A machine that has been at work before `at_ms`.
    pub(crate) fn new(kind: MachineType, seed: u64, at_ms: i64) -> Self {
        let mut noise = StdRng::seed_from_u64(seed);
        let spindle_celsius = noise.random_range(26.0..34.0);
        let coolant_celsius = noise.random_range(23.0..27.0);
        let coolant_level_pct = noise.random_range(26.0..92.0);
        let energy_watt_secs = noise.random_range(1.0e9..9.0e9_f64).round();
        Self {
            kind,
            noise,
            motion: Motion::rest(HOME),
            motion_start_ms: at_ms,
            motion_end_ms: at_ms,
            at_ms,
            spindle_rpm: 0.0,
            spindle_celsius,
            coolant_celsius,
            coolant_level_pct,
            energy_watt_secs,
        }
    }

    /// From now on, and for `duration_ms`, the machine moves like this.
    pub(crate) fn begin(&mut self, motion: Motion, duration_ms: i64) {
        self.motion = motion;
        self.motion_start_ms = self.at_ms;
        self.motion_end_ms = self.at_ms + duration_ms;
    }

    /// Lets time pass up to `to_ms`.
    pub(crate) fn evolve(&mut self, to_ms: i64) {
        let secs = (to_ms - self.at_ms) as f64 / 1000.0;
        self.at_ms = to_ms;
        if secs <= 0.0 {
            return;
        }
        let ambient = ambient_celsius(to_ms);
        let turning = self.spindle_rpm / self.kind.spindle_rpm_max();
        let cutting = if self.motion.pace == Pace::Cut { self.motion.load_pct() / 100.0 } else { 0.0 };
        let spindle_target = ambient + 4.0 + 20.0 * turning + 16.0 * cutting;
        approach(&mut self.spindle_rpm, self.motion.spindle_rpm, secs / SPINDLE_RAMP_SECS);
        approach(&mut self.spindle_celsius, spindle_target, secs / SPINDLE_WARM_UP_SECS);
        let coolant_target = ambient + if self.motion.coolant == Coolant::Off { 0.5 } else { 4.0 + 6.0 * cutting };
        approach(&mut self.coolant_celsius, coolant_target, secs / COOLANT_WARM_UP_SECS);
        if self.motion.coolant != Coolant::Off {
            self.coolant_level_pct = (self.coolant_level_pct - COOLANT_LOSS_PCT_PER_SEC * secs).max(0.0);
        }
        self.energy_watt_secs += self.mean_watts() * secs;
    }

    /// The value that a sensor shows now, in the unit of its signal, as an adapter writes it.
    pub(crate) fn read(&mut self, reading: Reading) -> String {
        let moving = self.motion.pace != Pace::Rest;
        match reading {
            Reading::Position(axis) => format!("{:.3}", tidy(self.position()[axis])),
            Reading::PathPosition => {
                let [x, y, z, ..] = self.position().map(tidy);
                format!("{x:.3} {y:.3} {z:.3}")
            }
            Reading::AxisLoad(axis) => format!("{:.0}", self.axis_load_pct(axis)),
            Reading::SpindleSpeed => {
                let standing = self.spindle_rpm < STANDING_RPM;
                let rpm = if standing { 0.0 } else { self.spindle_rpm * self.jitter(0.002) };
                format!("{rpm:.0}")
            }
            Reading::SpindleLoad => format!("{:.1}", self.spindle_load_pct()),
            Reading::SpindleTemperature => format!("{:.1}", self.spindle_celsius),
            Reading::SpindleVibration => format!("{:.0}", self.vibration_mm_per_s2()),
            Reading::Feedrate if moving => format!("{:.2}", self.motion.feed_mm_per_s * self.jitter(0.004)),
            Reading::Feedrate => "0".to_owned(),
            Reading::Power => {
                let idle = !moving && self.spindle_rpm < STANDING_RPM;
                let watts = self.mean_watts() * if idle { 1.0 } else { self.jitter(0.03) };
                format!("{:.0}", (watts / 10.0).round() * 10.0)
            }
            Reading::Energy => format!("{:.0}", self.energy_watt_secs),
            Reading::CoolantTemperature => format!("{:.1}", self.coolant_celsius),
            Reading::CoolantLevel => format!("{:.1}", self.coolant_level_pct),
            Reading::CoolantPressure => {
                let pascal = match self.motion.coolant {
                    Coolant::Off => 0.0,
                    Coolant::Flood => 4.0e5 * self.jitter(0.02),
                    Coolant::ThroughTool => 6.2e6 * self.jitter(0.015),
                };
                format!("{:.0}", (pascal / 1000.0_f64).round() * 1000.0)
            }
        }
    }

    fn position(&self) -> Position {
        let span_ms = (self.motion_end_ms - self.motion_start_ms).max(1) as f64;
        let share = ((self.at_ms - self.motion_start_ms) as f64 / span_ms).clamp(0.0, 1.0);
        std::array::from_fn(|axis| self.motion.from[axis] + (self.motion.to[axis] - self.motion.from[axis]) * share)
    }

    /// 1 give or take `spread`.
    fn jitter(&mut self, spread: f64) -> f64 {
        1.0 + self.noise.random_range(-spread..=spread)
    }

    fn spindle_load_pct(&mut self) -> f64 {
        if self.spindle_rpm < STANDING_RPM && self.motion.spindle_rpm < STANDING_RPM {
            return 0.0;
        }
        let idle = 2.0 + 5.0 * self.spindle_rpm / self.kind.spindle_rpm_max();
        let accelerating = 70.0 * (self.motion.spindle_rpm - self.spindle_rpm).abs() / self.kind.spindle_rpm_max();
        let cutting = if self.motion.pace == Pace::Cut { self.motion.load_pct() } else { 0.0 };
        ((idle + accelerating + cutting) * self.jitter(0.05)).min(150.0)
    }

    /// Vertical axes carry weight; rapid moves accelerate; cutting pushes back.
    fn axis_load_pct(&mut self, axis: usize) -> f64 {
        let holding = if axis == 2 && self.kind != MachineType::Lathe { 18.0 } else { 4.0 };
        let travels = (self.motion.to[axis] - self.motion.from[axis]).abs() > 0.01;
        let effort = match self.motion.pace {
            Pace::Rest => return holding,
            Pace::Rapid => {
                if travels {
                    32.0
                } else {
                    2.0
                }
            }
            Pace::Cut => self.motion.load_pct() * if travels { 0.35 } else { 0.15 },
        };
        (holding + effort) * self.jitter(0.08)
    }

    fn vibration_mm_per_s2(&mut self) -> f64 {
        if self.spindle_rpm < STANDING_RPM {
            return 20.0;
        }
        let cutting = if self.motion.pace == Pace::Cut { self.motion.load_pct() } else { 0.0 };
        let turning = 900.0 * self.spindle_rpm / self.kind.spindle_rpm_max();
        (120.0 + turning + cutting * 28.0 * (1.0 + 0.8 * self.motion.wear.powi(3))) * self.jitter(0.12)
    }

    /// Electrical power without noise; it is also what the meter adds up.
    fn mean_watts(&self) -> f64 {
        let turning = self.spindle_rpm / self.kind.spindle_rpm_max();
        let cutting = if self.motion.pace == Pace::Cut { self.motion.load_pct() / 100.0 } else { 0.0 };
        let axes = match self.motion.pace {
            Pace::Rest => 0.0,
            Pace::Rapid => 1_400.0,
            Pace::Cut => 350.0,
        };
        let pump = match self.motion.coolant {
            Coolant::Off => 0.0,
            Coolant::Flood => 750.0,
            Coolant::ThroughTool => 4_000.0,
        };
        BASE_WATTS + axes + pump + self.kind.spindle_watts() * (0.06 * turning + 0.8 * cutting)
    }
}

/// A hall that is warmest in the afternoon.
fn ambient_celsius(at_ms: i64) -> f64 {
    let share_of_day = (at_ms.rem_euclid(DAY_MS)) as f64 / DAY_MS as f64;
    21.5 + 2.0 * (std::f64::consts::TAU * (share_of_day - 0.04)).sin()
}

/// First-order lag: after one time constant 63 % of the way is done.
fn approach(value: &mut f64, target: f64, time_constants: f64) {
    *value = target + (*value - target) * (-time_constants).exp();
}

/// Keeps a minus sign off a rounded zero.
fn tidy(value: f64) -> f64 {
    if value.abs() < 0.000_5 { 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(body: &mut Body, reading: Reading) -> f64 {
        body.read(reading).parse().unwrap()
    }

    fn cutting(wear: f64) -> Motion {
        Motion {
            to: [0.0, 0.0, -50.0, 0.0, 0.0],
            pace: Pace::Cut,
            feed_mm_per_s: 5.0,
            spindle_rpm: 2000.0,
            cutting_load_pct: 50.0,
            wear,
            coolant: Coolant::Flood,
            ..Motion::rest([0.0; 5])
        }
    }

    #[test]
    fn the_spindle_ramps_up_and_warms_slowly() {
        let mut body = Body::new(MachineType::Lathe, 1, 0);
        let cold = number(&mut body, Reading::SpindleTemperature);
        body.begin(cutting(0.0), 3_600_000);
        body.evolve(300);
        assert!((500.0..1500.0).contains(&number(&mut body, Reading::SpindleSpeed)));
        body.evolve(5_000);
        assert!((1990.0..2010.0).contains(&number(&mut body, Reading::SpindleSpeed)));
        assert!((number(&mut body, Reading::SpindleTemperature) - cold).abs() < 0.5);
        body.evolve(3_600_000);
        assert!(number(&mut body, Reading::SpindleTemperature) > cold + 2.0);
    }

    #[test]
    fn a_worn_tool_needs_more_and_air_needs_little() {
        let load = |motion: Motion| {
            let mut body = Body::new(MachineType::Lathe, 2, 0);
            body.begin(motion, 20_000);
            body.evolve(10_000);
            number(&mut body, Reading::SpindleLoad)
        };
        let (sharp, worn) = (load(cutting(0.0)), load(cutting(1.0)));
        let air = load(Motion { pace: Pace::Rapid, ..cutting(1.0) });
        assert!(worn > sharp * 1.15, "{worn} after {sharp}");
        assert!((2.0..8.0).contains(&air), "{air}");
    }

    #[test]
    fn the_meter_adds_up_the_power() {
        let mut body = Body::new(MachineType::Mill3Axis, 3, 0);
        let before = number(&mut body, Reading::Energy);
        body.evolve(3_600_000);
        let idle_hour = number(&mut body, Reading::Energy) - before;
        assert!((idle_hour - BASE_WATTS * 3600.0).abs() < 2.0, "{idle_hour}");
    }

    #[test]
    fn positions_follow_the_move() {
        let mut body = Body::new(MachineType::Lathe, 4, 0);
        body.begin(cutting(0.0), 10_000);
        body.evolve(5_000);
        assert_eq!(body.read(Reading::PathPosition), "0.000 0.000 -25.000");
    }
}
