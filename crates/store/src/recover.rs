//! From a data directory to the state in memory: the manifest, the latest values, then the log. Reads, never writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Timestamp;

use crate::checkpoint;
use crate::codec::RecordError;
use crate::log::{self, Damage};
use crate::manifest::{Manifest, ManifestError};
use crate::received;
use crate::recollect::recollect;
use crate::record::{self, Definitions, Record};
use crate::segment::SegmentFile;
use crate::state::{State, Table};

/// What was found while opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Rows read back from the log.
    pub rows: u64,
    /// Stretches of the log that do not read. Those that are not `inside` are writes that a stop cut short; nothing in
    /// them had been acknowledged.
    pub damages: Vec<Damage>,
}

impl Recovery {
    /// Writes what was found into the program's log: damage as an error, an unfinished write as a remark.
    pub fn tell(&self) {
        for damage in &self.damages {
            let (path, offset, bytes) = (damage.path.display(), damage.offset, damage.bytes);
            if damage.inside {
                tracing::error!(%path, offset, bytes, "part of the log is damaged and was passed over");
            } else {
                tracing::info!(%path, offset, bytes, "the log ends with what does not read: a write that was cut short");
            }
        }
    }
}

/// Why a data directory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is nothing of ours.
    #[error("`{0}` is no Tongmai data directory: it has no manifest.json")]
    NoStore(PathBuf),
    /// A backup was begun there, and none was finished.
    #[error("`{0}` holds no backup yet: the first one was cut off; make it anew")]
    UnfinishedBackup(PathBuf),
    /// The manifest does not read.
    #[error("failed to read what the data directory holds")]
    Manifest(#[source] ManifestError),
    /// A profile in the manifest cannot be.
    #[error("failed to restore profile: {0}")]
    Profile(String),
    /// A log file does not read.
    #[error("failed to read the log `{path}`")]
    Log {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads all of `dir`; latest values may take `latest_bytes_max`, but for those that were kept before.
pub(crate) fn recover(dir: &Path, latest_bytes_max: usize) -> Result<(State, Manifest, Recovery), RecoverError> {
    let mut manifest = Manifest::read(dir).map_err(RecoverError::Manifest)?;
    if manifest.backup.as_ref().is_some_and(|backup| backup.taken_ns.is_none()) {
        return Err(RecoverError::UnfinishedBackup(dir.to_owned()));
    }
    let mut state = State::new(latest_bytes_max);
    for table in &manifest.tables {
        let profile = model::Profile::try_from(table.profile.clone());
        let profile = profile.map_err(|error| RecoverError::Profile(error.to_string()))?;
        let id = profile.id().into();
        let mut restored = Table::new(profile.into());
        table
            .segments
            .iter()
            .cloned()
            .for_each(|segment| restored.add_segment(Arc::new(SegmentFile::new(dir, segment))));
        state.tables.insert(id, restored);
    }
    see_received(&mut state, &manifest);
    let mut recovery = Recovery::default();
    if let Some(latest) = manifest.latest.clone()
        && let Err(error) = checkpoint::read(&dir.join(&latest), &mut state)
    {
        tracing::error!(%error, "the latest values are read from the segments");
        recollect(&mut state);
        // So that they are written anew with the next segments.
        manifest.latest = None;
    }
    for (source, position) in &manifest.cursors {
        state.cursors.insert(source.as_str().into(), position.as_str().into());
    }
    let folder = dir.join("log");
    for (number, path) in log::files(&folder).map_err(|source| RecoverError::Log { path: folder.clone(), source })? {
        if (manifest.log_first..manifest.log_end()).contains(&number) {
            replay(&path, &mut state, &mut recovery)?;
        }
    }
    Ok((state, manifest, recovery))
}

/// Takes in when the last row in the segments came in.
fn see_received(state: &mut State, manifest: &Manifest) {
    if let Some(nanos) = manifest.received_max_ns {
        return state.see_received(Timestamp::from_nanos(nanos));
    }
    // An older program has written it: each segment tells, or has to be looked into.
    let segments: Vec<_> = state.tables.values().flat_map(Table::segments).cloned().collect();
    for segment in segments {
        match segment.received_max().map_or_else(|| received::last_of(&segment), Ok) {
            Ok(last) => state.see_received(last),
            Err(error) => {
                let path = segment.path.display();
                tracing::error!(%path, %error, "a segment does not read; when its rows came in is not known");
                segment.suspect();
            }
        }
    }
}

fn replay(path: &Path, state: &mut State, recovery: &mut Recovery) -> Result<(), RecoverError> {
    let mut definitions = Definitions::new();
    let damages = log::read_records(path, |bytes, offset| match replay_record(bytes, &mut definitions, state) {
        Ok(rows) => {
            recovery.rows += rows;
            true
        }
        Err(reason) => {
            tracing::error!(path = %path.display(), offset, reason, "a record of the log is not understood");
            false
        }
    });
    recovery.damages.extend(damages.map_err(|source| RecoverError::Log { path: path.to_owned(), source })?);
    Ok(())
}

fn replay_record(bytes: &[u8], definitions: &mut Definitions, state: &mut State) -> Result<u64, String> {
    match record::decode(bytes, definitions).map_err(|error: RecordError| error.to_string())? {
        Record::Profile => Ok(0),
        Record::Batch { batch, cursor } => {
            state.admit(&batch).map_err(|error| error.to_string())?;
            Ok(state.apply(&batch, cursor.as_ref()).accepted)
        }
    }
}
