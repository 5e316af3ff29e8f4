//! Faults of the disk under load, from seeds: full, failed sync, short write, flipped bits, failed names, power cuts. What
//! was acknowledged is there afterwards, once; what a lying disk took is named; whatever failed said so.
//! `TONGMAI_FAULTS` says how many scenarios are run, `TONGMAI_SEED` where they begin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType};
use model::{
    Batch, Changes, Column, FrameException, Frames, Observation, Profile, Quality, Shape, Signal, Timestamp, Value,
    ValueKind,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use store::{Loss, Plan, Store, StoreOptions, SubmitError};

use crate::faulty::{Fault, FaultyDisk, Happened, Lie, Random, files};
use crate::press::wait;

/// Asset and second; of presses, also the signal.
type Key = (&'static str, u8, u8, i64);

const PRESSES: u8 = 4;
const VANS: u8 = 5;
const STEPS: u64 = 45;

fn press() -> Arc<Profile> {
    let signals = vec![Signal::new("force", "x:F", ValueKind::Number), Signal::new("part", "x:P", ValueKind::Text)];
    Arc::new(Profile::new("press", Shape::Changes, signals).unwrap())
}

fn van() -> Arc<Profile> {
    let signals = vec![
        Signal::new("speed", "x:SPEED", ValueKind::Integer),
        Signal::new("load", "x:LOAD", ValueKind::Number),
        Signal::new("state", "x:STATE", ValueKind::Text),
    ];
    Arc::new(Profile::new("van", Shape::Frames, signals).unwrap())
}

/// What is said at a key is always the same, so that a repeat is a repeat.
fn number(key: Key) -> i64 {
    i64::from(key.1) * 100_000 + i64::from(key.2) * 10_000 + key.3
}

fn changes(profile: &Arc<Profile>, received: i64, keys: &[Key]) -> Arc<Batch> {
    let mut changes = Changes::default();
    for key in keys {
        let asset = changes.intern(&format!("machine/p{}", key.1).parse().unwrap());
        let number = number(*key);
        let value =
            if key.2 == 0 { Value::Number(number as f64 / 10.0) } else { Value::Text(number.to_string().into()) };
        let time = Timestamp::from_millis(key.3 * 1_000);
        let signal = u16::from(key.2);
        changes.push(asset, Observation { signal, time, sequence: 0, quality: Quality::Good, value, statistic: None });
    }
    Arc::new(Batch::changes(Arc::clone(profile), Timestamp::from_millis(received), changes))
}

fn frames(profile: &Arc<Profile>, received: i64, keys: &[Key]) -> Arc<Batch> {
    let is_faulty = |key: &Key| key.3 % 17 == 0;
    let numbers = || keys.iter().map(|key| number(*key));
    let frames = Frames {
        assets: (0..VANS).map(|van| format!("vehicle/V{van}").parse().unwrap()).collect(),
        asset: keys.iter().map(|key| u16::from(key.1)).collect(),
        time: keys.iter().map(|key| Timestamp::from_millis(key.3 * 1_000)).collect(),
        sequence: vec![0; keys.len()],
        columns: vec![
            Column::Integers(numbers().map(Some).collect()),
            Column::Numbers(
                numbers().zip(keys).map(|(number, key)| (!is_faulty(key)).then_some(number as f64 / 4.0)).collect(),
            ),
            Column::Texts(numbers().map(|number| Some(number.to_string().into())).collect()),
        ],
        exceptions: (0..)
            .zip(keys)
            .filter(|(_, key)| is_faulty(key))
            .map(|(row, _)| FrameException { row, signal: 1, element: None, quality: Quality::Invalid })
            .collect(),
    };
    Arc::new(Batch::frames(Arc::clone(profile), Timestamp::from_millis(received), frames))
}

/// What a store holds: keys, and for each whether its values are whole.
type Held = BTreeMap<Key, bool>;

fn take(rows: &RecordBatch, profile: &str, held: &mut Held) {
    let texts = |name: &str| {
        let texts = cast(rows.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    let numbers = |name: &str| cast(rows.column_by_name(name).unwrap(), &DataType::Float64).unwrap();
    let times = rows.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
    let assets = texts("asset");
    for (row, asset) in assets.iter().enumerate() {
        let asset = asset.as_deref().unwrap();
        let number_of = |prefix: &str| asset.strip_prefix(prefix).unwrap().parse().unwrap();
        let second = times.value(row) / 1_000_000_000;
        let (key, is_whole) = if profile == "press" {
            let signal = u8::from(texts("signal")[row].as_deref() == Some("part"));
            let key = ("press", number_of("machine/p"), signal, second);
            let value = numbers("value");
            let value = value.as_primitive::<Float64Type>();
            let said = if signal == 0 {
                value.is_valid(row).then(|| value.value(row).to_string())
            } else {
                texts("text")[row].clone()
            };
            let expected = if signal == 0 { (number(key) as f64 / 10.0).to_string() } else { number(key).to_string() };
            assert!(said.as_ref().is_none_or(|said| *said == expected), "{key:?} says {said:?}");
            (key, said.is_some())
        } else {
            let key = ("van", number_of("vehicle/V"), 0, second);
            let speed = rows.column_by_name("speed").unwrap().as_primitive::<Int64Type>().clone();
            let load = numbers("load");
            let load = load.as_primitive::<Float64Type>();
            let state = texts("state")[row].clone();
            assert!(speed.is_null(row) || speed.value(row) == number(key), "{key:?}");
            assert!(load.is_null(row) || load.value(row) == number(key) as f64 / 4.0, "{key:?}");
            assert!(state.as_ref().is_none_or(|state| *state == number(key).to_string()), "{key:?}");
            (key, speed.is_valid(row) && state.is_some() && (load.is_valid(row) || second % 17 == 0))
        };
        assert_eq!(held.insert(key, is_whole), None, "{key:?} is there twice");
    }
}

/// All that `store` holds. A segment that does not read is reported, as a server does, and then asked again.
fn held(store: &Store, losses: &mut Vec<Loss>) -> Held {
    'again: loop {
        let (snapshot, mut held) = (store.snapshot(), Held::new());
        for table in &snapshot.tables {
            let profile = table.profile.id();
            table.rows.iter().for_each(|rows| take(rows, profile, &mut held));
            for segment in &table.segments {
                let read = segment.open().map_err(|error| error.to_string()).and_then(|file| {
                    let reader =
                        ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
                    let reader = reader.map_err(|error| error.to_string())?;
                    reader.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
                });
                match read {
                    Ok(rows) => rows.iter().for_each(|rows| take(rows, profile, &mut held)),
                    Err(error) => {
                        let path = segment.path.clone();
                        let salvaged = wait(store.quarantine(&path)).unwrap();
                        losses.extend(salvaged.unwrap_or_else(|| panic!("{error}, and nothing is wrong")).lost);
                        continue 'again;
                    }
                }
            }
        }
        return held;
    }
}

/// What the program told its log, of all scenarios: errors name files, and so the scenario.
fn told() -> &'static Mutex<Vec<String>> {
    static TOLD: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    TOLD.get_or_init(|| {
        let _ = tracing::subscriber::set_global_default(Listener);
        Mutex::default()
    })
}

/// Takes down warnings and errors.
struct Listener;

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        *about.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        told().lock().unwrap_or_else(PoisonError::into_inner).push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// One scenario.
struct Scenario {
    random: Random,
    store: Store,
    profiles: [Arc<Profile>; 2],
    /// What the store said that it has.
    acknowledged: BTreeSet<Key>,
    /// What it refused, and may have all the same.
    refused: BTreeSet<Key>,
    second: i64,
    disk: FaultyDisk,
    /// What stands in records of the log that the disk wrote otherwise than it was told.
    exposed: BTreeSet<Key>,
    /// Log files in which that became of what defines a profile.
    undefined: BTreeSet<(PathBuf, &'static str)>,
    /// What went wrong, in the store's words.
    errors: Vec<String>,
    /// What was found damaged, in the store's words.
    damage: BTreeSet<String>,
}

impl Scenario {
    fn note<T>(&mut self, outcome: Result<T, SubmitError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(error.to_string());
                None
            }
        }
    }

    /// Keys of one profile: new ones, late ones, or ones that were sent before.
    fn keys(&mut self) -> Vec<Key> {
        let is_press = self.random.one_in(2);
        let count = 1 + self.random.below(60);
        let kind = self.random.below(6);
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            let (assets, signals) = if is_press { (PRESSES, 2) } else { (VANS, 1) };
            let (asset, signal) = (self.random.below(assets.into()) as u8, self.random.below(signals) as u8);
            let second = match kind {
                0 => self.random.below(self.second as u64 + 1) as i64,
                1 => (self.second - 3).max(0),
                _ => self.second + self.random.below(20) as i64,
            };
            keys.insert((if is_press { "press" } else { "van" }, asset, signal, second));
        }
        self.second += 15;
        if kind == 2 {
            // What was refused comes again, as sources send it.
            keys.extend(self.refused.iter().filter(|key| (key.0 == "press") == is_press).take(200));
        }
        keys.into_iter().collect()
    }

    fn submit(&mut self, keys: &[Key]) -> bool {
        let received = 1_000_000 + self.second;
        let batch = match keys[0].0 {
            "press" => changes(&self.profiles[0], received, keys),
            _ => frames(&self.profiles[1], received, keys),
        };
        let lies = self.lies().len();
        let outcome = wait(self.store.submit(batch, None));
        self.expose(keys, lies);
        let receipt = self.note(outcome);
        if let Some(receipt) = receipt {
            assert_eq!(receipt.accepted + receipt.duplicates, keys.len() as u64);
            self.refused.retain(|key| !keys.contains(key));
            self.acknowledged.extend(keys);
        } else {
            self.refused.extend(keys.iter().filter(|key| !self.acknowledged.contains(*key)));
        }
        receipt.is_some()
    }

    /// What the disk wrote into the log and was not told.
    fn lies(&self) -> Vec<Happened> {
        let is_log = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("log"));
        self.disk.happened().into_iter().filter(|happened| happened.lie.is_some() && is_log(&happened.path)).collect()
    }

    /// Notes whether the record of `keys`, which has just been written, can be read: not if the disk lied of it, and not if it
    /// lied of what defines its profile in that file. `before` counts the lies before.
    fn expose(&mut self, keys: &[Key], before: usize) {
        let profile = keys[0].0;
        for lie in self.lies().into_iter().skip(before) {
            self.exposed.extend(keys);
            if let Some(Lie { told, .. }) = &lie.lie
                && String::from_utf8_lossy(told).contains(&format!("\"id\":\"{profile}\""))
            {
                self.undefined.insert((lie.path, profile));
            }
        }
        if self.disk.last_log().is_some_and(|log| self.undefined.contains(&(log, profile))) {
            self.exposed.extend(keys);
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 => {
                let sealed = wait(self.store.seal());
                self.note(sealed);
            }
            1 => {
                let compacted = wait(self.store.compact());
                self.note(compacted);
            }
            2 => {
                let now = Timestamp::from_millis(self.random.below(2) as i64 * 200_000_000_000);
                let maintained = wait(self.store.maintain(now, Plan::default()));
                self.note(maintained);
            }
            3 => drop(self.store.current(None)),
            _ => {
                let keys = self.keys();
                self.submit(&keys);
            }
        }
        let stats = self.store.stats();
        self.errors.extend(stats.trouble.map(|reason| reason.to_string()));
        self.damage.extend(stats.damage.map(|damage| damage.to_string()));
    }
}

