//! Sources that do not exist: a simulated plant, machine tools that work, wear, fail and speak SHDR, and a simulated
//! [`fleet`], vehicles that speak GB/T 32960. Both from a seed.
//!
//! The story of the plant, in reading order: a [`Plant`] has [`Machine`]s; a machine has signals (`signals`, told as a device model by
//! `device_model`), works through programs with operations and tools (`program`) as its operators and the shift calendar
//! allow (`work`, `calendar`), warms up and draws power (`physics`), has troubles (`alarms`), remembers what it last said
//! (`board`), and says it on a socket ([`serve`]).
//!
//! The same options give the same lines, however the time is cut into steps. Only `adapter`, and `fleet::connection`, know
//! sockets and a clock.
//! This crate must not know of gateways, stores or HTTP: it is a source like any other.

mod adapter;
mod alarms;
mod board;
mod calendar;
pub mod conformance;
mod device_model;
pub mod fleet;
mod machine;
mod physics;
mod plant;
mod program;
mod signals;
mod work;

pub use adapter::serve;
pub use machine::Machine;
pub use plant::{Plant, PlantOptions};
pub use signals::MachineType;
pub use work::{ProcessFault, ProcessFaultKind};
