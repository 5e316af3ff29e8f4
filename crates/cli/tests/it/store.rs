//! Damage on the disk, as whoever looks after a data directory meets it: `tongmai store verify` names it, `repair` saves
//! what can be read, questions go on. The files are damaged from outside.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::http;
use crate::lathe;
use crate::program::{Outcome, import, numbers, run};
use crate::served::Served;

/// All files below `dir` that end so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn scribble(path: &Path, range: std::ops::Range<usize>) {
    let mut bytes = fs::read(path).unwrap();
    bytes[range].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(path, bytes).unwrap();
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn store(task: &str, data: &Path) -> Outcome {
    run(&[&"store", &task, &"--data", &data])
}

fn output(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).expect("the output is text")
}

/// A data directory with two segments; and how many rows it has.
fn imported(folder: &Path) -> (PathBuf, u64) {
    let (devices, data) = (lathe::devices(folder), folder.join("data"));
    for (name, seed) in [("one.log", 1), ("two.log", 2)] {
        let log = folder.join(name);
        fs::write(&log, lathe::log(4_000, seed).0).unwrap();
        import(&devices, &log, &data);
    }
    let [rows] = numbers(&data, "SELECT count(*) FROM lathe");
    (data, rows)
}

#[test]
fn a_whole_directory_is_told_to_be_whole_and_made_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let (data, rows) = imported(folder.path());
    let verified = store("verify", &data);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(output(&verified).contains("nothing is damaged"), "{verified:?}");
    let compacted = store("compact", &data).text();
    assert!(compacted.contains(" became "), "{compacted}");
    assert_eq!(numbers(&data, "SELECT count(*) FROM lathe"), [rows]);
    let answer = run(&[&"store", &"verify", &"--json", &"--data", &data]).text();
    let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
    assert_eq!((answer["segment_rows"].as_u64(), answer["findings"].as_array().map(Vec::len)), (Some(rows), Some(0)));
    let repaired = store("repair", &data).text();
    assert!(repaired.contains("0 damages found, 0 left; 0 rows of segments lost"), "{repaired}");
}

#[test]
fn damage_is_named_and_repaired_and_what_is_lost_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (data, rows) = imported(folder.path());
    let segment = files(&data.join("segments"), ".parquet").remove(0);
    let length = fs::metadata(&segment).unwrap().len() as usize;
    // The beginning of a file is the beginning of the assets, without which no row is one.
    scribble(&segment, 10..40);
    let verified = store("verify", &data);
    assert_eq!((verified.code, verified.error()), (Some(1), "1 damages"), "{verified:?}");
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    let told = output(&verified);
    assert!(told.starts_with("damage: segments/lathe/") && told.contains(&name), "{told}");
    assert!(
        told.contains(" bytes at 0: ") && told.contains("; affected: ") && told.contains(" rows of machine/"),
        "{told}"
    );

    let repaired = store("repair", &data);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let told = output(&repaired);
    assert!(told.contains("1 damages found, 0 left;") && told.contains("rows of lathe were saved; lost: "), "{told}");
    let [left] = numbers(&data, "SELECT count(*) FROM lathe");
    assert!(left < rows, "{left} of {rows}");
    let lost = format!("{} rows of segments lost", rows - left);
    assert!(told.contains(&lost), "{told}");
    let put_aside = data.join("quarantine/segments").join(&name);
    assert_eq!(fs::metadata(&put_aside).unwrap().len() as usize, length, "the damaged file is kept");
    assert_eq!(store("verify", &data).code, Some(0));
    // What was lost is there again as soon as it is imported again.
    for name in ["one.log", "two.log"] {
        import(&lathe::devices(folder.path()), &folder.path().join(name), &data);
    }
    assert_eq!(numbers(&data, "SELECT count(*) FROM lathe"), [rows]);
}

