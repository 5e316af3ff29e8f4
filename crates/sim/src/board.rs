//! What a machine last said, and how it is written as SHDR lines. Knows the line format and nothing of the machine.

use std::fmt::Write;

use model::Timestamp;

use crate::alarms::Alarm;
use crate::signals::{Signal, Source};

/// The value of a signal and since when it has been so.
#[derive(Debug, Clone)]
struct Held {
    text: String,
    since_ms: i64,
    /// The active entries of a condition, each with its time.
    alarms: Vec<(Alarm, i64)>,
}

/// The present values of all signals.
#[derive(Debug)]
pub(crate) struct Board {
    signals: Vec<Signal>,
    held: Vec<Held>,
    /// What has been set at `line_ms` and not been written yet: `|name|value|name|value`.
    line: String,
    line_ms: i64,
}

impl Board {
    /// All signals have their first values since `at_ms`.
    pub(crate) fn new(signals: Vec<Signal>, at_ms: i64) -> Self {
        let held = signals
            .iter()
            .map(|signal| {
                let text = match signal.source {
                    Source::Event(first) | Source::DataSet(first) => first,
                    Source::Sample { .. } | Source::Condition | Source::Message => "UNAVAILABLE",
                };
                Held { text: text.to_owned(), since_ms: at_ms, alarms: Vec::new() }
            })
            .collect();
        Self { signals, held, line: String::new(), line_ms: at_ms }
    }

    /// The table that this board follows.
    pub(crate) fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// Whether nothing was said about this signal at this very time.
    pub(crate) fn is_silent(&self, place: usize, at_ms: i64) -> bool {
        self.held[place].since_ms != at_ms
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.signals.iter().position(|signal| signal.name == name)
    }

    /// Sets a signal by name; one that this machine lacks is passed over, an unchanged value says nothing.
    pub(crate) fn set(&mut self, name: &str, text: &str, at_ms: i64, out: &mut Vec<u8>) {
        if let Some(place) = self.place(name) {
            self.set_at(place, text, at_ms, out);
        }
    }

    /// As [`Board::set`], by the place of the signal in the table.
    pub(crate) fn set_at(&mut self, place: usize, text: &str, at_ms: i64, out: &mut Vec<u8>) {
        if self.held[place].text == text {
            return;
        }
        self.held[place].text = text.to_owned();
        self.held[place].since_ms = at_ms;
        if self.signals[place].is_alone() {
            self.flush(out);
            let line = self.value_line(place);
            out.extend_from_slice(line.as_bytes());
            return;
        }
        if self.line_ms != at_ms {
            self.flush(out);
            self.line_ms = at_ms;
        }
        let _ = write!(self.line, "|{}|{}", self.signals[place].name, quoted(text));
    }

    /// Says some entries of a data set, and remembers all of them.
    pub(crate) fn set_entries(&mut self, name: &str, said: &str, all: String, at_ms: i64, out: &mut Vec<u8>) {
        if let Some(place) = self.place(name) {
            self.set_at(place, said, at_ms, out);
            self.held[place].text = all;
        }
    }

    /// Says a message with its native code.
    pub(crate) fn tell(&mut self, native_code: &str, text: &str, at_ms: i64, out: &mut Vec<u8>) {
        self.set("message", &format!("{native_code}|{}", quoted(text)), at_ms, out);
    }

    /// Adds an entry to a condition. Returns false when it is there already.
    pub(crate) fn raise(&mut self, alarm: &Alarm, at_ms: i64, out: &mut Vec<u8>) -> bool {
        let Some(place) = self.place(alarm.signal) else { return false };
        let alarms = &mut self.held[place].alarms;
        if alarms.iter().any(|(known, _)| known.is_same(alarm) && known.level == alarm.level) {
            return false;
        }
        alarms.retain(|(known, _)| !known.is_same(alarm));
        alarms.push((alarm.clone(), at_ms));
        self.flush(out);
        out.extend_from_slice(alarm_line(alarm, at_ms).as_bytes());
        true
    }

    /// Takes an entry from a condition; one that is not there says nothing.
    pub(crate) fn clear(&mut self, alarm: &Alarm, at_ms: i64, out: &mut Vec<u8>) {
        let Some(place) = self.place(alarm.signal) else { return };
        let held = &mut self.held[place];
        let before = held.alarms.len();
        held.alarms.retain(|(known, _)| !known.is_same(alarm));
        if held.alarms.len() < before {
            held.since_ms = at_ms;
            self.flush(out);
            let line = format!("{}|{}|NORMAL|{}|||\n", time(at_ms), alarm.signal, alarm.native_code);
            out.extend_from_slice(line.as_bytes());
        }
    }

