//! One client of an adapter: what it is told, and its heartbeat. Knows nothing of the machine.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Pieces that wait for a client; one that lets more pile up is dropped.
const QUEUE_PIECES_MAX: usize = 256;
/// Pieces of history that may be under way at once; few, so that little is lost on a client that leaves early.
const HISTORY_PIECES_MAX: usize = 8;
/// The longest line that a client may send.
const LINE_BYTES_MAX: usize = 1024;
/// The heartbeat that is promised, in milliseconds.
const PONG: &[u8] = b"* PONG 10000\n";

/// The adapter's end of a connection. Dropping it closes the connection.
pub(super) struct Client {
    queue: mpsc::Sender<Arc<[u8]>>,
    connection: AbortOnDropHandle<()>,
}

impl Client {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_PIECES_MAX);
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = talk(stream, waiting).await {
                tracing::debug!(%error, "adapter's client is gone");
            }
        }));
        Self { queue, connection }
    }

    /// Queues lines. Returns false when the client is gone or too slow.
    pub(super) fn offer(&self, lines: &Arc<[u8]>) -> bool {
        self.queue.try_send(Arc::clone(lines)).is_ok()
    }

    /// Waits until the client has taken most of what waits for it. Returns false when it is gone.
    pub(super) async fn ready(&self) -> bool {
        self.queue.reserve_many(QUEUE_PIECES_MAX + 1 - HISTORY_PIECES_MAX).await.is_ok()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.connection.is_finished()
    }
}

async fn talk(mut stream: TcpStream, mut waiting: mpsc::Receiver<Arc<[u8]>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut chunk = [0_u8; 512];
    let mut line = Vec::new();
    loop {
        tokio::select! {
            lines = waiting.recv() => match lines {
                Some(lines) => stream.write_all(&lines).await?,
                None => return Ok(()),
            },
            read = stream.read(&mut chunk) => {
                let count = read?;
                if count == 0 {
                    return Ok(());
                }
                for byte in &chunk[..count] {
                    if *byte != b'\n' {
                        line.push(*byte);
                    } else {
                        if line.trim_ascii().starts_with(b"* PING") {
                            stream.write_all(PONG).await?;
                        }
                        line.clear();
                    }
                }
                if line.len() > LINE_BYTES_MAX {
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a line is too long"));
                }
            }
        }
    }
}
