//! What a data directory holds: profiles, segments, where the log begins, how far sources have been read. Replaced as a
//! whole, atomically; what it does not list does not count.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, put_file};
use crate::segment::{Segment, flipped_bit};
use crate::stored::StoredProfile;

/// The name of the manifest in a data directory.
pub(crate) const FILE: &str = "manifest.json";
/// The name of its copy, for the case that the manifest itself is damaged.
pub(crate) const COPY: &str = "manifest.copy.json";
/// What is written. Format 1 had no checksums, roll-ups or retired files; it is read as one that has none.
const FORMAT: u32 = 2;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    /// The CRC-32 of the text, with zeros in its own place. Unknown of format 1.
    #[serde(default = "unknown_checksum")]
    checksum: String,
    /// Whether a flipped bit was set right in it.
    #[serde(skip)]
    is_mended: bool,
    pub(crate) tables: Vec<ManifestTable>,
    /// Log files before this number are in segments.
    pub(crate) log_first: u64,
    /// Segments with this number or a higher one that are not listed are unfinished.
    pub(crate) segment_next: u64,
    /// The file with the latest values as of the last segment, relative to the data directory.
    pub(crate) latest: Option<PathBuf>,
    /// Positions of sources as of the last segment.
    pub(crate) cursors: BTreeMap<String, String>,
    /// No row in the segments came in later, in nanoseconds since the epoch. Unknown where an older program wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) received_max_ns: Option<i64>,
    /// Files that count no more, because others have their rows or nobody wants them, and that may still be read by
    /// somebody who began before.
    #[serde(default)]
    pub(crate) retired: Vec<PathBuf>,
    /// Files that count no more because they are damaged, and that are still to be put aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) quarantined: Vec<PathBuf>,
    /// Whether this is a backup, and of when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backup: Option<BackupMark>,
}

/// What makes a data directory a backup: nobody writes to it but backups, see [`crate::backup`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupMark {
    /// When it was asked for, in nanoseconds since the epoch: everything acknowledged before is in it. None before the
    /// first one is whole.
    pub(crate) taken_ns: Option<i64>,
    /// All rows, in segments and in the log.
    pub(crate) rows: u64,
    /// Log files from this number on are of a later backup, which was not finished.
    pub(crate) log_end: u64,
    /// The log files and the latest values, which have no checksum of the whole in themselves.
    pub(crate) files: Vec<CopiedFile>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopiedFile {
    /// The file, relative to the data directory.
    pub(crate) file: PathBuf,
    /// How large it is.
    pub(crate) bytes: u64,
    /// The checksum of all of it.
    pub(crate) crc32: u32,
}

/// What stands in the place of a checksum while it is calculated.
fn unknown_checksum() -> String {
    "00000000".to_owned()
}

/// Where the digits of the checksum stand, in a text that has one.
fn checksum_place(text: &[u8]) -> Option<Range<usize>> {
    let before = br#""checksum": ""#;
    let start = text.windows(before.len()).position(|bytes| bytes == before)? + before.len();
    (start + 8 <= text.len()).then_some(start..start + 8)
}

/// Compares a text with the checksum in it, and sets one flipped bit right: whether it did. A text without a checksum is
/// taken as it is.
fn check(text: &mut [u8]) -> Result<bool, ()> {
    let Some(place) = checksum_place(text) else { return Ok(false) };
    let mut zeroed = text.to_vec();
    zeroed[place.clone()].fill(b'0');
    let found = crc32fast::hash(&zeroed);
    let (told, right) = (&text[place.clone()], format!("{found:08x}"));
    if told == right.as_bytes() || told == b"00000000" {
        return Ok(false);
    }
    let differing = told.iter().zip(right.as_bytes()).map(|(one, other)| (one ^ other).count_ones());
    if differing.sum::<u32>() == 1 {
        return Ok(true);
    }
    let expected = std::str::from_utf8(told).ok().and_then(|told| u32::from_str_radix(told, 16).ok()).ok_or(())?;
    let (at, bit) = flipped_bit(&zeroed, expected).filter(|(at, _)| !place.contains(at)).ok_or(())?;
    text[at] ^= 1 << bit;
    Ok(true)
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
    /// It is not what was written.
    #[error("`{path}` is damaged: its checksum does not fit; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The directory was written by another version of the program.
    #[error("`{path}` has format {found}, this program reads formats 1 to {FORMAT}: use a newer program")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it says.
        found: u32,
    },
}

