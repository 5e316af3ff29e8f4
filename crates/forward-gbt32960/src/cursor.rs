//! How far an upstream has acknowledged: until when, and what is missing before that. Kept in a file of its own, which is
//! replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reports::Place;

/// Gaps at the most; what comes in later is looked at when one of them is closed.
const GAPS_MAX: usize = 16;
/// What is written.
const FORMAT: u32 = 1;

/// A position in each of the two tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Positions {
    pub(crate) reports: Option<Place>,
    pub(crate) sessions: Option<Place>,
}

impl Positions {
    fn is_begin(&self) -> bool {
        self.reports.is_none() && self.sessions.is_none()
    }
}

/// A span of receipts of which not all has been acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Told apart from others by this, as long as the program runs.
    pub(crate) id: u64,
    pub(crate) after: Timestamp,
    pub(crate) until: Timestamp,
    /// Up to there, in the order of places, it has been acknowledged.
    pub(crate) done: Positions,
    /// Up to there it has been read, since the last connection was made.
    pub(crate) read: Positions,
    /// Whether all of it has been read.
    pub(crate) is_read: bool,
    /// When it was seen first.
    pub(crate) seen: Timestamp,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// What came in until then is acknowledged, but for the gaps.
    pub(crate) until: Timestamp,
    /// The oldest first.
    pub(crate) gaps: Vec<Gap>,
    /// The number of the last login, and the day, of China, whose logins it counts.
    serial: u16,
    serial_day: i64,
    next_id: u64,
}

/// A cursor that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CursorError {
    #[error("failed to {operation} `{path}`")]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("`{path}` does not say how far was forwarded; remove it to begin anew")]
    Content { path: PathBuf, source: serde_json::Error },
    #[error("`{path}` has format {found}, this program reads format {FORMAT}: use a newer program")]
    Format { path: PathBuf, found: u32 },
}

#[derive(Serialize, Deserialize)]
struct StoredCursor {
    format: u32,
    until_ns: i64,
    gaps: Vec<StoredGap>,
    serial: u16,
    serial_day: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredGap {
    after_ns: i64,
    until_ns: i64,
    reports: Option<StoredPlace>,
    sessions: Option<StoredPlace>,
}

#[derive(Serialize, Deserialize)]
struct StoredPlace {
    asset: String,
    time_ns: i64,
    sequence: u32,
}

impl From<&Place> for StoredPlace {
    fn from(place: &Place) -> Self {
        Self { asset: place.asset.to_string(), time_ns: place.time.nanos(), sequence: place.sequence }
    }
}

impl From<StoredPlace> for Place {
    fn from(stored: StoredPlace) -> Self {
        let time = Timestamp::from_nanos(stored.time_ns);
        Self { asset: stored.asset.into(), time, sequence: stored.sequence }
    }
}

impl Cursor {
    /// All until `until` needs no forwarding.
    pub(crate) fn new(until: Timestamp) -> Self {
        Self { until, gaps: Vec::new(), serial: 0, serial_day: 0, next_id: 0 }
    }

