//! Each type in both forms. The binary forms were taken from what PostgreSQL 15 sends for the same values.

use arrow::array::{
    Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int64Array, ListBuilder, StringBuilder,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};

use super::*;

fn cell(values: &ArrayRef, format: Format) -> Vec<u8> {
    let mut out = BytesMut::new();
    Column::new(values, format).unwrap().put(0, &mut out);
    out.to_vec()
}

#[track_caller]
fn check(values: impl Array + 'static, text: &str, binary: &str) {
    let values: ArrayRef = Arc::new(values);
    let found = cell(&values, Format::Text);
    assert_eq!(String::from_utf8_lossy(&found[4..]), text);
    let found = cell(&values, Format::Binary);
    let length = u32::from_be_bytes([found[0], found[1], found[2], found[3]]);
    assert_eq!(length as usize, found.len() - 4);
    let hex: String = found[4..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, binary, "{text}");
}

#[test]
fn numbers() {
    check(BooleanArray::from(vec![true]), "t", "01");
    check(Int16Array::from(vec![-2]), "-2", "fffe");
    check(UInt32Array::from(vec![u32::MAX]), "4294967295", "00000000ffffffff");
    check(Int64Array::from(vec![i64::MIN]), "-9223372036854775808", "8000000000000000");
    check(Float32Array::from(vec![0.1]), "0.1", "3dcccccd");
    check(Float64Array::from(vec![0.1]), "0.1", "3fb999999999999a");
    check(Float64Array::from(vec![100.0]), "100", "4059000000000000");
    check(Float64Array::from(vec![1e300]), "1e+300", "7e37e43c8800759c");
    check(Float64Array::from(vec![-2.5e-7]), "-2.5e-07", "be90c6f7a0b5ed8d");
    check(Float64Array::from(vec![f64::NEG_INFINITY]), "-Infinity", "fff0000000000000");
    let too_large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    assert_eq!(Column::new(&too_large, Format::Text).err().map(|error| error.code), Some("22003"));
}

#[test]
fn decimals() {
    let decimal = |value: i128, scale: i8| {
        Decimal128Array::from(vec![value]).with_precision_and_scale(20, scale).expect("it is a decimal type")
    };
    check(decimal(1_234_567_890, 4), "123456.7890", "0003000100000004000c0d801ed2");
    check(decimal(0, 4), "0.0000", "0000000000000004");
    check(decimal(-1, 4), "-0.0001", "0001ffff400000040001");
    check(decimal(100_000_000, 4), "10000.0000", "00010001000000040001");
}

#[test]
fn times() {
    let nanos = |value: i64| TimestampNanosecondArray::from(vec![value]).with_timezone("UTC");
    check(nanos(0), "1970-01-01 00:00:00+00", "fffca2fec4c82000");
    check(nanos(1_795_309_200_123_456_789), "2026-11-22 01:00:00.123456+00", "000303d1c3eac640");
    check(nanos(-1_000), "1969-12-31 23:59:59.999999+00", "fffca2fec4c81fff");
    check(TimestampNanosecondArray::from(vec![951_782_400_500_000_000]), "2000-02-29 00:00:00.5", "000004a2e0aac120");
    check(Date32Array::from(vec![-719_162]), "0001-01-01", "fff4dbf9");
    check(Date32Array::from(vec![-719_163]), "0001-12-31 BC", "fff4dbf8");
}

#[test]
fn intervals() {
    let interval = |months, days, nanos| {
        arrow::array::IntervalMonthDayNanoArray::from(vec![arrow::datatypes::IntervalMonthDayNano::new(
            months, days, nanos,
        )])
    };
    let text = "1 year 2 mons 3 days 04:05:06.5";
    check(interval(14, 3, 14_706_500_000_000), text, "000000036c9361a0000000030000000e");
    check(interval(0, 0, -1_500_000_000), "-00:00:01.5", "ffffffffffe91ca00000000000000000");
    check(interval(0, 0, 0), "00:00:00", "00000000000000000000000000000000");
    check(interval(1, 0, 0), "1 mon", "00000000000000000000000000000001");
}

#[test]
fn texts_words_and_lists() {
    check(StringArray::from(vec!["转速"]), "转速", "e8bdace9809f");
    let words: DictionaryArray<Int32Type> = vec!["good"].into_iter().collect();
    check(words, "good", "676f6f64");
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(1.5), None])]);
    let binary = "0000000100000001000002bd0000000200000001000000083ff8000000000000ffffffff";
    check(list, "{1.5,NULL}", binary);
    let mut lists = ListBuilder::new(StringBuilder::new());
    for text in ["a", "", "a b", "null", "\"\\"] {
        lists.values().append_value(text);
    }
    lists.append(true);
    let found = cell(&(Arc::new(lists.finish()) as ArrayRef), Format::Text);
    assert_eq!(&found[4..], br#"{a,"","a b","null","\"\\"}"#);
}

#[test]
fn nothing_is_told_from_an_empty_text() {
    let values: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    assert_eq!(cell(&values, Format::Text), (-1_i32).to_be_bytes());
    let values: ArrayRef = Arc::new(StringArray::from(vec![""]));
    assert_eq!(cell(&values, Format::Text), 0_i32.to_be_bytes());
}