impl Manifest {
    pub(crate) fn empty() -> Self {
        Self {
            format: FORMAT,
            checksum: unknown_checksum(),
            is_mended: false,
            tables: Vec::new(),
            log_first: 1,
            segment_next: 1,
            latest: None,
            cursors: BTreeMap::new(),
            received_max_ns: None,
            retired: Vec::new(),
            quarantined: Vec::new(),
            backup: None,
        }
    }

    /// The manifest of `dir`; an empty one if there is none.
    pub(crate) fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(FILE);
        match Self::read_file(&path) {
            Err(ManifestError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Self::empty()),
            Err(damaged @ (ManifestError::Content { .. } | ManifestError::Damaged { .. })) => {
                let copy = Self::read_file(&dir.join(COPY)).map_err(|_| damaged)?;
                tracing::error!(path = %path.display(), "the manifest is damaged, and its copy is used");
                Ok(copy)
            }
            read => read,
        }
    }

    /// What is wrong with the manifest of `dir` and its copy, though one of them can be read.
    pub(crate) fn faults(dir: &Path) -> Vec<(&'static str, ManifestError)> {
        let fault = |name| match Self::read_file(&dir.join(name)) {
            // Format 1 had no copy.
            Err(ManifestError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some((name, error)),
            Ok(manifest) if manifest.is_mended => Some((name, ManifestError::Damaged { path: dir.join(name) })),
            Ok(_) => None,
        };
        [FILE, COPY].into_iter().filter_map(fault).collect()
    }

    /// Whether the manifest of `dir` has a copy that says something else, or one of them is damaged. Nothing that either
    /// lists may be removed then.
    pub(crate) fn is_half_written(dir: &Path) -> bool {
        let [manifest, copy] = [FILE, COPY].map(|name| fs::read(dir.join(name)).ok());
        let should_have_copy = manifest.as_ref().is_some_and(|text| checksum_place(text).is_some());
        (should_have_copy && copy != manifest) || !Self::faults(dir).is_empty()
    }

    fn read_file(path: &Path) -> Result<Self, ManifestError> {
        let failed = |source| ManifestError::File { operation: "read", path: path.to_owned(), source };
        let mut text = fs::read(path).map_err(failed)?;
        let is_mended = check(&mut text).map_err(|()| ManifestError::Damaged { path: path.to_owned() })?;
        // The format comes first: a newer one may have fields that this program does not know.
        let content = |source| ManifestError::Content { path: path.to_owned(), source };
        let head: Head = serde_json::from_slice(&text).map_err(content)?;
        if !(1..=FORMAT).contains(&head.format) {
            return Err(ManifestError::Format { path: path.to_owned(), found: head.format });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(content)?;
        Ok(Self { format: FORMAT, is_mended, ..manifest })
    }

    /// Whether `dir` holds a manifest.
    ///
    /// # Errors
    /// When that cannot be said.
    pub(crate) fn exists(dir: &Path) -> io::Result<bool> {
        dir.join(FILE).try_exists()
    }

    /// Puts this manifest in place of the one before.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), ManifestError> {
        let without = Self { checksum: unknown_checksum(), ..self.clone() };
        let mut text = serde_json::to_vec_pretty(&without).expect("a manifest has only texts and numbers");
        let checksum = format!("{:08x}", crc32fast::hash(&text));
        let place = checksum_place(&text).expect("the field was written");
        text[place].copy_from_slice(checksum.as_bytes());
        // Nothing that the one before needs is removed until both are there.
        for name in [FILE, COPY] {
            let path = dir.join(name);
            let put = put_file(disk, &path, &[&text]);
            put.map_err(|source| ManifestError::File { operation: "write", path, source })?;
        }
        Ok(())
    }

    /// Where the log ends, if it does not end with its last file.
    pub(crate) fn log_end(&self) -> u64 {
        self.backup.as_ref().map_or(u64::MAX, |backup| backup.log_end)
    }

    /// All segments, of all tables.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.tables.iter().flat_map(|table| &table.segments)
    }
}
