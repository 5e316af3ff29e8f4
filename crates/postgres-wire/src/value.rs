//! Values of an answer as bytes of the protocol, as text and in PostgreSQL's binary form. Knows nothing of messages.

mod numeric;
mod text;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, DictionaryArray, ListArray, PrimitiveArray, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use bytes::{BufMut, BytesMut};
use query::format::json_value;
use query::postgres::{PostgresType, Scalar};

use crate::error::SqlError;
use crate::message::Format;

/// PostgreSQL counts from 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// One column of a batch, in the form that its type has on the wire.
pub(crate) struct Column {
    cells: Cells,
    format: Format,
}

enum Cells {
    Bool(BooleanArray),
    Int2(PrimitiveArray<Int16Type>),
    Int4(PrimitiveArray<Int32Type>),
    Int8(PrimitiveArray<Int64Type>),
    Float4(PrimitiveArray<Float32Type>),
    Float8(PrimitiveArray<Float64Type>),
    Numeric(StringArray),
    Text(StringArray),
    Word(DictionaryArray<Int32Type>, StringArray),
    Bytes(BinaryArray),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    Timestamp(PrimitiveArray<TimestampMicrosecondType>, Zone),
    Interval(PrimitiveArray<IntervalMonthDayNanoType>),
    List(ListArray, Box<Cells>, PostgresType),
}

/// Whether a timestamp says where it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Utc,
    None,
}

impl Column {
    /// A column whose values are written in `format`.
    pub(crate) fn new(values: &ArrayRef, format: Format) -> Result<Self, SqlError> {
        Ok(Self { cells: cells(values, PostgresType::of(values.data_type()))?, format })
    }

    /// Appends the value of `row`, with its length in front.
    pub(crate) fn put(&self, row: usize, out: &mut BytesMut) {
        if self.cells.is_null(row) {
            return out.put_i32(-1);
        }
        put_sized(out, |out| match self.format {
            Format::Binary => self.cells.put_binary(row, out),
            Format::Text => self.cells.put_text(row, out),
        });
    }
}

fn put_sized(out: &mut BytesMut, value: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    value(out);
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn cells(values: &ArrayRef, kind: PostgresType) -> Result<Cells, SqlError> {
    if let (false, Scalar::Text, Some(words)) = (kind.list, kind.scalar, values.as_dictionary_opt::<Int32Type>())
        && let Some(texts) = words.values().as_string_opt::<i32>()
    {
        return Ok(Cells::Word(words.clone(), texts.clone()));
    }
    if kind.list {
        let element = Arc::new(arrow::datatypes::Field::new("item", kind_inside(kind), true));
        let lists = converted(values, &DataType::List(element))?;
        let lists = lists.as_list::<i32>().clone();
        let inside = cells(lists.values(), PostgresType::one(kind.scalar))?;
        return Ok(Cells::List(lists, Box::new(inside), PostgresType::one(kind.scalar)));
    }
    if kind.scalar == Scalar::Json {
        let texts = (0..values.len()).map(|row| values.is_valid(row).then(|| json_value(values, row).to_string()));
        return Ok(Cells::Text(texts.collect()));
    }
    let values = converted(values, &kind_inside(kind))?;
    Ok(match kind.scalar {
        Scalar::Bool => Cells::Bool(values.as_boolean().clone()),
        Scalar::Int2 => Cells::Int2(values.as_primitive().clone()),
        Scalar::Int4 => Cells::Int4(values.as_primitive().clone()),
        Scalar::Int8 => Cells::Int8(values.as_primitive().clone()),
        Scalar::Float4 => Cells::Float4(values.as_primitive().clone()),
        Scalar::Float8 => Cells::Float8(values.as_primitive().clone()),
        Scalar::Numeric => Cells::Numeric(values.as_string().clone()),
        Scalar::Text | Scalar::Json => Cells::Text(values.as_string().clone()),
        Scalar::Bytea => Cells::Bytes(values.as_binary().clone()),
        Scalar::Date => Cells::Date(values.as_primitive().clone()),
        Scalar::Time => Cells::Time(values.as_primitive().clone()),
        Scalar::Timestamp => Cells::Timestamp(values.as_primitive().clone(), Zone::None),
        Scalar::Timestamptz => Cells::Timestamp(values.as_primitive().clone(), Zone::Utc),
        Scalar::Interval => Cells::Interval(values.as_primitive().clone()),
    })
}

/// The type that values have before they are written.
fn kind_inside(kind: PostgresType) -> DataType {
    match kind.scalar {
        Scalar::Bool => DataType::Boolean,
        Scalar::Int2 => DataType::Int16,
        Scalar::Int4 => DataType::Int32,
        Scalar::Int8 => DataType::Int64,
        Scalar::Float4 => DataType::Float32,
        Scalar::Float8 => DataType::Float64,
        Scalar::Numeric | Scalar::Text | Scalar::Json => DataType::Utf8,
        Scalar::Bytea => DataType::Binary,
        Scalar::Date => DataType::Date32,
        Scalar::Time => DataType::Time64(TimeUnit::Microsecond),
        Scalar::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Scalar::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Scalar::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
    }
}

fn converted(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, SqlError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, to, &options).map_err(|error| SqlError::new("22003", error.to_string()))
}

