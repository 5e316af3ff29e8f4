//! Rules over reports of GB/T 32960 that come in on the standard input: what they raise, a line of JSON each, for `packs.py score`.
//!
//! ```text
//! python benches/early-warning/packs.py stream --seed 2 | cargo run --release -p benches --bin early-warning -- RULES.toml… > alarms.jsonl
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench tells its figures")]

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use diagnosis::{Engine, What};
use gbt32960::{Frame, ReportRows, Standard};
use model::Timestamp;

/// What stands before the data of a frame, with their length at its end.
const HEAD_BYTES: usize = 24;
/// Reports that are looked at together.
const TOGETHER: u64 = 2_000;

fn main() -> Result<()> {
    let mut rules = Vec::new();
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        rules.extend(diagnosis::read(&path, &text)?.into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    ensure!(!rules.is_empty(), "expected files of rules");
    let mut engine = Engine::new(rules);
    let mut rows = ReportRows::new(Arc::new(Standard::built_in()));
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut reports = 0_u64;
    let mut frame = Vec::new();
    loop {
        let is_there = next(&mut input, &mut frame)?;
        if is_there {
            let frame = Frame::parse(&frame)?;
            rows.push(&frame.header, frame.data)?;
            reports += 1;
        }
        if !is_there || reports.is_multiple_of(TOGETHER) {
            let batch = rows.take(Timestamp::from_nanos(reports as i64));
            for event in engine.take(&batch).iter().filter(|event| event.what == What::Raised) {
                let (asset, rule, time) = (&event.asset, &event.rule.id, event.time.to_string());
                let told = serde_json::json!({
                    "asset": asset.to_string(), "rule": rule, "time": time, "says": event.explanation().en,
                });
                println!("{told}");
            }
        }
        if !is_there {
            break;
        }
    }
    ensure!(engine.problems().is_empty(), "{}", engine.problems()[0]);
    ensure!(engine.late() == 0, "reports came late");
    eprintln!("{reports} reports");
    Ok(())
}

/// Reads the next frame, if there is one.
fn next(input: &mut impl Read, frame: &mut Vec<u8>) -> Result<bool> {
    frame.resize(HEAD_BYTES, 0);
    match input.read(&mut frame[..1])? {
        0 => return Ok(false),
        _ => input.read_exact(&mut frame[1..])?,
    }
    let data = usize::from(u16::from_be_bytes([frame[HEAD_BYTES - 2], frame[HEAD_BYTES - 1]]));
    frame.resize(HEAD_BYTES + data + 1, 0);
    input.read_exact(&mut frame[HEAD_BYTES..])?;
    Ok(true)
}
