//! A vehicle's connection to a platform, and the connection after that. The only part of the fleet that knows sockets and
//! the time that really passes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gbt32960::{Frame, FrameBuffer};
use model::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::counts::Counters;
use super::network::{Fate, Network};
use super::terminal::{Heard, Reach, Terminal};
use super::{NetworkOptions, Patience, Replies, Vehicle};

/// Read at a time.
const READ_BYTES: usize = 2_048;
/// Written at a time, about.
const WRITE_BYTES_MAX: usize = 16 << 10;
/// How long frames that are to be glued together are held back, and pieces of one are apart.
const GLUE_WAIT: Duration = Duration::from_secs(1);
const PIECE_WAIT: Duration = Duration::from_millis(15);

/// How a fleet connects.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The platform.
    pub to: SocketAddr,
    /// Addresses to connect from, by turns; none leaves it to the system.
    pub sources: Vec<IpAddr>,
    /// When the story begins; it has to be that of the fleet.
    pub from: Timestamp,
    /// How much of the story is over when they connect: what they would have reported is reissued.
    pub past: Duration,
    /// How many seconds of the story it lasts; none lasts until it is stopped.
    pub secs: Option<u32>,
    /// How many seconds of the story pass in a real one.
    pub speed: f64,
    /// The first connections are spread over so long.
    pub ramp: Duration,
    /// How long to wait for what.
    pub patience: Patience,
    /// Whether the platform answers good reports.
    pub replies: Replies,
    /// How poor the network is.
    pub network: NetworkOptions,
    /// Reports that each vehicle keeps while it cannot send them; the oldest are forgotten.
    pub backlog_max: usize,
}

impl ConnectOptions {
    /// At the speed of life, until it is stopped, over a good network, with two hours of reports kept.
    pub fn new(to: SocketAddr, from: Timestamp) -> Self {
        Self {
            to,
            sources: Vec::new(),
            from,
            past: Duration::ZERO,
            secs: None,
            speed: 1.0,
            ramp: Duration::ZERO,
            patience: Patience::default(),
            replies: Replies::Expected,
            network: NetworkOptions::default(),
            backlog_max: 240,
        }
    }
}

/// Connects `vehicles`, each with a connection of its own, until their story ends or `stop` is cancelled; then they log out.
pub async fn connect(
    vehicles: Vec<Vehicle>,
    options: ConnectOptions,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let pace = Pace::new(&options);
    let count = vehicles.len().max(1) as u32;
    let mut tasks = tokio::task::JoinSet::new();
    for (place, vehicle) in (0_u32..).zip(vehicles) {
        let begin = pace.origin + options.ramp.mul_f64(f64::from(place) / f64::from(count));
        let source = options.sources.get(place as usize % options.sources.len().max(1)).copied();
        let seed = vehicle.seed();
        let (patience, replies) = (options.patience, options.replies);
        let line = Line {
            terminal: Terminal::new(vehicle, Arc::clone(&counters), patience, replies, options.backlog_max),
            network: Network::new(options.network, seed),
            to: options.to,
            source,
            pace,
            patience,
            back_off: patience.reconnect[0],
            stop: stop.clone(),
        };
        tasks.spawn(line.run(begin));
    }
    while tasks.join_next().await.is_some() {}
}

/// How the time of the story goes with the real one.
#[derive(Debug, Clone, Copy)]
struct Pace {
    origin: Instant,
    /// How far it has come at the origin.
    begin: Timestamp,
    end: Timestamp,
    speed: f64,
}

impl Pace {
    fn new(options: &ConnectOptions) -> Self {
        let end = options.secs.map(|secs| options.from.plus_nanos(i64::from(secs) * 1_000_000_000));
        Self {
            origin: Instant::now(),
            begin: options.from.plus_nanos(i64::try_from(options.past.as_nanos()).unwrap_or(i64::MAX)),
            end: end.unwrap_or(Timestamp::MAX),
            speed: options.speed.max(0.001),
        }
    }

    /// How far the story has come.
    fn now(&self) -> Timestamp {
        let nanos = self.origin.elapsed().as_nanos() as f64 * self.speed;
        self.begin.plus_nanos(nanos as i64).min(self.end)
    }

    /// When it comes to `time`.
    fn instant(&self, time: Timestamp) -> Instant {
        let nanos = (time.nanos() - self.begin.nanos()).max(0) as f64 / self.speed;
        self.origin + Duration::from_nanos(nanos as u64)
    }

