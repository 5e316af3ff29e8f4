//! Sums of a profile's signals by asset and time: from roll-ups where segments have them, else row by row. Rows of it
//! that are added up give what the rows of the profile's table would. Knows nothing of SQL.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, cast, col, is_not_null, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use model::{SignalIndex, Timestamp, ValueKind};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use store::{SegmentFile, TableSnapshot, table};

use crate::bounds::Span;
use crate::files::{DataFile, Files};
use crate::grain::Grain;
use crate::profile_table::ProfileTable;
use crate::scan::{Scan, bare};

/// The column with the number of rows.
pub(crate) const ROWS: &str = "rows";
/// Buckets of so many seconds have the least and the greatest value.
const EXTREMES_SECS: u32 = 3_600;

/// What is wanted of one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) signal: SignalIndex,
    /// How many values there are, and their sum.
    pub(crate) total: bool,
    /// The least and the greatest.
    pub(crate) extremes: bool,
}

/// The columns of a signal's number of values and their sum.
pub(crate) fn sum_columns(signal: &str) -> [String; 2] {
    [format!("{signal}.count"), format!("{signal}.sum")]
}

/// The columns of a signal's least and greatest value.
pub(crate) fn extreme_columns(signal: &str) -> [String; 2] {
    [format!("{signal}.min"), format!("{signal}.max")]
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PartialsTable {
    table: Arc<TableSnapshot>,
    files: Arc<Files>,
    sums: Vec<Sums>,
    span: Span,
    schema: SchemaRef,
    /// Segments that may be asked by one of their roll-ups.
    rolled: Vec<(Arc<SegmentFile>, usize)>,
    /// Segments that are asked row by row.
    raw: Vec<Arc<SegmentFile>>,
}

impl PartialsTable {
    /// The sums `sums` of `table` within `span`, by buckets that lie in those of `grain`; `None` if no roll-up helps.
    pub(crate) fn new(
        table: &ProfileTable,
        span: Span,
        grain: &Grain,
        sums: Vec<Sums>,
        needs_extremes: bool,
    ) -> Option<Self> {
        let (table, files) = (Arc::clone(table.snapshot()), Arc::clone(table.files()));
        let (mut rolled, mut raw) = (Vec::new(), Vec::new());
        for segment in table.segments.iter().filter(|segment| span.meets(segment)) {
            let fits = |place: &usize| {
                let bucket_secs = segment.rollups[*place].bucket_secs;
                (bucket_secs >= EXTREMES_SECS || !needs_extremes) && is_whole(segment, bucket_secs, span, grain)
            };
            let coarsest =
                (0..segment.rollups.len()).filter(fits).max_by_key(|place| segment.rollups[*place].bucket_secs);
            match coarsest {
                Some(place) => rolled.push((Arc::clone(segment), place)),
                None => raw.push(Arc::clone(segment)),
            }
        }
        if rolled.is_empty() {
            return None;
        }
        let schema = schema(&table, &sums);
        Some(Self { table, files, sums, span, schema, rolled, raw })
    }

    /// Which roll-ups there are, for people.
    pub(crate) fn label(&self) -> String {
        let buckets = self.rolled.iter().map(|(segment, place)| segment.rollups[*place].bucket_secs);
        let (least, most) = buckets.fold((u32::MAX, 0), |(least, most), one| (least.min(one), most.max(one)));
        if least == most { format!("roll-ups of {least} s") } else { format!("roll-ups of {least} s to {most} s") }
    }

    /// Whether each asset has at most one row for each bucket of `bucket_ns`: there is nothing to be added up then.
    pub(crate) fn has_single_rows(&self, bucket_ns: i64) -> bool {
        let in_memory = || self.table.rows.iter().any(|rows| self.span.meets_rows(rows));
        if !self.raw.is_empty() || in_memory() {
            return false;
        }
        let bucket = |time: Timestamp| time.nanos().div_euclid(bucket_ns);
        let spans = self.rolled.iter().map(|(segment, _)| (bucket(segment.time_min), bucket(segment.time_max)));
        let mut spans: Vec<_> = spans.collect();
        spans.sort_unstable();
        let apart = spans.windows(2).all(|pair| pair[0].1 < pair[1].0);
        // A file that cannot be read is named by who reads its rows.
        let is_fit = |(segment, place): &(Arc<SegmentFile>, usize)| {
            self::bucket_ns(segment, *place) == bucket_ns && self.has_all_sums(segment, *place).unwrap_or(false)
        };
        apart && self.rolled.iter().all(is_fit)
    }

    /// The schema of what is read of roll-ups, of which some lack signals.
    fn rolled_schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new("asset", table::word_type(), false),
            Field::new("time", table::time_type(), false),
            Field::new(ROWS, DataType::Int64, false),
        ];
        for sums in &self.sums {
            let signal = self.table.profile.signal(sums.signal);
            let kept = if signal.kind == ValueKind::Integer { DataType::Int64 } else { DataType::Float64 };
            let types = [DataType::Int64, kept.clone(), kept.clone(), kept];
            let wanted = wanted(sums, &signal.id).into_iter().zip(types);
            fields.extend(wanted.filter_map(|(name, kept)| Some(Field::new(name?, kept, true))));
        }
        Arc::new(Schema::new(fields))
    }

    /// What `rollups` say, which are all of the same bucket.
    fn of_rollups(&self, rollups: &[(Arc<SegmentFile>, usize)], bucket_ns: i64) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.rolled_schema();
        let files = rollups.iter().map(|(segment, place)| DataFile::rollup_of(Arc::clone(segment), *place));
        let scan = Scan {
            schema: Arc::clone(&schema),
            files: files.collect(),
            rows: Vec::new(),
            condition: None,
            // They are, but to add up few rows in their order takes longer than without.
            sorted_by: &[],
        };
        let mut plan = scan.plan(&self.files)?;
        if !rollups.iter().all(|(segment, _)| self.span.contains(segment)) {
            // Where the span begins within a bucket, there are no rows in the bucket before.
            let from = self.span.from.div_euclid(bucket_ns).saturating_mul(bucket_ns);
            plan = within(Span { from, ..self.span }, plan)?;
        }
        let mut shown = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let kept = col(field.name(), &schema)?;
            let is_same = kept.data_type(&schema)? == *field.data_type();
            let expr = if is_same { kept } else { cast(kept, &schema, field.data_type().clone())? };
            shown.push(ProjectionExpr { expr, alias: field.name().clone() });
        }
        Ok(Arc::new(ProjectionExec::try_new(shown, plan)?))
    }

    /// What the rows of `segments` and those in memory say, each for itself.
    fn of_rows(&self, segments: &[Arc<SegmentFile>]) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let place = |name: &str| self.table.schema.index_of(name);
        let mut columns = vec![place("asset")?, place("time")?];
        for sums in &self.sums {
            columns.push(place(&self.table.profile.signal(sums.signal).id)?);
        }
        let scan = Scan::of_segments(&self.table, columns, self.span, segments);
        if scan.files.is_empty() && scan.rows.is_empty() {
            return Ok(None);
        }
        let schema = Arc::clone(&scan.schema);
        let mut plan = scan.plan(&self.files)?;
        if self.span != Span::ALL {
            plan = within(self.span, plan)?;
        }
        let mut shown: Vec<(Arc<dyn PhysicalExpr>, String)> = vec![
            (col("asset", &schema)?, "asset".to_owned()),
            (col("time", &schema)?, "time".to_owned()),
            (lit(1_i64), ROWS.to_owned()),
        ];
        for (place, sums) in self.sums.iter().enumerate() {
            let signal = self.table.profile.signal(sums.signal);
            let raw = || Arc::new(datafusion::physical_expr::expressions::Column::new(&signal.id, place + 2)) as _;
            let number = || cast(raw(), &schema, DataType::Float64);
            for (place, name) in wanted(sums, &signal.id).into_iter().enumerate() {
                let Some(name) = name else { continue };
                let expr = if place == 0 { cast(is_not_null(raw())?, &schema, DataType::Int64)? } else { number()? };
                shown.push((expr, name));
            }
        }
        let shown = shown.into_iter().map(|(expr, alias)| ProjectionExpr { expr, alias });
        Ok(Some(Arc::new(ProjectionExec::try_new(shown, plan)?)))
    }

    /// Whether all sums of the signals that are wanted stand in the roll-up: one of integers may not have fitted.
    fn has_all_sums(&self, segment: &Arc<SegmentFile>, place: usize) -> Result<bool> {
        let integers = self.sums.iter().filter(|sums| sums.total);
        let integers = integers.map(|sums| self.table.profile.signal(sums.signal));
        let integers: Vec<_> = integers.filter(|signal| signal.kind == ValueKind::Integer).collect();
        if integers.is_empty() {
            return Ok(true);
        }
        let rollup = self.files.footer(&DataFile::rollup_of(Arc::clone(segment), place))?;
        for signal in integers {
            let sum = &sum_columns(&signal.id)[1];
            if !has_column(&rollup.metadata, sum) || nulls(&rollup.metadata, sum) == Some(0) {
                continue;
            }
            // A bucket without a value has no sum either. What no sum of the whole segment exceeds, none of a bucket does.
            let rows = self.files.footer(&DataFile::rows_of(Arc::clone(segment)))?;
            let greatest = greatest(&rows.metadata, &signal.id);
            if greatest.is_none_or(|greatest| greatest.saturating_mul(u128::from(segment.rows)) > i64::MAX as u128) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The columns that are wanted of a signal: count, sum, least, greatest.
fn wanted(sums: &Sums, signal: &str) -> [Option<String>; 4] {
    let [count, sum] = sum_columns(signal).map(|name| sums.total.then_some(name));
    let [least, greatest] = extreme_columns(signal).map(|name| sums.extremes.then_some(name));
    [count, sum, least, greatest]
}

fn schema(table: &TableSnapshot, sums: &[Sums]) -> SchemaRef {
    let mut fields = vec![
        Field::new("asset", table::word_type(), false),
        Field::new("time", table::time_type(), false),
        Field::new(ROWS, DataType::Int64, false),
    ];
    for sums in sums {
        let types = [DataType::Int64, DataType::Float64, DataType::Float64, DataType::Float64];
        let wanted = wanted(sums, &table.profile.signal(sums.signal).id).into_iter().zip(types);
        fields.extend(wanted.filter_map(|(name, kept)| Some(Field::new(name?, kept, true))));
    }
    bare(&fields)
}

fn bucket_ns(segment: &SegmentFile, place: usize) -> i64 {
    i64::from(segment.rollups[place].bucket_secs) * 1_000_000_000
}

/// Whether buckets of so many seconds say all that is asked of `segment`: each lies in one bucket of the question, and
/// where the span cuts through one, the segment has no row in it beyond.
fn is_whole(segment: &SegmentFile, bucket_secs: u32, span: Span, grain: &Grain) -> bool {
    let bucket_ns = i64::from(bucket_secs) * 1_000_000_000;
    let (first, last) = (segment.time_min.nanos(), segment.time_max.nanos());
    let begins = first >= span.from || span.from.rem_euclid(bucket_ns) == 0;
    let ends = last <= span.to || span.to.checked_add(1).is_some_and(|end| end.rem_euclid(bucket_ns) == 0);
    // Before the epoch, functions of time round in different directions.
    first >= 0 && begins && ends && grain.holds(bucket_ns)
}

/// The rows of `plan` whose time lies in `span`.
fn within(span: Span, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let bound = |nanos: i64| lit(ScalarValue::TimestampNanosecond(Some(nanos), Some("UTC".into())));
    let time = col("time", &schema)?;
    let after = binary(Arc::clone(&time), Operator::GtEq, bound(span.from), &schema)?;
    let before = binary(time, Operator::LtEq, bound(span.to), &schema)?;
    Ok(Arc::new(FilterExec::try_new(binary(after, Operator::And, before, &schema)?, plan)?))
}

/// How many nulls the column `name` has, if the file says so.
fn nulls(file: &ParquetMetaData, name: &str) -> Option<u64> {
    statistics(file, name).try_fold(0, |sum, one| Some(sum + one?.null_count_opt()?))
}

/// The greatest number, of positive and negative ones, in the column `name`, if the file says so.
fn greatest(file: &ParquetMetaData, name: &str) -> Option<u128> {
    statistics(file, name).try_fold(0, |greatest, one| {
        let (least, most) = match one? {
            Statistics::Int64(one) => (*one.min_opt()?, *one.max_opt()?),
            Statistics::Int32(one) => (i64::from(*one.min_opt()?), i64::from(*one.max_opt()?)),
            _ => return None,
        };
        Some(greatest.max(u128::from(least.unsigned_abs())).max(u128::from(most.unsigned_abs())))
    })
}

fn has_column(file: &ParquetMetaData, name: &str) -> bool {
    place_of(file, name).is_some()
}

fn place_of(file: &ParquetMetaData, name: &str) -> Option<usize> {
    let mut columns = file.file_metadata().schema_descr().columns().iter();
    columns.position(|column| matches!(column.path().parts(), [one] if one == name))
}

/// What the file says of the column `name`, row group by row group.
fn statistics<'a>(file: &'a ParquetMetaData, name: &str) -> impl Iterator<Item = Option<&'a Statistics>> {
    let place = place_of(file, name);
    file.row_groups().iter().map(move |group| place.and_then(|place| group.column(place).statistics()))
}

