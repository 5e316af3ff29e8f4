//! Signatures: made, verified, and found at the end of a report of 2025. Knows nothing of whose key is whose.

use gbt32960::{Blocks, DecodeError, Encryption, Layout};
use p256::ecdsa;
use p256::ecdsa::signature::{RandomizedSigner, Signer, Verifier};
use rand_core::CryptoRng;
use rsa::sha2::Sha256;
use sm2::dsa;

use crate::error::{BAD_SIGNATURE, SecurityError};
use crate::keys::{COORDINATE_BYTES, Private, PrivateKey, Public, PublicKey};

/// The type of the block that a signature is.
const SIGNATURE_BLOCK: u8 = 0xFF;

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// SM2 with SM3.
    Sm2 = 1,
    /// RSA after PKCS#1 v1.5, with SHA-256.
    Rsa = 2,
    /// ECDSA over P-256, with SHA-256.
    Ecc = 3,
}

impl SignatureKind {
    /// The kind that `code` stands for on the wire.
    pub fn of_code(code: u8) -> Option<Self> {
        [Self::Sm2, Self::Rsa, Self::Ecc].into_iter().find(|kind| *kind as u8 == code)
    }

    /// The standard's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sm2 => "SM2",
            Self::Rsa => "RSA",
            Self::Ecc => "ECC",
        }
    }

    /// The kind with the word `word`.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Sm2, Self::Rsa, Self::Ecc].into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word))
    }

    /// The code of data units that are encrypted with such keys; those of ECC only sign.
    pub fn encryption(self) -> Option<Encryption> {
        match self {
            Self::Sm2 => Some(Encryption::SM2),
            Self::Rsa => Some(Encryption::RSA),
            Self::Ecc => None,
        }
    }
}

/// A signature as it travels: of SM2 and ECC two numbers of 32 bytes; of RSA the first one is the signature and the second
/// one is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The code of its kind.
    pub code: u8,
    /// R.
    pub r: &'a [u8],
    /// S.
    pub s: &'a [u8],
}

/// A report, or an activation, that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// What the signature covers: from the time to what comes before the signature; of a report, before its type 0xFF.
    pub covered: &'a [u8],
    /// The signature.
    pub signature: Signature<'a>,
}

impl<'a> Signed<'a> {
    /// Finds the signature of the report whose decrypted data unit is `data`, by going through its blocks: a byte 0xFF within
    /// one of them is none.
    ///
    /// # Errors
    /// When it is no report.
    pub fn find(layout: &Layout, data: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        if layout.block(SIGNATURE_BLOCK).is_none() {
            return Ok(None);
        }
        for block in Blocks::new(layout, data)? {
            let (kind, bytes) = block?;
            if kind == SIGNATURE_BLOCK {
                let signature = Signature::read(&data[bytes.start + 1..bytes.end]);
                return Ok(signature.map(|signature| Self { covered: &data[..bytes.start], signature }));
            }
        }
        Ok(None)
    }

    /// Compares it with `key`.
    ///
    /// # Errors
    /// When it was not signed with the private key that belongs to it, or has changed since.
    pub fn verify(&self, key: &PublicKey) -> Result<(), SecurityError> {
        key.verify(self.covered, &self.signature)
    }
}

impl<'a> Signature<'a> {
    /// Reads kind, R and S, and nothing behind them.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (code, rest) = bytes.split_first()?;
        let (r, rest) = number(rest)?;
        let (s, rest) = number(rest)?;
        rest.is_empty().then_some(Self { code: *code, r, s })
    }
}

fn number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Adds the signature of `key` to the report whose data unit is `data` and has none.
///
/// # Errors
/// When the key cannot sign: one of RSA that is too short.
pub fn sign_report<R: CryptoRng>(key: &PrivateKey, rng: &mut R, data: &mut Vec<u8>) -> Result<(), SecurityError> {
    let (r, s) = key.sign(rng, data)?;
    data.push(SIGNATURE_BLOCK);
    data.push(key.kind() as u8);
    for number in [r, s] {
        data.extend((number.len() as u16).to_be_bytes());
        data.extend(number);
    }
    Ok(())
}

impl PrivateKey {
    /// Signs `message`: gives R and S.
    ///
    /// # Errors
    /// When the key cannot sign: one of RSA that is too short.
    pub fn sign<R: CryptoRng>(&self, rng: &mut R, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SecurityError> {
        let unusable = |_| SecurityError::new(BAD_SIGNATURE, "a key that signs", "one that does not");
        match &self.0 {
            Private::Sm2(key) => {
                let signature: dsa::Signature = key.0.try_sign_with_rng(rng, message).map_err(unusable)?;
                Ok((signature.r_bytes().to_vec(), signature.s_bytes().to_vec()))
            }
            Private::Ecc(key) => {
                let signature: ecdsa::Signature = key.try_sign(message).map_err(unusable)?;
                let (r, s) = signature.split_bytes();
                Ok((r.to_vec(), s.to_vec()))
            }
            Private::Rsa(key) => {
                let signature = key.pkcs1v15_sign_with_rng::<Sha256, R>(rng, message);
                let unusable =
                    |error: rsa::Error| SecurityError::new(BAD_SIGNATURE, "a key that signs", error.to_string());
                Ok((signature.map_err(unusable)?, Vec::new()))
            }
        }
    }
}

impl PublicKey {
    /// Compares the signature of `message`.
    ///
    /// # Errors
    /// When `message` was not signed with the private key that belongs to this one, or has changed since.
    pub fn verify(&self, message: &[u8], signature: &Signature<'_>) -> Result<(), SecurityError> {
        if signature.code != self.kind() as u8 {
            let found = SignatureKind::of_code(signature.code)
                .map_or_else(|| format!("the unknown kind {:#04x}", signature.code), |kind| kind.word().to_owned());
            return Err(SecurityError::new(BAD_SIGNATURE, format!("one of {}", self.kind().word()), found));
        }
        let verified = match &self.0 {
            Public::Sm2(key) => both(signature)
                .and_then(|both| dsa::Signature::from_slice(&both).ok())
                .is_some_and(|signature| key.verify(message, &signature).is_ok()),
            Public::Ecc(key) => both(signature)
                .and_then(|both| ecdsa::Signature::from_slice(&both).ok())
                .is_some_and(|signature| key.verify(message, &signature).is_ok()),
            Public::Rsa(key) => signature.s.is_empty() && key.pkcs1v15_verify::<Sha256>(message, signature.r).is_ok(),
        };
        if verified {
            return Ok(());
        }
        let expected = format!("the signature of these bytes by the known key of {}", self.kind().word());
        Err(SecurityError::new(BAD_SIGNATURE, expected, "another one"))
    }
}

/// R and S of 32 bytes each; some write them without their leading zeros, or with one more.
fn both(signature: &Signature<'_>) -> Option<[u8; 2 * COORDINATE_BYTES]> {
    let mut both = [0; 2 * COORDINATE_BYTES];
    for (place, number) in both.chunks_mut(COORDINATE_BYTES).zip([signature.r, signature.s]) {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let begin = COORDINATE_BYTES.checked_sub(number.len() - zeros)?;
        place[begin..].copy_from_slice(&number[zeros..]);
    }
    Some(both)
}
