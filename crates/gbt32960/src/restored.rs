//! A report as it was: the bytes of its data unit, made again of the row that is kept of it.
//!
//! What [`ReportRows`](crate::ReportRows) takes in comes back byte for byte. Not kept are the header's command, response
//! flag and encryption, and the blanks that fill up a VIN. Must not know where rows are kept.

use std::collections::HashMap;

use model::{Column, Frames, Quality, Timestamp, Vectors};

use crate::content;
use crate::edition::Edition;
use crate::error::EncodeError;
use crate::frame::Vin;
use crate::layout::{Count, Field, Group, Layout, Number, REFERRED_MAX, What};
use crate::standard::{Own, Standard};
use crate::time::to_wire;
use crate::walk::{self, Noted, Reader};

/// A row of the profile of [`Standard::profile`], with all of its columns.
#[derive(Debug, Clone, Copy)]
pub struct ReportRow<'a> {
    frames: &'a Frames,
    row: usize,
}

/// What a row is made to again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The edition that the report came in.
    pub edition: Edition,
    /// Its data unit, as it was before it was encrypted.
    pub data: Vec<u8>,
}

impl<'a> ReportRow<'a> {
    /// The row `row` of `frames`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn new(frames: &'a Frames, row: usize) -> Self {
        assert!(row < frames.len(), "row {row} of {}", frames.len());
        Self { frames, row }
    }

    /// When it was so.
    pub fn time(&self) -> Timestamp {
        self.frames.time[self.row]
    }

    /// Whose report it is, filled up with NULs; `None` where that is no VIN.
    pub fn vin(&self) -> Option<Vin> {
        let asset = &self.frames.assets[usize::from(self.frames.asset[self.row])];
        Vin::padded(asset.identifier())
    }

    /// The edition that the report came in.
    ///
    /// # Errors
    /// When the row names none.
    pub fn edition(&self) -> Result<Edition, EncodeError> {
        let year = self.integer(Own::EDITION);
        let edition = year.and_then(|year| u16::try_from(year).ok()).and_then(Edition::of_year);
        edition.ok_or_else(|| EncodeError::new("report_edition", "2016 or 2025", format!("{year:?}")))
    }

    pub(crate) fn integer(&self, column: u16) -> Option<i64> {
        match &self.frames.columns[usize::from(column)] {
            Column::Integers(rows) => rows[self.row],
            _ => None,
        }
    }

    pub(crate) fn list(&self, column: u16) -> Option<&'a [i64]> {
        match &self.frames.columns[usize::from(column)] {
            Column::Vectors(rows) => rows.row(self.row),
            _ => None,
        }
    }

    fn text(&self, column: u16) -> &'a str {
        match &self.frames.columns[usize::from(column)] {
            Column::Texts(rows) => rows[self.row].as_deref().unwrap_or_default(),
            _ => "",
        }
    }

    /// The types of its blocks, in their order.
    pub(crate) fn blocks(&self) -> Result<Vec<u8>, EncodeError> {
        let of_digits = |digits| u8::from_str_radix(digits, 16);
        let blocks: Result<_, _> = self.text(Own::BLOCKS).split_ascii_whitespace().map(of_digits).collect();
        blocks.map_err(|_| EncodeError::new("report_blocks", "types of blocks, hexadecimal", "another text"))
    }

    /// The bytes of its blocks that have no columns.
    pub(crate) fn other(&self) -> Result<Vec<u8>, EncodeError> {
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<_> = self.text(Own::OTHER).as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| EncodeError::new("report_other", "bytes, hexadecimal", "another text"))
    }

    /// What is said of its values besides the values; by column, and element where it is of one.
    pub(crate) fn qualities(&self) -> HashMap<(u16, Option<u16>), Quality> {
        let exceptions = self.frames.exceptions_of(self.row).iter();
        exceptions.map(|exception| ((exception.signal, exception.element), exception.quality)).collect()
    }

    pub(crate) fn time_on_wire(&self) -> Result<[u8; 6], EncodeError> {
        let time = self.time();
        to_wire(time).ok_or_else(|| EncodeError::new("time", "a time of the years 2000 to 2099", time.to_string()))
    }
}

/// The bytes of a block that has no columns, at the beginning of what `reader` has left.
pub(crate) fn other_block<'a>(layout: &Layout, kind: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], EncodeError> {
    let mut block = *reader;
    let walked = block.take(1).and_then(|first| match layout.block(kind) {
        _ if first != [kind] => Ok(()),
        Some(known) => walk::group(&known.group, &mut block, &mut walk::Nowhere),
        None => content::unknown(kind, &mut block).map(drop),
    });
    let length = block.at - reader.at;
    let bytes = walked.and_then(|()| reader.take(length)).ok().filter(|bytes| bytes.first() == Some(&kind));
    bytes.ok_or_else(|| EncodeError::new("report_other", format!("a block of type {kind:#04x}"), "other bytes"))
}

