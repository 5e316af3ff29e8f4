//! Repair: makes a data directory whole again, without what cannot be read, and says exactly what that is. Nothing is
//! thrown away: damaged files are put aside. All of it is what an open store does by itself when it meets the damage;
//! this module asks for it at once, and must not know how it is done.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::recover::RecoverError;
use crate::salvage::Salvage;
use crate::segment;
use crate::store::{OpenError, Store, StoreOptions, SubmitError};
use crate::verify::{self, Report};

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// What was found before.
    pub found: Report,
    /// Segments that were damaged, and what became of them.
    pub salvaged: Vec<Salvage>,
    /// Files that counted for nothing and were put aside, relative to the data directory.
    pub put_aside: Vec<PathBuf>,
    /// What is to be found now.
    pub left: Report,
}

/// Why a data directory could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It cannot be looked into.
    #[error("failed to read the data directory")]
    Verify(#[source] RecoverError),
    /// It cannot be opened.
    #[error("failed to open the data directory for repair")]
    Open(#[source] OpenError),
    /// The disk refused.
    #[error("failed to {operation}; what was not repaired stays as it was")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: SubmitError,
    },
}

/// Repairs the data directory `dir`, which nobody else may have open.
///
/// # Errors
/// When it cannot be read or written; it can be tried again.
pub async fn repair(dir: &Path, disk: Arc<dyn Disk>) -> Result<Repair, RepairError> {
    let found = verify::verify(dir).map_err(RepairError::Verify)?;
    let (store, _) = Store::open(StoreOptions::new(dir), Arc::clone(&disk)).map_err(RepairError::Open)?;
    let repaired = repair_open(&store, &found).await;
    let put_aside = repaired.is_ok().then(|| put_aside(dir, &*disk)).transpose();
    store.close();
    let salvaged = repaired?;
    let put_aside = put_aside.map_err(RepairError::Verify)?.unwrap_or_default();
    let left = verify::verify(dir).map_err(RepairError::Verify)?;
    Ok(Repair { found, salvaged, put_aside, left })
}

async fn repair_open(store: &Store, found: &Report) -> Result<Vec<Salvage>, RepairError> {
    let mut salvaged = Vec::new();
    let mut seen: Vec<&Path> = Vec::new();
    for damage in found.damages().filter(|damage| damage.file.extension().is_some_and(|end| end == "parquet")) {
        if seen.contains(&&*damage.file) {
            continue;
        }
        seen.push(&damage.file);
        let outcome = store.quarantine(&damage.file).await;
        let operation = "save what can be read of a segment";
        salvaged.extend(outcome.map_err(|source| RepairError::Refused { operation, source })?);
    }
    // What can be read of damaged log files goes into segments, and so do latest values that were lost.
    let sealed = store.seal().await;
    sealed.map_err(|source| RepairError::Refused { operation: "write what the log holds to segments", source })?;
    Ok(salvaged)
}

/// Puts files aside that are no longer listed, or never were.
fn put_aside(dir: &Path, disk: &dyn Disk) -> Result<Vec<PathBuf>, RecoverError> {
    let mut moved = Vec::new();
    for file in verify::stray(dir)? {
        let to = segment::quarantine_path(dir, &file);
        let folder = to.parent().expect("the path was joined");
        match disk.make_folders(folder).and_then(|()| disk.rename(&dir.join(&file), &to)) {
            Ok(()) => moved.push(file),
            Err(source) => return Err(RecoverError::Log { path: dir.join(file), source }),
        }
    }
    Ok(moved)
}