fn plan(random: &mut Random, disk_lies: bool) -> Vec<(u64, Fault)> {
    let count = 1 + random.below(4);
    let mut planned: Vec<_> = (0..count)
        .map(|_| {
            let fault = match random.below(if disk_lies { 8 } else { 6 }) {
                0 => Fault::Full { operations: 1 + random.below(40) },
                1 => Fault::ShortWrite,
                2 => Fault::Sync,
                3 => Fault::Rename,
                4 => Fault::Remove,
                5 => Fault::FolderSync,
                6 => Fault::Flip,
                _ => Fault::Scribble,
            };
            (10 + random.below(200), fault)
        })
        .collect();
    planned.sort_by_key(|(at, _)| *at);
    planned
}

/// Opens a store, again where the disk fails at that already; what it says then is an error as well.
fn open(dir: &Path, disk: &FaultyDisk, errors: &mut Vec<String>) -> Store {
    for _ in 0..100 {
        let options = StoreOptions { hot_rows_max: 300, log_bytes_max: 20_000, ..StoreOptions::new(dir) };
        match Store::open(options, Arc::new(disk.clone())) {
            Ok((store, _)) => return store,
            Err(error) => errors.push(format!("{error:?}")),
        }
    }
    panic!("it cannot be opened: {errors:?}");
}

