//! How PostgreSQL writes values as text, with its default settings.

use std::fmt::{Arguments, Display, LowerExp, Write};

use arrow::datatypes::IntervalMonthDayNano;
use bytes::{BufMut, BytesMut};

const DAY_MICROS: i64 = 86_400_000_000;

pub(super) fn put(out: &mut BytesMut, text: Arguments<'_>) {
    // Writing into a buffer that grows does not fail.
    let _ = out.write_fmt(text);
}

/// A number: `shown` is the same value in the precision that it has.
pub(super) fn float(out: &mut BytesMut, value: f64, shown: impl Display + LowerExp) {
    if value.is_nan() {
        out.put_slice(b"NaN");
    } else if value.is_infinite() {
        out.put_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if value != 0.0 && !(1e-4..1e15).contains(&value.abs()) {
        let text = format!("{shown:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        put(out, format_args!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
    } else {
        put(out, format_args!("{shown}"));
    }
}

pub(super) fn bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_slice(b"\\x");
    for byte in bytes {
        put(out, format_args!("{byte:02x}"));
    }
}

/// Days since 1970-01-01.
pub(super) fn date(out: &mut BytesMut, days: i32) {
    let (year, month, day) = civil(i64::from(days));
    let shown = if year > 0 { year } else { 1 - year };
    put(out, format_args!("{shown:04}-{month:02}-{day:02}"));
    out.put_slice(if year > 0 { b"" } else { b" BC" });
}

/// Microseconds of a day.
pub(super) fn time(out: &mut BytesMut, micros: i64) {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    if micros != 0 {
        let digits = format!("{micros:06}");
        put(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

/// Microseconds since 1970-01-01.
pub(super) fn timestamp(out: &mut BytesMut, micros: i64) {
    // Microseconds in 64 bits reach the year 294,247, so that the day fits.
    date(out, micros.div_euclid(DAY_MICROS) as i32);
    out.put_u8(b' ');
    time(out, micros.rem_euclid(DAY_MICROS));
}

pub(super) fn interval(out: &mut BytesMut, value: IntervalMonthDayNano) {
    let mut parts = Vec::new();
    let mut count = |number: i32, unit: &str| {
        if number != 0 {
            let many = if number == 1 { "" } else { "s" };
            parts.push(format!("{number} {unit}{many}"));
        }
    };
    count(value.months / 12, "year");
    count(value.months % 12, "mon");
    count(value.days, "day");
    if value.nanoseconds != 0 || parts.is_empty() {
        let micros = value.nanoseconds / 1_000;
        let mut clock = BytesMut::new();
        time(&mut clock, micros.abs());
        let sign = if micros < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}", String::from_utf8_lossy(&clock)));
    }
    out.put_slice(parts.join(" ").as_bytes());
}

/// One element of a list, in quotes where it could be misread.
pub(super) fn element(out: &mut BytesMut, text: &[u8]) {
    let special = |byte: &u8| b"{},\"\\".contains(byte) || byte.is_ascii_whitespace();
    if !text.is_empty() && !text.iter().any(special) && !text.eq_ignore_ascii_case(b"null") {
        return out.put_slice(text);
    }
    out.put_u8(b'"');
    for byte in text {
        if b"\"\\".contains(byte) {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian, by eras of 400 years).
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    // Years are taken to begin in March, so that the day that leap years add comes last.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}
