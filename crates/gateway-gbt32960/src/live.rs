//! Which connection each vehicle has: one, and a new one closes the old. Knows nothing of what is said on them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use gbt32960::Vin;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Live {
    vehicles: Mutex<HashMap<Vin, Contact, RandomState>>,
}

/// What can be done to a connection from outside.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    /// Closes it.
    pub(crate) close: CancellationToken,
    /// Tells it that there may be an order for its vehicle.
    pub(crate) wake: Arc<Notify>,
}

impl Live {
    fn vehicles(&self) -> MutexGuard<'_, HashMap<Vin, Contact, RandomState>> {
        self.vehicles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `vin` is connected by the connection of `contact`; one before it is closed.
    pub(crate) fn enter(&self, vin: Vin, contact: &Contact) {
        let before = self.vehicles().insert(vin, contact.clone());
        if let Some(before) = before.filter(|before| before.close != contact.close) {
            before.close.cancel();
        }
    }

    /// `vin` is no longer connected by the connection of `contact`. False if it was not: another one has taken its place.
    pub(crate) fn leave(&self, vin: &Vin, contact: &Contact) -> bool {
        let mut vehicles = self.vehicles();
        let is_current = vehicles.get(vin).is_some_and(|current| current.close == contact.close);
        if is_current {
            vehicles.remove(vin);
        }
        is_current
    }

    /// Tells the connection of `vin`, if there is one, that there may be an order.
    pub(crate) fn wake(&self, vin: &Vin) {
        if let Some(contact) = self.vehicles().get(vin) {
            contact.wake.notify_one();
        }
    }
}
