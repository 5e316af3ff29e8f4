//! Remembers everything: a write-ahead log, then memory, then Parquet segments, in one data directory.
//!
//! ```text
//! submit ─▶ queue (bounded) ─▶ log (one sync for many) ─▶ state ─▶ answer
//!                                                          │  hot rows, latest values
//!                                                          └─▶ seal ─▶ segments ─▶ manifest ─▶ old log files go
//! ```
//!
//! The same (asset, signal, source time, sequence) of changes, or (asset, source time, sequence) of frames, is one row,
//! however often and in whatever order it comes. A frame with the key of one that is kept, and something to say that no
//! frame of its asset and time says, is kept under the sequence after the last one of that time. This crate must not know
//! of SQL, HTTP, gateways or any domain, and never reads a clock: times come with the batches.

mod codec;
mod disk;
mod log;
mod record;
mod stored;

mod catalog;
mod generation;
mod kept;
mod latest;
mod newest;
mod rows;
mod sealed_keys;
mod state;
pub mod table;

mod backup;
mod checkpoint;
mod keeper;
mod manifest;
mod merge;
mod plan;
mod received;
mod recollect;
mod recover;
mod repair;
mod rollup;
mod salvage;
mod seal;
mod segment;
mod snapshot;
mod store;
mod verify;
mod writer;

pub use arrow::array::RecordBatch;
pub use arrow::datatypes::DataType;
pub use backup::{Backup, BackupError, Restored, restore};
pub use catalog::Unacceptable;
pub use disk::{Disk, DiskFile, SystemDisk};
pub use latest::Latest;
pub use log::Damage;
pub use plan::{Hold, Plan, Retention};
pub use received::{ReceivedError, ReceivedPlace, ReceivedRows, ReceivedSpan};
pub use recover::{RecoverError, Recovery};
pub use repair::{Repair, RepairError, repair};
pub use rows::entries_json;
pub use salvage::{Loss, Salvage};
pub use segment::{CheckedFile, RollupFile, SegmentFile, damaged_file};
pub use snapshot::{LatestFew, Snapshot, TableSnapshot};
pub use store::{OpenError, Receipt, Store, StoreOptions, StoreStats, SubmitError, read};
pub use table::vector_type;
pub use verify::{Finding, Report, Weight, verify};
