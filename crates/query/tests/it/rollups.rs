//! Answers from roll-ups are those from the rows themselves.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use model::{Batch, Column, Frames, Profile, Scale, Shape, Signal, Timestamp, ValueKind};
use query::{Answer, Engine, Limits};
use store::{Snapshot, Store, StoreOptions, SystemDisk};

use crate::LIMITS;

/// 2026-01-01T00:00:00Z.
const BEGIN_SECS: i64 = 1_767_225_600;
const ASSETS: usize = 4;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn profile() -> Arc<Profile> {
    let mut speed = Signal::new("speed", "x:SPEED", ValueKind::Integer);
    speed.scale = Scale { divisor: 10.0, offset: -40.0 };
    let mut reversed = Signal::new("Reversed", "x:R", ValueKind::Integer);
    reversed.scale = Scale { divisor: -4.0, offset: 0.0 };
    let signals = vec![
        speed,
        Signal::new("load", "x:LOAD", ValueKind::Number),
        Signal::new("mode", "x:MODE", ValueKind::Text),
        reversed,
        Signal::new("huge", "x:HUGE", ValueKind::Integer),
        Signal::new("whole", "x:WHOLE", ValueKind::Integer),
    ];
    Arc::new(Profile::new("van", Shape::Frames, signals).unwrap())
}

/// A frame of each asset for each second of `seconds`, with gaps.
fn batch(profile: &Arc<Profile>, dice: &mut Dice, seconds: std::ops::Range<i64>) -> Batch {
    let mut frames = Frames { assets: assets(), ..Frames::default() };
    let (mut speed, mut load, mut mode, mut reversed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut huge, mut whole) = (Vec::new(), Vec::new());
    for second in seconds {
        for asset in 0..ASSETS as u16 {
            if dice.below(50) == 0 {
                continue;
            }
            frames.asset.push(asset);
            let millis = (BEGIN_SECS + second) * 1_000 + dice.below(1_000) as i64;
            frames.time.push(Timestamp::from_millis(millis));
            frames.sequence.push(0);
            speed.push((dice.below(4) > 0).then(|| dice.below(2_000) as i64));
            load.push((dice.below(3) > 0).then(|| dice.below(100_000) as f64 / 7.0 - 5_000.0));
            mode.push((dice.below(9) == 0).then(|| "eco".into()));
            reversed.push((dice.below(40) == 0).then(|| dice.below(1_000) as i64 - 500));
            huge.push(Some(i64::MAX - dice.below(9) as i64));
            whole.push(Some(second));
        }
    }
    frames.columns = vec![
        Column::Integers(speed),
        Column::Numbers(load),
        Column::Texts(mode),
        Column::Integers(reversed),
        Column::Integers(huge),
        Column::Integers(whole),
    ];
    Batch::frames(Arc::clone(profile), Timestamp::from_millis((BEGIN_SECS + 86_400) * 1_000), frames)
}

fn assets() -> Vec<model::AssetId> {
    (0..ASSETS).map(|number| format!("vehicle/V{number}").parse().unwrap()).collect()
}

struct Fleet {
    _dir: tempfile::TempDir,
    engine: Engine,
    snapshot: Snapshot,
}

/// Three hours and a half: segments that end within an hour, the last rows in memory.
async fn fleet() -> Fleet {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
    let (profile, mut dice) = (profile(), Dice(7));
    for (begin, end) in [(0, 3_600), (3_600, 6_630), (6_630, 10_800), (10_800, 12_600)] {
        for first in (begin..end).step_by(600) {
            let batch = batch(&profile, &mut dice, first..(first + 600).min(end));
            store.submit(Arc::new(batch), None).await.unwrap();
        }
        if end < 12_600 {
            store.seal().await.unwrap();
        }
    }
    let snapshot = store.snapshot();
    assert!(snapshot.tables[0].segments.iter().any(|segment| !segment.rollups.is_empty()), "there are roll-ups");
    Fleet { _dir: dir, engine: Engine::new(256 << 20).unwrap(), snapshot }
}

impl Fleet {
    async fn ask(&self, sql: &str) -> RecordBatch {
        let limits = Limits { rows_max: 1_000_000, bytes_max: 256 << 20, ..LIMITS };
        let answer = self.engine.answer(&self.snapshot, sql, limits).await;
        let Answer { schema, batches, .. } = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
        concat_batches(&schema, &batches).unwrap()
    }

    async fn plan(&self, sql: &str) -> String {
        let plan = self.ask(&format!("EXPLAIN {sql}")).await;
        (0..plan.num_rows()).map(|row| array_value_to_string(plan.column(1), row).unwrap() + "\n").collect()
    }

