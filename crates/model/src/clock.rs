//! What time it is, as a parameter: engines never ask the operating system themselves.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::Timestamp;

/// A source of the present time.
pub trait Clock: Send + Sync + 'static {
    /// The present, as this clock has it.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until it is set; for tests and simulation.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.nanos()))
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.nanos(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}
