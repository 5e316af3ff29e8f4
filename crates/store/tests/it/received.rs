//! Batches come in one after the other, whatever the clock says; and what came in during a span can be read in its order,
//! some at a time, wherever the rows are by then.

use std::sync::Arc;

use model::{
    Batch, Column, FrameException, Frames, Profile, Quality, Rows, Shape, Signal, Timestamp, ValueKind, Vectors,
};
use store::{ReceivedPlace, ReceivedRows, ReceivedSpan, Snapshot, Store};

use crate::press::{self, batch_received, open, submit, wait};

fn car() -> Arc<Profile> {
    let signals = [("speed", ValueKind::Integer), ("cell", ValueKind::Vector), ("note", ValueKind::Text)];
    let signals = signals.map(|(id, kind)| Signal::new(id, "x:Y", kind));
    Arc::new(Profile::new("car", Shape::Frames, signals.into()).unwrap())
}

/// Vehicle and second.
type Key = (u8, i64);

fn frames(keys: &[Key]) -> Frames {
    let mut cells = Vectors::default();
    for (vehicle, second) in keys {
        let bad = if second % 3 == 0 { Vectors::MISSING } else { 3_000 + second };
        cells.push((vehicle % 4 != 3).then_some([second * 10, bad]));
    }
    let bad = (0..).zip(keys).filter(|(_, (vehicle, second))| vehicle % 4 != 3 && second % 3 == 0);
    let bad = bad.map(|(row, _)| FrameException { row, signal: 1, element: Some(1), quality: Quality::Abnormal });
    Frames {
        assets: keys.iter().map(|(vehicle, _)| format!("vehicle/V{vehicle:03}").parse().unwrap()).collect(),
        asset: (0..keys.len() as u16).collect(),
        time: keys.iter().map(|(_, second)| Timestamp::from_millis(second * 1_000)).collect(),
        sequence: vec![0; keys.len()],
        columns: vec![
            Column::Integers(keys.iter().map(|(_, second)| (second % 5 != 0).then_some(*second)).collect()),
            Column::Vectors(cells),
            Column::Texts(keys.iter().map(|(vehicle, _)| (*vehicle == 1).then(|| "one".into())).collect()),
        ],
        exceptions: bad.collect(),
    }
}

fn batch(received_secs: i64, keys: &[Key]) -> Arc<Batch> {
    Arc::new(Batch::frames(car(), Timestamp::from_millis(received_secs * 1_000), frames(keys)))
}

fn table<'a>(snapshot: &'a Snapshot, profile: &str) -> &'a store::TableSnapshot {
    snapshot.tables.iter().find(|table| table.profile.id() == profile).unwrap()
}

fn all(_: &str) -> bool {
    true
}

fn read(store: &Store, profile: &str, after: Timestamp, until: Timestamp, rows_max: usize) -> Vec<ReceivedRows> {
    let (mut parts, mut behind): (Vec<ReceivedRows>, Option<ReceivedPlace>) = (Vec::new(), None);
    loop {
        let snapshot = store.snapshot();
        let span = ReceivedSpan { behind: behind.as_ref(), ..ReceivedSpan::new((after, until), &all, rows_max) };
        let part = table(&snapshot, profile).received(&span).unwrap();
        behind = part.last_place();
        let is_all = part.is_all;
        parts.push(part);
        if is_all {
            return parts;
        }
    }
}

/// What the frames of `parts` are the keys of, in their order; all they say is compared.
#[track_caller]
fn keys(parts: &[ReceivedRows]) -> Vec<Key> {
    let mut keys = Vec::new();
    for part in parts {
        let Rows::Frames(found) = &part.rows else { panic!("frames") };
        let vehicle = |row: usize| found.assets[usize::from(found.asset[row])].as_str()[9..].parse().unwrap();
        let these: Vec<Key> = (0..found.len()).map(|row| (vehicle(row), found.time[row].millis() / 1_000)).collect();
        let expected = frames(&these);
        assert_eq!((&found.columns, &found.exceptions), (&expected.columns, &expected.exceptions));
        keys.extend(these);
    }
    keys
}

/// The times of receipt of all that is in the store, ascending.
fn receipts(store: &Store) -> Vec<Timestamp> {
    let parts = read(store, "press", Timestamp::MIN, Timestamp::MAX, 7);
    let mut receipts: Vec<Timestamp> = parts.into_iter().flat_map(|part| part.received).collect();
    receipts.sort();
    receipts
}

