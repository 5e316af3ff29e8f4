//! The gateways of this crate against peers in processes of their own.

mod agent;
mod memory;
