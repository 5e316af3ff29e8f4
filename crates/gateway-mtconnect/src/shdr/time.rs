//! Time stamps of lines: ISO 8601 with and without zone, milliseconds since an unknown moment, or none at all; behind
//! an `@` the span over which the values were calculated. Knows no clock: the receive time is given.

use model::Timestamp;

const SECOND_NANOS: i64 = 1_000_000_000;
/// The longest span between relative time stamps of one connection, in milliseconds: a hundred years.
const RELATIVE_SPAN_MS_MAX: f64 = 100.0 * 365.25 * 86_400_000.0;

/// Reads time stamps, and remembers what makes the next one cheap.
#[derive(Debug)]
pub(super) struct TimeReader {
    /// `YYYY-MM-DDTHH:MM` of the last time stamp, and where that minute begins.
    minute: ([u8; 16], i64),
    /// Receive time and offset of the first relative time stamp.
    relative: Option<(Timestamp, f64)>,
}

/// What a time stamp says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stamp {
    pub(super) time: Timestamp,
    pub(super) duration_secs: Option<f64>,
}

impl Default for TimeReader {
    fn default() -> Self {
        Self { minute: (*b"1970-01-01T00:00", 0), relative: None }
    }
}

impl TimeReader {
    /// Forgets the base of relative time stamps: another connection, another base.
    pub(super) fn forget_base(&mut self) {
        self.relative = None;
    }

