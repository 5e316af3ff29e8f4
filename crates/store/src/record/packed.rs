//! Frames in a record, column by column. Wire integers, which are nearly all that frames hold, are kept as differences
//! to the row before of the same asset, 64 of them in as many bits each as the largest needs.
//!
//! A column begins with a byte: 0 where no row has a value, 1 where all have one, 2 where a bitmap follows. A row without
//! an integer repeats the one that it is compared with. The first rows of the assets come first, each as the difference
//! to the first row before it; then all others in blocks: a byte with the width in bits, and the zig-zag differences,
//! least significant bit first. What does not fill a block follows as variable-length integers. This module must not know
//! of log files.

use model::{Column, Frames, Profile, Timestamp, ValueKind, Vectors};

use super::{Keys, decode_exceptions, decode_keys, encode_exceptions, encode_keys};
use crate::codec::{Decoder, Encoder, RecordError, unzigzag, zigzag};

/// The most values of one batch of frames, so that a small record cannot ask for more memory than a batch ever took.
pub(crate) const VALUES_MAX: usize = 1 << 25;

const NONE: u8 = 0;
const ALL: u8 = 1;
const SOME: u8 = 2;

/// Values of one block.
const BLOCK: usize = 64;

/// For each row, which one it is compared with.
struct Order {
    /// The first row of each asset.
    firsts: Vec<u32>,
    /// All other rows.
    others: Vec<u32>,
    /// The row before of the same asset; for the first ones, the first one before.
    before: Vec<u32>,
}

impl Order {
    /// The order of rows of which `asset` says to which of `assets` each belongs.
    fn new(assets: usize, asset: &[u16]) -> Self {
        let mut order = Self { firsts: Vec::new(), others: Vec::new(), before: Vec::with_capacity(asset.len()) };
        let mut last = vec![u32::MAX; assets];
        for (row, place) in (0..).zip(asset) {
            let before = std::mem::replace(&mut last[usize::from(*place)], row);
            if before == u32::MAX {
                order.before.push(order.firsts.last().copied().unwrap_or(row));
                order.firsts.push(row);
            } else {
                order.before.push(before);
                order.others.push(row);
            }
        }
        order
    }

    /// What the integer of `row` is compared with; nothing is before the very first one.
    fn reference(&self, values: &[i64], row: u32) -> i64 {
        let before = self.before[row as usize];
        if before == row { 0 } else { values[before as usize] }
    }
}

pub(super) fn encode_frames(to: &mut Encoder, received: Timestamp, frames: &Frames) {
    encode_keys(to, received, &frames.assets, &frames.asset, &frames.time, &frames.sequence);
    let order = Order::new(frames.assets.len(), &frames.asset);
    let mut values = Vec::with_capacity(frames.len());
    for column in &frames.columns {
        match column {
            Column::Integers(rows) => {
                if encode_presence(to, rows) {
                    fill(&mut values, rows, &order);
                    encode_integers(to, &values, &order);
                }
            }
            Column::Numbers(rows) => {
                if encode_presence(to, rows) {
                    rows.iter().flatten().for_each(|number| to.f64(*number));
                }
            }
            Column::Texts(rows) => {
                if encode_presence(to, rows) {
                    rows.iter().flatten().for_each(|text| to.text(text));
                }
            }
            Column::Vectors(rows) => encode_vectors(to, rows, &order),
        }
    }
    encode_exceptions(to, &frames.exceptions);
}

/// Says which rows have a value, and returns whether any has.
fn encode_presence<T>(to: &mut Encoder, rows: &[Option<T>]) -> bool {
    let present = rows.iter().filter(|row| row.is_some()).count();
    if present == 0 {
        to.u8(NONE);
    } else if present == rows.len() {
        to.u8(ALL);
    } else {
        to.u8(SOME);
        for chunk in rows.chunks(8) {
            to.u8(chunk.iter().enumerate().fold(0, |bits, (place, row)| bits | u8::from(row.is_some()) << place));
        }
    }
    present > 0
}

/// Makes `values` the integers of `rows`; a row without one repeats the one that it is compared with.
fn fill(values: &mut Vec<i64>, rows: &[Option<i64>], order: &Order) {
    values.clear();
    let mut whole = true;
    values.extend(rows.iter().map(|value| {
        whole &= value.is_some();
        value.unwrap_or_default()
    }));
    if !whole {
        for (row, value) in rows.iter().enumerate() {
            if value.is_none() {
                values[row] = order.reference(values, row as u32);
            }
        }
    }
}

fn encode_integers(to: &mut Encoder, values: &[i64], order: &Order) {
    for row in &order.firsts {
        to.signed(values[*row as usize].wrapping_sub(order.reference(values, *row)));
    }
    let difference = |row: u32| values[row as usize].wrapping_sub(values[order.before[row as usize] as usize]);
    let (blocks, rest) = order.others.as_chunks::<BLOCK>();
    for rows in blocks {
        encode_block(to, &rows.map(|row| zigzag(difference(row))));
    }
    rest.iter().for_each(|row| to.signed(difference(*row)));
}

