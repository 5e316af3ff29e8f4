//! The live connection to an adapter: connects, asks for its pulse, reads, and begins anew when it is lost. Must not
//! know what lines mean.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Backoff, Connection, Gateway, GatewayError, Link, Pending};
use model::Batch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};

use super::{ProtocolEvent, ShdrDecoder};
use crate::mapping::Mapping;

/// As much as is read at a time.
const READ_BYTES_MAX: usize = 256 << 10;
/// The port of an address that names none: the one adapters use.
const PORT_DEFAULT: u16 = 7878;
/// Adapters that want to be asked more often than this are asked this often.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);
/// Adapters that want to be asked more seldom than this are asked this often.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3_600);
/// How long an adapter may take to accept a few bytes.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Where an adapter is and how patiently it is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShdrOptions {
    /// Host and port: `lathe.example:7878`, `10.0.0.7:7878`, `[fe80::1]:7878`. Without port it is 7878.
    pub address: String,
    /// How long a connection may take to be made.
    pub connect_wait_max: Duration,
    /// The first wait before a new attempt; it doubles with each.
    pub reconnect_wait_first: Duration,
    /// The longest wait before a new attempt.
    pub reconnect_wait_max: Duration,
    /// How long an adapter that does not answer `* PING` may be silent before the connection counts as lost; an
    /// adapter that answers says itself how often it wants to be asked. `None`: for ever.
    pub silence_max: Option<Duration>,
    /// Decides the jitter of the waits.
    pub seed: u64,
}

impl ShdrOptions {
    /// The adapter at `address`, with waits from one second to half a minute and, as the reference agent has it, ten
    /// minutes of silence.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            connect_wait_max: Duration::from_secs(10),
            reconnect_wait_first: Duration::from_secs(1),
            reconnect_wait_max: Duration::from_secs(30),
            silence_max: Some(Duration::from_secs(600)),
            seed: 0,
        }
    }
}

/// The gateway for one adapter.
#[derive(Debug)]
pub struct ShdrGateway {
    options: ShdrOptions,
    mappings: Vec<Arc<Mapping>>,
}

/// How a connection ended.
enum End {
    /// On request.
    Stopped,
    /// For a reason, after something was heard or not.
    Lost { reason: String, heard: bool },
}

impl ShdrGateway {
    /// A gateway to the adapter of `options`, which speaks of the devices of `mappings`.
    ///
    /// # Panics
    /// When there is no mapping at all: a mistake of the caller, not of the source.
    pub fn new(options: ShdrOptions, mappings: Vec<Arc<Mapping>>) -> Self {
        assert!(!mappings.is_empty(), "an adapter speaks of at least one device");
        Self { options, mappings }
    }

    async fn serve(&self, link: &Link) -> Result<(), GatewayError> {
        let address = with_port(&self.options.address)?;
        link.report_assets(self.mappings.iter().map(|mapping| mapping.asset().clone()).collect());
        let mut session = Session {
            link,
            decoder: ShdrDecoder::new(self.mappings.clone()),
            pending: Pending::default(),
            buffer: vec![0; READ_BYTES_MAX],
        };
        let options = &self.options;
        let mut backoff = Backoff::new(options.reconnect_wait_first, options.reconnect_wait_max, options.seed);
        while !link.stop().is_cancelled() {
            link.report(Connection::Connecting);
            let connected = tokio::select! {
                connected = self.connect(&address) => connected,
                () = link.stop().cancelled() => break,
            };
            let reason = match connected {
                Err(reason) => reason,
                Ok(stream) => {
                    link.counters().connected();
                    link.report(Connection::Connected);
                    match session.run(stream, options.silence_max).await? {
                        End::Stopped => break,
                        End::Lost { reason, heard } => {
                            session.lose().await?;
                            if heard {
                                backoff.reset();
                            }
                            reason
                        }
                    }
                }
            };
            link.report(Connection::Waiting(reason));
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = link.stop().cancelled() => {}
            }
        }
        session.pending.settle().await.map_err(GatewayError::Delivery)
    }

    /// Tries every address of the host; the reason for the last failure says what to check.
    async fn connect(&self, address: &str) -> Result<TcpStream, String> {
        let wait = self.options.connect_wait_max;
        let known = match timeout(wait, lookup_host(address)).await {
            Ok(Ok(known)) => known,
            Ok(Err(error)) => {
                return Err(format!(
                    "the host of `{address}` is not known: check the name and the name server ({error})"
                ));
            }
            Err(_) => return Err(format!("no answer to the question where `{address}` is: check the name server")),
        };
        let mut reason = format!("the host of `{address}` has no address: check the name");
        for socket in known {
            reason = match timeout(wait, TcpStream::connect(socket)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why_not_connected(address, &error),
                Err(_) => {
                    let secs = wait.as_secs_f32();
                    format!("no answer from `{address}` within {secs} s: check the address, the network and firewalls")
                }
            };
        }
        Err(reason)
    }
}

impl Gateway for ShdrGateway {
    fn run<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.serve(link).boxed()
    }
}

