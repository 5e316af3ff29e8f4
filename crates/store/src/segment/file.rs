//! The Parquet file of a segment. The file is plain Parquet, for any reader; what is our own is how its columns of
//! integers are encoded, see [`super::column`], and that it carries checksums, see [`super::checked`]. This module must
//! not know of profiles, the log or where files stand.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

pub(crate) use super::checked::FileFacts;
use super::checked::{META_BLOCKS, Summed};
pub(crate) use super::choice::Effort;
use super::choice::Squeezer;
use super::column::{self, Numbers, PAGE_ROWS};
use super::decimal;

/// How many rows a row group has at most.
pub(crate) const ROW_GROUP_ROWS: usize = 131_072;

/// How many bytes of memory a row group takes at most before it is written.
pub(crate) const ROW_GROUP_BYTES: usize = 96 << 20;

/// Writes one file.
pub(crate) struct FileWriter<W: Write + Send> {
    file: SerializedFileWriter<Summed<W>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    squeezer: Squeezer,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

impl<W: Write + Send> FileWriter<W> {
    /// Begins a file of `schema`, as it is stored: see [`decimal::schema_of_rows`]. Its rows come sorted by the
    /// columns `sorted_by`.
    ///
    /// # Errors
    /// When `output` refuses, or a type of `schema` has no place in Parquet.
    pub(crate) fn new(
        output: W,
        schema: SchemaRef,
        sorted_by: &[&str],
        effort: Effort,
        metadata: Vec<(String, String)>,
    ) -> Result<Self, ParquetError> {
        let descriptor = ArrowSchemaConverter::new().convert(&schema)?;
        let sorting = sorted_by.iter().map(|name| {
            let column_idx = descriptor.columns().iter().position(|column| column.path().string() == *name);
            let column_idx =
                column_idx.ok_or_else(|| ParquetError::General(format!("no column `{name}` to sort by")))?;
            Ok(SortingColumn { column_idx: column_idx as i32, descending: false, nulls_first: false })
        });
        let sorting = sorting.collect::<Result<_, ParquetError>>()?;
        let metadata = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let level = if effort == Effort::Quick { 1 } else { 9 };
        // There are no bloom filters: assets are sorted, so their least and greatest say as much.
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_sorting_columns(Some(sorting))
            .set_key_value_metadata(Some(metadata.collect()));
        // Elements of a vector are like those before them; columns of numbers are encoded by ourselves.
        for column in descriptor.columns() {
            if column.max_rep_level() > 0 && column.physical_type() == Type::INT64 {
                properties = properties
                    .set_column_dictionary_enabled(column.path().clone(), false)
                    .set_column_encoding(column.path().clone(), Encoding::DELTA_BINARY_PACKED);
            }
        }
        let mut properties = properties.build();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let file = SerializedFileWriter::new(Summed::new(output), descriptor.root_schema_ptr(), Arc::new(properties))?;
        let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema));
        let squeezer = Squeezer::new(effort)?;
        Ok(Self { file, factory, schema, squeezer, waiting: Vec::new(), waiting_rows: 0, waiting_bytes: 0 })
    }

    /// Adds `rows`, which come after all before them.
    ///
    /// # Errors
    /// When the output refuses, or `rows` are not of this file's columns.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        self.check_types(rows)?;
        let mut rows = rows.clone();
        while rows.num_rows() > 0 {
            let bytes: usize =
                rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
            let row_bytes = bytes.div_ceil(rows.num_rows()).max(1);
            let room = ROW_GROUP_ROWS - self.waiting_rows;
            let room = room.min(ROW_GROUP_BYTES.saturating_sub(self.waiting_bytes) / row_bytes);
            if room == 0 && self.waiting_rows > 0 {
                self.write_row_group()?;
                continue;
            }
            let now = rows.num_rows().min(room.max(1));
            self.waiting.push(rows.slice(0, now));
            self.waiting_rows += now;
            self.waiting_bytes += now * row_bytes;
            rows = rows.slice(now, rows.num_rows() - now);
        }
        Ok(())
    }

    fn check_types(&self, rows: &RecordBatch) -> Result<(), ParquetError> {
        let given = rows.schema();
        if given.fields().len() != self.schema.fields().len() {
            return Err(ParquetError::General("rows have other columns than their file".to_owned()));
        }
        for (stored, given) in self.schema.fields().iter().zip(given.fields()) {
            let same = stored.data_type() == given.data_type();
            if stored.name() != given.name() || !same && !decimal::is_stored_as(given.data_type(), stored.data_type()) {
                return Err(ParquetError::General(format!(
                    "a column `{}` of {} was given for `{}` of {}",
                    given.name(),
                    given.data_type(),
                    stored.name(),
                    stored.data_type()
                )));
            }
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the output refuses.
    pub(crate) fn finish(mut self) -> Result<(W, FileFacts), ParquetError> {
        if self.waiting_rows > 0 {
            self.write_row_group()?;
        }
        self.file.flush()?;
        let blocks = self.file.inner_mut().begin_tail();
        self.file.append_key_value_metadata(KeyValue::new(META_BLOCKS.to_owned(), blocks));
        let output = self.file.into_inner()?;
        Ok(output.finish())
    }

    fn write_row_group(&mut self) -> Result<(), ParquetError> {
        let writers = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
        let mut writers = writers.into_iter();
        let columns = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group()?;
        let mut leaf = 0;
        for (index, field) in self.schema.fields().iter().enumerate() {
            let parts: Vec<&dyn Array> = self.waiting.iter().map(|rows| rows.column(index).as_ref()).collect();
            let array = concat(&parts)?;
            if let Some(numbers) = Numbers::of(&array, field.data_type())? {
                let chunk = column::encode(&columns[leaf], &numbers, &mut self.squeezer)?;
                group.append_column(&chunk.bytes, chunk.close)?;
                (leaf, _) = (leaf + 1, writers.next());
                continue;
            }
            for part in compute_leaves(field, &array)? {
                let mut writer = writers.next().ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
                writer.write(&part)?;
                writer.close()?.append_to_row_group(&mut group)?;
                leaf += 1;
            }
        }
        group.close()?;
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
