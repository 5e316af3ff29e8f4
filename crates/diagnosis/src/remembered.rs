//! Steps that depend on what was before: what they remember of each asset, and what comes of it row by row. Knows nothing of rules.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use model::Timestamp;

use crate::evaluate::{Outcomes, lists, numbers, truths};
use crate::input::{AssetNumber, Input};
use crate::lists::Lists;
use crate::memory::Memory;
use crate::steps::{Op, Steps};

/// What is remembered of all assets together is remembered of this one.
const EVERYONE: AssetNumber = AssetNumber::MAX;

/// What steps with a memory remember, asset by asset.
#[derive(Debug, Default)]
pub(crate) struct Memories {
    /// How many steps have one.
    width: usize,
    /// Which of them a step is.
    places: Vec<Option<usize>>,
    all: HashMap<AssetNumber, Box<[Memory]>, FixedState>,
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
        Self { width, places, all: HashMap::default() }
    }

    /// What `step` remembers of each asset, where that is something.
    pub(crate) fn of_step(&self, step: usize) -> impl Iterator<Item = (AssetNumber, &Memory)> {
        let place = self.places[step];
        self.all.iter().filter_map(move |(asset, memories)| {
            let memory = memories.get(place?)?;
            (*memory != Memory::Nothing).then_some((*asset, memory))
        })
    }

    /// Has `step` remember something of an asset.
    pub(crate) fn set(&mut self, asset: AssetNumber, step: usize, memory: Memory) {
        *self.get(asset, step) = memory;
    }

    /// Forgets all of an asset.
    pub(crate) fn forget(&mut self, asset: AssetNumber) {
        self.all.remove(&asset);
    }

    fn get(&mut self, asset: AssetNumber, step: usize) -> &mut Memory {
        let place = self.places[step].expect("a step with a memory");
        let width = self.width;
        &mut self.all.entry(asset).or_insert_with(|| vec![Memory::Nothing; width].into())[place]
    }
}

/// What the step at `place`, which has a memory, comes to.
pub(crate) fn remembered(
    steps: &Steps,
    place: usize,
    input: &Input<'_>,
    memories: &mut Memories,
    done: &[Outcomes],
) -> Outcomes {
    match &steps.ops()[place] {
        Op::Episodes { .. } => Outcomes::Episodes(episodes(steps, place, input, memories, done)),
        op @ (Op::Correlation { .. } | Op::Usual { .. } | Op::Siblings(_)) => {
            let mut found: Vec<Vec<f64>> = vec![Vec::new(); input.len()];
            for row in input.order.iter().copied() {
                let asset = if let Op::Siblings(_) = op { EVERYONE } else { input.assets[row] };
                found[row] = list(op, row, input, done, memories.get(asset, place));
            }
            Outcomes::Lists(found.into_iter().collect())
        }
        op => {
            let mut found = vec![f64::NAN; input.len()];
            for row in input.order.iter().copied() {
                found[row] = number(op, row, done, input.times[row], memories.get(input.assets[row], place));
            }
            Outcomes::Numbers(found)
        }
    }
}

/// The means over the last times that a condition was true: for each of these times a list for each row.
fn episodes(steps: &Steps, place: usize, input: &Input<'_>, memories: &mut Memories, done: &[Outcomes]) -> Vec<Lists> {
    let Op::Episodes { of, during, rows_min } = &steps.ops()[place] else { return Vec::new() };
    let back = steps.back(place);
    let mut found: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); input.len()]; usize::from(back) + 1];
    for row in input.order.iter().copied() {
        let episodes = memories.get(input.assets[row], place).episodes();
        let kept = (*rows_min, usize::from(back) + 1);
        let (truth, time) = (truths(done, *during)[row], input.times[row]);
        match &done[*of as usize] {
            Outcomes::Lists(lists) => episodes.take(lists.row(row), truth, time, kept),
            _ => episodes.take(&numbers(done, *of)[row..=row], truth, time, kept),
        }
        for (back, found) in (0..).zip(&mut found) {
            found[row] = episodes.means(back).iter().copied().map(f64::from).collect();
        }
    }
    found.into_iter().map(|rows| rows.into_iter().collect()).collect()
}

/// What a step that comes to a list tells in a row.
fn list(op: &Op, row: usize, input: &Input<'_>, done: &[Outcomes], memory: &mut Memory) -> Vec<f64> {
    let time = input.times[row];
    match op {
        Op::Siblings(of) => memory.siblings().take(input.assets[row], numbers(done, *of)[row], time),
        Op::Correlation { of, with, nanos } => {
            let correlation = memory.correlation();
            correlation.take(lists(done, *of).row(row), numbers(done, *with)[row], time, *nanos);
            correlation.coefficients().collect()
        }
        Op::Usual { of, context, accepted } => {
            let usual = memory.usual();
            let context = numbers(done, *context)[row];
            let circumstances = (!context.is_nan()).then_some(context as u64);
            usual.take(numbers(done, *of)[row], circumstances, time, accepted.is_some());
            if accepted.is_some_and(|accepted| truths(done, accepted)[row] == Some(true)) {
                usual.accept();
            }
            usual.told().into()
        }
        _ => Vec::new(),
    }
}

/// What a step that comes to a number tells in a row.
fn number(op: &Op, row: usize, done: &[Outcomes], time: Timestamp, memory: &mut Memory) -> f64 {
    match op {
        Op::Previous(of) => memory.previous(numbers(done, *of)[row], time).0,
        Op::Rate(of) => memory.rate(numbers(done, *of)[row], time),
        Op::Lasts(of) => memory.lasts(truths(done, *of)[row], time),
        Op::Unchanged(of) => memory.unchanged(numbers(done, *of)[row], time),
        Op::OverTime { of, what, nanos } => {
            let value = match &done[*of as usize] {
                Outcomes::Numbers(numbers) => numbers[row],
                Outcomes::Truths(truths) => truths[row].map_or(f64::NAN, |truth| f64::from(u8::from(truth))),
                _ => f64::NAN,
            };
            memory.over_time(*what, value, time, *nanos)
        }
        _ => f64::NAN,
    }
}
