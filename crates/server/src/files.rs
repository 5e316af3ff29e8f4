//! Small files that are replaced as a whole. Must not know what is in them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Puts `bytes` in place of the file at `path`, all or nothing; when it returns, that is durable.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // Elsewhere a folder cannot be synced, and need not be.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
