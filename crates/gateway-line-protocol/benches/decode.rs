//! Lines decoded per CPU-second, decoding alone: no socket, no disk.
//!
//! The lines are made here, like those of the fleet that the store is measured with: 100 vehicles, 60 decimals each, a
//! second apart; and like those of a monitoring agent: four fields, one of them an integer, and three tags.

use std::fmt::Write as _;

use gateway::series::SeriesNames;
use gateway_line_protocol::{Position, Precision, Series, SeriesLimits};
use model::Timestamp;

const ROUNDS: usize = 40;
/// Nanoseconds of 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000_000;

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn main() {
    for (name, body) in [("60 decimals", fleet()), ("4 fields, 3 tags", agent())] {
        let mut series = Series::new(SeriesLimits::default(), SeriesNames::default(), &[]);
        let mut rounds_secs = Vec::new();
        let (mut fields, mut lines) = (0, 0);
        for round in 0..ROUNDS {
            let mut position = Position::default();
            let received = Timestamp::from_nanos(BEGIN + round as i64);
            let begin = cpu_secs();
            (fields, lines) = (0, 0);
            while position.offset < body.len() {
                let decoded = series.decode(body.as_bytes(), &mut position, received, Precision::default());
                assert_eq!(decoded.rejected_lines(), 0);
                fields += decoded.fields;
                lines += decoded.lines;
                std::hint::black_box(decoded.batches);
            }
            rounds_secs.push(cpu_secs() - begin);
        }
        rounds_secs.sort_by(f64::total_cmp);
        // The middle one: the first rounds warm up, and others may disturb.
        let median = rounds_secs[ROUNDS / 2];
        println!(
            "{name}: {lines} lines in {:.2} ms: {:.1} M fields, {:.2} M lines, {:.0} MB per CPU-second",
            median * 1e3,
            fields as f64 / median / 1e6,
            lines as f64 / median / 1e6,
            body.len() as f64 / median / 1e6,
        );
    }
}

/// A number that looks random and is the same in every run.
fn scattered(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33
}

fn fleet() -> String {
    let mut body = String::new();
    for second in 0..100_u64 {
        for vehicle in 0..100_u64 {
            let _ = write!(body, "wide,vehicle=v{vehicle:04} ");
            for field in 0..60_u64 {
                let raw = scattered(vehicle * 1_000_000 + second * 100 + field);
                let separator = if field == 0 { "" } else { "," };
                let _ = match field % 6 {
                    0 => write!(body, "{separator}speed{field}={:.1}", (raw % 2_200) as f64 / 10.0),
                    1 => write!(body, "{separator}current{field}={:.1}", (raw % 20_000) as f64 / 10.0 - 1_000.0),
                    2 => write!(body, "{separator}soc{field}={}", raw % 100),
                    3 => write!(body, "{separator}cell{field}={:.3}", 3.0 + (raw % 1_200) as f64 / 1_000.0),
                    4 => write!(body, "{separator}temp{field}={}", raw % 250),
                    _ => write!(body, "{separator}lon{field}={:.6}", 110.0 + (raw % 10_000_000) as f64 / 1e6),
                };
            }
            let _ = writeln!(body, " {}", BEGIN + second as i64 * 1_000_000_000);
        }
    }
    body
}

fn agent() -> String {
    let mut body = String::new();
    for line in 0..50_000_u64 {
        let (host, cpu, raw) = (line / 8 % 250, line % 8, scattered(line));
        let _ = writeln!(
            body,
            "cpu,cpu=cpu{cpu},dc=north,host=server{host:03} usage_user={:.2},usage_system={:.2},n={}i,ok=t {}",
            (raw % 10_000) as f64 / 100.0,
            (raw % 777) as f64 / 100.0,
            raw % 100_000,
            BEGIN + (line / 2_000) as i64 * 10_000_000_000,
        );
    }
    body
}

/// CPU time of this thread in seconds; Linux tells it in nanoseconds.
fn cpu_secs() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this bench needs Linux");
    let nanos = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanos.expect("the first word is the time on the CPU") / 1e9
}
