//! Any bytes are a request, or an error: it is decoded without panic and within bounds, as it is and as what a request
//! holds without compression.
#![no_main]

use gateway::series::SeriesNames;
use gateway_remote_write::{RemoteLimits, RemoteSeries, Request};
use libfuzzer_sys::fuzz_target;
use model::Timestamp;

const BYTES_MAX: usize = 1 << 20;

fn decode(body: &[u8]) {
    let received = Timestamp::from_millis(1_769_846_400_000);
    let Ok(mut request) = Request::new(body, BYTES_MAX) else { return };
    assert!(request.bytes().len() <= BYTES_MAX);
    let mut known = RemoteSeries::new(RemoteLimits { metrics_max: 4, assets_max: 4 }, SeriesNames::default());
    let mut bytes = 0;
    while let Ok(Some(piece)) = request.decode(&mut known, received) {
        let rows: usize = piece.batches.iter().map(|batch| batch.len()).sum();
        assert_eq!(rows as u64, piece.samples);
        for error in &piece.errors {
            assert!(error.bytes.end <= request.bytes().len());
        }
        bytes += piece.bytes;
    }
    assert!(bytes <= request.bytes().len());
}

fuzz_target!(|bytes: &[u8]| {
    decode(bytes);
    if let Ok(body) = snap::raw::Encoder::new().compress_vec(bytes) {
        decode(&body);
    }
});
