//! Computes steps over the rows of a batch, column by column. Knows nothing of rules or alarms.

use std::borrow::Cow;

use crate::fnv::Fnv;
use crate::input::Input;
use crate::lists::{Lists, of_list};
use crate::remembered::{Memories, remembered};
use crate::steps::{Op, Step, Steps};

/// A column of outcomes: NaN where a number is not known, `None` where it is not known whether something is so.
#[derive(Debug, Clone)]
pub(crate) enum Outcomes {
    Numbers(Vec<f64>),
    Truths(Vec<Option<bool>>),
    Lists(Lists),
    /// A list for each row, for the last time that a condition was true, and for those before.
    Episodes(Vec<Lists>),
}

/// Computes all of `steps` for the rows of `input`, with what they remember of those before.
pub(crate) fn evaluate(steps: &Steps, input: &Input<'_>, memories: &mut Memories) -> Vec<Outcomes> {
    let mut done: Vec<Outcomes> = Vec::with_capacity(steps.ops().len());
    for (step, op) in steps.ops().iter().enumerate() {
        let outcome =
            if op.has_memory() { remembered(steps, step, input, memories, &done) } else { computed(op, input, &done) };
        done.push(outcome);
    }
    done
}

pub(crate) fn numbers(done: &[Outcomes], step: Step) -> &[f64] {
    match &done[step as usize] {
        Outcomes::Numbers(numbers) => numbers,
        _ => &[],
    }
}

pub(crate) fn lists(done: &[Outcomes], step: Step) -> Cow<'_, Lists> {
    match &done[step as usize] {
        Outcomes::Lists(lists) => Cow::Borrowed(lists),
        Outcomes::Numbers(numbers) => Cow::Owned(Lists::empty(numbers.len())),
        Outcomes::Truths(truths) => Cow::Owned(Lists::empty(truths.len())),
        Outcomes::Episodes(_) => Cow::Owned(Lists::default()),
    }
}

pub(crate) fn truths(done: &[Outcomes], step: Step) -> &[Option<bool>] {
    match &done[step as usize] {
        Outcomes::Truths(truths) => truths,
        _ => &[],
    }
}

fn computed(op: &Op, input: &Input<'_>, done: &[Outcomes]) -> Outcomes {
    let rows = input.len();
    let each = |a: Step, f: &dyn Fn(f64) -> f64| match &done[a as usize] {
        Outcomes::Lists(lists) => Outcomes::Lists(lists.each(f)),
        _ => Outcomes::Numbers(numbers(done, a).iter().map(|a| f(*a)).collect()),
    };
    let pair = |a: Step, b: Step, f: fn(f64, f64) -> f64| match (&done[a as usize], &done[b as usize]) {
        (Outcomes::Lists(some), Outcomes::Lists(others)) => Outcomes::Lists(some.each_with_each(others, &f)),
        (Outcomes::Lists(lists), _) => Outcomes::Lists(lists.each_with(numbers(done, b), &f)),
        (_, Outcomes::Lists(lists)) => Outcomes::Lists(lists.each_with(numbers(done, a), &|b, a| f(a, b))),
        _ => {
            let pairs = numbers(done, a).iter().zip(numbers(done, b));
            Outcomes::Numbers(pairs.map(|(a, b)| f(*a, *b)).collect())
        }
    };
    let compare = |a: Step, b: Step, f: fn(&f64, &f64) -> bool| {
        let pairs = numbers(done, a).iter().zip(numbers(done, b));
        Outcomes::Truths(pairs.map(|(a, b)| (!a.is_nan() && !b.is_nan()).then(|| f(a, b))).collect())
    };
    match op {
        Op::Signal(signal) => Outcomes::Numbers(input.numbers(*signal)),
        Op::Number(number) => Outcomes::Numbers(vec![number.number(); rows]),
        Op::Truth(truth) => Outcomes::Truths(vec![Some(*truth); rows]),
        Op::Scaled { of, factor, offset } => {
            let (factor, offset) = (factor.number(), offset.number());
            each(*of, &|value| value * factor + offset)
        }
        Op::Magnitude(of) => each(*of, &f64::abs),
        Op::Sum(a, b) => pair(*a, *b, |a, b| a + b),
        Op::Difference(a, b) => pair(*a, *b, |a, b| a - b),
        Op::Product(a, b) => pair(*a, *b, |a, b| a * b),
        // What is divided by zero is not known.
        Op::Quotient(a, b) => pair(*a, *b, |a, b| if b == 0.0 { f64::NAN } else { a / b }),
        Op::Lesser(a, b) => pair(*a, *b, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }),
        Op::Greater(a, b) => pair(*a, *b, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }),
        Op::IsLess(a, b) => compare(*a, *b, |a, b| a < b),
        Op::IsLessOrEqual(a, b) => compare(*a, *b, |a, b| a <= b),
        Op::IsEqual(a, b) => compare(*a, *b, |a, b| a == b),
        Op::IsOneOf { signal, words } => Outcomes::Truths(input.is_one_of(*signal, words)),
        Op::Word(signal) => Outcomes::Numbers(input.words(*signal)),
        Op::Together(of) => {
            let together = |row: usize| together(of.iter().map(|step| numbers(done, *step)[row]));
            Outcomes::Numbers((0..rows).map(together).collect())
        }
        Op::Floor(of) => each(*of, &f64::floor),
        Op::And(..) | Op::Or(..) | Op::Not(_) | Op::Choice(..) | Op::IsKnown(_) | Op::Bit { .. } => {
            decided(op, rows, done)
        }
        _ => of_lists(op, input, done),
    }
}

