//! Reports of 2025 in the words of 2016, from the rows that they are kept as: the physical values in the older layout. What
//! that has no words for is told, and nothing is put in its place but what `packs/vehicle/` says.
//!
//! Knows the form of fields, not one of them.

use std::collections::HashMap;

use model::{Quality, Vectors};
use serde::Deserialize;

use crate::content::{USER_BLOCK_MAX, USER_BLOCK_MIN};
use crate::edition::Edition;
use crate::error::EncodeError;
use crate::layout::{BlockLayout, Count, Field, Group, Layout, LayoutError, Number, What, error};
use crate::restored::{ReportRow, other_block};
use crate::standard::Standard;
use crate::walk::{Noted, Reader};

const RULES: &str = include_str!("../../../packs/vehicle/gbt32960-2025-to-2016.toml");

/// Something that a report says and that cannot be said in another edition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inexpressible {
    /// A constant text: what is counted.
    pub reason: &'static str,
    /// The signal, or the type of the block.
    pub what: Box<str>,
}

const NO_BLOCK: &str = "no such block in 2016";
const NO_FIELD: &str = "no such field in 2016";
const NO_VALUE: &str = "no such value in 2016";
const TOO_MANY: &str = "more items than 2016 allows";
const SECOND_BLOCK: &str = "the same block again";

