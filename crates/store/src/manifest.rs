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
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|source| ManifestError::Content { path: path.clone(), source })?;
        if manifest.format != FORMAT {
            return Err(ManifestError::Format { path, found: manifest.format });
        }
        Ok(manifest)
    }

    /// Whether `dir` holds a manifest.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(FILE).is_file()
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
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}
