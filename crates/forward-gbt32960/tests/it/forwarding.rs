//! What an upstream gets, and when: by edition, selection, window and reply.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forward_gbt32960::{Begin, ForwardOptions, Forwarder, Plain, Replies, State, Vehicles};
use gbt32960::{Command, Edition, Response, Vin};
use model::{Clock, ManualClock, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fleet::{Report, STANDARD, batch, session, unit, vin};
use crate::platform::{Manner, Platform, WAIT_MAX};
use crate::shelf::Shelf;

/// When everything begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_783_418_400_000);

pub(crate) fn at(seconds: i64) -> Timestamp {
    BEGIN.plus_nanos(seconds * 1_000_000_000)
}

/// A forwarder that runs.
pub(crate) struct Running {
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(options: ForwardOptions, shelf: &Arc<Shelf>, clock: &Arc<ManualClock>) -> Self {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        let reports: Arc<dyn forward_gbt32960::Reports> = Arc::<Shelf>::clone(shelf);
        let forwarder = Arc::new(Forwarder::new(options, Arc::clone(&STANDARD), reports, Arc::new(Plain), clock));
        let stop = CancellationToken::new();
        let task = {
            let (forwarder, stop) = (Arc::clone(&forwarder), stop.clone());
            tokio::spawn(async move { forwarder.run(stop).await })
        };
        Self { forwarder, stop, task }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(WAIT_MAX, self.task).await.unwrap().unwrap();
    }

    async fn until(&self, what: &str, is_so: impl Fn(&forward_gbt32960::Status) -> bool) {
        let waited = async {
            while !is_so(&self.forwarder.status()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(WAIT_MAX, waited).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.forwarder.status());
    }
}

/// Options that wait for nothing longer than a test can.
pub(crate) fn options(platform: &Platform, edition: Edition, dir: &Path) -> ForwardOptions {
    let short = Duration::from_millis(30);
    ForwardOptions {
        user: "tongmai".to_owned(),
        password: "a-long-one".to_owned(),
        code: Vin::padded("PLATFORM").unwrap(),
        begin: Begin::Oldest,
        poll: short,
        login_wait: short,
        login_pause: 3 * short,
        connect_wait: short,
        reply_wait: Duration::from_secs(20),
        ..ForwardOptions::new("region", &platform.address, edition, dir.join("forward/region.json"))
    }
}

fn expected(reports: &[Report]) -> std::collections::BTreeSet<(String, Vec<u8>)> {
    reports.iter().map(|(vehicle, edition, time)| (vin(*vehicle), unit(*edition, *time))).collect()
}

struct Place {
    _dir: tempfile::TempDir,
    shelf: Arc<Shelf>,
    clock: Arc<ManualClock>,
    options: ForwardOptions,
}

impl Place {
    fn new(platform: &Platform, edition: Edition) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, clock) = (Shelf::open(&dir.path().join("data")), Arc::new(ManualClock::new(BEGIN)));
        let options = options(platform, edition, dir.path());
        Self { _dir: dir, shelf, clock, options }
    }

    fn start(&self) -> Running {
        Running::start(self.options.clone(), &self.shelf, &self.clock)
    }
}

