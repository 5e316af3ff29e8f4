//! What is wrong with bytes, or with what should become bytes. Knows no policy: who decides what to answer is elsewhere.

use std::fmt;

/// Bytes that are no frame or no data unit: where, what was expected, what was there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}{}: {reason}: expected {expected}, got {found}", Place(.place))]
pub struct DecodeError {
    /// The byte of the frame where it went wrong, from 0.
    pub offset: usize,
    /// A constant text: what is counted.
    pub reason: &'static str,
    /// The field, such as `motor.motors[1].speed`, where one was being read.
    pub place: String,
    /// What would have been right there.
    pub expected: String,
    /// What was there.
    pub found: String,
}

struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", {}", self.0) }
    }
}

pub(crate) const BAD_START: &str = "no frame";
pub(crate) const BAD_VIN: &str = "invalid VIN";
pub(crate) const BAD_CHECK: &str = "wrong check byte";
pub(crate) const TOO_LONG: &str = "too long";
pub(crate) const TOO_SHORT: &str = "too short";
pub(crate) const LEFT_OVER: &str = "bytes left over";
pub(crate) const BAD_TIME: &str = "invalid time";
pub(crate) const TOO_MANY: &str = "too many items";
pub(crate) const BAD_BLOCK: &str = "unexpected block";

impl DecodeError {
    #[cold]
    pub(crate) fn new(
        offset: usize,
        reason: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { offset, reason, place: String::new(), expected: expected.into(), found: found.into() }
    }

    /// The same within `part`: what encloses the place where it went wrong.
    #[must_use]
    pub(crate) fn within(mut self, part: &str) -> Self {
        let dot = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{part}{dot}{}", self.place);
        self
    }

    /// The same with its offset counted from `start` bytes earlier.
    #[must_use]
    pub(crate) fn shifted(mut self, start: usize) -> Self {
        self.offset += start;
        self
    }
}

/// Values that do not make a frame: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: expected {expected}, got {found}")]
pub struct EncodeError {
    /// The field, such as `blocks[0].motors[1].speed`.
    pub place: String,
    /// What would have been right there.
    pub expected: String,
    /// What was there.
    pub found: String,
}

impl EncodeError {
    #[cold]
    pub(crate) fn new(place: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { place: place.into(), expected: expected.into(), found: found.into() }
    }

    /// The same within `part`.
    #[must_use]
    pub(crate) fn within(mut self, part: &str) -> Self {
        let dot = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{part}{dot}{}", self.place);
        self
    }
}
