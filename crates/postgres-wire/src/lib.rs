//! PostgreSQL's wire protocol, version 3, for reading: what `psql`, Grafana and every driver speak.
//!
//! In the order in which a connection goes through it: `server` accepts and bounds, `startup` says hello and proves who
//! is there with `scram`, `session` takes commands one by one, `portal` runs one question and streams its rows through
//! `value`. `channel` carries the bytes that `message` understands.
//!
//! What a command means, and PostgreSQL's catalogue, stand in [`query::postgres`]. Nothing here can change what is
//! stored, and nothing here knows HTTP. The clock is tokio's; randomness is a parameter.

mod cancel;
mod channel;
mod error;
mod message;
mod parameter;
mod portal;
mod scram;
mod server;
mod session;
mod startup;
mod value;

pub use server::{Account, Service, Settings, serve};
