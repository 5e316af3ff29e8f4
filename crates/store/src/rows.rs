//! Rows that have just become durable, on their way into Arrow: builders for both shapes of table.
//!
//! Assets and signals are kept as their codes in the catalog, so that a row costs no hashing of texts; the texts become
//! the dictionary when the rows are turned into a [`RecordBatch`]. Nothing here knows of keys, duplicates or files.

mod frames;

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, DictionaryArray, Float64Builder, Int32Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampNanosecondArray, UInt32Array,
};
use arrow::datatypes::{Int32Type, SchemaRef};
use model::{Changes, Condition, ConditionLevel, Entry, Profile, Quality, Shape, Statistic, Timestamp, Value, Vectors};

pub(crate) use self::frames::{FramesBuilder, NewFrames};
use crate::generation::RowKey;

/// The columns that both shapes begin with.
#[derive(Debug, Default)]
struct KeyColumns {
    asset: Vec<i32>,
    time: Vec<i64>,
    received: Vec<i64>,
    sequence: Vec<u32>,
}

impl KeyColumns {
    fn push(&mut self, asset: u32, time: Timestamp, received: Timestamp, sequence: u32) {
        self.asset.push(asset as i32);
        self.time.push(time.nanos());
        self.received.push(received.nanos());
        self.sequence.push(sequence);
    }

    fn bytes(&self) -> usize {
        self.time.len() * size_of::<(i32, i64, i64, u32)>()
    }
}

fn times(nanos: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(nanos).with_timezone("UTC"))
}

fn words(codes: Vec<i32>, texts: &Arc<StringArray>) -> ArrayRef {
    let values: ArrayRef = Arc::<StringArray>::clone(texts);
    Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(codes), values))
}

/// Builds rows of the table of one profile.
#[derive(Debug)]
pub(crate) enum RowsBuilder {
    Changes(Box<ChangesBuilder>),
    Frames(Box<FramesBuilder>),
}

impl RowsBuilder {
    pub(crate) fn new(profile: &Profile) -> Self {
        match profile.shape() {
            Shape::Changes => Self::Changes(Box::default()),
            Shape::Frames => Self::Frames(Box::new(FramesBuilder::new(profile))),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Changes(builder) => builder.keys.time.len(),
            Self::Frames(builder) => builder.keys.time.len(),
        }
    }

    /// About how many bytes the rows take.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Changes(builder) => builder.bytes(),
            Self::Frames(builder) => builder.bytes(),
        }
    }

    /// Calls `each` with the asset and the key of every row.
    pub(crate) fn for_each_key(&self, mut each: impl FnMut(u32, RowKey)) {
        let (keys, signals) = match self {
            Self::Changes(builder) => (&builder.keys, Some(&builder.signal)),
            Self::Frames(builder) => (&builder.keys, None),
        };
        for row in 0..keys.time.len() {
            let signal = signals.map_or(0, |signals| signals[row] as u16);
            each(keys.asset[row] as u32, (signal, Timestamp::from_nanos(keys.time[row]), keys.sequence[row]));
        }
    }
}

/// The rows of changes. Most columns say nothing in most rows: they are as long as their last value, and get the rows
/// without one when the next comes or all ends.
#[derive(Debug, Default)]
pub(crate) struct ChangesBuilder {
    keys: KeyColumns,
    signal: Vec<i32>,
    quality: Vec<i32>,
    value: Float64Builder,
    text: StringBuilder,
    vector: ListBuilder<Float64Builder>,
    /// `native_code`, `native_severity`, `qualifier`, `message`.
    condition: [StringBuilder; 4],
    duration_secs: Float64Builder,
    reset_triggered: StringBuilder,
    sample_rate_hz: Float64Builder,
}

fn put_number(column: &mut Float64Builder, row: usize, number: f64) {
    column.append_nulls(row - column.len());
    column.append_value(number);
}

fn put_text(column: &mut StringBuilder, row: usize, text: &str) {
    column.append_nulls(row - column.len());
    column.append_value(text);
}

