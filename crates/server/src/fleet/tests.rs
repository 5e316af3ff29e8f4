//! Vehicles that report, fall silent, sort and filter. Made-up reports, without a store.

use std::sync::Arc;

use gbt32960::Standard;
use model::{AssetKind, FrameException, Observation, Shape, Signal, ValueKind, Vectors};

use super::coordinates::System;
use super::page::{Filter, Order, Sort, page};
use super::*;
use crate::alarms::open::Open;

fn sight(now_secs: i64) -> Sight {
    let now = Timestamp::from_millis(now_secs * 1_000);
    Sight { now, offline_after_ns: 600 * 1_000_000_000, system: System::Wgs84, open: Arc::default() }
}

fn asset(number: usize) -> AssetId {
    AssetId::new(AssetKind::Vehicle, &format!("LTMTEST{number:010}")).unwrap()
}

/// Reports at a second, each of a vehicle with the raw values of some signals.
fn reports(secs: i64, said: &[(usize, &[(&str, i64)])]) -> Batch {
    let profile = Standard::built_in().profile().clone();
    let rows = said.len();
    let column = |signal: &Signal| match signal.kind {
        ValueKind::Integer => {
            let of = |values: &[(&str, i64)]| values.iter().find(|(id, _)| **id == *signal.id).map(|(_, raw)| *raw);
            Column::Integers(said.iter().map(|(_, values)| of(values)).collect())
        }
        ValueKind::Vector => {
            let mut vectors = Vectors::default();
            (0..rows).for_each(|_| vectors.push(None::<[i64; 0]>));
            Column::Vectors(vectors)
        }
        _ => Column::Texts(vec![None; rows]),
    };
    let time = Timestamp::from_millis(secs * 1_000);
    let frames = Frames {
        assets: said.iter().map(|(number, _)| asset(*number)).collect(),
        asset: (0..rows as u16).collect(),
        time: vec![time; rows],
        sequence: vec![0; rows],
        columns: profile.signals().iter().map(column).collect(),
        exceptions: Vec::new(),
    };
    Batch::frames(profile, time, frames)
}

fn sessions(secs: i64, number: usize, what: &str) -> Batch {
    let signals = vec![Signal::new(SESSION_SIGNAL, "gbt32960:session", ValueKind::Text)];
    let profile = Arc::new(Profile::new(SESSION_PROFILE, Shape::Changes, signals).unwrap());
    let mut changes = Changes::default();
    let place = changes.intern(&asset(number));
    let time = Timestamp::from_millis(secs * 1_000);
    let value = Value::Text(what.into());
    changes.push(place, Observation { signal: 0, time, sequence: 0, quality: Quality::Good, value, statistic: None });
    Batch::changes(profile, time, changes)
}

const DRIVING: &[(&str, i64)] =
    &[("vehicle_state", 1), ("vehicle_charging", 3), ("vehicle_speed", 523), ("alarm_level", 0)];
const CHARGING: &[(&str, i64)] =
    &[("vehicle_state", 2), ("vehicle_charging", 1), ("vehicle_speed", 0), ("vehicle_soc", 80), ("alarm_level", 2)];
const STANDING: &[(&str, i64)] = &[("vehicle_state", 1), ("vehicle_charging", 3), ("vehicle_speed", 0)];
const OFF: &[(&str, i64)] = &[("vehicle_state", 2), ("vehicle_charging", 3), ("vehicle_speed", 0)];

#[test]
fn vehicles_are_counted_by_what_they_do_and_by_their_highest_alarm() {
    let mut fleet = Fleet::default();
    fleet.take(&reports(0, &[(9, DRIVING)]));
    fleet.take(&reports(1_000, &[(0, DRIVING), (1, CHARGING), (2, STANDING), (3, OFF), (4, DRIVING)]));
    fleet.take(&sessions(1_000, 7, "login"));
    let counts = fleet.counts(&sight(1_001));
    assert_eq!(counts.states, [2, 1, 1, 1, 1, 1], "driving, charging, parked, off, offline, never");
    assert_eq!((counts.levels, counts.level_unknown), ([3, 0, 1, 0, 0], 3));
    assert_eq!(fleet.offline_longest(&sight(1_001), 10), [0]);
    assert_eq!(fleet.offline_longest(&sight(5_000), 2), [0, 1]);
}

#[test]
fn a_reissued_report_is_heard_and_says_nothing_of_now() {
    let mut fleet = Fleet::default();
    fleet.take(&reports(1_000, &[(0, DRIVING)]));
    let mut old = reports(500, &[(0, OFF)]);
    old.received = Timestamp::from_millis(2_000_000);
    fleet.take(&old);
    let vehicle = &fleet.vehicles()[0];
    assert_eq!(vehicle.state(&sight(2_001)), State::Driving);
    assert_eq!(vehicle.heard, Some(old.received));
    assert_eq!(vehicle.value(Kept::Speed), Some(52.3));
}

