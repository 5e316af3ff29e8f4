//! Batches as steps see them: for each row and signal the value that counts then, where there is one that can be trusted. Of frames
//! that is what the row says; of changes, what was said last. Knows nothing of rules.

use std::cmp::Ordering;
use std::collections::HashMap;

use model::{AssetId, Changes, Column, Frames, Profile, Quality, Rows, SignalIndex, Timestamp, Value, Vectors};
use serde::{Deserialize, Serialize};

use crate::fnv::Fnv;
use crate::heard::{Heard, Turn};
use crate::lists::Lists;

/// An asset, by the number that the engine has given it.
pub(crate) type AssetNumber = u32;

/// What one signal of one asset said last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) enum Last {
    #[default]
    Unknown,
    Number(f64),
    Text(Box<str>),
    List(Box<[f64]>),
}

/// Rows, and the order in which they count.
pub(crate) struct Input<'a> {
    pub(crate) profile: &'a Profile,
    /// Whose each row is.
    pub(crate) assets: Vec<AssetNumber>,
    /// Of which time each row is.
    pub(crate) times: Vec<Timestamp>,
    /// The rows as they came in; those that came in together by time and asset.
    pub(crate) order: Vec<usize>,
    /// The place of each row among all that came in with it.
    pub(crate) places: Vec<usize>,
    values: Values<'a>,
}

/// How each row came in.
pub(crate) struct Arrivals {
    /// When.
    pub(crate) received: Vec<Timestamp>,
    /// Whose turn it was then.
    pub(crate) turns: Vec<Turn>,
}

enum Values<'a> {
    /// Frames, and which of them the rows are; left out, all.
    Frames(&'a Frames, Option<Vec<usize>>),
    /// Of each signal that is asked for, what counts in each row.
    Changes(HashMap<SignalIndex, Vec<Last>>),
}

/// When rows came in.
#[derive(Clone, Copy)]
pub(crate) enum Received<'a> {
    /// All of them then.
    AtOnce(Timestamp),
    /// Each at its own time.
    Each(&'a [Timestamp]),
}

impl Received<'_> {
    pub(crate) fn of(self, row: usize) -> Timestamp {
        match self {
            Self::AtOnce(received) => received,
            Self::Each(received) => received[row],
        }
    }
}

/// Rows as they were handed over.
pub(crate) struct Handed<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) rows: &'a Rows,
    pub(crate) received: Received<'a>,
    /// The numbers of the assets that the rows speak of.
    pub(crate) numbers: Vec<AssetNumber>,
}

impl<'a> Handed<'a> {
    /// The rows as steps see them, and how they came in. What was said of `signals` before, on time and late, is in `heard`, and is
    /// brought up to date.
    pub(crate) fn input(&self, signals: &[SignalIndex], heard: &mut Heard) -> (Input<'a>, Arrivals) {
        match self.rows {
            Rows::Frames(frames) => {
                let assets = self.assets(&frames.asset);
                let order = self.order(&assets, &frames.time, &frames.sequence, &heard.names);
                let received: Vec<Timestamp> = (0..frames.len()).map(|row| self.received.of(row)).collect();
                let input = Input::new(self.profile, assets, frames.time.clone(), order, Values::Frames(frames, None));
                let mut turns = vec![Turn::OnTime; frames.len()];
                for row in input.order.iter().copied() {
                    turns[row] = heard.turn(input.assets[row], input.times[row], received[row]);
                }
                (input, Arrivals { received, turns })
            }
            Rows::Changes(changes) => self.of_changes(changes, signals, heard),
        }
    }

    fn assets(&self, places: &[u16]) -> Vec<AssetNumber> {
        places.iter().map(|place| self.numbers[usize::from(*place)]).collect()
    }

