//! Listens until it is told to stop, and then ends every connection.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use query::Engine;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;

use crate::access::{Access, Account, Guarded};
use crate::connection::connections;
use crate::flight::Flight;

/// Bytes of one message of a client; questions are far shorter.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Calls at the same time on one connection.
const CALLS_MAX: u32 = 16;
/// Bytes of the headers of one call.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// How often a client is asked whether it is still there, and how long it has to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Time that connections have to take the reason for which they end.
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

/// How connections are treated.
pub struct Settings {
    /// Who may call.
    pub account: Account,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Fills a buffer with bytes that nobody can foresee.
    pub random: fn(&mut [u8]) -> io::Result<()>,
}

/// Serves connections to `listener` until `stop`, then ends them and returns.
pub async fn serve(listener: TcpListener, service: Service, settings: Settings, stop: CancellationToken) {
    let Settings { account, connections_max, random } = settings;
    let (cut, tasks) = (CancellationToken::new(), TaskTracker::new());
    let user = account.user.clone();
    let access = Arc::new(Access::new(account, random));
    let flight = Flight::new(service, user, Arc::clone(&access), random, (stop.clone(), tasks.clone()));
    let flight = FlightServiceServer::new(flight).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let serving = Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .add_service(Guarded { service: flight, access })
        .serve_with_incoming_shutdown(
            connections(listener, connections_max, cut.clone()),
            stop.clone().cancelled_owned(),
        );
    let mut serving = pin!(serving);
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = late => {
            cut.cancel();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "Flight SQL is no longer served");
    }
    tasks.close();
    tasks.wait().await;
}
