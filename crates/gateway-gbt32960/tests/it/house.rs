//! A gateway that listens, before a store that keeps what it is given when it is told to; and a vehicle that speaks bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Ingest, IngestError, Link, Quarantine, Receipt, Rejection, supervise};
use gateway_gbt32960::{ListenerOptions, Orders, PlatformGateway, Registry};
use gbt32960::Standard;
use model::{Batch, Cursor, ManualClock, Rows, Timestamp, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Keeps batches; while it is shut, it lets them wait.
pub(crate) struct Shelf {
    open: watch::Sender<bool>,
    kept: Mutex<Vec<Arc<Batch>>>,
    rejected: Mutex<Vec<(&'static str, String)>>,
}

impl Ingest for Shelf {
    fn submit(&self, batch: Arc<Batch>, _: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        let mut open = self.open.subscribe();
        let accepted = batch.len() as u64;
        self.kept.lock().unwrap().push(batch);
        async move {
            let _ = open.wait_for(|open| *open).await;
            Ok(Receipt { accepted, duplicates: 0 })
        }
        .boxed()
    }

    fn cursor(&self, _: &str) -> Option<Box<str>> {
        None
    }
}

impl Quarantine for Shelf {
    fn keep(&self, _: &str, rejection: Rejection<'_>) {
        self.rejected.lock().unwrap().push((rejection.reason, rejection.detail.to_owned()));
    }
}

/// See the module.
pub(crate) struct House {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) link: Link,
    pub(crate) orders: Arc<Orders>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) address: SocketAddr,
    running: JoinHandle<()>,
}

impl House {
    pub(crate) async fn new(registry: Registry) -> Self {
        Self::with(registry, |options| options).await
    }

    pub(crate) async fn with(registry: Registry, more: impl FnOnce(ListenerOptions) -> ListenerOptions) -> Self {
        Self::build(registry, more, |gateway| gateway).await
    }

