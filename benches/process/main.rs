//! Process monitoring on the simulated plant: how many broken, missing and worn tools the rules of `packs/machine-tool` find, how soon, and how
//! often they are wrong, for a thousand parts. Lines of SHDR go through the decoder of the gateway into the engine.
//!
//! ```text
//! cargo run --release -p benches --bin process -- [--seed 1] [--machines 12] [--days 7] [--breakages 10] [--missing 10]
//! ```

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use diagnosis::{Engine, Rule, What};
use gateway_mtconnect::device::read_devices;
use gateway_mtconnect::mapping::Mapping;
use gateway_mtconnect::shdr::ShdrDecoder;
use model::Timestamp;
use sim::{Machine, Plant, PlantOptions, ProcessFault, ProcessFaultKind};

/// The rules and what each is to find.
const SOUGHT: [(&str, &[ProcessFaultKind]); 3] = [
    ("tool-cuts-nothing", &[ProcessFaultKind::Breakage, ProcessFaultKind::Missing]),
    ("tool-overloaded", &[]),
    ("tool-worn", &[ProcessFaultKind::Wear]),
];
const PIECE_MS: i64 = 600_000;
/// What was wrong is still found so long after it is over.
const GRACE_NANOS: i64 = 60_000_000_000;
/// Until then a machine learns, and its faults are not counted.
const LEARNING_MS: i64 = 86_400_000;

#[derive(Default)]
struct Tally {
    parts: u64,
    /// Of each kind: how many there were, after how many seconds each was found, and how many came while the alarm was on already.
    faults: BTreeMap<&'static str, (u64, Vec<f64>, u64)>,
    /// Of each rule: alarms, and how many of them had nothing to tell.
    alarms: BTreeMap<&'static str, (u64, u64)>,
    /// Parts that a worn tool was said to make still, and parts that were made until it was replaced.
    left: Vec<(f64, f64)>,
}

fn main() -> Result<()> {
    let mut options = PlantOptions { history: Duration::ZERO, ..PlantOptions::new(1, "2026-11-02T00:00:00Z".parse()?) };
    (options.breakages, options.missing) = (10.0, 10.0);
    let mut days = 7;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("expected a value behind `{word}`"))?;
        match word.as_str() {
            "--seed" => options.seed = value.parse()?,
            "--machines" => options.machines = value.parse()?,
            "--days" => days = value.parse()?,
            "--breakages" => options.breakages = value.parse()?,
            "--missing" => options.missing = value.parse()?,
            _ => bail!("expected --seed, --machines, --days, --breakages or --missing, got `{word}`"),
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs/machine-tool/rules/process.toml");
    let read = diagnosis::read("process.toml", &std::fs::read_to_string(path)?)?;
    let rules = read.into_iter().collect::<Result<Vec<Rule>, _>>()?;
    let mut tally = Tally::default();
    for machine in Plant::new(&options).into_machines() {
        watch(machine, &rules, &options, days, &mut tally)?;
    }
    told(&tally);
    Ok(())
}

