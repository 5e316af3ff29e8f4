//! Answers as people and programs want them: an aligned table, CSV, JSON, Parquet. Knows no query.

use std::fmt::Write as _;
use std::io::{self, Write};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::json::{LineDelimitedWriter, WriterBuilder as JsonWriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Serialize, Serializer};

/// Rows that a Parquet file is written by, which are held in memory.
const ROW_GROUP_ROWS: usize = 262_144;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned, for reading.
    Table,
    /// RFC 4180, with a header.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    JsonLines,
    /// A Parquet file.
    Parquet,
}

/// Writes one answer, batch by batch. A table is held back until its end, since its columns have to be aligned.
pub struct AnswerWriter<W: Write + Send> {
    schema: SchemaRef,
    form: Form<W>,
    rows: u64,
}

enum Form<W: Write + Send> {
    Table(W, Vec<RecordBatch>),
    Csv(Box<arrow::csv::Writer<W>>),
    Json(W),
    JsonLines(Box<LineDelimitedWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> AnswerWriter<W> {
    /// Begins an answer with the columns of `schema`.
    ///
    /// # Errors
    /// When `output` refuses.
    pub fn new(format: Format, schema: SchemaRef, output: W) -> io::Result<Self> {
        let form = match format {
            Format::Table => Form::Table(output, Vec::new()),
            Format::Csv => Form::Csv(Box::new(CsvWriterBuilder::new().with_header(true).build(output))),
            Format::Json => Form::Json(output),
            Format::JsonLines => {
                let writer = JsonWriterBuilder::new().with_explicit_nulls(true).build(output);
                Form::JsonLines(Box::new(writer))
            }
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let writer =
                    ArrowWriter::try_new(output, schema.clone(), Some(properties)).map_err(io::Error::other)?;
                Form::Parquet(Box::new(writer))
            }
        };
        Ok(Self { schema, form, rows: 0 })
    }

    /// Adds the rows of `batch`.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        match &mut self.form {
            Form::Table(_, batches) => batches.push(batch.clone()),
            Form::Csv(writer) => writer.write(&plain(batch)).map_err(io::Error::other)?,
            Form::JsonLines(writer) => writer.write(batch).map_err(io::Error::other)?,
            Form::Parquet(writer) => writer.write(batch).map_err(io::Error::other)?,
            Form::Json(output) => {
                for row in 0..batch.num_rows() {
                    output.write_all(if self.rows + row as u64 == 0 { b"[\n" } else { b",\n" })?;
                    let fields = self.schema.fields().iter().zip(batch.columns());
                    let object = fields.map(|(field, column)| (field.name().clone(), json_value(column, row)));
                    let object = serde_json::Value::Object(object.collect());
                    output.write_all(object.to_string().as_bytes())?;
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Ends the answer; returns the number of rows.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn finish(self) -> io::Result<u64> {
        match self.form {
            Form::Table(mut output, batches) => output.write_all(aligned(&self.schema, &batches).as_bytes())?,
            Form::Csv(mut writer) if self.rows == 0 => {
                // The header stands in front of the first batch; an empty answer has one too.
                writer.write(&plain(&RecordBatch::new_empty(self.schema))).map_err(io::Error::other)?;
            }
            Form::Csv(_) => {}
            Form::Json(mut output) => output.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })?,
            Form::JsonLines(mut writer) => writer.finish().map_err(io::Error::other)?,
            Form::Parquet(writer) => drop(writer.close().map_err(io::Error::other)?),
        }
        Ok(self.rows)
    }
}

/// The batch with dictionaries and lists as text, which CSV has no other way to say.
fn plain(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let texts = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        let nested = column.data_type().is_nested();
        let column: ArrayRef = if nested {
            let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| json_value(column, row).to_string()));
            std::sync::Arc::new(texts.collect::<arrow::array::StringArray>())
        } else {
            column.clone()
        };
        (field.name().clone(), column)
    });
    RecordBatch::try_from_iter(texts).unwrap_or_else(|_| batch.clone())
}

