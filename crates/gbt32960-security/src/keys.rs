//! Keys of SM2 (GM/T 0003), RSA and P-256, in the forms in which they are stored and sent. Knows nothing of whose they are.

use std::fmt;

use p256::ecdsa;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use rsa::BoxedUint;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use sm2::dsa;
use zeroize::Zeroizing;

use crate::error::{BAD_KEY, SecurityError};
use crate::hex::from_hex;
use crate::signature::SignatureKind;

/// The name of the signer that SM2 mixes in where nothing else is agreed on (GM/T 0009).
pub const USER_ID: &str = "1234567812345678";
/// Bytes of a coordinate of either curve.
pub(crate) const COORDINATE_BYTES: usize = 32;
/// The length of an RSA modulus is a multiple of so many bytes.
const MODULUS_STEP_BYTES: usize = 64;
/// The longest exponent behind it.
const EXPONENT_BYTES_MAX: usize = 5;
/// The exponent of an RSA key that comes as its modulus alone.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// A key that is shown to others.
#[derive(Clone)]
pub struct PublicKey(pub(crate) Public);

#[derive(Clone)]
pub(crate) enum Public {
    Sm2(dsa::VerifyingKey),
    Rsa(rsa::PublicKey),
    Ecc(ecdsa::VerifyingKey),
}

/// A key that is not.
#[derive(Clone)]
pub struct PrivateKey(pub(crate) Private);

#[derive(Clone)]
pub(crate) enum Private {
    Sm2(Box<(dsa::SigningKey, sm2::SecretKey)>),
    Rsa(Box<rsa::PrivateKey>),
    Ecc(Box<ecdsa::SigningKey>),
}

impl PublicKey {
    /// Reads PEM: `PUBLIC KEY` of SM2, RSA or P-256, or `RSA PUBLIC KEY`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn from_pem(text: &str) -> Result<Self, SecurityError> {
        if let Ok(key) = sm2::PublicKey::from_public_key_pem(text) {
            return Self::of_sm2(USER_ID, key);
        }
        if let Ok(key) = ecdsa::VerifyingKey::from_public_key_pem(text) {
            return Ok(Self(Public::Ecc(key)));
        }
        let rsa = rsa::PublicKey::from_public_key_pem(text).ok();
        let rsa = rsa.or_else(|| rsa::PublicKey::from_pkcs1_pem(text).ok());
        rsa.map(|key| Self(Public::Rsa(key)))
            .ok_or_else(|| SecurityError::new(BAD_KEY, "PEM of a public key of SM2, RSA or P-256", "another text"))
    }

    /// Reads a key of `kind` as it travels: of SM2 and P-256 a point (65 bytes, 33 compressed, or the 64 of its coordinates),
    /// of RSA the modulus with the exponent behind it, or the modulus alone (the exponent is 65537 then); or DER of any.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn from_bytes(kind: SignatureKind, bytes: &[u8]) -> Result<Self, SecurityError> {
        let invalid = || {
            let expected = format!("a public key of {}", kind.word());
            SecurityError::new(BAD_KEY, expected, format!("{} bytes that are none", bytes.len()))
        };
        let mut point = bytes.to_vec();
        if bytes.len() == 2 * COORDINATE_BYTES {
            point.insert(0, 4);
        }
        match kind {
            SignatureKind::Sm2 => {
                let key = sm2::PublicKey::from_sec1_bytes(&point).ok();
                let key = key.or_else(|| sm2::PublicKey::from_public_key_der(bytes).ok());
                Self::of_sm2(USER_ID, key.ok_or_else(invalid)?)
            }
            SignatureKind::Ecc => {
                let key = ecdsa::VerifyingKey::from_sec1_bytes(&point).ok();
                let key = key.or_else(|| ecdsa::VerifyingKey::from_public_key_der(bytes).ok());
                Ok(Self(Public::Ecc(key.ok_or_else(invalid)?)))
            }
            SignatureKind::Rsa => {
                let key = rsa::PublicKey::from_public_key_der(bytes).ok();
                let key = key.or_else(|| rsa::PublicKey::from_pkcs1_der(bytes).ok());
                Ok(Self(Public::Rsa(key.or_else(|| modulus_and_exponent(bytes)).ok_or_else(invalid)?)))
            }
        }
    }

    /// Reads hexadecimal digits of what [`PublicKey::from_bytes`] takes.
    ///
    /// # Errors
    /// When they are not.
    pub fn from_hex(kind: SignatureKind, text: &str) -> Result<Self, SecurityError> {
        let bytes = from_hex(text)
            .ok_or_else(|| SecurityError::new(BAD_KEY, "hexadecimal digits", format!("{} characters", text.len())))?;
        Self::from_bytes(kind, &bytes)
    }

    /// The key as it travels: of SM2 and P-256 a point of 65 bytes, of RSA the modulus with the exponent behind it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Public::Sm2(key) => key.to_sec1_bytes().into(),
            Public::Rsa(key) => {
                let modulus = key.n_bytes();
                // Whole steps, with zeros before a shorter one: else nobody could tell where the exponent begins.
                let zeros = modulus.len().next_multiple_of(MODULUS_STEP_BYTES) - modulus.len();
                [&vec![0; zeros], &*modulus, &*key.e_bytes()].concat()
            }
            Public::Ecc(key) => key.to_sec1_point(false).as_bytes().into(),
        }
    }

    /// What it verifies.
    pub fn kind(&self) -> SignatureKind {
        match &self.0 {
            Public::Sm2(_) => SignatureKind::Sm2,
            Public::Rsa(_) => SignatureKind::Rsa,
            Public::Ecc(_) => SignatureKind::Ecc,
        }
    }

    /// The same key of a signer that SM2 knows as `user_id`; others mix no name in.
    ///
    /// # Errors
    /// When it is longer than SM2 allows: 8191 bytes.
    pub fn with_user_id(&self, user_id: &str) -> Result<Self, SecurityError> {
        match &self.0 {
            Public::Sm2(key) => Self::of_sm2(user_id, key.into()),
            _ => Ok(self.clone()),
        }
    }

    fn of_sm2(user_id: &str, key: sm2::PublicKey) -> Result<Self, SecurityError> {
        let key = dsa::VerifyingKey::new(user_id, key).map_err(|_| {
            SecurityError::new(BAD_KEY, "a user identifier of at most 8191 bytes", format!("{} bytes", user_id.len()))
        })?;
        Ok(Self(Public::Sm2(key)))
    }
}

