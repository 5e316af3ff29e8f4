//! Connections as they come in: so many at a time, each with a few seconds to show that it speaks HTTP/2, and an end when
//! the server has ended. Must not know what they carry.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// What every client of HTTP/2 sends first: RFC 9113, section 3.4.
const PREFACE_BYTES: usize = 24;
/// Time that a client has for it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an accept that failed, for want of file descriptors perhaps, waits for the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections to `listener`, at most `connections_max` at a time and none after `cut`; further ones are cut off.
pub(crate) fn connections(
    listener: TcpListener,
    connections_max: usize,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let state = (listener, Arc::new(Semaphore::new(connections_max)), cut);
    futures::stream::unfold(state, async |(listener, places, cut)| {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let _ = stream.set_nodelay(true);
                    let connection = Connection::new(stream, place, cut.clone());
                    return Some((Ok(connection), (listener, places, cut)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// A connection that has its place until it ends.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Runs until the preface is there.
    preface: Option<(usize, Pin<Box<Sleep>>)>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, cut: CancellationToken) -> Self {
        let preface = Some((0, Box::pin(tokio::time::sleep(PREFACE_TIMEOUT))));
        Self { stream, preface, cut: Box::pin(cut.cancelled_owned()), _place: place }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some((bytes, deadline)) = &mut self.preface {
            *bytes += buffer.filled().len() - before;
            if *bytes >= PREFACE_BYTES {
                self.preface = None;
            } else if deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
