//! What each type of machine can say: one table, from which the device model, the readings and the first values follow.
//! Knows no XML and no line format.

use crate::physics::Reading;

/// The type of a machine; all machines of a type share one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MachineType {
    /// A two-axis turning centre.
    Lathe,
    /// A vertical machining centre.
    Mill3Axis,
    /// A five-axis machining centre with a pallet changer.
    Mill5Axis,
}

impl MachineType {
    /// The id of the profile.
    pub fn profile(self) -> &'static str {
        ["lathe", "mill_3_axis", "mill_5_axis"][self as usize]
    }

    /// What names of machines begin with.
    pub(crate) fn prefix(self) -> &'static str {
        ["lathe", "mill", "mill5"][self as usize]
    }

    /// Manufacturer-like model designation.
    pub(crate) fn model(self) -> &'static str {
        ["TC-250", "VMC-850", "UMC-500P"][self as usize]
    }

    /// The highest spindle speed.
    pub(crate) fn spindle_rpm_max(self) -> f64 {
        [4_500.0, 12_000.0, 18_000.0][self as usize]
    }

    /// The power of the spindle at 100 % load.
    pub(crate) fn spindle_watts(self) -> f64 {
        [15_000.0, 11_000.0, 22_000.0][self as usize]
    }

    /// The speed of rapid moves.
    pub(crate) fn rapid_mm_per_s(self) -> f64 {
        [250.0, 400.0, 600.0][self as usize]
    }

    fn has(self, place: Place) -> bool {
        match place {
            Place::Linear("Y") => self != Self::Lathe,
            Place::Rotary("B" | "C") | Place::Pallet => self == Self::Mill5Axis,
            Place::Turret => self == Self::Lathe,
            Place::Magazine => self != Self::Lathe,
            _ => true,
        }
    }
}

