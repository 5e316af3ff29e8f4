//! The write-ahead log: numbered files of checksummed records, synced before anything is acknowledged.
//!
//! A file begins with [`MAGIC`]; a record is its length and the CRC-32 of its bytes (both u32, little-endian), then the
//! bytes. A file is never appended to after a restart or a failed sync: writing goes on in a new one, so that a torn
//! record can only stand at the end of a file. This module must not know what records say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};

/// The first bytes of every log file; the last one is the format.
pub(crate) const MAGIC: &[u8; 8] = b"TMLOG\0\0\x01";
/// The largest record that is written or believed.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;

/// Appends records to the newest file.
pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    next: u64,
    current: Option<Current>,
}

struct Current {
    file: Box<dyn DiskFile>,
    number: u64,
    /// What is synced of it.
    bytes: u64,
}

impl LogWriter {
    /// A writer whose first file will be number `next`. Nothing is written before the first record.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, next: u64) -> Self {
        Self { disk, dir, next, current: None }
    }

    /// Whether the next record opens a file, which then has to define its profiles anew.
    pub(crate) fn is_at_start_of_file(&self) -> bool {
        self.current.as_ref().is_none_or(|current| current.bytes == 0)
    }

    /// The number of the first file that will hold what is written from now on in a new file.
    pub(crate) fn rotate(&mut self) -> u64 {
        self.current = None;
        self.next
    }

    /// Writes `framed` records (see [`frame`]) and syncs. After an error nothing of them counts as written.
    pub(crate) fn commit(&mut self, framed: &[u8]) -> io::Result<()> {
        self.append(framed)?;
        let Some(current) = &mut self.current else { return Ok(()) };
        let outcome = current.file.sync();
        match outcome {
            Ok(()) => current.bytes += current.unsynced(framed),
            // Nobody knows what a file holds whose sync failed: leave it, and go on in a new one.
            Err(_) => self.abandon(),
        }
        outcome
    }

    fn append(&mut self, framed: &[u8]) -> io::Result<()> {
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                // A number is used once, even when the file cannot be made: its name may be there all the same.
                let number = self.next;
                self.next += 1;
                let file = self.disk.create(&file_path(&self.dir, number))?;
                self.current.insert(Current { file, number, bytes: 0 })
            }
        };
        let head: &[u8] = if current.bytes == 0 { MAGIC } else { &[] };
        let outcome = current.file.append(head).and_then(|()| current.file.append(framed));
        // A full disk leaves part of a record behind: take it back, and the file can be used when there is room again.
        if outcome.is_err() && current.file.truncate(current.bytes).is_err() {
            self.abandon();
        }
        outcome
    }

    /// Gives up the current file. What was never acknowledged may stay in it: reading it again does no harm.
    fn abandon(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        let path = file_path(&self.dir, current.number);
        let taken_back = if current.bytes == 0 { fs::remove_file(&path) } else { current.file.truncate(current.bytes) };
        if let Err(error) = taken_back {
            tracing::warn!(path = %path.display(), %error, "failed to take back an unfinished write");
        }
    }

    /// Removes the files before number `first`: what they say is in segments.
    pub(crate) fn remove_before(&self, first: u64) {
        for (number, path) in files(&self.dir).unwrap_or_default() {
            let current = self.current.as_ref().map(|current| current.number);
            if number < first
                && Some(number) != current
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "failed to remove a log file that is no longer needed");
            }
        }
    }
}

impl Current {
    /// The bytes that a sync of `framed` adds to what is synced.
    fn unsynced(&self, framed: &[u8]) -> u64 {
        let head = if self.bytes == 0 { MAGIC.len() } else { 0 };
        (head + framed.len()) as u64
    }
}

/// Adds one record to `framed`, so that several can be written with one sync.
pub(crate) fn frame(framed: &mut Vec<u8>, record: &[u8]) {
    assert!(record.len() <= RECORD_BYTES_MAX, "a record has at most {RECORD_BYTES_MAX} bytes");
    framed.extend_from_slice(&(record.len() as u32).to_le_bytes());
    framed.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
    framed.extend_from_slice(record);
}

fn file_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.log"))
}

/// The log files in `dir`, oldest first.
pub(crate) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
        files.extend(number.map(|number| (number, path)));
    }
    files.sort_unstable();
    Ok(files)
}

/// What is wrong with a stretch of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the stretch begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Whether whole records stand behind it, so that it is no write that a stop cut short.
    pub inside: bool,
}

