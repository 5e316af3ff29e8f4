//! A lathe of our own: its device model, a log that it might have written, and the configuration of a server that
//! listens to it. Must not know the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The asset that it becomes.
pub(crate) const ASSET: &str = "machine/lathe-9";
/// The name of its profile and of its table.
pub(crate) const PROFILE: &str = "lathe";
/// Where in its device model the data items begin, for tests that add their own.
pub(crate) const DATA_ITEMS: &str = "<DataItems>";
const DEVICES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:2.0">
  <Header instanceId="1" sender="test" creationTime="2026-01-01T00:00:00Z" version="2.0" bufferSize="1024"/>
  <Devices>
    <Device id="d" name="Lathe" uuid="lathe-9">
      <DataItems>
        <DataItem id="avail" category="EVENT" type="AVAILABILITY"/>
        <DataItem id="execution" category="EVENT" type="EXECUTION"/>
        <DataItem id="parts" category="EVENT" type="PART_COUNT"/>
        <DataItem id="load" category="SAMPLE" type="LOAD" units="PERCENT"/>
        <DataItem id="position" category="SAMPLE" type="POSITION" units="MILLIMETER"/>
        <DataItem id="logic" category="CONDITION" type="LOGIC_PROGRAM"/>
      </DataItems>
    </Device>
  </Devices>
</MTConnectDevices>
"#;

/// Its device model, written to `folder`.
pub(crate) fn devices(folder: &Path) -> PathBuf {
    devices_with(folder, "")
}

/// Its device model with `more` data items, written to `folder`.
pub(crate) fn devices_with(folder: &Path, more: &str) -> PathBuf {
    let path = folder.join("lathe.xml");
    std::fs::write(&path, DEVICES.replacen(DATA_ITEMS, &format!("{DATA_ITEMS}\n{more}"), 1))
        .expect("it can be written");
    path
}

/// The configuration of a gateway to the adapter at `address`.
pub(crate) fn gateway(name: &str, address: SocketAddr, devices: &Path) -> String {
    let devices = devices.display();
    format!(
        "[[gateways]]\nkind = \"mtconnect-shdr\"\nname = \"{name}\"\naddress = \"{address}\"\ndevices = \"{devices}\"\n\
         profile = \"{PROFILE}\"\n\n"
    )
}

/// A log of `lines` lines, and how many observations of each signal it holds. Times repeat and go back now and then, as
/// they do with real adapters.
pub(crate) fn log(lines: u32, seed: u64) -> (String, BTreeMap<&'static str, u64>) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut text, mut counts) = (String::new(), BTreeMap::new());
    let mut count = |signal| *counts.entry(signal).or_insert(0_u64) += 1;
    let (mut millis, mut parts) = (0_i64, 0);
    for _ in 0..lines {
        millis += random.random_range(-2..=11).max(-1);
        let (millis, thousandths) = (millis.max(0), random.random_range(0..1_000));
        let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60);
        let day = 1 + hours / 24;
        let _ = write!(text, "2026-01-{day:02}T{:02}:{minutes:02}:{seconds:02}.{:03}Z", hours % 24, millis % 1_000);
        match random.random_range(0..100) {
            0 => {
                parts += 1;
                let _ = writeln!(text, "|parts|{parts}|execution|READY");
                count("parts");
                count("execution");
            }
            1 => {
                text.push_str("|logic|FAULT|401|||coolant low\n");
                count("logic");
            }
            2 => {
                text.push_str("|load|UNAVAILABLE|execution|ACTIVE\n");
                count("load");
                count("execution");
            }
            chance => {
                let _ = writeln!(text, "|load|{chance}.{thousandths}|position|{thousandths}.{chance}");
                count("load");
                count("position");
            }
        }
    }
    (text, counts)
}
