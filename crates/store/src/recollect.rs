//! The latest values when their file is lost: read again from the segments. Takes time, and nothing else is lost. This
//! module must not know of the log, whose rows come on top.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType, UInt32Type};
use arrow::error::ArrowError;
use model::{
    AssetId, Batch, Changes, Column, Condition, ConditionLevel, Entry, FrameException, Frames, Observation, Profile,
    Quality, Shape, SignalIndex, Statistic, Timestamp, Value, ValueKind, Vectors,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::latest::Span;
use crate::salvage::{self, words};
use crate::segment::SegmentFile;
use crate::state::{State, Table, adds_up, is_ahead};

/// Rows of one batch that is taken in.
const ROWS_MAX: usize = 4_096;

/// What was said last, as far as it has been read. The observation says when.
struct Said {
    asset: Arc<AssetId>,
    received: Timestamp,
    observation: Observation,
}

/// What was said last by each asset of each signal, and all of what adds up.
#[derive(Default)]
struct Collected {
    latest: HashMap<(Arc<AssetId>, SignalIndex), Said>,
    adding: Vec<Said>,
    /// The source times of changes that were ahead of their receipt.
    ahead: HashMap<Arc<AssetId>, Span>,
}

/// Takes the latest values of all tables from their segments. What does not read is passed over, and somebody looks into
/// it later.
pub(crate) fn recollect(state: &mut State) {
    let mut batches = Vec::new();
    for table in state.tables.values_mut() {
        let mut collected = Collected::default();
        for segment in table.segments() {
            if let Err(error) = collect(segment, table, &mut collected) {
                tracing::error!(path = %segment.path.display(), %error, "a segment does not read; its values are not known");
                segment.suspect();
            }
        }
        let mut said: Vec<Said> = collected.latest.into_values().chain(collected.adding).collect();
        // Older observations never replace newer ones.
        said.sort_by_key(|said| (said.observation.time, said.observation.sequence, said.received));
        batches.extend(
            said.chunk_by(|one, next| one.received == next.received)
                .flat_map(|rows| rows.chunks(ROWS_MAX).map(|rows| batch(table.profile(), rows))),
        );
        if table.profile().shape() == Shape::Frames {
            table.see_segments();
        }
        collected.ahead.iter().for_each(|(asset, ahead)| table.see_untold(asset, *ahead));
    }
    for batch in batches {
        state.restore_latest(&batch).expect("it has the profile of the table");
    }
}

fn collect(segment: &SegmentFile, table: &Table, collected: &mut Collected) -> Result<(), ArrowError> {
    let (schema, profile) = (table.schema(), table.profile());
    let file = match segment.open() {
        Ok(file) => file,
        Err(error) => segment.examine()?.0.ok_or(error)?,
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    for rows in reader {
        let rows = salvage::completed(&rows?, schema, profile, &Default::default())?;
        match profile.shape() {
            Shape::Changes => collect_changes(&rows, profile, collected),
            Shape::Frames => collect_frames(&rows, profile, collected),
        }
    }
    Ok(())
}

/// The columns that both shapes have.
struct Keys<'a> {
    time: &'a [i64],
    received: &'a [i64],
    sequence: &'a [u32],
    /// The assets row by row, each made once.
    assets: Vec<Option<Arc<AssetId>>>,
}

impl<'a> Keys<'a> {
    fn of(rows: &'a RecordBatch) -> Self {
        let times = |name: &str| column(rows, name).as_primitive::<TimestampNanosecondType>().values().as_ref();
        let word = words(column(rows, "asset"));
        let mut last: Option<(&str, Option<Arc<AssetId>>)> = None;
        let assets = (0..rows.num_rows()).map(|row| {
            let text = word(row)?;
            match &last {
                Some((known, asset)) if *known == text => asset.clone(),
                _ => {
                    let asset = text.parse().ok().map(Arc::new);
                    last = Some((text, asset.clone()));
                    asset
                }
            }
        });
        let assets = assets.collect();
        let sequence = column(rows, "sequence").as_primitive::<UInt32Type>().values();
        Self { time: times("time"), received: times("received"), sequence, assets }
    }

    /// Asset, source time and receipt of a row whose source time can be believed.
    fn believed(&self, row: usize) -> Option<(Arc<AssetId>, Timestamp, Timestamp)> {
        let (asset, time, received) = self.of_row(row)?;
        (!is_ahead(time, received)).then_some((asset, time, received))
    }

    fn of_row(&self, row: usize) -> Option<(Arc<AssetId>, Timestamp, Timestamp)> {
        let (time, received) = (Timestamp::from_nanos(self.time[row]), Timestamp::from_nanos(self.received[row]));
        Some((self.assets[row].clone()?, time, received))
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    rows.column_by_name(name).unwrap_or_else(|| panic!("the rows were completed, also by {name}"))
}

impl Collected {
    /// Whether an observation of this key is newer than what is known of the signal.
    fn is_newer(&self, key: &(Arc<AssetId>, SignalIndex), time: Timestamp, sequence: u32) -> bool {
        self.latest.get(key).is_none_or(|said| (time, sequence) > (said.observation.time, said.observation.sequence))
    }
}

fn collect_changes(rows: &RecordBatch, profile: &Profile, collected: &mut Collected) {
    let keys = Keys::of(rows);
    let (signal, quality) = (words(column(rows, "signal")), words(column(rows, "quality")));
    for row in (0..rows.num_rows()).rev() {
        let Some(signal) = signal(row).and_then(|signal| profile.signal_index(signal)) else { continue };
        let Some((asset, time, received)) = keys.of_row(row) else { continue };
        if is_ahead(time, received) {
            collected.ahead.entry(asset).or_insert(Span::of(time)).extend(time);
            continue;
        }
        let sequence = keys.sequence[row];
        let (key, kind) = ((Arc::clone(&asset), signal), profile.signal(signal).kind);
        if !adds_up(kind) && !collected.is_newer(&key, time, sequence) {
            continue;
        }
        let quality = quality(row).and_then(quality_of).unwrap_or(Quality::Invalid);
        let (value, statistic) = (value(rows, row, kind), statistic(rows, row));
        let observation = Observation { signal, time, sequence, quality, value, statistic };
        let said = Said { asset, received, observation };
        if adds_up(kind) {
            collected.adding.push(said);
        } else {
            collected.latest.insert(key, said);
        }
    }
}

fn collect_frames(rows: &RecordBatch, profile: &Profile, collected: &mut Collected) {
    let keys = Keys::of(rows);
    let columns: Vec<&ArrayRef> = profile.signals().iter().map(|signal| column(rows, &signal.id)).collect();
    for row in (0..rows.num_rows()).rev() {
        let Some((asset, time, received)) = keys.believed(row) else { continue };
        let sequence = keys.sequence[row];
        let exceptions = exceptions(column(rows, "exceptions"), row, profile);
        for (signal, column) in (0..).zip(&columns) {
            let exception = exceptions.iter().find(|(place, _)| *place == signal).map(|(_, quality)| *quality);
            let key = (Arc::clone(&asset), signal);
            if (column.is_null(row) && exception.is_none()) || !collected.is_newer(&key, time, sequence) {
                continue;
            }
            let value = match profile.signal(signal).kind {
                _ if column.is_null(row) => Value::Absent,
                ValueKind::Integer => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
                ValueKind::Number => Value::Number(column.as_primitive::<Float64Type>().value(row)),
                ValueKind::Vector => integers(column, row),
                _ => Value::Text(column.as_string::<i32>().value(row).into()),
            };
            let quality = exception.unwrap_or(Quality::Good);
            let observation = Observation { signal, time, sequence, quality, value, statistic: None };
            collected.latest.insert(key, Said { asset: Arc::clone(&asset), received, observation });
        }
    }
}

/// The wire integers of the vector in `row` of `column`.
pub(crate) fn integers(column: &ArrayRef, row: usize) -> Value {
    let list = column.as_list::<i32>().value(row);
    let elements = list.as_primitive::<Int64Type>().iter();
    Value::Integers(elements.map(|element| element.unwrap_or(Vectors::MISSING)).collect())
}

pub(crate) fn quality_of(word: &str) -> Option<Quality> {
    Quality::ALL.into_iter().find(|quality| quality.as_str() == word)
}

fn text(rows: &RecordBatch, name: &str, row: usize) -> Option<Box<str>> {
    let texts = column(rows, name).as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row).into())
}

