//! Reports on their way into columns: each is gone through once, and nothing is allocated for a field.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{AssetId, AssetKind, Batch, Column, FrameException, Frames, Quality, Timestamp, ValueKind, Vectors};

use crate::content;
use crate::error::{BAD_VIN, DecodeError};
use crate::frame::{HEADER_BYTES, Header, Vin};
use crate::layout::{Field, Kept, Number, What};
use crate::standard::{Own, Standard};
use crate::time::from_wire;
use crate::walk::{self, Items, Noted, Nowhere, Reader, Sink};

/// Assets of one batch at the most: [`Frames`] counts them in 16 bits.
const ASSETS_MAX: usize = u16::MAX as usize;

/// See the module.
#[derive(Debug)]
pub struct ReportRows {
    standard: Arc<Standard>,
    frames: Frames,
    assets: HashMap<Vin, u16, RandomState>,
    texts: Texts,
    values: u64,
}

/// Texts of the row that is being filled; here so that the next one has their memory.
#[derive(Debug, Default)]
struct Texts {
    blocks: String,
    other: String,
}

impl ReportRows {
    /// No rows yet.
    pub fn new(standard: Arc<Standard>) -> Self {
        let frames = empty(&standard);
        Self { standard, frames, assets: HashMap::default(), texts: Texts::default(), values: 0 }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many values all rows have.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Whether a batch has as many assets as it can have.
    pub fn is_full(&self) -> bool {
        self.assets.len() >= ASSETS_MAX
    }

    /// Adds the report of a frame with `header`, whose decrypted data unit is `data`; gives its time.
    ///
    /// # Errors
    /// When it is no report; no row is added then. Offsets are those of the frame.
    ///
    /// # Panics
    /// When [`ReportRows::is_full`] was not asked.
    pub fn push(&mut self, header: &Header, data: &[u8]) -> Result<Timestamp, DecodeError> {
        let (row, exceptions, values) = (self.frames.len(), self.frames.exceptions.len(), self.values);
        let pushed = self.try_push(header, data);
        if pushed.is_err() {
            self.frames.asset.truncate(row);
            self.frames.time.truncate(row);
            self.frames.sequence.truncate(row);
            self.frames.exceptions.truncate(exceptions);
            self.values = values;
            for column in &mut self.frames.columns {
                match column {
                    Column::Integers(rows) => rows.truncate(row),
                    Column::Numbers(rows) => rows.truncate(row),
                    Column::Texts(rows) => rows.truncate(row),
                    Column::Vectors(rows) => rows.truncate(row),
                }
            }
        }
        pushed.map_err(|error| error.shifted(HEADER_BYTES))
    }

    /// Notes what became of the signature of the report that was added last.
    pub fn mark_signature(&mut self, outcome: &str) {
        let Some(row) = self.frames.len().checked_sub(1) else { return };
        if let Column::Texts(rows) = &mut self.frames.columns[usize::from(Own::SIGNATURE)] {
            put_at(rows, row, Some(outcome.into()));
        }
    }

    fn try_push(&mut self, header: &Header, data: &[u8]) -> Result<Timestamp, DecodeError> {
        let mut reader = Reader::new(data);
        let time = from_wire(content::time(&mut reader)?)?;
        let asset = self.asset(&header.vin)?;
        let row = self.frames.len();
        self.frames.asset.push(asset);
        self.frames.time.push(time);
        self.frames.sequence.push(0);
        let standard = Arc::clone(&self.standard);
        let layout = standard.layout(header.edition);
        let mut sink = Row { frames: &mut self.frames, row, values: 0 };
        let mut kinds = [0_u8; 256];
        let Texts { blocks, other } = &mut self.texts;
        blocks.clear();
        other.clear();
        while reader.left() > 0 {
            let begin = reader.at;
            let kind = walk::number(reader.take(1)?) as u8;
            let times = &mut kinds[usize::from(kind)];
            *times = times.saturating_add(1);
            if !blocks.is_empty() {
                blocks.push(' ');
            }
            put_hex(kind, blocks);
            match layout.block(kind) {
                Some(block) if block.has_columns && (*times == 1 || block.repeats) => {
                    walk::group(&block.group, &mut reader, &mut sink).map_err(|error| error.within(&block.id))?;
                    content::check_last(block.last, &block.id, &reader)?;
                    continue;
                }
                Some(block) => {
                    walk::group(&block.group, &mut reader, &mut Nowhere).map_err(|error| error.within(&block.id))?;
                    content::check_last(block.last, &block.id, &reader)?;
                }
                None => {
                    content::unknown(kind, &mut reader)?;
                }
            }
            data[begin..reader.at].iter().for_each(|byte| put_hex(*byte, other));
        }
        sink.put_own(header, &self.texts);
        self.values += sink.values;
        Ok(time)
    }

    /// The place of the vehicle `vin` among the assets of the batch.
    fn asset(&mut self, vin: &Vin) -> Result<u16, DecodeError> {
        if let Some(place) = self.assets.get(vin) {
            return Ok(*place);
        }
        let asset = AssetId::new(AssetKind::Vehicle, vin.as_str())
            .map_err(|_| DecodeError::new(0, BAD_VIN, "a VIN without spaces", "another text"))?;
        assert!(self.assets.len() < ASSETS_MAX, "a batch has at most {ASSETS_MAX} assets");
        let place = self.frames.assets.len() as u16;
        self.frames.assets.push(asset);
        self.assets.insert(*vin, place);
        Ok(place)
    }

    /// All rows so far as a batch that was received at `received`; there are none afterwards.
    pub fn take(&mut self, received: Timestamp) -> Batch {
        self.assets.clear();
        self.values = 0;
        let mut frames = std::mem::replace(&mut self.frames, empty(&self.standard));
        let rows = frames.len();
        for column in &mut frames.columns {
            match column {
                Column::Integers(column) => column.resize(rows, None),
                Column::Numbers(column) => column.resize(rows, None),
                Column::Texts(column) => column.resize(rows, None),
                Column::Vectors(column) => column.pad(rows),
            }
        }
        Batch::frames(Arc::clone(self.standard.profile()), received, frames)
    }
}

/// Adds two digits.
fn put_hex(byte: u8, text: &mut String) {
    for digit in [byte >> 4, byte & 0xF] {
        text.extend(char::from_digit(u32::from(digit), 16));
    }
}

/// Puts the value of the row `row` into a column, which may lack the rows before it.
fn put_at<T: Clone>(column: &mut Vec<Option<T>>, row: usize, value: Option<T>) {
    column.resize(row, None);
    column.push(value);
}

/// Columns are as long as the last row that they have something of; the last one may be the row that is being filled.
fn empty(standard: &Standard) -> Frames {
    let column = |kind| match kind {
        ValueKind::Integer => Column::Integers(Vec::new()),
        ValueKind::Vector => Column::Vectors(Vectors::default()),
        _ => Column::Texts(Vec::new()),
    };
    let columns = standard.profile().signals().iter().map(|signal| column(signal.kind)).collect();
    Frames { columns, ..Frames::default() }
}

/// The row that is being filled.
struct Row<'a> {
    frames: &'a mut Frames,
    row: usize,
    values: u64,
}

