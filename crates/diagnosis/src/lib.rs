//! Diagnosis: rules that people can read, run over what assets say.
//!
//! | word | what it is |
//! |---|---|
//! | [`Rule`] | what is wrong when, and what to do: data in `packs/*/rules/` |
//! | [`Case`] | what a rule is to find in what an asset says |
//! | [`Engine`] | runs rules over batches |
//! | [`Event`] | something begins, or is over |
//! | [`Record`] | what happened to an alarm, as it is kept for ever |
//! | [`Figures`] | how well alarms serve those who act on them |
//! | [`Book`] | the alarms that there are, as records make them |
//!
//! This crate must not know of clocks, files, sockets or the store, nor of any domain.

mod asset_text;
mod book;
mod case;
mod clock;
mod correlation;
mod engine;
mod episode;
mod evaluate;
mod expression;
mod figures;
mod fnv;
mod functions;
mod heard;
mod input;
mod lists;
mod made;
mod memory;
mod native;
mod record;
mod remembered;
mod rule;
mod siblings;
mod silence;
mod state;
mod steps;
mod units;
mod usual;
mod watch;

#[cfg(test)]
mod tests;

pub use book::{Alarm, AlarmState, Book, DeedError, Done, SHELVED_MAX};
pub use case::{Case, Cases, read_cases};
pub use engine::{Engine, Event, Shown, What};
pub use figures::{Figures, Flood, Raising};
pub use made::{check, fits};
pub use record::{ALARM_PROFILE, By, Deed, Happened, Raised, Record, batch, records};
pub use rule::{Place, Priority, Rule, RuleError, Text, Written, read};
pub use state::State;