impl Cells {
    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(values) => values.is_null(row),
            Self::Int2(values) => values.is_null(row),
            Self::Int4(values) => values.is_null(row),
            Self::Int8(values) => values.is_null(row),
            Self::Float4(values) => values.is_null(row),
            Self::Float8(values) => values.is_null(row),
            Self::Numeric(values) | Self::Text(values) => values.is_null(row),
            Self::Word(words, texts) => words.key(row).is_none_or(|key| texts.is_null(key)),
            Self::Bytes(values) => values.is_null(row),
            Self::Date(values) => values.is_null(row),
            Self::Time(values) => values.is_null(row),
            Self::Timestamp(values, _) => values.is_null(row),
            Self::Interval(values) => values.is_null(row),
            Self::List(values, ..) => values.is_null(row),
        }
    }

    /// The value of `row`, which is one, in binary form.
    fn put_binary(&self, row: usize, out: &mut BytesMut) {
        match self {
            Self::Bool(values) => out.put_u8(values.value(row).into()),
            Self::Int2(values) => out.put_i16(values.value(row)),
            Self::Int4(values) => out.put_i32(values.value(row)),
            Self::Int8(values) => out.put_i64(values.value(row)),
            Self::Float4(values) => out.put_f32(values.value(row)),
            Self::Float8(values) => out.put_f64(values.value(row)),
            Self::Numeric(values) => numeric::put(values.value(row), out),
            Self::Text(values) => out.put_slice(values.value(row).as_bytes()),
            Self::Word(words, texts) => out.put_slice(texts.value(words.key(row).unwrap_or(0)).as_bytes()),
            Self::Bytes(values) => out.put_slice(values.value(row)),
            Self::Date(values) => out.put_i32(values.value(row).saturating_sub(EPOCH_DAYS)),
            Self::Time(values) => out.put_i64(values.value(row)),
            Self::Timestamp(values, _) => out.put_i64(values.value(row).saturating_sub(EPOCH_MICROS)),
            Self::Interval(values) => {
                let value = values.value(row);
                out.put_i64(value.nanoseconds / 1_000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            Self::List(lists, inside, kind) => {
                let places = places(lists, row);
                let nulls = places.clone().any(|place| inside.is_null(place));
                out.put_i32(i32::from(!places.is_empty()));
                out.put_i32(nulls.into());
                out.put_u32(kind.oid());
                if !places.is_empty() {
                    out.put_i32(places.len() as i32);
                    out.put_i32(1);
                }
                for place in places {
                    if inside.is_null(place) {
                        out.put_i32(-1);
                    } else {
                        put_sized(out, |out| inside.put_binary(place, out));
                    }
                }
            }
        }
    }

    /// The value of `row`, which is one, as text.
    fn put_text(&self, row: usize, out: &mut BytesMut) {
        match self {
            Self::Bool(values) => out.put_u8(if values.value(row) { b't' } else { b'f' }),
            Self::Int2(values) => text::put(out, format_args!("{}", values.value(row))),
            Self::Int4(values) => text::put(out, format_args!("{}", values.value(row))),
            Self::Int8(values) => text::put(out, format_args!("{}", values.value(row))),
            Self::Float4(values) => text::float(out, values.value(row).into(), values.value(row)),
            Self::Float8(values) => text::float(out, values.value(row), values.value(row)),
            Self::Numeric(values) => out.put_slice(values.value(row).as_bytes()),
            Self::Text(_) | Self::Word(..) => self.put_binary(row, out),
            Self::Bytes(values) => text::bytes(out, values.value(row)),
            Self::Date(values) => text::date(out, values.value(row)),
            Self::Time(values) => text::time(out, values.value(row)),
            Self::Timestamp(values, zone) => {
                text::timestamp(out, values.value(row));
                out.put_slice(if *zone == Zone::Utc { b"+00" } else { b"" });
            }
            Self::Interval(values) => text::interval(out, values.value(row)),
            Self::List(lists, inside, _) => {
                out.put_u8(b'{');
                for (number, place) in places(lists, row).enumerate() {
                    out.put_slice(if number == 0 { b"" } else { b"," });
                    if inside.is_null(place) {
                        out.put_slice(b"NULL");
                    } else {
                        let mut element = BytesMut::new();
                        inside.put_text(place, &mut element);
                        text::element(out, &element);
                    }
                }
                out.put_u8(b'}');
            }
        }
    }
}

/// Where the elements of the list in `row` stand.
fn places(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

#[cfg(test)]
mod tests;
