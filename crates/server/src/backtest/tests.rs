//! Back-tests over a small store: the same however much is read at once, and as far as they may go.

use std::sync::Arc;
use std::time::Duration;

use model::{Batch, Column, Frames, Profile, Shape, Signal, Timestamp, ValueKind};
use store::{Snapshot, Store, StoreOptions, SystemDisk};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;

const VEHICLES: i64 = 6;
const SECONDS: i64 = 40;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn rules(text: &str) -> Vec<Rule> {
    let both = "{ zh = '一', en = 'one' }";
    let text = format!(
        "[[rule]]\nid = 'fast'\nversion = 1\nprofile = 'car'\npriority = 'high'\ntitle = {both}\nadvice = {both}\n\
         rationale = {both}\nsource = 'a test'\n{text}"
    );
    diagnosis::read("a test", &text).unwrap().into_iter().map(Result::unwrap).collect()
}

/// Every second all vehicles say something, together; one of them some of it late.
async fn driven(folder: &std::path::Path) -> (Store, Snapshot) {
    let (store, _) = Store::open(StoreOptions::new(folder), Arc::new(SystemDisk)).unwrap();
    let profile =
        Arc::new(Profile::new("car", Shape::Frames, vec![Signal::new("speed", "x:Y", ValueKind::Integer)]).unwrap());
    for second in 0..SECONDS {
        let late = |vehicle: i64| if vehicle == 2 && second % 7 == 5 { second - 5 } else { second };
        let frames = Frames {
            assets: (0..VEHICLES).map(|vehicle| format!("vehicle/V{vehicle}").parse().unwrap()).collect(),
            asset: (0..VEHICLES as u16).collect(),
            time: (0..VEHICLES).map(|vehicle| at(late(vehicle)).plus_nanos(vehicle)).collect(),
            sequence: vec![second as u32; VEHICLES as usize],
            columns: vec![Column::Integers((0..VEHICLES).map(|vehicle| Some((second * 7 + vehicle) % 20)).collect())],
            exceptions: Vec::new(),
        };
        store.submit(Arc::new(Batch::frames(Arc::clone(&profile), at(second), frames)), None).await.unwrap();
        if second == SECONDS / 2 {
            store.seal().await.unwrap();
        }
    }
    let snapshot = store.snapshot();
    (store, snapshot)
}

fn everything() -> (Scope, Bounds) {
    let scope = Scope { from: Timestamp::MIN, to: Timestamp::MAX, assets: "*".to_owned() };
    let bounds = Bounds {
        rows_at_once: 100_000,
        rows_max: u64::MAX,
        alarms_max: usize::MAX,
        deadline: None,
        stop: CancellationToken::new(),
    };
    (scope, bounds)
}

type Told = Vec<(String, Timestamp, bool)>;

fn tried(snapshot: &Snapshot, scope: &Scope, bounds: &Bounds) -> (Backtest, Option<Reached>, Told) {
    let mut backtest = Backtest::new(rules("when = 'speed > 10 && change_over(speed, \"5s\") > 0'"));
    let mut told = Vec::new();
    let reached = backtest.run(snapshot, scope, bounds, &mut |event| {
        told.push((event.asset.to_string(), event.time, event.what == diagnosis::What::Raised));
        Ok(())
    });
    told.sort();
    let reached = reached.unwrap();
    (backtest, reached, told)
}

#[tokio::test]
async fn what_is_found_does_not_depend_on_how_much_is_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, snapshot) = driven(folder.path()).await;
    let (scope, bounds) = everything();
    let (whole, reached, expected) = tried(&snapshot, &scope, &bounds);
    assert!(reached.is_none() && expected.len() > 20 && whole.cost().late > 0, "{expected:?}");
    assert_eq!(whole.cost().rows, (VEHICLES * SECONDS) as u64);
    for rows_at_once in [1, 2, 7, 39, 40, 41, 100, 239, 240] {
        let (parts, reached, told) = tried(&snapshot, &scope, &Bounds { rows_at_once, ..bounds.clone() });
        assert_eq!((reached, &told), (None, &expected), "{rows_at_once} rows at once");
        assert_eq!(parts.covered(), Covered { assets: VEHICLES as usize, assets_in_all: VEHICLES as usize });
        assert_eq!(parts.report(None, None).rules, whole.report(None, None).rules);
    }
    let some = Scope { from: at(10), to: at(20), assets: "vehicle/V2".to_owned() };
    let (some, _, _) = tried(&snapshot, &some, &bounds);
    assert_eq!((some.tally().assets().len(), some.covered().assets_in_all), (1, 1));
    assert!((1..=11).contains(&some.cost().rows), "{}", some.cost().rows);
    drop(store);
}

