//! Any bytes are lines: they are decoded without panic, every line is accounted for, and what was learnt from them does
//! not change what they say when they come again.
#![no_main]

use gateway::series::SeriesNames;
use gateway_line_protocol::{Position, Precision, Series, SeriesLimits};
use libfuzzer_sys::fuzz_target;
use model::{Batch, Rows, Timestamp};

fn decode(series: &mut Series, bytes: &[u8]) -> (Vec<Batch>, u64) {
    let received = Timestamp::from_millis(1_769_846_400_000);
    let mut position = Position::default();
    let (mut batches, mut rejected) = (Vec::new(), 0);
    while position.offset < bytes.len() {
        let before = position.offset;
        let decoded = series.decode(bytes, &mut position, received, Precision::Seconds);
        assert!(position.offset > before);
        let values: usize = decoded.batches.iter().map(values).sum();
        assert!(values as u64 <= decoded.fields, "lines that say the same become one row");
        for error in &decoded.errors {
            assert!(error.bytes.end <= bytes.len() && !error.to_string().is_empty());
            assert!(error.line <= position.lines, "{error}");
        }
        rejected += decoded.rejected_lines();
        batches.extend(decoded.batches);
    }
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(position.lines, ends + u64::from(!bytes.is_empty() && !bytes.ends_with(b"\n")));
    (batches, rejected)
}

fn values(batch: &Batch) -> usize {
    let Rows::Frames(frames) = &batch.rows else { panic!("lines become frames") };
    (0..frames.len()).map(|row| frames.observations_of(row).count()).sum()
}

fuzz_target!(|bytes: &[u8]| {
    let limits = SeriesLimits { measurements_max: 4, fields_max: 8, assets_max: 4 };
    let mut series = Series::new(limits, SeriesNames::default(), &["signals"]);
    let (batches, rejected) = decode(&mut series, bytes);
    let (again, rejected_again) = decode(&mut series, bytes);
    // What came before a limit was reached, or a type was decided, may be refused the second time, and never more is kept.
    assert!(rejected_again >= rejected);
    if rejected == 0 {
        assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), again.iter().map(Batch::len).sum::<usize>());
    }
    let mut restarted = Series::new(SeriesLimits::default(), SeriesNames::default(), &["signals"]);
    for batch in &batches {
        restarted.remember(&batch.profile);
    }
    decode(&mut restarted, bytes);
});
