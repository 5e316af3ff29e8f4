//! The write-ahead log: numbered files of checksummed records, synced before anything is acknowledged.
//!
//! A file begins with [`MAGIC`]; a record is its length and the CRC-32 of its bytes (both u32, little-endian), then the
//! bytes. A file is never appended to after a restart or a failed sync: writing goes on in a new one, so that a torn
//! record can only stand at the end of a file. This module must not know what records say.

mod search;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::search::Search;
use crate::disk::{Disk, DiskFile};
use crate::segment::flipped_bit;

/// The first bytes of every log file; the last one is the format.
pub(crate) const MAGIC: &[u8; 8] = b"TMLOG\0\0\x01";
/// Files that begin so are logs of some format.
const MAGIC_ANY: &[u8] = b"TMLOG\0\0";
/// The largest record that is written or believed.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;
/// Length and checksum, which stand before the bytes of a record.
const HEAD_BYTES: usize = 8;

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
        let taken_back =
            if current.bytes == 0 { self.disk.remove(&path) } else { current.file.truncate(current.bytes) };
        if let Err(error) = taken_back {
            tracing::warn!(path = %path.display(), %error, "failed to take back an unfinished write");
        }
    }

    /// Removes the files before number `first`: what they say is in segments.
    /// Those in `damaged` are put aside under another name: somebody may want to look at them.
    pub(crate) fn remove_before(&self, first: u64, damaged: &[PathBuf]) {
        for (number, path) in files(&self.dir).unwrap_or_default() {
            let current = self.current.as_ref().map(|current| current.number);
            if number >= first || Some(number) == current {
                continue;
            }
            let removed = if damaged.contains(&path) {
                self.disk.rename(&path, &path.with_extension("log.damaged"))
            } else {
                self.disk.remove(&path)
            };
            if let Err(error) = removed {
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
    assert!(!record.is_empty() && record.len() <= RECORD_BYTES_MAX, "a record has 1 to {RECORD_BYTES_MAX} bytes");
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
    /// Whether it is no write that a stop cut short: something whole stands behind it, or it is whole and not understood.
    pub inside: bool,
}

/// Reads the records of one file in order. `each` says whether it understood the record. What does not read is passed
/// over up to the next whole record, and returned.
///
/// # Errors
/// When the file cannot be read, or has a format of another version.
pub(crate) fn read_records(path: &Path, mut each: impl FnMut(&[u8], u64) -> bool) -> io::Result<Vec<Damage>> {
    let bytes = fs::read(path)?;
    let whole_magic = bytes.starts_with(MAGIC);
    // A record of this format behind it says that only the head is damaged: another format begins its records otherwise.
    let is_ours = record_at(&bytes, MAGIC.len()).is_some();
    if !whole_magic && !is_ours && bytes.len() >= MAGIC.len() && bytes.starts_with(MAGIC_ANY) {
        let format = bytes[MAGIC_ANY.len()];
        return Err(io::Error::other(format!("it has format {format}, this program reads format 1")));
    }
    let mut damages: Vec<Damage> = Vec::new();
    let mut damaged = |from: usize, end: usize, inside: bool| {
        let (offset, bytes) = (from as u64, (end - from) as u64);
        damages.push(Damage { path: path.to_owned(), offset, bytes, inside });
    };
    let mut search: Option<Search<'_>> = None;
    let mut at = if whole_magic { MAGIC.len() } else { 0 };
    while at < bytes.len() {
        let end = match record_at(&bytes, at) {
            Some(record) => {
                let end = at + HEAD_BYTES + record.len();
                if !each(record, at as u64) {
                    // Its checksum is right: no write that was cut short.
                    damaged(at, end, true);
                }
                end
            }
            None => {
                // One search does for all damage of a file: the checksums that it needs are counted once.
                let next = search.get_or_insert_with(|| Search::new(&bytes, at)).next_record(at + 1);
                let end = next.unwrap_or(bytes.len());
                damaged(at, end, end < bytes.len() || is_flipped(&bytes[at..]));
                end
            }
        };
        at = end;
    }
    Ok(damages)
}

/// Whether a file ends with a record that is as long as it should be and has one wrong bit: no write that was cut short.
fn is_flipped(bytes: &[u8]) -> bool {
    let Some((head, record)) = bytes.split_first_chunk::<8>() else { return false };
    let [length, crc] = [[head[0], head[1], head[2], head[3]], [head[4], head[5], head[6], head[7]]];
    u32::from_le_bytes(length) as usize == record.len() && flipped_bit(record, u32::from_le_bytes(crc)).is_some()
}

/// The whole record that begins at `at`, if one does.
fn record_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (length, crc) = head_at(bytes, at)?;
    let record = &bytes[at + HEAD_BYTES..][..length as usize];
    (crc32fast::hash(record) == crc).then_some(record)
}

/// Length and checksum of the record that may begin at `at`, if it would end within `bytes`. Records are never empty:
/// zeros are none.
fn head_at(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let head = bytes.get(at..at + HEAD_BYTES)?;
    let number = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    let (length, crc) = (number(0), number(4));
    let fits = (1..=RECORD_BYTES_MAX.min(bytes.len() - at - HEAD_BYTES)).contains(&(length as usize));
    fits.then_some((length, crc))
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
        let damages = read_records(path, |record, _| {
            records.push(record.to_vec());
            true
        });
        let damages = damages.unwrap();
        (records, damages)
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &[b"one", b"2", b"three"]);
        let (records, damages) = read(&path);
        assert_eq!(records, [b"one".to_vec(), b"2".to_vec(), b"three".to_vec()]);
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
        // Length, checksum and bytes of the second record.
        let (start, end) = (MAGIC.len() + 8 + 5, MAGIC.len() + 8 + 5 + 8 + 6);
        for at in start..end {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let (records, damages) = read(&path);
            assert_eq!(records, [b"first".to_vec(), b"third".to_vec()], "byte {at}");
            let (offset, bytes) = (start as u64, (end - start) as u64);
            assert_eq!(damages, [Damage { path: path.clone(), offset, bytes, inside: true }], "byte {at}");
        }
    }

    #[test]
    fn neighbouring_damage_a_damaged_head_and_a_tail_of_zeros_cost_no_other_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &[b"first", b"second", b"third", b"fourth"]);
        let whole = fs::read(&path).unwrap();
        let mut two = whole.clone();
        two[MAGIC.len() + 8 + 5 + 9] ^= 1;
        two[MAGIC.len() + 8 + 5 + 8 + 6 + 9] ^= 1;
        fs::write(&path, &two).unwrap();
        assert_eq!(read(&path).0, [b"first".to_vec(), b"fourth".to_vec()]);

        let mut head = whole.clone();
        for place in [2, MAGIC.len() - 1] {
            head[place] ^= 10;
            fs::write(&path, &head).unwrap();
            let (records, damages) = read(&path);
            assert_eq!((records.len(), damages.len(), damages[0].inside), (4, 1, true), "byte {place}");
        }

        let mut zeros = whole.clone();
        zeros.extend([0; 4_096]);
        fs::write(&path, &zeros).unwrap();
        let (records, damages) = read(&path);
        assert_eq!((records.len(), damages.len(), damages[0].inside), (4, 1, false));

        let newer = [MAGIC_ANY, &[2], b"records of another kind"].concat();
        fs::write(&path, &newer).unwrap();
        let error = read_records(&path, |_, _| true).unwrap_err().to_string();
        assert!(error.contains("format 2"), "{error}");
    }

    #[test]
    fn one_bit_of_a_large_record_costs_that_record_and_no_hours() {
        let dir = tempfile::tempdir().unwrap();
        let large: Vec<u8> = (0..16_u32 << 20).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let path = written(dir.path(), &[b"first", &large, b"third", &large[..1 << 20], b"fifth"]);
        let mut bytes = fs::read(&path).unwrap();
        let third = MAGIC.len() + 8 + 5 + 8 + large.len();
        for at in [MAGIC.len() + 8 + 5 + 8 + 12_345, third + 8 + 5 + 8 + 77] {
            bytes[at] ^= 2;
        }
        fs::write(&path, &bytes).unwrap();
        let (records, damages) = read(&path);
        assert_eq!(records, [b"first".to_vec(), b"third".to_vec(), b"fifth".to_vec()]);
        assert!(damages.len() == 2 && damages.iter().all(|damage| damage.inside), "{damages:?}");
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
        log.remove_before(3, &[]);
        assert_eq!(files(dir.path()).unwrap(), []);
    }
}
