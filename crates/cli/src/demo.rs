//! `tongmai demo`: a simulated plant, each machine an SHDR adapter on a loopback port, and a server that connects to it
//! as it would to a real one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use model::Clock;
use server::config::{Config, GatewayConfig, Password, ShdrConfig};
use server::{Server, SystemClock};
use sim::{Plant, PlantOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The plant is made up, and only this machine can ask: nothing here has to be kept secret.
const PASSWORD: &str = "tongmai-demo";

/// See the module.
#[derive(clap::Args)]
pub(crate) struct DemoArguments {
    /// Keep the data here; without it they are gone when the demo ends.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the console is served.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7878")]
    listen: SocketAddr,
    /// How many machines.
    #[arg(long, value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    machines: u16,
    /// Decides all that happens in the plant.
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
    /// Hours of history to begin with.
    #[arg(long, value_name = "HOURS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=24))]
    history: u16,
}

pub(crate) async fn run(arguments: DemoArguments) -> Result<()> {
    let temporary = match arguments.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("tongmai-demo-").tempdir().context("failed to make a folder")?),
    };
    let data = match (&arguments.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => unreachable!("one of the two was made"),
    };
    let stop = CancellationToken::new();
    let plant = plant(&arguments, &data.join("plant"), &stop).await?;
    let mut config = Config { gateways: plant, ..Config::default() };
    config.http.listen = arguments.listen;
    config.postgres.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.postgres.password = Some(Password(PASSWORD.to_owned()));
    let running = Server::start(config, data.clone()).await?;
    let kept = if temporary.is_some() { "removed at the end" } else { "kept" };
    crate::say(&format!(
        "console: http://{}/\n{}plant: {} simulated machines, {} h of history\ndata: {} ({kept})\nCtrl-C ends it\n",
        running.address(),
        running.postgres().map(psql).unwrap_or_default(),
        arguments.machines,
        arguments.history,
        data.display(),
    ))?;
    let outcome = crate::serve::until_stopped(running).await;
    stop.cancel();
    outcome
}

/// How to ask by PostgreSQL's protocol.
fn psql(address: SocketAddr) -> String {
    format!("psql: psql postgres://tongmai:{PASSWORD}@{address}/tongmai\n")
}

/// Starts the machines; returns the gateways to reach them.
async fn plant(arguments: &DemoArguments, folder: &Path, stop: &CancellationToken) -> Result<Vec<GatewayConfig>> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let plant = Plant::new(&PlantOptions {
        machines: usize::from(arguments.machines),
        history: Duration::from_secs(3_600 * u64::from(arguments.history)),
        ..PlantOptions::new(arguments.seed, clock.now())
    });
    let mut gateways = Vec::new();
    for machine in plant.into_machines() {
        let devices = folder.join(format!("{}.xml", machine.name()));
        std::fs::write(&devices, machine.device_xml())
            .with_context(|| format!("failed to write the device model `{}`", devices.display()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to open a port for a machine")?;
        gateways.push(GatewayConfig::MtconnectShdr(ShdrConfig {
            name: machine.name().to_owned(),
            address: listener.local_addr().context("failed to learn a machine's port")?.to_string(),
            devices,
            profile: Some(machine.profile().to_owned()),
        }));
        tokio::spawn(sim::serve(machine, listener, Arc::clone(&clock), stop.clone()));
    }
    Ok(gateways)
}
