//! Where the parts of a line begin and end, and what its numbers are. Knows no series and keeps nothing.
//!
//! The grammar is that of InfluxDB: in names a backslash escapes a comma, an equals sign or a space and is a backslash
//! before anything else; in quoted texts it escapes a quote or a backslash. A quoted text may hold line ends.

use memchr::{memchr, memchr2};

use crate::fault::{self, Fault};

/// The longest line, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// One value as it stands in a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar {
    Number(f64),
    Integer(i64),
    Boolean(bool),
    /// The bytes between the quotes.
    Text {
        begin: u32,
        end: u32,
        escapes: bool,
    },
}

type Scanned<T> = Result<(T, usize), Box<Fault>>;

/// The first place from `at` on that holds no space.
pub(crate) fn skip_spaces(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

/// Whether the line ends at `at`.
pub(crate) fn is_line_end(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..).unwrap_or_default(), [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..])
}

/// The end of measurement and tags, which is the first space that is not escaped. They begin with none.
pub(crate) fn series_end(bytes: &[u8], begin: usize) -> Result<usize, Box<Fault>> {
    let mut at = begin;
    loop {
        let Some(found) = memchr2(b' ', b'\n', &bytes[at..]) else {
            return Err(Fault::new(bytes, bytes.len(), fault::MISSING_FIELDS, "a space and fields"));
        };
        at += found;
        if bytes[at] == b'\n' {
            let end = if at > begin && bytes[at - 1] == b'\r' { at - 1 } else { at };
            return Err(Fault::new(bytes, end, fault::MISSING_FIELDS, "a space and fields"));
        }
        if bytes[at - 1] != b'\\' {
            return Ok(at);
        }
        at += 1;
    }
}

/// The end of a field key that begins at `begin`: the equals sign behind it.
pub(crate) fn field_key_end(bytes: &[u8], begin: usize) -> Result<usize, Box<Fault>> {
    let mut at = begin;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'=' if at > begin => return Ok(at),
            b'\\' if matches!(bytes.get(at + 1), Some(b' ' | b',' | b'=' | b'\\')) => at += escape_len(bytes, at),
            b' ' | b',' | b'=' | 0..0x20 | 0x7f => break,
            _ => at += 1,
        }
    }
    let expected = if at == begin { "a field key" } else { "`=` and a value behind the field key" };
    let reason = if at == begin { fault::MISSING_FIELDS } else { fault::INVALID_FIELD_KEY };
    Err(Fault::new(bytes, at, reason, expected))
}

/// The length of a run of backslashes with the character that the last of them escapes.
fn escape_len(bytes: &[u8], at: usize) -> usize {
    let run = bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
    run + usize::from(matches!(bytes.get(at + run), Some(b' ' | b',' | b'=')))
}

/// The value that begins at `at`, and where it ends. `limit` is the end of the longest line that would be taken.
pub(crate) fn value(bytes: &[u8], at: usize, limit: usize) -> Scanned<Scalar> {
    match bytes.get(at) {
        Some(b'0'..=b'9' | b'-' | b'+' | b'.') => number(bytes, at),
        Some(b'"') => text(bytes, at, limit),
        Some(b't' | b'T' | b'f' | b'F') => boolean(bytes, at),
        _ => Err(Fault::new(bytes, at, fault::INVALID_VALUE, "a number, a boolean or a text in quotes")),
    }
}

/// 10^n is exact as long as it is at most 10^22.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// As many digits fit into 64 bits whatever they are.
const DIGITS_MAX: usize = 19;

/// The digits from `at` on, added behind those of `mantissa`; without regard to overflow.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    while let Some(byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (mantissa, at)
}

fn number(bytes: &[u8], begin: usize) -> Scanned<Scalar> {
    let first = begin + usize::from(matches!(bytes[begin], b'-' | b'+'));
    let (mut mantissa, mut at) = digits(bytes, first, 0);
    let mut count = at - first;
    let mut decimals = 0;
    if bytes.get(at) == Some(&b'.') {
        let point = at;
        (mantissa, at) = digits(bytes, point + 1, mantissa);
        decimals = at - point - 1;
        count += decimals;
    } else if let Some(suffix @ (b'i' | b'u')) = bytes.get(at)
        && count > 0
    {
        return integer(bytes, begin, at, mantissa, *suffix);
    }
    if count == 0 {
        return Err(Fault::new(bytes, begin, fault::INVALID_VALUE, "a number"));
    }
    let exact = count <= DIGITS_MAX && mantissa < (1 << 53) && decimals < POWERS_OF_TEN.len();
    if !exact || matches!(bytes.get(at), Some(b'e' | b'E')) {
        return unusual_number(bytes, begin, at);
    }
    // Both are exact, so that the division rounds correctly, and once.
    let magnitude = mantissa as f64 / POWERS_OF_TEN[decimals];
    // A zero has no sign here: one that says `-0.0` would keep its whole column from being decimals, and means the same.
    Ok((Scalar::Number(if bytes[begin] == b'-' { 0.0 - magnitude } else { magnitude }), at))
}

