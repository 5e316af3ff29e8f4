//! Reads the rows of a table as they are kept: from its segments and from memory, only what can match. Knows nothing of
//! SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use model::Shape;
use store::{SegmentFile, TableSnapshot};

use crate::bounds::Span;
use crate::files::{DataFile, Files, Readers};

/// Files that are read side by side.
const FILE_GROUPS: usize = 2;
/// So few rows are read one after the other: putting together what was read apart would cost more.
const ROWS_FEW: u64 = 32_768;

/// Some columns of some files and batches, which all have the same meaning.
pub(crate) struct Scan {
    /// The columns that are read; files may lack some of them, which are null then.
    pub(crate) schema: SchemaRef,
    pub(crate) files: Vec<DataFile>,
    /// Rows in memory, with at least these columns.
    pub(crate) rows: Vec<RecordBatch>,
    /// What the rows have to fulfil. Others may come nevertheless.
    pub(crate) condition: Option<Arc<dyn PhysicalExpr>>,
    /// The columns that the rows of each file are sorted by, if anybody is to rely on it.
    pub(crate) sorted_by: &'static [&'static str],
}

impl Scan {
    /// The columns `columns` of all rows of `table` that may lie in `span`.
    pub(crate) fn of(table: &TableSnapshot, columns: impl IntoIterator<Item = usize>, span: Span) -> Self {
        let segments = table.segments.iter().filter(|segment| span.meets(segment));
        Self::of_segments(table, columns, span, segments)
    }

    /// The same, of `segments` only and of what is in memory.
    pub(crate) fn of_segments<'a>(
        table: &TableSnapshot,
        columns: impl IntoIterator<Item = usize>,
        span: Span,
        segments: impl IntoIterator<Item = &'a Arc<SegmentFile>>,
    ) -> Self {
        let rows = table.rows.iter().filter(|rows| span.meets_rows(rows));
        Self {
            schema: bare(columns.into_iter().map(|column| table.schema.field(column))),
            files: segments.into_iter().map(|segment| DataFile::rows_of(Arc::clone(segment))).collect(),
            rows: rows.cloned().collect(),
            condition: None,
            sorted_by: match table.profile.shape() {
                Shape::Changes => &["asset", "signal", "time", "sequence"],
                Shape::Frames => &["asset", "time", "sequence"],
            },
        }
    }

    /// How it is read.
    ///
    /// # Errors
    /// When rows in memory do not have the columns; that is a mistake in this program.
    pub(crate) fn plan(self, files: &Arc<Files>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut inputs = Vec::with_capacity(2);
        if !self.files.is_empty() {
            inputs.push(self.files(files)?);
        }
        if !self.rows.is_empty() {
            inputs.push(self.memory()?);
        }
        if inputs.is_empty() {
            inputs.push(Arc::new(EmptyExec::new(self.schema)));
        }
        UnionExec::try_new(inputs)
    }

    fn files(&self, files: &Arc<Files>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source = ParquetSource::new(Arc::clone(&self.schema))
            .with_parquet_file_reader_factory(Arc::new(Readers(Arc::clone(files))));
        if let Some(condition) = &self.condition {
            source = source.with_predicate(Arc::clone(condition));
        }
        let rows: u64 = self.files.iter().map(DataFile::rows).sum();
        let statistics = Statistics::new_unknown(&self.schema).with_num_rows(Precision::Exact(rows as usize));
        let count = if rows > ROWS_FEW { self.files.len().min(FILE_GROUPS) } else { 1 };
        let mut groups: Vec<Vec<_>> = vec![Vec::new(); count];
        for (place, file) in self.files.iter().enumerate() {
            groups[place % count].push(files.planned(file.clone()));
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_statistics(statistics)
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_output_ordering(self.ordering(count).into_iter().collect());
        Ok(DataSourceExec::from_data_source(config.build()))
    }

    /// The order of the rows of each file, where the files are read one beside the other and nothing comes between.
    fn ordering(&self, groups: usize) -> Option<LexOrdering> {
        if self.files.len() > groups || !self.rows.is_empty() {
            return None;
        }
        let columns = self.sorted_by.iter().map_while(|name| col(name, &self.schema).ok());
        LexOrdering::new(columns.map(PhysicalSortExpr::new_default))
    }

    fn memory(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = |rows: &RecordBatch| -> Result<RecordBatch> {
            let places = self.schema.fields().iter().map(|field| rows.schema_ref().index_of(field.name()));
            let columns = places.map(|place| place.map(|place| Arc::clone(rows.column(place))));
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let columns = columns.collect::<Result<_, _>>()?;
            Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
        };
        let rows = self.rows.iter().map(columns).collect::<Result<Vec<_>>>()?;
        Ok(MemorySourceConfig::try_new_exec(&[rows], Arc::clone(&self.schema), None)?)
    }
}

/// Columns without their metadata: tables that are put together differ in it, which the engine takes for a mistake.
pub(crate) fn bare<'a>(fields: impl IntoIterator<Item = &'a Field>) -> SchemaRef {
    let bare = |field: &Field| Field::new(field.name(), field.data_type().clone(), field.is_nullable());
    Arc::new(Schema::new(fields.into_iter().map(bare).collect::<Vec<_>>()))
}
