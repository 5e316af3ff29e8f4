//! Only what can answer a question is read, and it is the same wherever it lies.

use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use model::{Batch, Column, Frames, Profile, Scale, Shape, Signal, Timestamp, ValueKind};
use query::Engine;
use store::{Snapshot, Store, StoreOptions, SystemDisk};

use crate::{LIMITS, SECOND_NS, press};

/// Frames of two vans, one a second from `first` on: wire integers, numbers, and whether the third signal is known yet.
fn vans(first: i64, count: i64, knows_door: bool) -> Batch {
    let mut speed = Signal::new("speed", "x:SPEED", ValueKind::Integer);
    speed.scale = Scale { divisor: 10.0, offset: -40.0 };
    let mut signals = vec![speed, Signal::new("load", "x:LOAD", ValueKind::Number)];
    if knows_door {
        signals.push(Signal::new("door", "x:DOOR", ValueKind::Text));
    }
    let profile = Arc::new(Profile::new("van", Shape::Frames, signals).unwrap());
    let rows = (first..first + count).flat_map(|second| [(second, 0), (second, 1)]);
    let mut frames =
        Frames { assets: ["V1", "V2"].map(|id| format!("vehicle/{id}").parse().unwrap()).into(), ..Frames::default() };
    let (mut speeds, mut loads) = (Vec::new(), Vec::new());
    for (second, asset) in rows {
        frames.asset.push(asset);
        frames.time.push(Timestamp::from_nanos(second * SECOND_NS));
        frames.sequence.push(0);
        speeds.push((second % 3 > 0).then_some(second));
        loads.push(Some(second as f64 / 10.0));
    }
    let doors = speeds.iter().map(|speed| speed.filter(|speed| speed % 10 == 0).map(|_| "open".into())).collect();
    frames.columns = vec![Column::Integers(speeds), Column::Numbers(loads)];
    if knows_door {
        frames.columns.push(Column::Texts(doors));
    }
    Batch::frames(profile, Timestamp::from_nanos(9_999 * SECOND_NS), frames)
}

struct Yard {
    _dir: tempfile::TempDir,
    engine: Engine,
    snapshot: Snapshot,
}

impl Yard {
    /// Seconds 0 to 99 in a segment, 200 to 299 in another one that knows a signal more, 400 to 409 in memory; and a
    /// press, whose rows are in the first segments.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
        store.submit(Arc::new(press()), None).await.unwrap();
        for (first, count, knows_door) in [(0, 100, false), (200, 100, true), (400, 10, true)] {
            store.submit(Arc::new(vans(first, count, knows_door)), None).await.unwrap();
            if first < 400 {
                store.seal().await.unwrap();
            }
        }
        Self { _dir: dir, engine: Engine::new(64 << 20).unwrap(), snapshot: store.snapshot() }
    }

    /// The rows of the answer, their columns parted by blanks.
    async fn ask(&self, sql: &str) -> Vec<String> {
        let answer = self.engine.answer(&self.snapshot, sql, LIMITS).await;
        let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut rows = Vec::new();
        for batch in &answer.batches {
            let shown = |row: usize| {
                let columns = batch.columns().iter();
                columns.map(|column| array_value_to_string(column, row).unwrap()).collect::<Vec<_>>().join(" ")
            };
            rows.extend((0..batch.num_rows()).map(shown));
        }
        rows
    }

    #[track_caller]
    fn check(&self, answer: &[String], expected: &[&str]) {
        assert_eq!(answer, expected);
    }

    /// The plan of `sql`, as text.
    async fn plan(&self, sql: &str) -> String {
        self.ask(&format!("EXPLAIN {sql}")).await.join("\n")
    }
}

#[tokio::test]
async fn rows_are_the_same_in_files_that_differ_and_in_memory() {
    let yard = Yard::new().await;
    let sum = "SELECT count(*), count(speed), round(sum(speed), 6), round(sum(load), 6), count(door), min(time), max(time) FROM van";
    yard.check(&yard.ask(sum).await, &["420 280 -6634.0 6789.0 16 1970-01-01T00:00:00Z 1970-01-01T00:06:49Z"]);
    yard.check(
        &yard.ask("SELECT asset, time, speed, load, door FROM van WHERE time IN ('1970-01-01T00:00:10Z', '1970-01-01T00:03:20Z', '1970-01-01T00:06:40Z') ORDER BY time, asset").await,
        &[
            "vehicle/V1 1970-01-01T00:00:10Z -39.0 1.0 ",
            "vehicle/V2 1970-01-01T00:00:10Z -39.0 1.0 ",
            "vehicle/V1 1970-01-01T00:03:20Z -20.0 20.0 open",
            "vehicle/V2 1970-01-01T00:03:20Z -20.0 20.0 open",
            "vehicle/V1 1970-01-01T00:06:40Z 0.0 40.0 open",
            "vehicle/V2 1970-01-01T00:06:40Z 0.0 40.0 open",
        ],
    );
    // In tenths, kept as decimals in the segments: as numbers they have to be the very same ones.
    yard.check(
        &yard.ask("SELECT count(*) FROM van WHERE load = CAST(extract(epoch FROM time) AS DOUBLE) / 10.0").await,
        &["420"],
    );
    let long = "SELECT signal, count(*), count(value), round(sum(value), 6), count(text) FROM observations WHERE asset LIKE 'vehicle/%' GROUP BY signal ORDER BY signal";
    yard.check(&yard.ask(long).await, &["door 16 0  16", "load 420 420 6789.0 0", "speed 280 280 -6634.0 0"]);
    yard.check(&yard.ask("SELECT count(*) FROM observations").await, &["722"]);
}

