//! An import that is killed at any moment, again and again: what was there stays, nothing is there twice, and one import
//! to the end makes everything complete. `TONGMAI_KILLS` says how often.

use std::ffi::OsStr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::program::{csv, finish, first_row, import, run, setting, told, tongmai};
use crate::{golden, lathe, real_log};

/// Enough for an import to take a while.
const LINES: u32 = 20_000;
/// Enough for segments to be written while the import is still under way; every tenth kill is for these.
const LINES_MANY: u32 = 140_000;
/// Every so many times, what can be seen right before one is held against what can be seen after.
const WATCHED_EVERY: u32 = 4;

/// Rows, and how many of them share asset, signal, time and sequence with another.
fn rows_and_doubles(data: &Path, profile: &str) -> (u64, u64) {
    let keys = format!("SELECT count(*) AS n FROM {profile} GROUP BY asset, signal, time, sequence");
    let query = format!("SELECT coalesce(sum(n), 0), coalesce(sum(n - 1), 0) FROM ({keys})");
    let outcome = run(&[&"sql", &"--data", &data, &"--format", &"csv", &query]);
    let nothing_yet = ["no Tongmai data directory", "not found"];
    if outcome.code != Some(0) && nothing_yet.iter().any(|reason| outcome.error().contains(reason)) {
        return (0, 0);
    }
    let [rows, doubles] = first_row(&outcome.text());
    (rows, doubles)
}

fn check(profile: &str, devices: &Path, log: &Path, expected: &str, kills: u32) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let started = Instant::now();
    let summary = import(devices, log, &whole);
    let mut usual = started.elapsed();
    let total = told(&summary, "new");
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let (mut directory, mut seen, mut kill, mut attempts) = (0, 0, 0, 0);
    while kill < kills {
        attempts += 1;
        assert!(attempts <= 20 + 3 * kills, "most imports end before their kill: {kill} of {attempts}");
        let data = folder.path().join(directory.to_string());
        let arguments: [&dyn AsRef<OsStr>; 7] = [&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data];
        let mut child = tongmai(&arguments).spawn().expect("the program starts");
        thread::sleep(Duration::from_micros(random.random_range(0..=usual.as_micros() as u64)));
        if attempts % WATCHED_EVERY == 0 {
            seen = seen.max(rows_and_doubles(&data, profile).0);
        }
        child.kill().expect("it is ours to kill");
        let outcome = finish(child);
        if outcome.code == Some(0) {
            assert_eq!(told(&outcome.text(), "observations"), told(&summary, "observations"));
            seen = total;
            usual = usual * 85 / 100;
        } else {
            kill += 1;
            usual = usual * 102 / 100;
        }
        let (rows, doubles) = rows_and_doubles(&data, profile);
        assert!(rows >= seen, "kill {kill}: {rows} rows, {seen} were there before");
        assert_eq!(doubles, 0, "kill {kill}: of {rows} rows");
        seen = rows;
        if rows == total && kill < kills {
            // Nothing is left to lose here; the next ones try it from the beginning.
            std::fs::remove_dir_all(&data).expect("it can be removed");
            (directory, seen) = (directory + 1, 0);
        }
    }
    let data = folder.path().join(directory.to_string());
    let summary = import(devices, log, &data);
    assert_eq!(told(&summary, "new") + seen, total, "what was missing, and no more, is new: {summary}");
    assert_eq!(rows_and_doubles(&data, profile), (total, 0));
    let counts = "SELECT signal, count(*) AS observations FROM observations GROUP BY signal ORDER BY signal";
    assert_eq!(csv(&data, counts), expected);
}

fn check_own_log(lines: u32, kills: u32) {
    let folder = tempfile::tempdir().unwrap();
    let devices = lathe::devices(folder.path());
    let (text, counts) = lathe::log(lines, 1);
    let log = folder.path().join("lathe.log");
    std::fs::write(&log, text).unwrap();
    let rows: String = counts.iter().map(|(signal, count)| format!("{signal},{count}\n")).collect();
    check(lathe::PROFILE, &devices, &log, &format!("signal,observations\n{rows}"), kills);
}

#[test]
fn a_log_of_our_own_survives_every_kill() {
    check_own_log(LINES, setting("TONGMAI_KILLS", 50));
}

#[test]
fn a_long_log_of_our_own_survives_every_kill() {
    check_own_log(LINES_MANY, setting("TONGMAI_KILLS", 50_u32).div_ceil(10));
}

#[test]
fn the_real_log_survives_every_kill() {
    let Some(recording) = real_log::recording("kills during the import of the real log") else { return };
    let expected = std::fs::read_to_string(golden::folder().join("okuma-observations.csv")).expect("it is there");
    check("okuma", &recording.devices, &recording.log, &expected, setting("TONGMAI_KILLS", 50_u32).div_ceil(5));
}
