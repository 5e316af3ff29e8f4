//! What stands in the data units: fields in their order, with width, scale, bounds and meaning, read from TOML.
//!
//! Knows the form of fields, not one of them: those are data, in `packs/vehicle/`.

mod read;

use std::collections::BTreeMap;

use crate::edition::{Command, Edition};

pub use read::LayoutError;
pub(crate) use read::error;

/// Fields that other fields of their group refer to, at most.
pub(crate) const REFERRED_MAX: usize = 4;

/// Everything that an edition says of data units.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Which edition.
    pub edition: Edition,
    pub(crate) blocks: Vec<BlockLayout>,
    /// For each type of block its place in `blocks`, or [`NO_BLOCK`].
    places: [u8; 256],
    messages: Vec<MessageLayout>,
    parameters: BTreeMap<u8, ParameterLayout>,
}

const NO_BLOCK: u8 = u8::MAX;

impl Layout {
    /// What a block of type `kind` holds, if the edition says so.
    pub fn block(&self, kind: u8) -> Option<&BlockLayout> {
        self.blocks.get(usize::from(self.places[usize::from(kind)]))
    }

    /// All blocks.
    pub fn blocks(&self) -> &[BlockLayout] {
        &self.blocks
    }

    /// What the data unit of `command` holds, if it is neither a report nor empty nor unknown.
    pub fn message(&self, command: Command) -> Option<&MessageLayout> {
        self.messages.iter().find(|message| message.command == command)
    }

    /// The parameter `number` of the commands 0x80 and 0x81.
    pub fn parameter(&self, number: u8) -> Option<&ParameterLayout> {
        self.parameters.get(&number)
    }

    /// All parameters, by number.
    pub fn parameters(&self) -> impl Iterator<Item = (u8, &ParameterLayout)> {
        self.parameters.iter().map(|(number, parameter)| (*number, parameter))
    }
}

/// One block of a report.
#[derive(Debug, Clone)]
pub struct BlockLayout {
    /// Whether all of it is kept in columns; otherwise its bytes are.
    pub(crate) has_columns: bool,
    /// The byte that it begins with.
    pub kind: u8,
    /// Its name.
    pub id: String,
    /// Its name for people.
    pub title: Title,
    /// Whether a report may have several, one for each system.
    pub repeats: bool,
    /// Whether nothing may follow it.
    pub last: bool,
    /// What it holds.
    pub group: Group,
}

/// The data unit of a command.
#[derive(Debug, Clone)]
pub struct MessageLayout {
    /// Whose.
    pub command: Command,
    /// Its name.
    pub id: String,
    /// Its name for people.
    pub title: Title,
    /// What it holds.
    pub group: Group,
}

/// A parameter that can be asked for and set.
#[derive(Debug, Clone)]
pub struct ParameterLayout {
    /// Its value.
    pub field: Field,
    /// Whether it can only be asked for.
    pub read_only: bool,
}

/// Chinese and English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// 中文.
    pub zh: String,
    /// English.
    pub en: String,
}

/// Fields that follow one another.
#[derive(Debug, Clone)]
pub struct Group {
    /// In their order.
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name, unique in its group.
    pub id: String,
    /// Its name for people.
    pub title: Title,
    /// How its bytes are read.
    pub what: What,
    /// The name of the column that it is kept in.
    pub signal: String,
    /// Whether it is not to be shown.
    pub secret: bool,
    /// Where its value is noted for fields that refer to it.
    pub(crate) noted: Option<u8>,
}

/// How the bytes of a field are read.
#[derive(Debug, Clone)]
pub enum What {
    /// A number.
    Number(Number),
    /// Six bytes of time.
    Time,
    /// Text of so many bytes.
    Text(usize),
    /// Text whose length in bytes is the value noted there.
    TextOf(u8),
    /// Bytes, after their number in so many bytes.
    Blob(u8),
    /// All bytes that are left.
    Rest,
    /// Groups.
    List(Count, Group),
    /// Numbers that are alike; and the column of how many there are, where lists of several are kept one after another.
    Array(Count, Number, Option<u16>),
}

/// Where the number of items of a list comes from.
#[derive(Debug, Clone)]
pub enum Count {
    /// It stands before the list, in so many bytes, and is at most so large.
    Prefix {
        /// One or two.
        bytes: u8,
        /// The greatest number of items.
        max: u64,
    },
    /// It is the value noted there.
    Noted(u8),
    /// It is the sum of an array, which is the field of the group at this place.
    SumOf(usize),
}

impl Count {
    /// How many bytes stand before the list.
    pub(crate) fn width(&self) -> usize {
        if let Self::Prefix { bytes, .. } = self { usize::from(*bytes) } else { 0 }
    }

    /// What it means that there is no number of items.
    pub(crate) fn quality(&self, raw: u64) -> model::Quality {
        if raw & 1 == 0 { model::Quality::Abnormal } else { model::Quality::Invalid }
    }

    /// The raw number that says by `quality` that there is none.
    pub(crate) fn special(&self, quality: model::Quality) -> Option<u64> {
        let Self::Prefix { bytes, .. } = self else { return None };
        special((1 << (8 * bytes)) - 2, quality)
    }

    /// Whether `raw` says that there is no number of items, and so no items.
    pub(crate) fn is_special(&self, raw: u64) -> bool {
        if let Self::Prefix { bytes, .. } = self { raw >= (1 << (8 * bytes)) - 2 } else { false }
    }
}

