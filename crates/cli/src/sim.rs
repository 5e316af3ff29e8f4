//! `tongmai sim vehicles`: a simulated fleet that connects to any platform, or writes what it says to a file.

use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use gbt32960::Edition;
use model::{Clock, Timestamp};
use server::SystemClock;
use sim::fleet::{
    ConnectOptions, Counters, Counts, Fault, Fleet, FleetOptions, NetworkOptions, Replies, connect, record,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is told how the fleet is doing.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// See the module.
#[derive(clap::Args)]
pub(crate) struct SimArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Vehicles that speak GB/T 32960.
    Vehicles(VehiclesArguments),
}

#[derive(clap::Args)]
struct VehiclesArguments {
    /// How many.
    #[arg(long, default_value_t = 100)]
    count: u32,
    /// The platform to connect to.
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "out")]
    to: Option<SocketAddr>,
    /// Write the frames to this file, as fast as they can be made, instead of sending them.
    #[arg(long, value_name = "FILE", conflicts_with = "to", requires = "seconds")]
    out: Option<PathBuf>,
    /// Seconds of their life; without them, until Ctrl-C.
    #[arg(long)]
    seconds: Option<u32>,
    /// When their story begins; now, if left out.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Decides all that happens to them.
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
    /// The editions that they speak by turns, such as 2016,2025.
    #[arg(long, value_delimiter = ',', default_value = "2016,2025")]
    editions: Vec<u16>,
    /// Seconds between reports.
    #[arg(long, default_value_t = 30)]
    period: u32,
    /// What goes wrong, as KIND@VEHICLE@TIME[:SEVERITY], where TIME may be `+` and seconds; may be repeated.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// How poor the network is, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    poor_network: f64,
    /// Seconds of their life in a real one.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Local addresses to connect from by turns, for more connections than one address has ports.
    #[arg(long, value_delimiter = ',')]
    source: Vec<IpAddr>,
    /// The platform does not answer good reports.
    #[arg(long)]
    no_replies: bool,
}

pub(crate) async fn run(arguments: SimArguments) -> Result<()> {
    let What::Vehicles(arguments) = arguments.what;
    let edition = |year: &u16| Edition::of_year(*year).with_context(|| format!("{year}: expected 2016 or 2025"));
    let share = arguments.poor_network;
    if !((0.0..=1.0).contains(&share) && arguments.speed > 0.0 && arguments.speed <= 1_000.0) {
        bail!("expected a --poor-network from 0 to 1 and a --speed above 0, at most 1000");
    }
    let from = arguments.from.unwrap_or_else(|| SystemClock.now());
    let options = FleetOptions {
        editions: arguments.editions.iter().map(edition).collect::<Result<_>>()?,
        report_secs: arguments.period,
        faults: arguments.fault.clone(),
        ..FleetOptions::new(arguments.seed, arguments.count, from)
    };
    let fleet = Fleet::new(&options)?;
    if let (Some(path), Some(secs)) = (&arguments.out, arguments.seconds) {
        let file = File::create(path).with_context(|| format!("failed to make `{}`", path.display()))?;
        let written = tokio::task::spawn_blocking(move || record(fleet, secs, &mut BufWriter::new(file))).await?;
        let written = written.with_context(|| format!("failed to write `{}`", path.display()))?;
        return crate::say(&format!("{} frames, {} bytes\n", written.frames, written.bytes));
    }
    let Some(to) = arguments.to else { bail!("expected --to ADDRESS:PORT, or --out FILE and --seconds") };
    let options = ConnectOptions {
        sources: arguments.source,
        secs: arguments.seconds,
        speed: arguments.speed,
        network: NetworkOptions::poor(share),
        replies: if arguments.no_replies { Replies::None } else { Replies::Expected },
        ..ConnectOptions::new(to, from)
    };
    let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
    let mut fleet = tokio::spawn(connect(fleet.into_vehicles(), options, Arc::clone(&counters), stop.clone()));
    let (mut before, mut told) = (Counts::default(), Instant::now());
    loop {
        tokio::select! {
            ended = &mut fleet => {
                ended.context("the fleet broke down")?;
                return crate::say(&line(counters.counts(), before, told.elapsed()));
            }
            () = tokio::time::sleep(TELL_EVERY) => {
                let now = counters.counts();
                crate::say(&line(now, before, told.elapsed()))?;
                (before, told) = (now, Instant::now());
            }
            _ = tokio::signal::ctrl_c() => stop.cancel(),
        }
    }
}

/// How the fleet is doing, for people; it did `before` when `passed` began.
fn line(now: Counts, before: Counts, passed: Duration) -> String {
    let sent = now.sent + now.reissued;
    let rate = (sent - before.sent - before.reissued) as f64 / passed.as_secs_f64();
    format!(
        "connected {}, sent {sent} ({} reissued), acknowledged {}, refused {}, outstanding {}, {rate:.0} frames/s\n",
        now.connected,
        now.reissued,
        now.acknowledged,
        now.refused,
        now.outstanding(),
    )
}