/// What a step about conditions comes to.
fn decided(op: &Op, rows: usize, done: &[Outcomes]) -> Outcomes {
    match op {
        Op::And(a, b) => both(truths(done, *a), truths(done, *b), false),
        Op::Or(a, b) => both(truths(done, *a), truths(done, *b), true),
        Op::Not(a) => Outcomes::Truths(truths(done, *a).iter().map(|a| a.map(|a| !a)).collect()),
        Op::Choice(condition, a, b) => {
            let (a, b) = (numbers(done, *a), numbers(done, *b));
            let chosen = |(row, condition): (usize, &Option<bool>)| match condition {
                Some(true) => a[row],
                Some(false) => b[row],
                None => f64::NAN,
            };
            Outcomes::Numbers(truths(done, *condition).iter().enumerate().map(chosen).collect())
        }
        Op::IsKnown(of) => Outcomes::Truths(match &done[*of as usize] {
            Outcomes::Numbers(numbers) => numbers.iter().map(|number| Some(!number.is_nan())).collect(),
            Outcomes::Truths(truths) => truths.iter().map(|truth| Some(truth.is_some())).collect(),
            Outcomes::Lists(lists) => lists.rows().map(|row| Some(row.iter().any(|value| !value.is_nan()))).collect(),
            Outcomes::Episodes(_) => vec![None; rows],
        }),
        Op::Bit { of, bit } => {
            let set = |number: &f64| (!number.is_nan()).then(|| (*number as i64 >> bit) & 1 == 1);
            Outcomes::Truths(numbers(done, *of).iter().map(set).collect())
        }
        _ => Outcomes::Truths(vec![None; rows]),
    }
}

/// What a step about lists comes to.
fn of_lists(op: &Op, input: &Input<'_>, done: &[Outcomes]) -> Outcomes {
    let rows = input.len();
    match op {
        Op::Elements(signal) => Outcomes::Lists(input.lists(*signal)),
        Op::OfList { of, what } => Outcomes::Numbers(lists(done, *of).rows().map(|row| of_list(row, *what)).collect()),
        Op::MeanDuring { episodes, back, is_list } => {
            let Outcomes::Episodes(episodes) = &done[*episodes as usize] else {
                return Outcomes::Numbers(vec![f64::NAN; rows]);
            };
            let means = &episodes[usize::from(*back)];
            if *is_list {
                Outcomes::Lists(means.clone())
            } else {
                Outcomes::Numbers(means.rows().map(|row| row.first().copied().unwrap_or(f64::NAN)).collect())
            }
        }
        Op::At(of, place) => {
            let at = |(row, place): (&[f64], &f64)| {
                let place = (*place >= 1.0).then(|| *place as usize - 1);
                place.and_then(|place| row.get(place)).copied().unwrap_or(f64::NAN)
            };
            Outcomes::Numbers(lists(done, *of).rows().zip(numbers(done, *place)).map(at).collect())
        }
        // What depends on the past is another module's.
        _ => Outcomes::Numbers(vec![f64::NAN; rows]),
    }
}

/// `a && b`, or `a || b` where `decisive` is true: what is decided by one is so whatever the other is.
fn both(a: &[Option<bool>], b: &[Option<bool>], decisive: bool) -> Outcomes {
    let decided = |(a, b): (&Option<bool>, &Option<bool>)| match (a, b) {
        (Some(one), _) | (_, Some(one)) if *one == decisive => Some(decisive),
        (Some(_), Some(_)) => Some(!decisive),
        _ => None,
    };
    Outcomes::Truths(a.iter().zip(b).map(decided).collect())
}

/// A number that stands for all of `numbers` together, if they are known.
fn together(mut numbers: impl Iterator<Item = f64>) -> f64 {
    let all = numbers.try_fold(Fnv::default(), |all, number| {
        // Zero has two signs and one meaning.
        (!number.is_nan()).then(|| all.with(&(number + 0.0).to_bits().to_le_bytes()))
    });
    all.map_or(f64::NAN, Fnv::number)
}
