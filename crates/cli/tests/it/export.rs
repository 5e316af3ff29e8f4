//! Rows in files for other programs: what comes out is what went in, to the last bit, in order, and only what was asked
//! for. Must not know how it is asked.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::answers::read_by;
use crate::program::{Outcome, run};
use crate::served::Served;
use crate::{http, lathe};

/// Numbers that a careless way of writing loses.
const NUMBERS: [&str; 8] =
    ["0.1", "0.30000000000000004", "-0.5", "5e-324", "1.7976931348623157e308", "123456789.125", "-1e-7", "3"];
const LOG: &str = "2026-01-01T00:00:00.000000001Z|execution|ACTIVE|load|12.5\n2026-01-02T00:00:00Z|load|UNAVAILABLE\n";

/// The time of number `place`, as nanoseconds since the epoch.
fn nanos(place: usize) -> i64 {
    1_767_225_600_123_456_789 + place as i64 * 1_000_000_007
}

/// A lathe, which says what changes, and two presses, which say everything at once.
fn data(folder: &Path) -> PathBuf {
    let (log, data, config) = (folder.join("lathe.log"), folder.join("data"), folder.join("tongmai.toml"));
    fs::write(&log, LOG).unwrap();
    let devices = lathe::devices(folder);
    run(&[&"import", &"shdr", &"--devices", &devices, &"--profile", &"lathe", &log, &"--data", &data]).text();
    fs::write(&config, "").unwrap();
    let served = Served::start(&data, &config);
    let line = |press: usize, place: usize, number: &str| {
        format!("press,number={press} force={number},strokes={place}i,mode=\"a, \\\"b\\\"\" {}\n", nanos(place))
    };
    let lines = |press: usize| {
        let numbers = NUMBERS.iter().enumerate().rev();
        numbers.map(|(place, number)| line(press, place, number)).collect::<String>()
    };
    for press in [2, 1] {
        let (status, answer) = http::try_post(served.address(), "/write", "text/plain", &lines(press)).unwrap();
        assert_eq!(status, 204, "{answer}");
    }
    served.stop();
    data
}

fn export(data: &Path, more: &[&str]) -> Outcome {
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"export", &"--data", &data];
    arguments.extend(more.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>));
    run(&arguments)
}

/// The rows of an export as JSON Lines.
#[track_caller]
fn rows(data: &Path, more: &[&str]) -> Vec<Value> {
    let text = export(data, &[&["--out", "-", "--format", "jsonl"], more].concat()).text();
    text.lines().map(|line| serde_json::from_str(line).expect("an object in each line")).collect()
}

#[test]
fn what_comes_out_is_what_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let expected = |place: usize| NUMBERS[place].parse::<f64>().unwrap().to_bits();
    let presses = rows(&data, &["--profile", "press", "--wide"]);
    assert_eq!(presses.len(), 16);
    for (row, object) in presses.iter().enumerate() {
        let place = row % 8;
        assert_eq!(object["asset"], json!(format!("device/press,number={}", row / 8 + 1)));
        assert_eq!(object["force"].as_f64().map(f64::to_bits), Some(expected(place)), "{object}");
        assert_eq!((&object["strokes"], &object["mode"]), (&json!(place as f64), &json!("a, \"b\"")), "{object}");
        let time = object["time"].as_str().unwrap();
        let (seconds, fraction) = (nanos(place) / 1_000_000_000 % 60, nanos(place) % 1_000_000_000);
        assert_eq!(time, format!("2026-01-01T00:00:{seconds:02}.{fraction:09}Z"));
    }
    let csv = folder.path().join("out.csv");
    export(&data, &["--out", csv.to_str().unwrap(), "--signal", "force", "--asset", "*number=2"]).text();
    let text = fs::read_to_string(&csv).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("asset,signal,time,received,value,text,quality"));
    for (place, line) in lines.by_ref().enumerate() {
        let value = line.rsplit(',').nth(2).unwrap();
        assert_eq!(value.parse::<f64>().unwrap().to_bits(), expected(place), "{line}");
        assert!(line.starts_with("\"device/press,number=2\",force,2026-01-01T00:00:0"), "{line}");
    }
    assert_eq!(text.lines().count(), 9);
    assert_eq!(fs::read_dir(folder.path()).unwrap().filter(|entry| is_partial(entry.as_ref().unwrap())).count(), 0);
}

