//! NC programs as data: operations with tool, cutting values and shape, and the strokes they dissolve into.
//! Knows neither time nor chance.

use std::f64::consts::PI;

/// X, Y, Z in millimetres, then two rotary axes in degrees. Lathes use X (radius) and Z.
pub(crate) type Position = [f64; 5];

/// Where the tool is changed.
pub(crate) const HOME: Position = [150.0, 0.0, 200.0, 0.0, 0.0];

/// How fast the spindle turns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Speed {
    /// Constant surface speed (G96) in m/min, up to a limit in rev/min (G50).
    Surface(f64, f64),
    /// Rev/min (G97).
    Fixed(f64),
}

/// The geometry of an operation, all lengths in millimetres.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Turning along Z in passes, from one radius to another.
    Turn { radius_from: f64, radius_to: f64, length: f64, passes: u32 },
    /// Facing from a radius to the centre.
    Face { radius: f64, passes: u32 },
    /// Holes in a row, each drilled, tapped or bored in one stroke.
    Holes { count: u32, pitch: f64, depth: f64 },
    /// Lines side by side, to and fro; with a tilt, the rotary axes follow the surface.
    Sweep { length: f64, step_over: f64, passes: u32, depth: f64, tilt_deg: f64 },
}

/// How coolant is brought to the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coolant {
    Off,
    Flood,
    ThroughTool,
}

/// One tool's share of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) tool: u8,
    pub(crate) speed: Speed,
    pub(crate) feed_mm_per_rev: f64,
    /// Spindle load from cutting alone, with a new tool.
    pub(crate) load_pct: f64,
    /// How many minutes of cutting a tool lasts.
    pub(crate) tool_life_min: f64,
    pub(crate) coolant: Coolant,
    pub(crate) shape: Shape,
}

/// A part and the program that makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) program: &'static str,
    pub(crate) operations: &'static [Operation],
}

/// One straight move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) to: Position,
    /// Feed in mm/s while cutting; none for a rapid move.
    pub(crate) feed_mm_per_s: Option<f64>,
    pub(crate) spindle_rpm: f64,
}

impl Operation {
    /// Spindle speed at `radius_mm`, rounded as a control shows it.
    fn spindle_rpm(&self, radius_mm: f64) -> f64 {
        match self.speed {
            Speed::Surface(m_per_min, rpm_max) => {
                (m_per_min * 1000.0 / (2.0 * PI * radius_mm.max(1.0))).min(rpm_max).round()
            }
            Speed::Fixed(rpm) => rpm,
        }
    }

    /// The moves of this operation; `scale` stretches the part.
    pub(crate) fn strokes(&self, scale: f64) -> Vec<Stroke> {
        let mut strokes = Vec::new();
        let mut go = |to: Position, cutting: bool, rpm: f64| {
            let feed_mm_per_s = cutting.then_some(self.feed_mm_per_rev * rpm / 60.0);
            strokes.push(Stroke { to, feed_mm_per_s, spindle_rpm: rpm });
        };
        match self.shape {
            Shape::Turn { radius_from, radius_to, length, passes } => {
                for pass in 1..=passes {
                    let x = scale * (radius_from + (radius_to - radius_from) * f64::from(pass) / f64::from(passes));
                    let rpm = self.spindle_rpm(x);
                    go([x, 0.0, 2.0, 0.0, 0.0], false, rpm);
                    go([x, 0.0, -length * scale, 0.0, 0.0], true, rpm);
                    go([x + 1.0, 0.0, -length * scale, 0.0, 0.0], false, rpm);
                }
            }
            Shape::Face { radius, passes } => {
                let rpm = self.spindle_rpm(radius * scale * 0.5);
                for pass in 0..passes {
                    let z = f64::from(passes - 1 - pass) * 0.8;
                    go([radius * scale + 2.0, 0.0, z, 0.0, 0.0], false, rpm);
                    go([0.0, 0.0, z, 0.0, 0.0], true, rpm);
                    go([0.0, 0.0, z + 2.0, 0.0, 0.0], false, rpm);
                }
            }
            Shape::Holes { count, pitch, depth } => {
                let rpm = self.spindle_rpm(1.0);
                for hole in 0..count {
                    let (x, y) = (f64::from(hole % 4) * pitch * scale, f64::from(hole / 4) * pitch * scale);
                    go([x, y, 3.0, 0.0, 0.0], false, rpm);
                    go([x, y, -depth * scale, 0.0, 0.0], true, rpm);
                    go([x, y, 3.0, 0.0, 0.0], false, rpm);
                }
            }
            Shape::Sweep { length, step_over, passes, depth, tilt_deg } => {
                let rpm = self.spindle_rpm(1.0);
                go([0.0, 0.0, 5.0, 0.0, 0.0], false, rpm);
                for pass in 0..passes {
                    let share = f64::from(pass) / f64::from(passes);
                    let (b, c) = (tilt_deg * (PI * share).sin(), tilt_deg * 4.0 * share);
                    let z = -depth * (0.4 + 0.6 * share);
                    let x = if pass % 2 == 0 { length * scale } else { 0.0 };
                    go([x, f64::from(pass) * step_over * scale, z, b, c], true, rpm);
                }
                go([0.0, 0.0, 50.0, 0.0, 0.0], false, rpm);
            }
        }
        strokes
    }
}

