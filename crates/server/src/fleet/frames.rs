//! Reports as the frames that they were, made again of what SQL answers: physical values become wire integers, those the
//! data unit, and that the frame. Must not know of HTTP.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampNanosecondType};
use arrow::error::ArrowError;
use gbt32960::{Command, Encryption, Frame, Header, ReportRow, Response, Standard};
use model::{AssetId, Column, FrameException, Frames, Quality, Scale, Signal, Timestamp, ValueKind, Vectors};

static STANDARD: LazyLock<Arc<Standard>> = LazyLock::new(|| Arc::new(Standard::built_in()));

/// A report as a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) time: Timestamp,
    pub(crate) received: Timestamp,
    /// The whole frame: as a realtime report that is not encrypted.
    pub(crate) bytes: Vec<u8>,
    /// Every byte and what it means; or why that cannot be told.
    pub(crate) dump: String,
}

/// The rows of `batch`, all columns of the table of reports, as the frames of `asset` that they were. A row that no report
/// can have become has no bytes; its dump says why.
///
/// # Errors
/// When `batch` does not have these columns.
pub(crate) fn frames_of(asset: &AssetId, batch: &RecordBatch) -> Result<Vec<RawFrame>, ArrowError> {
    let frames = rows(asset, batch)?;
    let received = times(batch, "received")?;
    let frame = |(row, received): (usize, Timestamp)| {
        let time = frames.time[row];
        match restored(&ReportRow::new(&frames, row)) {
            Ok((bytes, dump)) => RawFrame { time, received, bytes, dump },
            Err(dump) => RawFrame { time, received, bytes: Vec::new(), dump },
        }
    };
    Ok((0..frames.len()).zip(received).map(frame).collect())
}

fn restored(row: &ReportRow<'_>) -> Result<(Vec<u8>, String), String> {
    let data = STANDARD.restored(row).map_err(|error| error.to_string())?;
    let vin = row.vin().ok_or("the asset has no VIN")?;
    let (edition, encryption) = (data.edition, Encryption::NONE);
    let header = Header { edition, command: Command::REALTIME, response: Response::COMMAND, vin, encryption };
    let mut bytes = Vec::new();
    header.write(&data.data, &mut bytes).map_err(|error| error.to_string())?;
    let frame = Frame::parse(&bytes).map_err(|error| error.to_string())?;
    let dump = gbt32960::dump(&STANDARD, &frame).unwrap_or_else(|error| error.to_string());
    Ok((bytes, dump))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column `{name}`")))
}

fn times(batch: &RecordBatch, name: &str) -> Result<Vec<Timestamp>, ArrowError> {
    let nanos = column(batch, name)?.as_primitive_opt::<TimestampNanosecondType>();
    let nanos = nanos.ok_or_else(|| ArrowError::SchemaError(format!("`{name}` has no times")))?;
    Ok(nanos.values().iter().map(|nanos| Timestamp::from_nanos(*nanos)).collect())
}

fn rows(asset: &AssetId, batch: &RecordBatch) -> Result<Frames, ArrowError> {
    let signals = STANDARD.profile().signals();
    let columns = signals.iter().map(|signal| column_of(signal, batch)).collect::<Result<_, _>>()?;
    Ok(Frames {
        assets: vec![asset.clone()],
        asset: vec![0; batch.num_rows()],
        time: times(batch, "time")?,
        sequence: vec![0; batch.num_rows()],
        columns,
        exceptions: exceptions(signals, batch)?,
    })
}

/// The wire integer of a physical value: exact, since divisors are powers of ten and integers have at most 32 bits.
fn raw(scale: Scale, physical: f64) -> i64 {
    ((physical - scale.offset) * scale.divisor).round() as i64
}

