//! Many different rules over machines that report every second. Knows no domain.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Result, ensure};
use diagnosis::{Engine, Rule};
use model::{AssetId, Batch, Column, Frames, Profile, Shape, Signal, Timestamp, ValueKind};

use crate::{cpu, resident};

/// Reports of each machine: more than the longest stretch that rules look back over.
const SECONDS: i64 = 400;
/// Reports of each machine, where every rule is about every machine.
const SECONDS_OF_ALL: i64 = 20;
const BEGIN_SECS: i64 = 1_790_000_000;

/// What rules say, each with a number of its own: a limit with hysteresis, stretches of time, and what is usual.
const FORMS: [&str; 5] = [
    "when = 'temperature > {}'\nclear = 'temperature < {} - 5.0'\non_delay = '10s'",
    "when = 'mean_over(load, \"5min\") > {}'",
    "when = 'change_over(temperature, \"5min\") > {} && spindle_speed > 100'",
    "when = 'times_over(load > {}, \"5min\") >= 3'\noff_delay = '1min'",
    "when = 'usual_count(load, [program]) > 5 && load - usual(load, [program]) > {}'",
];

fn rules(
    count: usize,
    limits: [f64; 2],
    assets: impl Fn(usize) -> String,
    form: impl Fn(usize) -> &'static str,
) -> Result<Vec<Rule>> {
    let mut text = String::new();
    for number in 0..count {
        let both = format!("{{ zh = \"规则 {number}\", en = \"rule {number}\" }}");
        let condition = form(number)
            .replace("{}", &format!("{:.4}", limits[0] + number as f64 / count as f64 * (limits[1] - limits[0])));
        write!(
            text,
            "[[rule]]\nid = \"r{number}\"\nversion = 1\nprofile = \"mill\"\nassets = \"{}\"\npriority = \"low\"\n\
             title = {both}\nadvice = {both}\nrationale = {both}\nsource = \"a bench\"\n{condition}\n",
            assets(number)
        )?;
    }
    let read = diagnosis::read("bench.toml", &text)?;
    Ok(read.into_iter().collect::<Result<Vec<_>, _>>()?)
}

/// Each rule about one machine.
pub(crate) fn own(count: usize, assets: usize) -> Result<()> {
    let before = resident()?;
    let rules = rules(
        count,
        [60.0, 90.0],
        |number| format!("machine/M{}", number % assets),
        |number| FORMS[number / assets % 5],
    )?;
    let mut engine = Engine::new(rules);
    let used = run(&mut engine, assets, SECONDS)?;
    let bytes = (resident()? - before) / count as f64;
    let looks = count as f64 * SECONDS as f64;
    println!(
        "{count} rules, each about one of {assets} machines, {SECONDS} reports of each: {used:.1} CPU-seconds, \
         {:.2} million rules x reports per CPU-second, {:.1} KB for each rule",
        looks / used / 1e6,
        bytes / 1e3,
    );
    Ok(())
}

/// Every rule about every machine.
pub(crate) fn all(count: usize, assets: usize) -> Result<()> {
    let before = resident()?;
    let rules = rules(count, [80.0, 90.0], |_| "*".to_owned(), |_| FORMS[0])?;
    let mut engine = Engine::new(rules);
    let used = run(&mut engine, assets, SECONDS_OF_ALL)?;
    let bytes = (resident()? - before) / count as f64;
    let looks = count as f64 * assets as f64 * SECONDS_OF_ALL as f64;
    println!(
        "{count} rules about each of {assets} machines, {SECONDS_OF_ALL} reports of each: {used:.1} CPU-seconds, \
         {:.1} million rules x reports per CPU-second, {:.1} KB for each rule, {} alarms active",
        looks / used / 1e6,
        bytes / 1e3,
        engine.active().len(),
    );
    Ok(())
}

/// CPU seconds that the reports of `seconds` take.
fn run(engine: &mut Engine, assets: usize, seconds: i64) -> Result<f64> {
    let signal = |id: &str, kind, unit: Option<&str>| {
        let signal = Signal::new(id, &format!("bench:{id}"), kind);
        unit.map_or(signal.clone(), |unit| signal.with_unit(unit))
    };
    let signals = vec![
        signal("temperature", ValueKind::Number, Some("Cel")),
        signal("load", ValueKind::Number, Some("%")),
        signal("spindle_speed", ValueKind::Number, Some("/min")),
        signal("program", ValueKind::Text, None),
    ];
    let profile = Arc::new(Profile::new("mill", Shape::Frames, signals)?);
    let names: Vec<AssetId> =
        (0..assets).map(|number| format!("machine/M{number}").parse()).collect::<Result<_, _>>()?;
    let (mut used, mut events) = (0.0, 0);
    for second in 0..seconds {
        let batch = reports(&profile, &names, second);
        let before = cpu()?;
        events += engine.take(&batch).len();
        used += cpu()? - before;
    }
    ensure!(engine.problems().is_empty(), "{}", engine.problems()[0]);
    ensure!(engine.late() == 0 && events > 0, "nothing was found");
    Ok(used)
}

fn reports(profile: &Arc<Profile>, names: &[AssetId], second: i64) -> Batch {
    let count = names.len();
    let wave = |number: usize, secs: f64, middle: f64, height: f64| {
        Some(middle + height * ((second as f64 + number as f64 * 7.0) / secs).sin())
    };
    let numbers = |secs: f64, middle: f64, height: f64| {
        Column::Numbers((0..count).map(|number| wave(number, secs, middle, height)).collect())
    };
    let time = Timestamp::from_nanos((BEGIN_SECS + second) * 1_000_000_000);
    let program = |number: usize| Some(format!("O{}", (second / 30 + number as i64) % 4).into());
    let frames = Frames {
        assets: names.to_vec(),
        asset: (0..count).map(|number| number as u16).collect(),
        time: vec![time; count],
        sequence: vec![0; count],
        columns: vec![
            numbers(90.0, 65.0, 20.0),
            numbers(11.0, 60.0, 30.0),
            numbers(40.0, 4_000.0, 3_000.0),
            Column::Texts((0..count).map(program).collect()),
        ],
        exceptions: Vec::new(),
    };
    Batch::frames(Arc::clone(profile), time, frames)
}
