//! Data directories that released programs wrote: `tests/fixtures/format-1` is one of manifest format 1, with two seals of
//! presses and vans behind it and the newest rows in the log. Must never be written anew.

use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use store::Weight;

use crate::press::{batch, chunks, open, profile, rows, submit, wait};

/// A copy of the data directory of format 1.
fn format_1() -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1"), dir.path());
    dir
}

/// Values and absent ones of the vans.
fn speeds(chunks: &[RecordBatch]) -> (i64, usize) {
    let columns = chunks.iter().map(|rows| rows.column_by_name("speed").unwrap().as_primitive::<Int64Type>());
    columns
        .fold((0, 0), |(sum, nulls), speed| (sum + arrow::compute::sum(speed).unwrap_or(0), nulls + speed.null_count()))
}

#[test]
fn a_directory_of_format_1_opens_is_verified_and_compacts() {
    let dir = format_1();
    let report = store::verify(dir.path()).unwrap();
    assert_eq!((report.segments, report.damages().count()), (4, 0), "{report:?}");
    let notes = report.findings.iter().filter(|finding| finding.weight == Weight::Note);
    assert!(notes.clone().count() == 4 && notes.clone().all(|note| note.what.contains("written by an older program")));

    let pressed: Vec<_> =
        (0..45)
            .map(|second| (1, (second % 2) as u8, second, 0, second as f64 / 2.0))
            .collect::<Vec<(u8, u8, i64, u32, f64)>>();
    let mut expected = pressed.clone();
    expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let sum = (0..45).filter(|second| second % 10 != 0).sum::<i64>();
    let store = open(dir.path());
    let check = || {
        assert_eq!(rows(&store.snapshot()), expected);
        assert_eq!(speeds(&chunks(&store.snapshot(), "van")), (sum, 5));
        assert_eq!(store.cursor("agent").as_deref(), Some("1:42"));
        assert_eq!(submit(&store, batch(&profile(), &pressed)).unwrap().accepted, 0);
    };
    check();
    assert_eq!(store.current(None).len(), 3);
    wait(store.compact()).unwrap();
    check();
    store.close();
    let report = store::verify(dir.path()).unwrap();
    assert_eq!((report.segments, report.findings.len()), (2, 0), "{report:?}");
    assert!(fs::read_to_string(dir.path().join("manifest.json")).unwrap().contains("\"format\": 2"));
}

#[test]
fn damage_in_a_file_without_checksums_is_found_by_reading() {
    let dir = format_1();
    let segment = dir.path().join("segments/van/1970-01-01/000000000002.parquet");
    let mut bytes = fs::read(&segment).unwrap();
    // The first page begins with its header: without it, nothing of its column decodes.
    bytes[4..40].fill(0xff);
    fs::write(&segment, bytes).unwrap();
    let report = store::verify(dir.path()).unwrap();
    let damage = report.damages().next().unwrap().to_string();
    assert!(damage.contains("does not decode; affected: 20 rows of vehicle/V1"), "{damage}");
    let store = open(dir.path());
    wait(store.compact()).unwrap();
    let (_, absent) = speeds(&chunks(&store.snapshot(), "van"));
    assert_eq!(absent, 3, "what can be read is there");
    store.close();
    assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0);
}
