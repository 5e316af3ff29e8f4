//! How an upstream platform is reached and spoken to.

use std::path::PathBuf;
use std::time::Duration;

use gbt32960::{Edition, Vin};

use crate::vehicles::Vehicles;

/// What counts as "the upstream has it".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// Its reply, which says that the frame is good.
    Each,
    /// That TCP took the frame, and the connection held for a while after: for upstreams that answer no good report. What
    /// they took and lost is not sent again.
    None,
}

/// Where forwarding begins when nothing has been forwarded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With what comes in from then on.
    Now,
    /// With the oldest rows that are kept.
    Oldest,
}

/// See the module. The defaults are those of the standard.
#[derive(Debug, Clone)]
pub struct ForwardOptions {
    /// Its name, for logs.
    pub name: String,
    /// Host and port of the upstream.
    pub address: String,
    /// The edition that the upstream reads.
    pub edition: Edition,
    /// Whether an upstream of 2025 takes reports of 2016 too, as they are.
    pub takes_2016: bool,
    /// The user that it logs in as.
    pub user: String,
    /// The password.
    pub password: String,
    /// What stands in the place of the VIN in the platform's own frames.
    pub code: Vin,
    /// Whose reports it gets.
    pub vehicles: Vehicles,
    /// See [`Replies`].
    pub replies: Replies,
    /// See [`Begin`].
    pub begin: Begin,
    /// Where it is kept how far the upstream has acknowledged.
    pub cursor: PathBuf,
    /// Frames that may be under way without a reply.
    pub window_frames: usize,
    /// How old a report may be that is sent as a realtime report.
    pub fresh_max: Duration,
    /// How often it is looked for new rows.
    pub poll: Duration,
    /// How long silence may last before a heartbeat is sent.
    pub heartbeat: Duration,
    /// How long a reply may take; then the connection is made anew.
    pub reply_wait: Duration,
    /// How long to wait after a login that was refused or not answered.
    pub login_wait: Duration,
    /// And after three of them.
    pub login_pause: Duration,
    /// The first wait after a connection that was lost or refused; it doubles up to 60 times as much.
    pub connect_wait: Duration,
    /// How long a connection has to hold after TCP took a frame, where no reply is waited for.
    pub hold: Duration,
}

impl ForwardOptions {
    /// The defaults, for the upstream of `edition` at `address`, and the file `cursor`.
    pub fn new(name: &str, address: &str, edition: Edition, cursor: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            edition,
            takes_2016: false,
            user: String::new(),
            password: String::new(),
            code: Vin([0; 17]),
            vehicles: Vehicles::All,
            replies: Replies::Each,
            begin: Begin::Now,
            cursor: cursor.into(),
            window_frames: 256,
            fresh_max: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            heartbeat: Duration::from_secs(30),
            reply_wait: Duration::from_secs(60),
            login_wait: Duration::from_secs(if edition == Edition::E2016 { 60 } else { 180 }),
            login_pause: Duration::from_secs(30 * 60),
            connect_wait: Duration::from_secs(1),
            hold: Duration::from_secs(10),
        }
    }
}
