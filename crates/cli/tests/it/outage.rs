//! The outage drill with processes: a city's server takes what simulated vehicles say and forwards it to a region's, which is away
//! while the city's is killed again and again. Then it comes, is killed itself, and in the end both hold the same.
//! `TONGMAI_OUTAGE_DAYS` says how long the vehicles' story is. Must not know how it is kept how far was forwarded.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::forwarding::House;
use crate::http;
use crate::program::{run, setting};
use crate::served::Served;

/// Vehicles of both editions.
const VEHICLES: u32 = 8;
/// Kills of the city's server while the region's is away, and afterwards.
const KILLS: (u32, u32) = (10, 3);
/// How long it may take until all is forwarded, for each report: far more than it needs.
const PATIENCE: Duration = Duration::from_millis(20);
/// Where a frame tells its command, its vehicle, and how long its data unit is.
const HEADER_BYTES: usize = 24;
const LOGIN: u8 = 1;

/// What one vehicle says, in its order.
struct Story {
    frames: Vec<Vec<u8>>,
    /// What was answered.
    told: usize,
}

/// The stories of a fleet of `days` days, as the program makes them.
fn stories(folder: &Path, days: f64) -> Vec<Story> {
    let file = folder.join("frames.bin");
    let (count, seconds) = (VEHICLES.to_string(), ((days * 86_400.0) as u32).to_string());
    let from = "2026-07-06T00:00:00+08:00";
    run(&[&"sim", &"vehicles", &"--count", &count, &"--seconds", &seconds, &"--from", &from, &"--out", &file]).text();
    let mut stories: Vec<Story> = Vec::new();
    let mut vins: Vec<Vec<u8>> = Vec::new();
    let bytes = fs::read(&file).unwrap();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let length = HEADER_BYTES + usize::from(u16::from_be_bytes([rest[22], rest[23]])) + 1;
        let (frame, after) = rest.split_at(length);
        rest = after;
        let vin = &frame[4..21];
        let place = vins.iter().position(|known| known == vin).unwrap_or_else(|| {
            vins.push(vin.to_vec());
            stories.push(Story { frames: Vec::new(), told: 0 });
            stories.len() - 1
        });
        stories[place].frames.push(frame.to_vec());
    }
    assert_eq!(stories.len(), VEHICLES as usize);
    stories
}

/// Sends `frame`; whether it was answered, which is with ok.
fn is_answered(stream: &mut TcpStream, frame: &[u8]) -> bool {
    let mut header = [0; HEADER_BYTES];
    if stream.write_all(frame).and_then(|()| stream.read_exact(&mut header)).is_err() {
        return false;
    }
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[22], header[23]])) + 1];
    if stream.read_exact(&mut rest).is_err() {
        return false;
    }
    assert_eq!((header[2], header[3]), (frame[2], 1), "it is answered with ok");
    true
}

impl Story {
    /// A connection that begins with the login that what comes next belongs to.
    fn connect(&self, platform: SocketAddr) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(platform).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.set_nodelay(true).ok()?;
        let login =
            self.frames[..=self.told].iter().rfind(|frame| frame[2] == LOGIN).expect("a story begins with a login");
        is_answered(&mut stream, login).then_some(stream)
    }

    /// Tells the rest of it, until it is `over`.
    fn tell(&mut self, platform: SocketAddr, said: &AtomicUsize, over: &AtomicBool) {
        let mut stream = None;
        while self.told < self.frames.len() && !over.load(Ordering::Relaxed) {
            let Some(open) = &mut stream else {
                stream = self.connect(platform);
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            if is_answered(open, &self.frames[self.told]) {
                self.told += 1;
                said.fetch_add(1, Ordering::Relaxed);
            } else {
                stream = None;
            }
        }
    }
}

/// All tell their stories at once, until the server `here` is killed when `enough` frames of all lives have been answered.
fn live(stories: &mut [Story], platform: SocketAddr, said: &AtomicUsize, enough: usize, here: &mut Served) {
    let over = AtomicBool::new(false);
    let log = thread::scope(|scope| {
        let over = &over;
        let telling: Vec<_> =
            stories.iter_mut().map(|story| scope.spawn(move || story.tell(platform, said, over))).collect();
        while said.load(Ordering::Relaxed) < enough && !telling.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(1));
        }
        let log = here.kill();
        over.store(true, Ordering::Relaxed);
        log
    });
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