#[tokio::test]
async fn segments_whose_time_does_not_match_are_not_opened() {
    let yard = Yard::new().await;
    let files = async |sql: &str| yard.plan(sql).await.matches(".parquet").count();
    assert_eq!(files("SELECT * FROM van").await, 2);
    assert_eq!(files("SELECT * FROM van WHERE time < '1970-01-01T00:01:00Z'").await, 1);
    assert_eq!(files("SELECT * FROM van WHERE time > '1970-01-01T00:06:00Z'").await, 0);
    assert_eq!(
        files("SELECT * FROM van WHERE time BETWEEN '1970-01-01T00:01:39Z' AND '1970-01-01T00:03:20Z'").await,
        2
    );
    assert_eq!(
        files("SELECT * FROM van WHERE time BETWEEN '1970-01-01T00:01:40Z' AND '1970-01-01T00:03:19Z'").await,
        0
    );
    assert_eq!(
        files("SELECT count(*) FROM van v JOIN assets a ON a.asset = v.asset WHERE v.time >= '1970-01-01T00:03:00Z'")
            .await,
        1
    );
}

#[tokio::test]
async fn conditions_reach_the_files_also_where_there_are_rows_in_memory() {
    let yard = Yard::new().await;
    for (sql, expected) in [
        ("SELECT * FROM van WHERE asset = 'vehicle/V1'", "asset_min@"),
        ("SELECT speed FROM van WHERE load > 1000", "load_max@"),
        ("SELECT * FROM press WHERE signal = 'force'", "signal_min@"),
        ("SELECT value FROM observations WHERE asset = 'vehicle/V1' AND signal = 'speed'", "asset_min@"),
        ("SELECT count(*) FROM observations WHERE asset = 'machine/p1' AND signal = 'force'", "signal_min@"),
    ] {
        let plan = yard.plan(sql).await;
        assert!(plan.contains("pruning_predicate=") && plan.contains(expected), "{sql}\n{plan}");
        // Once, or skipping takes twice as long.
        assert_eq!(plan.matches(expected).count(), 1, "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn observations_are_read_from_the_tables_and_columns_that_can_have_them() {
    let yard = Yard::new().await;
    let plan = yard.plan("SELECT time, value FROM observations WHERE signal = 'speed' AND asset = 'vehicle/V1'").await;
    assert!(plan.contains("UnpivotExec: signals=1") && plan.contains("segments/van/"), "{plan}");
    assert!(!plan.contains("segments/press/") && !plan.contains("load"), "{plan}");
    let plan =
        yard.plan("SELECT count(*) FROM observations WHERE signal LIKE '%o%' AND time < '1970-01-01T00:01:00Z'").await;
    // Load and door; of the press force, position and motor.
    assert!(plan.contains("UnpivotExec: signals=2") && plan.contains("segments/press/"), "{plan}");
    assert_eq!(plan.matches("segments/van/").count(), 1, "{plan}");
    for nowhere in [
        "asset = 'vehicle/V9'",
        "signal = 'colour'",
        "signal IN ('colour', 'taste')",
        "asset = 'machine/p1' AND signal = 'speed'",
    ] {
        let plan = yard.plan(&format!("SELECT * FROM observations WHERE {nowhere}")).await;
        assert!(!plan.contains("segments"), "{nowhere}: {plan}");
        assert_eq!(yard.ask(&format!("SELECT * FROM observations WHERE {nowhere}")).await, [""; 0]);
    }
    yard.check(&yard.ask("SELECT count(*) FROM observations WHERE signal IN ('speed', 'force')").await, &["283"]);
    yard.check(&yard.ask("SELECT count(*) FROM observations WHERE upper(signal) = 'DOOR' OR false").await, &["16"]);
}

#[tokio::test]
async fn what_was_read_of_a_file_is_known_the_next_time() {
    let yard = Yard::new().await;
    let sql = "SELECT count(speed) FROM van WHERE asset = 'vehicle/V2' AND speed > -30";
    let first = yard.ask(sql).await;
    assert_eq!(yard.ask(sql).await, first);
    // The files are gone, and the snapshot is asked for what stands in the manifest.
    for segment in yard.snapshot.tables.iter().flat_map(|table| &table.segments) {
        std::fs::remove_file(&segment.path).unwrap();
    }
    yard.check(&yard.ask("SELECT count(*) FROM van").await, &["420"]);
    let error = yard.engine.answer(&yard.snapshot, sql, LIMITS).await.unwrap_err();
    assert_eq!(error.code(), "file_unreadable");
    assert!(error.to_string().contains("failed to read `") && error.to_string().contains(".parquet`"), "{error}");
}

#[tokio::test]
async fn all_tables_and_columns_stand_in_the_information_schema() {
    let yard = Yard::new().await;
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name";
    yard.check(&yard.ask(tables).await, &["assets", "observations", "press", "signals", "van"]);
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'van' ORDER BY ordinal_position";
    let columns = yard.ask(columns).await;
    let names: Vec<&str> = columns.iter().map(|column| column.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["asset", "time", "received", "sequence", "speed", "load", "door", "exceptions"]);
    assert_eq!(columns[4], "speed Float64", "physical, whatever is kept");
    assert_eq!(columns[6], "door Utf8");
}
