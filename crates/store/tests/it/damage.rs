//! Damaged files: named, put aside, and all that can be read is saved.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use model::{
    Batch, Changes, Column, Condition, ConditionLevel, Entry, FrameException, Frames, Observation, Profile, Quality,
    Shape, Signal, Statistic, Timestamp, Value, ValueKind,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use store::{Store, SystemDisk, Weight};

use crate::faulty::{Random, files};
use crate::press::{batch, chunks, open, profile, rows, submit, wait};

fn van() -> Arc<Profile> {
    let signals =
        vec![Signal::new("speed", "x:SPEED", ValueKind::Integer), Signal::new("range", "x:RANGE", ValueKind::Integer)];
    Arc::new(Profile::new("van", Shape::Frames, signals).unwrap())
}

/// Ten vans that speak once a second, so much that columns take several blocks.
fn frames(seconds: std::ops::Range<i64>) -> Arc<Batch> {
    let rows: Vec<(u16, i64)> = (0..10).flat_map(|van| seconds.clone().map(move |second| (van, second))).collect();
    // Numbers without a pattern, which no encoding makes smaller.
    let noise = |row: &(u16, i64), salt: u64| {
        (Random((u64::from(row.0) << 40) + ((row.1 as u64) << 8) + salt).next() & 0xff_ffff) as i64
    };
    let frames = Frames {
        assets: (0..10).map(|van| format!("vehicle/V{van}").parse().unwrap()).collect(),
        asset: rows.iter().map(|row| row.0).collect(),
        time: rows.iter().map(|row| Timestamp::from_millis(row.1 * 1_000)).collect(),
        sequence: vec![0; rows.len()],
        columns: vec![
            Column::Integers(rows.iter().map(|row| Some(noise(row, 1))).collect()),
            Column::Integers(rows.iter().map(|row| (row.1 % 100 != 0).then(|| noise(row, 2))).collect()),
        ],
        exceptions: (0..)
            .zip(&rows)
            .filter(|(_, row)| row.1 % 100 == 0)
            .map(|(row, _)| FrameException { row, signal: 1, element: None, quality: Quality::Invalid })
            .collect(),
    };
    Arc::new(Batch::frames(van(), Timestamp::from_millis(1_000_000_000), frames))
}

/// A sealed store of frames, closed; and its only segment.
fn sealed(dir: &Path, seconds: i64) -> PathBuf {
    let store = open(dir);
    submit(&store, frames(0..seconds)).unwrap();
    wait(store.seal()).unwrap();
    store.close();
    let [segment] = &files(&dir.join("segments"))[..] else { panic!("one segment") };
    segment.clone()
}

/// Where column `name` of the first row group begins, and how long it is.
fn chunk(path: &Path, name: &str) -> (usize, usize) {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let column = group.columns().iter().find(|column| column.column_path().parts()[0] == name).unwrap();
    let (start, bytes) = column.byte_range();
    (start as usize, bytes as usize)
}

