//! One measurement: its fields, what they are called in a line, and the profile that is made of them. Knows no rows.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{Column, Profile, Shape, Signal, ValueKind};

use crate::fault::{self, Fault};
use crate::scan::{self, Scalar};

/// Columns that every table has: a field of such a name gets a `_` behind it.
const RESERVED: [&str; 5] = ["asset", "time", "received", "sequence", "exceptions"];
/// The longest name of a field, in bytes.
const KEY_BYTES_MAX: usize = 120;
/// What the meanings of all signals begin with that come from here.
const STANDARD: &str = "line-protocol:";

/// What a field holds, which never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Float,
    Integer,
    Boolean,
    Text,
}

impl FieldKind {
    const ALL: [Self; 4] = [Self::Float, Self::Integer, Self::Boolean, Self::Text];

    pub(crate) fn of(value: &Scalar) -> Self {
        match value {
            Scalar::Number(_) => Self::Float,
            Scalar::Integer(_) => Self::Integer,
            Scalar::Boolean(_) => Self::Boolean,
            Scalar::Text { .. } => Self::Text,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        ["float", "integer", "boolean", "string"][self as usize]
    }

    fn signal(self, id: &str) -> Signal {
        let kind = match self {
            Self::Float => ValueKind::Number,
            Self::Integer | Self::Boolean => ValueKind::Integer,
            Self::Text => ValueKind::Text,
        };
        Signal::new(id, &format!("{STANDARD}{}", self.as_str()), kind)
    }

    /// What `signal` holds, if it was made here.
    fn of_signal(signal: &Signal) -> Option<Self> {
        let kind = Self::ALL.into_iter().find(|kind| signal.meaning.strip_prefix(STANDARD) == Some(kind.as_str()))?;
        (kind.signal("").kind == signal.kind).then_some(kind)
    }

    /// A column that has room for `rows` values, and none yet.
    pub(crate) fn column(self, rows: usize) -> Column {
        match self {
            Self::Float => Column::Numbers(Vec::with_capacity(rows)),
            Self::Integer | Self::Boolean => Column::Integers(Vec::with_capacity(rows)),
            Self::Text => Column::Texts(Vec::with_capacity(rows)),
        }
    }
}

#[derive(Debug)]
struct Field {
    /// Its name as it stands in a line, with escapes.
    wire: Box<[u8]>,
    /// The first bytes of name and equals sign, and which bits of them count: most names are no longer.
    head: u128,
    head_mask: u128,
    kind: FieldKind,
    /// The line that last had it.
    seen: u64,
}

/// Bytes that are compared at once.
const HEAD_BYTES: usize = 16;

impl Field {
    fn new(wire: Box<[u8]>, kind: FieldKind) -> Self {
        let mut head = [0; HEAD_BYTES];
        let mut mask = [0; HEAD_BYTES];
        for ((byte, counts), from) in head.iter_mut().zip(&mut mask).zip(wire.iter().chain(b"=")) {
            (*byte, *counts) = (*from, u8::MAX);
        }
        let (head, head_mask) = (u128::from_le_bytes(head), u128::from_le_bytes(mask));
        Self { wire, head, head_mask, kind, seen: 0 }
    }

