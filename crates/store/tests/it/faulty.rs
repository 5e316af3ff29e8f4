//! A disk that fails at chosen operations, lies about what it wrote, and forgets at a power cut what was not made durable.
//! It keeps, beside the files themselves, what of each is durable; a cut puts that in their place. Must not know what
//! the store writes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use store::{Disk, DiskFile};

/// A generator of numbers from a seed: every scenario can be run again.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No room for so many operations; half of what is appended gets through.
    Full { operations: u64 },
    /// One append writes half of its bytes and fails.
    ShortWrite,
    /// One sync fails, and what was not synced is never durable.
    Sync,
    /// One file gets no other name.
    Rename,
    /// One file stays where it is.
    Remove,
    /// A name is changed or made, and then it cannot be said whether that is durable.
    FolderSync,
    /// One bit of what is appended is another one; nobody is told.
    Flip,
    /// Many bytes of what is appended are others; nobody is told.
    Scribble,
}

impl Fault {
    /// Whether the disk says nothing of it.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::Flip | Self::Scribble)
    }
}

/// A fault that an operation met.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) fault: Fault,
    /// The file; of a lie, as it is called now.
    pub(crate) path: PathBuf,
    /// What the error says, which no other one says.
    pub(crate) tag: String,
    /// Of a disk that lied: where it wrote what it was not told to, and what it wrote.
    pub(crate) lie: Option<Lie>,
}

#[derive(Debug, Clone)]
pub(crate) struct Lie {
    pub(crate) offset: u64,
    pub(crate) told: Vec<u8>,
    pub(crate) written: Vec<u8>,
}

impl Lie {
    /// Whether it is still there in the file at `path`.
    pub(crate) fn is_in(&self, path: &Path) -> bool {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.get(self.offset as usize..).is_some_and(|rest| rest.starts_with(&self.written))
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct FaultyDisk(Arc<Mutex<Medium>>);

struct Medium {
    random: Random,
    operations: u64,
    /// From which operation on the next fault that fits happens.
    planned: Vec<(u64, Fault)>,
    full_until: u64,
    seed: u64,
    happened: Vec<Happened>,
    /// The log file that was appended to last.
    last_log: Option<PathBuf>,
    is_cut: bool,
    is_read_only: bool,
    /// How much room there is, where that is of interest.
    free_bytes: Option<u64>,
    /// What would be there after a power cut.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// Names that were removed or replaced, and may be there again.
    ghosts: BTreeMap<PathBuf, Vec<u8>>,
    /// Bytes that were appended and not synced, at most one stretch per file.
    unsynced: BTreeMap<PathBuf, Vec<u8>>,
}

/// What an operation does, as far as faults tell operations apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Append,
    Sync,
    Rename,
    Remove,
}

impl FaultyDisk {
    pub(crate) fn new(seed: u64, planned: Vec<(u64, Fault)>) -> Self {
        Self(Arc::new(Mutex::new(Medium {
            random: Random(seed),
            seed,
            operations: 0,
            planned,
            full_until: 0,
            happened: Vec::new(),
            last_log: None,
            is_cut: false,
            is_read_only: false,
            free_bytes: None,
            durable: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            unsynced: BTreeMap::new(),
        })))
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap()
    }

    pub(crate) fn happened(&self) -> Vec<Happened> {
        self.medium().happened.clone()
    }

    /// The log file that was appended to last.
    pub(crate) fn last_log(&self) -> Option<PathBuf> {
        self.medium().last_log.clone()
    }

    /// The power fails: nothing works any more.
    pub(crate) fn cut(&self) {
        self.medium().is_cut = true;
    }

    /// Works again, with all that was written.
    pub(crate) fn resume(&self) {
        self.medium().is_cut = false;
    }

    /// Takes nothing any more, or does again, as a file system does that was mounted anew.
    pub(crate) fn set_read_only(&self, is_read_only: bool) {
        self.medium().is_read_only = is_read_only;
    }

