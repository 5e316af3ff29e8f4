//! The towns that vehicles drive in: where they are and how warm it is. Coordinates are WGS-84; the streets are made up.

use super::DAY_SECS;

/// Streets cross every so many metres.
pub(super) const BLOCK_METRES: f64 = 400.0;
const METRES_PER_DEGREE: f64 = 111_320.0;

/// A town.
#[derive(Debug)]
pub(super) struct Town {
    longitude: f64,
    latitude: f64,
    /// Of the year, how much warmer July is than that, and how much warmer the afternoon is than the mean of a day.
    mean_celsius: f64,
    summer_celsius: f64,
    afternoon_celsius: f64,
}

const fn town(longitude: f64, latitude: f64, mean: f64, summer: f64, afternoon: f64) -> Town {
    Town { longitude, latitude, mean_celsius: mean, summer_celsius: summer, afternoon_celsius: afternoon }
}

/// Beijing, Shanghai, Guangzhou, Chengdu, Wuhan, Hefei.
pub(super) const TOWNS: [Town; 6] = [
    town(116.397, 39.909, 12.8, 15.0, 5.0),
    town(121.474, 31.230, 17.1, 12.0, 3.5),
    town(113.264, 23.129, 22.4, 7.5, 3.5),
    town(104.066, 30.657, 16.6, 10.0, 3.5),
    town(114.305, 30.593, 17.0, 12.5, 4.0),
    town(117.227, 31.820, 16.4, 12.5, 4.0),
];

impl Town {
    /// Longitude and latitude of a place so many metres to the east and to the north of the middle.
    pub(super) fn degrees(&self, [east, north]: [f64; 2]) -> (f64, f64) {
        let latitude = self.latitude + north / METRES_PER_DEGREE;
        (self.longitude + east / (METRES_PER_DEGREE * self.latitude.to_radians().cos()), latitude)
    }

    /// The temperature of the air at `secs`, counted from the epoch in the town's own time.
    pub(super) fn air_celsius(&self, secs: i64) -> f64 {
        let day = (secs as f64 / DAY_SECS as f64).rem_euclid(365.25);
        let hour = secs.rem_euclid(DAY_SECS) as f64 / 3_600.0;
        // The warmest day is about the 200th of the year, the warmest hour about three in the afternoon.
        let summer = (std::f64::consts::TAU * (day - 200.0) / 365.25).cos();
        let afternoon = (std::f64::consts::TAU * (hour - 15.0) / 24.0).cos();
        // No two days are alike; from one to the next it changes little by little.
        let spell = (day / 3.7).sin() + (day / 9.1 + self.longitude).sin();
        self.mean_celsius + self.summer_celsius * summer + self.afternoon_celsius * afternoon + 1.5 * spell
    }
}