    /// The cursor in the file at `path`; `None` if there is no such file.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, CursorError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| CursorError::File { operation: "read", path: path.to_owned(), source })?,
        };
        let content = |source| CursorError::Content { path: path.to_owned(), source };
        let stored: StoredCursor = serde_json::from_slice(&text).map_err(content)?;
        if stored.format != FORMAT {
            return Err(CursorError::Format { path: path.to_owned(), found: stored.format });
        }
        let mut cursor = Self::new(Timestamp::from_nanos(stored.until_ns));
        (cursor.serial, cursor.serial_day) = (stored.serial, stored.serial_day);
        for gap in stored.gaps {
            let (after, until) = (Timestamp::from_nanos(gap.after_ns), Timestamp::from_nanos(gap.until_ns));
            let done = Positions { reports: gap.reports.map(Into::into), sessions: gap.sessions.map(Into::into) };
            cursor.add(after, until, done, after);
        }
        Ok(Some(cursor))
    }

    /// The bytes of its file.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let gap = |gap: &Gap| StoredGap {
            after_ns: gap.after.nanos(),
            until_ns: gap.until.nanos(),
            reports: gap.done.reports.as_ref().map(Into::into),
            sessions: gap.done.sessions.as_ref().map(Into::into),
        };
        let stored = StoredCursor {
            format: FORMAT,
            until_ns: self.until.nanos(),
            gaps: self.gaps.iter().map(gap).collect(),
            serial: self.serial,
            serial_day: self.serial_day,
        };
        serde_json::to_vec_pretty(&stored).expect("a cursor has only texts and numbers")
    }

    fn add(&mut self, after: Timestamp, until: Timestamp, done: Positions, seen: Timestamp) {
        let (id, read) = (self.next_id, done.clone());
        self.next_id += 1;
        self.gaps.push(Gap { id, after, until, done, read, is_read: false, seen });
    }

    /// Takes in that all that came in until `received` can be read; `seen` is when that became known.
    pub(crate) fn extend(&mut self, received: Timestamp, seen: Timestamp) {
        if received <= self.until {
            return;
        }
        let is_full = self.is_full();
        match self.gaps.last_mut() {
            Some(last) if last.until == self.until && last.read.is_begin() && !last.is_read => last.until = received,
            _ if is_full => return,
            _ => self.add(self.until, received, Positions::default(), seen),
        }
        self.until = received;
    }

    /// Whether no more gaps can be told apart.
    pub(crate) fn is_full(&self) -> bool {
        self.gaps.len() >= GAPS_MAX
    }

    pub(crate) fn gap(&mut self, id: u64) -> Option<&mut Gap> {
        self.gaps.iter_mut().find(|gap| gap.id == id)
    }

    /// What has been sent and not been acknowledged is to be read again.
    pub(crate) fn rewind(&mut self) {
        for gap in &mut self.gaps {
            gap.read = gap.done.clone();
            gap.is_read = false;
        }
    }

    /// All of the gap `id` is acknowledged.
    pub(crate) fn close(&mut self, id: u64) {
        self.gaps.retain(|gap| gap.id != id);
    }

    /// When it was seen what has waited longest; `None` where nothing waits.
    pub(crate) fn waits_since(&self) -> Option<Timestamp> {
        self.gaps.iter().map(|gap| gap.seen).min()
    }

    /// The serial number of the next login on `day`: they are counted anew each day, from 1.
    pub(crate) fn next_serial(&mut self, day: i64) -> u16 {
        const SERIAL_MAX: u16 = 65_531;
        self.serial = if self.serial_day == day && self.serial < SERIAL_MAX { self.serial + 1 } else { 1 };
        self.serial_day = day;
        self.serial
    }
}

/// Puts `text` in place of the file at `path`, all or nothing; when it returns, it is durable.
pub(crate) fn save(path: &Path, text: &[u8]) -> Result<(), CursorError> {
    let failed = |operation| move |source| CursorError::File { operation, path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    let next = path.with_extension("next");
    let mut file = File::create(&next).map_err(failed("write"))?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(failed("write"))?;
    fs::rename(&next, path).map_err(failed("replace"))?;
    // Elsewhere a folder cannot be synced, and need not be.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    #[test]
    fn what_comes_in_extends_the_last_gap_until_it_is_read() {
        let mut cursor = Cursor::new(at(0));
        cursor.extend(at(0), at(0));
        assert!(cursor.gaps.is_empty());
        cursor.extend(at(5), at(5));
        cursor.extend(at(7), at(7));
        assert_eq!((cursor.gaps.len(), cursor.gaps[0].after, cursor.gaps[0].until), (1, at(0), at(7)));
        assert_eq!(cursor.waits_since(), Some(at(5)));
        cursor.gaps[0].read.reports = Some(Place { asset: "vehicle/V".into(), time: at(1), sequence: 0 });
        cursor.extend(at(9), at(9));
        assert_eq!((cursor.gaps.len(), cursor.gaps[1].after, cursor.gaps[1].until), (2, at(7), at(9)));
        for second in 10..100 {
            cursor.gaps.last_mut().unwrap().is_read = true;
            cursor.extend(at(second), at(second));
        }
        assert_eq!((cursor.gaps.len(), cursor.until), (GAPS_MAX, cursor.gaps.last().unwrap().until));
        let id = cursor.gaps[3].id;
        cursor.close(id);
        cursor.extend(at(200), at(200));
        assert_eq!(cursor.until, at(200), "nothing is left out");
    }

    #[test]
    fn a_cursor_comes_back_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("forward/region.json");
        assert_eq!(Cursor::load(&path).unwrap(), None);
        let mut cursor = Cursor::new(at(3));
        assert_eq!((cursor.next_serial(1), cursor.next_serial(1), cursor.next_serial(2)), (1, 2, 1));
        cursor.extend(at(9), at(3));
        cursor.gaps[0].done.reports = Some(Place { asset: "vehicle/V".into(), time: at(1), sequence: 7 });
        cursor.rewind();
        save(&path, &cursor.stored()).unwrap();
        assert_eq!(Cursor::load(&path).unwrap(), Some(cursor));
        fs::write(&path, "{}").unwrap();
        assert!(Cursor::load(&path).unwrap_err().to_string().contains("remove it to begin anew"));
    }
}
