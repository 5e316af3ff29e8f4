//! Bodies as senders write them, and what becomes of them: every row as one line of text, then every error.

use std::fmt::Write as _;
use std::sync::Arc;

use gateway::series::SeriesNames;
use model::{Profile, Rows, Shape, Signal, Timestamp, Value, ValueKind};

use crate::{Decoded, Position, Precision, Series, SeriesLimits};

/// 2026-01-01T00:00:00Z, when every body is received.
const RECEIVED: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn series() -> Series {
    Series::new(SeriesLimits::default(), SeriesNames::default(), &["signals"])
}

fn limited(measurements_max: usize, fields_max: usize, assets_max: usize) -> Series {
    let limits = SeriesLimits { measurements_max, fields_max, assets_max };
    Series::new(limits, SeriesNames::default(), &[])
}

fn decode(series: &mut Series, body: &[u8], precision: Precision) -> Vec<Decoded> {
    let mut position = Position::default();
    let mut pieces = Vec::new();
    while position.offset < body.len() {
        pieces.push(series.decode(body, &mut position, RECEIVED, precision));
    }
    let ends = body.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(position.lines, ends + u64::from(!body.is_empty() && !body.ends_with(b"\n")));
    pieces
}

fn shown(pieces: &[Decoded]) -> String {
    let mut text = String::new();
    for batch in pieces.iter().flat_map(|piece| &piece.batches) {
        let Rows::Frames(frames) = &batch.rows else { panic!("lines become frames") };
        for row in 0..frames.len() {
            let asset = &frames.assets[usize::from(frames.asset[row])];
            let (time, sequence) = (frames.time[row].nanos(), frames.sequence[row]);
            let _ = write!(text, "{} {asset} {time}", batch.profile.id());
            if sequence > 0 {
                let _ = write!(text, "#{sequence}");
            }
            for said in frames.observations_of(row) {
                let id = &batch.profile.signal(said.signal).id;
                let _ = match said.value {
                    Value::Number(number) => write!(text, " {id}={number:?}"),
                    Value::Integer(integer) => write!(text, " {id}={integer}i"),
                    Value::Text(said) => write!(text, " {id}={said:?}"),
                    other => write!(text, " {id}={other:?}"),
                };
            }
            text.push('\n');
        }
    }
    for error in pieces.iter().flat_map(|piece| &piece.errors) {
        let _ = writeln!(text, "{error}");
    }
    text
}

#[track_caller]
fn check_with(series: &mut Series, body: &str, expected: &str) {
    assert_eq!(shown(&decode(series, body.as_bytes(), Precision::Nanoseconds)), expected, "{body}");
}

#[track_caller]
fn check(body: &str, expected: &str) {
    check_with(&mut series(), body, expected);
}