/// Overwrites bytes of a file.
fn scribble(path: &Path, range: std::ops::Range<usize>) {
    let mut bytes = fs::read(path).unwrap();
    bytes[range].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[place] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

fn read(store: &Store) -> Vec<RecordBatch> {
    chunks(&store.snapshot(), "van")
}

fn count(store: &Store) -> usize {
    read(store).iter().map(RecordBatch::num_rows).sum()
}

/// Values that are null in a column.
fn nulls(store: &Store, name: &str) -> usize {
    read(store).iter().map(|rows| rows.column_by_name(name).unwrap().null_count()).sum()
}

fn quarantined(dir: &Path) -> Vec<String> {
    let names = files(&dir.join("quarantine/segments")).into_iter();
    names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn one_flipped_bit_in_a_segment_costs_nothing_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let segment = sealed(dir.path(), 3_000);
    let whole = fs::read(&segment).unwrap();
    assert_eq!(store::verify(dir.path()).unwrap().findings, []);
    for place in [4, whole.len() / 2, whole.len() - 5_000, whole.len() - 6] {
        let dir = tempfile::tempdir().unwrap();
        let segment = sealed(dir.path(), 3_000);
        flip(&segment, place);
        let report = store::verify(dir.path()).unwrap();
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((finding.weight, finding.place), (Weight::Damage, Some((place as u64, 1))));
        assert!(finding.to_string().contains("bit 5 of the byte at"), "{finding}");
        let repair = wait(store::repair(dir.path(), Arc::new(SystemDisk))).unwrap();
        assert_eq!((repair.salvaged.len(), &repair.salvaged[0].lost[..]), (1, &[][..]));
        assert_eq!(repair.left.damages().count(), 0, "{:?}", repair.left);
        let store = open(dir.path());
        assert_eq!((count(&store), nulls(&store, "speed"), nulls(&store, "range")), (30_000, 0, 300));
        store.close();
        assert_eq!(quarantined(dir.path()), ["000000000001.parquet", "000000000001.txt"]);
    }
}

#[test]
fn a_damaged_value_column_is_null_and_damaged_keys_cost_the_rows() {
    // The exceptions stand in one block with the end of `range`.
    for (column, rows_left, range_nulls) in [("range", 30_000, 30_000), ("time", 0, 0), ("exceptions", 30_000, 30_000)]
    {
        let dir = tempfile::tempdir().unwrap();
        let segment = sealed(dir.path(), 3_000);
        let (start, bytes) = chunk(&segment, column);
        scribble(&segment, start + bytes / 2..start + bytes / 2 + 5);
        let report = store::verify(dir.path()).unwrap();
        let damage = report.damages().next().unwrap();
        assert!(damage.to_string().contains("30000 rows of assets from vehicle/V0 to vehicle/V9"), "{damage}");

        // A server meets it in a question, and puts it right without a stop.
        let store = open(dir.path());
        let file = store.snapshot().tables[0].segments[0].open().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let error = reader.collect::<Result<Vec<_>, _>>().unwrap_err();
        let path = store::damaged_file(&error).unwrap();
        let salvage = wait(store.quarantine(&path)).unwrap().unwrap();
        assert_eq!(salvage.rows_kept as usize, rows_left, "{column}: {salvage}");
        assert_eq!((count(&store), nulls(&store, "range")), (rows_left, range_nulls));
        assert!(store.stats().damage.is_some_and(|told| told.contains("lost: ")), "{salvage}");
        assert_eq!(wait(store.quarantine(&path)).unwrap(), None, "nothing is wrong any more");
        if column == "exceptions" {
            // Whose quality is unknown is not taken for good.
            let distrusted = read(&store).iter().all(|rows| {
                let exceptions = rows.column_by_name("exceptions").unwrap().as_list::<i32>();
                (0..rows.num_rows()).all(|row| exceptions.is_valid(row) && !exceptions.value(row).is_empty())
            });
            assert!(distrusted);
        }
        // What was lost comes again, also where it was only part of a row; then all of it is a repeat.
        assert_eq!(submit(&store, frames(0..3_000)).unwrap().accepted, 30_000);
        assert_eq!(submit(&store, frames(0..3_000)).unwrap().duplicates, 30_000);
        assert_eq!(count(&store), rows_left + 30_000);
        store.close();
        assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0);
    }
}

#[test]
fn a_file_without_an_end_or_gone_is_named_and_the_rest_goes_on() {
    for gone in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let segment = sealed(dir.path(), 300);
        if gone {
            fs::remove_file(&segment).unwrap();
        } else {
            let bytes = fs::read(&segment).unwrap();
            fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
        }
        let report = store::verify(dir.path()).unwrap();
        let damage = report.damages().next().unwrap().to_string();
        assert!(damage.contains("3000 rows between 1970-01-01T00:00:00Z and 1970-01-01T00:04:59Z"), "{damage}");
        let store = open(dir.path());
        submit(&store, frames(300..400)).unwrap();
        wait(store.seal()).unwrap();
        // Merging meets it, and goes on without it.
        wait(store.compact()).unwrap();
        assert_eq!(count(&store), 1_000);
        store.close();
        assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0);
    }
}