#[tokio::test]
async fn it_ends_at_a_limit_and_tells_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let (store, snapshot) = driven(folder.path()).await;
    let (scope, bounds) = everything();
    let bounds = Bounds { rows_at_once: SECONDS as usize, ..bounds };
    let (backtest, reached, _) = tried(&snapshot, &scope, &Bounds { rows_max: 100, ..bounds.clone() });
    assert_eq!((reached, backtest.cost().rows), (Some(Reached::Rows(100)), 3 * SECONDS as u64));
    assert_eq!(backtest.covered(), Covered { assets: 3, assets_in_all: 6 });
    let (_, reached, _) = tried(&snapshot, &scope, &Bounds { alarms_max: 1, ..bounds.clone() });
    assert_eq!(reached, Some(Reached::Alarms(1)));
    let deadline = Some(Instant::now() - Duration::from_millis(1));
    let (backtest, reached, _) = tried(&snapshot, &scope, &Bounds { deadline, ..bounds.clone() });
    assert_eq!((reached, backtest.cost().rows), (Some(Reached::Time), 0));
    bounds.stop.cancel();
    assert_eq!(tried(&snapshot, &scope, &bounds).1, Some(Reached::Stopped));
    drop(store);
}

#[tokio::test]
async fn silence_is_told_by_the_receipts_of_what_the_server_says_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(StoreOptions::new(folder.path()), Arc::new(SystemDisk)).unwrap();
    let profile = |name: &str| {
        let speed = Signal::new("speed", "x:Y", ValueKind::Integer);
        Arc::new(Profile::new(name, Shape::Frames, vec![speed]).unwrap())
    };
    let (car, own) = (profile("car"), profile(own::NAME));
    let row = |profile: &Arc<Profile>, asset: &str, second: i64| {
        let frames = Frames {
            assets: vec![asset.parse().unwrap()],
            asset: vec![0],
            time: vec![at(second)],
            sequence: vec![0],
            columns: vec![Column::Integers(vec![Some(15)])],
            exceptions: Vec::new(),
        };
        Arc::new(Batch::frames(Arc::clone(profile), at(second), frames))
    };
    // The server is down from second 200 to 600. One car is heard of until 100, the other one always but from 620 to 700.
    for second in (0..=200).step_by(10).chain((600..=900).step_by(10)) {
        store.submit(row(&own, "site/local", second), None).await.unwrap();
        if second <= 100 {
            store.submit(row(&car, "vehicle/V1", second), None).await.unwrap();
        }
        if !(621..700).contains(&second) {
            store.submit(row(&car, "vehicle/V2", second), None).await.unwrap();
        }
    }
    let (scope, bounds) = everything();
    for rows_at_once in [100_000, 7] {
        let mut told = Vec::new();
        let tell = &mut |event: &Event| {
            told.push((event.asset.to_string(), event.time.millis() / 1_000, event.what == diagnosis::What::Raised));
            Ok(())
        };
        let mut backtest = Backtest::new(rules("when = 'speed > 10'\nsilent = '1min'"));
        let bounds = Bounds { rows_at_once, ..bounds.clone() };
        assert_eq!(backtest.run(&store.snapshot(), &scope, &bounds, tell).unwrap(), None);
        told.sort();
        let told: Vec<_> = told.iter().map(|(asset, second, raised)| (asset.as_str(), *second, *raised)).collect();
        assert_eq!(told, [("vehicle/V1", 160, true), ("vehicle/V2", 680, true), ("vehicle/V2", 700, false)]);
    }
}
