//! How a gateway is doing, for people and for metrics. Counts and states only, never contents.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{AssetId, Timestamp};

/// The state of the connection to the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// An attempt is under way.
    Connecting,
    /// The source speaks, or may speak at any time.
    Connected,
    /// The connection was lost or refused; the next attempt comes later. Holds the reason.
    Waiting(String),
    /// What arrives cannot be kept at present, so reading has paused. Holds the reason.
    Refused(String),
    /// It will not be tried again without a change of configuration. Holds the reason.
    Failed(String),
    /// Ended on request.
    Stopped,
}

impl Connection {
    /// The word for this state.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting(_) => "waiting",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The reason, where the state has one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Waiting(reason) | Self::Refused(reason) | Self::Failed(reason) => Some(reason),
            Self::Connecting | Self::Connected | Self::Stopped => None,
        }
    }
}

/// Connection state and the assets heard of, as last told by the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// See [`Connection`].
    pub connection: Connection,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// The assets that speak through this gateway.
    pub assets: Vec<AssetId>,
}

/// The reasons of rejection that are told apart at most; the rest is counted as `other`.
const REASONS_MAX: usize = 64;

/// What went through a gateway since its start.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    messages: AtomicU64,
    observations: AtomicU64,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    connections: AtomicU64,
    last_received: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

/// A reading of [`Counters`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Bytes read from the source.
    pub bytes: u64,
    /// Lines, documents or frames read.
    pub messages: u64,
    /// Observations decoded.
    pub observations: u64,
    /// Of these, durable and new.
    pub accepted: u64,
    /// Of these, known before.
    pub duplicates: u64,
    /// Connections made.
    pub connections: u64,
    /// When something last came in.
    pub last_received: Option<Timestamp>,
    /// What was rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Counts what was read and decoded at `now`.
    pub fn read(&self, bytes: u64, messages: u64, observations: u64, now: Timestamp) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.observations.fetch_add(observations, Ordering::Relaxed);
        self.last_received.store(now.nanos().unsigned_abs(), Ordering::Relaxed);
    }

    /// Counts what became durable.
    pub fn kept(&self, receipt: crate::Receipt) {
        self.accepted.fetch_add(receipt.accepted, Ordering::Relaxed);
        self.duplicates.fetch_add(receipt.duplicates, Ordering::Relaxed);
    }

    /// Counts one connection made.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one rejection; `reason` is a constant text without contents.
    pub fn reject(&self, reason: &'static str) {
        self.reject_many(reason, 1);
    }

    /// Counts `count` rejections for the same reason.
    pub fn reject_many(&self, reason: &'static str, count: u64) {
        let mut rejected = self.rejected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let reason = if rejected.len() < REASONS_MAX || rejected.contains_key(reason) { reason } else { "other" };
        *rejected.entry(reason).or_insert(0) += count;
    }

    /// A reading of all counters.
    pub fn tally(&self) -> Tally {
        let last = self.last_received.load(Ordering::Relaxed);
        Tally {
            bytes: self.bytes.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            observations: self.observations.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            last_received: (last > 0).then(|| Timestamp::from_nanos(i64::try_from(last).unwrap_or(i64::MAX))),
            rejected: self.rejected.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_are_counted_by_reason() {
        let counters = Counters::default();
        counters.reject("unknown data item");
        counters.reject("unknown data item");
        counters.reject("invalid UTF-8");
        let rejected = counters.tally().rejected;
        assert_eq!(rejected["unknown data item"], 2);
        assert_eq!(rejected["invalid UTF-8"], 1);
    }
}
