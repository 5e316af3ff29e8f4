//! What every gateway has in common: the trait, its link to the rest of the house, back-off, supervision.
//!
//! A gateway turns one source (an adapter, an agent, a listener) into [`model::Batch`]es and delivers them through
//! its [`Link`]. It must not know of the store, of HTTP or of other gateways; it reads time from the link's clock.

mod backoff;
mod ingest;
mod link;
pub mod series;
mod status;
mod supervise;

pub use backoff::Backoff;
pub use ingest::{Ingest, IngestError, Receipt};
pub use link::{Link, Pending, Quarantine, Rejection};
pub use status::{Connection, Counters, Status, Tally};
pub use supervise::{Gateway, GatewayError, supervise};