/// A number with more digits than are exact, or with an exponent, which would stand at `at`.
#[cold]
fn unusual_number(bytes: &[u8], begin: usize, mut at: usize) -> Scanned<Scalar> {
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let first = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'-' | b'+')));
        (_, at) = digits(bytes, first, 0);
        if at == first {
            return Err(Fault::new(bytes, begin, fault::INVALID_VALUE, "digits in the exponent"));
        }
    }
    let parsed = str::from_utf8(&bytes[begin..at]).ok().and_then(|text| text.parse::<f64>().ok());
    match parsed {
        Some(number) if number.is_finite() => Ok((Scalar::Number(number + 0.0), at)),
        _ => Err(Fault::new(bytes, begin, fault::INVALID_VALUE, "a number within the range of 64-bit floats")),
    }
}

/// An integer whose suffix stands at `end`; `mantissa` are its digits, if they are few enough.
fn integer(bytes: &[u8], begin: usize, end: usize, mantissa: u64, suffix: u8) -> Scanned<Scalar> {
    let negative = bytes[begin] == b'-';
    let integer = if end - begin < DIGITS_MAX {
        Some(if negative { -(mantissa as i64) } else { mantissa as i64 })
    } else {
        str::from_utf8(&bytes[begin..end]).ok().and_then(|text| text.parse::<i64>().ok())
    };
    match integer {
        Some(integer) if suffix == b'i' || !negative => Ok((Scalar::Integer(integer), end + 1)),
        _ if suffix == b'i' => Err(Fault::new(bytes, begin, fault::INVALID_VALUE, "an integer of 64 bits")),
        _ => Err(Fault::new(bytes, begin, fault::INVALID_VALUE, "an unsigned integer up to 9223372036854775807")),
    }
}

fn boolean(bytes: &[u8], begin: usize) -> Scanned<Scalar> {
    let end = bytes[begin..].iter().position(|byte| !byte.is_ascii_alphabetic()).map_or(bytes.len(), |len| begin + len);
    match &bytes[begin..end] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok((Scalar::Boolean(true), end)),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok((Scalar::Boolean(false), end)),
        _ => Err(Fault::new(bytes, begin, fault::INVALID_VALUE, "t, true, f or false, or a text in quotes")),
    }
}

fn text(bytes: &[u8], quote: usize, limit: usize) -> Scanned<Scalar> {
    let begin = quote + 1;
    let (mut at, mut escapes) = (begin, false);
    let end = loop {
        let Some(found) = memchr2(b'"', b'\\', bytes.get(at..limit).unwrap_or_default()) else {
            return Err(Fault::new(bytes, quote, fault::INVALID_VALUE, "a closing quote"));
        };
        at += found;
        if bytes[at] == b'"' {
            break at;
        }
        escapes = true;
        at = (at + 2).min(limit);
    };
    match str::from_utf8(&bytes[begin..end]) {
        Ok(_) => Ok((Scalar::Text { begin: begin as u32, end: end as u32, escapes }, end + 1)),
        Err(error) => Err(Fault::new(bytes, begin + error.valid_up_to(), fault::INVALID_UTF_8, "UTF-8 in a text")),
    }
}

/// The time stamp that begins at `at`, and where it ends.
pub(crate) fn time(bytes: &[u8], begin: usize) -> Scanned<i64> {
    let first = begin + usize::from(bytes.get(begin) == Some(&b'-'));
    let (magnitude, at) = digits(bytes, first, 0);
    let ends = is_line_end(bytes, at) || bytes.get(at) == Some(&b' ');
    // 19 digits never overflow 64 bits without a sign.
    if at == first || !ends || at - first > DIGITS_MAX {
        return Err(Fault::new(bytes, begin, fault::INVALID_TIME, "an integer of 64 bits"));
    }
    let time = i64::try_from(magnitude).map(|time| if first > begin { -time } else { time });
    time.map(|time| (time, at)).map_err(|_| Fault::new(bytes, begin, fault::INVALID_TIME, "an integer of 64 bits"))
}

