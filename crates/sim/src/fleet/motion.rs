//! How a vehicle gets from crossing to crossing: legs between stops, speeding up, cruising, braking, waiting. One second at
//! a time. Knows nothing of batteries.

use super::kind::{Figures, VehicleKind};
use super::noise::Noise;
use super::plan::Place;
use super::town::BLOCK_METRES;

/// How hard a driver brakes before a stop.
const BRAKE_M_PER_S2: f64 = 1.3;
/// Nearer than this is there.
const THERE_METRES: f64 = 2.0;
const GRADE_STEP: f64 = 0.002_5;

/// How a vehicle moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Motion {
    pub(super) place: Place,
    pub(super) speed_m_per_s: f64,
    pub(super) acceleration_m_per_s2: f64,
    /// Of the road, upwards.
    pub(super) grade: f64,
    pub(super) odometer_m: f64,
    /// Along which axis, 0 or 1, up to where.
    axis: usize,
    crossing: f64,
    leg_metres: f64,
    cruise_m_per_s: f64,
    wait_secs: f64,
    /// Where the driver's foot wanders.
    sway: f64,
}

impl Motion {
    pub(super) fn standing(place: Place, odometer_m: f64) -> Self {
        Self {
            place,
            speed_m_per_s: 0.0,
            acceleration_m_per_s2: 0.0,
            grade: 0.0,
            odometer_m,
            axis: 0,
            crossing: place[0],
            leg_metres: 0.0,
            cruise_m_per_s: 0.0,
            wait_secs: 0.0,
            sway: 0.0,
        }
    }

    /// Stands still for a second.
    pub(super) fn stand(&mut self) {
        (self.speed_m_per_s, self.acceleration_m_per_s2, self.grade) = (0.0, 0.0, 0.0);
    }

    /// Drives towards `to` for a second; whether it is there.
    pub(super) fn drive(&mut self, kind: VehicleKind, to: Place, secs_of_day: i64, noise: &mut Noise) -> bool {
        let figures = kind.figures();
        let left = (self.place[0] - to[0]).abs() + (self.place[1] - to[1]).abs();
        if left < THERE_METRES {
            self.stand();
            self.place = to;
            return true;
        }
        if self.wait_secs > 0.0 {
            self.wait_secs -= 1.0;
            self.stand();
            return false;
        }
        if self.leg_metres < THERE_METRES {
            self.begin_leg(kind, left, secs_of_day, noise);
        }
        self.grade += GRADE_STEP * noise.normal() - 0.02 * self.grade;
        self.sway += 0.08 * noise.normal() - 0.07 * self.sway;
        let before = self.speed_m_per_s;
        self.speed_m_per_s = self.speed_after_second(figures, self.leg_metres.min(left));
        self.acceleration_m_per_s2 = self.speed_m_per_s - before;
        let metres = (0.5 * (before + self.speed_m_per_s)).min(left);
        self.odometer_m += metres;
        self.leg_metres -= metres;
        self.advance(to, metres, noise);
        if self.leg_metres < THERE_METRES && left > 2.0 * THERE_METRES {
            self.stop(kind, noise);
        }
        false
    }

    /// How fast it is a second later, with so many metres to the next stop.
    fn speed_after_second(&self, figures: &Figures, metres: f64) -> f64 {
        let speed = self.speed_m_per_s;
        let braking_metres = speed * speed / (2.0 * BRAKE_M_PER_S2);
        if braking_metres + speed >= metres {
            // Such that it stands at the stop; the last metres are rolled.
            let needed = speed * speed / (2.0 * metres.max(0.5));
            return (speed - needed.min(3.5)).max(1.0_f64.min(metres));
        }
        let target = self.cruise_m_per_s * (1.0 + 0.25 * self.sway);
        let missing = target - speed;
        // Hard at first, and less so the faster it is.
        let most = figures.accelerate_m_per_s2 * (1.0 - 0.6 * speed / (self.cruise_m_per_s + 5.0));
        (speed + missing.clamp(-0.8, most.max(0.1))).max(0.0)
    }

    fn begin_leg(&mut self, kind: VehicleKind, left: f64, secs_of_day: i64, noise: &mut Noise) {
        let hour = secs_of_day as f64 / 3_600.0;
        let is_rush = (7.0..9.3).contains(&hour) || (17.0..19.3).contains(&hour);
        let flow = if is_rush { noise.between(0.5, 0.85) } else { noise.between(0.8, 1.05) };
        let expressway = left > 7_000.0 && noise.happens(if kind == VehicleKind::Taxi { 0.2 } else { 0.4 });
        let (metres, km_per_h) = match kind {
            VehicleKind::Bus => (noise.between(320.0, 750.0), noise.between(34.0, 48.0)),
            VehicleKind::Truck if expressway => (noise.between(6_000.0, 24_000.0), noise.between(72.0, 86.0)),
            VehicleKind::Truck => (noise.between(600.0, 3_000.0), noise.between(42.0, 62.0)),
            _ if expressway => (noise.between(3_000.0, 8_000.0), noise.between(72.0, 112.0)),
            _ => (noise.between(200.0, 1_300.0), noise.between(36.0, 62.0)),
        };
        self.leg_metres = metres;
        self.cruise_m_per_s = km_per_h * flow / 3.6;
    }

    fn stop(&mut self, kind: VehicleKind, noise: &mut Noise) {
        self.leg_metres = 0.0;
        self.wait_secs = match kind {
            VehicleKind::Bus => noise.between(12.0, 38.0),
            VehicleKind::Truck => noise.between(5.0, 90.0),
            _ if noise.happens(0.35) => 0.0,
            _ => noise.between(4.0, 70.0),
        };
        if self.wait_secs > 0.0 {
            self.stand();
        }
    }

    /// Goes on by `metres` along the streets, and turns at crossings.
    fn advance(&mut self, to: Place, mut metres: f64, noise: &mut Noise) {
        // No vehicle passes more than one crossing in a second; twice is enough.
        for _ in 0..2 {
            let ahead = self.crossing - self.place[self.axis];
            if ahead.abs() > metres {
                self.place[self.axis] += metres.copysign(ahead);
                return;
            }
            self.place[self.axis] = self.crossing;
            metres -= ahead.abs();
            let missing = [to[0] - self.place[0], to[1] - self.place[1]];
            // The longer the way along an axis, the likelier it is taken; that makes staircases and not corners.
            let east = missing[0].abs() / (missing[0].abs() + missing[1].abs()).max(1e-9);
            self.axis = usize::from(noise.share() >= east);
            self.crossing = self.place[self.axis] + missing[self.axis].clamp(-BLOCK_METRES, BLOCK_METRES);
        }
    }
}
