//! Roll-ups: what the rows of a segment come to by the minute and by the hour, for questions that ask no more. They are
//! made from the rows in the order of the segment, and hold integers as they are kept, so that sums are exact. This
//! module must not know of files or of SQL.
//!
//! A row stands for one asset and one bucket of time. Each numeric signal has the columns `<signal>.count` and
//! `<signal>.sum`; by the hour also `<signal>.min` and `<signal>.max`, which by the minute would cost more than they
//! save. A sum that does not fit is null, and then the segment itself has to be asked.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef};
use model::{Profile, ValueKind};

use crate::segment::times;
use crate::table;

/// Seconds that one row of a roll-up stands for, the finest first.
pub(crate) const BUCKETS_SECS: [u32; 2] = [60, HOUR_SECS];
const HOUR_SECS: u32 = 3_600;
/// Rows that are gathered before they are given out.
const CHUNK_ROWS: usize = 4_096;

/// Gathers the rows of one roll-up.
#[derive(Debug)]
pub(crate) struct RollupBuilder {
    schema: SchemaRef,
    bucket_ns: i64,
    /// The buckets so far; rows may still come for the last one.
    assets: Vec<Box<str>>,
    bucket: Vec<i64>,
    rows: Vec<i64>,
    signals: Vec<(Box<str>, Sums)>,
}

/// What one signal comes to, bucket by bucket.
#[derive(Debug)]
enum Sums {
    Integers(Vec<Sum<i64, Option<i64>>>),
    Numbers(Vec<Sum<f64, f64>>),
}

/// What one signal comes to in one bucket.
#[derive(Debug, Clone, Copy)]
struct Sum<T, S> {
    count: i64,
    sum: S,
    /// The smallest and the largest value, if there was one.
    range: Option<(T, T)>,
}

impl RollupBuilder {
    /// A roll-up of rows of `profile`.
    pub(crate) fn new(profile: &Profile, bucket_secs: u32) -> Self {
        let signals = profile.signals().iter().filter_map(|signal| {
            let sums = match signal.kind {
                ValueKind::Integer => Sums::Integers(Vec::new()),
                ValueKind::Number => Sums::Numbers(Vec::new()),
                _ => return None,
            };
            Some((Box::from(&*signal.id), sums))
        });
        let signals: Vec<_> = signals.collect();
        Self {
            schema: schema(&signals, bucket_secs),
            bucket_ns: i64::from(bucket_secs) * 1_000_000_000,
            assets: Vec::new(),
            bucket: Vec::new(),
            rows: Vec::new(),
            signals,
        }
    }

    /// How many buckets there would be with `rows` too.
    pub(crate) fn buckets_with(&self, rows: &RecordBatch) -> usize {
        let bucket = |time: &i64| time.div_euclid(self.bucket_ns);
        let codes = asset_column(rows).keys().values();
        let places: Vec<(i32, i64)> = codes.iter().copied().zip(times(rows).values().iter().map(bucket)).collect();
        let changes = places.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // The first one may be the last one of before.
        self.bucket.len().max(1) + changes
    }

