//! What one record of the log says: a profile's definition, or a batch with the cursor that came with it.
//!
//! Format 1. A record's first byte is its kind. A log file defines each profile before the first batch of it, so a
//! file can be read alone. A new way to write something is a new kind; every kind that was ever written is read for ever.
//! This module must not know of files, checksums or what becomes of a batch.

mod packed;

use std::collections::HashMap;
use std::sync::Arc;

use model::{
    AssetId, Batch, Changes, Column, Condition, ConditionLevel, Cursor, Entry, FrameException, Frames, Profile,
    Quality, Rows, Shape, Statistic, Timestamp, Value, ValueKind,
};

pub(crate) use self::packed::VALUES_MAX;
use crate::codec::{Decoder, Encoder, RecordError};
use crate::stored::StoredProfile;

const PROFILE: u8 = 1;
const CHANGES: u8 = 2;
/// Frames value by value; no longer written.
const PLAIN_FRAMES: u8 = 3;
const FRAMES: u8 = 4;

/// A record, read.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and nearly all are batches")]
pub(crate) enum Record {
    Profile,
    Batch { batch: Batch, cursor: Option<Cursor> },
}

/// The profiles that a log file has defined so far, by the number it gave them.
pub(crate) type Definitions = HashMap<u32, Arc<Profile>>;

/// Writes the definition of `profile` under `number`.
pub(crate) fn encode_profile(to: &mut Encoder, number: u32, profile: &Profile) {
    to.u8(PROFILE);
    to.unsigned(u64::from(number));
    to.text(
        &serde_json::to_string(&StoredProfile::from(profile)).expect("a profile has only texts and finite numbers"),
    );
}

/// Writes `batch`, whose profile has been defined under `number`, and its cursor.
pub(crate) fn encode_batch(to: &mut Encoder, number: u32, batch: &Batch, cursor: Option<&Cursor>) {
    to.u8(if batch.profile.shape() == Shape::Changes { CHANGES } else { FRAMES });
    to.unsigned(u64::from(number));
    to.signed(batch.received.nanos());
    to.optional_text(cursor.map(|cursor| &*cursor.source));
    to.text(cursor.map_or("", |cursor| &*cursor.position));
    match &batch.rows {
        Rows::Changes(changes) => encode_changes(to, batch.received, changes),
        Rows::Frames(frames) => packed::encode_frames(to, batch.received, frames),
    }
}

/// Reads one record; a definition is added to `definitions`.
pub(crate) fn decode(bytes: &[u8], definitions: &mut Definitions) -> Result<Record, RecordError> {
    let mut from = Decoder::new(bytes);
    let kind = from.u8("the kind of the record")?;
    let number: u32 = from.small("the number of a profile")?;
    if kind == PROFILE {
        let stored: Result<StoredProfile, _> = serde_json::from_str(from.text("a profile")?);
        let profile = stored.ok().and_then(|stored| Profile::try_from(stored).ok());
        let Some(profile) = profile else { return from.error("a valid profile") };
        from.finish()?;
        definitions.insert(number, Arc::new(profile));
        return Ok(Record::Profile);
    }
    let received = Timestamp::from_nanos(from.signed("the time of receipt")?);
    let source = from.optional_text("the source of the cursor")?;
    let position = from.text("the position of the cursor")?;
    let cursor = source.map(|source| Cursor { source: source.into(), position: position.into() });
    let Some(profile) = definitions.get(&number) else { return from.error("a profile defined before in this file") };
    let rows = match (kind, profile.shape()) {
        (CHANGES, Shape::Changes) => Rows::Changes(decode_changes(&mut from, received, profile)?),
        (PLAIN_FRAMES, Shape::Frames) => Rows::Frames(decode_plain_frames(&mut from, received, profile)?),
        (FRAMES, Shape::Frames) => Rows::Frames(packed::decode_frames(&mut from, received, profile)?),
        _ => return from.error("the kind of record that fits the shape of its profile"),
    };
    from.finish()?;
    Ok(Record::Batch { batch: Batch { profile: Arc::clone(profile), received, rows }, cursor })
}

