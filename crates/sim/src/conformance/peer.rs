//! One connection to a platform: says bytes, hears whole frames, and judges replies. Must not know what is tried.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gbt32960::{Frame, FrameBuffer, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Verdict;

/// Bytes read at a time.
const READ_BYTES: usize = 4_096;

/// Where the platform is, and how patient one is with it.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Address and port.
    pub to: SocketAddr,
    /// How long a reply may take.
    pub wait: Duration,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// A frame.
    Frame(Vec<u8>),
    /// Bytes that are no frame.
    Garbage(String),
    /// Nothing, for as long as a reply may take.
    Nothing,
    /// The end of the connection.
    End,
}

/// See the module.
pub(super) struct Peer {
    stream: TcpStream,
    buffer: FrameBuffer,
    wait: Duration,
}

impl Peer {
    pub(super) async fn connect(terms: Terms) -> io::Result<Self> {
        let connected = timeout(terms.wait, TcpStream::connect(terms.to)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: FrameBuffer::default(), wait: terms.wait })
    }

    /// Says `bytes`; false if the connection has ended.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(self.wait, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    pub(super) async fn hear(&mut self) -> Heard {
        let until = Instant::now() + self.wait;
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.buffer.next_frame() {
                Some(Ok(frame)) => return Heard::Frame(frame),
                Some(Err(error)) => return Heard::Garbage(error.to_string()),
                None => {}
            }
            match timeout_at(until, self.stream.read(&mut bytes)).await {
                Err(_) => return Heard::Nothing,
                Ok(Ok(0) | Err(_)) => return Heard::End,
                Ok(Ok(count)) => self.buffer.extend(&bytes[..count]),
            }
        }
    }

    /// Says the frame `sent` and hears what is replied.
    pub(super) async fn ask(&mut self, sent: &[u8]) -> Heard {
        if self.say(sent).await { self.hear().await } else { Heard::End }
    }
}

/// What is wrong with `reply` as a reply to `sent`; `None` if nothing is.
pub(super) fn flaw(sent: &Frame<'_>, reply: &Frame<'_>) -> Option<String> {
    let (asked, told) = (&sent.header, &reply.header);
    let differs = |what: &str, expected: String, got: String| Some(format!("{what}: expected {expected}, got {got}"));
    if told.edition != asked.edition {
        return differs("edition", asked.edition.year().to_string(), told.edition.year().to_string());
    }
    if told.command != asked.command {
        return differs("command", format!("{:#04x}", asked.command.0), format!("{:#04x}", told.command.0));
    }
    if told.vin != asked.vin {
        return differs("VIN", "that of the request".to_owned(), "another one".to_owned());
    }
    if told.response == Response::COMMAND {
        return differs("response flag", "that of a reply".to_owned(), "0xfe, a command".to_owned());
    }
    let time = sent.data.get(..6).unwrap_or_default();
    let is_time_or_all = reply.data == time || reply.data == sent.data || reply.data.is_empty();
    if told.response == Response::OK && !time.is_empty() && !is_time_or_all {
        let got = format!("{} other bytes", reply.data.len());
        return differs("data unit", "the time of the request, or all of it".to_owned(), got);
    }
    None
}

/// Judges what was heard after the frame `sent`, which is to be acknowledged, unless it is one that `may_be_silent` is true of.
pub(super) fn acknowledged(sent: &[u8], heard: &Heard, may_be_silent: bool) -> Verdict {
    let failed = |why: &str| Verdict::Failed(why.to_owned());
    match (heard, Frame::parse(sent)) {
        (Heard::Frame(reply), Ok(sent)) => match Frame::parse(reply) {
            Ok(reply) => match flaw(&sent, &reply) {
                Some(flaw) => Verdict::Failed(flaw),
                None if reply.header.response == Response::OK => Verdict::Passed,
                None => {
                    let word = reply.header.response.word().unwrap_or("unknown");
                    Verdict::Failed(format!("refused with {:#04x} ({word})", reply.header.response.0))
                }
            },
            Err(error) => Verdict::Failed(error.to_string()),
        },
        (Heard::Nothing, _) if may_be_silent => Verdict::Noted("without a reply".to_owned()),
        (Heard::Nothing, _) => failed("no reply"),
        (Heard::End, _) => failed("the connection was closed"),
        (Heard::Garbage(error), _) => Verdict::Failed(format!("the reply is no frame: {error}")),
        (_, Err(error)) => Verdict::Failed(format!("what was sent is no frame: {error}")),
    }
}

/// Judges what was heard after something that must not be acknowledged.
pub(super) fn refused(heard: &Heard) -> Verdict {
    match heard {
        Heard::Frame(reply) => match Frame::parse(reply) {
            Ok(reply) if reply.header.response == Response::OK => Verdict::Failed("it was acknowledged".to_owned()),
            Ok(reply) => match reply.header.response.word() {
                Some(_) => Verdict::Passed,
                None => Verdict::Failed(format!("an unknown response flag {:#04x}", reply.header.response.0)),
            },
            Err(error) => Verdict::Failed(error.to_string()),
        },
        Heard::Nothing => Verdict::Noted("passed over without a reply".to_owned()),
        Heard::End => Verdict::Noted("the connection was closed".to_owned()),
        Heard::Garbage(error) => Verdict::Failed(format!("the reply is no frame: {error}")),
    }
}