    /// Tells that there is so much room.
    pub(crate) fn set_free_bytes(&self, bytes: Option<u64>) {
        self.medium().free_bytes = bytes;
    }

    /// Puts what is durable in the place of what is below `dir`, and works again.
    pub(crate) fn restore(&self, dir: &Path) {
        let mut medium = self.medium();
        for path in files(dir).into_iter().filter(|path| path.file_name().is_none_or(|name| name != "LOCK")) {
            fs::remove_file(path).unwrap();
        }
        let ghosts = std::mem::take(&mut medium.ghosts);
        for (path, bytes) in ghosts {
            if medium.random.one_in(2) {
                medium.durable.entry(path).or_insert(bytes);
            }
        }
        let unsynced = std::mem::take(&mut medium.unsynced);
        let mut durable = medium.durable.clone();
        for (path, bytes) in &mut durable {
            // Some of what was written may have come through.
            if let Some(more) = unsynced.get(path) {
                let length = medium.random.below(more.len() as u64 + 1) as usize;
                bytes.extend_from_slice(&more[..length]);
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        medium.is_cut = false;
        medium.full_until = 0;
        medium.planned.clear();
    }
}

/// All files below `dir`.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

impl Medium {
    /// Counts an operation; the fault that it meets.
    fn meet(&mut self, operation: Operation, path: &Path) -> io::Result<Option<Fault>> {
        if self.is_cut {
            return Err(io::Error::other("the power is gone"));
        }
        if self.is_read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.operations += 1;
        let takes_room = matches!(operation, Operation::Create | Operation::Append);
        if self.operations < self.full_until && takes_room {
            return Ok(Some(Fault::Full { operations: 0 }));
        }
        let fits = |fault: &Fault| match fault {
            Fault::Full { .. } => takes_room,
            Fault::ShortWrite | Fault::Flip | Fault::Scribble => operation == Operation::Append,
            Fault::Sync => operation == Operation::Sync,
            Fault::Rename => operation == Operation::Rename,
            Fault::Remove => operation == Operation::Remove && path.exists(),
            Fault::FolderSync => matches!(operation, Operation::Create | Operation::Rename),
        };
        let next = self.planned.iter().position(|(at, fault)| *at <= self.operations && fits(fault));
        let Some((_, fault)) = next.map(|place| self.planned.remove(place)) else { return Ok(None) };
        if let Fault::Full { operations } = fault {
            self.full_until = self.operations + operations;
        }
        let tag = format!("[fault {} of scenario {}]", self.happened.len() + 1, self.seed);
        self.happened.push(Happened { fault, path: path.to_owned(), tag, lie: None });
        Ok(Some(fault))
    }

    /// What an operation says that met the fault which happened last.
    fn error(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        let tag = self.happened.last().map_or("", |last| &last.tag);
        io::Error::new(kind, format!("{what} {tag}"))
    }

    /// The same for a disk that is full: for as long as that lasts.
    fn full(&self) -> io::Error {
        let full = self.happened.iter().rev().find(|happened| matches!(happened.fault, Fault::Full { .. }));
        io::Error::new(io::ErrorKind::StorageFull, format!("no room {}", full.map_or("", |full| &full.tag)))
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut medium = self.medium();
        let fault = medium.meet(Operation::Create, path)?;
        if matches!(fault, Some(Fault::Full { .. })) {
            return Err(medium.full());
        }
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        if fault != Some(Fault::FolderSync) || medium.random.one_in(2) {
            medium.durable.insert(path.to_owned(), Vec::new());
        }
        if fault == Some(Fault::FolderSync) {
            return Err(medium.error(io::ErrorKind::Other, "the folder cannot be synced"));
        }
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file, synced: 0 }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut medium = self.medium();
        let fault = medium.meet(Operation::Rename, from)?;
        if fault == Some(Fault::Rename) {
            return Err(medium.error(io::ErrorKind::Other, "the name cannot be changed"));
        }
        fs::rename(from, to)?;
        let lies = medium.happened.iter_mut().filter(|happened| happened.lie.is_some() && happened.path == *from);
        lies.for_each(|happened| happened.path = to.to_owned());
        let moved = medium.unsynced.remove(from);
        medium.unsynced.remove(to);
        medium.unsynced.extend(moved.map(|bytes| (to.to_owned(), bytes)));
        if fault != Some(Fault::FolderSync) || medium.random.one_in(2) {
            let bytes = medium.durable.remove(from);
            medium.ghosts.remove(to);
            medium.durable.remove(to);
            medium.durable.extend(bytes.map(|bytes| (to.to_owned(), bytes)));
        }
        if fault == Some(Fault::FolderSync) {
            Err(medium.error(io::ErrorKind::Other, "the folder cannot be synced"))
        } else {
            Ok(())
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut medium = self.medium();
        if medium.meet(Operation::Remove, path)? == Some(Fault::Remove) {
            return Err(medium.error(io::ErrorKind::Other, "the file cannot be removed"));
        }
        fs::remove_file(path)?;
        medium.unsynced.remove(path);
        // Nobody made the folder durable.
        if let Some(bytes) = medium.durable.remove(path) {
            medium.ghosts.insert(path.to_owned(), bytes);
        }
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> Option<u64> {
        let medium = self.medium();
        let roomy = medium.free_bytes.unwrap_or(1 << 40);
        Some(if medium.operations < medium.full_until { 0 } else { roomy })
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: File,
    /// How much was synced.
    synced: u64,
}

impl DiskFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut medium = self.disk.medium();
        let fault = medium.meet(Operation::Append, &self.path)?;
        let mut written = bytes.to_vec();
        match fault {
            Some(Fault::Full { .. } | Fault::ShortWrite) => written.truncate(bytes.len() / 2),
            Some(Fault::Flip) => {
                let place = medium.random.below(bytes.len() as u64) as usize;
                written[place] ^= 1 << medium.random.below(8);
            }
            Some(Fault::Scribble) => {
                let start = medium.random.below(bytes.len() as u64) as usize;
                written[start..].iter_mut().take(64).for_each(|byte| *byte = byte.wrapping_mul(7).wrapping_add(3));
            }
            _ => {}
        }
        if self.path.parent().is_some_and(|folder| folder.ends_with("log")) {
            medium.last_log = Some(self.path.clone());
        }
        if written.len() == bytes.len() && written != bytes {
            let lie = Lie { offset: self.file.metadata()?.len(), told: bytes.to_vec(), written: written.clone() };
            medium.happened.last_mut().expect("it has just happened").lie = Some(lie);
        }
        self.file.write_all(&written)?;
        medium.unsynced.entry(self.path.clone()).or_default().extend_from_slice(&written);
        match fault {
            Some(Fault::Full { .. }) => Err(medium.full()),
            Some(Fault::ShortWrite) => Err(medium.error(io::ErrorKind::Other, "the write was cut short")),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut medium = self.disk.medium();
        let fault = medium.meet(Operation::Sync, &self.path)?;
        let unsynced = medium.unsynced.remove(&self.path);
        if fault == Some(Fault::Sync) {
            return Err(medium.error(io::ErrorKind::Other, "the medium is gone"));
        }
        if unsynced.is_some() {
            let mut bytes = Vec::new();
            self.file.seek(SeekFrom::Start(0))?;
            self.file.read_to_end(&mut bytes)?;
            self.synced = bytes.len() as u64;
            if let Some(durable) = medium.durable.get_mut(&self.path) {
                *durable = bytes;
            }
        }
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut medium = self.disk.medium();
        if medium.is_cut {
            return Err(io::Error::other("the power is gone"));
        }
        self.file.set_len(bytes)?;
        let kept = bytes.saturating_sub(self.synced) as usize;
        if let Some(unsynced) = medium.unsynced.get_mut(&self.path) {
            unsynced.truncate(kept);
        }
        Ok(())
    }
}
