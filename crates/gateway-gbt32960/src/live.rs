//! Which connection each vehicle has: one, and a new one closes the old. Knows nothing of what is said on them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use gbt32960::Vin;
use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Live {
    vehicles: Mutex<HashMap<Vin, CancellationToken, RandomState>>,
}

impl Live {
    /// `vin` is connected by the connection that `close` closes; one before it is closed.
    pub(crate) fn enter(&self, vin: Vin, close: &CancellationToken) {
        let mut vehicles = self.vehicles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = vehicles.insert(vin, close.clone());
        if let Some(before) = before.filter(|before| before != close) {
            before.cancel();
        }
    }

    /// `vin` is no longer connected by the connection that `close` closes.
    pub(crate) fn leave(&self, vin: &Vin, close: &CancellationToken) {
        let mut vehicles = self.vehicles.lock().unwrap_or_else(PoisonError::into_inner);
        if vehicles.get(vin).is_some_and(|current| current == close) {
            vehicles.remove(vin);
        }
    }
}