#[test]
fn batches_come_in_one_after_the_other_also_when_the_clock_jumps_back() {
    let dir = tempfile::tempdir().unwrap();
    let profile = press::profile();
    let send = |store: &Store, second: i64, received: i64| {
        let received = Timestamp::from_millis(received * 1_000);
        submit(store, batch_received(&profile, received, &[(1, 0, second, 0, 1.0)])).unwrap();
        store.snapshot().received
    };
    let at = |secs: i64, nanos: i64| Timestamp::from_millis(secs * 1_000).plus_nanos(nanos);
    let mut store = open(dir.path());
    assert_eq!(store.snapshot().received, Timestamp::MIN);
    assert_eq!(send(&store, 1, 100), at(100, 0));
    assert_eq!(send(&store, 2, 100), at(100, 1), "the clock stands still");
    assert_eq!(send(&store, 3, 50), at(100, 2), "the clock jumps back");
    store.close();
    store = open(dir.path());
    assert_eq!(store.snapshot().received, at(100, 2), "from the log");
    assert_eq!(send(&store, 4, 60), at(100, 3));
    wait(store.seal()).unwrap();
    store.close();
    store = open(dir.path());
    assert_eq!(store.snapshot().received, at(100, 3), "from the manifest");
    assert_eq!(send(&store, 5, 60), at(100, 4));
    wait(store.compact()).unwrap();
    assert_eq!(send(&store, 6, 101), at(101, 0), "the clock has caught up");
    store.close();
    // As an older program wrote it.
    let path = dir.path().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["checksum"] = "00000000".into();
    manifest.as_object_mut().unwrap().remove("received_max_ns").unwrap();
    manifest["tables"][0]["segments"][0].as_object_mut().unwrap().remove("received_ns").unwrap();
    for name in ["manifest.json", "manifest.copy.json"] {
        std::fs::write(dir.path().join(name), serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    }
    for log in std::fs::read_dir(dir.path().join("log")).unwrap() {
        std::fs::remove_file(log.unwrap().path()).unwrap();
    }
    store = open(dir.path());
    assert_eq!(store.snapshot().received, at(100, 4), "from the segments");
    assert_eq!(send(&store, 6, 1), at(100, 5));
    assert_eq!(receipts(&store), [at(100, 0), at(100, 1), at(100, 2), at(100, 3), at(100, 4), at(100, 5)]);
    store.close();
}

#[test]
fn what_came_in_during_a_span_is_read_in_its_order_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut sent: Vec<(Timestamp, Key)> = Vec::new();
    // Two days of source time, late rows, in 30 batches; now and then they are sealed, and merged.
    for number in 0..30_i64 {
        let keys: Vec<Key> =
            (0..40).map(|row| ((row * 7 % 20) as u8, number * 5_000 + row * 100 - row % 3 * 40_000)).collect();
        submit(&store, batch(1_000 + number, &keys)).unwrap();
        sent.extend(keys.iter().map(|key| (store.snapshot().received, *key)));
        if number % 4 == 1 {
            wait(store.seal()).unwrap();
        }
        if number == 17 {
            wait(store.compact()).unwrap();
        }
    }
    let receipts: Vec<Timestamp> = (0..30).map(|number| Timestamp::from_millis((1_000 + number) * 1_000)).collect();
    let check = |store: &Store| {
        for (after, until) in [(0, 29), (3, 4), (5, 18), (17, 29), (28, 29), (29, 29)] {
            let (after, until) = (receipts[after], receipts[until]);
            let within = sent.iter().filter(|(received, _)| *received > after && *received <= until);
            let mut expected: Vec<Key> = within.map(|(_, key)| *key).collect();
            expected.sort();
            for rows_max in [1, 7, 100, 10_000] {
                assert_eq!(keys(&read(store, "car", after, until, rows_max)), expected, "{after} {until} {rows_max}");
            }
        }
        let parts = read(store, "car", Timestamp::MIN, Timestamp::MAX, 50);
        for part in &parts {
            let Rows::Frames(frames) = &part.rows else { panic!("frames") };
            assert!(frames.len() <= 50);
        }
        assert_eq!(keys(&parts).len(), sent.len());
    };
    check(&store);
    wait(store.compact()).unwrap();
    check(&store);
    let snapshot = store.snapshot();
    let is_wanted = |asset: &str| asset == "vehicle/V007";
    let ever = (Timestamp::MIN, Timestamp::MAX);
    let span = ReceivedSpan::new(ever, &is_wanted, 1_000);
    let found = keys(&[table(&snapshot, "car").received(&span).unwrap()]);
    assert_eq!(found.len(), sent.iter().filter(|(_, (vehicle, _))| *vehicle == 7).count());
    assert!(found.iter().all(|(vehicle, _)| *vehicle == 7));
    let whole = table(&snapshot, "car").received(&ReceivedSpan::new(ever, &all, 1_000_000)).unwrap();
    let (Rows::Frames(frames), last) = (&whole.rows, "vehicle/V007") else { panic!("frames") };
    let mut times = frames.time.clone();
    times.sort_unstable();
    let (from, to) = (times[times.len() / 3], times[times.len() * 2 / 3]);
    let span = ReceivedSpan { from, to, last_asset: Some(last), ..ReceivedSpan::new(ever, &all, 1_000_000) };
    let some = table(&snapshot, "car").received(&span).unwrap();
    let is_wanted = |row: &usize| {
        let asset = frames.assets[usize::from(frames.asset[*row])].as_str();
        (from..to).contains(&frames.time[*row]) && asset <= last
    };
    let expected: Vec<Timestamp> = (0..frames.len()).filter(is_wanted).map(|row| frames.time[row]).collect();
    let Rows::Frames(some) = &some.rows else { panic!("frames") };
    assert!(!expected.is_empty() && some.time == expected, "{} of {}", some.len(), expected.len());
    store.close();
}

