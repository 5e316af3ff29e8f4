//! What is kept stays: backups of a server at work, restored and held against what it acknowledged; backups that are cut
//! off by `kill -9`; retention and holds. Must not know how any of it is done.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::http;
use crate::program::{Outcome, csv, finish, numbers, run, setting, tongmai};
use crate::served::{Served, wait_for};

/// Bounds so small that segments are written and merged all the time.
const STORE: &str = "[store]\nhot_rows_max = 500\nseal_interval_secs = 1\n";
const SOURCES: usize = 2;
/// Rows of one request.
const ROWS: u64 = 20;

/// What the sources have sent, and what was acknowledged.
#[derive(Default)]
struct Counts {
    sent: [AtomicU64; SOURCES],
    kept: [AtomicU64; SOURCES],
    stop: AtomicBool,
}

impl Counts {
    fn of(counts: &[AtomicU64; SOURCES]) -> [u64; SOURCES] {
        [0, 1].map(|source: usize| counts[source].load(Ordering::SeqCst))
    }

    /// Lets `source` count from where it is, until it is to stop or nobody listens.
    fn speak(&self, address: SocketAddr, source: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            let first = self.kept[source].load(Ordering::SeqCst);
            let line = |number: u64| format!("press,number={source} count={number}i {}\n", 1_767_225_600 + number);
            let lines: String = (first..first + ROWS).map(line).collect();
            self.sent[source].fetch_max(first + ROWS, Ordering::SeqCst);
            match http::try_post(address, "/write?precision=s", "text/plain", &lines) {
                Some((204, _)) => self.kept[source].store(first + ROWS, Ordering::SeqCst),
                Some((status, answer)) => panic!("{status}: {answer}"),
                None => return,
            }
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// Whether the rows in `data` are the first ones of each source, at least `least` and at most `most`.
    #[track_caller]
    fn check(data: &Path, least: [u64; SOURCES], most: [u64; SOURCES]) {
        for source in 0..SOURCES {
            let query = format!(
                "SELECT count(*), coalesce(max(count) + 1, 0), count(DISTINCT count) FROM press \
                 WHERE asset = 'device/press,number={source}'"
            );
            let [rows, next, distinct] = csv(data, &query).lines().nth(1).map_or([0; 3], |row| {
                let numbers: Vec<u64> = row.split(',').map(|number| number.parse::<f64>().unwrap() as u64).collect();
                numbers.try_into().unwrap()
            });
            assert_eq!((rows, distinct), (next, next), "source {source} has a gap, or a row twice");
            assert!((least[source]..=most[source]).contains(&rows), "{least:?} <= {rows} <= {most:?}");
        }
    }
}

struct House {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl House {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tongmai.toml");
        fs::write(&path, config).unwrap();
        Self { folder, config: path }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self) -> Served {
        Served::start(&self.path("data"), &self.config)
    }
}

fn backup_of(served: &Served, name: &str) -> Outcome {
    let url = format!("http://{}", served.address());
    run(&[&"backup", &"--server", &url, &"--to", &name])
}

/// The number before `of which copied`, and the one behind it, in the line `name`.
fn told(summary: &str, name: &str) -> [u64; 2] {
    let line = summary.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{summary}"));
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{summary}"))
}

#[test]
fn a_backup_of_a_server_at_work_is_what_it_had_at_one_moment() {
    let house = House::new(&format!("{STORE}[backup]\ndir = \"backups\"\n"));
    let (served, counts) = (house.serve(), Counts::default());
    let (address, counts) = (served.address(), &counts);
    thread::scope(|scope| {
        for source in 0..SOURCES {
            scope.spawn(move || counts.speak(address, source));
        }
        for round in 0..4 {
            thread::sleep(Duration::from_millis(700));
            let least = Counts::of(&counts.kept);
            let summary = backup_of(&served, "nightly").text();
            let most = Counts::of(&counts.sent);
            let [files, files_copied] = told(&summary, "files");
            assert!(round == 0 || files_copied < files, "round {round}: {summary}");
            let restored = house.path(&format!("restored {round}"));
            run(&[&"restore", &house.path("backups/nightly"), &"--to", &restored]).text();
            Counts::check(&restored, least, most);
            Counts::check(&house.path("backups/nightly"), least, most);
        }
        counts.stop.store(true, Ordering::SeqCst);
    });
    assert!(Counts::of(&counts.kept).iter().all(|count| *count > 500), "too few rows to say anything");
    let busy = run(&[&"backup", &"--data", &house.path("data"), &"--to", &house.path("other")]);
    assert!(busy.error().contains("--server"), "{busy:?}");
    let refused = backup_of(&served, "../data");
    assert!(refused.error().contains("is a name"), "{refused:?}");
    for name in ["../data", "", ".", "a/b"] {
        let body = json!({ "name": name }).to_string();
        let answer = http::try_post(address, "/api/v1/backups", "application/json", &body).unwrap();
        assert!(answer.0 == 400 && answer.1.contains("invalid_name"), "{name}: {answer:?}");
    }
    let before = Counts::of(&counts.kept);
    served.stop();
    // The same folder, without the server: what is there is not copied again.
    let summary = run(&[&"backup", &"--data", &house.path("data"), &"--to", &house.path("backups/nightly")]).text();
    assert!(told(&summary, "files")[1] < told(&summary, "files")[0], "{summary}");
    run(&[&"restore", &house.path("backups/nightly"), &"--to", &house.path("last")]).text();
    Counts::check(&house.path("last"), before, before);
}

#[test]
fn a_backup_that_is_killed_leaves_the_one_before_and_is_gone_on_with() {
    let house = House::new(&format!("{STORE}[backup]\ndir = \"backups\"\n"));
    let (counts, backup) = (Counts::default(), house.path("backups/b"));
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let mut least = None;
    for round in 0..setting("TONGMAI_BACKUP_KILLS", 10) {
        let mut served = house.serve();
        let address = served.address();
        thread::scope(|scope| {
            for source in 0..SOURCES {
                let counts = &counts;
                scope.spawn(move || counts.speak(address, source));
            }
            thread::sleep(Duration::from_millis(400));
            let before = Counts::of(&counts.kept);
            let url = format!("http://{address}");
            let asked = tongmai(&[&"backup", &"--server", &url, &"--to", &"b"]).spawn().expect("the program starts");
            thread::sleep(Duration::from_millis(random.random_range(5..120)));
            let said = served.kill();
            assert!(!said.contains("panicked"), "{said}");
            if finish(asked).code == Some(0) {
                least = Some(before);
            }
        });
        let restored = house.path(&format!("restored {round}"));
        let outcome = run(&[&"restore", &backup, &"--to", &restored]);
        match least {
            Some(least) => {
                outcome.text();
                Counts::check(&restored, least, Counts::of(&counts.sent));
            }
            None if outcome.code == Some(0) => Counts::check(&restored, [0; 2], Counts::of(&counts.sent)),
            None => assert!(outcome.error().contains("no backup"), "{outcome:?}"),
        }
    }
    let served = house.serve();
    let kept = Counts::of(&counts.kept);
    backup_of(&served, "b").text();
    run(&[&"restore", &backup, &"--to", &house.path("last")]).text();
    Counts::check(&house.path("last"), kept, Counts::of(&counts.sent));
    served.stop();
}

#[test]
fn a_damaged_backup_is_not_restored_and_says_what_is_damaged() {
    let house = House::new(STORE);
    let (served, counts) = (house.serve(), Counts::default());
    let address = served.address();
    thread::scope(|scope| {
        scope.spawn(|| counts.speak(address, 0));
        wait_for("some rows are kept", || (Counts::of(&counts.kept)[0] > 200).then_some(()));
        counts.stop.store(true, Ordering::SeqCst);
    });
    let refused = backup_of(&served, "b");
    assert!(refused.error().contains("backup.dir"), "{refused:?}");
    let segments = house.path("data/segments/press");
    wait_for("there is a segment", || segments.exists().then_some(()));
    served.stop();
    let (data, backup, target) = (house.path("data"), house.path("backup"), house.path("restored"));
    let nowhere = run(&[&"backup", &"--data", &house.path("nowhere"), &"--to", &backup]);
    assert!(nowhere.error().contains("no Tongmai data directory") && !house.path("nowhere").exists(), "{nowhere:?}");
    run(&[&"backup", &"--data", &data, &"--to", &backup]).text();
    let day = fs::read_dir(backup.join("segments/press")).unwrap().next().unwrap().unwrap().path();
    let segment = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = run(&[&"restore", &backup, &"--to", &target]);
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(refused.error().contains(name) && refused.error().contains("damaged"), "{refused:?}");
    assert!(fs::read_dir(&target).map_or(0, Iterator::count) == 0, "nothing is left of it");
    let occupied = run(&[&"restore", &backup, &"--to", &data]);
    assert!(occupied.error().contains("is not empty"), "{occupied:?}");
}

#[test]
fn what_is_too_old_is_forgotten_and_what_is_held_is_not() {
    let hold = "[[store.holds]]\nname = \"case 7\"\nprofile = \"press\"\nfrom = \"2020-03-01\"\nuntil = \"2020-03-01\"\n\
                reason = \"an accident\"\n";
    let house = House::new(&format!("{STORE}[[store.retention]]\nage_days_max = 400\n{hold}"));
    let served = house.serve();
    let days = ["2020-02-28", "2020-03-01", "2020-03-02"];
    let seconds = [1_582_848_000_u64, 1_583_020_800, 1_583_107_200];
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is right").as_secs();
    let times = seconds.into_iter().chain([now]);
    let lines: String = times.map(|second| format!("press,number=1 count={second}i {second}\n")).collect();
    let (status, answer) = http::try_post(served.address(), "/write?precision=s", "text/plain", &lines).unwrap();
    assert_eq!(status, 204, "{answer}");
    let all = "SELECT count(*) FROM press";
    wait_for("the old rows are forgotten", || (http::sql(served.address(), all)[0][0] == 2).then_some(()));
    let left = http::sql(served.address(), "SELECT CAST(time AS VARCHAR) AS said FROM press ORDER BY said");
    assert!(left[0][0].as_str().unwrap().starts_with(days[1]), "{left:?}");
    served.stop();
    assert_eq!(numbers(&house.path("data"), all), [2]);
}
