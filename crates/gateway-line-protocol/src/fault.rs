//! What is wrong with a line: where, what was expected, what was found.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Errors that are told one by one for each piece of a body; the rest is only counted.
pub const ERRORS_MAX: usize = 100;
/// Bytes of what was found that are told.
const FOUND_BYTES_MAX: usize = 40;

pub(crate) const INVALID_MEASUREMENT: &str = "invalid measurement";
pub(crate) const INVALID_TAG: &str = "invalid tag";
pub(crate) const MISSING_FIELDS: &str = "missing fields";
pub(crate) const INVALID_FIELD_KEY: &str = "invalid field key";
pub(crate) const INVALID_VALUE: &str = "invalid field value";
pub(crate) const INVALID_TIME: &str = "invalid time stamp";
pub(crate) const INVALID_UTF_8: &str = "invalid UTF-8";
pub(crate) const TYPE_CONFLICT: &str = "field type conflict";
pub(crate) const NAME_TAKEN: &str = "name taken";
pub(crate) const LIMIT: &str = "limit reached";

/// A line that is not kept, while those beside it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// The number of the line in the body, from 1.
    pub line: u64,
    /// The bytes of the line in the body.
    pub bytes: Range<usize>,
    /// A constant text: what is counted.
    pub reason: &'static str,
    /// The byte in the line where it went wrong, from 1.
    pub byte: usize,
    /// What would have been right there.
    pub expected: Cow<'static, str>,
    /// What was there.
    pub found: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, byte, reason, expected, found, .. } = self;
        write!(f, "line {line}, byte {byte}: {reason}: expected {expected}, got {found}")
    }
}

/// A mistake at a place of the body. In a box, so that a scan that goes well returns little.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) reason: &'static str,
    pub(crate) at: usize,
    pub(crate) expected: Cow<'static, str>,
    pub(crate) found: String,
}

impl Fault {
    /// At `at` of `bytes` something else than `expected` was found.
    #[cold]
    pub(crate) fn new(
        bytes: &[u8],
        at: usize,
        reason: &'static str,
        expected: impl Into<Cow<'static, str>>,
    ) -> Box<Self> {
        Box::new(Self { reason, at, expected: expected.into(), found: found(&bytes[at.min(bytes.len())..]) })
    }
}

/// What begins `rest`, as far as it is told.
fn found(rest: &[u8]) -> String {
    let (word, more) = match rest {
        [] => return "the end".to_owned(),
        [b'\n', ..] | [b'\r', b'\n', ..] => return "the end of the line".to_owned(),
        [b' ', ..] => return "a space".to_owned(),
        _ => {
            let end = rest.iter().position(|byte| b" \n".contains(byte)).unwrap_or(rest.len());
            (&rest[..end.min(FOUND_BYTES_MAX)], end > FOUND_BYTES_MAX)
        }
    };
    format!("`{}{}`", word.escape_ascii(), if more { "…" } else { "" })
}
