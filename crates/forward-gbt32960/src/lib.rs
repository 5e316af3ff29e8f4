//! Forwards what vehicles report to an upstream platform by GB/T 32960.3, as a platform itself: region, nation.
//!
//! | word | what it is |
//! |---|---|
//! | [`Forwarder`] | one upstream platform: connects, logs in, sends, waits for replies, begins anew |
//! | [`Reports`] | where the rows come from, in an order that does not change; the server has them from the store |
//! | [`Vehicles`] | whose reports are forwarded |
//! | [`Seal`] | what encrypts data units on their way out |
//! | [`Status`] | how it is doing |
//!
//! How far an upstream has acknowledged is kept in a small file, at most a second behind: after a kill that second is sent
//! again, and the upstream knows the frames by VIN and time. What came in is read from where it is kept, so an outage costs no
//! memory however long it lasts.
//!
//! This crate must not know the store, gateways or HTTP, and reads the clock that it was given.

mod cursor;
mod express;
mod forwarder;
mod items;
mod options;
mod reports;
mod seal;
mod session;
mod status;
mod upstream;
mod vehicles;
mod window;

pub use forwarder::Forwarder;
pub use options::{Begin, ForwardOptions, Replies};
pub use reports::{Part, Place, ReadError, Reports, Wanted};
pub use seal::{Plain, Seal, SealError};
pub use status::{Refusal, State, Status, Unexpressed};
pub use vehicles::{InvalidPattern, Vehicles};
