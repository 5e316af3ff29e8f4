//! Lines and what has to come of them, written by hand from the protocol's words; and the log of a real lathe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::Rejection;
use model::{Batch, Condition, Entry, Rows, Timestamp, Value};
use proptest::prelude::*;

use super::*;
use crate::device::read_devices;
use crate::mapping::Mapping;

const MODEL: &str = r#"<Devices>
  <Device uuid="m1" name="Mill"><DataItems>
    <DataItem id="av" name="avail" category="EVENT" type="AVAILABILITY"/>
    <DataItem id="ex" name="execution" category="EVENT" type="EXECUTION"/>
    <DataItem id="pc" name="count" category="EVENT" type="PART_COUNT"><ResetTrigger>DAY</ResetTrigger></DataItem>
    <DataItem id="xp" name="Xact" category="SAMPLE" type="POSITION" units="MILLIMETER" nativeUnits="INCH"><Source>axes:X</Source></DataItem>
    <DataItem id="sp" name="speed" category="SAMPLE" type="ROTARY_VELOCITY" units="REVOLUTION/MINUTE"/>
    <DataItem id="ps" name="pos" category="SAMPLE" type="PATH_POSITION" units="MILLIMETER_3D"/>
    <DataItem id="tr" name="shift" category="EVENT" type="TRANSLATION" units="MILLIMETER_3D"/>
    <DataItem id="ts" name="wave" category="SAMPLE" type="AMPERAGE" representation="TIME_SERIES" sampleRate="50" units="AMPERE"/>
    <DataItem id="va" name="vars" category="EVENT" type="VARIABLE" representation="DATA_SET"/>
    <DataItem id="wo" name="offsets" category="EVENT" type="WORK_OFFSET" representation="TABLE"/>
    <DataItem id="cn" name="cond" category="CONDITION" type="SYSTEM"/>
    <DataItem id="ms" name="msg" category="EVENT" type="MESSAGE"/>
    <DataItem id="al" name="alarm" category="EVENT" type="ALARM"/>
    <DataItem id="dy" name="daily" category="EVENT" type="PROGRAM"><ResetTrigger>DAY</ResetTrigger></DataItem>
  </DataItems></Device>
  <Device uuid="l2" name="Lathe" id="d2"><DataItems>
    <DataItem id="av2" name="avail" category="EVENT" type="AVAILABILITY"/>
    <DataItem id="z2" name="Zact" category="SAMPLE" type="POSITION" units="MILLIMETER"/>
  </DataItems></Device></Devices>"#;

fn mappings(xml: &str) -> Vec<Arc<Mapping>> {
    let devices = read_devices(xml.as_bytes()).unwrap().devices;
    let named = devices.iter().enumerate().map(|(place, device)| (format!("profile_{place}"), device));
    named.map(|(profile, device)| Arc::new(Mapping::new(device, &profile).unwrap())).collect()
}

fn received() -> Timestamp {
    "2026-01-31T08:00:00Z".parse().unwrap()
}

