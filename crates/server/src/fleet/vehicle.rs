//! One vehicle: its last values, and what they mean together. Pure; the present is given with the [`Sight`].

use std::sync::Arc;

use model::{AssetId, Timestamp, Value};

use super::LEVELS;
use super::coordinates::{self, System};
use crate::alarms::open::{Open, OpenOf};

/// The signals that are kept of each vehicle, in the order of its values.
pub(super) const SIGNALS: [&str; VALUES] = [
    "report_edition",
    "vehicle_state",
    "vehicle_charging",
    "vehicle_speed",
    "vehicle_odometer",
    "vehicle_voltage",
    "vehicle_current",
    "vehicle_soc",
    "alarm_level",
    "position_status",
    "position_coordinate_system",
    "position_longitude",
    "position_latitude",
];
pub(super) const VALUES: usize = 13;

/// The place of each of [`SIGNALS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Edition,
    State,
    Charging,
    Speed,
    Odometer,
    Voltage,
    Current,
    Soc,
    Level,
    PositionStatus,
    CoordinateSystem,
    Longitude,
    Latitude,
}

/// From where and when the fleet is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub(crate) now: Timestamp,
    /// A vehicle that said nothing for longer is offline.
    pub(crate) offline_after_ns: i64,
    /// The coordinates of reports that do not tell theirs: those of 2016.
    pub(crate) system: System,
    /// Alarms that want somebody.
    pub(crate) open: Arc<Open>,
}

/// What a vehicle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Driving,
    Charging,
    /// Switched on and standing.
    Parked,
    /// Switched off, or logged out.
    Off,
    /// Nothing came in for a while.
    Offline,
    /// It logged in, and never reported.
    Never,
}

impl State {
    pub(crate) const ALL: [Self; 6] =
        [Self::Driving, Self::Charging, Self::Parked, Self::Off, Self::Offline, Self::Never];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Driving => "driving",
            Self::Charging => "charging",
            Self::Parked => "parked",
            Self::Off => "off",
            Self::Offline => "offline",
            Self::Never => "never",
        }
    }
}

/// What last happened to the connection of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    Login,
    Logout,
    Lost,
}

impl Session {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) if **text == *"login" => Some(Self::Login),
            Value::Text(text) if **text == *"logout" => Some(Self::Logout),
            Value::Text(text) if **text == *"lost" => Some(Self::Lost),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Lost => "lost",
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Vehicle {
    pub(crate) asset: AssetId,
    /// When its last report came in.
    pub(crate) heard: Option<Timestamp>,
    /// The time of its newest report.
    pub(crate) time: Option<Timestamp>,
    pub(crate) session: Option<(Session, Timestamp)>,
    /// Physical values, not a number where there is none.
    pub(super) values: [f64; VALUES],
}

impl Vehicle {
    pub(super) fn new(asset: AssetId) -> Self {
        Self { asset, heard: None, time: None, session: None, values: [f64::NAN; VALUES] }
    }

    pub(super) fn take_session(&mut self, what: Option<Session>, time: Timestamp) {
        if let Some(what) = what
            && self.session.is_none_or(|(_, known)| time >= known)
        {
            self.session = Some((what, time));
        }
    }

    pub(crate) fn vin(&self) -> &str {
        self.asset.identifier()
    }

    /// The last value, if it is a number.
    pub(crate) fn value(&self, kept: Kept) -> Option<f64> {
        Some(self.values[kept as usize]).filter(|value| !value.is_nan())
    }

    pub(crate) fn state(&self, sight: &Sight) -> State {
        let Some(heard) = self.heard else { return State::Never };
        if sight.now > heard.plus_nanos(sight.offline_after_ns) {
            return State::Offline;
        }
        if let Some((Session::Logout, at)) = self.session
            && Some(at) >= self.time
        {
            return State::Off;
        }
        let is = |kept: Kept, wanted: f64| self.values[kept as usize] == wanted;
        if is(Kept::Charging, 1.0) {
            State::Charging
        } else if self.values[Kept::Speed as usize] > 0.0 {
            State::Driving
        } else if is(Kept::State, 2.0) {
            State::Off
        } else {
            State::Parked
        }
    }

    /// The highest level of its alarms.
    pub(crate) fn level(&self) -> Option<usize> {
        self.value(Kept::Level).map(|level| level as usize).filter(|level| *level < LEVELS)
    }

    /// Its alarms that want somebody, if there are any.
    pub(crate) fn open(&self, sight: &Sight) -> Option<OpenOf> {
        sight.open.of(&self.asset)
    }

    /// Longitude and latitude in degrees, WGS-84.
    pub(crate) fn position(&self, sight: &Sight) -> Option<(f64, f64)> {
        let is_invalid = self.value(Kept::PositionStatus).is_some_and(|status| status as u8 & 1 == 1);
        let place = (self.value(Kept::Longitude)?, self.value(Kept::Latitude)?);
        let system = match self.value(Kept::CoordinateSystem) {
            Some(1.0) => System::Wgs84,
            Some(2.0) => System::Gcj02,
            Some(_) => return None,
            None => sight.system,
        };
        (!is_invalid).then(|| match system {
            System::Wgs84 => place,
            System::Gcj02 => coordinates::wgs84_of(place),
        })
    }
}
