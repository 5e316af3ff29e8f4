//! The plant as a client sees it: determinism, plausibility, a valid device model, and lines that keep the rules of SHDR.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::Timestamp;
use sim::{Machine, MachineType, Plant, PlantOptions, ProcessFaultKind};

use crate::shdr::{self, Said, check_lines, data_items};

const HOUR_MS: i64 = 3_600_000;

fn start() -> Timestamp {
    "2026-11-21T02:13:07.420Z".parse().unwrap()
}

fn plant(seed: u64, history_hours: u64) -> Vec<Machine> {
    let history = Duration::from_secs(history_hours * 3600);
    Plant::new(&PlantOptions { history, ..PlantOptions::new(seed, start()) }).into_machines()
}

fn lines(machine: &mut Machine, to: Timestamp) -> String {
    let mut out = Vec::new();
    machine.advance(to, &mut out);
    String::from_utf8(out).unwrap()
}

fn after_start_ms(ms: i64) -> Timestamp {
    Timestamp::from_millis(start().millis() + ms)
}

#[test]
fn a_dozen_machines_with_names_and_profiles_of_their_types() {
    let named: Vec<_> = plant(1, 1).iter().map(|machine| format!("{} {}", machine.name(), machine.profile())).collect();
    assert_eq!(named.len(), 12);
    for expected in ["lathe-01 lathe", "lathe-05 lathe", "mill-04 mill_3_axis", "mill5-03 mill_5_axis"] {
        assert!(named.iter().any(|name| name == expected), "{expected} in {named:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_time_is_cut() {
    let end = after_start_ms(10 * 60_000);
    for place in 0..4 {
        let at_once = lines(&mut plant(7, 2)[place], end);
        let mut machine = plant(7, 2).remove(place);
        let mut in_pieces = String::new();
        let mut piece_ms = 1;
        while machine.now() < end {
            let to = Timestamp::from_millis((machine.now().millis() + piece_ms).min(end.millis()));
            in_pieces.push_str(&lines(&mut machine, to));
            piece_ms = piece_ms * 7 % 61_003 + 1;
        }
        assert_eq!(at_once, in_pieces);
        assert_ne!(at_once, lines(&mut plant(8, 2)[place], end), "another seed is another plant");
    }
}

#[test]
fn every_line_keeps_the_rules_of_shdr_and_only_speaks_of_what_the_model_has() {
    for machine in &mut plant(3, 12) {
        let items = data_items(&machine.device_xml());
        let text = lines(machine, after_start_ms(300_000));
        let said = check_lines(&text, &items).unwrap_or_else(|problem| panic!("{}: {problem}", machine.name()));
        for name in items.keys() {
            assert!(said.iter().any(|said| said.name == *name), "{} never speaks of {name}", machine.name());
        }
        let mut snapshot = Vec::new();
        machine.snapshot(&mut snapshot);
        let snapshot = shdr::read_lines(&String::from_utf8(snapshot).unwrap(), &items).unwrap();
        for last in latest(&said) {
            let told = snapshot
                .iter()
                .any(|told| told.name == last.name && (told.at_ms, &told.fields) == (last.at_ms, &last.fields));
            // A snapshot of a data set is the whole set; a condition's normal state names no code.
            assert!(
                told || ["shift", "message"].contains(&last.name.as_str()) || last.fields[0] == "NORMAL",
                "{last:?}"
            );
        }
    }
}

/// The last thing said of every signal that is no condition, and of every condition.
fn latest(said: &[Said]) -> Vec<&Said> {
    let mut latest = BTreeMap::new();
    for said in said {
        latest.insert(&said.name, said);
    }
    latest.into_values().collect()
}

/// The value of a signal over time: spans of (from, to, value).
fn spans<'a>(said: &'a [Said], name: &str, end_ms: i64) -> Vec<(i64, i64, &'a str)> {
    let changes: Vec<_> = said.iter().filter(|said| said.name == name).collect();
    let ends = changes.iter().skip(1).map(|said| said.at_ms).chain([end_ms]);
    changes.iter().zip(ends).map(|(said, to)| (said.at_ms, to, said.fields[0].as_str())).collect()
}

fn share_active(said: &[Said], from_ms: i64, end_ms: i64) -> f64 {
    let active: i64 = spans(said, "execution", end_ms)
        .iter()
        .filter(|(_, _, value)| *value == "ACTIVE")
        .map(|(from, to, _)| to - from)
        .sum();
    active as f64 / (end_ms - from_ms) as f64
}

#[test]
fn a_day_of_the_plant_is_plausible() {
    let (from_ms, end_ms) = (start().millis() - 24 * HOUR_MS, start().millis());
    let mut shares = Vec::new();
    let mut faults = 0;
    let mut words = BTreeMap::<String, usize>::new();
    for machine in &mut plant(11, 24) {
        let items = data_items(&machine.device_xml());
        let said = check_lines(&lines(machine, start()), &items).unwrap();
        let share = share_active(&said, from_ms, end_ms);
        assert!((0.40..0.90).contains(&share), "{} is active {share}", machine.name());
        shares.push(share);
        for (_, _, word) in spans(&said, "execution", end_ms) {
            *words.entry(word.to_owned()).or_default() += 1;
        }
        check_ranges(machine, &said);
        check_part_counts(machine, &said);
        check_feed_holds(machine, &said);
        faults += check_faults_are_mended(machine, &said, end_ms);
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!((0.55..0.75).contains(&mean), "the plant is active {mean}: {shares:?}");
    assert!((12..200).contains(&faults), "{faults} faults in a day");
    for word in ["READY", "ACTIVE", "INTERRUPTED", "FEED_HOLD", "OPTIONAL_STOP", "PROGRAM_COMPLETED", "STOPPED", "WAIT"]
    {
        assert!(words.contains_key(word), "nobody was ever {word}: {words:?}");
    }
}

fn check_ranges(machine: &Machine, said: &[Said]) {
    let rpm_max = match machine.machine_type() {
        MachineType::Lathe => 4_500.0,
        MachineType::Mill3Axis => 12_000.0,
        MachineType::Mill5Axis => 18_000.0,
    };
    let ranges = [
        ("s1_speed", 0.0, rpm_max),
        ("s1_load", 0.0, 150.0),
        ("s1_temperature", 15.0, 75.0),
        ("s1_vibration", 0.0, 10_000.0),
        ("feedrate", 0.0, 620.0),
        ("x_load", 0.0, 100.0),
        ("z_load", 0.0, 100.0),
        ("power", 500.0, 40_000.0),
        ("coolant_temperature", 15.0, 45.0),
        ("coolant_level", 10.0, 100.0),
        ("coolant_pressure", 0.0, 8.0e6),
        ("x_position", -50.0, 500.0),
        ("z_position", -200.0, 400.0),
    ];
    for (name, least, most) in ranges {
        let values: Vec<f64> =
            said.iter().filter(|said| said.name == name).map(|said| said.fields[0].parse().unwrap()).collect();
        assert!(values.len() > 20, "{} says {name} only {} times", machine.name(), values.len());
        for value in values {
            assert!((least..=most).contains(&value), "{}: {name} is {value}", machine.name());
        }
    }
}

fn check_part_counts(machine: &Machine, said: &[Said]) {
    let counts: Vec<(i64, u32)> = said
        .iter()
        .filter(|said| said.name == "part_count")
        .map(|said| (said.at_ms, said.fields[0].parse().unwrap()))
        .collect();
    assert!(counts.len() > 30, "{} made {} parts", machine.name(), counts.len());
    let shift = |at_ms: i64| (at_ms + 8 * HOUR_MS).div_euclid(8 * HOUR_MS);
    for pair in counts.windows(2) {
        let ((before_ms, before), (after_ms, after)) = (pair[0], pair[1]);
        let as_expected = if shift(before_ms) == shift(after_ms) { after == before + 1 } else { after == 0 };
        assert!(as_expected, "{}: {before} parts, then {after}", machine.name());
    }
}

fn check_feed_holds(machine: &Machine, said: &[Said]) {
    let feed = spans(said, "feedrate", i64::MAX);
    for (from, to, word) in spans(said, "execution", i64::MAX) {
        if ["FEED_HOLD", "INTERRUPTED", "STOPPED", "OPTIONAL_STOP", "WAIT"].contains(&word) {
            let moving = feed.iter().find(|(begun, ended, feed)| *begun < to && *ended > from && *feed != "0");
            assert_eq!(moving, None, "{} moves in {word} from {from}", machine.name());
        }
    }
}

/// Every fault returns to normal within an hour and a half; returns how many there were.
fn check_faults_are_mended(machine: &Machine, said: &[Said], end_ms: i64) -> usize {
    let faults: Vec<_> = said.iter().filter(|said| said.fields[0] == "FAULT").collect();
    for fault in &faults {
        let mended = said.iter().find(|said| {
            said.name == fault.name
                && said.at_ms > fault.at_ms
                && said.fields[0] == "NORMAL"
                && said.fields[1] == fault.fields[1]
        });
        let until_ms = mended.map_or(end_ms, |mended| mended.at_ms);
        assert!(until_ms - fault.at_ms < 90 * 60_000, "{}: {fault:?} stays", machine.name());
    }
    faults.len()
}

#[test]
fn part_cycle_times_repeat_within_a_program() {
    for machine in &mut plant(5, 16)[..4] {
        let items = data_items(&machine.device_xml());
        let said = check_lines(&lines(machine, start()), &items).unwrap();
        let mut cycles = BTreeMap::<String, Vec<i64>>::new();
        let (mut program, mut since_ms, mut is_disturbed) = (String::new(), None, false);
        for said in &said {
            match (said.name.as_str(), said.fields[0].as_str()) {
                ("program", name) => program = name.to_owned(),
                ("execution", "ACTIVE") => since_ms = since_ms.or(Some(said.at_ms)),
                ("execution", word @ ("PROGRAM_COMPLETED" | "READY")) => {
                    let cycle_ms = since_ms.take().map(|since_ms| said.at_ms - since_ms);
                    let counts = word == "PROGRAM_COMPLETED" && !is_disturbed;
                    cycles.entry(program.clone()).or_default().extend(cycle_ms.filter(|_| counts));
                    is_disturbed = false;
                }
                ("execution" | "feed_override", _) => is_disturbed = true,
                _ => {}
            }
        }
        let longest = cycles.values_mut().max_by_key(|cycles| cycles.len()).unwrap();
        longest.sort_unstable();
        let (quarter, middle, three) =
            (longest[longest.len() / 4], longest[longest.len() / 2], longest[longest.len() * 3 / 4]);
        assert!((60_000..45 * 60_000).contains(&middle), "{}: {middle} ms", machine.name());
        assert!(three - quarter < middle / 5, "{}: {quarter} {middle} {three} ms", machine.name());
    }
}

#[test]
fn live_machines_speak_a_few_times_a_second_and_history_is_thinner() {
    let (mut live_per_sec, mut history_per_sec) = (Vec::new(), Vec::new());
    for machine in &mut plant(9, 2) {
        let items = data_items(&machine.device_xml());
        let said = check_lines(&lines(machine, after_start_ms(HOUR_MS)), &items).unwrap();
        for (from, to, word) in spans(&said, "execution", start().millis() + HOUR_MS) {
            if word == "ACTIVE" && to - from > 60_000 {
                let count = said.iter().filter(|said| (from..to).contains(&said.at_ms)).count() as f64;
                let rates = if from >= start().millis() { &mut live_per_sec } else { &mut history_per_sec };
                rates.push(count * 1000.0 / (to - from) as f64);
            }
        }
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let (live, history) = (mean(&live_per_sec), mean(&history_per_sec));
    assert!((4.0..9.5).contains(&live), "{live} values a second live");
    assert!((1.0..3.5).contains(&history), "{history} values a second in the history");
}

#[test]
fn spindle_load_rises_with_wear_until_the_tool_is_replaced() {
    let mut machine = plant(13, 24).remove(0);
    let items = data_items(&machine.device_xml());
    let said = check_lines(&lines(&mut machine, start()), &items).unwrap();
    let renewed =
        said.iter().find(|said| said.name == "tool_life" && said.fields[0] == "NORMAL" && !said.fields[1].is_empty());
    let renewed = renewed.expect("in a day a lathe needs a new tool");
    let tool = renewed.fields[1].trim_start_matches("70").trim_start_matches('0').to_owned();
    let tools = spans(&said, "tool_number", start().millis());
    let mean_load = |from_ms: i64, to_ms: i64| {
        let loads: Vec<f64> = said
            .iter()
            .filter(|said| said.name == "s1_load" && (from_ms..to_ms).contains(&said.at_ms))
            .filter(|load| tools.iter().any(|(from, to, number)| (*from..*to).contains(&load.at_ms) && *number == tool))
            .map(|said| said.fields[0].parse().unwrap())
            // Cutting only: air and standing would blur it.
            .filter(|load| *load > 15.0)
            .collect();
        assert!(loads.len() > 20, "tool {tool} is in use");
        loads.iter().sum::<f64>() / loads.len() as f64
    };
    let (worn, new) =
        (mean_load(renewed.at_ms - HOUR_MS / 2, renewed.at_ms), mean_load(renewed.at_ms, renewed.at_ms + HOUR_MS / 2));
    assert!(worn > new * 1.08, "tool {tool}: {worn} % worn, {new} % new");
}

#[test]
fn device_models_are_valid_against_the_official_schemas() {
    let schemas = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mtconnect/schemas");
    let schema = schemas.join("MTConnectDevices_2.0_1.0.xsd");
    if !schema.exists() || Command::new("xmllint").arg("--version").stderr(Stdio::null()).status().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: needs xmllint and the MTConnect schemas in ../shared");
        return;
    }
    for machine in &plant(1, 1) {
        let mut xmllint = Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema"])
            .arg(&schema)
            .arg("-")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        xmllint.stdin.take().unwrap().write_all(machine.device_xml().as_bytes()).unwrap();
        let output = xmllint.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", machine.name(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_tool_that_is_missing_or_broken_cuts_nothing_and_it_is_known_when() {
    let options =
        PlantOptions { history: Duration::ZERO, missing: 200.0, breakages: 100.0, ..PlantOptions::new(3, start()) };
    let mut machine = Plant::new(&options).into_machines().remove(0);
    let text = lines(&mut machine, after_start_ms(8 * 3_600_000));
    let loads: Vec<(Timestamp, f64)> = text
        .lines()
        .filter_map(|line| {
            let (time, rest) = line.split_once('|')?;
            let load = rest.split_once("s1_load|")?.1.split('|').next()?;
            Some((time.parse().ok()?, load.parse().ok()?))
        })
        .collect();
    let mean = |from: Timestamp, to: Timestamp| {
        let within: Vec<f64> =
            loads.iter().filter(|(time, _)| *time >= from && *time <= to).map(|(_, load)| *load).collect();
        within.iter().sum::<f64>() / within.len() as f64
    };
    let faults = machine.process_faults();
    let missing = faults.iter().filter(|fault| fault.kind == ProcessFaultKind::Missing && fault.to.is_some());
    let of_missing: Vec<f64> = missing.filter_map(|fault| Some(mean(fault.from, fault.to?))).collect();
    assert!(of_missing.len() > 3 && of_missing.iter().all(|load| *load < 15.0), "{of_missing:?}");
    assert!(faults.iter().any(|fault| fault.kind == ProcessFaultKind::Breakage && fault.tool > 0));
    let overall = mean(start(), machine.now());
    assert!(overall > 15.0 || of_missing.iter().all(|load| *load < overall), "{overall} {of_missing:?}");
    let mut sound = plant(3, 0).remove(0);
    lines(&mut sound, after_start_ms(8 * 3_600_000));
    assert!(sound.process_faults().iter().all(|fault| fault.kind == ProcessFaultKind::Wear));
}