impl Row<'_> {
    fn except(&mut self, kept: Kept, element: Option<usize>, quality: Quality) {
        let element = element.map(|element| element as u16);
        self.frames.exceptions.push(FrameException { row: self.row as u32, signal: kept.column, element, quality });
    }

    fn put(&mut self, number: &Number, raw: u64, negative: bool) {
        let Some(kept) = number.kept else { return };
        let quality = number.quality(raw);
        self.values += 1;
        let value = (quality == Quality::Good).then(|| kept.of(raw, negative));
        let element = match &mut self.frames.columns[usize::from(kept.column)] {
            Column::Integers(rows) => {
                put_at(rows, self.row, value);
                None
            }
            Column::Vectors(rows) => {
                rows.pad(self.row + 1);
                rows.append([value.unwrap_or(Vectors::MISSING)]);
                Some(rows.row(self.row).map_or(0, |elements| elements.len() - 1))
            }
            _ => unreachable!("numbers are kept as integers"),
        };
        if quality != Quality::Good {
            self.except(kept, element, quality);
        } else if !number.is_in_range(raw) {
            // What the standard rules out cannot have been measured.
            self.except(kept, element, Quality::Abnormal);
        }
    }

    fn put_own(&mut self, header: &Header, texts: &Texts) {
        let row = self.row;
        if let Column::Integers(rows) = &mut self.frames.columns[usize::from(Own::EDITION)] {
            put_at(rows, row, Some(i64::from(header.edition.year())));
        }
        for (column, value) in [(Own::BLOCKS, &texts.blocks), (Own::OTHER, &texts.other)] {
            if let Column::Texts(rows) = &mut self.frames.columns[usize::from(column)]
                && !value.is_empty()
            {
                put_at(rows, row, Some(value.as_str().into()));
            }
        }
    }

    /// Gives the row an empty list in each column of `field`.
    fn begin(&mut self, field: &Field) {
        match &field.what {
            What::Number(number) => self.begin_column(number.kept.map(|kept| kept.column)),
            What::Array(_, each, count) => {
                self.begin_column(each.kept.map(|kept| kept.column));
                self.begin_column(*count);
            }
            What::List(_, group) => group.fields.iter().for_each(|field| self.begin(field)),
            _ => {}
        }
    }

    fn begin_column(&mut self, column: Option<u16>) {
        if let Some(Column::Vectors(rows)) = column.map(|column| &mut self.frames.columns[usize::from(column)]) {
            rows.pad(self.row + 1);
            rows.append([]);
        }
    }
}

