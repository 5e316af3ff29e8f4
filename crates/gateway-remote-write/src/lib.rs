//! Prometheus remote write 1.0, the way in: compressed requests of samples become changes.
//!
//! A label set without the name of the metric becomes an asset, the metric a signal of the one profile [`PROFILE`].
//! [`RemoteSeries`] remembers which is which from one request to the next, within [`RemoteLimits`]; [`Request`] is one
//! request, taken piece by piece. Metadata and exemplars are passed over: they are no values.
//!
//! In the order in which a request passes through: `wire` takes it apart, `series` knows what its labels stand for,
//! `decode` makes changes of its samples. A bad series is told as a [`SeriesError`] and costs only itself.
//!
//! This crate must not know of sockets, HTTP or the store.

mod decode;
mod error;
mod series;
mod wire;

#[cfg(test)]
mod tests;

pub use decode::{Decoded, Request};
pub use error::{ERRORS_MAX, RequestError, SeriesError};
pub use series::{PROFILE, RemoteLimits, RemoteSeries};
