//! Segments become fewer and smaller, and forgotten, while nothing that should be kept is lost or doubled.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use model::{Batch, Column, Frames, Profile, Scale, Shape, Signal, Timestamp, ValueKind};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use store::{Hold, Plan, RecordBatch, Retention, SegmentFile, Store};

use crate::press::{Row, batch, open, profile, rows, submit, wait};

const DAY_SECS: i64 = 86_400;

/// Presses that speak once in each of `seconds`.
fn said(seconds: impl Iterator<Item = i64>) -> Vec<Row> {
    seconds.flat_map(|second| [(1, 0, second, 0, second as f64), (2, 1, second, 0, 0.5)]).collect()
}

fn segments(store: &Store) -> Vec<Arc<SegmentFile>> {
    store.snapshot().tables.iter().flat_map(|table| table.segments.clone()).collect()
}

/// The files below `dir`, relative to it.
fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

fn maintain(store: &Store, now_secs: i64, plan: &Plan) {
    wait(store.maintain(Timestamp::from_millis(now_secs * 1_000), plan.clone())).unwrap();
}

/// Calls maintenance until it has nothing more to do: jobs end by themselves, beside the caller.
fn settle(store: &Store, now_secs: i64, until: usize) {
    for _ in 0..500 {
        maintain(store, now_secs, &Plan::default());
        if segments(store).len() == until {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("there are {} segments and not {until}", segments(store).len());
}

#[test]
fn each_day_becomes_one_segment_and_readers_from_before_can_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, press) = (open(dir.path()), profile());
    let mut expected = Vec::new();
    for part in 0..4 {
        let seconds = (0..10).map(|second| second * 7 + part).chain((0..10).map(|second| DAY_SECS + second * 7 + part));
        let sent = said(seconds);
        submit(&store, batch(&press, &sent)).unwrap();
        expected.extend(sent);
        wait(store.seal()).unwrap();
    }
    expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(segments(&store).len(), 8);
    let before = store.snapshot();
    let listed = files(&dir.path().join("segments"));
    wait(store.compact()).unwrap();
    assert_eq!(segments(&store).len(), 2);
    assert_eq!(rows(&store.snapshot()), expected);
    assert_eq!(files(&dir.path().join("segments")).len(), 2, "what counts no more is out of sight");
    // Twice: the first call gives other programs time to finish.
    maintain(&store, 0, &Plan::default());
    maintain(&store, 0, &Plan::default());
    assert_eq!(files(&dir.path().join("retired")).len(), listed.len(), "somebody still holds them");
    for segment in &before.tables[0].segments {
        let reader = ParquetRecordBatchReaderBuilder::try_new(segment.open().unwrap()).unwrap().build().unwrap();
        assert_eq!(reader.map(|rows| rows.unwrap().num_rows() as u64).sum::<u64>(), segment.rows);
    }
    drop(before);
    maintain(&store, 0, &Plan::default());
    assert_eq!(files(&dir.path().join("retired")), [""; 0]);
    store.close();
    let store = open(dir.path());
    assert_eq!(rows(&store.snapshot()), expected);
    assert_eq!(submit(&store, batch(&press, &expected)).unwrap().accepted, 0);
    store.close();
}

#[test]
fn maintenance_merges_what_pays_and_leaves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (store, press) = (open(dir.path()), profile());
    for part in 0..3 {
        submit(&store, batch(&press, &said(part * 10..part * 10 + 10))).unwrap();
        wait(store.seal()).unwrap();
    }
    let today = 3_600;
    maintain(&store, today, &Plan::default());
    std::thread::sleep(Duration::from_millis(100));
    maintain(&store, today, &Plan::default());
    assert_eq!(segments(&store).len(), 3, "three small ones of a day that is not over");
    for part in 3..8 {
        submit(&store, batch(&press, &said(part * 10..part * 10 + 10))).unwrap();
        wait(store.seal()).unwrap();
    }
    settle(&store, today, 1);
    submit(&store, batch(&press, &said(80..90))).unwrap();
    wait(store.seal()).unwrap();
    settle(&store, DAY_SECS + 3 * 3_600, 1);
    assert_eq!(rows(&store.snapshot()).len(), 180);
    store.close();
}

