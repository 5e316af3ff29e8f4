//! Frames of a fleet: each is kept once, whatever the order and the batches, and what came last is known, whatever
//! happens in between; memory and log have a bound.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType, UInt32Type};
use model::{
    AssetId, Batch, Column, FrameException, Frames, Profile, Quality, Shape, Signal, Timestamp, Value, ValueKind,
};
use proptest::prelude::*;
use store::{Receipt, Store, StoreOptions, SubmitError, SystemDisk};

use crate::press::{self, chunks, open, profile, submit, wait};

/// Vehicle, second, sequence.
type Key = (u8, i64, u32);

/// What a frame says of speed, load and note, and what the quality of the speed is.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    speed: Option<i64>,
    load: Option<f64>,
    note: Option<String>,
    quality: Quality,
}

impl Said {
    fn speed(speed: i64) -> Self {
        Self { speed: Some(speed), load: None, note: None, quality: Quality::Good }
    }

    /// What is said at `key`: always the same, with gaps.
    fn at((vehicle, second, sequence): Key) -> Self {
        let number = i64::from(vehicle) * 10_000 + second * 100 + i64::from(sequence);
        Self {
            speed: (number % 3 != 0).then_some(number * 7),
            load: (number % 4 != 0).then_some(if number % 5 == 0 { f64::NAN } else { number as f64 / 8.0 }),
            note: (number % 7 == 0).then(|| format!("note {number}")),
            quality: Quality::ALL[usize::from(number % 6 == 0)],
        }
    }
}

fn car() -> Arc<Profile> {
    let signals = [("speed", ValueKind::Integer), ("load", ValueKind::Number), ("note", ValueKind::Text)];
    let signals = signals.map(|(id, kind)| Signal::new(id, "x:Y", kind));
    Arc::new(Profile::new("car", Shape::Frames, signals.into()).unwrap())
}

fn vehicle(number: u8) -> AssetId {
    format!("vehicle/V{number}").parse().unwrap()
}

/// All frames come in a thousand seconds after the epoch.
fn batch(car: &Arc<Profile>, rows: &[(Key, Said)]) -> Arc<Batch> {
    let mut assets: Vec<AssetId> = rows.iter().map(|((number, ..), _)| vehicle(*number)).collect();
    // As senders may do it: not in order, and now and then one twice.
    assets.dedup();
    let place = |number: u8| assets.iter().rposition(|asset| *asset == vehicle(number)).unwrap() as u16;
    let exceptions = (0..).zip(rows).filter(|(_, (_, said))| said.quality != Quality::Good);
    let frames = Frames {
        asset: rows.iter().map(|((number, ..), _)| place(*number)).collect(),
        time: rows.iter().map(|((_, second, _), _)| Timestamp::from_millis(second * 1_000)).collect(),
        sequence: rows.iter().map(|((.., sequence), _)| *sequence).collect(),
        columns: vec![
            Column::Integers(rows.iter().map(|(_, said)| said.speed).collect()),
            Column::Numbers(rows.iter().map(|(_, said)| said.load).collect()),
            Column::Texts(rows.iter().map(|(_, said)| said.note.as_deref().map(Into::into)).collect()),
        ],
        exceptions: exceptions
            .map(|(row, (_, said))| FrameException { row, signal: 0, element: None, quality: said.quality })
            .collect(),
        assets,
    };
    Arc::new(Batch::frames(Arc::clone(car), Timestamp::from_millis(1_000_000), frames))
}

/// All frames of the store, as texts, since no number equals no number.
fn kept(store: &Store) -> Vec<(Key, String)> {
    let mut kept = Vec::new();
    for chunk in chunks(&store.snapshot(), "car") {
        let column = |name: &str| chunk.column_by_name(name).unwrap();
        let texts = arrow::compute::cast(column("asset"), &DataType::Utf8).unwrap();
        let times = column("time").as_primitive::<TimestampNanosecondType>();
        let sequences = column("sequence").as_primitive::<UInt32Type>();
        let speeds = column("speed").as_primitive::<Int64Type>();
        let loads = arrow::compute::cast(column("load"), &DataType::Float64).unwrap();
        let loads = loads.as_primitive::<Float64Type>();
        let notes = column("note").as_string::<i32>();
        let exceptions = column("exceptions").as_list::<i32>();
        for row in 0..chunk.num_rows() {
            let number = texts.as_string::<i32>().value(row).strip_prefix("vehicle/V").unwrap().parse().unwrap();
            let is_bad = exceptions.is_valid(row);
            let said = Said {
                speed: speeds.is_valid(row).then(|| speeds.value(row)),
                load: loads.is_valid(row).then(|| loads.value(row)),
                note: notes.is_valid(row).then(|| notes.value(row).to_owned()),
                quality: Quality::ALL[usize::from(is_bad)],
            };
            kept.push(((number, times.value(row) / 1_000_000_000, sequences.value(row)), format!("{said:?}")));
        }
    }
    kept.sort();
    kept
}