    /// Takes in rows, which come after all before them; gives out buckets that are complete, when there are many.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Option<RecordBatch> {
        let runs = self.runs(rows);
        for (id, sums) in &mut self.signals {
            let Some(column) = rows.column_by_name(id) else { continue };
            match sums {
                Sums::Integers(sums) => add_integers(sums, column.as_primitive::<Int64Type>(), &runs),
                Sums::Numbers(sums) => add_numbers(sums, column.as_primitive::<Float64Type>(), &runs),
            }
        }
        (self.bucket.len() > CHUNK_ROWS).then(|| self.give(self.bucket.len() - 1))
    }

    /// Gives out all that is left.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        self.give(self.bucket.len())
    }

    /// Cuts `rows` where the asset or the bucket changes, and makes room for the buckets: place, first row, end.
    fn runs(&mut self, rows: &RecordBatch) -> Vec<(usize, usize, usize)> {
        let time = times(rows);
        let asset = asset_column(rows);
        let (codes, texts) = (asset.keys(), asset.values().as_string::<i32>());
        let bucket = |row: usize| time.value(row).div_euclid(self.bucket_ns) * self.bucket_ns;
        let mut runs = Vec::new();
        let mut first = 0;
        while first < rows.num_rows() {
            let (code, start) = (codes.value(first), bucket(first));
            // The next bucket begins here; within one asset the rows stand in the order of time.
            let next = start.saturating_add(self.bucket_ns);
            let count = (first..rows.num_rows()).take_while(|row| codes.value(*row) == code && time.value(*row) < next);
            let end = first + count.count();
            let text = texts.value(code as usize);
            let goes_on = self.bucket.last() == Some(&start) && self.assets.last().is_some_and(|last| **last == *text);
            if goes_on {
                *self.rows.last_mut().expect("there is a last bucket") += (end - first) as i64;
            } else {
                self.assets.push(text.into());
                self.bucket.push(start);
                self.rows.push((end - first) as i64);
                for (_, sums) in &mut self.signals {
                    sums.begin();
                }
            }
            runs.push((self.bucket.len() - 1, first, end));
            first = end;
        }
        runs
    }

    /// The first `count` buckets, as rows; they are gone afterwards.
    fn give(&mut self, count: usize) -> RecordBatch {
        let assets: Vec<Box<str>> = self.assets.drain(..count).collect();
        let bucket: Vec<i64> = self.bucket.drain(..count).collect();
        let rows: Vec<i64> = self.rows.drain(..count).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(words(&assets)),
            Arc::new(TimestampNanosecondArray::from(bucket).with_timezone("UTC")),
            Arc::new(Int64Array::from(rows)),
        ];
        let extremes = has_extremes(self.bucket_ns);
        for (_, sums) in &mut self.signals {
            match sums {
                Sums::Integers(sums) => {
                    let sums: Vec<_> = sums.drain(..count).collect();
                    columns.push(counts(&sums));
                    let some = |sum: &Sum<i64, Option<i64>>| sum.sum.filter(|_| sum.count > 0);
                    columns.push(Arc::new(sums.iter().map(some).collect::<Int64Array>()));
                    if extremes {
                        let range = |of: fn((i64, i64)) -> i64| sums.iter().map(move |sum| sum.range.map(of));
                        columns.push(Arc::new(range(|(min, _)| min).collect::<Int64Array>()));
                        columns.push(Arc::new(range(|(_, max)| max).collect::<Int64Array>()));
                    }
                }
                Sums::Numbers(sums) => {
                    let sums: Vec<_> = sums.drain(..count).collect();
                    columns.push(counts(&sums));
                    let some = |sum: &Sum<f64, f64>| (sum.count > 0).then_some(sum.sum);
                    columns.push(Arc::new(sums.iter().map(some).collect::<Float64Array>()));
                    if extremes {
                        let range = |of: fn((f64, f64)) -> f64| sums.iter().map(move |sum| sum.range.map(of));
                        columns.push(Arc::new(range(|(min, _)| min).collect::<Float64Array>()));
                        columns.push(Arc::new(range(|(_, max)| max).collect::<Float64Array>()));
                    }
                }
            }
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("the columns are those of the schema")
    }
}

fn asset_column(rows: &RecordBatch) -> &DictionaryArray<Int32Type> {
    rows.column_by_name("asset").expect("every table has an asset").as_dictionary()
}

fn has_extremes(bucket_ns: i64) -> bool {
    bucket_ns == i64::from(HOUR_SECS) * 1_000_000_000
}

/// The columns of a roll-up.
fn schema(signals: &[(Box<str>, Sums)], bucket_secs: u32) -> SchemaRef {
    let mut fields = vec![
        Field::new("asset", table::word_type(), false),
        Field::new("time", table::time_type(), false),
        Field::new("rows", DataType::Int64, false),
    ];
    for (id, sums) in signals {
        let value = match sums {
            Sums::Integers(_) => DataType::Int64,
            Sums::Numbers(_) => DataType::Float64,
        };
        fields.push(Field::new(format!("{id}.count"), DataType::Int64, false));
        fields.push(Field::new(format!("{id}.sum"), value.clone(), true));
        if bucket_secs == HOUR_SECS {
            fields.push(Field::new(format!("{id}.min"), value.clone(), true));
            fields.push(Field::new(format!("{id}.max"), value, true));
        }
    }
    Arc::new(Schema::new(fields))
}

/// Texts, of which the same ones stand together, as a dictionary.
fn words(texts: &[Box<str>]) -> DictionaryArray<Int32Type> {
    let mut distinct: Vec<&str> = Vec::new();
    let codes: Int32Array = texts
        .iter()
        .map(|text| {
            if distinct.last() != Some(&&**text) {
                distinct.push(text);
            }
            Some(distinct.len() as i32 - 1)
        })
        .collect();
    DictionaryArray::new(codes, Arc::new(StringArray::from(distinct)))
}

fn counts<T, S>(sums: &[Sum<T, S>]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(sums.iter().map(|sum| sum.count)))
}

impl Sums {
    fn begin(&mut self) {
        match self {
            Self::Integers(sums) => sums.push(Sum { count: 0, sum: Some(0), range: None }),
            Self::Numbers(sums) => sums.push(Sum { count: 0, sum: 0.0, range: None }),
        }
    }
}

fn add_integers(sums: &mut [Sum<i64, Option<i64>>], column: &Int64Array, runs: &[(usize, usize, usize)]) {
    for (place, first, end) in runs {
        let (mut count, mut sum, mut min, mut max) = (0_i64, 0_i128, i64::MAX, i64::MIN);
        let mut add = |value: i64| {
            sum += i128::from(value);
            min = min.min(value);
            max = max.max(value);
        };
        if column.null_count() == 0 {
            count += (end - first) as i64;
            column.values()[*first..*end].iter().copied().for_each(add);
        } else {
            for row in (*first..*end).filter(|row| column.is_valid(*row)) {
                count += 1;
                add(column.value(row));
            }
        }
        if count > 0 {
            let all = &mut sums[*place];
            all.count += count;
            all.sum = all.sum.and_then(|before| i64::try_from(i128::from(before) + sum).ok());
            all.range = Some(all.range.map_or((min, max), |(low, high)| (low.min(min), high.max(max))));
        }
    }
}

