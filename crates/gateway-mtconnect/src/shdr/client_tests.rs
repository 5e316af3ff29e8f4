//! The live connection, against adapters written here that speak, stammer, fall silent and come back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::gateway::{
    Connection, Gateway, GatewayError, Ingest, IngestError, Link, Quarantine, Receipt, Rejection, supervise,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use model::{Batch, Clock, Cursor, Quality, Rows, Timestamp, Value};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::device::read_devices;
use crate::mapping::Mapping;

const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers all it is given.
#[derive(Default)]
struct Memory {
    batches: Mutex<Vec<Arc<Batch>>>,
    rejections: Mutex<Vec<String>>,
}

impl Ingest for Memory {
    fn submit(&self, batch: Arc<Batch>, _: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        let accepted = batch.len() as u64;
        self.batches.lock().unwrap().push(batch);
        std::future::ready(Ok(Receipt { accepted, duplicates: 0 })).boxed()
    }

    fn cursor(&self, _: &str) -> Option<Box<str>> {
        None
    }
}

impl Quarantine for Memory {
    fn keep(&self, source: &str, rejection: Rejection<'_>) {
        assert_eq!(source, "lathe");
        self.rejections.lock().unwrap().push(rejection.reason.to_owned());
    }
}

/// A clock that moves on by a millisecond whenever it is read.
struct Ticking(Mutex<i64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let mut millis = self.0.lock().unwrap();
        *millis += 1;
        Timestamp::from_millis(*millis)
    }
}

/// 2026-01-31T08:00:00Z.
const START_MS: i64 = 1_769_846_400_000;

struct Plant {
    listener: TcpListener,
    memory: Arc<Memory>,
    link: Link,
    running: tokio::task::JoinHandle<()>,
}

fn mapping() -> Arc<Mapping> {
    let xml = "<Devices><Device uuid='m1'><DataItems>\
        <DataItem id='avail' category='EVENT' type='AVAILABILITY'/>\
        <DataItem id='load' category='SAMPLE' type='LOAD' units='PERCENT'/>\
        <DataItem id='cond' category='CONDITION' type='SYSTEM'/></DataItems></Device></Devices>";
    Arc::new(Mapping::new(&read_devices(xml.as_bytes()).unwrap().devices[0], "lathe").unwrap())
}

fn link(memory: &Arc<Memory>) -> Link {
    let clock = Arc::new(Ticking(Mutex::new(START_MS)));
    Link::new("lathe", memory.clone(), memory.clone(), clock, CancellationToken::new())
}

fn options(address: &str) -> ShdrOptions {
    ShdrOptions {
        reconnect_wait_first: Duration::from_millis(5),
        reconnect_wait_max: Duration::from_millis(20),
        ..ShdrOptions::new(address)
    }
}

impl Plant {
    async fn start(adapt: impl FnOnce(&mut ShdrOptions)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = options(&listener.local_addr().unwrap().to_string());
        adapt(&mut options);
        let memory = Arc::new(Memory::default());
        let link = link(&memory);
        let gateway = ShdrGateway::new(options, vec![mapping()]);
        let running = tokio::spawn({
            let link = link.clone();
            async move { supervise(&gateway, &link).await }
        });
        Self { listener, memory, link, running }
    }

    /// The next connection of the gateway, after its first question.
    async fn accept(&self) -> BufReader<TcpStream> {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("the gateway connects").unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(line(&mut stream).await, "* PING\n");
        stream
    }

    /// Waits until so many observations were kept, and shows them.
    async fn observations(&self, count: usize) -> Vec<String> {
        let shown = || {
            let mut shown = Vec::new();
            for batch in self.memory.batches.lock().unwrap().iter() {
                let Rows::Changes(changes) = &batch.rows else { unreachable!("adapters tell changes") };
                for row in 0..changes.len() {
                    let signal = &batch.profile.signal(changes.signal[row]).id;
                    let value = match &changes.value[row] {
                        Value::Text(text) => text.to_string(),
                        Value::Number(number) => number.to_string(),
                        Value::Condition(condition) => condition.level.as_str().to_owned(),
                        _ if changes.quality[row] == Quality::Unavailable => "?".to_owned(),
                        other => format!("{other:?}"),
                    };
                    shown.push(format!("{signal} {value}"));
                }
            }
            shown
        };
        let enough = async {
            while shown().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, enough).await.unwrap_or_else(|_| panic!("expected {count} observations, got {:?}", shown()));
        shown()
    }