/// The columns that both shapes begin with: assets, which of them, time, sequence.
fn encode_keys(
    to: &mut Encoder,
    received: Timestamp,
    assets: &[AssetId],
    asset: &[u16],
    time: &[Timestamp],
    sequence: &[u32],
) {
    to.unsigned(assets.len() as u64);
    for asset in assets {
        to.text(asset.as_str());
    }
    to.unsigned(time.len() as u64);
    if assets.len() > 1 {
        asset.iter().for_each(|place| to.unsigned(u64::from(*place)));
    }
    // Most times equal or closely follow the one before; all are close to the time of receipt.
    let mut before = received.nanos();
    for time in time {
        to.signed(time.nanos().wrapping_sub(before));
        before = time.nanos();
    }
    let any = sequence.iter().any(|sequence| *sequence != 0);
    to.u8(u8::from(any));
    if any {
        sequence.iter().for_each(|sequence| to.unsigned(u64::from(*sequence)));
    }
}

struct Keys {
    assets: Vec<AssetId>,
    asset: Vec<u16>,
    time: Vec<Timestamp>,
    sequence: Vec<u32>,
}

fn decode_keys(from: &mut Decoder<'_>, received: Timestamp) -> Result<Keys, RecordError> {
    let mut assets = Vec::new();
    for _ in 0..from.count("the number of assets")? {
        let text = from.text("an asset")?;
        match text.parse() {
            Ok(asset) => assets.push(asset),
            Err(_) => return from.error("a valid asset"),
        }
    }
    let count = from.count("the number of rows")?;
    let mut asset = vec![0; count];
    if assets.len() > 1 {
        for place in &mut asset {
            *place = from.small("the place of an asset")?;
        }
    }
    if asset.iter().any(|place| usize::from(*place) >= assets.len()) {
        return from.error("the place of a listed asset");
    }
    let mut time = Vec::with_capacity(count);
    let mut before = received.nanos();
    for _ in 0..count {
        before = before.wrapping_add(from.signed("a time")?);
        time.push(Timestamp::from_nanos(before));
    }
    let mut sequence = vec![0; count];
    if from.u8("whether there are sequences")? != 0 {
        for sequence in &mut sequence {
            *sequence = from.small("a sequence")?;
        }
    }
    Ok(Keys { assets, asset, time, sequence })
}

fn encode_changes(to: &mut Encoder, received: Timestamp, changes: &Changes) {
    encode_keys(to, received, &changes.assets, &changes.asset, &changes.time, &changes.sequence);
    changes.signal.iter().for_each(|signal| to.unsigned(u64::from(*signal)));
    let any = changes.quality.iter().any(|quality| *quality != Quality::Good);
    to.u8(u8::from(any));
    if any {
        changes.quality.iter().for_each(|quality| to.u8(*quality as u8));
    }
    changes.value.iter().for_each(|value| encode_value(to, value));
    to.unsigned(changes.statistic.len() as u64);
    for (row, statistic) in &changes.statistic {
        to.unsigned(u64::from(*row));
        to.f64(statistic.duration_secs.unwrap_or(f64::NAN));
        to.optional_text(statistic.reset_triggered.as_deref());
        to.f64(statistic.sample_rate_hz.unwrap_or(f64::NAN));
    }
}

fn decode_changes(from: &mut Decoder<'_>, received: Timestamp, profile: &Profile) -> Result<Changes, RecordError> {
    let keys = decode_keys(from, received)?;
    let count = keys.time.len();
    let mut signal = Vec::with_capacity(count);
    for _ in 0..count {
        let index: u16 = from.small("a signal")?;
        if usize::from(index) >= profile.signals().len() {
            return from.error("a signal of the profile");
        }
        signal.push(index);
    }
    let mut quality = vec![Quality::Good; count];
    if from.u8("whether there are qualities")? != 0 {
        for quality in &mut quality {
            *quality = decode_quality(from)?;
        }
    }
    let mut value = Vec::with_capacity(count);
    for _ in 0..count {
        value.push(decode_value(from)?);
    }
    let mut statistic = Vec::new();
    for _ in 0..from.count("the number of statistics")? {
        let row: u32 = from.small("the row of a statistic")?;
        let known = |value: f64| (!value.is_nan()).then_some(value);
        let duration_secs = known(from.f64("a duration")?);
        let reset_triggered = from.optional_text("the reason of a reset")?.map(Into::into);
        let sample_rate_hz = known(from.f64("a sample rate")?);
        statistic.push((row, Box::new(Statistic { duration_secs, reset_triggered, sample_rate_hz })));
    }
    let Keys { assets, asset, time, sequence } = keys;
    Ok(Changes { assets, asset, signal, time, sequence, quality, value, statistic })
}