const OLD: Edition = Edition::E2016;
const NEW: Edition = Edition::E2025;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vehicles_say_arrives_byte_for_byte_in_order() {
    let platform = Platform::start(Manner::default()).await;
    let place = Place::new(&platform, OLD);
    let reports: Vec<Report> = (0..3_000).map(|row| (row % 7, OLD, at(i64::from(row / 7) * 10))).collect();
    place.shelf.keep(session(at(0), 3, "login", at(-1), 12)).await;
    for part in reports.chunks(500) {
        place.shelf.keep(batch(at(10_000), part)).await;
    }
    place.shelf.keep(session(at(0), 3, "logout", at(5_000), 12)).await;
    place.shelf.keep(session(at(0), 4, "lost", at(5_000), 12)).await;
    place.clock.set(at(10_000));
    let running = place.start();
    running.until("all is acknowledged", |status| status.acknowledged == 3_002 && status.lag_ms == 0).await;
    running.end().await;
    let told = platform.told();
    assert_eq!(told.reports, expected(&reports));
    let commands: Vec<Command> = told.frames.iter().map(|frame| frame.0).collect();
    assert_eq!(commands[0], Command::PLATFORM_LOGIN);
    assert_eq!(*commands.last().unwrap(), Command::PLATFORM_LOGOUT);
    assert_eq!(told.frames.len(), 3_004, "each frame once");
    assert_eq!(&told.frames[0].2[6..20], b"\0\x01tongmai\0\0\0\0\0");
    let of_3: Vec<_> = told.frames.iter().filter(|frame| frame.1 == vin(3)).collect();
    assert_eq!((of_3[0].0, of_3.last().unwrap().0), (Command::VEHICLE_LOGIN, Command::VEHICLE_LOGOUT));
    assert_eq!(of_3[0].2[6..8], [0, 12]);
    assert!(of_3[1..of_3.len() - 1].is_sorted_by_key(|frame| frame.2[..6].to_vec()));
    assert!(of_3[1..of_3.len() - 1].iter().all(|frame| frame.0 == Command::REISSUED), "they are hours old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_now_is_sent_as_it_is_now() {
    let platform = Platform::start(Manner::default()).await;
    let place = Place::new(&platform, OLD);
    place.clock.set(at(100));
    let running = place.start();
    place.shelf.keep(batch(at(100), &[(1, OLD, at(99)), (2, OLD, at(10)), (1, OLD, at(98))])).await;
    platform.wait_until("the first ones", |told| told.reports.len() == 3).await;
    // Late, though it comes in now.
    place.shelf.keep(batch(at(101), &[(1, OLD, at(90))])).await;
    platform.wait_until("the late one", |told| told.reports.len() == 4).await;
    place.shelf.keep(batch(at(102), &[(1, OLD, at(101))])).await;
    platform.wait_until("the last one", |told| told.reports.len() == 5).await;
    running.end().await;
    let told = platform.told();
    let commands: Vec<(Command, String)> =
        told.frames.iter().filter(|frame| frame.0.is_report()).map(|frame| (frame.0, frame.1.clone())).collect();
    let expected = [
        (Command::REALTIME, vin(1)),
        (Command::REALTIME, vin(1)),
        (Command::REISSUED, vin(2)),
        (Command::REISSUED, vin(1)),
        (Command::REALTIME, vin(1)),
    ];
    assert_eq!(commands, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_vehicle_is_said_in_the_words_of_an_older_upstream() {
    let platform = Platform::start(Manner::default()).await;
    let place = Place::new(&platform, OLD);
    place.shelf.keep(batch(at(0), &[(1, NEW, at(0)), (2, OLD, at(0))])).await;
    let running = place.start();
    platform.wait_until("both", |told| told.reports.len() == 2).await;
    running.end().await;
    let told = platform.told();
    let newer = &told.reports.first().unwrap().1;
    let mut as_2016 = unit(OLD, at(0));
    // The pedals are not said in 2025.
    as_2016[25..27].fill(0xFF);
    assert_eq!(*newer, as_2016);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_vehicle_is_told_of_where_the_upstream_cannot_read_it() {
    let platform = Platform::start(Manner::default()).await;
    let mut place = Place::new(&platform, NEW);
    place.shelf.keep(batch(at(0), &[(1, NEW, at(0)), (2, OLD, at(0))])).await;
    let running = place.start();
    running.until("one is left out", |status| status.left_out == 1 && status.acknowledged == 1).await;
    let status = running.forwarder.status();
    assert_eq!((status.unexpressed.len(), &status.unexpressed[0].last.0), (1, &vin(2)));
    running.end().await;
    place.options.takes_2016 = true;
    place.options.cursor.set_extension("other");
    let running = place.start();
    platform.wait_until("both", |told| told.reports.len() == 2).await;
    running.end().await;
    assert_eq!(platform.told().reports, expected(&[(1, NEW, at(0)), (2, OLD, at(0))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_gets_its_vehicles_and_at_its_own_pace() {
    let slow = Manner { slowness: Duration::from_millis(1), ..Manner::default() };
    let platform = Platform::start(slow).await;
    let mut place = Place::new(&platform, OLD);
    place.options.vehicles = Vehicles::read(&format!("{}\n{}*", vin(1), &vin(20)[..16])).unwrap();
    place.options.window_frames = 16;
    let reports: Vec<Report> = (0..600).map(|row| (row % 30, OLD, at(i64::from(row)))).collect();
    place.shelf.keep(batch(at(0), &reports)).await;
    let mine: Vec<Report> = reports.into_iter().filter(|(vehicle, ..)| *vehicle == 1 || *vehicle >= 20).collect();
    let running = place.start();
    platform.wait_until("all", |told| told.reports.len() == mine.len()).await;
    running.end().await;
    let told = platform.told();
    assert_eq!(told.reports, expected(&mine));
    assert!((2..=16).contains(&told.pending_max), "{}", told.pending_max);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_frames_are_sent_three_times_and_hold_nobody_up() {
    let refusing = Manner { refuses: Some(('5', Response::ERROR)), ..Manner::default() };
    let platform = Platform::start(refusing).await;
    let place = Place::new(&platform, OLD);
    let reports: Vec<Report> = (0..200).map(|row| (row % 10, OLD, at(i64::from(row)))).collect();
    place.shelf.keep(batch(at(0), &reports)).await;
    let running = place.start();
    running.until("all is settled", |status| status.acknowledged == 180 && status.refused == 20).await;
    let status = running.forwarder.status();
    assert_eq!((status.refusals.len(), &status.refusals[0].vin, status.lag_ms), (20, &vin(5), 0));
    assert_eq!((status.refusals[0].reason.as_str(), status.refusals[0].command), ("error", "realtime report"));
    running.end().await;
    let told = platform.told();
    assert_eq!(told.frames.iter().filter(|frame| frame.1 == vin(5)).count(), 60);
    assert_eq!(told.reports.len(), 180);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_answers_no_good_report_can_be_forwarded_to() {
    let silent = Manner { is_silent: true, refuses: Some(('5', Response::ERROR)), ..Manner::default() };
    let platform = Platform::start(silent).await;
    let mut place = Place::new(&platform, OLD);
    place.options.replies = Replies::None;
    place.options.hold = Duration::from_millis(300);
    let reports: Vec<Report> = (0..2_000).map(|row| (row % 10, OLD, at(i64::from(row)))).collect();
    place.shelf.keep(batch(at(0), &reports)).await;
    let running = place.start();
    running.until("all is settled", |status| status.acknowledged + status.refused == 2_000 && status.lag_ms == 0).await;
    assert_eq!(running.forwarder.status().refused, 200);
    running.end().await;
    assert_eq!(platform.told().reports.len(), 1_800);

    // One that is said to answer, and does not, is told of.
    let mut wrong = place.options.clone();
    (wrong.replies, wrong.reply_wait) = (Replies::Each, Duration::from_millis(100));
    wrong.cursor.set_extension("other");
    let running = Running::start(wrong, &place.shelf, &place.clock);
    running.until("it is told", |status| status.last_error.as_ref().is_some_and(|e| e.contains("replies"))).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_tried_again_and_what_waits_is_told() {
    let platform = Platform::start(Manner { refuses_logins: true, ..Manner::default() }).await;
    let place = Place::new(&platform, OLD);
    place.shelf.keep(batch(at(0), &[(1, OLD, at(0))])).await;
    let running = place.start();
    running.until("it waits", |status| matches!(&status.state, State::Waiting(why) if why.contains("refused"))).await;
    place.clock.set(at(60));
    platform.wait_until("three logins", |told| told.frames.len() > 3).await;
    platform.set(|manner| manner.refuses_logins = false);
    platform.wait_until("it arrives", |told| told.reports.len() == 1).await;
    running.end().await;
    let status = platform.told().frames.iter().map(|frame| frame.2[7]).take(3).collect::<Vec<_>>();
    assert_eq!(status, [1, 2, 3], "serial numbers are counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_does_not_read_is_not_taken_for_none() {
    let platform = Platform::start(Manner::default()).await;
    let place = Place::new(&platform, OLD);
    std::fs::create_dir_all(place.options.cursor.parent().unwrap()).unwrap();
    std::fs::write(&place.options.cursor, "rubbish").unwrap();
    let running = place.start();
    running.until("it fails", |status| matches!(&status.state, State::Failed(why) if why.contains("remove it"))).await;
    running.end().await;
    assert_eq!(platform.told().frames.len(), 0);
}
