//! Answers questions from roll-ups where the answer is exactly the same: averages, sums, counts, least and greatest
//! values of a profile's signals by asset and time, where the buckets and the bounds of time are whole ones of the
//! roll-up. Everything else about the question stays as it was asked. Knows nothing of how roll-ups are read.

use std::sync::Arc;

use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue, TableReference};
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::expr::{AggregateFunction, Case};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use model::{Scale, Shape, SignalIndex, ValueKind};

use crate::bounds::Span;
use crate::grain::{Grain, over_columns};
use crate::partials::{PartialsTable, ROWS, Sums, extreme_columns, sum_columns};
use crate::profile_table::ProfileTable;

/// See the module.
#[derive(Debug)]
pub(crate) struct UseRollups;

impl OptimizerRule for UseRollups {
    fn name(&self) -> &'static str {
        "use_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        Ok(match rewritten(aggregate)? {
            Some(plan) => Transformed::yes(plan),
            None => Transformed::no(plan),
        })
    }
}

/// What an aggregate is asked about: columns of one table, under conditions, by the names of that table.
struct Asked {
    table: TableReference,
    provider: Arc<dyn datafusion::catalog::TableProvider>,
    /// Each of them has to hold.
    conditions: Vec<Expr>,
    /// What the columns of the input are.
    columns: Vec<Expr>,
}

/// What `plan` comes to, if it is one table, some conditions and columns that are made of others.
fn asked(plan: &LogicalPlan) -> Result<Option<Asked>> {
    Ok(match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
            let columns = scan.projected_schema.columns().into_iter();
            Some(Asked {
                table: scan.table_name.clone(),
                provider,
                conditions: scan.filters.iter().map(unqualified).collect::<Result<_>>()?,
                columns: columns.map(|column| Expr::Column(Column::new_unqualified(column.name))).collect(),
            })
        }
        LogicalPlan::Filter(filter) => {
            let Some(mut asked) = asked(&filter.input)? else { return Ok(None) };
            let condition = over_columns(&filter.predicate, filter.input.schema(), &asked.columns)?;
            for part in split_conjunction(&condition) {
                if !asked.conditions.contains(part) {
                    asked.conditions.push(part.clone());
                }
            }
            Some(asked)
        }
        LogicalPlan::Projection(projection) => {
            let Some(mut asked) = asked(&projection.input)? else { return Ok(None) };
            let schema = projection.input.schema();
            let columns = projection.expr.iter().map(|expr| over_columns(expr, schema, &asked.columns));
            asked.columns = columns.collect::<Result<_>>()?;
            Some(asked)
        }
        LogicalPlan::SubqueryAlias(alias) => asked(&alias.input)?,
        _ => None,
    })
}

/// `expr`, whose columns are all of one table, without the name of the table.
fn unqualified(expr: &Expr) -> Result<Expr> {
    use datafusion::common::tree_node::TreeNode;
    let bare = |expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    };
    Ok(expr.clone().transform(bare)?.data)
}

/// The same question to the roll-ups, if they can answer it and there are some.
fn rewritten(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some(asked) = asked(&aggregate.input)? else { return Ok(None) };
    let Some(profile_table) = asked.provider.downcast_ref::<ProfileTable>() else { return Ok(None) };
    let table = profile_table.snapshot();
    if table.profile.shape() != Shape::Frames || table.segments.iter().all(|segment| segment.rollups.is_empty()) {
        return Ok(None);
    }
    let schema = aggregate.input.schema();
    let mut grain = Grain::default();
    let mut groups = Vec::with_capacity(aggregate.group_expr.len());
    for group in &aggregate.group_expr {
        let group = over_columns(group, schema, &asked.columns)?;
        if !grain.take(&group) {
            return Ok(None);
        }
        groups.push(group);
    }
    let mut values = Values { table: profile_table, sums: Vec::new(), needs_extremes: false };
    let mut results = Vec::with_capacity(aggregate.aggr_expr.len());
    for expr in &aggregate.aggr_expr {
        let expr = over_columns(expr, schema, &asked.columns)?;
        let Some(result) = values.result(&expr) else { return Ok(None) };
        results.push(result);
    }
    let mut kept = Vec::new();
    let mut span = Vec::new();
    for condition in &asked.conditions {
        if Span::of_one(condition).is_some() {
            span.push(condition);
        } else if Grain::of_asset(condition) {
            kept.push(condition.clone());
        } else {
            return Ok(None);
        }
    }
    // How many rows there are stands in the manifest.
    if groups.is_empty() && kept.is_empty() && span.is_empty() && values.sums.is_empty() {
        return Ok(None);
    }
    let (span, needs_extremes) = (Span::of(span), values.needs_extremes);
    let Some(partials) = PartialsTable::new(profile_table, span, &grain, values.sums, needs_extremes) else {
        return Ok(None);
    };
    plan_over(aggregate, &asked.table, partials, &kept, groups, &results).map(Some)
}