fn encode_block(to: &mut Encoder, block: &[u64; BLOCK]) {
    let width = match u64::BITS - block.iter().fold(0, |all, value| all | value).leading_zeros() {
        0 => 0,
        bits @ 1..=4 => bits.next_power_of_two() as usize,
        bits => bits.next_multiple_of(8) as usize,
    };
    to.u8(width as u8);
    match width {
        0 => {}
        1 => encode_words::<1>(to, block),
        2 => encode_words::<2>(to, block),
        4 => encode_words::<4>(to, block),
        _ => {
            // Each value is written whole, and the next one over those of its bytes that are zero.
            let mut bytes = [0; BLOCK * 8 + 8];
            for (place, value) in block.iter().enumerate() {
                let at = place * width / 8;
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            to.bytes.extend_from_slice(&bytes[..width * 8]);
        }
    }
}

/// Writes values of `WIDTH` bits, a power of two, so that none stands in two words.
fn encode_words<const WIDTH: usize>(to: &mut Encoder, block: &[u64; BLOCK]) {
    for values in block.chunks_exact(BLOCK / WIDTH) {
        let word = values.iter().enumerate().fold(0, |word, (place, value)| word | value << (place * WIDTH));
        to.bytes.extend_from_slice(&word.to_le_bytes());
    }
}

/// Which rows have a list and how long it is; then which elements have a value, and all of them in the order of the rows,
/// each as the difference to the same element of the row before of the same asset, or to the element before.
fn encode_vectors(to: &mut Encoder, rows: &Vectors, order: &Order) {
    let lengths: Vec<Option<i64>> = rows.rows().map(|row| row.map(|elements| elements.len() as i64)).collect();
    if !encode_presence(to, &lengths) {
        return;
    }
    let mut filled = Vec::with_capacity(lengths.len());
    fill(&mut filled, &lengths, order);
    encode_integers(to, &filled, order);
    let missing = rows.elements().iter().filter(|element| **element == Vectors::MISSING).count();
    let whole = missing == 0;
    if whole && !rows.elements().is_empty() {
        to.u8(ALL);
    } else {
        let known: Vec<Option<()>> =
            rows.elements().iter().map(|element| (*element != Vectors::MISSING).then_some(())).collect();
        if !encode_presence(to, &known) {
            return;
        }
    }
    let mut elements = Vec::with_capacity(rows.elements().len());
    let mut differences = Vec::with_capacity(rows.elements().len());
    let mut starts = Vec::with_capacity(rows.len());
    for (row, list) in rows.rows().enumerate() {
        let reference = Reference::of(order, &starts, row, elements.len());
        let list = list.unwrap_or_default();
        starts.push((elements.len(), list.len()));
        let (begin, length) = reference.before;
        if whole && length >= list.len() {
            // As nearly all lists are: those of an asset have the same length.
            let before = &elements[begin..begin + list.len()];
            differences.extend(list.iter().zip(before).map(|(element, before)| zigzag(element.wrapping_sub(*before))));
            elements.extend_from_slice(list);
            continue;
        }
        for (place, element) in list.iter().enumerate() {
            let compared = reference.at(&elements, place);
            // An element without a value repeats the one that it is compared with.
            let element = if *element == Vectors::MISSING { compared } else { *element };
            differences.push(zigzag(element.wrapping_sub(compared)));
            elements.push(element);
        }
    }
    let (blocks, rest) = differences.as_chunks::<BLOCK>();
    blocks.iter().for_each(|block| encode_block(to, block));
    rest.iter().for_each(|difference| to.unsigned(*difference));
}

/// What the elements of a list are compared with.
struct Reference {
    /// Where the list of the row before of the same asset begins, and how long it is.
    before: (usize, usize),
    /// Where the list itself begins.
    start: usize,
}

impl Reference {
    /// For the list of `row`, which begins at `start`; `starts` tells of the rows before it.
    fn of(order: &Order, starts: &[(usize, usize)], row: usize, start: usize) -> Self {
        let before = order.before[row] as usize;
        Self { before: if before == row { (0, 0) } else { starts[before] }, start }
    }

    fn at(&self, elements: &[i64], place: usize) -> i64 {
        if place < self.before.1 {
            elements[self.before.0 + place]
        } else if place > 0 {
            elements[self.start + place - 1]
        } else {
            0
        }
    }
}

fn decode_vectors(from: &mut Decoder<'_>, order: &Order) -> Result<Vectors, RecordError> {
    let count = order.before.len();
    let mut vectors = Vectors::default();
    let present = decode_presence(from, count)?;
    let lengths = match present {
        Presence::None => {
            (0..count).for_each(|_| vectors.push(None::<[i64; 0]>));
            return Ok(vectors);
        }
        _ => present.column(decode_integers(from, order)?, Ok)?,
    };
    let mut total = 0_usize;
    for length in lengths.iter().flatten() {
        total = usize::try_from(*length).map_or(usize::MAX, |length| total.saturating_add(length));
        if total > VALUES_MAX {
            return from.error("no more values than a batch may have");
        }
    }
    let known = decode_presence(from, total)?;
    let mut differences = Vec::with_capacity(total);
    if !matches!(known, Presence::None) {
        for _ in 0..total / BLOCK {
            differences.extend(decode_block(from)?);
        }
        for _ in 0..total % BLOCK {
            differences.push(from.unsigned("an element")?);
        }
    }
    let (mut elements, mut starts) = (Vec::<i64>::with_capacity(total), Vec::with_capacity(count));
    for (row, length) in lengths.iter().enumerate() {
        let reference = Reference::of(order, &starts, row, elements.len());
        let length = length.map(|length| length as usize);
        starts.push((elements.len(), length.unwrap_or(0)));
        for place in 0..length.unwrap_or(0) {
            let difference = differences.get(elements.len()).map_or(0, |difference| unzigzag(*difference));
            elements.push(reference.at(&elements, place).wrapping_add(difference));
        }
    }
    for ((start, length), present) in starts.into_iter().zip(&lengths) {
        let list =
            (start..start + length).map(|place| if known.has(place) { elements[place] } else { Vectors::MISSING });
        vectors.push(present.map(|_| list));
    }
    Ok(vectors)
}

pub(super) fn decode_frames(
    from: &mut Decoder<'_>,
    received: Timestamp,
    profile: &Profile,
) -> Result<Frames, RecordError> {
    let Keys { assets, asset, time, sequence } = decode_keys(from, received)?;
    let count = time.len();
    if count.saturating_mul(profile.signals().len()) > VALUES_MAX {
        return from.error("no more values than a batch may have");
    }
    let order = Order::new(assets.len(), &asset);
    let mut columns = Vec::with_capacity(profile.signals().len());
    for signal in profile.signals() {
        if signal.kind == ValueKind::Vector {
            columns.push(Column::Vectors(decode_vectors(from, &order)?));
            continue;
        }
        let present = decode_presence(from, count)?;
        columns.push(match signal.kind {
            ValueKind::Integer => Column::Integers(match present {
                Presence::None => vec![None; count],
                _ => present.column(decode_integers(from, &order)?, Ok)?,
            }),
            ValueKind::Number => Column::Numbers(present.column(0..count, |_| from.f64("a number"))?),
            _ => Column::Texts(present.column(0..count, |_| from.text("a text").map(Into::into))?),
        });
    }
    let exceptions = decode_exceptions(from, count, columns.len())?;
    Ok(Frames { assets, asset, time, sequence, columns, exceptions })
}

/// Which rows of a column have a value.
enum Presence<'a> {
    None,
    All,
    Some(&'a [u8]),
}

impl Presence<'_> {
    fn has(&self, place: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(bits) => bits[place / 8] >> (place % 8) & 1 == 1,
        }
    }

    /// A column of what `read` makes of each of `rows` that has a value.
    fn column<R, T>(
        &self,
        rows: impl IntoIterator<Item = R>,
        mut read: impl FnMut(R) -> Result<T, RecordError>,
    ) -> Result<Vec<Option<T>>, RecordError> {
        let column = rows.into_iter().enumerate().map(
            |(place, row)| {
                if self.has(place) { read(row).map(Some) } else { Ok(None) }
            },
        );
        column.collect()
    }
}