/// One scenario; gives the faults that happened in it.
fn run(seed: u64) -> Vec<Fault> {
    told();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut random = Random(seed);
    // In half of the scenarios the disk also lies.
    let disk_lies = seed % 2 == 1;
    let disk = FaultyDisk::new(seed, plan(&mut random, disk_lies));
    let cut_after = random.one_in(2).then(|| random.below(STEPS));
    let (acknowledged, refused, mut errors) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let store = open(dir, &disk, &mut errors);
    let profiles = [press(), van()];
    let (exposed, undefined, damage) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let disk_of = disk.clone();
    let mut scenario = Scenario {
        random,
        store,
        profiles,
        acknowledged,
        refused,
        second: 1,
        disk: disk_of,
        exposed,
        undefined,
        errors,
        damage,
    };
    for step in 0..STEPS {
        scenario.step();
        if cut_after == Some(step) {
            // While something is under way.
            disk.cut();
            let keys = scenario.keys();
            assert!(!scenario.submit(&keys), "nothing is acknowledged without power");
            break;
        }
    }
    let Scenario { store, mut acknowledged, mut refused, errors, profiles, exposed, mut damage, .. } = scenario;
    store.close();
    let lied = disk.happened().iter().any(|happened| happened.fault.is_silent());
    if cut_after.is_some() {
        disk.restore(dir);
    }

    let report = store::verify(dir).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    assert!(lied || report.damages().next().is_none(), "seed {seed}: {:?}", report.findings);
    check_named(seed, dir, &disk, &errors, &report);
    check_lies(seed, dir, &disk, &report);
    damage.extend(written_down(dir));
    let calm = FaultyDisk::new(seed, Vec::new());
    let mut refusals = Vec::new();
    let store = open(dir, &calm, &mut refusals);
    assert_eq!(refusals, [""; 0], "seed {seed}");
    let mut losses: Vec<Loss> = report.damages().flat_map(|damage| damage.affected.clone()).collect();
    let found = held(&store, &mut losses);
    let excuses = Excuses { lied, exposed, log_is_named: names_the_log(&report), losses: &losses, damage: &damage };
    check_held(seed, &found, &acknowledged, &refused, &excuses);

    // All of it is sent again, as by sources that were not told: nothing is doubled.
    let all: BTreeSet<Key> = acknowledged.union(&refused).copied().collect();
    let (presses, vans): (Vec<Key>, Vec<Key>) = all.iter().partition(|key| key.0 == "press");
    wait(store.submit(changes(&profiles[0], 9_000_000, &presses), None)).unwrap();
    wait(store.submit(frames(&profiles[1], 9_000_000, &vans), None)).unwrap();
    (acknowledged, refused) = (all, BTreeSet::new());
    for round in 0..2 {
        let found = held(&store, &mut losses);
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), acknowledged, "seed {seed}, round {round}");
        assert!(refused.is_empty());
        wait(store.compact()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    store.close();
    let repaired = wait(store::repair(dir, Arc::new(calm))).unwrap();
    assert_eq!(repaired.left.damages().count(), 0, "seed {seed}: {:?}", repaired.left.findings);
    let strays: Vec<_> =
        files(dir).into_iter().filter(|path| path.extension().is_some_and(|end| end == "tmp")).collect();
    assert_eq!(strays, [""; 0].map(PathBuf::from), "seed {seed}: nothing unfinished is left");
    disk.happened().into_iter().map(|happened| happened.fault).collect()
}

