//! Encryption for the holder of a private key: RSA (PKCS#1 v1.5) and SM2 (GM/T 0003.4). Knows nothing of what is encrypted.

use rand_core::CryptoRng;
use rsa::traits::PublicKeyParts;
use sm2::pke::{DecryptingKey, EncryptingKey};

use crate::error::{SecurityError, UNDECRYPTABLE, UNENCRYPTABLE};
use crate::keys::{Private, PrivateKey, Public, PublicKey};

/// Bytes that PKCS#1 v1.5 adds to each block.
const RSA_PADDING_BYTES: usize = 11;
/// Blocks of RSA in a data unit at the most: each costs milliseconds, and who sends them is not known yet.
const RSA_BLOCKS_MAX: usize = 64;
/// What SM2 puts before the message: a point and a hash, without the byte that says which form the point has.
const SM2_ADDED_BYTES: usize = 64 + 32;
/// The byte that says that both coordinates of a point follow.
const UNCOMPRESSED: u8 = 4;
/// The byte that DER of several values begins with.
const DER_SEQUENCE: u8 = 0x30;

impl PublicKey {
    /// Encrypts `data`; nothing stays nothing.
    ///
    /// RSA: PKCS#1 v1.5, in blocks as long as the modulus, each of which holds 11 bytes less than that; at most 64 blocks.
    /// SM2: one message of any length, C1 (65 bytes, uncompressed), C3, C2, one after another.
    ///
    /// # Errors
    /// When the key only signs, or `data` is too long for it.
    pub fn encrypt<R: CryptoRng>(&self, rng: &mut R, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
        match &self.0 {
            Public::Sm2(_) if data.is_empty() => Ok(Vec::new()),
            Public::Sm2(key) => EncryptingKey::new(key.into())
                .encrypt(rng, data)
                .map_err(|_| SecurityError::new(UNENCRYPTABLE, "random numbers that SM2 can use", "others")),
            Public::Rsa(key) => {
                let block = key.size() - RSA_PADDING_BYTES;
                if data.len() > block * RSA_BLOCKS_MAX {
                    let expected = format!("at most {} bytes for this key of RSA", block * RSA_BLOCKS_MAX);
                    return Err(SecurityError::new(UNENCRYPTABLE, expected, data.len().to_string()));
                }
                let mut encrypted = Vec::with_capacity(data.len().div_ceil(block) * key.size());
                for part in data.chunks(block) {
                    encrypted.extend(key.pkcs1v15_encrypt_with_rng(rng, part).map_err(|error| {
                        SecurityError::new(UNENCRYPTABLE, "a usable key of RSA", error.to_string())
                    })?);
                }
                Ok(encrypted)
            }
            Public::Ecc(_) => {
                Err(SecurityError::new(UNENCRYPTABLE, "a key of RSA or SM2", "one of ECC, which only signs"))
            }
        }
    }
}

impl PrivateKey {
    /// Decrypts `data`, as [`PublicKey::encrypt`] leaves it; of SM2 also DER, and C1 without its first byte.
    ///
    /// That RSA succeeds does not say that the key was right: what was encrypted for another one gives made-up bytes, so that
    /// who sends it learns nothing of the key from what is answered.
    ///
    /// # Errors
    /// When it was not encrypted for this key, as far as that can be told.
    pub fn decrypt<R: CryptoRng>(&self, rng: &mut R, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
        match &self.0 {
            _ if data.is_empty() => Ok(Vec::new()),
            Private::Sm2(key) => decrypt_sm2(&key.1, data),
            Private::Rsa(key) => {
                let block = key.size();
                if !data.len().is_multiple_of(block) || data.len() > block * RSA_BLOCKS_MAX {
                    let expected =
                        format!("1 to {RSA_BLOCKS_MAX} blocks of {block} bytes, the length of the key of RSA");
                    return Err(SecurityError::new(UNDECRYPTABLE, expected, format!("{} bytes", data.len())));
                }
                let mut decrypted = Vec::with_capacity(data.len());
                for part in data.chunks(block) {
                    decrypted.extend(key.pkcs1v15_decrypt_with_rng(rng, part).map_err(|_| {
                        SecurityError::new(
                            UNDECRYPTABLE,
                            "a number below the modulus of the key of RSA",
                            "a greater one",
                        )
                    })?);
                }
                Ok(decrypted)
            }
            Private::Ecc(_) => {
                Err(SecurityError::new(UNDECRYPTABLE, "a key of RSA or SM2", "one of ECC, which only signs"))
            }
        }
    }
}

fn decrypt_sm2(key: &sm2::SecretKey, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
    if data.len() <= SM2_ADDED_BYTES {
        let expected = format!("more than {SM2_ADDED_BYTES} bytes of SM2");
        return Err(SecurityError::new(UNDECRYPTABLE, expected, format!("{} bytes", data.len())));
    }
    // Its hash says whether a message was read in the right form.
    let key = DecryptingKey::new(key.clone());
    let as_it_is = match data[0] {
        UNCOMPRESSED => key.decrypt(data).ok(),
        DER_SEQUENCE => key.decrypt_der(data).ok(),
        _ => None,
    };
    as_it_is.or_else(|| key.decrypt(&[&[UNCOMPRESSED], data].concat()).ok()).ok_or_else(|| {
        let expected = "C1, C3 and C2 of SM2, for this key and whole";
        SecurityError::new(UNDECRYPTABLE, expected, format!("{} bytes that are not", data.len()))
    })
}
