//! What was said, and how far it can be trusted. Knows no wire and no file.

/// How far a value can be trusted. Quality is data: it is never turned into zero or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Quality {
    /// As measured.
    #[default]
    Good = 0,
    /// The source says that its sensor is faulty (GB/T 32960: FE).
    Abnormal = 1,
    /// The source says that the value is not valid (GB/T 32960: FF).
    Invalid = 2,
    /// The source cannot tell (MTConnect: `UNAVAILABLE`).
    Unavailable = 3,
}

impl Quality {
    /// All qualities, by their stored number.
    pub const ALL: [Self; 4] = [Self::Good, Self::Abnormal, Self::Invalid, Self::Unavailable];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        ["good", "abnormal", "invalid", "unavailable"][self as usize]
    }
}

/// One value, in the form in which it was said.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing; the quality says why.
    #[default]
    Absent,
    /// A physical number in the unit of the signal.
    Number(f64),
    /// A wire integer; the signal's [`crate::Scale`] makes it physical.
    Integer(i64),
    /// Text, or a word of a controlled vocabulary.
    Text(Box<str>),
    /// Numbers that belong together: a position in space, a time series.
    Vector(Box<[f64]>),
    /// Wire integers that belong together, [`crate::Vectors::MISSING`] where one has no value; the signal's
    /// [`crate::Scale`] makes them physical.
    Integers(Box<[i64]>),
    /// Keyed entries (MTConnect data sets and tables), as said: only what changed.
    Entries(Box<[(Box<str>, Entry)]>),
    /// The state of one condition.
    Condition(Box<Condition>),
}

/// One entry of a data set or table (MTConnect part 3, `DATA_SET` and `TABLE` representations).
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A number.
    Number(f64),
    /// A text.
    Text(Box<str>),
    /// The key was removed.
    Removed,
    /// A row of a table: its cells, each a number or a text.
    Row(Box<[(Box<str>, Entry)]>),
}

/// A condition as MTConnect defines it (part 3, `Condition`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// How bad it is.
    pub level: ConditionLevel,
    /// The code of the source; several codes of one signal may be active at once.
    pub native_code: Option<Box<str>>,
    /// The severity in the words of the source.
    pub native_severity: Option<Box<str>>,
    /// `HIGH` or `LOW`, where the condition watches a value.
    pub qualifier: Option<Box<str>>,
    /// The text for people.
    pub message: Option<Box<str>>,
}

/// The level of a [`Condition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum ConditionLevel {
    /// Nothing is known.
    #[default]
    Unavailable = 0,
    /// As it should be.
    Normal = 1,
    /// May become a fault.
    Warning = 2,
    /// Has to be attended to before work can go on.
    Fault = 3,
}

impl ConditionLevel {
    /// All levels, by their stored number.
    pub const ALL: [Self; 4] = [Self::Unavailable, Self::Normal, Self::Warning, Self::Fault];

    /// The standard's word.
    pub fn as_str(self) -> &'static str {
        ["UNAVAILABLE", "NORMAL", "WARNING", "FAULT"][self as usize]
    }

    /// Whether somebody has to look.
    pub fn is_active(self) -> bool {
        self >= Self::Warning
    }
}
