//! GCJ-02, the coordinates of maps in China, and WGS-84, those of satellites. The only place that converts them.
//!
//! GCJ-02 has no published definition; this is the formula that is in general use. Its inverse is found by iteration and is
//! exact to less than a millimetre. Outside of a rectangle around China both are the same.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The coordinates that a position is given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// As satellites give them.
    #[default]
    Wgs84,
    /// As maps in China have them, up to 700 m away.
    Gcj02,
}

/// The half major axis and the squared eccentricity of the ellipsoid of Krasovsky, 1940.
const AXIS_M: f64 = 6_378_245.0;
const ECCENTRICITY_SQUARED: f64 = 0.006_693_421_622_965_943;
/// Where the two differ.
const LONGITUDES: std::ops::Range<f64> = 72.004..137.8347;
const LATITUDES: std::ops::Range<f64> = 0.8293..55.8271;
/// Each step leaves less than a hundredth of the error before it.
const STEPS: usize = 4;

/// The GCJ-02 longitude and latitude of a place in WGS-84.
pub(crate) fn gcj02_of((longitude, latitude): (f64, f64)) -> (f64, f64) {
    if !LONGITUDES.contains(&longitude) || !LATITUDES.contains(&latitude) {
        return (longitude, latitude);
    }
    let (east, north) = shift_m(longitude - 105.0, latitude - 35.0);
    let radians = latitude.to_radians();
    let flatness = 1.0 - ECCENTRICITY_SQUARED * radians.sin().powi(2);
    let east_per_degree = AXIS_M / flatness.sqrt() * radians.cos() * PI / 180.0;
    let north_per_degree = AXIS_M * (1.0 - ECCENTRICITY_SQUARED) / flatness.powf(1.5) * PI / 180.0;
    (longitude + east / east_per_degree, latitude + north / north_per_degree)
}

/// The WGS-84 longitude and latitude of a place in GCJ-02.
pub(crate) fn wgs84_of(place: (f64, f64)) -> (f64, f64) {
    (0..STEPS).fold(place, |guess, _| {
        let there = gcj02_of(guess);
        (guess.0 + place.0 - there.0, guess.1 + place.1 - there.1)
    })
}

/// How far a place is shifted to the east and to the north, in metres; `x` and `y` are degrees from 105° east, 35° north.
fn shift_m(x: f64, y: f64) -> (f64, f64) {
    let wave = |amplitude: f64, angle: f64| amplitude * (angle * PI).sin();
    let common = (wave(20.0, 6.0 * x) + wave(20.0, 2.0 * x)) * 2.0 / 3.0;
    let root = x.abs().sqrt();
    let east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root;
    let east_waves = wave(20.0, x) + wave(40.0, x / 3.0) + wave(150.0, x / 12.0) + wave(300.0, x / 30.0);
    let north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root;
    let north_waves = wave(20.0, y) + wave(40.0, y / 3.0) + wave(160.0, y / 12.0) + wave(320.0, y / 30.0);
    (east + common + east_waves * 2.0 / 3.0, north + common + north_waves * 2.0 / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Degrees that are less than a tenth of a millimetre.
    const CLOSE: f64 = 1e-9;

    /// What PyPI's `coord-convert` 0.2.1 makes of these places.
    #[test]
    fn another_program_finds_the_same_places() {
        for (wgs84, gcj02) in [
            ((116.404, 39.915), (116.410_244_499_169_38, 39.916_404_281_501_64)),
            ((116.3975, 39.9087), (116.403_743_572_651_76, 39.910_103_499_344_76)),
            ((121.4737, 31.2304), (121.478_223_059_276_93, 31.228_457_737_577_27)),
            ((114.0579, 22.5431), (114.063_013_998_565_47, 22.540_382_814_222_46)),
            ((87.6168, 43.8256), (87.619_649_949_469_26, 43.826_805_393_111_19)),
        ] {
            for (got, expected) in [(gcj02_of(wgs84), gcj02), (wgs84_of(gcj02), wgs84)] {
                let error = (got.0 - expected.0).abs().max((got.1 - expected.1).abs());
                assert!(error < CLOSE, "{got:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn there_and_back_is_the_same_place_to_less_than_a_millimetre() {
        for longitude in 73..137 {
            for latitude in 2..55 {
                let place = (f64::from(longitude) + 0.37, f64::from(latitude) + 0.61);
                let back = wgs84_of(gcj02_of(place));
                let error = (back.0 - place.0).abs().max((back.1 - place.1).abs());
                assert!(error < 1e-9, "{place:?} came back as {back:?}");
            }
        }
    }

    #[test]
    fn far_from_china_nothing_is_shifted() {
        for place in [(-0.1276, 51.5072), (151.2, -33.9), (139.69, 35.68)] {
            assert_eq!((gcj02_of(place), wgs84_of(place)), (place, place));
        }
    }
}
