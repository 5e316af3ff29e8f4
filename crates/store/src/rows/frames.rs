//! The rows of frames on their way into Arrow: whole columns of a batch at once.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float64Array, Int64Array, Int64Builder, ListBuilder, NullBufferBuilder, RecordBatch,
    StringArray, StringBuilder, StructBuilder, UInt32Array,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use model::{Column, Frames, Profile, Timestamp, ValueKind, Vectors};

use super::{KeyColumns, times, words};
use crate::table;

/// Rows of a batch that are new, and as what they are kept.
#[derive(Debug)]
pub(crate) struct NewFrames<'a> {
    pub(crate) frames: &'a Frames,
    pub(crate) received: Timestamp,
    /// The code of each asset of the batch.
    pub(crate) codes: &'a [u32],
    /// The place in the table of each column of the batch.
    pub(crate) places: &'a [u16],
    /// The sequence of every row of the batch.
    pub(crate) sequence: &'a [u32],
    /// Which rows are new; all of them where it is `None`.
    pub(crate) rows: Option<&'a [u32]>,
}

impl NewFrames<'_> {
    pub(crate) fn len(&self) -> usize {
        self.rows.map_or(self.frames.len(), <[u32]>::len)
    }

    fn row(&self, place: usize) -> usize {
        self.rows.map_or(place, |rows| rows[place] as usize)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct FramesBuilder {
    pub(super) keys: KeyColumns,
    columns: Vec<ColumnBuilder>,
    exceptions: ListBuilder<StructBuilder>,
}

#[derive(Debug)]
enum ColumnBuilder {
    Integers(Values<i64>),
    Numbers(Values<f64>),
    Texts(StringBuilder),
    Vectors(ListBuilder<Int64Builder>),
}

/// Fixed-width values, and where there are none.
#[derive(Debug)]
struct Values<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

impl<T: Copy + Default> Values<T> {
    fn with_capacity(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }

    fn extend(&mut self, column: &[Option<T>], new: &NewFrames<'_>, places: Range<usize>) {
        match new.rows {
            None => self.put(column[places].iter()),
            Some(rows) => self.put(rows[places].iter().map(|row| &column[*row as usize])),
        }
    }

    fn put<'a>(&mut self, values: impl ExactSizeIterator<Item = &'a Option<T>> + Clone)
    where
        T: 'a,
    {
        let (count, mut present) = (values.len(), 0);
        self.values.extend(values.clone().map(|value| {
            present += usize::from(value.is_some());
            value.unwrap_or_default()
        }));
        if present == count {
            self.nulls.append_n_non_nulls(count);
        } else if present == 0 {
            self.nulls.append_n_nulls(count);
        } else {
            values.for_each(|value| self.nulls.append(value.is_some()));
        }
    }

    fn put_nulls(&mut self, count: usize) {
        self.values.resize(self.values.len() + count, T::default());
        self.nulls.append_n_nulls(count);
    }

    /// The values so far; room for as many more is made, but not more than what they took.
    fn finish(&mut self) -> (Vec<T>, Option<arrow::buffer::NullBuffer>) {
        let mut whole = std::mem::replace(self, Self::with_capacity(self.values.len()));
        // A reader may cut a chunk long before it is full.
        if whole.values.capacity() > 2 * whole.values.len() {
            whole.values.shrink_to_fit();
        }
        (whole.values, whole.nulls.finish())
    }
}

impl ColumnBuilder {
    fn put_nulls(&mut self, count: usize) {
        match self {
            Self::Integers(column) => column.put_nulls(count),
            Self::Numbers(column) => column.put_nulls(count),
            Self::Texts(column) => column.append_nulls(count),
            Self::Vectors(column) => column.append_nulls(count),
        }
    }