fn number(rows: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let numbers = column(rows, name).as_primitive::<Float64Type>();
    numbers.is_valid(row).then(|| numbers.value(row))
}

/// What a change says, from the columns that it was put into.
pub(crate) fn value(rows: &RecordBatch, row: usize, kind: ValueKind) -> Value {
    let said = text(rows, "text", row);
    if kind == ValueKind::Condition {
        let level = ConditionLevel::ALL.into_iter().find(|level| said.as_deref() == Some(level.as_str()));
        let [native_code, native_severity, qualifier, message] =
            ["native_code", "native_severity", "qualifier", "message"].map(|name| text(rows, name, row));
        let level = level.unwrap_or_default();
        return Value::Condition(Box::new(Condition { level, native_code, native_severity, qualifier, message }));
    }
    let vectors = column(rows, "vector").as_list::<i32>();
    if vectors.is_valid(row) {
        return Value::Vector(vectors.value(row).as_primitive::<Float64Type>().values().as_ref().into());
    }
    match (number(rows, "value", row), said) {
        (Some(number), _) if kind == ValueKind::Integer => Value::Integer(number as i64),
        (Some(number), _) => Value::Number(number),
        (None, Some(text)) if kind == ValueKind::Entries => match serde_json::from_str(&text) {
            Ok(serde_json::Value::Object(object)) => Value::Entries(entries(object)),
            _ => Value::Absent,
        },
        (None, Some(text)) => Value::Text(text),
        (None, None) => Value::Absent,
    }
}

