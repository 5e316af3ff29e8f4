//! Tells one target, in order, at least once, until it has taken it or it is too late. How far it has come is in a file before
//! anything is sent, so that what is sent again after a restart is the same. Must not know how messages are carried.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diagnosis::{By, Happened, Record};
use gateway::{Backoff, IngestError};
use model::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::message::Message;
use super::pace::{Pace, Turn};
use super::place::{Key, Place};
use super::target::{Failure, Target};
use super::waiting::{Reader, SETTLED_AFTER};

/// How often it is looked for something to tell.
const TICK: Duration = Duration::from_millis(500);
/// How long one attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);
/// Waits between attempts.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// A message that is refused so often as what it is will not be taken.
const REFUSALS_MAX: u32 = 5;
/// How often it is kept how far records were passed over that are not told.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// How one target is doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// Messages that were taken, and given up, since the start.
    pub(crate) told: u64,
    pub(crate) given_up: u64,
    /// Attempts that failed, since the start.
    pub(crate) failures: u64,
    /// Attempts of the message that is under way; none where none has failed.
    pub(crate) attempts: u32,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_error: Option<(Timestamp, String)>,
    /// Alarms in the message that is under way.
    under_way: usize,
    behind: Option<Key>,
}

/// See the module.
pub(crate) struct Teller {
    pub(crate) reader: Reader,
    pub(crate) target: Target,
    pub(crate) path: PathBuf,
    pub(crate) per_minute_max: usize,
    pub(crate) give_up: Duration,
    /// Decides the jitter of waits.
    pub(crate) seed: u64,
    pub(crate) status: Mutex<Status>,
}

/// The program is ending.
struct Stopped;

/// What became of a message.
enum Outcome {
    Told { attempts: u32 },
    GivenUp { reason: String },
}

impl Teller {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is doing, and about how many records wait.
    pub(crate) fn report(&self) -> (Status, u64) {
        let status = self.status().clone();
        let behind = status.behind.as_ref().map_or(0, |behind| self.reader.about(behind));
        let waiting = behind + status.under_way as u64;
        (status, waiting)
    }

    /// Sends a message that says that it is a test.
    pub(crate) async fn test(&self) -> Result<(), Failure> {
        self.attempt(&Message::new(&self.reader.target, Vec::new(), self.reader.alarms.now())).await
    }

