//! Where everything meets: configuration, gateways, store, SQL, HTTP API and the console, wired into one server.
//!
//! In the order in which a value passes through: [`config`] says what to connect; `sources` runs the gateways, which hand
//! over through `ingest` what `quarantine` does not keep, as does `receive` for what others send; `live` tells what is new; `alarms` runs `rules` over it, [`backtest`] over what is stored, and `notify` tells of them; `fleet` knows how all vehicles are; `http` answers questions and shows the
//! console. [`import`] is the way in for files. Engines never see one another: only this crate knows them all.

pub mod backtest;
pub mod config;
pub mod import;
pub mod manual;
pub mod rules;

mod alarms;
mod clock;
mod files;
mod fleet;
mod flight_sql;
mod forward_keys;
mod forwards;
mod ingest;
mod live;
mod metrics;
mod notify;
mod own;
mod postgres;
mod quarantine;
mod receive;
mod sources;
mod vehicle_keys;
mod vehicles;

pub mod http;
mod run;

pub use clock::SystemClock;
pub use quarantine::{FileQuarantine, NoQuarantine};
pub use run::{Running, ServeError, Server};
