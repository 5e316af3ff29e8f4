//! MTConnect, the way in: device models, the mapping from a model to a profile, and the two kinds of source.
//!
//! * [`device`] reads `Devices.xml` of MTConnect 1.0 to 2.7;
//! * [`mapping`] makes a profile of a device and finds the signal of a key, [`units`] converts between units;
//! * [`shdr`] decodes what adapters say, from a file or a socket;
//! * [`AgentGateway`] reads agents.
//!
//! This crate must not know of the store, of HTTP servers or of other gateways.

mod agent;
pub mod device;
pub mod mapping;
pub mod naming;
pub mod shdr;
pub mod units;

pub use agent::{AgentGateway, AgentOptions};
