//! One connection: finds frames in what is read, hands on what they say, and answers in their order, each answer only
//! when what it acknowledges is durable. Must not know of other connections.

mod secured;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use gateway::Rejection;
use gbt32960::{
    Command, Content, DecodeError, Edition, Encryption, Found, Frame, Header, Node, Response, Unit, Vin, find_frame,
    from_wire, to_wire,
};
use model::Timestamp;
use tokio::io::ReadBuf;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::collector::{Full, SessionChange};
use crate::listener::Shared;
use crate::live::Contact;
use crate::registry::Admission;
use crate::security::SignatureOutcome;
use crate::stream::Stream;

/// As much as is read at a time, by all connections of a thread.
const READ_BYTES: usize = 64 << 10;
/// Bytes of answers that wait until what they acknowledge is durable; then no more is read. An answer to a report has 31.
const ANSWERS_BYTES_MAX: usize = 31 << 10;
/// How long a vehicle may take to accept an answer.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection that is to end waits for its last answers.
const LAST_WAIT_MAX: Duration = Duration::from_secs(5);

thread_local! {
    /// Where bytes are read to. What is no whole frame yet is copied to the connection, so that one which is silent holds
    /// no memory.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Answers that wait, in their order, until what they acknowledge is durable. None take no memory.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    /// For each round that makes something durable, where its answers end.
    rounds: VecDeque<(u64, usize)>,
}

impl Answers {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= ANSWERS_BYTES_MAX
    }

    /// Adds an answer with the data unit `data`, which is due when `round` is durable.
    fn push(&mut self, round: u64, header: Header, data: &[u8]) {
        header.write(data, &mut self.bytes).expect("answers are short");
        match self.rounds.back_mut() {
            Some((last, end)) if *last >= round => *end = self.bytes.len(),
            _ => self.rounds.push_back((round, self.bytes.len())),
        }
    }

    /// Takes out those that are due when the round `durable` was the last to become durable.
    fn take_due(&mut self, durable: u64) -> Vec<u8> {
        let mut due = 0;
        while let Some((_, end)) = self.rounds.pop_front_if(|(round, _)| *round <= durable) {
            due = end;
        }
        if due == self.bytes.len() {
            return std::mem::take(self).bytes;
        }
        self.rounds.iter_mut().for_each(|(_, end)| *end -= due);
        let left = self.bytes.split_off(due);
        std::mem::replace(&mut self.bytes, left)
    }
}

/// Who speaks on a connection.
enum Speaker {
    /// Nobody has logged in yet.
    Stranger,
    /// A vehicle speaks for itself; it logged in with this.
    Vehicle(Header),
    /// A platform speaks for its vehicles.
    Platform,
}

/// Why a connection ends.
enum End {
    /// The other side closed it, or it was to end.
    Closed,
    /// Something is wrong with it.
    Broken(io::Error),
}