/// Reads the records of one file in order. A record whose checksum is wrong is passed over when a whole one stands
/// behind it; otherwise the file ends there. What was passed over is returned.
pub(crate) fn read_records(path: &Path, mut each: impl FnMut(&[u8], u64)) -> io::Result<Vec<Damage>> {
    let bytes = fs::read(path)?;
    let damage = |offset: usize, end: usize, inside| Damage {
        path: path.to_owned(),
        offset: offset as u64,
        bytes: (end - offset) as u64,
        inside,
    };
    if !bytes.starts_with(MAGIC) {
        return Ok(if bytes.is_empty() { Vec::new() } else { vec![damage(0, bytes.len(), false)] });
    }
    let mut damages = Vec::new();
    let mut at = MAGIC.len();
    while at < bytes.len() {
        match record_at(&bytes, at) {
            Stretch::Whole(record) => {
                each(record, at as u64);
                at += 8 + record.len();
            }
            Stretch::Broken(end) if matches!(record_at(&bytes, end), Stretch::Whole(_)) => {
                damages.push(damage(at, end, true));
                at = end;
            }
            Stretch::Broken(_) | Stretch::Torn => {
                damages.push(damage(at, bytes.len(), false));
                break;
            }
        }
    }
    Ok(damages)
}

enum Stretch<'a> {
    Whole(&'a [u8]),
    /// As long as it says, but with other bytes; holds where the next would begin.
    Broken(usize),
    Torn,
}

fn record_at(bytes: &[u8], at: usize) -> Stretch<'_> {
    let Some(head) = bytes.get(at..at + 8) else { return Stretch::Torn };
    let number = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    let length = number(0) as usize;
    if length > RECORD_BYTES_MAX {
        return Stretch::Torn;
    }
    match bytes.get(at + 8..at + 8 + length) {
        Some(record) if crc32fast::hash(record) == number(4) => Stretch::Whole(record),
        Some(_) => Stretch::Broken(at + 8 + length),
        None => Stretch::Torn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemDisk;

    fn written(dir: &Path, records: &[&[u8]]) -> PathBuf {
        let mut log = LogWriter::new(Arc::new(SystemDisk), dir.to_owned(), 1);
        for record in records {
            let mut framed = Vec::new();
            frame(&mut framed, record);
            log.commit(&framed).unwrap();
        }
        file_path(dir, 1)
    }

    fn read(path: &Path) -> (Vec<Vec<u8>>, Vec<Damage>) {
        let mut records = Vec::new();
        let damages = read_records(path, |record, _| records.push(record.to_vec())).unwrap();
        (records, damages)
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &[b"one", b"", b"three"]);
        let (records, damages) = read(&path);
        assert_eq!(records, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        assert_eq!(damages, []);
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_records_before_the_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &[b"first", b"second"]);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (records, damages) = read(&path);
            let expected = if length < MAGIC.len() + 8 + 5 { 0 } else { 1 };
            assert_eq!(records.len(), expected, "cut at {length}");
            assert!(damages.iter().all(|damage| !damage.inside), "cut at {length}");
        }
    }

    #[test]
    fn any_flipped_bit_costs_one_record_at_most_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &[b"first", b"second", b"third"]);
        let whole = fs::read(&path).unwrap();
        let (start, end) = (MAGIC.len() + 8 + 5 + 8, MAGIC.len() + 8 + 5 + 8 + 6);
        for at in start..end {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let (records, damages) = read(&path);
            assert_eq!(records, [b"first".to_vec(), b"third".to_vec()]);
            assert_eq!(damages, [Damage { path: path.clone(), offset: (start - 8) as u64, bytes: 14, inside: true }]);
        }
    }

    #[test]
    fn after_a_failed_sync_the_log_goes_on_in_a_new_file() {
        struct Fussy(std::sync::atomic::AtomicU32);
        struct FussyFile(Box<dyn DiskFile>, bool);
        impl Disk for Fussy {
            fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
                let made = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok(Box::new(FussyFile(SystemDisk.create(path)?, made == 0)))
            }
        }
        impl DiskFile for FussyFile {
            fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
                self.0.append(bytes)
            }
            fn truncate(&mut self, bytes: u64) -> io::Result<()> {
                self.0.truncate(bytes)
            }
            fn sync(&mut self) -> io::Result<()> {
                if self.1 { Err(io::Error::other("the medium is gone")) } else { self.0.sync() }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::new(Arc::new(Fussy(0.into())), dir.path().to_owned(), 1);
        let mut framed = Vec::new();
        frame(&mut framed, b"record");
        assert!(log.commit(&framed).is_err());
        assert!(log.is_at_start_of_file());
        log.commit(&framed).unwrap();
        log.commit(&framed).unwrap();
        let numbers: Vec<u64> = files(dir.path()).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [2]);
        assert_eq!(read(&file_path(dir.path(), 2)).0.len(), 2);
        assert_eq!(log.rotate(), 3);
        log.remove_before(3);
        assert_eq!(files(dir.path()).unwrap(), []);
    }
}
