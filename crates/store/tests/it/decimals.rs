//! Numbers that are short decimals are kept as such, file by file, and come back to the last bit, whatever stands beside them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampNanosecondType};
use model::{Batch, Column, Frames, Profile, Shape, Signal, Timestamp, Value, ValueKind};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use store::Store;

use crate::press::{chunks, open, submit, wait};

/// Two signals; the name of one looks like a part of the other.
const SIGNALS: [&str; 2] = ["load", "load.peak"];

type Row = [Option<f64>; 2];

fn car() -> Arc<Profile> {
    let signals = SIGNALS.map(|id| Signal::new(id, "x:Y", ValueKind::Number));
    Arc::new(Profile::new("car", Shape::Frames, signals.into()).unwrap())
}

/// One vehicle, a row in each second from `first` on.
fn batch(car: &Arc<Profile>, first: i64, rows: &[Row]) -> Arc<Batch> {
    let frames = Frames {
        assets: vec!["vehicle/V1".parse().unwrap()],
        asset: vec![0; rows.len()],
        time: (first..).take(rows.len()).map(|second| Timestamp::from_millis(second * 1_000)).collect(),
        sequence: vec![0; rows.len()],
        columns: (0..2).map(|signal| Column::Numbers(rows.iter().map(|row| row[signal]).collect())).collect(),
        exceptions: Vec::new(),
    };
    Arc::new(Batch::frames(Arc::clone(car), Timestamp::from_millis(1_000_000), frames))
}

/// The bits of all numbers, by second.
fn kept(store: &Store) -> BTreeMap<i64, [Option<u64>; 2]> {
    let mut kept = BTreeMap::new();
    for chunk in chunks(&store.snapshot(), "car") {
        let times = chunk.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
        let numbers = SIGNALS.map(|signal| cast(chunk.column_by_name(signal).unwrap(), &DataType::Float64).unwrap());
        for row in 0..chunk.num_rows() {
            let bits = numbers.each_ref().map(|numbers| {
                let numbers = numbers.as_primitive::<Float64Type>();
                numbers.is_valid(row).then(|| numbers.value(row).to_bits())
            });
            assert_eq!(kept.insert(times.value(row) / 1_000_000_000, bits), None);
        }
    }
    kept
}

/// How each segment keeps a signal, oldest first.
fn types(store: &Store, signal: &str) -> Vec<String> {
    let mut segments = store.snapshot().tables[0].segments.clone();
    segments.sort_by(|one, other| one.path.cmp(&other.path));
    let kept = segments.iter().map(|segment| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(segment.open().unwrap()).unwrap();
        reader.schema().field_with_name(signal).unwrap().data_type().to_string()
    });
    kept.collect()
}

fn number() -> impl Strategy<Value = Option<f64>> {
    let decimal =
        (-5_000_000_000_i64..5_000_000_000, 0..7).prop_map(|(whole, scale)| whole as f64 / 10_f64.powi(scale));
    let odd =
        prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(1e300), Just(1e15 + 0.25), any::<f64>()];
    prop_oneof![
        60 => (-4_000..4_000_i64).prop_map(|tenths| Some(tenths as f64 / 10.0)),
        30 => decimal.prop_map(Some),
        10 => Just(None),
        1 => odd.prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_number_comes_back_to_the_last_bit(
        files in proptest::collection::vec(proptest::collection::vec([number(), number()], 0..40), 1..6)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (store, car) = (open(dir.path()), car());
        let mut expected = BTreeMap::new();
        for rows in &files {
            let first = expected.len() as i64;
            submit(&store, batch(&car, first, rows)).unwrap();
            expected.extend((first..).zip(rows).map(|(second, row)| (second, row.map(|number| number.map(f64::to_bits)))));
            wait(store.seal()).unwrap();
            prop_assert_eq!(&kept(&store), &expected);
        }
        wait(store.compact()).unwrap();
        prop_assert_eq!(&kept(&store), &expected);
        store.close();
        prop_assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0);
    }
}

#[test]
fn files_differ_in_how_they_keep_a_signal_and_merging_brings_them_together() {
    let dir = tempfile::tempdir().unwrap();
    let (store, car) = (open(dir.path()), car());
    let files: [&[Row]; 4] = [
        &[[Some(21.5), None], [Some(-0.5), None]],
        &[[Some(3.0), Some(0.125)], [None, Some(7.0)]],
        &[[Some(21.25), Some(1.0 / 3.0)]],
        &[[None, Some(-0.0)]],
    ];
    for (first, rows) in [0, 10, 20, 30].into_iter().zip(files) {
        submit(&store, batch(&car, first, rows)).unwrap();
        wait(store.seal()).unwrap();
    }
    let expected = kept(&store);
    assert_eq!(types(&store, "load"), ["Decimal128(18, 1)", "Decimal128(18, 0)", "Decimal128(18, 2)", "Float64"]);
    assert_eq!(types(&store, "load.peak"), ["Float64", "Decimal128(18, 3)", "Float64", "Float64"]);
    wait(store.compact()).unwrap();
    assert_eq!(types(&store, "load"), ["Decimal128(18, 2)"]);
    assert_eq!(types(&store, "load.peak"), ["Float64"]);
    assert_eq!(kept(&store), expected);
    store.close();
}

#[test]
fn latest_values_that_are_read_from_segments_are_the_numbers_that_were_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, batch(&car(), 0, &[[Some(21.5), Some(0.1 + 0.2)], [Some(0.3), None]])).unwrap();
    wait(store.seal()).unwrap();
    store.close();
    for file in fs::read_dir(dir.path().join("latest")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let store = open(dir.path());
    let said: Vec<Value> = store.current(None).into_iter().map(|latest| latest.observation.value).collect();
    assert_eq!(said, [Value::Number(0.3), Value::Number(0.1 + 0.2)]);
    store.close();
}

#[test]
fn what_is_saved_of_damaged_decimals_is_decimals() {
    let dir = tempfile::tempdir().unwrap();
    let (store, car) = (open(dir.path()), car());
    let rows: Vec<Row> = (0..3_000_i64).map(|row| [Some((row * row % 977) as f64 / 10.0), Some(row as f64)]).collect();
    submit(&store, batch(&car, 0, &rows)).unwrap();
    wait(store.seal()).unwrap();
    let expected = kept(&store);
    let path = store.snapshot().tables[0].segments[0].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[2_000] ^= 4;
    fs::write(&path, bytes).unwrap();
    let salvage = wait(store.quarantine(&path)).unwrap().unwrap();
    assert_eq!((salvage.rows_kept, salvage.lost.len()), (3_000, 0));
    assert_eq!(types(&store, "load"), ["Decimal128(18, 1)"]);
    assert_eq!(kept(&store), expected);
    store.close();
}