fn show_entries(pairs: &[(Box<str>, Entry)]) -> String {
    let shown = pairs.iter().map(|(key, entry)| match entry {
        Entry::Number(number) => format!("{key}={number}"),
        Entry::Text(text) => format!("{key}={text:?}"),
        Entry::Removed => format!("{key}="),
        Entry::Row(cells) => format!("{key}=({})", show_entries(cells)),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn show_value(value: &Value) -> String {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or("-").to_owned();
    match value {
        Value::Absent => "?".into(),
        Value::Number(number) => number.to_string(),
        Value::Integer(number) => format!("{number}i"),
        Value::Text(text) => format!("{text:?}"),
        Value::Vector(numbers) => format!("{numbers:?}"),
        Value::Integers(numbers) => format!("{numbers:?}"),
        Value::Entries(pairs) => format!("{{{}}}", show_entries(pairs)),
        Value::Condition(condition) => {
            let Condition { level, native_code, native_severity, qualifier, message } = &**condition;
            let rest = [native_code, native_severity, qualifier, message].map(text).join("/");
            format!("{}/{rest}", level.as_str())
        }
    }
}

/// One line per observation: asset, signal, value; then, where they are not the usual ones, seconds after 08:00,
/// sequence and statistic. The sequence of what is said of assets is a digest, and not shown.
fn show(batches: &[Batch]) -> Vec<String> {
    let mut shown = Vec::new();
    for batch in batches {
        let Rows::Changes(changes) = &batch.rows else { unreachable!("adapters tell changes") };
        for row in 0..changes.len() {
            let signal = &batch.profile.signal(changes.signal[row]).id;
            let mut line =
                format!("{} {signal} {}", changes.asset_of(row).identifier(), show_value(&changes.value[row]));
            assert_eq!(
                changes.value[row] == Value::Absent,
                changes.quality[row] != model::Quality::Good && !matches!(changes.value[row], Value::Condition(_))
            );
            let seconds = (changes.time[row].nanos() - received().nanos()) as f64 / 1e9;
            if seconds != 0.0 {
                line += &format!(" at {seconds}");
            }
            let of_an_asset = &**signal == "asset_changed" || &**signal == "asset_removed";
            if changes.sequence[row] != 0 && !of_an_asset {
                line += &format!(" #{}", changes.sequence[row]);
            }
            if let Some(statistic) = changes.statistic_of(row) {
                let model::Statistic { duration_secs, reset_triggered, sample_rate_hz } = statistic;
                line += &duration_secs.map_or(String::new(), |secs| format!(" over {secs}s"));
                line += &reset_triggered.as_ref().map_or(String::new(), |trigger| format!(" after {trigger}"));
                line += &sample_rate_hz.map_or(String::new(), |hz| format!(" {hz}Hz"));
            }
            shown.push(line);
        }
    }
    shown
}

/// Everything a stream of `bytes`, cut into `pieces`, is decoded to: observations, rejections, counts, commands.
#[derive(Debug, PartialEq)]
struct Outcome {
    observations: Vec<String>,
    rejections: Vec<(String, String, Vec<u8>)>,
    counts: Counts,
    events: Vec<ProtocolEvent>,
}

fn decode_pieces(pieces: &[&[u8]]) -> Outcome {
    let mut decoder = ShdrDecoder::new(mappings(MODEL));
    let mut rejections = Vec::new();
    let mut keep = |rejection: Rejection<'_>| {
        rejections.push((rejection.reason.to_owned(), rejection.detail.to_owned(), rejection.bytes.to_vec()));
    };
    for piece in pieces {
        decoder.decode(piece, received(), &mut keep);
    }
    decoder.finish(received(), &mut keep);
    let (batches, counts) = decoder.take();
    let Counts { lines_blank, lines_command, lines_continued, lines_clean, lines_partial, lines_rejected, .. } = counts;
    assert_eq!(
        counts.lines,
        lines_blank + lines_command + lines_continued + lines_clean + lines_partial + lines_rejected
    );
    assert_eq!(counts.rejections, rejections.len() as u64);
    assert_eq!(counts.observations, batches.iter().map(|batch| batch.len() as u64).sum::<u64>());
    Outcome { observations: show(&batches), rejections, counts, events: decoder.take_events() }
}

fn decode(text: &str) -> Outcome {
    decode_pieces(&[text.as_bytes()])
}

/// A stream of which everything is understood.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let outcome = decode(text);
    assert_eq!(outcome.rejections, [], "{text}");
    assert_eq!(outcome.observations, expected, "{text}");
}

const T: &str = "2026-01-31T08:00:00Z";

#[test]
fn keys_and_values() {
    check(&format!("{T}|avail|AVAILABLE|execution|ACTIVE"), &["m1 avail \"AVAILABLE\"", "m1 execution \"ACTIVE\""]);
    check(&format!("{T}|av|AVAILABLE|axes:X|1"), &["m1 avail \"AVAILABLE\"", "m1 Xact 25.4"]);
    check(&format!("{T}| Xact | -2 |speed|1e3|\r\n"), &["m1 Xact -50.8", "m1 speed 1000"]);
    check(&format!("{T}|execution||speed|0"), &["m1 execution \"\"", "m1 speed 0"]);
    check(&format!("{T}|count|17|count|many"), &["m1 count 17", "m1 count \"many\" #1"]);
    check(&format!("{T}|speed|UNAVAILABLE|avail|Unavailable"), &["m1 speed ?", "m1 avail ?"]);
    check(&format!("{T}|execution|\"a\\|b \"|speed|5"), &["m1 execution \"a|b \"", "m1 speed 5"]);
    check(&format!("\n \r\n{T}\n{T}|\n"), &[]);
}

#[test]
fn time_stamps() {
    check("2026-01-31T08:00:01.5Z|speed|1", &["m1 speed 1 at 1.5"]);
    check("2026-01-31T08:00:01.25|speed|1", &["m1 speed 1 at 1.25"]);
    check("2026-01-31T10:00:02+02:00|speed|1", &["m1 speed 1 at 2"]);
    check("|speed|1", &["m1 speed 1"]);
    check("5000|speed|1\n5100|speed|2\n4900|speed|3", &["m1 speed 1", "m1 speed 2 at 0.1", "m1 speed 3 at -0.1"]);
    check(
        "2026-01-31T08:00:00Z@10.5|speed|1|avail|x\n@2|speed|2",
        &["m1 speed 1 over 10.5s", "m1 avail \"x\" over 10.5s", "m1 speed 2 #1 over 2s"],
    );
}

#[test]
fn conditions_alarms_and_messages() {
    check(&format!("{T}|cond|FAULT|A7|3|HIGH|too hot|speed|1"), &["m1 cond FAULT/A7/3/HIGH/too hot", "m1 speed 1"]);
    check(&format!("{T}|cond|NORMAL||||"), &["m1 cond NORMAL/-/-/-/-"]);
    check(&format!("{T}|cond|warning|17:4||LOW"), &["m1 cond WARNING/17:4/-/LOW/-"]);
    check(&format!("{T}|cond|NORMAL"), &["m1 cond NORMAL/-/-/-/-"]);
    check(&format!("{T}|cond|UNAVAILABLE||||"), &["m1 cond UNAVAILABLE/-/-/-/-"]);
    check(&format!("{T}|msg|C1|change tool"), &["m1 msg \"[C1] change tool\""]);
    check(&format!("{T}|msg||change tool|speed|1"), &["m1 msg \"change tool\"", "m1 speed 1"]);
    check(&format!("{T}|msg|change tool"), &["m1 msg \"change tool\""]);
    check(&format!("{T}|msg|UNAVAILABLE"), &["m1 msg ?"]);
    check(&format!("{T}|msg||UNAVAILABLE"), &["m1 msg ?"]);
    check(
        &format!("{T}|alarm|OVERLOAD|21|CRITICAL|ACTIVE|spindle\n{T}|alarm|OVERLOAD|21|CRITICAL|CLEARED|spindle"),
        &["m1 alarm FAULT/21/CRITICAL/OVERLOAD/spindle", "m1 alarm NORMAL/21/CRITICAL/OVERLOAD/spindle #1"],
    );
    check(
        &format!("{T}|alarm|JAM|5|WARNING|INSTANT|chips|speed|1"),
        &["m1 alarm WARNING/5/WARNING/JAM/chips", "m1 alarm NORMAL/5/WARNING/JAM/chips #1", "m1 speed 1"],
    );
    check(&format!("{T}|alarm|UNAVAILABLE||||"), &["m1 alarm UNAVAILABLE/-/-/-/-"]);
}

#[test]
fn vectors_sets_and_resets() {
    check(&format!("{T}|pos|1 -2.5  3e1|speed|1"), &["m1 pos [1.0, -2.5, 30.0]", "m1 speed 1"]);
    check(&format!("{T}|shift|1 2 3|pos|UNAVAILABLE"), &["m1 shift [1.0, 2.0, 3.0]", "m1 pos ?"]);
    check(&format!("{T}|shift|none"), &["m1 shift \"none\""]);
    check(&format!("{T}|wave|3|100|1 2 3|speed|1"), &["m1 wave [1.0, 2.0, 3.0] 100Hz", "m1 speed 1"]);
    check(&format!("{T}|wave|2||1 2"), &["m1 wave [1.0, 2.0] 50Hz"]);
    check(&format!("{T}|wave|UNAVAILABLE"), &["m1 wave ?"]);
    check(&format!("{T}|wave|0|0|UNAVAILABLE|speed|1"), &["m1 wave ?", "m1 speed 1"]);
    check(
        &format!("{T}|vars|a=1 b={{x y}} c=\"q r\" d='s' e f=|speed|1"),
        &["m1 vars {a=1 b=\"x y\" c=\"q r\" d=\"s\" e= f=}", "m1 speed 1"],
    );
    check(&format!("{T}|vars|:manual a=1"), &["m1 vars {a=1} after MANUAL"]);
    check(&format!("{T}|vars|UNAVAILABLE"), &["m1 vars ?"]);
    check(&format!("{T}|offsets|G54={{X=1 Y=2}} G55="), &["m1 offsets {G54=(X=1 Y=2) G55=}"]);
    check(&format!("{T}|count|0:DAY|speed|5:SHIFT"), &["m1 count 0 after DAY", "m1 speed 5 after SHIFT"]);
    check(&format!("{T}|daily|p1:day|execution|a:b"), &["m1 daily \"p1\" after DAY", "m1 execution \"a:b\""]);
}

#[test]
fn assets_and_values_that_span_lines() {
    check(
        &format!("{T}|@ASSET@|T1|CuttingTool|<T a='|'/>"),
        &["m1 asset_changed {assetId=\"T1\" type=\"CuttingTool\" document=\"<T a='|'/>\"}"],
    );
    check(
        &format!(
            "{T}|@ASSET@|T1|CuttingTool|--multiline--AB\r\n<T>\r\n|--multiline--\n</T>\n--multiline--AB\n{T}|speed|1"
        ),
        &[
            "m1 asset_changed {assetId=\"T1\" type=\"CuttingTool\" document=\"<T>\\n|--multiline--\\n</T>\"}",
            "m1 speed 1",
        ],
    );
    check(&format!("{T}|execution|A: --multiline--1\n b |\n--multiline--1"), &["m1 execution \"A:\\n b |\""]);
    check(&format!("{T}|execution|--multiline--\nx\n--multiline--FF"), &["m1 execution \"x\""]);
    check(
        &format!("{T}|@UPDATE_ASSET@|T1|Life|5|Diameter|7"),
        &["m1 asset_changed {assetId=\"T1\" update=(Life=\"5\" Diameter=\"7\")}"],
    );
    check(
        &format!("{T}|@UPDATE_ASSET@|T1|<Life>5</Life>"),
        &["m1 asset_changed {assetId=\"T1\" document=\"<Life>5</Life>\"}"],
    );
    check(
        &format!("{T}|@REMOVE_ASSET@|T1|speed|1\n{T}|@REMOVE_ALL_ASSETS@|CuttingTool\n{T}|@REMOVE_ALL_ASSETS@"),
        &[
            "m1 asset_removed {assetId=\"T1\"}",
            "m1 speed 1",
            "m1 asset_removed {type=\"CuttingTool\"}",
            "m1 asset_removed {}",
        ],
    );
}

#[test]
fn devices_and_commands() {
    check(
        &format!("{T}|Lathe:Zact|1|l2:avail|x|avail|y|Zact|2"),
        &["m1 avail \"y\"", "l2 Zact 1", "l2 avail \"x\"", "l2 Zact 2 #1"],
    );
    let text = format!(
        "* device: Lathe\n{T}|avail|x\n*device:m1\n{T}|avail|y|Xact|1\n* conversionRequired: no\n{T}|Xact|1\n\
        * PONG 10000\n* PONG\n*adapterVersion:2.1\n* hello"
    );
    let outcome = decode(&text);
    assert_eq!(outcome.observations, ["m1 avail \"y\"", "m1 Xact 25.4", "m1 Xact 1 #1", "l2 avail \"x\""]);
    let command = |key: &str, value: &str| ProtocolEvent::Command { key: key.into(), value: value.into() };
    assert_eq!(
        outcome.events,
        [
            command("device", "Lathe"),
            command("device", "m1"),
            command("conversionRequired", "no"),
            ProtocolEvent::Pong { heartbeat_ms: Some(10_000) },
            ProtocolEvent::Pong { heartbeat_ms: None },
            command("adapterVersion", "2.1"),
            command("hello", ""),
        ]
    );
    assert_eq!(outcome.counts.lines_command, 7);
}

/// A stream with one mistake: what is kept, and reason, detail and bytes of the rejection.
#[track_caller]
fn check_rejection(bytes: &[u8], kept: &[&str], expected: (&str, &str, &[u8])) {
    let outcome = decode_pieces(&[bytes]);
    assert_eq!(outcome.observations, kept, "{}", bytes.escape_ascii());
    let got: Vec<_> = outcome.rejections.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_slice())).collect();
    assert_eq!(got, [expected]);
}

