//! How far an agent has been read, in the words that become the durable [`model::Cursor`]. Knows no agent and no clock.
//!
//! An agent numbers its observations; instance and next number say where to go on. `Observation::sequence`, however,
//! counts how often a signal spoke *at the very same source time*, and two such observations may lie on both sides of
//! a restart: with a counter that begins anew at 0 the second would be taken for a repeat of the first and be lost.
//! So the counters that may still matter travel in the cursor, which becomes durable together with the observations
//! that they count: what is read twice is numbered the same twice, and what is new never bears an old number. A
//! counter may still matter while the clock of its device is within [`WINDOW_NANOS`] of it: clocks with a resolution
//! of one second exist, coarser ones do not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;

use model::Timestamp;

/// How far behind or before the latest time of a device a counter is still kept in the cursor.
const WINDOW_NANOS: i64 = 1_000_000_000;
/// How many times of one signal are remembered, for sources whose times go to and fro.
const TIMES_MAX: usize = 4;
/// The most counters in one cursor.
const COUNTERS_MAX: usize = 16_384;
/// The most signals that are remembered for one device.
const SIGNALS_MAX: usize = 65_536;

/// Where to go on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// Which life of the agent: a new one counts anew.
    pub(super) instance_id: Box<str>,
    /// The number of the next observation wanted.
    pub(super) next: u64,
}

/// How often each signal spoke at its latest times, by device and signal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Repeats(BTreeMap<Box<str>, DeviceRepeats>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct DeviceRepeats {
    latest: Timestamp,
    signals: HashMap<Box<str>, VecDeque<(Timestamp, u32)>>,
}

impl Repeats {
    /// The how-manieth observation of `signal` of `device` at `time` this is, from 0.
    pub(super) fn count(&mut self, device: &str, signal: &str, time: Timestamp) -> u32 {
        if !self.0.contains_key(device) {
            self.0.insert(device.into(), DeviceRepeats::default());
        }
        let Some(device) = self.0.get_mut(device) else { return 0 };
        device.latest = time;
        let Some(times) = device.signals.get_mut(signal) else {
            if device.signals.len() < SIGNALS_MAX {
                device.signals.insert(signal.into(), VecDeque::from([(time, 0)]));
            }
            return 0;
        };
        if let Some((_, ordinal)) = times.iter_mut().find(|(known, _)| *known == time) {
            *ordinal += 1;
            return *ordinal;
        }
        times.truncate(TIMES_MAX - 1);
        times.push_front((time, 0));
        0
    }
}

/// The text that is stored: `instance:next`, then a line for every device and time with the counters that may matter.
pub(super) fn write_cursor(position: &Position, repeats: &Repeats) -> Box<str> {
    let mut text = format!("{}:{}", position.instance_id, position.next);
    let mut room = COUNTERS_MAX;
    for (name, device) in &repeats.0 {
        let mut by_time: BTreeMap<Timestamp, Vec<(&str, u32)>> = BTreeMap::new();
        for (signal, times) in &device.signals {
            for (time, ordinal) in times {
                if time.nanos().saturating_sub(device.latest.nanos()).saturating_abs() <= WINDOW_NANOS {
                    by_time.entry(*time).or_default().push((signal, *ordinal));
                }
            }
        }
        for (time, mut counters) in by_time.into_iter().rev() {
            counters.sort_unstable();
            counters.truncate(room);
            room -= counters.len();
            if counters.is_empty() {
                break;
            }
            // Writing to a text cannot fail.
            let _ = write!(text, "\n{} {}", time.nanos(), escape(name));
            for (signal, ordinal) in counters {
                let _ = write!(text, " {}={ordinal}", escape(signal));
            }
        }
    }
    text.into()
}

