//! Goes through bytes along a layout, and tells what it finds to a [`Sink`]: a tree, columns, or a dump.
//!
//! The one place that knows how lists, texts and numbers follow one another. Allocates nothing.

use crate::error::{DecodeError, TOO_MANY, TOO_SHORT};
use crate::layout::{Count, Field, Group, Number, REFERRED_MAX, What};

/// Values of fields that other fields of the same group refer to.
pub(crate) type Noted = [u64; REFERRED_MAX];

/// The number of items of a list: as it stands there, and as it is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Items {
    /// How many bytes the number has that stands before the list; 0 where it comes from another field.
    pub(crate) bytes: u8,
    /// That number, abnormal and invalid ones included.
    pub(crate) raw: u64,
    /// How many items follow.
    pub(crate) count: usize,
}

/// What is done with what is found. Offsets are those of the data unit.
pub(crate) trait Sink {
    /// A number.
    fn number(&mut self, field: &Field, number: &Number, at: usize, raw: u64, noted: &Noted);
    /// A time, a text, or bytes (without their length).
    fn bytes(&mut self, field: &Field, at: usize, bytes: &[u8]);
    /// A list begins; `at` is where its number of items stands.
    fn open(&mut self, field: &Field, at: usize, items: Items);
    /// The next item of the list begins.
    fn item(&mut self, place: usize);
    /// The list ends.
    fn close(&mut self);
    /// Numbers that are alike.
    fn array(&mut self, field: &Field, each: &Number, at: usize, items: Items, values: &[u8]);
}

/// For what is only gone through.
pub(crate) struct Nowhere;

impl Sink for Nowhere {
    fn number(&mut self, _: &Field, _: &Number, _: usize, _: u64, _: &Noted) {}
    fn bytes(&mut self, _: &Field, _: usize, _: &[u8]) {}
    fn open(&mut self, _: &Field, _: usize, _: Items) {}
    fn item(&mut self, _: usize) {}
    fn close(&mut self) {}
    fn array(&mut self, _: &Field, _: &Number, _: usize, _: Items, _: &[u8]) {}
}

/// A big-endian number.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A data unit, and how far it has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes.get(self.at..self.at + count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(self.short(count)),
        }
    }

    #[cold]
    fn short(&self, count: usize) -> DecodeError {
        let plural = if count == 1 { "" } else { "s" };
        DecodeError::new(
            self.at,
            TOO_SHORT,
            format!("{count} byte{plural}"),
            format!("{} before the end of the data unit", self.left()),
        )
    }

    #[inline]
    fn number(&mut self, width: u8) -> Result<u64, DecodeError> {
        let at = self.at;
        let bytes = self.take(usize::from(width))?;
        debug_assert!(at + bytes.len() == self.at);
        Ok(match *bytes {
            [one] => u64::from(one),
            [high, low] => u64::from(u16::from_be_bytes([high, low])),
            _ => number(bytes),
        })
    }
}

/// Walks `group`.
///
/// # Errors
/// When the bytes end too early, or a list has more items than the standard allows.
pub(crate) fn group<S: Sink>(group: &Group, reader: &mut Reader<'_>, sink: &mut S) -> Result<(), DecodeError> {
    group_with(group, reader, sink, &mut Noted::default())
}

/// As [`group`], where some values have been noted before.
pub(crate) fn group_with<S: Sink>(
    group: &Group,
    reader: &mut Reader<'_>,
    sink: &mut S,
    noted: &mut Noted,
) -> Result<(), DecodeError> {
    let mut sums = Sums::default();
    for (place, field) in group.fields.iter().enumerate() {
        let at = reader.at;
        let walked = one(field, place, reader, sink, noted, &mut sums);
        walked.map_err(|error| if error.offset < at { error } else { error.within(&field.id) })?;
    }
    Ok(())
}

/// The sum of the last array of the group, for lists with as many items; a group has one of them at the most.
#[derive(Default)]
struct Sums {
    place: usize,
    sum: u64,
}

fn one<S: Sink>(
    field: &Field,
    place: usize,
    reader: &mut Reader<'_>,
    sink: &mut S,
    noted: &mut Noted,
    sums: &mut Sums,
) -> Result<(), DecodeError> {
    let at = reader.at;
    match &field.what {
        What::Number(number) => {
            let raw = reader.number(number.bytes)?;
            if let Some(slot) = field.noted {
                noted[usize::from(slot)] = raw;
            }
            sink.number(field, number, at, raw, noted);
        }
        What::Time => sink.bytes(field, at, reader.take(6)?),
        What::Text(bytes) => sink.bytes(field, at, reader.take(*bytes)?),
        What::TextOf(slot) => sink.bytes(field, at, reader.take(noted[usize::from(*slot)] as usize)?),
        What::Blob(width) => {
            let length = reader.number(*width)? as usize;
            let bytes = reader.take(length)?;
            sink.bytes(field, at, bytes);
        }
        What::Rest => sink.bytes(field, at, reader.take(reader.left())?),
        What::List(count, group) => {
            let items = items(count, reader, noted, sums)?;
            sink.open(field, at, items);
            for place in 0..items.count {
                sink.item(place);
                group_with(group, reader, sink, &mut noted.clone())
                    .map_err(|error| error.within(&format!("[{place}]")))?;
            }
            sink.close();
        }
        What::Array(count, each, _) => {
            let items = items(count, reader, noted, sums)?;
            let values = reader.take(items.count * usize::from(each.bytes))?;
            *sums = Sums { place, sum: values.iter().map(|byte| u64::from(*byte)).sum() };
            sink.array(field, each, at, items, values);
        }
    }
    Ok(())
}

fn items(count: &Count, reader: &mut Reader<'_>, noted: &Noted, sums: &Sums) -> Result<Items, DecodeError> {
    match count {
        Count::Prefix { bytes, max } => {
            let at = reader.at;
            let raw = reader.number(*bytes)?;
            let is_special = count.is_special(raw);
            if raw > *max && !is_special {
                return Err(DecodeError::new(at, TOO_MANY, format!("at most {max} items"), raw.to_string()));
            }
            Ok(Items { bytes: *bytes, raw, count: if is_special { 0 } else { raw as usize } })
        }
        Count::Noted(slot) => {
            let raw = noted[usize::from(*slot)];
            Ok(Items { bytes: 0, raw, count: raw as usize })
        }
        Count::SumOf(place) => {
            debug_assert_eq!(*place, sums.place, "the array comes right before");
            Ok(Items { bytes: 0, raw: sums.sum, count: sums.sum as usize })
        }
    }
}
