//! What was acknowledged survives restarts, full disks and damaged files; what was not is refused politely.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use model::{
    Batch, Changes, Column, Condition, Cursor, Entry, Frames, Observation, Profile, Quality, Shape, Signal, Timestamp,
    Value, ValueKind,
};
use store::{Disk, DiskFile, OpenError, Receipt, Store, StoreOptions, SubmitError, SystemDisk};

use crate::press::{batch, open, profile, rows, submit, wait};

#[test]
fn acknowledged_rows_and_their_cursor_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let press = profile();
    let cursor = Cursor { source: "agent".into(), position: "1:42".into() };
    let receipt = wait(store.submit(batch(&press, &[(1, 0, 10, 0, 1.0), (1, 1, 10, 0, 2.0)]), Some(cursor))).unwrap();
    assert_eq!(receipt, Receipt { accepted: 2, duplicates: 0 });
    store.close();
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(rows(&store.snapshot()), [(1, 0, 10, 0, 1.0), (1, 1, 10, 0, 2.0)]);
        assert_eq!(store.cursor("agent").as_deref(), Some("1:42"));
        assert_eq!(store.current(None).len(), 2);
        wait(store.seal()).unwrap();
        store.close();
    }
    assert_eq!(fs::read_dir(dir.path().join("log")).unwrap().count(), 0, "sealed rows need no log");
}

#[test]
fn only_one_may_write_and_others_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, batch(&profile(), &[(1, 0, 10, 0, 1.0)])).unwrap();
    assert!(matches!(Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)), Err(OpenError::InUse(_))));
    assert_eq!(rows(&store::read(dir.path()).unwrap().0).len(), 1);
}

#[test]
fn a_folder_that_is_no_data_directory_is_not_taken_for_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = store::read(dir.path()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("is no Tongmai data directory"), "{cause}");
}

#[test]
fn a_torn_tail_is_cut_and_a_damaged_record_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let press = profile();
    for second in 0..3 {
        submit(&store, batch(&press, &[(1, 0, second, 0, 1.0)])).unwrap();
    }
    store.close();
    let log = fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&log).unwrap();

    fs::write(&log, &whole[..whole.len() - 3]).unwrap();
    let (store, recovery) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
    assert_eq!(rows(&store.snapshot()).len(), 2);
    assert_eq!(recovery.damages.len(), 1);
    assert!(!recovery.damages[0].inside);
    store.close();

    // The three records of a row stand at the end, equally long: flip a bit in the middle one.
    let length = whole.len() - fs_position(&whole, 2);
    let mut flipped = whole.clone();
    flipped[whole.len() - length - length / 2] ^= 1;
    fs::write(&log, &flipped).unwrap();
    let (store, recovery) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
    assert_eq!(rows(&store.snapshot()), [(1, 0, 0, 0, 1.0), (1, 0, 2, 0, 1.0)]);
    assert_eq!(recovery.damages.len(), 1, "{recovery:?}");
    assert!(recovery.damages[0].inside);
    wait(store.seal()).unwrap();
    store.close();
    let names: Vec<_> = fs::read_dir(dir.path().join("log")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1, "a damaged file is put aside: {names:?}");
    assert!(names[0].to_string_lossy().ends_with(".damaged"));
}

/// Where record `wanted` of a row begins; the first record of the file defines the profile.
fn fs_position(log: &[u8], wanted: usize) -> usize {
    let mut at = 8;
    for _ in 0..=wanted {
        at += 8 + u32::from_le_bytes(log[at..at + 4].try_into().unwrap()) as usize;
    }
    at
}

#[test]
fn a_lost_manifest_and_files_of_others_are_never_taken_for_rubbish() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, batch(&profile(), &[(1, 0, 1, 0, 1.0)])).unwrap();
    wait(store.seal()).unwrap();
    store.close();
    let mine = dir.path().join("segments/mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("important.parquet"), b"mine").unwrap();
    open(dir.path()).close();
    assert!(mine.join("important.parquet").exists());

    let manifest = fs::read(dir.path().join("manifest.json")).unwrap();
    fs::remove_file(dir.path().join("manifest.json")).unwrap();
    let refused = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).err();
    assert!(matches!(refused, Some(OpenError::NoManifest(_))), "{refused:?}");
    fs::write(dir.path().join("manifest.json"), manifest).unwrap();
    let store = open(dir.path());
    assert_eq!(rows(&store.snapshot()).len(), 1);
    store.close();
}