#[async_trait]
impl TableProvider for PartialsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut raw = self.raw.clone();
        let mut rolled = Vec::with_capacity(self.rolled.len());
        for (segment, place) in &self.rolled {
            if self.has_all_sums(segment, *place)? {
                rolled.push((Arc::clone(segment), *place));
            } else {
                raw.push(Arc::clone(segment));
            }
        }
        let mut parts = Vec::with_capacity(rolled.len() + 1);
        rolled.sort_by_key(|(segment, place)| bucket_ns(segment, *place));
        let bucket = |(segment, place): &(Arc<SegmentFile>, usize)| bucket_ns(segment, *place);
        for rollups in rolled.chunk_by(|one, other| bucket(one) == bucket(other)) {
            parts.push(self.of_rollups(rollups, bucket(&rollups[0]))?);
        }
        parts.extend(self.of_rows(&raw)?);
        if parts.is_empty() {
            parts.push(Arc::new(EmptyExec::new(Arc::clone(&self.schema))));
        }
        let plan = UnionExec::try_new(parts)?;
        let Some(columns) = projection else { return Ok(plan) };
        let shown = columns.iter().map(|column| {
            let name = self.schema.field(*column).name();
            Ok(ProjectionExpr { expr: col(name, &self.schema)?, alias: name.clone() })
        });
        Ok(Arc::new(ProjectionExec::try_new(shown.collect::<Result<Vec<_>>>()?, plan)?))
    }
}
