//! One connection's bytes, both ways, bounded. Knows where messages end, not what they mean.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::error::SqlError;
use crate::message::{self, Frontend, Opening};

/// Bytes that wait to be sent before the client has to take some.
const OUTGOING_BYTES_MAX: usize = 64 << 10;
/// Bytes read while a command is under way, to notice that the client goes.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client has gone.
    Gone,
    /// The client is told why, and no more is read.
    Told(SqlError),
}

impl From<SqlError> for Ended {
    fn from(error: SqlError) -> Self {
        Self::Told(error)
    }
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// See the module.
pub(crate) struct Channel {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    inbound: BytesMut,
    /// What is to be sent.
    pub(crate) out: BytesMut,
}

impl Channel {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer, inbound: BytesMut::new(), out: BytesMut::new() }
    }

    /// The message that a connection begins with.
    pub(crate) async fn opening(&mut self) -> Result<Opening, Ended> {
        loop {
            if let Some(opening) = message::opening(&mut self.inbound)? {
                return Ok(opening);
            }
            self.read().await?;
        }
    }

    /// The next message. Nothing is lost when this is dropped half-way.
    pub(crate) async fn message(&mut self, bytes_max: usize) -> Result<Frontend, Ended> {
        loop {
            if let Some(message) = message::frontend(&mut self.inbound, bytes_max)? {
                return Ok(message);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Ended> {
        if self.reader.read_buf(&mut self.inbound).await? == 0 { Err(Ended::Gone) } else { Ok(()) }
    }

    /// Ends when the client has gone, and only then. What it sends meanwhile is kept, up to a bound.
    pub(crate) async fn gone(&mut self) {
        while self.inbound.len() < AHEAD_BYTES_MAX {
            if self.read().await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether so much waits that it should be sent before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= OUTGOING_BYTES_MAX
    }

    /// Sends what waits. Nothing is lost or sent twice when this is dropped half-way.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            if self.writer.write_buf(&mut self.out).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Sends what waits, and then that nothing follows.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.writer.shutdown().await
    }
}
