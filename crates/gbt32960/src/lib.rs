//! The wire format of GB/T 32960.3, editions 2016 and 2025: frames to values and back, byte for byte.
//!
//! | word | what it is |
//! |---|---|
//! | [`Edition`] | which of the two texts a frame follows; its first two bytes say so |
//! | [`Frame`] | one frame: command, response flag, VIN, encryption, data unit, checked by its length and check byte |
//! | [`find_frame`] | finds frames in a stream, which cuts them up and glues them together |
//! | [`Layout`] | what stands in the data units, read from `packs/vehicle/`: the one place that knows fields |
//! | [`Content`] | a data unit as a tree of raw values; [`Content::write`] gives the same bytes again |
//! | [`Standard`] | the layouts of both editions, and the profile that reports are kept in |
//! | [`ReportRows`] | reports on their way into columns: one pass, nothing allocated for a field |
//! | [`Standard::restored`] | a row as the data unit that it was, byte for byte |
//!
//! Raw values are what the wire carries; [`Number::physical`] makes them physical. Values that mean abnormal (`FE…`) and
//! invalid (`FF…`) are qualities. Times are of China (UTC+8).
//!
//! This crate must not know of sockets, clocks, keys or the store.

mod content;
mod dump;
mod edition;
mod error;
mod frame;
mod json;
mod layout;
mod restored;
mod rows;
mod splitter;
mod standard;
mod time;
mod walk;

#[cfg(test)]
mod tests;

pub use content::{Block, BlockContent, Content, Node, Unit};
pub use dump::dump;
pub use edition::{Command, Edition, Encryption, Response};
pub use error::{DecodeError, EncodeError};
pub use frame::{DATA_BYTES_MAX, FRAME_BYTES_MAX, Frame, HEADER_BYTES, Header, Vin};
pub use json::{Shown, frame_from_json, frame_to_json};
pub use layout::{
    BlockLayout, Count, Field, Group, Layout, LayoutError, MessageLayout, Number, ParameterLayout, Title, What,
};
pub use restored::{ReportRow, Restored};
pub use rows::ReportRows;
pub use splitter::{Found, FrameBuffer, find_frame};
pub use standard::{PROFILE, Standard};
pub use time::{WireTime, from_wire, to_wire};
