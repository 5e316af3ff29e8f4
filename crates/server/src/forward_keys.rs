//! What data units are encrypted with that go to an upstream platform, from the file that the configuration names. Must not
//! know what is forwarded.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use forward_gbt32960::{Plain, Seal, SealError};
use gateway_gbt32960::block_key_of_text;
use gbt32960::{Edition, Encryption, Header};
use gbt32960_security::{DataKey, PublicKey};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::vehicle_keys::seed;

const EXPECTED: &str = "AES-128 or SM4, ecb or cbc:<32 hexadecimal digits>, and a key of 32 hexadecimal digits, with commas \
                        between, or a public key of RSA or SM2, PEM";

/// What encrypts for an upstream of `edition` with the key in the file `path`; without one, nothing does.
///
/// # Errors
/// When it cannot be read, is no key, or one of an algorithm that the edition does not have; shows nothing of it.
pub(crate) fn seal(path: Option<&Path>, edition: Edition) -> Result<Arc<dyn Seal>, String> {
    let Some(path) = path else { return Ok(Arc::new(Plain)) };
    let within = |problem: &dyn std::fmt::Display| format!("in the key `{}`: {problem}", path.display());
    let text = fs::read_to_string(path).map_err(|error| within(&error))?;
    let key = match text.trim_start().starts_with("-----BEGIN") {
        true => PublicKey::from_pem(&text).map(DataKey::Public).map_err(|error| within(&error))?,
        false => {
            let key = block_key_of_text(text.trim());
            DataKey::Block(key.ok_or_else(|| within(&format!("expected {EXPECTED}")))?)
        }
    };
    let rule = key.encryption().ok_or_else(|| within(&"expected a key that encrypts, got one that only signs"))?;
    if edition == Edition::E2016 && !matches!(rule, Encryption::AES_128 | Encryption::RSA) {
        let word = rule.word().unwrap_or("another algorithm");
        return Err(within(&format!("expected AES-128 or RSA, which 2016 has, got {word}")));
    }
    Ok(Arc::new(Keyed { key, rule, random: Mutex::new(StdRng::from_seed(seed()?)) }))
}

/// One key for all that is said to an upstream.
struct Keyed {
    key: DataKey,
    rule: Encryption,
    random: Mutex<StdRng>,
}

impl Seal for Keyed {
    fn rule(&self) -> Encryption {
        self.rule
    }

    fn seal(&self, _: &Header, data: Vec<u8>) -> Result<(Encryption, Vec<u8>), SealError> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = self.key.encrypt(&mut *random, &data).map_err(|error| SealError(error.to_string()))?;
        Ok((self.rule, sealed))
    }

    fn open(&self, header: &Header, data: &[u8]) -> Option<Vec<u8>> {
        match header.encryption {
            encryption if encryption == self.rule => {
                let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                self.key.decrypt(&mut *random, data).ok()
            }
            // A reply whose time an upstream left as it is.
            Encryption::NONE => Some(data.to_vec()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, edition: Edition) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        seal(Some(&path), edition).err().unwrap_or_default()
    }

    #[test]
    fn keys_are_told_apart_and_what_is_none_is_refused_without_being_shown() {
        let (iv, key) = ("00112233445566778899aabbccddeeff", "0123456789abcdeffedcba9876543210");
        for good in [format!("SM4,ecb,{key}\n"), format!("AES-128, cbc:{iv}, {key}")] {
            assert_eq!(refused(&good, Edition::E2025), "");
        }
        for (bad, edition, expected) in [
            (format!("SM4,ecb,{key}"), Edition::E2016, "expected AES-128 or RSA, which 2016 has, got SM4"),
            (format!("SM4,{key}"), Edition::E2025, "expected AES-128 or SM4, ecb or cbc:"),
            (format!("SM4,ecb,{key}0"), Edition::E2025, "expected AES-128 or SM4, ecb or cbc:"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n".to_owned(), Edition::E2025, "in the key"),
        ] {
            let error = refused(&bad, edition);
            assert!(error.contains(expected) && !error.contains(&key[..16]), "{bad}: {error}");
        }
        assert!(
            seal(Some(Path::new("/nowhere/key")), Edition::E2025).is_err_and(|error| error.contains("/nowhere/key"))
        );
    }
}