/// From the references of InfluxDB 1.8 and 2.7, "Line protocol".
#[test]
fn published_examples() {
    for (body, expected) in [
        (
            "weather,location=us-midwest temperature=82 1465839830100400200",
            "weather device/weather,location=us-midwest 1465839830100400200 temperature=82.0\n",
        ),
        (
            "weather,location=us-midwest,season=summer temperature=82 1465839830100400200",
            "weather device/weather,location=us-midwest,season=summer 1465839830100400200 temperature=82.0\n",
        ),
        ("weather temperature=82 1465839830100400200", "weather device/weather 1465839830100400200 temperature=82.0\n"),
        (
            "weather,location=us-midwest temperature=82,humidity=71 1465839830100400200",
            "weather device/weather,location=us-midwest 1465839830100400200 temperature=82.0 humidity=71.0\n",
        ),
        (
            "weather,location=us-midwest temperature=82",
            "weather device/weather,location=us-midwest 1767225600000000000 temperature=82.0\n",
        ),
        (
            "weather,location=us-midwest temperature=82i 1465839830100400200",
            "weather device/weather,location=us-midwest 1465839830100400200 temperature=82i\n",
        ),
        (
            "weather,location=us-midwest temperature=\"too warm\" 1465839830100400200",
            "weather device/weather,location=us-midwest 1465839830100400200 temperature=\"too warm\"\n",
        ),
        (
            "weather,location=us-midwest too_hot=true 1465839830100400200",
            "weather device/weather,location=us-midwest 1465839830100400200 too_hot=1i\n",
        ),
        (
            "weather,location\\ place=us-midwest temperature=82 1465839830100400200",
            "weather device/weather,location%20place=us-midwest 1465839830100400200 temperature=82.0\n",
        ),
        (
            "wea\\,ther,location=us-midwest temperature=82 1465839830100400200",
            "wea_ther device/wea%2Cther,location=us-midwest 1465839830100400200 temperature=82.0\n",
        ),
        (
            "wea\\ ther,location=us-midwest temp\\=rature=82 1465839830100400200",
            "wea_ther device/wea%20ther,location=us-midwest 1465839830100400200 temp=rature=82.0\n",
        ),
        (
            "weather,location=us-midwest temperature=\"too\\\"hot\\\"\" 1465839830100400200",
            "weather device/weather,location=us-midwest 1465839830100400200 temperature=\"too\\\"hot\\\"\"\n",
        ),
        (
            "weather,location=us-midwest temperature_str=\"too hot/cold\" 1465839830100400201\n\
             weather,location=us-midwest temperature_str=\"too hot\\cold\" 1465839830100400202\n\
             weather,location=us-midwest temperature_str=\"too hot\\\\cold\" 1465839830100400203\n\
             weather,location=us-midwest temperature_str=\"too hot\\\\\\cold\" 1465839830100400204\n\
             weather,location=us-midwest temperature_str=\"too hot\\\\\\\\cold\" 1465839830100400205\n",
            "weather device/weather,location=us-midwest 1465839830100400201 temperature_str=\"too hot/cold\"\n\
             weather device/weather,location=us-midwest 1465839830100400202 temperature_str=\"too hot\\\\cold\"\n\
             weather device/weather,location=us-midwest 1465839830100400203 temperature_str=\"too hot\\\\cold\"\n\
             weather device/weather,location=us-midwest 1465839830100400204 temperature_str=\"too hot\\\\\\\\cold\"\n\
             weather device/weather,location=us-midwest 1465839830100400205 temperature_str=\"too hot\\\\\\\\cold\"\n",
        ),
        ("myMeasurement fieldKey=1.0\n", "mymeasurement device/myMeasurement 1767225600000000000 fieldKey=1.0\n"),
        (
            "myMeasurement fieldKey=-1.234456e+78",
            "mymeasurement device/myMeasurement 1767225600000000000 fieldKey=-1.234456e78\n",
        ),
        (
            "myMeasurement fieldKey=12485903u",
            "mymeasurement device/myMeasurement 1767225600000000000 fieldKey=12485903i\n",
        ),
        (
            "# This is a comment\nmyMeasurement fieldKey=\"string value\" 1556813561098000000",
            "mymeasurement device/myMeasurement 1556813561098000000 fieldKey=\"string value\"\n",
        ),
        (
            "myMeasurement,tagKey=🍭 fieldKey=\"Launch 🚀\" 1556813561098000000",
            "mymeasurement device/myMeasurement,tagKey=🍭 1556813561098000000 fieldKey=\"Launch 🚀\"\n",
        ),
        (
            "\"my\\ Measurement\",tag\\ Key1=tag\\ Value1 fieldKey=100",
            "m__my_measurement_ device/\"my%20Measurement\",tag%20Key1=tag%20Value1 1767225600000000000 fieldKey=100.0\n",
        ),
    ] {
        check(body, expected);
    }
}

#[test]
fn every_kind_of_value_in_every_spelling() {
    check(
        "   # comment\n somename,tag1=val1,tag2=val2  f=1,s=\"hello\",i=-1i,u=1u,b=true  7 \r\n\r\n\n",
        "somename device/somename,tag1=val1,tag2=val2 7 f=1.0 s=\"hello\" i=-1i u=1i b=1i\n",
    );
    for (word, value) in ["t", "T", "true", "True", "TRUE"]
        .map(|word| (word, 1))
        .into_iter()
        .chain(["f", "F", "false", "False", "FALSE"].map(|word| (word, 0)))
    {
        check(&format!("m b={word} 1"), &format!("m device/m 1 b={value}i\n"));
    }
    check(
        "m i=-9223372036854775808i,u=9223372036854775807u -5",
        "m device/m -5 i=-9223372036854775808i u=9223372036854775807i\n",
    );
    check("m s=\"\",t=\"two\nlines\" 1", "m device/m 1 s=\"\" t=\"two\\nlines\"\n");
    check(
        "m,a=1=1 f=1\nm\\=x,p=C:\\dir\\ f\\=2 f=3 9",
        "\
        m__x device/m\\%3Dx,p=C:\\dir%20f%3D2 9 f=3.0\n\
        line 1, byte 6: invalid tag: expected `,`, a space, or a backslash before `=`, got `=1`\n",
    );
}