    /// Tells what is to be told, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        // It ends when it is stopped, which is no failure.
        let _ = stop.run_until_cancelled(self.tell_all()).await;
    }

    async fn tell_all(&self) -> Result<(), Stopped> {
        let mut place = self.begin().await;
        let mut pace = Pace::new(self.per_minute_max);
        loop {
            let message = match place.under_way.take() {
                Some(message) => message,
                None => {
                    let message = self.next(&mut place, &mut pace).await;
                    place.under_way = Some(message.clone());
                    self.keep(&place).await;
                    message
                }
            };
            self.show(&place, message.alarms.len());
            let outcome = self.tell(&message, &mut pace).await;
            self.record(&message, &outcome).await?;
            place.under_way = None;
            self.show(&place, 0);
            self.keep(&place).await;
        }
    }

    /// Where it was, or, the first time, behind all that has come in.
    async fn begin(&self) -> Place {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Place::read(&path)).await;
        let now = self.reader.store.received();
        let place = match read.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(Some(place)) => place,
            Ok(None) => {
                let place = Place::new(Key::behind(now));
                self.keep(&place).await;
                place
            }
            Err(error) => {
                tracing::error!(notify = self.reader.target, %error,
                    "how far somebody was told of alarms does not read: they are told once more what is not too old");
                Place::new(Key::behind(now.plus_nanos(-(self.give_up.as_nanos() as i64))))
            }
        };
        self.settle(now).await;
        place
    }

    /// Waits until alarms are known as they were when all until `until` had come in, but not for ever.
    async fn settle(&self, until: Timestamp) {
        let started = Instant::now();
        while started.elapsed() < SETTLED_AFTER {
            let health = self.reader.alarms.health();
            if health.place >= until || health.trouble.is_some() {
                return;
            }
            tokio::time::sleep(TICK / 5).await;
        }
    }

    async fn keep(&self, place: &Place) {
        let (place, path) = (place.clone(), self.path.clone());
        let written = tokio::task::spawn_blocking(move || place.write(&path)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(notify = self.reader.target, %error, "it cannot be kept how far somebody was told of alarms");
        }
    }

    fn show(&self, place: &Place, under_way: usize) {
        let mut status = self.status();
        (status.behind, status.under_way) = (Some(place.behind.clone()), under_way);
    }

    fn is_too_old(&self, since: Timestamp) -> bool {
        let age = self.reader.alarms.now().nanos().saturating_sub(since.nanos());
        i128::from(age) > self.give_up.as_nanos() as i128
    }

    /// What is told next; `place` is behind it then.
    async fn next(&self, place: &mut Place, pace: &mut Pace) -> Message {
        let mut kept = Instant::now();
        loop {
            let turn = pace.turn(Instant::now());
            if let Turn::Wait(until) = turn {
                tokio::time::sleep_until(until).await;
                continue;
            }
            match self.reader.waiting(&place.behind).await {
                Ok(mut waiting) => {
                    place.behind = waiting.behind;
                    let (target, now) = (self.reader.target.as_str(), self.reader.alarms.now());
                    let is_late = |received: &str| received.parse().is_ok_and(|received| self.is_too_old(received));
                    if waiting.entries.first().is_some_and(|(_, entry)| is_late(&entry.received)) {
                        // What is too late is given up together.
                        let late = waiting.entries.iter().take_while(|(_, entry)| is_late(&entry.received));
                        waiting.entries.truncate(late.count().max(1));
                    } else if turn == Turn::One && !waiting.is_full {
                        waiting.entries.truncate(1);
                    }
                    if let Some((last, _)) = waiting.entries.last() {
                        place.behind = last.clone();
                        let entries = waiting.entries.into_iter().map(|(_, entry)| entry).collect();
                        return Message::new(target, entries, now);
                    }
                }
                Err(error) => {
                    tracing::error!(notify = self.reader.target, error, "alarms cannot be told for the moment");
                }
            }
            self.show(place, 0);
            if kept.elapsed() >= KEEP_EVERY {
                self.keep(place).await;
                kept = Instant::now();
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Tries until `message` is taken, or given up.
    async fn tell(&self, message: &Message, pace: &mut Pace) -> Outcome {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1, self.seed);
        let (mut attempts, mut refusals) = (0, 0);
        let mut reason = "the server was not running, or others had to be told before".to_owned();
        loop {
            if self.is_too_old(message.newest()) {
                return Outcome::GivenUp { reason: format!("too late after {attempts} attempts; {reason}") };
            }
            while let Turn::Wait(until) = pace.turn(Instant::now()) {
                tokio::time::sleep_until(until).await;
            }
            pace.take(Instant::now());
            attempts += 1;
            let Err(failure) = self.attempt(message).await else { return Outcome::Told { attempts } };
            self.status().attempts = attempts;
            refusals += u32::from(failure.is_refusal);
            reason = failure.reason;
            if refusals >= REFUSALS_MAX {
                return Outcome::GivenUp { reason: format!("refused after {attempts} attempts; {reason}") };
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// One attempt, which counts.
    async fn attempt(&self, message: &Message) -> Result<(), Failure> {
        let now_secs = self.reader.alarms.now().millis() / 1_000;
        let told = tokio::time::timeout(ATTEMPT_MAX, self.target.tell(message, now_secs)).await;
        let late = |_| Err(Failure::said(&format!("no answer within {} s", ATTEMPT_MAX.as_secs()), false));
        let told = told.unwrap_or_else(late);
        let now = self.reader.alarms.now();
        let mut status = self.status();
        match &told {
            Ok(()) => status.last_success = Some(now),
            Err(failure) => {
                status.failures += 1;
                status.last_error = Some((now, failure.reason.clone()));
                tracing::warn!(
                    notify = self.reader.target,
                    reason = failure.reason,
                    "somebody could not be told of alarms"
                );
            }
        }
        told
    }

    /// Keeps what became of `message` with each alarm that it tells.
    async fn record(&self, message: &Message, outcome: &Outcome) -> Result<(), Stopped> {
        let by = |comment: String| By { who: self.reader.target.as_str().into(), comment: comment.into() };
        let happened = match outcome {
            Outcome::Told { attempts: 1 } => Happened::Notified(by("1 attempt".to_owned())),
            Outcome::Told { attempts } => Happened::Notified(by(format!("{attempts} attempts"))),
            Outcome::GivenUp { reason } => Happened::NotNotified(by(reason.clone())),
        };
        {
            let mut status = self.status();
            let count = if matches!(outcome, Outcome::Told { .. }) { &mut status.told } else { &mut status.given_up };
            *count += 1;
            status.attempts = 0;
        }
        let alarms = &self.reader.alarms;
        let now = alarms.now();
        let records: Vec<Record> =
            message.alarms.iter().filter_map(|entry| entry.record(now, happened.clone())).collect();
        match alarms.keep(&records).await {
            Ok(()) => Ok(()),
            Err(IngestError::Closed) => Err(Stopped),
            Err(error) => {
                tracing::warn!(notify = self.reader.target, %error, "it cannot be kept that somebody was told of alarms");
                Ok(())
            }
        }
    }
}
