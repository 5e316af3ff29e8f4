//! The unit of time stamps, which the sender names beside the body. Knows no HTTP.

use std::str::FromStr;

/// The unit of the time stamps of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// What counts when the sender names none.
    #[default]
    Nanoseconds,
    /// 1,000 nanoseconds.
    Microseconds,
    /// 1,000,000 nanoseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// 60 seconds.
    Minutes,
    /// 3,600 seconds.
    Hours,
}

impl Precision {
    /// What one unit is in nanoseconds.
    pub(crate) fn nanos(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

impl FromStr for Precision {
    type Err = InvalidPrecision;

    /// Reads the words of both versions of the API: `n`, `u`, `m` and `h` are of the first only.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "n" | "ns" => Ok(Self::Nanoseconds),
            "u" | "us" | "µ" | "µs" => Ok(Self::Microseconds),
            "ms" => Ok(Self::Milliseconds),
            "s" => Ok(Self::Seconds),
            "m" => Ok(Self::Minutes),
            "h" => Ok(Self::Hours),
            _ => Err(InvalidPrecision { text: text.chars().take(16).collect() }),
        }
    }
}

/// A text that names no precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a precision: expected ns, us, ms, s, m or h")]
pub struct InvalidPrecision {
    text: String,
}
