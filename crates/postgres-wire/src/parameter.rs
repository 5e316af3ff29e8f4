//! Values of parameters, from the bytes that a client sends. Knows nothing of messages.

use std::str::FromStr;

use jiff::civil;
use jiff::tz::TimeZone;
use model::Timestamp;
use query::postgres::{Parameter, PostgresType, Scalar};

use crate::error::SqlError;
use crate::message::Format;

/// Nanoseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_NANOS: i64 = 946_684_800 * 1_000_000_000;
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
/// The numbers of types whose values are texts, or a text of something else: `unknown`, `varchar`, `bpchar`, `name`.
const TEXTS: [u32; 4] = [705, 1043, 1042, 19];
/// The number of the type `oid`, an integer without a sign.
const OID: u32 = 26;

/// The type with the number `oid`, as far as parameters can have it.
///
/// # Errors
/// When they cannot.
pub(crate) fn kind(oid: u32) -> Result<PostgresType, SqlError> {
    let kind = match oid {
        OID => Some(PostgresType::one(Scalar::Int8)),
        oid if TEXTS.contains(&oid) => Some(PostgresType::one(Scalar::Text)),
        oid => PostgresType::with_oid(oid).filter(|kind| !kind.list),
    };
    kind.ok_or_else(|| SqlError::new("0A000", format!("parameters of the type with number {oid} are not understood")))
}

/// The value in `bytes`, which has the type with the number `oid`.
///
/// # Errors
/// When it is no such value.
pub(crate) fn value(oid: u32, format: Format, bytes: Option<&[u8]>) -> Result<Parameter, SqlError> {
    let Some(bytes) = bytes else { return Ok(Parameter::Null) };
    let kind = kind(oid)?;
    match format {
        Format::Text => text(kind, bytes),
        Format::Binary => binary(oid, kind, bytes),
    }
}

fn wrong(kind: PostgresType, format: Format) -> SqlError {
    let (code, what) = if format == Format::Text { ("22P02", "text") } else { ("22P03", "binary") };
    SqlError::new(code, format!("invalid {what} for a parameter of type {}", kind.name()))
}

fn text(kind: PostgresType, bytes: &[u8]) -> Result<Parameter, SqlError> {
    let wrong = || wrong(kind, Format::Text);
    let text = std::str::from_utf8(bytes).map_err(|_| SqlError::new("22021", "a parameter is not UTF-8"))?;
    let plain = text.trim();
    fn read<T: FromStr>(text: &str) -> Option<T> {
        text.parse().ok()
    }
    let parameter = match kind.scalar {
        Scalar::Bool => match plain.to_ascii_lowercase().as_str() {
            "t" | "true" | "yes" | "on" | "1" => Some(Parameter::Boolean(true)),
            "f" | "false" | "no" | "off" | "0" => Some(Parameter::Boolean(false)),
            _ => None,
        },
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => read(plain).map(Parameter::Integer),
        // Rust reads `Infinity` and `NaN` as PostgreSQL does.
        Scalar::Float4 | Scalar::Float8 | Scalar::Numeric => read(plain).map(Parameter::Number),
        Scalar::Timestamptz | Scalar::Timestamp => moment(plain).map(Parameter::Time),
        // The planner reads the rest from text.
        _ => Some(Parameter::Text(text.to_owned())),
    };
    parameter.ok_or_else(wrong)
}

