//! What reports of 2025 become in 2016, read back by the reader of 2016.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use model::{Column, Frames, Rows, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::tests::{any_report_of, published, unhex};
use crate::{Command, Encryption, Frame, Header, ReportRows, Response, Unit, Vin};

static STANDARD: LazyLock<Arc<Standard>> = LazyLock::new(|| Arc::new(Standard::built_in()));

fn frames(edition: Edition, data: &[u8]) -> Frames {
    let vin = Vin::new("LTMTEST0000000001").unwrap();
    let (response, encryption) = (Response::COMMAND, Encryption::NONE);
    let header = Header { edition, command: Command::REALTIME, response, vin, encryption };
    let mut rows = ReportRows::new(Arc::clone(&STANDARD));
    rows.push(&header, data).unwrap();
    let Rows::Frames(frames) = rows.take(Timestamp::default()).rows else { panic!("frames") };
    // Whatever is a row is a valid data unit as well.
    Unit::parse(STANDARD.layout(edition), &header, data).unwrap();
    frames
}

/// Data units of 2016, and what they do not say, by reason and signal.
fn downgraded(data: &[u8]) -> (Vec<Vec<u8>>, Vec<String>) {
    let frames = frames(Edition::E2025, data);
    let mut lost = Vec::new();
    let downgrade = Downgrade::built_in(&STANDARD);
    let mut tell = |one: Inexpressible| lost.push(format!("{}: {}", one.what, one.reason));
    (downgrade.data_units(&STANDARD, &ReportRow::new(&frames, 0), &mut tell).unwrap(), lost)
}

/// What the first row of `frames` says, in whole units of its columns; `?` where it says that there is no value.
fn said(frames: &Frames) -> BTreeMap<String, String> {
    let name = |place: usize| STANDARD.profile().signals()[place].id.to_string();
    let values = frames.columns.iter().enumerate().filter_map(|(place, column)| match column {
        Column::Integers(rows) => rows[0].map(|value| (name(place), value.to_string())),
        Column::Vectors(rows) => rows.row(0).map(|list| {
            let one = |value: &i64| if *value == Vectors::MISSING { "?".to_owned() } else { value.to_string() };
            (name(place), list.iter().map(one).collect::<Vec<_>>().join(" "))
        }),
        _ => None,
    });
    values.collect()
}

const TIME: &str = "1a0707120000";