fn why_not_connected(address: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            format!("`{address}` refused the connection: check that the adapter is running and listens on that port")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("`{address}` cannot be reached: check the address and the network ({error})")
        }
        _ => format!("no connection to `{address}`: {error}"),
    }
}

/// The address with its port.
fn with_port(address: &str) -> Result<String, GatewayError> {
    let address = address.trim();
    let expected = "expected host and port, such as 10.0.0.7:7878 or [fe80::1]:7878";
    let wrong = || GatewayError::Configuration(format!("`{address}` is not the address of an adapter: {expected}"));
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(format!("[{address}]:{PORT_DEFAULT}"));
    }
    let port = if address.ends_with(']') { None } else { address.rsplit_once(':') };
    let (host, port) = match port {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (address, PORT_DEFAULT),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(char::is_whitespace) || (host.contains(':') && !bracketed) || port == 0 {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

/// When the adapter is to be asked again, and until when it has to be heard.
struct Pulse {
    /// As the adapter wants it, once it has answered.
    interval: Option<Duration>,
    silence_max: Option<Duration>,
    asked: Instant,
    heard: Instant,
}

impl Pulse {
    fn next_ask(&self) -> Option<Instant> {
        self.interval.map(|interval| self.asked + interval)
    }

    /// Whatever the adapter says shows that it is alive, not only its answers.
    fn deadline(&self) -> Option<Instant> {
        let silence = self.interval.map(|interval| interval * 2).or(self.silence_max)?;
        self.heard.checked_add(silence)
    }
}

async fn sleep_until_some(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What lasts from one connection to the next.
struct Session<'a> {
    link: &'a Link,
    decoder: ShdrDecoder,
    pending: Pending,
    buffer: Vec<u8>,
}

impl Session<'_> {
    async fn run(&mut self, stream: TcpStream, silence_max: Option<Duration>) -> Result<End, GatewayError> {
        // Latency matters more than a packet saved; where it cannot be set nothing is lost.
        _ = stream.set_nodelay(true);
        let (mut reader, mut writer) = stream.into_split();
        let now = Instant::now();
        let mut pulse = Pulse { interval: None, silence_max, asked: now, heard: now };
        let mut heard = false;
        let lost = |reason: String, heard: bool| Ok(End::Lost { reason, heard });
        if let Err(reason) = ask(&mut writer).await {
            return lost(reason, heard);
        }
        loop {
            // An adapter that never pauses has to be asked in time all the same.
            if pulse.next_ask().is_some_and(|moment| moment <= Instant::now()) {
                pulse.asked = Instant::now();
                if let Err(reason) = ask(&mut writer).await {
                    return lost(reason, heard);
                }
            }
            tokio::select! {
                biased;
                () = self.link.stop().cancelled() => return Ok(End::Stopped),
                read = reader.read(&mut self.buffer) => match read {
                    Ok(0) => return lost("the adapter closed the connection".into(), heard),
                    Ok(length) => {
                        heard = true;
                        self.take_in(length, &mut pulse).await?;
                        // Only now, because delivery may have held back reading.
                        pulse.heard = Instant::now();
                    }
                    Err(error) => return lost(format!("the connection broke: {error}"), heard),
                },
                () = sleep_until_some(pulse.next_ask()) => {}
                () = sleep_until_some(pulse.deadline()) => {
                    let secs = pulse.heard.elapsed().as_secs_f32();
                    return lost(format!("nothing was heard from the adapter for {secs:.1} s"), heard);
                }
            }
        }
    }

    async fn take_in(&mut self, length: usize, pulse: &mut Pulse) -> Result<(), GatewayError> {
        let (link, now) = (self.link, self.link.clock().now());
        self.decoder.decode(&self.buffer[..length], now, &mut |rejection| link.reject(rejection));
        let (batches, counts) = self.decoder.take();
        link.counters().read(counts.bytes, counts.lines, counts.observations, now);
        for event in self.decoder.take_events() {
            match event {
                ProtocolEvent::Pong { heartbeat_ms } => {
                    let wanted = heartbeat_ms.map(|ms| Duration::from_millis(ms.into()));
                    let wanted = wanted.map(|wanted| wanted.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX));
                    pulse.interval = wanted.or(pulse.interval);
                }
                ProtocolEvent::Command { key, value } => {
                    tracing::debug!(gateway = link.name(), key, value, "adapter command");
                }
            }
        }
        self.deliver(batches).await
    }

    async fn lose(&mut self) -> Result<(), GatewayError> {
        let link = self.link;
        self.decoder.lose(link.clock().now(), &mut |rejection| link.reject(rejection));
        let (batches, _) = self.decoder.take();
        self.deliver(batches).await
    }

    async fn deliver(&mut self, batches: Vec<Batch>) -> Result<(), GatewayError> {
        for batch in batches {
            self.pending.deliver(self.link, batch, None).await.map_err(GatewayError::Delivery)?;
        }
        Ok(())
    }
}

async fn ask(writer: &mut OwnedWriteHalf) -> Result<(), String> {
    match timeout(WRITE_WAIT_MAX, writer.write_all(b"* PING\n")).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the connection broke: {error}")),
        Err(_) => Err("the adapter takes no bytes".into()),
    }
}