impl ChangesBuilder {
    /// Adds row `row` of `changes`; `asset` and `signal` are the codes of the catalog.
    pub(crate) fn push(
        &mut self,
        asset: u32,
        signal: u16,
        received: Timestamp,
        changes: &Changes,
        from: usize,
        statistic: Option<&Statistic>,
    ) {
        let row = self.keys.time.len();
        self.keys.push(asset, changes.time[from], received, changes.sequence[from]);
        self.signal.push(i32::from(signal));
        self.quality.push(changes.quality[from] as i32);
        match &changes.value[from] {
            Value::Absent => {}
            Value::Number(value) => put_number(&mut self.value, row, *value),
            Value::Integer(value) => put_number(&mut self.value, row, *value as f64),
            Value::Text(value) => put_text(&mut self.text, row, value),
            Value::Vector(values) => {
                self.vector.append_nulls(row - self.vector.len());
                self.vector.values().append_slice(values);
                self.vector.append(true);
            }
            Value::Integers(values) => {
                self.vector.append_nulls(row - self.vector.len());
                let numbers = values.iter().map(|value| (*value != Vectors::MISSING).then_some(*value as f64));
                numbers.for_each(|number| self.vector.values().append_option(number));
                self.vector.append(true);
            }
            Value::Entries(entries) => put_text(&mut self.text, row, &entries_json(entries).to_string()),
            Value::Condition(value) => self.put_condition(row, value),
        }
        if let Some(statistic) = statistic {
            self.put_statistic(row, statistic);
        }
    }

    fn put_condition(&mut self, row: usize, value: &Condition) {
        if value.level != ConditionLevel::Unavailable {
            put_text(&mut self.text, row, value.level.as_str());
        }
        let texts = [&value.native_code, &value.native_severity, &value.qualifier, &value.message];
        for (column, text) in self.condition.iter_mut().zip(texts) {
            if let Some(text) = text {
                put_text(column, row, text);
            }
        }
    }

    fn put_statistic(&mut self, row: usize, statistic: &Statistic) {
        if let Some(secs) = statistic.duration_secs {
            put_number(&mut self.duration_secs, row, secs);
        }
        if let Some(reason) = &statistic.reset_triggered {
            put_text(&mut self.reset_triggered, row, reason);
        }
        if let Some(hz) = statistic.sample_rate_hz {
            put_number(&mut self.sample_rate_hz, row, hz);
        }
    }

    fn bytes(&self) -> usize {
        let numbers = [&self.value, &self.duration_secs, &self.sample_rate_hz].map(|column| 8 * column.len());
        let text_bytes = |column: &StringBuilder| 4 * column.len() + column.values_slice().len();
        let texts = self.condition.iter().chain([&self.text, &self.reset_triggered]).map(text_bytes);
        let vectors = 4 * self.vector.len() + 8 * self.vector.values_ref().len();
        self.keys.bytes() + 8 * self.signal.len() + numbers.iter().sum::<usize>() + texts.sum::<usize>() + vectors
    }

    /// The rows so far, as a table of `schema`; the builder is empty afterwards.
    pub(crate) fn finish(
        &mut self,
        schema: SchemaRef,
        assets: &Arc<StringArray>,
        signals: &Arc<StringArray>,
    ) -> RecordBatch {
        let keys = std::mem::take(&mut self.keys);
        let qualities = Arc::new(StringArray::from_iter_values(Quality::ALL.map(Quality::as_str)));
        let rows = keys.time.len();
        let numbers = |column: &mut Float64Builder| -> ArrayRef {
            column.append_nulls(rows - column.len());
            Arc::new(column.finish())
        };
        let texts = |column: &mut StringBuilder| -> ArrayRef {
            column.append_nulls(rows - column.len());
            Arc::new(column.finish())
        };
        self.vector.append_nulls(rows - self.vector.len());
        let mut columns = vec![
            words(keys.asset, assets),
            words(std::mem::take(&mut self.signal), signals),
            times(keys.time),
            times(keys.received),
            Arc::new(UInt32Array::from(keys.sequence)),
            words(std::mem::take(&mut self.quality), &qualities),
            numbers(&mut self.value),
            texts(&mut self.text),
            Arc::new(self.vector.finish()),
        ];
        columns.extend(self.condition.iter_mut().map(texts));
        columns.push(numbers(&mut self.duration_secs));
        columns.push(texts(&mut self.reset_triggered));
        columns.push(numbers(&mut self.sample_rate_hz));
        RecordBatch::try_new(schema, columns).expect("the columns are those of the schema of changes")
    }
}

