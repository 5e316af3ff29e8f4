//! What a type of asset can say. Knows no domain: the meaning of a signal is a word of some standard.

use std::collections::HashMap;
use std::sync::Arc;

/// The most signals one profile may have.
const SIGNALS_MAX: usize = 8_192;
/// The longest id of a profile or signal, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The place of a signal in its profile.
pub type SignalIndex = u16;

/// What kind of value a signal carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueKind {
    /// A physical number.
    Number = 0,
    /// A wire integer with a [`Scale`].
    Integer = 1,
    /// Text or a word of a controlled vocabulary.
    Text = 2,
    /// Numbers that belong together; in frames wire integers with a [`Scale`].
    Vector = 3,
    /// Keyed entries.
    Entries = 4,
    /// A condition.
    Condition = 5,
}

impl ValueKind {
    /// All kinds, by their stored number.
    pub const ALL: [Self; 6] = [Self::Number, Self::Integer, Self::Text, Self::Vector, Self::Entries, Self::Condition];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        ["number", "integer", "text", "vector", "entries", "condition"][self as usize]
    }
}

/// How a wire integer becomes a physical value: `raw / divisor + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Raw steps per unit: 10 for a resolution of 0.1.
    pub divisor: f64,
    /// Added after the division.
    pub offset: f64,
}

impl Scale {
    /// A raw integer that is the physical value.
    pub const ONE: Self = Self { divisor: 1.0, offset: 0.0 };

    /// The physical value of `raw`.
    pub fn physical(self, raw: i64) -> f64 {
        raw as f64 / self.divisor + self.offset
    }
}

/// One thing that an asset can say.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Unique in its profile; the name of its column.
    pub id: Arc<str>,
    /// The meaning in a standard, for example `mtconnect:ROTARY_VELOCITY.ACTUAL`.
    pub meaning: Arc<str>,
    /// The kind of its values.
    pub kind: ValueKind,
    /// The unit after UCUM, where the value has one.
    pub unit: Option<Arc<str>>,
    /// How raw integers become physical; [`Scale::ONE`] for everything else.
    pub scale: Scale,
    /// What a person should read beside the id: the component that it belongs to, for example.
    pub description: Option<Arc<str>>,
}

impl Signal {
    /// A signal without unit, scale or description.
    pub fn new(id: &str, meaning: &str, kind: ValueKind) -> Self {
        Self { id: id.into(), meaning: meaning.into(), kind, unit: None, scale: Scale::ONE, description: None }
    }

    /// The same signal with the UCUM unit `unit`.
    #[must_use]
    pub fn with_unit(mut self, unit: &str) -> Self {
        self.unit = Some(unit.into());
        self
    }
}

/// How the observations of a profile arrive, and so how they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Shape {
    /// Each signal speaks when it changes: one row per observation.
    Changes = 0,
    /// All signals speak together, again and again: one row per frame, one column per signal.
    Frames = 1,
}

impl Shape {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        ["changes", "frames"][self as usize]
    }
}

/// The named set of signals of one type of asset. Unchangeable once made.
#[derive(Debug, Clone)]
pub struct Profile {
    id: Arc<str>,
    shape: Shape,
    signals: Vec<Signal>,
    index: HashMap<Arc<str>, SignalIndex>,
}

impl Profile {
    /// A profile named `id` (lower-case letters, digits and `_`, beginning with a letter: it is the name of a table).
    ///
    /// # Errors
    /// When the id is no such name, two signals share an id, or there are more than 8,192 signals.
    pub fn new(id: &str, shape: Shape, signals: Vec<Signal>) -> Result<Self, InvalidProfile> {
        let invalid = |problem: String| InvalidProfile { id: id.chars().take(ID_BYTES_MAX).collect(), problem };
        let plain = id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !plain || id.len() > ID_BYTES_MAX {
            return Err(invalid("expected lower-case letters, digits and `_`, beginning with a letter".into()));
        }
        if signals.len() > SIGNALS_MAX {
            return Err(invalid(format!("it has {} signals, at most {SIGNALS_MAX} are allowed", signals.len())));
        }
        let mut index = HashMap::with_capacity(signals.len());
        for (place, signal) in signals.iter().enumerate() {
            if signal.id.is_empty() || signal.id.len() > ID_BYTES_MAX {
                return Err(invalid(format!(
                    "signal {place} has an id of {} bytes, expected 1 to 128",
                    signal.id.len()
                )));
            }
            if index.insert(Arc::clone(&signal.id), place as SignalIndex).is_some() {
                return Err(invalid(format!("two signals have the id `{}`", signal.id)));
            }
        }
        Ok(Self { id: id.into(), shape, signals, index })
    }

    /// The name of the profile, and of its table.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How its observations arrive.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All signals, in order of their [`SignalIndex`].
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// The place of the signal `id`.
    pub fn signal_index(&self, id: &str) -> Option<SignalIndex> {
        self.index.get(id).copied()
    }

    /// The signal at `index`.
    ///
    /// # Panics
    /// When the index is not of this profile.
    pub fn signal(&self, index: SignalIndex) -> &Signal {
        &self.signals[usize::from(index)]
    }
}

impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.shape == other.shape && self.signals == other.signals
    }
}

/// A profile that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile `{id}` is not valid: {problem}")]
pub struct InvalidProfile {
    id: String,
    problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_found_by_id() {
        let signals = vec![
            Signal::new("Zact", "mtconnect:POSITION.ACTUAL", ValueKind::Number).with_unit("mm"),
            Signal::new("execution", "mtconnect:EXECUTION", ValueKind::Text),
        ];
        let profile = Profile::new("lathe", Shape::Changes, signals).unwrap();
        assert_eq!(profile.signal_index("execution"), Some(1));
        assert_eq!(profile.signal_index("speed"), None);
        assert_eq!(profile.signal(0).unit.as_deref(), Some("mm"));
    }

    #[test]
    fn a_profile_that_cannot_be_is_refused_with_the_reason() {
        let twice = vec![Signal::new("a", "x:A", ValueKind::Text), Signal::new("a", "x:B", ValueKind::Text)];
        for (id, signals, reason) in [
            ("Lathe", vec![], "lower-case"),
            ("7lathe", vec![], "beginning with a letter"),
            ("lathe", twice, "two signals have the id `a`"),
            ("lathe", vec![Signal::new("", "x:A", ValueKind::Text)], "expected 1 to 128"),
        ] {
            let error = Profile::new(id, Shape::Changes, signals).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn scale_divides_then_adds() {
        assert_eq!(Scale { divisor: 10.0, offset: -1000.0 }.physical(12_345), 234.5);
    }
}
