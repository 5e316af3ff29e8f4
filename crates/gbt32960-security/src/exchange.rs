//! Key exchange: a key for data units, and from when until when it holds (2025, command 0x0B). Knows nothing of what time
//! it is.

use std::fmt;

use gbt32960::{Content, DecodeError, Encryption, Header, Layout, Node, Unit, WireTime};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::block::{BlockCipher, BlockKey, Mode};
use crate::error::{BAD_KEY, SecurityError, UNDECRYPTABLE};
use crate::keys::{PrivateKey, PublicKey};
use crate::signature::SignatureKind;

/// Bytes of a key of a block cipher.
const KEY_BYTES: usize = 16;

/// A key on its way.
///
/// The standard says what it is for, and not how it is kept secret. Here a key of AES-128 or SM4 is encrypted with the public
/// key of who gets it, of RSA or SM2; its length tells which. It may stand there as it is where the whole data unit is
/// encrypted. A key of RSA or SM2 is the public key of who sends it, and no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyExchange {
    /// What data units are encrypted with it.
    pub encryption: Encryption,
    /// The key as it travels.
    pub key: Vec<u8>,
    /// From when.
    pub enabled: WireTime,
    /// Until when.
    pub expires: WireTime,
}

/// A key that has arrived.
#[derive(Debug, Clone)]
pub enum ExchangedKey {
    /// Both sides encrypt and decrypt with it.
    Block(BlockKey),
    /// What is sent to the other side is encrypted with it.
    Public(PublicKey),
}

impl KeyExchange {
    /// Reads the decrypted data unit `data` of a frame with `header`.
    ///
    /// # Errors
    /// When it is no key exchange; offsets are those of the frame.
    pub fn parse(layout: &Layout, header: &Header, data: &[u8]) -> Result<Self, DecodeError> {
        let nodes = match Unit::parse(layout, header, data)?.content {
            Content::Message(nodes) => <[Node; 4]>::try_from(nodes).ok(),
            _ => None,
        };
        let Some([Node::Number(code), Node::Bytes(key), Node::Bytes(enabled), Node::Bytes(expires)]) = nodes else {
            return Err(other());
        };
        let (Ok(enabled), Ok(expires)) = ((*enabled).try_into(), (*expires).try_into()) else { return Err(other()) };
        Ok(Self { encryption: Encryption(code as u8), key: key.into(), enabled, expires })
    }

    /// `key`, encrypted for the holder of the private key that belongs to `to`.
    ///
    /// # Errors
    /// When `to` only signs.
    pub fn wrap<R: CryptoRng>(
        key: &BlockKey,
        to: &PublicKey,
        enabled: WireTime,
        expires: WireTime,
        rng: &mut R,
    ) -> Result<Self, SecurityError> {
        Ok(Self { encryption: key.cipher().encryption(), key: to.encrypt(rng, key.bytes())?, enabled, expires })
    }

    /// The public half of one's own key, so that the other side can encrypt for it.
    ///
    /// # Errors
    /// When `key` only signs.
    pub fn of_public(key: &PublicKey, enabled: WireTime, expires: WireTime) -> Result<Self, SecurityError> {
        let only_signs = || SecurityError::new(BAD_KEY, "a key of RSA or SM2", "one of ECC, which only signs");
        Ok(Self { encryption: key.kind().encryption().ok_or_else(only_signs)?, key: key.to_bytes(), enabled, expires })
    }

    /// The data unit.
    pub fn write(&self) -> Vec<u8> {
        let length = (self.key.len() as u16).to_be_bytes();
        [&[self.encryption.0], &length[..], &self.key, &self.enabled, &self.expires].concat()
    }

    /// The key, decrypted with the one of `own` that it was encrypted for. Block ciphers are to work in `mode`; a key that
    /// stands there as it is counts only where the data unit was `encrypted`.
    ///
    /// # Errors
    /// When there is no such key, or it is none.
    pub fn unwrap<R: CryptoRng>(
        &self,
        own: &[PrivateKey],
        mode: Mode,
        encrypted: Encryption,
        rng: &mut R,
    ) -> Result<ExchangedKey, SecurityError> {
        let Some(cipher) = BlockCipher::of(self.encryption) else {
            let kind = [SignatureKind::Rsa, SignatureKind::Sm2];
            let kind = kind.into_iter().find(|kind| kind.encryption() == Some(self.encryption)).ok_or_else(|| {
                let found = format!("the unknown kind {:#04x}", self.encryption.0);
                SecurityError::new(BAD_KEY, "a key of RSA, AES-128, SM2 or SM4", found)
            })?;
            return PublicKey::from_bytes(kind, &self.key).map(ExchangedKey::Public);
        };
        if self.key.len() == KEY_BYTES && encrypted != Encryption::NONE {
            let key = self.key.as_slice().try_into().expect("16 bytes");
            return Ok(ExchangedKey::Block(BlockKey::new(cipher, mode, key)));
        }
        let decrypted = self.decrypted(own, rng)?;
        match decrypted.as_slice().try_into() {
            Ok(key) => Ok(ExchangedKey::Block(BlockKey::new(cipher, mode, key))),
            Err(_) => Err(SecurityError::new(BAD_KEY, format!("a key of {KEY_BYTES} bytes"), "another length")),
        }
    }

    fn decrypted<R: CryptoRng>(&self, own: &[PrivateKey], rng: &mut R) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
        own.iter().find_map(|own| own.decrypt(rng, &self.key).ok()).map(Zeroizing::new).ok_or_else(|| {
            let expected = format!("a key encrypted for one of the {} private keys here", own.len());
            SecurityError::new(UNDECRYPTABLE, expected, format!("{} bytes that are not", self.key.len()))
        })
    }
}

fn other() -> DecodeError {
    let (place, expected) = (String::new(), "kind, key and two times".into());
    DecodeError { offset: 24, reason: "no key exchange", place, expected, found: "other fields".into() }
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").field("encryption", &self.encryption).finish_non_exhaustive()
    }
}
