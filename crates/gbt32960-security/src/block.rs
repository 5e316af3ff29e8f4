//! Block ciphers: AES-128 (FIPS 197) and SM4 (GM/T 0002). Knows nothing of who has which key.

use std::fmt;

use aes::Aes128;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use gbt32960::Encryption;
use sm4::Sm4;
use zeroize::Zeroizing;

use crate::error::{BAD_KEY, SecurityError, UNDECRYPTABLE};
use crate::hex::from_hex;

/// Bytes of a block, of a key and of an initial vector, of either cipher.
const BLOCK_BYTES: usize = 16;

/// Which block cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockCipher {
    /// AES with keys of 128 bits.
    Aes128,
    /// SM4.
    Sm4,
}

impl BlockCipher {
    /// The code of data units that are encrypted with it.
    pub fn encryption(self) -> Encryption {
        match self {
            Self::Aes128 => Encryption::AES_128,
            Self::Sm4 => Encryption::SM4,
        }
    }

    /// The cipher of data units with the code `encryption`.
    pub fn of(encryption: Encryption) -> Option<Self> {
        [Self::Aes128, Self::Sm4].into_iter().find(|cipher| cipher.encryption() == encryption)
    }
}

/// How blocks follow one another. The standard leaves it to both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Each block by itself (ECB): what public implementations do.
    #[default]
    Ecb,
    /// Chained (CBC), each data unit beginning with this initial vector, which does not travel with it.
    Cbc([u8; BLOCK_BYTES]),
}

/// A key of a block cipher, and the mode that both sides have agreed on.
///
/// The last block is filled up after PKCS#7, so that what is encrypted is 1 to 16 bytes longer. A data unit that is empty stays
/// empty.
#[derive(Clone)]
pub struct BlockKey {
    cipher: BlockCipher,
    mode: Mode,
    bytes: Zeroizing<[u8; BLOCK_BYTES]>,
}

impl BlockKey {
    /// A key of 16 bytes.
    pub fn new(cipher: BlockCipher, mode: Mode, bytes: [u8; BLOCK_BYTES]) -> Self {
        Self { cipher, mode, bytes: Zeroizing::new(bytes) }
    }

    /// A key of 32 hexadecimal digits.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_hex(cipher: BlockCipher, mode: Mode, text: &str) -> Result<Self, SecurityError> {
        let bytes = from_hex(text).map(Zeroizing::new);
        match bytes.as_deref().and_then(|bytes| bytes.as_slice().try_into().ok()) {
            Some(bytes) => Ok(Self::new(cipher, mode, bytes)),
            None => {
                let found = format!("{} characters", text.len());
                Err(SecurityError::new(BAD_KEY, "32 hexadecimal digits", found))
            }
        }
    }

    /// Which cipher it is for.
    pub fn cipher(&self) -> BlockCipher {
        self.cipher
    }

    /// The key itself, for whoever keeps or hands it on.
    pub fn bytes(&self) -> &[u8; BLOCK_BYTES] {
        &self.bytes
    }

    /// Encrypts a data unit.
    pub fn encrypt(&self, data: &[u8]) -> Vec<u8> {
        if data.is_empty() {
            return Vec::new();
        }
        let key = &(*self.bytes).into();
        match (self.cipher, self.mode) {
            (BlockCipher::Aes128, Mode::Ecb) => ecb::Encryptor::<Aes128>::new(key).encrypt_padded_vec::<Pkcs7>(data),
            (BlockCipher::Sm4, Mode::Ecb) => ecb::Encryptor::<Sm4>::new(key).encrypt_padded_vec::<Pkcs7>(data),
            (BlockCipher::Aes128, Mode::Cbc(iv)) => {
                cbc::Encryptor::<Aes128>::new(key, &iv.into()).encrypt_padded_vec::<Pkcs7>(data)
            }
            (BlockCipher::Sm4, Mode::Cbc(iv)) => {
                cbc::Encryptor::<Sm4>::new(key, &iv.into()).encrypt_padded_vec::<Pkcs7>(data)
            }
        }
    }

    /// Decrypts a data unit. That it succeeds does not say that the key was right: one wrong key in 256 gives something.
    ///
    /// # Errors
    /// When these are not whole blocks, or the last one is not filled up as it has to be.
    pub fn decrypt(&self, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
        if !data.len().is_multiple_of(BLOCK_BYTES) {
            let found = format!("{} bytes", data.len());
            return Err(SecurityError::new(UNDECRYPTABLE, format!("whole blocks of {BLOCK_BYTES} bytes"), found));
        }
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let key = &(*self.bytes).into();
        let decrypted = match (self.cipher, self.mode) {
            (BlockCipher::Aes128, Mode::Ecb) => ecb::Decryptor::<Aes128>::new(key).decrypt_padded_vec::<Pkcs7>(data),
            (BlockCipher::Sm4, Mode::Ecb) => ecb::Decryptor::<Sm4>::new(key).decrypt_padded_vec::<Pkcs7>(data),
            (BlockCipher::Aes128, Mode::Cbc(iv)) => {
                cbc::Decryptor::<Aes128>::new(key, &iv.into()).decrypt_padded_vec::<Pkcs7>(data)
            }
            (BlockCipher::Sm4, Mode::Cbc(iv)) => {
                cbc::Decryptor::<Sm4>::new(key, &iv.into()).decrypt_padded_vec::<Pkcs7>(data)
            }
        };
        decrypted.map_err(|_| {
            SecurityError::new(
                UNDECRYPTABLE,
                "a last block that is filled up (PKCS#7)",
                "another one: the key is another",
            )
        })
    }
}

impl fmt::Debug for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}
