//! What a data unit is encrypted or decrypted with, whichever algorithm it is. Knows nothing of who has which key.

use gbt32960::Encryption;
use rand_core::CryptoRng;

use crate::block::BlockKey;
use crate::error::{SecurityError, UNDECRYPTABLE};
use crate::keys::{PrivateKey, PublicKey};

/// See the module.
#[derive(Debug, Clone)]
pub enum DataKey {
    /// Both sides have it.
    Block(BlockKey),
    /// The other side's: encrypts for it, and decrypts nothing.
    Public(PublicKey),
    /// One's own: decrypts; encrypts for oneself.
    Private(PrivateKey),
}

impl DataKey {
    /// The code of data units that are encrypted with it; none for a key that only signs.
    pub fn encryption(&self) -> Option<Encryption> {
        match self {
            Self::Block(key) => Some(key.cipher().encryption()),
            Self::Public(key) => key.kind().encryption(),
            Self::Private(key) => key.kind().encryption(),
        }
    }

    /// Encrypts a data unit. One that is empty stays empty.
    ///
    /// # Errors
    /// When the key only signs.
    pub fn encrypt<R: CryptoRng>(&self, rng: &mut R, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
        match self {
            Self::Block(key) => Ok(key.encrypt(data)),
            Self::Public(key) => key.encrypt(rng, data),
            Self::Private(key) => key.public().encrypt(rng, data),
        }
    }

    /// Decrypts a data unit.
    ///
    /// # Errors
    /// When it was not encrypted for this key, as far as that can be told.
    pub fn decrypt<R: CryptoRng>(&self, rng: &mut R, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
        match self {
            Self::Block(key) => key.decrypt(data),
            Self::Private(key) => key.decrypt(rng, data),
            Self::Public(_) => Err(SecurityError::new(UNDECRYPTABLE, "a private key", "a public one")),
        }
    }
}