fn decode_quality(from: &mut Decoder<'_>) -> Result<Quality, RecordError> {
    let number = from.u8("a quality")?;
    quality_of(from, number)
}

fn quality_of(from: &Decoder<'_>, number: u8) -> Result<Quality, RecordError> {
    Quality::ALL.get(usize::from(number)).copied().map_or_else(|| from.error("a known quality"), Ok)
}

fn encode_value(to: &mut Encoder, value: &Value) {
    match value {
        Value::Absent => to.u8(0),
        Value::Number(number) => {
            to.u8(1);
            to.f64(*number);
        }
        Value::Integer(integer) => {
            to.u8(2);
            to.signed(*integer);
        }
        Value::Text(text) => {
            to.u8(3);
            to.text(text);
        }
        Value::Vector(numbers) => {
            to.u8(4);
            to.unsigned(numbers.len() as u64);
            numbers.iter().for_each(|number| to.f64(*number));
        }
        Value::Integers(integers) => {
            to.u8(7);
            to.unsigned(integers.len() as u64);
            integers.iter().for_each(|integer| to.signed(*integer));
        }
        Value::Entries(entries) => {
            to.u8(5);
            encode_entries(to, entries);
        }
        Value::Condition(condition) => {
            to.u8(6);
            to.u8(condition.level as u8);
            to.optional_text(condition.native_code.as_deref());
            to.optional_text(condition.native_severity.as_deref());
            to.optional_text(condition.qualifier.as_deref());
            to.optional_text(condition.message.as_deref());
        }
    }
}

fn decode_value(from: &mut Decoder<'_>) -> Result<Value, RecordError> {
    Ok(match from.u8("the kind of a value")? {
        0 => Value::Absent,
        1 => Value::Number(from.f64("a number")?),
        2 => Value::Integer(from.signed("an integer")?),
        3 => Value::Text(from.text("a text")?.into()),
        4 => {
            let count = from.count("the length of a vector")?;
            let mut numbers = Vec::with_capacity(count);
            for _ in 0..count {
                numbers.push(from.f64("a number of a vector")?);
            }
            Value::Vector(numbers.into())
        }
        5 => Value::Entries(decode_entries(from, 0)?),
        7 => {
            let count = from.count("the length of a vector")?;
            let integers: Result<_, RecordError> = (0..count).map(|_| from.signed("an integer of a vector")).collect();
            Value::Integers(integers?)
        }
        6 => {
            let number = from.u8("the level of a condition")?;
            let Some(level) = ConditionLevel::ALL.get(usize::from(number)).copied() else {
                return from.error("a known level of a condition");
            };
            Value::Condition(Box::new(Condition {
                level,
                native_code: from.optional_text("a native code")?.map(Into::into),
                native_severity: from.optional_text("a native severity")?.map(Into::into),
                qualifier: from.optional_text("a qualifier")?.map(Into::into),
                message: from.optional_text("a message")?.map(Into::into),
            }))
        }
        _ => return from.error("a known kind of value"),
    })
}

type Entries = Box<[(Box<str>, Entry)]>;

