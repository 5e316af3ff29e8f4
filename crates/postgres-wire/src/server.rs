//! Accepts connections, as many as there may be, and takes each from its first byte to its last.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use query::Engine;
use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::{Cancels, Registered};
use crate::channel::{Channel, Ended};
use crate::error::SqlError;
use crate::message;
use crate::scram::Verifier;
use crate::session::Session;
use crate::startup::{self, Begun};

/// Time from the first byte to the proof of the password.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);
/// What a wrong password costs whoever guesses.
const WRONG_PASSWORD_DELAY: Duration = Duration::from_millis(500);
/// Connections beyond those allowed that are told so, or that stop another one's command; further ones are cut off.
const OVERFLOW_MAX: usize = 16;
/// How long an accept that failed, for want of file descriptors perhaps, waits for the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time that a connection has to take the reason for which it ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What questions are answered with.
pub struct Service {
    /// The tables.
    pub store: Arc<Store>,
    /// The SQL engine.
    pub engine: Arc<Engine>,
    /// One for each question that may run at the same time, whoever asks.
    pub turns: Arc<Semaphore>,
    /// Time that one question may take.
    pub timeout: Duration,
}

/// Who may connect.
pub struct Account {
    /// The user's name.
    pub user: String,
    verifier: Verifier,
}

impl Account {
    /// The user `user` with `password`, kept as RFC 5802 says; `salt` is random.
    pub fn new(user: String, password: &str, salt: [u8; 16]) -> Self {
        Self { verifier: Verifier::new(password, &salt), user }
    }
}

/// How connections are treated.
pub struct Settings {
    /// Who may connect.
    pub account: Account,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Fills a buffer with bytes that nobody can foresee.
    pub random: fn(&mut [u8]) -> io::Result<()>,
}

struct Server {
    service: Service,
    settings: Settings,
    cancels: Arc<Cancels>,
    connections: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Serves connections to `listener` until `stop`, then ends them and returns.
pub async fn serve(listener: TcpListener, service: Service, settings: Settings, stop: CancellationToken) {
    let server = Arc::new(Server {
        connections: Arc::new(Semaphore::new(settings.connections_max)),
        overflow: Arc::new(Semaphore::new(OVERFLOW_MAX)),
        cancels: Arc::default(),
        service,
        settings,
        stop: stop.clone(),
    });
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => accept(&server, stream, &tasks),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

fn accept(server: &Arc<Server>, stream: TcpStream, tasks: &TaskTracker) {
    let _ = stream.set_nodelay(true);
    let server = Arc::clone(server);
    if let Ok(place) = Arc::clone(&server.connections).try_acquire_owned() {
        tasks.spawn(async move {
            server.run(stream, Place::Client).await;
            drop(place);
        });
    } else if let Ok(place) = Arc::clone(&server.overflow).try_acquire_owned() {
        tasks.spawn(async move {
            server.run(stream, Place::Overflow).await;
            drop(place);
        });
    }
}

/// Whether there is room for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Client,
    Overflow,
}

impl Server {
    async fn run(&self, stream: TcpStream, place: Place) {
        let mut channel = Channel::new(stream);
        let ended = tokio::select! {
            ended = self.converse(&mut channel, place) => ended,
            () = self.stop.cancelled() => {
                Err(SqlError::fatal("57P01", "terminating connection: the server ends").into())
            }
        };
        if let Err(Ended::Told(error)) = ended {
            tracing::debug!(code = error.code, "a connection of PostgreSQL's protocol ended");
            message::put_error(&mut channel.out, &error);
            let _ = tokio::time::timeout(LAST_WORDS, channel.close()).await;
        }
    }

    async fn converse(&self, channel: &mut Channel, place: Place) -> Result<(), Ended> {
        let late = |_| Ended::Told(SqlError::fatal("57014", "canceling authentication due to timeout"));
        let started = tokio::time::timeout(STARTUP_TIMEOUT, self.start(channel, place)).await.map_err(late)?;
        let Some((registered, user)) = started? else { return Ok(()) };
        Session::new(&self.service, channel, &registered, user).run().await
    }

    /// Takes a connection to its first command; a request to cancel is done with at once.
    async fn start(&self, channel: &mut Channel, place: Place) -> Result<Option<(Registered, String)>, Ended> {
        let (user, minor, unknown) = match startup::begin(channel).await? {
            Begun::Cancel { process, secret } => {
                self.cancels.cancel(process, secret);
                return Ok(None);
            }
            Begun::Client { .. } if place == Place::Overflow => {
                return Err(SqlError::fatal("53300", "sorry, too many clients already").into());
            }
            Begun::Client { user, minor, unknown } => (user, minor, unknown),
        };
        startup::negotiate(channel, minor, &unknown);
        let random = |bytes: &mut [u8]| {
            (self.settings.random)(bytes).map_err(|_| SqlError::fatal("XX000", "there is no source of randomness"))
        };
        let (mut nonce, mut secret) = ([0; 18], [0; 4]);
        random(&mut nonce)?;
        random(&mut secret)?;
        let account = &self.settings.account;
        let proved = startup::authenticate(channel, &user, (&account.user, &account.verifier), nonce).await;
        if let Err(Ended::Told(error)) = &proved {
            tracing::warn!(code = error.code, "a client of PostgreSQL's protocol was turned away");
            tokio::time::sleep(WRONG_PASSWORD_DELAY).await;
        }
        proved?;
        let registered = self.cancels.register(i32::from_be_bytes(secret));
        message::put(&mut channel.out, b'R', |out| out.put_u32(0));
        message::put(&mut channel.out, b'K', |out| {
            out.put_i32(registered.process);
            out.put_i32(registered.secret);
        });
        Ok(Some((registered, user)))
    }
}