fn add_numbers(sums: &mut [Sum<f64, f64>], column: &Float64Array, runs: &[(usize, usize, usize)]) {
    for (place, first, end) in runs {
        let all = &mut sums[*place];
        for row in (*first..*end).filter(|row| column.is_valid(*row)) {
            let value = column.value(row);
            all.count += 1;
            all.sum += value;
            // As SQL orders numbers here: NaN is larger than all others.
            let (min, max) = all.range.unwrap_or((value, value));
            let min = if value.total_cmp(&min).is_lt() { value } else { min };
            let max = if value.total_cmp(&max).is_gt() { value } else { max };
            all.range = Some((min, max));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, UInt32Array};
    use model::{Shape, Signal};

    use super::*;

    /// One row: asset, second, integer, number.
    type Said = (&'static str, i64, Option<i64>, Option<f64>);

    fn profile() -> Profile {
        let signals = vec![
            Signal::new("speed", "x:SPEED", ValueKind::Integer),
            Signal::new("word", "x:WORD", ValueKind::Text),
            Signal::new("load", "x:LOAD", ValueKind::Number),
        ];
        Profile::new("van", Shape::Frames, signals).unwrap()
    }

    fn rows(said: &[Said]) -> RecordBatch {
        let assets: DictionaryArray<Int32Type> = said.iter().map(|row| row.0).collect();
        let times = said.iter().map(|row| row.1 * 1_000_000_000);
        RecordBatch::try_from_iter_with_nullable([
            ("asset", Arc::new(assets) as ArrayRef, false),
            ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC")) as _, false),
            ("sequence", Arc::new(UInt32Array::from(vec![0; said.len()])) as _, false),
            ("speed", Arc::new(said.iter().map(|row| row.2).collect::<Int64Array>()) as _, true),
            ("load", Arc::new(said.iter().map(|row| row.3).collect::<Float64Array>()) as _, true),
        ])
        .unwrap()
    }

    fn check(batches: &[&[Said]], bucket_secs: u32, expected: &[&str]) {
        let mut builder = RollupBuilder::new(&profile(), bucket_secs);
        for said in batches {
            assert_eq!(builder.add(&rows(said)), None);
        }
        let rolled = builder.finish();
        let shown = |column: &ArrayRef, row: usize| match column.data_type() {
            DataType::Timestamp(..) => (times(&rolled).value(row) / 1_000_000_000).to_string(),
            _ => arrow::util::display::array_value_to_string(column, row).unwrap(),
        };
        let row = |row: usize| rolled.columns().iter().map(|column| shown(column, row)).collect::<Vec<_>>().join(" ");
        assert_eq!((0..rolled.num_rows()).map(row).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn buckets_end_where_the_asset_or_the_minute_changes_and_go_on_across_batches() {
        check(
            &[
                &[("a", 0, Some(10), Some(0.5)), ("a", 59, Some(20), None)],
                &[("a", 60, Some(1), None), ("a", 90, None, None)],
                &[("a", 119, Some(2), Some(1.5)), ("b", 119, Some(-3), Some(-0.5))],
            ],
            60,
            &["a 0 2 2 30 1 0.5", "a 60 3 2 3 1 1.5", "b 60 1 1 -3 1 -0.5"],
        );
    }

    #[test]
    fn hours_have_extremes_and_begin_at_the_epoch_also_before_it() {
        check(
            &[&[("a", -1, Some(4), None), ("a", 0, Some(10), Some(2.0)), ("a", 3_599, Some(-2), Some(7.0))]],
            3_600,
            &["a -3600 1 1 4 4 4 0   ", "a 0 2 2 8 -2 10 2 9.0 2.0 7.0"],
        );
    }

    #[test]
    fn a_sum_that_does_not_fit_is_null_and_not_wrong() {
        check(
            &[&[("a", 0, Some(i64::MAX), None)], &[("a", 1, Some(1), None), ("a", 2, Some(5), None)]],
            60,
            &["a 0 3 3  0 "],
        );
    }

    #[test]
    fn many_buckets_are_given_out_before_the_end() {
        let mut builder = RollupBuilder::new(&profile(), 60);
        let said: Vec<Said> = (0..CHUNK_ROWS as i64 + 10).map(|minute| ("a", minute * 60, Some(1), None)).collect();
        let given = builder.add(&rows(&said)).unwrap();
        let rest = builder.finish();
        assert_eq!((given.num_rows(), rest.num_rows()), (CHUNK_ROWS + 9, 1));
    }
}
