//! The connection to an upstream: bytes out, frames in, both at once, so that neither side waits for the other. Knows no
//! command.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use gbt32960::{DecodeError, FrameBuffer};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long an upstream may take to accept a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes that wait to be written at the most; then no more frames are made.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How finely it is noted when bytes were written.
const PROGRESS_STEPS: u32 = 64;
/// As much as is read at a time.
const READ_BYTES: usize = 16 << 10;

/// See the module.
pub(crate) struct Upstream {
    stream: TcpStream,
    frames: FrameBuffer,
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    at: usize,
    /// Bytes that were ever to be written, and that were.
    pub(crate) queued: u64,
    pub(crate) written: u64,
    /// When how many had been written.
    progress: VecDeque<(Instant, u64)>,
}

impl Upstream {
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        let connected = timeout(CONNECT_WAIT_MAX, TcpStream::connect(address)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        // Frames are gathered here already.
        let _ = stream.set_nodelay(true);
        let (frames, waiting) = (FrameBuffer::default(), Vec::new());
        Ok(Self { stream, frames, waiting, at: 0, queued: 0, written: 0, progress: VecDeque::new() })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() - self.at >= WAITING_BYTES_MAX
    }

    /// Queues a frame; gives how many bytes have been queued with it.
    pub(crate) fn queue(&mut self, frame: &[u8]) -> u64 {
        self.waiting.extend_from_slice(frame);
        self.queued += frame.len() as u64;
        self.queued
    }

    /// How many bytes had been written `hold` ago.
    pub(crate) fn held(&mut self, now: Instant, hold: Duration) -> u64 {
        let step = hold / PROGRESS_STEPS;
        if self.progress.back().is_none_or(|(at, bytes)| *bytes < self.written && now.duration_since(*at) >= step) {
            self.progress.push_back((now, self.written));
        }
        let mut held = 0;
        while let Some((at, bytes)) = self.progress.front().copied().filter(|(at, _)| now.duration_since(*at) >= hold) {
            held = bytes;
            // The last one that is old enough stays, to be told again.
            if self.progress.get(1).is_none_or(|(next, _)| now.duration_since(*next) < hold) {
                break;
            }
            debug_assert!(at <= now);
            self.progress.pop_front();
        }
        held
    }

    /// Waits until something can be read, or written if there is something to write, and does so. Nothing is lost if the
    /// future is dropped before it is done.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn turn(&mut self) -> io::Result<()> {
        let interest =
            if self.at < self.waiting.len() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let ready = self.stream.ready(interest).await?;
        if ready.is_writable() && self.at < self.waiting.len() {
            match self.stream.try_write(&self.waiting[self.at..]) {
                Ok(count) => {
                    self.at += count;
                    self.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.at == self.waiting.len() {
                self.waiting.clear();
                self.at = 0;
            }
        }
        if ready.is_readable() {
            let mut bytes = [0; READ_BYTES];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upstream closed the connection"));
                }
                Ok(count) => self.frames.extend(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next frame that was read, or why bytes were passed over.
    pub(crate) fn next_frame(&mut self) -> Option<Result<Vec<u8>, DecodeError>> {
        self.frames.next_frame()
    }
}