/// See the module.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    stream: Stream,
    contact: Contact,
    durable: watch::Receiver<u64>,
    speaker: Speaker,
    /// What was read and not gone through yet.
    rest: Vec<u8>,
    answers: Answers,
    /// The last round that something said here goes into.
    round: u64,
    /// The round whose batch was full: nothing more is taken in before it is durable.
    held: Option<u64>,
    is_over: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream, shared: Arc<Shared>, close: CancellationToken) -> Self {
        let durable = shared.collector.durable();
        let contact = Contact { close, wake: Arc::new(Notify::new()) };
        Self {
            shared,
            stream,
            contact,
            durable,
            speaker: Speaker::Stranger,
            rest: Vec::new(),
            answers: Answers::default(),
            round: 0,
            held: None,
            is_over: false,
        }
    }

    /// Runs until it ends, for whatever reason.
    pub(crate) async fn run(mut self) {
        if let Err(End::Broken(error)) = self.serve().await {
            tracing::debug!(gateway = self.shared.link.name(), %error, "a connection broke");
        }
        self.stream.close().await;
        if let Speaker::Vehicle(Header { vin, .. }) = self.speaker {
            self.leave(&vin);
            if !self.is_over {
                let time = self.shared.link.clock().now();
                let lost = SessionChange { vin: vin.as_str(), what: "lost", time, iccid: None, serial: None };
                // It is worth telling, but nobody waits for it.
                let _ = self.shared.collector.session(&lost);
            }
        }
    }

    /// The vehicle `vin` speaks here no more.
    fn leave(&self, vin: &Vin) {
        if self.shared.orders.live().leave(vin, &self.contact) {
            self.shared.orders.lost(vin);
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        let silence_max = self.shared.options.silence_max;
        let mut heard = Instant::now();
        // Both are waited for from the beginning to the end, so that a frame costs no timer.
        let mut silence = pin!(tokio::time::sleep(silence_max));
        let Contact { close, wake } = self.contact.clone();
        let (mut closed, mut woken) = (pin!(close.cancelled()), pin!(wake.notified()));
        loop {
            self.answer().await?;
            if self.held.is_none_or(|round| round <= *self.durable.borrow()) && !self.rest.is_empty() {
                // It was held back, by a full batch or by too many answers, or it is the beginning of a frame.
                self.held = None;
                self.take_rest();
            }
            if self.is_over && self.answers.is_empty() {
                return Ok(());
            }
            let takes_more = !self.is_over && self.held.is_none() && !self.answers.is_full();
            tokio::select! {
                changed = self.durable.changed(), if !self.answers.is_empty() || self.held.is_some() => {
                    changed.map_err(|_| End::Closed)?;
                }
                read = poll_fn(|task| read(&mut self.stream, task)), if takes_more => {
                    self.take_read(read?);
                    heard = Instant::now();
                }
                () = &mut silence, if takes_more => {
                    if heard.elapsed() >= silence_max {
                        self.shared.link.counters().reject("silence");
                        return Err(End::Closed);
                    }
                    silence.as_mut().reset(heard + silence_max);
                }
                () = &mut woken => {
                    woken.set(wake.notified());
                    self.order().await?;
                }
                () = &mut closed => {
                    let _ = timeout(LAST_WAIT_MAX, self.last_answers()).await;
                    return Err(End::Closed);
                }
            }
        }
    }

    /// Sends the next order of the vehicle that speaks here, when it is durable that it was sent.
    async fn order(&mut self) -> Result<(), End> {
        let Speaker::Vehicle(login) = &self.speaker else { return Ok(()) };
        let Some((order, header, data)) = self.shared.orders.next(login) else { return Ok(()) };
        tokio::select! {
            kept = self.shared.orders.keep(&order) => kept.map_err(|_| End::Closed)?,
            () = self.contact.close.cancelled() => return Err(End::Closed),
        }
        self.answer_with(header, &data, 0);
        Ok(())
    }

    /// Sends all answers that are due.
    async fn answer(&mut self) -> Result<(), End> {
        let durable = *self.durable.borrow_and_update();
        let bytes = self.answers.take_due(durable);
        if !bytes.is_empty() {
            let written = timeout(WRITE_WAIT_MAX, self.stream.write_all(&bytes)).await;
            written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(End::Broken)?;
        }
        Ok(())
    }

    async fn last_answers(&mut self) {
        while !self.answers.is_empty() && self.answer().await.is_ok() && self.durable.changed().await.is_ok() {}
        let _ = self.answer().await;
    }

    /// Takes in the first `count` bytes of what this thread has just read.
    fn take_read(&mut self, count: usize) {
        READ.with_borrow(|buffer| {
            if self.rest.is_empty() {
                let taken = self.take(&buffer[..count]);
                self.rest.extend_from_slice(&buffer[taken..count]);
            } else {
                self.rest.extend_from_slice(&buffer[..count]);
                self.take_rest();
            }
        });
    }

    fn take_rest(&mut self) {
        let mut rest = std::mem::take(&mut self.rest);
        let taken = self.take(&rest);
        rest.drain(..taken);
        if rest.is_empty() {
            rest = Vec::new();
        }
        self.rest = rest;
    }

    /// Takes in the frames at the beginning of `stream`; gives how many bytes that were.
    fn take(&mut self, stream: &[u8]) -> usize {
        let (mut taken, mut frames, mut values) = (0, 0, 0);
        while !self.is_over && !self.answers.is_full() {
            match find_frame(&stream[taken..]) {
                Found::Incomplete => break,
                Found::Garbage { bytes, error } => {
                    self.reject(&error, bytes);
                    taken += bytes.len();
                }
                Found::Frame(frame) => {
                    match self.take_frame(&frame) {
                        Ok(said) => values += said,
                        Err(Full(round)) => {
                            self.held = Some(round);
                            break;
                        }
                    }
                    frames += 1;
                    taken += frame.bytes.len();
                }
            }
        }
        let link = &self.shared.link;
        link.counters().read(taken as u64, frames, values, link.clock().now());
        taken
    }

    fn reject(&self, error: &DecodeError, bytes: &[u8]) {
        let detail = error.to_string();
        self.shared.link.reject(Rejection { reason: error.reason, detail: &detail, bytes });
    }

    /// Rejects a frame that is well-formed, for a reason that is not in its bytes.
    fn refuse(&mut self, frame: &Frame<'_>, reason: &'static str, detail: &str, response: Response) {
        self.shared.link.reject(Rejection { reason, detail, bytes: frame.bytes });
        self.reply(frame, response, self.round);
    }

    /// Takes in one frame; gives how many values it has.
    ///
    /// # Errors
    /// When nothing can be taken in at present.
    fn take_frame(&mut self, frame: &Frame<'_>) -> Result<u64, Full> {
        let header = &frame.header;
        if header.response != Response::COMMAND {
            self.answered(frame);
            return Ok(0);
        }
        match header.command {
            Command::HEARTBEAT => self.reply(frame, Response::OK, self.round),
            Command::TIME_SYNC => {
                let now = to_wire(self.shared.link.clock().now()).unwrap_or_default();
                self.answer_with(header.answered(Response::OK), &now, self.round);
            }
            _ if header.encryption != Encryption::NONE => return self.encrypted(frame),
            _ => return self.understood(frame),
        }
        Ok(0)
    }

    /// Takes in one frame whose data unit is not encrypted, or not any more.
    fn understood(&mut self, frame: &Frame<'_>) -> Result<u64, Full> {
        let header = &frame.header;
        match header.command {
            Command::ACTIVATION if header.edition == Edition::E2025 => self.activation(frame),
            Command::KEY_EXCHANGE if header.edition == Edition::E2025 => self.key_exchange(frame),
            command if command.is_report() => return self.report(frame),
            Command::VEHICLE_LOGIN | Command::VEHICLE_LOGOUT | Command::PLATFORM_LOGIN | Command::PLATFORM_LOGOUT => {
                let layout = self.shared.standard.layout(header.edition);
                match Unit::parse(layout, header, frame.data) {
                    Ok(unit) => return self.session(frame, &unit.content).map(|()| 0),
                    Err(error) => {
                        self.reject(&error, frame.bytes);
                        self.reply(frame, malformed(header.edition), self.round);
                    }
                }
            }
            command => {
                let detail = format!("byte 2: expected a command that a platform knows, got {:#04x}", command.0);
                self.refuse(frame, "unknown command", &detail, Response::ERROR);
            }
        }
        Ok(0)
    }

    fn report(&mut self, frame: &Frame<'_>) -> Result<u64, Full> {
        let header = &frame.header;
        let may_speak = match &self.speaker {
            Speaker::Vehicle(login) => login.vin == header.vin,
            Speaker::Platform => true,
            Speaker::Stranger => false,
        };
        if !may_speak {
            let detail = "byte 4: expected the VIN of a vehicle that has logged in on this connection, got another one";
            self.refuse(frame, "report without login", detail, unknown_vin(header.edition));
            return Ok(0);
        }
        let layout = self.shared.standard.layout(header.edition);
        let signature = self.shared.security.signature(layout, header, frame.data);
        if !self.is_signed_well(frame, signature) {
            return Ok(0);
        }
        match self.shared.collector.report(header, frame.data, signature.map(SignatureOutcome::word))? {
            Ok((round, values)) => {
                self.round = round;
                self.reply(frame, Response::OK, round);
                Ok(values)
            }
            Err(error) => {
                self.reject(&error, frame.bytes);
                self.reply(frame, malformed(header.edition), self.round);
                Ok(0)
            }
        }
    }

    fn session(&mut self, frame: &Frame<'_>, content: &Content) -> Result<(), Full> {
        let header = &frame.header;
        let Some(fields) = Session::of(content) else {
            self.refuse(frame, "invalid time", "byte 24: expected a time, got none", malformed(header.edition));
            return Ok(());
        };
        match header.command {
            Command::VEHICLE_LOGIN => self.login(frame, &fields),
            Command::VEHICLE_LOGOUT => {
                let logout = fields.change(&header.vin, "logout");
                self.round = self.shared.collector.session(&logout)?;
                self.reply(frame, Response::OK, self.round);
                if matches!(self.speaker, Speaker::Vehicle(login) if login.vin == header.vin) {
                    self.leave(&header.vin);
                    self.speaker = Speaker::Stranger;
                }
                Ok(())
            }
            Command::PLATFORM_LOGIN => {
                if self.shared.registry.admits_platform(fields.texts[0].as_str(), fields.texts[1].as_str()) {
                    self.speaker = Speaker::Platform;
                    self.reply(frame, Response::OK, self.round);
                } else {
                    let detail = "byte 32: expected the user and password of a platform, got others";
                    self.refuse(frame, "unknown platform", detail, Response::ERROR);
                }
                Ok(())
            }
            _ => {
                self.reply(frame, Response::OK, self.round);
                self.is_over = true;
                Ok(())
            }
        }
    }

    fn login(&mut self, frame: &Frame<'_>, fields: &Session) -> Result<(), Full> {
        let header = &frame.header;
        let registry = &self.shared.registry;
        let admission = registry.admit(header.vin, &fields.texts[0], self.shared.link.clock().now());
        if admission == Admission::OtherIccid || (admission == Admission::Unknown && !registry.is_open()) {
            let detail = match admission {
                Admission::OtherIccid => {
                    "byte 32: expected the ICCID that the vehicle is registered with, got another one"
                }
                _ => "byte 4: expected a VIN that is registered, got another one",
            };
            self.refuse(frame, "login refused", detail, unknown_vin(header.edition));
            return Ok(());
        }
        let change = SessionChange { iccid: Some(&fields.texts[0]), ..fields.change(&header.vin, "login") };
        self.round = self.shared.collector.session(&change)?;
        // A platform speaks for many vehicles; those have no connection of their own here.
        if !matches!(self.speaker, Speaker::Platform) {
            if let Speaker::Vehicle(Header { vin, .. }) = self.speaker {
                self.leave(&vin);
            }
            self.shared.orders.live().enter(header.vin, &self.contact);
            // An order that was sent on an earlier connection is not answered on this one.
            self.shared.orders.lost(&header.vin);
            self.speaker = Speaker::Vehicle(*header);
            self.contact.wake.notify_one();
        }
        self.reply(frame, Response::OK, self.round);
        Ok(())
    }

    /// Answers `frame` when `round` is durable: with its time and nothing else (clause 6.3.2).
    fn reply(&mut self, frame: &Frame<'_>, response: Response, round: u64) {
        let time = frame.data.get(..6).unwrap_or_default();
        self.answer_with(frame.header.answered(response), time, round);
    }

    /// Answers with `data`, encrypted as the header says if there is a key for it.
    fn answer_with(&mut self, header: Header, data: &[u8], round: u64) {
        let (encryption, data) = self.shared.security.encrypt(&header, data, self.shared.link.clock());
        self.answers.push(round, Header { encryption, ..header }, &data);
    }
}

