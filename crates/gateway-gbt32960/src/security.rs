//! What encrypted data units, signatures and keys are worth to this gateway. Must not know of connections or sockets.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use gbt32960::{Edition, Encryption, Header, Layout, from_wire};
use gbt32960_security::{DataKey, Mode, PrivateKey, SecurityError, SignatureKind, Signed, USER_ID};
use model::{Clock, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::key_record::{KeyRecord, KeyStore};
use crate::keyring::{InvalidKeys, Keyring};

/// What is done about the signatures of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignaturePolicy {
    /// Nothing.
    #[default]
    Ignore,
    /// They are compared; what becomes of each is kept with its report, and those that do not verify are counted.
    Check,
    /// Reports of 2025 without a good one are refused, and so are those of 2016, which cannot have one, of vehicles whose
    /// public key is known.
    Require,
}

/// What a gateway knows of keys from the beginning.
#[derive(Debug, Clone)]
pub struct SecurityOptions {
    /// What is done about signatures.
    pub signatures: SignaturePolicy,
    /// The name that SM2 knows signers by.
    pub user_id: String,
    /// How the blocks of keys follow one another that are exchanged.
    pub mode: Mode,
    /// The platform's own keys: what is encrypted for it is decrypted with them.
    pub own: Vec<PrivateKey>,
    /// Where random numbers begin.
    pub seed: [u8; 32],
}

impl SecurityOptions {
    /// No keys, no signatures, blocks by themselves.
    pub fn new(seed: [u8; 32]) -> Self {
        let (signatures, mode) = (SignaturePolicy::default(), Mode::default());
        Self { signatures, user_id: USER_ID.to_owned(), mode, own: Vec::new(), seed }
    }
}

/// See the module.
pub struct Security {
    signatures: SignaturePolicy,
    pub(crate) user_id: Box<str>,
    pub(crate) mode: Mode,
    pub(crate) keyring: Keyring,
    /// Where what is learned is kept. Without it nothing is learned.
    pub(crate) store: Option<Arc<dyn KeyStore>>,
    random: Mutex<StdRng>,
}

impl Security {
    /// No keys: encrypted data units are refused, signatures are not looked at.
    pub fn none() -> Self {
        Self::new(SecurityOptions::new([0; 32]), "", "").expect("empty lists can be read")
    }

    /// Reads two lists, a key a line, in which what follows `#` says nothing: `data_keys` (VIN or `*`, `AES-128` or `SM4`,
    /// `ecb` or `cbc:` and the initial vector, key) and `public_keys` (VIN, `SM2`, `RSA` or `ECC`, key).
    ///
    /// # Errors
    /// When a line is none of these.
    pub fn new(options: SecurityOptions, data_keys: &str, public_keys: &str) -> Result<Self, InvalidKeys> {
        let keyring = Keyring::new(options.own, data_keys, public_keys, &options.user_id)?;
        let random = Mutex::new(StdRng::from_seed(options.seed));
        let (signatures, user_id, mode) = (options.signatures, options.user_id.into(), options.mode);
        Ok(Self { signatures, user_id, mode, keyring, store: None, random })
    }

