//! Backup: a copy of a data directory at one moment, which is a data directory itself, and the way back.
//!
//! A backup lists its files in its manifest, as every data directory does. What a later one adds stands beside them and
//! counts only when the manifest is replaced; what is no longer listed is removed after that. So whenever a backup is cut
//! off, the one before is still whole. Every byte is compared with its checksum on its way, in both directions. This
//! module must not know of the writer, of clocks, or where backups are kept.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Timestamp;
use parquet::file::reader::ChunkReader;

use crate::disk::{Disk, NewFile, put_file};
use crate::generation::Generation;
use crate::keeper::Copyable;
use crate::log;
use crate::manifest::{BackupMark, CopiedFile, Manifest, ManifestError};
use crate::recover::{RecoverError, recover};
use crate::segment::{self, CheckedFile, Checks, Segment, SegmentFile};
use crate::store::{OpenError, lock};

/// Bytes that are read and written at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Files that an error names at most.
const NAMED_MAX: usize = 10;

/// What a backup copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// When it was asked for.
    pub taken: Timestamp,
    /// All rows in it.
    pub rows: u64,
    /// All files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The files that were not there before.
    pub files_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was asked for.
    pub taken: Timestamp,
    /// All rows, as they were read again from what was restored.
    pub rows: u64,
    /// How many there were when the backup was made.
    pub rows_expected: u64,
    /// All files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why there is no backup, or none could be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system refused.
    #[error("failed to {operation} `{path}`")]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What is to be copied is not what was written.
    #[error("nothing was copied to where it would count, since not everything can be read: {0}")]
    Damaged(Damages),
    /// The folder is used for something else.
    #[error("`{0}` is neither empty nor a backup; nothing in it was changed")]
    NotOurs(PathBuf),
    /// The folder has a backup of another store, or of this one on a way that it did not take.
    #[error("`{dir}` is a backup of other data: `{file}` differs; back up to another folder")]
    OtherData {
        /// The folder.
        dir: PathBuf,
        /// The file that tells.
        file: PathBuf,
    },
    /// What is to be restored is none.
    #[error("`{0}` is no backup")]
    NoBackup(PathBuf),
    /// A backup was begun there, and none was finished.
    #[error("`{0}` holds no backup yet: the first one was cut off")]
    Unfinished(PathBuf),
    /// Nothing is ever restored over something.
    #[error("`{0}` is not empty: restore into an empty folder")]
    NotEmpty(PathBuf),
    /// A manifest could not be read or written.
    #[error("failed to read or write what the backup holds")]
    Manifest(#[source] ManifestError),
    /// A folder is in use.
    #[error(transparent)]
    Open(OpenError),
    /// What was restored does not open.
    #[error("what was restored does not open")]
    Recover(#[source] RecoverError),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Files that cannot be copied, each with the reason.
#[derive(Debug, Default)]
pub struct Damages(Vec<(PathBuf, String)>);

impl fmt::Display for Damages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (path, reason)) in self.0.iter().take(NAMED_MAX).enumerate() {
            let comma = if place > 0 { "; " } else { "" };
            write!(f, "{comma}`{}`: {reason}", path.display())?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Writes a backup of `copyable`, which is of the data directory `dir`, to `to`.
///
/// # Errors
/// See [`BackupError`].
pub(crate) fn write(
    copyable: &Copyable,
    dir: &Path,
    disk: &dyn Disk,
    to: &Path,
    now: Timestamp,
) -> Result<Backup, BackupError> {
    let (_lock, before) = begin(disk, to)?;
    make_folders(disk, to)?;
    let mut copying = Copying::new(disk, dir, to, &before);
    for segment in &copyable.segments {
        copying.segment(segment)?;
    }
    let mut manifest = copyable.manifest.clone();
    let logs = copyable.manifest.log_first..copyable.log_end;
    let mut files = manifest.latest.iter().map(|file| copying.records(file)).collect::<Result<Vec<_>, _>>()?;
    for (number, path) in log::files(&dir.join("log")).map_err(failed("look into", &dir.join("log")))? {
        if logs.contains(&number) {
            files.push(copying.records(&within(dir, &path))?);
        }
    }
    let counts = copying.end()?;
    let files = files.into_iter().flatten().collect();
    let mark = BackupMark { taken_ns: Some(now.nanos()), rows: copyable.rows, log_end: copyable.log_end, files };
    manifest.retired.clear();
    manifest.backup = Some(mark);
    manifest.write(disk, to).map_err(BackupError::Manifest)?;
    clean(disk, to, &manifest);
    Ok(Backup {
        taken: now,
        rows: copyable.rows,
        files: counts.files,
        bytes: counts.bytes,
        files_copied: counts.files_copied,
        bytes_copied: counts.bytes_copied,
    })
}

/// Makes `to` ready, and gives what it holds: a backup, or the mark that one was begun.
fn begin(disk: &dyn Disk, to: &Path) -> Result<(File, Manifest), BackupError> {
    if is_free(to)? {
        disk.make_folders(to).map_err(failed("make the folder", to))?;
        let lock = lock(to).map_err(BackupError::Open)?;
        let mut manifest = Manifest::empty();
        manifest.backup = Some(BackupMark::default());
        manifest.write(disk, to).map_err(BackupError::Manifest)?;
        return Ok((lock, manifest));
    }
    // Before anything is changed there: whose is it?
    if !Manifest::exists(to).map_err(failed("look into", to))? {
        return Err(BackupError::NotOurs(to.to_owned()));
    }
    let lock = lock(to).map_err(BackupError::Open)?;
    let manifest = Manifest::read(to).map_err(BackupError::Manifest)?;
    match manifest.backup {
        Some(_) => Ok((lock, manifest)),
        None => Err(BackupError::NotOurs(to.to_owned())),
    }
}

/// Whether there is nothing at `to`, or a folder without anything that would count.
fn is_free(to: &Path) -> Result<bool, BackupError> {
    // What a stop right at the beginning leaves behind.
    let begun = ["LOCK", "manifest.tmp"];
    match fs::read_dir(to) {
        Ok(entries) => Ok(entries.flatten().all(|entry| begun.iter().any(|name| entry.file_name() == *name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(failed("look into", to)(source)),
    }
}

/// Removes from the backup `to` what its `manifest` does not list.
fn clean(disk: &dyn Disk, to: &Path, manifest: &Manifest) {
    let marked = manifest.backup.iter().flat_map(|backup| &backup.files).map(|copied| &copied.file);
    let listed: HashSet<PathBuf> =
        manifest.segments().flat_map(Segment::files).chain(marked).map(|file| to.join(file)).collect();
    segment::remove_unlisted(segment::Place { disk, dir: to }, 0, &listed);
    for folder in ["latest", "log"] {
        for entry in fs::read_dir(to.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            if segment::number_of(&path).is_some() && !listed.contains(&path) {
                remove(disk, &path);
            }
        }
    }
}

/// Makes the data directory `dir`, which is about to be written to, one of its own if it is a backup.
///
/// # Errors
/// When there is no whole backup, or the disk refuses.
pub(crate) fn adopt(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let mut manifest = Manifest::read(dir).map_err(OpenError::Manifest)?;
    let Some(backup) = manifest.backup.take() else { return Ok(()) };
    if backup.taken_ns.is_none() {
        return Err(OpenError::Recover(RecoverError::UnfinishedBackup(dir.to_owned())));
    }
    // What a later backup, which was cut off, left of the log would count as soon as the mark is gone.
    let folder = dir.join("log");
    let refused = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::File { operation, path, source }
    };
    for (number, path) in log::files(&folder).map_err(refused("look into", &folder))? {
        if number >= backup.log_end {
            disk.remove(&path).map_err(refused("remove", &path))?;
        }
    }
    manifest.write(disk, dir).map_err(OpenError::Manifest)
}

/// Copies the backup `from` to `to`, which becomes a data directory with exactly its rows.
///
/// # Errors
/// See [`BackupError`]; nothing is left in `to` then.
pub fn restore(from: &Path, to: &Path, disk: &Arc<dyn Disk>) -> Result<Restored, BackupError> {
    let _from_lock = share(from)?;
    if !Manifest::exists(from).map_err(failed("look into", from))? {
        return Err(BackupError::NoBackup(from.to_owned()));
    }
    let mut manifest = Manifest::read(from).map_err(BackupError::Manifest)?;
    let Some(mark) = manifest.backup.take() else { return Err(BackupError::NoBackup(from.to_owned())) };
    let Some(taken_ns) = mark.taken_ns else {
        return Err(BackupError::Unfinished(from.to_owned()));
    };
    if !is_free(to)? {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    disk.make_folders(to).map_err(failed("make the folder", to))?;
    let _to_lock = lock(to).map_err(BackupError::Open)?;
    let restored = copy_back(&manifest, &mark, from, &**disk, to);
    if restored.is_err() {
        // The folder was empty: everything in it is from here.
        for folder in ["segments", "rollups", "latest", "log"] {
            let _ = fs::remove_dir_all(to.join(folder));
        }
        let _ = fs::remove_file(to.join("LOCK"));
    }
    let counts = restored?;
    let (state, _, _) = recover(to, usize::MAX).map_err(BackupError::Recover)?;
    let in_log: usize = state.tables.values().map(|table| Generation::rows(&table.hot)).sum();
    let in_segments: u64 = manifest.segments().map(|segment| segment.rows).sum();
    Ok(Restored {
        taken: Timestamp::from_nanos(taken_ns),
        rows: in_segments + in_log as u64,
        rows_expected: mark.rows,
        files: counts.files,
        bytes: counts.bytes,
    })
}

fn copy_back(
    manifest: &Manifest,
    mark: &BackupMark,
    from: &Path,
    disk: &dyn Disk,
    to: &Path,
) -> Result<Counts, BackupError> {
    make_folders(disk, to)?;
    let nothing = Manifest::empty();
    let mut copying = Copying::new(disk, from, to, &nothing);
    for segment in manifest.segments() {
        copying.segment(&SegmentFile::new(from, segment.clone()))?;
    }
    for marked in &mark.files {
        let copied = copying.records(&marked.file)?;
        if copied.is_some_and(|copied| copied != *marked) {
            copying.damaged(from.join(&marked.file), "it is not what was copied");
        }
    }
    let counts = copying.end()?;
    manifest.write(disk, to).map_err(BackupError::Manifest)?;
    Ok(counts)
}

/// Makes the folders that every data directory has.
fn make_folders(disk: &dyn Disk, dir: &Path) -> Result<(), BackupError> {
    for folder in ["log", "segments", "latest"] {
        let folder = dir.join(folder);
        disk.make_folders(&folder).map_err(failed("make the folder", &folder))?;
    }
    Ok(())
}

/// Keeps backups from being written to `from` while it is read; on a medium that cannot be written to, nobody does.
fn share(from: &Path) -> Result<Option<File>, BackupError> {
    let Ok(lock) = File::open(from.join("LOCK")) else { return Ok(None) };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(fs::TryLockError::WouldBlock) => Err(BackupError::Open(OpenError::InUse(from.to_owned()))),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// Files and bytes, all of them and those that were copied.
#[derive(Debug, Default)]
struct Counts {
    files: u64,
    bytes: u64,
    files_copied: u64,
    bytes_copied: u64,
}

/// Copies file by file, goes on where one cannot be read, and tells in the end.
struct Copying<'a> {
    disk: &'a dyn Disk,
    from: &'a Path,
    to: &'a Path,
    /// What the backup in `to` lists: none of it is ever touched.
    listed: HashMap<&'a Path, (u64, Option<Checks>)>,
    listed_records: HashMap<&'a Path, &'a CopiedFile>,
    counts: Counts,
    damages: Damages,
}

impl<'a> Copying<'a> {
    fn new(disk: &'a dyn Disk, from: &'a Path, to: &'a Path, before: &'a Manifest) -> Self {
        let segments = before.segments();
        let listed = segments.flat_map(|segment| {
            let own = (segment.file.as_path(), (segment.bytes, segment.checks));
            let rollup = |rollup: &'a segment::Rollup| (rollup.file.as_path(), (rollup.bytes, Some(rollup.checks)));
            std::iter::once(own).chain(segment.rollups.iter().map(rollup))
        });
        let records = before.backup.iter().flat_map(|backup| &backup.files);
        let listed_records = records.map(|copied| (copied.file.as_path(), copied)).collect();
        let (listed, counts, damages) = (listed.collect(), Counts::default(), Damages::default());
        Self { disk, from, to, listed, listed_records, counts, damages }
    }

    fn damaged(&mut self, path: PathBuf, reason: impl fmt::Display) {
        self.damages.0.push((path, reason.to_string()));
    }

    fn other_data(&self, file: &Path) -> BackupError {
        BackupError::OtherData { dir: self.to.to_owned(), file: file.to_owned() }
    }

    /// Copies a segment with its roll-ups.
    fn segment(&mut self, segment: &SegmentFile) -> Result<(), BackupError> {
        let stored = segment.stored();
        let facts = (stored.bytes, stored.checks, stored.rows);
        self.checked(&stored.file, facts, || segment.open())?;
        for (file, stored) in segment.rollups.iter().zip(&stored.rollups) {
            let facts = (stored.bytes, Some(stored.checks), stored.rows);
            self.checked(&stored.file, facts, || file.open())?;
        }
        Ok(())
    }

    /// Copies a Parquet file, unless it is there.
    fn checked(
        &mut self,
        file: &Path,
        (bytes, checks, rows): (u64, Option<Checks>, u64),
        open: impl FnOnce() -> io::Result<CheckedFile>,
    ) -> Result<(), BackupError> {
        if self.listed.get(file).is_some_and(|listed| *listed != (bytes, checks)) {
            return Err(self.other_data(file));
        }
        self.count(bytes);
        let (from, to) = (self.from.join(file), self.to.join(file));
        if let Some(checks) = checks
            && segment::is_whole(&to, bytes, checks)
        {
            return Ok(());
        }
        self.make_folder(&to)?;
        match self.pass(open, &to, bytes, rows)? {
            Ok(()) => self.count_copied(bytes),
            Err(reason) => self.damaged(from, reason),
        }
        Ok(())
    }

    /// Writes to `to` what `open` gives, as it reads it; or tells why that cannot be read.
    fn pass(
        &self,
        open: impl FnOnce() -> io::Result<CheckedFile>,
        to: &Path,
        bytes: u64,
        rows: u64,
    ) -> Result<Result<(), String>, BackupError> {
        let source = match open() {
            Ok(source) => source,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let held = source.metadata().file_metadata().num_rows();
        if u64::try_from(held) != Ok(rows) {
            return Ok(Err(format!("it has {held} rows, and should have {rows}")));
        }
        let unwritten = failed("write", to);
        let mut source = match source.get_read(0) {
            Ok(source) => source,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut output = NewFile::create(self.disk, to).map_err(unwritten.clone())?;
        let (mut piece, mut copied) = (vec![0; PIECE_BYTES], 0);
        loop {
            match source.read(&mut piece) {
                Ok(0) if copied == bytes => break,
                Ok(0) => return Ok(Err(format!("it has {copied} bytes, and should have {bytes}"))),
                Ok(length) => {
                    output.write_all(&piece[..length]).map_err(unwritten.clone())?;
                    copied += length as u64;
                }
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        output.put().map_err(unwritten)?;
        Ok(Ok(()))
    }

    /// Copies a file of log records, unless it is there. None if it cannot be read whole.
    fn records(&mut self, file: &Path) -> Result<Option<CopiedFile>, BackupError> {
        let (from, to) = (self.from.join(file), self.to.join(file));
        let content = match readable(&from, file) {
            Ok(content) => content,
            Err(reason) => {
                self.damaged(from, reason);
                return Ok(None);
            }
        };
        let copied =
            CopiedFile { file: file.to_owned(), bytes: content.len() as u64, crc32: crc32fast::hash(&content) };
        if self.listed_records.get(file).is_some_and(|listed| **listed != copied) {
            return Err(self.other_data(file));
        }
        self.count(copied.bytes);
        if fs::read(&to).is_ok_and(|there| there == content) {
            return Ok(Some(copied));
        }
        self.make_folder(&to)?;
        put_file(self.disk, &to, &[&content]).map_err(failed("write", &to))?;
        self.count_copied(copied.bytes);
        Ok(Some(copied))
    }

    fn make_folder(&self, path: &Path) -> Result<(), BackupError> {
        let folder = path.parent().unwrap_or(self.to);
        self.disk.make_folders(folder).map_err(failed("make the folder", folder))
    }

    fn count(&mut self, bytes: u64) {
        self.counts.files += 1;
        self.counts.bytes += bytes;
    }

    fn count_copied(&mut self, bytes: u64) {
        self.counts.files_copied += 1;
        self.counts.bytes_copied += bytes;
    }

    fn end(self) -> Result<Counts, BackupError> {
        if self.damages.0.is_empty() { Ok(self.counts) } else { Err(BackupError::Damaged(self.damages)) }
    }
}

/// The bytes of a file of records, if all of them read; a log file may end with a write that a stop cut short.
fn readable(path: &Path, file: &Path) -> Result<Vec<u8>, String> {
    let may_be_torn = file.starts_with("log");
    let damages = log::read_records(path, |_, _| true).map_err(|error| error.to_string())?;
    match damages.iter().find(|damage| damage.inside || !may_be_torn) {
        Some(damage) => Err(format!("the {} bytes at {} are damaged", damage.bytes, damage.offset)),
        None => fs::read(path).map_err(|error| error.to_string()),
    }
}

/// The path of a file in `dir`, relative to it.
fn within(dir: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(dir).unwrap_or(path).to_owned()
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError + Clone + use<> {
    let path = path.to_owned();
    move |source| BackupError::File { operation, path: path.clone(), source }
}

fn remove(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(path = %path.display(), %error, "failed to remove a file that the backup no longer needs");
    }
}
