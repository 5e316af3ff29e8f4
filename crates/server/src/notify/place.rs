//! How far somebody was told, in a small file: what is behind it, and the message that is under way. Must not know who is told.

use std::fs;
use std::io;
use std::path::Path;

use diagnosis::{Happened, Record};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::message::Message;
use crate::files;

/// The version of the file.
const VERSION: u32 = 1;

/// Where a record stands among all: records are told in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    /// When it came in.
    received: i64,
    time: i64,
    /// What is raised comes before what is said of it.
    rank: u8,
    asset: String,
    rule: String,
    event: String,
    raised: i64,
}

impl Key {
    /// Behind all that came in until `received`.
    pub(crate) fn behind(received: Timestamp) -> Self {
        let (asset, rule, event) = Default::default();
        Self { received: received.nanos(), time: i64::MAX, rank: u8::MAX, asset, rule, event, raised: i64::MAX }
    }

    pub(crate) fn of(received: Timestamp, record: &Record) -> Self {
        Self {
            received: received.nanos(),
            time: record.time.nanos(),
            rank: u8::from(!matches!(record.happened, Happened::Raised(_))),
            asset: record.asset.to_string(),
            rule: record.rule.to_string(),
            event: record.happened.as_str().to_owned(),
            raised: record.raised.nanos(),
        }
    }

    pub(crate) fn received(&self) -> Timestamp {
        Timestamp::from_nanos(self.received)
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    version: u32,
    /// All up to here has been dealt with, or is under way.
    pub(crate) behind: Key,
    /// What is told next, the same after a restart.
    pub(crate) under_way: Option<Message>,
}

impl Place {
    pub(crate) fn new(behind: Key) -> Self {
        Self { version: VERSION, behind, under_way: None }
    }

    /// Reads the file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// When it does not read, or is no such file.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let place: Self = serde_json::from_slice(&bytes)?;
        if place.version != VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another version"));
        }
        Ok(Some(place))
    }

    /// Puts it in place of the file at `path`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        files::replace(path, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{entry, raised};
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_what_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify").join("a.json");
        assert!(Place::read(&path).unwrap().is_none());
        let mut place = Place::new(Key::of(Timestamp::from_nanos(7), &raised(1)));
        place.under_way = Some(Message::new("a", vec![entry("a", 1), entry("a", 2)], Timestamp::from_nanos(9)));
        place.write(&path).unwrap();
        let read = Place::read(&path).unwrap().unwrap();
        assert_eq!(read.behind, place.behind);
        assert_eq!(read.under_way.unwrap().body(), place.under_way.unwrap().body());
        fs::write(&path, "{}").unwrap();
        assert!(Place::read(&path).is_err());
    }

    #[test]
    fn records_are_told_in_the_order_in_which_they_came_in() {
        let at = Timestamp::from_nanos;
        let returned = Record { happened: Happened::Returned, ..raised(1) };
        assert!(Key::of(at(7), &raised(1)) < Key::of(at(7), &returned));
        assert!(Key::of(at(7), &returned) < Key::of(at(7), &raised(2)));
        assert!(Key::of(at(7), &raised(2)) < Key::of(at(8), &raised(1)));
        assert!(Key::of(at(7), &raised(9)) < Key::behind(at(7)) && Key::behind(at(7)) < Key::of(at(8), &raised(1)));
    }
}