    /// The order in which rows count: as they came in; what came in together by time, asset and sequence.
    fn order(&self, assets: &[AssetNumber], times: &[Timestamp], sequences: &[u32], names: &[AssetId]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..times.len()).collect();
        let name = |row: usize| names[assets[row] as usize].as_str();
        order.sort_by(|one, other| {
            let key = |row: usize| (self.received.of(row), times[row]);
            let by_asset =
                || if assets[*one] == assets[*other] { Ordering::Equal } else { name(*one).cmp(name(*other)) };
            let by_sequence = || sequences[*one].cmp(&sequences[*other]);
            key(*one).cmp(&key(*other)).then_with(by_asset).then_with(by_sequence)
        });
        order
    }

    /// A row for each time at which something was said.
    fn of_changes(&self, changes: &Changes, signals: &[SignalIndex], heard: &mut Heard) -> (Input<'a>, Arrivals) {
        let assets = self.assets(&changes.asset);
        let order = self.order(&assets, &changes.time, &changes.sequence, &heard.names);
        let mut columns: HashMap<SignalIndex, Vec<Last>> = signals.iter().map(|signal| (*signal, Vec::new())).collect();
        let (mut of_rows, mut times, mut received, mut turns) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let key = |row: &usize| (self.received.of(*row), assets[*row], changes.time[*row]);
        for together in order.chunk_by(|one, other| key(one) == key(other)) {
            let (came, asset, time) = key(&together[0]);
            let turn = heard.turn(asset, time, came);
            for row in together.iter().filter(|row| columns.contains_key(&changes.signal[**row])) {
                heard.hear(turn, asset, changes.signal[*row], said(self.profile, changes, *row));
            }
            of_rows.push(asset);
            times.push(time);
            received.push(came);
            turns.push(turn);
            for (signal, column) in &mut columns {
                column.push(heard.last_said(turn, asset, *signal).cloned().unwrap_or_default());
            }
        }
        let order = (0..times.len()).collect();
        let input = Input::new(self.profile, of_rows, times, order, Values::Changes(columns));
        (input, Arrivals { received, turns })
    }
}

impl<'a> Input<'a> {
    fn new(
        profile: &'a Profile,
        assets: Vec<AssetNumber>,
        times: Vec<Timestamp>,
        order: Vec<usize>,
        values: Values<'a>,
    ) -> Self {
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, row)| places[*row] = place);
        Self { profile, assets, times, order, places, values }
    }

    /// Only `rows` of it, which rise.
    pub(crate) fn only(&self, rows: &[usize]) -> Self {
        let values = match &self.values {
            Values::Frames(frames, of) => {
                let of = rows.iter().map(|row| of.as_ref().map_or(*row, |of| of[*row])).collect();
                Values::Frames(frames, Some(of))
            }
            Values::Changes(columns) => {
                let some = |column: &Vec<Last>| rows.iter().map(|row| column[*row].clone()).collect();
                Values::Changes(columns.iter().map(|(signal, column)| (*signal, some(column))).collect())
            }
        };
        let places: Vec<usize> = rows.iter().map(|row| self.places[*row]).collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| places[*row]);
        Self {
            profile: self.profile,
            assets: rows.iter().map(|row| self.assets[*row]).collect(),
            times: rows.iter().map(|row| self.times[*row]).collect(),
            order,
            places,
            values,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// The physical values of `signal`, NaN where there is none to be trusted.
    pub(crate) fn numbers(&self, signal: SignalIndex) -> Vec<f64> {
        match &self.values {
            Values::Changes(columns) => {
                let number = |last: &Last| if let Last::Number(number) = last { *number } else { f64::NAN };
                columns
                    .get(&signal)
                    .map_or_else(|| vec![f64::NAN; self.len()], |column| column.iter().map(number).collect())
            }
            Values::Frames(frames, of) => {
                let scale = self.profile.signal(signal).scale;
                let mut numbers: Vec<f64> = match &frames.columns[usize::from(signal)] {
                    Column::Integers(raw) => {
                        chosen(raw, of).map(|raw| raw.map_or(f64::NAN, |raw| scale.physical(raw))).collect()
                    }
                    Column::Numbers(numbers) => chosen(numbers, of).map(|number| number.unwrap_or(f64::NAN)).collect(),
                    _ => vec![f64::NAN; self.len()],
                };
                for row in exceptions(frames, of, signal) {
                    numbers[row] = f64::NAN;
                }
                numbers
            }
        }
    }

    /// For each row whether `signal` says one of `words`, if it says anything.
    pub(crate) fn is_one_of(&self, signal: SignalIndex, words: &[Box<str>]) -> Vec<Option<bool>> {
        let is = |text: &str| words.iter().any(|word| **word == *text);
        match &self.values {
            Values::Changes(columns) => {
                let said = |last: &Last| if let Last::Text(text) = last { Some(is(text)) } else { None };
                columns.get(&signal).map_or_else(|| vec![None; self.len()], |column| column.iter().map(said).collect())
            }
            Values::Frames(frames, of) => {
                let Column::Texts(rows) = &frames.columns[usize::from(signal)] else { return vec![None; self.len()] };
                let mut said: Vec<Option<bool>> = chosen(rows, of).map(|text| text.as_deref().map(is)).collect();
                for row in exceptions(frames, of, signal) {
                    said[row] = None;
                }
                said
            }
        }
    }

    /// For each row a number that stands for the word that `signal` says; NaN where it says none.
    pub(crate) fn words(&self, signal: SignalIndex) -> Vec<f64> {
        let number = |word: &str| Fnv::default().with(word.as_bytes()).number();
        match &self.values {
            Values::Changes(columns) => {
                let said = |last: &Last| if let Last::Text(text) = last { number(text) } else { f64::NAN };
                columns
                    .get(&signal)
                    .map_or_else(|| vec![f64::NAN; self.len()], |column| column.iter().map(said).collect())
            }
            Values::Frames(frames, of) => {
                let Column::Texts(rows) = &frames.columns[usize::from(signal)] else {
                    return vec![f64::NAN; self.len()];
                };
                let mut said: Vec<f64> =
                    chosen(rows, of).map(|text| text.as_deref().map_or(f64::NAN, number)).collect();
                for row in exceptions(frames, of, signal) {
                    said[row] = f64::NAN;
                }
                said
            }
        }
    }

    /// The physical elements of the list `signal`, NaN where there is none to be trusted.
    pub(crate) fn lists(&self, signal: SignalIndex) -> Lists {
        let mut lists = Lists::default();
        match &self.values {
            Values::Changes(columns) => {
                let Some(column) = columns.get(&signal) else { return Lists::empty(self.len()) };
                for said in column {
                    lists.push(if let Last::List(elements) = said {
                        elements.iter().copied()
                    } else {
                        [].iter().copied()
                    });
                }
            }
            Values::Frames(frames, of) => {
                let Column::Vectors(rows) = &frames.columns[usize::from(signal)] else {
                    return Lists::empty(self.len());
                };
                let scale = self.profile.signal(signal).scale;
                let physical = |raw: &i64| if *raw == Vectors::MISSING { f64::NAN } else { scale.physical(*raw) };
                let mut distrusted: Vec<usize> = exceptions(frames, of, signal).collect();
                distrusted.sort_unstable();
                for row in 0..self.len() {
                    let is_trusted = distrusted.binary_search(&row).is_err();
                    let elements =
                        rows.row(of.as_ref().map_or(row, |of| of[row])).filter(|_| is_trusted).unwrap_or_default();
                    lists.push(elements.iter().map(physical));
                }
            }
        }
        lists
    }
}

