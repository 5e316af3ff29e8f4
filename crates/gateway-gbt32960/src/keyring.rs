//! Whose key is whose: those that were configured, and those that vehicles made known since. Must not know of connections,
//! or where what was learned is kept.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use gbt32960::{Encryption, Vin};
use gbt32960_security::{
    ActivationReply, BlockKey, DataKey, ExchangedKey, Mode, PrivateKey, PublicKey, SignatureKind, from_hex,
};
use model::Timestamp;

use crate::key_record::{KeyRecord, cipher_of_word};

/// Vehicles whose keys are learned, at the most.
const VEHICLES_MAX: usize = 500_000;
/// Exchanged keys of a vehicle at the most: the one that holds, and those that follow. The oldest goes.
const EXCHANGED_MAX: usize = 4;
/// What stands for a VIN where a key is that of every vehicle.
const EVERY: &str = "*";

/// A list of keys that cannot be read. Shows nothing of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct InvalidKeys {
    line: usize,
    expected: &'static str,
}

const DATA_KEY: &str = "a VIN or *, AES-128 or SM4, ecb or cbc:<32 hexadecimal digits>, and a key of 32 hexadecimal digits, with commas between";
const PUBLIC_KEY: &str = "a VIN, SM2, RSA or ECC, and a public key in hexadecimal digits, with commas between";

/// Reads how blocks follow one another: `ecb`, or `cbc:` and 32 hexadecimal digits of an initial vector.
pub fn mode_of_text(text: &str) -> Option<Mode> {
    if text.eq_ignore_ascii_case("ecb") {
        return Some(Mode::Ecb);
    }
    let iv = text.strip_prefix("cbc:").or_else(|| text.strip_prefix("CBC:"))?;
    Some(Mode::Cbc(from_hex(iv)?.try_into().ok()?))
}

/// Reads `AES-128` or `SM4`, [a mode](mode_of_text), and a key of 32 hexadecimal digits, with commas between.
pub fn block_key_of_text(text: &str) -> Option<BlockKey> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    block_key(&words)
}

fn block_key(words: &[&str]) -> Option<BlockKey> {
    let [cipher, mode, key] = *words else { return None };
    BlockKey::from_hex(cipher_of_word(cipher)?, mode_of_text(mode)?, key).ok()
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    pub(crate) own: Vec<PrivateKey>,
    /// Configured keys for data units.
    data: HashMap<Vin, Vec<BlockKey>, RandomState>,
    /// Those of vehicles that have none.
    data_of_every: Vec<BlockKey>,
    /// Configured public keys.
    public: HashMap<Vin, Arc<PublicKey>, RandomState>,
    learned: RwLock<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    vehicles: HashMap<Vin, Vehicle, RandomState>,
    chips: HashMap<Box<str>, Vin, RandomState>,
    /// What is not on the disk yet.
    pending: Vec<KeyRecord>,
}

#[derive(Debug, Default)]
struct Vehicle {
    activated: Option<(Box<str>, Arc<PublicKey>)>,
    exchanged: Vec<Exchanged>,
}

#[derive(Debug)]
struct Exchanged {
    key: ExchangedKey,
    enabled: Timestamp,
    expires: Timestamp,
}

impl Exchanged {
    fn encryption(&self) -> Option<Encryption> {
        match &self.key {
            ExchangedKey::Block(key) => Some(key.cipher().encryption()),
            ExchangedKey::Public(key) => key.kind().encryption(),
        }
    }
}

/// The lines of `list` and their numbers, without comments and blank ones, each cut at its commas.
fn lines(list: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines = (1..).zip(list.lines()).map(|(line, text)| (line, text.split('#').next().unwrap_or_default().trim()));
    lines.filter(|(_, text)| !text.is_empty()).map(|(line, text)| (line, text.split(',').map(str::trim).collect()))
}

impl Keyring {
    /// Reads the lists of configured keys. Signers are known to SM2 as `user_id`.
    pub(crate) fn new(
        own: Vec<PrivateKey>,
        data_keys: &str,
        public_keys: &str,
        user_id: &str,
    ) -> Result<Self, InvalidKeys> {
        let mut keyring = Self { own, ..Self::default() };
        for (line, words) in lines(data_keys) {
            let (vin, key) = data_key(&words).ok_or(InvalidKeys { line, expected: DATA_KEY })?;
            match vin {
                Some(vin) => keyring.data.entry(vin).or_default().push(key),
                None => keyring.data_of_every.push(key),
            }
        }
        for (line, words) in lines(public_keys) {
            let (vin, key) = public_key(&words, user_id).ok_or(InvalidKeys { line, expected: PUBLIC_KEY })?;
            keyring.public.insert(vin, Arc::new(key));
        }
        Ok(keyring)
    }

    fn learned(&self) -> RwLockReadGuard<'_, Learned> {
        self.learned.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn learned_mut(&self) -> RwLockWriteGuard<'_, Learned> {
        self.learned.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was learned before this program started.
    pub(crate) fn recall(&self, record: KeyRecord) {
        self.learned_mut().apply(record);
    }

    /// The key of a block cipher that holds at `now` for data units of `vin`.
    pub(crate) fn block_key(&self, vin: &Vin, encryption: Encryption, now: Timestamp) -> Option<BlockKey> {
        if let Some(ExchangedKey::Block(key)) = self.learned().exchanged(vin, encryption, now) {
            return Some(key.clone());
        }
        let is_of = |key: &&BlockKey| key.cipher().encryption() == encryption;
        let of_vehicle = self.data.get(vin).and_then(|keys| keys.iter().find(is_of));
        of_vehicle.or_else(|| self.data_of_every.iter().find(is_of)).cloned()
    }