/// A moment as drivers write it: with an offset, or without one for UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let nanos = |at: jiff::Timestamp| i64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos);
    if let Ok(at) = jiff::Timestamp::from_str(text) {
        return nanos(at);
    }
    // PostgreSQL writes offsets with the hours alone, which RFC 3339 does not know.
    if let Ok(at) = jiff::Timestamp::from_str(&format!("{text}:00")) {
        return nanos(at);
    }
    let local = civil::DateTime::from_str(text).ok()?;
    nanos(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn binary(oid: u32, kind: PostgresType, bytes: &[u8]) -> Result<Parameter, SqlError> {
    let wrong = || wrong(kind, Format::Binary);
    fn fixed<const LENGTH: usize>(bytes: &[u8]) -> Option<[u8; LENGTH]> {
        bytes.try_into().ok()
    }
    let time = |micros: i64| micros.checked_mul(1_000).and_then(|nanos| nanos.checked_add(EPOCH_NANOS));
    let parameter = match kind.scalar {
        _ if oid == OID => fixed(bytes).map(|bytes| Parameter::Integer(u32::from_be_bytes(bytes).into())),
        Scalar::Bool => fixed(bytes).map(|[byte]| Parameter::Boolean(byte != 0)),
        Scalar::Int2 => fixed(bytes).map(|bytes| Parameter::Integer(i16::from_be_bytes(bytes).into())),
        Scalar::Int4 => fixed(bytes).map(|bytes| Parameter::Integer(i32::from_be_bytes(bytes).into())),
        Scalar::Int8 => fixed(bytes).map(|bytes| Parameter::Integer(i64::from_be_bytes(bytes))),
        Scalar::Float4 => fixed(bytes).map(|bytes| Parameter::Number(f32::from_be_bytes(bytes).into())),
        Scalar::Float8 => fixed(bytes).map(|bytes| Parameter::Number(f64::from_be_bytes(bytes))),
        Scalar::Numeric => numeric(bytes).map(Parameter::Number),
        Scalar::Timestamp | Scalar::Timestamptz => {
            let nanos = fixed(bytes).and_then(|bytes| time(i64::from_be_bytes(bytes)));
            nanos.map(|nanos| Parameter::Time(Timestamp::from_nanos(nanos)))
        }
        Scalar::Date => {
            let days = fixed(bytes).map(i32::from_be_bytes);
            let nanos = days.and_then(|days| i64::from(days).checked_mul(DAY_NANOS)?.checked_add(EPOCH_NANOS));
            nanos.map(|nanos| Parameter::Time(Timestamp::from_nanos(nanos)))
        }
        Scalar::Text | Scalar::Json => std::str::from_utf8(bytes).ok().map(|text| Parameter::Text(text.to_owned())),
        Scalar::Time | Scalar::Interval | Scalar::Bytea => {
            let message = format!("parameters of type {} are understood as text only", kind.name());
            return Err(SqlError::new("0A000", message));
        }
    };
    parameter.ok_or_else(wrong)
}

/// A decimal number: digits to the base of ten thousand.
fn numeric(bytes: &[u8]) -> Option<f64> {
    let (head, digits) = bytes.split_first_chunk::<8>()?;
    let count = u16::from_be_bytes([head[0], head[1]]);
    let weight = i16::from_be_bytes([head[2], head[3]]);
    let sign = u16::from_be_bytes([head[4], head[5]]);
    if digits.len() != usize::from(count) * 2 {
        return None;
    }
    // Through text, so that the nearest number is found and not the sum of rounded parts.
    let mut text = match sign {
        0 => "0".to_owned(),
        0x4000 => "-0".to_owned(),
        0xc000 => return Some(f64::NAN),
        0xd000 => return Some(f64::INFINITY),
        0xf000 => return Some(f64::NEG_INFINITY),
        _ => return None,
    };
    for digit in digits.chunks_exact(2) {
        let digit = u16::from_be_bytes([digit[0], digit[1]]);
        text.push_str(&format!("{digit:04}"));
    }
    let exponent = (i32::from(weight) + 1 - i32::from(count)) * 4;
    format!("{text}e{exponent}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(oid: u32, format: Format, bytes: &[u8], expected: &Result<Parameter, &str>) {
        let found = value(oid, format, Some(bytes)).map_err(|error| error.code);
        assert!(found == *expected, "{oid} {bytes:?}: {found:?} instead of {expected:?}");
    }

    #[test]
    fn texts_are_read() {
        let time = |nanos| Ok(Parameter::Time(Timestamp::from_nanos(nanos)));
        check(16, Format::Text, b"true", &Ok(Parameter::Boolean(true)));
        check(20, Format::Text, b" -7 ", &Ok(Parameter::Integer(-7)));
        check(20, Format::Text, b"7.5", &Err("22P02"));
        check(701, Format::Text, b"7.5", &Ok(Parameter::Number(7.5)));
        check(25, Format::Text, b"a b", &Ok(Parameter::Text("a b".to_owned())));
        check(25, Format::Text, b"\xff", &Err("22021"));
        check(1184, Format::Text, b"1970-01-01T00:00:01Z", &time(1_000_000_000));
        check(1184, Format::Text, b"1970-01-01 08:00:01.5+08", &time(1_500_000_000));
        check(1184, Format::Text, b"1970-01-01 00:00:01", &time(1_000_000_000));
        check(1184, Format::Text, b"yesterday", &Err("22P02"));
        check(1007, Format::Text, b"{1}", &Err("0A000"));
        assert_eq!(value(20, Format::Text, None).unwrap(), Parameter::Null);
    }

    #[test]
    fn bytes_are_read() {
        check(21, Format::Binary, &[0xff, 0xfe], &Ok(Parameter::Integer(-2)));
        check(20, Format::Binary, &[0xff, 0xfe], &Err("22P03"));
        check(701, Format::Binary, &1.5_f64.to_be_bytes(), &Ok(Parameter::Number(1.5)));
        let moment = Parameter::Time(Timestamp::from_nanos(946_684_800_000_001_000));
        check(1184, Format::Binary, &1_i64.to_be_bytes(), &Ok(moment));
        check(1184, Format::Binary, &i64::MAX.to_be_bytes(), &Err("22P03"));
        let numeric = [0, 2, 0, 0, 0x40, 0, 0, 1, 0, 12, 0x13, 0x88];
        check(1700, Format::Binary, &numeric, &Ok(Parameter::Number(-12.5)));
        check(1700, Format::Binary, &numeric[..9], &Err("22P03"));
    }
}
