//! One connection to an upstream, from login to logout: what is sent, what it acknowledges, and how that is kept.
//!
//! Must not know how often or when connections are made.

use std::collections::{HashMap, VecDeque};
use std::io;

use futures::future::{BoxFuture, OptionFuture};
use gbt32960::{Command, Frame, Header, Response, Vin, WireTime, from_wire};
use model::Timestamp;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cursor::{self, Cursor};
use crate::forwarder::Shared;
use crate::items::{self, Chunk, Item, Table};
use crate::options::Replies;
use crate::reports::ReadError;
use crate::status::{Refusal, State};
use crate::upstream::Upstream;
use crate::window::{Mark, Refused, Sent, Window};

/// Items that wait to be sent; with fewer, more are read.
const READY_FEW: usize = 256;
/// Marks and frames that are kept at the most, also those that are acknowledged behind one that is not.
const ENTRIES_MAX: usize = 65_536;
/// Vehicles whose last realtime report is known; reports of further ones are sent as reissued ones.
const VEHICLES_MAX: usize = 1_000_000;
/// How often the cursor is kept, and the upstream looked at.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);
/// How long the last replies are waited for.
const GOODBYE_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Nanoseconds of a day, and by how much a day begins earlier in China.
const DAY_NANOS: i64 = 86_400_000_000_000;
const CHINA_NANOS: i64 = 8 * 3_600_000_000_000;

/// What outlives a connection.
pub(crate) struct Course {
    pub(crate) cursor: Cursor,
    /// The time of the last report that was sent as a realtime report.
    last_sent: HashMap<Vin, Timestamp>,
    /// The cursor as it was kept last.
    kept: Vec<u8>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("failed to connect to the upstream: {0}")]
    Unreachable(io::Error),
    #[error("the upstream did not answer the login")]
    LoginUnanswered,
    #[error("the upstream refused the login: {0}")]
    LoginRefused(String),
    #[error("the connection was lost: {0}")]
    Lost(io::Error),
    #[error("the upstream did not answer a report in time; if it answers none that are good, set `replies = \"none\"`")]
    Unanswered,
    #[error(transparent)]
    Read(ReadError),
}

impl Course {
    pub(crate) fn new(cursor: Cursor) -> Self {
        Self { cursor, last_sent: HashMap::new(), kept: Vec::new() }
    }

    /// Keeps how far it has come, if that has changed.
    pub(crate) async fn keep(&mut self, shared: &Shared) {
        let text = self.cursor.stored();
        if text == self.kept {
            return;
        }
        let (path, stored) = (shared.options.cursor.clone(), text.clone());
        let saved = tokio::task::spawn_blocking(move || cursor::save(&path, &stored)).await;
        match saved {
            Ok(Ok(())) => self.kept = text,
            Ok(Err(error)) => {
                tracing::warn!(forward = shared.options.name, %error, "how far was forwarded could not be kept");
                shared.telling().last_error = Some(crate::forwarder::described(&error));
            }
            Err(_) => shared.telling().last_error = Some("the cursor could not be kept".to_owned()),
        }
    }

    /// Tells how far it has come.
    pub(crate) fn tell(&self, shared: &Shared) {
        let mut telling = shared.telling();
        telling.until = Some(self.cursor.until);
        telling.gaps = self.cursor.gaps.iter().map(|gap| (gap.after, gap.until)).collect();
        telling.waits_since = self.cursor.waits_since();
    }
}

/// See the module.
pub(crate) struct Session<'a> {
    shared: &'a Shared,
    course: &'a mut Course,
    upstream: Upstream,
    window: Window,
    ready: VecDeque<Item>,
    reading: Option<BoxFuture<'static, Result<Chunk, ReadError>>>,
    /// Whether it is the turn of what waits longest.
    is_turn_of_oldest: bool,
    serial: u16,
    spoken: Instant,
    looked: Instant,
}

impl<'a> Session<'a> {
    /// Connects and logs in.
    pub(crate) async fn login(shared: &'a Shared, course: &'a mut Course) -> Result<Self, Ended> {
        course.cursor.rewind();
        let mut upstream = Upstream::connect(&shared.options.address).await.map_err(Ended::Unreachable)?;
        let now = shared.clock.now();
        let day = now.plus_nanos(CHINA_NANOS).nanos().div_euclid(DAY_NANOS);
        let serial = course.cursor.next_serial(day);
        course.keep(shared).await;
        let rule = shared.seal.rule().0;
        let data = shared.express.platform_login(now, serial, &shared.options, rule);
        let frame = shared.framed(Command::PLATFORM_LOGIN, shared.options.code, shared.express.edition(), data);
        let Some(frame) = frame else {
            return Err(Ended::LoginRefused("the login could not be encrypted".to_owned()));
        };
        upstream.queue(&frame);
        let answered = timeout(shared.options.reply_wait, reply_to(&mut upstream, Command::PLATFORM_LOGIN)).await;
        let response = answered.map_err(|_| Ended::LoginUnanswered)?.map_err(Ended::Lost)?;
        if response != Response::OK {
            return Err(Ended::LoginRefused(word_of(response)));
        }
        shared.telling().logins += 1;
        shared.set_state(State::Connected);
        let now = Instant::now();
        Ok(Self {
            shared,
            course,
            upstream,
            window: Window::default(),
            ready: VecDeque::new(),
            reading: None,
            is_turn_of_oldest: false,
            serial,
            spoken: now,
            looked: now,
        })
    }

