//! How small workload W becomes when its numbers come as line protocol brings them: as floating-point numbers, whose scale
//! nobody tells. It takes `wide.npy` of `../shared/tools/workload_w.py`, from the folder that `TONGMAI_WORKLOAD_W` names.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use model::{AssetId, Batch, Column, Frames, Profile, Shape, Signal, Timestamp, ValueKind};

use crate::press::{open, submit, wait};

const VEHICLES: usize = 100;
const SECONDS: usize = 3_600;
const SIGNALS: usize = 60;
const SECONDS_OF_BATCH: usize = 20;
/// 2026-11-20T00:00:00Z
const BEGIN_SECS: i64 = 1_795_132_800;

/// The values, second by second, vehicle by vehicle, signal by signal.
fn values(folder: &Path) -> Vec<f64> {
    let bytes = fs::read(folder.join("wide.npy")).unwrap();
    let start = bytes.len() - 8 * VEHICLES * SECONDS * SIGNALS;
    bytes[start..].as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect()
}

fn batches(values: &[f64]) -> impl Iterator<Item = Arc<Batch>> {
    let signals = (0..SIGNALS).map(|place| Signal::new(&format!("s{place}"), "x:S", ValueKind::Number));
    let profile = Arc::new(Profile::new("wide", Shape::Frames, signals.collect()).unwrap());
    let assets: Vec<AssetId> = (0..VEHICLES).map(|vehicle| format!("vehicle/v{vehicle:04}").parse().unwrap()).collect();
    let rows = SECONDS_OF_BATCH * VEHICLES;
    values.chunks(rows * SIGNALS).enumerate().map(move |(batch, values)| {
        let first = BEGIN_SECS + (batch * SECONDS_OF_BATCH) as i64;
        let time = |row: usize| Timestamp::from_millis((first + (row / VEHICLES) as i64) * 1_000);
        let column = |signal: usize| values.iter().skip(signal).step_by(SIGNALS).copied().map(Some).collect();
        let frames = Frames {
            assets: assets.clone(),
            asset: (0..rows).map(|row| (row % VEHICLES) as u16).collect(),
            time: (0..rows).map(time).collect(),
            sequence: vec![0; rows],
            columns: (0..SIGNALS).map(|signal| Column::Numbers(column(signal))).collect(),
            exceptions: Vec::new(),
        };
        let received = Timestamp::from_millis((first + SECONDS_OF_BATCH as i64) * 1_000 + 500);
        Arc::new(Batch::frames(Arc::clone(&profile), received, frames))
    })
}

/// Bytes per value: of segments, and of their roll-ups.
fn stored(values: &[f64]) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for batch in batches(values) {
        submit(&store, batch).unwrap();
    }
    wait(store.compact()).unwrap();
    let snapshot = store.snapshot();
    let segments = &snapshot.tables[0].segments;
    assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), (VEHICLES * SECONDS) as u64);
    let rows: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let rollups: u64 = segments.iter().flat_map(|segment| &segment.rollups).map(|rollup| rollup.bytes).sum();
    store.close();
    (rows as f64 / values.len() as f64, rollups as f64 / values.len() as f64)
}

#[test]
#[ignore = "takes workload W and a release build: cargo test --release -p store --test it size:: -- --ignored --nocapture"]
#[expect(clippy::print_stderr, reason = "it measures")]
fn workload_w_of_decimals_whose_scale_nobody_tells() {
    let folder = std::env::var_os("TONGMAI_WORKLOAD_W").expect("TONGMAI_WORKLOAD_W names the folder of workload W");
    let said = values(Path::new(&folder));
    // A few of its numbers were rounded to a zero with a sign, which no decimal has.
    let unsigned: Vec<f64> = said.iter().map(|value| value + 0.0).collect();
    let zeros = said.iter().zip(&unsigned).filter(|(one, other)| one.to_bits() != other.to_bits()).count();
    for (name, values) in [("as said", &said), ("zeros without sign", &unsigned)] {
        let (rows, rollups) = stored(values);
        eprintln!("{name}: {rows:.3} bytes per value in segments, {rollups:.3} in roll-ups; {zeros} zeros have a sign");
    }
}
