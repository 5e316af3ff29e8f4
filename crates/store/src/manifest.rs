//! What a data directory holds: profiles, segments, where the log begins, how far sources have been read. Replaced as a
//! whole, atomically; what it does not list does not count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::sync_parent;
use crate::segment::Segment;
use crate::stored::StoredProfile;

const FILE: &str = "manifest.json";
const FORMAT: u32 = 1;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    pub(crate) tables: Vec<ManifestTable>,
    /// Log files before this number are in segments.
    pub(crate) log_first: u64,
    pub(crate) segment_next: u64,
    /// The file with the latest values as of the last segment, relative to the data directory.
    pub(crate) latest: Option<PathBuf>,
    /// Positions of sources as of the last segment.
    pub(crate) cursors: BTreeMap<String, String>,
}

/// What every format of a manifest has.
#[derive(Debug, Deserialize)]
struct Head {
    format: u32,
}

/// One profile and its segments.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestTable {
    pub(crate) profile: StoredProfile,
    pub(crate) segments: Vec<Segment>,
}

/// Why a manifest could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
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
    /// The file does not read as a manifest.
    #[error("`{path}` is no manifest of a Tongmai data directory")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The directory was written by another version of the program.
    #[error("`{path}` has format {found}, this program reads format {FORMAT}: use a newer program")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it says.
        found: u32,
    },
}

impl Manifest {
    pub(crate) fn empty() -> Self {
        let (tables, cursors) = (Vec::new(), BTreeMap::new());
        Self { format: FORMAT, tables, log_first: 1, segment_next: 1, latest: None, cursors }
    }

    /// The manifest of `dir`; an empty one if there is none.
    pub(crate) fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty()),
            Err(source) => return Err(ManifestError::File { operation: "read", path, source }),
        };
        // The format comes first: a newer one may have fields that this program does not know.
        let content = |source| ManifestError::Content { path: path.clone(), source };
        let head: Head = serde_json::from_slice(&text).map_err(content)?;
        if head.format != FORMAT {
            return Err(ManifestError::Format { path, found: head.format });
        }
        serde_json::from_slice(&text).map_err(content)
    }

    /// Whether `dir` holds a manifest.
    ///
    /// # Errors
    /// When that cannot be said.
    pub(crate) fn exists(dir: &Path) -> io::Result<bool> {
        dir.join(FILE).try_exists()
    }

    /// Puts this manifest in place of the one before.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), ManifestError> {
        let text = serde_json::to_vec_pretty(self).expect("a manifest has only texts and numbers");
        replace_file(&dir.join(FILE), &text).map_err(|source| ManifestError::File {
            operation: "write",
            path: dir.join(FILE),
            source,
        })
    }
}

/// Puts a file of `bytes` at `path`, all or nothing.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // What is left of it takes the room that the log needs.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    fs::rename(&temporary, path)?;
    sync_parent(path)
}