/// The days of all vehicles that reported, with how many rows each has.
fn days(served: &Served) -> Vec<Vec<Value>> {
    let query = "SELECT asset, CAST(date_trunc('day', time) AS VARCHAR) AS day, count(*) FROM vehicle GROUP BY 1, 2 ORDER BY 1, 2";
    http::sql(served.address(), query)
}

fn rows(days: &[Vec<Value>]) -> u64 {
    days.iter().filter_map(|day| day[2].as_u64()).sum()
}

/// What a server has of the reports for which `condition` holds: everything but when they came in, and
/// in which order those of one time did.
pub(crate) fn held(served: &Served, condition: &str) -> Vec<Vec<Value>> {
    let columns = "asset, time, report_blocks, report_edition, report_other, vehicle_speed, vehicle_current, \
                   position_latitude, cell_voltage, exceptions";
    let query = format!("SELECT {columns} FROM vehicle WHERE {condition} ORDER BY asset, time, report_blocks");
    http::sql(served.address(), &query)
}

/// How the one upstream is doing.
pub(crate) fn forward(served: &Served) -> Value {
    let (status, body) = http::get(served.address(), "/api/v1/forwards");
    assert_eq!(status, 200, "{body}");
    body["forwards"][0].clone()
}

#[test]
fn after_an_outage_and_many_kills_the_upstream_holds_exactly_what_we_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut stories = stories(folder.path(), setting("TONGMAI_OUTAGE_DAYS", 0.5));
    let platform = "[[gateways.platforms]]\nuser = \"city\"\npassword = \"a-long-one\"\n";
    let region = House::new(folder.path(), "region", platform);
    let upstream = format!(
        "[[forwards]]\nkind = \"gbt32960\"\nname = \"region\"\naddress = \"{}\"\nedition = 2025\ntakes_2016 = true\n\
         user = \"city\"\npassword = \"a-long-one\"\nbegin = \"oldest\"\n",
        region.vehicles
    );
    let city = House::new(folder.path(), "city", &upstream);
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let (all, said) = (stories.iter().map(|story| story.frames.len()).sum::<usize>(), AtomicUsize::new(0));
    let (away, afterwards) = KILLS;
    let mut there: Option<Served> = None;
    for kill in 0..away + afterwards {
        if kill == away + 1 {
            there.take().map(|mut served| served.kill());
        }
        if kill >= away && there.is_none() {
            there = Some(region.serve());
        }
        let share = (f64::from(kill) + random.random_range(0.1..1.0)) / f64::from(away + afterwards);
        live(&mut stories, city.vehicles, &said, (share * all as f64) as usize, &mut city.serve());
    }
    let (here, there) = (city.serve(), there.expect("it was started"));
    thread::scope(|scope| {
        for story in &mut stories {
            scope.spawn(|| story.tell(city.vehicles, &said, &AtomicBool::new(false)));
        }
    });
    let ours = days(&here);
    let reports = rows(&ours);
    let told = stories.iter().flat_map(|story| &story.frames).filter(|frame| matches!(frame[2], 2 | 3)).count();
    assert_eq!(reports, told as u64, "each report is one row");
    let deadline = Instant::now() + Duration::from_secs(60) + PATIENCE * told as u32;
    while rows(&days(&there)) < reports || forward(&here)["lag_rows"] != 0 {
        assert!(Instant::now() < deadline, "all is forwarded: {}", forward(&here));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(days(&there), ours);
    for day in &ours {
        let (asset, day) = (day[0].as_str().unwrap(), day[1].as_str().unwrap());
        let of_day = format!("asset = '{asset}' AND date_trunc('day', time) = TIMESTAMP '{day}'");
        let (theirs, ours) = (held(&there, &of_day), held(&here, &of_day));
        assert_eq!(theirs.len(), ours.len(), "{of_day}");
        theirs.iter().zip(&ours).for_each(|(theirs, ours)| assert_eq!(theirs, ours, "{of_day}"));
    }
    let status = forward(&here);
    assert_eq!((&status["state"], &status["refused"]), (&"connected".into(), &0.into()), "{status}");
    let (others, kills) = (all - told, away + afterwards + 1);
    let said = format!("{reports} reports and {others} other frames of {VEHICLES} vehicles, {kills} kills: {status}");
    let _ = writeln!(std::io::stdout(), "{said}");
    here.stop();
    there.stop();
}