fn modulus_and_exponent(bytes: &[u8]) -> Option<rsa::PublicKey> {
    let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
    let behind = (0..=EXPONENT_BYTES_MAX)
        .find(|behind| bytes.len().checked_sub(*behind).is_some_and(|left| left % MODULUS_STEP_BYTES == 0))?;
    let (modulus, exponent) = bytes.split_at(bytes.len() - behind);
    let exponent = if exponent.is_empty() { &EXPONENT } else { exponent };
    rsa::PublicKey::new(number(modulus), number(exponent)).ok()
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kind().word())
    }
}

impl PrivateKey {
    /// Reads PEM that is not encrypted: `PRIVATE KEY` (PKCS#8) of SM2, RSA or P-256, `EC PRIVATE KEY`, or `RSA PRIVATE KEY`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn from_pem(text: &str) -> Result<Self, SecurityError> {
        // Programs write the parameters of the curve before it.
        let label = text.find("PRIVATE KEY-----").unwrap_or(0);
        let text = &text[text[..label].rfind("-----BEGIN").unwrap_or(0)..];
        if let Ok(key) = sm2::SecretKey::from_pem(text) {
            return Self::of_sm2(USER_ID, &key);
        }
        if let Ok(key) = p256::SecretKey::from_pem(text) {
            return Ok(Self(Private::Ecc(Box::new(key.into()))));
        }
        let rsa = rsa::PrivateKey::from_pkcs8_pem(text).ok();
        let rsa = rsa.or_else(|| rsa::PrivateKey::from_pkcs1_pem(text).ok());
        rsa.map(|key| Self(Private::Rsa(Box::new(key))))
            .ok_or_else(|| SecurityError::new(BAD_KEY, "PEM of a private key of SM2, RSA or P-256", "another text"))
    }

    /// Reads the 64 hexadecimal digits of a private number of SM2 or P-256.
    ///
    /// # Errors
    /// When they are none, or `kind` is RSA.
    pub fn from_hex(kind: SignatureKind, text: &str) -> Result<Self, SecurityError> {
        let invalid = || {
            let expected = "64 hexadecimal digits of a private key of SM2 or P-256";
            SecurityError::new(BAD_KEY, expected, format!("{} characters for {}", text.len(), kind.word()))
        };
        let bytes = Zeroizing::new(from_hex(text).filter(|bytes| bytes.len() == COORDINATE_BYTES).ok_or_else(invalid)?);
        match kind {
            SignatureKind::Sm2 => Self::of_sm2(USER_ID, &sm2::SecretKey::from_slice(&bytes).map_err(|_| invalid())?),
            SignatureKind::Ecc => {
                Ok(Self(Private::Ecc(Box::new(ecdsa::SigningKey::from_slice(&bytes).map_err(|_| invalid())?))))
            }
            SignatureKind::Rsa => Err(invalid()),
        }
    }

    /// What it signs.
    pub fn kind(&self) -> SignatureKind {
        match &self.0 {
            Private::Sm2(_) => SignatureKind::Sm2,
            Private::Rsa(_) => SignatureKind::Rsa,
            Private::Ecc(_) => SignatureKind::Ecc,
        }
    }

    /// The key that belongs to it and is shown to others.
    pub fn public(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Private::Sm2(key) => Public::Sm2(key.0.verifying_key().clone()),
            Private::Rsa(key) => Public::Rsa(key.to_public_key()),
            Private::Ecc(key) => Public::Ecc(*key.verifying_key()),
        })
    }

    /// The same key of a signer that SM2 knows as `user_id`; others mix no name in.
    ///
    /// # Errors
    /// When it is longer than SM2 allows: 8191 bytes.
    pub fn with_user_id(&self, user_id: &str) -> Result<Self, SecurityError> {
        match &self.0 {
            Private::Sm2(key) => Self::of_sm2(user_id, &key.1),
            _ => Ok(self.clone()),
        }
    }

    fn of_sm2(user_id: &str, key: &sm2::SecretKey) -> Result<Self, SecurityError> {
        let signing = dsa::SigningKey::new(user_id, key).map_err(|_| {
            SecurityError::new(BAD_KEY, "a user identifier of at most 8191 bytes", format!("{} bytes", user_id.len()))
        })?;
        Ok(Self(Private::Sm2(Box::new((signing, key.clone())))))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, …)", self.kind().word())
    }
}