    /// The same with a place where keys are kept that vehicles make known, and what was kept there before.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn KeyStore>, kept: impl IntoIterator<Item = KeyRecord>) -> Self {
        for record in kept {
            self.keyring.recall(match record {
                KeyRecord::Activated { vin, chip, key } => {
                    let key = key.with_user_id(&self.user_id).unwrap_or(key);
                    KeyRecord::Activated { vin, chip, key }
                }
                other => other,
            });
        }
        Self { store: Some(store), ..self }
    }

    /// Random numbers for one purpose.
    pub(crate) fn random(&self) -> StdRng {
        StdRng::from_rng(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decrypts the data unit `data` of a frame with `header`, which is encrypted. It `begins` with a time, or not.
    ///
    /// # Errors
    /// When there is no key for it, or it was encrypted with another one.
    pub(crate) fn decrypt(
        &self,
        header: &Header,
        data: &[u8],
        begins: Begins,
        now: Timestamp,
    ) -> Result<Vec<u8>, SecurityError> {
        let encryption = header.encryption;
        let own_kind =
            [SignatureKind::Rsa, SignatureKind::Sm2].into_iter().find(|kind| kind.encryption() == Some(encryption));
        let decrypted = match self.keyring.block_key(&header.vin, encryption, now) {
            Some(key) => key.decrypt(data)?,
            None => {
                let mut own = self.keyring.own.iter().filter(|own| Some(own.kind()) == own_kind).peekable();
                if own.peek().is_none() {
                    let word = encryption.word().unwrap_or("unknown");
                    return Err(problem("encrypted", "no encryption, or one whose key is known", word));
                }
                let mut random = self.random();
                let mut tried = own.map(|own| own.decrypt(&mut random, data));
                let first = tried.next().expect("there is one");
                match first {
                    Ok(decrypted) => decrypted,
                    Err(error) => tried.find_map(Result::ok).ok_or(error)?,
                }
            }
        };
        let time = decrypted.first_chunk().map(|time| from_wire(*time));
        if begins == Begins::WithTime && !matches!(time, Some(Ok(_))) {
            return Err(problem(
                "undecryptable",
                "a data unit that begins with a time",
                "another one: the key is another",
            ));
        }
        Ok(decrypted)
    }

    /// Encrypts `data`, which answers a frame with `header`, as that one was encrypted; without a key it stays as it is.
    pub(crate) fn encrypt<'a>(
        &self,
        header: &Header,
        data: &'a [u8],
        clock: &dyn Clock,
    ) -> (Encryption, Cow<'a, [u8]>) {
        let plain = (Encryption::NONE, Cow::Borrowed(data));
        if header.encryption == Encryption::NONE {
            return plain;
        }
        let key: Option<DataKey> = self.keyring.key_towards(&header.vin, header.encryption, clock.now());
        let encrypted = key.and_then(|key| key.encrypt(&mut self.random(), data).ok());
        encrypted.map_or(plain, |encrypted| (header.encryption, Cow::Owned(encrypted)))
    }

    /// What the signature of a report is worth. `None` if nobody asks.
    pub(crate) fn signature(&self, layout: &Layout, header: &Header, data: &[u8]) -> Option<SignatureOutcome> {
        if self.signatures == SignaturePolicy::Ignore {
            return None;
        }
        let key = self.keyring.public_key(&header.vin);
        if header.edition == Edition::E2016 {
            let is_expected = self.signatures == SignaturePolicy::Require && key.is_some();
            return is_expected.then_some(SignatureOutcome::Missing);
        }
        // What is no report is told by who takes it in.
        let signed = Signed::find(layout, data).ok()?;
        Some(match (signed, key) {
            (None, _) => SignatureOutcome::Missing,
            (Some(_), None) => SignatureOutcome::NoKey,
            (Some(signed), Some(key)) => match signed.verify(&key) {
                Ok(()) => SignatureOutcome::Verified,
                Err(_) => SignatureOutcome::Wrong,
            },
        })
    }

    /// Whether reports without a good signature are refused.
    pub(crate) fn requires_signatures(&self) -> bool {
        self.signatures == SignaturePolicy::Require
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").field("signatures", &self.signatures).finish_non_exhaustive()
    }
}

/// What a data unit begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    WithTime,
    Otherwise,
}

/// What became of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureOutcome {
    Verified,
    Wrong,
    Missing,
    NoKey,
}

impl SignatureOutcome {
    /// What is kept with the report.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
            Self::NoKey => "unknown key",
        }
    }

    /// What is counted, where it is not good.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Verified => None,
            Self::Wrong => Some("wrong signature"),
            Self::Missing => Some("no signature"),
            Self::NoKey => Some("signature of an unknown key"),
        }
    }
}

fn problem(reason: &'static str, expected: &str, found: &str) -> SecurityError {
    SecurityError { reason, expected: expected.to_owned(), found: found.to_owned() }
}
