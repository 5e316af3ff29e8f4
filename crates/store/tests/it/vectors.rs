//! Vectors in frames: cell voltages, temperatures, fault codes. Kept as wire integers, each element with its quality.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use model::{
    Batch, Column, FrameException, Frames, Profile, Quality, Scale, Shape, Signal, Timestamp, Value, ValueKind, Vectors,
};

use crate::press::{chunks, open, submit, wait};

fn pack() -> Arc<Profile> {
    let mut cell = Signal::new("cell", "x:CELL", ValueKind::Vector).with_unit("V");
    cell.scale = Scale { divisor: 1_000.0, offset: 0.0 };
    let signals = vec![Signal::new("soc", "x:SOC", ValueKind::Integer), cell];
    Arc::new(Profile::new("pack", Shape::Frames, signals).unwrap())
}

/// A frame with `cells`; those that are [`Vectors::MISSING`] are abnormal.
fn frame(second: i64, cells: Option<&[i64]>) -> Arc<Batch> {
    let mut vectors = Vectors::default();
    vectors.push(cells.map(|cells| cells.iter().copied()));
    let missing = cells.unwrap_or_default().iter().enumerate().filter(|(_, cell)| **cell == Vectors::MISSING);
    let exceptions = missing.map(|(place, _)| FrameException {
        row: 0,
        signal: 1,
        element: Some(place as u16),
        quality: Quality::Abnormal,
    });
    let frames = Frames {
        assets: vec!["vehicle/V1".parse().unwrap()],
        asset: vec![0],
        time: vec![Timestamp::from_millis(second * 1_000)],
        sequence: vec![0],
        exceptions: exceptions.collect(),
        columns: vec![Column::Integers(vec![Some(second)]), Column::Vectors(vectors)],
    };
    Arc::new(Batch::frames(pack(), Timestamp::from_millis(second * 1_000 + 7), frames))
}

/// For each row the state of charge, the cells, and what is told of them.
type Row = (i64, Option<Vec<Option<i64>>>, Vec<(String, String)>);

fn rows(store: &store::Store) -> Vec<Row> {
    let mut rows = Vec::new();
    for chunk in chunks(&store.snapshot(), "pack") {
        let column = |name: &str| chunk.column_by_name(name).unwrap();
        let (cells, exceptions) = (column("cell").as_list::<i32>(), column("exceptions").as_list::<i32>());
        for row in 0..chunk.num_rows() {
            let list = cells.is_valid(row).then(|| cells.value(row).as_primitive::<Int64Type>().iter().collect());
            let mut told = Vec::new();
            if exceptions.is_valid(row) {
                let fields = exceptions.value(row);
                let texts = |place| fields.as_struct().column(place).as_string::<i32>().clone();
                let (signals, qualities) = (texts(0), texts(1));
                told.extend((0..fields.len()).map(|one| (signals.value(one).into(), qualities.value(one).into())));
            }
            rows.push((column("soc").as_primitive::<Int64Type>().value(row), list, told));
        }
    }
    rows.sort();
    rows
}

#[test]
fn vectors_are_kept_element_by_element_wherever_the_rows_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let bad = [3_283, Vectors::MISSING, 3_281];
    submit(&store, frame(1, Some(&bad))).unwrap();
    submit(&store, frame(2, None)).unwrap();
    submit(&store, frame(3, Some(&[]))).unwrap();
    submit(&store, frame(4, Some(&[3_280; 300]))).unwrap();
    let expected = rows(&store);
    assert_eq!(expected[0].1, Some(vec![Some(3_283), None, Some(3_281)]));
    assert_eq!(expected[0].2, [("cell[2]".to_owned(), "abnormal".to_owned())]);
    assert_eq!((&expected[1].1, &expected[2].1), (&None, &Some(Vec::new())));
    let latest = store.current(None);
    let cells = latest.iter().find(|latest| latest.observation.signal == 1).unwrap();
    assert_eq!(cells.observation.value, Value::Integers([3_280; 300].into()));
    for round in 0..3 {
        assert_eq!(rows(&store), expected, "round {round}");
        assert_eq!(submit(&store, frame(1, Some(&bad))).unwrap().duplicates, 1, "round {round}");
        store.close();
        store = open(dir.path());
        assert_eq!(store.current(None), latest, "round {round}");
        assert_eq!(rows(&store), expected, "round {round}, after a restart");
        wait(store.seal()).unwrap();
    }
    store.close();
}
