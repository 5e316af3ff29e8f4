//! A server as a process, from its start to its end, sudden or clean. Must not know what it is asked.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;
use crate::program::tongmai;

/// How long anything may take until it is so.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A server that was started.
pub(crate) struct Served {
    child: Child,
    addresses: mpsc::Receiver<SocketAddr>,
    address: Option<SocketAddr>,
    postgres: mpsc::Receiver<SocketAddr>,
    flight_sql: mpsc::Receiver<SocketAddr>,
    stderr: Option<JoinHandle<String>>,
}

impl Served {
    /// Starts a server on a free port of loopback; it may not listen yet.
    pub(crate) fn spawn(data: &Path, config: &Path) -> Self {
        let mut child = tongmai(&[&"serve", &"--data", &data, &"--config", &config, &"--listen", &"127.0.0.1:0"])
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("the output is a pipe");
        let mut stderr = child.stderr.take().expect("the output is a pipe");
        let (sender, addresses) = mpsc::sync_channel(1);
        let (postgres_sender, postgres) = mpsc::sync_channel(1);
        let (flight_sql_sender, flight_sql) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let address = line.strip_prefix("console: http://").and_then(|rest| rest.strip_suffix('/'));
                address.and_then(|address| address.parse().ok()).map(|address| sender.send(address));
                let address = line.strip_prefix("postgres: ").and_then(|address| address.parse().ok());
                address.map(|address| postgres_sender.send(address));
                let address = line.strip_prefix("flight sql: grpc://").and_then(|address| address.parse().ok());
                address.map(|address| flight_sql_sender.send(address));
            }
        });
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, addresses, address: None, postgres, flight_sql, stderr: Some(stderr) }
    }

    /// Starts a server and waits until it listens.
    #[track_caller]
    pub(crate) fn start(data: &Path, config: &Path) -> Self {
        let mut served = Self::spawn(data, config);
        if served.listens_within(WAIT_MAX).is_none() {
            let said = served.kill();
            panic!("the server does not listen; it said: {said}");
        }
        served
    }

    /// Where it listens, as soon as that is so.
    pub(crate) fn listens_within(&mut self, wait: Duration) -> Option<SocketAddr> {
        self.address = self.address.or_else(|| self.addresses.recv_timeout(wait).ok());
        self.address
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// Where it speaks PostgreSQL's protocol; asked once.
    #[track_caller]
    pub(crate) fn postgres(&self) -> SocketAddr {
        self.postgres.recv_timeout(WAIT_MAX).expect("it speaks PostgreSQL's protocol")
    }

    /// Where it speaks Flight SQL; asked once.
    #[track_caller]
    pub(crate) fn flight_sql(&self) -> SocketAddr {
        self.flight_sql.recv_timeout(WAIT_MAX).expect("it speaks Flight SQL")
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would, as far as a process can; returns what it logged.
    pub(crate) fn kill(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.take().map_or_else(String::new, |stderr| stderr.join().unwrap_or_default())
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "the server is there");
        let started = Instant::now();
        while started.elapsed() < WAIT_MAX {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert!(status.success(), "{status}: {}", self.kill());
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the server did not end; it said: {}", self.kill());
    }

    /// The state of the gateway `name`.
    #[track_caller]
    pub(crate) fn gateway(&self, name: &str) -> Value {
        let (status, body) = http::get(self.address(), "/api/v1/gateways");
        assert_eq!(status, 200, "{body}");
        let mut gateways = body["gateways"].as_array().into_iter().flatten();
        gateways.find(|gateway| gateway["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {body}")).clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `found` finds something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < WAIT_MAX, "{what}: not within {WAIT_MAX:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