/// Of two raw values, `abnormal` and the one after it, that which says `quality`.
fn special(abnormal: u64, quality: model::Quality) -> Option<u64> {
    match quality {
        model::Quality::Abnormal => Some(abnormal),
        model::Quality::Invalid => Some(abnormal + 1),
        model::Quality::Good | model::Quality::Unavailable => None,
    }
}

impl Group {
    /// A column that has one element for each item of a list of such groups.
    pub(crate) fn item_column(&self) -> Option<u16> {
        self.fields.iter().find_map(|field| match &field.what {
            What::Number(number) => number.kept.map(|kept| kept.column),
            What::Array(_, _, counted) => *counted,
            _ => None,
        })
    }
}

impl Field {
    /// Where its numbers are kept.
    pub(crate) fn kept(&self) -> Option<Kept> {
        match &self.what {
            What::Number(number) | What::Array(_, number, _) => number.kept,
            _ => None,
        }
    }
}

/// A number: big-endian, `raw / divisor + offset`.
#[derive(Debug, Clone)]
pub struct Number {
    /// One, two or four.
    pub bytes: u8,
    /// Raw steps per unit.
    pub divisor: i64,
    /// Added after the division.
    pub offset: i64,
    /// The unit after UCUM.
    pub unit: Option<String>,
    /// The least and greatest raw value that the standard allows.
    pub range: (u64, u64),
    /// Whether the two highest values are numbers like others.
    pub plain: bool,
    /// What single values stand for.
    pub values: BTreeMap<u64, String>,
    /// The bits that `values` are about.
    pub value_mask: u64,
    /// What bits stand for, by their number from the least significant one.
    pub flags: BTreeMap<u8, String>,
    /// The noted field and its bit that make the physical value negative.
    pub(crate) negative: Option<(u8, u8)>,
    /// Where it is kept, if it stands in a report.
    pub(crate) kept: Option<Kept>,
}

/// Where a number is kept: `raw × multiply + add` in the column `column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) column: u16,
    pub(crate) multiply: i64,
    pub(crate) add: i64,
}

impl Kept {
    /// What is kept of `raw`.
    pub(crate) fn of(self, raw: u64, negative: bool) -> i64 {
        let value = raw as i64 * self.multiply + self.add;
        if negative { -value } else { value }
    }

    /// The raw value of `bytes` bytes that `value` is kept of.
    pub(crate) fn raw(self, value: i64, negative: bool, bytes: u8) -> Option<u64> {
        let value = if negative { -value } else { value } - self.add;
        let raw = u64::try_from(value / self.multiply).ok()?;
        (value % self.multiply == 0 && raw >> (8 * bytes) == 0).then_some(raw)
    }
}

impl Number {
    /// The raw value that means abnormal; the next one means invalid.
    pub fn abnormal(&self) -> u64 {
        (1_u64 << (8 * self.bytes)) - 2
    }

    /// What `raw` is: a number, or a statement that there is none.
    pub fn quality(&self, raw: u64) -> model::Quality {
        match raw.wrapping_sub(self.abnormal()) {
            0 if !self.plain => model::Quality::Abnormal,
            1 if !self.plain => model::Quality::Invalid,
            _ => model::Quality::Good,
        }
    }

    /// The raw value that says by `quality` that there is no number.
    pub(crate) fn special(&self, quality: model::Quality) -> Option<u64> {
        if self.plain { None } else { special(self.abnormal(), quality) }
    }

    /// Whether the standard allows `raw`.
    pub fn is_in_range(&self, raw: u64) -> bool {
        (self.range.0..=self.range.1).contains(&raw) || self.quality(raw) != model::Quality::Good
    }

    /// Whether raw and physical value differ.
    pub fn is_scaled(&self) -> bool {
        self.divisor != 1 || self.offset != 0 || self.negative.is_some()
    }

    /// Whether a noted field says that the value is negative.
    pub(crate) fn is_negative(&self, noted: &[u64; REFERRED_MAX]) -> bool {
        self.negative.is_some_and(|(slot, bit)| noted[usize::from(slot)] >> bit & 1 == 1)
    }

    /// The physical value of `raw`, `negative` or not by another field.
    pub fn physical(&self, raw: u64, negative: bool) -> f64 {
        // One division, so that the result is the number nearest to the decimal one.
        let whole = raw as i64 + self.offset * self.divisor;
        let whole = if negative { -whole } else { whole };
        whole as f64 / self.divisor as f64
    }

    /// The raw value nearest to `physical`, if there is one.
    pub fn raw(&self, physical: f64) -> Option<u64> {
        let raw = ((physical.abs_if(self.negative.is_some()) - self.offset as f64) * self.divisor as f64).round();
        (raw >= 0.0 && raw < (1_u64 << (8 * self.bytes)) as f64).then_some(raw as u64)
    }

    /// What `raw` stands for, where single values or bits stand for something.
    pub fn meanings(&self, raw: u64) -> Vec<&str> {
        let value = self.values.get(&(raw & self.value_mask)).map(String::as_str);
        let flags = self.flags.iter().filter(|(bit, _)| raw >> **bit & 1 == 1).map(|(_, flag)| flag.as_str());
        value.into_iter().chain(flags).collect()
    }
}

trait AbsIf {
    fn abs_if(self, condition: bool) -> Self;
}

impl AbsIf for f64 {
    fn abs_if(self, condition: bool) -> Self {
        if condition { self.abs() } else { self }
    }
}
