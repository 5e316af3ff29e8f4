//! A server that is killed at any moment while an adapter speaks, and started again on the same data: everything that it
//! told to whoever watched is there once, nothing is there twice, and every row is one that the adapter said.
//! `TONGMAI_KILLS` says how often.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::adapter::{Adapter, SIGNALS, time_of, value_of};
use crate::program::{csv, setting};
use crate::served::{Served, wait_for};
use crate::{http, lathe};

/// The longest a server lives, from its first instruction.
const LIFE_MILLIS_MAX: u64 = 700;
/// Bounds so small that kills also fall into the writing of segments.
const STORE: &str = "[store]\nhot_rows_max = 300\nlog_bytes_max = 30000\nseal_interval_secs = 1\n\n";

/// Signal, time and value of one observation, as the API tells it.
type Told = (String, String, f64);

fn told(observation: &Value) -> Told {
    let text = |key: &str| observation[key].as_str().unwrap_or_else(|| panic!("no {key}: {observation}")).to_owned();
    let value = observation["value"].as_f64();
    (text("signal"), text("time"), value.unwrap_or_else(|| panic!("no value: {observation}")))
}

/// Lets `served` live until `death`, and returns what it told meanwhile.
fn live(mut served: Served, death: Instant) -> Vec<Told> {
    let left = || death.saturating_duration_since(Instant::now());
    let Some(address) = served.listens_within(left()) else {
        let said = served.kill();
        assert!(!said.contains("error: "), "{said}");
        return Vec::new();
    };
    let watcher = thread::spawn(move || {
        let mut all = Vec::new();
        http::changes(address, lathe::ASSET, |observation| all.push(told(observation)));
        all
    });
    thread::sleep(left());
    let said = served.kill();
    assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
    watcher.join().expect("the watcher ends with the connection")
}

#[test]
fn nothing_that_was_told_is_lost_and_nothing_is_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    let mut adapter = Adapter::start();
    let gateway = lathe::gateway("lathe", adapter.address(), &lathe::devices(folder.path()));
    fs::write(&config, format!("{STORE}{gateway}")).unwrap();
    let kills: u64 = setting("TONGMAI_KILLS", 50);
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let (mut all, mut rows) = (Vec::new(), 0);
    for kill in 1..=kills {
        let death = Instant::now() + Duration::from_millis(random.random_range(0..=LIFE_MILLIS_MAX));
        all.extend(live(Served::spawn(&data, &config), death));
        if kill % 10 == 0 {
            let answer = csv(&data, "SELECT count(*) FROM lathe");
            let now: u64 = answer.lines().nth(1).and_then(|count| count.parse().ok()).expect("a number");
            assert!(now >= rows, "kill {kill}: {now} rows, {rows} were there before");
            rows = now;
        }
    }
    assert!(all.len() as u64 > kills * 100, "only {} observations were told: too few to say anything", all.len());

    let served = Served::start(&data, &config);
    wait_for("the adapter is connected again", || (served.gateway("lathe")["accepted"].as_u64()? > 0).then_some(()));
    let last = adapter.fall_silent();
    let newest = format!("SELECT count(*) FROM lathe WHERE signal = 'position' AND value = -{last}");
    wait_for("the last number is kept", || (http::sql(served.address(), &newest)[0][0] == 1).then_some(()));
    check_rows(&served, last, &all);
    served.stop();
}

/// Holds all rows against what the adapter says and against what was told.
fn check_rows(served: &Served, last: u64, told: &[Told]) {
    let query = "SELECT signal, time, value, quality, count(*) FROM lathe GROUP BY signal, time, value, quality";
    let rows = http::sql(served.address(), query);
    let numbers: HashMap<String, u64> = (1..=last).map(|number| (time_of(number), number)).collect();
    let mut kept: HashMap<(&str, &str), f64> = HashMap::new();
    for row in &rows {
        let [Value::String(signal), Value::String(time), value, quality, count] = &row[..] else { panic!("{row:?}") };
        let number = numbers.get(time).unwrap_or_else(|| panic!("the adapter never said {time}: {row:?}"));
        assert!(SIGNALS.contains(&signal.as_str()), "{row:?}");
        assert_eq!((value.as_f64(), quality.as_str()), (Some(value_of(signal, *number)), Some("good")), "{row:?}");
        assert_eq!(count.as_u64(), Some(1), "{row:?}");
        assert_eq!(kept.insert((signal, time), value_of(signal, *number)), None, "{row:?} is there twice");
    }
    for (signal, time, value) in told {
        let found = kept.get(&(signal.as_str(), time.as_str()));
        assert_eq!(found, Some(value), "{signal} at {time} was told, and is not there");
    }
}
