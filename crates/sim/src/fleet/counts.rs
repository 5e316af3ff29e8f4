//! What a fleet has sent and heard, counted, so that it can be compared with what a platform holds.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters that all vehicles share.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(pub(super) $name: Counter,)*
        }

        /// What counters say at one moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// What they say now.
            pub fn counts(&self) -> Counts {
                Counts { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Vehicles that are logged in at present.
    connected,
    /// Connections that were made.
    connections,
    /// Connections that could not be made.
    unreachable,
    /// Connections that ended without a logout, for whatever reason.
    broken,
    /// Logins that were answered with ok.
    logins,
    /// Logins that were refused, or not answered.
    logins_refused,
    /// Logouts that were answered with ok.
    logouts,
    /// Reports that were made: each is one, however often it is sent.
    made,
    /// Reports sent in time, by command 02.
    sent,
    /// Reports sent later or again, by command 03.
    reissued,
    /// Reports that were acknowledged: each is one.
    acknowledged,
    /// Error replies to reports.
    refused,
    /// Reports that were refused too often.
    given_up,
    /// Reports that nothing was kept of any more when they could have been sent.
    forgotten,
    /// Commands of the platform that were answered.
    commands,
    /// Bytes sent.
    bytes,
}

/// See [`Counters`].
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Counts {
    /// Reports that are neither acknowledged nor lost.
    pub fn outstanding(&self) -> u64 {
        self.made.saturating_sub(self.acknowledged + self.given_up + self.forgotten)
    }
}
