//! Numbers that are short decimals: sensors report 21.5, not the binary fraction next to it. A column of a file whose
//! numbers are all exactly m / 10^d is stored as the whole numbers m, in Parquet's type `DECIMAL(18, d)`, where they
//! pack well; reading m / 10^d gives the same bits again. So files of one table may differ in the type of a column, and
//! whoever reads several of them at once has to bring it to floating-point numbers: DuckDB rounds to the scale of the
//! first file unless told `union_by_name`. This module must not know of encodings or of files on disk.

use std::convert::Infallible;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use parquet::basic::LogicalType;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

/// Digits of a stored decimal: as many as 64 bits hold.
const PRECISION: u8 = 18;

/// The finest scale that is tried.
const SCALE_MAX: u8 = 9;

/// No whole number beyond it is taken: up to here adding [`ROUNDER`] rounds to whole numbers.
const WHOLE_MAX: f64 = (1_u64 << 51) as f64;

/// Adding and subtracting it rounds to the nearest whole number, without a call.
const ROUNDER: f64 = (3_u64 << 51) as f64;

const POWERS: [f64; SCALE_MAX as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What is known of numbers that are all short decimals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Decimals {
    /// The least scale that gives each of them exactly.
    scale: u8,
    /// The greatest of them, their signs left out.
    most: f64,
}

impl Decimals {
    /// All of `numbers` besides these; `None` if not all of them together can be stored as decimals.
    pub(crate) fn and(self, numbers: &Float64Array) -> Option<Self> {
        let scale = scale_of(numbers, self.scale)?;
        let [least, greatest] = [min(numbers), max(numbers)].map(|number| number.unwrap_or(0.0).abs());
        Self { scale, most: self.most.max(least).max(greatest) }.fitting()
    }

    /// What a chunk of a file says of its numbers, if they are stored as decimals.
    fn of_chunk(chunk: &ColumnChunkMetaData) -> Option<Self> {
        let Some(LogicalType::Decimal(decimal)) = chunk.column_descr().logical_type_ref() else { return None };
        let scale = u8::try_from(decimal.scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
        let Some(Statistics::Int64(range)) = chunk.statistics() else { return None };
        let most = range.min_opt()?.unsigned_abs().max(range.max_opt()?.unsigned_abs());
        Some(Self { scale, most: most as f64 / POWERS[usize::from(scale)] })
    }

    fn joined(self, other: Self) -> Option<Self> {
        Self { scale: self.scale.max(other.scale), most: self.most.max(other.most) }.fitting()
    }

    /// Itself, if its greatest number can be given its scale: a finer one than it needs may be too fine for it.
    fn fitting(self) -> Option<Self> {
        (self.most * POWERS[usize::from(self.scale)] < WHOLE_MAX - 1.0).then_some(self)
    }
}

/// `schema` as a file of `rows` stores it.
pub(crate) fn schema_of_rows(schema: &SchemaRef, rows: &[RecordBatch]) -> SchemaRef {
    let of_column = |index: usize| {
        let columns = rows.iter().map(|rows| floats(rows.column(index)));
        let mut columns = columns.filter(|column| column.null_count() < column.len());
        let first = columns.next().map(|column| Decimals::default().and(column));
        Ok::<_, Infallible>(first.flatten().and_then(|first| columns.try_fold(first, Decimals::and)))
    };
    stored(schema, of_column).unwrap_or_else(|never| match never {})
}

/// `schema` as a file stores it that takes the rows of `files`. What a file says of its decimals is enough; `look` is
/// asked for what a column of floating-point numbers holds, by the place of its file and its name. A file without a
/// column, or without a value in it, changes nothing.
///
/// # Errors
/// When `look` fails.
pub(crate) fn schema_of_files<E>(
    schema: &SchemaRef,
    files: &[&ParquetMetaData],
    mut look: impl FnMut(usize, &str) -> Result<Option<Decimals>, E>,
) -> Result<SchemaRef, E> {
    stored(schema, |index| {
        let name = schema.field(index).name();
        let mut found: Option<Decimals> = None;
        let mut unknown = Vec::new();
        for (place, file) in files.iter().enumerate() {
            for chunk in chunks(file, name).filter(|chunk| !is_empty(chunk)) {
                let Some(decimals) = Decimals::of_chunk(chunk) else {
                    unknown.push(place);
                    break;
                };
                let Some(joined) = found.unwrap_or(decimals).joined(decimals) else { return Ok(None) };
                found = Some(joined);
            }
        }
        for place in unknown {
            let Some(decimals) = look(place, name)? else { return Ok(None) };
            let Some(joined) = found.unwrap_or(decimals).joined(decimals) else { return Ok(None) };
            found = Some(joined);
        }
        Ok(found)
    })
}

/// `schema` with the columns of floating-point numbers as they are stored, of which `of_column` tells what is in them. A
/// column without values stays as it is: a scale of nothing would be a wrong hint to whoever reads several files.
fn stored<E>(
    schema: &SchemaRef,
    mut of_column: impl FnMut(usize) -> Result<Option<Decimals>, E>,
) -> Result<SchemaRef, E> {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let decimals = if *field.data_type() == DataType::Float64 { of_column(index)? } else { None };
        fields.push(match decimals {
            Some(Decimals { scale, .. }) => {
                Arc::new(Field::clone(field).with_data_type(DataType::Decimal128(PRECISION, scale as i8)))
            }
            None => Arc::clone(field),
        });
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// The chunks of the column `name`, row group by row group.
fn chunks<'a>(file: &'a ParquetMetaData, name: &'a str) -> impl Iterator<Item = &'a ColumnChunkMetaData> {
    let columns = file.row_groups().iter().flat_map(RowGroupMetaData::columns);
    columns.filter(move |column| column.column_path().parts() == [name])
}

fn is_empty(chunk: &ColumnChunkMetaData) -> bool {
    chunk.statistics().and_then(Statistics::null_count_opt) == Some(chunk.num_values() as u64)
}

/// The least scale from `least` on that gives every number of `numbers` exactly.
fn scale_of(numbers: &Float64Array, least: u8) -> Option<u8> {
    let mut scale = least;
    let validity = numbers.nulls();
    for (start, numbers) in numbers.values().chunks(1_024).enumerate().map(|(chunk, part)| (1_024 * chunk, part)) {
        // What stands where a number is missing is nobody's.
        let all_valid = validity.is_none_or(|validity| validity.slice(start, numbers.len()).null_count() == 0);
        let fits = |scale: u8| match all_valid {
            true => numbers.iter().fold(true, |fits, number| fits & (whole(*number, scale).1)),
            false => numbers.iter().enumerate().all(|(place, number)| {
                validity.is_some_and(|validity| validity.is_null(start + place)) || whole(*number, scale).1
            }),
        };
        while !fits(scale) {
            scale += 1;
            if scale > SCALE_MAX {
                return None;
            }
        }
    }
    Some(scale)
}

/// `number` times 10^`scale`, and whether that is exactly a whole number that gives `number` again.
#[inline]
fn whole(number: f64, scale: u8) -> (f64, bool) {
    let power = POWERS[usize::from(scale)];
    let whole = number * power + ROUNDER - ROUNDER;
    (whole, ((whole / power).to_bits() == number.to_bits()) & (whole.abs() < WHOLE_MAX))
}

/// The whole numbers of those of `numbers` that are there, if all have `scale`.
pub(super) fn whole_numbers(numbers: &Float64Array, scale: i8) -> Option<Vec<i64>> {
    let scale = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
    let whole = |number: f64| Some(whole(number, scale)).filter(|(_, exact)| *exact).map(|(whole, _)| whole as i64);
    if numbers.null_count() == 0 {
        return numbers.values().iter().map(|number| whole(*number)).collect();
    }
    numbers.iter().flatten().map(whole).collect()
}

/// Whether numbers of the type `given` are stored as decimals of the type `stored`.
pub(super) fn is_stored_as(given: &DataType, stored: &DataType) -> bool {
    matches!((given, stored), (DataType::Float64, DataType::Decimal128(PRECISION, _)))
}

/// The scale that the numbers of `array` are stored with, if they are floating-point numbers stored as decimals.
pub(super) fn scale_to_apply(stored: &DataType, array: &dyn Array) -> Option<i8> {
    match stored {
        DataType::Decimal128(_, scale) if is_stored_as(array.data_type(), stored) => Some(*scale),
        _ => None,
    }
}

/// The numbers of an array of [`DataType::Float64`].
pub(super) fn floats(array: &dyn Array) -> &Float64Array {
    array.as_primitive::<Float64Type>()
}

#[cfg(test)]
mod tests {
    use arrow::array::ArrayRef;
    use arrow::compute::cast;

    use super::*;

    fn numbers(numbers: &[Option<f64>]) -> Float64Array {
        numbers.iter().copied().collect()
    }

    #[test]
    fn the_scale_is_the_least_that_gives_every_number_again() {
        let check = |given: &[f64], expected: Option<u8>| {
            let given: Vec<Option<f64>> = given.iter().copied().map(Some).collect();
            assert_eq!(scale_of(&numbers(&given), 0), expected, "{given:?}");
        };
        check(&[], Some(0));
        check(&[0.0, 1.0, -3.0], Some(0));
        check(&[21.5, 0.1, -0.3], Some(1));
        check(&[21.5, 0.25], Some(2));
        check(&[0.000_000_001, 1_000.0], Some(9));
        check(&[0.000_000_000_1], None);
        check(&[0.1 + 0.2], None);
        check(&[1.0 / 3.0], None);
        check(&[-0.0], None);
        check(&[f64::NAN], None);
        check(&[f64::INFINITY], None);
        check(&[1e300], None);
        check(&[2_251_799_813_685_247.0], Some(0));
        check(&[2_251_799_813_685_248.0], None);
        check(&[2_251_799_813_685_247.0, 0.1], None);
    }

    #[test]
    fn numbers_that_came_earlier_have_to_fit_the_scale_of_later_ones() {
        let check = |given: &[&[f64]], expected: Option<u8>| {
            let parts = given.iter().map(|part| part.iter().copied().map(Some).collect::<Vec<_>>());
            let found = parts.map(|part| numbers(&part)).try_fold(Decimals::default(), |all, part| all.and(&part));
            assert_eq!(found.map(|decimals| decimals.scale), expected, "{given:?}");
        };
        check(&[&[1.5], &[-2.25], &[3.0]], Some(2));
        check(&[&[2_251_799_813_685_246.0], &[1.0]], Some(0));
        check(&[&[2_251_799_813_685_246.0], &[0.1]], None);
        check(&[&[-2_251_799_813_685_246.0], &[0.1]], None);
        // Also within one array, where numbers are looked at some at a time.
        let mut far_apart = vec![1.0; 2_000];
        (far_apart[0], far_apart[1_999]) = (1e15, 0.001);
        check(&[&far_apart], None);
    }

    #[test]
    fn what_stands_where_a_number_is_missing_counts_for_nothing() {
        let array = numbers(&[Some(1.5), None, Some(2.0)]);
        let values: Vec<f64> =
            array.values().iter().map(|value| if *value == 0.0 { f64::NAN } else { *value }).collect();
        let array = Float64Array::new(values.into(), array.nulls().cloned());
        assert_eq!(scale_of(&array, 0), Some(1));
        assert_eq!(whole_numbers(&array, 1), Some(vec![15, 20]));
        assert_eq!(whole_numbers(&array, 0), None);
    }

    #[test]
    fn the_casts_of_readers_give_the_same_bits() {
        // Every scale, and magnitudes up to the greatest whole number that is taken.
        for scale in 0..=SCALE_MAX {
            let mut whole = 1_i64;
            let mut wholes = Vec::new();
            while whole < WHOLE_MAX as i64 {
                wholes.extend([whole, -whole, whole - 1, WHOLE_MAX as i64 - whole]);
                whole = whole * 3 + 1;
            }
            let power = POWERS[usize::from(scale)];
            let given: Vec<Option<f64>> = wholes.iter().map(|whole| Some(*whole as f64 / power)).collect();
            let given = numbers(&given);
            // A coarser scale than this may do for some, never for all.
            let stored: Option<Vec<i64>> = whole_numbers(&given, scale as i8);
            let stored = stored.unwrap_or_else(|| panic!("scale {scale}"));
            let stored = arrow::array::Decimal128Array::from_iter_values(stored.into_iter().map(i128::from));
            let stored: ArrayRef = Arc::new(stored.with_precision_and_scale(PRECISION, scale as i8).unwrap());
            let read = cast(&stored, &DataType::Float64).unwrap();
            let bits = |array: &Float64Array| array.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(floats(&read)), bits(&given), "scale {scale}");
        }
    }
}
