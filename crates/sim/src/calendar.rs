//! The shift calendar: three shifts a day in the plant's own time, breaks that are staggered over the floor, and who
//! stands at the machine. Knows nothing of the work done.

/// The plant stands in China: eight hours ahead of UTC, the whole year.
const OFFSET_MS: i64 = 8 * HOUR_MS;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const SHIFT_MS: i64 = 8 * HOUR_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

const OPERATORS: [&str; 8] = ["张伟", "OP-1043", "李娜", "王强", "OP-1107", "陈静", "M. Schmidt", "刘洋"];

/// One shift of eight hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    /// When it begins, in milliseconds since the epoch.
    pub(crate) start_ms: i64,
    number: i64,
}

impl Shift {
    /// The shift at `at_ms`.
    pub(crate) fn at(at_ms: i64) -> Self {
        let number = (at_ms + OFFSET_MS).div_euclid(SHIFT_MS);
        Self { start_ms: number * SHIFT_MS - OFFSET_MS, number }
    }

    /// When the next one begins.
    pub(crate) fn end_ms(self) -> i64 {
        self.start_ms + SHIFT_MS
    }

    /// Who works at the machine that stands at `place`.
    pub(crate) fn operator(self, place: usize) -> &'static str {
        OPERATORS[(self.number.rem_euclid(3) as usize * 3 + place / 2) % OPERATORS.len()]
    }

    /// The entries that describe the shift, as an SHDR data set.
    pub(crate) fn entries(self, scrap: u32) -> String {
        let (word, hours) = match self.number.rem_euclid(3) {
            0 => ("夜班", "start=00:00 end=08:00"),
            1 => ("早班", "start=08:00 end=16:00"),
            _ => ("中班", "start=16:00 end=24:00"),
        };
        format!("name={word} number={} {hours} scrap={scrap}", self.number.rem_euclid(3) + 1)
    }
}

/// Until when nobody stands at the machine at `place`; none while somebody does.
pub(crate) fn absent_until_ms(at_ms: i64, place: usize) -> Option<i64> {
    let shift = Shift::at(at_ms);
    let stagger = (place % 3) as i64 * 12;
    let breaks = [
        (0, 5),                                 // handover
        (115 + stagger, 127 + stagger),         // morning rest
        (225 + 3 * stagger, 260 + 3 * stagger), // meal, in turns
        (375 + stagger, 387 + stagger),         // second rest
        (470, 480),                             // cleaning and handover
    ];
    let minute = (at_ms - shift.start_ms) / MINUTE_MS;
    let (_, end) = breaks.into_iter().find(|(from, to)| (*from..*to).contains(&minute))?;
    // The handover at the end of a shift goes on into the next one.
    let end = if end == 480 { 485 } else { end };
    Some(shift.start_ms + end * MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<model::Timestamp>().unwrap().millis()
    }

    #[test]
    fn shifts_follow_the_time_of_the_plant() {
        let early = Shift::at(ms("2026-11-21T00:00:00Z"));
        assert_eq!(early.start_ms, ms("2026-11-21T08:00:00+08:00"));
        assert!(early.entries(2).starts_with("name=早班 number=2 "), "{}", early.entries(2));
        let night = Shift::at(ms("2026-11-20T23:59:59Z"));
        assert_eq!(night.end_ms(), early.start_ms);
        assert!(night.entries(0).starts_with("name=夜班"));
        assert_ne!(early.operator(0), night.operator(0));
    }

    #[test]
    fn breaks_are_staggered_and_the_handover_crosses_the_shift() {
        for (at, place, until) in [
            ("2026-11-21T09:00:00+08:00", 0, None),
            ("2026-11-21T09:56:00+08:00", 0, Some("2026-11-21T10:07:00+08:00")),
            ("2026-11-21T09:56:00+08:00", 1, None),
            ("2026-11-21T12:00:00+08:00", 0, Some("2026-11-21T12:20:00+08:00")),
            ("2026-11-21T15:55:00+08:00", 2, Some("2026-11-21T16:05:00+08:00")),
            ("2026-11-21T16:04:00+08:00", 2, Some("2026-11-21T16:05:00+08:00")),
        ] {
            assert_eq!(absent_until_ms(ms(at), place), until.map(ms), "{at} at {place}");
        }
    }
}