    fn extend(&mut self, column: &Column, new: &NewFrames<'_>, places: Range<usize>) {
        match (self, column) {
            (Self::Integers(to), Column::Integers(rows)) => to.extend(rows, new, places),
            (Self::Numbers(to), Column::Numbers(rows)) => to.extend(rows, new, places),
            (Self::Texts(to), Column::Texts(rows)) => {
                places.for_each(|place| to.append_option(rows[new.row(place)].as_deref()));
            }
            (Self::Vectors(to), Column::Vectors(rows)) => {
                places.for_each(|place| put_list(to, rows.row(new.row(place))));
            }
            _ => unreachable!("the catalog has compared the kinds of all signals"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integers(column) => {
                let (values, nulls) = column.finish();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Self::Numbers(column) => {
                let (values, nulls) = column.finish();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Self::Texts(column) => Arc::new(column.finish()),
            Self::Vectors(column) => Arc::new(column.finish()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Integers(column) => 8 * column.values.len(),
            Self::Numbers(column) => 8 * column.values.len(),
            Self::Texts(column) => 4 * column.len() + column.values_slice().len(),
            Self::Vectors(column) => 4 * column.len() + 8 * column.values_ref().len(),
        }
    }
}

fn put_list(to: &mut ListBuilder<Int64Builder>, list: Option<&[i64]>) {
    let elements = list.unwrap_or_default();
    if elements.contains(&Vectors::MISSING) {
        elements
            .iter()
            .for_each(|element| to.values().append_option((*element != Vectors::MISSING).then_some(*element)));
    } else {
        to.values().append_slice(elements);
    }
    to.append(list.is_some());
}

impl FramesBuilder {
    pub(crate) fn new(profile: &Profile) -> Self {
        let columns = profile.signals().iter().map(|signal| match signal.kind {
            ValueKind::Integer => ColumnBuilder::Integers(Values::with_capacity(0)),
            ValueKind::Number => ColumnBuilder::Numbers(Values::with_capacity(0)),
            ValueKind::Vector => ColumnBuilder::Vectors(ListBuilder::new(Int64Builder::new())),
            _ => ColumnBuilder::Texts(StringBuilder::new()),
        });
        let fields = table::exception_fields();
        let element = Field::new("item", DataType::Struct(fields.clone()), false);
        let exceptions = ListBuilder::new(StructBuilder::from_fields(fields, 0)).with_field(element);
        Self { keys: KeyColumns::default(), columns: columns.collect(), exceptions }
    }

    /// Adds the new rows at `places` among all of `new`.
    pub(crate) fn append(&mut self, new: &NewFrames<'_>, places: Range<usize>, profile: &Profile) {
        let frames = new.frames;
        for row in places.clone().map(|place| new.row(place)) {
            let asset = new.codes[usize::from(frames.asset[row])];
            self.keys.push(asset, frames.time[row], new.received, new.sequence[row]);
        }
        let mut given = vec![None; self.columns.len()];
        for (column, place) in frames.columns.iter().zip(new.places) {
            given[usize::from(*place)] = Some(column);
        }
        for (to, column) in self.columns.iter_mut().zip(given) {
            match column {
                Some(column) => to.extend(column, new, places.clone()),
                // Signals that this batch's profile does not have are absent from its rows.
                None => to.put_nulls(places.len()),
            }
        }
        if frames.exceptions.is_empty() {
            self.exceptions.append_nulls(places.len());
        } else {
            places.for_each(|place| self.put_exceptions(new, new.row(place), profile));
        }
    }

    fn put_exceptions(&mut self, new: &NewFrames<'_>, row: usize, profile: &Profile) {
        let exceptions = new.frames.exceptions_of(row);
        for exception in exceptions {
            let signal = &profile.signal(new.places[usize::from(exception.signal)]).id;
            let element = self.exceptions.values();
            let names = element.field_builder::<StringBuilder>(0).expect("the signal");
            match exception.element {
                None => names.append_value(signal),
                // As SQL counts the elements of a list.
                Some(place) => names.append_value(format!("{signal}[{}]", u32::from(place) + 1)),
            }
            element.field_builder::<StringBuilder>(1).expect("the quality").append_value(exception.quality.as_str());
            element.append(true);
        }
        self.exceptions.append(!exceptions.is_empty());
    }

    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(ColumnBuilder::bytes).sum();
        // An exception is two short texts.
        self.keys.bytes() + columns + 4 * self.exceptions.len() + 32 * self.exceptions.values_ref().len()
    }

    /// The rows so far, as a table of `schema`; the builder is empty afterwards.
    pub(crate) fn finish(&mut self, schema: SchemaRef, assets: &Arc<StringArray>) -> RecordBatch {
        let keys = std::mem::take(&mut self.keys);
        let mut columns = vec![
            words(keys.asset, assets),
            times(keys.time),
            times(keys.received),
            Arc::new(UInt32Array::from(keys.sequence)),
        ];
        columns.extend(self.columns.iter_mut().map(ColumnBuilder::finish));
        columns.push(Arc::new(self.exceptions.finish()));
        RecordBatch::try_new(schema, columns).expect("the columns are those of the schema of frames")
    }
}