fn encode_entries(to: &mut Encoder, entries: &[(Box<str>, Entry)]) {
    to.unsigned(entries.len() as u64);
    for (key, entry) in entries {
        to.text(key);
        match entry {
            Entry::Number(number) => {
                to.u8(0);
                to.f64(*number);
            }
            Entry::Text(text) => {
                to.u8(1);
                to.text(text);
            }
            Entry::Removed => to.u8(2),
            Entry::Row(cells) => {
                to.u8(3);
                encode_entries(to, cells);
            }
        }
    }
}

/// `depth` is 0 for the entries of a set and 1 for the cells of a row, which hold no rows themselves.
fn decode_entries(from: &mut Decoder<'_>, depth: u8) -> Result<Entries, RecordError> {
    let mut entries = Vec::new();
    for _ in 0..from.count("the number of entries")? {
        let key = from.text("the key of an entry")?.into();
        let entry = match from.u8("the kind of an entry")? {
            0 => Entry::Number(from.f64("a number")?),
            1 => Entry::Text(from.text("a text")?.into()),
            2 => Entry::Removed,
            3 if depth == 0 => Entry::Row(decode_entries(from, 1)?),
            _ => return from.error("a known kind of entry"),
        };
        entries.push((key, entry));
    }
    Ok(entries.into())
}

/// Marks the quality of an element of a vector, whose place follows.
const OF_ELEMENT: u8 = 0x80;

fn encode_exceptions(to: &mut Encoder, exceptions: &[FrameException]) {
    to.unsigned(exceptions.len() as u64);
    for exception in exceptions {
        to.unsigned(u64::from(exception.row));
        to.unsigned(u64::from(exception.signal));
        match exception.element {
            None => to.u8(exception.quality as u8),
            Some(element) => {
                to.u8(exception.quality as u8 | OF_ELEMENT);
                to.unsigned(u64::from(element));
            }
        }
    }
}

/// Exceptions of `rows` frames of a profile of `signals` signals.
fn decode_exceptions(from: &mut Decoder<'_>, rows: usize, signals: usize) -> Result<Vec<FrameException>, RecordError> {
    let mut exceptions: Vec<FrameException> = Vec::new();
    for _ in 0..from.count("the number of exceptions")? {
        let row = from.small("the row of an exception")?;
        if row as usize >= rows || exceptions.last().is_some_and(|last| last.row > row) {
            return from.error("exceptions in the order of the rows");
        }
        let signal = from.small("the signal of an exception")?;
        if usize::from(signal) >= signals {
            return from.error("an exception of a signal of the profile");
        }
        let number = from.u8("a quality")?;
        let element = (number & OF_ELEMENT != 0).then(|| from.small("the element of an exception")).transpose()?;
        exceptions.push(FrameException { row, signal, element, quality: quality_of(from, number & !OF_ELEMENT)? });
    }
    Ok(exceptions)
}

fn decode_column<'a, T>(
    from: &mut Decoder<'a>,
    count: usize,
    read: impl Fn(&mut Decoder<'a>) -> Result<T, RecordError>,
) -> Result<Vec<Option<T>>, RecordError> {
    let bits = from.take(count.div_ceil(8), "which rows have a value")?;
    let mut rows = Vec::with_capacity(count);
    for row in 0..count {
        let present = bits[row / 8] >> (row % 8) & 1 == 1;
        rows.push(if present { Some(read(from)?) } else { None });
    }
    Ok(rows)
}

fn decode_plain_frames(from: &mut Decoder<'_>, received: Timestamp, profile: &Profile) -> Result<Frames, RecordError> {
    let Keys { assets, asset, time, sequence } = decode_keys(from, received)?;
    let count = time.len();
    let mut columns = Vec::with_capacity(profile.signals().len());
    for signal in profile.signals() {
        columns.push(match signal.kind {
            ValueKind::Integer => Column::Integers(decode_column(from, count, |from| from.signed("an integer"))?),
            ValueKind::Number => Column::Numbers(decode_column(from, count, |from| from.f64("a number"))?),
            _ => Column::Texts(decode_column(from, count, |from| from.text("a text").map(Into::into))?),
        });
    }
    let exceptions = decode_exceptions(from, count, columns.len())?;
    Ok(Frames { assets, asset, time, sequence, columns, exceptions })
}