    /// The key that what is said to `vin` is encrypted with.
    pub(crate) fn key_towards(&self, vin: &Vin, encryption: Encryption, now: Timestamp) -> Option<DataKey> {
        if let Some(key) = self.block_key(vin, encryption, now) {
            return Some(DataKey::Block(key));
        }
        if let Some(ExchangedKey::Public(key)) = self.learned().exchanged(vin, encryption, now) {
            return Some(DataKey::Public(key.clone()));
        }
        let public = self.public_key(vin).filter(|key| key.kind().encryption() == Some(encryption));
        public.map(|key| DataKey::Public((*key).clone()))
    }

    /// What `vin` signs with: the configured key, or else the one that its chip made known.
    pub(crate) fn public_key(&self, vin: &Vin) -> Option<Arc<PublicKey>> {
        if let Some(key) = self.public.get(vin) {
            return Some(Arc::clone(key));
        }
        self.learned().vehicles.get(vin)?.activated.as_ref().map(|(_, key)| Arc::clone(key))
    }

    /// Whether a key of a block cipher was exchanged with `vin` that holds at `now`.
    pub(crate) fn has_exchanged(&self, vin: &Vin, now: Timestamp) -> bool {
        let learned = self.learned();
        [Encryption::AES_128, Encryption::SM4].into_iter().any(|code| learned.exchanged(vin, code, now).is_some())
    }

    /// The chip `chip` in the vehicle `vin` makes `key` known. The same again is as good as the first time; another key or
    /// another chip is not. `None` where no more can be learned, or another key was configured.
    pub(crate) fn activate(&self, vin: Vin, chip: &str, key: PublicKey) -> Option<ActivationReply> {
        if self.public.get(&vin).is_some_and(|configured| **configured != key) {
            return None;
        }
        let mut learned = self.learned_mut();
        let before = learned.vehicles.get(&vin).and_then(|vehicle| vehicle.activated.as_ref());
        match before {
            Some((known, same)) if **known == *chip && **same == key => return Some(ActivationReply::Activated),
            Some((known, _)) if **known != *chip => return Some(ActivationReply::VinDuplicate),
            Some(_) => return Some(ActivationReply::ChipActivated),
            None if learned.chips.contains_key(chip) => return Some(ActivationReply::ChipActivated),
            None => {}
        }
        learned.learn(KeyRecord::Activated { vin, chip: chip.into(), key }).then_some(ActivationReply::Activated)
    }

    /// `key` holds for `vin` from `enabled` until `expires`. False where no more can be learned.
    pub(crate) fn exchange(&self, vin: Vin, key: ExchangedKey, enabled: Timestamp, expires: Timestamp) -> bool {
        self.learned_mut().learn(KeyRecord::Exchanged { vin, key, enabled, expires })
    }

    /// What is to be kept and is not yet.
    pub(crate) fn take_pending(&self) -> Vec<KeyRecord> {
        if self.learned().pending.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.learned_mut().pending)
    }
}

impl Learned {
    /// The exchanged key of `encryption` that holds at `now`: of several the one that was enabled last.
    fn exchanged(&self, vin: &Vin, encryption: Encryption, now: Timestamp) -> Option<&ExchangedKey> {
        let exchanged = &self.vehicles.get(vin)?.exchanged;
        let holds = |one: &&Exchanged| one.enabled <= now && now < one.expires && one.encryption() == Some(encryption);
        exchanged.iter().filter(holds).max_by_key(|one| one.enabled).map(|one| &one.key)
    }

    fn learn(&mut self, record: KeyRecord) -> bool {
        let is_full = self.vehicles.len() >= VEHICLES_MAX && !self.vehicles.contains_key(&record.vin());
        if !is_full {
            self.apply(record.clone());
            self.pending.push(record);
        }
        !is_full
    }

    fn apply(&mut self, record: KeyRecord) {
        let vehicle = self.vehicles.entry(record.vin()).or_default();
        match record {
            KeyRecord::Activated { vin, chip, key } => {
                self.chips.insert(chip.clone(), vin);
                vehicle.activated = Some((chip, Arc::new(key)));
            }
            KeyRecord::Exchanged { key, enabled, expires, .. } => {
                let new = Exchanged { key, enabled, expires };
                let exchanged = &mut vehicle.exchanged;
                exchanged.retain(|old| old.enabled != enabled || old.encryption() != new.encryption());
                exchanged.push(new);
                exchanged.sort_by_key(|one| one.enabled);
                exchanged.drain(..exchanged.len().saturating_sub(EXCHANGED_MAX));
            }
        }
    }
}

fn data_key(words: &[&str]) -> Option<(Option<Vin>, BlockKey)> {
    let (vin, words) = words.split_first()?;
    let vin = if *vin == EVERY { None } else { Some(Vin::new(vin)?) };
    Some((vin, block_key(words)?))
}

fn public_key(words: &[&str], user_id: &str) -> Option<(Vin, PublicKey)> {
    let [vin, kind, key] = *words else { return None };
    let key = PublicKey::from_hex(SignatureKind::of_word(kind)?, key).ok()?;
    Some((Vin::new(vin)?, key.with_user_id(user_id).ok()?))
}
