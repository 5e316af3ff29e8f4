//! Computes steps over the rows of a batch, column by column. Knows nothing of rules or alarms.

use model::Timestamp;

use crate::input::{AssetNumber, Input};
use crate::memory::Memory;
use crate::steps::{Op, Step, Steps};

/// A column of outcomes: NaN where a number is not known, `None` where it is not known whether something is so.
#[derive(Debug, Clone)]
pub(crate) enum Outcomes {
    Numbers(Vec<f64>),
    Truths(Vec<Option<bool>>),
}

/// What steps with a memory remember, asset by asset.
#[derive(Debug, Default)]
pub(crate) struct Memories {
    /// How many steps have one.
    width: usize,
    /// Which of them a step is.
    places: Vec<Option<usize>>,
    all: Vec<Box<[Memory]>>,
}

impl Memories {
    pub(crate) fn of(steps: &Steps) -> Self {
        let mut width = 0;
        let mut place = |op: &Op| {
            op.has_memory().then(|| {
                width += 1;
                width - 1
            })
        };
        let places = steps.ops().iter().map(&mut place).collect();
        Self { width, places, all: Vec::new() }
    }

    /// What `step` remembers of each asset, where that is something.
    pub(crate) fn of_step(&self, step: usize) -> impl Iterator<Item = (AssetNumber, &Memory)> {
        let place = self.places[step];
        (0..).zip(&self.all).filter_map(move |(asset, memories)| {
            let memory = memories.get(place?)?;
            (*memory != Memory::Nothing).then_some((asset, memory))
        })
    }

    /// Has `step` remember something of an asset.
    pub(crate) fn set(&mut self, asset: AssetNumber, step: usize, memory: Memory) {
        *self.get(asset, step) = memory;
    }

    fn make_room(&mut self, asset: AssetNumber) {
        if self.all.len() <= asset as usize {
            self.all.resize_with(asset as usize + 1, Box::default);
        }
        let memories = &mut self.all[asset as usize];
        if memories.len() != self.width {
            *memories = vec![Memory::Nothing; self.width].into();
        }
    }

    fn get(&mut self, asset: AssetNumber, step: usize) -> &mut Memory {
        let place = self.places[step].expect("a step with a memory");
        self.make_room(asset);
        &mut self.all[asset as usize][place]
    }
}

/// Computes all of `steps` for the rows of `input`; those that are `late` leave no memory.
pub(crate) fn evaluate(steps: &Steps, input: &Input<'_>, late: &[bool], memories: &mut Memories) -> Vec<Outcomes> {
    let mut done: Vec<Outcomes> = Vec::with_capacity(steps.ops().len());
    for (step, op) in steps.ops().iter().enumerate() {
        let outcome = if op.has_memory() {
            remembered(step, op, input, late, memories, &done)
        } else {
            computed(op, input, &done)
        };
        done.push(outcome);
    }
    done
}

fn numbers(done: &[Outcomes], step: Step) -> &[f64] {
    match &done[step as usize] {
        Outcomes::Numbers(numbers) => numbers,
        Outcomes::Truths(_) => &[],
    }
}

fn truths(done: &[Outcomes], step: Step) -> &[Option<bool>] {
    match &done[step as usize] {
        Outcomes::Truths(truths) => truths,
        Outcomes::Numbers(_) => &[],
    }
}

fn computed(op: &Op, input: &Input<'_>, done: &[Outcomes]) -> Outcomes {
    let rows = input.len();
    let each = |a: Step, f: &dyn Fn(f64) -> f64| Outcomes::Numbers(numbers(done, a).iter().map(|a| f(*a)).collect());
    let pair = |a: Step, b: Step, f: fn(f64, f64) -> f64| {
        let pairs = numbers(done, a).iter().zip(numbers(done, b));
        Outcomes::Numbers(pairs.map(|(a, b)| f(*a, *b)).collect())
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
        }),
        Op::Bit { of, bit } => {
            let set = |number: &f64| (!number.is_nan()).then(|| (*number as i64 >> bit) & 1 == 1);
            Outcomes::Truths(numbers(done, *of).iter().map(set).collect())
        }
        Op::List { signal, of } => Outcomes::Numbers(input.lists(*signal, *of)),
        Op::Previous(_) | Op::Rate(_) | Op::OverTime { .. } | Op::Lasts(_) => Outcomes::Numbers(vec![f64::NAN; rows]),
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

fn remembered(
    step: usize,
    op: &Op,
    input: &Input<'_>,
    late: &[bool],
    memories: &mut Memories,
    done: &[Outcomes],
) -> Outcomes {
    let mut outcomes = vec![f64::NAN; input.len()];
    let on_time = input.order.iter().copied().filter(|row| !late[*row]);
    for row in on_time {
        let (asset, time): (AssetNumber, Timestamp) = (input.assets[row], input.times[row]);
        let memory = memories.get(asset, step);
        outcomes[row] = match op {
            Op::Previous(of) => memory.previous(numbers(done, *of)[row], time).0,
            Op::Rate(of) => memory.rate(numbers(done, *of)[row], time),
            Op::Lasts(of) => memory.lasts(truths(done, *of)[row], time),
            Op::OverTime { of, what, nanos } => {
                let value = match &done[*of as usize] {
                    Outcomes::Numbers(numbers) => numbers[row],
                    Outcomes::Truths(truths) => truths[row].map_or(f64::NAN, |truth| f64::from(u8::from(truth))),
                };
                memory.over_time(*what, value, time, *nanos)
            }
            _ => f64::NAN,
        };
    }
    Outcomes::Numbers(outcomes)
}
