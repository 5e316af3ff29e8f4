//! What expressions are made into: steps over columns, each of which is computed once for a batch, whatever rules ask for it.
//! Knows neither how expressions are written nor how steps are computed.

use std::collections::HashMap;
use std::slice;

use model::{Profile, SignalIndex};

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
    /// The least but one, and the greatest but one.
    LeastButOne,
    MostButOne,
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
    /// The change per second of the straight line that fits best.
    Slope,
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
    /// The word that a signal says, as a number that stands for it.
    Word(SignalIndex),
    /// Several numbers and words, as a number that stands for all of them.
    Together(Box<[Step]>),
    /// The elements of a signal that is a list.
    Elements(SignalIndex),
    /// What becomes of the elements of a list.
    OfList {
        of: Step,
        what: OfList,
    },
    /// The element of a list with a number, from 1.
    At(Step, Step),
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
    /// The means of a number, or of each element of a list, over the last times that a condition was true.
    Episodes {
        of: Step,
        during: Step,
        rows_min: u16,
    },
    /// One of these: the last time that is over, or one of those before.
    MeanDuring {
        episodes: Step,
        back: u8,
        is_list: bool,
    },
    /// What the other assets that the rule is about said last.
    Siblings(Step),
    /// For how many seconds a number or a word has been the same.
    Unchanged(Step),
    /// The greatest whole number that is not greater.
    Floor(Step),
    /// What is usual of a number under what `context` says, learnt when that is over, or when it is `accepted` afterwards.
    Usual {
        of: Step,
        context: Step,
        accepted: Option<Step>,
    },
    /// How each element of a list has gone with a number.
    Correlation {
        of: Step,
        with: Step,
        nanos: i64,
    },
}

impl Op {
    /// Whether it depends on what was before.
    pub(crate) fn has_memory(&self) -> bool {
        matches!(
            self,
            Self::Previous(_)
                | Self::Rate(_)
                | Self::OverTime { .. }
                | Self::Lasts(_)
                | Self::Episodes { .. }
                | Self::Correlation { .. }
                | Self::Unchanged(_)
                | Self::Usual { .. }
                | Self::Siblings(_)
        )
    }
}

/// Steps, each of which stands behind those that it needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    ops: Vec<Op>,
    places: HashMap<Op, Step>,
    /// How many times back is asked for.
    back: HashMap<Step, u8>,
}

impl Steps {
    /// The place of `op`, which is added if it is not there.
    pub(crate) fn add(&mut self, op: Op) -> Step {
        if let Some(place) = self.places.get(&op) {
            return *place;
        }
        if let Op::MeanDuring { episodes, back, .. } = op {
            let known = self.back.entry(episodes).or_default();
            *known = back.max(*known);
        }
        let place = self.ops.len() as Step;
        self.ops.push(op.clone());
        self.places.insert(op, place);
        place
    }

    /// How many times back from the last one are asked for of the episodes at `place`.
    pub(crate) fn back(&self, place: usize) -> u8 {
        self.back.get(&(place as Step)).copied().unwrap_or_default()
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Takes away all steps but the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        for op in self.ops.drain(count..) {
            self.places.remove(&op);
        }
        self.back.retain(|step, _| (*step as usize) < count);
    }

    /// What the step at `place` means, in words that mean the same wherever the steps of `profile` stand.
    pub(crate) fn meaning(&self, place: Step, profile: &Profile) -> String {
        let signal = |signal: SignalIndex| profile.signal(signal).id.to_string();
        let (name, of): (String, &[Step]) = match &self.ops[place as usize] {
            Op::Signal(of) => (signal(*of), &[]),
            Op::Number(number) => (number.number().to_string(), &[]),
            Op::Truth(truth) => (truth.to_string(), &[]),
            Op::Scaled { of, factor, offset } => {
                (format!("scaled {} {}", factor.number(), offset.number()), slice::from_ref(of))
            }
            Op::IsOneOf { signal: of, words } => (format!("{} in {words:?}", signal(*of)), &[]),
            Op::Word(of) => (format!("word of {}", signal(*of)), &[]),
            Op::Elements(of) => (format!("elements of {}", signal(*of)), &[]),
            Op::OfList { of, what } => (format!("{what:?}"), slice::from_ref(of)),
            Op::Episodes { of, during, rows_min } => (format!("episodes {rows_min}"), &[*of, *during]),
            Op::MeanDuring { episodes, back, .. } => (format!("mean {back}"), slice::from_ref(episodes)),
            Op::Correlation { of, with, nanos } => (format!("correlation {nanos}"), &[*of, *with]),
            Op::Usual { of, context, accepted } => {
                let all = [*of, *context].into_iter().chain(*accepted);
                let all: Vec<String> = all.map(|step| self.meaning(step, profile)).collect();
                return format!("usual({})", all.join(", "));
            }
            Op::Together(of) => ("together".into(), of),
            Op::Siblings(of) => ("siblings".into(), slice::from_ref(of)),
            Op::Unchanged(of) => ("unchanged".into(), slice::from_ref(of)),
            Op::Floor(of) => ("floor".into(), slice::from_ref(of)),
            Op::At(a, b) => ("at".into(), &[*a, *b]),
            Op::Bit { of, bit } => (format!("bit {bit}"), slice::from_ref(of)),
            Op::OverTime { of, what, nanos } => (format!("{what:?} {nanos}"), slice::from_ref(of)),
            Op::Magnitude(of) => ("abs".into(), slice::from_ref(of)),
            Op::Not(of) => ("!".into(), slice::from_ref(of)),
            Op::IsKnown(of) => ("known".into(), slice::from_ref(of)),
            Op::Previous(of) => ("previous".into(), slice::from_ref(of)),
            Op::Rate(of) => ("rate".into(), slice::from_ref(of)),
            Op::Lasts(of) => ("lasts".into(), slice::from_ref(of)),
            Op::Sum(a, b) => ("+".into(), &[*a, *b]),
            Op::Difference(a, b) => ("-".into(), &[*a, *b]),
            Op::Product(a, b) => ("*".into(), &[*a, *b]),
            Op::Quotient(a, b) => ("/".into(), &[*a, *b]),
            Op::Lesser(a, b) => ("min".into(), &[*a, *b]),
            Op::Greater(a, b) => ("max".into(), &[*a, *b]),
            Op::IsLess(a, b) => ("<".into(), &[*a, *b]),
            Op::IsLessOrEqual(a, b) => ("<=".into(), &[*a, *b]),
            Op::IsEqual(a, b) => ("==".into(), &[*a, *b]),
            Op::And(a, b) => ("&&".into(), &[*a, *b]),
            Op::Or(a, b) => ("||".into(), &[*a, *b]),
            Op::Choice(a, b, c) => ("?".into(), &[*a, *b, *c]),
        };
        let of: Vec<String> = of.iter().map(|of| self.meaning(*of, profile)).collect();
        if of.is_empty() { name } else { format!("{name}({})", of.join(", ")) }
    }
}