#[test]
fn retention_forgets_by_age_and_by_size_and_spares_what_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let (store, press) = (open(dir.path()), profile());
    for day in 0..10 {
        submit(&store, batch(&press, &said(day * DAY_SECS..day * DAY_SECS + 20))).unwrap();
        wait(store.seal()).unwrap();
    }
    let days = |store: &Store| {
        let days = segments(store).into_iter().map(|segment| segment.time_min.nanos() / 1_000_000_000 / DAY_SECS);
        let mut days: Vec<i64> = days.collect();
        days.sort_unstable();
        days
    };
    // What is just being merged is forgotten the next time.
    let forget = |store: &Store, plan: &Plan, expected: &[i64]| {
        for _ in 0..500 {
            maintain(store, 10 * DAY_SECS, plan);
            if days(store) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(days(store), expected);
    };
    let old = Retention { profile: None, age_max: Some(Duration::from_secs(5 * DAY_SECS as u64)), bytes_max: None };
    let day = |day: i64| Timestamp::from_millis(day * DAY_SECS * 1_000);
    let hold = Hold { profile: Some("press".into()), from: day(2), until: day(2) };
    let other = Hold { profile: Some("lathe".into()), from: day(0), until: day(9) };
    forget(&store, &Plan { retention: vec![old], holds: vec![hold, other] }, &[2, 5, 6, 7, 8, 9]);
    // Half a segment more than three take, as they all hold about the same.
    let bytes = segments(&store).iter().map(|segment| segment.bytes).max().unwrap() * 7 / 2;
    let large = Retention { profile: Some("press".into()), age_max: None, bytes_max: Some(bytes) };
    forget(&store, &Plan { retention: vec![large], holds: Vec::new() }, &[7, 8, 9]);
    store.close();
    let store = open(dir.path());
    assert_eq!(days(&store), [7, 8, 9]);
    store.close();
}

fn van() -> Arc<Profile> {
    let mut speed = Signal::new("speed", "x:SPEED", ValueKind::Integer).with_unit("km/h");
    speed.scale = Scale { divisor: 10.0, offset: 0.0 };
    Arc::new(Profile::new("van", Shape::Frames, vec![speed]).unwrap())
}

/// `count` vans that speak in each of `seconds`; the value is the second.
fn frames(van: &Arc<Profile>, count: u16, seconds: std::ops::Range<i64>) -> Arc<Batch> {
    let rows: Vec<(u16, i64)> = seconds.flat_map(|second| (0..count).map(move |van| (van, second))).collect();
    let frames = Frames {
        assets: (0..count).map(|van| format!("vehicle/V{van}").parse().unwrap()).collect(),
        asset: rows.iter().map(|row| row.0).collect(),
        time: rows.iter().map(|row| Timestamp::from_millis(row.1 * 1_000)).collect(),
        sequence: vec![0; rows.len()],
        columns: vec![Column::Integers(rows.iter().map(|row| Some(row.1)).collect())],
        exceptions: Vec::new(),
    };
    Arc::new(Batch::frames(Arc::clone(van), Timestamp::from_millis(1_000_000_000), frames))
}

fn read(file: store::CheckedFile) -> Vec<RecordBatch> {
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
}

#[test]
fn roll_ups_come_to_the_same_as_the_rows_before_and_after_merging() {
    let dir = tempfile::tempdir().unwrap();
    let (store, van) = (open(dir.path()), van());
    for hour in 0..2 {
        submit(&store, frames(&van, 4, hour * 3_000..(hour + 1) * 3_000)).unwrap();
        wait(store.seal()).unwrap();
    }
    let check = |expected_segments: usize, expected_rows: [&[u64]; 2]| {
        let segments = segments(&store);
        assert_eq!(segments.len(), expected_segments);
        for (place, bucket_secs) in [(0, 60), (1, 3_600)] {
            let rollups: Vec<_> = segments.iter().map(|segment| &segment.rollups[place]).collect();
            assert!(rollups.iter().all(|rollup| rollup.bucket_secs == bucket_secs));
            assert_eq!(rollups.iter().map(|rollup| rollup.rows).collect::<Vec<_>>(), expected_rows[place]);
            let (mut count, mut sum) = (0, 0);
            for rows in rollups.iter().flat_map(|rollup| read(rollup.open().unwrap())) {
                let column = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
                count += arrow::compute::sum(&column("speed.count")).unwrap();
                sum += arrow::compute::sum(&column("speed.sum")).unwrap();
            }
            assert_eq!((count, sum), (24_000, 4 * 6_000 * 5_999 / 2));
        }
    };
    check(2, [&[200, 200], &[4, 8]]);
    wait(store.compact()).unwrap();
    check(1, [&[400], &[8]]);
    store.close();
}
