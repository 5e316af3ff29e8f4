//! Rows as frames for an upstream: in its edition, whole or as far as that can say it. Knows no connection.

use std::sync::Arc;

use gbt32960::{Command, Downgrade, Edition, EncodeError, Inexpressible, ReportRow, Standard, Vin, to_wire};
use model::Timestamp;

use crate::options::ForwardOptions;

/// A data unit, and the edition of the frame that it belongs in.
pub(crate) type Unit = (Edition, Vec<u8>);

/// A login or logout of a vehicle, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SessionEvent {
    /// `login`, `logout`, or something else that no frame says.
    pub(crate) what: Box<str>,
    pub(crate) iccid: Option<Box<str>>,
    pub(crate) serial: Option<i64>,
}

const OLDER: &str = "a report of 2016, and the upstream reads 2025 only";
const NOT_KEPT: &str = "it is not kept";
const NO_REPORT: &str = "a row that no report can have become";

const ICCID_BYTES: usize = 20;
const USER_BYTES: usize = 12;
const PASSWORD_BYTES: usize = 20;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Express {
    standard: Arc<Standard>,
    downgrade: Downgrade,
    edition: Edition,
    takes_2016: bool,
}

impl Express {
    pub(crate) fn new(standard: Arc<Standard>, options: &ForwardOptions) -> Self {
        let downgrade = Downgrade::built_in(&standard);
        Self { standard, downgrade, edition: options.edition, takes_2016: options.takes_2016 }
    }

    pub(crate) fn edition(&self) -> Edition {
        self.edition
    }

    pub(crate) fn standard(&self) -> &Standard {
        &self.standard
    }

    /// The data units that say what `row` says; none where none can.
    pub(crate) fn report(&self, row: &ReportRow<'_>, lost: &mut dyn FnMut(Inexpressible)) -> Vec<Unit> {
        let expressed = self.try_report(row, lost);
        expressed.unwrap_or_else(|error| {
            lost(Inexpressible { reason: NO_REPORT, what: error.place.into() });
            Vec::new()
        })
    }

    fn try_report(&self, row: &ReportRow<'_>, lost: &mut dyn FnMut(Inexpressible)) -> Result<Vec<Unit>, EncodeError> {
        match (row.edition()?, self.edition) {
            (Edition::E2025, Edition::E2016) => {
                let units = self.downgrade.data_units(&self.standard, row, lost)?;
                Ok(units.into_iter().map(|unit| (Edition::E2016, unit)).collect())
            }
            (Edition::E2016, Edition::E2025) if !self.takes_2016 => {
                lost(Inexpressible { reason: OLDER, what: "report".into() });
                Ok(Vec::new())
            }
            _ => {
                let restored = self.standard.restored(row)?;
                Ok(vec![(restored.edition, restored.data)])
            }
        }
    }

    /// The command and the data unit of `event`, if a frame says it.
    pub(crate) fn session(
        &self,
        event: &SessionEvent,
        time: Timestamp,
        lost: &mut dyn FnMut(Inexpressible),
    ) -> Option<(Command, Unit)> {
        let command = match &*event.what {
            "login" => Command::VEHICLE_LOGIN,
            "logout" => Command::VEHICLE_LOGOUT,
            _ => return None,
        };
        let mut missing = |what: &str| lost(Inexpressible { reason: NOT_KEPT, what: what.into() });
        let mut data = to_wire(time)?.to_vec();
        let Some(serial) = event.serial.and_then(|serial| u16::try_from(serial).ok()) else {
            missing("login_serial");
            return None;
        };
        data.extend(serial.to_be_bytes());
        if command == Command::VEHICLE_LOGIN {
            let Some(iccid) = &event.iccid else {
                missing("iccid");
                return None;
            };
            data.extend(filled::<ICCID_BYTES>(iccid));
            // No battery is named: which ones there are is not kept.
            missing("battery codes");
            data.extend(if self.edition == Edition::E2016 { &[0, 0][..] } else { &[0] });
        }
        Some((command, (self.edition, data)))
    }

    /// The data unit of a platform's login.
    pub(crate) fn platform_login(&self, now: Timestamp, serial: u16, options: &ForwardOptions, rule: u8) -> Vec<u8> {
        let mut data = self.platform_logout(now, serial);
        data.extend(filled::<USER_BYTES>(&options.user));
        data.extend(filled::<PASSWORD_BYTES>(&options.password));
        data.push(rule);
        data
    }

    /// The data unit of a platform's logout.
    pub(crate) fn platform_logout(&self, now: Timestamp, serial: u16) -> Vec<u8> {
        [&to_wire(now).unwrap_or_default()[..], &serial.to_be_bytes()].concat()
    }
}

/// `text`, filled up with NULs or cut off.
fn filled<const BYTES: usize>(text: &str) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes.iter_mut().zip(text.bytes()).for_each(|(byte, from)| *byte = from);
    bytes
}

/// The VIN of the vehicle with the asset `asset`.
pub(crate) fn vin_of(asset: &str) -> Option<Vin> {
    Vin::padded(asset.strip_prefix("vehicle/")?)
}
