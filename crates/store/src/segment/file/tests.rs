//! What is written is read again, by arrow and by programs of others, and what is damaged is told.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, DictionaryArray, Float64Array, Float64Builder, Int32Array, Int64Array, ListBuilder,
    StringArray, TimestampNanosecondArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::super::checked::{BlockDamage, CheckedFile, Fault};
use super::*;

const EFFORTS: [Effort; 2] = [Effort::Quick, Effort::Thorough];

/// Rows of every type that a store has, with nulls and steps as wide as can be, from row `start` on.
fn rows(start: usize, count: usize) -> RecordBatch {
    let range = || start as i64..(start + count) as i64;
    let hash = |row: i64| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let word = |row: i64| (row / 50_000) as i32;
    let assets = StringArray::from_iter_values((0..10).map(|asset| format!("vehicle/{}{asset}", start % 2)));
    let asset = DictionaryArray::<Int32Type>::new(Int32Array::from_iter_values(range().map(word)), Arc::new(assets));
    let time = TimestampNanosecondArray::from_iter_values(range().map(|row| (1_790_000_000_000 + row) * 1_000_000));
    let wild = |row: i64| match hash(row) % 5 {
        0 => None,
        1 => Some(i64::MIN),
        2 => Some(i64::MAX),
        3 => Some(-row),
        _ => Some(hash(row) as i64),
    };
    let present = |row: i64| hash(row) % 3 > 0;
    let walk = |row: i64| present(row).then_some(row / 7 + (hash(row) % 5) as i64 - row / 10_000 * 90_000);
    let state = |row: i64| (row % 40_000 > 20_000).then_some(row / 1_000 % 11 - 3);
    let odd = |row: i64| match hash(row) % 40 {
        0 => None,
        1 => Some(f64::INFINITY),
        2 => Some(-0.0),
        _ => Some((row as f64 + 0.3).sqrt()),
    };
    let tenths = |row: i64| present(row).then_some(((hash(row) % 4_000) as f64 - 500.0) / 10.0);
    let mut vector = ListBuilder::new(Float64Builder::new());
    for row in range() {
        (0..row % 3).for_each(|element| vector.values().append_value(element as f64 / 2.0));
        vector.append(row % 4 > 0);
    }
    let text = |row: i64| (row % 9 == 0).then(|| format!("alarm {}", row % 400));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("asset", Arc::new(asset), false),
        ("time", Arc::new(time.with_timezone("UTC")), false),
        ("sequence", Arc::new(UInt32Array::from_iter_values(range().map(|row| hash(row) as u32))), false),
        ("wild", Arc::new(range().map(wild).collect::<Int64Array>()), true),
        ("walk", Arc::new(range().map(walk).collect::<Int64Array>()), true),
        ("state", Arc::new(range().map(state).collect::<Int64Array>()), true),
        ("same", Arc::new(range().map(|_| Some(7)).collect::<Int64Array>()), true),
        ("never", Arc::new(range().map(|_| None).collect::<Int64Array>()), true),
        ("odd", Arc::new(range().map(odd).collect::<Float64Array>()), true),
        ("tenths", Arc::new(range().map(tenths).collect::<Float64Array>()), true),
        ("day", Arc::new(range().map(|row| present(row).then_some(row as i32 % 999)).collect::<Date32Array>()), true),
        ("text", Arc::new(range().map(text).collect::<StringArray>()), true),
        ("vector", Arc::new(vector.finish()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn write(rows: &[RecordBatch], schema: &SchemaRef, effort: Effort) -> (Vec<u8>, FileFacts) {
    let stored = decimal::schema_of_rows(schema, rows);
    let metadata = vec![("tongmai.profile".to_owned(), "car".to_owned())];
    let mut writer = FileWriter::new(Vec::new(), stored, &["asset", "time"], effort, metadata).unwrap();
    for rows in rows {
        writer.write(rows).unwrap();
    }
    writer.finish().unwrap()
}

/// The rows of a file, as the table has them.
fn read(file: CheckedFile, schema: &SchemaRef) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(7_000).build().unwrap();
    let batches = reader.map(|batch| {
        let batch = batch.unwrap();
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()).unwrap());
        RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
    });
    arrow::compute::concat_batches(schema, &batches.collect::<Vec<_>>()).unwrap()
}

fn column_type(metadata: &ParquetMetaData, name: &str) -> String {
    let columns = metadata.file_metadata().schema_descr().columns();
    let column = columns.iter().find(|column| column.path().string() == name).unwrap();
    format!("{:?} {:?}", column.physical_type(), column.logical_type_ref())
}

