//! Accepts connections, as many as are allowed, and ends them when it is told to. Must not know what is said on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Backoff, Connection as State, Gateway, GatewayError, Link};
use gbt32960::Standard;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::collector::Collector;
use crate::connection::Connection;
use crate::orders::Orders;
use crate::registry::Registry;
use crate::security::Security;
use crate::stream::{Stream, Tls};

/// Where vehicles and platforms connect, and how they are treated.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Connections at the same time; further ones are closed at once, and counted.
    pub connections_max: usize,
    /// A connection that says nothing for so long is closed.
    pub silence_max: Duration,
}

impl ListenerOptions {
    /// Listens on `listen`; 200,000 connections, each of which may be silent for three minutes.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, connections_max: 200_000, silence_max: Duration::from_secs(180) }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) standard: Arc<Standard>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) security: Arc<Security>,
    tls: Option<Tls>,
    pub(crate) collector: Collector,
    pub(crate) orders: Arc<Orders>,
    pub(crate) options: ListenerOptions,
    pub(crate) link: Link,
    open: AtomicUsize,
}

/// The gateway that vehicles and platforms connect to.
pub struct PlatformGateway {
    options: ListenerOptions,
    standard: Arc<Standard>,
    registry: Arc<Registry>,
    orders: Arc<Orders>,
    security: Arc<Security>,
    tls: Option<Tls>,
    address: watch::Sender<Option<SocketAddr>>,
}

impl PlatformGateway {
    /// A gateway that lets in whom `registry` knows, and passes on `orders`; a vehicle has one connection among all gateways
    /// that share those.
    pub fn new(
        options: ListenerOptions,
        standard: Arc<Standard>,
        registry: Arc<Registry>,
        orders: Arc<Orders>,
    ) -> Self {
        let (security, tls) = (Arc::new(Security::none()), None);
        Self { options, standard, registry, orders, security, tls, address: watch::Sender::new(None) }
    }

    /// The same with keys.
    #[must_use]
    pub fn with_security(self, security: Security) -> Self {
        Self { security: Arc::new(security), ..self }
    }

    /// The same with TLS, and nobody without it.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Tells where it listens, as soon as it does.
    pub fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.subscribe()
    }

    async fn serve(&self, link: &Link) -> Result<(), GatewayError> {
        let listen = self.options.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| GatewayError::Failed(format!("failed to listen on {listen}: {error}")))?;
        self.address.send_replace(listener.local_addr().ok());
        link.report(State::Connected);
        let shared = Arc::new(Shared {
            standard: Arc::clone(&self.standard),
            registry: Arc::clone(&self.registry),
            security: Arc::clone(&self.security),
            tls: self.tls.clone(),
            collector: Collector::new(Arc::clone(&self.standard), Arc::clone(&self.security)),
            orders: Arc::clone(&self.orders),
            options: self.options.clone(),
            link: link.clone(),
            open: AtomicUsize::new(0),
        });
        // A failure of the collector ends all connections: what they said is not acknowledged, so it comes again.
        let end = link.stop().child_token();
        let connections = TaskTracker::new();
        let ended = tokio::select! {
            collected = shared.collector.run(link, link.stop().cancelled()) => collected,
            () = accept(&listener, &shared, &connections, &end) => Ok(()),
        };
        drop(listener);
        end.cancel();
        connections.close();
        match ended {
            // What has been said and is not durable yet still becomes so, and is answered, before the connections end.
            Ok(()) => shared.collector.run(link, connections.wait()).await.map_err(GatewayError::Delivery),
            Err(error) => {
                connections.wait().await;
                Err(GatewayError::Delivery(error))
            }
        }
    }
}

impl Gateway for PlatformGateway {
    fn run<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.serve(link).boxed()
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, connections: &TaskTracker, end: &CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1), 0);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                backoff.reset();
                enter(stream, shared, connections, end);
            }
            // Too many open files, for example: others will be closed.
            Err(error) => {
                shared.link.counters().reject("connection not accepted");
                tracing::warn!(gateway = shared.link.name(), %error, "failed to accept a connection");
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

fn enter(stream: TcpStream, shared: &Arc<Shared>, connections: &TaskTracker, end: &CancellationToken) {
    if shared.open.fetch_add(1, Ordering::Relaxed) >= shared.options.connections_max {
        shared.open.fetch_sub(1, Ordering::Relaxed);
        shared.link.counters().reject("too many connections");
        return;
    }
    shared.link.counters().connected();
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let (shared, close) = (Arc::clone(shared), end.child_token());
    connections.spawn(async move {
        let stream = match &shared.tls {
            None => Some(Stream::Plain(stream)),
            // Apart, so that connections without TLS do not become larger by it.
            Some(tls) => Box::pin(agree(stream, tls, &shared.link, &close)).await,
        };
        if let Some(stream) = stream {
            Connection::new(stream, Arc::clone(&shared), close).run().await;
        }
        shared.open.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Agrees on TLS with who has connected; `None` if that fails, or takes longer than it may.
async fn agree(stream: TcpStream, tls: &Tls, link: &Link, close: &CancellationToken) -> Option<Stream> {
    let agreed = tokio::select! {
        agreed = tls.agree(stream) => agreed,
        () = close.cancelled() => return None,
    };
    if let Err(error) = &agreed {
        link.counters().reject("no TLS");
        tracing::debug!(gateway = link.name(), %error, "a connection without TLS");
    }
    agreed.ok()
}
