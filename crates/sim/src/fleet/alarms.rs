//! Alarms from thresholds, with the levels of the standard: 1 harmless, 2 restrict driving, 3 stop at once, and 4, a thermal
//! event, of 2025. A level holds until what caused it is clearly over.

use super::chemistry::Chemistry;
use super::sensors::Seen;

/// How many alarms can be raised here.
pub(super) const ALARMS: usize = 11;

/// Their names in the layouts, in the order of [`Alarms::look`].
pub(super) const NAMES: [&str; ALARMS] = [
    "temperature difference",
    "battery hot",
    "pack over-voltage",
    "pack under-voltage",
    "SOC low",
    "cell over-voltage",
    "cell under-voltage",
    "poor cell consistency",
    "insulation",
    "motor temperature",
    "thermal event",
];

/// What raises an alarm: values beyond these, for levels 1, 2, 3 and 4, and how far back it has to come.
struct Threshold {
    value: f64,
    limits: [f64; 4],
    margin: f64,
}

const NEVER: f64 = f64::INFINITY;

/// The level of each alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Alarms([u8; ALARMS]);

impl Alarms {
    /// Takes a look at what sensors show.
    pub(super) fn look(&mut self, chemistry: Chemistry, seen: &Seen) {
        let cells = seen.volts.len() as f64;
        let (over, under) = match chemistry {
            Chemistry::Nmc => ([4.26, 4.30, 4.35], [2.95, 2.80, 2.60]),
            Chemistry::Lfp => ([3.70, 3.75, 3.85], [2.60, 2.45, 2.20]),
        };
        let ohms_per_volt = 1_000.0 * seen.insulation_kiloohms / seen.pack_volts.max(1.0);
        let rising = |value: f64, [one, two, three]: [f64; 3], margin: f64| Threshold {
            value,
            limits: [one, two, three, NEVER],
            margin,
        };
        let falling = |value: f64, limits: [f64; 3], margin: f64| rising(-value, limits.map(|limit| -limit), margin);
        let thresholds: [Threshold; ALARMS] = [
            rising(seen.celsius_most - seen.celsius_least, [10.0, 15.0, 25.0], 1.0),
            rising(seen.celsius_most, [48.0, 54.0, 60.0], 1.5),
            rising(seen.pack_volts, over.map(|volts| volts * cells), 1.0),
            falling(seen.pack_volts, under.map(|volts| volts * cells), 1.0),
            falling(seen.charge * 100.0, [9.5, 4.5, -NEVER], 1.0),
            rising(seen.volts_most, over, 0.01),
            falling(seen.volts_least, under, 0.05),
            rising(seen.volts_most - seen.volts_least, [0.25, 0.45, 0.80], 0.03),
            falling(ohms_per_volt, [500.0, 300.0, 100.0], 20.0),
            rising(seen.motor_celsius, [135.0, 150.0, 165.0], 3.0),
            Threshold { value: seen.celsius_most, limits: [NEVER, NEVER, NEVER, 70.0], margin: 5.0 },
        ];
        for (level, threshold) in self.0.iter_mut().zip(&thresholds) {
            let reached = |slack: f64| {
                let beyond = threshold.limits.iter().rposition(|limit| threshold.value > limit - slack);
                beyond.map_or(0, |place| place as u8 + 1)
            };
            *level = reached(0.0).max((*level).min(reached(threshold.margin)));
        }
    }

    /// The level of each, in the order of [`NAMES`].
    pub(super) fn levels(&self) -> [u8; ALARMS] {
        self.0
    }

    /// The highest level.
    pub(super) fn level(&self) -> u8 {
        self.0.into_iter().max().unwrap_or_default()
    }
}