/// Entries from the JSON object that [`crate::entries_json`] makes of them.
fn entries(object: serde_json::Map<String, serde_json::Value>) -> Box<[(Box<str>, Entry)]> {
    let entry = |value: serde_json::Value| match value {
        serde_json::Value::Object(cells) => Entry::Row(entries(cells)),
        serde_json::Value::String(text) => Entry::Text(text.into()),
        value => value.as_f64().map_or(Entry::Removed, Entry::Number),
    };
    object.into_iter().map(|(key, value)| (key.into(), entry(value))).collect()
}

pub(crate) fn statistic(rows: &RecordBatch, row: usize) -> Option<Box<Statistic>> {
    let (duration_secs, sample_rate_hz) = (number(rows, "duration_secs", row), number(rows, "sample_rate_hz", row));
    let statistic = Statistic { duration_secs, reset_triggered: text(rows, "reset_triggered", row), sample_rate_hz };
    (statistic != Statistic::default()).then(|| Box::new(statistic))
}

/// The signals of a frame whose quality is not good.
pub(crate) fn exceptions(column: &ArrayRef, row: usize, profile: &Profile) -> Vec<(SignalIndex, Quality)> {
    // That of an element is not that of the whole.
    let of_whole = exceptions_of_all(column, row, profile).filter(|(_, element, _)| element.is_none());
    of_whole.map(|(signal, _, quality)| (signal, quality)).collect()
}

/// The signals of a frame, and elements of its vectors, from 0, whose quality is not good.
pub(crate) fn exceptions_of_all(
    column: &ArrayRef,
    row: usize,
    profile: &Profile,
) -> impl Iterator<Item = (SignalIndex, Option<u16>, Quality)> {
    let lists = column.as_list::<i32>();
    let fields = lists.is_valid(row).then(|| lists.value(row).as_struct().clone());
    (0..fields.as_ref().map_or(0, Array::len)).filter_map(move |place| {
        let fields = fields.as_ref()?;
        let text = |field: usize| fields.column(field).as_string::<i32>().value(place);
        let (signal, element) = match text(0).strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((signal, number)) => (signal, Some(number.parse::<u32>().ok()?.checked_sub(1)? as u16)),
            None => (text(0), None),
        };
        Some((profile.signal_index(signal)?, element, quality_of(text(1)).unwrap_or(Quality::Invalid)))
    })
}

/// Rows that came in together, as a batch.
fn batch(profile: &Arc<Profile>, rows: &[Said]) -> Batch {
    let received = rows[0].received;
    match profile.shape() {
        Shape::Changes => {
            let mut changes = Changes::default();
            for said in rows {
                let asset = changes.intern(&said.asset);
                changes.push(asset, said.observation.clone());
            }
            Batch::changes(Arc::clone(profile), received, changes)
        }
        Shape::Frames => Batch::frames(Arc::clone(profile), received, frames(profile, rows)),
    }
}

/// One frame for each observation: they are put together where they belong together when they are taken in.
fn frames(profile: &Profile, rows: &[Said]) -> Frames {
    let mut frames = Frames::default();
    for (row, said) in (0..).zip(rows) {
        let place = frames.assets.iter().position(|known| *known == *said.asset).unwrap_or_else(|| {
            frames.assets.push(AssetId::clone(&said.asset));
            frames.assets.len() - 1
        });
        frames.asset.push(place as u16);
        frames.time.push(said.observation.time);
        frames.sequence.push(said.observation.sequence);
        if said.observation.quality != Quality::Good {
            let (signal, quality) = (said.observation.signal, said.observation.quality);
            frames.exceptions.push(FrameException { row, signal, element: None, quality });
        }
    }
    let columns = (0..).zip(profile.signals()).map(|(place, signal)| {
        let values = rows.iter().map(|said| (said.observation.signal == place).then_some(&said.observation.value));
        match signal.kind {
            ValueKind::Integer => Column::Integers(
                values.map(|value| if let Some(Value::Integer(value)) = value { Some(*value) } else { None }).collect(),
            ),
            ValueKind::Number => Column::Numbers(
                values.map(|value| if let Some(Value::Number(value)) = value { Some(*value) } else { None }).collect(),
            ),
            ValueKind::Vector => {
                let mut vectors = Vectors::default();
                for value in values {
                    let elements = if let Some(Value::Integers(elements)) = value { Some(elements) } else { None };
                    vectors.push(elements.map(|elements| elements.iter().copied()));
                }
                Column::Vectors(vectors)
            }
            _ => Column::Texts(
                values
                    .map(|value| if let Some(Value::Text(text)) = value { Some(text.clone()) } else { None })
                    .collect(),
            ),
        }
    });
    frames.columns = columns.collect();
    frames
}
