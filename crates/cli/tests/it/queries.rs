//! Questions that take long can be seen and ended, and end by themselves when nobody waits for the answer.

use std::fs;
use std::io::Read;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::served::{Served, wait_for};

/// Computes for minutes and tells nothing meanwhile.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b \
                       WHERE a.value % 7 = b.value % 5";

fn queries(served: &Served) -> Vec<Value> {
    let (status, body) = http::get(served.address(), "/api/v1/queries");
    assert_eq!(status, 200, "{body}");
    body["queries"].as_array().expect("a list").clone()
}

/// Processor time that the server has used, in hundredths of a second.
fn cpu_ticks(served: &Served) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", served.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn is_idle(served: &Served) -> bool {
    let before = cpu_ticks(served);
    thread::sleep(Duration::from_millis(500));
    cpu_ticks(served) - before < 15
}

#[test]
fn a_question_can_be_seen_and_ended_and_ends_when_its_client_goes() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tongmai.toml");
    fs::write(&config, "").unwrap();
    let served = Served::start(&folder.path().join("data"), &config);
    assert_eq!(queries(&served), [Value::Null; 0]);
    assert_eq!(http::delete(served.address(), "/api/v1/queries/1"), 404);
    assert_eq!(http::delete(served.address(), "/api/v1/queries/first"), 404);

    let mut asked = http::begin_sql(served.address(), ENDLESS);
    let query = wait_for("the question is seen", || queries(&served).pop());
    assert_eq!(query["query"], ENDLESS);
    assert_eq!(http::delete(served.address(), &format!("/api/v1/queries/{}", query["id"])), 204);
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 409") && answer.contains("query_cancelled"), "{answer}");
    wait_for("the server is idle", || is_idle(&served).then_some(()));

    let asked = http::begin_sql(served.address(), ENDLESS);
    wait_for("the question is seen", || queries(&served).pop());
    drop(asked);
    wait_for("the question is gone", || queries(&served).is_empty().then_some(()));
    wait_for("the server is idle", || is_idle(&served).then_some(()));
    served.stop();
}
