//! How the rows of a profile look as an Arrow table, and so as Parquet: the one place that names the columns.
//!
//! Every table begins with `asset`, `time`, `received`, `sequence`. Changes add `signal`, `quality` and the columns of
//! one value; frames add one column per signal and `exceptions`. Wire integers stay integers here: their scale stands
//! in the metadata of the column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use model::{Profile, Shape, Signal, ValueKind};

/// Metadata keys of columns and tables.
pub const META_PROFILE: &str = "tongmai.profile";
/// The whole profile, as JSON.
pub const META_DEFINITION: &str = "tongmai.definition";
/// What a column means, in the words of a standard.
pub const META_MEANING: &str = "tongmai.meaning";
/// Its UCUM unit.
pub const META_UNIT: &str = "tongmai.unit";
/// Physical value = column / divisor + offset.
pub const META_SCALE_DIVISOR: &str = "tongmai.scale_divisor";
/// See [`META_SCALE_DIVISOR`].
pub const META_SCALE_OFFSET: &str = "tongmai.scale_offset";

/// The type of `time` and `received`.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The type of columns whose few texts repeat.
pub fn word_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type of the column `vector`.
pub fn vector_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Float64, true)))
}

/// The type of a column of wire integers that belong together.
pub fn integers_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))
}

/// The fields of one element of `exceptions`: the signal, with the number of the element, from 1, behind it in brackets where it
/// is about an element of a vector, and what its quality is.
pub(crate) fn exception_fields() -> Fields {
    Fields::from(vec![Field::new("signal", DataType::Utf8, false), Field::new("quality", DataType::Utf8, false)])
}

/// The schema of the table of `profile`.
pub fn schema(profile: &Profile) -> SchemaRef {
    let mut fields = vec![Field::new("asset", word_type(), false)];
    if profile.shape() == Shape::Changes {
        fields.push(Field::new("signal", word_type(), false));
    }
    fields.push(Field::new("time", time_type(), false));
    fields.push(Field::new("received", time_type(), false));
    fields.push(Field::new("sequence", DataType::UInt32, false));
    match profile.shape() {
        Shape::Changes => fields.extend([
            Field::new("quality", word_type(), false),
            Field::new("value", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("vector", vector_type(), true),
            Field::new("native_code", DataType::Utf8, true),
            Field::new("native_severity", DataType::Utf8, true),
            Field::new("qualifier", DataType::Utf8, true),
            Field::new("message", DataType::Utf8, true),
            Field::new("duration_secs", DataType::Float64, true),
            Field::new("reset_triggered", DataType::Utf8, true),
            Field::new("sample_rate_hz", DataType::Float64, true),
        ]),
        Shape::Frames => {
            fields.extend(profile.signals().iter().map(signal_field));
            let element = Field::new("item", DataType::Struct(exception_fields()), false);
            fields.push(Field::new("exceptions", DataType::List(Arc::new(element)), true));
        }
    }
    Arc::new(Schema::new_with_metadata(fields, table_metadata(profile)))
}

fn table_metadata(profile: &Profile) -> HashMap<String, String> {
    HashMap::from([(META_PROFILE.to_owned(), profile.id().to_owned())])
}

fn signal_field(signal: &Signal) -> Field {
    let data_type = match signal.kind {
        ValueKind::Integer => DataType::Int64,
        ValueKind::Number => DataType::Float64,
        ValueKind::Vector => integers_type(),
        _ => DataType::Utf8,
    };
    let mut metadata = HashMap::from([(META_MEANING.to_owned(), signal.meaning.to_string())]);
    if let Some(unit) = &signal.unit {
        metadata.insert(META_UNIT.to_owned(), unit.to_string());
    }
    if matches!(signal.kind, ValueKind::Integer | ValueKind::Vector) {
        metadata.insert(META_SCALE_DIVISOR.to_owned(), signal.scale.divisor.to_string());
        metadata.insert(META_SCALE_OFFSET.to_owned(), signal.scale.offset.to_string());
    }
    Field::new(&*signal.id, data_type, true).with_metadata(metadata)
}