#[test]
fn time_stamps_are_of_the_precision_that_is_named() {
    for (precision, nanos) in [
        ("", 1),
        ("n", 1),
        ("ns", 1),
        ("u", 1_000),
        ("us", 1_000),
        ("µ", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000_i64),
        ("h", 3_600_000_000_000),
    ] {
        let pieces = decode(&mut series(), b"m f=1 -2", precision.parse().unwrap());
        assert_eq!(shown(&pieces), format!("m device/m {} f=1.0\n", -2 * nanos));
    }
    assert!("fortnight".parse::<Precision>().is_err());
    let pieces = decode(&mut series(), b"m f=1 9223372036855", Precision::Milliseconds);
    assert!(shown(&pieces).contains("byte 7: invalid time stamp: expected a time between the years 1677 and 2262"));
}

#[test]
fn a_bad_line_costs_only_itself_and_is_told_with_its_place() {
    check(
        "good f=1 1\n\
         bad\n\
         bad,\n\
         bad,tag f=1\n\
         bad,tag= f=1\n\
         bad,=x f=1\n\
         bad,a=1,a=2 f=1\n\
         ,a=1 f=1\n\
         bad f\n\
         bad f=\n\
         bad f=1,\n\
         bad f=Happy,g=sad\n\
         bad f=1i5\n\
         bad f=1 12x\n\
         bad f=1 1 2\n\
         bad f=1 g=2\n\
         bad f=1,f=2\n\
         bad f=\"never closed\n\
         bad f=9223372036854775808i\n\
         bad f=9223372036854775808u\n\
         bad f=-1u\n\
         bad f=1e999\n\
         bad f=1 9223372036854775808\n\
         bad f\x01=1\n\
         good f=2 2\n",
        "good device/good 1 f=1.0\n\
         good device/good 2 f=2.0\n\
         line 2, byte 4: missing fields: expected a space and fields, got the end of the line\n\
         line 3, byte 5: missing fields: expected a space and fields, got the end of the line\n\
         line 4, byte 8: invalid tag: expected `=` and a tag value, got a space\n\
         line 5, byte 9: invalid tag: expected a tag value, got a space\n\
         line 6, byte 5: invalid tag: expected a tag key, got `=x`\n\
         line 7, byte 1: invalid tag: expected every tag once, got `bad,a=1,a=2`\n\
         line 8, byte 1: invalid measurement: expected a measurement, got `,a=1`\n\
         line 9, byte 6: invalid field key: expected `=` and a value behind the field key, got the end of the line\n\
         line 10, byte 7: invalid field value: expected a number, a boolean or a text in quotes, got the end of the line\n\
         line 11, byte 9: missing fields: expected a field key, got the end of the line\n\
         line 12, byte 7: invalid field value: expected a number, a boolean or a text in quotes, got `Happy,g=sad`\n\
         line 13, byte 9: invalid field value: expected `,`, a space or the end of the line, got `5`\n\
         line 14, byte 9: invalid time stamp: expected an integer of 64 bits, got `12x`\n\
         line 15, byte 11: invalid time stamp: expected the end of the line, got `2`\n\
         line 16, byte 9: invalid time stamp: expected an integer of 64 bits, got `g=2`\n\
         line 17, byte 9: invalid field key: expected every field once, got `f=2`\n\
         line 18, byte 7: invalid field value: expected a closing quote, got `\\\"never`\n\
         line 19, byte 7: invalid field value: expected an integer of 64 bits, got `9223372036854775808i`\n\
         line 20, byte 7: invalid field value: expected an unsigned integer up to 9223372036854775807, got `9223372036854775808u`\n\
         line 21, byte 7: invalid field value: expected an unsigned integer up to 9223372036854775807, got `-1u`\n\
         line 22, byte 7: invalid field value: expected a number within the range of 64-bit floats, got `1e999`\n\
         line 23, byte 9: invalid time stamp: expected an integer of 64 bits, got `9223372036854775808`\n\
         line 24, byte 6: invalid field key: expected `=` and a value behind the field key, got `\\x01=1`\n",
    );
}

