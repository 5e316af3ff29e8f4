//! Any bytes are a stream: it is decoded without panic, every line is accounted for, and it means the same wherever
//! it is cut.
#![no_main]

use std::sync::{Arc, LazyLock};

use gateway_mtconnect::device::read_devices;
use gateway_mtconnect::mapping::Mapping;
use gateway_mtconnect::shdr::{Counts, ShdrDecoder};
use libfuzzer_sys::fuzz_target;
use model::{Batch, Timestamp};

static MAPPINGS: LazyLock<Vec<Arc<Mapping>>> = LazyLock::new(|| {
    let devices = read_devices(include_bytes!("../corpus/device_model/two-devices.xml")).expect("the model is read");
    let mapping = |device| Arc::new(Mapping::new(device, "profile").expect("the device has a profile"));
    devices.devices.iter().map(mapping).collect()
});

fn decode(pieces: &[&[u8]]) -> (Vec<Batch>, Counts) {
    let mut decoder = ShdrDecoder::new(MAPPINGS.clone());
    let received = Timestamp::from_millis(1_769_846_400_000);
    let mut rejections = 0;
    for piece in pieces {
        decoder.decode(piece, received, &mut |_| rejections += 1);
    }
    decoder.finish(received, &mut |_| rejections += 1);
    let (batches, counts) = decoder.take();
    let outcomes = [
        counts.lines_blank,
        counts.lines_command,
        counts.lines_continued,
        counts.lines_clean,
        counts.lines_partial,
        counts.lines_rejected,
    ];
    assert_eq!(counts.lines, outcomes.iter().sum::<u64>());
    assert_eq!(counts.rejections, rejections);
    assert_eq!(counts.observations, batches.iter().map(|batch| batch.len() as u64).sum::<u64>());
    decoder.lose(Timestamp::from_millis(1_769_846_401_000), &mut |_| {});
    decoder.take();
    (batches, counts)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let cut = usize::from(*cut).min(stream.len());
    assert_eq!(decode(&[stream]), decode(&[&stream[..cut], &stream[cut..]]));
});