/// Reads what [`write_cursor`] wrote; `None` when it is something else.
pub(super) fn read_cursor(text: &str) -> Option<(Position, Repeats)> {
    let mut lines = text.lines();
    let (instance_id, next) = lines.next()?.rsplit_once(':')?;
    let position = Position { instance_id: instance_id.into(), next: next.parse().ok()? };
    let mut repeats = Repeats::default();
    for line in lines {
        let mut words = line.split(' ');
        let time = Timestamp::from_nanos(words.next()?.parse().ok()?);
        let device = repeats.0.entry(unescape(words.next()?)?.into()).or_default();
        device.latest = device.latest.max(time);
        for word in words {
            let (signal, ordinal) = word.rsplit_once('=')?;
            device.signals.entry(unescape(signal)?.into()).or_default().push_back((time, ordinal.parse().ok()?));
        }
    }
    Some((position, repeats))
}

/// Percent-escapes what separates words; ids of data items seldom hold any of it.
fn escape(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len());
    for character in word.chars() {
        if character == '%' || character == '=' || character.is_whitespace() || character.is_control() {
            let _ = write!(escaped, "%{:x};", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn unescape(word: &str) -> Option<String> {
    let mut parts = word.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_once(';')?;
        plain.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    fn position(next: u64) -> Position {
        Position { instance_id: "16:69".into(), next }
    }

    #[test]
    fn repeats_at_one_time_are_counted_by_signal_and_device() {
        let mut repeats = Repeats::default();
        for (device, signal, time, expected) in [
            ("a", "x", 1, 0),
            ("a", "x", 1, 1),
            ("a", "y", 1, 0),
            ("b", "x", 1, 0),
            ("a", "x", 2, 0),
            // Times that go to and fro.
            ("a", "x", 1, 2),
            ("a", "x", 2, 1),
        ] {
            assert_eq!(repeats.count(device, signal, secs(time)), expected, "{device} {signal} {time}");
        }
    }

    #[test]
    fn counting_goes_on_after_a_restart_in_the_middle_of_equal_times() {
        let mut repeats = Repeats::default();
        for signal in ["x", "y=%", "a b", "x"] {
            repeats.count("OKUMA 1", signal, secs(100));
        }
        let stored = write_cursor(&position(5), &repeats);
        let (read, mut after) = read_cursor(&stored).unwrap();
        assert_eq!(read, position(5));
        assert_eq!(write_cursor(&read, &after), stored, "the same text again");
        for (signal, expected) in [("x", 2), ("y=%", 1), ("a b", 1), ("new", 0)] {
            assert_eq!(repeats.count("OKUMA 1", signal, secs(100)), expected, "{signal}, without restart");
            assert_eq!(after.count("OKUMA 1", signal, secs(100)), expected, "{signal}, after a restart");
        }
    }

    #[test]
    fn counters_of_times_long_past_are_not_stored() {
        let mut repeats = Repeats::default();
        repeats.count("a", "old", secs(1));
        repeats.count("a", "near", secs(9));
        repeats.count("a", "new", secs(10));
        assert_eq!(&*write_cursor(&position(4), &repeats), "16:69:4\n10000000000 a new=0\n9000000000 a near=0");
    }

    #[test]
    fn cursors_stay_within_their_bound() {
        let mut repeats = Repeats::default();
        for signal in 0..COUNTERS_MAX + 10 {
            repeats.count("a", &format!("s{signal}"), secs(1));
        }
        let (_, read) = read_cursor(&write_cursor(&position(1), &repeats)).unwrap();
        assert_eq!(read.0["a"].signals.len(), COUNTERS_MAX);
    }

    #[test]
    fn what_is_no_cursor_is_told() {
        for text in ["", "7", "7:x", ":", "7:1\nx", "7:1\n5", "7:1\n5 a b", "7:1\n5 a b=c", "7:1\n5 a b%zz;=1"] {
            assert_eq!(read_cursor(text).map(|(position, _)| position), None, "{text:?}");
        }
        assert!(read_cursor("7:1").is_some());
    }
}
