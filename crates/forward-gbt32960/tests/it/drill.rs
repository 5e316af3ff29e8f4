//! The outage drill: upstream down for a simulated week, our process killed ten times meanwhile, segments sealed and merged:
//! afterwards the upstream holds exactly what we hold.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use gbt32960::Edition;
use model::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::fleet::{Report, batch, session, unit, vin};
use crate::forwarding::{BEGIN, Running, at, options};
use crate::platform::{Manner, Platform};
use crate::shelf::Shelf;

/// How large a drill is.
struct Drill {
    vehicles: u32,
    /// Reports of each vehicle over the week.
    reports: u32,
    /// Batches in which they come in.
    batches: u32,
    outage: Outage,
    seed: u64,
}

/// When the upstream is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// The whole week.
    Week,
    /// Now and then, while rows come in: what is new is sent in turn with what waits.
    NowAndThen,
}

const WEEK_SECS: u32 = 7 * 86_400;

async fn run(drill: Drill) -> (usize, usize, Duration) {
    let mut random = StdRng::seed_from_u64(drill.seed);
    let dir = tempfile::tempdir().unwrap();
    let platform = Platform::start(Manner { is_down: drill.outage == Outage::Week, ..Manner::default() }).await;
    let options = options(&platform, Edition::E2016, dir.path());
    let (mut shelf, clock) = (Shelf::open(&dir.path().join("data")), Arc::new(ManualClock::new(BEGIN)));
    let mut running = Some(Running::start(options.clone(), &shelf, &clock));
    let mut expected: BTreeSet<(String, Vec<u8>)> = BTreeSet::new();
    let step = WEEK_SECS / drill.reports;
    let kills: Vec<u32> = (0..10).map(|_| random.random_range(0..drill.batches)).collect();
    for number in 0..drill.batches {
        let (first, last) = (drill.reports * number / drill.batches, drill.reports * (number + 1) / drill.batches);
        let now = at(i64::from(last * step));
        clock.set(now);
        // Some come in late, by up to a day.
        let time = |report: u32, late: i64| at(i64::from(report * step) - late);
        let mut reports: Vec<Report> = Vec::new();
        for report in first..last {
            for vehicle in 0..drill.vehicles {
                let late = if random.random_ratio(1, 20) { random.random_range(0..i64::from(step)) } else { 0 };
                reports.push((vehicle, Edition::E2016, time(report, late)));
            }
        }
        for part in reports.chunks(4_096) {
            shelf.keep(batch(now, part)).await;
        }
        let vehicle = random.random_range(0..drill.vehicles);
        shelf.keep(session(now, vehicle, if number % 2 == 0 { "login" } else { "logout" }, now, 7)).await;
        expected.extend(reports.iter().map(|(vehicle, edition, time)| (vin(*vehicle), unit(*edition, *time))));
        if random.random_ratio(1, 3) {
            shelf.0.seal().await.unwrap();
        }
        if random.random_ratio(1, 8) {
            shelf.0.compact().await.unwrap();
        }
        if drill.outage == Outage::NowAndThen {
            let (is_down, most) = (random.random_ratio(1, 4), random.random_range(500..60_000));
            let dies_after = random.random_bool(0.3).then_some(most);
            platform.set(|manner| (manner.is_down, manner.dies_after) = (is_down, dies_after));
            tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        }
        if kills.contains(&number) {
            (shelf, running) = killed(shelf, running, dir.path(), &options, &clock).await;
        }
    }
    // The upstream comes back, dies in the middle of frames, and so do we.
    let begun = Instant::now();
    platform.set(|manner| manner.is_down = false);
    for _ in 0..12 {
        let most = random.random_range(500..60_000);
        platform.set(|manner| manner.dies_after = random.random_bool(0.5).then_some(most));
        tokio::time::sleep(Duration::from_millis(random.random_range(20..200))).await;
        if random.random_bool(0.5) {
            shelf.0.compact().await.unwrap();
        }
        (shelf, running) = killed(shelf, running, dir.path(), &options, &clock).await;
    }
    platform.set(|manner| manner.dies_after = None);
    let count = expected.len();
    platform.wait_until("all is there", move |told| told.reports.len() >= count).await;
    let took = begun.elapsed();
    running.unwrap().end().await;
    let told = platform.told();
    assert!(told.reports == expected, "{} reports arrived, {} are kept", told.reports.len(), count);
    assert_eq!(
        told.frames
            .iter()
            .filter(|frame| frame.0 == gbt32960::Command::VEHICLE_LOGIN)
            .map(|frame| (&frame.1, &frame.2))
            .collect::<BTreeSet<_>>()
            .len() as u32,
        drill.batches.div_ceil(2)
    );
    (count, told.frames.len(), took)
}

/// Ends the forwarder without a goodbye, wherever it is, and starts another one; the store is opened anew.
async fn killed(
    shelf: Arc<Shelf>,
    running: Option<Running>,
    dir: &std::path::Path,
    options: &forward_gbt32960::ForwardOptions,
    clock: &Arc<ManualClock>,
) -> (Arc<Shelf>, Option<Running>) {
    let Running { forwarder, task, .. } = running.unwrap();
    task.abort();
    let _ = task.await;
    drop(forwarder);
    let shelf = Arc::into_inner(shelf).expect("nobody reads");
    tokio::task::spawn_blocking(move || shelf.0.close()).await.unwrap();
    let shelf = Shelf::open(&dir.join("data"));
    let running = Running::start(options.clone(), &shelf, clock);
    (shelf, Some(running))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_week_without_upstream_and_many_kills_it_holds_exactly_what_we_hold() {
    for seed in 0..2 {
        run(Drill { vehicles: 5, reports: 1_008, batches: 60, outage: Outage::Week, seed }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_comes_and_goes_holds_exactly_what_we_hold() {
    for seed in 0..3 {
        run(Drill { vehicles: 5, reports: 1_008, batches: 60, outage: Outage::NowAndThen, seed }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --release -p forward-gbt32960 --test it drill:: -- --ignored --nocapture"]
async fn a_fleet_of_a_thousand_after_a_week() {
    let (reports, frames, took) =
        run(Drill { vehicles: 1_000, reports: 1_008, batches: 168, outage: Outage::Week, seed: 1 }).await;
    let rate = reports as f64 / took.as_secs_f64();
    let _ = writeln!(
        std::io::stderr(),
        "{reports} reports, {frames} frames, {took:?} after the outage, {rate:.0} a second"
    );
}