#[track_caller]
fn check(data: &str, expected: &[&str], expected_lost: &[&str]) {
    let (units, lost) = downgraded(&unhex(&format!("{TIME}{data}").replace(' ', "")));
    let units: Vec<String> = units.iter().map(|unit| unit.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    let expected: Vec<String> = expected.iter().map(|unit| format!("{TIME}{unit}").replace(' ', "")).collect();
    assert_eq!(units, expected);
    assert_eq!(lost, expected_lost);
}

#[test]
fn what_both_editions_have_is_said_in_the_older_layout() {
    // The current has another offset: 0 A is 0x7530 in 2025 and 0x2710 in 2016; the pedals are not said in 2025.
    check(
        "01 01 03 01 0030 000e3b14 0d59 7530 32 01 0e 45dc",
        &["01 01 03 01 0030 000e3b14 0d59 2710 32 01 0e 45dc ff ff"],
        &[],
    );
    check("02 01 01 01 3e 7d00 00030d40 41 04 073a", &["02 01 01 01 3e 4e20 4e20 41 ffff ffff 04 ff 073a ffff"], &[]);
    check(
        "05 02 01 09032100 020545e0",
        &["05 02 09032100 020545e0"],
        &["position_coordinate_system: no such field in 2016"],
    );
    check("08 01 01 0003 41 21 fe", &["09 01 01 0003 41 21 fe"], &[]);
    check("80 0002 aabb", &["80 0002 aabb"], &[]);
}

#[test]
fn what_the_older_edition_has_no_word_for_is_told_and_not_invented() {
    check(
        // −1,500 A, 300 km/h, a gear that is not valid.
        "01 01 03 01 0bb8 000e3b14 0d59 3a98 32 01 8e 45dc",
        &["01 01 03 01 ffff 000e3b14 0d59 ffff 32 01 ff 45dc ff ff"],
        &[
            "vehicle_speed: no such value in 2016",
            "vehicle_current: no such value in 2016",
            "vehicle_gear: no such value in 2016",
        ],
    );
    check(
        // A thermal event: level 4 is said as 3, the highest, and bit 23 not at all.
        "06 04 00800003 01 00000007 00 00 00 01 1704",
        &["07 03 00000003 01 00000007 00 00 00"],
        &[
            "alarm_flag_bit: no such field in 2016",
            "alarm_flag_level: no such field in 2016",
            "alarm_level: no such value in 2016",
            "alarm_flags: no such value in 2016",
        ],
    );
    check(
        "31 01 0001 0002 0000 0000 ff 01 0001 aa 0000",
        &[""],
        &["supercapacitor: no such block in 2016", "signature: no such block in 2016"],
    );
    check("04 0001 04 0002", &["04 ff 0001 ffff"], &["engine: the same block again"]);
}

#[test]
fn abnormal_and_invalid_stay_what_they_are() {
    check("04 fffe", &["04 ff fffe ffff"], &[]);
    check("02 fe 08 ff", &["02 fe 09 ff"], &[]);
    check(
        "07 02 01 0d59 7530 ffff 02 0001 fffe 0001 fffe",
        &["08 02 01 0d59 2710 ffff ffff ff 02 0001 fffe 0001 0001 01 fffe"],
        &[],
    );
}

#[test]
fn more_than_200_cells_take_several_data_units() {
    let cells = |from: usize, to: usize| (from..to).map(|cell| format!("{:04x}", 3_000 + cell)).collect::<String>();
    let data = format!("04 0001 07 02 01 0d59 7530 01c2 {} 02 0d59 7530 0002 {}", cells(0, 450), cells(450, 452));
    let first = format!(
        "04 ff 0001 ffff 08 02 01 0d59 2710 01c2 0001 c8 {} 02 0d59 2710 0002 0001 02 {}",
        cells(0, 200),
        cells(450, 452)
    );
    let second = format!("08 01 01 0d59 2710 01c2 00c9 c8 {}", cells(200, 400));
    let third = format!("08 01 01 0d59 2710 01c2 0191 32 {}", cells(400, 450));
    check(&data, &[&first, &second, &third], &[]);
}

#[test]
fn published_reports_of_2025_can_be_said_in_2016() {
    for (name, bytes) in published() {
        let frame = Frame::parse(&bytes).unwrap();
        if frame.header.edition != Edition::E2025 || !frame.header.command.is_report() || frame.data.is_empty() {
            continue;
        }
        let (units, lost) = downgraded(frame.data);
        let (before, after) = (said(&frames(Edition::E2025, frame.data)), said(&frames(Edition::E2016, &units[0])));
        for signal in ["vehicle_odometer", "vehicle_soc", "cell_voltage", "cell_temperature", "position_longitude"] {
            assert_eq!(before.get(signal), after.get(signal), "{name}: {signal}; {lost:?}");
        }
    }
}

proptest! {
    /// Whatever 2016 says is what was said in 2025; and what is missing of a number that 2025 said was told.
    #[test]
    fn nothing_is_invented_and_nothing_is_lost_in_silence(mut data in any_report_of(Edition::E2025)) {
        data[..6].copy_from_slice(&[26, 7, 7, 18, 0, 0]);
        let (units, lost) = downgraded(&data);
        let (before, after) = (said(&frames(Edition::E2025, &data)), said(&frames(Edition::E2016, &units[0])));
        let is_told = |signal: &str| lost.iter().any(|told| told.starts_with(&format!("{signal}: ")));
        let of_elsewhere = ["report_edition", "pack_cells", "pack_first_cell", "cell_voltage_count", "cell_temperature_count"];
        for (signal, value) in &after {
            if of_elsewhere.contains(&signal.as_str()) || is_told(signal) {
                continue;
            }
            let known = before.get(signal).map(String::as_str).unwrap_or("");
            // A list of 2016 may have no value where 2025 has no field.
            prop_assert!(known == value || (known.is_empty() && value.split(' ').all(|one| one == "?" || one.is_empty())),
                "{signal}: {known:?} has become {value:?}");
        }
    }
}