/// The values of the rows, which are those `of` a column.
fn chosen<'c, T>(column: &'c [T], of: &'c Option<Vec<usize>>) -> Box<dyn Iterator<Item = &'c T> + 'c> {
    match of {
        None => Box::new(column.iter()),
        Some(of) => Box::new(of.iter().map(|row| &column[*row])),
    }
}

/// The rows in which `signal` as a whole is not to be trusted.
fn exceptions(frames: &Frames, of: &Option<Vec<usize>>, signal: SignalIndex) -> impl Iterator<Item = usize> {
    let of_all =
        frames.exceptions.iter().filter(move |exception| exception.signal == signal && exception.element.is_none());
    of_all.filter_map(move |exception| {
        let row = exception.row as usize;
        of.as_ref().map_or(Some(row), |of| of.binary_search(&row).ok())
    })
}

fn said(profile: &Profile, changes: &Changes, row: usize) -> Last {
    if changes.quality[row] != Quality::Good {
        return Last::Unknown;
    }
    let scale = profile.signal(changes.signal[row]).scale;
    match &changes.value[row] {
        Value::Number(number) => Last::Number(*number),
        Value::Integer(raw) => Last::Number(scale.physical(*raw)),
        Value::Text(text) => Last::Text(text.clone()),
        Value::Vector(elements) => Last::List(elements.clone()),
        Value::Integers(raw) => {
            let physical = |raw: &i64| if *raw == Vectors::MISSING { f64::NAN } else { scale.physical(*raw) };
            Last::List(raw.iter().map(physical).collect())
        }
        Value::Absent | Value::Entries(_) | Value::Condition(_) => Last::Unknown,
    }
}
