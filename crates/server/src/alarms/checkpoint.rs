//! How far rules have come, in a file: what the engine remembers, the alarms that there are, and up to which receipt that is so.
//! What came in later is looked at once more after a restart.

use std::fs;
use std::io;
use std::path::Path;

use diagnosis::{Book, State};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files;

/// Stands at the beginning; another format gets another number.
const MAGIC: &[u8; 8] = b"TMDIAG\x00\x04";

/// See the module.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Rows that came in until then are in it, in nanoseconds.
    place: i64,
    pub(crate) engine: State,
    pub(crate) book: Book,
}

impl Checkpoint {
    pub(crate) fn new(place: Timestamp, engine: State, book: Book) -> Self {
        Self { place: place.nanos(), engine, book }
    }

    pub(crate) fn place(&self) -> Timestamp {
        Timestamp::from_nanos(self.place)
    }

    /// Reads the file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// When it does not read, or is damaged.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let body = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("another format".to_owned()))?;
        let (sum, body) = body.split_first_chunk().ok_or_else(|| damaged("it is cut off".to_owned()))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(damaged("its checksum is wrong".to_owned()));
        }
        postcard::from_bytes(body).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Puts it in place of the file at `path`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let body = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let sum = crc32fast::hash(&body).to_le_bytes();
        files::replace(path, &[&MAGIC[..], &sum, &body].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_from_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diagnosis").join("checkpoint");
        assert!(Checkpoint::read(&path).unwrap().is_none());
        let checkpoint = Checkpoint::new(Timestamp::from_nanos(77), State::default(), Book::default());
        checkpoint.write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap().unwrap(), checkpoint);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 4;
            fs::write(&path, flipped).unwrap();
            assert!(Checkpoint::read(&path).is_err(), "byte {place}");
            fs::write(&path, &whole[..place]).unwrap();
            assert!(Checkpoint::read(&path).is_err(), "{place} bytes");
        }
    }
}