/// What `batch` has of a signal; nothing where it was written before there was such a signal.
fn column_of(signal: &Signal, batch: &RecordBatch) -> Result<Column, ArrowError> {
    let (scale, rows) = (signal.scale, 0..batch.num_rows());
    let wrong = || ArrowError::SchemaError(format!("column `{}` is of another type", signal.id));
    let Some(array) = batch.column_by_name(&signal.id) else {
        return Ok(match signal.kind {
            ValueKind::Integer => Column::Integers(vec![None; rows.len()]),
            ValueKind::Vector => {
                let mut vectors = Vectors::default();
                rows.for_each(|_| vectors.push(None::<[i64; 0]>));
                Column::Vectors(vectors)
            }
            _ => Column::Texts(vec![None; rows.len()]),
        });
    };
    Ok(match signal.kind {
        ValueKind::Integer => {
            let array = cast(array, &DataType::Float64)?;
            let numbers = array.as_primitive::<Float64Type>();
            Column::Integers(numbers.iter().map(|number| number.map(|physical| raw(scale, physical))).collect())
        }
        ValueKind::Vector => {
            let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            let mut vectors = Vectors::default();
            for row in rows {
                let elements = lists.is_valid(row).then(|| cast(&lists.value(row), &DataType::Float64)).transpose()?;
                let element = |number: Option<f64>| number.map_or(Vectors::MISSING, |physical| raw(scale, physical));
                let elements = elements
                    .map(|elements| elements.as_primitive::<Float64Type>().iter().map(element).collect::<Vec<_>>());
                vectors.push(elements);
            }
            Column::Vectors(vectors)
        }
        _ => {
            let array = cast(array, &DataType::Utf8)?;
            Column::Texts(array.as_string::<i32>().iter().map(|text| text.map(Into::into)).collect())
        }
    })
}