    /// Whether its name and an equals sign stand at `at`.
    #[inline]
    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        let len = self.wire.len();
        if let Some(head) = bytes.get(at..at + HEAD_BYTES).and_then(|head| head.try_into().ok()) {
            let differs = (u128::from_le_bytes(head) ^ self.head) & self.head_mask != 0;
            if differs || len < HEAD_BYTES {
                return !differs;
            }
        }
        bytes.get(at..).is_some_and(|rest| rest.starts_with(&self.wire)) && bytes.get(at + len) == Some(&b'=')
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Measurement {
    profile: Arc<Profile>,
    /// The signals of the profile, and those that the next one has beyond them.
    signals: Vec<Signal>,
    fields: Vec<Field>,
    by_wire: HashMap<Box<[u8]>, u16, RandomState>,
    /// The fields of the line before, in its order: the next line most often has the same.
    order: Vec<u16>,
    /// Rows of its largest batch in the piece before.
    pub(crate) rows_expected: usize,
    /// The measurement's own name, where the profile has another.
    name: Option<Arc<str>>,
}

impl Measurement {
    /// A measurement without fields, of the profile `id`.
    pub(crate) fn new(id: &str, name: &str) -> Self {
        let profile = Profile::new(id, Shape::Frames, Vec::new()).expect("a name that was made valid");
        Self {
            profile: Arc::new(profile),
            signals: Vec::new(),
            fields: Vec::new(),
            by_wire: HashMap::default(),
            order: Vec::new(),
            rows_expected: 0,
            name: (id != name).then(|| name.into()),
        }
    }

    /// The measurement that `profile` was once made of, with its name; `None` if it was made of something else.
    pub(crate) fn remembered(profile: &Arc<Profile>) -> Option<(Self, Arc<str>)> {
        let kinds: Option<Vec<FieldKind>> = profile.signals().iter().map(FieldKind::of_signal).collect();
        let kinds = kinds.filter(|kinds| profile.shape() == Shape::Frames && !kinds.is_empty())?;
        let name = profile.signals()[0].description.clone().unwrap_or_else(|| profile.id().into());
        let mut known = Self::new(profile.id(), &name);
        for (signal, kind) in profile.signals().iter().zip(kinds) {
            known.push(escaped(original(&signal.id)).into(), kind, signal.clone());
        }
        known.profile = Arc::clone(profile);
        Some((known, name))
    }

    fn push(&mut self, wire: Box<[u8]>, kind: FieldKind, signal: Signal) -> u16 {
        let place = self.fields.len() as u16;
        self.by_wire.insert(wire.clone(), place);
        self.fields.push(Field::new(wire, kind));
        self.signals.push(signal);
        place
    }

    /// How many fields it has.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn kind(&self, field: usize) -> FieldKind {
        self.fields[field].kind
    }

    /// The profile with the first `len` fields; the same one as long as it has as many as the last time.
    pub(crate) fn profile(&mut self, len: usize) -> Arc<Profile> {
        if self.profile.signals().len() != len {
            let signals = self.signals[..len].to_vec();
            let grown = Profile::new(self.profile.id(), Shape::Frames, signals);
            self.profile = Arc::new(grown.expect("every field was checked when it was added"));
        }
        Arc::clone(&self.profile)
    }