    pub(crate) async fn build(
        registry: Registry,
        more: impl FnOnce(ListenerOptions) -> ListenerOptions,
        also: impl FnOnce(PlatformGateway) -> PlatformGateway,
    ) -> Self {
        let shelf =
            Arc::new(Shelf { open: watch::Sender::new(true), kept: Mutex::default(), rejected: Mutex::default() });
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_783_418_400_000)));
        let (ingest, quarantine): (Arc<dyn Ingest>, Arc<dyn Quarantine>) = (shelf.clone(), shelf.clone());
        let stop = CancellationToken::new();
        let link = |name| Link::new(name, ingest.clone(), quarantine.clone(), clock.clone(), stop.clone());
        let (link, orders) = (link("vehicles"), Orders::new(Arc::new(Standard::built_in()), link("orders")));
        let orders = Arc::new(orders);
        let options = more(ListenerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0))));
        let standard = Arc::new(Standard::built_in());
        let gateway = also(PlatformGateway::new(options, standard, Arc::new(registry), orders.clone()));
        let mut address = gateway.address();
        let running = {
            let link = link.clone();
            tokio::spawn(async move { supervise(&gateway, &link).await })
        };
        let address = address.wait_for(Option::is_some).await.unwrap().unwrap();
        Self { shelf, link, orders, clock, address, running }
    }

    pub(crate) fn shut(&self) {
        self.shelf.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.shelf.open.send_replace(true);
    }

    pub(crate) async fn connect(&self) -> Vehicle {
        Vehicle { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// Reports that were kept: vehicle and engine speed.
    pub(crate) fn reports(&self) -> Vec<(String, Option<i64>)> {
        let kept = self.shelf.kept.lock().unwrap();
        let mut reports = Vec::new();
        for batch in kept.iter() {
            let Rows::Frames(frames) = &batch.rows else { continue };
            let Some(speed) = batch.profile.signal_index("engine_speed") else { continue };
            let model::Column::Integers(speeds) = &frames.columns[usize::from(speed)] else { panic!("integers") };
            let vehicles = frames.asset.iter().map(|asset| frames.assets[usize::from(*asset)].to_string());
            reports.extend(vehicles.zip(speeds.iter().copied()));
        }
        reports
    }

    /// What became of the signatures of the reports that were kept.
    pub(crate) fn signatures(&self) -> Vec<Option<String>> {
        let kept = self.shelf.kept.lock().unwrap();
        let mut signatures = Vec::new();
        for batch in kept.iter() {
            let Rows::Frames(frames) = &batch.rows else { continue };
            let column = batch.profile.signal_index("report_signature").unwrap();
            let model::Column::Texts(rows) = &frames.columns[usize::from(column)] else { panic!("texts") };
            signatures.extend(rows.iter().map(|row| row.as_ref().map(ToString::to_string)));
        }
        signatures
    }

    /// Changes of sessions that were kept: vehicle and what happened.
    pub(crate) fn sessions(&self) -> Vec<(String, String)> {
        let kept = self.shelf.kept.lock().unwrap();
        let mut sessions = Vec::new();
        for batch in kept.iter() {
            let Rows::Changes(changes) = &batch.rows else { continue };
            for row in 0..changes.len() {
                if let (0, Value::Text(text)) = (changes.signal[row], &changes.value[row]) {
                    sessions.push((changes.asset_of(row).to_string(), text.to_string()));
                }
            }
        }
        sessions
    }

    /// What became of orders, as it was kept: number, state, and why it failed or what was answered.
    pub(crate) fn orders(&self) -> Vec<(i64, String, Option<String>)> {
        let kept = self.shelf.kept.lock().unwrap();
        let mut orders = Vec::new();
        for batch in kept.iter().filter(|batch| batch.profile.id() == gateway_gbt32960::ORDER_PROFILE) {
            let Rows::Frames(frames) = &batch.rows else { panic!("frames") };
            let integer = |column: usize| match &frames.columns[column] {
                model::Column::Integers(rows) => rows[0].unwrap(),
                _ => panic!("integers"),
            };
            let text = |column: usize| match &frames.columns[column] {
                model::Column::Texts(rows) => rows[0].as_deref().map(str::to_owned),
                _ => panic!("texts"),
            };
            orders.push((integer(0), text(1).unwrap(), text(4).or_else(|| text(3))));
        }
        orders
    }

    pub(crate) fn rejected(&self) -> Vec<(&'static str, String)> {
        self.shelf.rejected.lock().unwrap().clone()
    }

    pub(crate) async fn stop(self) {
        self.link.stop().cancel();
        tokio::time::timeout(WAIT_MAX, self.running).await.expect("it ends in time").unwrap();
    }
}

/// A vehicle, or a platform, that says bytes.
pub(crate) struct Vehicle {
    stream: TcpStream,
}

impl Vehicle {
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer, as command, response flag and data unit.
    pub(crate) async fn hear(&mut self) -> (u8, u8, Vec<u8>) {
        let (command, response, _, data) = self.hear_encrypted().await;
        (command, response, data)
    }

    /// The next answer, as command, response flag, encryption and data unit.
    pub(crate) async fn hear_encrypted(&mut self) -> (u8, u8, u8, Vec<u8>) {
        let heard = async {
            let mut head = [0; 24];
            self.stream.read_exact(&mut head).await.unwrap();
            let mut data = vec![0; usize::from(u16::from_be_bytes([head[22], head[23]])) + 1];
            self.stream.read_exact(&mut data).await.unwrap();
            let check = head[2..].iter().chain(&data).fold(0, |all, byte| all ^ byte);
            assert_eq!(check, 0, "the check byte is right");
            data.pop();
            (head[2], head[3], head[21], data)
        };
        tokio::time::timeout(WAIT_MAX, heard).await.expect("an answer comes")
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(200), self.stream.peek(&mut byte)).await.is_err()
    }

    /// Whether the other side ends the connection, and says no frame before.
    pub(crate) async fn is_answered_with_no_frame(&mut self) -> bool {
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(WAIT_MAX, self.stream.read_to_end(&mut heard)).await;
        ended.is_ok() && !matches!(heard.first(), Some(0x23 | 0x24))
    }

    /// Whether the other side has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let peeked = tokio::time::timeout(WAIT_MAX, self.stream.peek(&mut byte)).await;
        matches!(peeked.expect("something happens"), Ok(0) | Err(_))
    }
}

/// A frame of `command` of the vehicle with the last digits `vehicle`, whose data unit is `data` in hexadecimal digits.
pub(crate) fn frame(edition: u8, command: u8, vehicle: u32, data: &str) -> Vec<u8> {
    let digits: Vec<u8> = data.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let data: Vec<u8> = digits.chunks(2).map(byte).collect();
    frame_of(edition, command, vehicle, 1, &data)
}

/// The same with the data unit `data`, which is encrypted as `encryption` says.
pub(crate) fn frame_of(edition: u8, command: u8, vehicle: u32, encryption: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![edition, edition, command, 0xFE];
    frame.extend(format!("LTMTEST{vehicle:010}").into_bytes());
    frame.push(encryption);
    frame.extend((data.len() as u16).to_be_bytes());
    frame.extend(data);
    frame.push(frame[2..].iter().fold(0, |all, byte| all ^ byte));
    frame
}

pub(crate) fn login(vehicle: u32) -> Vec<u8> {
    let iccid = "38".repeat(20);
    frame(0x23, 1, vehicle, &format!("1a0707120000 0001 {iccid} 00 00"))
}

/// A report of an engine with `speed` revolutions per minute at the second `second`.
pub(crate) fn report(vehicle: u32, second: u8, speed: u16) -> Vec<u8> {
    frame(0x23, 2, vehicle, &format!("1a07071200{second:02x} 04 01 {speed:04x} 0000"))
}