#[test]
fn a_bad_line_with_a_text_of_many_lines_ends_where_its_text_does() {
    check(
        "m a=nonsense,s=\"one\ninjected f=1\n\" 1\nm a=1,s=\"x\ny\" 2\nm a=x 3\n",
        "m device/m 2 a=1.0 s=\"x\\ny\"\n\
         line 1, byte 5: invalid field value: expected a number, a boolean or a text in quotes, got `nonsense,s=\\\"one`\n\
         line 6, byte 5: invalid field value: expected a number, a boolean or a text in quotes, got `x`\n",
    );
}

#[test]
fn a_bad_line_may_begin_with_spaces() {
    check(
        "  bad\n  m a=x,s=\"1\n2\" 1\n  m a=1 1",
        "m device/m 1 a=1.0\n\
         line 1, byte 6: missing fields: expected a space and fields, got the end of the line\n\
         line 2, byte 7: invalid field value: expected a number, a boolean or a text in quotes, got `x,s=\\\"1`\n",
    );
}

#[test]
fn what_is_no_text_is_refused() {
    let pieces =
        decode(&mut series(), b"m,t=\xff f=1\nm f=\"a\xfe\" 1\nm f\xfd=1\nm f=\"b\" 2", Precision::Nanoseconds);
    let expected = "m device/m 2 f=\"b\"\n\
        line 1, byte 5: invalid UTF-8: expected UTF-8, got `\\xff`\n\
        line 2, byte 7: invalid UTF-8: expected UTF-8 in a text, got `\\xfe\\\"`\n\
        line 3, byte 3: invalid UTF-8: expected UTF-8 in a field key, got `f\\xfd=1`\n";
    assert_eq!(shown(&pieces), expected);
}

#[test]
fn lines_of_one_asset_and_time_become_one_row_unless_they_contradict() {
    check(
        "m,t=a x=1 5\nm,t=b x=1 5\nm,t=a y=2 5\nm,t=a x=1,z=\"q\" 5\nm,t=a x=9 5\nm,t=a y=2 5\nm,t=a z=\"r\" 5\n",
        "m device/m,t=a 5 x=1.0 y=2.0 z=\"q\"\n\
         m device/m,t=b 5 x=1.0\n\
         m device/m,t=a 5#8192 x=9.0 y=2.0 z=\"r\"\n",
    );
}

#[test]
fn rows_are_the_same_however_their_fields_are_spread_over_bodies() {
    let mut known = series();
    check_with(&mut known, "m a=1,b=2,c=3 1", "m device/m 1 a=1.0 b=2.0 c=3.0\n");
    for (body, expected) in [
        ("m a=4 2", "m device/m 2 a=4.0\n"),
        ("m b=5 2", "m device/m 2#1 b=5.0\n"),
        ("m c=6,b=5 2", "m device/m 2#1 b=5.0 c=6.0\n"),
        ("m c=6 2", "m device/m 2#2 c=6.0\n"),
    ] {
        check_with(&mut known, body, expected);
    }
}

#[test]
fn a_field_that_changes_its_type_costs_its_line() {
    let mut known = series();
    check_with(&mut known, "m x=1,n=2i 1", "m device/m 1 x=1.0 n=2i\n");
    check_with(
        &mut known,
        "m x=1i 2\nm n=true 3\nm new=1,x=\"y\" 4\nm x=3,n=4u 5\nm new=\"text\" 6",
        "m device/m 5 x=3.0 n=4i\n\
         m device/m 6#2 new=\"text\"\n\
         line 1, byte 5: field type conflict: expected a value of type float, which the field has had so far, got `1i`\n\
         line 2, byte 5: field type conflict: expected a value of type integer, which the field has had so far, got `true`\n\
         line 3, byte 11: field type conflict: expected a value of type float, which the field has had so far, got `\\\"y\\\"`\n",
    );
}