    /// Reads the fields that begin at `at` into `values`, up to `limit`, and returns where they end. `line` is a number
    /// that no other line has.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        limit: usize,
        line: u64,
        fields_max: usize,
        values: &mut Vec<(u16, Scalar)>,
    ) -> Result<usize, Box<Fault>> {
        values.clear();
        loop {
            let begin = at;
            let expected = self.order.get(values.len()).copied();
            let field = match expected.filter(|field| self.fields[usize::from(*field)].is_at(bytes, at)) {
                Some(field) => Some(field),
                None => self.by_wire.get(&bytes[at..scan::field_key_end(bytes, at)?]).copied(),
            };
            let key_end = match field {
                Some(field) => at + self.fields[usize::from(field)].wire.len(),
                None => scan::field_key_end(bytes, at)?,
            };
            let (value, end) = scan::value(bytes, key_end + 1, limit)?;
            let field = match field {
                Some(field) => field,
                None => self.add(bytes, begin..key_end, FieldKind::of(&value), fields_max)?,
            };
            if expected != Some(field) {
                self.order.truncate(values.len());
                self.order.push(field);
            }
            self.check(bytes, begin, key_end + 1, field, &value, line)?;
            values.push((field, value));
            at = end;
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b' ') => return Ok(at),
                _ if scan::is_line_end(bytes, at) => return Ok(at),
                _ => return Err(Fault::new(bytes, at, fault::INVALID_VALUE, "`,`, a space or the end of the line")),
            }
        }
    }

    fn check(
        &mut self,
        bytes: &[u8],
        begin: usize,
        value_at: usize,
        field: u16,
        value: &Scalar,
        line: u64,
    ) -> Result<(), Box<Fault>> {
        let field = &mut self.fields[usize::from(field)];
        if field.kind != FieldKind::of(value) {
            let expected = format!("a value of type {}, which the field has had so far", field.kind.as_str());
            return Err(Fault::new(bytes, value_at, fault::TYPE_CONFLICT, expected));
        }
        if field.seen == line {
            return Err(Fault::new(bytes, begin, fault::INVALID_FIELD_KEY, "every field once"));
        }
        field.seen = line;
        Ok(())
    }

    /// Adds the field whose key stands at `key`.
    fn add(
        &mut self,
        bytes: &[u8],
        key: std::ops::Range<usize>,
        kind: FieldKind,
        fields_max: usize,
    ) -> Result<u16, Box<Fault>> {
        let at = key.start;
        if self.fields.len() >= fields_max {
            let expected = format!("at most {fields_max} fields in a measurement (write.fields_max)");
            return Err(Fault::new(bytes, at, fault::LIMIT, expected));
        }
        let wire = &bytes[key];
        let Ok(name) = String::from_utf8(scan::unescaped(wire, b",= ")) else {
            return Err(Fault::new(bytes, at, fault::INVALID_UTF_8, "UTF-8 in a field key"));
        };
        if name.len() > KEY_BYTES_MAX {
            return Err(Fault::new(bytes, at, fault::LIMIT, "a field key of at most 120 bytes"));
        }
        let mut signal = kind.signal(&column_name(&name));
        signal.description.clone_from(&self.name);
        Ok(self.push(wire.into(), kind, signal))
    }

    /// Forgets all but the first `len` fields: those that a bad line brought.
    pub(crate) fn forget_after(&mut self, len: usize) {
        for field in self.fields.drain(len..) {
            self.by_wire.remove(&field.wire);
        }
        self.signals.truncate(len);
        self.order.retain(|field| usize::from(*field) < len);
    }
}

/// The name of the column of the field `name`.
fn column_name(name: &str) -> String {
    let underscore = if is_reserved(name) { "_" } else { "" };
    format!("{name}{underscore}")
}

/// The name of the field of the column `id`.
fn original(id: &str) -> &str {
    id.strip_suffix('_').filter(|name| is_reserved(name)).unwrap_or(id)
}

/// Whether `name` is that of a column that every table has, or of a field that had to give way to one.
fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name.trim_end_matches('_'))
}

/// `name` as it stands in a line.
fn escaped(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len());
    for byte in name.bytes() {
        if b",= ".contains(&byte) {
            wire.push(b'\\');
        }
        wire.push(byte);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_hides_a_column() {
        for (name, column) in [("time", "time_"), ("time_", "time__"), ("times", "times"), ("asset", "asset_")] {
            assert_eq!(column_name(name), column);
            assert_eq!(original(column), name);
        }
    }

    #[test]
    fn a_profile_remembers_its_measurement() {
        let mut made = Measurement::new("cpu", "CPU");
        let text = b"a\\ b=1,time=2i,up=t,s=\"x\"";
        made.read(text, 0, text.len(), 1, 10, &mut Vec::new()).unwrap();
        let (mut known, name) = Measurement::remembered(&made.profile(4)).unwrap();
        assert_eq!((&*name, known.len()), ("CPU", 4));
        known.read(text, 0, text.len(), 1, 4, &mut Vec::new()).expect("all fields are known");
        assert!(Arc::ptr_eq(&known.profile(4), &made.profile(4)), "nothing was added");
        let other = Profile::new("x", Shape::Frames, vec![Signal::new("a", "x:A", ValueKind::Number)]).unwrap();
        assert!(Measurement::remembered(&Arc::new(other)).is_none());
    }
}