/// What is said of values besides the values, as `signal`, or `signal[number]` for an element.
fn exceptions(signals: &[Signal], batch: &RecordBatch) -> Result<Vec<FrameException>, ArrowError> {
    let wrong = || ArrowError::SchemaError("the column exceptions is not what it was".to_owned());
    let places: HashMap<&str, u16> = (0..).zip(signals).map(|(place, signal)| (&*signal.id, place)).collect();
    let lists = column(batch, "exceptions")?.as_list_opt::<i32>().ok_or_else(wrong)?;
    let mut exceptions = Vec::new();
    for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
        let list = lists.value(row);
        let said = list.as_struct_opt().ok_or_else(wrong)?;
        let [names, words] = [0, 1].map(|place| cast(said.column(place), &DataType::Utf8));
        let (names, words) = (names?, words?);
        for (name, word) in names.as_string::<i32>().iter().flatten().zip(words.as_string::<i32>().iter().flatten()) {
            let (id, number) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
                Some((id, number)) => (id, number.parse::<u16>().ok()),
                None => (name, None),
            };
            let quality = Quality::ALL.into_iter().find(|quality| quality.as_str() == word);
            let (Some(signal), Some(quality)) = (places.get(id), quality) else { continue };
            let element = number.and_then(|number| number.checked_sub(1));
            exceptions.push(FrameException { row: row as u32, signal: *signal, element, quality });
        }
    }
    Ok(exceptions)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Builder, ListBuilder, StringArray, StringBuilder, StructBuilder, TimestampNanosecondArray,
    };
    use arrow::datatypes::{Field, Fields, Schema};
    use gbt32960::{Edition, ReportRows, Vin};
    use model::Rows;

    use super::*;

    /// What SQL answers of the rows in `frames`.
    fn answer(frames: &Frames) -> RecordBatch {
        let nanos = || TimestampNanosecondArray::from_iter_values(frames.time.iter().map(|time| time.nanos()));
        let mut columns: Vec<(String, ArrayRef)> =
            vec![("time".into(), Arc::new(nanos())), ("received".into(), Arc::new(nanos()))];
        for (signal, column) in STANDARD.profile().signals().iter().zip(&frames.columns) {
            let array: ArrayRef = match column {
                Column::Integers(rows) => {
                    let mut builder = Float64Builder::new();
                    rows.iter().for_each(|raw| builder.append_option(raw.map(|raw| signal.scale.physical(raw))));
                    Arc::new(builder.finish())
                }
                Column::Vectors(rows) => {
                    let mut builder = ListBuilder::new(Float64Builder::new());
                    for row in rows.rows() {
                        for raw in row.into_iter().flatten() {
                            let physical = (*raw != Vectors::MISSING).then(|| signal.scale.physical(*raw));
                            builder.values().append_option(physical);
                        }
                        builder.append(row.is_some());
                    }
                    Arc::new(builder.finish())
                }
                Column::Texts(rows) => Arc::new(rows.iter().map(|text| text.as_deref()).collect::<StringArray>()),
                Column::Numbers(_) => unreachable!("the standard has none"),
            };
            columns.push((signal.id.to_string(), array));
        }
        let fields = Fields::from(vec![
            Field::new("signal", DataType::Utf8, false),
            Field::new("quality", DataType::Utf8, false),
        ]);
        let mut exceptions = ListBuilder::new(StructBuilder::from_fields(fields, 0));
        for row in 0..frames.len() {
            for exception in frames.exceptions_of(row) {
                let id = &STANDARD.profile().signal(exception.signal).id;
                let name = exception.element.map_or(id.to_string(), |element| format!("{id}[{}]", element + 1));
                let builder = exceptions.values();
                builder.field_builder::<StringBuilder>(0).unwrap().append_value(name);
                builder.field_builder::<StringBuilder>(1).unwrap().append_value(exception.quality.as_str());
                builder.append(true);
            }
            exceptions.append(true);
        }
        columns.push(("exceptions".into(), Arc::new(exceptions.finish())));
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex = hex.replace(' ', "");
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn what_sql_answers_is_the_frame_again_that_it_was() {
        for (edition, data) in [
            (Edition::E2016, "01 01 03 01 020e 0001e240 0d48 2710 34 01 0f 03e8 00 00 05 00 06f1c9a7 0261d8c1"),
            (Edition::E2016, "07 02 00000c00 01 00120abc 00 00 00 08 01 01 0d48 2710 0003 0001 03 0e3a fffe ffff"),
            (Edition::E2016, "04 01 073a ffff 05 02 09032100 020545e0 80 0002 aabb"),
            (Edition::E2025, "07 02 01 0001 0002 fffe 02 0001 0002 0001 ffff 08 01 01 0003 28 ff 29"),
        ] {
            let data = bytes(&format!("1a0707120000{data}"));
            let vin = Vin::new("LTMTEST0000000001").unwrap();
            let (command, response) = (Command::REALTIME, Response::COMMAND);
            let header = Header { edition, command, response, vin, encryption: Encryption::NONE };
            let mut whole = Vec::new();
            header.write(&data, &mut whole).unwrap();
            let mut kept = ReportRows::new(Arc::clone(&STANDARD));
            kept.push(&header, &data).unwrap();
            let batch = kept.take(Timestamp::default());
            let Rows::Frames(frames) = &batch.rows else { unreachable!() };
            let made = frames_of(&frames.assets[0], &answer(frames)).unwrap();
            assert_eq!(made[0].bytes, whole, "{}", made[0].dump);
            assert!(made[0].dump.contains("VIN: LTMTEST0000000001"), "{}", made[0].dump);
        }
    }

    #[test]
    fn a_row_that_no_report_became_says_why() {
        let asset: AssetId = "vehicle/LTMTEST0000000001".parse().unwrap();
        let nanos = || Arc::new(TimestampNanosecondArray::from_iter_values([0])) as ArrayRef;
        let element = Field::new(
            "item",
            DataType::Struct(Fields::from(vec![
                Field::new("signal", DataType::Utf8, false),
                Field::new("quality", DataType::Utf8, false),
            ])),
            false,
        );
        let none = arrow::array::new_null_array(&DataType::List(Arc::new(element)), 1);
        let batch =
            RecordBatch::try_from_iter([("time", nanos()), ("received", nanos()), ("exceptions", none)]).unwrap();
        let made = frames_of(&asset, &batch).unwrap();
        assert!(made[0].bytes.is_empty() && made[0].dump.contains("report_edition"), "{}", made[0].dump);
    }
}
