//! An SHDR adapter: it counts, and says every number under a time stamp of its own, so that a row tells by itself whether
//! it is right. To whoever connects it says its current values first, under their old times. Must not know who listens.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two numbers.
const TICK: Duration = Duration::from_millis(2);
/// What it says of each number.
pub(crate) const SIGNALS: [&str; 3] = ["parts", "load", "position"];

/// An adapter that runs until it is dropped.
pub(crate) struct Adapter {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
    thread: Option<JoinHandle<Option<TcpStream>>>,
    /// Kept open after the last number: whoever listens is not to notice a loss.
    silent: Option<TcpStream>,
}

/// The time stamp under which `number` is said.
pub(crate) fn time_of(number: u64) -> String {
    // One nanosecond more than a number of milliseconds: such a time has one way of being written.
    let (minutes, seconds, millis) = (number / 60_000, number / 1_000 % 60, number % 1_000);
    assert!(minutes < 24 * 60, "the numbers of one day");
    format!("2026-03-01T{:02}:{:02}:{seconds:02}.{millis:03}000001Z", minutes / 60, minutes % 60)
}

/// The lines that say `number`: each signal has a value of its own.
fn lines(number: u64) -> String {
    let time = time_of(number);
    format!("{time}|parts|{number}\n{time}|load|{number}.5|position|-{number}\n")
}

/// The value that `signal` has when `number` is said.
pub(crate) fn value_of(signal: &str, number: u64) -> f64 {
    let number = number as f64;
    match signal {
        "parts" => number,
        "load" => number + 0.5,
        _ => -number,
    }
}

impl Adapter {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        listener.set_nonblocking(true).expect("it can be asked for");
        let (stop, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = thread::spawn({
            let (stop, said) = (Arc::clone(&stop), Arc::clone(&said));
            move || speak(&listener, &stop, &said)
        });
        Self { address, stop, said, thread: Some(thread), silent: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last number that a connection took whole.
    pub(crate) fn said(&self) -> u64 {
        self.said.load(Ordering::SeqCst)
    }

    /// Says nothing more, keeps its connection, and returns the last number said.
    pub(crate) fn fall_silent(&mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            self.silent = thread.join().expect("the adapter runs");
        }
        self.said()
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn speak(listener: &TcpListener, stop: &AtomicBool, said: &AtomicU64) -> Option<TcpStream> {
    let mut number = 0;
    let mut connection: Option<TcpStream> = None;
    while !stop.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => connection = greet(stream, number),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the adapter cannot accept: {error}"),
        }
        number += 1;
        if let Some(stream) = &mut connection {
            match stream.write_all(lines(number).as_bytes()) {
                Ok(()) => said.store(number, Ordering::SeqCst),
                Err(_) => connection = None,
            }
        }
        thread::sleep(TICK);
    }
    connection
}

/// Says the current values; nothing before the first number.
fn greet(mut stream: TcpStream, number: u64) -> Option<TcpStream> {
    stream.set_nonblocking(false).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(b"* adapterVersion: 2.0\n").ok()?;
    if number > 0 {
        stream.write_all(lines(number).as_bytes()).ok()?;
    }
    Some(stream)
}
