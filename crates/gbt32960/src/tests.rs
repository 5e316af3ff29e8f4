//! Whole frames: those that others have published, with the values that the standard's tables give them, and made-up ones.

use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use crate::*;

fn standard() -> &'static Standard {
    static STANDARD: std::sync::LazyLock<Standard> = std::sync::LazyLock::new(Standard::built_in);
    &STANDARD
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Name and bytes of the published frames, where they are.
pub(crate) fn published() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/gbt32960/frames.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        let _ = writeln!(std::io::stderr(), "skipped: ../shared/data/gbt32960/frames.json is not there");
        return Vec::new();
    };
    let frames: Value = serde_json::from_str(&text).unwrap();
    let frame = |frame: &Value| (frame["name"].as_str().unwrap().to_owned(), unhex(frame["hex"].as_str().unwrap()));
    frames.as_array().unwrap().iter().map(frame).collect()
}

fn frame_named<'a>(frames: &'a [(String, Vec<u8>)], name: &str) -> Frame<'a> {
    let (_, bytes) = frames.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no frame {name}"));
    Frame::parse(bytes).unwrap()
}

fn content(frame: &Frame<'_>) -> Content {
    Unit::parse(standard().layout(frame.header.edition), &frame.header, frame.data).unwrap().content
}

/// What JSON tells of `frame`.
fn shown_of(frame: &Frame<'_>) -> Value {
    serde_json::to_value(frame_to_json(standard(), frame).unwrap()).unwrap()
}

fn written(frame: &Frame<'_>, content: &Content) -> Vec<u8> {
    let data = content.write(standard().layout(frame.header.edition), frame.header.command).unwrap();
    let mut output = Vec::new();
    frame.header.write(&data, &mut output).unwrap();
    output
}

#[test]
fn published_frames_come_back_byte_for_byte() {
    for (name, bytes) in published() {
        let frame = Frame::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(written(&frame, &content(&frame)), bytes, "{name}");
        let shown = shown_of(&frame);
        if !shown.to_string().contains("secret_bytes") {
            assert_eq!(frame_from_json(standard(), &shown).unwrap(), bytes, "{name}, by way of JSON");
        }
        let dumped = dump(standard(), &frame).unwrap();
        assert_eq!(bytes_of_dump(&dumped), bytes, "{name}, as it is dumped");
    }
}

/// The bytes that a dump shows: two digits each, behind the offset.
fn bytes_of_dump(dumped: &str) -> Vec<u8> {
    let of_line = |line: &str| {
        let columns: String = line.chars().skip(7).take(36).collect();
        columns.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect::<Vec<_>>()
    };
    dumped.lines().flat_map(of_line).collect()
}

/// The value of the field at `path` of `block`, as JSON shows it.
#[track_caller]
fn check_value(shown: &Value, path: &str, expected: impl Into<Value>) {
    let (block, path) = path.split_once('.').unwrap();
    let blocks = shown["data"]["blocks"].as_array().unwrap();
    let block = blocks.iter().find(|known| known["id"] == block).unwrap_or_else(|| panic!("no block {block}"));
    let found = path.split('.').fold(&block["fields"], |value, part| match part.parse::<usize>() {
        Ok(place) if value.is_array() => &value[place],
        _ => &value[part],
    });
    assert_eq!(*found, expected.into(), "{path}");
}