/// Where the bad line whose content begins at `begin` ends: a line end in a quoted text does not count, unless the quotes never
/// close.
pub(crate) fn bad_line_end(bytes: &[u8], begin: usize) -> usize {
    let plain = memchr(b'\n', &bytes[begin..]).map_or(bytes.len(), |len| begin + len);
    let Ok(mut at) = series_end(bytes, begin) else { return plain };
    let limit = bytes.len().min(begin + LINE_BYTES_MAX);
    while at < limit {
        let Some(found) = memchr2(b'"', b'\n', &bytes[at..limit]) else { return plain };
        at += found;
        if bytes[at] == b'\n' {
            return at;
        }
        // A quote opens a text right behind an equals sign only.
        if bytes[at - 1] != b'=' {
            at += 1;
            continue;
        }
        loop {
            at += 1;
            let Some(found) = memchr2(b'"', b'\\', bytes.get(at..limit).unwrap_or_default()) else { return plain };
            at += found;
            if bytes[at] == b'"' {
                break;
            }
            at += 1;
        }
        at += 1;
    }
    plain
}

/// A name without its escapes: a backslash goes where it stands before one of `escapable`.
pub(crate) fn unescaped(wire: &[u8], escapable: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(wire.len());
    let mut rest = wire.iter().peekable();
    while let Some(byte) = rest.next() {
        match rest.peek() {
            Some(next) if *byte == b'\\' && escapable.contains(next) => plain.extend(rest.next()),
            _ => plain.push(*byte),
        }
    }
    plain
}

/// Splits `wire` at every `separator` that is not escaped.
pub(crate) fn split_unescaped(wire: &[u8], separator: u8) -> impl Iterator<Item = (usize, &[u8])> {
    let mut begin = Some(0);
    std::iter::from_fn(move || {
        let from = begin?;
        let mut at = from;
        let end = loop {
            match memchr(separator, &wire[at..]) {
                Some(found) if at + found > 0 && wire[at + found - 1] == b'\\' => at += found + 1,
                Some(found) => break Some(at + found),
                None => break None,
            }
        };
        begin = end.map(|end| end + 1);
        Some((from, &wire[from..end.unwrap_or(wire.len())]))
    })
}

/// Line ends in a line with quoted texts, and so in these texts.
pub(crate) fn line_ends(line: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', line).count() as u64
}

/// Where a comment or a blank line ends; `None` for a line with content.
pub(crate) fn nothing_until(bytes: &[u8], begin: usize) -> Option<usize> {
    match bytes.get(begin) {
        Some(b'#') => Some(memchr(b'\n', &bytes[begin..]).map_or(bytes.len(), |len| begin + len)),
        _ if is_line_end(bytes, begin) => Some(begin + usize::from(bytes.get(begin) == Some(&b'\r'))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<f64, String> {
        match value(text.as_bytes(), 0, text.len()) {
            Ok((Scalar::Number(number), end)) if end == text.len() => Ok(number),
            Ok(other) => Err(format!("{other:?}")),
            Err(fault) => Err(fault.expected.into_owned()),
        }
    }

    #[test]
    fn numbers_are_those_that_the_text_says() {
        for text in [
            "0",
            "-0",
            "1",
            "1.",
            ".5",
            "-.5",
            "12.34",
            "0.1",
            "0.3",
            "3.641",
            "116.338239",
            "9007199254740991",
            "9007199254740993",
            "9007199254740992.5",
            "0.1234567890123456789",
            "123456789012345678901234567890",
            "1e22",
            "1e23",
            "-1.234456e+78",
            "1E-400",
            "-0",
            "-0.0",
            "-0e5",
            "4.9e-324",
            "0000000000000000000000000.5",
            "1e9",
            "+7",
        ] {
            assert_eq!(read(text).map(f64::to_bits), Ok(without_sign(text.parse().unwrap()).to_bits()), "{text}");
        }
        for text in ["-", ".", "1e", "1e+", "1e999", "nan", "inf", "-inf", "1x", "0x10", "1_000", "--1", "1.2.3"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    /// A zero has no sign; every other number has its own.
    fn without_sign(number: f64) -> f64 {
        if number == 0.0 { 0.0 } else { number }
    }

    #[test]
    fn names_are_split_where_nothing_escapes() {
        let parts = |wire: &'static str| -> Vec<&str> {
            split_unescaped(wire.as_bytes(), b',').map(|(_, part)| str::from_utf8(part).unwrap()).collect()
        };
        assert_eq!(parts("a,b=c\\,d,e"), ["a", "b=c\\,d", "e"]);
        assert_eq!(parts(""), [""]);
        assert_eq!(parts(",x"), ["", "x"]);
        assert_eq!(unescaped(b"a\\,b\\c\\\\\\ d", b", "), b"a,b\\c\\\\ d");
    }

    proptest::proptest! {
        #[test]
        fn every_decimal_is_rounded_as_the_standard_library_does(text in "-?[0-9]{1,20}(\\.[0-9]{0,24})?(e-?[0-9]{1,2})?") {
            proptest::prop_assert_eq!(read(&text).map(f64::to_bits), Ok(without_sign(text.parse().unwrap()).to_bits()));
        }
    }
}