#[cfg(test)]
mod tests {
    use model::{AssetKind, Observation, Scale, Signal};

    use super::*;

    fn every_kind_of_value() -> Vec<Value> {
        let row = Entry::Row([(Box::from("x"), Entry::Number(1.5))].into());
        let entries = [("a".into(), Entry::Number(2.0)), ("b".into(), Entry::Removed), ("c".into(), row)];
        let condition = Condition {
            level: ConditionLevel::Fault,
            native_code: Some("401".into()),
            native_severity: None,
            qualifier: Some("HIGH".into()),
            message: Some("主轴过载".into()),
        };
        vec![
            Value::Absent,
            Value::Number(-0.0),
            Value::Integer(i64::MIN),
            Value::Text("Zeile".into()),
            Value::Vector([1.0, f64::MAX].into()),
            Value::Entries(entries.into()),
            Value::Condition(Box::new(condition)),
        ]
    }

    fn changes() -> Batch {
        let signals = vec![Signal::new("a", "x:A", ValueKind::Number), Signal::new("b", "x:B", ValueKind::Text)];
        let profile = Profile::new("press", Shape::Changes, signals).unwrap();
        let mut changes = Changes::default();
        for (place, value) in every_kind_of_value().into_iter().enumerate() {
            let asset = changes.intern(&AssetId::new(AssetKind::Machine, &format!("p{}", place % 2)).unwrap());
            let statistic =
                Statistic { duration_secs: Some(60.0), reset_triggered: Some("DAY".into()), sample_rate_hz: None };
            changes.push(
                asset,
                Observation {
                    signal: (place % 2) as u16,
                    time: Timestamp::from_nanos(1_700_000_000_000_000_001 - place as i64),
                    sequence: place as u32 / 3,
                    quality: Quality::ALL[place % 4],
                    value,
                    statistic: (place == 3).then(|| Box::new(statistic)),
                },
            );
        }
        Batch::changes(Arc::new(profile), Timestamp::from_millis(1_700_000_000_000), changes)
    }

    fn frames() -> Batch {
        let mut speed = Signal::new("speed", "x:S", ValueKind::Integer).with_unit("km/h");
        speed.scale = Scale { divisor: 10.0, offset: 0.0 };
        let signals =
            vec![speed, Signal::new("load", "x:L", ValueKind::Number), Signal::new("t", "x:T", ValueKind::Text)];
        let frames = Frames {
            assets: vec!["vehicle/A".parse().unwrap(), "vehicle/B".parse().unwrap()],
            asset: vec![0, 1, 0],
            time: (0..3).map(Timestamp::from_millis).collect(),
            sequence: vec![0; 3],
            columns: vec![
                Column::Integers(vec![Some(1_205), None, Some(-1)]),
                Column::Numbers(vec![None, Some(0.25), None]),
                Column::Texts(vec![Some("x".into()), None, None]),
            ],
            exceptions: vec![FrameException { row: 1, signal: 0, element: None, quality: Quality::Invalid }],
        };
        let profile = Profile::new("car", Shape::Frames, signals).unwrap();
        Batch::frames(Arc::new(profile), Timestamp::from_millis(5), frames)
    }

    /// Frames with vectors: of two assets, of lengths that differ, with elements that have no value.
    fn vectors(lists: &[Option<Vec<Option<i64>>>]) -> Batch {
        let mut cells = model::Vectors::default();
        let mut exceptions = Vec::new();
        for (row, list) in (0..).zip(lists) {
            let given = |element: &Option<i64>| element.unwrap_or(model::Vectors::MISSING);
            cells.push(list.as_ref().map(|list| list.iter().map(given)));
            let missing = list.iter().flatten().enumerate().filter(|(_, element)| element.is_none());
            exceptions.extend(missing.map(|(place, _)| FrameException {
                row,
                signal: 0,
                element: Some(place as u16),
                quality: Quality::Abnormal,
            }));
        }
        let mut cell = Signal::new("cell", "x:C", ValueKind::Vector).with_unit("V");
        cell.scale = Scale { divisor: 1_000.0, offset: 0.0 };
        let frames = Frames {
            assets: vec!["vehicle/A".parse().unwrap(), "vehicle/B".parse().unwrap()],
            asset: (0..lists.len()).map(|row| (row % 5 % 2) as u16).collect(),
            time: (0..lists.len() as i64).map(Timestamp::from_millis).collect(),
            sequence: vec![0; lists.len()],
            columns: vec![Column::Vectors(cells)],
            exceptions,
        };
        let profile = Profile::new("pack", Shape::Frames, vec![cell]).unwrap();
        Batch::frames(Arc::new(profile), Timestamp::from_millis(5), frames)
    }

