//! Bytes of the log's records: little-endian numbers, variable-length integers, texts with a length in front.
//! Knows nothing of batches.

/// Small for small numbers, whether positive or negative.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// What [`zigzag`] was given.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Writes the parts of a record one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits a byte, least significant first, the top bit set on all but the last.
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zig-zag, so that small negative numbers are short too.
    pub(crate) fn signed(&mut self, value: i64) {
        self.unsigned(zigzag(value));
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.unsigned(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// A text that may be absent: length + 1, or 0.
    pub(crate) fn optional_text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => {
                self.unsigned(value.len() as u64 + 1);
                self.bytes.extend_from_slice(value.as_bytes());
            }
            None => self.u8(0),
        }
    }
}

/// A record that does not read as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the record: expected {expected}")]
pub(crate) struct RecordError {
    /// Where in the record.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
}

/// Reads the parts of a record one after the other.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn error<T>(&self, expected: &'static str) -> Result<T, RecordError> {
        Err(RecordError { offset: self.at, expected })
    }

    pub(crate) fn take(&mut self, count: usize, expected: &'static str) -> Result<&'a [u8], RecordError> {
        match self.bytes.get(self.at..self.at.saturating_add(count)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => self.error(expected),
        }
    }

    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, RecordError> {
        Ok(self.take(1, expected)?[0])
    }

    pub(crate) fn f64(&mut self, expected: &'static str) -> Result<f64, RecordError> {
        let bytes = self.take(8, expected)?;
        Ok(f64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    pub(crate) fn unsigned(&mut self, expected: &'static str) -> Result<u64, RecordError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(expected)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.error(expected)
    }

    pub(crate) fn signed(&mut self, expected: &'static str) -> Result<i64, RecordError> {
        Ok(unzigzag(self.unsigned(expected)?))
    }

    /// A number that fits `T`.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self, expected: &'static str) -> Result<T, RecordError> {
        match T::try_from(self.unsigned(expected)?) {
            Ok(value) => Ok(value),
            Err(_) => self.error(expected),
        }
    }

    /// A number of things that each take at least one byte, so that a lie about it cannot ask for memory.
    pub(crate) fn count(&mut self, expected: &'static str) -> Result<usize, RecordError> {
        let count: usize = self.small(expected)?;
        if count > self.bytes.len() - self.at { self.error(expected) } else { Ok(count) }
    }

    pub(crate) fn text(&mut self, expected: &'static str) -> Result<&'a str, RecordError> {
        let length = self.small(expected)?;
        self.utf8(length, expected)
    }

    pub(crate) fn optional_text(&mut self, expected: &'static str) -> Result<Option<&'a str>, RecordError> {
        match self.small::<usize>(expected)? {
            0 => Ok(None),
            length => self.utf8(length - 1, expected).map(Some),
        }
    }

    fn utf8(&mut self, length: usize, expected: &'static str) -> Result<&'a str, RecordError> {
        let bytes = self.take(length, expected)?;
        std::str::from_utf8(bytes).or_else(|_| self.error(expected))
    }

    pub(crate) fn finish(self) -> Result<(), RecordError> {
        if self.at == self.bytes.len() { Ok(()) } else { self.error("the end of the record") }
    }
}