    fn is_over(&self) -> bool {
        self.now() >= self.end
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The story is over.
    Over,
    /// The vehicle sleeps.
    Asleep,
    /// The login failed; the next one is to come after so long.
    NoLogin(Duration),
    /// Somebody wants it to begin anew.
    Reconnect,
    /// It broke.
    Broken,
}

/// What a vehicle has of the network.
struct Line {
    terminal: Terminal,
    network: Network,
    to: SocketAddr,
    source: Option<IpAddr>,
    pace: Pace,
    patience: Patience,
    /// How long to wait after the next connection that breaks.
    back_off: Duration,
    stop: CancellationToken,
}

/// A connection.
struct Link {
    stream: TcpStream,
    received: FrameBuffer,
    /// To be written.
    output: Vec<u8>,
    /// Until when it is held back.
    held: Option<Instant>,
    last_sent: Instant,
}

impl Line {
    async fn run(mut self, begin: Instant) {
        self.pause_until(begin).await;
        let [shortest, longest] = self.patience.reconnect;
        while !self.is_over() {
            self.terminal.advance(self.pace.now(), Reach::Offline);
            if self.terminal.is_asleep() {
                let due = self.pace.instant(self.terminal.vehicle.due());
                self.pause_until(due).await;
                continue;
            }
            let end = match timeout(self.patience.answer, open(self.to, self.source)).await {
                Ok(Ok(stream)) => self.talk(stream).await,
                Ok(Err(_)) | Err(_) => {
                    self.terminal.counters.unreachable.add(1);
                    End::Broken
                }
            };
            self.terminal.lose(&mut self.network);
            let pause = match end {
                End::Over => return,
                End::Asleep => Duration::ZERO,
                End::Reconnect => shortest,
                End::NoLogin(pause) => pause,
                End::Broken => {
                    let pause = self.back_off;
                    self.back_off = (pause * 2).min(longest);
                    pause
                }
            };
            let pause = self.network.spread(pause);
            self.pause_until(Instant::now() + pause).await;
        }
    }

    /// Whether there is nothing to do any more: what is outstanding at the end is tried for a while.
    fn is_over(&self) -> bool {
        let late = self.pace.is_over()
            && (self.terminal.is_clear() || Instant::now() > self.pace.instant(self.pace.end) + self.patience.last);
        late || self.stop.is_cancelled()
    }