/// Whatever failed said so: each fault by itself, in what a call answered or in what the program told its log.
fn check_named(seed: u64, dir: &Path, disk: &FaultyDisk, errors: &[String], report: &store::Report) {
    let told = told().lock().unwrap_or_else(PoisonError::into_inner);
    for Happened { fault, path, tag, .. } in disk.happened().into_iter().filter(|happened| !happened.fault.is_silent())
    {
        let is_named = errors.iter().chain(told.iter()).any(|line| line.contains(&tag));
        // A file that stays though it counts for nothing is removed at the next start; whoever looks meanwhile sees what it is.
        let file = path.strip_prefix(dir).unwrap();
        let is_seen = report.findings.iter().any(|finding| finding.file == file);
        let is_left = fault == Fault::Remove && (!path.exists() || is_seen);
        assert!(is_named || is_left, "seed {seed}: {fault:?} at {} was kept quiet", path.display());
    }
}

/// What the disk wrote and was not told is named, if it is still there in a file that counts.
fn check_lies(seed: u64, dir: &Path, disk: &FaultyDisk, report: &store::Report) {
    let counting = counting(dir);
    for Happened { fault, path, lie, .. } in disk.happened() {
        let Some(lie) = lie.filter(|lie| lie.is_in(&path)) else { continue };
        let file = path.strip_prefix(dir).unwrap();
        let is_named = report.findings.iter().any(|finding| finding.file == file);
        assert!(
            is_named || !counting(file),
            "seed {seed}: {fault:?} of {} at {} is not named: {:?}",
            lie.written.len(),
            path.display(),
            report.findings
        );
    }
}

