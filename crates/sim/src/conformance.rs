//! Sends frames of GB/T 32960 to a platform, ours or another's, and compares its replies with what the standard wants: frames
//! that were recorded (`replay`), or a vehicle of the simulated fleet that tries the platform's manners (`kit`).
//!
//! Where the editions and platforms that exist differ, both ways are right: a reply with the time only and one that repeats
//! all, a good report with a reply and one without. Must not know who is at the other end.

mod kit;
mod peer;
mod replay;

use std::fmt;

pub use kit::try_manners;
pub use peer::Terms;
pub use replay::{Recorded, replay};

/// What came of one thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was tried.
    pub what: String,
    /// How it went.
    pub verdict: Verdict,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the standard wants it.
    Passed,
    /// As the standard allows it; this is worth knowing.
    Noted(String),
    /// Otherwise.
    Failed(String),
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Passed => write!(f, "passed  {}", self.what),
            Verdict::Noted(note) => write!(f, "passed  {} ({note})", self.what),
            Verdict::Failed(why) => write!(f, "FAILED  {}: {why}", self.what),
        }
    }
}