/// The latest values as texts: vehicle, signal, second, sequence, quality, value.
fn current(store: &Store) -> Vec<String> {
    let current = store.current(None).into_iter().map(|latest| {
        let said = latest.observation;
        let second = said.time.millis() / 1_000;
        let (signal, sequence, quality, value) = (said.signal, said.sequence, said.quality, said.value);
        format!("{} {signal} {second} {sequence} {quality:?} {value:?}", latest.asset)
    });
    let mut current: Vec<String> = current.collect();
    current.sort();
    current
}

/// What `current` has to be when `frames` are kept.
fn newest(frames: &BTreeMap<Key, Said>) -> Vec<String> {
    let mut newest: BTreeMap<(u8, u16), String> = BTreeMap::new();
    for ((number, second, sequence), said) in frames {
        let values = [
            said.speed.map(Value::Integer).or((said.quality != Quality::Good).then_some(Value::Absent)),
            said.load.map(Value::Number),
            said.note.as_deref().map(|note| Value::Text(note.into())),
        ];
        for (signal, value) in (0..).zip(values) {
            let quality = if signal == 0 { said.quality } else { Quality::Good };
            if let Some(value) = value {
                let text = format!("{} {signal} {second} {sequence} {quality:?} {value:?}", vehicle(*number));
                newest.insert((*number, signal), text);
            }
        }
    }
    let mut newest: Vec<String> = newest.into_values().collect();
    newest.sort();
    newest
}

#[derive(Debug, Clone)]
enum Step {
    Submit(Vec<Key>),
    Seal,
    Compact,
    Reopen,
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let key = (0..4_u8, 0..9_i64, 0..2_u32);
    prop_oneof![
        8 => proptest::collection::vec(key, 1..40).prop_map(Step::Submit),
        2 => Just(Step::Look),
        1 => Just(Step::Seal),
        1 => Just(Step::Compact),
        2 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_frame_is_kept_once_and_the_newest_are_known(steps in proptest::collection::vec(step(), 1..16)) {
        let dir = tempfile::tempdir().unwrap();
        let car = car();
        let mut store = open(dir.path());
        let mut expected: BTreeMap<Key, Said> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Submit(keys) => {
                    let sent: Vec<(Key, Said)> = keys.iter().map(|key| (*key, Said::at(*key))).collect();
                    let before = expected.len() as u64;
                    expected.extend(sent.iter().cloned());
                    let receipt = submit(&store, batch(&car, &sent)).unwrap();
                    prop_assert_eq!(receipt.accepted, expected.len() as u64 - before);
                    prop_assert_eq!(receipt.accepted + receipt.duplicates, keys.len() as u64);
                }
                Step::Seal => wait(store.seal()).unwrap(),
                Step::Compact => wait(store.compact()).unwrap(),
                Step::Look => drop(store.snapshot()),
                Step::Reopen => {
                    store.close();
                    store = open(dir.path());
                }
            }
            prop_assert_eq!(current(&store), newest(&expected));
        }
        let expected: Vec<(Key, String)> = expected.iter().map(|(key, said)| (*key, format!("{said:?}"))).collect();
        prop_assert_eq!(kept(&store), expected);
        store.close();
    }

    /// Frames that contradict one another: the outcome hangs on their order, and on nothing else.
    #[test]
    fn contradictions_are_kept_alike_however_they_are_batched(
        said in proptest::collection::vec((0..2_u8, 0..3_i64, 0..2_u32, 0..3_i64, any::<bool>()), 1..24),
        cuts in proptest::collection::vec(0..5_u8, 24),
    ) {
        let car = car();
        let rows: Vec<(Key, Said)> = said
            .iter()
            .map(|(vehicle, second, sequence, speed, has_load)| {
                let load = has_load.then_some(0.5);
                ((*vehicle, *second, *sequence), Said { load, ..Said::speed(*speed) })
            })
            .collect();
        let whole = tempfile::tempdir().unwrap();
        let store = open(whole.path());
        submit(&store, batch(&car, &rows)).unwrap();
        let expected = (kept(&store), current(&store));
        store.close();

        let cut = tempfile::tempdir().unwrap();
        let mut store = open(cut.path());
        for (row, cut_here) in rows.iter().zip(cuts) {
            submit(&store, batch(&car, std::slice::from_ref(row))).unwrap();
            match cut_here {
                0 => wait(store.seal()).unwrap(),
                1 => {
                    store.close();
                    store = open(cut.path());
                }
                _ => {}
            }
        }
        prop_assert_eq!((kept(&store), current(&store)), expected);
        store.close();
    }
}