/// Tells whether a file counts, as the manifest has it.
fn counting(dir: &Path) -> impl Fn(&Path) -> bool {
    let read = |name: &str| serde_json::from_slice::<serde_json::Value>(&std::fs::read(dir.join(name)).ok()?).ok();
    let manifest = read("manifest.json").or_else(|| read("manifest.copy.json")).unwrap();
    let text = manifest.to_string();
    let log_first = manifest["log_first"].as_u64().unwrap();
    move |file| {
        let is_log = file.starts_with("log");
        let number = file.file_stem().and_then(|name| name.to_str()?.parse().ok());
        let retired = manifest["retired"].to_string().contains(file.to_str().unwrap());
        match number {
            Some(number) if is_log => log_first <= number,
            _ => !retired && (file.starts_with("manifest") || text.contains(file.to_str().unwrap())),
        }
    }
}

/// Whether `report` names records of the log, or what was put aside of it.
fn names_the_log(report: &store::Report) -> bool {
    report.findings.iter().any(|finding| finding.file.starts_with("log"))
}

/// What was written down beside damaged files.
fn written_down(dir: &Path) -> impl Iterator<Item = String> {
    let texts = files(&dir.join("quarantine")).into_iter();
    texts
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .filter_map(|path| std::fs::read_to_string(path).ok())
}

/// Why something that was acknowledged may be missing.
struct Excuses<'a> {
    lied: bool,
    /// What stood in records of the log that the disk wrote otherwise than it was told.
    exposed: BTreeSet<Key>,
    /// Whether somebody says that records of the log are lost.
    log_is_named: bool,
    /// What was said to be lost of segments.
    losses: &'a [Loss],
    /// The same, in words, of segments that were put aside earlier.
    damage: &'a BTreeSet<String>,
}

impl Excuses<'_> {
    /// Whether a segment is said to have lost the row of `key`, or only some of it.
    fn names(&self, key: Key, is_some_there: bool) -> bool {
        let time = Timestamp::from_millis(key.3 * 1_000);
        let named =
            |loss: &Loss| (loss.time_min..=loss.time_max).contains(&time) && (is_some_there != loss.columns.is_empty());
        let said = |damage: &String| {
            let lost = damage.split_once("; lost: ").map_or("", |(_, lost)| lost);
            damage.contains(key.0) && lost.split("; ").any(|loss| is_said(loss.trim(), time, is_some_there))
        };
        self.losses.iter().any(named) || self.damage.iter().any(said)
    }
}

/// Whether the words of a loss concern `time`: "7 rows of … between … and …", "speed of 7 rows …".
fn is_said(loss: &str, time: Timestamp, is_some_there: bool) -> bool {
    let Some((before, (first, last))) =
        loss.rsplit_once(" between ").and_then(|(before, span)| Some((before, span.split_once(" and ")?)))
    else {
        return false;
    };
    let is_whole_rows = before.starts_with(|first: char| first.is_ascii_digit());
    let [first, last] = [first, last].map(|time| time.parse::<Timestamp>().unwrap());
    (first..=last).contains(&time) && is_some_there != is_whole_rows
}

