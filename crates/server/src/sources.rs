//! The gateways that the configuration names, made and kept running. Knows each kind by its constructor only.

use std::sync::Arc;

use gateway::{Connection, Gateway, GatewayError, Ingest, Link, Quarantine, Status, Tally, supervise};
use gateway_gbt32960::{ORDER_PROFILE, SESSION_PROFILE};
use gateway_mtconnect::device::{self, Device};
use gateway_mtconnect::mapping::Mapping;
use gateway_mtconnect::naming::profile_ids;
use gateway_mtconnect::shdr::{ShdrGateway, ShdrOptions};
use gateway_mtconnect::{AgentGateway, AgentOptions};
use model::Clock;
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alarms;
use crate::config::{AgentConfig, GatewayConfig, ShdrConfig};
use crate::own::{self, OwnGateway};
use crate::vehicles::Vehicles;

/// Tables whose names stand for one thing each, so that nothing else is kept under them.
pub(crate) const BUILT_IN_TABLES: [&[&str]; 2] =
    [&query::RESERVED_TABLES, &[own::NAME, gbt32960::PROFILE, SESSION_PROFILE, ORDER_PROFILE, alarms::NAME]];

/// One gateway, for whoever asks how it is doing.
#[derive(Clone)]
struct Source {
    kind: &'static str,
    address: String,
    link: Link,
    /// It waits for what others send, and is not worth telling before something has come.
    waits: bool,
}

/// How one gateway is doing.
#[derive(Debug, Clone)]
pub(crate) struct SourceReport {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) address: String,
    pub(crate) status: Status,
    pub(crate) tally: Tally,
}

/// All gateways.
pub(crate) struct Sources {
    sources: Vec<Source>,
    tasks: JoinSet<()>,
}

impl Sources {
    /// Starts a gateway for each of `configs`, and the one that watches this server. One that cannot start says so in
    /// its state, and the others run.
    pub(crate) fn start(
        configs: &[GatewayConfig],
        store: &Arc<Store>,
        ingest: &Arc<dyn Ingest>,
        quarantine: &Arc<dyn Quarantine>,
        clock: &Arc<dyn Clock>,
        vehicles: &Vehicles,
        stop: &CancellationToken,
    ) -> Self {
        let mut all = Self { sources: Vec::new(), tasks: JoinSet::new() };
        let link = |name: &str| {
            let (ingest, quarantine, clock) = (Arc::clone(ingest), Arc::clone(quarantine), Arc::clone(clock));
            Link::new(name, ingest, quarantine, clock, stop.clone())
        };
        all.run("self", "", link(own::NAME), Ok(Box::new(OwnGateway::new(Arc::clone(store)))));
        for (place, config) in configs.iter().enumerate() {
            let link = link(config.name());
            match config {
                GatewayConfig::MtconnectShdr(shdr) => {
                    all.run("mtconnect-shdr", &shdr.address, link, shdr_gateway(shdr, place as u64));
                }
                GatewayConfig::MtconnectAgent(agent) => {
                    all.run("mtconnect-agent", &agent.url, link, Ok(agent_gateway(agent, place as u64)));
                }
                GatewayConfig::Gbt32960(config) => {
                    all.run("gbt32960", &config.listen.to_string(), link, vehicles.gateway(config, clock.now()));
                }
            }
        }
        all
    }

    fn run(&mut self, kind: &'static str, address: &str, link: Link, made: Result<Box<dyn Gateway>, GatewayError>) {
        self.sources.push(Source { kind, address: address.to_owned(), link: link.clone(), waits: false });
        match made {
            Ok(gateway) => drop(self.tasks.spawn(async move { supervise(&*gateway, &link).await })),
            Err(error) => link.report(Connection::Failed(error.to_string())),
        }
    }

    /// Adds one that waits for what others send, and so needs no running.
    pub(crate) fn wait(&mut self, kind: &'static str, link: Link) {
        self.sources.push(Source { kind, address: String::new(), link, waits: true });
    }

    /// How all of them are doing.
    pub(crate) fn reports(&self) -> Vec<SourceReport> {
        let report = |source: &Source| SourceReport {
            name: source.link.name().to_owned(),
            kind: source.kind,
            address: source.address.clone(),
            status: source.link.status(),
            tally: source.link.counters().tally(),
        };
        let told = |report: &SourceReport, waits: bool| !waits || report.tally.last_received.is_some();
        let reports = self.sources.iter().map(|source| (report(source), source.waits));
        reports.filter(|(report, waits)| told(report, *waits)).map(|(report, _)| report).collect()
    }

    /// Waits until all have ended; they have been told to.
    pub(crate) async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn shdr_gateway(config: &ShdrConfig, seed: u64) -> Result<Box<dyn Gateway>, GatewayError> {
    let path = config.devices.display();
    let xml = std::fs::read(&config.devices)
        .map_err(|error| GatewayError::Configuration(format!("failed to read the device model `{path}`: {error}")))?;
    let model = device::read_devices(&xml)
        .map_err(|error| GatewayError::Configuration(format!("in the device model `{path}`: {error}")))?;
    let mappings = mappings(&model.devices, config.profile.as_deref())
        .map_err(|error| GatewayError::Configuration(format!("in the device model `{path}`: {error}")))?;
    let options = ShdrOptions { seed, ..ShdrOptions::new(&config.address) };
    Ok(Box::new(ShdrGateway::new(options, mappings)))
}

fn agent_gateway(config: &AgentConfig, seed: u64) -> Box<dyn Gateway> {
    Box::new(AgentGateway::new(AgentOptions {
        device: config.device.clone(),
        profile: config.profile.clone(),
        interval_ms: u32::try_from(config.interval_ms).unwrap_or(u32::MAX),
        count_max: config.count_max,
        heartbeat_ms: u32::try_from(config.heartbeat_ms).unwrap_or(u32::MAX),
        seed,
        ..AgentOptions::new(&config.url)
    }))
}

/// The mapping of each device of a model, under `profile` or under a name made of the device's own.
pub(crate) fn mappings(devices: &[Device], profile: Option<&str>) -> Result<Vec<Arc<Mapping>>, String> {
    let ids = profile_ids(devices, profile);
    let is_taken = |id: &&String| BUILT_IN_TABLES.iter().any(|tables| tables.contains(&id.as_str()));
    if let Some(taken) = ids.iter().find(is_taken) {
        return Err(format!("`{taken}` is the name of a built-in table: give the profile another name"));
    }
    let made = devices.iter().zip(&ids).map(|(device, id)| Mapping::new(device, id).map(Arc::new));
    let mappings = made.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if mappings.is_empty() { Err("it has no device".to_owned()) } else { Ok(mappings) }
}
