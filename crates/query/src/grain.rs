//! Which buckets of time expressions tell apart: whether rows of one bucket are all the same to them. Knows nothing of
//! plans.

use arrow::datatypes::{IntervalDayTime, IntervalMonthDayNano};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;

const MILLI_NS: i128 = 1_000_000;
const MINUTE_NS: i128 = 60_000 * MILLI_NS;
const HOUR_NS: i128 = 60 * MINUTE_NS;
const DAY_NS: i128 = 24 * HOUR_NS;

/// The buckets that some expressions cut the time into.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Grain {
    /// Numbers of nanoseconds that a finer bucket has to divide, so that it lies in one of these.
    multiples: Vec<i128>,
}

impl Grain {
    /// Takes in `group`; false if it does not depend on asset and buckets alone.
    pub(crate) fn take(&mut self, group: &Expr) -> bool {
        let mut is_fit = true;
        let look = |expr: &Expr| {
            if let Some(multiples) = bucket(expr) {
                self.multiples.extend(multiples);
                return Ok(TreeNodeRecursion::Jump);
            }
            is_fit &= is_plain(expr);
            Ok(if is_fit { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        };
        group.apply(look).is_ok() && is_fit
    }

    /// Whether `condition` depends on the asset and on nothing else.
    pub(crate) fn of_asset(condition: &Expr) -> bool {
        let mut is_fit = true;
        let look = |expr: &Expr| {
            is_fit &= is_plain(expr);
            Ok(if is_fit { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        };
        condition.apply(look).is_ok() && is_fit
    }

    /// The length of the buckets, where `groups` are just the asset and buckets that are counted from the epoch.
    pub(crate) fn bucket_of_assets(groups: &[Expr]) -> Option<i64> {
        let [one, other] = groups else { return None };
        let is_asset = |expr: &Expr| matches!(bare(expr), Expr::Column(column) if column.name == "asset");
        let buckets = if is_asset(one) { other } else { one };
        match bucket(bare(buckets))?[..] {
            [bucket_ns] if is_asset(one) || is_asset(other) => i64::try_from(bucket_ns).ok(),
            _ => None,
        }
    }

    /// Whether each bucket of `bucket_ns` nanoseconds, counted from the epoch, lies in one of these buckets.
    pub(crate) fn holds(&self, bucket_ns: i64) -> bool {
        self.multiples.iter().all(|multiple| multiple % i128::from(bucket_ns) == 0)
    }
}

/// `expr` without the names it was given.
fn bare(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}

/// Whether `expr`, apart from what it is made of, depends on no more than the asset and constants.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == "asset",
        Expr::Alias(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => true,
        Expr::ScalarFunction(_) => !expr.is_volatile_node(),
        _ => false,
    }
}

/// What `expr` cuts the time into, if it is `date_bin` or `date_trunc` of it.
fn bucket(expr: &Expr) -> Option<Vec<i128>> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "time");
    match (function.name(), &function.args[..]) {
        ("date_bin", [Expr::Literal(step, _), time]) if is_time(time) => Some(vec![step_ns(step)?]),
        (
            "date_bin",
            [Expr::Literal(step, _), time, Expr::Literal(ScalarValue::TimestampNanosecond(Some(origin), _), _)],
        ) if is_time(time) => Some(vec![step_ns(step)?, i128::from(*origin)]),
        ("date_trunc", [Expr::Literal(unit, _), time]) if is_time(time) => {
            let unit = unit.try_as_str().flatten()?.to_ascii_lowercase();
            // In UTC every longer one consists of hours.
            match unit.as_str() {
                "minute" => Some(vec![MINUTE_NS]),
                "hour" => Some(vec![HOUR_NS]),
                "day" | "week" | "month" | "quarter" | "year" => Some(vec![DAY_NS]),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A step of `date_bin`, if it always has the same length.
fn step_ns(step: &ScalarValue) -> Option<i128> {
    let step = match step {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months: 0, days, nanoseconds })) => {
            i128::from(*days) * DAY_NS + i128::from(*nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(IntervalDayTime { days, milliseconds })) => {
            i128::from(*days) * DAY_NS + i128::from(*milliseconds) * MILLI_NS
        }
        _ => return None,
    };
    (step > 0).then_some(step)
}

/// `expr`, whose columns are those of `schema`, in terms of `columns`, which say what each of them is.
pub(crate) fn over_columns(expr: &Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr> {
    let replaced = |expr: Expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let mut place = &columns[schema.index_of_column(column)?];
        while let Expr::Alias(alias) = place {
            place = &alias.expr;
        }
        // What a column stands for is not looked into again.
        Ok(Transformed::new(place.clone(), true, TreeNodeRecursion::Jump))
    };
    Ok(expr.clone().transform_down(replaced)?.data)
}

#[cfg(test)]
mod tests {
    use datafusion::functions::datetime::expr_fn::{date_bin, date_trunc};
    use datafusion::logical_expr::{col, lit};

    use super::*;

    const MINUTE: i64 = MINUTE_NS as i64;
    const HOUR: i64 = HOUR_NS as i64;

    fn step(days: i32, nanoseconds: i64) -> Expr {
        lit(ScalarValue::new_interval_mdn(0, days, nanoseconds))
    }

    /// The finest buckets of 1 s, 1 min and 1 h that the expression can be told from.
    fn check(group: &Expr, expected: Option<&[i64]>) {
        let mut grain = Grain::default();
        let holds = grain.take(group).then(|| {
            let all = [1_000_000_000, MINUTE, HOUR].into_iter();
            all.filter(|bucket| grain.holds(*bucket)).collect::<Vec<_>>()
        });
        assert_eq!(holds.as_deref(), expected, "{group}");
    }

    #[test]
    fn buckets_hold_those_that_divide_them() {
        let origin = |nanos: i64| lit(ScalarValue::TimestampNanosecond(Some(nanos), None));
        let bin = |step: Expr, nanos: i64| date_bin(step, col("time"), origin(nanos));
        let (second, all) = (1_000_000_000, [1_000_000_000, MINUTE, HOUR]);
        check(&bin(step(0, MINUTE), 0), Some(&all[..2]));
        check(&bin(step(1, 0), 0), Some(&all));
        check(&bin(step(0, 90 * second), 0), Some(&all[..1]));
        check(&bin(step(0, HOUR), MINUTE), Some(&all[..2]));
        check(&bin(step(0, HOUR), -7 * second), Some(&all[..1]));
        check(&bin(step(0, second / 2), 0), Some(&[]));
        check(&date_trunc(lit("minute"), col("time")), Some(&all[..2]));
        check(&date_trunc(lit("MONTH"), col("time")), Some(&all));
        check(&date_trunc(lit("second"), col("time")), None);
        check(&bin(lit(ScalarValue::new_interval_mdn(1, 0, 0)), 0), None);
        check(&col("asset"), Some(&all));
        check(&col("time"), None);
        check(&col("speed"), None);
        check(&(date_trunc(lit("hour"), col("time")) + step(0, 5)), Some(&all));
    }

    #[test]
    fn conditions_on_the_asset_depend_on_nothing_else() {
        assert!(Grain::of_asset(&col("asset").like(lit("vehicle/%")).or(col("asset").eq(lit("a")))));
        assert!(!Grain::of_asset(&col("asset").eq(lit("a")).or(col("speed").gt(lit(1)))));
        assert!(!Grain::of_asset(&date_trunc(lit("hour"), col("time")).eq(lit(1))));
    }
}