    /// The same answer to `sql` with `condition` and with one that only rows fulfil.
    async fn check(&self, sql: &str, condition: &str, rest: &str) {
        let rolled = self.ask(&format!("{sql} WHERE {condition} {rest}")).await;
        let raw = self.ask(&format!("{sql} WHERE ({condition}) AND sequence >= 0 {rest}")).await;
        let text = format!("{sql} WHERE {condition} {rest}");
        assert_eq!(rolled.schema().fields().len(), raw.schema().fields().len(), "{text}");
        assert_eq!(rolled.num_rows(), raw.num_rows(), "{text}");
        for (place, field) in raw.schema().fields().iter().enumerate() {
            let (one, other) = (rolled.column(place), raw.column(place));
            assert_eq!(rolled.schema().field(place).name(), field.name(), "{text}");
            assert_eq!(one.data_type(), other.data_type(), "{text}");
            for row in 0..raw.num_rows() {
                let is_same = match field.data_type() {
                    DataType::Float64 => {
                        let (one, other) = (one.as_primitive::<Float64Type>(), other.as_primitive::<Float64Type>());
                        let values =
                            |column: &arrow::array::Float64Array| column.is_valid(row).then(|| column.value(row));
                        is_near(values(one), values(other))
                    }
                    _ => array_value_to_string(one, row).unwrap() == array_value_to_string(other, row).unwrap(),
                };
                let shown = |column| array_value_to_string(column, row).unwrap();
                assert!(is_same, "{text}\n{} of row {row}: {} instead of {}", field.name(), shown(one), shown(other));
            }
        }
    }
}

/// The same but for the order in which numbers of up to 200 in size were added up.
fn is_near(one: Option<f64>, other: Option<f64>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one == other };
    (one - other).abs() <= 1e-12 * one.abs().max(other.abs()).max(200.0)
}

#[tokio::test]
async fn answers_from_rollups_are_those_from_rows() {
    let fleet = fleet().await;
    let mut dice = Dice(11);
    let buckets = [
        "date_bin(INTERVAL '1 minute', time)",
        "date_bin(INTERVAL '5 minutes', time)",
        "date_bin(INTERVAL '7 minutes', time)",
        "date_bin(INTERVAL '90 seconds', time)",
        "date_bin(INTERVAL '1 hour', time)",
        "date_bin(INTERVAL '1 hour', time, TIMESTAMP '2026-01-01T00:30:00Z')",
        "date_bin(INTERVAL '10 minutes', time, TIMESTAMP '2026-01-01T00:00:07Z')",
        "date_trunc('minute', time)",
        "date_trunc('hour', time)",
        "date_trunc('day', time)",
        "date_trunc('week', time)",
    ];
    let wanted = [
        "avg(speed)",
        "sum(speed)",
        "count(speed)",
        "min(speed)",
        "max(speed)",
        "avg(load)",
        "sum(load)",
        "count(load)",
        "min(load)",
        "max(load)",
        "count(mode)",
        "count(*)",
        "count(1)",
        "min(\"Reversed\")",
        "max(\"Reversed\")",
        "avg(\"Reversed\")",
        "avg(huge)",
        "sum(huge)",
        "count(huge)",
        "max(huge)",
        "avg(speed + load)",
        "max(time)",
        "sum(whole)",
        "round(avg(speed), 1)",
        "sum(speed) / count(*)",
        "count(DISTINCT speed)",
    ];
    let times = [
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00Z",
        "2026-01-01T00:30:00Z",
        "2026-01-01T00:30:30Z",
        "2026-01-01T01:50:30Z",
        "2026-01-01T02:00:00Z",
        "2026-01-01T03:17:00Z",
        "2026-01-01T03:17:11Z",
        "2025-12-31T00:00:00Z",
        "2027-01-01T00:00:00Z",
    ];
    let assets = [
        "asset = 'vehicle/V1'",
        "asset IN ('vehicle/V1', 'vehicle/V3')",
        "asset LIKE '%2'",
        "asset <> 'vehicle/V0'",
        "asset = 'vehicle/none'",
        "true",
    ];
    for _ in 0..120 {
        let (from, to) = (dice.one_of(&times), dice.one_of(&times));
        let span = match dice.below(5) {
            0 => "true".to_owned(),
            1 => format!("time >= '{from}'"),
            2 => format!("time < '{to}'"),
            3 => format!("time BETWEEN '{from}' AND '{to}'"),
            _ => format!("time >= '{from}' AND time < '{to}'"),
        };
        let condition = format!("{span} AND {}", dice.one_of(&assets));
        let values: Vec<&str> = (0..=dice.below(4)).map(|_| dice.one_of(&wanted)).collect();
        let values: Vec<String> =
            values.iter().enumerate().map(|(place, value)| format!("{value} AS v{place}")).collect();
        let values = values.join(", ");
        let bucket = dice.one_of(&buckets);
        let (columns, rest) = match dice.below(4) {
            0 => (String::new(), ""),
            1 => ("asset, ".to_owned(), "GROUP BY asset ORDER BY asset"),
            2 => (format!("{bucket} AS t, "), "GROUP BY t ORDER BY t"),
            _ => (format!("asset, {bucket} AS t, "), "GROUP BY 1, 2 ORDER BY 1, 2"),
        };
        fleet.check(&format!("SELECT {columns}{values} FROM van"), &condition, rest).await;
    }
}