    async fn state(&self, wanted: &str) {
        let reached = async {
            while self.link.status().connection.as_str() != wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{wanted}, not {:?}", self.link.status()));
    }

    async fn stop(self) {
        self.link.stop().cancel();
        timeout(PATIENCE, self.running).await.expect("the gateway ends on request").unwrap();
        assert_eq!(self.link.status().connection, Connection::Stopped);
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    timeout(PATIENCE, stream.read_line(&mut line)).await.expect("a line comes").unwrap();
    line
}

#[tokio::test]
async fn half_and_glued_lines_are_kept_whole() {
    let plant = Plant::start(|_| {}).await;
    let mut adapter = plant.accept().await;
    for piece in ["|avail|AVAIL", "ABLE\n|load|1\n|load|2|", "cond|NORMAL||||\nnonsense\n|lo", "ad|x|load|3\n"] {
        adapter.write_all(piece.as_bytes()).await.unwrap();
        adapter.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let got = plant.observations(5).await;
    assert_eq!(got, ["avail AVAILABLE", "load 1", "load 2", "cond NORMAL", "load 3"]);
    assert_eq!(*plant.memory.rejections.lock().unwrap(), ["invalid time stamp", "not a number"]);
    let tally = plant.link.counters().tally();
    assert_eq!((tally.messages, tally.observations, tally.accepted, tally.connections), (5, 5, 5, 1));
    assert_eq!(tally.bytes, 73);
    assert_eq!(plant.link.status().assets, [mapping().asset().clone()]);
    assert_eq!(plant.link.status().connection, Connection::Connected);
    plant.stop().await;
}

#[tokio::test]
async fn a_lost_adapter_leaves_unavailable_and_comes_back() {
    let plant = Plant::start(|_| {}).await;
    let mut adapter = plant.accept().await;
    adapter.write_all(b"|avail|AVAILABLE|load|5|cond|FAULT|1||HIGH|hot\n|load|unavailable\n|avail|ha").await.unwrap();
    plant.observations(4).await;
    drop(adapter);
    let got = plant.observations(6).await;
    assert_eq!(got[4..], ["avail ?", "cond UNAVAILABLE"], "the load was not known anyway");
    let mut adapter = plant.accept().await;
    // The first time stamp is older than the loss, the second lies in the future.
    adapter.write_all(b"2020-01-01T00:00:00Z|avail|AVAILABLE\n2030-01-01T00:00:00Z|load|6\n").await.unwrap();
    assert_eq!(plant.observations(8).await[6..], ["avail AVAILABLE", "load 6"]);
    let batches = plant.memory.batches.lock().unwrap().clone();
    let last = batches.last().unwrap();
    let Rows::Changes(changes) = &last.rows else { unreachable!("adapters tell changes") };
    let avail = batches.iter().rev().find_map(|batch| match &batch.rows {
        Rows::Changes(changes) if changes.signal[0] == 0 => Some((changes.time[0], batch.received)),
        _ => None,
    });
    let (time, received) = avail.unwrap();
    assert_eq!(time, received, "known again only on receipt");
    assert_eq!(changes.time.last(), Some(&"2030-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(*plant.memory.rejections.lock().unwrap(), ["line cut off"]);
    assert_eq!(plant.link.counters().tally().connections, 2);
    plant.stop().await;
}

#[tokio::test]
async fn an_adapter_that_stops_answering_is_left() {
    let plant = Plant::start(|_| {}).await;
    let mut adapter = plant.accept().await;
    adapter.write_all(b"* PONG 60\n|load|1\n").await.unwrap();
    for _ in 0..3 {
        assert_eq!(line(&mut adapter).await, "* PING\n");
        adapter.write_all(b"* PONG 60\n").await.unwrap();
    }
    let silent = tokio::time::Instant::now();
    let mut next = plant.accept().await;
    assert!(silent.elapsed() >= Duration::from_millis(100), "left after {:?}", silent.elapsed());
    assert_eq!(plant.observations(2).await, ["load 1", "load ?"]);
    next.write_all(b"|load|2\n").await.unwrap();
    assert_eq!(plant.observations(3).await[2], "load 2");
    plant.stop().await;
}

#[tokio::test]
async fn an_adapter_that_never_answers_is_not_pinged_again() {
    let plant = Plant::start(|_| {}).await;
    let mut adapter = plant.accept().await;
    adapter.write_all(b"|load|1\n").await.unwrap();
    plant.observations(1).await;
    let mut more = String::new();
    let quiet = timeout(Duration::from_millis(300), adapter.read_line(&mut more)).await;
    assert!(quiet.is_err(), "got {more:?}");
    assert_eq!(plant.link.counters().tally().connections, 1);
    plant.stop().await;
}

#[tokio::test]
async fn without_heartbeat_silence_is_borne_as_long_as_configured() {
    let plant = Plant::start(|options| options.silence_max = Some(Duration::from_millis(50))).await;
    let mut adapter = plant.accept().await;
    adapter.write_all(b"|load|1\n").await.unwrap();
    assert_eq!(plant.observations(2).await, ["load 1", "load ?"]);
    plant.accept().await;
    plant.stop().await;
}

#[tokio::test]
async fn an_adapter_that_is_not_there_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (address, expected) in [
        (address.as_str(), "refused the connection: check that the adapter is running"),
        ("no-such-host.invalid:7878", "`no-such-host.invalid:7878`"),
    ] {
        let plant = Plant::start(|options| {
            options.address = address.to_owned();
            options.reconnect_wait_first = Duration::from_secs(1);
        })
        .await;
        plant.state("waiting").await;
        let status = plant.link.status();
        let reason = status.connection.reason().unwrap();
        assert!(reason.contains(expected) && reason.contains("check"), "{reason}");
        plant.stop().await;
    }
}

#[tokio::test]
async fn addresses_are_host_and_port() {
    let memory = Arc::new(Memory::default());
    for address in ["", ":7878", "host:port", "host:0", "a b:1", "fe80::1:x", "host:99999"] {
        let gateway = ShdrGateway::new(options(address), vec![mapping()]);
        match gateway.run(&link(&memory)).await {
            Err(GatewayError::Configuration(reason)) => assert!(reason.contains("expected host and port"), "{reason}"),
            other => panic!("{address}: {other:?}"),
        }
    }
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let plant = Plant::start(|options| options.address = listener.local_addr().unwrap().to_string()).await;
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_eq!(line(&mut BufReader::new(stream)).await, "* PING\n");
    plant.stop().await;
}