/// The component that a signal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Device,
    Linear(&'static str),
    Rotary(&'static str),
    Spindle,
    Controller,
    Path,
    /// On the path, but only where there is a pallet changer.
    Pallet,
    Electric,
    Coolant,
    Hydraulic,
    Pneumatic,
    Turret,
    Magazine,
}

/// How a signal comes to its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Source {
    /// It is set when something happens; this is its first value.
    Event(&'static str),
    /// It is read every so many ticks.
    Sample { reading: Reading, ticks: i64, units: &'static str },
    /// A condition with its native codes.
    Condition,
    /// A message with its native code.
    Message,
    /// Keyed entries; this is the first set.
    DataSet(&'static str),
}

/// One signal: a data item of the device model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    /// MTConnect type and sub type, joined by a dot.
    pub(crate) meaning: &'static str,
    pub(crate) source: Source,
}

impl Signal {
    /// The span over which a statistic is calculated, where the signal is one.
    pub(crate) fn duration_secs(&self) -> Option<f64> {
        matches!(self.source, Source::Sample { reading: Reading::SpindleVibration, .. }).then_some(1.0)
    }

    /// Whether a line holds this signal and nothing else.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.source, Source::Condition | Source::Message) || self.duration_secs().is_some()
    }
}

const fn event(name: &'static str, place: Place, meaning: &'static str, first: &'static str) -> Signal {
    Signal { name, place, meaning, source: Source::Event(first) }
}

const fn sample(
    name: &'static str,
    place: Place,
    meaning: &'static str,
    units: &'static str,
    reading: Reading,
    ticks: i64,
) -> Signal {
    Signal { name, place, meaning, source: Source::Sample { reading, ticks, units } }
}

const fn condition(name: &'static str, place: Place, meaning: &'static str) -> Signal {
    Signal { name, place, meaning, source: Source::Condition }
}

use Place::{Controller, Coolant, Device, Electric, Hydraulic, Linear, Magazine, Pallet, Path, Pneumatic, Rotary};
use Place::{Spindle, Turret};

/// Every signal of every type, grouped by component. A tick is 250 ms live.
static SIGNALS: &[Signal] = &[
    event("avail", Device, "AVAILABILITY", "AVAILABLE"),
    sample("x_position", Linear("X"), "POSITION.ACTUAL", "MILLIMETER", Reading::Position(0), 8),
    sample("x_load", Linear("X"), "LOAD", "PERCENT", Reading::AxisLoad(0), 16),
    sample("y_position", Linear("Y"), "POSITION.ACTUAL", "MILLIMETER", Reading::Position(1), 8),
    sample("y_load", Linear("Y"), "LOAD", "PERCENT", Reading::AxisLoad(1), 16),
    sample("z_position", Linear("Z"), "POSITION.ACTUAL", "MILLIMETER", Reading::Position(2), 8),
    sample("z_load", Linear("Z"), "LOAD", "PERCENT", Reading::AxisLoad(2), 16),
    sample("b_angle", Rotary("B"), "ANGLE.ACTUAL", "DEGREE", Reading::Position(3), 16),
    sample("c_angle", Rotary("C"), "ANGLE.ACTUAL", "DEGREE", Reading::Position(4), 16),
    sample("s1_speed", Spindle, "ROTARY_VELOCITY.ACTUAL", "REVOLUTION/MINUTE", Reading::SpindleSpeed, 4),
    sample("s1_load", Spindle, "LOAD", "PERCENT", Reading::SpindleLoad, 4),
    sample("s1_temperature", Spindle, "TEMPERATURE", "CELSIUS", Reading::SpindleTemperature, 20),
    sample("s1_vibration", Spindle, "ACCELERATION", "MILLIMETER/SECOND^2", Reading::SpindleVibration, 8),
    event("spindle_override", Spindle, "ROTARY_VELOCITY_OVERRIDE", "100"),
    condition("spindle_condition", Spindle, "SYSTEM"),
    event("estop", Controller, "EMERGENCY_STOP", "ARMED"),
    event("mode", Controller, "CONTROLLER_MODE", "AUTOMATIC"),
    event("operator", Controller, "OPERATOR_ID", "UNAVAILABLE"),
    Signal { name: "message", place: Controller, meaning: "MESSAGE", source: Source::Message },
    condition("system_condition", Controller, "SYSTEM"),
    condition("logic_condition", Controller, "LOGIC_PROGRAM"),
    event("execution", Path, "EXECUTION", "READY"),
    event("program", Path, "PROGRAM", "UNAVAILABLE"),
    event("block", Path, "BLOCK", "UNAVAILABLE"),
    event("line_number", Path, "LINE_NUMBER.INCREMENTAL", "0"),
    event("part_count", Path, "PART_COUNT.ALL", "0"),
    event("tool_number", Path, "TOOL_NUMBER", "UNAVAILABLE"),
    event("tool_asset_id", Path, "TOOL_ASSET_ID", "UNAVAILABLE"),
    event("feed_override", Path, "PATH_FEEDRATE_OVERRIDE.PROGRAMMED", "100"),
    event("rapid_override", Path, "PATH_FEEDRATE_OVERRIDE.RAPID", "100"),
    event("pallet", Pallet, "PALLET_ID", "1"),
    sample("feedrate", Path, "PATH_FEEDRATE.ACTUAL", "MILLIMETER/SECOND", Reading::Feedrate, 4),
    sample("path_position", Path, "PATH_POSITION.ACTUAL", "MILLIMETER_3D", Reading::PathPosition, 4),
    Signal { name: "shift", place: Path, meaning: "VARIABLE", source: Source::DataSet("scrap=0") },
    condition("motion_condition", Path, "MOTION_PROGRAM"),
    sample("power", Electric, "WATTAGE", "WATT", Reading::Power, 8),
    sample("energy", Electric, "ELECTRICAL_ENERGY", "WATT_SECOND", Reading::Energy, 40),
    sample("coolant_temperature", Coolant, "TEMPERATURE", "CELSIUS", Reading::CoolantTemperature, 20),
    sample("coolant_level", Coolant, "FILL_LEVEL", "PERCENT", Reading::CoolantLevel, 60),
    sample("coolant_pressure", Coolant, "PRESSURE", "PASCAL", Reading::CoolantPressure, 16),
    condition("coolant_condition", Coolant, "SYSTEM"),
    condition("hydraulic_condition", Hydraulic, "SYSTEM"),
    condition("pneumatic_condition", Pneumatic, "SYSTEM"),
    condition("tool_life", Turret, "SYSTEM"),
    condition("tool_life", Magazine, "SYSTEM"),
];

/// The signals of a machine of this type.
pub(crate) fn signals_of(kind: MachineType) -> Vec<Signal> {
    SIGNALS.iter().filter(|signal| kind.has(signal.place)).copied().collect()
}
