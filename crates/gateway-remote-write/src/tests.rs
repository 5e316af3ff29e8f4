//! Requests byte by byte, as the standard defines them, and what becomes of them. The messages are put together here
//! by the rules of Protocol Buffers, not by the types that read them.

use std::fmt::Write as _;

use gateway::series::SeriesNames;
use model::{Rows, Timestamp, Value};

use crate::{Decoded, RemoteLimits, RemoteSeries, Request, RequestError};

const RECEIVED: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of bytes: its number with wire type 2, its length, and the bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

fn sample(value: f64, millis: i64) -> Vec<u8> {
    field(2, &[&[0x09][..], &value.to_le_bytes(), &[0x10], &varint(millis as u64)].concat())
}

/// One series of a request, its labels as `name=value`.
fn series(labels: &[&str], samples: &[Vec<u8>]) -> Vec<u8> {
    let mut content = Vec::new();
    for label in labels {
        let (name, value) = label.split_once('=').expect("a label");
        content.extend(field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
    }
    content.extend(samples.concat());
    field(1, &content)
}

fn compressed(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).expect("it is small enough")
}

fn decode(known: &mut RemoteSeries, message: &[u8]) -> Result<Vec<Decoded>, RequestError> {
    let mut request = Request::new(&compressed(message), 64 << 20)?;
    let mut pieces = Vec::new();
    while let Some(piece) = request.decode(known, RECEIVED)? {
        for error in &piece.errors {
            assert!(!request.bytes()[error.bytes.clone()].is_empty());
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

fn known() -> RemoteSeries {
    RemoteSeries::new(RemoteLimits::default(), SeriesNames::default())
}

fn shown(pieces: &[Decoded]) -> String {
    let mut text = String::new();
    for batch in pieces.iter().flat_map(|piece| &piece.batches) {
        let Rows::Changes(changes) = &batch.rows else { panic!("samples become changes") };
        assert_eq!(batch.profile.id(), "prometheus");
        for row in 0..changes.len() {
            let signal = &batch.profile.signal(changes.signal[row]).id;
            let (asset, time) = (changes.asset_of(row), changes.time[row].millis());
            let _ = write!(text, "{asset} {signal} {time}");
            if changes.sequence[row] > 0 {
                let _ = write!(text, "#{}", changes.sequence[row]);
            }
            let _ = match &changes.value[row] {
                Value::Number(number) => writeln!(text, " {number:?} {}", changes.quality[row].as_str()),
                other => writeln!(text, " {other:?} {}", changes.quality[row].as_str()),
            };
        }
    }
    for error in pieces.iter().flat_map(|piece| &piece.errors) {
        let _ = writeln!(text, "{error}");
    }
    text
}

#[track_caller]
fn check(message: &[u8], expected: &str) {
    assert_eq!(shown(&decode(&mut known(), message).unwrap()), expected);
}

/// A request as it stands on the wire, spelt out: `up{job="node"} 1 @ 1000` in snappy's block format, which is the length,
/// then one literal of that length.
#[test]
fn a_request_is_read_byte_by_byte() {
    let message = b"\x0a\x2b\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x0b\x0a\x03job\x12\x04node\x12\x0c\
        \x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe8\x07";
    let mut body = vec![message.len() as u8, (message.len() as u8 - 1) << 2];
    body.extend(message);
    let mut request = Request::new(&body, 1_000).unwrap();
    let piece = request.decode(&mut known(), RECEIVED).unwrap().unwrap();
    assert_eq!(shown(&[piece]), "device/job=node up 1000 1.0 good\n");
    assert!(request.decode(&mut known(), RECEIVED).unwrap().is_none());
}

#[test]
fn labels_become_assets_and_metrics_signals() {
    let message = [
        series(&["__name__=up", "job=node", "instance=a:9100"], &[sample(1.0, 5), sample(0.0, 4)]),
        series(&["instance=a:9100", "job=node", "__name__=load1"], &[sample(-0.25, 5)]),
        series(&["__name__=lonely", "empty="], &[sample(2.0, -1)]),
        // Metadata of some metric, and a field of a later version.
        field(3, b"\x08\x01\x12\x02up"),
        field(15, b"what comes later"),
    ];
    check(
        &message.concat(),
        "device/instance=a:9100,job=node up 5 1.0 good\n\
         device/instance=a:9100,job=node up 4 0.0 good\n\
         device/instance=a:9100,job=node load1 5 -0.25 good\n\
         device/nameless lonely -1 2.0 good\n",
    );
}

#[test]
fn a_stale_marker_says_that_nothing_is_known_and_other_nans_are_values() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let samples = [sample(stale, 1), sample(f64::from_bits(0x7ff8_0000_0000_0001), 2), sample(f64::INFINITY, 3)];
    check(
        &series(&["__name__=up"], &samples),
        "device/nameless up 1 Absent unavailable\n\
         device/nameless up 2 NaN good\n\
         device/nameless up 3 inf good\n",
    );
}

#[test]
fn two_values_at_one_time_are_two_and_the_same_twice_is_one() {
    check(
        &series(&["__name__=up"], &[sample(1.0, 7), sample(1.0, 7), sample(2.0, 7), sample(1.0, 8)]),
        "device/nameless up 7 1.0 good\n\
         device/nameless up 7 1.0 good\n\
         device/nameless up 7#1 2.0 good\n\
         device/nameless up 8 1.0 good\n",
    );
}

#[test]
fn a_bad_series_costs_only_itself() {
    let good = |millis| series(&["__name__=good"], &[sample(1.0, millis)]);
    let many: Vec<String> = (0..65).map(|number| format!("label{number}=x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let message = [
        good(1),
        series(&["job=node"], &[sample(1.0, 1)]),
        series(&["__name__=up", "a=1", "a=2"], &[sample(1.0, 1)]),
        series(&["__name__=up", "=2"], &[sample(1.0, 1)]),
        series(&many, &[sample(1.0, 1)]),
        series(&["__name__=far"], &[sample(1.0, i64::MAX), sample(2.0, 2)]),
        field(1, b"\x0a\x05"),
        field(1, &[series(&["__name__=h"], &[])[2..].to_vec(), field(4, b"\x08\x01")].concat()),
        good(3),
    ];
    let text = shown(&decode(&mut known(), &message.concat()).unwrap());
    let (rows, errors) = text.split_at(text.find("series ").unwrap());
    assert_eq!(
        rows,
        "device/nameless good 1 1.0 good\ndevice/nameless far 2 2.0 good\ndevice/nameless good 3 1.0 good\n"
    );
    for expected in [
        "series 2 at byte 34: no metric name: expected the label `__name__`",
        "series 3 at byte ",
        "series 4 at byte ",
        "limit reached: expected at most 64 labels, got 65",
        "invalid time stamp: expected times between the years 1677 and 2262, got 1 others",
        "series 7 at byte ",
        "native histogram: expected samples, got 1 native histograms",
    ] {
        assert!(errors.contains(expected), "{expected} in {errors}");
    }
    assert_eq!(errors.lines().count(), 7);
}

#[test]
fn what_is_no_request_is_refused_and_what_came_before_is_kept() {
    assert_eq!(Request::new(b"", 10).unwrap_err(), RequestError::Compression);
    assert_eq!(Request::new(b"nonsense that is not compressed", 1_000).unwrap_err(), RequestError::Compression);
    let bomb = compressed(&vec![0; 1 << 20]);
    assert_eq!(Request::new(&bomb, 1_000).unwrap_err(), RequestError::TooLarge { bytes: 1 << 20, bytes_max: 1_000 });
    // One that says of itself that it has 4 GiB.
    let announced = [&varint(u64::from(u32::MAX))[..], b"\x00a"].concat();
    assert!(matches!(Request::new(&announced, 1_000), Err(RequestError::TooLarge { .. })));
    let mut message = series(&["__name__=good"], &[sample(1.0, 1)]);
    message.extend(b"\x0a\x7f\x00");
    let mut request = Request::new(&compressed(&message), 1_000).unwrap();
    let mut known = known();
    assert_eq!(request.decode(&mut known, RECEIVED).unwrap().unwrap().samples, 1);
    let error = request.decode(&mut known, RECEIVED).unwrap_err().to_string();
    assert!(error.contains("expected as many bytes as the length of the series says"), "{error}");
}

#[test]
fn at_a_bound_the_series_is_refused_and_the_bound_is_named() {
    let limits = RemoteLimits { metrics_max: 1, assets_max: 1 };
    let mut known = RemoteSeries::new(limits, SeriesNames::default());
    let message = [
        series(&["__name__=a"], &[sample(1.0, 1)]),
        series(&["__name__=b"], &[sample(1.0, 1)]),
        series(&["__name__=a", "job=x"], &[sample(1.0, 1)]),
        series(&["__name__=a"], &[sample(2.0, 2)]),
    ];
    let text = shown(&decode(&mut known, &message.concat()).unwrap());
    assert!(text.starts_with("device/nameless a 1 1.0 good\ndevice/nameless a 2 2.0 good\nseries 2"), "{text}");
    assert!(text.contains("write.metrics_max") && text.contains("write.assets_max"), "{text}");
}

/// A series without samples, but with one native histogram.
fn histogram(labels: &[&str]) -> Vec<u8> {
    series(labels, &[field(4, b"\x08\x01")])
}

#[test]
fn series_without_samples_move_nobody_to_another_asset() {
    let mut known =
        RemoteSeries::new(RemoteLimits { assets_max: 1_000_000, ..RemoteLimits::default() }, SeriesNames::default());
    let histograms = (0..70_000).map(|number| histogram(&["__name__=h", &format!("i={number}")]));
    let mut message = series(&["__name__=up", "job=first"], &[sample(1.0, 1)]);
    message.extend(histograms.flatten());
    message.extend(series(&["__name__=up", "job=last"], &[sample(2.0, 2)]));
    let pieces = decode(&mut known, &message).unwrap();
    let text = shown(&pieces);
    assert!(text.starts_with("device/job=first up 1 1.0 good\ndevice/job=last up 2 2.0 good\nseries 2"), "{text}");
    let rejected: u64 = pieces.iter().flat_map(|piece| piece.rejected.values()).sum();
    assert_eq!(rejected, 70_000);
}

#[test]
fn what_brings_no_row_uses_up_no_bound() {
    let limits = RemoteLimits { metrics_max: 1, assets_max: 1 };
    let message = [
        histogram(&["__name__=h", "job=x"]),
        series(&["__name__=far", "job=y"], &[sample(1.0, i64::MAX)]),
        series(&["__name__=empty", "job=z"], &[]),
        series(&["__name__=a"], &[sample(1.0, 1)]),
    ];
    let mut known = RemoteSeries::new(limits, SeriesNames::default());
    let text = shown(&decode(&mut known, &message.concat()).unwrap());
    assert!(text.starts_with("device/nameless a 1 1.0 good\n") && !text.contains("write."), "{text}");
    // An asset whose only metric was refused is not there either.
    let limits = RemoteLimits { metrics_max: 1, assets_max: 2 };
    let message = [
        series(&["__name__=a"], &[sample(1.0, 1)]),
        series(&["__name__=b", "job=x"], &[sample(1.0, 1)]),
        series(&["__name__=a", "job=y"], &[sample(1.0, 1)]),
    ];
    let mut known = RemoteSeries::new(limits, SeriesNames::default());
    let text = shown(&decode(&mut known, &message.concat()).unwrap());
    assert!(text.contains("device/job=y a 1 1.0 good\n"), "{text}");
}

#[test]
fn after_a_restart_every_metric_has_its_place() {
    let message = [series(&["__name__=a"], &[sample(1.0, 1)]), series(&["__name__=b"], &[sample(1.0, 1)])].concat();
    let before = decode(&mut known(), &message).unwrap();
    let profile = &before[0].batches[0].profile;
    let mut after = known();
    after.remember(profile);
    let again = decode(&mut after, &series(&["__name__=b"], &[sample(2.0, 2)])).unwrap();
    assert!(std::sync::Arc::ptr_eq(&again[0].batches[0].profile, profile));
    assert_eq!(shown(&again), "device/nameless b 2 2.0 good\n");
}

#[test]
fn a_large_request_comes_in_pieces_and_batches() {
    let samples: Vec<Vec<u8>> = (0..5_000).map(|millis| sample(millis as f64, millis)).collect();
    let message: Vec<u8> =
        (0..50).flat_map(|number| series(&["__name__=up", &format!("i={number}")], &samples)).collect();
    let pieces = decode(&mut known(), &message).unwrap();
    assert_eq!(pieces.iter().map(|piece| piece.samples).sum::<u64>(), 250_000);
    assert_eq!((pieces.len(), pieces[0].batches.len()), (2, 20));
    assert_eq!(pieces.iter().map(|piece| piece.bytes).sum::<usize>(), message.len());
    let large = series(&["__name__=up"], &vec![sample(1.5, 1); 90_000]);
    let text = shown(&decode(&mut known(), &large).unwrap());
    assert!(text.contains("limit reached: expected at most 1 MiB"), "{} bytes", text.len());
}

/// A prefix of a request is a request, or an error, and never a panic.
#[test]
fn a_request_that_is_cut_anywhere_is_taken_as_far_as_it_goes() {
    let message = [
        series(&["__name__=up", "job=node"], &[sample(1.0, 1)]),
        series(&["__name__=down", "job=node"], &[sample(2.0, 2)]),
    ]
    .concat();
    let whole = decode(&mut known(), &message).unwrap()[0].samples;
    for cut in 0..message.len() {
        let outcome = decode(&mut known(), &message[..cut]);
        assert!(outcome.is_err() || outcome.unwrap().iter().map(|piece| piece.samples).sum::<u64>() < whole);
    }
}
