//! What conditions say of times and assets, so that what cannot match is never opened. Knows nothing of files.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use store::SegmentFile;

/// Source times that rows can have, in nanoseconds since the epoch, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    pub(crate) const ALL: Self = Self { from: i64::MIN, to: i64::MAX };
    const NONE: Self = Self { from: i64::MAX, to: i64::MIN };

    /// What all of `conditions` together leave. A condition that is not understood leaves everything.
    pub(crate) fn of<'a>(conditions: impl IntoIterator<Item = &'a Expr>) -> Self {
        let parts = conditions.into_iter().flat_map(split_conjunction);
        parts.filter_map(Self::of_one).fold(Self::ALL, Self::and)
    }

    /// What `condition` leaves, if it compares the time with constants and does nothing else.
    pub(crate) fn of_one(condition: &Expr) -> Option<Self> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (is_time(left), is_time(right)) {
                (true, false) => Self::compared(*op, time_value(right)?),
                (false, true) => Self::compared(op.swap()?, time_value(left)?),
                _ => None,
            },
            Expr::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
                Some(Self { from: time_value(low)?, to: time_value(high)? })
            }
            _ => None,
        }
    }

    fn compared(op: Operator, value: i64) -> Option<Self> {
        Some(match op {
            Operator::Eq => Self { from: value, to: value },
            Operator::GtEq => Self { from: value, ..Self::ALL },
            Operator::LtEq => Self { to: value, ..Self::ALL },
            Operator::Gt => value.checked_add(1).map_or(Self::NONE, |from| Self { from, ..Self::ALL }),
            Operator::Lt => value.checked_sub(1).map_or(Self::NONE, |to| Self { to, ..Self::ALL }),
            _ => return None,
        })
    }

    fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// Whether a row of `segment` may lie in it.
    pub(crate) fn meets(self, segment: &SegmentFile) -> bool {
        self.meets_times(segment.time_min.nanos(), segment.time_max.nanos())
    }

    /// Whether all rows of `segment` lie in it.
    pub(crate) fn contains(self, segment: &SegmentFile) -> bool {
        self.from <= segment.time_min.nanos() && segment.time_max.nanos() <= self.to
    }

    /// Whether a row of `rows` may lie in it.
    pub(crate) fn meets_rows(self, rows: &RecordBatch) -> bool {
        if self == Self::ALL {
            return rows.num_rows() > 0;
        }
        let time = rows.column_by_name("time").and_then(|time| time.as_primitive_opt::<TimestampNanosecondType>());
        let Some(time) = time else { return true };
        match (arrow::compute::min(time), arrow::compute::max(time)) {
            (Some(first), Some(last)) => self.meets_times(first, last),
            _ => false,
        }
    }

    fn meets_times(self, first: i64, last: i64) -> bool {
        self.from <= self.to && self.from <= last && first <= self.to
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "time")
}

fn time_value(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(value, _), _) => *value,
        _ => None,
    }
}

/// The texts that `column` can have if all of `conditions` hold; `None` if they do not name them.
pub(crate) fn words_of<'a>(column: &str, conditions: impl IntoIterator<Item = &'a Expr>) -> Option<Vec<String>> {
    let is_it = |expr: &Expr| matches!(expr, Expr::Column(one) if one.name == column);
    let mut words: Option<Vec<String>> = None;
    for condition in conditions.into_iter().flat_map(split_conjunction) {
        let named = match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_it(left) => {
                word(right).map(|one| vec![one])
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_it(right) => {
                word(left).map(|one| vec![one])
            }
            Expr::BinaryExpr(_) => either(column, condition),
            Expr::InList(list) if !list.negated && is_it(&list.expr) => list.list.iter().map(word).collect(),
            _ => None,
        };
        words = match (words, named) {
            (Some(before), Some(named)) => Some(before.into_iter().filter(|word| named.contains(word)).collect()),
            (before, named) => before.or(named),
        };
    }
    words
}

/// Short lists come as comparisons of which one has to hold.
fn either(column: &str, condition: &Expr) -> Option<Vec<String>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = condition else { return None };
    let mut words = words_of(column, [&**left])?;
    words.extend(words_of(column, [&**right])?);
    Some(words)
}

fn word(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    let mut value = value;
    while let ScalarValue::Dictionary(_, inner) = value {
        value = inner;
    }
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            Some(text.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn at(nanos: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), Some("UTC".into())), None)
    }

    fn check(condition: &Expr, from: i64, to: i64) {
        assert_eq!(Span::of([condition]), Span { from, to }, "{condition}");
    }

    #[test]
    fn times_are_bounded_by_what_is_compared_with_them() {
        let time = || col("time");
        check(&time().gt_eq(at(10)).and(time().lt(at(20))), 10, 19);
        check(&time().gt(at(10)).and(time().lt_eq(at(20))), 11, 20);
        check(&at(10).lt(time()).and(at(20).gt_eq(time())), 11, 20);
        check(&time().between(at(10), at(20)), 10, 20);
        check(&time().not_between(at(10), at(20)), i64::MIN, i64::MAX);
        check(&time().eq(at(7)), 7, 7);
        check(&time().gt(at(1)).and(col("received").lt(at(5))).and(time().gt(at(3))), 4, i64::MAX);
        check(&time().gt(at(5)).or(time().lt(at(3))), i64::MIN, i64::MAX);
        check(&time().gt(at(i64::MAX)), i64::MAX, i64::MIN);
        check(&time().not_eq(at(5)), i64::MIN, i64::MAX);
    }

    #[test]
    fn an_empty_span_meets_nothing() {
        assert!(!Span::of([&col("time").gt(at(5)).and(col("time").lt(at(5)))]).meets_times(0, 10));
        assert!(!Span::of([&col("time").lt(at(i64::MIN))]).meets_times(i64::MIN, i64::MAX));
        assert!(Span::of([&col("time").lt_eq(at(0))]).meets_times(0, 10));
    }

    #[test]
    fn words_are_those_that_all_conditions_allow() {
        let asset = || col("asset");
        let check = |condition: Expr, expected: Option<&[&str]>| {
            let words = words_of("asset", [&condition]);
            assert_eq!(
                words.as_deref().map(|words| words.iter().map(String::as_str).collect()),
                expected.map(<[_]>::to_vec),
                "{condition}"
            );
        };
        let dictionary =
            ScalarValue::Dictionary(Box::new(arrow::datatypes::DataType::Int32), Box::new(ScalarValue::from("a")));
        check(asset().eq(lit("a")), Some(&["a"]));
        check(lit(dictionary).eq(asset()), Some(&["a"]));
        check(asset().in_list(vec![lit("a"), lit("b")], false), Some(&["a", "b"]));
        check(asset().in_list(vec![lit("a"), lit("b")], false).and(asset().eq(lit("b"))), Some(&["b"]));
        check(asset().eq(lit("a")).or(asset().eq(lit("b"))), Some(&["a", "b"]));
        check(asset().eq(lit("a")).or(col("signal").eq(lit("b"))), None);
        check(asset().in_list(vec![lit("a")], true), None);
        check(asset().eq(lit("a")).and(col("time").gt(at(1))), Some(&["a"]));
        check(asset().eq(lit("a")).and(asset().eq(lit("b"))), Some(&[]));
        check(asset().in_list(vec![lit("a"), col("signal")], false), None);
    }
}
