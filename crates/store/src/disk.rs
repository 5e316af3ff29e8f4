//! The disk as a parameter: all that the store changes on one goes through here. Tests put a disk here that is full, that
//! forgets or that lies. Reading needs no such seam: what a disk did wrong is found by checksums.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes, names and removes files.
pub trait Disk: Send + Sync + 'static {
    /// Makes the new file `path` for appending, and makes its name durable.
    ///
    /// # Errors
    /// When the file exists already, or cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives the file `from` the name `to`, in place of what may stand there, and makes that durable.
    ///
    /// # Errors
    /// When it may still have its old name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    /// Removes the file `path`.
    ///
    /// # Errors
    /// When it is still there.
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    /// Makes the folder `path` and those above it, each name durable; those that are there already are left alone.
    ///
    /// # Errors
    /// When one cannot be made.
    fn make_folders(&self, path: &Path) -> io::Result<()> {
        SystemDisk.make_folders(path)
    }

    /// How much room there is below the folder `path`, as far as that can be said.
    fn free_bytes(&self, path: &Path) -> Option<u64> {
        SystemDisk.free_bytes(path)
    }
}

/// A file that grows at its end.
pub trait DiskFile: Send {
    /// Adds `bytes` at the end.
    ///
    /// # Errors
    /// When not all of them could be written; part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything appended is on the medium.
    ///
    /// # Errors
    /// When that cannot be said; nothing appended since the last sync may be counted on.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes back what stands behind the first `bytes` bytes.
    ///
    /// # Errors
    /// When it may still be there.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
}

/// The disk of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        sync_parent(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        if from.parent() != to.parent() {
            sync_parent(from)?;
        }
        sync_parent(to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_folders(parent)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        sync_parent(path)
    }

    #[cfg(unix)]
    fn free_bytes(&self, path: &Path) -> Option<u64> {
        let room = rustix::fs::statvfs(path).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }

    #[cfg(not(unix))]
    fn free_bytes(&self, _: &Path) -> Option<u64> {
        None
    }
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// Makes the names in the folder of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Bytes that are gathered before they are written.
const OUTPUT_BYTES: usize = 256 << 10;

/// A file that gets its name only when it is whole and durable. Dropped before, it leaves nothing behind that would take
/// the room that the log needs.
pub(crate) struct NewFile<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    waiting: Vec<u8>,
    is_put: bool,
}

impl<'a> NewFile<'a> {
    /// A file that will be `path`.
    pub(crate) fn create(disk: &'a dyn Disk, path: &Path) -> io::Result<Self> {
        let temporary = path.with_extension("tmp");
        // What a stop left there is in nobody's way but ours.
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&temporary).inspect_err(|_| take_away(disk, &temporary))?;
        let waiting = Vec::with_capacity(OUTPUT_BYTES);
        Ok(Self { disk, path: path.to_owned(), temporary, file, waiting, is_put: false })
    }

    /// Makes it durable under its name, in place of what may stand there.
    pub(crate) fn put(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()?;
        self.disk.rename(&self.temporary, &self.path)?;
        self.is_put = true;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_put {
            take_away(self.disk, &self.temporary);
        }
    }
}

/// Removes what will not be finished. Where it stays, it takes room until somebody looks: so that is told.
fn take_away(disk: &dyn Disk, path: &Path) {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "failed to remove an unfinished file");
        }
        _ => {}
    }
}

impl Write for NewFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + bytes.len() > OUTPUT_BYTES {
            self.flush()?;
        }
        if bytes.len() >= OUTPUT_BYTES {
            self.file.append(bytes)?;
        } else {
            self.waiting.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.file.append(&self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }
}

/// Puts a file of `parts` at `path`, all or nothing.
pub(crate) fn put_file(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = NewFile::create(disk, path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.put()
}