#[test]
fn what_is_abnormal_is_no_number_and_what_is_not_said_stays() {
    let mut fleet = Fleet::default();
    fleet.take(&reports(1_000, &[(0, CHARGING)]));
    let mut batch = reports(1_010, &[(0, STANDING)]);
    let signal = batch.profile.signal_index("vehicle_speed").unwrap();
    let Rows::Frames(frames) = &mut batch.rows else { unreachable!() };
    frames.exceptions.push(FrameException { row: 0, signal, element: None, quality: Quality::Abnormal });
    fleet.take(&batch);
    let vehicle = &fleet.vehicles()[0];
    assert_eq!((vehicle.value(Kept::Speed), vehicle.value(Kept::Soc)), (None, Some(80.0)));
}

#[test]
fn the_session_is_the_latest_that_is_known() {
    let mut fleet = Fleet::default();
    for (secs, what) in [(10, "login"), (30, "logout"), (20, "lost")] {
        fleet.take(&sessions(secs, 0, what));
    }
    assert_eq!(fleet.vehicles()[0].session, Some((Session::Logout, Timestamp::from_millis(30_000))));
}

#[test]
fn who_logged_out_is_off_until_it_reports_again() {
    let mut fleet = Fleet::default();
    fleet.take(&reports(1_000, &[(0, DRIVING)]));
    let state = |fleet: &Fleet| fleet.vehicles()[0].state(&sight(1_002));
    for (secs, what, expected) in
        [(999, "logout", State::Driving), (1_000, "lost", State::Driving), (1_001, "logout", State::Off)]
    {
        fleet.take(&sessions(secs, 0, what));
        assert_eq!(state(&fleet), expected, "{what} at {secs}");
    }
    fleet.take(&reports(1_002, &[(0, DRIVING)]));
    assert_eq!(state(&fleet), State::Driving);
}

