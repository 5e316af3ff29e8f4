//! Turns frames into observations: of each signal that a frame speaks of, one row. One pass over the frames, whatever
//! the number of signals.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Builder, Int32Array, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, future, stream};
use model::{Quality, Scale, Signal, ValueKind};

/// Rows that are made in one go, if one signal does not have more.
const ROWS: usize = 8_192;

/// A signal, and where frames have it.
#[derive(Debug, Clone)]
struct Source {
    column: usize,
    /// How wire integers become physical.
    scale: Scale,
    kind: ValueKind,
}

/// What becomes of a batch of frames.
#[derive(Debug)]
pub(crate) struct Unpivot {
    sources: Vec<Source>,
    /// The ids of the signals, in the same order.
    names: ArrayRef,
    places: HashMap<Box<str>, usize>,
    qualities: ArrayRef,
    exceptions: usize,
    schema: SchemaRef,
}

/// What is not good in a batch: of each signal the rows, ascending, and the place of their quality in [`Quality::ALL`].
type Exceptions = HashMap<usize, Vec<(u32, i32)>>;

impl Unpivot {
    /// Makes rows of `schema` from frames of `input`, which have a column for each of `signals`.
    ///
    /// # Errors
    /// When they do not; that is a mistake in this program.
    pub(crate) fn new(input: &SchemaRef, signals: &[&Signal], schema: SchemaRef) -> Result<Self> {
        // The columns of the signals are the last ones: one may be called as a column that every frame has.
        let first = input.fields().len() - signals.len();
        let sources = signals.iter().enumerate();
        let sources =
            sources.map(|(place, signal)| Source { column: first + place, scale: signal.scale, kind: signal.kind });
        Ok(Self {
            sources: sources.collect(),
            names: Arc::new(StringArray::from_iter_values(signals.iter().map(|signal| &*signal.id))),
            places: signals.iter().enumerate().map(|(place, signal)| (Box::from(&*signal.id), place)).collect(),
            qualities: Arc::new(StringArray::from_iter_values(Quality::ALL.map(Quality::as_str))),
            exceptions: input.index_of("exceptions")?,
            schema,
        })
    }

    fn exceptions(&self, frames: &RecordBatch) -> Result<Exceptions> {
        let wrong = || DataFusionError::Internal("the column exceptions is not what it was".into());
        let lists = frames.column(self.exceptions).as_list_opt::<i32>().ok_or_else(wrong)?;
        let mut exceptions = Exceptions::new();
        if lists.null_count() == lists.len() {
            return Ok(exceptions);
        }
        let elements = lists.values().as_struct_opt().ok_or_else(wrong)?;
        let signals = elements.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
        let qualities = elements.column(1).as_string_opt::<i32>().ok_or_else(wrong)?;
        let offsets = lists.value_offsets();
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            for element in offsets[row] as usize..offsets[row + 1] as usize {
                let Some(place) = self.places.get(signals.value(element)) else { continue };
                let code = Quality::ALL.iter().position(|quality| quality.as_str() == qualities.value(element));
                let of_signal = exceptions.entry(*place).or_default();
                if of_signal.last().is_none_or(|(last, _)| *last != row as u32) {
                    of_signal.push((row as u32, code.unwrap_or(0) as i32));
                }
            }
        }
        Ok(exceptions)
    }

    /// What the frames say of the signals `first..end`.
    fn part(&self, frames: &RecordBatch, exceptions: &Exceptions, first: usize, end: usize) -> Result<RecordBatch> {
        let mut rows: Vec<u32> = Vec::new();
        let mut ends = Vec::with_capacity(end - first);
        for signal in first..end {
            let column = frames.column(self.sources[signal].column);
            // A text column that no file has is of the type null.
            let nulls = column.logical_nulls();
            let not_good = exceptions.get(&signal).map_or(&[][..], Vec::as_slice);
            match nulls.filter(|nulls| nulls.null_count() > 0) {
                None => rows.extend(0..frames.num_rows() as u32),
                Some(nulls) => {
                    let mut not_good = not_good.iter().filter(|(_, code)| *code != 0).peekable();
                    for row in 0..frames.num_rows() as u32 {
                        let excepted = not_good.next_if(|(one, _)| *one == row).is_some();
                        if excepted || nulls.is_valid(row as usize) {
                            rows.push(row);
                        }
                    }
                }
            }
            ends.push(rows.len());
        }
        let made = Made { unpivot: self, frames, first, ends, rows: UInt32Array::from(rows) };
        let fields = self.schema.fields().iter();
        let columns = fields.map(|field| made.column(field.name(), exceptions)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(made.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// Rows that are being made: those of one signal after those of another.
struct Made<'a> {
    unpivot: &'a Unpivot,
    frames: &'a RecordBatch,
    /// The first signal.
    first: usize,
    /// Where the rows of each signal end.
    ends: Vec<usize>,
    /// The frame of each row.
    rows: UInt32Array,
}

impl Made<'_> {
    fn column(&self, name: &str, exceptions: &Exceptions) -> Result<ArrayRef> {
        match name {
            "signal" => self.words(&self.unpivot.names, |signal, _| signal as i32),
            "value" => Ok(self.values()),
            "text" => Ok(self.texts()),
            "quality" => self.words(&self.unpivot.qualities, |signal, row| {
                let of_signal = exceptions.get(&signal).map_or(&[][..], Vec::as_slice);
                of_signal.binary_search_by_key(&row, |(row, _)| *row).map_or(0, |place| of_signal[place].1)
            }),
            "asset" | "time" | "received" => {
                let Some(column) = self.frames.column_by_name(name) else {
                    return internal_err!("frames lack the column {name}");
                };
                Ok(take(column, &self.rows, None)?)
            }
            _ => internal_err!("observations have no column {name}"),
        }
    }

    /// Each signal, and its rows.
    fn parts(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let rows = self.rows.values();
        self.ends.iter().enumerate().map(|(place, end)| {
            let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
            (self.first + place, &rows[begin..*end])
        })
    }

    fn words(&self, texts: &ArrayRef, code: impl Fn(usize, u32) -> i32) -> Result<ArrayRef> {
        let mut codes = Vec::with_capacity(self.rows.len());
        for (signal, rows) in self.parts() {
            codes.extend(rows.iter().map(|row| code(signal, *row)));
        }
        Ok(Arc::new(DictionaryArray::try_new(Int32Array::from(codes), Arc::clone(texts))?))
    }

    fn values(&self) -> ArrayRef {
        let mut values = Float64Builder::with_capacity(self.rows.len());
        for (signal, rows) in self.parts() {
            let source = &self.unpivot.sources[signal];
            let column = self.frames.column(source.column);
            let present = |row: &u32| column.is_valid(*row as usize).then_some(*row as usize);
            if let Some(raw) = column.as_primitive_opt::<Int64Type>() {
                let physical = |row| source.scale.physical(raw.value(row));
                values.extend(rows.iter().map(|row| present(row).map(physical)));
            } else if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
                values.extend(rows.iter().map(|row| present(row).map(|row| numbers.value(row))));
            } else {
                values.append_nulls(rows.len());
            }
        }
        Arc::new(values.finish())
    }

    fn texts(&self) -> ArrayRef {
        let is_text = |signal: usize| matches!(self.unpivot.sources[signal].kind, ValueKind::Text | ValueKind::Vector);
        if !(self.first..self.first + self.ends.len()).any(is_text) {
            return new_null_array(&DataType::Utf8, self.rows.len());
        }
        let mut texts = StringBuilder::new();
        for (signal, rows) in self.parts() {
            let source = &self.unpivot.sources[signal];
            let column = self.frames.column(source.column);
            let rows = rows.iter().map(|row| column.is_valid(*row as usize).then_some(*row as usize));
            if let Some(column) = column.as_string_opt::<i32>() {
                texts.extend(rows.map(|row| row.map(|row| column.value(row))));
            } else if let Some(lists) = column.as_list_opt::<i32>() {
                texts.extend(rows.map(|row| row.map(|row| list_text(&lists.value(row), source.scale))));
            } else {
                rows.for_each(|_| texts.append_null());
            }
        }
        Arc::new(texts.finish())
    }
}

