//! An SHDR adapter for one simulated machine: several clients, heartbeat, history for the first, simulated outages.
//! The only part that knows sockets and a clock. It buffers nothing for clients that are away.

mod client;
mod outages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::client::Client;
use self::outages::{Outage, Outages};
use crate::Machine;

/// Clients beyond these are turned away.
const CLIENTS_MAX: usize = 16;
/// How often the machine is asked what has happened.
const PERIOD: Duration = Duration::from_millis(50);
/// How much of the past is told at a time; a machine that lags behind by more is caught up in such pieces.
const PIECE_NANOS: i64 = 15_000_000_000;
/// A first client that does not take its history for so long is dropped.
const HISTORY_PATIENCE: Duration = Duration::from_secs(10);

/// Serves `machine` on `listener` until `stop` is cancelled.
///
/// Nothing happens before the first client: it is told the history, and whoever comes later a snapshot. If the first one
/// leaves early, the next one is told the rest.
pub async fn serve(machine: Machine, listener: TcpListener, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let outages = Outages::new(machine.seed());
    Adapter::new(machine, clock, outages).run(listener, stop).await;
}

struct Adapter {
    machine: Machine,
    clock: Arc<dyn Clock>,
    outages: Outages,
    clients: Vec<Client>,
    has_history: bool,
}

impl Adapter {
    fn new(machine: Machine, clock: Arc<dyn Clock>, outages: Outages) -> Self {
        Self { machine, clock, outages, clients: Vec::new(), has_history: true }
    }

    async fn run(mut self, listener: TcpListener, stop: CancellationToken) {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.join(stream, address),
                    Err(error) => {
                        // Out of file handles, most likely: others may free some.
                        tracing::warn!(machine = self.machine.name(), %error, "adapter failed to accept");
                        tokio::time::sleep(PERIOD).await;
                    }
                },
                _ = period.tick() => {}
            }
            if self.has_history {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.tell_history() => {}
                }
            } else {
                self.tell_news().await;
            }
        }
    }

    fn join(&mut self, stream: TcpStream, address: SocketAddr) {
        self.clients.retain(|client| !client.is_gone());
        if self.clients.len() >= CLIENTS_MAX || self.outages.is_refusing(self.clock.now()) {
            return;
        }
        tracing::debug!(machine = self.machine.name(), %address, "adapter has a client");
        let name = self.machine.name();
        let mut greeting = format!(
            "* shdrVersion: 2.0\n* adapterVersion: {}\n* mtconnectVersion: 2.0\n* device: {name}\n* manufacturer: Tongmai\n",
            env!("CARGO_PKG_VERSION")
        )
        .into_bytes();
        self.machine.snapshot(&mut greeting);
        let client = Client::new(stream);
        // A new client's queue is empty, so this cannot fail.
        client.offer(&Arc::from(greeting));
        self.clients.push(client);
    }

    /// The present as far as the machine knows time: in milliseconds. It never reaches a fraction of one.
    fn present(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().millis())
    }

    /// Tells the first client everything up to now, as fast as it takes it.
    async fn tell_history(&mut self) {
        while let Some(first) = self.clients.first() {
            let now = self.present();
            // The clock goes on while the history is told: what is left by then is news.
            if self.machine.now().plus_nanos(PERIOD.as_nanos() as i64) >= now {
                self.has_history = false;
                self.outages.begin(now);
                return;
            }
            let ready = tokio::time::timeout(HISTORY_PATIENCE, first.ready()).await;
            if !matches!(ready, Ok(true)) {
                tracing::debug!(machine = self.machine.name(), "adapter lost a client that was being told the history");
                self.clients.remove(0);
                continue;
            }
            self.tell_piece(now);
        }
    }

    /// Tells all clients what has happened since.
    async fn tell_news(&mut self) {
        let now = self.present();
        if let Some(outage) = self.outages.due(now) {
            tracing::debug!(machine = self.machine.name(), ?outage, "adapter has a simulated outage");
            match outage {
                Outage::One if !self.clients.is_empty() => drop(self.clients.remove(0)),
                Outage::One => {}
                Outage::All => self.clients.clear(),
            }
        }
        while self.machine.now() < now {
            self.tell_piece(now);
            // Where much is told at once, clients get the chance to take it.
            tokio::task::yield_now().await;
        }
    }

    fn tell_piece(&mut self, now: Timestamp) {
        let mut lines = Vec::new();
        self.machine.advance(self.machine.now().plus_nanos(PIECE_NANOS).min(now), &mut lines);
        if lines.is_empty() {
            return;
        }
        let lines: Arc<[u8]> = lines.into();
        let name = self.machine.name();
        self.clients.retain(|client| {
            let keeps_up = client.offer(&lines);
            if !keeps_up {
                tracing::debug!(machine = name, "adapter dropped a client that is gone or does not read");
            }
            keeps_up
        });
    }
}

#[cfg(test)]
mod tests;