/// Rows as an aligned table, numbers to the right, with as few lines as can be.
fn aligned(schema: &SchemaRef, batches: &[RecordBatch]) -> String {
    let numeric: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
    let mut lines: Vec<Vec<String>> = vec![schema.fields().iter().map(|field| field.name().clone()).collect()];
    for batch in batches {
        for row in 0..batch.num_rows() {
            lines.push(batch.columns().iter().map(|column| cell(column, row)).collect());
        }
    }
    let width = |column: usize| lines.iter().map(|line| columns_of(&line[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..numeric.len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).zip(&numeric).map(|((cell, width), numeric)| {
            let space = " ".repeat(width - columns_of(cell));
            if *numeric { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        if number == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            let _ = writeln!(text, "{}", rules.join("  "));
        }
    }
    text
}

/// The columns a text takes on a terminal: East Asian characters take two.
fn columns_of(text: &str) -> usize {
    text.chars().map(|c| if matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe4f | 0xff00..=0xff60 | 0xffe0..=0xffe6) { 2 } else { 1 }).sum()
}

fn cell(column: &ArrayRef, row: usize) -> String {
    match json_value(column, row) {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A column whose values become JSON one by one.
pub struct JsonColumn<'a> {
    column: &'a ArrayRef,
    /// For times: to make one anew for each value costs more than the value.
    formatter: Option<ArrayFormatter<'a>>,
}

impl<'a> JsonColumn<'a> {
    /// Values of `column`.
    pub fn new(column: &'a ArrayRef) -> Self {
        let has_times = matches!(column.data_type(), DataType::Timestamp(..));
        let formatter = has_times.then(|| ArrayFormatter::try_new(column, &FORMAT).ok()).flatten();
        Self { column, formatter }
    }

    /// The value in `row`.
    pub fn cell(&self, row: usize) -> JsonCell<'_> {
        JsonCell { column: self.column, formatter: self.formatter.as_ref(), row }
    }
}

static FORMAT: FormatOptions<'static> = FormatOptions::new();

/// One value as JSON, written without being made first: there may be many, and a list may be long. See [`json_value`].
pub struct JsonCell<'a> {
    column: &'a ArrayRef,
    formatter: Option<&'a ArrayFormatter<'a>>,
    row: usize,
}

impl Serialize for JsonCell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { column, formatter, row } = *self;
        if column.is_null(row) {
            return serializer.serialize_unit();
        }
        let cell = |column, row| JsonCell { column, formatter: None, row };
        match (column.data_type(), formatter) {
            (DataType::Float64, _) => serializer.serialize_f64(column.as_primitive::<Float64Type>().value(row)),
            (DataType::Int64, _) => serializer.serialize_i64(column.as_primitive::<Int64Type>().value(row)),
            (DataType::Utf8, _) => serializer.serialize_str(column.as_string::<i32>().value(row)),
            (DataType::Utf8View, _) => serializer.serialize_str(column.as_string_view().value(row)),
            (DataType::Dictionary(key, _), _) if **key == DataType::Int32 => {
                let words = column.as_dictionary::<Int32Type>();
                cell(words.values(), words.keys().value(row) as usize).serialize(serializer)
            }
            (_, Some(formatter)) => serializer.collect_str(&formatter.value(row)),
            (DataType::List(_), _) => {
                let elements = column.as_list::<i32>().value(row);
                let column = JsonColumn::new(&elements);
                serializer.collect_seq((0..elements.len()).map(|row| column.cell(row)))
            }
            (DataType::Struct(fields), _) => {
                let columns = fields.iter().zip(column.as_struct().columns());
                serializer.collect_map(columns.map(|(field, column)| (field.name(), cell(column, row))))
            }
            _ => json_value(column, row).serialize(serializer),
        }
    }
}

/// One value as JSON: times as RFC 3339, numbers as numbers, what JSON has no number for as null.
pub fn json_value(column: &ArrayRef, row: usize) -> serde_json::Value {
    use serde_json::Value;
    if column.is_null(row) {
        return Value::Null;
    }
    macro_rules! number {
        ($type:ty) => {
            Value::from(column.as_primitive::<$type>().value(row))
        };
    }
    match column.data_type() {
        DataType::Boolean => Value::from(column.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        DataType::Utf8 => Value::from(column.as_string::<i32>().value(row)),
        DataType::Utf8View => Value::from(column.as_string_view().value(row)),
        DataType::Dictionary(key, _) if **key == DataType::Int32 => {
            let words = column.as_dictionary::<Int32Type>();
            json_value(words.values(), words.keys().value(row) as usize)
        }
        DataType::List(_) => {
            let elements = column.as_list::<i32>().value(row);
            (0..elements.len()).map(|place| json_value(&elements, place)).collect()
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            Value::Object(columns.map(|(field, column)| (field.name().clone(), json_value(column, row))).collect())
        }
        _ => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(column, &options).map(|formatter| formatter.value(row).to_string());
            text.map_or(Value::Null, Value::from)
        }
    }
}
