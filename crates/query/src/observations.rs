//! The table `observations`: everything that was said, one row per observation. Only the tables, assets, signals and
//! times that a question asks for are read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::functions_nested::expr_fn::array_to_string;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, lit, when};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use model::{Profile, Shape};
use store::{TableSnapshot, table};

use crate::bounds::{Span, words_of};
use crate::files::Files;
use crate::scan::Scan;
use crate::unpivot::{Unpivot, UnpivotExec};

/// See the module.
#[derive(Debug)]
pub(crate) struct ObservationsTable {
    tables: Vec<Arc<TableSnapshot>>,
    files: Arc<Files>,
    schema: SchemaRef,
}

/// What a question wants of the observations.
struct Wanted<'a> {
    state: &'a dyn Session,
    conditions: &'a [Expr],
    schema: SchemaRef,
    span: Span,
    assets: Option<Vec<String>>,
}

impl ObservationsTable {
    pub(crate) fn new(tables: Vec<Arc<TableSnapshot>>, files: Arc<Files>) -> Self {
        let schema = Arc::new(Schema::new(vec![
            Field::new("asset", table::word_type(), false),
            Field::new("signal", table::word_type(), false),
            Field::new("time", table::time_type(), false),
            Field::new("received", table::time_type(), false),
            Field::new("value", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("quality", table::word_type(), false),
        ]));
        Self { tables, files, schema }
    }

    /// The share of `table`, if it can have one.
    fn part(&self, table: &TableSnapshot, wanted: &Wanted<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(assets) = &wanted.assets
            && !table.assets.iter().any(|known| assets.iter().any(|asset| asset == known.as_str()))
        {
            return Ok(None);
        }
        let signals = wanted.signals(&table.profile)?;
        if signals.is_empty() {
            return Ok(None);
        }
        match table.profile.shape() {
            Shape::Changes => self.changes(table, wanted),
            Shape::Frames => self.frames(table, &signals, wanted),
        }
        .map(Some)
    }

    fn changes(&self, table: &TableSnapshot, wanted: &Wanted<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let names = wanted.schema.fields().iter().map(|field| field.name().as_str());
        let names = names.flat_map(|name| if name == "text" { vec!["text", "vector"] } else { vec![name] });
        let columns = names.map(|name| table.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let scan = Scan::of(table, columns, wanted.span);
        let schema = Arc::clone(&scan.schema);
        let kept = scan.plan(&self.files)?;
        let shown = wanted.schema.fields().iter().map(|field| {
            let name = field.name();
            let expr: Arc<dyn PhysicalExpr> = match name.as_str() {
                "text" => {
                    let text = datafusion::prelude::col("text");
                    let numbers = array_to_string(datafusion::prelude::col("vector"), lit(" "));
                    let text = when(text.clone().is_not_null(), text).otherwise(numbers)?;
                    wanted.state.create_physical_expr(text, &DFSchema::try_from(Arc::clone(&schema))?)?
                }
                name => col(name, &schema)?,
            };
            Ok(ProjectionExpr { expr, alias: name.clone() })
        });
        Ok(Arc::new(ProjectionExec::try_new(shown.collect::<Result<Vec<_>>>()?, kept)?))
    }

    fn frames(&self, table: &TableSnapshot, signals: &[usize], wanted: &Wanted<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let place = |name: &str| table.schema.index_of(name);
        let own = ["asset", "time", "received"].into_iter().filter(|name| wanted.schema.field_with_name(name).is_ok());
        let mut columns = own.map(place).collect::<Result<Vec<_>, _>>()?;
        columns.push(place("exceptions")?);
        let signals: Vec<_> = signals.iter().map(|signal| &table.profile.signals()[*signal]).collect();
        for signal in &signals {
            columns.push(place(&signal.id)?);
        }
        let mut scan = Scan::of(table, columns, wanted.span);
        scan.condition = wanted.of_frames(&scan.schema)?;
        let unpivot = Unpivot::new(&scan.schema, &signals, Arc::clone(&wanted.schema))?;
        Ok(Arc::new(UnpivotExec::new(unpivot, scan.plan(&self.files)?)))
    }
}

impl Wanted<'_> {
    /// What is asked of columns that every frame has, in terms of `schema`. The planner does not see that these are the
    /// columns of the observations; a signal may have the name of another one.
    fn of_frames(&self, schema: &SchemaRef) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let known = |name: &str| matches!(name, "asset" | "time" | "received") && schema.field_with_name(name).is_ok();
        let fits = |condition: &&Expr| condition.column_refs().iter().all(|column| known(&column.name));
        let Some(condition) = conjunction(self.conditions.iter().filter(fits).cloned()) else { return Ok(None) };
        self.state.create_physical_expr(condition, &DFSchema::try_from(Arc::clone(schema))?).map(Some)
    }

    /// The places of the signals of `profile` that fulfil what is asked of the signal alone.
    fn signals(&self, profile: &Profile) -> Result<Vec<usize>> {
        let of_signal = |condition: &&Expr| {
            let columns = condition.column_refs();
            columns.len() == 1 && columns.iter().all(|column| column.name == "signal") && !condition.is_volatile()
        };
        let parts = self.conditions.iter().flat_map(split_conjunction).filter(of_signal);
        let Some(condition) = conjunction(parts.cloned()) else { return Ok((0..profile.signals().len()).collect()) };
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(profile.signals().iter().map(|one| &*one.id)));
        let codes = Int32Array::from_iter_values(0..names.len() as i32);
        let schema = Arc::new(Schema::new(vec![Field::new("signal", table::word_type(), false)]));
        let words = DictionaryArray::<Int32Type>::try_new(codes, names)?;
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(words)])?;
        let condition = self.state.create_physical_expr(condition, &DFSchema::try_from(schema)?)?;
        let holds = cast(&condition.evaluate(&rows)?.into_array(rows.num_rows())?, &DataType::Boolean)?;
        let holds = holds.as_boolean();
        Ok((0..rows.num_rows()).filter(|place| holds.is_valid(*place) && holds.value(*place)).collect())
    }
}

#[async_trait]
impl TableProvider for ObservationsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        conditions: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let (span, assets) = (Span::of(conditions), words_of("asset", conditions));
        let wanted = Wanted { state, conditions, schema, span, assets };
        let mut parts = Vec::new();
        for table in &self.tables {
            parts.extend(self.part(table, &wanted)?);
        }
        if parts.is_empty() {
            parts.push(Arc::new(EmptyExec::new(wanted.schema)));
        }
        UnionExec::try_new(parts)
    }
}