#[test]
fn a_damaged_roll_up_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), 3_000);
    let rollup = files(&dir.path().join("rollups"))[0].clone();
    scribble(&rollup, 100..120);
    let report = store::verify(dir.path()).unwrap();
    assert!(report.damages().next().unwrap().to_string().contains("no row is affected"), "{report:?}");
    let repair = wait(store::repair(dir.path(), Arc::new(SystemDisk))).unwrap();
    assert_eq!((repair.salvaged[0].lost.len(), repair.left.damages().count()), (0, 0), "{repair:?}");
    let store = open(dir.path());
    let segments = store.snapshot().tables[0].segments.clone();
    assert_eq!((count(&store), segments[0].rollups.len()), (30_000, 2));
    segments[0].rollups.iter().for_each(|rollup| drop(rollup.open().unwrap()));
    store.close();
}

#[test]
fn late_rows_are_compared_with_what_is_left_of_a_damaged_segment() {
    let dir = tempfile::tempdir().unwrap();
    let segment = sealed(dir.path(), 3_000);
    let (start, _) = chunk(&segment, "sequence");
    flip(&segment, start + 2);
    let store = open(dir.path());
    assert_eq!(submit(&store, frames(0..3_000)).unwrap().accepted, 0, "keys can be read");
    // It was noticed, and is put right with the next maintenance.
    for _ in 0..500 {
        wait(store.maintain(Timestamp::from_millis(0), store::Plan::default())).unwrap();
        if store.stats().damages == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!((store.stats().damages, count(&store)), (1, 30_000));
    store.close();
    assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0);
}

#[test]
fn a_damaged_manifest_and_its_copy_stand_in_for_one_another() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), 100);
    for name in ["manifest.json", "manifest.copy.json"] {
        let path = dir.path().join(name);
        let length = fs::read(&path).unwrap().len();
        flip(&path, length / 3);
        assert!(store::verify(dir.path()).unwrap().damages().any(|damage| damage.file == Path::new(name)));
        let store = open(dir.path());
        assert_eq!(count(&store), 1_000);
        store.close();
        scribble(&path, length / 3..length / 3 + 40);
        assert!(store::verify(dir.path()).unwrap().damages().any(|damage| damage.file == Path::new(name)));
        let store = open(dir.path());
        assert_eq!(count(&store), 1_000);
        store.close();
        assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0, "{name} was written anew");
    }
}

#[test]
fn damaged_log_records_are_named_with_when_they_came_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for second in 0..3 {
        submit(&store, batch(&profile(), &[(1, 0, second, 0, 1.0)])).unwrap();
    }
    store.close();
    let log = files(&dir.path().join("log"))[0].clone();
    let length = fs::read(&log).unwrap().len();
    flip(&log, length - 40);
    let report = store::verify(dir.path()).unwrap();
    let damage = report.damages().next().unwrap().to_string();
    assert!(damage.contains("what came in after 1970-01-01T00:16:40.000000001Z is lost in part"), "{damage}");
    let repair = wait(store::repair(dir.path(), Arc::new(SystemDisk))).unwrap();
    assert_eq!(repair.left.damages().count(), 0, "{:?}", repair.left);
    let store = open(dir.path());
    assert_eq!(rows(&store.snapshot()).len(), 2);
    store.close();
    assert!(files(&dir.path().join("log")).iter().any(|path| path.to_string_lossy().ends_with(".damaged")));
}

