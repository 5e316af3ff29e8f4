//! A press with two signals, and what tests want to know of a store that keeps it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampNanosecondType, UInt32Type};
use model::{Batch, Changes, Observation, Profile, Quality, Shape, Signal, Timestamp, Value, ValueKind};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use store::{Receipt, Snapshot, Store, StoreOptions, SubmitError, SystemDisk};

/// (asset, signal, second, sequence, value)
pub(crate) type Row = (u8, u8, i64, u32, f64);

/// When everything comes in.
const RECEIVED: Timestamp = Timestamp::from_millis(1_000_000);

pub(crate) fn profile() -> Arc<Profile> {
    let signals = vec![Signal::new("force", "x:F", ValueKind::Number), Signal::new("stroke", "x:S", ValueKind::Number)];
    Arc::new(Profile::new("press", Shape::Changes, signals).unwrap())
}

pub(crate) fn batch(profile: &Arc<Profile>, rows: &[Row]) -> Arc<Batch> {
    batch_received(profile, RECEIVED, rows)
}

pub(crate) fn batch_received(profile: &Arc<Profile>, received: Timestamp, rows: &[Row]) -> Arc<Batch> {
    let mut changes = Changes::default();
    for (asset, signal, second, sequence, value) in rows {
        let asset = changes.intern(&format!("machine/p{asset}").parse().unwrap());
        let observation = Observation {
            signal: u16::from(*signal),
            time: Timestamp::from_millis(second * 1_000),
            sequence: *sequence,
            quality: Quality::Good,
            value: Value::Number(*value),
            statistic: None,
        };
        changes.push(asset, observation);
    }
    Arc::new(Batch::changes(Arc::clone(profile), received, changes))
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(StoreOptions::new(dir), Arc::new(SystemDisk)).unwrap().0
}

pub(crate) fn submit(store: &Store, batch: Arc<Batch>) -> Result<Receipt, SubmitError> {
    wait(store.submit(batch, None))
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Every chunk of the table, from segments and memory.
pub(crate) fn chunks(snapshot: &Snapshot, profile: &str) -> Vec<RecordBatch> {
    let Some(table) = snapshot.tables.iter().find(|table| table.profile.id() == profile) else { return Vec::new() };
    let mut chunks = table.rows.clone();
    for segment in &table.segments {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&segment.path).unwrap()).unwrap();
        chunks.extend(reader.build().unwrap().map(Result::unwrap));
    }
    chunks
}

/// All rows of presses, sorted.
pub(crate) fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    for chunk in chunks(snapshot, "press") {
        let word = |name: &str| {
            let texts = arrow::compute::cast(chunk.column_by_name(name).unwrap(), &arrow::datatypes::DataType::Utf8);
            texts.unwrap().as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (assets, signals) = (word("asset"), word("signal"));
        let times = chunk.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
        let sequences = chunk.column_by_name("sequence").unwrap().as_primitive::<UInt32Type>();
        let values = chunk.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        for row in 0..chunk.num_rows() {
            assert!(values.is_valid(row));
            let asset = assets[row].strip_prefix("machine/p").unwrap().parse().unwrap();
            let signal = u8::from(signals[row] == "stroke");
            rows.push((asset, signal, times.value(row) / 1_000_000_000, sequences.value(row), values.value(row)));
        }
    }
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}
