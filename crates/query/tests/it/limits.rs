//! Queries can be seen and ended; what is too much for the memory goes to the disk, or is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use query::{Engine, Limits, QueryError, SPILL_PREFIX};
use store::Snapshot;

use crate::LIMITS;

/// Computes for hours, in the same few megabytes: nothing but its being ended ends it.
const ENDLESS: &str = "SELECT sum(value % 7) FROM generate_series(1, 1000000000000000)";

#[tokio::test]
async fn a_query_is_listed_while_it_runs_and_can_be_ended() {
    let engine = Arc::new(Engine::new(64 << 20).unwrap());
    assert_eq!(engine.running(), []);
    let asked = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { engine.answer(&Snapshot::default(), ENDLESS, LIMITS).await })
    };
    let running = loop {
        match &engine.running()[..] {
            [one] if one.elapsed > Duration::from_millis(50) => break one.clone(),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(running.sql, ENDLESS);
    assert!(!engine.cancel(running.id + 1), "there is no such query");
    assert!(engine.cancel(running.id));
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, QueryError::Cancelled), "{error}");
    assert_eq!(engine.running(), []);
    assert!(!engine.cancel(running.id), "it is over");
}

#[tokio::test]
async fn rows_are_counted_as_they_are_fetched() {
    let engine = Engine::new(64 << 20).unwrap();
    let sql = "SELECT value FROM generate_series(1, 100000)";
    let mut rows = engine.stream(&Snapshot::default(), sql, LIMITS.timeout).await.unwrap();
    let first = rows.next().await.unwrap().unwrap().num_rows() as u64;
    assert_eq!(engine.running()[0].rows, first);
    let mut all = first;
    while let Some(more) = rows.next().await.unwrap() {
        all += more.num_rows() as u64;
    }
    assert_eq!(all, 100_000);
    drop(rows);
    assert_eq!(engine.running(), []);
}

#[tokio::test]
async fn a_query_whose_answer_nobody_waits_for_is_over() {
    let engine = Arc::new(Engine::new(64 << 20).unwrap());
    let nothing = Snapshot::default();
    let asked = engine.answer(&nothing, ENDLESS, LIMITS);
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    assert_eq!(engine.running(), []);
}

#[tokio::test]
async fn whatever_computes_for_hours_leaves_room_for_others_when_it_is_over() {
    let engine = Engine::new(64 << 20).unwrap();
    let short = Limits { timeout: Duration::from_millis(300), ..LIMITS };
    let (a, b) = ("generate_series(1, 1000000) a", "generate_series(1, 1000000) b");
    for sql in [
        &format!("SELECT count(*) FROM {a}, {b}"),
        &format!("SELECT count(*) FROM {a} JOIN {b} ON a.value + b.value < 0"),
        &format!("SELECT count(*) FROM {a} LEFT JOIN {b} ON a.value + b.value < 0"),
        &format!("SELECT count(*) FROM {a} WHERE EXISTS (SELECT 1 FROM {b} WHERE a.value + b.value < 0)"),
        &format!("SELECT count(*) FROM {a} JOIN {b} ON a.value % 2 = b.value % 2 AND a.value + b.value < 0"),
        &format!("SELECT count(*) FROM {a} JOIN {b} ON a.value % 2 = b.value % 2"),
        &format!("SELECT count(DISTINCT a.value % 7) FROM {a} JOIN {b} ON a.value > b.value"),
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        ENDLESS,
    ] {
        // As many as there are threads, and one more.
        for _ in 0..3 {
            let error = engine.answer(&Snapshot::default(), sql, short).await.unwrap_err();
            assert!(matches!(error, QueryError::Timeout { .. }), "{sql}: {error}");
        }
        let next = engine.answer(&Snapshot::default(), "SELECT 1", LIMITS).await;
        assert!(next.is_ok(), "the next one waits for `{sql}`: {next:?}");
    }
}

#[tokio::test]
async fn a_sort_larger_than_the_memory_goes_by_way_of_the_folder_that_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let spill = folder.path().join("spill");
    let engine = Engine::spilling_to(spill.clone(), 32 << 20).unwrap();
    // 2,000,000 rows of 16 bytes and more.
    let sorted = "SELECT value, (value * 7919) % 2000003 AS key FROM generate_series(1, 2000000) ORDER BY key";
    let mut rows = engine.stream(&Snapshot::default(), sorted, Duration::from_secs(300)).await.unwrap();
    let (mut count, mut last) = (0, i64::MIN);
    let mut spilled = 0;
    while let Some(batch) = rows.next().await.unwrap() {
        use arrow::array::AsArray;
        let keys = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>();
        assert!(keys.values().iter().is_sorted() && keys.value(0) >= last);
        last = keys.value(batch.num_rows() - 1);
        count += batch.num_rows();
        spilled = spilled.max(files_in(&spill));
    }
    assert_eq!(count, 2_000_000);
    assert!(spilled > 0, "nothing was written to {}", spill.display());
    drop((rows, engine));
}

