//! The adapter over loopback, with a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use model::{ManualClock, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Adapter, Outages};
use crate::{Plant, PlantOptions};

const START_MS: i64 = 1_795_000_000_000;

struct Fixture {
    address: std::net::SocketAddr,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Fixture {
    async fn new(outages: Outages) -> Self {
        let start = Timestamp::from_millis(START_MS);
        let history = Duration::from_secs(1800);
        let options = PlantOptions { machines: 1, history, ..PlantOptions::new(21, start) };
        let machine = Plant::new(&options).into_machines().remove(0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let stop = CancellationToken::new();
        let adapter = Adapter::new(machine, Arc::<ManualClock>::clone(&clock), outages);
        let running = tokio::spawn(adapter.run(listener, stop.clone()));
        Self { address, clock, stop, running }
    }

    async fn connect(&self) -> Peer {
        Peer(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }

    fn pass(&self, secs: i64) {
        use model::Clock;
        self.clock.set(self.clock.now().plus_nanos(secs * 1_000_000_000));
    }
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    /// The next line; none at the end of the connection or, as everything here is quick, after a second of silence.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match tokio::time::timeout(Duration::from_secs(1), self.0.read_line(&mut line)).await {
            Ok(Ok(count)) if count > 0 => Some(line),
            _ => None,
        }
    }

    async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    /// Whether the other side has closed the connection, be it with what was on its way or without.
    async fn is_closed(&mut self) -> bool {
        let mut line = String::new();
        loop {
            line.clear();
            match tokio::time::timeout(Duration::from_secs(1), self.0.read_line(&mut line)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }
}

/// The line's time in milliseconds since the epoch.
fn time_ms(line: &str) -> i64 {
    line.split(['|', '@']).next().unwrap().parse::<Timestamp>().unwrap().millis()
}

#[tokio::test]
async fn the_first_client_is_told_the_history_once_and_others_a_snapshot() {
    let fixture = Fixture::new(Outages::never()).await;
    let mut first = fixture.connect().await;
    let told = first.lines().await;
    assert_eq!(told[0], "* shdrVersion: 2.0\n");
    assert!(told.iter().any(|line| line == "* device: lathe-01\n"), "{:?}", &told[..8]);
    let times: Vec<i64> = told.iter().filter(|line| !line.starts_with('*')).map(|line| time_ms(line)).collect();
    assert_eq!(times[0], START_MS - 1_800_000);
    assert!(times.len() > 1_000, "{} lines of history", times.len());
    assert!(START_MS - times.last().unwrap() < 10_000);

    let mut second = fixture.connect().await;
    let snapshot = second.lines().await;
    let signals = crate::signals::signals_of(crate::MachineType::Lathe).len();
    assert!((signals..signals + 20).contains(&snapshot.len()), "{} lines for {signals} signals", snapshot.len());

    fixture.pass(30);
    let (news, same) = (first.lines().await, second.lines().await);
    assert_eq!(news, same);
    assert!(!news.is_empty() && news.iter().all(|line| time_ms(line) > START_MS));
    fixture.stop.cancel();
    fixture.running.await.unwrap();
    assert!(first.is_closed().await);
}

#[tokio::test]
async fn a_history_that_the_first_client_left_goes_on_with_the_next() {
    let fixture = Fixture::new(Outages::never()).await;
    drop(fixture.connect().await);
    let told = fixture.connect().await.lines().await;
    assert!(told.len() > 100, "{} lines", told.len());
}

#[tokio::test]
async fn ping_is_answered_and_other_input_is_not() {
    let fixture = Fixture::new(Outages::never()).await;
    let mut peer = fixture.connect().await;
    peer.lines().await;
    peer.0.write_all(b"hello\n* PI").await.unwrap();
    peer.0.write_all(b"NG\r\n").await.unwrap();
    assert_eq!(peer.lines().await, ["* PONG 10000\n"]);
    peer.0.write_all(&[b'x'; 4096]).await.unwrap();
    assert!(peer.is_closed().await, "a line without end closes the connection");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_the_other_is_not() {
    let fixture = Fixture::new(Outages::never()).await;
    let mut good = fixture.connect().await;
    good.lines().await;
    let mut slow = fixture.connect().await;
    let reading = tokio::spawn(async move {
        let mut last_ms = 0;
        while let Some(line) = good.line().await {
            if !line.starts_with('*') {
                last_ms = time_ms(&line);
            }
        }
        last_ms
    });
    // Far more than the socket's own buffers hold.
    let hours = 16;
    for _ in 0..hours * 60 {
        fixture.pass(60);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let last_ms = reading.await.unwrap();
    assert!(START_MS + hours * 3_600_000 - last_ms < 60_000, "the good client heard everything");
    assert!(slow.is_closed().await);
}

#[tokio::test]
async fn outages_close_connections_and_the_machine_goes_on() {
    let fixture = Fixture::new(Outages::new(4)).await;
    let mut peer = fixture.connect().await;
    peer.lines().await;
    let mut waited_secs = 0;
    while waited_secs < 4 * 3600 && !peer.0.get_ref().peer_is_gone().await {
        fixture.pass(60);
        waited_secs += 60;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(waited_secs < 4 * 3600, "no outage in four hours");
    let mut snapshot = fixture.connect().await.lines().await;
    if snapshot.is_empty() {
        // Refused for less than a minute.
        fixture.pass(60);
        snapshot = fixture.connect().await.lines().await;
    }
    assert!(snapshot.iter().any(|line| !line.starts_with('*') && time_ms(line) > START_MS), "{snapshot:?}");
}

trait PeerIsGone {
    async fn peer_is_gone(&self) -> bool;
}

impl PeerIsGone for TcpStream {
    /// Reads and forgets what has come; says whether the end has come too.
    async fn peer_is_gone(&self) -> bool {
        let mut buffer = [0_u8; 65_536];
        loop {
            match self.try_read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
    }
}

#[tokio::test]
async fn a_clock_with_fractions_of_a_millisecond_is_caught_up_with() {
    let start = Timestamp::from_millis(START_MS);
    let machine = Plant::new(&PlantOptions { machines: 1, ..PlantOptions::new(21, start) }).into_machines().remove(0);
    let clock = Arc::new(ManualClock::new(start.plus_nanos(999_999)));
    let mut adapter = Adapter::new(machine, clock, Outages::new(1));
    tokio::time::timeout(Duration::from_secs(60), adapter.tell_news()).await.expect("it ends");
}