#[test]
fn names_that_are_taken_give_way() {
    check(
        "m time=1,asset=\"x\",exceptions=2i,sequence=3,received=4 5\nsignals v=1 6\nCPU v=1 7\ncpu v=2 7\n温度 v=3 8",
        "m device/m 5 time_=1.0 asset_=\"x\" exceptions_=2i sequence_=3.0 received_=4.0\n\
         signals_2733eb8e device/signals 6 v=1.0\n\
         cpu device/CPU 7 v=1.0\n\
         cpu_0cb314c9 device/cpu 7 v=2.0\n\
         m_b6193675 device/温度 8 v=3.0\n",
    );
}

#[test]
fn after_a_restart_everything_has_the_name_that_it_had() {
    let mut before = series();
    let pieces = decode(&mut before, b"CPU a=1,time=2i,on=t 1", Precision::Nanoseconds);
    let profile = Arc::clone(&pieces[0].batches[0].profile);
    let foreign = vec![Signal::new("a", "mtconnect:LOAD", ValueKind::Number)];
    let foreign = Arc::new(Profile::new("lathe", Shape::Changes, foreign).unwrap());
    let mut after = series();
    after.remember(&profile);
    after.remember(&foreign);
    check_with(
        &mut after,
        "cpu a=\"free\" 1\nCPU on=f,a=2,time=3i 2\nCPU a=1i 3\nlathe a=1 4",
        "cpu device/CPU 2 a=2.0 time_=3i on=0i\n\
         cpu_0cb314c9 device/cpu 1 a=\"free\"\n\
         lathe_38263585 device/lathe 4 a=1.0\n\
         line 3, byte 7: field type conflict: expected a value of type float, which the field has had so far, got `1i`\n",
    );
    let again = decode(&mut after, b"CPU a=5 9", Precision::Nanoseconds);
    assert!(Arc::ptr_eq(&again[0].batches[0].profile, &profile), "the profile is the same as long as nothing grows");
}

#[test]
fn at_a_bound_the_line_is_refused_and_the_bound_is_named() {
    check_with(
        &mut limited(1, 10, 10),
        "a f=1 1\nb f=1 1\na f=2 2",
        "a device/a 1 f=1.0\na device/a 2 f=2.0\n\
         line 2, byte 1: limit reached: expected at most 1 measurements (write.measurements_max), got `b`\n",
    );
    check_with(
        &mut limited(10, 2, 10),
        "a x=1 1\na x=2,y=3,z=4 2\na y=5 3",
        "a device/a 1 x=1.0\na device/a 3#1 y=5.0\n\
         line 2, byte 11: limit reached: expected at most 2 fields in a measurement (write.fields_max), got `z=4`\n",
    );
    check_with(
        &mut limited(10, 10, 1),
        "a,t=1 x=1 1\na,t=2 x=2 2\na,t=1 x=3 3",
        "a device/a,t=1 1 x=1.0\na device/a,t=1 3 x=3.0\n\
         line 2, byte 1: limit reached: expected at most 1 assets (write.assets_max), got `a,t=2`\n",
    );
    let long = format!("a s=\"{}\" 1\na x=1 2\n", "x".repeat(1 << 20));
    let text = shown(&decode(&mut series(), long.as_bytes(), Precision::Nanoseconds));
    assert!(
        text.starts_with("a device/a 2 x=1.0\nline 1, byte 5: invalid field value: expected a closing quote"),
        "{text}"
    );
    let key = "k".repeat(121);
    check(
        &format!("a {key}=1 1"),
        &format!(
            "line 1, byte 3: limit reached: expected a field key of at most 120 bytes, got `{}…`\n",
            "k".repeat(40)
        ),
    );
}

#[test]
fn bad_lines_use_up_no_bound() {
    let mut known = limited(1, 2, 1);
    let bad = "a,t=1 x=1,y=nonsense 1\nb x= 1\n";
    assert_eq!(decode(&mut known, bad.as_bytes(), Precision::Nanoseconds)[0].rejected_lines(), 2);
    check_with(&mut known, "c,t=2 p=1,q=2 1", "c device/c,t=2 1 p=1.0 q=2.0\n");
    let bad = "c,t=2 p=1,r=1 1\nc,t=2 p=1 1 1\n";
    assert_eq!(decode(&mut known, bad.as_bytes(), Precision::Nanoseconds)[0].rejected_lines(), 2);
}

