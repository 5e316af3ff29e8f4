//! Who may log in: vehicles by VIN and ICCID, platforms by user and password. Knows no connection.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::fast::RandomState;
use gbt32960::Vin;
use model::Timestamp;

/// Newcomers that are remembered at the most.
const NEWCOMERS_MAX: usize = 10_000;

/// The ICCID of each vehicle, where it has to be a certain one.
type Vehicles = HashMap<Vin, Option<Box<str>>, RandomState>;

/// See the module.
#[derive(Debug, Default)]
pub struct Registry {
    /// `None`: every vehicle may log in.
    vehicles: Option<RwLock<Vehicles>>,
    platforms: Vec<PlatformAccount>,
    newcomers: Mutex<BTreeMap<Vin, Newcomer>>,
}

/// A platform that may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct PlatformAccount {
    /// At most 12 bytes.
    pub user: Box<str>,
    /// At most 20 bytes.
    pub password: Box<str>,
}

impl std::fmt::Debug for PlatformAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlatformAccount").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A vehicle that is not registered and came all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// What it said of itself.
    pub iccid: Box<str>,
    /// When it last came.
    pub seen: Timestamp,
}

/// A list of vehicles that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: expected a VIN of 17 characters, and behind a comma its ICCID of 20 digits where it has to be that one"
)]
pub struct InvalidRegistry {
    line: usize,
}

/// Whether a vehicle may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Known,
    /// Not registered; it may log in where the registry is open.
    Unknown,
    /// Registered with another ICCID.
    OtherIccid,
}

impl Registry {
    /// Lets every vehicle in; those that come are listed as newcomers.
    pub fn open(platforms: Vec<PlatformAccount>) -> Self {
        Self { platforms, ..Self::default() }
    }

    /// Lets in the vehicles of `list` and no others: one a line, a VIN and, behind a comma, an ICCID; what follows `#` says
    /// nothing.
    ///
    /// # Errors
    /// When a line is none of these.
    pub fn strict(list: &str, platforms: Vec<PlatformAccount>) -> Result<Self, InvalidRegistry> {
        let mut vehicles = HashMap::with_hasher(RandomState::default());
        for (line, text) in (1..).zip(list.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let (vin, iccid) =
                text.split_once(',').map_or((text, None), |(vin, iccid)| (vin.trim(), Some(iccid.trim())));
            let vin = Vin::new(vin).filter(|vin| vin.as_str().len() == 17);
            let is_iccid = iccid.is_none_or(|iccid| iccid.len() == 20 && iccid.is_ascii());
            let Some(vin) = vin.filter(|_| is_iccid) else { return Err(InvalidRegistry { line }) };
            vehicles.insert(vin, iccid.map(Into::into));
        }
        Ok(Self { vehicles: Some(RwLock::new(vehicles)), platforms, ..Self::default() })
    }

    /// Whether the vehicle `vin` with the card `iccid` may log in. Those that are not registered are remembered.
    pub(crate) fn admit(&self, vin: Vin, iccid: &str, now: Timestamp) -> Admission {
        let vehicles = self.vehicles.as_ref().map(|all| all.read().unwrap_or_else(PoisonError::into_inner));
        match vehicles.as_ref().and_then(|all| all.get(&vin)) {
            Some(Some(registered)) if **registered != *iccid => Admission::OtherIccid,
            Some(_) => Admission::Known,
            None => {
                let mut newcomers = self.newcomers_guard();
                if newcomers.len() < NEWCOMERS_MAX || newcomers.contains_key(&vin) {
                    newcomers.insert(vin, Newcomer { iccid: iccid.into(), seen: now });
                }
                Admission::Unknown
            }
        }
    }

    /// Registers `vin` with the card `iccid`, or with any; it is no newcomer any more. Open registries know no vehicles.
    pub fn register(&self, vin: Vin, iccid: Option<&str>) {
        if let Some(vehicles) = &self.vehicles {
            vehicles.write().unwrap_or_else(PoisonError::into_inner).insert(vin, iccid.map(Into::into));
            self.newcomers_guard().remove(&vin);
        }
    }

    fn newcomers_guard(&self) -> MutexGuard<'_, BTreeMap<Vin, Newcomer>> {
        self.newcomers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the vehicle `vin` may log in, with the right card.
    pub(crate) fn may_log_in(&self, vin: &Vin) -> bool {
        let vehicles = self.vehicles.as_ref().map(|all| all.read().unwrap_or_else(PoisonError::into_inner));
        vehicles.is_none_or(|vehicles| vehicles.contains_key(vin))
    }

    /// Whether vehicles may log in that are not registered.
    pub fn is_open(&self) -> bool {
        self.vehicles.is_none()
    }

    /// Whether there is a platform `user` with `password`.
    pub(crate) fn admits_platform(&self, user: &str, password: &str) -> bool {
        // Every account is compared, and all of it, so that the time tells nothing.
        let same = |one: &str, other: &str| {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            let differing = one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other));
            (one.len() == other.len()) & (differing == 0)
        };
        self.platforms
            .iter()
            .fold(false, |found, account| found | (same(&account.user, user) & same(&account.password, password)))
    }

    /// The vehicles that came and are not registered.
    pub fn newcomers(&self) -> Vec<(Vin, Newcomer)> {
        let newcomers = self.newcomers_guard();
        newcomers.iter().map(|(vin, newcomer)| (*vin, newcomer.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_who_may_log_in() {
        let list = "# the fleet\nLTMTEST0000000001\nLTMTEST0000000002, 89860624400014310964 # bus 2\n\n";
        let registry = Registry::strict(list, Vec::new()).unwrap();
        let now = Timestamp::from_millis(7);
        for (vin, iccid, expected) in [
            ("LTMTEST0000000001", "anything", Admission::Known),
            ("LTMTEST0000000002", "89860624400014310964", Admission::Known),
            ("LTMTEST0000000002", "89860624400014310965", Admission::OtherIccid),
            ("LTMTEST0000000003", "89860624400014310964", Admission::Unknown),
        ] {
            assert_eq!(registry.admit(Vin::new(vin).unwrap(), iccid, now), expected, "{vin} {iccid}");
        }
        let newcomers = registry.newcomers();
        assert_eq!(newcomers.len(), 1);
        assert_eq!((newcomers[0].0.as_str(), newcomers[0].1.seen), ("LTMTEST0000000003", now));
        registry.register(newcomers[0].0, Some("89860624400014310964"));
        assert_eq!(registry.admit(newcomers[0].0, "89860624400014310964", now), Admission::Known);
        assert_eq!(registry.newcomers(), []);
        for wrong in ["LTMTEST", "LTMTEST0000000001,123"] {
            let error = Registry::strict(&format!("\n{wrong}\n"), Vec::new()).unwrap_err();
            assert!(error.to_string().starts_with("line 2: expected a VIN"), "{error}");
        }
    }

    #[test]
    fn platforms_show_user_and_password() {
        let account = PlatformAccount { user: "region".into(), password: "correct horse".into() };
        assert!(!format!("{account:?}").contains("horse"));
        let registry = Registry::open(vec![account]);
        assert!(registry.admits_platform("region", "correct horse"));
        for (user, password) in [("region", "wrong"), ("nation", "correct horse"), ("", ""), ("region", "")] {
            assert!(!registry.admits_platform(user, password), "{user} {password}");
        }
    }
}