/// Groups and adds up `partials`, where there is something to be added up, and shows the outcome as `aggregate` would.
fn plan_over(
    aggregate: &Aggregate,
    table: &TableReference,
    partials: PartialsTable,
    conditions: &[Expr],
    groups: Vec<Expr>,
    results: &[ResultOf],
) -> Result<LogicalPlan> {
    let name = TableReference::bare(format!("{} by {}", table.table(), partials.label()));
    let is_single = Grain::bucket_of_assets(&groups).is_some_and(|bucket_ns| partials.has_single_rows(bucket_ns));
    let mut builder = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(partials)), None)?;
    if let Some(condition) = conjunction(conditions.iter().cloned()) {
        builder = builder.filter(condition)?;
    }
    let mut added: Vec<Expr> = Vec::new();
    for expr in results.iter().flat_map(|result| &result.needs) {
        if !added.contains(expr) {
            added.push(expr.clone());
        }
    }
    let group_count = groups.len();
    let plan = match is_single {
        true => builder.project(groups.into_iter().chain(added.iter().map(of_one_row)))?.build()?,
        false => builder.aggregate(groups, added.iter().cloned())?.build()?,
    };
    let inner: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let (groups, sums) = inner.split_at(group_count);
    let column = |expr: &Expr| {
        let place = added.iter().position(|one| one == expr).expect("every need was added");
        sums[place].clone()
    };
    let shown = groups.iter().cloned().chain(results.iter().map(|result| (result.show)(&|expr| column(expr))));
    let names = aggregate.schema.iter();
    let shown = shown.zip(names).map(|(expr, (table, field))| expr.alias_qualified(table.cloned(), field.name()));
    LogicalPlanBuilder::from(plan).project(shown.collect::<Vec<_>>())?.build()
}

/// What `aggregate` of a column comes to where there is one row to it.
fn of_one_row(aggregate: &Expr) -> Expr {
    match aggregate {
        Expr::AggregateFunction(AggregateFunction { params, .. }) => params.args[0].clone(),
        other => other.clone(),
    }
}

/// What a need has become.
type Become<'a> = &'a dyn Fn(&Expr) -> Expr;

/// How one aggregate follows from sums over roll-ups.
struct ResultOf {
    /// Aggregates of the columns of [`PartialsTable`].
    needs: Vec<Expr>,
    /// The result, given what the needs have become.
    show: Box<dyn Fn(Become<'_>) -> Expr>,
}

/// Finds out what is needed of which signals.
struct Values<'a> {
    table: &'a ProfileTable,
    sums: Vec<Sums>,
    needs_extremes: bool,
}

impl Values<'_> {
    fn result(&mut self, expr: &Expr) -> Option<ResultOf> {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
        let [argument] = &params.args[..] else { return None };
        if params.distinct || params.filter.is_some() || !params.order_by.is_empty() || params.null_treatment.is_some()
        {
            return None;
        }
        match (func.name(), argument) {
            ("count", Expr::Literal(value, _)) if !value.is_null() => Some(counted(sum(bare(ROWS)))),
            (name, Expr::Column(column)) => self.of_signal(name, &column.name),
            _ => None,
        }
    }

    /// The aggregate `function` of a signal.
    fn of_signal(&mut self, function: &str, signal: &str) -> Option<ResultOf> {
        let profile = &self.table.snapshot().profile;
        let place = profile.signal_index(signal)?;
        let signal = profile.signal(place);
        let Scale { divisor, offset } = match signal.kind {
            ValueKind::Integer => signal.scale,
            ValueKind::Number => Scale::ONE,
            _ => return None,
        };
        if !divisor.is_normal() || !offset.is_finite() {
            return None;
        }
        let [count, total] = sum_columns(&signal.id).map(|name| sum(bare(&name)));
        let physical =
            move |raw: Expr| if signal_is_raw(divisor, offset) { raw } else { raw / lit(divisor) + lit(offset) };
        self.want(place, matches!(function, "min" | "max"));
        Some(match function {
            "count" => counted(count),
            "avg" => {
                let needs = vec![count.clone(), total.clone()];
                // Of no values there is no average.
                let show = move |of: Become<'_>| {
                    let average = physical(of(&total) / float(of(&count)));
                    case(of(&count).eq(lit(0_i64)), lit(ScalarValue::Float64(None)), average)
                };
                ResultOf { needs, show: Box::new(show) }
            }
            "sum" => {
                let needs = vec![count.clone(), total.clone()];
                let shift = move |of: Become<'_>| float(of(&count)) * lit(offset);
                ResultOf { needs, show: Box::new(move |of| of(&total) / lit(divisor) + shift(of)) }
            }
            "min" | "max" => {
                let [least, greatest] = extreme_columns(&signal.id);
                // A negative scale turns the order round.
                let is_least = (function == "min") == (divisor > 0.0);
                let need = if is_least { min(bare(&least)) } else { max(bare(&greatest)) };
                ResultOf { needs: vec![need.clone()], show: Box::new(move |of| physical(of(&need))) }
            }
            _ => return None,
        })
    }

    fn want(&mut self, signal: SignalIndex, extremes: bool) {
        self.needs_extremes |= extremes;
        match self.sums.iter_mut().find(|sums| sums.signal == signal) {
            Some(sums) => {
                sums.extremes |= extremes;
                sums.total |= !extremes;
            }
            None => self.sums.push(Sums { signal, total: !extremes, extremes }),
        }
    }
}

/// `one` where `condition` holds, else `other`.
fn case(condition: Expr, one: Expr, other: Expr) -> Expr {
    let when_then_expr = vec![(Box::new(condition), Box::new(one))];
    Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(other)) })
}

fn zero_if(condition: Expr, other: Expr) -> Expr {
    case(condition, lit(0_i64), other)
}

/// A number of rows, which is zero where there are none.
fn counted(count: Expr) -> ResultOf {
    ResultOf { needs: vec![count.clone()], show: Box::new(move |of| zero_if(of(&count).is_null(), of(&count))) }
}

/// Whether what is kept is the physical value.
fn signal_is_raw(divisor: f64, offset: f64) -> bool {
    Scale { divisor, offset } == Scale::ONE
}

fn bare(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn float(expr: Expr) -> Expr {
    datafusion::prelude::cast(expr, arrow::datatypes::DataType::Float64)
}