    fn few_vectors() -> Batch {
        vectors(&[
            Some(vec![Some(3_283), None, Some(3_284)]),
            None,
            Some(Vec::new()),
            Some((0..70).map(|cell| Some(3_280 + cell % 3)).collect()),
            Some((0..70).map(|cell| Some(3_281 + cell % 3)).collect()),
        ])
    }

    fn encoded(batch: &Batch, cursor: Option<&Cursor>) -> (Vec<u8>, Vec<u8>) {
        let (mut definition, mut record) = (Encoder::default(), Encoder::default());
        encode_profile(&mut definition, 3, &batch.profile);
        encode_batch(&mut record, 3, batch, cursor);
        (definition.bytes, record.bytes)
    }

    #[test]
    fn what_is_written_is_read() {
        let cursor = Cursor { source: "agent".into(), position: "17:4711".into() };
        for (batch, cursor) in [(changes(), Some(cursor)), (frames(), None)] {
            let (definition, record) = encoded(&batch, cursor.as_ref());
            let mut definitions = Definitions::new();
            assert_eq!(decode(&definition, &mut definitions), Ok(Record::Profile));
            assert_eq!(decode(&record, &mut definitions), Ok(Record::Batch { batch, cursor }));
        }
    }

    /// Many frames of few assets, with whatever integers have gaps and jumps.
    fn long_frames(integers: Vec<Option<i64>>) -> Batch {
        let signals = ["a", "b", "c"].map(|id| Signal::new(id, "x:A", ValueKind::Integer));
        let profile = Profile::new("car", Shape::Frames, signals.into()).unwrap();
        let count = integers.len();
        let small = integers.iter().map(|value| value.map(|value| value % 3)).collect();
        let frames = Frames {
            assets: ["vehicle/A", "vehicle/B", "vehicle/C"].map(|asset| asset.parse().unwrap()).into(),
            asset: (0..count).map(|row| (row % 7 % 3) as u16).collect(),
            time: (0..count as i64).map(Timestamp::from_nanos).collect(),
            sequence: vec![0; count],
            columns: vec![
                Column::Integers(integers),
                Column::Integers(small),
                Column::Integers((0..count as i64).map(Some).collect()),
            ],
            exceptions: Vec::new(),
        };
        Batch::frames(Arc::new(profile), Timestamp::default(), frames)
    }

    /// Every kind of record that was ever released, as hexadecimal digits, with what it says.
    #[test]
    fn what_was_ever_written_is_read_for_ever() {
        for (released, batch, is_written) in [
            (include_str!("record/released/changes.hex"), changes(), true),
            (include_str!("record/released/plain_frames.hex"), frames(), false),
            (include_str!("record/released/frames.hex"), frames(), true),
            (include_str!("record/released/vectors.hex"), few_vectors(), true),
        ] {
            let bytes = |line: &str| -> Vec<u8> {
                let digits = line.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
                digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
            };
            let records: Vec<Vec<u8>> = released.lines().map(bytes).collect();
            let mut definitions = Definitions::new();
            assert_eq!(decode(&records[0], &mut definitions), Ok(Record::Profile));
            let expected = Record::Batch { batch: batch.clone(), cursor: None };
            assert_eq!(decode(&records[1], &mut definitions), Ok(expected));
            let (definition, record) = encoded(&batch, None);
            assert_eq!(definition, records[0]);
            assert_eq!(record == records[1], is_written, "{record:02x?}");
        }
    }