#[test]
fn a_report_of_2016_has_the_values_of_the_tables() {
    let frames = published();
    if frames.is_empty() {
        return;
    }
    let frame = frame_named(&frames, "realtime, 104 cells");
    let shown = shown_of(&frame);
    assert_eq!(shown["data"]["time"], "2026-07-06T22:55:04Z");
    for (path, expected) in [
        ("vehicle.state.meaning", serde_json::json!(["on"])),
        ("vehicle.charging.meaning", serde_json::json!(["not charging"])),
        ("vehicle.speed.value", 4.8.into()),
        ("vehicle.odometer.value", 93_266.0.into()),
        ("vehicle.voltage.value", 341.7.into()),
        ("vehicle.current.value", 2.5.into()),
        ("vehicle.soc.value", 50.into()),
        ("vehicle.insulation.value", 17_884.into()),
        ("vehicle.gear.meaning", serde_json::json!(["D", "braking force"])),
        ("vehicle.brake.raw", 101.into()),
        ("motor.motors.0.speed.value", 437.into()),
        ("motor.motors.0.torque.value", 1.7.into()),
        ("motor.motors.0.controller_voltage.value", 341.0.into()),
        ("position.longitude.value", 116.397.into()),
        ("position.latitude.value", 39.908.into()),
        ("extreme.voltage_max.value", 3.284.into()),
        ("extreme.temperature_min.value", 27.into()),
        ("alarm.level.value", 0.into()),
        ("cell_voltages.packs.0.voltage.value", 341.4.into()),
        ("cell_voltages.packs.0.current.value", 2.5.into()),
        ("cell_voltages.packs.0.cells.value", 104.into()),
        ("cell_voltages.packs.0.voltages.value.0", 3.283.into()),
        ("cell_voltages.packs.0.voltages.value.103", 3.283.into()),
        ("cell_temperatures.packs.0.temperatures.value", serde_json::json!([28, 27, 28, 29, 29, 27, 27, 28])),
    ] {
        check_value(&shown, path, expected);
    }
}

#[test]
fn a_report_of_2025_has_its_own_offsets() {
    let frames = published();
    if frames.is_empty() {
        return;
    }
    let frame = frame_named(&frames, "realtime, signed SM2");
    let shown = shown_of(&frame);
    for (path, expected) in [
        ("vehicle.current.value", 0.0.into()),
        ("motor.motors.0.torque.value", 0.0.into()),
        ("position.coordinate_system.meaning", serde_json::json!(["WGS-84"])),
        ("cell_voltages.packs.0.voltage.value", 355.8.into()),
        ("cell_voltages.packs.0.current.value", 0.0.into()),
        ("signature.type.meaning", serde_json::json!(["SM2"])),
    ] {
        check_value(&shown, path, expected);
    }
    let Content::Report { blocks, .. } = content(&frame) else { panic!("a report") };
    let kinds: Vec<u8> = blocks.iter().map(|block| block.kind).collect();
    assert_eq!(kinds, [1, 2, 5, 6, 7, 8, 0xA0, 0xA1, 0xFF]);
}

#[test]
fn alarm_bits_are_counted_from_the_least_significant_one() {
    let frames = published();
    if frames.is_empty() {
        return;
    }
    let frame = frame_named(&frames, "2025 realtime with one block, signed RSA");
    let shown = shown_of(&frame);
    check_value(&shown, "alarm.flags.meaning", serde_json::json!(["temperature difference", "battery hot"]));
    let codes = serde_json::json!([0x10003, 0x80002, 0x80003, 0xC0004, 0xD0001, 0x60920, 0xA000B]);
    check_value(&shown, "alarm.battery_faults.raw", serde_json::json!([]));
    check_value(&shown, "alarm.other_faults.raw", codes);
    check_value(&shown, "alarm.levels.1.flag.raw", 1);
    check_value(&shown, "alarm.levels.1.level.raw", 3);
}

#[test]
fn abnormal_and_invalid_are_no_numbers() {
    let frames = published();
    if frames.is_empty() {
        return;
    }
    for (name, path) in [("2016 realtime with one block", "position.longitude"), ("2016 engine block", "engine.speed")]
    {
        let shown = shown_of(&frame_named(&frames, name));
        check_value(&shown, &format!("{path}.quality"), "invalid");
        check_value(&shown, &format!("{path}.value"), Value::Null);
    }
    let frame = frame_named(&frames, "2016 temperatures");
    let shown = shown_of(&frame);
    check_value(&shown, "cell_temperatures.packs.0.number.quality", "invalid");
    check_value(&shown, "cell_temperatures.packs.1.temperatures.quality.4", "invalid");
}

#[test]
fn the_bytes_of_a_login_and_an_activation_are_named() {
    let frames = published();
    if frames.is_empty() {
        return;
    }
    let login = shown_of(&frame_named(&frames, "vehicle login"));
    assert_eq!(login["data"]["iccid"]["text"], "89860624400014310964");
    assert_eq!(login["data"]["serial"]["raw"], 2);
    let activation = shown_of(&frame_named(&frames, "2025 activation"));
    assert_eq!(activation["data"]["chip"]["text"], "1234567812345678");
    assert_eq!(activation["data"]["vin"]["text"], "HGLH3ACF1PA714408");
    assert_eq!(activation["data"]["signature_type"]["meaning"], serde_json::json!(["RSA"]));
}