    /// Sends until `stop`, then logs out.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), Ended> {
        loop {
            self.take_replies();
            self.settle();
            self.read_more();
            self.send();
            let poll = Instant::now() + self.shared.options.poll.min(TICK);
            let reading: OptionFuture<_> = self.reading.as_mut().into();
            tokio::select! {
                turned = self.upstream.turn() => turned.map_err(Ended::Lost)?,
                Some(read) = reading => {
                    self.reading = None;
                    self.take_chunk(read.map_err(Ended::Read)?)?;
                }
                () = sleep_until(poll) => {}
                () = stop.cancelled() => {
                    self.goodbye().await;
                    return Ok(());
                }
            }
            if self.looked.elapsed() >= TICK {
                self.look().await?;
            }
        }
    }

    /// What is due now and then: the cursor is kept, silence is broken, and replies that do not come are noticed.
    async fn look(&mut self) -> Result<(), Ended> {
        self.looked = Instant::now();
        self.course.keep(self.shared).await;
        let options = &self.shared.options;
        if self.spoken.elapsed() >= options.heartbeat {
            self.spoken = Instant::now();
            let edition = self.shared.express.edition();
            if let Some(frame) = self.shared.framed(Command::HEARTBEAT, options.code, edition, Vec::new()) {
                self.upstream.queue(&frame);
            }
        }
        let is_late = |at: Instant| options.replies == Replies::Each && at.elapsed() > options.reply_wait;
        if self.window.oldest().is_some_and(is_late) { Err(Ended::Unanswered) } else { Ok(()) }
    }

    /// Begins to read what is sent next, if little is left.
    fn read_more(&mut self) {
        if self.reading.is_some() || self.ready.len() > READY_FEW {
            return;
        }
        let now = self.shared.clock.now();
        let cursor = &mut self.course.cursor;
        cursor.extend(self.shared.reports.received(), now);
        self.course.tell(self.shared);
        let fresh = now.plus_nanos(-nanos(self.shared.options.fresh_max));
        let cursor = &self.course.cursor;
        let mut unread = cursor.gaps.iter().filter(|gap| !gap.is_read);
        // What comes in now is sent now, and what waits is sent in turn with it.
        let newest = unread.clone().next_back().filter(|gap| gap.seen >= fresh && gap.after >= fresh);
        let gap = match newest {
            Some(newest) if !self.is_turn_of_oldest && !cursor.is_full() => Some(newest),
            _ => unread.next(),
        };
        self.is_turn_of_oldest = !self.is_turn_of_oldest;
        self.reading = gap.map(|gap| items::read(&self.shared.reports, &self.shared.vehicles, gap));
    }

    fn take_chunk(&mut self, chunk: Chunk) -> Result<(), Ended> {
        let id = chunk.gap;
        let Some(gap) = self.course.cursor.gap(id) else { return Ok(()) };
        let read = chunk.items(&self.shared.express, &mut self.shared.telling(), &mut gap.read);
        let (items, is_all) = read.map_err(Ended::Read)?;
        gap.is_read = is_all;
        self.ready.extend(items);
        if is_all {
            self.ready.push_back(Item::end(id));
        }
        Ok(())
    }

    /// Sends what is ready, as much as may be under way.
    fn send(&mut self) {
        while self.has_room()
            && let Some(item) = self.ready.pop_front()
        {
            let Item { gap, table, place, vin, units, .. } = &item;
            for (edition, data) in units {
                let command = item.command.unwrap_or_else(|| self.command_of(&item));
                let time = data.get(..6).and_then(|time| time.try_into().ok()).unwrap_or_default();
                match self.shared.framed(command, *vin, *edition, data.clone()) {
                    Some(frame) => self.send_frame(*vin, command, time, frame),
                    None => self.shared.telling().left_out += 1,
                }
            }
            let mark = place.as_ref().map_or(Mark::End(*gap), |place| Mark::Row(*gap, *table, place.clone()));
            self.window.mark(mark);
        }
        self.settle();
    }

    fn has_room(&self) -> bool {
        let options = &self.shared.options;
        let frames_max = match options.replies {
            Replies::Each => options.window_frames,
            Replies::None => ENTRIES_MAX,
        };
        self.window.len() < frames_max && self.window.entries() < ENTRIES_MAX && !self.upstream.is_full()
    }

    fn send_frame(&mut self, vin: Vin, command: Command, time: WireTime, frame: Vec<u8>) {
        let (end, now) = (self.upstream.queue(&frame), Instant::now());
        self.window.push(Sent::new(vin, command, time, frame, end, now));
        self.spoken = now;
        self.shared.telling().sent += 1;
    }

    /// Whether a report is as it is now, or was so before.
    fn command_of(&mut self, item: &Item) -> Command {
        let Some(place) = &item.place else { return Command::REISSUED };
        let (now, fresh) = (self.shared.clock.now(), nanos(self.shared.options.fresh_max));
        let is_recent = now <= item.received.plus_nanos(fresh) && item.received <= place.time.plus_nanos(fresh);
        let last = self.course.last_sent.get(&item.vin);
        let has_room = last.is_some() || self.course.last_sent.len() < VEHICLES_MAX;
        if is_recent && has_room && last.is_none_or(|last| *last < place.time) {
            self.course.last_sent.insert(item.vin, place.time);
            return Command::REALTIME;
        }
        // Another data unit of the same report.
        if is_recent && last == Some(&place.time) { Command::REALTIME } else { Command::REISSUED }
    }

    fn take_replies(&mut self) {
        while let Some(frame) = self.upstream.next_frame() {
            let Ok(bytes) = frame else { continue };
            if let Ok(frame) = Frame::parse(&bytes) {
                self.take_reply(&frame);
            }
        }
        if self.shared.options.replies == Replies::None {
            let held = self.upstream.held(Instant::now(), self.shared.options.hold);
            self.shared.telling().acknowledged += self.window.take(held);
        }
    }

    fn take_reply(&mut self, frame: &Frame<'_>) {
        let Header { command, response, vin, .. } = frame.header;
        if response == Response::COMMAND || frame.data.is_empty() && command == Command::HEARTBEAT {
            return;
        }
        // A reply without a time is for the first frame that it can be for.
        let opened = self.shared.seal.open(&frame.header, frame.data);
        let time: Option<WireTime> = opened.as_deref().and_then(|data| data.get(..6)?.try_into().ok());
        if response == Response::OK {
            let acknowledged = self.window.acknowledge(&vin, command, time);
            self.shared.telling().acknowledged += u64::from(acknowledged);
            return;
        }
        match self.window.refuse(&vin, command, time, Instant::now(), self.upstream.queued) {
            Some(Refused::Again(bytes)) => {
                self.upstream.queue(&bytes);
                self.shared.telling().sent += 1;
            }
            Some(Refused::GivenUp(time)) => self.shared.telling().refuse(Refusal {
                vin: vin.as_str().to_owned(),
                time: from_wire(time).unwrap_or_default(),
                command: command.word().unwrap_or("another command"),
                reason: word_of(response),
                at: self.shared.clock.now(),
            }),
            None => {}
        }
    }

    /// Takes in what is acknowledged.
    fn settle(&mut self) {
        let mut has_moved = false;
        while let Some(mark) = self.window.next_mark() {
            has_moved = true;
            match mark {
                Mark::End(gap) => self.course.cursor.close(gap),
                Mark::Row(gap, table, place) => {
                    let Some(gap) = self.course.cursor.gap(gap) else { continue };
                    match table {
                        Table::Reports => gap.done.reports = Some(place),
                        Table::Sessions => gap.done.sessions = Some(place),
                    }
                }
            }
        }
        if has_moved {
            self.course.tell(self.shared);
        }
    }

    /// Waits for the last replies, and logs out.
    async fn goodbye(&mut self) {
        let last = async {
            while self.window.len() > 0 && self.shared.options.replies == Replies::Each {
                self.upstream.turn().await?;
                self.take_replies();
            }
            let data = self.shared.express.platform_logout(self.shared.clock.now(), self.serial);
            let (code, edition) = (self.shared.options.code, self.shared.express.edition());
            if let Some(frame) = self.shared.framed(Command::PLATFORM_LOGOUT, code, edition, data) {
                self.upstream.queue(&frame);
                reply_to(&mut self.upstream, Command::PLATFORM_LOGOUT).await?;
            }
            Ok::<(), io::Error>(())
        };
        // Whoever does not answer a goodbye is left without one.
        let _ = timeout(GOODBYE_WAIT_MAX, last).await;
        if self.shared.options.replies == Replies::None {
            // The connection held until the end.
            let written = self.upstream.written;
            self.shared.telling().acknowledged += self.window.take(written);
        }
        self.settle();
    }
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What the upstream answers to `command`.
async fn reply_to(upstream: &mut Upstream, command: Command) -> io::Result<Response> {
    loop {
        while let Some(frame) = upstream.next_frame() {
            let Ok(bytes) = frame else { continue };
            let header = Frame::parse(&bytes).map(|frame| frame.header);
            if let Ok(header) = header
                && header.command == command
                && header.response != Response::COMMAND
            {
                return Ok(header.response);
            }
        }
        upstream.turn().await?;
    }
}

fn word_of(response: Response) -> String {
    response.word().map_or_else(|| format!("{:#04x}", response.0), str::to_owned)
}
