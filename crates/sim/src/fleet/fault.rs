//! What can go wrong with a vehicle because somebody wants it to: which, from when, how badly.

use std::fmt;
use std::str::FromStr;

use model::Timestamp;

/// Ohms of a short circuit when it begins and at its worst, and how long it takes to halve.
const SHORT_OHMS_FIRST: f64 = 60.0;
const SHORT_OHMS_LEAST: f64 = 0.15;
const SHORT_HALVES_SECS: f64 = 3.0 * 3_600.0;
/// How long the insulation takes to lose most of what it had, and what is left.
const INSULATION_SECS: f64 = 1_200.0;
const INSULATION_LEAST_KILOOHMS: f64 = 60.0;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A cell has a short circuit inside, which grows: its resistance halves every three hours, or as many times faster as
    /// the severity says.
    Short,
    /// The voltages of so many cells next to each other stay what they are.
    Freeze,
    /// The insulation falls to 60 kΩ, or to that many times less.
    Insulation,
    /// The terminal's clock is so many minutes ahead, or behind where they are negative.
    TimeJump,
    /// That share of the reports has no block of cell voltages.
    MissingCells,
}

impl FaultKind {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Short, "short"),
        (Self::Freeze, "freeze"),
        (Self::Insulation, "insulation"),
        (Self::TimeJump, "time-jump"),
        (Self::MissingCells, "missing-cells"),
    ];

    /// The severity of what has none said.
    fn usual_severity(self) -> f64 {
        if self == Self::TimeJump { 60.0 } else { 1.0 }
    }

    fn allows(self, severity: f64) -> bool {
        match self {
            Self::Short | Self::Insulation => (0.01..=1_000.0).contains(&severity),
            Self::Freeze => (1.0..=96.0).contains(&severity),
            Self::TimeJump => (-100_000.0..=100_000.0).contains(&severity),
            Self::MissingCells => (0.0..=1.0).contains(&severity),
        }
    }
}

/// When a fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTime {
    /// Then.
    At(Timestamp),
    /// So many seconds after the fleet's beginning.
    After(u32),
}

/// A fault of one vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// With which vehicle, counted from 1.
    pub vehicle: u32,
    /// From when on.
    pub time: FaultTime,
    /// How badly; see [`FaultKind`].
    pub severity: f64,
}

/// A text that is no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFault(String);

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected KIND@VEHICLE@TIME[:SEVERITY], got {}", self.0)
    }
}

impl std::error::Error for InvalidFault {}

impl FromStr for Fault {
    type Err = InvalidFault;

    /// Reads `KIND@VEHICLE@TIME[:SEVERITY]`; a time is one of RFC 3339, or `+` and seconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |what: &str| InvalidFault(format!("{what} in `{text}`"));
        let mut parts = text.splitn(3, '@');
        let (Some(kind), Some(vehicle), Some(when)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("too few parts"));
        };
        let known = FaultKind::ALL.into_iter().find(|(_, name)| *name == kind);
        let (kind, _) = known.ok_or_else(|| {
            let names = FaultKind::ALL.map(|(_, name)| name).join(", ");
            invalid(&format!("`{kind}`, which is none of {names},"))
        })?;
        let vehicle = vehicle.parse().ok().filter(|number| *number > 0);
        let vehicle = vehicle.ok_or_else(|| invalid("no number of a vehicle, from 1"))?;
        let severity = |text: &str| text.parse().ok().filter(|severity| kind.allows(*severity));
        let (time, severity) = match (time(when), when.rsplit_once(':')) {
            (Some(time), _) => (time, kind.usual_severity()),
            (None, Some((before, behind))) => (
                time(before).ok_or_else(|| invalid("no time"))?,
                severity(behind).ok_or_else(|| invalid("no severity that is possible"))?,
            ),
            (None, None) => return Err(invalid("no time")),
        };
        Ok(Self { kind, vehicle, time, severity })
    }
}

fn time(text: &str) -> Option<FaultTime> {
    match text.strip_prefix('+') {
        Some(secs) => secs.parse().ok().map(FaultTime::After),
        None => text.parse().ok().map(FaultTime::At),
    }
}

/// A fault of the vehicle that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) kind: FaultKind,
    /// Milliseconds since the epoch.
    from_ms: i64,
    pub(super) severity: f64,
}

impl Fault {
    pub(super) fn trouble(&self, begin: Timestamp) -> Trouble {
        let from_ms = match self.time {
            FaultTime::At(time) => time.millis(),
            FaultTime::After(secs) => begin.millis() + i64::from(secs) * 1_000,
        };
        Trouble { kind: self.kind, from_ms, severity: self.severity }
    }
}

impl Trouble {
    /// For how many seconds it has been there, if it is.
    pub(super) fn secs_at(&self, at_ms: i64) -> Option<f64> {
        (at_ms >= self.from_ms).then(|| (at_ms - self.from_ms) as f64 / 1_000.0)
    }

    /// The resistance of a short circuit that has been there for `secs`.
    pub(super) fn short_ohms(&self, secs: f64) -> f64 {
        (SHORT_OHMS_FIRST * (-secs * self.severity / SHORT_HALVES_SECS).exp2()).max(SHORT_OHMS_LEAST)
    }

    /// What is left after `secs` of `healthy` kiloohms of insulation.
    pub(super) fn insulation_kiloohms(&self, secs: f64, healthy: f64) -> f64 {
        let least = INSULATION_LEAST_KILOOHMS / self.severity;
        least + (healthy - least).max(0.0) * (-secs / INSULATION_SECS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_with_times_that_have_colons_themselves() {
        let at = |text: &str| FaultTime::At(text.parse().unwrap());
        for (text, kind, vehicle, time, severity) in [
            ("short@3@+3600", FaultKind::Short, 3, FaultTime::After(3600), 1.0),
            ("freeze@1@+0:12", FaultKind::Freeze, 1, FaultTime::After(0), 12.0),
            ("time-jump@2@2026-11-26T08:00:00+08:00", FaultKind::TimeJump, 2, at("2026-11-26T00:00:00Z"), 60.0),
            ("time-jump@2@2026-11-26T08:00:00+08:00:-90", FaultKind::TimeJump, 2, at("2026-11-26T00:00:00Z"), -90.0),
            ("insulation@40@2026-11-26T00:00:00Z:0.5", FaultKind::Insulation, 40, at("2026-11-26T00:00:00Z"), 0.5),
        ] {
            assert_eq!(text.parse(), Ok(Fault { kind, vehicle, time, severity }), "{text}");
        }
    }

    #[test]
    fn what_is_no_fault_is_told() {
        for (text, expected) in [
            ("short", "too few parts"),
            ("melt@1@+1", "`melt`, which is none of short, freeze"),
            ("short@0@+1", "no number of a vehicle"),
            ("short@1@later", "no time"),
            ("freeze@1@+1:0", "no severity"),
            ("missing-cells@1@+1:nan", "no severity"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
