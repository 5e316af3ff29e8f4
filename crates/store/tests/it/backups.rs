//! A backup is all rows of one moment, whatever goes on meanwhile and wherever it is cut off; what is restored is what was
//! backed up, or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use model::Timestamp;
use store::{Backup, BackupError, Disk, DiskFile, Plan, Restored, Store, StoreOptions, SystemDisk};

use crate::press::{Row, batch, open, profile, rows, submit, wait};

const NOW: Timestamp = Timestamp::from_millis(5_000_000);
const SOURCES: u8 = 3;

/// What source `source` says as its numbers `numbers`, one a second.
fn said(source: u8, numbers: std::ops::Range<i64>) -> Vec<Row> {
    numbers.map(|number| (source, (number % 2) as u8, number, 0, number as f64)).collect()
}

fn backup(store: &Store, to: &Path) -> Result<Backup, BackupError> {
    wait(store.backup(to, NOW))
}

fn restore(from: &Path, to: &Path) -> Result<Restored, BackupError> {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    store::restore(from, to, &disk)
}

/// The rows in a backup, after it was restored to a new folder and opened there.
#[track_caller]
fn restored(from: &Path) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("restored");
    let told = restore(from, &to).unwrap();
    let (snapshot, _) = store::read(from).unwrap();
    let store = open(&to);
    let all = rows(&store.snapshot());
    assert_eq!(rows(&snapshot), all, "the backup itself is read as what is restored");
    assert_eq!((told.taken, told.rows, told.rows_expected), (NOW, all.len() as u64, all.len() as u64));
    store.close();
    all
}

/// All files below `dir`, relative to it, but for locks and manifests.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|file| name.join(file)));
        } else if !["LOCK", "manifest.json", "manifest.copy.json"].iter().any(|own| name == Path::new(own)) {
            found.push(name);
        }
    }
    found.sort();
    found
}

#[test]
fn a_backup_of_a_busy_store_is_all_that_each_source_had_said_at_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let options = StoreOptions { hot_rows_max: 400, log_bytes_max: 40_000, ..StoreOptions::new(&data) };
    let (store, _) = Store::open(options, Arc::new(SystemDisk)).unwrap();
    let (press, stop) = (profile(), AtomicBool::new(false));
    let sent: [AtomicI64; SOURCES as usize] = Default::default();
    let kept: [AtomicI64; SOURCES as usize] = Default::default();
    /// Lets the others end, also when something else fails.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let counts = |of: &[AtomicI64]| of.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for source in 0..SOURCES {
            let (store, press, stop) = (&store, &press, &stop);
            let (sent, kept) = (&sent[usize::from(source)], &kept[usize::from(source)]);
            scope.spawn(move || {
                for first in (0..).step_by(7) {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    sent.store(first + 7, Ordering::SeqCst);
                    assert_eq!(submit(store, batch(press, &said(source, first..first + 7))).unwrap().accepted, 7);
                    kept.store(first + 7, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                wait(store.compact()).unwrap();
                wait(store.maintain(NOW, Plan::default())).unwrap();
            }
        });
        for _ in 0..6 {
            let before = counts(&kept);
            let told = backup(&store, &to).unwrap();
            let after = counts(&sent);
            let all = restored(&to);
            assert_eq!(all.len() as u64, told.rows);
            let mut numbers: BTreeMap<u8, i64> = BTreeMap::new();
            for (source, _, number, _, _) in &all {
                *numbers.entry(*source).or_default() += 1;
                assert!(*number < after[usize::from(*source)]);
            }
            for source in 0..SOURCES {
                let count = numbers.get(&source).copied().unwrap_or_default();
                assert!((before[usize::from(source)]..=after[usize::from(source)]).contains(&count));
                let mut mine: Vec<i64> = all.iter().filter(|row| row.0 == source).map(|row| row.2).collect();
                mine.sort_unstable();
                assert!(mine.into_iter().eq(0..count), "source {source} has a gap");
            }
        }
    });
    assert!(counts(&kept).iter().all(|count| *count > 100), "{kept:?}: too few to say anything");
    store.close();
}

/// A store with three segments, some rows in the log, and a repeated one.
fn small(data: &Path) -> Store {
    let (store, press) = (open(data), profile());
    for part in 0..3 {
        submit(&store, batch(&press, &said(1, part * 20..part * 20 + 20))).unwrap();
        wait(store.seal()).unwrap();
    }
    submit(&store, batch(&press, &said(2, 0..30))).unwrap();
    store
}