fn is_partial(entry: &fs::DirEntry) -> bool {
    entry.path().extension().is_some_and(|end| end == "partial")
}

#[test]
fn parquet_keeps_every_bit_and_what_columns_mean() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let file = folder.path().join("press.parquet");
    export(&data, &["--out", file.to_str().unwrap(), "--profile", "press", "--wide", "--asset", "*=1"]).text();
    let script = "import pyarrow.parquet as p, sys, struct\n\
                  t = p.read_table(sys.argv[1])\n\
                  print(t.schema.field('force').metadata[b'tongmai.meaning'].decode(), t.schema.field('time').type)\n\
                  print([v.hex() for v in t['force'].to_pylist()])\n\
                  print(t['time'].cast('int64').to_pylist())\n";
    let Some(read) = read_by("pyarrow", script, &file) else { return };
    let lines: Vec<&str> = read.lines().collect();
    assert!(lines[0].starts_with("line-protocol:") && lines[0].ends_with("timestamp[ns, tz=UTC]"), "{read}");
    let times: Vec<i64> = (0..NUMBERS.len()).map(nanos).collect();
    assert_eq!(lines[2], format!("{times:?}"));
    let hex = |number: &str| read_by("math", "import sys; print(float(sys.argv[1]).hex())", Path::new(number)).unwrap();
    let expected: Vec<String> = NUMBERS.iter().map(|number| format!("'{}'", hex(number))).collect();
    assert_eq!(lines[1], format!("[{}]", expected.join(", ")));
}

#[test]
fn only_what_is_asked_for_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    // The server says something of itself besides.
    let all = rows(&data, &["--asset", "machine/*", "--asset", "device/*"]);
    assert_eq!(all.len(), 3 + 2 * 8 * 3, "all observations of the lathe and the presses, in long form");
    assert!(rows(&data, &[]).len() >= all.len());
    assert_eq!(rows(&data, &["--profile", "lathe"]).len(), 3);
    assert_eq!(rows(&data, &["--to", "2026-01-02", "--profile", "lathe"]).len(), 2);
    assert_eq!(rows(&data, &["--from", "2026-01-02", "--profile", "lathe"])[0]["quality"], "unavailable");
    assert_eq!(rows(&data, &["--from", "2026-01-01T00:00:00.000000002Z", "--asset", "machine/*"]).len(), 1);
    assert_eq!(rows(&data, &["--signal", "load", "--signal", "exec*"]).len(), 3);
    assert_eq!(rows(&data, &["--from", "2030-01-01"]).len(), 0);
    let force = rows(&data, &["--profile", "press", "--wide", "--signal", "force", "--asset", "*=1"]);
    assert!(force.len() == 8 && force[0].get("mode").is_none() && force[0].get("force").is_some(), "{force:?}");
    assert_eq!(rows(&data, &["--profile", "lathe", "--wide", "--signal", "load"]).len(), 2);

    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    for (more, expected) in [
        (&["--out", "-"][..], "name the format"),
        (&["--out", out, "--format", "csv", "--asset", "machine/nobody"], "no asset is called `machine/nobody`"),
        (&["--out", out, "--format", "csv", "--signal", "velocity"], "no signal is called"),
        (&["--out", out, "--format", "csv", "--profile", "mill"], "there are: lathe, press"),
        (&["--out", out, "--format", "csv", "--wide"], "--wide is for one profile"),
        (&["--out", out, "--format", "csv", "--from", "2026-01-02", "--to", "2026-01-01"], "has to be before"),
        (&["--out", "/nowhere/out.csv"], "failed to make `/nowhere/out.csv.partial`"),
    ] {
        let outcome = export(&data, more);
        assert!(outcome.error().contains(expected), "{more:?}: {outcome:?}");
        assert!(!Path::new(out).exists(), "{more:?}");
    }
}
