//! `tongmai serve`: a server until somebody stops it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use server::config::Config;
use server::{Running, Server};

/// See the module.
#[derive(clap::Args)]
pub(crate) struct ServeArguments {
    /// The data directory; made if it is not there.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The configuration; `tongmai config` prints one to begin with. Without it the defaults hold, and no source is
    /// connected.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of where the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

pub(crate) async fn run(arguments: ServeArguments) -> Result<()> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    if let Some(listen) = arguments.listen {
        config.http.listen = listen;
    }
    let running = Server::start(config, arguments.data).await?;
    crate::say(&format!("console: http://{}/\n", running.address()))?;
    if let Some(address) = running.postgres() {
        crate::say(&format!("postgres: {address}\n"))?;
    }
    if let Some(address) = running.flight_sql() {
        crate::say(&format!("flight sql: grpc://{address}\n"))?;
    }
    until_stopped(running).await
}

/// Waits for Ctrl-C or a request to end, then ends `running` cleanly.
pub(crate) async fn until_stopped(running: Running) -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("failed to wait for a signal")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("failed to wait for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    tokio::select! {
        () = running.stop() => Ok(()),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("ended at once; everything acknowledged is in the log"),
    }
}
