//! The table of a profile: its rows as they are kept, wire integers as physical values. Knows nothing of other tables.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, binary, cast, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use model::{Scale, Shape, Signal, ValueKind};
use store::TableSnapshot;

use crate::bounds::Span;
use crate::files::Files;
use crate::scan::{Scan, bare};
use crate::vectors::physical_list;

/// See the module.
#[derive(Debug)]
pub(crate) struct ProfileTable {
    table: Arc<TableSnapshot>,
    files: Arc<Files>,
    schema: SchemaRef,
}

impl ProfileTable {
    pub(crate) fn new(table: Arc<TableSnapshot>, files: Arc<Files>) -> Self {
        let shown = |field: &Field| match scaled(&table, field.name()).map(|signal| signal.kind) {
            Some(ValueKind::Vector) => Field::new(field.name(), store::vector_type(), field.is_nullable()),
            Some(_) => Field::new(field.name(), DataType::Float64, field.is_nullable()),
            None => field.clone(),
        };
        let fields: Vec<Field> = table.schema.fields().iter().map(|field| shown(field)).collect();
        let schema = bare(&fields);
        Self { table, files, schema }
    }

    pub(crate) fn snapshot(&self) -> &Arc<TableSnapshot> {
        &self.table
    }

    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }
}

/// The signal whose wire integers the column `name` of `table` keeps.
pub(crate) fn scaled<'a>(table: &'a TableSnapshot, name: &str) -> Option<&'a Signal> {
    if table.profile.shape() == Shape::Changes {
        return None;
    }
    let signal = table.profile.signal(table.profile.signal_index(name)?);
    matches!(signal.kind, ValueKind::Integer | ValueKind::Vector).then_some(signal)
}

/// The physical value of the column `raw` of integers.
pub(crate) fn physical(raw: Arc<dyn PhysicalExpr>, scale: Scale, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let mut value = cast(raw, schema, DataType::Float64)?;
    if scale.divisor != 1.0 {
        value = binary(value, Operator::Divide, lit(scale.divisor), schema)?;
    }
    // Zero is added all the same where it makes a negative zero positive.
    if scale.offset != 0.0 || scale.divisor < 0.0 {
        value = binary(value, Operator::Plus, lit(scale.offset), schema)?;
    }
    Ok(value)
}

#[async_trait]
impl TableProvider for ProfileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.schema.fields().len()).collect();
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(all);
        // The planner itself hands conditions down to where files are read, for skipping what is in them.
        let scan = Scan::of(&self.table, columns, Span::of(filters));
        let schema = Arc::clone(&scan.schema);
        let kept = scan.plan(&self.files)?;
        let mut shown = Vec::with_capacity(schema.fields().len());
        let mut differs = false;
        for (place, field) in schema.fields().iter().enumerate() {
            let raw: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
            let signal = scaled(&self.table, field.name());
            differs |= signal.is_some();
            let expr = match signal {
                None => raw,
                Some(signal) if signal.kind == ValueKind::Vector => physical_list(raw, signal.scale, &schema)?,
                Some(signal) => physical(raw, signal.scale, &schema)?,
            };
            shown.push(ProjectionExpr { expr, alias: field.name().clone() });
        }
        Ok(if differs { Arc::new(ProjectionExec::try_new(shown, kept)?) } else { kept })
    }
}