/// What `packs/vehicle/` says besides the layouts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    value: Vec<ValueRule>,
    split: Vec<SplitRule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueRule {
    signal: String,
    from: i64,
    to: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitRule {
    block: String,
    list: String,
    array: String,
    total: String,
    first: String,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Downgrade {
    rules: Rules,
    /// Which columns reports of 2025 have.
    said: Vec<bool>,
}

impl Downgrade {
    /// By what the pack `vehicle` says.
    ///
    /// # Panics
    /// When the pack that this program was built with contradicts itself; a test keeps it from that.
    pub fn built_in(standard: &Standard) -> Self {
        Self::read(standard, RULES).unwrap_or_else(|error| panic!("packs/vehicle: {error}"))
    }

    fn read(standard: &Standard, text: &str) -> Result<Self, LayoutError> {
        let place = "gbt32960-2025-to-2016";
        let rules: Rules = toml::from_str(text).map_err(|problem| error(place, problem.to_string()))?;
        let mut said = vec![false; standard.profile().signals().len()];
        let newer = standard.layout(Edition::E2025);
        newer.blocks().iter().for_each(|block| mark(&block.group, &mut said));
        for rule in &rules.value {
            if standard.profile().signal_index(&rule.signal).is_none() {
                return Err(error(place, format!("there is no signal `{}`", rule.signal)));
            }
        }
        for split in &rules.split {
            let block = standard.layout(Edition::E2016).blocks().iter().find(|block| block.id == split.block);
            let list = block.and_then(|block| block.group.field(&split.list));
            let Some(What::List(_, group)) = list.map(|list| &list.what) else {
                return Err(error(place, format!("there is no list `{}.{}`", split.block, split.list)));
            };
            let is_array = group.field(&split.array).is_some_and(|field| matches!(field.what, What::Array(..)));
            let numbers = [&split.total, &split.first].map(|id| group.field(id));
            let are_numbers =
                numbers.iter().all(|field| field.is_some_and(|field| matches!(field.what, What::Number(_))));
            if !is_array || !are_numbers {
                return Err(error(place, format!("`{}.{}` has no such fields", split.block, split.list)));
            }
        }
        Ok(Self { rules, said })
    }

    /// The data units of 2016 that say what `row` says, a report of 2025; there are several where one does not take all
    /// cells. What they do not say goes to `lost`.
    ///
    /// # Errors
    /// When no report can have become such a row.
    pub fn data_units(
        &self,
        standard: &Standard,
        row: &ReportRow<'_>,
        lost: &mut dyn FnMut(Inexpressible),
    ) -> Result<Vec<Vec<u8>>, EncodeError> {
        let [older, newer] = [Edition::E2016, Edition::E2025].map(|edition| standard.layout(edition));
        let (time, other) = (row.time_on_wire()?, row.other()?);
        let mut other = Reader::new(&other);
        let mut seen = [false; 256];
        let mut writing = Writing { downgrade: self, row: *row, qualities: row.qualities(), lost, rest: Vec::new() };
        let mut unit = time.to_vec();
        for kind in row.blocks()? {
            let is_first = !std::mem::replace(&mut seen[usize::from(kind)], true);
            match newer.block(kind) {
                Some(block) if block.has_columns && (is_first || block.repeats) => {
                    writing.block(block, older, &mut unit);
                }
                known => {
                    let bytes = other_block(newer, kind, &mut other)?;
                    let is_of_maker = known.is_none() && (USER_BLOCK_MIN..=USER_BLOCK_MAX).contains(&kind);
                    if is_of_maker && older.block(kind).is_none() {
                        unit.extend(bytes);
                    } else {
                        let reason = if is_first { NO_BLOCK } else { SECOND_BLOCK };
                        writing.tell(reason, &known.map_or(format!("{kind:02x}"), |block| block.id.clone()));
                    }
                }
            }
        }
        let mut units = vec![unit];
        units.extend(writing.rest.into_iter().map(|rest| [&time[..], &rest].concat()));
        Ok(units)
    }
}

/// Marks the columns of `group`.
fn mark(group: &Group, said: &mut [bool]) {
    for field in &group.fields {
        if let What::List(_, group) = &field.what {
            mark(group, said);
        }
        let counted = if let What::Array(_, _, counted) = &field.what { *counted } else { None };
        let columns = field.kept().map(|kept| kept.column).into_iter().chain(counted);
        columns.for_each(|column| said[usize::from(column)] = true);
    }
}

/// Which item of a list is written, and which part of its array.
#[derive(Debug, Clone, Copy)]
struct Item {
    place: usize,
    /// Where the elements of its array begin among those of all items.
    begin: usize,
    /// How many it has; how many it says that it has where that is no number.
    count: Result<usize, Quality>,
    /// How many of them stand in data units before this one.
    before: usize,
}

struct Writing<'a, 'b> {
    downgrade: &'a Downgrade,
    row: ReportRow<'a>,
    qualities: HashMap<(u16, Option<u16>), Quality>,
    lost: &'b mut dyn FnMut(Inexpressible),
    /// Blocks of further data units.
    rest: Vec<Vec<u8>>,
}

fn put(bytes: u8, raw: u64, output: &mut Vec<u8>) {
    output.extend(&raw.to_be_bytes()[8 - usize::from(bytes)..]);
}

impl Writing<'_, '_> {
    fn tell(&mut self, reason: &'static str, what: &str) {
        (self.lost)(Inexpressible { reason, what: what.into() });
    }

    /// Writes the block of 2016 that has the name of `block`.
    fn block(&mut self, block: &BlockLayout, older: &Layout, output: &mut Vec<u8>) {
        let Some(target) = older.blocks().iter().find(|target| target.id == block.id) else {
            return self.tell(NO_BLOCK, &block.id);
        };
        self.tell_of_others(&block.group, &target.group);
        output.push(target.kind);
        let mut noted = Noted::default();
        for field in &target.group.fields {
            match &field.what {
                What::Number(number) => {
                    let raw = self.number(&field.signal, number, None, &noted);
                    if let Some(slot) = field.noted {
                        noted[usize::from(slot)] = raw;
                    }
                    put(number.bytes, raw, output);
                }
                What::Array(count, each, _) => self.array(field, count, each, output),
                What::List(count, group) => {
                    let rules = &self.downgrade.rules.split;
                    let split = rules.iter().find(|split| split.block == target.id && split.list == field.id);
                    self.list(target.kind, field, count, group, split, output);
                }
                _ => unreachable!("blocks that have columns have nothing else"),
            }
        }
    }

    /// Tells of the fields of `group` that say something and that `target` does not have.
    fn tell_of_others(&mut self, group: &Group, target: &Group) {
        for field in &group.fields {
            let same = target.fields.iter().find(|other| other.signal == field.signal);
            match (&field.what, same.map(|same| &same.what)) {
                (What::List(_, group), other) => {
                    let none = Group { fields: Vec::new() };
                    let same_list = target.field(&field.id).map(|field| &field.what);
                    let target = match (same_list, other) {
                        (Some(What::List(_, target)), _) | (_, Some(What::List(_, target))) => target,
                        _ => &none,
                    };
                    self.tell_of_others(group, target);
                }
                (_, None) if field.kept().is_some_and(|kept| self.says(kept.column)) => {
                    self.tell(NO_FIELD, &field.signal);
                }
                _ => {}
            }
        }
    }

    fn says(&self, column: u16) -> bool {
        self.row.integer(column).is_some() || self.row.list(column).is_some_and(|list| !list.is_empty())
    }

    /// Whether 2025 says anything of the field that is kept in `column`.
    fn is_said(&self, column: u16) -> bool {
        self.downgrade.said[usize::from(column)]
    }

    /// What 2016 says of the number of `signal`, in the row or in the element of its list.
    fn number(&mut self, signal: &str, number: &Number, element: Option<usize>, noted: &Noted) -> u64 {
        let invalid = number.abnormal() + 1;
        let Some(kept) = number.kept.filter(|kept| self.is_said(kept.column)) else { return invalid };
        let value = match element {
            Some(element) => self.row.list(kept.column).and_then(|list| list.get(element).copied()),
            None => self.row.integer(kept.column),
        };
        let Some(value) = value.filter(|value| *value != Vectors::MISSING) else {
            let quality = self.qualities.get(&(kept.column, element.map(|element| element as u16)));
            return quality.and_then(|quality| number.special(*quality)).unwrap_or(invalid);
        };
        let rule = self.downgrade.rules.value.iter().find(|rule| rule.signal == signal && rule.from == value);
        if rule.is_some() {
            self.tell(NO_VALUE, signal);
        }
        let value = rule.map_or(value, |rule| rule.to);
        let raw = kept.raw(value, number.is_negative(noted), number.bytes);
        let raw = raw.filter(|raw| number.is_in_range(*raw) && number.quality(*raw) == Quality::Good);
        let unnamed = raw.map_or(u64::MAX, |raw| raw & !named_bits(number));
        match raw {
            Some(raw) if unnamed == 0 => raw,
            // Bits that stand each for itself can do without one another.
            Some(raw) if number.values.is_empty() => {
                self.tell(NO_VALUE, signal);
                raw & !unnamed
            }
            _ => {
                self.tell(NO_VALUE, signal);
                invalid
            }
        }
    }

    /// An array that stands in the block itself.
    fn array(&mut self, field: &Field, count: &Count, each: &Number, output: &mut Vec<u8>) {
        let column = each.kept.map(|kept| kept.column).filter(|column| self.is_said(*column));
        let list = column.and_then(|column| self.row.list(column));
        let quality = column.and_then(|column| self.qualities.get(&(column, None))).copied();
        let items = match list {
            Some(list) => Ok(list.len()),
            None => Err(quality.unwrap_or(Quality::Invalid)),
        };
        for place in 0..self.count(&field.signal, count, items, output) {
            let raw = self.number(&field.signal, each, Some(place), &Noted::default());
            put(each.bytes, raw, output);
        }
    }

    /// Writes how many items there are; gives how many follow.
    fn count(&mut self, signal: &str, count: &Count, items: Result<usize, Quality>, output: &mut Vec<u8>) -> usize {
        let Count::Prefix { bytes, max } = count else { return 0 };
        let (raw, follow) = match items {
            Ok(items) if items as u64 > *max => {
                self.tell(TOO_MANY, signal);
                (*max, *max as usize)
            }
            Ok(items) => (items as u64, items),
            Err(quality) => (count.special(quality).unwrap_or(*max + 1), 0),
        };
        put(*bytes, raw, output);
        follow
    }

    /// A list of groups, each of which may have one array.
    fn list(
        &mut self,
        kind: u8,
        field: &Field,
        count: &Count,
        group: &Group,
        split: Option<&SplitRule>,
        output: &mut Vec<u8>,
    ) {
        let column = group.item_column().filter(|column| self.is_said(*column));
        let items = match column.and_then(|column| self.row.list(column)) {
            Some(list) => Ok(list.len()),
            None => Err(column.and_then(|column| self.qualities.get(&(column, None))).map_or(Quality::Invalid, |q| *q)),
        };
        let follow = self.count(&field.signal, count, items, output);
        let mut all = Vec::with_capacity(follow);
        let mut begin = 0;
        for place in 0..follow {
            let count = self.elements_of(group, place);
            all.push(Item { place, begin, count, before: 0 });
            begin += count.unwrap_or(0);
        }
        for item in &all {
            self.item(group, *item, split, output);
        }
        let Some(split) = split else { return };
        let Some(What::Array(Count::Prefix { max, .. }, ..)) = group.field(&split.array).map(|field| &field.what)
        else {
            return;
        };
        // What is left goes into further data units, each with as much as it takes.
        loop {
            all.iter_mut().for_each(|item| item.before += *max as usize);
            all.retain(|item| item.count.is_ok_and(|count| count > item.before));
            if all.is_empty() {
                return;
            }
            let mut block = vec![kind];
            self.count(&field.signal, count, Ok(all.len()), &mut block);
            for item in &all {
                self.item(group, *item, Some(split), &mut block);
            }
            self.rest.push(block);
        }
    }

    /// How many elements the array of the item at `place` has.
    fn elements_of(&self, group: &Group, place: usize) -> Result<usize, Quality> {
        let counted = group.fields.iter().find_map(|field| match &field.what {
            What::Array(_, each, counted) => Some((each, (*counted)?)),
            _ => None,
        });
        let Some((_, column)) = counted else { return Ok(0) };
        let raw = self.row.list(column).and_then(|list| list.get(place)).copied();
        match raw.and_then(|raw| usize::try_from(raw).ok()) {
            Some(abnormal @ (0xFFFE | 0xFFFF)) => Err(Quality::ALL[1 + (abnormal & 1)]),
            Some(count) => Ok(count),
            None => Err(Quality::Invalid),
        }
    }

    fn item(&mut self, group: &Group, item: Item, split: Option<&SplitRule>, output: &mut Vec<u8>) {
        let is = |field: &Field, id: fn(&SplitRule) -> &String| split.is_some_and(|split| *id(split) == field.id);
        for field in &group.fields {
            match &field.what {
                What::Number(number) => {
                    let counted = |count: usize| item.count.map_or(number.abnormal() + 1, |_| count as u64);
                    let raw = if is(field, |split| &split.total) {
                        counted(item.count.unwrap_or(0))
                    } else if is(field, |split| &split.first) {
                        counted(item.before + 1)
                    } else {
                        self.number(&field.signal, number, Some(item.place), &Noted::default())
                    };
                    put(number.bytes, raw, output);
                }
                What::Array(count, each, _) => {
                    let left = item.count.map(|count| count - item.before);
                    let here = match (count, split) {
                        (Count::Prefix { max, .. }, Some(_)) => left.map(|left| left.min(*max as usize)),
                        _ => left,
                    };
                    for place in 0..self.count(&field.signal, count, here, output) {
                        let element = Some(item.begin + item.before + place);
                        let raw = self.number(&field.signal, each, element, &Noted::default());
                        put(each.bytes, raw, output);
                    }
                }
                _ => unreachable!("lists that have columns have nothing else"),
            }
        }
    }
}

/// The bits of `number` that the standard gives a meaning.
fn named_bits(number: &Number) -> u64 {
    if number.flags.is_empty() {
        return u64::MAX;
    }
    let flags = number.flags.keys().fold(0, |bits, bit| bits | 1 << bit);
    flags | if number.values.is_empty() { 0 } else { number.value_mask }
}

#[cfg(test)]
mod tests;
