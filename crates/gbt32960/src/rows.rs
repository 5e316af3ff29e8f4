//! Reports on their way into columns: each is gone through once, and nothing is allocated for a field.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

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
    assets: HashMap<Vin, u16>,
    values: u64,
}

impl ReportRows {
    /// No rows yet.
    pub fn new(standard: Arc<Standard>) -> Self {
        let frames = empty(&standard);
        Self { standard, frames, assets: HashMap::new(), values: 0 }
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

    fn try_push(&mut self, header: &Header, data: &[u8]) -> Result<Timestamp, DecodeError> {
        let mut reader = Reader::new(data);
        let time = from_wire(content::time(&mut reader)?)?;
        let asset = self.asset(&header.vin)?;
        let row = self.frames.len();
        self.frames.asset.push(asset);
        self.frames.time.push(time);
        self.frames.sequence.push(0);
        for column in &mut self.frames.columns {
            match column {
                Column::Integers(rows) => rows.push(None),
                Column::Numbers(rows) => rows.push(None),
                Column::Texts(rows) => rows.push(None),
                Column::Vectors(rows) => rows.push(None::<[i64; 0]>),
            }
        }
        let standard = Arc::clone(&self.standard);
        let layout = standard.layout(header.edition);
        let mut sink = Row { frames: &mut self.frames, row, values: 0 };
        let mut kinds = [0_u8; 256];
        let mut blocks = String::new();
        let mut other = String::new();
        while reader.left() > 0 {
            let begin = reader.at;
            let kind = walk::number(reader.take(1)?) as u8;
            let times = &mut kinds[usize::from(kind)];
            *times = times.saturating_add(1);
            let separator = if blocks.is_empty() { "" } else { " " };
            let _ = write!(blocks, "{separator}{kind:02x}");
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
            data[begin..reader.at].iter().for_each(|byte| {
                let _ = write!(other, "{byte:02x}");
            });
        }
        sink.put_own(header, blocks, other);
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
        let frames = std::mem::replace(&mut self.frames, empty(&self.standard));
        Batch::frames(Arc::clone(self.standard.profile()), received, frames)
    }
}

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
                rows[self.row] = value;
                None
            }
            Column::Vectors(rows) => {
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

    fn put_own(&mut self, header: &Header, blocks: String, other: String) {
        let row = self.row;
        if let Column::Integers(rows) = &mut self.frames.columns[usize::from(Own::EDITION)] {
            rows[row] = Some(i64::from(header.edition.year()));
        }
        for (column, value) in [(Own::BLOCKS, blocks), (Own::OTHER, other)] {
            if let Column::Texts(rows) = &mut self.frames.columns[usize::from(column)] {
                rows[row] = (!value.is_empty()).then(|| value.into());
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
            rows.append([items.raw as i64]);
        } else if count.is_special(items.raw) {
            return self.except(kept, None, count.quality(items.raw));
        }
        let width = usize::from(each.bytes);
        let Column::Vectors(rows) = &mut self.frames.columns[usize::from(kept.column)] else { return };
        let before = rows.row(self.row).map_or(0, <[i64]>::len);
        let mut good = true;
        rows.append(values.chunks_exact(width).map(|bytes| {
            let raw = walk::number(bytes);
            let is_number = each.quality(raw) == Quality::Good;
            good &= is_number && each.is_in_range(raw);
            if is_number { kept.of(raw, false) } else { Vectors::MISSING }
        }));
        self.values += items.count as u64;
        if !good {
            for (place, bytes) in values.chunks_exact(width).enumerate() {
                let raw = walk::number(bytes);
                let quality = each.quality(raw);
                let element = Some(before + place);
                if quality != Quality::Good {
                    self.except(kept, element, quality);
                } else if !each.is_in_range(raw) {
                    self.except(kept, element, Quality::Abnormal);
                }
            }
        }
    }
}