    #[test]
    fn a_lie_about_a_block_or_a_column_is_named() {
        let mut definitions = Definitions::new();
        let batch = long_frames((0..200).map(Some).collect());
        let (definition, record) = encoded(&batch, None);
        decode(&definition, &mut definitions).unwrap();
        // At the end stand the last block, the five rows that fill none, and the number of exceptions.
        let width = record.len() - (1 + 64 * 4 / 8) - 5 - 1;
        assert_eq!(record[width], 4);
        let mut lie = record;
        lie[width] = 9;
        let error = decode(&lie, &mut definitions).unwrap_err().to_string();
        assert_eq!(error, format!("at byte {} of the record: expected a known width of a block", width + 1));
        let wide: Vec<Signal> = (0..8_192).map(|id| Signal::new(&id.to_string(), "x:A", ValueKind::Integer)).collect();
        let wide = Profile::new("car", Shape::Frames, wide).unwrap();
        let mut definition = Encoder::default();
        encode_profile(&mut definition, 3, &wide);
        decode(&definition.bytes, &mut definitions).unwrap();
        // 5,000 rows of one asset at one time, and columns in which none has a value: they fit no memory that is given.
        let mut record = Encoder::default();
        record.bytes.extend([FRAMES, 3, 0, 0, 0, 1]);
        record.text("vehicle/A");
        record.unsigned(5_000);
        record.bytes.resize(record.bytes.len() + 5_000 + 8_192, 0);
        let error = decode(&record.bytes, &mut definitions).unwrap_err();
        assert!(error.to_string().contains("no more values than a batch may have"), "{error}");
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let gaps = (0..200).map(|row| (row % 5 != 0).then_some(row * row * 1_000)).collect();
        for batch in [changes(), frames(), long_frames(gaps), few_vectors()] {
            let (definition, record) = encoded(&batch, None);
            let mut definitions = Definitions::new();
            decode(&definition, &mut definitions).unwrap();
            for length in 0..record.len() {
                assert!(decode(&record[..length], &mut definitions).is_err(), "cut at {length}");
            }
        }
    }

    #[test]
    fn a_batch_without_its_profile_is_refused() {
        let (_, record) = encoded(&changes(), None);
        let error = decode(&record, &mut Definitions::new()).unwrap_err();
        assert!(error.to_string().contains("a profile defined before"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_vectors_are_read_as_they_were_written(
            lists in proptest::collection::vec(
                proptest::option::weighted(0.9, proptest::collection::vec(
                    proptest::option::weighted(0.9, proptest::prop_oneof![3_200_i64..3_400, -9_i64..9, i64::MIN + 1..=i64::MAX]),
                    0..90,
                )),
                0..20,
            )
        ) {
            let batch = vectors(&lists);
            let (definition, record) = encoded(&batch, None);
            let mut definitions = Definitions::new();
            decode(&definition, &mut definitions).unwrap();
            proptest::prop_assert_eq!(decode(&record, &mut definitions), Ok(Record::Batch { batch, cursor: None }));
        }

        #[test]
        fn any_integers_are_read_as_they_were_written(
            integers in proptest::collection::vec(
                proptest::option::weighted(0.9, proptest::prop_oneof![
                    -9_i64..9,
                    -70_000_i64..70_000,
                    proptest::prelude::any::<i64>(),
                ]),
                0..400,
            )
        ) {
            let batch = long_frames(integers);
            let (definition, record) = encoded(&batch, None);
            let mut definitions = Definitions::new();
            decode(&definition, &mut definitions).unwrap();
            proptest::prop_assert_eq!(decode(&record, &mut definitions), Ok(Record::Batch { batch, cursor: None }));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), kind in 1_u8..5) {
            let mut definitions = Definitions::new();
            let batch = if kind < PLAIN_FRAMES { changes() } else { frames() };
            decode(&encoded(&batch, None).0, &mut definitions).unwrap();
            let mut record = vec![kind, 3];
            record.extend(bytes);
            let _ = decode(&record, &mut definitions);
        }
    }
}
