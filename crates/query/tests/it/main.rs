//! Questions to a small plant and a small fleet: what is asked is answered, and within its limits.

mod limits;
mod reading;
mod rollups;

use std::sync::Arc;
use std::time::Duration;

use model::{
    Batch, Changes, Column, Condition, ConditionLevel, FrameException, Frames, Observation, Profile, Quality, Scale,
    Shape, Signal, Timestamp, Value, ValueKind,
};
use query::format::{AnswerWriter, Format};
use query::{Engine, Limits, QueryError};
use store::{Snapshot, Store, StoreOptions, SystemDisk};

const SECOND_NS: i64 = 1_000_000_000;

fn press() -> Batch {
    let signals = vec![
        Signal::new("force", "x:FORCE", ValueKind::Number).with_unit("kN"),
        Signal::new("state", "x:STATE", ValueKind::Text),
        Signal::new("position", "x:POSITION", ValueKind::Vector),
        Signal::new("motor", "x:MOTOR", ValueKind::Condition),
    ];
    let profile = Arc::new(Profile::new("press", Shape::Changes, signals).unwrap());
    let mut changes = Changes::default();
    let asset = changes.intern(&"machine/p1".parse().unwrap());
    let fault = Condition {
        level: ConditionLevel::Fault,
        native_code: Some("17".into()),
        message: Some("过热".into()),
        ..Condition::default()
    };
    let said = [
        (1, 0, Quality::Good, Value::Number(12.5)),
        (2, 0, Quality::Good, Value::Number(13.5)),
        (3, 0, Quality::Unavailable, Value::Absent),
        (1, 1, Quality::Good, Value::Text("UP".into())),
        (1, 2, Quality::Good, Value::Vector([1.0, 2.5, 0.0].into())),
        (2, 3, Quality::Good, Value::Condition(Box::new(fault))),
    ];
    for (second, signal, quality, value) in said {
        let time = Timestamp::from_nanos(second * SECOND_NS);
        changes.push(asset, Observation { signal, time, sequence: 0, quality, value, statistic: None });
    }
    Batch::changes(profile, Timestamp::from_nanos(9 * SECOND_NS), changes)
}

fn cars() -> Batch {
    let mut speed = Signal::new("speed", "x:SPEED", ValueKind::Integer).with_unit("km/h");
    speed.scale = Scale { divisor: 10.0, offset: -5.0 };
    let profile = Profile::new("car", Shape::Frames, vec![speed, Signal::new("Mode", "x:MODE", ValueKind::Text)]);
    let frames = Frames {
        assets: vec!["vehicle/V1".parse().unwrap()],
        asset: vec![0, 0],
        time: vec![Timestamp::from_nanos(SECOND_NS), Timestamp::from_nanos(2 * SECOND_NS)],
        sequence: vec![0, 0],
        columns: vec![Column::Integers(vec![Some(1_205), None]), Column::Texts(vec![None, Some("eco".into())])],
        exceptions: vec![FrameException { row: 1, signal: 0, element: None, quality: Quality::Invalid }],
    };
    Batch::frames(Arc::new(profile.unwrap()), Timestamp::from_nanos(9 * SECOND_NS), frames)
}

struct Plant {
    _dir: tempfile::TempDir,
    engine: Engine,
    snapshots: Vec<Snapshot>,
}

/// The same rows in memory, and in segments.
async fn plant() -> Plant {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
    store.submit(Arc::new(press()), None).await.unwrap();
    store.submit(Arc::new(cars()), None).await.unwrap();
    let hot = store.snapshot();
    store.seal().await.unwrap();
    Plant { _dir: dir, engine: Engine::new(64 << 20).unwrap(), snapshots: vec![hot, store.snapshot()] }
}

const LIMITS: Limits = Limits { rows_max: 100, bytes_max: 16 << 20, timeout: Duration::from_secs(60) };

async fn check(plant: &Plant, sql: &str, expected: &str) {
    for snapshot in &plant.snapshots {
        let answer = plant.engine.answer(snapshot, sql, LIMITS).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(written(Format::Csv, &answer).trim_end(), expected.trim(), "{sql}");
    }
}

fn written(format: Format, answer: &query::Answer) -> String {
    let mut output = Vec::new();
    let mut writer = AnswerWriter::new(format, answer.schema.clone(), &mut output).unwrap();
    answer.batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    String::from_utf8(output).unwrap()
}