#[test]
fn a_mistake_rejects_only_itself() {
    let speed: &[&str] = &["m1 speed 1"];
    for (line, kept, reason, detail, bytes) in [
        ("|Xact|wide|speed|1", speed, "not a number", "byte 6: expected a number, got `wide`", "Xact|wide"),
        ("|Xact||speed|1", speed, "not a number", "byte 6: expected a number, got ``", "Xact|"),
        ("|Xact|nan|speed|1", speed, "not a number", "byte 6: expected a number, got `nan`", "Xact|nan"),
        (
            "|zz|5|speed|1",
            speed,
            "unknown data item",
            "byte 1: expected the name, id or source of a data item, got `zz`",
            "zz|5",
        ),
        (
            "|zz|FAULT|1|2|3|4|speed|1",
            speed,
            "unknown data item",
            "byte 1: expected the name, id or source of a data item, got `zz`",
            "zz|FAULT|1|2|3|4",
        ),
        (
            "|zz:avail|5|speed|1",
            speed,
            "unknown data item",
            "byte 1: expected the name, id or source of a data item, got `zz:avail`",
            "zz:avail|5",
        ),
        ("|speed|1|Xact", speed, "value missing", "byte 9: expected a value behind the key, got `Xact`", "Xact"),
        ("||5|speed|1", speed, "empty key", "byte 1: expected the key of a data item, got ``", "|5"),
        (
            "|pos|1 2|speed|1",
            speed,
            "not three numbers",
            "byte 5: expected three numbers separated by white space, got `1 2`",
            "pos|1 2",
        ),
        (
            "|wave|2|5|1 2 3|speed|1",
            speed,
            "malformed time series",
            "byte 6: expected the number of values that follow, got `2`",
            "wave|2|5|1 2 3",
        ),
        (
            "|wave|2|fast|1 2|speed|1",
            speed,
            "malformed time series",
            "byte 8: expected the rate in values per second, got `fast`",
            "wave|2|fast|1 2",
        ),
        (
            "|wave|2|5|1 x|speed|1",
            speed,
            "malformed time series",
            "byte 10: expected numbers only, got `1 x`",
            "wave|2|5|1 x",
        ),
        ("|wave|2", &[], "malformed time series", "byte 6: expected count, rate and values, got `2`", "wave|2"),
        (
            "|cond|BAD|1|2|3|4|speed|1",
            speed,
            "invalid condition level",
            "byte 6: expected NORMAL, WARNING, FAULT or UNAVAILABLE, got `BAD`",
            "cond|BAD|1|2|3|4",
        ),
        (
            "|alarm|JAM|1|WARNING|GONE|t|speed|1",
            speed,
            "malformed alarm",
            "byte 21: expected ACTIVE, CLEARED or INSTANT, got `GONE`",
            "alarm|JAM|1|WARNING|GONE|t",
        ),
        ("|vars|a=\"x|speed|1", speed, "malformed data set", "byte 10: expected a closing `\"`, got ``", "vars|a=\"x"),
        ("|vars|:DAY a={x|speed|1", speed, "malformed data set", "byte 15: expected `}`, got ``", "vars|:DAY a={x"),
        ("|offsets|r=5|speed|1", speed, "malformed table", "byte 11: expected `{`, got `5`", "offsets|r=5"),
        (
            "|@FETCH@|x",
            &[],
            "unknown asset command",
            "byte 1: expected @ASSET@, @UPDATE_ASSET@, @REMOVE_ASSET@ or @REMOVE_ALL_ASSETS@, got `@FETCH@`",
            "@FETCH@|x",
        ),
        (
            "|@ASSET@|x|t",
            &[],
            "malformed asset command",
            "byte 1: expected the id of the asset, then what the command needs, got `@ASSET@`",
            "@ASSET@|x|t",
        ),
        (
            "yesterday|speed|1",
            speed,
            "invalid time stamp",
            "byte 0: expected a time such as 2026-01-31T08:00:00.000Z, or milliseconds since an earlier one, got `yesterday`",
            "yesterday",
        ),
        (
            "2026-01-31T08:00:00Z@long|speed|1",
            speed,
            "invalid time stamp",
            "byte 0: expected a duration in seconds behind `@`, got `2026-01-31T08:00:00Z@long`",
            "2026-01-31T08:00:00Z@long",
        ),
        (
            "--multiline--A\n|speed|1",
            speed,
            "stray end of a multi-line value",
            "byte 0: expected a line that begins with a time stamp",
            "--multiline--A",
        ),
        (
            "|speed|1\n|execution|--multiline--A\nrest",
            speed,
            "multi-line value not ended",
            "expected the line `--multiline--A`",
            "|execution|rest",
        ),
        (
            "* device: Robot\n|speed|1",
            speed,
            "unknown device",
            "expected the uuid, name or id of a device of the model",
            "device: Robot",
        ),
    ] {
        check_rejection(line.as_bytes(), kept, (reason, detail, bytes.as_bytes()));
    }
    let invalid = "invalid UTF-8";
    check_rejection(b"|avail|\xE4|speed|1", speed, (invalid, "byte 7: expected UTF-8, got `\\xe4`", b"avail|\xE4"));
    check_rejection(b"|\xE4|x|speed|1", speed, (invalid, "byte 1: expected UTF-8, got `\\xe4`", b"\xE4|x"));
    check_rejection(b"*\xE4\n|speed|1", speed, (invalid, "byte 1: expected UTF-8", b"\xE4"));
}