#[test]
fn a_frame_that_says_something_else_than_the_newest_at_its_time_is_no_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let car = car();
    let note = |note: &str| Said { speed: None, note: Some(note.into()), ..Said::speed(0) };
    let submit_one = |store: &Store, said: Said| submit(store, batch(&car, &[((1, 5, 0), said)])).unwrap().accepted;
    let mut store = open(dir.path());
    // The same key each time; whether it is kept.
    let steps = [
        (Said { load: Some(f64::NAN), ..Said::speed(10) }, 1),
        (Said { load: Some(f64::NAN), ..Said::speed(10) }, 0),
        (Said::speed(10), 0),
        (Said::speed(11), 1),
        (Said::speed(10), 0),
        (Said::speed(11), 0),
        (note("a part that came later"), 1),
        (note("a part that came later"), 0),
        (Said { quality: Quality::Invalid, ..Said::speed(11) }, 1),
        (Said::speed(10), 0),
    ];
    for (round, (said, expected)) in steps.into_iter().enumerate() {
        assert_eq!(submit_one(&store, said.clone()), expected, "round {round}");
        if round % 2 == 0 {
            wait(store.seal()).unwrap();
        }
        store.close();
        store = open(dir.path());
        assert_eq!(submit_one(&store, said), 0, "round {round}, again after a restart");
    }
    let keys: Vec<Key> = kept(&store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [(1, 5, 0), (1, 5, 1), (1, 5, 2), (1, 5, 3)]);
    let speed = store.current(None).into_iter().find(|latest| latest.observation.signal == 0).unwrap();
    assert_eq!(speed.observation.value, Value::Integer(11));
    store.close();
}

#[test]
fn nothing_is_dropped_of_a_frame_that_shares_a_key_with_one_that_says_less() {
    let car = car();
    let load = |load: f64| Said { speed: None, load: Some(load), ..Said::speed(0) };
    for sealed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let later = [((1, 5, 0), Said::speed(1)), ((1, 6, 0), Said::speed(2))];
        assert_eq!(submit(&store, batch(&car, &later)).unwrap().accepted, 2);
        // A retry puts more into the frame than the first attempt did, or something else.
        let both = Said { load: Some(0.5), ..Said::speed(1) };
        let steps = [
            (both.clone(), 1),
            (both, 0),
            (Said::speed(1), 0),
            (load(0.5), 0),
            (load(f64::NAN), 1),
            (load(f64::NAN), 0),
            (Said::speed(3), 1),
            (Said { quality: Quality::Invalid, ..Said::speed(3) }, 1),
            (Said { speed: None, quality: Quality::Invalid, ..Said::speed(3) }, 1),
            (Said::speed(3), 0),
        ];
        for (round, (said, expected)) in steps.iter().enumerate() {
            if sealed {
                wait(store.seal()).unwrap();
                store.close();
                store = open(dir.path());
            }
            let receipt = submit(&store, batch(&car, &[((1, 5, 0), said.clone())])).unwrap();
            assert_eq!(receipt.accepted, *expected, "sealed: {sealed}, round {round}");
        }
        wait(store.compact()).unwrap();
        let again: Vec<_> = steps.iter().map(|(said, _)| ((1, 5, 0), said.clone())).collect();
        assert_eq!(submit(&store, batch(&car, &again)).unwrap().accepted, 0, "all of it once more, in one batch");
        let keys: Vec<Key> = kept(&store).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [(1, 5, 0), (1, 5, 1), (1, 5, 2), (1, 5, 3), (1, 5, 4), (1, 5, 5), (1, 6, 0)]);
        store.close();
    }
}

#[test]
fn a_frame_that_says_nothing_is_kept_once_too() {
    let dir = tempfile::tempdir().unwrap();
    let car = car();
    let nothing = Said { speed: None, ..Said::speed(0) };
    let rows = [((1, 5, 0), Said::speed(1)), ((1, 6, 0), nothing)];
    let mut store = open(dir.path());
    assert_eq!(submit(&store, batch(&car, &rows)).unwrap().accepted, 2);
    for round in 0..3 {
        assert_eq!(submit(&store, batch(&car, &rows)).unwrap().duplicates, 2, "round {round}");
        wait(store.seal()).unwrap();
        store.close();
        store = open(dir.path());
    }
    store.close();
}

