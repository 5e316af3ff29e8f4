//! SQL over the store: the only crate that knows DataFusion.
//!
//! A query sees one [`store::Snapshot`]: a table per profile, the view `observations` that shows everything in long form,
//! and the tables `assets` and `signals` that describe it. Nothing can be written through it, and every query has a
//! bound on time, memory and rows. This crate must not know of HTTP, gateways or how rows came to be.

mod bounds;
mod files;
mod scan;

mod grain;
mod observations;
mod partials;
mod profile_table;
mod tables;
mod unpivot;
mod vectors;

mod bounded;
mod pauses;
mod rollups;
mod session;

mod depth;
mod engine;
mod error;
mod right;
mod running;

pub mod format;
pub mod postgres;

pub use engine::{Answer, Engine, Limits, Rows, SPILL_PREFIX};
pub use error::QueryError;
pub use right::{ATTEMPTS_MAX, put_right};
pub use running::RunningQuery;
pub use tables::RESERVED_TABLES;