#[test]
fn changes_at_one_time_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let profile = press::profile();
    for second in 0..20 {
        let rows = [(1, 1, second, 0, 2.0), (1, 0, second, 0, 1.0), (2, 0, second, 0, 3.0)];
        submit(&store, batch_received(&profile, Timestamp::from_millis(second), &rows)).unwrap();
        if second == 9 {
            wait(store.seal()).unwrap();
        }
    }
    let mut seen = Vec::new();
    for part in read(&store, "press", Timestamp::MIN, Timestamp::MAX, 3) {
        let Rows::Changes(changes) = &part.rows else { panic!("changes") };
        let of = |row: usize| (changes.asset_of(row).to_string(), changes.time[row].millis() / 1_000);
        for row in 0..changes.len() {
            if row + 1 == changes.len() || of(row) != of(row + 1) {
                seen.push((of(row), changes.time.iter().enumerate().filter(|(at, _)| of(*at) == of(row)).count()));
            }
        }
    }
    let expected: Vec<_> = [("machine/p1", 2), ("machine/p2", 1)]
        .into_iter()
        .flat_map(|(asset, count)| (0..20).map(move |second| ((asset.to_owned(), second), count)))
        .collect();
    assert_eq!(seen, expected);
    store.close();
}

#[test]
fn rows_of_more_assets_than_a_part_can_be_about_come_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for half in 0..2_u32 {
        let assets: Vec<model::AssetId> =
            (0..40_000).map(|number| format!("vehicle/V{:06}", number + half * 40_000).parse().unwrap()).collect();
        let count = assets.len();
        let mut cells = Vectors::default();
        (0..count).for_each(|_| cells.push(Some([1])));
        let frames = Frames {
            assets,
            asset: (0..count).map(|row| row as u16).collect(),
            time: vec![Timestamp::from_millis(1_000); count],
            sequence: vec![0; count],
            columns: vec![
                Column::Integers((0..count).map(|row| Some(row as i64)).collect()),
                Column::Vectors(cells),
                Column::Texts(vec![None; count]),
            ],
            exceptions: Vec::new(),
        };
        let received = Timestamp::from_millis(2_000 + i64::from(half));
        submit(&store, Arc::new(Batch::frames(car(), received, frames))).unwrap();
    }
    let parts = read(&store, "car", Timestamp::MIN, Timestamp::MAX, u32::MAX as usize);
    let sizes: Vec<usize> = parts.iter().map(|part| part.received.len()).collect();
    assert_eq!(sizes, [65_536, 14_464]);
    let mut row_of = 0..80_000_i64;
    for part in &parts {
        let Rows::Frames(frames) = &part.rows else { panic!("frames") };
        let Column::Integers(numbers) = &frames.columns[0] else { panic!("integers") };
        for (asset, number) in frames.asset.iter().zip(numbers) {
            let row = row_of.next().unwrap();
            assert_eq!(frames.assets[usize::from(*asset)].as_str(), format!("vehicle/V{row:06}"));
            assert_eq!(*number, Some(row % 40_000));
        }
    }
}