#[test]
fn a_vehicle_whose_clock_was_wrong_once_hides_nothing_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let car = car();
    let future = 5_000_000;
    let mut store = open(dir.path());
    let mut expected = BTreeMap::new();
    for second in [1, future, 2, 3] {
        let rows = [((1, second, 0), Said::speed(second))];
        assert_eq!(submit(&store, batch(&car, &rows)).unwrap().accepted, 1);
        assert_eq!(submit(&store, batch(&car, &rows)).unwrap().duplicates, 1);
        if second != future {
            expected.insert((1, second, 0), Said::speed(second));
        }
        wait(store.seal()).unwrap();
        store.close();
        store = open(dir.path());
        assert_eq!(submit(&store, batch(&car, &rows)).unwrap().duplicates, 1);
        assert_eq!(current(&store), newest(&expected));
    }
    assert_eq!(kept(&store).len(), 4);
    store.close();
}

#[test]
fn lost_latest_values_cost_no_frame_and_double_none() {
    let dir = tempfile::tempdir().unwrap();
    let car = car();
    let rows: Vec<(Key, Said)> = (0..20).map(|second| ((1, second, 0), Said::at((1, second, 0)))).collect();
    let store = open(dir.path());
    submit(&store, batch(&car, &rows)).unwrap();
    wait(store.seal()).unwrap();
    store.close();
    for file in fs::read_dir(dir.path().join("latest")).unwrap() {
        fs::write(file.unwrap().path(), b"TMLOG\0\0\x01damaged").unwrap();
    }
    let store = open(dir.path());
    assert_eq!(submit(&store, batch(&car, &rows)).unwrap(), Receipt { accepted: 0, duplicates: 20 });
    assert_eq!(submit(&store, batch(&car, &[((1, 20, 0), Said::speed(1))])).unwrap().accepted, 1);
    assert_eq!(kept(&store).len(), 21);
    store.close();
}

/// A store whose segments cannot be written as long as a file stands where their folder should be.
fn blocked(dir: &Path, options: StoreOptions) -> (Store, std::path::PathBuf) {
    let (store, _) = Store::open(options, Arc::new(SystemDisk)).unwrap();
    let in_the_way = dir.join("segments/car");
    fs::write(&in_the_way, b"in the way").unwrap();
    (store, in_the_way)
}

/// Submits batches of `rows` frames until one is refused, which has to happen; the reason, and how many were taken.
fn fill(store: &Store, car: &Arc<Profile>, rows: i64, text: &str, again: bool) -> (String, i64) {
    for turn in 0..500 {
        let seconds = (0..rows).map(|row| if again { row } else { turn * rows + row });
        let said = Said { note: Some(text.into()), ..Said::speed(1) };
        let rows: Vec<(Key, Said)> = seconds.map(|second| ((1, second, 0), said.clone())).collect();
        match submit(store, batch(car, &rows)) {
            Ok(_) => {}
            Err(SubmitError::Refused(reason)) => return (reason.to_string(), turn),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nothing was refused");
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}

#[test]
fn memory_has_a_bound_in_bytes_and_what_failed_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { hot_bytes_max: 1 << 20, ..StoreOptions::new(dir.path()) };
    let (store, in_the_way) = blocked(dir.path(), options);
    let (reason, turns) = fill(&store, &car(), 10, &"x".repeat(10_000), false);
    assert!(reason.starts_with("memory is full of rows that are in no segment: failed to"), "{reason}");
    assert!((15..=25).contains(&turns), "twice the bytes were taken in {turns} turns of 100 kB");
    assert!(store.stats().hot_bytes < 3 << 20);
    assert!(store.stats().trouble.is_some());
    fs::remove_file(in_the_way).unwrap();
    // Nobody asks for it, and nothing comes in.
    wait_until("the rows were not tried again", || store.stats().trouble.is_none());
    let more = [((2, 0, 0), Said::speed(1))];
    assert_eq!(submit(&store, batch(&car(), &more)).unwrap().accepted, 1);
    assert_eq!(kept(&store).len() as i64, turns * 10 + 1);
    store.close();
}

#[test]
fn latest_values_have_a_bound_and_what_finds_no_room_is_kept_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = StoreOptions { hot_bytes_max: 1 << 20, ..StoreOptions::new(dir.path()) };
        Store::open(options, Arc::new(SystemDisk)).unwrap().0
    };
    let (car, press, text) = (car(), profile(), "x".repeat(300_000));
    let said = |second: i64| Said { note: Some(text.clone()), ..Said::speed(second) };
    let mut store = open();
    for vehicle in 0..8 {
        assert_eq!(submit(&store, batch(&car, &[((vehicle, 1, 0), said(1))])).unwrap().accepted, 1);
    }
    assert_eq!(submit(&store, press::batch(&press, &[(1, 0, 1, 0, 1.0)])).unwrap().accepted, 1);
    for round in 0..3 {
        let stats = store.stats();
        assert!((1 << 20..2 << 20).contains(&stats.latest_bytes), "{} bytes", stats.latest_bytes);
        let vehicles = current(&store).iter().filter(|text| text.contains("Integer")).count();
        assert_eq!((vehicles, store.current(None).len()), (4, 8), "four vehicles, and no press");
        assert_eq!(stats.unmentioned, if round == 0 { 5 } else { 0 }, "counted");
        assert_eq!(kept(&store).len(), 8);
        let known: Vec<usize> = store.snapshot().tables.iter().map(|table| table.assets.len()).collect();
        assert_eq!(known, [8, 1], "an asset without latest values is known");
        for vehicle in 0..8 {
            assert_eq!(submit(&store, batch(&car, &[((vehicle, 1, 0), said(1))])).unwrap().duplicates, 1);
        }
        assert_eq!(submit(&store, press::batch(&press, &[(1, 0, 1, 0, 1.0)])).unwrap().duplicates, 1);
        wait(store.seal()).unwrap();
        store.close();
        store = open();
    }
    // What has a latest value keeps having it.
    assert_eq!(submit(&store, batch(&car, &[((0, 2, 0), said(2))])).unwrap().accepted, 1);
    assert!(current(&store).iter().any(|text| text.contains("V0 0 2 0 Good Integer(2)")));
    store.close();
}

