//! What is learned of vehicles' keys, as lines of text that can be kept. Must not know where they are kept.

use std::io;

use gbt32960::{Encryption, Vin};
use gbt32960_security::{BlockCipher, BlockKey, ExchangedKey, Mode, PublicKey, SignatureKind, from_hex, to_hex};
use model::Timestamp;

/// Something that was learned of the keys of a vehicle.
#[derive(Debug, Clone)]
pub enum KeyRecord {
    /// Its chip made a public key known.
    Activated {
        /// Which vehicle.
        vin: Vin,
        /// Which chip.
        chip: Box<str>,
        /// The key.
        key: PublicKey,
    },
    /// A key for its data units was exchanged.
    Exchanged {
        /// Which vehicle.
        vin: Vin,
        /// The key.
        key: ExchangedKey,
        /// From when it holds.
        enabled: Timestamp,
        /// Until when.
        expires: Timestamp,
    },
}

/// Keeps what is learned of keys. It is on the disk when `append` returns.
pub trait KeyStore: Send + Sync + 'static {
    /// Adds `records` to what is kept: all of them, or after a crash the first few.
    ///
    /// # Errors
    /// When they cannot be kept; they come again.
    fn append(&self, records: &[KeyRecord]) -> io::Result<()>;
}

/// A line that stands for nothing that is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `activated`, VIN, chip, algorithm and key, or `exchanged`, VIN, algorithm, key and two times")]
pub struct InvalidRecord;

impl KeyRecord {
    /// Whose key it is.
    pub fn vin(&self) -> Vin {
        match self {
            Self::Activated { vin, .. } | Self::Exchanged { vin, .. } => *vin,
        }
    }

    /// Whether it says nothing any more at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        matches!(self, Self::Exchanged { expires, .. } if *expires <= now)
    }

    /// The line that stands for it. It shows the key.
    pub fn to_line(&self) -> String {
        match self {
            Self::Activated { vin, chip, key } => {
                let (chip, kind, key) = (to_hex(chip.as_bytes()), key.kind().word(), to_hex(&key.to_bytes()));
                format!("activated {vin} {chip} {kind} {key}")
            }
            Self::Exchanged { vin, key, enabled, expires } => {
                let (code, key) = match key {
                    ExchangedKey::Block(key) => (key.cipher().encryption(), to_hex(key.bytes())),
                    ExchangedKey::Public(key) => {
                        (key.kind().encryption().unwrap_or(Encryption::NONE), to_hex(&key.to_bytes()))
                    }
                };
                let word = code.word().unwrap_or_default();
                format!("exchanged {vin} {word} {key} {} {}", enabled.millis(), expires.millis())
            }
        }
    }

    /// Reads a line. Block ciphers are to work in `mode`.
    ///
    /// # Errors
    /// When it stands for nothing.
    pub fn parse(line: &str, mode: Mode) -> Result<Self, InvalidRecord> {
        let words: Vec<&str> = line.split(' ').collect();
        Self::of_words(&words, mode).ok_or(InvalidRecord)
    }

    fn of_words(words: &[&str], mode: Mode) -> Option<Self> {
        match *words {
            ["activated", vin, chip, kind, key] => Some(Self::Activated {
                vin: Vin::new(vin)?,
                chip: String::from_utf8(from_hex(chip)?).ok()?.into(),
                key: PublicKey::from_hex(SignatureKind::of_word(kind)?, key).ok()?,
            }),
            ["exchanged", vin, word, key, enabled, expires] => {
                let time = |text: &str| text.parse().ok().map(Timestamp::from_millis);
                let key = match cipher_of_word(word) {
                    Some(cipher) => ExchangedKey::Block(BlockKey::from_hex(cipher, mode, key).ok()?),
                    None => ExchangedKey::Public(PublicKey::from_hex(SignatureKind::of_word(word)?, key).ok()?),
                };
                Some(Self::Exchanged { vin: Vin::new(vin)?, key, enabled: time(enabled)?, expires: time(expires)? })
            }
            _ => None,
        }
    }
}

/// The block cipher that the standard's word `word` names.
pub(crate) fn cipher_of_word(word: &str) -> Option<BlockCipher> {
    let is_named =
        |cipher: &BlockCipher| cipher.encryption().word().is_some_and(|known| known.eq_ignore_ascii_case(word));
    [BlockCipher::Aes128, BlockCipher::Sm4].into_iter().find(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_comes_back_from_its_line() {
        let point = "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020\
                     CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13";
        for line in [
            format!("activated LTMTEST0000000001 43484950 SM2 {}", point.to_lowercase()),
            "exchanged LTMTEST0000000001 SM4 000102030405060708090a0b0c0d0e0f 1000 2000".to_owned(),
            format!("exchanged LTMTEST0000000001 SM2 {} 1000 2000", point.to_lowercase()),
        ] {
            let record = KeyRecord::parse(&line, Mode::Ecb).unwrap();
            assert_eq!(record.to_line(), line);
            assert_eq!(record.vin().as_str(), "LTMTEST0000000001");
            assert_eq!(record.is_over(Timestamp::from_millis(2000)), line.starts_with("exchanged"));
            assert!(!record.is_over(Timestamp::from_millis(1999)));
            for cut in 0..line.len() {
                // What a crash may leave behind: none of it is taken for another key.
                let read = KeyRecord::parse(&line[..cut], Mode::Ecb);
                assert!(read.is_err() || read.unwrap().to_line() == line[..cut], "{}", &line[..cut]);
            }
        }
    }
}
