//! Rows that have just become durable, on their way into Arrow: builders for both shapes of table.
//!
//! Assets and signals are kept as their codes in the catalog, so that a row costs no hashing of texts; the texts become
//! the dictionary when the rows are turned into a [`RecordBatch`]. Nothing here knows of keys, duplicates or files.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Float64Builder, Int32Array, Int64Builder, ListBuilder, RecordBatch,
    StringArray, StringBuilder, StructBuilder, TimestampNanosecondArray, UInt32Array,
};
use arrow::datatypes::{Int32Type, SchemaRef};
use model::{Column, ConditionLevel, Entry, Frames, Observation, Profile, Quality, Shape, Timestamp, Value};

use crate::table;

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
    Frames(FramesBuilder),
}

impl RowsBuilder {
    pub(crate) fn new(profile: &Profile) -> Self {
        match profile.shape() {
            Shape::Changes => Self::Changes(Box::default()),
            Shape::Frames => Self::Frames(FramesBuilder::new(profile)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Changes(builder) => builder.keys.time.len(),
            Self::Frames(builder) => builder.keys.time.len(),
        }
    }
}

/// The rows of changes.
#[derive(Debug, Default)]
pub(crate) struct ChangesBuilder {
    keys: KeyColumns,
    signal: Vec<i32>,
    quality: Vec<i32>,
    value: Vec<Option<f64>>,
    text: StringBuilder,
    vector: ListBuilder<Float64Builder>,
    /// `native_code`, `native_severity`, `qualifier`, `message`.
    condition: [StringBuilder; 4],
    duration_secs: Vec<Option<f64>>,
    reset_triggered: StringBuilder,
    sample_rate_hz: Vec<Option<f64>>,
}

impl ChangesBuilder {
    /// Adds one observation; `asset` and `signal` are the codes of the catalog.
    pub(crate) fn push(&mut self, asset: u32, signal: u16, received: Timestamp, observation: &Observation) {
        self.keys.push(asset, observation.time, received, observation.sequence);
        self.signal.push(i32::from(signal));
        self.quality.push(observation.quality as i32);
        let mut number = None;
        let mut text = None;
        let mut vector = None;
        let mut condition = [None; 4];
        match &observation.value {
            Value::Absent => {}
            Value::Number(value) => number = Some(*value),
            Value::Integer(value) => number = Some(*value as f64),
            Value::Text(value) => text = Some(std::borrow::Cow::from(&**value)),
            Value::Vector(values) => vector = Some(values),
            Value::Entries(entries) => text = Some(entries_json(entries).to_string().into()),
            Value::Condition(value) => {
                text = (value.level != ConditionLevel::Unavailable).then(|| value.level.as_str().into());
                condition = [
                    value.native_code.as_deref(),
                    value.native_severity.as_deref(),
                    value.qualifier.as_deref(),
                    value.message.as_deref(),
                ];
            }
        }
        self.value.push(number);
        self.text.append_option(text);
        if let Some(vector) = vector {
            self.vector.values().append_slice(vector);
        }
        self.vector.append(vector.is_some());
        for (builder, value) in self.condition.iter_mut().zip(condition) {
            builder.append_option(value);
        }
        let statistic = observation.statistic.as_deref();
        self.duration_secs.push(statistic.and_then(|statistic| statistic.duration_secs));
        self.reset_triggered.append_option(statistic.and_then(|statistic| statistic.reset_triggered.as_deref()));
        self.sample_rate_hz.push(statistic.and_then(|statistic| statistic.sample_rate_hz));
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
        let mut columns = vec![
            words(keys.asset, assets),
            words(std::mem::take(&mut self.signal), signals),
            times(keys.time),
            times(keys.received),
            Arc::new(UInt32Array::from(keys.sequence)),
            words(std::mem::take(&mut self.quality), &qualities),
            Arc::new(Float64Array::from(std::mem::take(&mut self.value))),
            Arc::new(self.text.finish()),
            Arc::new(self.vector.finish()),
        ];
        columns.extend(self.condition.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(Arc::new(Float64Array::from(std::mem::take(&mut self.duration_secs))));
        columns.push(Arc::new(self.reset_triggered.finish()));
        columns.push(Arc::new(Float64Array::from(std::mem::take(&mut self.sample_rate_hz))));
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

/// The rows of frames.
#[derive(Debug)]
pub(crate) struct FramesBuilder {
    keys: KeyColumns,
    columns: Vec<ColumnBuilder>,
    exceptions: ListBuilder<StructBuilder>,
}

#[derive(Debug)]
enum ColumnBuilder {
    Integers(Int64Builder),
    Numbers(Float64Builder),
    Texts(StringBuilder),
}

impl FramesBuilder {
    fn new(profile: &Profile) -> Self {
        let columns = profile.signals().iter().map(|signal| match signal.kind {
            model::ValueKind::Integer => ColumnBuilder::Integers(Int64Builder::new()),
            model::ValueKind::Number => ColumnBuilder::Numbers(Float64Builder::new()),
            _ => ColumnBuilder::Texts(StringBuilder::new()),
        });
        let fields = table::exception_fields();
        let element = arrow::datatypes::Field::new("item", arrow::datatypes::DataType::Struct(fields.clone()), false);
        let exceptions = ListBuilder::new(StructBuilder::from_fields(fields, 0)).with_field(element);
        Self { keys: KeyColumns::default(), columns: columns.collect(), exceptions }
    }

    /// Adds row `row` of `frames`; `asset` is its code, `signals` the place in the table of each column of `frames`.
    pub(crate) fn push(
        &mut self,
        asset: u32,
        received: Timestamp,
        frames: &Frames,
        row: usize,
        signals: &[u16],
        profile: &Profile,
    ) {
        self.keys.push(asset, frames.time[row], received, frames.sequence[row]);
        for (column, place) in frames.columns.iter().zip(signals) {
            match (&mut self.columns[usize::from(*place)], column) {
                (ColumnBuilder::Integers(to), Column::Integers(rows)) => to.append_option(rows[row]),
                (ColumnBuilder::Numbers(to), Column::Numbers(rows)) => to.append_option(rows[row]),
                (ColumnBuilder::Texts(to), Column::Texts(rows)) => to.append_option(rows[row].as_deref()),
                _ => unreachable!("the catalog has compared the kinds of all signals"),
            }
        }
        // Signals that this batch's profile does not have are absent from its rows.
        for column in &mut self.columns {
            let missing = self.keys.time.len() - column.len();
            match column {
                ColumnBuilder::Integers(to) => to.append_nulls(missing),
                ColumnBuilder::Numbers(to) => to.append_nulls(missing),
                ColumnBuilder::Texts(to) => to.append_nulls(missing),
            }
        }
        let first = frames.exceptions.partition_point(|exception| (exception.row as usize) < row);
        let here = frames.exceptions[first..].iter().take_while(|exception| exception.row as usize == row);
        let mut any = false;
        for exception in here {
            any = true;
            let signal = &profile.signal(signals[usize::from(exception.signal)]).id;
            let element = self.exceptions.values();
            element.field_builder::<StringBuilder>(0).expect("the signal").append_value(signal);
            element.field_builder::<StringBuilder>(1).expect("the quality").append_value(exception.quality.as_str());
            element.append(true);
        }
        self.exceptions.append(any);
    }

    /// The rows so far, as a table of `schema`; the builder is empty afterwards.
    pub(crate) fn finish(&mut self, schema: SchemaRef, assets: &Arc<StringArray>) -> RecordBatch {
        let keys = std::mem::take(&mut self.keys);
        let mut columns = vec![
            words(keys.asset, assets),
            times(keys.time),
            times(keys.received),
            Arc::new(UInt32Array::from(keys.sequence)),
        ];
        columns.extend(self.columns.iter_mut().map(|column| match column {
            ColumnBuilder::Integers(builder) => Arc::new(builder.finish()) as ArrayRef,
            ColumnBuilder::Numbers(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Texts(builder) => Arc::new(builder.finish()),
        }));
        columns.push(Arc::new(self.exceptions.finish()));
        RecordBatch::try_new(schema, columns).expect("the columns are those of the schema of frames")
    }
}

impl ColumnBuilder {
    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Self::Integers(builder) => builder.len(),
            Self::Numbers(builder) => builder.len(),
            Self::Texts(builder) => builder.len(),
        }
    }
}