#[test]
fn the_log_has_a_bound_while_segments_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { log_bytes_max: 100_000, ..StoreOptions::new(dir.path()) };
    let (store, in_the_way) = blocked(dir.path(), options);
    // The same again and again: memory does not grow.
    let (reason, turns) = fill(&store, &car(), 1, &"x".repeat(10_000), true);
    assert!(reason.starts_with("the log is full of rows that are in no segment: failed to"), "{reason}");
    assert!((85..=100).contains(&turns), "nine times the bytes were taken in {turns} turns of 10 kB");
    fs::remove_file(in_the_way).unwrap();
    wait_until("the rows were not tried again", || store.stats().trouble.is_none());
    assert_eq!(submit(&store, batch(&car(), &[((2, 0, 0), Said::speed(1))])).unwrap().accepted, 1);
    assert_eq!(kept(&store).len(), 2);
    store.close();
}

#[test]
fn a_batch_of_more_values_than_a_record_may_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let signals = (0..8_192).map(|id| Signal::new(&format!("s{id}"), "x:Y", ValueKind::Integer)).collect();
    let wide = Arc::new(Profile::new("car", Shape::Frames, signals).unwrap());
    let count = (1 << 25) / 8_192 + 1;
    let frames = Frames {
        assets: vec![vehicle(1)],
        asset: vec![0; count],
        time: (0..count as i64).map(Timestamp::from_nanos).collect(),
        sequence: vec![0; count],
        columns: (0..8_192).map(|_| Column::Integers(vec![None; count])).collect(),
        exceptions: Vec::new(),
    };
    let batch = Arc::new(Batch::frames(wide, Timestamp::default(), frames));
    assert!(matches!(submit(&store, batch), Err(SubmitError::TooLarge { .. })));
    store.close();
}

#[test]
fn a_few_signals_are_read_of_some_assets_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, car) = (open(dir.path()), car());
    submit(&store, batch(&car, &[((1, 5, 0), Said::speed(10)), ((2, 5, 0), Said::speed(20))])).unwrap();
    let few = |signals: &[&str], from, assets_max| store.current_few("car", signals, from, assets_max);
    let read = few(&["note", "speed", "colour"], 1, 10);
    assert_eq!(read.len(), 1);
    let speed = read[0].said[1].as_ref().map(|(observation, _)| &observation.value);
    assert_eq!((&read[0].asset, speed), (&vehicle(2), Some(&Value::Integer(20))));
    assert_eq!((read[0].said.len(), &read[0].said[0], &read[0].said[2]), (3, &None, &None));
    assert_eq!((few(&["speed"], 0, 1).len(), few(&["speed"], 2, 10).len(), few(&["speed"], 0, 0).len()), (1, 0, 0));
    assert!(store.current_few("press", &["speed"], 0, 10).is_empty());
    store.close();
}
