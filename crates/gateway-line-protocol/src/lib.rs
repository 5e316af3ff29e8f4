//! The line protocol of InfluxDB 1.x and 2.x, the way in: lines of text become frames.
//!
//! ```text
//! measurement,tag=value,tag=value field=1.5,field=2i,field="text",field=true 1465839830100400200
//! ```
//!
//! A measurement becomes a profile, its tag set an asset, a field a signal, a line a frame. [`Series`] remembers which is
//! which from one body to the next, within [`SeriesLimits`]; [`Series::decode`] takes a body piece by piece.
//!
//! In the order in which a line passes through: `scan` finds its parts, `series` knows what they stand for, `rows` puts
//! the values into columns. A bad line is told as a [`LineError`] and costs only itself.
//!
//! This crate must not know of sockets, HTTP, compression or the store.

mod decode;
mod fault;
mod fields;
mod precision;
mod rows;
mod scan;
mod series;

#[cfg(test)]
mod tests;

pub use decode::{Decoded, Position};
pub use fault::{ERRORS_MAX, LineError};
pub use precision::{InvalidPrecision, Precision};
pub use series::{Series, SeriesLimits};
