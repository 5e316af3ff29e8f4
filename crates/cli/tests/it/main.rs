//! The program as a person or a script meets it: started as a process, fed with files and sockets, killed, and judged by
//! what it prints, answers and leaves on the disk. Must not know any crate of ours: what cannot be seen from outside is
//! tested where it is made.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `TONGMAI_KILLS` | 50 | how often the tests of `kill_import`, `kill_live` and `kill_write` kill the program; 2000 for a long night. Those of `alarms`, `notify` and `vehicles` kill about 10 times if it is unset |
//! | `TONGMAI_BACKUP_KILLS` | 10 | how often `keeping` kills a server in the middle of a backup |
//! | `TONGMAI_SEED` | 7 | decides the moments of the kills |
//! | `TONGMAI_BLESS` | unset | when set, golden files are written anew instead of compared |
//!
//! What needs a recording that is not part of the repository, a right that the tester lacks or a tool that is not
//! installed says so and is skipped.

#![expect(clippy::disallowed_methods, reason = "a process runs in real time: nothing here can be paused")]

mod adapter;
mod alarms;
mod answers;
mod bad_input;
mod diagnose;
mod export;
mod flight_sql;
mod forwarding;
mod frames;
mod full_disk;
mod gbt32960;
mod golden;
mod http;
mod keeping;
mod kill_import;
mod kill_live;
mod kill_write;
mod lathe;
mod mistakes;
mod notify;
mod orders;
mod outage;
mod postgres;
mod program;
mod queries;
mod reading;
mod readme;
mod real_log;
mod served;
mod store;
mod vehicles;
mod write;