#[test]
fn a_body_with_much_in_it_comes_in_pieces_and_batches() {
    let mut body = String::new();
    for line in 0..25_000 {
        let _ = writeln!(body, "m,asset={} v={line} {line}", line % 7);
    }
    let pieces = decode(&mut series(), body.as_bytes(), Precision::Nanoseconds);
    let rows: Vec<usize> = pieces.iter().flat_map(|piece| &piece.batches).map(model::Batch::len).collect();
    assert_eq!(rows, [10_000, 10_000, 5_000]);
    // 1,000 fields, of which each line has one.
    let mut sparse = String::from("m ");
    for field in 0..1_000 {
        let _ = write!(sparse, "f{field}=0,");
    }
    sparse.pop();
    sparse.push_str(" 0\n");
    for line in 1..20_000 {
        let _ = writeln!(sparse, "m f{}=1 {line}", line % 1_000);
    }
    let pieces = decode(&mut series(), sparse.as_bytes(), Precision::Nanoseconds);
    let batches: Vec<&model::Batch> = pieces.iter().flat_map(|piece| &piece.batches).collect();
    assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 20_000);
    assert!(pieces.len() >= 4 && batches.iter().all(|batch| batch.len() * 1_000 <= 1 << 20), "{} pieces", pieces.len());
    assert_eq!(pieces.iter().map(|piece| piece.fields).sum::<u64>(), 20_999);
}

#[test]
fn rows_before_a_growth_and_after_it_are_both_whole() {
    let mut body = String::new();
    for line in 0..5_000 {
        let _ = writeln!(body, "m a=1 {line}");
    }
    body.push_str("m ");
    for field in 0..100 {
        let _ = write!(body, "f{field}=0,");
    }
    body.push_str("a=2 5000\nm f3=1 17\n");
    let pieces = decode(&mut series(), body.as_bytes(), Precision::Nanoseconds);
    let batches: Vec<_> = pieces[0].batches.iter().map(|batch| (batch.len(), batch.profile.signals().len())).collect();
    assert_eq!(batches, [(5_000, 1), (2, 101)]);
    let text = shown(&pieces);
    assert!(text.ends_with("\nm device/m 17#8196 f3=1.0\n"), "{}", &text[text.len() - 60..]);
}

#[test]
fn an_error_is_counted_even_when_it_is_not_told() {
    let body = "nonsense\n".repeat(1_000);
    let pieces = decode(&mut series(), body.as_bytes(), Precision::Nanoseconds);
    assert_eq!((pieces[0].errors.len(), pieces[0].rejected_lines(), pieces[0].lines), (100, 1_000, 1_000));
    assert_eq!(&body.as_bytes()[pieces[0].errors[7].bytes.clone()], b"nonsense");
}

proptest::proptest! {
    /// Whatever is in a line, the lines beside it are kept, and all are accounted for.
    #[test]
    fn nothing_harms_the_lines_beside_it(middle in "[mf=,\\\\ \"1i.e\\-#\rtrue\u{e4}]{0,40}") {
        // Quotes of the middle line could reach into the last one.
        let body = format!("first,k=v f=1 1\n{}\nlast,k=v f=2 2\n", middle.replace('"', "'"));
        let pieces = decode(&mut series(), body.as_bytes(), Precision::Nanoseconds);
        let text = shown(&pieces);
        proptest::prop_assert!(text.contains("first device/first,k=v 1 f=1.0\n"), "{text}");
        proptest::prop_assert!(text.contains("last device/last,k=v 2 f=2.0\n"), "{text}");
        let rows: u64 = pieces[0].batches.iter().map(|batch| batch.len() as u64).sum();
        proptest::prop_assert_eq!(pieces[0].lines, rows + pieces[0].rejected_lines());
    }
}

#[test]
fn a_field_is_known_by_its_whole_name() {
    let names = ["f", "fifteen_bytes_x", "sixteen_bytes_xx", "seventeen_bytes_x", "seventeen_bytes_y", "fi"];
    let mut known = series();
    for (time, name) in names.iter().chain(&names).enumerate() {
        let place = names.iter().position(|other| other == name).unwrap();
        let sequence = if place == 0 { String::new() } else { format!("#{place}") };
        check_with(&mut known, &format!("m {name}=1 {time}"), &format!("m device/m {time}{sequence} {name}=1.0\n"));
        let other = format!("m {name}=1,{}=2 {time}{}", names[(place + 1) % names.len()], " ".repeat(20));
        decode(&mut known, other.as_bytes(), Precision::Nanoseconds);
    }
}