impl Sink for Row<'_> {
    #[inline]
    fn number(&mut self, _: &Field, number: &Number, _: usize, raw: u64, noted: &Noted) {
        self.put(number, raw, number.is_negative(noted));
    }

    fn bytes(&mut self, _: &Field, _: usize, _: &[u8]) {}

    fn open(&mut self, field: &Field, _: usize, items: Items) {
        let What::List(count, group) = &field.what else { return };
        if !count.is_special(items.raw) {
            group.fields.iter().for_each(|field| self.begin(field));
        } else if let Some(kept) = group.fields.iter().find_map(Field::kept) {
            self.except(kept, None, count.quality(items.raw));
        }
    }

    fn item(&mut self, _: usize) {}

    fn close(&mut self) {}

    fn array(&mut self, field: &Field, each: &Number, _: usize, items: Items, values: &[u8]) {
        let (What::Array(count, _, counted), Some(kept)) = (&field.what, each.kept) else { return };
        if let Some(Column::Vectors(rows)) = counted.map(|column| &mut self.frames.columns[usize::from(column)]) {
            // The number as it stands there, so that the same bytes can be made of it.
            rows.pad(self.row + 1);
            rows.append([items.raw as i64]);
        } else if count.is_special(items.raw) {
            return self.except(kept, None, count.quality(items.raw));
        }
        self.values += items.count as u64;
        match each.bytes {
            1 => self.put_array::<1>(each, kept, values),
            2 => self.put_array::<2>(each, kept, values),
            _ => self.put_array::<4>(each, kept, values),
        }
    }
}

impl Row<'_> {
    /// Adds numbers of `WIDTH` bytes to the list of their column.
    fn put_array<const WIDTH: usize>(&mut self, each: &Number, kept: Kept, values: &[u8]) {
        let Column::Vectors(rows) = &mut self.frames.columns[usize::from(kept.column)] else { return };
        rows.pad(self.row + 1);
        let before = rows.row(self.row).map_or(0, <[i64]>::len);
        let raws = values.as_chunks::<WIDTH>().0.iter().map(|bytes| walk::number(bytes));
        let (least, greatest) =
            raws.clone().fold((u64::MAX, 0), |(least, greatest), raw| (least.min(raw), greatest.max(raw)));
        // Mostly all are numbers as they should be.
        if least >= each.range.0 && greatest <= each.range.1 && (each.plain || greatest < each.abnormal()) {
            return rows.append(raws.map(|raw| kept.of(raw, false)));
        }
        let is_number = |raw: u64| each.quality(raw) == Quality::Good;
        rows.append(raws.clone().map(|raw| if is_number(raw) { kept.of(raw, false) } else { Vectors::MISSING }));
        for (place, raw) in raws.enumerate() {
            let element = Some(before + place);
            if !is_number(raw) {
                self.except(kept, element, each.quality(raw));
            } else if !each.is_in_range(raw) {
                self.except(kept, element, Quality::Abnormal);
            }
        }
    }
}
