//! Where the lines come from: the recorded log of a lathe, repeated, each time later, so that every line is news; or,
//! where the recording is absent, lines of our own making. Sends them as an adapter does. Must not know who reads.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use model::Timestamp;

/// `2022-08-08T13:51:34`: what is moved when a line is told again, its fraction stays.
const SECOND_BYTES: usize = 19;
const SECOND_NANOS: i64 = 1_000_000_000;
/// Of the made-up log.
const MADE_UP_LINES: usize = 10_000;
const MADE_UP_SIGNALS: usize = 40;

/// A log to repeat, and the device it speaks of.
pub(crate) struct Source {
    pub(crate) described: String,
    pub(crate) device_model: Vec<u8>,
    /// Each with the second in which it was said, where it begins with one, and what stands behind that.
    lines: Vec<(Option<Timestamp>, Vec<u8>)>,
    /// How much later each repetition is: whole seconds, more than the log lasts.
    period_nanos: i64,
}

impl Source {
    pub(crate) fn load() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/mtconnect");
        let read = |name| std::fs::read(folder.join(name));
        let (name, device_model, log) = match (read("okuma-devices.xml"), read("okuma-shdr.log")) {
            (Ok(device_model), Ok(log)) => ("the recorded log of a lathe", device_model, log),
            _ => ("made-up lines, since ../shared/data/mtconnect is absent", made_up_model(), made_up_log()),
        };
        let text = log.strip_suffix(b"\n").unwrap_or(&log);
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(dated).collect();
        let times = || lines.iter().filter_map(|(time, _)| *time);
        let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let period_nanos = last.nanos() - first.nanos() + 2 * SECOND_NANOS;
        let period_secs = period_nanos / SECOND_NANOS;
        let (count, bytes) = (lines.len(), log.len());
        let described =
            format!("{name}: {count} lines, {bytes} bytes, repeated, each time with stamps {period_secs} s later");
        Ok(Self { described, device_model, lines, period_nanos })
    }

    /// The least multiple of the log that is at least `lines` long: repetitions and lines.
    pub(crate) fn repetitions(&self, lines: u64) -> (u64, u64) {
        let once = self.lines.len() as u64;
        let repetitions = lines.div_ceil(once);
        (repetitions, repetitions * once)
    }

    /// The bytes of repetition `number`.
    fn repeat(&self, number: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut shown = (Timestamp::MIN, String::new());
        for (time, rest) in &self.lines {
            if let Some(time) = time {
                if shown.0 != *time {
                    shown = (*time, time.plus_nanos(number * self.period_nanos).to_string());
                }
                bytes.extend_from_slice(&shown.1.as_bytes()[..SECOND_BYTES]);
            }
            bytes.extend_from_slice(rest);
            bytes.push(b'\n');
        }
        bytes
    }
}

/// A line, with its second apart.
fn dated(line: &[u8]) -> (Option<Timestamp>, Vec<u8>) {
    let second = line.get(..SECOND_BYTES).and_then(|stamp| std::str::from_utf8(stamp).ok());
    let time = second.and_then(|second| format!("{second}Z").parse().ok());
    (time, line[if time.is_some() { SECOND_BYTES } else { 0 }..].to_vec())
}

fn made_up_model() -> Vec<u8> {
    let mut items = String::new();
    for signal in 0..MADE_UP_SIGNALS {
        let (category, kind) = if signal % 4 == 0 { ("EVENT", "BLOCK") } else { ("SAMPLE", "LOAD") };
        _ = write!(items, "<DataItem id='d{signal}' name='s{signal}' category='{category}' type='{kind}'/>");
    }
    let device = format!("<Device id='d' uuid='bench' name='bench'><DataItems>{items}</DataItems></Device>");
    format!("<MTConnectDevices><Devices>{device}</Devices></MTConnectDevices>").into_bytes()
}

/// Two signals and a half a line, as the recorded log has on the average.
fn made_up_log() -> Vec<u8> {
    let mut log = String::new();
    for line in 0..MADE_UP_LINES {
        let (minute, second, millis) = (line / 600 % 60, line / 10 % 60, line % 10 * 100);
        _ = write!(log, "2026-01-31T08:{minute:02}:{second:02}.{millis:03}Z");
        for place in 0..2 + line % 2 {
            let signal = (line * 7 + place * 13) % MADE_UP_SIGNALS;
            _ = match signal % 4 {
                0 => write!(log, "|s{signal}|N{line} G1 X{}.{place} F0.2", line % 211),
                _ => write!(log, "|s{signal}|{}.{:04}", line % 173, line * 31 % 10_000),
            };
        }
        log.push('\n');
    }
    log.into_bytes()
}

/// Whether the sender ends its stream behind the last line. To a gateway that would mean that the machine is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOfStream {
    Told,
    LeftOpen,
}

impl EndOfStream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::LeftOpen => "left-open",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let end = [Self::Told, Self::LeftOpen].into_iter().find(|end| end.as_str() == name);
        end.with_context(|| format!("`{name}` is no end of a stream, expected told or left-open"))
    }
}

/// An adapter in a process of its own, on a port of its own.
pub(crate) struct Sender {
    process: Child,
    pub(crate) address: String,
}

impl Sender {
    /// Starts the adapter, which sends at least `lines` lines to the first who connects.
    pub(crate) fn start(lines: u64, end: EndOfStream) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["send", &lines.to_string(), end.as_str()])
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the sender")?;
        let mut address = String::new();
        let output = process.stdout.take().context("the sender has an output")?;
        BufReader::new(output).read_line(&mut address).context("the sender tells its address")?;
        Ok(Self { process, address: address.trim().to_owned() })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// What the other process does: tells its address, sends, and stays until the reader has left.
pub(crate) fn send(lines: u64, end: EndOfStream) -> Result<()> {
    let source = Source::load()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let (repetitions, _) = source.repetitions(lines);
    for number in 0..repetitions {
        stream.write_all(&source.repeat(number as i64))?;
    }
    if end == EndOfStream::Told {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut asked = [0; 1_024];
    while matches!(stream.read(&mut asked), Ok(1..)) {}
    Ok(())
}
