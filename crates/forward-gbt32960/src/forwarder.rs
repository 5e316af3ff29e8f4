//! One upstream platform: connections one after another, with the waits between them that the standard asks for.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gbt32960::{Command, DATA_BYTES_MAX, Edition, Header, PROFILE, Response, Standard, Vin};
use model::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::cursor::Cursor;
use crate::express::Express;
use crate::options::{Begin, ForwardOptions};
use crate::reports::Reports;
use crate::seal::Seal;
use crate::session::{Course, Ended, Session};
use crate::status::{State, Status, Telling};
use crate::vehicles::Vehicles;

/// Logins that fail one after another before a pause.
const LOGINS_MAX: u32 = 3;
/// By how much the wait after a lost connection may grow.
const WAIT_GROWTH_MAX: u32 = 60;

/// What all connections of a forwarder have in common.
pub(crate) struct Shared {
    pub(crate) options: ForwardOptions,
    pub(crate) vehicles: Arc<Vehicles>,
    pub(crate) express: Express,
    pub(crate) reports: Arc<dyn Reports>,
    pub(crate) seal: Arc<dyn Seal>,
    pub(crate) clock: Arc<dyn Clock>,
    telling: Mutex<Telling>,
}

/// See the module.
pub struct Forwarder {
    shared: Shared,
}

impl Shared {
    pub(crate) fn telling(&self) -> MutexGuard<'_, Telling> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_state(&self, state: State) {
        let now = self.clock.now();
        let mut telling = self.telling();
        if telling.state != state {
            tracing::info!(
                forward = self.options.name,
                state = state.as_str(),
                reason = state.reason(),
                "forward state"
            );
            if let Some(reason) = state.reason() {
                telling.last_error = Some(reason.to_owned());
            }
            telling.state = state;
            telling.since = now;
        }
    }

    /// The frame with the data unit `data`; `None` where it cannot be encrypted, or is too long then.
    pub(crate) fn framed(&self, command: Command, vin: Vin, edition: Edition, data: Vec<u8>) -> Option<Vec<u8>> {
        let (response, encryption) = (Response::COMMAND, self.seal.rule());
        let header = Header { edition, command, response, vin, encryption };
        let sealed = if data.is_empty() { Ok((encryption, data)) } else { self.seal.seal(&header, data) };
        let written = match sealed {
            Ok((encryption, data)) if data.len() <= DATA_BYTES_MAX => {
                let mut frame = Vec::with_capacity(data.len() + 32);
                let header = Header { encryption, ..header };
                header.write(&data, &mut frame).map(|()| frame).map_err(|error| error.to_string())
            }
            Ok(_) => Err("a data unit is too long".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(frame) => Some(frame),
            Err(reason) => {
                self.telling().last_error = Some(reason);
                None
            }
        }
    }
}

impl Forwarder {
    /// A forwarder of what `reports` has; it does nothing before it runs.
    pub fn new(
        options: ForwardOptions,
        standard: Arc<Standard>,
        reports: Arc<dyn Reports>,
        seal: Arc<dyn Seal>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let express = Express::new(standard, &options);
        let vehicles = Arc::new(options.vehicles.clone());
        let telling = Mutex::new(Telling::new(clock.now()));
        Self { shared: Shared { options, vehicles, express, reports, seal, clock, telling } }
    }

    /// How it is called.
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// Where the upstream is.
    pub fn address(&self) -> &str {
        &self.shared.options.address
    }

    /// The edition that the upstream reads.
    pub fn edition(&self) -> Edition {
        self.shared.options.edition
    }

    /// How it is doing. What waits is looked up, and may be a little more or less than told.
    pub fn status(&self) -> Status {
        let (until, mut gaps, waits_since) = {
            let telling = self.shared.telling();
            (telling.until, telling.gaps.clone(), telling.waits_since)
        };
        let received = self.shared.reports.received();
        gaps.extend(until.filter(|until| *until < received).map(|until| (until, received)));
        let rows = gaps.iter().map(|(after, until)| self.shared.reports.rows_about(PROFILE, *after, *until));
        let lag_rows = rows.sum();
        let waited = |since: Timestamp| self.shared.clock.now().millis().saturating_sub(since.millis()).max(0) as u64;
        let lag_ms = waits_since.map_or(0, waited);
        self.shared.telling().status(lag_rows, lag_ms)
    }

    /// Forwards until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let shared = &self.shared;
        let mut course = match self.course() {
            Ok(course) => course,
            Err(reason) => {
                tracing::error!(forward = shared.options.name, reason, "nothing is forwarded");
                return shared.set_state(State::Failed(reason));
            }
        };
        course.keep(shared).await;
        course.tell(shared);
        let (mut logins, mut losses) = (0, 0);
        while !stop.is_cancelled() {
            shared.set_state(State::Connecting);
            let before = shared.telling().logins;
            let ended = tokio::select! {
                ended = connection(shared, &mut course, &stop) => ended,
                // A login is not waited for.
                () = until_stopped_before_login(shared, before, &stop) => Ok(()),
            };
            course.keep(shared).await;
            let Err(ended) = ended else { break };
            if shared.telling().logins > before {
                (logins, losses) = (0, 0);
            }
            let wait = wait_after(&ended, &shared.options, &mut logins, &mut losses);
            shared.set_state(State::Waiting(described(&ended)));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        shared.set_state(State::Stopped);
    }

    fn course(&self) -> Result<Course, String> {
        let shared = &self.shared;
        let loaded = Cursor::load(&shared.options.cursor).map_err(|error| described(&error))?;
        let cursor = loaded.unwrap_or_else(|| match shared.options.begin {
            Begin::Now => Cursor::new(shared.reports.received()),
            Begin::Oldest => Cursor::new(Timestamp::MIN),
        });
        Ok(Course::new(cursor))
    }
}

/// One connection.
async fn connection(shared: &Shared, course: &mut Course, stop: &CancellationToken) -> Result<(), Ended> {
    Session::login(shared, course).await?.run(stop).await
}

/// Ends when `stop` comes before a login has succeeded.
async fn until_stopped_before_login(shared: &Shared, logins: u64, stop: &CancellationToken) {
    stop.cancelled().await;
    if shared.telling().logins > logins {
        std::future::pending::<()>().await;
    }
}

/// How long to wait after a connection ended so.
fn wait_after(ended: &Ended, options: &ForwardOptions, logins: &mut u32, losses: &mut u32) -> Duration {
    match ended {
        Ended::LoginRefused(_) | Ended::LoginUnanswered => {
            *logins += 1;
            if logins.is_multiple_of(LOGINS_MAX) { options.login_pause } else { options.login_wait }
        }
        Ended::Unreachable(_) | Ended::Lost(_) | Ended::Unanswered | Ended::Read(_) => {
            let growth = 1_u32.checked_shl(*losses).unwrap_or(WAIT_GROWTH_MAX).min(WAIT_GROWTH_MAX);
            *losses += 1;
            options.connect_wait * growth
        }
    }
}

/// An error and what it comes from, in one line.
pub(crate) fn described(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