#[test]
fn rows_of_all_types_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let all = rows(0, 140_000);
    let schema = all.schema();
    let cases: [(&str, Vec<RecordBatch>); 5] = [
        ("no rows", vec![]),
        ("one row", vec![all.slice(1_000, 1)]),
        ("slices that begin within bytes of bits", vec![all.slice(3, 100), all.slice(1_003, 77), all.slice(2_001, 1)]),
        ("two row groups", (0..14).map(|part| all.slice(part * 10_000, 10_000)).collect()),
        ("words of several dictionaries", vec![rows(0, 500), rows(1, 500), rows(140_000, 10)]),
    ];
    for (name, given) in cases {
        for effort in EFFORTS {
            let (bytes, facts) = write(&given, &schema, effort);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(facts.bytes, bytes.len() as u64, "{name}");
            assert_eq!(CheckedFile::examine(&path, Some(facts)).unwrap().1, [], "{name}");
            let file = CheckedFile::open(&path, Some(facts)).unwrap();
            let whole = arrow::compute::concat_batches(&schema, &given).unwrap();
            let has_values = whole.column_by_name("tenths").is_some_and(|tenths| tenths.null_count() < tenths.len());
            assert_eq!(column_type(file.metadata(), "tenths").contains("Decimal"), has_values, "{name}");
            let unchecked = CheckedFile::open(&path, None).unwrap();
            for file in [file, unchecked] {
                let read = read(file, &schema);
                for (index, column) in whole.columns().iter().enumerate() {
                    let name = format!("{name}, {effort:?}, {}", schema.field(index).name());
                    assert_eq!(texts(read.column(index)), texts(column), "{name}");
                }
            }
        }
    }
}

/// Bits of floating-point numbers, and whatever arrow displays of others.
fn texts(column: &ArrayRef) -> Vec<String> {
    let text = |row| match column.data_type() {
        _ if column.is_null(row) => "-".to_owned(),
        DataType::Float64 => format!("{:016x}", column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            (column.as_primitive::<arrow::datatypes::TimestampNanosecondType>().value(row) / 1_000).to_string()
        }
        DataType::Date32 => column.as_primitive::<arrow::datatypes::Date32Type>().value(row).to_string(),
        _ => arrow::util::display::array_value_to_string(column, row).unwrap(),
    };
    (0..column.len()).map(text).collect()
}

#[test]
fn files_are_merged_with_the_scale_that_their_footers_tell() {
    let folder = tempfile::tempdir().unwrap();
    let merged = |columns: &[&[Option<f64>]]| {
        let files: Vec<CheckedFile> = columns
            .iter()
            .enumerate()
            .map(|(file, column)| {
                let column: ArrayRef = Arc::new(column.iter().copied().collect::<Float64Array>());
                let rows = RecordBatch::try_from_iter_with_nullable([("load", column, true)]).unwrap();
                let stored = decimal::schema_of_rows(&rows.schema(), std::slice::from_ref(&rows));
                let mut writer = FileWriter::new(Vec::new(), stored, &[], Effort::Quick, Vec::new()).unwrap();
                writer.write(&rows).unwrap();
                let (bytes, facts) = writer.finish().unwrap();
                let path = folder.path().join(format!("{file}.parquet"));
                std::fs::write(&path, bytes).unwrap();
                CheckedFile::open(&path, Some(facts)).unwrap()
            })
            .collect();
        let schema = Arc::new(Schema::new(vec![Field::new("load", DataType::Float64, true)]));
        let footers: Vec<&ParquetMetaData> = files.iter().map(CheckedFile::metadata).collect();
        // What the footers do not tell is known of these files already: they were written with decimals where that is possible.
        let Ok(stored) = decimal::schema_of_files(&schema, &footers, |_, _| Ok::<_, std::convert::Infallible>(None));
        stored.field(0).data_type().clone()
    };
    assert_eq!(merged(&[]), DataType::Float64);
    assert_eq!(merged(&[&[None], &[None]]), DataType::Float64);
    assert_eq!(merged(&[&[None], &[Some(1.25), None], &[Some(3.5)]]), DataType::Decimal128(18, 2));
    assert_eq!(merged(&[&[Some(1.25)], &[Some(f64::NAN)]]), DataType::Float64);
    // Each has its scale, but there is none for both.
    assert_eq!(merged(&[&[Some(1e15)], &[Some(0.001)]]), DataType::Float64);
}

#[test]
fn rows_of_other_columns_are_refused() {
    let all = rows(0, 10);
    let mut writer = FileWriter::new(Vec::new(), all.schema(), &[], Effort::Quick, Vec::new()).unwrap();
    let refused = writer.write(&all.project(&[0, 1]).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("other columns"), "{refused}");
    let schema = Arc::new(Schema::new(vec![Field::new("load", DataType::Decimal128(18, 1), true)]));
    let mut writer = FileWriter::new(Vec::new(), schema, &[], Effort::Quick, Vec::new()).unwrap();
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.25]));
    writer.write(&RecordBatch::try_from_iter_with_nullable([("load", column, true)]).unwrap()).unwrap();
    let refused = writer.finish().map(|(_, facts)| facts).unwrap_err().to_string();
    assert!(refused.contains("decimal places"), "{refused}");
}