#[test]
fn only_what_is_new_is_copied_and_what_is_no_longer_needed_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let store = small(&data);
    let first = backup(&store, &to).unwrap();
    assert_eq!((first.rows, first.files, first.files_copied), (90, 5, 5), "three segments, latest values, a log file");
    assert_eq!(first.bytes, first.bytes_copied);
    let again = backup(&store, &to).unwrap();
    assert_eq!((again.files, again.bytes, again.files_copied, again.bytes_copied), (5, first.bytes, 0, 0));
    let press = profile();
    submit(&store, batch(&press, &said(2, 30..40))).unwrap();
    let more = backup(&store, &to).unwrap();
    assert_eq!((more.rows, more.files, more.files_copied), (100, 6, 1), "one more log file");
    wait(store.seal()).unwrap();
    let sealed = backup(&store, &to).unwrap();
    assert_eq!((sealed.rows, sealed.files, sealed.files_copied), (100, 5, 2), "a segment and the latest values");
    wait(store.compact()).unwrap();
    let merged = backup(&store, &to).unwrap();
    assert_eq!((merged.rows, merged.files, merged.files_copied), (100, 2, 1));
    assert_eq!(files(&to).len(), 2, "{:?}", files(&to));
    assert_eq!(restored(&to), rows(&store.snapshot()));
    // Nothing that was held back for a backup stays behind in the store.
    assert_eq!(fs::read_dir(data.join("latest")).unwrap().count(), 1);
    store.close();
    let store = open(&data);
    submit(&store, batch(&press, &said(3, 0..10))).unwrap();
    assert_eq!(backup(&store, &to).unwrap().files_copied, 1, "after a restart too");
    store.close();
}

#[test]
fn a_folder_of_anybody_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let store = small(&path("data"));
    fs::create_dir(path("photos")).unwrap();
    fs::write(path("photos").join("a.jpg"), "a picture").unwrap();
    let other = open(&path("other"));
    submit(&other, batch(&profile(), &said(9, 0..5))).unwrap();
    wait(other.seal()).unwrap();
    backup(&other, &path("other backup")).unwrap();
    let check = |to: &str, expected: &str| {
        let before = files(&path(to));
        let error = backup(&store, &path(to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
        assert_eq!(files(&path(to)), before, "{to}");
    };
    check("photos", "is neither empty nor a backup");
    check("data", "is in use by another Tongmai");
    check("other", "is in use by another Tongmai");
    other.close();
    check("other", "is neither empty nor a backup");
    check("other backup", "is a backup of other data");
    assert_eq!(restored(&path("other backup")).len(), 5);
    // A backup that was written to since is a data directory like any other.
    backup(&store, &path("backup")).unwrap();
    let opened = open(&path("backup"));
    assert_eq!(rows(&opened.snapshot()), rows(&store.snapshot()));
    check("backup", "is in use by another Tongmai");
    opened.close();
    check("backup", "is neither empty nor a backup");
    assert!(matches!(restore(&path("backup"), &path("new")), Err(BackupError::NoBackup(_))));
    store.close();
}

#[test]
fn what_is_damaged_is_named_and_neither_backed_up_nor_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let store = small(&data);
    backup(&store, &to).unwrap();
    let whole = rows(&store.snapshot());
    let listed = files(&to);
    assert_eq!(listed.len(), 5);
    for (place, file) in listed.iter().enumerate() {
        let path = to.join(file);
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() * (place + 1) / 7] ^= 4;
        let target = dir.path().join("restored");
        for damaged in [Some(&flipped[..]), Some(&bytes[..bytes.len() - 1]), Some(&[]), None] {
            match damaged {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = restore(&to, &target).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, BackupError::Damaged(_)) && text.contains(file.to_str().unwrap()), "{text}");
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{text}");
        }
        // The next backup makes it whole again, where it can tell at all: a flip inside a segment is found by reading.
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(backup(&store, &to).unwrap().files_copied, 1);
        assert_eq!(restored(&to), whole);
    }
    let occupied = dir.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("notes.txt"), "mine").unwrap();
    assert!(matches!(restore(&to, &occupied), Err(BackupError::NotEmpty(_))));
    assert!(matches!(restore(&occupied, &dir.path().join("new")), Err(BackupError::NoBackup(_))));

    // In the source: the new backup is refused, the one before stays as it is.
    wait(store.compact()).unwrap();
    let segment = store.snapshot().tables[0].segments[0].path.clone();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let error = backup(&store, &to).unwrap_err().to_string();
    assert!(error.contains(segment.file_name().unwrap().to_str().unwrap()), "{error}");
    assert!(error.contains("is damaged within"), "{error}");
    assert_eq!(restored(&to), whole);
    store.close();
}

