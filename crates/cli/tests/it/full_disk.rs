//! A disk that is full: ingest is refused and says so, questions go on, and when there is room again everything goes on
//! by itself, with all that the adapter said meanwhile. Needs the right to mount a file system in memory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::adapter::Adapter;
use crate::program::{run, skipped};
use crate::served::{Served, wait_for};
use crate::{http, lathe};

/// A small disk of its own.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).expect("a folder");
        let options = format!("size={size},nr_inodes=1k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tongmai-test"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { path }),
            Ok(output) => {
                skipped("a full disk", &format!("mount: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                skipped("a full disk", &format!("mount does not start: {error}"));
                None
            }
        }
    }

    /// Leaves no room; returns the file that takes it.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).expect("there is room for a name");
        let mut bytes = 65_536;
        while bytes > 0 {
            if file.write_all(&vec![0; bytes]).is_err() {
                bytes /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn health(served: &Served) -> (u16, Value) {
    http::get(served.address(), "/health")
}

/// How many numbers are kept, and the largest.
fn kept(served: &Served) -> (u64, u64) {
    let query = "SELECT count(*), count(DISTINCT value), coalesce(max(value), 0) FROM lathe WHERE signal = 'parts'";
    let rows = http::sql(served.address(), query);
    let number = |place: usize| rows[0][place].as_f64().expect("a number") as u64;
    assert_eq!(number(0), number(1), "a number is there twice");
    (number(0), number(2))
}

#[test]
fn a_full_disk_refuses_politely_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"), "4m") else { return };
    let (data, config) = (disk.path.join("data"), folder.path().join("tongmai.toml"));
    let mut adapter = Adapter::start();
    fs::write(&config, lathe::gateway("lathe", adapter.address(), &lathe::devices(folder.path()))).unwrap();
    let served = Served::start(&data, &config);
    wait_for("it keeps numbers", || (served.gateway("lathe")["accepted"].as_u64()? > 100).then_some(()));
    let (count, newest) = kept(&served);
    let first = newest + 1 - count;

    let filler = disk.fill();
    let (status, body) = wait_for("it notices", || Some(health(&served)).filter(|(status, _)| *status != 200));
    assert_eq!((status, body["status"].as_str()), (503, Some("degraded")), "{body}");
    let reason = body["reason"].as_str().expect("a reason");
    assert!(reason.contains("No space left on device"), "{reason}");
    let refused = |gateway: Value| gateway["reason"].as_str().is_some_and(|reason| reason.contains("No space left"));
    wait_for("the gateway says so", || {
        Some(served.gateway("lathe")).filter(|gateway| gateway["state"] == "refused" && refused(gateway.clone()))
    });
    let before = kept(&served);
    wait_for("the adapter goes on", || (adapter.said() > before.1 + 200).then_some(()));
    assert_eq!(kept(&served), before, "questions are answered, and nothing is kept");
    assert_eq!(health(&served).0, 503);

    fs::remove_file(filler).unwrap();
    wait_for("it recovers by itself", || (health(&served).0 == 200).then_some(()));
    wait_for("the gateway too", || (served.gateway("lathe")["state"] == "connected").then_some(()));
    let last = adapter.fall_silent();
    wait_for("it has caught up", || (kept(&served).1 >= last).then_some(()));
    assert_eq!(kept(&served), (last + 1 - first, last), "not one number between the first and the last is missing");
    assert_eq!(served.gateway("lathe")["connections"], 1);
    served.stop();
    check_reopened(&data, last + 1 - first);
}

/// What is on the disk is what was answered.
fn check_reopened(data: &Path, numbers: u64) {
    let query = "SELECT count(*) FROM lathe WHERE signal = 'parts' AND quality = 'good'";
    assert_eq!(crate::program::numbers(data, query), [numbers]);
}

#[test]
fn an_import_onto_a_full_disk_says_what_is_safe_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"), "4m") else { return };
    let (devices, data, log) = (lathe::devices(folder.path()), disk.path.join("data"), folder.path().join("lathe.log"));
    let (text, counts) = lathe::log(200_000, 2);
    fs::write(&log, text).unwrap();
    let outcome = run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data]);
    let error = outcome.error();
    for expected in ["rows are safe", "importing the file again goes on there", "No space left on device"] {
        assert!(error.contains(expected), "`{expected}` is missing in `{error}`");
    }
    let safe = error.split(' ').find_map(|word| word.parse::<u64>().ok()).expect("it says how many are safe");
    let [rows] = crate::program::numbers(&data, "SELECT count(*) FROM observations");
    assert!(rows >= safe, "{rows} rows, {safe} were told to be safe");
    let remounted = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk.path).status();
    assert!(remounted.is_ok_and(|status| status.success()), "the disk grows");
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data]).text();
    let [rows] = crate::program::numbers(&data, "SELECT count(*) FROM observations");
    assert_eq!(rows, counts.values().sum::<u64>());
}

#[test]
fn a_log_that_cannot_be_written_takes_nothing_down() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return skipped("serving with a full log", "there is no /dev/full");
    };
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_tongmai"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(full)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("console: http://127.0.0.1:"), "{line}");
    Command::new("kill").args(["-INT", &server.id().to_string()]).status().unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
