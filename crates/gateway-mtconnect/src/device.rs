//! What a device says of itself: the device information model (MTConnect part 2), as far as a gateway needs it.
//!
//! Knows the elements of `MTConnectDevices` documents of MTConnect 1.0 to 2.7. Must not know of profiles, of units as
//! others write them, or of how a device is connected.

mod read;
#[cfg(test)]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
mod tests;

use std::fmt;

pub use read::read_devices;

/// All devices of one document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Devices {
    /// Major and minor version of the standard that the document claims to follow, where it says so.
    pub version: Option<(u8, u8)>,
    /// The devices, in the order of the document; at least one.
    pub devices: Vec<Device>,
    /// What had to be put up with, in the order of the document.
    pub warnings: Vec<ModelWarning>,
}

impl Devices {
    /// The device that is called `wanted` by its uuid, name or id, in that order of preference.
    pub fn find(&self, wanted: &str) -> Option<&Device> {
        let by = |matches: fn(&Device) -> Option<&str>| self.devices.iter().find(|d| matches(d) == Some(wanted));
        by(|device| Some(&device.uuid))
            .or_else(|| by(|device| device.name.as_deref()))
            .or_else(|| by(|device| device.id.as_deref()))
    }
}

/// One piece of equipment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Device {
    /// Unique in the world; the name or the id where a document gives none.
    pub uuid: String,
    /// The name for people, and for adapters that serve several devices.
    pub name: Option<String>,
    /// Unique in the document.
    pub id: Option<String>,
    /// What kind of equipment it is.
    pub description: Description,
    /// All data items of the device and its components, in the order of the document.
    pub data_items: Vec<DataItem>,
    /// The line of its start tag, counted from 1.
    pub line: u32,
}

/// The `Description` of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Who made it.
    pub manufacturer: Option<String>,
    /// The model, as its maker calls it.
    pub model: Option<String>,
    /// The serial number.
    pub serial_number: Option<String>,
    /// Where it stands.
    pub station: Option<String>,
    /// Free text, white space collapsed.
    pub text: Option<String>,
}

/// One thing a device can say (MTConnect part 2, `DataItem`).
#[derive(Debug, Clone, PartialEq)]
pub struct DataItem {
    /// Unique in the device.
    pub id: String,
    /// What adapters usually call it.
    pub name: Option<String>,
    /// The text of `Source`: what the adapter calls it, where that is not the name.
    pub source: Option<String>,
    /// Measured, told or watched over.
    pub category: Category,
    /// The type, such as `SPINDLE_SPEED`; may have the prefix of an extension.
    pub type_: String,
    /// The sub-type, such as `ACTUAL`.
    pub sub_type: Option<String>,
    /// The units in which an agent publishes.
    pub units: Option<String>,
    /// The units in which the source speaks, where these differ.
    pub native_units: Option<String>,
    /// What native values are to be divided by.
    pub native_scale: Option<f64>,
    /// In which form values come.
    pub representation: Representation,
    /// Whether equal values in succession are news (`discrete`, or the older representation `DISCRETE`).
    pub discrete: bool,
    /// Statistic calculated over a span, such as `AVERAGE`.
    pub statistic: Option<String>,
    /// Values per second, for time series.
    pub sample_rate_hz: Option<f64>,
    /// Significant digits of a value.
    pub significant_digits: Option<u32>,
    /// The part of the component that it is about.
    pub composition_id: Option<String>,
    /// The coordinate system: `WORK`, `MACHINE`, or the id of one.
    pub coordinate_system: Option<String>,
    /// Why its value starts anew, such as `DAY`.
    pub reset_trigger: Option<String>,
    /// Value at the beginning and after a reset.
    pub initial_value: Option<String>,
    /// What values are allowed.
    pub constraints: Constraints,
    /// How reporting is thinned out by the agent.
    pub filters: Vec<Filter>,
    /// The component and the one above, such as `Axes/Rotary[S1]`; `Device` for the device itself.
    pub component_path: String,
    /// The line of its start tag, counted from 1.
    pub line: u32,
}

/// Measured, told or watched over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Category {
    /// A continuous quantity.
    Sample,
    /// A word, a count or a text that changes now and then.
    #[default]
    Event,
    /// Whether all is as it should be.
    Condition,
}

/// In which form values come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Representation {
    /// One value.
    #[default]
    Value,
    /// One value, each one news (before MTConnect 1.5).
    Discrete,
    /// Many values at a fixed rate.
    TimeSeries,
    /// Keyed values.
    DataSet,
    /// Keyed rows of keyed values.
    Table,
}

/// What values are allowed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Constraints {
    /// The allowed values, or the one constant value.
    pub values: Vec<String>,
    /// The least allowed value.
    pub minimum: Option<f64>,
    /// The greatest allowed value.
    pub maximum: Option<f64>,
    /// The wanted value.
    pub nominal: Option<f64>,
}

impl Constraints {
    /// The value that never changes, where only one is allowed.
    pub fn constant(&self) -> Option<&str> {
        match self.values.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// How reporting is thinned out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// Only changes of at least so much, in the units of the data item.
    MinimumDelta(f64),
    /// At most one value in so many seconds.
    PeriodSecs(f64),
}

/// Something in the document that had to be put up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelWarning {
    /// Where, counted from 1.
    pub line: u32,
    /// What was found and what was made of it.
    pub message: String,
}

impl fmt::Display for ModelWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// A device model that cannot be read. The line is counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceModelError {
    /// Not even XML.
    #[error("line {line}: expected well-formed XML, {problem}")]
    Malformed {
        /// Where reading ended.
        line: u32,
        /// What is wrong there.
        problem: String,
    },
    /// XML, but of something else.
    #[error("line {line}: expected {expected}, got {got}")]
    Unexpected {
        /// Where.
        line: u32,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// Two data items of one device cannot be told apart.
    #[error(
        "line {line}: the data item id `{id}` is already used in line {first_line}; ids must be unique in a device"
    )]
    DuplicateId {
        /// The id.
        id: String,
        /// Its first use.
        first_line: u32,
        /// Its second use.
        line: u32,
    },
    /// Two devices cannot be told apart.
    #[error("line {line}: the device uuid `{uuid}` is already used in line {first_line}")]
    DuplicateDevice {
        /// The uuid.
        uuid: String,
        /// Its first use.
        first_line: u32,
        /// Its second use.
        line: u32,
    },
    /// Larger than any sensible model.
    #[error("line {line}: more than {limit} {what}")]
    TooLarge {
        /// Where the bound was met.
        line: u32,
        /// The bound.
        limit: usize,
        /// What there is too much of.
        what: &'static str,
    },
}