const VIN: &str = "LTMTEST0000000001";

fn header(edition: Edition, command: Command) -> Header {
    let vin = Vin::new(VIN).unwrap();
    Header { edition, command, response: Response::COMMAND, vin, encryption: Encryption::NONE }
}

fn framed(edition: Edition, command: Command, data: &str) -> Vec<u8> {
    let mut output = Vec::new();
    header(edition, command).write(&unhex(data), &mut output).unwrap();
    output
}

#[test]
fn mistakes_are_named_with_offset_place_and_what_was_expected() {
    const TIME: &str = "1a0707120000";
    for (edition, command, data, expected) in [
        (
            Edition::E2016,
            Command::REALTIME,
            "1a0707",
            "byte 24, time: too short: expected 6 bytes, got 3 before the end",
        ),
        (
            Edition::E2016,
            Command::REALTIME,
            &format!("{TIME}010101"),
            "byte 33, vehicle.mode: too short: expected 1 byte, got 0 before the end",
        ),
        (
            Edition::E2016,
            Command::REALTIME,
            &format!("{TIME}02020101303e3b4e3d320d482710ff"),
            "byte 45, motor.motors[1].state: too short",
        ),
        (
            Edition::E2016,
            Command::REALTIME,
            &format!("{TIME}0801010000000000010001c9"),
            "byte 41, cell_voltages.packs[0].voltages: too many items: expected at most 200 items, got 201",
        ),
        (Edition::E2016, Command::REALTIME, &format!("{TIME}800005aabb"), "byte 33, block 0x80: too short"),
        (Edition::E2025, Command::REALTIME, &format!("{TIME}ff010000000004aa"), "nothing after the block `signature`"),
        (Edition::E2016, Command::HEARTBEAT, "00", "byte 24: bytes left over: expected the end of the data unit"),
        (Edition::E2016, Command::VEHICLE_LOGOUT, &format!("{TIME}000100"), "byte 32: bytes left over"),
        (Edition::E2016, Command::PARAMETER_SET, &format!("{TIME}0177"), "a parameter whose length is known"),
    ] {
        let bytes = framed(edition, command, data);
        let frame = Frame::parse(&bytes).unwrap();
        let outcome = Unit::parse(standard().layout(edition), &frame.header, frame.data);
        let error = outcome.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[test]
fn parameters_and_answers_are_read_in_every_form() {
    let standard = standard();
    let set = "1a0707120000030200640405686f7374310535303030";
    for (edition, command, response, data) in [
        (Edition::E2016, Command::VEHICLE_LOGIN, Response::OK, "1a0707120000"),
        (Edition::E2016, Command::HEARTBEAT, Response::OK, ""),
        (Edition::E2016, Command::PARAMETER_QUERY, Response::COMMAND, "1a07071200000301020e"),
        (Edition::E2016, Command::PARAMETER_QUERY, Response::OK, "1a07071200000302001e0405 05686f737431"),
        (Edition::E2025, Command::PARAMETER_SET, Response::COMMAND, "1a070712000002021e0301"),
        (Edition::E2016, Command::CONTROL, Response::COMMAND, "1a07071200000603e58fb7"),
        (Edition::E2016, Command(0xC5), Response::COMMAND, "00112233"),
        (Edition::E2025, Command::VEHICLE_LOGIN, Response::COMMAND, &login_of_2025()),
    ] {
        let data = unhex(&data.replace(' ', ""));
        let mut bytes = Vec::new();
        header(edition, command).answered(response).write(&data, &mut bytes).unwrap();
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(written(&frame, &content(&frame)), bytes, "{command:?}");
        let shown = shown_of(&frame);
        assert_eq!(frame_from_json(standard, &shown).unwrap(), bytes, "{shown:#}");
    }
    // A host name whose length did not come before it has none.
    let bytes = framed(Edition::E2016, Command::PARAMETER_SET, set);
    let frame = Frame::parse(&bytes).unwrap();
    assert!(Unit::parse(standard.layout(Edition::E2016), &frame.header, frame.data).is_err());
}

/// Two battery management systems with one and two packs.
fn login_of_2025() -> String {
    let code = |last: char| "30".repeat(23) + &format!("{:02x}", last as u8);
    format!("1a0707120000000f{}020102{}{}{}", "38".repeat(20), code('1'), code('2'), code('3'))
}

#[test]
fn frames_are_found_in_a_stream_of_pieces_with_garbage_between_them() {
    let one = framed(Edition::E2016, Command::VEHICLE_LOGOUT, "1a07071200000001");
    let two = framed(Edition::E2025, Command::HEARTBEAT, "");
    let mut broken = one.clone();
    *broken.last_mut().unwrap() ^= 1;
    let stream = [&b"xyz#$"[..], &one, &broken, &two, &[0x23, 0x23, 0xFF, 0xFF, 0xFF, 0xFF], &two].concat();
    for piece in [1, 2, 3, 7, 30, 1_000] {
        let (mut buffer, mut frames, mut passed_over) = (Vec::new(), Vec::new(), Vec::<u8>::new());
        for piece in stream.chunks(piece) {
            buffer.extend(piece);
            loop {
                let taken = match find_frame(&buffer) {
                    Found::Incomplete => break,
                    Found::Frame(frame) => {
                        frames.push(frame.bytes.to_vec());
                        frame.bytes.len()
                    }
                    Found::Garbage { bytes, .. } => {
                        passed_over.extend(bytes);
                        bytes.len()
                    }
                };
                buffer.drain(..taken);
            }
        }
        assert_eq!(frames, [one.clone(), two.clone(), two.clone()], "pieces of {piece}");
        assert_eq!(passed_over.len(), 5 + broken.len() + 6, "pieces of {piece}");
        assert_eq!(buffer, b"");
    }
}

#[test]
fn a_frame_can_be_made_of_physical_values() {
    let shown = serde_json::json!({
        "edition": 2016, "command": 2, "vin": VIN,
        "data": { "time": "2026-07-07T18:00:00+08:00", "blocks": [
            { "type": 4, "fields": { "state": 1, "speed": 1850, "consumption": "invalid" } },
            { "type": 5, "fields": { "status": 2, "longitude": 151.2, "latitude": -33.9 } },
            { "type": 9, "fields": { "packs": [{ "number": 1, "temperatures": [25, -7, "abnormal"] }] } },
        ] },
    });
    let bytes = frame_from_json(standard(), &shown).unwrap();
    let expected = "1a0707120000 04 01 073a ffff 05 02 09032100 020545e0 09 01 01 0003 41 21 fe";
    assert_eq!(bytes, framed(Edition::E2016, Command::REALTIME, &expected.replace(' ', "")));
    for (path, value, expected) in [
        (
            "/data/blocks/0/fields/speed",
            Value::from(70_000),
            "data.blocks[0].engine.speed: expected a number that fits",
        ),
        ("/data/blocks/1/fields/longitude", Value::Null, "data.blocks[1].position.longitude"),
        ("/data/time", Value::from("yesterday"), "data.time: expected a time with its offset"),
        ("/edition", Value::from(2017), "edition: expected 2016 or 2025, got 2017"),
        ("/vin", Value::from("short"), "vin: expected 17 characters of ASCII"),
    ] {
        let mut wrong = shown.clone();
        *wrong.pointer_mut(path).unwrap() = value;
        let error = frame_from_json(standard(), &wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

/// Any data unit that a layout allows.
fn any_nodes(group: &Group, depth: usize) -> BoxedStrategy<Vec<u8>> {
    let fields: Vec<BoxedStrategy<Vec<u8>>> = group.fields.iter().map(|field| any_field(field, depth)).collect();
    fields.prop_map(|fields| fields.concat()).boxed()
}

fn any_field(field: &Field, depth: usize) -> BoxedStrategy<Vec<u8>> {
    let bytes = |count: usize| proptest::collection::vec(any::<u8>(), count);
    match &field.what {
        What::Number(number) => bytes(usize::from(number.bytes)).boxed(),
        What::Time => bytes(6).boxed(),
        What::Blob(_) => (0..40_usize)
            .prop_flat_map(move |length| {
                bytes(length).prop_map(move |data| [&(length as u16).to_be_bytes()[..], &data].concat())
            })
            .boxed(),
        What::List(Count::Prefix { bytes: width, .. }, group) => {
            let (width, items) = (usize::from(*width), any_nodes(group, depth + 1));
            proptest::collection::vec(items, 0..4)
                .prop_map(move |items| [&(items.len() as u16).to_be_bytes()[2 - width..], &items.concat()].concat())
                .boxed()
        }
        What::Array(Count::Prefix { bytes: width, max }, each, _) => {
            let (width, step, most) = (usize::from(*width), usize::from(each.bytes), (*max).min(120) as usize);
            (0..=most)
                .prop_flat_map(move |items| {
                    bytes(items * step)
                        .prop_map(move |data| [&(items as u16).to_be_bytes()[2 - width..], &data].concat())
                })
                .boxed()
        }
        other => unreachable!("no block has {other:?}"),
    }
}

fn any_report() -> impl Strategy<Value = (Edition, Vec<u8>)> {
    prop_oneof![Just(Edition::E2016), Just(Edition::E2025)]
        .prop_flat_map(|edition| (Just(edition), any_report_of(edition)))
}

pub(crate) fn any_report_of(edition: Edition) -> impl Strategy<Value = Vec<u8>> {
    let blocks: Vec<BoxedStrategy<Vec<u8>>> = standard()
        .layout(edition)
        .blocks()
        .iter()
        .filter(|block| !block.last)
        .map(|block| {
            let kind = block.kind;
            any_nodes(&block.group, 0).prop_map(move |data| [&[kind][..], &data].concat()).boxed()
        })
        .chain([(0x80..=0xFE_u8, proptest::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(kind, data)| [&[kind, 0, data.len() as u8][..], &data].concat())
            .boxed()])
        .collect();
    let one = proptest::strategy::Union::new(blocks);
    (any::<[u8; 6]>(), proptest::collection::vec(one, 0..6))
        .prop_map(|(time, blocks)| [&time[..], &blocks.concat()].concat())
}

/// The data unit of `frame`, made again of the row that it is kept as.
fn restored(frame: &Frame<'_>) -> Restored {
    let mut rows = ReportRows::new(std::sync::Arc::new(standard().clone()));
    rows.push(&frame.header, frame.data).unwrap();
    let batch = rows.take(model::Timestamp::default());
    let model::Rows::Frames(frames) = &batch.rows else { panic!("frames") };
    let row = ReportRow::new(frames, 0);
    assert_eq!(row.vin(), Some(frame.header.vin));
    standard().restored(&row).unwrap()
}

#[test]
fn published_reports_come_back_from_their_rows() {
    for (name, bytes) in published() {
        let frame = Frame::parse(&bytes).unwrap();
        if frame.header.command.is_report() && !frame.data.is_empty() {
            let edition = frame.header.edition;
            assert_eq!(restored(&frame), Restored { edition, data: frame.data.to_vec() }, "{name}");
        }
    }
}

#[test]
fn what_has_no_number_comes_back_from_its_row() {
    for (edition, data) in [
        (Edition::E2016, ""),
        (Edition::E2016, "02 fe 08 ff 09 ff 07 ff ffffffff fe ff 00 fe"),
        (Edition::E2016, "09 01 01 ffff 09 01 01 fffe 04 01 fffe ffff 04 01 ffff fffe"),
        (Edition::E2016, "05 ff 09032100 020545e0"),
        (Edition::E2016, "80 0002 aabb 81 0000 30 00112233"),
        (Edition::E2025, "31 01 ffff fffe fffe ffff 31 02 0001 0002 0001 fffe 0000"),
        (Edition::E2025, "07 02 01 0001 0002 fffe 02 0001 0002 0001 ffff"),
        (Edition::E2025, "06 04 00800000 00000000 01 1704 ff 01 0001 aa 0000"),
    ] {
        let bytes = framed(edition, Command::REALTIME, &format!("1a0707120000{data}").replace(' ', ""));
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(restored(&frame), Restored { edition, data: frame.data.to_vec() }, "{data}");
    }
}

#[test]
fn every_column_is_of_one_field_of_an_edition() {
    fn collect(group: &Group, columns: &mut Vec<u16>) {
        for field in &group.fields {
            if let What::Array(_, _, Some(counted)) = &field.what {
                columns.push(*counted);
            }
            if let What::List(_, group) = &field.what {
                collect(group, columns);
            }
            columns.extend(field.kept().map(|kept| kept.column));
        }
    }
    for edition in Edition::ALL {
        let mut columns = Vec::new();
        standard().layout(edition).blocks().iter().for_each(|block| collect(&block.group, &mut columns));
        let in_all = columns.len();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), in_all, "{edition:?}");
    }
}

proptest! {
    /// Every report that is kept is kept whole: its row gives the same bytes again.
    #[test]
    fn whatever_is_kept_comes_back_byte_for_byte((edition, mut data) in any_report()) {
        data[..6].copy_from_slice(&[26, 7, 7, 18, 0, 0]);
        let mut bytes = Vec::new();
        header(edition, Command::REALTIME).write(&data, &mut bytes).unwrap();
        let frame = Frame::parse(&bytes).unwrap();
        prop_assert_eq!(restored(&frame), Restored { edition, data });
    }

    /// Every valid frame comes back byte for byte, from the tree and from JSON.
    #[test]
    fn whatever_is_valid_comes_back_byte_for_byte((edition, data) in any_report()) {
        let mut bytes = Vec::new();
        header(edition, Command::REALTIME).write(&data, &mut bytes).unwrap();
        let frame = Frame::parse(&bytes).unwrap();
        prop_assert_eq!(written(&frame, &content(&frame)), &bytes[..]);
        let shown = shown_of(&frame);
        prop_assert_eq!(frame_from_json(standard(), &shown).unwrap(), &bytes[..]);
        prop_assert_eq!(bytes_of_dump(&dump(standard(), &frame).unwrap()), bytes);
    }

    /// A byte that flips on the way is found out by the check byte; with the check byte set right, it changes what it
    /// hits and nothing else, or the frame is no longer valid.
    #[test]
    fn a_flipped_byte_is_found_or_changes_what_it_hits((edition, data) in any_report(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = Vec::new();
        header(edition, Command::REALTIME).write(&data, &mut bytes).unwrap();
        let at = at.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[at] ^= flip;
        prop_assert!(Frame::parse(&flipped).is_err());
        if (HEADER_BYTES..bytes.len() - 1).contains(&at) {
            *flipped.last_mut().unwrap() ^= flip;
            let frame = Frame::parse(&flipped).unwrap();
            let layout = standard().layout(edition);
            if let Ok(unit) = Unit::parse(layout, &frame.header, frame.data) {
                prop_assert_eq!(unit.content.write(layout, Command::REALTIME).unwrap(), frame.data);
            }
        }
    }

    /// Whatever comes in, nothing panics, and what is passed over is never nothing.
    #[test]
    fn any_bytes_are_frames_or_garbage(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), start in any::<bool>()) {
        if start {
            bytes.splice(..0, framed(Edition::E2016, Command::REALTIME, "1a0707120000").into_iter().take(22));
        }
        match find_frame(&bytes) {
            Found::Frame(frame) => prop_assert!(frame.bytes.len() <= bytes.len()),
            Found::Garbage { bytes: passed, .. } => prop_assert!(!passed.is_empty()),
            Found::Incomplete => prop_assert!(bytes.len() < FRAME_BYTES_MAX),
        }
    }
}

/// What `frame` is kept as: the values of each column that has one, made physical; `?` where there is none.
fn kept(frame: &Frame<'_>) -> std::collections::BTreeMap<String, String> {
    let mut rows = ReportRows::new(std::sync::Arc::new(standard().clone()));
    rows.push(&frame.header, frame.data).unwrap();
    let batch = rows.take(model::Timestamp::default());
    let model::Rows::Frames(frames) = &batch.rows else { panic!("frames") };
    assert_eq!((frames.len(), frames.assets[0].as_str()), (1, "vehicle/LTMTEST0000000001"));
    let shown = |observation: model::Observation| {
        let signal = batch.profile.signal(observation.signal);
        let physical = |raw: i64| match raw {
            model::Vectors::MISSING => "?".to_owned(),
            raw => signal.scale.physical(raw).to_string(),
        };
        let value = match observation.value {
            model::Value::Integer(raw) => physical(raw),
            model::Value::Integers(raw) => raw.iter().map(|raw| physical(*raw)).collect::<Vec<_>>().join(" "),
            model::Value::Text(text) => text.into(),
            model::Value::Absent => observation.quality.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        (signal.id.to_string(), value)
    };
    frames.observations_of(0).map(shown).collect()
}

#[test]
fn a_report_becomes_a_row_of_physical_values() {
    let frames = published();
    if frames.is_empty() {
        return;
    }
    let old = kept(&frame_named(&frames, "realtime, 104 cells"));
    let new = kept(&frame_named(&frames, "realtime, signed SM2"));
    for (row, signal, expected) in [
        (&old, "vehicle_speed", "4.8"),
        (&old, "vehicle_current", "2.5"),
        (&old, "motor_torque", "1.7"),
        (&old, "position_longitude", "116.397"),
        (&old, "pack_current", "2.5"),
        (&old, "cell_temperature", "28 27 28 29 29 27 27 28"),
        (&old, "alarm_battery_faults", ""),
        (&old, "report_blocks", "01 02 05 06 07 08 09"),
        (&new, "vehicle_current", "0"),
        (&new, "pack_voltage", "355.8"),
        (&new, "pack_current", "0"),
        (&new, "motor_torque", "0"),
        (&new, "cell_voltage_count", "108"),
        (&new, "report_edition", "2025"),
    ] {
        assert_eq!(row.get(signal).map(String::as_str), Some(expected), "{signal}");
    }
    assert!(old["cell_voltage"].starts_with("3.283 3.283 3.283 3.283 3.284 "), "{}", old["cell_voltage"]);
    assert_eq!(old["cell_voltage"].split(' ').count(), 104);
    assert!(new["report_other"].starts_with("a0000154a10097"), "{}", new["report_other"]);
    let cells: f64 = new["cell_voltage"].split(' ').map(|cell| cell.parse::<f64>().unwrap()).sum();
    assert!((cells - 355.6).abs() < 0.1, "the cells add up to the pack: {cells}");
}

#[test]
fn what_is_no_number_is_kept_with_its_quality() {
    let time = "1a0707120000";
    for (edition, data, signal, element, expected) in [
        (Edition::E2016, "04 01 ffff fffe", "engine_speed", None, model::Quality::Invalid),
        (Edition::E2016, "04 01 ffff fffe", "engine_consumption", None, model::Quality::Abnormal),
        (Edition::E2016, "02 ff", "motor_number", None, model::Quality::Invalid),
        (Edition::E2016, "09 01 01 0003 41 fe 40", "cell_temperature", Some(1), model::Quality::Abnormal),
        // 6,000 r/min more than the standard allows.
        (Edition::E2016, "04 01 fde8 0001", "engine_speed", None, model::Quality::Abnormal),
    ] {
        let bytes = framed(edition, Command::REALTIME, &format!("{time}{data}").replace(' ', ""));
        let frame = Frame::parse(&bytes).unwrap();
        let mut rows = ReportRows::new(std::sync::Arc::new(standard().clone()));
        rows.push(&frame.header, frame.data).unwrap();
        let batch = rows.take(model::Timestamp::default());
        let model::Rows::Frames(frames) = &batch.rows else { panic!("frames") };
        let column = batch.profile.signal_index(signal).unwrap();
        let found = frames.exceptions.iter().find(|exception| exception.signal == column).expect(data);
        assert_eq!((found.element, found.quality), (element, expected), "{data}");
    }
}

#[test]
fn a_report_that_breaks_off_leaves_no_trace_among_the_rows() {
    let standard = std::sync::Arc::new(standard().clone());
    let good = framed(Edition::E2016, Command::REALTIME, "1a07071200000901010002417d");
    let bad = framed(Edition::E2016, Command::REALTIME, "1a07071200010901010002417d0401ffff");
    let (good, bad) = (Frame::parse(&good).unwrap(), Frame::parse(&bad).unwrap());
    let (mut mixed, mut pure) = (ReportRows::new(standard.clone()), ReportRows::new(standard));
    mixed.push(&good.header, good.data).unwrap();
    let error = mixed.push(&bad.header, bad.data).unwrap_err();
    assert!(error.to_string().contains("engine.consumption"), "{error}");
    mixed.push(&good.header, good.data).unwrap();
    pure.push(&good.header, good.data).unwrap();
    pure.push(&good.header, good.data).unwrap();
    assert_eq!((mixed.len(), mixed.values()), (2, pure.values()));
    assert_eq!(mixed.take(model::Timestamp::default()), pure.take(model::Timestamp::default()));
}
