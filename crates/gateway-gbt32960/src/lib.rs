//! The platform's side of GB/T 32960: vehicles, and platforms that pass on what theirs say, connect and report.
//!
//! In the order in which a frame passes through: `listener` accepts, `connection` reads and answers, `registry` says who
//! may log in, `live` which connection a vehicle has, `orders` what it is asked to do, `collector` puts reports of all
//! connections into one batch and says when it is durable. An answer that means "I have it" goes out only then. `stream` is a
//! connection's bytes with and without TLS; `security` decrypts data units and compares signatures, with the keys of
//! `keyring`; `key_record` is what has to be kept of those.
//!
//! This crate must not know of the store, of files, of HTTP, or of what stands in a data unit beyond what `gbt32960` says.

mod collector;
mod connection;
mod key_record;
mod keyring;
mod listener;
mod live;
mod orders;
mod registry;
mod security;
mod stream;

pub use collector::SESSION_PROFILE;
pub use key_record::{InvalidRecord, KeyRecord, KeyStore};
pub use keyring::{InvalidKeys, block_key_of_text, mode_of_text};
pub use listener::{ListenerOptions, PlatformGateway};
pub use orders::{EXPIRES_AFTER_MAX, ORDER_PROFILE, Order, OrderError, OrderState, Orders};
pub use registry::{InvalidRegistry, Newcomer, PlatformAccount, Registry};
pub use security::{Security, SecurityOptions, SignaturePolicy};
pub use stream::{InvalidTls, Tls};
