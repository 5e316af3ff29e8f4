//! What the gateways of vehicles share with whoever looks after the fleet: the orders that are given, the vehicles that are
//! not registered, and those that were accepted. Must not know of HTTP.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gateway::{Gateway, GatewayError, Link};
use gateway_gbt32960::{ListenerOptions, Newcomer, Orders, PlatformAccount, PlatformGateway, Registry};
use gbt32960::{Standard, Vin};
use model::Timestamp;

use crate::config::{Gbt32960Config, PlatformConfig};
use crate::files;
use crate::vehicle_keys;

/// See the module.
pub(crate) struct Vehicles {
    pub(crate) orders: Arc<Orders>,
    standard: Arc<Standard>,
    /// Where lists of accepted vehicles are kept.
    folder: PathBuf,
    registries: Mutex<Vec<(String, Arc<Registry>)>>,
}

/// Why a vehicle could not be accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    /// It did not come, or is registered.
    #[error("no such vehicle has come that is not registered")]
    Unknown,
    /// The list of accepted ones could not be written.
    #[error("the list of accepted vehicles could not be written: {0}")]
    NotKept(#[from] io::Error),
}

impl Vehicles {
    /// No gateway yet; keeps lists in `folder`, and what becomes of orders through `link`.
    pub(crate) fn new(folder: PathBuf, link: Link) -> Self {
        let standard = Arc::new(Standard::built_in());
        let orders = Arc::new(Orders::new(Arc::clone(&standard), link));
        Self { orders, standard, folder, registries: Mutex::default() }
    }

    /// The gateway that `config` describes, as it is at `now`.
    pub(crate) fn gateway(&self, config: &Gbt32960Config, now: Timestamp) -> Result<Box<dyn Gateway>, GatewayError> {
        let account = |platform: &PlatformConfig| PlatformAccount {
            user: platform.user.as_str().into(),
            password: platform.password.0.as_str().into(),
        };
        let platforms = config.platforms.iter().map(account).collect();
        let registry = match &config.vehicles {
            None => Registry::open(platforms),
            Some(path) => {
                let mut list = read_list(path)?;
                let accepted = self.list_of(&config.name);
                if accepted.exists() {
                    list.push('\n');
                    list.push_str(&read_list(&accepted)?);
                }
                Registry::strict(&list, platforms).map_err(|error| invalid_list(path, &error))?
            }
        };
        let registry = Arc::new(registry);
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.push((config.name.clone(), Arc::clone(&registry)));
        let options = ListenerOptions {
            connections_max: config.connections_max,
            silence_max: std::time::Duration::from_secs(config.silence_secs_max),
            ..ListenerOptions::new(config.listen)
        };
        let (standard, orders) = (Arc::clone(&self.standard), Arc::clone(&self.orders));
        let mut gateway = PlatformGateway::new(options, standard, registry, orders);
        if let Some(security) = &config.security {
            gateway = gateway.with_security(vehicle_keys::security(security, now)?);
        }
        if let Some(tls) = &config.tls {
            gateway = gateway.with_tls(vehicle_keys::tls(tls)?);
        }
        Ok(Box::new(gateway))
    }

    /// The vehicles that came and are not registered, each with its gateway.
    pub(crate) fn newcomers(&self) -> Vec<(String, Vin, Newcomer)> {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let of_gateway = |(name, registry): &(String, Arc<Registry>)| {
            let name = name.clone();
            registry.newcomers().into_iter().map(move |(vin, newcomer)| (name.clone(), vin, newcomer))
        };
        registries.iter().flat_map(of_gateway).collect()
    }

    /// Lets in the newcomer `vin` from now on, with the card it came with, wherever it came to; returns when that is durable.
    pub(crate) fn accept(&self, vin: Vin) -> Result<(), AcceptError> {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_known = false;
        for (name, registry) in registries.iter().filter(|(_, registry)| !registry.is_open()) {
            let newcomers = registry.newcomers();
            let Some((_, newcomer)) = newcomers.iter().find(|(known, _)| *known == vin) else { continue };
            append(&self.list_of(name), &format!("{vin},{}\n", newcomer.iccid))?;
            registry.register(vin, Some(&newcomer.iccid));
            is_known = true;
        }
        if is_known { Ok(()) } else { Err(AcceptError::Unknown) }
    }

    fn list_of(&self, gateway: &str) -> PathBuf {
        self.folder.join(format!("{gateway}.txt"))
    }
}

fn read_list(path: &Path) -> Result<String, GatewayError> {
    fs::read_to_string(path).map_err(|error| invalid_list(path, &error))
}

fn invalid_list(path: &Path, error: &dyn std::fmt::Display) -> GatewayError {
    GatewayError::Configuration(format!("in the list of vehicles `{}`: {error}", path.display()))
}

/// Adds `line` to a file, which is replaced as a whole; returns when that is durable.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    files::replace(path, (before + line).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accepted").join("fleet.txt");
        append(&path, "one\n").unwrap();
        append(&path, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert!(!path.with_extension("new").exists());
    }
}