fn check_held(seed: u64, found: &Held, acknowledged: &BTreeSet<Key>, refused: &BTreeSet<Key>, excuses: &Excuses<'_>) {
    for key in found.keys() {
        assert!(acknowledged.contains(key) || refused.contains(key), "seed {seed}: nobody said {key:?}");
    }
    for key in acknowledged {
        let is_whole = found.get(key).copied();
        if is_whole == Some(true) {
            continue;
        }
        assert!(excuses.lied, "seed {seed}: {key:?} was acknowledged, and is {is_whole:?}");
        let of_log = is_whole.is_none() && excuses.exposed.contains(key) && excuses.log_is_named;
        let named = of_log || excuses.names(*key, is_whole.is_some());
        assert!(named, "seed {seed}: {key:?} is {is_whole:?}, and nobody says so: {:?}", excuses.damage);
    }
}

#[test]
fn whatever_the_disk_does_nothing_acknowledged_is_lost_or_doubled() {
    let setting = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (first, count) = (setting("TONGMAI_SEED", 1), setting("TONGMAI_FAULTS", 24));
    let happened: Vec<Fault> = (first..first + count).flat_map(run).collect();
    for (name, is) in [
        ("full disk", (|fault| matches!(fault, Fault::Full { .. })) as fn(&Fault) -> bool),
        ("short write", |fault| *fault == Fault::ShortWrite),
        ("failed sync", |fault| *fault == Fault::Sync),
        ("failed rename", |fault| *fault == Fault::Rename),
        ("failed remove", |fault| *fault == Fault::Remove),
        ("failed folder sync", |fault| *fault == Fault::FolderSync),
        ("flipped bit", |fault| *fault == Fault::Flip),
        ("overwritten bytes", |fault| *fault == Fault::Scribble),
    ] {
        assert!(count < 24 || happened.iter().any(is), "no {name} in {count} scenarios from {first} on: {happened:?}");
    }
}

/// All files that count, or might be taken to.
fn segments_in(dir: &Path) -> usize {
    files(&dir.join("segments")).len() + files(&dir.join("rollups")).len()
}

#[test]
fn a_disk_that_takes_nothing_for_a_while_refuses_and_questions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(1, Vec::new());
    let store = open(dir.path(), &disk, &mut Vec::new());
    let press = press();
    let submit = |second| wait(store.submit(changes(&press, 1_000_000, &[("press", 1, 0, second)]), None));
    for second in 0..2 {
        submit(second).unwrap();
        wait(store.seal()).unwrap();
    }
    submit(2).unwrap();
    disk.cut();
    for _ in 0..2 {
        assert!(matches!(submit(3), Err(SubmitError::Refused(reason)) if reason.contains("failed to write the log")));
        assert!(matches!(wait(store.seal()), Err(SubmitError::Refused(_))));
        assert!(matches!(wait(store.compact()), Err(SubmitError::Refused(_))));
        assert!(store.stats().trouble.is_some());
        assert_eq!((held(&store, &mut Vec::new()).len(), store.current(None).len()), (3, 1));
    }
    disk.resume();
    submit(3).unwrap();
    wait(store.seal()).unwrap();
    wait(store.compact()).unwrap();
    assert_eq!((store.stats().trouble, segments_in(dir.path())), (None, 1), "nothing is left of what failed");
    assert_eq!(held(&store, &mut Vec::new()).len(), 4);
    store.close();
}

#[test]
fn merging_does_not_take_the_room_that_the_log_needs() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(1, Vec::new());
    let store = open(dir.path(), &disk, &mut Vec::new());
    let press = press();
    for second in 0..3 {
        wait(store.submit(changes(&press, 1_000_000, &[("press", 1, 0, second)]), None)).unwrap();
        wait(store.seal()).unwrap();
    }
    disk.set_free_bytes(Some(1_000));
    let error = wait(store.compact()).unwrap_err().to_string();
    assert!(error.contains("too little room to merge segments: 1000 bytes are free"), "{error}");
    assert_eq!((store.stats().trouble.as_deref(), segments_in(dir.path())), (Some(error.as_str()), 3));
    disk.set_free_bytes(None);
    wait(store.compact()).unwrap();
    assert_eq!((store.stats().trouble, segments_in(dir.path())), (None, 1));
    assert_eq!(held(&store, &mut Vec::new()).len(), 3);
    store.close();
}