/// The physical values of a vector, as JSON has lists.
fn list_text(elements: &ArrayRef, scale: Scale) -> String {
    let Some(integers) = elements.as_primitive_opt::<Int64Type>() else { return String::new() };
    let shown = |element: Option<i64>| element.map_or("null".to_owned(), |raw| scale.physical(raw).to_string());
    format!("[{}]", integers.iter().map(shown).collect::<Vec<_>>().join(","))
}

/// [`Unpivot`] as a step of a plan.
#[derive(Debug)]
pub(crate) struct UnpivotExec {
    unpivot: Arc<Unpivot>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl UnpivotExec {
    pub(crate) fn new(unpivot: Unpivot, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(Arc::new(unpivot), input)
    }

    fn over(unpivot: Arc<Unpivot>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&unpivot.schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { unpivot, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for UnpivotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnpivotExec: signals={}", self.unpivot.sources.len())
    }
}

impl ExecutionPlan for UnpivotExec {
    fn name(&self) -> &'static str {
        "UnpivotExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = &children[..] else { return internal_err!("one input is unpivoted, not {}", children.len()) };
        Ok(Arc::new(Self::over(Arc::clone(&self.unpivot), Arc::clone(input))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let frames = self.input.execute(partition, context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = Arc::clone(&self.unpivot.schema);
        let unpivot = Arc::clone(&self.unpivot);
        let parts = frames.flat_map(move |frames| {
            let begun = frames.and_then(|frames| Ok((unpivot.exceptions(&frames)?, frames)));
            match begun {
                Err(error) => stream::iter(vec![Err(error)]).left_stream(),
                Ok((exceptions, frames)) => {
                    let unpivot = Arc::clone(&unpivot);
                    let count = unpivot.sources.len();
                    let step = (ROWS / frames.num_rows().max(1)).clamp(1, count);
                    let part = move |first| unpivot.part(&frames, &exceptions, first, (first + step).min(count));
                    stream::iter((0..count).step_by(step).map(part)).right_stream()
                }
            }
        });
        let some = |part: &Result<RecordBatch>| future::ready(part.as_ref().map_or(true, |rows| rows.num_rows() > 0));
        let parts = parts.filter(some).map(move |part| part.map(|rows| rows.record_output(&metrics)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, parts)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
