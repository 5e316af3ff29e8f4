//! The disk as a parameter: what the log needs of one, and no more. Tests put a disk here that is full or that lies.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes files.
pub trait Disk: Send + Sync + 'static {
    /// Makes the new file `path` for appending, and makes its name durable.
    ///
    /// # Errors
    /// When the file exists already, or cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
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
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