impl Standard {
    /// Makes `row` the data unit again that it was.
    ///
    /// # Errors
    /// When no report can have become such a row; says which column.
    pub fn restored(&self, row: &ReportRow<'_>) -> Result<Restored, EncodeError> {
        let edition = row.edition()?;
        let (layout, other) = (self.layout(edition), row.other()?);
        let mut other = Reader::new(&other);
        let mut seen = [false; 256];
        let mut writing = Writing::new(*row, self.profile().signals().len());
        writing.output.extend(row.time_on_wire()?);
        for kind in row.blocks()? {
            let is_first = !std::mem::replace(&mut seen[usize::from(kind)], true);
            match layout.block(kind) {
                Some(block) if block.has_columns && (is_first || block.repeats) => {
                    writing.output.push(kind);
                    writing.group(&block.group, Noted::default()).map_err(|error| error.within(&block.id))?;
                }
                _ => writing.output.extend(other_block(layout, kind, &mut other)?),
            }
        }
        if other.left() > 0 {
            return Err(EncodeError::new("report_other", "the blocks of report_blocks", "more bytes"));
        }
        Ok(Restored { edition, data: writing.output })
    }
}

/// A data unit that is being written.
struct Writing<'a> {
    row: ReportRow<'a>,
    qualities: HashMap<(u16, Option<u16>), Quality>,
    /// How many elements of each column have been written.
    written: Vec<usize>,
    output: Vec<u8>,
}

impl<'a> Writing<'a> {
    fn new(row: ReportRow<'a>, columns: usize) -> Self {
        Self { row, qualities: row.qualities(), written: vec![0; columns], output: Vec::new() }
    }

    fn group(&mut self, group: &Group, mut noted: Noted) -> Result<(), EncodeError> {
        for field in &group.fields {
            self.field(field, &mut noted).map_err(|error| error.within(&field.id))?;
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, noted: &mut [u64; REFERRED_MAX]) -> Result<(), EncodeError> {
        match &field.what {
            What::Number(number) => {
                let raw = self.number(number, number.is_negative(noted))?;
                if let Some(slot) = field.noted {
                    noted[usize::from(slot)] = raw;
                }
                self.put(number.bytes, raw);
                Ok(())
            }
            What::List(count, group) => {
                let items = self.items(count, group.item_column())?;
                for place in 0..items {
                    self.group(group, *noted).map_err(|error| error.within(&format!("[{place}]")))?;
                }
                Ok(())
            }
            What::Array(count, each, counted) => {
                let items = match counted {
                    Some(column) => self.counted(count, *column)?,
                    None => self.items(count, each.kept.map(|kept| kept.column))?,
                };
                for place in 0..items {
                    let raw = self.number(each, false).map_err(|error| error.within(&format!("[{place}]")))?;
                    self.put(each.bytes, raw);
                }
                Ok(())
            }
            _ => Err(EncodeError::new("", "a field that has a column", "another")),
        }
    }

    fn put(&mut self, bytes: u8, raw: u64) {
        self.output.extend(&raw.to_be_bytes()[8 - usize::from(bytes)..]);
    }

    /// Writes how many items the list has whose elements are in `column`; gives how many follow.
    fn items(&mut self, count: &Count, column: Option<u16>) -> Result<usize, EncodeError> {
        let missing = || EncodeError::new("", "a list in its column", "none");
        let column = column.ok_or_else(missing)?;
        let (raw, items) = match self.row.list(column) {
            Some(list) => (list.len() as u64, list.len()),
            None => {
                let special = self.qualities.get(&(column, None)).and_then(|quality| count.special(*quality));
                (special.ok_or_else(missing)?, 0)
            }
        };
        self.put_count(count, raw)?;
        Ok(items)
    }

    /// Writes the next number of items, which is in `column`; gives how many follow.
    fn counted(&mut self, count: &Count, column: u16) -> Result<usize, EncodeError> {
        let place = self.next(column);
        let raw = self.row.list(column).and_then(|list| list.get(place)).copied();
        let raw = raw.and_then(|raw| u64::try_from(raw).ok());
        let raw = raw.ok_or_else(|| EncodeError::new("", "a number of items in its column", "none"))?;
        self.put_count(count, raw)?;
        Ok(if count.is_special(raw) { 0 } else { raw as usize })
    }

    fn put_count(&mut self, count: &Count, raw: u64) -> Result<(), EncodeError> {
        let bytes = count.width() as u8;
        if bytes == 0 || raw >> (8 * bytes) != 0 {
            return Err(EncodeError::new("", format!("a number of items of {bytes} bytes"), raw.to_string()));
        }
        self.put(bytes, raw);
        Ok(())
    }

    /// The place of the next element of `column`.
    fn next(&mut self, column: u16) -> usize {
        let next = &mut self.written[usize::from(column)];
        *next += 1;
        *next - 1
    }

    /// The raw value of the next number that is kept where `number` is.
    fn number(&mut self, number: &Number, is_negative: bool) -> Result<u64, EncodeError> {
        let kept = number.kept.ok_or_else(|| EncodeError::new("", "a number that has a column", "another"))?;
        let (value, element) = match self.row.list(kept.column) {
            Some(list) => {
                let place = self.next(kept.column);
                (list.get(place).copied().filter(|value| *value != Vectors::MISSING), Some(place as u16))
            }
            None => (self.row.integer(kept.column), None),
        };
        let raw = match value {
            Some(value) => kept.raw(value, is_negative, number.bytes),
            None => self.qualities.get(&(kept.column, element)).and_then(|quality| number.special(*quality)),
        };
        let found = || value.map_or("neither".to_owned(), |value| value.to_string());
        raw.ok_or_else(|| EncodeError::new("", "a value that fits, or why there is none", found()))
    }
}
