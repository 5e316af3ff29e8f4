//! A simulated fleet: vehicles that drive, charge, age and fail, and report as GB/T 32960.3 wants it, from a seed.
//!
//! The story, in reading order: vehicles are of a kind (`kind`) and live in a town (`town`). What they do next is a plan
//! (`plan`), how they get there is motion (`motion`), what that does to pack and drive is physics (`body`, `pack`,
//! `chemistry`). Sensors show it, with what faults make of it (`sensors`, `fault`), thresholds raise alarms (`alarms`), and a
//! form of the edition is filled in (`form`, `report`). A [`Vehicle`] says when (`vehicle`); a terminal brings it to a
//! platform and keeps it until it is acknowledged (`terminal`, `parameters`, `connection`), over networks that may be poor
//! (`network`), or it is [`record`]ed.
//!
//! The same options give the same reports, however the time is cut into steps. Positions are WGS-84. Only `connection`
//! knows sockets and the time that really passes.

mod alarms;
mod body;
mod chemistry;
mod connection;
mod counts;
mod fault;
mod form;
mod identity;
mod kind;
mod motion;
mod network;
mod noise;
mod pack;
mod parameters;
mod plan;
mod record;
mod report;
mod sensors;
mod terminal;
mod town;
mod vehicle;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use gbt32960::{Edition, Standard};
use model::Timestamp;

pub use connection::{ConnectOptions, connect};
pub use counts::{Counters, Counts};
pub use fault::{Fault, FaultKind, FaultTime, InvalidFault};
pub use kind::VehicleKind;
pub use network::NetworkOptions;
pub use record::{Recorded, record};
pub use terminal::{Patience, Replies};
pub use vehicle::{Report, Said, Vehicle};

use report::ReportForm;

/// More vehicles have no VINs of their own.
pub const VEHICLES_MAX: u32 = 999_999;
/// The longest period of reports that an edition allows.
pub const REPORT_SECS_MAX: u32 = 600;

const DAY_SECS: i64 = 24 * 3_600;
/// The time of China is so far ahead of UTC, the whole year.
const CHINA_SECS: i64 = 8 * 3_600;

/// What a vehicle does when it is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// It stays connected and reports that it is off.
    Reports,
    /// It logs out, and in again when somebody switches it on.
    LogsOut,
}

/// What decides everything that happens to the fleet.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Another seed is another fleet.
    pub seed: u64,
    /// How many vehicles, at most [`VEHICLES_MAX`].
    pub count: u32,
    /// When their story begins.
    pub from: Timestamp,
    /// The editions that they speak, by turns.
    pub editions: Vec<Edition>,
    /// Seconds between reports, 1 to [`REPORT_SECS_MAX`].
    pub report_secs: u32,
    /// What they do when they are parked.
    pub parked: Parked,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl FleetOptions {
    /// A fleet of both editions that reports every 30 s and in which nothing goes wrong.
    pub fn new(seed: u64, count: u32, from: Timestamp) -> Self {
        Self {
            seed,
            count,
            from,
            editions: Edition::ALL.to_vec(),
            report_secs: 30,
            parked: Parked::Reports,
            faults: Vec::new(),
        }
    }
}

/// Options that make no fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFleet(String);

impl fmt::Display for InvalidFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidFleet {}

/// Many vehicles.
#[derive(Debug)]
pub struct Fleet {
    vehicles: Vec<Vehicle>,
}

impl Fleet {
    /// All vehicles as they stand at the beginning; they have said nothing yet.
    ///
    /// # Errors
    /// When there are too many vehicles, no edition, a period out of bounds, or a fault of a vehicle that there is not.
    pub fn new(options: &FleetOptions) -> Result<Self, InvalidFleet> {
        let check = |good: bool, expected: &str, got: String| match good {
            true => Ok(()),
            false => Err(InvalidFleet(format!("expected {expected}, got {got}"))),
        };
        let (count, secs) = (options.count, options.report_secs);
        check((1..=VEHICLES_MAX).contains(&count), "1 to 999999 vehicles", count.to_string())?;
        check((1..=REPORT_SECS_MAX).contains(&secs), "1 to 600 seconds between reports", secs.to_string())?;
        check(!options.editions.is_empty(), "an edition", "none".to_owned())?;
        for fault in &options.faults {
            let expected = format!("a fault of one of {count} vehicles");
            check((1..=count).contains(&fault.vehicle), &expected, format!("one of number {}", fault.vehicle))?;
        }
        let standard = Arc::new(Standard::built_in());
        let mut forms = HashMap::new();
        let mut form = |edition: Edition, kind: VehicleKind| {
            let made = || Arc::new(ReportForm::new(standard.layout(edition), kind.figures()));
            Arc::clone(forms.entry((edition, kind)).or_insert_with(made))
        };
        let vehicles = (1..=count).map(|number| Vehicle::new(options, number, &standard, &mut form)).collect();
        Ok(Self { vehicles })
    }

    /// The vehicles, by number.
    pub fn vehicles(&self) -> &[Vehicle] {
        &self.vehicles
    }

    /// Takes the fleet apart, so that each vehicle can be connected by a task of its own.
    pub fn into_vehicles(self) -> Vec<Vehicle> {
        self.vehicles
    }
}
