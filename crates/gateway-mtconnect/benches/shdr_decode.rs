//! Lines of the recorded lathe decoded per CPU-second, decoding alone: no socket, no disk.

use std::path::Path;
use std::sync::Arc;

use gateway_mtconnect::device::read_devices;
use gateway_mtconnect::mapping::Mapping;
use gateway_mtconnect::shdr::{Counts, ShdrDecoder};
use model::Timestamp;

/// As much as a gateway reads at a time.
const PIECE_BYTES: usize = 256 << 10;
const ROUNDS: usize = 60;

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mtconnect");
    let (Ok(model), Ok(log)) =
        (std::fs::read(folder.join("okuma-devices.xml")), std::fs::read(folder.join("okuma-shdr.log")))
    else {
        println!("skipped: ../shared/data/mtconnect is not there");
        return;
    };
    let devices = read_devices(&model).expect("the model of the lathe is read");
    let mapping = Arc::new(Mapping::new(&devices.devices[0], "lathe").expect("the lathe has a profile"));
    let mut rounds_secs = Vec::new();
    let mut total = Counts::default();
    for round in 0..ROUNDS {
        let mut decoder = ShdrDecoder::new(vec![Arc::clone(&mapping)]);
        let begin = cpu_secs();
        let mut counts = Counts::default();
        for (place, piece) in log.chunks(PIECE_BYTES).enumerate() {
            let received = Timestamp::from_millis(1_700_000_000_000 + (round * 1_000 + place) as i64);
            decoder.decode(piece, received, &mut |_| {});
            let (batches, more) = decoder.take();
            counts.add(&more);
            std::hint::black_box(batches);
        }
        let secs = cpu_secs() - begin;
        rounds_secs.push(secs);
        total.add(&counts);
    }
    rounds_secs.sort_by(f64::total_cmp);
    // The middle one: the first rounds warm up, and others may disturb.
    let median = rounds_secs[ROUNDS / 2];
    let per_round = |count: u64| count as f64 / ROUNDS as f64;
    println!(
        "{:.0} lines and {:.0} observations in {:.2} ms: {:.0} lines, {:.0} observations, {:.0} MB per CPU-second",
        per_round(total.lines),
        per_round(total.observations),
        median * 1e3,
        per_round(total.lines) / median,
        per_round(total.observations) / median,
        per_round(total.bytes) / median / 1e6,
    );
}

/// CPU time of this thread in seconds; Linux tells it in nanoseconds.
fn cpu_secs() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this bench needs Linux");
    let nanos = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanos.expect("the first word is the time on the CPU") / 1e9
}