#[test]
fn damage_is_found_wherever_it_is_and_one_bit_is_set_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let all = rows(0, 20_000);
    let (bytes, facts) = write(std::slice::from_ref(&all), &all.schema(), Effort::Quick);
    assert!(facts.checked_bytes > 2 << 16, "{facts:?}");
    std::fs::write(&path, &bytes).unwrap();
    let examine = || CheckedFile::examine(&path, Some(facts)).unwrap();
    for place in [4, 65_535, 65_536, facts.checked_bytes as usize - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x14;
        std::fs::write(&path, &damaged).unwrap();
        let (file, found) = examine();
        let [Fault::Block(BlockDamage { offset, bytes: length })] = found[..] else { panic!("{found:?}") };
        assert!((offset..offset + length).contains(&(place as u64)), "{place}: {found:?}");
        let hit = file.unwrap().hit_by(&found);
        assert!(hit.iter().all(|(group, _)| *group == 0) && !hit.is_empty(), "{place}: {hit:?}");
        let file = CheckedFile::open(&path, Some(facts)).unwrap();
        let read = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let error = read.collect::<Result<Vec<_>, _>>().unwrap_err().to_string();
        assert!(error.contains("is damaged within the"), "{place}: {error}");
    }
    for place in [4, 65_535, 65_536, facts.checked_bytes as usize, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 4;
        std::fs::write(&path, &damaged).unwrap();
        let (file, found) = examine();
        assert_eq!(found, [Fault::Flip { offset: place as u64, bit: 2 }]);
        let read = ParquetRecordBatchReaderBuilder::try_new(file.unwrap()).unwrap().build().unwrap();
        assert_eq!(read.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), all.num_rows(), "{place}");
    }
    let mut damaged = bytes.clone();
    damaged[facts.checked_bytes as usize] ^= 0x14;
    std::fs::write(&path, &damaged).unwrap();
    let (offset, length) = (facts.checked_bytes, facts.bytes - facts.checked_bytes);
    assert_eq!(examine().1, [Fault::Tail(BlockDamage { offset, bytes: length })]);
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert_eq!(examine().1, [Fault::Length { found: facts.bytes - 9, expected: facts.bytes }]);
    assert!(CheckedFile::open(&path, Some(facts)).is_err());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(examine().1, [Fault::Missing]);
}

#[test]
fn a_large_row_group_is_written_before_it_fills_the_memory() {
    let wide = StringArray::from_iter_values((0..300).map(|row| format!("{row}").repeat(400_000)));
    let wide: ArrayRef = Arc::new(wide);
    let rows = RecordBatch::try_from_iter_with_nullable([("text", wide, true)]).unwrap();
    let mut writer = FileWriter::new(Vec::new(), rows.schema(), &[], Effort::Quick, Vec::new()).unwrap();
    writer.write(&rows).unwrap();
    assert!(writer.file.flushed_row_groups().len() >= 2);
    assert!(writer.waiting_bytes <= ROW_GROUP_BYTES);
}

#[test]
fn programs_of_others_read_the_same_values() {
    let script = include_str!("others.py");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let cases = [("many", rows(0, 140_000)), ("one", rows(4, 1)), ("none", rows(0, 0))];
    for (name, all) in cases {
        // Decimals are read as what they are by others; a value of theirs is compared as a text.
        let all = all.project(&(0..12).collect::<Vec<_>>()).unwrap();
        let mut expected = String::new();
        for (field, column) in all.schema().fields().iter().zip(all.columns()) {
            let mut texts = texts(column);
            if field.name() == "tenths" {
                let tenths = column.as_primitive::<Float64Type>();
                texts = tenths
                    .iter()
                    .map(|tenth| tenth.map_or("-".into(), |tenth| format!("{}", (tenth * 10.0).round())))
                    .collect();
            }
            let _ = writeln!(
                expected,
                "{} {} {:08x}",
                field.name(),
                texts.len(),
                crc32fast::hash(texts.join("\n").as_bytes())
            );
        }
        for effort in EFFORTS {
            let given = std::slice::from_ref(&all);
            let (bytes, _) = write(given, &all.schema(), effort);
            std::fs::write(&path, bytes).unwrap();
            for program in ["duckdb", "polars", "pyarrow"] {
                if let Some(said) = run(script, program, &path) {
                    assert_eq!(said, expected, "{program}, {name}, {effort:?}");
                }
            }
        }
    }
}

/// What `program` says of the file at `path`, in the Python that `cargo xtask test` names; `None` where it lacks it.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn run(script: &str, program: &str, path: &Path) -> Option<String> {
    let python = std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into());
    match Command::new(python).arg("-c").arg(script).arg(program).arg(path).output() {
        Ok(read) if read.status.success() => Some(String::from_utf8_lossy(&read.stdout).into_owned()),
        Ok(read) => {
            let said = String::from_utf8_lossy(&read.stderr).into_owned();
            assert!(said.contains("ModuleNotFoundError"), "{program}: {said}");
            eprintln!("skipped: {program} is not installed");
            None
        }
        Err(error) => {
            eprintln!("skipped: python3 does not start: {error}");
            None
        }
    }
}
