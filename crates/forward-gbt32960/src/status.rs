//! How a forwarder is doing, for people and for metrics.

use std::collections::{BTreeMap, VecDeque};

use gbt32960::Inexpressible;
use model::Timestamp;

/// Refusals that are kept, the newest ones.
const REFUSALS_MAX: usize = 100;
/// Reasons that are told apart of what cannot be expressed; the rest is counted as `other`.
const UNEXPRESSED_MAX: usize = 256;

/// What a forwarder is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// An attempt is under way.
    Connecting,
    /// It is logged in.
    Connected,
    /// The next attempt comes later. Holds the reason.
    Waiting(String),
    /// It will not be tried again without a change of configuration. Holds the reason.
    Failed(String),
    /// Ended on request.
    Stopped,
}

impl State {
    /// The word for this state.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting(_) => "waiting",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The reason, where the state has one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Waiting(reason) | Self::Failed(reason) => Some(reason),
            Self::Connecting | Self::Connected | Self::Stopped => None,
        }
    }
}

/// A frame that the upstream did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose it was.
    pub vin: String,
    /// The time that it said.
    pub time: Timestamp,
    /// The word for its command.
    pub command: &'static str,
    /// The word for the upstream's reply, or its number.
    pub reason: String,
    /// When it was refused for the last time.
    pub at: Timestamp,
}

/// Something that reports said and that could not be said to the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexpressed {
    /// Why.
    pub reason: &'static str,
    /// Which signal or block.
    pub what: String,
    /// In how many frames.
    pub count: u64,
    /// A vehicle, and the time, of the last of them.
    pub last: (String, Timestamp),
}

/// See the module. Numbers are since the start of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// See [`State`].
    pub state: State,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// Frames that were sent: logins, logouts and reports of vehicles; a frame that is sent again counts again.
    pub sent: u64,
    /// Of these, acknowledged.
    pub acknowledged: u64,
    /// Frames that were given up because they were refused.
    pub refused: u64,
    /// Reports, logins and logouts of which nothing could be said.
    pub left_out: u64,
    /// Logins as a platform.
    pub logins: u64,
    /// About how many rows wait.
    pub lag_rows: u64,
    /// How long the one that has waited longest waits, in milliseconds.
    pub lag_ms: u64,
    /// Why the last connection ended, or something could not be read or kept.
    pub last_error: Option<String>,
    /// The newest refusals, the newest first.
    pub refusals: Vec<Refusal>,
    /// What could not be said.
    pub unexpressed: Vec<Unexpressed>,
}

impl Status {
    /// Of one that has done nothing yet.
    pub fn new(state: State, since: Timestamp) -> Self {
        Telling { state, ..Telling::new(since) }.status(0, 0)
    }
}

/// What a forwarder tells about itself.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) left_out: u64,
    pub(crate) logins: u64,
    pub(crate) last_error: Option<String>,
    /// What is acknowledged until when, but for these gaps; and when it was seen what has waited longest.
    pub(crate) until: Option<Timestamp>,
    pub(crate) gaps: Vec<(Timestamp, Timestamp)>,
    pub(crate) waits_since: Option<Timestamp>,
    refused: u64,
    refusals: VecDeque<Refusal>,
    unexpressed: BTreeMap<(&'static str, Box<str>), (u64, String, Timestamp)>,
}

impl Telling {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self {
            state: State::Connecting,
            since,
            sent: 0,
            acknowledged: 0,
            left_out: 0,
            logins: 0,
            last_error: None,
            until: None,
            gaps: Vec::new(),
            waits_since: None,
            refused: 0,
            refusals: VecDeque::new(),
            unexpressed: BTreeMap::new(),
        }
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        self.refusals.push_front(refusal);
        self.refusals.truncate(REFUSALS_MAX);
    }

    pub(crate) fn miss(&mut self, missed: Inexpressible, vin: &str, time: Timestamp) {
        let key = (missed.reason, missed.what);
        let is_known = self.unexpressed.len() < UNEXPRESSED_MAX || self.unexpressed.contains_key(&key);
        let key = if is_known { key } else { ("other", "".into()) };
        let (count, last, when) = self.unexpressed.entry(key).or_insert((0, String::new(), time));
        *count += 1;
        if last != vin {
            vin.clone_into(last);
        }
        *when = time;
    }

    pub(crate) fn status(&self, lag_rows: u64, lag_ms: u64) -> Status {
        let unexpressed = self.unexpressed.iter().map(|((reason, what), (count, vin, time))| Unexpressed {
            reason,
            what: what.to_string(),
            count: *count,
            last: (vin.clone(), *time),
        });
        Status {
            state: self.state.clone(),
            since: self.since,
            sent: self.sent,
            acknowledged: self.acknowledged,
            refused: self.refused,
            left_out: self.left_out,
            logins: self.logins,
            lag_rows,
            lag_ms,
            last_error: self.last_error.clone(),
            refusals: self.refusals.iter().cloned().collect(),
            unexpressed: unexpressed.collect(),
        }
    }
}