#[test]
fn positions_are_told_in_wgs_84() {
    let position = |values: &[(&str, i64)], system: System| {
        let mut fleet = Fleet::default();
        fleet.take(&reports(0, &[(0, values)]));
        fleet.vehicles()[0].position(&Sight { system, ..sight(0) })
    };
    let there = [("position_status", 0), ("position_longitude", 116_384_047), ("position_latitude", 39_913_345)];
    let with = |more: &[(&'static str, i64)]| [&there[..], more].concat();
    let (as_said, shifted) = ((116.384_047, 39.913_345), (116.377_817, 39.911_954));
    let check = |values: &[(&str, i64)], system: System, expected: Option<(f64, f64)>| {
        let got = position(values, system);
        let is_close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 2e-6 && (a.1 - b.1).abs() < 2e-6;
        assert!(
            got.zip(expected).is_none_or(|(a, b)| is_close(a, b)) && got.is_some() == expected.is_some(),
            "{got:?}"
        );
    };
    check(&with(&[]), System::Wgs84, Some(as_said));
    check(&with(&[]), System::Gcj02, Some(shifted));
    check(&with(&[("position_coordinate_system", 1)]), System::Gcj02, Some(as_said));
    check(&with(&[("position_coordinate_system", 2)]), System::Wgs84, Some(shifted));
    check(&with(&[("position_coordinate_system", 3)]), System::Wgs84, None);
    check(&[&[("position_status", 1)], &there[1..]].concat(), System::Wgs84, None);
}

#[test]
fn pages_fit_together_in_every_order() {
    let mut fleet = Fleet::default();
    let socs: Vec<(usize, Vec<(&str, i64)>)> = (0..500)
        .map(|number| {
            (number * 7_919 % 500, if number % 9 == 0 { vec![] } else { vec![("vehicle_soc", number as i64 % 101)] })
        })
        .collect();
    let said: Vec<(usize, &[(&str, i64)])> = socs.iter().map(|(number, values)| (*number, &values[..])).collect();
    fleet.take(&reports(0, &said));
    let all = Filter::default();
    for sort in Sort::ALL.map(|(_, sort)| sort) {
        for order in [Order::Ascending, Order::Descending] {
            let (total, whole) = page(&fleet, &sight(0), &all, (sort, order), (0, 1_000));
            let parts = (0..5).flat_map(|part| page(&fleet, &sight(0), &all, (sort, order), (part * 100, 100)).1);
            assert_eq!((total, parts.collect::<Vec<_>>()), (500, whole));
        }
    }
    let vins = page(&fleet, &sight(0), &all, (Sort::Vin, Order::Ascending), (0, 3)).1;
    let vins: Vec<&str> = vins.iter().map(|place| fleet.vehicles()[*place as usize].vin()).collect();
    assert_eq!(vins, ["LTMTEST0000000000", "LTMTEST0000000001", "LTMTEST0000000002"]);
    let soc = |order, offset| {
        let places = page(&fleet, &sight(0), &all, (Sort::Value(Kept::Soc), order), (offset, 1)).1;
        fleet.vehicles()[places[0] as usize].value(Kept::Soc)
    };
    assert_eq!((soc(Order::Ascending, 0), soc(Order::Descending, 0)), (Some(0.0), Some(100.0)));
    assert_eq!((soc(Order::Ascending, 499), soc(Order::Descending, 499)), (None, None));
}

#[test]
fn filters_admit_those_that_meet_all_of_them() {
    let mut fleet = Fleet::default();
    fleet.take(&reports(0, &[(0, DRIVING), (1, CHARGING), (10, CHARGING), (2, OFF)]));
    let check = |states: &[State], levels: &[usize], search: &str, expected: &[u32]| {
        let filter = Filter::new(states.to_vec(), levels.to_vec(), search);
        let got = page(&fleet, &sight(0), &filter, (Sort::Vin, Order::Ascending), (0, 10));
        assert_eq!(got, (expected.len(), expected.to_vec()), "{filter:?}");
    };
    check(&[], &[], "", &[0, 1, 3, 2]);
    check(&[State::Charging, State::Off], &[], "", &[1, 3, 2]);
    check(&[], &[2], "", &[1, 2]);
    check(&[State::Charging], &[0], "", &[]);
    check(&[], &[], " ltmtest000000001 ", &[2]);
}

/// By hand, with `--release`: what 100,000 vehicles cost.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "it is what one runs it for")]
fn a_hundred_thousand_vehicles_take_milliseconds() {
    let mut fleet = Fleet::default();
    let mut values: Vec<(usize, Vec<(&str, i64)>)> = Vec::new();
    for number in 0..100_000 {
        let soc = number as i64 * 31 % 101;
        values.push((
            number,
            [DRIVING, &[("vehicle_soc", soc), ("position_longitude", 116_000_000), ("position_latitude", 39_000_000)]]
                .concat(),
        ));
    }
    let batches: Vec<Batch> = values
        .chunks(10_000)
        .map(|chunk| reports(0, &chunk.iter().map(|(number, values)| (*number, &values[..])).collect::<Vec<_>>()))
        .collect();
    let timed = |what: &str, times: u32, run: &mut dyn FnMut()| {
        let started = tokio::time::Instant::now();
        (0..times).for_each(|_| run());
        println!("{what}: {:.2} ms", started.elapsed().as_secs_f64() * 1e3 / f64::from(times));
    };
    timed("taking in 100,000 new vehicles", 1, &mut || batches.iter().for_each(|batch| fleet.take(batch)));
    timed("taking in 100,000 reports", 10, &mut || batches.iter().for_each(|batch| fleet.take(batch)));
    timed("counts", 100, &mut || assert_eq!(fleet.counts(&sight(1)).vehicles, 100_000));
    timed("offline longest", 100, &mut || assert_eq!(fleet.offline_longest(&sight(10_000), 10).len(), 10));
    for (word, sort) in Sort::ALL {
        let all = Filter::default();
        timed(&format!("page by {word}"), 20, &mut || {
            assert_eq!(page(&fleet, &sight(1), &all, (sort, Order::Descending), (50_000, 100)).1.len(), 100);
        });
    }
    let found = Filter::new(Vec::new(), Vec::new(), "0004711");
    timed("search", 20, &mut || {
        assert!(!page(&fleet, &sight(1), &found, (Sort::Vin, Order::Ascending), (0, 100)).1.is_empty());
    });
    let gcj = Sight { system: System::Gcj02, ..sight(1) };
    timed("positions, all from GCJ-02", 5, &mut || {
        assert_eq!(fleet.vehicles().iter().filter_map(|vehicle| vehicle.position(&gcj)).count(), 100_000);
    });
}

#[test]
fn vehicles_are_counted_filtered_and_sorted_by_the_alarms_that_want_somebody() {
    let mut fleet = Fleet::default();
    fleet.take(&reports(0, &[(0, DRIVING), (1, CHARGING), (2, OFF)]));
    let sight = Sight { open: Arc::new(Open::with(asset(1), Priority::High, 3)), ..sight(0) };
    let counts = fleet.counts(&sight);
    assert_eq!((counts.priorities, counts.open), ([0, 0, 1, 0], 3));
    let filter = |priorities: &[Priority]| Filter::default().of_priorities(priorities.to_vec());
    let first = |filter: &Filter, order| page(&fleet, &sight, filter, (Sort::Alarms, order), (0, 1));
    assert_eq!(first(&filter(&[]), Order::Descending), (3, vec![1]));
    assert_eq!(first(&filter(&[Priority::Critical, Priority::High]), Order::Ascending), (1, vec![1]));
    assert_eq!(first(&filter(&[Priority::Low]), Order::Ascending), (0, vec![]));
}
