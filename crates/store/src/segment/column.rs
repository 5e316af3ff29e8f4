//! A column of numbers in one row group, as Parquet has it: pages of levels and values, statistics, and the index of
//! the pages. The writer of arrow cannot be given an encoding of our own, so these pages are put together here; columns
//! of texts, lists and structures go the ordinary way. This module must not know of files, rows or what stands where.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType,
    UInt32Type,
};
use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::choice::{self, Coding, Kind, Squeezer};
use super::decimal;
use super::packed::{self, Width};

/// How many rows a page has at most: as many as a row group. Smaller pages would let readers skip rows, but 65,536
/// rows cost 0.4 % and 32,768 cost 1 % of a file, and a page is read in a fraction of a millisecond.
pub(super) const PAGE_ROWS: usize = 131_072;

/// Numbers as they are stored, those that are missing left out.
pub(super) struct Numbers {
    values: Vec<i64>,
    validity: Option<NullBuffer>,
    rows: usize,
    kind: Kind,
}

impl Numbers {
    /// The numbers of `array`, a column that is stored as `stored`; `None` of types that are no numbers.
    ///
    /// # Errors
    /// When a number cannot be stored so.
    pub(super) fn of(array: &ArrayRef, stored: &DataType) -> Result<Option<Self>, ParquetError> {
        if let Some(scale) = decimal::scale_to_apply(stored, array) {
            let values = decimal::whole_numbers(decimal::floats(array), scale).ok_or_else(|| {
                ParquetError::General(format!("a number has more than the {scale} decimal places of its column"))
            })?;
            return Ok(Some(Self::new(values, array, Kind::Whole(Width::Wide))));
        }
        let (narrow, wide) = (Kind::Whole(Width::Narrow), Kind::Whole(Width::Wide));
        Ok(Some(match array.data_type() {
            DataType::Int64 => Self::new(present::<Int64Type>(array, |value| value), array, wide),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Self::new(present::<TimestampNanosecondType>(array, |value| value), array, wide)
            }
            DataType::Decimal128(10..=18, _) => {
                Self::new(present::<Decimal128Type>(array, |value| value as i64), array, wide)
            }
            DataType::Int32 => Self::new(present::<Int32Type>(array, i64::from), array, narrow),
            DataType::UInt32 => Self::new(present::<UInt32Type>(array, i64::from), array, narrow),
            DataType::Date32 => Self::new(present::<Date32Type>(array, i64::from), array, narrow),
            DataType::Float64 => {
                Self::new(present::<Float64Type>(array, |value| value.to_bits() as i64), array, Kind::Float)
            }
            _ => return Ok(None),
        }))
    }

    fn new(values: Vec<i64>, array: &ArrayRef, kind: Kind) -> Self {
        let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Self { values, validity, rows: array.len(), kind }
    }
}

fn present<T: ArrowPrimitiveType>(array: &ArrayRef, number: impl Fn(T::Native) -> i64) -> Vec<i64> {
    let array = array.as_primitive::<T>();
    match array.null_count() {
        0 => array.values().iter().map(|value| number(*value)).collect(),
        _ => array.iter().flatten().map(number).collect(),
    }
}

/// A column chunk, ready to be put into a row group.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// Encodes `numbers` as a chunk of `column`, in the way that suits them best.
///
/// # Errors
/// When zstd refuses, or a number is missing in a column where none may.
pub(super) fn encode(
    column: &ColumnDescPtr,
    numbers: &Numbers,
    squeezer: &mut Squeezer,
) -> Result<Chunk, ParquetError> {
    let coding = choice::choose(&numbers.values, numbers.kind, squeezer)?;
    encode_as(column, numbers, coding, PAGE_ROWS, squeezer)
}

fn encode_as(
    column: &ColumnDescPtr,
    numbers: &Numbers,
    mut coding: Coding,
    page_rows: usize,
    squeezer: &mut Squeezer,
) -> Result<Chunk, ParquetError> {
    let mut words = None;
    if coding == Coding::Words {
        words = choice::words(&numbers.values).filter(|words| !words.is_empty());
        if words.is_none() {
            coding = numbers.kind.without_words();
        }
    }
    let mut pages = Pages::new(column, numbers.kind);
    if let Some(words) = &words {
        pages.add_dictionary(words, squeezer)?;
    }
    let mut value = 0;
    for start in (0..numbers.rows).step_by(page_rows) {
        let rows = page_rows.min(numbers.rows - start);
        let validity = numbers.validity.as_ref().map(|validity| validity.slice(start, rows));
        let present = rows - validity.as_ref().map_or(0, NullBuffer::null_count);
        let values = &numbers.values[value..value + present];
        value += present;
        pages.add(&PageOf { rows, validity, values }, coding, words.as_deref(), squeezer)?;
    }
    pages.finish()
}