    async fn pause_until(&self, instant: Instant) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep_until(instant) => {}
        }
    }

    async fn talk(&mut self, stream: TcpStream) -> End {
        let counters = Arc::clone(&self.terminal.counters);
        counters.connections.add(1);
        // Reports are small, and their answers waited for.
        let _ = stream.set_nodelay(true);
        let (received, output) = (FrameBuffer::default(), Vec::new());
        let mut link = Link { stream, received, output, held: None, last_sent: Instant::now() };
        let end = match self.log_in(&mut link).await {
            Ok(()) => {
                self.back_off = self.patience.reconnect[0];
                counters.connected.add(1);
                let end = self.report(&mut link).await;
                counters.connected.subtract(1);
                end
            }
            Err(end) => end,
        };
        if end == End::Broken {
            counters.broken.add(1);
        }
        end
    }

    async fn log_in(&mut self, link: &mut Link) -> Result<(), End> {
        self.terminal.login(&mut link.output);
        let counters = Arc::clone(&self.terminal.counters);
        link.flush(&counters).await?;
        let deadline = Instant::now() + self.patience.answer;
        loop {
            match timeout_at(deadline, self.hear(link)).await {
                Ok(Ok(Heard::LoggedIn)) => return Ok(()),
                Ok(Ok(Heard::LoginRefused)) | Err(_) => return Err(End::NoLogin(self.terminal.login_failed())),
                Ok(Ok(_)) => {}
                Ok(Err(end)) => return Err(end),
            }
            if self.stop.is_cancelled() {
                return Err(End::Over);
            }
        }
    }

    /// Reports until the connection ends.
    async fn report(&mut self, link: &mut Link) -> End {
        let counters = Arc::clone(&self.terminal.counters);
        let stop = self.stop.clone();
        let mut stopping = None;
        loop {
            if !self.stop.is_cancelled() {
                self.terminal.advance(self.pace.now(), Reach::Online);
            }
            if let Err(end) = self.send(link, &counters).await {
                return end;
            }
            let now = Instant::now();
            let is_stopping = self.stop.is_cancelled() || self.pace.is_over();
            if is_stopping && stopping.is_none() {
                stopping = Some(now + self.patience.last);
            }
            let is_late = stopping.is_some_and(|deadline| now >= deadline);
            if is_late || (self.terminal.is_clear() && (is_stopping || self.terminal.is_asleep())) {
                self.log_out(link, &counters).await;
                return if is_stopping { End::Over } else { End::Asleep };
            }
            if self.terminal.overdue().is_some_and(|overdue| now >= overdue) {
                return End::Broken;
            }
            let wake = self.wake(link, is_stopping, stopping);
            tokio::select! {
                heard = self.hear(link) => match heard {
                    Ok(Heard::Reconnect) => {
                        let _ = link.flush(&counters).await;
                        return End::Reconnect;
                    }
                    Ok(_) => {}
                    Err(end) => return end,
                },
                () = sleep_until(wake) => {}
                () = stop.cancelled(), if !is_stopping => {}
            }
        }
    }

    /// When there may be something to do, if nothing is heard.
    fn wake(&self, link: &Link, is_stopping: bool, stopping: Option<Instant>) -> Instant {
        let next = (!is_stopping).then(|| self.pace.instant(self.terminal.vehicle.due().min(self.pace.end)));
        let heartbeat = link.last_sent + self.terminal.heartbeat_period();
        let all = [next, stopping, link.held, self.terminal.overdue(), self.terminal.resend(Instant::now())];
        all.into_iter().flatten().fold(heartbeat, Instant::min)
    }

    /// Sends what there is, in the manner of the network.
    async fn send(&mut self, link: &mut Link, counters: &Counters) -> Result<(), End> {
        let mut frame = Vec::new();
        let now = Instant::now();
        while self.terminal.next_report(now, &mut frame) {
            match self.network.fate(frame.len()) {
                Fate::Whole => link.output.append(&mut frame),
                Fate::Glued => {
                    link.output.append(&mut frame);
                    link.held.get_or_insert(now + GLUE_WAIT);
                }
                Fate::Pieces(count) => {
                    for piece in frame.chunks(frame.len().div_ceil(count)) {
                        link.output.extend(piece);
                        link.flush(counters).await?;
                        tokio::time::sleep(PIECE_WAIT).await;
                    }
                }
                Fate::Broken(bytes) => {
                    link.output.extend(&frame[..bytes]);
                    link.flush(counters).await?;
                    return Err(End::Broken);
                }
            }
            frame.clear();
            if link.output.len() > WRITE_BYTES_MAX {
                link.flush(counters).await?;
            }
        }
        if link.output.is_empty() && now >= link.last_sent + self.terminal.heartbeat_period() {
            self.terminal.heartbeat(&mut link.output);
        }
        if link.held.is_none_or(|held| now >= held) { link.flush(counters).await } else { Ok(()) }
    }

    async fn log_out(&mut self, link: &mut Link, counters: &Counters) {
        self.terminal.logout(&mut link.output);
        if link.flush(counters).await.is_err() {
            return;
        }
        let deadline = Instant::now() + self.patience.answer.min(self.patience.last);
        while let Ok(Ok(heard)) = timeout_at(deadline, self.hear(link)).await {
            if heard == Heard::LoggedOut {
                return;
            }
        }
    }

    /// Reads once, and takes in all frames that are there by then. Can be given up at any time.
    async fn hear(&mut self, link: &mut Link) -> Result<Heard, End> {
        loop {
            let mut heard_something = false;
            while let Some(frame) = link.received.next_frame() {
                heard_something = true;
                // What is no frame is passed over: it is the platform's mistake.
                let Ok(bytes) = frame else { continue };
                let Ok(frame) = Frame::parse(&bytes) else { continue };
                match self.terminal.hear(&frame, Instant::now(), &mut link.output) {
                    Heard::Nothing => {}
                    heard => return Ok(heard),
                }
            }
            if heard_something {
                return Ok(Heard::Nothing);
            }
            link.read().await?;
        }
    }
}

impl Link {
    /// Reads what is there, or waits for something.
    async fn read(&mut self) -> Result<(), End> {
        self.stream.readable().await.map_err(|_| End::Broken)?;
        // Not kept across a wait: a connection that is silent holds no memory for it.
        let mut bytes = [0; READ_BYTES];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => Err(End::Broken),
            Ok(count) => {
                self.received.extend(&bytes[..count]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::Broken),
        }
    }

    async fn flush(&mut self, counters: &Counters) -> Result<(), End> {
        self.held = None;
        if self.output.is_empty() {
            return Ok(());
        }
        self.last_sent = Instant::now();
        let written = self.stream.write_all(&self.output).await;
        counters.bytes.add(self.output.len() as u64);
        self.output.clear();
        written.map_err(|_| End::Broken)
    }
}

async fn open(to: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(to).await };
    let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(to).await
}
