//! What vehicles do next: the day of a commuter, a taxi, a bus, a truck. Knows hours, places and how full the pack is, and
//! nothing of how a vehicle gets there.

use super::DAY_SECS;
use super::kind::VehicleKind;
use super::noise::Noise;
use super::town::BLOCK_METRES;

const HOUR: i64 = 3_600;
const MINUTE: i64 = 60;

/// Metres to the east and to the north of the middle of the town.
pub(super) type Place = [f64; 2];

/// What a vehicle is up to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Task {
    /// Switched off, until then.
    Park { until: i64 },
    /// Switched on, until then: passengers change, or a shift does.
    Wait { until: i64 },
    /// To there.
    Drive { to: Place },
    /// Plugged in, with so many watts at the most, until it is so full or until then.
    Charge { watts: f64, to_share: f64, until: i64 },
}

/// What decides a vehicle's days.
#[derive(Debug)]
pub(super) struct Plan {
    kind: VehicleKind,
    seed: u64,
    home: Place,
    away: Place,
    /// Seconds of the day.
    leaves_home: i64,
    leaves_away: i64,
    /// Share of days on which it is plugged in whatever is left.
    careful: f64,
}

/// The moment at which something is decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Seconds since the epoch in China's time.
    pub(super) secs: i64,
    pub(super) place: Place,
    /// How full the pack is.
    pub(super) charge: f64,
}

impl Moment {
    fn of_day(&self) -> i64 {
        self.secs.rem_euclid(DAY_SECS)
    }

    fn midnight(&self) -> i64 {
        self.secs - self.of_day()
    }

    fn is_at(&self, place: Place) -> bool {
        (self.place[0] - place[0]).abs() + (self.place[1] - place[1]).abs() < BLOCK_METRES / 2.0
    }
}

/// A crossing within `metres` of the middle.
fn crossing(noise: &mut Noise, metres: f64) -> Place {
    [0, 1].map(|_| (noise.between(-metres, metres) / BLOCK_METRES).round() * BLOCK_METRES)
}

impl Plan {
    pub(super) fn new(kind: VehicleKind, seed: u64) -> Self {
        let mut noise = Noise::of(seed, 1);
        let (near, far) = match kind {
            VehicleKind::Commuter => (12_000.0, 9_000.0),
            VehicleKind::Taxi => (9_000.0, 9_000.0),
            VehicleKind::Bus => (6_000.0, 6_000.0),
            VehicleKind::Truck => (9_000.0, 38_000.0),
        };
        let home = crossing(&mut noise, near);
        let mut away = crossing(&mut noise, far);
        if home == away {
            away[0] += 5.0 * BLOCK_METRES;
        }
        Self {
            kind,
            seed,
            home,
            away,
            leaves_home: 7 * HOUR + noise.between(-20.0, 80.0) as i64 * MINUTE,
            leaves_away: 17 * HOUR + noise.between(10.0, 130.0) as i64 * MINUTE,
            careful: noise.between(0.05, 0.6),
        }
    }

    /// Where a vehicle stands when its story begins, and how full it is.
    pub(super) fn beginning(&self, secs: i64) -> (Place, f64) {
        let mut noise = Noise::of(self.seed, 2);
        let hour = secs.rem_euclid(DAY_SECS) / HOUR;
        let at_work = self.kind == VehicleKind::Commuter && (9..17).contains(&hour);
        (if at_work { self.away } else { self.home }, noise.between(0.45, 0.9))
    }

    /// What comes next.
    pub(super) fn next(&self, moment: &Moment) -> Task {
        // What happens depends on the moment and on nothing before it.
        let mut noise = Noise::of(self.seed, moment.secs as u64);
        match self.kind {
            VehicleKind::Commuter => self.commute(moment, &mut noise),
            VehicleKind::Taxi => self.ride(moment, &mut noise),
            VehicleKind::Bus => self.line(moment, &mut noise),
            VehicleKind::Truck => self.haul(moment, &mut noise),
        }
    }