#[test]
fn bounds_are_kept_and_what_follows_is_good() {
    let long = [&vec![b'x'; LINE_BYTES_MAX + 1][..], b"\n|speed|1"].concat();
    check_rejection(&long, &["m1 speed 1"], ("line too long", "expected at most 1,048,576 bytes", &[b'x'; 4_096]));
    let pieces: Vec<&[u8]> = long.chunks(100_000).collect();
    assert_eq!(decode_pieces(&pieces), decode_pieces(&[&long]));

    let line = [&vec![b'y'; 1_000_000][..], b"\n"].concat();
    let outcome = decode_pieces(&[b"|execution|--multiline--A\n", &line.repeat(5), b"|speed|1"]);
    assert_eq!(outcome.rejections[0].0, "multi-line value too long");
    assert_eq!(outcome.observations, ["m1 speed 1"]);

    let many = format!("{}|speed|1", "|av|x".repeat(40_000));
    let outcome = decode(&many);
    assert_eq!(outcome.rejections[0].0, "too many fields");
    assert_eq!(outcome.observations.len(), 32_768);

    let series = format!("|wave||1|{}|speed|1", "1 ".repeat(SERIES_MAX + 1));
    assert_eq!(decode(&series).rejections[0].1, "byte 6: expected at most 100,000 values, got ``");
    let events = decode(&"* a: b\n".repeat(EVENTS_MAX + 10)).events;
    assert_eq!(events.len(), EVENTS_MAX);
}

