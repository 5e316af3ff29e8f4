//! As much of an HTTP/1.1 client as the measured servers need: one connection that stays open. Its CPU time is nobody's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a server that is starting is knocked at.
const KNOCKS_MAX: u32 = 600;
const KNOCK: Duration = Duration::from_millis(100);

/// A connection to a server on this machine.
pub(crate) struct Client {
    port: u16,
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects as soon as somebody listens; `check` says whether there is still hope.
    pub(crate) fn connect(port: u16, mut check: impl FnMut() -> Result<()>) -> Result<Self> {
        for _ in 0..KNOCKS_MAX {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(Self { port, stream: BufReader::new(stream) });
            }
            check()?;
            std::thread::sleep(KNOCK);
        }
        anyhow::bail!("nobody listens on port {port}")
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.ask("GET", path, "text/plain", b"")
    }

    pub(crate) fn post(&mut self, path: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.ask("POST", path, kind, body)
    }

    fn ask(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        let stream = self.stream.get_mut();
        // A server that refuses a body need not read it: what counts is what it answers.
        let sent = stream.write_all(&[head.as_bytes(), body].concat());
        let (status, answer) = match (self.answer(), sent) {
            (Ok(answered), _) => answered,
            (Err(_), Err(error)) => return Err(error).with_context(|| format!("failed to send {method} {path}")),
            (Err(error), Ok(())) => return Err(error.context(format!("no answer to {method} {path}"))),
        };
        let said = String::from_utf8_lossy(&answer[..answer.len().min(300)]);
        ensure!((200..300).contains(&status), "{method} {path} was answered with {status}: {said}");
        Ok(answer)
    }

    fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let status = self.line()?.split(' ').nth(1).context("no status")?.parse()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse()?,
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = Vec::new();
        if !chunked {
            self.read(length, &mut answer)?;
            return Ok((status, answer));
        }
        loop {
            let length = u64::from_str_radix(&self.line()?, 16).context("no length of a chunk")?;
            self.read(length, &mut answer)?;
            self.line()?;
            if length == 0 {
                return Ok((status, answer));
            }
        }
    }

    fn read(&mut self, length: u64, answer: &mut Vec<u8>) -> Result<()> {
        ensure!(length + answer.len() as u64 <= ANSWER_BYTES_MAX, "the answer is too large");
        let read = self.stream.by_ref().take(length).read_to_end(answer)?;
        ensure!(read as u64 == length, "the answer was cut off");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line)?;
        ensure!(length > 0, "the connection was closed");
        Ok(line.trim_end().to_owned())
    }
}