/// Lets `machine` work for some days, and compares what the rules find with what was wrong.
fn watch(mut machine: Machine, rules: &[Rule], options: &PlantOptions, days: i64, tally: &mut Tally) -> Result<()> {
    let devices = read_devices(machine.device_xml().as_bytes())?;
    let mapping = Arc::new(Mapping::new(&devices.devices[0], machine.profile())?);
    let mut decoder = ShdrDecoder::new(vec![mapping]);
    let mut engine = Engine::new(rules.iter().cloned());
    let (begin, mut found) = (options.start.millis(), Vec::new());
    let counted = Timestamp::from_millis(begin + LEARNING_MS);
    let (mut lines, mut uses) = (Vec::new(), Vec::new());
    for piece in 1..=days * 86_400_000 / PIECE_MS {
        let now = Timestamp::from_millis(begin + piece * PIECE_MS);
        lines.clear();
        machine.advance(now, &mut lines);
        let mut rejected = 0;
        decoder.decode(&lines, now, &mut |_| rejected += 1);
        ensure!(rejected == 0, "{}: lines were rejected", machine.name());
        for batch in decoder.take().0 {
            found.extend(engine.take(&batch));
        }
        uses.extend(lines.split(|byte| *byte == b'\n').filter_map(used_tool));
        if now > counted {
            let parts = lines.split(|byte| *byte == b'\n').filter(|line| is_part(line)).count();
            tally.parts += parts as u64;
        }
    }
    ensure!(engine.problems().is_empty(), "{}", engine.problems()[0]);
    let alarms: Vec<(&str, Timestamp)> = found
        .iter()
        .filter(|event| event.what == What::Raised && event.time > counted)
        .map(|event| (event.rule.id.as_str(), event.time))
        .collect();
    let is_on = |ids: &[&str], time: Timestamp| {
        let mut before = found.iter().rev().filter(|event| event.time <= time && ids.contains(&event.rule.id.as_str()));
        before.next().is_some_and(|event| event.what != What::Returned)
    };
    let faults: Vec<&ProcessFault> = machine.process_faults().iter().filter(|fault| fault.from > counted).collect();
    let ends = |fault: &ProcessFault| fault.to.unwrap_or(Timestamp::MAX);
    let is_in = |fault: &ProcessFault, time: Timestamp| {
        time >= fault.from && time.nanos().saturating_sub(GRACE_NANOS) <= ends(fault).nanos()
    };
    for event in found.iter().filter(|event| event.rule.id == "tool-worn" && event.what == What::Raised) {
        let worn = faults.iter().filter(|fault| fault.kind == ProcessFaultKind::Wear && is_in(fault, event.time));
        // Of several tools that are worn, it is not known which one is meant.
        let worn: Vec<&&ProcessFault> = worn.collect();
        let (Some(said), [fault]) = (event.shows.iter().find(|shown| shown.name == "left"), &worn[..]) else {
            continue;
        };
        let until = fault.to.unwrap_or(Timestamp::MAX);
        let is_later = |(time, tool): &&(Timestamp, u8)| *tool == fault.tool && *time > event.time && *time <= until;
        tally.left.push((said.value, uses.iter().filter(is_later).count() as f64));
    }
    for (rule, kinds) in SOUGHT {
        for (_, time) in alarms.iter().filter(|(id, _)| *id == rule) {
            let is_true =
                machine.process_faults().iter().any(|fault| kinds.contains(&fault.kind) && is_in(fault, *time));
            let (all, wrong) = tally.alarms.entry(rule).or_default();
            (*all, *wrong) = (*all + 1, *wrong + u64::from(!is_true));
        }
    }
    for fault in faults {
        let sought = SOUGHT.iter().filter(|(_, kinds)| kinds.contains(&fault.kind));
        let ids: Vec<&str> = sought.map(|(id, _)| *id).collect();
        let first = alarms.iter().find(|(id, time)| ids.contains(id) && is_in(fault, *time));
        let (all, found, on) = tally.faults.entry(word(fault.kind)).or_default();
        *all += 1;
        *on += u64::from(first.is_none() && is_on(&ids, fault.from));
        found.extend(first.map(|(_, time)| (time.nanos() - fault.from.nanos()) as f64 / 1e9));
    }
    Ok(())
}

/// Whether a line says that a part is done.
fn is_part(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).split_once("|part_count|").is_some_and(|(_, rest)| !rest.starts_with("0"))
}

/// When which tool was taken, if a line says so.
fn used_tool(line: &[u8]) -> Option<(Timestamp, u8)> {
    let line = std::str::from_utf8(line).ok()?;
    let (time, rest) = line.split_once('|')?;
    let number = rest.split_once("tool_number|")?.1.split('|').next()?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

fn word(kind: ProcessFaultKind) -> &'static str {
    match kind {
        ProcessFaultKind::Breakage => "broken",
        ProcessFaultKind::Missing => "missing",
        ProcessFaultKind::Wear => "worn (from 0.8 of its life on)",
    }
}

fn told(tally: &Tally) {
    println!("{} parts after a day of learning", tally.parts);
    for (kind, (all, found, on)) in &tally.faults {
        let mut secs = found.clone();
        secs.sort_by(f64::total_cmp);
        let middle = secs.get(secs.len() / 2).copied().unwrap_or(f64::NAN);
        let most = secs.last().copied().unwrap_or(f64::NAN);
        println!(
            "{kind}: {} of {all} found, after {middle:.0} s in the middle, {most:.0} s at most; {on} came while the alarm was on",
            found.len()
        );
    }
    let mut away: Vec<f64> = tally.left.iter().map(|(said, real)| (said - real).abs()).collect();
    away.sort_by(f64::total_cmp);
    if let Some(middle) = away.get(away.len() / 2) {
        let mut real: Vec<f64> = tally.left.iter().map(|(_, real)| *real).collect();
        real.sort_by(f64::total_cmp);
        let within = tally.left.iter().filter(|(said, real)| (said - real).abs() <= (real * 0.5).max(2.0)).count();
        println!(
            "parts that are left: {} foretold; {middle:.1} away from what was made in the middle, of {:.0}; {within} within half of it, or 2",
            away.len(),
            real[real.len() / 2]
        );
    }
    for (rule, (all, wrong)) in &tally.alarms {
        let rate = *wrong as f64 / tally.parts as f64 * 1_000.0;
        println!("{rule}: {all} alarms, {wrong} of them wrong: {rate:.2} of a thousand parts");
    }
}
