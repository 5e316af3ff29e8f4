//! The frame around a data unit: start, command, response flag, VIN, encryption, length, check byte (clause 6).
//!
//! Knows nothing of what stands in data units.

use std::fmt;

use crate::edition::{Command, Edition, Encryption, Response};
use crate::error::{BAD_CHECK, BAD_START, BAD_VIN, DecodeError, EncodeError, LEFT_OVER, TOO_LONG, TOO_SHORT};

/// Bytes before the data unit.
pub const HEADER_BYTES: usize = 24;
/// Bytes of a data unit at the most.
pub const DATA_BYTES_MAX: usize = 65_531;
/// Bytes of a frame at the most.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + DATA_BYTES_MAX + 1;

/// A vehicle identification number, or what a platform has in its place: 17 bytes, as they are on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vin(pub [u8; 17]);

impl Vin {
    /// Reads 17 characters of ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes().try_into().ok()?;
        let vin = Self(bytes);
        vin.is_printable().then_some(vin)
    }

    /// Up to 17 characters of ASCII, filled up with NULs.
    pub fn padded(text: &str) -> Option<Self> {
        let mut bytes = [0; 17];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let vin = Self(bytes);
        vin.is_printable().then_some(vin)
    }

    /// The text, without the NULs and spaces that fill it up.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches(['\0', ' ']).trim_start_matches(['\0', ' '])
    }

    fn is_printable(&self) -> bool {
        self.0.iter().all(|byte| matches!(byte, 0 | 0x20..=0x7E))
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Nothing that names a vehicle goes into a log line.
impl fmt::Debug for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vin(…)")
    }
}

/// What stands before the data unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The edition that the frame follows.
    pub edition: Edition,
    /// What it is for.
    pub command: Command,
    /// Whether it is a command, or the answer to one.
    pub response: Response,
    /// Whose it is.
    pub vin: Vin,
    /// How the data unit is encrypted.
    pub encryption: Encryption,
}

impl Header {
    /// The header of the answer to this one.
    #[must_use]
    pub fn answered(self, response: Response) -> Self {
        Self { response, ..self }
    }

    /// Adds the frame with the data unit `data` to `output`.
    ///
    /// # Errors
    /// When the data unit is too long.
    pub fn write(&self, data: &[u8], output: &mut Vec<u8>) -> Result<(), EncodeError> {
        if data.len() > DATA_BYTES_MAX {
            return Err(EncodeError::new("data", format!("at most {DATA_BYTES_MAX} bytes"), data.len().to_string()));
        }
        let begin = output.len();
        output.extend([self.edition.start(), self.edition.start(), self.command.0, self.response.0]);
        output.extend(self.vin.0);
        output.push(self.encryption.0);
        output.extend((data.len() as u16).to_be_bytes());
        output.extend(data);
        output.push(check_byte(&output[begin..]));
        Ok(())
    }
}

/// XOR of all bytes from the command on, of a frame without its check byte.
fn check_byte(bytes: &[u8]) -> u8 {
    let (words, rest) = bytes[2..].as_chunks::<8>();
    let word = words.iter().fold(0, |all, word| all ^ u64::from_le_bytes(*word));
    word.to_le_bytes().iter().chain(rest).fold(0, |all, byte| all ^ byte)
}

/// One frame, checked by its length and check byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What stands before the data unit.
    pub header: Header,
    /// The data unit, as it is: encrypted, if the header says so.
    pub data: &'a [u8],
    /// The whole frame.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads `bytes`, which are one frame and nothing else.
    ///
    /// # Errors
    /// When they are not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let length = frame_length(bytes)?;
        let Some(length) = length.filter(|length| *length <= bytes.len()) else {
            let expected = length.map_or(HEADER_BYTES + 1, |length| length);
            return Err(DecodeError::new(bytes.len(), TOO_SHORT, format!("{expected} bytes"), bytes.len().to_string()));
        };
        if bytes.len() > length {
            let found = bytes.len().to_string();
            return Err(DecodeError::new(length, LEFT_OVER, format!("a frame of {length} bytes"), found));
        }
        let expected = check_byte(&bytes[..length - 1]);
        if bytes[length - 1] != expected {
            let found = format!("{:02x}", bytes[length - 1]);
            return Err(DecodeError::new(length - 1, BAD_CHECK, format!("{expected:02x}"), found));
        }
        let vin = Vin(bytes[4..21].try_into().expect("17 bytes"));
        let header = Header {
            edition: Edition::of_start(bytes[0]).expect("the start was looked at"),
            command: Command(bytes[2]),
            response: Response(bytes[3]),
            vin,
            encryption: Encryption(bytes[21]),
        };
        Ok(Self { header, data: &bytes[HEADER_BYTES..length - 1], bytes })
    }
}

/// How long the frame is that `bytes` begin with; `None` where too little of it is there to tell.
///
/// # Errors
/// When no frame begins so.
pub(crate) fn frame_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let start = &bytes[..bytes.len().min(2)];
    let is_start = start.first().is_none_or(|first| Edition::of_start(*first).is_some())
        && start.get(1).is_none_or(|second| *second == start[0]);
    if !is_start {
        return Err(DecodeError::new(0, BAD_START, "23 23 or 24 24", hex(start)));
    }
    if let Some(bad) = bytes.iter().take(21).skip(4).position(|byte| !matches!(byte, 0 | 0x20..=0x7E)) {
        let found = format!("{:02x}", bytes[4 + bad]);
        return Err(DecodeError::new(4 + bad, BAD_VIN, "17 characters of ASCII", found));
    }
    let Some(length) = bytes.get(22..HEADER_BYTES) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length > DATA_BYTES_MAX {
        return Err(DecodeError::new(22, TOO_LONG, format!("at most {DATA_BYTES_MAX} bytes"), length.to_string()));
    }
    Ok(Some(HEADER_BYTES + length + 1))
}
