//! A forwarder before an upstream that records what it takes, and that fails in every way that upstreams do.

mod drill;
mod fleet;
mod forwarding;
mod platform;
mod shelf;