const fn operation(
    tool: u8,
    speed: Speed,
    feed: f64,
    load: f64,
    life: f64,
    coolant: Coolant,
    shape: Shape,
) -> Operation {
    Operation { tool, speed, feed_mm_per_rev: feed, load_pct: load, tool_life_min: life, coolant, shape }
}

use Coolant::{Flood, ThroughTool};
use Shape::{Face, Holes, Sweep, Turn};
use Speed::{Fixed, Surface};

/// What lathes make: a flange, a shaft and a bushing.
pub(crate) static LATHE_PARTS: &[Part] = &[
    Part {
        program: "O1201",
        operations: &[
            operation(1, Surface(220.0, 3000.0), 0.25, 34.0, 35.0, Flood, Face { radius: 52.0, passes: 2 }),
            operation(
                1,
                Surface(210.0, 3000.0),
                0.32,
                52.0,
                35.0,
                Flood,
                Turn { radius_from: 52.0, radius_to: 36.0, length: 48.0, passes: 6 },
            ),
            operation(5, Fixed(1450.0), 0.18, 38.0, 60.0, ThroughTool, Holes { count: 1, pitch: 0.0, depth: 62.0 }),
            operation(
                3,
                Surface(280.0, 3500.0),
                0.12,
                14.0,
                28.0,
                Flood,
                Turn { radius_from: 36.0, radius_to: 35.7, length: 50.0, passes: 1 },
            ),
        ],
    },
    Part {
        program: "O1214",
        operations: &[
            operation(1, Surface(240.0, 3200.0), 0.22, 22.0, 35.0, Flood, Face { radius: 22.0, passes: 2 }),
            operation(
                1,
                Surface(230.0, 3200.0),
                0.30,
                44.0,
                35.0,
                Flood,
                Turn { radius_from: 22.0, radius_to: 14.0, length: 120.0, passes: 4 },
            ),
            operation(
                3,
                Surface(300.0, 4000.0),
                0.10,
                12.0,
                28.0,
                Flood,
                Turn { radius_from: 14.0, radius_to: 13.8, length: 122.0, passes: 1 },
            ),
            operation(
                7,
                Surface(120.0, 2000.0),
                0.08,
                26.0,
                25.0,
                Flood,
                Turn { radius_from: 13.8, radius_to: 11.0, length: 6.0, passes: 5 },
            ),
            operation(
                9,
                Fixed(900.0),
                1.5,
                18.0,
                50.0,
                Flood,
                Turn { radius_from: 13.8, radius_to: 12.9, length: 24.0, passes: 8 },
            ),
        ],
    },
    Part {
        program: "BUSHING-30H7.MIN",
        operations: &[
            operation(
                1,
                Surface(200.0, 2800.0),
                0.28,
                40.0,
                35.0,
                Flood,
                Turn { radius_from: 30.0, radius_to: 24.0, length: 40.0, passes: 4 },
            ),
            operation(5, Fixed(1250.0), 0.20, 46.0, 60.0, ThroughTool, Holes { count: 1, pitch: 0.0, depth: 45.0 }),
            operation(
                11,
                Surface(180.0, 3000.0),
                0.10,
                11.0,
                40.0,
                Flood,
                Turn { radius_from: 14.6, radius_to: 15.0, length: 42.0, passes: 3 },
            ),
            operation(7, Surface(110.0, 1800.0), 0.07, 30.0, 25.0, Flood, Face { radius: 24.0, passes: 1 }),
        ],
    },
];

