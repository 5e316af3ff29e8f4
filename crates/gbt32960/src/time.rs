//! The six bytes of a time: year since 2000, month, day, hour, minute, second, each a binary number, in China (UTC+8).

use jiff::civil::DateTime;
use jiff::tz::Offset;
use model::Timestamp;

use crate::error::{BAD_TIME, DecodeError};

/// A time as the wire has it.
pub type WireTime = [u8; 6];

/// China's hours before UTC.
const OFFSET: Offset = jiff::tz::offset(8);
const YEAR_BASE: i16 = 2000;

/// The time that `bytes` stand for.
///
/// # Errors
/// When there is no such time: month 13, for example.
pub fn from_wire(bytes: WireTime) -> Result<Timestamp, DecodeError> {
    let [year, month, day, hour, minute, second] = bytes.map(|byte| i8::try_from(byte).unwrap_or(-1));
    let time = DateTime::new(YEAR_BASE + i16::from(year), month, day, hour, minute, second, 0);
    match time.ok().filter(|_| (0..100).contains(&year)).and_then(|time| OFFSET.to_timestamp(time).ok()) {
        Some(time) => Ok(Timestamp::from_millis(time.as_millisecond())),
        None => {
            let found = bytes.map(|byte| format!("{byte:02x}")).join(" ");
            Err(DecodeError::new(0, BAD_TIME, "year 0 to 99, month, day, hour, minute and second", found))
        }
    }
}

/// The bytes that stand for `time`, whose parts of a second are left out; `None` outside of the years 2000 to 2099.
pub fn to_wire(time: Timestamp) -> Option<WireTime> {
    let time = jiff::Timestamp::from_millisecond(time.millis()).ok()?;
    let civil = OFFSET.to_datetime(time);
    let year = u8::try_from(civil.year() - YEAR_BASE).ok().filter(|year| *year < 100)?;
    let rest = [civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second()];
    let [month, day, hour, minute, second] = rest.map(|part| part as u8);
    Some([year, month, day, hour, minute, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_binary_and_of_china() {
        for (bytes, expected) in [
            ([26, 7, 6, 3, 7, 55], "2026-07-05T19:07:55Z"),
            ([0, 1, 1, 0, 0, 0], "1999-12-31T16:00:00Z"),
            ([28, 2, 29, 23, 59, 59], "2028-02-29T15:59:59Z"),
            ([99, 12, 31, 23, 59, 59], "2099-12-31T15:59:59Z"),
        ] {
            let time = from_wire(bytes).unwrap();
            assert_eq!(time.to_string(), expected);
            assert_eq!(to_wire(time), Some(bytes));
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for bytes in [
            [26, 13, 6, 3, 7, 55],
            [26, 2, 29, 0, 0, 0],
            [26, 1, 1, 24, 0, 0],
            [100, 1, 1, 0, 0, 0],
            [200, 1, 1, 0, 0, 0],
            [255; 6],
        ] {
            assert_eq!(from_wire(bytes).unwrap_err().reason, BAD_TIME, "{bytes:?}");
        }
        assert!(from_wire([0x26, 0x99, 1, 1, 1, 1]).unwrap_err().to_string().contains("26 99 01 01 01 01"));
        assert_eq!(to_wire(Timestamp::from_millis(0)), None);
    }
}
