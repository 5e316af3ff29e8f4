//! SHDR, the language of MTConnect adapters: lines of fields separated by `|`, the first a time stamp.
//!
//! [`ShdrDecoder`] is the one decoder, for recorded files and for live sockets; it takes bytes cut anywhere and makes
//! batches of changes. It must not know of sockets, files or clocks.
//!
//! | limit | value | what happens there |
//! |---|---|---|
//! | [`LINE_BYTES_MAX`] | 1 MiB | the line is rejected, reading goes on with the next |
//! | [`MULTI_LINE_BYTES_MAX`] | 4 MiB | the value is rejected, reading goes on with the next line |
//! | [`FIELDS_MAX`] | 65,536 | the rest of the line is rejected |
//! | [`ENTRIES_MAX`] | 8,192 | the data set is rejected |
//! | [`SERIES_MAX`] | 100,000 | the time series is rejected |

mod client;
mod decoder;
mod entries;
mod fields;
mod rows;
mod time;
mod value;

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
mod client_tests;
#[cfg(test)]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
mod decoder_tests;

pub use client::{ShdrGateway, ShdrOptions};
pub use decoder::ShdrDecoder;

/// The longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// The longest value that spans lines, in bytes.
pub const MULTI_LINE_BYTES_MAX: usize = 4 << 20;
/// The most fields in one line.
pub const FIELDS_MAX: usize = 65_536;
/// The most entries of one data set, or cells of one table.
pub const ENTRIES_MAX: usize = 8_192;
/// The most values of one time series.
pub const SERIES_MAX: usize = 100_000;
/// The most protocol events that wait to be taken; beyond that the oldest are forgotten.
pub const EVENTS_MAX: usize = 256;
/// The most bytes of a line that go into one rejection.
pub const REJECTED_BYTES_MAX: usize = 4_096;

/// What an adapter said about itself and the connection, rather than about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolEvent {
    /// The answer to a `* PING`, with the interval in which the adapter wants to be asked.
    Pong {
        /// The interval, where one was given.
        heartbeat_ms: Option<u32>,
    },
    /// Any other command, such as `* adapterVersion: 2.1`.
    Command {
        /// What is before the colon.
        key: String,
        /// What is behind it; empty where there is no colon.
        value: String,
    },
}

/// What became of the lines, and what came out of them.
///
/// `lines` is the sum of the six `lines_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Bytes taken.
    pub bytes: u64,
    /// Lines ended.
    pub lines: u64,
    /// Empty ones.
    pub lines_blank: u64,
    /// Those that begin with `*` and say something about the adapter.
    pub lines_command: u64,
    /// Those that went into a value that spans lines; they are told under the line on which it ends.
    pub lines_continued: u64,
    /// Those of which everything was understood.
    pub lines_clean: u64,
    /// Those of which something was rejected and something kept.
    pub lines_partial: u64,
    /// Those of which something was rejected and nothing kept.
    pub lines_rejected: u64,
    /// Observations made.
    pub observations: u64,
    /// Of these, the ones that say that nothing is known.
    pub unavailable: u64,
    /// Rejections told.
    pub rejections: u64,
}

impl Counts {
    /// Adds what `other` counted.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.lines_blank += other.lines_blank;
        self.lines_command += other.lines_command;
        self.lines_continued += other.lines_continued;
        self.lines_clean += other.lines_clean;
        self.lines_partial += other.lines_partial;
        self.lines_rejected += other.lines_rejected;
        self.observations += other.observations;
        self.unavailable += other.unavailable;
        self.rejections += other.rejections;
    }
}