/// What three-axis mills make: a housing and a base plate.
pub(crate) static MILL_3_AXIS_PARTS: &[Part] = &[
    Part {
        program: "O2010",
        operations: &[
            operation(
                1,
                Fixed(1100.0),
                0.60,
                46.0,
                60.0,
                Flood,
                Sweep { length: 190.0, step_over: 45.0, passes: 4, depth: 2.0, tilt_deg: 0.0 },
            ),
            operation(
                4,
                Fixed(3200.0),
                0.36,
                58.0,
                45.0,
                Flood,
                Sweep { length: 140.0, step_over: 9.0, passes: 18, depth: 22.0, tilt_deg: 0.0 },
            ),
            operation(
                6,
                Fixed(4800.0),
                0.20,
                16.0,
                70.0,
                Flood,
                Sweep { length: 140.0, step_over: 4.0, passes: 8, depth: 22.0, tilt_deg: 0.0 },
            ),
            operation(9, Fixed(2800.0), 0.18, 31.0, 55.0, ThroughTool, Holes { count: 8, pitch: 40.0, depth: 24.0 }),
            operation(12, Fixed(600.0), 1.25, 12.0, 40.0, Flood, Holes { count: 8, pitch: 40.0, depth: 18.0 }),
        ],
    },
    Part {
        program: "GRUNDPLATTE_02.MPF",
        operations: &[
            operation(
                1,
                Fixed(1000.0),
                0.65,
                52.0,
                60.0,
                Flood,
                Sweep { length: 320.0, step_over: 45.0, passes: 5, depth: 2.5, tilt_deg: 0.0 },
            ),
            operation(
                3,
                Fixed(2400.0),
                0.42,
                64.0,
                45.0,
                Flood,
                Sweep { length: 180.0, step_over: 12.0, passes: 12, depth: 14.0, tilt_deg: 0.0 },
            ),
            operation(9, Fixed(2600.0), 0.20, 34.0, 55.0, ThroughTool, Holes { count: 16, pitch: 60.0, depth: 30.0 }),
            operation(
                14,
                Fixed(7500.0),
                0.10,
                8.0,
                80.0,
                Flood,
                Sweep { length: 260.0, step_over: 3.0, passes: 6, depth: 14.0, tilt_deg: 0.0 },
            ),
        ],
    },
];

/// What five-axis mills make: an impeller and a structural bracket.
pub(crate) static MILL_5_AXIS_PARTS: &[Part] = &[
    Part {
        program: "IMPELLER_D180",
        operations: &[
            operation(
                2,
                Fixed(6000.0),
                0.45,
                55.0,
                70.0,
                ThroughTool,
                Sweep { length: 130.0, step_over: 6.0, passes: 44, depth: 38.0, tilt_deg: 25.0 },
            ),
            operation(
                5,
                Fixed(9500.0),
                0.24,
                28.0,
                90.0,
                ThroughTool,
                Sweep { length: 120.0, step_over: 2.0, passes: 56, depth: 40.0, tilt_deg: 42.0 },
            ),
            operation(
                8,
                Fixed(14000.0),
                0.16,
                13.0,
                100.0,
                Flood,
                Sweep { length: 120.0, step_over: 0.8, passes: 70, depth: 40.0, tilt_deg: 42.0 },
            ),
        ],
    },
    Part {
        program: "支架-07_OP20",
        operations: &[
            operation(
                1,
                Fixed(8000.0),
                0.60,
                62.0,
                80.0,
                ThroughTool,
                Sweep { length: 210.0, step_over: 14.0, passes: 36, depth: 30.0, tilt_deg: 0.0 },
            ),
            operation(
                5,
                Fixed(10000.0),
                0.30,
                24.0,
                90.0,
                Flood,
                Sweep { length: 180.0, step_over: 3.0, passes: 40, depth: 34.0, tilt_deg: 30.0 },
            ),
            operation(11, Fixed(3400.0), 0.16, 26.0, 60.0, ThroughTool, Holes { count: 12, pitch: 28.0, depth: 20.0 }),
            operation(
                8,
                Fixed(15000.0),
                0.14,
                11.0,
                100.0,
                Flood,
                Sweep { length: 150.0, step_over: 1.0, passes: 36, depth: 34.0, tilt_deg: 55.0 },
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_surface_speed_turns_faster_on_a_smaller_radius_up_to_its_limit() {
        let operation = LATHE_PARTS[1].operations[1];
        assert_eq!(operation.spindle_rpm(22.0), 1664.0);
        assert_eq!(operation.spindle_rpm(14.0), 2615.0);
        assert_eq!(operation.spindle_rpm(1.0), 3200.0);
    }

    #[test]
    fn every_operation_cuts_at_a_plausible_feed() {
        for part in LATHE_PARTS.iter().chain(MILL_3_AXIS_PARTS).chain(MILL_5_AXIS_PARTS) {
            for operation in part.operations {
                let strokes = operation.strokes(1.0);
                let cutting: Vec<f64> = strokes.iter().filter_map(|stroke| stroke.feed_mm_per_s).collect();
                assert!(!cutting.is_empty(), "{}: tool {} cuts nothing", part.program, operation.tool);
                for feed in cutting {
                    assert!((1.0..100.0).contains(&feed), "{}: tool {} at {feed} mm/s", part.program, operation.tool);
                }
            }
        }
    }
}
