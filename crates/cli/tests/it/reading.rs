//! Other programs read a data directory while it is written to: DuckDB and Polars, as the documentation shows it. Must not
//! know how the files come about.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::program::{numbers, skipped};
use crate::served::Served;

const CONFIG: &str = "[store]\nhot_rows_max = 400\nseal_interval_secs = 1\n";
const SECONDS: u64 = 12;

#[test]
fn rows_in_segments_never_become_fewer_nor_are_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    fs::write(&config, CONFIG).unwrap();
    let served = Served::start(&data, &config);
    let (stop, sent, address) = (AtomicBool::new(false), AtomicU64::new(0), served.address());
    let seen = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let first = sent.load(Ordering::SeqCst);
                let lines: String = (first..first + 20).map(line).collect();
                let answer = http::try_post(address, "/write?precision=s", "text/plain", &lines).expect("it answers");
                assert_eq!(answer.0, 204, "{}", answer.1);
                sent.store(first + 20, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let seen = read(&data);
        stop.store(true, Ordering::SeqCst);
        seen
    });
    served.stop();
    assert_eq!(numbers(&data, "SELECT count(*) FROM press"), [sent.load(Ordering::SeqCst)]);
    let Some(seen) = seen else { return };
    let number = |name: &str| seen[name].as_u64().unwrap_or_else(|| panic!("no {name}: {seen}"));
    assert!(number("rows") > 500 && number("rows") <= sent.load(Ordering::SeqCst), "{seen}");
    assert!(number("reads") > 10 && number("again") <= number("reads"), "{seen}");
    assert!(number("merged") > 0, "no segments were merged meanwhile: {seen}");
}

/// Numbers of one decimal, and now and then one that no decimal says.
fn line(number: u64) -> String {
    let force = if number % 1_000 == 999 { 1.0 / 3.0 } else { number as f64 / 10.0 };
    format!("press,number={} force={force},strokes={number}i {}\n", number % 3, 1_767_225_600 + number)
}

/// What the readers saw; none where they are not installed.
fn read(data: &Path) -> Option<Value> {
    let python = std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/reading.py");
    let output = match Command::new(python).arg(script).arg(data).arg(SECONDS.to_string()).output() {
        Ok(output) => output,
        Err(error) => {
            skipped("reading while it is written to", &format!("python3 does not start: {error}"));
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        assert!(said.contains("ModuleNotFoundError"), "{said}");
        skipped("reading while it is written to", "duckdb or polars is not installed");
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")))
}