/// What one page has.
struct PageOf<'a> {
    rows: usize,
    validity: Option<NullBuffer>,
    values: &'a [i64],
}

/// The pages of a chunk and what is said of them.
struct Pages<'a> {
    column: &'a ColumnDescPtr,
    kind: Kind,
    output: TrackedWrite<Vec<u8>>,
    offsets: OffsetIndexBuilder,
    index: ColumnIndexBuilder,
    /// The least and greatest value of each page that has any, as they are compared.
    ranges: Vec<(i64, i64)>,
    encodings: Vec<Encoding>,
    dictionary_bytes: usize,
    uncompressed_bytes: usize,
    rows: usize,
    nulls: usize,
}

impl<'a> Pages<'a> {
    fn new(column: &'a ColumnDescPtr, kind: Kind) -> Self {
        Self {
            column,
            kind,
            output: TrackedWrite::new(Vec::new()),
            offsets: OffsetIndexBuilder::new(),
            index: ColumnIndexBuilder::new(column.physical_type()),
            ranges: Vec::new(),
            encodings: vec![Encoding::RLE],
            dictionary_bytes: 0,
            uncompressed_bytes: 0,
            rows: 0,
            nulls: 0,
        }
    }

    fn add_dictionary(&mut self, words: &[i64], squeezer: &mut Squeezer) -> Result<(), ParquetError> {
        squeezer.laid_out.clear();
        packed::push_plain(words, self.kind.width(), &mut squeezer.laid_out);
        let uncompressed = squeezer.laid_out.len();
        let buf = Bytes::copy_from_slice(squeezer.squeeze()?);
        let (num_values, encoding) = (words.len() as u32, Encoding::PLAIN);
        let page = Page::DictionaryPage { buf, num_values, encoding, is_sorted: false };
        self.dictionary_bytes = self.write(page, uncompressed)?.1;
        self.encodings.push(encoding);
        Ok(())
    }

    fn add(
        &mut self,
        page: &PageOf<'_>,
        coding: Coding,
        words: Option<&[i64]>,
        squeezer: &mut Squeezer,
    ) -> Result<(), ParquetError> {
        squeezer.laid_out.clear();
        let laid_out = &mut squeezer.laid_out;
        if self.column.max_def_level() > 0 {
            let validity = page.validity.as_ref().map(|validity| validity.inner().sliced());
            packed::push_levels(validity.as_deref(), page.rows, laid_out);
        } else if page.values.len() < page.rows {
            return Err(ParquetError::General(format!("a value of `{}` is missing", self.column.path())));
        }
        // Without values, the plain encoding is the one that no reader stumbles over.
        let coding = if page.values.is_empty() { Coding::Plain } else { coding };
        let encoding = lay_out(page.values, self.kind.width(), coding, words, laid_out);
        let uncompressed = laid_out.len();
        let page_of = Page::DataPage {
            buf: Bytes::copy_from_slice(squeezer.squeeze()?),
            num_values: page.rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (offset, bytes) = self.write(page_of, uncompressed)?;
        self.offsets.append_offset_and_size(offset as i64, bytes as i32);
        self.offsets.append_row_count(page.rows as i64);
        let nulls = page.rows - page.values.len();
        match range(page.values, self.kind) {
            Some((min, max)) => {
                let (low, high) = (self.stored(min), self.stored(max));
                self.index.append(false, low, high, nulls as i64);
                self.ranges.push((min, max));
            }
            None if page.values.is_empty() => self.index.append(true, Vec::new(), Vec::new(), nulls as i64),
            // Nothing but numbers that cannot be compared.
            None => self.index.to_invalid(),
        }
        self.rows += page.rows;
        self.nulls += nulls;
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
        Ok(())
    }

    /// Writes a page; tells where it begins and how many bytes it takes.
    fn write(&mut self, page: Page, uncompressed: usize) -> Result<(usize, usize), ParquetError> {
        let offset = self.output.bytes_written();
        let written =
            SerializedPageWriter::new(&mut self.output).write_page(CompressedPage::new(page, uncompressed))?;
        self.uncompressed_bytes += written.uncompressed_size;
        Ok((offset, written.bytes_written as usize))
    }

    /// The bytes of a value of [`range`].
    fn stored(&self, value: i64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8);
        packed::push_plain(&[value], self.kind.width(), &mut bytes);
        bytes
    }

    fn statistics(&self) -> Statistics {
        let min = self.ranges.iter().map(|range| range.0).min_by(|one, other| compare(self.kind, *one, *other));
        let max = self.ranges.iter().map(|range| range.1).max_by(|one, other| compare(self.kind, *one, *other));
        let nulls = Some(self.nulls as u64);
        match self.column.physical_type() {
            Type::INT32 => Statistics::int32(min.map(|min| min as i32), max.map(|max| max as i32), None, nulls, false),
            Type::DOUBLE => {
                let number = |bits: i64| f64::from_bits(bits as u64);
                Statistics::double(min.map(number), max.map(number), None, nulls, false)
            }
            _ => Statistics::int64(min, max, None, nulls, false),
        }
    }