#[test]
fn lost_latest_values_cost_no_row_and_double_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let press = profile();
    submit(&store, batch(&press, &[(1, 0, 1, 0, 1.0), (1, 0, 2, 0, 2.0)])).unwrap();
    wait(store.seal()).unwrap();
    store.close();
    let latest = fs::read_dir(dir.path().join("latest")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&latest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&latest, bytes).unwrap();
    let store = open(dir.path());
    assert_eq!(rows(&store.snapshot()).len(), 2);
    assert_eq!(submit(&store, batch(&press, &[(1, 0, 1, 0, 1.0), (1, 0, 2, 0, 2.0)])).unwrap().duplicates, 2);
    store.close();
}

#[test]
fn what_contradicts_the_latest_value_at_the_same_time_is_no_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let press = profile();
    let store = open(dir.path());
    submit(&store, batch(&press, &[(1, 0, 5, 0, 1.0)])).unwrap();
    store.close();
    // After a restart the source counts anew, and says two more things in the same second.
    let store = open(dir.path());
    let said = batch(&press, &[(1, 0, 5, 0, 2.0), (1, 0, 5, 1, 3.0)]);
    assert_eq!(submit(&store, said).unwrap(), Receipt { accepted: 2, duplicates: 0 });
    assert_eq!(submit(&store, batch(&press, &[(1, 0, 5, 0, 1.0)])).unwrap().duplicates, 1);
    let expected = [(1, 0, 5, 0, 1.0), (1, 0, 5, 1, 2.0), (1, 0, 5, 2, 3.0)];
    assert_eq!(rows(&store.snapshot()), expected);
    store.close();
    let store = open(dir.path());
    assert_eq!(rows(&store.snapshot()), expected, "the log says the same when it is read again");
    store.close();
}

/// A disk that is full while the switch says so: half of what is appended then gets through.
struct FullDisk(Arc<AtomicBool>);

struct FullDiskFile(Box<dyn DiskFile>, Arc<AtomicBool>);

impl Disk for FullDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FullDiskFile(SystemDisk.create(path)?, Arc::clone(&self.0))))
    }
}

impl DiskFile for FullDiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            self.0.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(FullDisk(Arc::clone(&full)))).unwrap();
    let press = profile();
    submit(&store, batch(&press, &[(1, 0, 1, 0, 1.0)])).unwrap();
    full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = submit(&store, batch(&press, &[(1, 0, 2, 0, 2.0)])).unwrap_err();
        assert!(
            matches!(&error, SubmitError::Refused(reason) if reason.contains("failed to write the log")),
            "{error}"
        );
    }
    assert!(store.stats().trouble.is_some());
    assert_eq!(rows(&store.snapshot()).len(), 1, "queries go on");
    full.store(false, Ordering::SeqCst);
    submit(&store, batch(&press, &[(1, 0, 2, 0, 2.0)])).unwrap();
    assert!(store.stats().trouble.is_none());
    store.close();
    let (store, recovery) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
    assert_eq!(rows(&store.snapshot()), [(1, 0, 1, 0, 1.0), (1, 0, 2, 0, 2.0)]);
    assert_eq!(recovery.damages, [], "what a full disk left behind was taken back");
    store.close();
}

#[test]
fn a_batch_that_contradicts_what_is_kept_is_refused_and_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, batch(&profile(), &[(1, 0, 1, 0, 1.0)])).unwrap();
    let other = model::Signal::new("force", "x:F", model::ValueKind::Number).with_unit("kN");
    let other = Arc::new(model::Profile::new("press", model::Shape::Changes, vec![other]).unwrap());
    let error = submit(&store, batch(&other, &[(1, 0, 2, 0, 1.0)])).unwrap_err();
    assert!(error.to_string().contains("signal `force` of profile `press` is kept as number"), "{error}");
    submit(&store, batch(&profile(), &[(1, 0, 2, 0, 1.0)])).unwrap();
    assert_eq!(rows(&store.snapshot()).len(), 2);
}

