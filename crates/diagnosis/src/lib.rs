//! Diagnosis: rules that people can read, run over what assets say.
//!
//! | word | what it is |
//! |---|---|
//! | [`Rule`] | what is wrong when, and what to do: data in `packs/*/rules/` |
//! | [`Engine`] | runs rules over batches |
//! | [`Event`] | something begins, or is over |
//!
//! This crate must not know of clocks, files, sockets or the store, nor of any domain.

mod engine;
mod evaluate;
mod expression;
mod input;
mod memory;
mod rule;
mod state;
mod steps;
mod units;

#[cfg(test)]
mod tests;

pub use engine::{Engine, Event, Shown, What, check};
pub use rule::{Place, Priority, Rule, RuleError, Text, Written, read};
pub use state::State;