#[tokio::test]
async fn everything_is_seen_in_long_form_and_by_profile() {
    let plant = plant().await;
    check(
        &plant,
        "SELECT asset, signal, time, value, text, quality FROM observations ORDER BY asset, signal, time",
        "asset,signal,time,value,text,quality
machine/p1,force,1970-01-01T00:00:01Z,12.5,,good
machine/p1,force,1970-01-01T00:00:02Z,13.5,,good
machine/p1,force,1970-01-01T00:00:03Z,,,unavailable
machine/p1,motor,1970-01-01T00:00:02Z,,FAULT,good
machine/p1,position,1970-01-01T00:00:01Z,,1 2.5 0,good
machine/p1,state,1970-01-01T00:00:01Z,,UP,good
vehicle/V1,Mode,1970-01-01T00:00:02Z,,eco,good
vehicle/V1,speed,1970-01-01T00:00:01Z,115.5,,good
vehicle/V1,speed,1970-01-01T00:00:02Z,,,invalid",
    )
    .await;
    check(&plant, "SELECT native_code, message FROM press WHERE signal = 'motor'", "native_code,message\n17,过热")
        .await;
    check(&plant, r#"SELECT speed, "Mode" FROM car ORDER BY time"#, "speed,Mode\n115.5,\n,eco").await;
    check(
        &plant,
        "SELECT signal, max(time) AS time, last_value(value ORDER BY time) AS value, last_value(quality ORDER BY time) \
         AS quality FROM observations WHERE asset = 'vehicle/V1' AND signal IN ('speed', 'Mode') GROUP BY signal \
         ORDER BY signal",
        "signal,time,value,quality\nMode,1970-01-01T00:00:02Z,,good\nspeed,1970-01-01T00:00:02Z,,invalid",
    )
    .await;
    check(
        &plant,
        "SELECT count(*) AS n, round(avg(value), 1) AS mean, max(vector[2]) AS y FROM press",
        "n,mean,y\n6,13.0,2.5",
    )
    .await;
}

#[tokio::test]
async fn tables_describe_themselves() {
    let plant = plant().await;
    check(&plant, "SELECT * FROM assets ORDER BY asset", "asset,profile\nmachine/p1,press\nvehicle/V1,car").await;
    check(
        &plant,
        "SELECT signal, meaning, kind, unit FROM signals WHERE profile = 'car'",
        "signal,meaning,kind,unit\nspeed,x:SPEED,integer,km/h\nMode,x:MODE,text,",
    )
    .await;
}

#[tokio::test]
async fn an_empty_store_answers_too() {
    let engine = Engine::new(64 << 20).unwrap();
    let answer = engine.answer(&Snapshot::default(), "SELECT * FROM observations", LIMITS).await.unwrap();
    let columns: Vec<String> = answer.schema.fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(columns, ["asset", "signal", "time", "received", "value", "text", "quality"]);
}

#[tokio::test]
async fn nothing_can_be_written_and_mistakes_are_named() {
    let plant = plant().await;
    for (sql, expected) in [
        ("DROP TABLE press", "DDL not supported"),
        ("INSERT INTO press VALUES (1)", ""),
        ("COPY press TO 'x.parquet'", "DML not supported"),
        ("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/tmp'", "DDL not supported"),
        ("SET datafusion.execution.batch_size = 1", "Statement not supported"),
        ("SELECT velocity FROM car", "velocity"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("ASK 1", "this is no SQL: Expected"),
    ] {
        let error = plant.engine.answer(&plant.snapshots[0], sql, LIMITS).await.unwrap_err();
        assert_eq!(error.code(), "invalid_query", "{sql}: {error}");
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
}

#[tokio::test]
async fn rows_time_and_memory_have_limits() {
    let plant = plant().await;
    let snapshot = &plant.snapshots[0];
    let few = Limits { rows_max: 2, ..LIMITS };
    let answer = plant.engine.answer(snapshot, "SELECT * FROM press", few).await.unwrap();
    assert!(answer.truncated);
    assert_eq!(answer.batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 2);
    let whole = plant.engine.answer(snapshot, "SELECT * FROM car", few).await.unwrap();
    assert!(!whole.truncated, "exactly as many as allowed");

    let endless = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b WHERE a.value % 7 = b.value % 5";
    let short = Limits { timeout: Duration::from_millis(200), ..LIMITS };
    let error = plant.engine.answer(snapshot, endless, short).await.unwrap_err();
    assert!(matches!(error, QueryError::Timeout { .. }), "{error}");

    let large = "SELECT array_agg(value) FROM generate_series(1, 3000000)";
    let error = plant.engine.answer(snapshot, large, LIMITS).await.unwrap_err();
    assert!(matches!(error, QueryError::TooLarge { .. }), "{error}");
    let forever = Limits { timeout: Duration::MAX, ..LIMITS };
    assert!(plant.engine.answer(snapshot, "SELECT 1", forever).await.is_ok());
    let error = plant.engine.answer(snapshot, "SELECT repeat('a', 700000000)", LIMITS).await.unwrap_err();
    assert_eq!(error.code(), "invalid_query", "{error}");

    let small = Engine::new(1 << 20).unwrap();
    let greedy = "SELECT array_agg(value) FROM generate_series(1, 3000000)";
    let error = small.answer(snapshot, greedy, LIMITS).await.unwrap_err();
    assert!(matches!(error, QueryError::Memory { .. }), "{error}");
    assert!(error.to_string().contains("more than the 1 MiB"), "{error}");
}

#[tokio::test]
async fn answers_come_as_a_table_json_and_parquet() {
    let plant = plant().await;
    let sql = "SELECT signal, value, vector, message FROM press WHERE value > 13 OR message IS NOT NULL OR vector IS NOT NULL ORDER BY signal";
    let answer = plant.engine.answer(&plant.snapshots[1], sql, LIMITS).await.unwrap();
    assert_eq!(
        written(Format::Table, &answer),
        "signal    value  vector         message
────────  ─────  ─────────────  ───────
force      13.5
motor                           过热
position         [1.0,2.5,0.0]
"
    );
    let json: serde_json::Value = serde_json::from_str(&written(Format::Json, &answer)).unwrap();
    assert_eq!(json[1]["message"], "过热");
    assert_eq!(json[2]["vector"], serde_json::json!([1.0, 2.5, 0.0]));
    assert_eq!(json[0]["vector"], serde_json::Value::Null);

    let mut file = Vec::new();
    let mut writer = AnswerWriter::new(Format::Parquet, answer.schema.clone(), &mut file).unwrap();
    answer.batches.iter().for_each(|batch| writer.write(batch).unwrap());
    assert_eq!(writer.finish().unwrap(), 3);
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
}
