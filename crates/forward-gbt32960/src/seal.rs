//! Encryption of data units, as somebody else does it. Knows no key.

use gbt32960::{Encryption, Header};

/// A data unit that could not be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to encrypt a data unit: {0}")]
pub struct SealError(pub String);

/// See the module.
pub trait Seal: Send + Sync + 'static {
    /// How data units are encrypted, as a login announces it.
    fn rule(&self) -> Encryption;

    /// How `data` is encrypted that goes into a frame with `header`, and what it is then.
    ///
    /// # Errors
    /// When it cannot be; the frame is not sent then, and counted.
    fn seal(&self, header: &Header, data: Vec<u8>) -> Result<(Encryption, Vec<u8>), SealError>;

    /// The data unit of a reply, decrypted; `None` where it cannot be.
    fn open(&self, header: &Header, data: &[u8]) -> Option<Vec<u8>>;
}

/// No encryption.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Seal for Plain {
    fn rule(&self) -> Encryption {
        Encryption::NONE
    }

    fn seal(&self, _: &Header, data: Vec<u8>) -> Result<(Encryption, Vec<u8>), SealError> {
        Ok((Encryption::NONE, data))
    }

    fn open(&self, _: &Header, data: &[u8]) -> Option<Vec<u8>> {
        Some(data.to_vec())
    }
}