#[tokio::test]
async fn rollups_are_used_where_they_answer_exactly_and_nowhere_else() {
    let fleet = fleet().await;
    let minute = "SELECT asset, date_bin(INTERVAL '1 minute', time) AS t, avg(speed) FROM van";
    for (sql, expected) in [
        (format!("{minute} GROUP BY 1, 2"), Some("roll-ups of 60 s")),
        (format!("{minute} WHERE time >= '2026-01-01T00:10:00Z' AND time < '2026-01-01T00:20:00Z' GROUP BY 1, 2"), Some("60 s")),
        // The span cuts through a minute in which there are rows: all of that segment are needed.
        (format!("{minute} WHERE time >= '2026-01-01T00:10:01Z' AND time < '2026-01-01T00:20:00Z' GROUP BY 1, 2"), None),
        (format!("{minute} WHERE time < '2026-01-01T00:20:00Z' AND speed > 3 GROUP BY 1, 2"), None),
        (format!("{minute} WHERE received > '2026-01-01T00:20:00Z' GROUP BY 1, 2"), None),
        (format!("{minute} WHERE asset LIKE '%1' GROUP BY 1, 2 HAVING avg(speed) > 2 ORDER BY 2 LIMIT 3"), Some("60 s")),
        ("SELECT asset, avg(speed) FROM van GROUP BY asset".into(), Some("3600 s")),
        ("SELECT asset, max(speed), min(load) FROM van GROUP BY asset".into(), Some("3600 s")),
        ("SELECT date_bin(INTERVAL '1 minute', time), max(speed) FROM van GROUP BY 1".into(), None),
        ("SELECT date_trunc('hour', time) h, max(speed) FROM van GROUP BY 1".into(), Some("3600 s")),
        ("SELECT date_bin(INTERVAL '30 seconds', time), avg(speed) FROM van GROUP BY 1".into(), None),
        ("SELECT date_bin(INTERVAL '1 month', time), avg(speed) FROM van GROUP BY 1".into(), None),
        ("SELECT avg(speed) FILTER (WHERE speed > 1) FROM van".into(), None),
        ("SELECT avg(DISTINCT speed) FROM van".into(), None),
        ("SELECT median(speed) FROM van".into(), None),
        ("SELECT speed, count(*) FROM van GROUP BY speed".into(), None),
        ("SELECT v.asset, avg(v.s) FROM (SELECT asset, speed AS s, time FROM van) v WHERE v.time < '2026-01-01T00:20:00Z' GROUP BY 1".into(), Some("60 s")),
        ("WITH v AS (SELECT * FROM van) SELECT asset, sum(load) FROM v GROUP BY 1".into(), Some("3600 s")),
    ] {
        let plan = fleet.plan(&sql).await;
        match expected {
            Some(expected) => assert!(plan.contains("van by roll-ups of ") && plan.contains(expected), "{sql}\n{plan}"),
            None => assert!(!plan.contains("roll-up"), "{sql}\n{plan}"),
        }
    }
}

#[tokio::test]
async fn what_stands_in_one_bucket_alone_is_not_added_up() {
    let fleet = fleet().await;
    let minute = "SELECT asset, date_bin(INTERVAL '1 minute', time) AS t, avg(speed), sum(load), count(*), avg(\"Reversed\") FROM van";
    let in_segments = "time >= '2026-01-01T00:10:00Z' AND time < '2026-01-01T00:20:00Z'";
    for (condition, rest, is_single) in [
        (in_segments, "GROUP BY 1, 2", true),
        (in_segments, "GROUP BY t, asset", true),
        // A minute of which two segments have a part, rows in memory, and buckets that are longer.
        ("time < '2026-01-01T02:00:00Z'", "GROUP BY 1, 2", false),
        ("time >= '2026-01-01T02:00:00Z'", "GROUP BY 1, 2", false),
    ] {
        let plan = fleet.plan(&format!("{minute} WHERE {condition} {rest}")).await;
        assert!(plan.contains("roll-ups of 60 s"), "{condition}\n{plan}");
        assert_eq!(!plan.contains("Aggregate"), is_single, "{condition}\n{plan}");
        fleet.check(minute, condition, &format!("{rest} ORDER BY 1, 2")).await;
    }
    let coarser = "SELECT asset, date_bin(INTERVAL '5 minutes', time) AS t, avg(speed) FROM van";
    let plan = fleet.plan(&format!("{coarser} WHERE {in_segments} GROUP BY 1, 2")).await;
    assert!(plan.contains("Aggregate"), "{plan}");
}
