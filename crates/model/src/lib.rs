//! The vocabulary that every other crate speaks: assets, signals, observations, quality, batches.
//!
//! One word per concept:
//!
//! | word | what it is |
//! |---|---|
//! | [`AssetId`] | anything watched: `machine/…`, `vehicle/<VIN>`, `person/…`, `device/<UDI>`, `site/…` |
//! | [`Signal`] | one thing an asset can say: id, meaning in a standard, kind of value, UCUM unit, scale |
//! | [`Profile`] | the named set of signals of one type of asset, and the shape in which they arrive |
//! | [`Observation`] | one signal of one asset at one source time: a [`Value`] and its [`Quality`] |
//! | [`Changes`], [`Frames`] | many observations, columnar: event-like, and periodic and wide |
//! | [`Batch`] | changes or frames of one profile: what queues, the log and the engines pass on |
//! | [`matches()`] | whether a name is what a pattern with `*` says |
//! | [`Cursor`] | how far a source has been read; it becomes durable together with its batch |
//!
//! This crate must not know of disks, sockets, clocks, HTTP or any serialisation format.

mod asset;
mod batch;
mod clock;
mod pattern;
mod profile;
mod time;
mod value;
mod vectors;

pub use asset::{AssetId, AssetKind, InvalidAssetId};
pub use batch::{Batch, Changes, Column, Cursor, FrameException, Frames, Observation, Rows, Statistic};
pub use clock::{Clock, ManualClock};
pub use pattern::matches;
pub use profile::{InvalidProfile, Profile, Scale, Shape, Signal, SignalIndex, ValueKind};
pub use time::{InvalidTimestamp, Timestamp};
pub use value::{Condition, ConditionLevel, Entry, Quality, Value};
pub use vectors::Vectors;
