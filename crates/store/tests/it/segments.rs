//! What stands in segments: wide frames with scaled integers, profiles that grow, the order of rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use model::{
    Batch, Column, FrameException, Frames, Profile, Quality, Scale, Shape, Signal, Timestamp, Value, ValueKind,
};

use crate::press::{chunks, open, submit, wait};

fn car(signals: &[&str]) -> Arc<Profile> {
    let signals = signals.iter().map(|id| {
        let mut signal = Signal::new(id, "x:Y", ValueKind::Integer).with_unit("km/h");
        signal.scale = Scale { divisor: 10.0, offset: 0.0 };
        signal
    });
    Arc::new(Profile::new("car", Shape::Frames, signals.collect()).unwrap())
}

fn frame(profile: &Arc<Profile>, second: i64, values: &[Option<i64>]) -> Arc<Batch> {
    let frames = Frames {
        assets: vec!["vehicle/V1".parse().unwrap()],
        asset: vec![0],
        time: vec![Timestamp::from_millis(second * 1_000)],
        sequence: vec![0],
        columns: values.iter().map(|value| Column::Integers(vec![*value])).collect(),
        exceptions: values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_none())
            .map(|(signal, _)| FrameException {
                row: 0,
                signal: signal as u16,
                element: None,
                quality: Quality::Invalid,
            })
            .collect(),
    };
    Arc::new(Batch::frames(Arc::clone(profile), Timestamp::from_millis(second * 1_000 + 7), frames))
}

#[test]
fn frames_are_wide_and_keep_wire_integers_and_qualities() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let narrow = car(&["speed"]);
    let wide = car(&["range", "speed"]);
    submit(&store, frame(&narrow, 1, &[Some(1_205)])).unwrap();
    submit(&store, frame(&wide, 2, &[Some(4_000), None])).unwrap();
    assert_eq!(submit(&store, frame(&wide, 2, &[Some(4_000), None])).unwrap().duplicates, 1);
    for round in 0..2 {
        let mut found = Vec::new();
        for chunk in chunks(&store.snapshot(), "car") {
            let column = |name: &str| chunk.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
            let (speed, range) = (column("speed"), column("range"));
            let exceptions = chunk.column_by_name("exceptions").unwrap().as_list::<i32>().clone();
            for row in 0..chunk.num_rows() {
                let value = |column: &arrow::array::Int64Array| column.is_valid(row).then(|| column.value(row));
                found.push((value(&speed), value(&range), exceptions.is_valid(row)));
            }
        }
        found.sort_unstable();
        assert_eq!(found, [(None, Some(4_000), true), (Some(1_205), None, false)], "round {round}");
        wait(store.seal()).unwrap();
    }
    let latest = store.current(Some(&"vehicle/V1".parse().unwrap()));
    let speed = latest.iter().find(|latest| &*latest.profile.signal(latest.observation.signal).id == "speed").unwrap();
    assert_eq!((&speed.observation.value, speed.observation.quality), (&Value::Absent, Quality::Invalid));
    store.close();
    let store = open(dir.path());
    assert_eq!(store.current(None), latest, "latest values are the same after a restart");
    assert_eq!(submit(&store, frame(&wide, 2, &[Some(4_000), None])).unwrap().duplicates, 1);
    store.close();
}
