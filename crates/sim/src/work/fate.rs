//! What goes wrong with tools: they break, are missing, or are worn. Decided by a chance of its own, so that a plant without such
//! faults is the same as ever. Keeps what was wrong when, for those who try whether it is found.

use model::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// From this share of its life on, a tool counts as worn.
pub(super) const WORN: f64 = 0.8;

/// What was wrong with a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessFaultKind {
    /// It broke in a cut, and cuts nothing until it is replaced.
    Breakage,
    /// It was not there for one operation.
    Missing,
    /// It has little of its life left.
    Wear,
}

/// Something that was wrong with a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessFault {
    /// What.
    pub kind: ProcessFaultKind,
    /// Since when.
    pub from: Timestamp,
    /// Until when; left out where it still is.
    pub to: Option<Timestamp>,
    /// The number of the tool.
    pub tool: u8,
    /// The program that ran when it began.
    pub program: &'static str,
}

/// What the fate of one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    None,
    Missing,
    /// In which cutting stroke it breaks.
    Breaks(usize),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fates {
    random: StdRng,
    breakages: f64,
    missing: f64,
    faults: Vec<ProcessFault>,
}

impl Fates {
    /// So many breakages and missing tools of a thousand parts.
    pub(crate) fn new((breakages, missing): (f64, f64), seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), breakages, missing, faults: Vec::new() }
    }

    pub(crate) fn faults(&self) -> &[ProcessFault] {
        &self.faults
    }

    /// The fate of one of `operations` of a part, which has so many `cuts`.
    pub(super) fn draw(&mut self, operations: usize, cuts: usize) -> Fate {
        let drawn = self.random.random_range(0.0..1_000.0 * operations as f64);
        if drawn < self.missing {
            Fate::Missing
        } else if drawn < self.missing + self.breakages && cuts > 0 {
            Fate::Breaks(self.random.random_range(0..cuts))
        } else {
            Fate::None
        }
    }

    /// For how many parts nobody notices that a tool is broken.
    pub(super) fn unnoticed_parts(&mut self) -> u32 {
        self.random.random_range(1..4)
    }

    pub(super) fn begin(&mut self, kind: ProcessFaultKind, at_ms: i64, tool: u8, program: &'static str) {
        self.faults.push(ProcessFault { kind, from: Timestamp::from_millis(at_ms), to: None, tool, program });
    }

    /// All of `kinds` is over that was wrong with `tool`.
    pub(super) fn end(&mut self, kinds: &[ProcessFaultKind], at_ms: i64, tool: u8) {
        let open = self.faults.iter_mut().filter(|fault| fault.to.is_none() && fault.tool == tool);
        for fault in open.filter(|fault| kinds.contains(&fault.kind)) {
            fault.to = Some(Timestamp::from_millis(at_ms));
        }
    }
}