fn decode_presence<'a>(from: &mut Decoder<'a>, count: usize) -> Result<Presence<'a>, RecordError> {
    match from.u8("whether rows have a value")? {
        NONE => Ok(Presence::None),
        ALL => Ok(Presence::All),
        SOME => Ok(Presence::Some(from.take(count.div_ceil(8), "which rows have a value")?)),
        _ => from.error("a known way to say which rows have a value"),
    }
}

fn decode_integers(from: &mut Decoder<'_>, order: &Order) -> Result<Vec<i64>, RecordError> {
    let mut values = vec![0_i64; order.before.len()];
    for row in &order.firsts {
        values[*row as usize] = order.reference(&values, *row).wrapping_add(from.signed("an integer")?);
    }
    let mut put = |row: u32, difference: i64| {
        values[row as usize] = values[order.before[row as usize] as usize].wrapping_add(difference);
    };
    let (blocks, rest) = order.others.as_chunks::<BLOCK>();
    for rows in blocks {
        let differences = decode_block(from)?;
        rows.iter().zip(differences).for_each(|(row, difference)| put(*row, unzigzag(difference)));
    }
    for row in rest {
        put(*row, from.signed("an integer")?);
    }
    Ok(values)
}

fn decode_block(from: &mut Decoder<'_>) -> Result<[u64; BLOCK], RecordError> {
    let width = usize::from(from.u8("the width of a block")?);
    if !(matches!(width, 0 | 1 | 2 | 4) || width.is_multiple_of(8) && width <= 64) {
        return from.error("a known width of a block");
    }
    // Eight bytes more, so that every value can be read as a whole word.
    let mut bytes = [0; BLOCK * 8 + 8];
    bytes[..width * 8].copy_from_slice(from.take(width * 8, "a block of integers")?);
    let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    Ok(std::array::from_fn(|place| {
        let (at, shift) = (place * width / 8, place * width % 8);
        let word = bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        word >> shift & mask
    }))
}