#[test]
fn one_flipped_bit_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, rows) = imported(folder.path());
    for file in files(&data.join("segments"), ".parquet").iter().chain(&files(&data, "manifest.json")) {
        flip(file);
    }
    let verified = store("verify", &data);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(output(&verified).contains("was flipped, which a repair sets right"), "{verified:?}");
    let told = store("repair", &data).text();
    assert!(told.contains(" 0 left; 0 rows of segments lost"), "{told}");
    assert_eq!(numbers(&data, "SELECT count(*) FROM lathe"), [rows]);
}

/// A server over the directory `data`, which merges nothing by itself for now.
fn serve(folder: &Path, data: &Path) -> Served {
    let config = folder.join("tongmai.toml");
    fs::write(&config, "[store]\nseal_interval_secs = 3600\n").unwrap();
    Served::start(data, &config)
}

fn health(served: &Served) -> Value {
    let (status, health) = http::get(served.address(), "/health");
    assert_eq!((status, &health["status"]), (200, &"ok".into()), "{health}");
    health
}

#[test]
fn a_question_that_meets_flipped_bits_is_answered_as_if_there_were_none() {
    const ALL: &str = "SELECT * FROM lathe ORDER BY asset, signal, time, sequence";
    let folder = tempfile::tempdir().unwrap();
    let (data, rows) = imported(folder.path());
    let mut served = serve(folder.path(), &data);
    let whole = http::sql(served.address(), ALL);
    assert_eq!((whole.len() as u64, &health(&served)["damage"]), (rows, &Value::Null));
    let segments = files(&data.join("segments"), ".parquet");
    segments.iter().for_each(|segment| flip(segment));
    assert_eq!(http::sql(served.address(), ALL), whole);
    let told = health(&served)["damage"].to_string();
    assert!(told.contains("was flipped; all ") && told.contains(" rows of lathe were saved"), "{told}");
    let log = served.kill();
    for segment in &segments {
        let name = segment.file_name().unwrap();
        assert!(data.join("quarantine/segments").join(name).is_file() || !segment.exists(), "{segment:?} is put aside");
        assert!(log.contains(&*name.to_string_lossy()), "{name:?} is missing in: {log}");
    }
    assert_eq!(store("verify", &data).code, Some(0));
}

#[test]
fn a_question_that_meets_damage_is_answered_with_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (data, rows) = imported(folder.path());
    let served = serve(folder.path(), &data);
    let asset = http::sql(served.address(), "SELECT min(asset) FROM lathe")[0][0].as_str().unwrap().replace('/', "%2F");
    let segments = files(&data.join("segments"), ".parquet");
    scribble(&segments[0], 10..40);
    let path = format!("/api/v1/history?asset={asset}&signal=load&from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z");
    let (status, history) = http::get(served.address(), &path);
    assert_eq!(status, 200, "{history}");
    let told = health(&served)["damage"].to_string();
    assert!(told.contains(" rows of lathe were saved; lost: "), "{told}");
    // A file that is gone is damaged as well.
    fs::remove_file(&segments[1]).unwrap();
    let left =
        http::sql(served.address(), "SELECT count(*) FROM (SELECT DISTINCT asset, signal, time, sequence FROM lathe)");
    assert!(left[0][0].as_u64().unwrap() < rows, "{left:?}");
    let told = health(&served)["damage"].to_string();
    assert!(told.contains("it is not there"), "{told}");
    served.stop();
    assert_eq!(store("verify", &data).code, Some(0));
}

#[test]
fn what_cannot_be_read_at_all_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let empty = store("verify", folder.path());
    assert_eq!(empty.code, Some(2), "{empty:?}");
    assert!(empty.error().contains("it has no manifest.json"), "{empty:?}");
    let (data, _) = imported(folder.path());
    for name in ["manifest.json", "manifest.copy.json"] {
        scribble(&data.join(name), 100..140);
    }
    for task in ["verify", "repair"] {
        let unreadable = store(task, &data);
        assert_eq!(unreadable.code, Some(2), "{unreadable:?}");
        assert!(unreadable.error().contains("manifest.json` is damaged"), "{unreadable:?}");
    }
}