/// Reads to [`READ`] what is there, and gives how many bytes that is. They stand there until this thread waits or reads again.
fn read(stream: &mut Stream, task: &mut Context<'_>) -> Poll<Result<usize, End>> {
    READ.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        match ready!(stream.poll_read(task, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Poll::Ready(Err(End::Closed)),
            Ok(()) => Poll::Ready(Ok(buffer.filled().len())),
            Err(error) => Poll::Ready(Err(End::Broken(error))),
        }
    })
}

/// What logins and logouts have in common.
struct Session {
    time: Timestamp,
    serial: u16,
    /// The texts in their order, without what fills them up.
    texts: Vec<String>,
}

impl Session {
    fn of(content: &Content) -> Option<Self> {
        let Content::Message(nodes) = content else { return None };
        let (Some(Node::Bytes(time)), Some(Node::Number(serial))) = (nodes.first(), nodes.get(1)) else { return None };
        let time = from_wire((**time).try_into().ok()?).ok()?;
        let text = |node: &Node| match node {
            Node::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned()),
            _ => None,
        };
        let texts = nodes.iter().skip(2).filter_map(text).collect();
        Some(Self { time, serial: *serial as u16, texts })
    }

    fn change<'a>(&self, vin: &'a Vin, what: &'static str) -> SessionChange<'a> {
        SessionChange { vin: vin.as_str(), what, time: self.time, iccid: None, serial: Some(self.serial) }
    }
}

/// What is answered to a vehicle that may not speak.
fn unknown_vin(edition: Edition) -> Response {
    if edition == Edition::E2016 { Response::ERROR } else { Response::VIN_UNKNOWN }
}

/// What is answered to a data unit that cannot be understood.
fn malformed(edition: Edition) -> Response {
    if edition == Edition::E2016 { Response::ERROR } else { Response::BAD_STRUCTURE }
}

/// What is answered to a data unit that cannot be decrypted.
fn undecryptable(edition: Edition) -> Response {
    if edition == Edition::E2016 { Response::ERROR } else { Response::DECRYPTION_ERROR }
}
