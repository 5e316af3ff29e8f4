//! `tongmai demo`: a simulated plant, each machine an SHDR adapter on a loopback port, a simulated fleet that connects
//! to the server, and a server that deals with them as it would with real ones.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use model::Clock;
use server::config::{Config, GatewayConfig, Gbt32960Config, Password, ShdrConfig};
use server::{Server, SystemClock};
use sim::fleet::{ConnectOptions, Counters, Fault, FaultKind, FaultTime, Fleet, FleetOptions};
use sim::{Plant, PlantOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The plant is made up, and only this machine can ask: nothing here has to be kept secret.
const PASSWORD: &str = "tongmai-demo";

/// The vehicles connect one after the other, so that the plant is seen first.
const FLEET_RAMP: Duration = Duration::from_secs(10);
/// Reports that a vehicle keeps besides one for each second of its past, as vehicles with an alarm have.
const BACKLOG: usize = 1_000;

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
    /// How many vehicles.
    #[arg(long, value_name = "COUNT", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=2_000))]
    vehicles: u32,
    /// Decides all that happens to machines and vehicles.
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
    let mut gateways = plant(&arguments, &data.join("plant"), &stop).await?;
    let fleet = free_address()?;
    gateways.push(GatewayConfig::Gbt32960(Box::new(Gbt32960Config::new("fleet", fleet))));
    let mut config = Config { gateways, ..Config::default() };
    config.http.listen = arguments.listen;
    config.postgres.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.postgres.password = Some(Password(PASSWORD.to_owned()));
    let running = Server::start(config, data.clone()).await?;
    send_out(&arguments, fleet, &stop)?;
    let kept = if temporary.is_some() { "removed at the end" } else { "kept" };
    crate::say(&format!(
        "console: http://{}/\n{}plant: {} simulated machines, {} h of history\n\
         fleet: {} simulated vehicles, at {fleet} by GB/T 32960\ndata: {} ({kept})\nCtrl-C ends it\n",
        running.address(),
        running.postgres().map(psql).unwrap_or_default(),
        arguments.machines,
        arguments.history,
        arguments.vehicles,
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

/// A port that is free at present.
fn free_address() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("failed to find a port for the vehicles")?;
    listener.local_addr().context("failed to learn the vehicles' port")
}

/// Lets the vehicles connect to `to`. What they would have said before, they reissue.
fn send_out(arguments: &DemoArguments, to: SocketAddr, stop: &CancellationToken) -> Result<()> {
    if arguments.vehicles == 0 {
        return Ok(());
    }
    let past_secs = 3_600 * u32::from(arguments.history);
    let from = SystemClock.now().plus_nanos(-1_000_000_000 * i64::from(past_secs));
    let options = FleetOptions {
        faults: faults(arguments.vehicles, past_secs),
        ..FleetOptions::new(arguments.seed, arguments.vehicles, from)
    };
    let connect = ConnectOptions {
        past: Duration::from_secs(past_secs.into()),
        ramp: FLEET_RAMP,
        backlog_max: past_secs as usize + BACKLOG,
        ..ConnectOptions::new(to, from)
    };
    let vehicles = Fleet::new(&options)?.into_vehicles();
    tokio::spawn(sim::fleet::connect(vehicles, connect, Arc::new(Counters::default()), stop.clone()));
    Ok(())
}

/// Something to be seen: a cell of one vehicle has a short circuit that grows, another one loses its insulation, of a third
/// one some sensors froze.
fn faults(vehicles: u32, past_secs: u32) -> Vec<Fault> {
    let fault = |kind, vehicle, secs_ago: u32, severity| {
        let time = FaultTime::After(past_secs.saturating_sub(secs_ago));
        Fault { kind, vehicle, time, severity }
    };
    let faults = [
        fault(FaultKind::Short, 3, past_secs, 12.0),
        fault(FaultKind::Insulation, 7, 5_400, 3.0),
        fault(FaultKind::Freeze, 8, 3_600, 6.0),
    ];
    faults.into_iter().filter(|fault| fault.vehicle <= vehicles).collect()
}