/// All kinds of values, some of which add up.
fn said() -> Arc<Batch> {
    let kinds = [
        ("count", ValueKind::Integer),
        ("force", ValueKind::Number),
        ("program", ValueKind::Text),
        ("position", ValueKind::Vector),
        ("offsets", ValueKind::Entries),
        ("system", ValueKind::Condition),
    ];
    let signals = kinds.map(|(id, kind)| Signal::new(id, "x:Y", kind)).to_vec();
    let profile = Arc::new(Profile::new("lathe", Shape::Changes, signals).unwrap());
    let condition = |level, code: &str| {
        let native_code = Some(code.into());
        Value::Condition(Box::new(Condition {
            level,
            native_code,
            message: Some("hot".into()),
            ..Condition::default()
        }))
    };
    let values = [
        (0, Value::Integer(7)),
        (0, Value::Integer(8)),
        (1, Value::Number(-0.25)),
        (2, Value::Text("O100".into())),
        (3, Value::Vector([1.0, 2.5].into())),
        (4, Value::Entries([("a".into(), Entry::Number(1.0)), ("b".into(), Entry::Text("x".into()))].into())),
        (4, Value::Entries([("b".into(), Entry::Removed), ("c".into(), Entry::Number(3.0))].into())),
        (5, condition(ConditionLevel::Warning, "401")),
        (5, condition(ConditionLevel::Fault, "402")),
        (2, Value::Absent),
    ];
    let mut changes = Changes::default();
    let asset = changes.intern(&"machine/l1".parse().unwrap());
    for (second, (signal, value)) in (1..).zip(values) {
        let quality = if value == Value::Absent { Quality::Unavailable } else { Quality::Good };
        let statistic = (signal == 1).then(|| Box::new(Statistic { duration_secs: Some(2.0), ..Statistic::default() }));
        let time = Timestamp::from_millis(second * 1_000);
        changes.push(asset, Observation { signal, time, sequence: 0, quality, value, statistic });
    }
    // A clock that was wrong once must not become the latest.
    let time = Timestamp::from_millis(9_000_000_000);
    let (quality, value, statistic) = (Quality::Good, Value::Number(9.0), None);
    changes.push(asset, Observation { signal: 1, time, sequence: 0, quality, value, statistic });
    Arc::new(Batch::changes(profile, Timestamp::from_millis(20_000), changes))
}

#[test]
fn lost_latest_values_are_read_from_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, said()).unwrap();
    submit(&store, frames(0..250)).unwrap();
    wait(store.seal()).unwrap();
    submit(&store, batch(&profile(), &[(1, 0, 1, 0, 1.0)])).unwrap();
    wait(store.seal()).unwrap();
    let before = store.current(None);
    store.close();
    let latest = files(&dir.path().join("latest"))[0].clone();
    scribble(&latest, 60..90);
    assert!(store::verify(dir.path()).unwrap().damages().next().unwrap().to_string().contains("no row is affected"));
    let store = open(dir.path());
    assert_eq!(store.current(None), before);
    store.close();
    let repair = wait(store::repair(dir.path(), Arc::new(SystemDisk))).unwrap();
    assert_eq!(repair.left.damages().count(), 0, "{:?}", repair.left);
    let store = open(dir.path());
    assert_eq!(store.current(None), before);
    let integers = read(&store);
    let integers = integers.iter().map(|rows| rows.column_by_name("speed").unwrap().as_primitive::<Int64Type>().len());
    assert_eq!(integers.sum::<usize>(), 2_500);
    store.close();
}

#[test]
fn files_that_nobody_lists_are_named_and_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let segment = sealed(dir.path(), 100);
    let stray = segment.with_file_name("000000000000.parquet");
    fs::copy(&segment, &stray).unwrap();
    fs::write(segment.with_file_name("mine.parquet"), b"mine").unwrap();
    let report = store::verify(dir.path()).unwrap();
    assert_eq!(report.damages().count(), 0);
    assert_eq!(report.findings.len(), 2, "{report:?}");
    let repair = wait(store::repair(dir.path(), Arc::new(SystemDisk))).unwrap();
    assert_eq!(repair.put_aside.len(), 1);
    assert!(!stray.exists() && segment.with_file_name("mine.parquet").exists());
    assert_eq!(quarantined(dir.path()), ["000000000000.parquet"]);
}
