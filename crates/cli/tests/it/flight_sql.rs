//! Arrow Flight SQL as a driver speaks it that others wrote, in a process of its own. Must not know how answers come
//! about.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::lathe;
use crate::program::{run, skipped};
use crate::served::{Served, wait_for};

const PASSWORD: &str = "correct horse";
const LOG: &str = "2026-01-01T00:00:00Z|execution|ACTIVE|load|12.5\n\
                   2026-01-01T00:00:01.5Z|load|UNAVAILABLE|logic|FAULT|401|||say \"no\", twice\n\
                   2026-01-01T00:01:00Z|load|20.5\n";
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/flight_sql.py");

/// A server with a few observations, which speaks the protocol, and a driver that others wrote.
struct House {
    served: Served,
    address: SocketAddr,
    python: PathBuf,
    _folder: tempfile::TempDir,
}

/// Starts a server; `more` goes to the end of its configuration. `None` where there is no driver.
fn house(more: &str) -> Option<House> {
    let python = PathBuf::from(std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into()));
    let found =
        Command::new(&python).args(["-c", "import adbc_driver_flightsql, pyarrow"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        skipped("questions by Flight SQL", "adbc_driver_flightsql is not installed: `cargo xtask test` does it");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (log, data) = (folder.path().join("lathe.log"), folder.path().join("data"));
    fs::write(&log, LOG).unwrap();
    let devices = lathe::devices(folder.path());
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data, &"--profile", &lathe::PROFILE]).text();
    fs::write(folder.path().join("password.txt"), format!("{PASSWORD}\n")).unwrap();
    let config = folder.path().join("tongmai.toml");
    let text = format!("[flight_sql]\nlisten = \"127.0.0.1:0\"\npassword_file = \"password.txt\"\n{more}");
    fs::write(&config, text).unwrap();
    let served = Served::start(&data, &config);
    let address = served.flight_sql();
    Some(House { served, address, python, _folder: folder })
}

impl House {
    fn command(&self, part: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args([DRIVER, part, &self.address.port().to_string(), PASSWORD]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs one part of the script.
    #[track_caller]
    fn drive(&self, part: &str) {
        let output = self.command(part).output().expect("python starts");
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success() && stdout.trim_end().ends_with("done"), "{part}: {stdout}\n{stderr}");
    }

    /// Processor time that the server has used, where that can be seen.
    fn processor_secs(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.served.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }

    /// The most memory that the server has had, in bytes.
    fn memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.served.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    }
}

#[test]
fn adbc_asks_and_is_answered() {
    let Some(house) = house("") else { return };
    for part in ["questions", "types", "listing"] {
        house.drive(part);
    }
    house.served.stop();
}

#[test]
fn adbc_changes_nothing_and_needs_the_password() {
    let Some(house) = house("") else { return };
    for part in ["changes", "passwords"] {
        house.drive(part);
    }
    house.served.stop();
}

#[test]
fn a_question_by_adbc_ends_when_it_is_cancelled_takes_too_long_or_its_client_goes() {
    let Some(house) = house("[query]\nconcurrent_max = 1\ntimeout_secs = 300\n") else { return };
    house.drive("cancelled");
    let mut child = house.command("gone").spawn().expect("python starts");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("it is a pipe")).read_line(&mut said).unwrap();
    assert_eq!(said, "asking\n");
    let before = house.processor_secs();
    wait_for("the question is under way", || match (before, house.processor_secs()) {
        (Some(before), Some(now)) => (now - before > 1.0).then_some(()),
        // Where it cannot be seen, time has to do.
        _ => {
            thread::sleep(Duration::from_secs(2));
            Some(())
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the work has ended", || {
        let Some(before) = house.processor_secs() else { return Some(()) };
        thread::sleep(Duration::from_millis(500));
        (house.processor_secs()? - before < 0.2).then_some(())
    });
    house.drive("questions");
    drop(house);
    let Some(hasty) = self::house("[query]\ntimeout_secs = 1\n") else { return };
    hasty.drive("late");
}

#[test]
fn a_million_rows_by_adbc_need_no_memory_for_a_million_rows() {
    let Some(house) = house("[query]\ntimeout_secs = 300\n") else { return };
    house.drive("questions");
    let before = house.memory_bytes();
    house.drive("streamed");
    if let (Some(before), Some(after)) = (before, house.memory_bytes()) {
        assert!(after - before < 48 << 20, "from {before} to {after} bytes");
    }
}
