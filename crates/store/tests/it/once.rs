//! The same row is one row: sent twice, late, out of order, before and after seals and restarts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use model::Timestamp;
use proptest::prelude::*;

use crate::press::{Row, batch, batch_received, open, profile, rows, submit, wait};

#[test]
fn a_clock_that_was_wrong_once_hides_nothing_that_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let press = profile();
    let store = open(dir.path());
    let future = 5_000_000_000;
    for second in [1, future, 2, future, 3] {
        submit(&store, batch(&press, &[(1, 0, second, 0, second as f64)])).unwrap();
    }
    let latest = |store: &store::Store| store.current(None)[0].observation.value.clone();
    assert_eq!(latest(&store), model::Value::Number(3.0));
    wait(store.seal()).unwrap();
    store.close();
    let store = open(dir.path());
    assert_eq!(latest(&store), model::Value::Number(3.0));
    assert_eq!(submit(&store, batch(&press, &[(1, 0, future, 0, future as f64)])).unwrap().duplicates, 1);
    submit(&store, batch(&press, &[(1, 0, 4, 0, 4.0)])).unwrap();
    assert_eq!(latest(&store), model::Value::Number(4.0));
    assert_eq!(rows(&store.snapshot()).len(), 5);
    store.close();
}

#[test]
fn a_change_that_was_ahead_when_it_came_is_a_repeat_when_it_comes_again_later() {
    for sealed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let press = profile();
        let store = open(dir.path());
        let at = |hours: f64| Timestamp::from_millis((hours * 3_600_000.0) as i64);
        let (now, ahead) = ((1, 0, 3_600 * 10, 0, 1.0), (1, 0, 3_600 * 12, 0, 2.0));
        assert_eq!(submit(&store, batch_received(&press, at(10.0), &[now, ahead])).unwrap().accepted, 2);
        if sealed {
            wait(store.seal()).unwrap();
        }
        // By now its time can be believed, and is later than all that could be before.
        for received in [11.5, 12.5] {
            let receipt = submit(&store, batch_received(&press, at(received), &[ahead])).unwrap();
            assert_eq!(receipt.duplicates, 1, "sealed: {sealed}, received at {received}");
        }
        let between = (1, 0, 3_600 * 11, 0, 3.0);
        assert_eq!(submit(&store, batch_received(&press, at(12.5), &[between, ahead])).unwrap().accepted, 1);
        assert_eq!(rows(&store.snapshot()), [now, between, ahead]);
        store.close();
    }
}

/// Takes the latest values away, so that they have to be read from segments.
fn lose_latest(dir: &Path) {
    for file in fs::read_dir(dir.join("latest")).unwrap() {
        fs::write(file.unwrap().path(), b"TMLOG\0\0\x01damaged").unwrap();
    }
}

#[test]
fn a_machine_that_is_always_ahead_is_known_after_a_seal_and_a_restart() {
    for lost in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let press = profile();
        let hours_ahead = |hours: i64| 1_000 + hours * 3_600;
        let ahead = [(1, 0, hours_ahead(8), 0, 1.0), (1, 1, hours_ahead(9), 0, 2.0), (1, 0, hours_ahead(10), 0, 3.0)];
        let mut store = open(dir.path());
        submit(&store, batch(&press, &ahead)).unwrap();
        wait(store.seal()).unwrap();
        for round in 0..2 {
            if lost {
                store.close();
                lose_latest(dir.path());
                store = open(dir.path());
            }
            let snapshots = [store::read(dir.path()).unwrap().0, store.snapshot()];
            for snapshot in snapshots {
                let assets: Vec<&str> = snapshot.tables[0].assets.iter().map(model::AssetId::as_str).collect();
                assert_eq!(assets, ["machine/p1"], "lost: {lost}, round {round}");
                assert_eq!(rows(&snapshot).len(), 3);
            }
            assert_eq!(store.current(None), [], "nothing that is ahead is the latest");
            // When its time has come, it is still a repeat.
            let later = Timestamp::from_millis(hours_ahead(12) * 1_000);
            assert_eq!(submit(&store, batch_received(&press, later, &ahead)).unwrap().duplicates, 3);
            store.close();
            store = open(dir.path());
            wait(store.seal()).unwrap();
        }
        store.close();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(Vec<(u8, u8, i64, u32)>),
    Seal,
    Compact,
    Reopen,
    /// Readers cut memory into chunks; many of them make it put chunks together.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..6_u8, 0..2_u8, 0..12_i64, 0..2_u32);
    prop_oneof![
        3 => Just(Step::Look),
        6 => proptest::collection::vec(row, 1..20).prop_map(Step::Submit),
        1 => Just(Step::Seal),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// What is said at a key never changes, so that a repeat is a repeat.
fn value((asset, signal, second, sequence): (u8, u8, i64, u32)) -> f64 {
    f64::from(asset) * 1_000.0 + f64::from(signal) * 100.0 + second as f64 + f64::from(sequence) * 0.5
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_row_is_kept_once(steps in proptest::collection::vec(step(), 1..14)) {
        let dir = tempfile::tempdir().unwrap();
        let press = profile();
        let mut store = open(dir.path());
        let mut expected: BTreeMap<(u8, u8, i64, u32), f64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Submit(keys) => {
                    let sent: Vec<Row> = keys.iter().map(|key| (key.0, key.1, key.2, key.3, value(*key))).collect();
                    let before = expected.len() as u64;
                    expected.extend(keys.iter().map(|key| (*key, value(*key))));
                    let receipt = submit(&store, batch(&press, &sent)).unwrap();
                    prop_assert_eq!(receipt.accepted, expected.len() as u64 - before);
                    prop_assert_eq!(receipt.accepted + receipt.duplicates, keys.len() as u64);
                }
                Step::Seal => wait(store.seal()).unwrap(),
                Step::Compact => wait(store.compact()).unwrap(),
                Step::Look => {
                    // A row of an asset of its own before each look: dictionaries grow between the chunks.
                    for number in 0..70_u8 {
                        let key = (6 + number, 0, 0, 0);
                        submit(&store, batch(&press, &[(key.0, key.1, key.2, key.3, value(key))])).unwrap();
                        expected.insert(key, value(key));
                        let _ = store.snapshot();
                    }
                }
                Step::Reopen => {
                    store.close();
                    store = open(dir.path());
                }
            }
        }
        let expected: Vec<Row> = expected.into_iter().map(|((a, s, t, q), value)| (a, s, t, q, value)).collect();
        prop_assert_eq!(rows(&store.snapshot()), expected.clone());
        for latest in store.current(None) {
            let newest = expected.iter().filter(|row| {
                latest.asset.as_str() == format!("machine/p{}", row.0) && latest.observation.signal == u16::from(row.1)
            });
            let newest = newest.max_by_key(|row| (row.2, row.3)).unwrap();
            prop_assert_eq!(&latest.observation.value, &model::Value::Number(newest.4));
        }
        store.close();
    }
}