    fn commute(&self, moment: &Moment, noise: &mut Noise) -> Task {
        let midnight = moment.midnight();
        let day = midnight / DAY_SECS;
        let mut of_day = Noise::of(self.seed, day as u64 ^ 0xDA7);
        let late = of_day.between(-12.0, 12.0) as i64 * MINUTE;
        // The epoch was a Thursday.
        let is_weekend = matches!((day + 3).rem_euclid(7), 5 | 6);
        let (leaves, returns) = match is_weekend {
            true => (10 * HOUR + of_day.between(0.0, 240.0) as i64 * MINUTE, 16 * HOUR + late * 4),
            false => (self.leaves_home + late, self.leaves_away + 2 * late),
        };
        let away = if is_weekend { crossing(&mut of_day, 15_000.0) } else { self.away };
        let shop = crossing(&mut of_day, 8_000.0);
        let (goes_out, goes_shopping, plugs_in) = (
            !is_weekend || of_day.happens(0.75),
            !is_weekend && shop != away && of_day.happens(0.3),
            of_day.happens(self.careful) || moment.charge < 0.5,
        );
        let tomorrow = midnight + DAY_SECS;
        if moment.charge < 0.12 {
            return Task::Charge { watts: 60e3, to_share: 0.8, until: moment.secs + HOUR };
        }
        match moment.of_day() {
            secs if secs < leaves || !goes_out => self.rest(moment, plugs_in, midnight + leaves.max(secs + HOUR)),
            secs if secs < returns && moment.is_at(self.home) => Task::Drive { to: away },
            secs if secs < returns => Task::Park { until: midnight + returns },
            _ if moment.is_at(self.home) => self.rest(moment, plugs_in, tomorrow + 4 * HOUR),
            _ if goes_shopping && moment.is_at(away) => Task::Drive { to: shop },
            // At the shop: some use the fast charger there.
            secs if goes_shopping && secs < returns + 2 * HOUR && noise.happens(0.5) => match moment.charge < 0.4 {
                true => Task::Charge { watts: 60e3, to_share: 0.8, until: moment.secs + 40 * MINUTE },
                false => Task::Park { until: moment.secs + noise.between(20.0, 50.0) as i64 * MINUTE },
            },
            _ => Task::Drive { to: self.home },
        }
    }

    /// At home, until somebody wants to drive.
    fn rest(&self, moment: &Moment, plugs_in: bool, until: i64) -> Task {
        match plugs_in && moment.charge < 0.9 {
            true => Task::Charge { watts: 6.8e3, to_share: 1.0, until },
            false => Task::Park { until },
        }
    }

    fn ride(&self, moment: &Moment, noise: &mut Noise) -> Task {
        let hour = moment.of_day() / HOUR;
        let morning = moment.midnight() + 5 * HOUR + (self.leaves_home - 6 * HOUR) / 4;
        if moment.charge < 0.22 {
            return Task::Charge { watts: 75e3, to_share: 0.9, until: moment.secs + 2 * HOUR };
        }
        match hour {
            2..5 if moment.charge < 0.9 => Task::Charge { watts: 40e3, to_share: 1.0, until: morning },
            2..5 => Task::Park { until: morning },
            _ if noise.happens(0.5) => Task::Wait { until: moment.secs + noise.between(1.0, 9.0) as i64 * MINUTE },
            _ => Task::Drive { to: crossing(noise, 9_000.0) },
        }
    }

    fn line(&self, moment: &Moment, noise: &mut Noise) -> Task {
        let (first, last) = (5 * HOUR + 40 * MINUTE, 22 * HOUR);
        let at_home = moment.is_at(self.home);
        let (secs, midnight) = (moment.of_day(), moment.midnight());
        let night = if secs < first { midnight + first } else { midnight + DAY_SECS + first };
        if moment.charge < 0.2 || (at_home && (11..14).contains(&(secs / HOUR)) && moment.charge < 0.6) {
            return Task::Charge { watts: 95e3, to_share: 0.92, until: moment.secs + 2 * HOUR };
        }
        if !(first..last).contains(&secs) {
            return match (at_home, moment.charge < 0.95) {
                (false, _) => Task::Drive { to: self.home },
                (true, true) => Task::Charge { watts: 60e3, to_share: 1.0, until: night },
                (true, false) => Task::Park { until: night },
            };
        }
        if noise.happens(0.5) {
            return Task::Wait { until: moment.secs + noise.between(4.0, 11.0) as i64 * MINUTE };
        }
        Task::Drive { to: if at_home { self.away } else { self.home } }
    }

    fn haul(&self, moment: &Moment, noise: &mut Noise) -> Task {
        let (first, last) = (self.leaves_home - 2 * HOUR, 20 * HOUR);
        let at_home = moment.is_at(self.home);
        let (secs, midnight) = (moment.of_day(), moment.midnight());
        let night = if secs < first { midnight + first } else { midnight + DAY_SECS + first };
        if !(first..last).contains(&secs) && at_home {
            return match moment.charge < 0.95 {
                true => Task::Charge { watts: 90e3, to_share: 1.0, until: night },
                false => Task::Park { until: night },
            };
        }
        if moment.charge < 0.45 {
            return Task::Charge { watts: 140e3, to_share: 0.85, until: moment.secs + 3 * HOUR };
        }
        if noise.happens(0.5) {
            return Task::Park { until: moment.secs + noise.between(30.0, 70.0) as i64 * MINUTE };
        }
        Task::Drive { to: if at_home { self.away } else { self.home } }
    }

    /// Whether it is loaded on the way to `to`.
    pub(super) fn is_loaded(&self, to: Place) -> bool {
        self.kind != VehicleKind::Truck || to == self.away
    }
}
