//! The recorded log of a real lathe, from the file to the answers. The recording is not part of the repository.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::golden;
use crate::program::{csv, import, numbers, run, skipped, told};

/// All lines of the recording.
const LINES: u64 = 10_770;
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/count_observations.py");

/// A recording and the model of its machine.
pub(crate) struct Recording {
    pub(crate) devices: PathBuf,
    pub(crate) log: PathBuf,
}

/// The recording, where it is there.
pub(crate) fn recording(test: &str) -> Option<Recording> {
    let folder = golden::repository().join("../shared/data/mtconnect");
    let recording = Recording { devices: folder.join("okuma-devices.xml"), log: folder.join("okuma-shdr.log") };
    if recording.devices.exists() && recording.log.exists() {
        return Some(recording);
    }
    skipped(test, &format!("the recording {} is not there", recording.log.display()));
    None
}

#[test]
fn every_line_of_the_recording_is_accounted_for_once() {
    let Some(Recording { devices, log }) = recording("the real log") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (data, quarantine) = (folder.path().join("data"), folder.path().join("rejected"));
    let arguments: [&dyn AsRef<OsStr>; 9] =
        [&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data, &"--quarantine", &quarantine];
    let summary = run(&arguments).text();
    assert_eq!(told(&summary, "lines"), LINES);
    let parts = ["understood", "part of a value of several lines", "about the adapter", "empty", "in part rejected"];
    let parts = parts.map(|part| told(&summary, part)).iter().sum::<u64>();
    let rejected = summary.lines().find(|line| line.starts_with("  rejected ")).expect("it is told");
    assert_eq!(parts + told(rejected, "rejected"), LINES, "{summary}");
    let kept = told(&summary, "new");
    assert_eq!(told(&summary, "observations"), kept + told(&summary, "there already"), "{summary}");
    assert_eq!(numbers(&data, "SELECT count(*) FROM observations"), [kept]);
    let counts =
        csv(&data, "SELECT signal, count(*) AS observations FROM observations GROUP BY signal ORDER BY signal");
    golden::check(&golden::folder().join("okuma-observations.csv"), &counts);

    let kept_file = std::fs::read_to_string(quarantine.join("okuma-shdr.log.jsonl")).expect("rejections are kept");
    assert_eq!(kept_file.lines().count() as u64, told(&summary, "rejections"));
    for line in kept_file.lines() {
        let rejected: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(rejected["reason"], "unknown data item");
        assert_eq!(rejected["text"], "ApplicationInstallDate|2/23/2022");
    }

    let again = import(&devices, &log, &data);
    assert_eq!((told(&again, "new"), told(&again, "there already")), (0, told(&summary, "observations")));
    assert_eq!(numbers(&data, "SELECT count(*) FROM observations"), [kept]);
}

#[test]
fn an_independent_count_of_the_recording_agrees_with_the_golden_file() {
    let Some(Recording { devices, log }) = recording("the count in Python") else { return };
    let counted = match Command::new("python3").arg(PYTHON).args([devices, log]).output() {
        Ok(counted) => counted,
        Err(error) => return skipped("the count in Python", &format!("python3 does not start: {error}")),
    };
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let golden = std::fs::read_to_string(golden::folder().join("okuma-observations.csv")).expect("it is there");
    assert_eq!(lines(&String::from_utf8_lossy(&counted.stdout)), lines(&golden));
}
