//! Vehicles that report, in both editions; and who is told of it.

use std::sync::Arc;
use std::sync::LazyLock;

use gbt32960::{Command, Edition, Encryption, Header, ReportRows, Response, Standard, Vin, to_wire};
use model::{
    AssetId, AssetKind, Batch, Changes, Observation, Profile, Quality, Shape, Signal, Timestamp, Value, ValueKind,
};

pub(crate) static STANDARD: LazyLock<Arc<Standard>> = LazyLock::new(|| Arc::new(Standard::built_in()));

pub(crate) fn vin(vehicle: u32) -> String {
    format!("LTMTEST{vehicle:010}")
}

/// The data unit of a report: speed and cells depend on the time, so that no two are alike.
pub(crate) fn unit(edition: Edition, time: Timestamp) -> Vec<u8> {
    let seconds = time.millis() / 1_000;
    let speed = ((seconds % 2_000) as u16).to_be_bytes();
    let mut data = to_wire(time).unwrap().to_vec();
    data.extend([1, 1, 3, 1]);
    data.extend(speed);
    data.extend([0, 14, 59, 20, 13, 89]);
    match edition {
        Edition::E2016 => data.extend([0x27, 0x10, 50, 1, 14, 0x45, 0xDC, 0, 101]),
        Edition::E2025 => data.extend([0x75, 0x30, 50, 1, 14, 0x45, 0xDC]),
    }
    data.extend([if edition == Edition::E2016 { 9 } else { 8 }, 1, 1, 0, 4, 65, 66, 0xFE, (seconds % 200) as u8]);
    data
}

/// One report: vehicle, edition, time.
pub(crate) type Report = (u32, Edition, Timestamp);

/// Reports as they are kept, received at `received`.
pub(crate) fn batch(received: Timestamp, reports: &[Report]) -> Batch {
    let mut rows = ReportRows::new(Arc::clone(&STANDARD));
    for (vehicle, edition, time) in reports {
        let (response, encryption) = (Response::COMMAND, Encryption::NONE);
        let vin = Vin::new(&vin(*vehicle)).unwrap();
        let header = Header { edition: *edition, command: Command::REALTIME, response, vin, encryption };
        rows.push(&header, &unit(*edition, *time)).unwrap();
    }
    rows.take(received)
}

/// A login or logout, as the gateway keeps it.
pub(crate) fn session(received: Timestamp, vehicle: u32, what: &str, time: Timestamp, serial: i64) -> Batch {
    let signals = vec![
        Signal::new("session", "gbt32960:session", ValueKind::Text),
        Signal::new("iccid", "gbt32960:vehicle_login.iccid", ValueKind::Text),
        Signal::new("login_serial", "gbt32960:vehicle_login.serial", ValueKind::Integer),
    ];
    static PROFILE: std::sync::OnceLock<Arc<Profile>> = std::sync::OnceLock::new();
    let profile = PROFILE.get_or_init(|| Arc::new(Profile::new("vehicle_session", Shape::Changes, signals).unwrap()));
    let mut changes = Changes::default();
    let place = changes.intern(&AssetId::new(AssetKind::Vehicle, &vin(vehicle)).unwrap());
    let iccid = (what == "login").then(|| Value::Text("89860624400014310964".into()));
    for (signal, value) in (0..).zip([Some(Value::Text(what.into())), iccid, Some(Value::Integer(serial))]) {
        let Some(value) = value else { continue };
        let (sequence, quality, statistic) = (0, Quality::Good, None);
        changes.push(place, Observation { signal, time, sequence, quality, value, statistic });
    }
    Batch::changes(Arc::clone(profile), received, changes)
}