/// A disk that holds syncs back as long as its lock is held, and counts what each sync made durable.
#[derive(Clone, Default)]
struct Slow(Arc<(Mutex<()>, Mutex<Vec<usize>>)>);

struct SlowFile(Slow, Box<dyn DiskFile>, usize);

impl Disk for Slow {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SlowFile(self.clone(), SystemDisk.create(path)?, 0)))
    }
}

impl DiskFile for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.2 += bytes.len();
        self.1.append(bytes)
    }
    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.1.truncate(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        drop(self.0.0.0.lock().unwrap());
        self.0.0.1.lock().unwrap().push(std::mem::take(&mut self.2));
        self.1.sync()
    }
}

/// One row with a text of `bytes` bytes, of each kind of value that has texts.
fn text_of(profile: &Arc<Profile>, kind: i64, bytes: usize) -> Arc<Batch> {
    let text: Box<str> = "x".repeat(bytes).into();
    let received = Timestamp::from_millis(1_000_000);
    if profile.shape() == Shape::Frames {
        return Arc::new(Batch::frames(
            Arc::clone(profile),
            received,
            Frames {
                assets: vec!["vehicle/V1".parse().unwrap()],
                asset: vec![0],
                time: vec![Timestamp::from_millis(kind)],
                sequence: vec![0],
                columns: vec![Column::Texts(vec![Some(text)])],
                exceptions: Vec::new(),
            },
        ));
    }
    let value = match kind % 4 {
        0 => Value::Text(text),
        1 => Value::Condition(Box::new(Condition { message: Some(text), ..Condition::default() })),
        2 => Value::Entries([("rows".into(), Entry::Row([("cell".into(), Entry::Text(text))].into()))].into()),
        _ => Value::Vector(vec![0.1; bytes / 8].into()),
    };
    let mut changes = Changes::default();
    let asset = changes.intern(&"machine/p1".parse().unwrap());
    let (time, quality) = (Timestamp::from_millis(kind), Quality::Good);
    changes.push(asset, Observation { signal: (kind % 4) as u16, time, sequence: 0, quality, value, statistic: None });
    Arc::new(Batch::changes(Arc::clone(profile), received, changes))
}

#[test]
fn what_is_written_with_one_sync_has_a_bound_also_where_it_is_texts() {
    let kinds = [ValueKind::Text, ValueKind::Condition, ValueKind::Entries, ValueKind::Vector];
    let signals = kinds.iter().enumerate().map(|(place, kind)| Signal::new(&format!("s{place}"), "x:Y", *kind));
    let changes = Arc::new(Profile::new("press", Shape::Changes, signals.collect()).unwrap());
    let note = vec![Signal::new("note", "x:Y", ValueKind::Text)];
    let frames = Arc::new(Profile::new("car", Shape::Frames, note).unwrap());
    for profile in [changes, frames] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Slow::default();
        let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(disk.clone())).unwrap();
        let held = disk.0.0.lock().unwrap();
        let threads = (0..20).map(|kind| {
            let submitted = store.submit(text_of(&profile, kind, 1 << 20), None);
            std::thread::spawn(move || wait(submitted).unwrap())
        });
        let threads: Vec<_> = threads.collect();
        // All of them wait: one is being written, the others are queued.
        while store.stats().queued_batches < 16 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        disk.0.1.lock().unwrap().clear();
        drop(held);
        for thread in threads {
            thread.join().unwrap();
        }
        let synced = disk.0.1.lock().unwrap().clone();
        assert!(synced.iter().all(|bytes| *bytes <= 4 << 20), "{synced:?}");
        assert!(synced.len() < 20, "several go together: {synced:?}");
        store.close();
    }
}