const MIXED: &str = "2026-01-31T08:00:00Z|avail|AVAILABLE|speed|1.5\r\n* PONG 1000\n\n|zz|1|count|x\n\
    |@ASSET@|T1|Tool|--multiline--A\n<T>\n\u{4E2D}\n</T>\n--multiline--A\n|cond|FAULT|1|2|HIGH|\u{6587}\n7|vars|a={b c}\n9|execution|\"a\\|b\"";

#[test]
fn a_stream_means_the_same_wherever_it_is_cut() {
    let bytes = MIXED.as_bytes();
    let whole = decode_pieces(&[bytes]);
    assert_eq!((whole.observations.len(), whole.rejections.len()), (7, 1));
    for cut in 0..=bytes.len() {
        assert_eq!(decode_pieces(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(decode_pieces(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
}

#[test]
fn a_lost_connection_makes_unavailable_what_was_heard_of() {
    let mut decoder = ShdrDecoder::new(mappings(MODEL));
    let mut rejected = Vec::new();
    let mut keep = |rejection: Rejection<'_>| rejected.push(rejection.reason);
    let at = |seconds: i64| received().plus_nanos(seconds * 1_000_000_000);
    decoder.decode(b"100|speed|1|cond|NORMAL||||\n|avail|UNAVAILABLE\n|execution|half", at(0), &mut keep);
    decoder.lose(at(10), &mut keep);
    decoder.decode(b"2026-01-31T08:00:05Z|speed|2\n7000|execution|ACTIVE\n", at(20), &mut keep);
    decoder.decode(b"7500|execution|READY\n2026-01-31T08:00:21Z|speed|3\n", at(21), &mut keep);
    let (batches, counts) = decoder.take();
    assert_eq!(
        show(&batches),
        [
            "m1 speed 1",
            "m1 cond NORMAL/-/-/-/-",
            "m1 avail ?",
            "m1 speed ? at 10",
            "m1 cond UNAVAILABLE/-/-/-/- at 10",
            "m1 speed 2 at 20",
            "m1 execution \"ACTIVE\" at 20",
            "m1 execution \"READY\" at 20.5",
            "m1 speed 3 at 21",
        ]
    );
    assert_eq!(rejected, ["line cut off"]);
    assert_eq!((counts.observations, counts.unavailable), (9, 3));
    let received: Vec<Timestamp> = batches.iter().map(|batch| batch.received).collect();
    assert_eq!(received, [at(0), at(10), at(20), at(21)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_taken_and_mean_the_same_when_cut(
        words in proptest::collection::vec(proptest::sample::select(&[
            "2026-01-31T08:00:00Z", "|", "|", "|", "\n", "\n", "\r\n", "speed", "avail", "cond", "vars", "wave", "offsets", "msg",
            "alarm", "UNAVAILABLE", "1", "-2.5", "a=1", "{", "}", "\"", "\\", "'", ":", "@", "@ASSET@", "--multiline--", "A", "* PONG 5",
            "* device: Lathe", " ", "\u{4E2D}", "<x/>", "NORMAL",
        ][..]), 0..60),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
        cut in 0_usize..300,
    ) {
        let mut bytes = words.concat().into_bytes();
        bytes.extend_from_slice(&noise);
        let cut = cut.min(bytes.len());
        let whole = decode_pieces(&[&bytes]);
        prop_assert_eq!(decode_pieces(&[&bytes[..cut], &bytes[cut..]]), whole);
    }
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mtconnect").join(name);
    if !path.exists() {
        eprintln!("skipped: ../shared/data/mtconnect/{name} is not there");
        return None;
    }
    Some(path)
}

/// Counts keys in the raw text, knowing only that conditions have six fields and which keys those are.
const INDEPENDENT_COUNT: &str = r#"
import re, sys, collections
model, log = sys.argv[1:]
conditions = set()
for tag in re.findall(r'<DataItem\b[^>]*>', open(model, encoding='utf-8').read()):
    if 'category="CONDITION"' in tag:
        conditions |= set(re.findall(r'\b(?:name|id)="([^"]*)"', tag))
count = collections.Counter()
inside = False
for line in open(log, encoding='utf-8'):
    line = line.rstrip('\r\n')
    if inside:
        inside = line != '--multiline--ABCD'
        continue
    if line.startswith('*'):
        continue
    inside = line.endswith('--multiline--ABCD')
    fields = line.split('|')[1:]
    while fields:
        key = fields[0]
        if key in ('@ASSET@', '@REMOVE_ASSET@', '@REMOVE_ALL_ASSETS@'):
            count[key] += 1
            break
        count[key] += 1
        fields = fields[6 if key in conditions else 2:]
for key in sorted(count):
    print(key, count[key])
"#;

#[test]
fn every_line_of_the_recorded_lathe_is_accounted_for() {
    let (Some(model), Some(log)) = (shared("okuma-devices.xml"), shared("okuma-shdr.log")) else { return };
    let devices = read_devices(&std::fs::read(&model).unwrap()).unwrap();
    let mapping = Arc::new(Mapping::new(&devices.devices[0], "lathe").unwrap());
    let mut decoder = ShdrDecoder::new(vec![Arc::clone(&mapping)]);
    let mut rejected = Vec::new();
    let mut keep = |rejection: Rejection<'_>| {
        rejected.push((rejection.reason, String::from_utf8_lossy(rejection.bytes).into_owned()));
    };
    for piece in std::fs::read(&log).unwrap().chunks(4_097) {
        decoder.decode(piece, received(), &mut keep);
    }
    decoder.finish(received(), &mut keep);
    let (batches, counts) = decoder.take();
    // The adapter tells when it was installed under a name that its device model does not have; 118 assets take
    // three lines each.
    assert_eq!(rejected, vec![("unknown data item", "ApplicationInstallDate|2/23/2022".to_owned()); 4]);
    assert_eq!((counts.lines, counts.bytes), (10_770, 826_676));
    assert_eq!((counts.lines_command, counts.lines_continued, counts.lines_blank), (9, 236, 0));
    assert_eq!((counts.lines_clean, counts.lines_partial, counts.lines_rejected), (10_521, 4, 0));

    let mut by_key: BTreeMap<String, u64> = BTreeMap::from([("ApplicationInstallDate".into(), 4)]);
    for batch in &batches {
        let Rows::Changes(changes) = &batch.rows else { unreachable!("adapters tell changes") };
        for (row, signal) in changes.signal.iter().enumerate() {
            let key = match &changes.value[row] {
                _ if *signal == mapping.asset_changed() => "@ASSET@",
                Value::Entries(pairs) if *signal == mapping.asset_removed() => {
                    if pairs.iter().any(|(key, _)| &**key == "assetId") {
                        "@REMOVE_ASSET@"
                    } else {
                        "@REMOVE_ALL_ASSETS@"
                    }
                }
                _ => &*batch.profile.signal(*signal).id,
            };
            *by_key.entry(key.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(by_key.values().sum::<u64>(), counts.observations + 4);
    let counted = std::process::Command::new("python3").arg("-c").arg(INDEPENDENT_COUNT).args([&model, &log]).output();
    let Ok(counted) = counted else {
        eprintln!("skipped: the independent count needs python3");
        return;
    };
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    let counted: BTreeMap<String, u64> = String::from_utf8(counted.stdout)
        .unwrap()
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(key, count)| (key.to_owned(), count.parse().unwrap()))
        .collect();
    assert_eq!(by_key, counted);
}