    /// Reads `field`; where it is empty the time is `received`.
    ///
    /// # Errors
    /// With what was expected.
    #[inline]
    pub(super) fn read(&mut self, field: &[u8], received: Timestamp) -> Result<Stamp, &'static str> {
        match self.fixed_form(field) {
            Some(time) => Ok(Stamp { time, duration_secs: None }),
            None => self.any_form(field, received),
        }
    }

    /// `YYYY-MM-DDTHH:MM:SS[.d…][Z]` in a minute that was met before: the form of nearly every line.
    #[inline]
    fn fixed_form(&self, field: &[u8]) -> Option<Timestamp> {
        let (minute, rest) = field.split_first_chunk::<16>()?;
        if *minute != self.minute.0 {
            return None;
        }
        let (seconds, rest) = rest.split_first_chunk::<3>()?;
        let second = two_digits(seconds[1], seconds[2])?;
        if seconds[0] != b':' || second > 59 {
            return None;
        }
        let (nanos, rest) = decimals(rest);
        let time = self.minute.1 + second * SECOND_NANOS + nanos;
        matches!(rest, b"Z" | b"").then_some(Timestamp::from_nanos(time))
    }

    #[cold]
    fn any_form(&mut self, field: &[u8], received: Timestamp) -> Result<Stamp, &'static str> {
        let (stamp, duration) = match memchr::memchr(b'@', field) {
            Some(at) => (&field[..at], Some(&field[at + 1..])),
            None => (field, None),
        };
        let duration_secs = match duration {
            Some(text) => Some(number(text).filter(|secs| *secs >= 0.0).ok_or("a duration in seconds behind `@`")?),
            None => None,
        };
        let stamp = stamp.trim_ascii();
        let time = if stamp.is_empty() {
            received
        } else if matches!(stamp.get(10), Some(b'T' | b't' | b' ')) {
            self.calendar(stamp).ok_or("a time such as 2026-01-31T08:00:00.000Z")?
        } else {
            self.relative(stamp, received)
                .ok_or("a time such as 2026-01-31T08:00:00.000Z, or milliseconds since an earlier one")?
        };
        Ok(Stamp { time, duration_secs })
    }

    fn calendar(&mut self, stamp: &[u8]) -> Option<Timestamp> {
        let (minute, rest) = stamp.split_first_chunk::<16>()?;
        let begin = minute_nanos(minute)?;
        let (second, rest) = match rest {
            [b':', tens, ones, rest @ ..] => (two_digits(*tens, *ones).filter(|second| *second <= 60)?, rest),
            rest => (0, rest),
        };
        let (nanos, zone) = decimals(rest);
        let east_minutes = zone_minutes(zone)?;
        let time = begin
            .checked_add(second * SECOND_NANOS + nanos)
            .and_then(|time| time.checked_sub(east_minutes * 60 * SECOND_NANOS))?;
        // Only minutes of which every second can be said are worth remembering.
        if begin.checked_add(60 * SECOND_NANOS).is_some() {
            self.minute = (*minute, begin);
        }
        Some(Timestamp::from_nanos(time))
    }

    fn relative(&mut self, stamp: &[u8], received: Timestamp) -> Option<Timestamp> {
        let offset_ms = number(stamp)?;
        let (base, first_ms) = *self.relative.get_or_insert((received, offset_ms));
        let span_ms = offset_ms - first_ms;
        (span_ms.abs() <= RELATIVE_SPAN_MS_MAX).then(|| base.plus_nanos((span_ms * 1e6).round() as i64))
    }
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// A fraction of a second in nanoseconds, and what is behind it. Digits beyond the ninth are dropped.
#[inline]
fn decimals(text: &[u8]) -> (i64, &[u8]) {
    let Some((b'.' | b',', digits)) = text.split_first() else { return (0, text) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut nanos = 0;
    let mut unit = SECOND_NANOS / 10;
    for digit in &digits[..length.min(9)] {
        nanos += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    (nanos, &digits[length..])
}

/// Where the minute `YYYY-MM-DDTHH:MM` begins, in nanoseconds since the epoch.
fn minute_nanos(text: &[u8; 16]) -> Option<i64> {
    let pair = |at: usize| two_digits(text[at], text[at + 1]);
    if text[4] != b'-' || text[7] != b'-' || !matches!(text[10], b'T' | b't' | b' ') || text[13] != b':' {
        return None;
    }
    let (year, month, day, hour, minute) = (pair(0)? * 100 + pair(2)?, pair(5)?, pair(8)?, pair(11)?, pair(14)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days_before_year + (153 * month + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + hour) * 60 + minute).checked_mul(60 * SECOND_NANOS)
}

/// Minutes east of Greenwich; nothing means UTC.
fn zone_minutes(zone: &[u8]) -> Option<i64> {
    let (sign, digits) = match zone.trim_ascii() {
        b"" | b"Z" | b"z" => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [a, b] => (two_digits(*a, *b)?, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (two_digits(*a, *b)?, two_digits(*c, *d)?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Timestamp {
        "2026-01-31T08:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check(field: &str, expected: Option<(&str, Option<f64>)>) {
        let mut reader = TimeReader::default();
        let expected = expected.map(|(time, duration_secs)| Stamp { time: time.parse().unwrap(), duration_secs });
        assert_eq!(reader.read(field.as_bytes(), received()).ok(), expected, "{field}");
        // The second reading takes the short way where there is one.
        assert_eq!(reader.read(field.as_bytes(), received()).ok(), expected, "{field} again");
    }

    #[test]
    fn time_stamps_of_all_forms() {
        check("2022-08-08T13:51:34.7167146Z", Some(("2022-08-08T13:51:34.7167146Z", None)));
        check("2022-08-08T13:51:34", Some(("2022-08-08T13:51:34Z", None)));
        check("2022-08-08T13:51:34.1", Some(("2022-08-08T13:51:34.1Z", None)));
        check("2022-08-08T13:51:34.123456789987Z", Some(("2022-08-08T13:51:34.123456789Z", None)));
        check("2022-08-08T13:51:34+02:00", Some(("2022-08-08T11:51:34Z", None)));
        check("2022-08-08T13:51:34.5-0530", Some(("2022-08-08T19:21:34.5Z", None)));
        check("2022-08-08T13:51:34+08", Some(("2022-08-08T05:51:34Z", None)));
        check("2022-08-08 13:51:34z", Some(("2022-08-08T13:51:34Z", None)));
        check("2022-08-08T13:51Z", Some(("2022-08-08T13:51:00Z", None)));
        check("2016-12-31T23:59:60Z", Some(("2017-01-01T00:00:00Z", None)));
        check("2000-02-29T00:00:00Z", Some(("2000-02-29T00:00:00Z", None)));
        check("1969-12-31T23:59:59.5Z", Some(("1969-12-31T23:59:59.5Z", None)));
        check("", Some(("2026-01-31T08:00:00Z", None)));
        check("2022-08-08T13:51:34Z@100.5", Some(("2022-08-08T13:51:34Z", Some(100.5))));
        check("@0.25", Some(("2026-01-31T08:00:00Z", Some(0.25))));
        check("12345", Some(("2026-01-31T08:00:00Z", None)));
    }

    #[test]
    fn what_is_no_time_stamp_is_refused() {
        for field in [
            "TIME",
            "2022-08-08",
            "2022-13-08T00:00:00Z",
            "2022-02-29T00:00:00Z",
            "2022-08-08T24:00:00Z",
            "2022-08-08T13:51:61Z",
            "2022-08-08T13:51:34X",
            "2022-08-08T13:51:34+2",
            "9999-08-08T13:51:34Z",
            "2022-08-08T13:51:34Z@",
            "2022-08-08T13:51:34Z@-1",
            "2022-08-08T13:5:34Z",
            "nan",
            "1e400",
            "\u{FF11}",
        ] {
            check(field, None);
        }
    }

    #[test]
    fn relative_time_stamps_count_from_the_first() {
        let mut reader = TimeReader::default();
        let mut nanos = |text: &str, received: Timestamp| {
            reader.read(text.as_bytes(), received).unwrap().time.nanos() - self::received().nanos()
        };
        assert_eq!(nanos("5000", received()), 0);
        assert_eq!(nanos("5010.5", received().plus_nanos(99)), 10_500_000);
        assert_eq!(nanos("4990", received()), -10_000_000);
        assert!(reader.read(b"1e300", received()).is_err());
        reader.forget_base();
        assert_eq!(reader.read(b"7", received()).unwrap().time, received());
    }

    #[test]
    fn every_day_of_four_centuries_agrees_with_the_calendar() {
        let mut reader = TimeReader::default();
        for day in (-100_000..90_000).step_by(37) {
            let time = Timestamp::from_millis(day * 86_400_000 + 123);
            assert_eq!(reader.read(time.to_string().as_bytes(), received()).map(|stamp| stamp.time), Ok(time));
        }
    }
}