/// Fails whatever is done below a folder, from the operation with a number on.
struct Cut {
    below: PathBuf,
    left: AtomicI64,
}

struct CutFile(Box<dyn DiskFile>, Arc<Cut>);

/// The disk of the store: the cut can be looked at beside it.
struct CutDisk(Arc<Cut>);

impl Cut {
    fn pass(&self, path: &Path) -> io::Result<()> {
        if path.starts_with(&self.below) && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::other("cut off"));
        }
        Ok(())
    }
}

impl Disk for CutDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.pass(path)?;
        Ok(Box::new(CutFile(SystemDisk.create(path)?, Arc::clone(&self.0))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.pass(to)?;
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.pass(path)?;
        SystemDisk.remove(path)
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        self.0.pass(path)?;
        SystemDisk.make_folders(path)
    }
}

impl DiskFile for CutFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.pass(&self.1.below)?;
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.pass(&self.1.below)?;
        self.0.sync()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }
}

#[test]
fn wherever_a_backup_is_cut_off_the_one_before_is_whole_and_the_next_one_goes_on() {
    let (mut cuts, mut wholes) = (0, 0);
    for left in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
        let cut = Arc::new(Cut { below: to.clone(), left: i64::MAX.into() });
        small(&data).close();
        let options = StoreOptions::new(&data);
        let (store, _) = Store::open(options, Arc::new(CutDisk(Arc::clone(&cut)))).unwrap();
        backup(&store, &to).unwrap();
        let before = rows(&store.snapshot());
        let press = profile();
        submit(&store, batch(&press, &said(2, 30..40))).unwrap();
        wait(store.compact()).unwrap();
        submit(&store, batch(&press, &said(3, 0..10))).unwrap();
        let after = rows(&store.snapshot());
        cut.left.store(left, Ordering::SeqCst);
        let outcome = backup(&store, &to);
        let was_cut = cut.left.load(Ordering::SeqCst) < 0;
        cut.left.store(i64::MAX, Ordering::SeqCst);
        match &outcome {
            Ok(_) => assert_eq!(restored(&to), after, "cut at {left}"),
            // The last step is a copy of the manifest, when the backup is whole already.
            Err(_) => {
                let all = restored(&to);
                assert!(all == before || all == after, "cut at {left}");
                cuts += 1;
                wholes += usize::from(all == after);
            }
        }
        let there = restored(&to);
        // Also when somebody writes to it right away.
        let copy = dir.path().join("copy");
        copy_folder(&to, &copy);
        let opened = open(&copy);
        assert_eq!(rows(&opened.snapshot()), there, "cut at {left}");
        opened.close();
        backup(&store, &to).unwrap();
        assert_eq!(restored(&to), after, "cut at {left}");
        assert_eq!(files(&to).len(), 3, "cut at {left}: {:?}", files(&to));
        store.close();
        if !was_cut {
            break;
        }
    }
    assert!(cuts > 10 && wholes < cuts / 3, "{cuts} cuts are too few to say anything");
}

#[test]
fn a_first_backup_that_was_cut_off_is_none_and_the_next_one_goes_on() {
    for left in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
        let cut = Arc::new(Cut { below: to.clone(), left: left.into() });
        small(&data).close();
        let (store, _) = Store::open(StoreOptions::new(&data), Arc::new(CutDisk(Arc::clone(&cut)))).unwrap();
        let whole = backup(&store, &to).is_ok();
        cut.left.store(i64::MAX, Ordering::SeqCst);
        if !whole {
            assert!(restore(&to, &dir.path().join("restored")).is_err());
            assert!(store::read(&to).is_err(), "cut at {left}");
        }
        backup(&store, &to).unwrap();
        assert_eq!(restored(&to), rows(&store.snapshot()));
        store.close();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            let _ = fs::copy(&path, &copy).unwrap();
        }
    }
}