/// Files in the folders of `folder`.
fn files_in(folder: &Path) -> usize {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(SPILL_PREFIX);
    folders.filter(named).map(|entry| fs::read_dir(entry.path()).unwrap().count()).sum()
}

#[tokio::test]
async fn what_cannot_go_to_the_disk_is_refused_with_the_reason() {
    let engine = Engine::new(8 << 20).unwrap();
    let limits = Limits { timeout: Duration::from_secs(300), ..LIMITS };
    let grouped = "SELECT count(*) AS n FROM (SELECT value % 300000 AS key, max(value) FROM generate_series(1, 600000) GROUP BY key)";
    let answer = engine.answer(&Snapshot::default(), grouped, limits).await.unwrap();
    assert_eq!(arrow::util::display::array_value_to_string(answer.batches[0].column(0), 0).unwrap(), "300000");
    let joined = "SELECT count(*) FROM generate_series(1, 2000000) a JOIN generate_series(1, 2000000) b ON a.value = b.value + 1";
    let error = engine.answer(&Snapshot::default(), joined, limits).await.unwrap_err();
    assert!(matches!(error, QueryError::Memory { .. }), "{error}");
    assert!(error.to_string().contains("more than the 8 MiB of memory"), "{error}");
    assert!(engine.answer(&Snapshot::default(), "SELECT 1", limits).await.is_ok(), "the engine goes on");
}

#[tokio::test]
async fn what_makes_much_of_little_is_refused_at_once() {
    let engine = Engine::new(8 << 20).unwrap();
    let long = "a".repeat(60_000);
    for sql in [
        "SELECT range(0, 1000000000)",
        "SELECT generate_series(0, 1000000000)",
        "SELECT unnest(generate_series(0, 1000000000))",
        "SELECT array_resize(make_array(1), 1000000000, 1)",
        "SELECT list_resize(make_array(1), 1000000000, 1)",
        "SELECT array_repeat(1, 1000000000)",
        "SELECT list_repeat(1, 1000000000)",
        "SELECT repeat('a', 1000000000)",
        "SELECT lpad('a', 1000000000)",
        "SELECT rpad('a', 1000000000, 'b')",
        "SELECT arrow_cast(NULL, 'FixedSizeBinary(1000000000)')",
        "SELECT arrow_try_cast(NULL, 'FixedSizeList(100000000, Int64)')",
        &format!("SELECT length(replace('{long}', 'a', '{long}'))"),
        &format!("SELECT length(replace(t, 'a', t)) FROM (SELECT '{long}' || value AS t FROM generate_series(1, 2))"),
        &format!("SELECT length(regexp_replace('{long}', 'a', '{long}', 'g'))"),
        &format!("SELECT length(array_to_string(string_to_array('{long}', NULL), '{long}'))"),
        &format!("SELECT length(list_join(string_to_array('{long}', NULL), '{long}'))"),
        &format!("SELECT length(concat_ws('{long}'{}))", ", ''".repeat(10_000)),
    ] {
        let started = tokio::time::Instant::now();
        let error = engine.answer(&Snapshot::default(), sql, LIMITS).await.unwrap_err();
        let shown = &sql[..sql.len().min(60)];
        assert!(matches!(error, QueryError::Invalid(_)), "{shown}: {error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{shown}");
    }
}

#[tokio::test]
async fn functions_with_a_bound_do_what_they_do() {
    let engine = Engine::new(64 << 20).unwrap();
    for (sql, expected) in [
        ("SELECT replace('abcb', 'b', 'xy')", "axycxy"),
        ("SELECT regexp_replace('abcb', '(b)', '<\\1>', 'g')", "a<b>c<b>"),
        ("SELECT array_to_string(make_array(1, NULL, 3), '-', '?')", "1-?-3"),
        ("SELECT list_to_string(make_array('a', 'b'), ', ')", "a, b"),
        ("SELECT concat_ws('-', 'a', NULL, value) FROM generate_series(7, 7)", "a-7"),
        ("SELECT max(replace('v' || value, '9', 'n')) FROM generate_series(1, 9)", "vn"),
        ("SELECT count(*) FROM generate_series(1, 1000) a, range(0, 10) b", "10000"),
    ] {
        let answer =
            engine.answer(&Snapshot::default(), sql, LIMITS).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let told = arrow::util::display::array_value_to_string(answer.batches[0].column(0), 0).unwrap();
        assert_eq!(told, expected, "{sql}");
    }
}