/// Entries as the JSON object that is stored and shown; a removed key is null.
pub fn entries_json(entries: &[(Box<str>, Entry)]) -> serde_json::Value {
    let object = entries.iter().map(|(key, entry)| {
        let value = match entry {
            Entry::Number(number) => serde_json::Value::from(*number),
            Entry::Text(text) => serde_json::Value::from(&**text),
            Entry::Removed => serde_json::Value::Null,
            Entry::Row(cells) => entries_json(cells),
        };
        (key.to_string(), value)
    });
    serde_json::Value::Object(object.collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;
    use model::Signal;

    use super::*;
    use crate::table;

    fn said(values: Vec<Value>) -> Changes {
        let count = values.len();
        Changes {
            assets: vec!["machine/m".parse().unwrap()],
            asset: vec![0; count],
            signal: vec![0; count],
            time: (0..count as i64).map(Timestamp::from_millis).collect(),
            sequence: vec![0; count],
            quality: vec![Quality::Good; count],
            value: values,
            statistic: Vec::new(),
        }
    }

    fn texts(table: &RecordBatch, column: &str) -> Vec<Option<String>> {
        let column = table.column_by_name(column).unwrap().as_string::<i32>();
        column.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn every_value_stands_in_its_row_and_its_column() {
        let profile =
            Profile::new("press", Shape::Changes, vec![Signal::new("a", "x:A", model::ValueKind::Text)]).unwrap();
        let warning = Condition { level: ConditionLevel::Warning, native_code: Some("7".into()), ..Default::default() };
        let changes = said(vec![
            Value::Absent,
            Value::Number(1.5),
            Value::Text("x".into()),
            Value::Vector([1.0, 2.0].into()),
            Value::Condition(Box::new(warning)),
            Value::Integer(3),
            Value::Absent,
        ]);
        let statistic = Statistic { duration_secs: Some(60.0), reset_triggered: None, sample_rate_hz: None };
        let mut builder = ChangesBuilder::default();
        let words = Arc::new(StringArray::from(vec!["a"]));
        // Twice, since a builder is used again after it was finished.
        for _ in 0..2 {
            for row in 0..changes.len() {
                builder.push(0, 0, Timestamp::default(), &changes, row, (row == 5).then_some(&statistic));
            }
            let table = builder.finish(table::schema(&profile), &words, &words);
            let numbers = |column: &str| -> Vec<Option<f64>> {
                table.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
            };
            assert_eq!(numbers("value"), [None, Some(1.5), None, None, None, Some(3.0), None]);
            assert_eq!(numbers("duration_secs"), [None, None, None, None, None, Some(60.0), None]);
            assert_eq!(numbers("sample_rate_hz"), [None; 7]);
            let text = [None, None, Some("x"), None, Some("WARNING"), None, None];
            assert_eq!(texts(&table, "text"), text.map(|text| text.map(str::to_owned)));
            assert_eq!(texts(&table, "native_code")[4].as_deref(), Some("7"));
            assert_eq!(texts(&table, "message"), vec![None; 7]);
            let vector = table.column_by_name("vector").unwrap();
            assert_eq!((vector.null_count(), vector.as_list::<i32>().value(3).len()), (6, 2));
        }
    }
}
