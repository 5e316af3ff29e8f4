//! What is wrong with a request, or with one series in it.

use std::fmt;
use std::ops::Range;

/// Errors that are told one by one for each piece of a request; the rest is only counted.
pub const ERRORS_MAX: usize = 100;

pub(crate) const INVALID_SERIES: &str = "invalid series";
pub(crate) const INVALID_LABELS: &str = "invalid labels";
pub(crate) const NO_NAME: &str = "no metric name";
pub(crate) const INVALID_TIME: &str = "invalid time stamp";
pub(crate) const HISTOGRAM: &str = "native histogram";
pub(crate) const LIMIT: &str = "limit reached";

/// Why nothing of a request, or nothing of its rest, can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The compression is broken.
    #[error("the body is not compressed with snappy (block format)")]
    Compression,
    /// There is more than is taken.
    #[error("the request has {bytes} bytes without compression, at most {bytes_max} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// It is no message, or the message ends too early.
    #[error("byte {offset} of the request without compression: expected {expected}")]
    Malformed {
        /// Where, from 1.
        offset: usize,
        /// What would have been right there.
        expected: &'static str,
    },
}

/// A series, or a part of it, that is not kept, while those beside it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesError {
    /// The number of the series in the request, from 1.
    pub series: u64,
    /// The bytes of the series in the request, without compression.
    pub bytes: Range<usize>,
    /// A constant text: what is counted.
    pub reason: &'static str,
    /// What was expected and what was found.
    pub detail: String,
}

impl fmt::Display for SeriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "series {} at byte {}: {}: {}", self.series, self.bytes.start + 1, self.reason, self.detail)
    }
}