    fn finish(mut self) -> Result<Chunk, ParquetError> {
        let rising = self.ranges.windows(2).all(|pair| {
            let rises = |one, other| compare(self.kind, one, other).is_le();
            rises(pair[0].0, pair[1].0) && rises(pair[0].1, pair[1].1)
        });
        let order = if rising { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED };
        self.index.set_boundary_order(order);
        let statistics = self.statistics();
        let Self { column, output, offsets, index, encodings, dictionary_bytes, uncompressed_bytes, rows, .. } = self;
        let bytes = Bytes::from(output.into_inner()?);
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(encodings)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(uncompressed_bytes as i64)
            .set_num_values(rows as i64)
            .set_data_page_offset(dictionary_bytes as i64)
            .set_dictionary_page_offset((dictionary_bytes > 0).then_some(0))
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: index.valid().then(|| index.build()).transpose()?,
            offset_index: Some(offsets.build()),
        };
        Ok(Chunk { bytes, close })
    }
}

fn lay_out(values: &[i64], width: Width, coding: Coding, words: Option<&[i64]>, output: &mut Vec<u8>) -> Encoding {
    match (coding, words) {
        (Coding::Words, Some(words)) => {
            packed::push_places(&choice::places(values, words), words.len(), output);
            Encoding::RLE_DICTIONARY
        }
        (Coding::Deltas(packing), _) => {
            packed::pack_deltas(values, width, packing, output);
            Encoding::DELTA_BINARY_PACKED
        }
        (Coding::Split, _) => {
            packed::push_split(values, width, output);
            Encoding::BYTE_STREAM_SPLIT
        }
        (Coding::Plain | Coding::Words, _) => {
            packed::push_plain(values, width, output);
            Encoding::PLAIN
        }
    }
}

/// The least and greatest of `values` that can be compared.
fn range(values: &[i64], kind: Kind) -> Option<(i64, i64)> {
    match kind {
        Kind::Whole(_) => {
            let (min, max) =
                values.iter().fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
            (!values.is_empty()).then_some((min, max))
        }
        Kind::Float => {
            let numbers = values.iter().map(|bits| f64::from_bits(*bits as u64)).filter(|number| !number.is_nan());
            let (min, max) = numbers
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), number| (min.min(number), max.max(number)));
            // Parquet wants both zeros within the range where there is one of them.
            let min = if min == 0.0 { -0.0 } else { min };
            let max = if max == 0.0 { 0.0 } else { max };
            (min <= max).then_some((min.to_bits() as i64, max.to_bits() as i64))
        }
    }
}

