//! Questions that take long can be seen and ended, and end by themselves when nobody waits for the answer.

use std::fs;
use std::io::Read;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

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

fn house(config: &str) -> (Served, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tongmai.toml");
    fs::write(&path, config).unwrap();
    (Served::start(&folder.path().join("data"), &path), folder)
}

/// Status and answer of a question that has so many seconds.
fn ask(served: &Served, query: &str, timeout_secs: f64) -> (u16, String) {
    let body = json!({ "query": query, "timeout_secs": timeout_secs }).to_string();
    http::try_post(served.address(), "/api/v1/sql", "application/json", &body).expect("it answers")
}

#[test]
fn questions_that_wait_are_bounded_in_number() {
    // Unlike the other one, this takes no memory that may come to an end.
    const COUNTING: &str = "SELECT sum(value % 7) FROM generate_series(1, 1000000000000000)";
    let (served, _folder) = house("[query]\nconcurrent_max = 1\ntimeout_secs = 300\n");
    let _first = http::begin_sql(served.address(), COUNTING);
    wait_for("the question is seen", || queries(&served).pop());
    let wait = || http::begin_sql(served.address(), "SELECT 1");
    let mut waiting: Vec<_> = (0..64).map(|_| wait()).collect();
    let told = wait_for("no more may wait", || {
        let (status, told) = ask(&served, "SELECT 1", 0.05);
        assert!([408, 503].contains(&status), "{told}");
        // It had a place that one of the others may have wanted.
        (status == 408).then(|| waiting.push(wait()));
        (status == 503).then_some(told)
    });
    assert!(told.contains("too_many_queries") && told.contains("64 questions wait"), "{told}");
    assert_eq!(http::delete(served.address(), "/api/v1/queries/1"), 204);
    let answers = waiting.into_iter().map(|mut asked| {
        let mut answer = String::new();
        asked.read_to_string(&mut answer).unwrap();
        answer
    });
    let (answered, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.starts_with("HTTP/1.0 200"));
    assert_eq!(answered.len(), 64);
    assert!(refused.iter().all(|answer| answer.starts_with("HTTP/1.0 503")), "{refused:?}");
    served.stop();
}

#[test]
fn an_answer_that_is_small_in_memory_and_long_as_json_is_refused() {
    let (served, _folder) = house("[query]\nanswer_bytes_max = 1048576\n");
    let column = |number: u64| format!("value % {number} = 0 AS c{number}");
    let columns: Vec<String> = (2..12).map(column).collect();
    let query = |rows: u64| format!("SELECT {} FROM generate_series(1, {rows})", columns.join(", "));
    let (status, told) = ask(&served, &query(100_000), 30.0);
    assert!(
        status == 413 && told.contains("answer_too_large") && told.contains("larger than 1 MiB"),
        "{status}: {told}"
    );
    assert_eq!(ask(&served, &query(10_000), 30.0).0, 200);
    let list = "SELECT array_agg(value % 2 = 0) FROM generate_series(1, 1000000)";
    assert_eq!(ask(&served, list, 30.0).0, 413);
    served.stop();
}

#[test]
fn the_latest_values_come_page_by_page_and_as_many_as_are_asked_for() {
    let (served, _folder) = house("");
    let lines: String =
        (0..5).map(|press| format!("press,number={press} force={press},strokes=7i 1767225600\n")).collect();
    let written = http::try_post(served.address(), "/write?precision=s", "text/plain", &lines);
    assert!(written.is_some_and(|(status, _)| status == 204));
    let page = |parameters: &str| {
        let (status, page) = http::get(served.address(), &format!("/api/v1/current{parameters}"));
        assert_eq!(status, 200, "{page}");
        let of_presses = |one: &&Value| one["asset"].as_str().is_some_and(|asset| asset.starts_with("device/press"));
        let said = page["observations"].as_array().unwrap().iter().filter(of_presses);
        let said: Vec<String> = said.map(|one| format!("{} {}", one["asset"], one["signal"])).collect();
        (said, page["next"].as_str().map(str::to_owned))
    };
    let (whole, next) = page("");
    assert_eq!((whole.len(), next), (10, None));
    let (mut all, mut next) = page("?limit=3");
    let mut pages = 1;
    while let Some(after) = next {
        let more = page(&format!("?limit=3&after={after}"));
        assert!(more.0.len() <= 4, "no asset begins after three: {more:?}");
        all.extend(more.0);
        (next, pages) = (more.1, pages + 1);
    }
    assert!(pages >= 3 && all == whole, "{pages} pages: {all:?}");
    assert_eq!(page("?signal=force").0.len(), 5);
    assert_eq!(page("?asset=device/press%2Cnumber%3D3&signal=force").0.len(), 1);
    for wrong in ["limit=0", "limit=50001", "limit=x", "after=nowhere"] {
        let (status, told) = http::get(served.address(), &format!("/api/v1/current?{wrong}"));
        assert_eq!((status, &told["code"]), (400, &"invalid_parameter".into()), "{wrong}: {told}");
    }
    served.stop();
}

#[test]
fn what_does_not_fit_into_the_memory_goes_below_the_data_directory() {
    let (served, folder) = house("[query]\nmemory_bytes_max = 50331648\nrows_max = 10\n");
    let spill = folder.path().join("data/spill");
    let left = spill.join("datafusion-left");
    served.stop();
    fs::create_dir_all(&left).unwrap();
    fs::write(spill.join("mine"), "").unwrap();
    let served = Served::start(&folder.path().join("data"), &folder.path().join("tongmai.toml"));
    assert!(!left.exists() && spill.join("mine").exists(), "what an earlier run left is gone, and nothing else");
    let sorted = "SELECT value, (value * 7919) % 8000009 AS key FROM generate_series(1, 8000000) ORDER BY key";
    let asked = http::begin_sql(served.address(), sorted);
    let files = || -> usize {
        let folders = fs::read_dir(&spill).unwrap().flatten().map(|entry| entry.path());
        folders.map(|folder| fs::read_dir(folder).map_or(0, Iterator::count)).sum()
    };
    wait_for("rows are written to the disk", || (files() > 0).then_some(()));
    drop(asked);
    served.stop();
}