    /// Writes what has been set and not been written.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            out.extend_from_slice(time(self.line_ms).as_bytes());
            out.extend_from_slice(self.line.as_bytes());
            out.push(b'\n');
            self.line.clear();
        }
    }

    /// All present values, each with the time since when it has been so.
    pub(crate) fn snapshot(&self, out: &mut Vec<u8>) {
        for place in 0..self.signals.len() {
            let held = &self.held[place];
            if held.alarms.is_empty() {
                out.extend_from_slice(self.value_line(place).as_bytes());
            }
            for (alarm, since_ms) in &held.alarms {
                out.extend_from_slice(alarm_line(alarm, *since_ms).as_bytes());
            }
        }
    }

    /// A line that holds one signal.
    fn value_line(&self, place: usize) -> String {
        let (signal, held) = (&self.signals[place], &self.held[place]);
        let since = time(held.since_ms);
        let name = signal.name;
        match (signal.source, signal.duration_secs()) {
            (Source::Condition, _) => format!("{since}|{name}|NORMAL||||\n"),
            (Source::Message, _) if held.text == "UNAVAILABLE" => format!("{since}|{name}||UNAVAILABLE\n"),
            // Code and text were joined, and the text quoted, when it was told.
            (Source::Message, _) => format!("{since}|{name}|{}\n", held.text),
            (_, Some(secs)) => format!("{since}@{secs:?}|{name}|{}\n", held.text),
            _ => format!("{since}|{name}|{}\n", quoted(&held.text)),
        }
    }
}

fn alarm_line(alarm: &Alarm, at_ms: i64) -> String {
    let Alarm { signal, level, native_code, native_severity, qualifier, message } = alarm;
    let (time, level, message) = (time(at_ms), level.as_str(), quoted(message));
    format!("{time}|{signal}|{level}|{native_code}|{native_severity}|{qualifier}|{message}\n")
}

fn time(at_ms: i64) -> String {
    Timestamp::from_millis(at_ms).to_string()
}

/// SHDR splits at `|`: a value that holds one stands in quotes, with the bar escaped.
fn quoted(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('|') { format!("\"{}\"", text.replace('|', "\\|")).into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::Level;
    use crate::signals::{MachineType, signals_of};

    fn board() -> Board {
        Board::new(signals_of(MachineType::Lathe), 0)
    }

    fn alarm(native_code: &str, level: Level) -> Alarm {
        Alarm {
            signal: "coolant_condition",
            level,
            native_code: native_code.into(),
            native_severity: "2",
            qualifier: "LOW",
            message: "low | lower".into(),
        }
    }

    fn said(speak: impl FnOnce(&mut Board, &mut Vec<u8>)) -> String {
        let (mut board, mut out) = (board(), Vec::new());
        speak(&mut board, &mut out);
        board.flush(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_changes_at_one_time_stands_on_one_line_and_what_does_not_change_on_none() {
        let lines = said(|board, out| {
            board.set("execution", "ACTIVE", 1000, out);
            board.set("program", "O1", 1000, out);
            board.set("execution", "ACTIVE", 1500, out);
            board.set("pallet", "2", 1500, out);
            board.set("execution", "FEED_HOLD", 2250, out);
        });
        assert_eq!(
            lines,
            "1970-01-01T00:00:01Z|execution|ACTIVE|program|O1\n1970-01-01T00:00:02.25Z|execution|FEED_HOLD\n"
        );
    }

    #[test]
    fn conditions_messages_and_statistics_stand_alone() {
        let lines = said(|board, out| {
            board.set("execution", "STOPPED", 1000, out);
            board.raise(&alarm("30", Level::Warning), 1000, out);
            board.raise(&alarm("30", Level::Warning), 2000, out);
            board.raise(&alarm("30", Level::Fault), 2000, out);
            board.clear(&alarm("30", Level::Fault), 3000, out);
            board.clear(&alarm("30", Level::Fault), 4000, out);
            board.tell("M1", "a|b", 5000, out);
            board.set("s1_vibration", "12", 6000, out);
        });
        let expected = "1970-01-01T00:00:01Z|execution|STOPPED\n\
             1970-01-01T00:00:01Z|coolant_condition|WARNING|30|2|LOW|\"low \\| lower\"\n\
             1970-01-01T00:00:02Z|coolant_condition|FAULT|30|2|LOW|\"low \\| lower\"\n\
             1970-01-01T00:00:03Z|coolant_condition|NORMAL|30|||\n\
             1970-01-01T00:00:05Z|message|M1|\"a\\|b\"\n\
             1970-01-01T00:00:06Z@1.0|s1_vibration|12\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_snapshot_holds_every_signal_and_every_active_entry_with_its_time() {
        let (mut board, mut out) = (board(), Vec::new());
        board.raise(&alarm("30", Level::Warning), 1000, &mut out);
        board.raise(&alarm("31", Level::Fault), 2000, &mut out);
        board.set_entries("shift", "scrap=1", "number=2 scrap=1".into(), 3000, &mut out);
        let mut snapshot = Vec::new();
        board.snapshot(&mut snapshot);
        let snapshot = String::from_utf8(snapshot).unwrap();
        assert_eq!(snapshot.lines().count(), board.signals().len() + 1);
        assert!(snapshot.contains("00:00:01Z|coolant_condition|WARNING|30|"), "{snapshot}");
        assert!(snapshot.contains("00:00:02Z|coolant_condition|FAULT|31|"), "{snapshot}");
        assert!(snapshot.contains("00:00:03Z|shift|number=2 scrap=1\n"), "{snapshot}");
        assert!(snapshot.contains("|hydraulic_condition|NORMAL||||\n"), "{snapshot}");
    }
}