fn compare(kind: Kind, one: i64, other: i64) -> std::cmp::Ordering {
    match kind {
        Kind::Whole(_) => one.cmp(&other),
        Kind::Float => f64::from_bits(one as u64).total_cmp(&f64::from_bits(other as u64)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, RecordBatch, UInt32Array};
    use arrow::datatypes::{Field, Schema};
    use parquet::arrow::ArrowSchemaConverter;
    use parquet::arrow::arrow_reader::{
        ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use proptest::prelude::*;

    use super::super::choice::Effort;
    use super::super::packed::Packing;
    use super::*;

    const CODINGS: [Coding; 6] = [
        Coding::Plain,
        Coding::Deltas(Packing::Nibbles),
        Coding::Deltas(Packing::Bytes),
        Coding::Deltas(Packing::Tight),
        Coding::Split,
        Coding::Words,
    ];

    /// Writes `array` with `coding` in pages of `page_rows`, and reads it as others do: all of it, and every third ten
    /// rows by the page index.
    fn check(array: &ArrayRef, coding: Coding, page_rows: usize) {
        let schema = Arc::new(Schema::new(vec![Field::new("number", array.data_type().clone(), true)]));
        let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
        let properties = Arc::new(WriterProperties::builder().build());
        let mut file = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), properties).unwrap();
        let numbers = Numbers::of(array, array.data_type()).unwrap().unwrap();
        let mut squeezer = Squeezer::new(Effort::Quick).unwrap();
        let chunk = encode_as(&descriptor.column(0), &numbers, coding, page_rows, &mut squeezer).unwrap();
        let mut group = file.next_row_group().unwrap();
        group.append_column(&chunk.bytes, chunk.close).unwrap();
        group.close().unwrap();
        let bytes = Bytes::from(file.into_inner().unwrap());
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader = || ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options.clone()).unwrap();
        let joined =
            |batches: Vec<RecordBatch>| arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        let all = joined(reader().with_batch_size(1_000).build().unwrap().map(Result::unwrap).collect());
        assert_eq!(all.column(0), array, "{coding:?}");
        let selectors = (0..array.len()).step_by(10).map(|start| {
            let rows = 10.min(array.len() - start);
            if start % 30 == 0 { RowSelector::select(rows) } else { RowSelector::skip(rows) }
        });
        let selection = RowSelection::from(selectors.collect::<Vec<_>>());
        let some = reader().with_row_selection(selection).build().unwrap();
        let some = joined(some.map(Result::unwrap).collect());
        let wanted = (0..array.len() as u32).filter(|row| row / 10 % 3 == 0);
        let wanted = arrow::compute::take(array, &UInt32Array::from_iter_values(wanted), None).unwrap();
        assert_eq!(some.column(0), &wanted, "{coding:?}");
    }

    fn number() -> impl Strategy<Value = Option<i64>> {
        prop_oneof![
            4 => (-8_i64..8).prop_map(Some),
            2 => (-300_i64..300).prop_map(Some),
            1 => any::<i64>().prop_map(Some),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1), Just(1 << 32)].prop_map(Some),
            1 => Just(None),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_numbers_come_they_are_read_again(
            numbers in prop::collection::vec(number(), 1..400),
            page_rows in 1_usize..200,
        ) {
            let narrow: UInt32Array = numbers.iter().map(|number| number.map(|number| number as u32)).collect();
            let float: Float64Array =
                numbers.iter().map(|number| number.map(|number| f64::from_bits(number as u64))).collect();
            // All bits are kept, but no number that is none is equal to another.
            let float: Float64Array = float.iter().map(|number| number.filter(|number| !number.is_nan())).collect();
            let wide: ArrayRef = Arc::new(numbers.into_iter().collect::<Int64Array>());
            let (narrow, float): (ArrayRef, ArrayRef) = (Arc::new(narrow), Arc::new(float));
            for coding in CODINGS {
                check(&wide, coding, page_rows);
                check(&narrow, coding, page_rows);
                if !matches!(coding, Coding::Deltas(_)) {
                    check(&float, coding, page_rows);
                }
            }
        }
    }

    #[test]
    fn walks_are_read_again_over_the_bounds_of_blocks() {
        let steps =
            |count: i64| (0..count).map(|row| row * 3 + row * row % 7 - if row % 997 == 0 { 40_000 } else { 0 });
        for count in [31, 32, 33, 34, 127, 128, 129, 130, 32_768, 32_769, 32_770, 70_000] {
            let array: ArrayRef = Arc::new(Int64Array::from_iter_values(steps(count)));
            for coding in CODINGS {
                check(&array, coding, PAGE_ROWS);
            }
        }
    }

    #[test]
    fn a_missing_number_where_none_may_be_is_refused() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let schema = Schema::new(vec![Field::new("number", DataType::Int64, false)]);
        let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
        let numbers = Numbers::of(&array, &DataType::Int64).unwrap().unwrap();
        let refused = encode(&descriptor.column(0), &numbers, &mut Squeezer::new(Effort::Quick).unwrap());
        assert!(refused.is_err_and(|error| error.to_string().contains("is missing")));
    }

    #[test]
    fn statistics_tell_the_range_as_the_type_compares() {
        let check = |array: ArrayRef, expected: &str| {
            let schema = Schema::new(vec![Field::new("number", array.data_type().clone(), true)]);
            let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
            let numbers = Numbers::of(&array, array.data_type()).unwrap().unwrap();
            let mut squeezer = Squeezer::new(Effort::Quick).unwrap();
            let chunk = encode(&descriptor.column(0), &numbers, &mut squeezer).unwrap();
            let told = match chunk.close.metadata.statistics().unwrap() {
                Statistics::Int32(range) => format!("{:?} {:?}", range.min_opt(), range.max_opt()),
                Statistics::Int64(range) => format!("{:?} {:?}", range.min_opt(), range.max_opt()),
                Statistics::Double(range) => format!("{:?} {:?}", range.min_opt(), range.max_opt()),
                other => format!("{other:?}"),
            };
            assert_eq!(told, expected);
        };
        check(Arc::new(Int64Array::from(vec![Some(5), None, Some(-7)])), "Some(-7) Some(5)");
        check(Arc::new(Int64Array::from(vec![None, None])), "None None");
        // Unsigned numbers are stored in 32 bits and compared as unsigned.
        check(Arc::new(UInt32Array::from(vec![u32::MAX, 3])), "Some(3) Some(-1)");
        check(Arc::new(Float64Array::from(vec![0.0, f64::NAN, 2.5])), "Some(-0.0) Some(2.5)");
        check(Arc::new(Float64Array::from(vec![f64::NAN])), "None None");
    }
}
