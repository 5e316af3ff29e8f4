//! What expressions are made into: steps over columns, each of which is computed once for a batch, whatever rules ask for it.
//! Knows neither how expressions are written nor how steps are computed.

use std::collections::HashMap;

use model::SignalIndex;

/// The place of a step.
pub(crate) type Step = u32;

/// A number that can be compared and hashed: its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bits(u64);

impl Bits {
    pub(crate) fn of(number: f64) -> Self {
        Self(number.to_bits())
    }

    pub(crate) fn number(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What becomes of the elements of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OfList {
    Least,
    Most,
    Mean,
    Median,
    Spread,
    Size,
    /// The number of the least one, from 1.
    PlaceOfLeast,
    /// The number of the greatest one, from 1.
    PlaceOfMost,
}

/// What becomes of the values of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OverTime {
    Mean,
    Least,
    Most,
    /// The newest one less the oldest one.
    Change,
    /// How often a condition became true.
    Times,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// The physical value of a signal.
    Signal(SignalIndex),
    Number(Bits),
    Truth(bool),
    /// `of * factor + offset`.
    Scaled {
        of: Step,
        factor: Bits,
        offset: Bits,
    },
    Sum(Step, Step),
    Difference(Step, Step),
    Product(Step, Step),
    Quotient(Step, Step),
    Magnitude(Step),
    Lesser(Step, Step),
    Greater(Step, Step),
    IsLess(Step, Step),
    IsLessOrEqual(Step, Step),
    IsEqual(Step, Step),
    /// Whether a text is one of these.
    IsOneOf {
        signal: SignalIndex,
        words: Box<[Box<str>]>,
    },
    And(Step, Step),
    Or(Step, Step),
    Not(Step),
    Choice(Step, Step, Step),
    /// Whether there is a value that can be trusted.
    IsKnown(Step),
    /// Whether a bit of a number is set.
    Bit {
        of: Step,
        bit: u8,
    },
    List {
        signal: SignalIndex,
        of: OfList,
    },
    /// What it was the time before.
    Previous(Step),
    /// Change per second since the time before.
    Rate(Step),
    OverTime {
        of: Step,
        what: OverTime,
        nanos: i64,
    },
    /// For how many seconds a condition has been true.
    Lasts(Step),
}

impl Op {
    /// Whether it depends on what was before.
    pub(crate) fn has_memory(&self) -> bool {
        matches!(self, Self::Previous(_) | Self::Rate(_) | Self::OverTime { .. } | Self::Lasts(_))
    }
}

/// Steps, each of which stands behind those that it needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    ops: Vec<Op>,
    places: HashMap<Op, Step>,
}

impl Steps {
    /// The place of `op`, which is added if it is not there.
    pub(crate) fn add(&mut self, op: Op) -> Step {
        if let Some(place) = self.places.get(&op) {
            return *place;
        }
        let place = self.ops.len() as Step;
        self.ops.push(op.clone());
        self.places.insert(op, place);
        place
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Takes away all steps but the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        for op in self.ops.drain(count..) {
            self.places.remove(&op);
        }
    }

    /// Whether these begin with all that are in `others`, so that steps mean the same in both.
    pub(crate) fn starts_as(&self, others: &Self) -> bool {
        self.ops.starts_with(&others.ops)
    }
}
