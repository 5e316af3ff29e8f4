//! Input that is wrong, beside input that is right: the wrong is counted, kept and shown, and the right is kept as if the
//! wrong were not there. From a file and from a socket alike.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::PathBuf;

use serde_json::Value;

use crate::adapter::Adapter;
use crate::program::{csv, run, told};
use crate::served::{Served, wait_for};
use crate::{http, lathe};

/// Good and bad by turns. The last line is cut off within a character.
const LINES: &[u8] = b"2026-01-01T00:00:00Z|load|1|execution|ACTIVE\n\
    2026-01-01T00:00:01Z|nonsense|5|load|2\n\
    2026-01-01T00:00:02Z|load|much|position|3\n\
    yesterday|load|4\n\
    2026-01-01T00:00:04Z|execution|\xff\xfe|load|5\n\
    2026-01-01T00:00:05Z|logic|PURPLE|1|2|3|text|load|6\n\
    \n\
    2026-01-01T00:00:06Z|load\n\
    2026-01-01T00:00:07Z|load|7|position|8\n\
    2026-01-01T00:00:08Z|execution|\xe4\xb8";
/// What is wrong in them, with how often.
const REASONS: [(&str, u64); 6] = [
    ("unknown data item", 1),
    ("not a number", 1),
    ("invalid time stamp", 1),
    ("invalid UTF-8", 2),
    ("invalid condition level", 1),
    ("value missing", 1),
];
/// What is right in them, but for the line whose time is that of its receipt.
const KEPT: &str = "\
signal,time,value,text
execution,2026-01-01T00:00:00Z,,ACTIVE
load,2026-01-01T00:00:00Z,1.0,
load,2026-01-01T00:00:01Z,2.0,
load,2026-01-01T00:00:04Z,5.0,
load,2026-01-01T00:00:05Z,6.0,
load,2026-01-01T00:00:07Z,7.0,
position,2026-01-01T00:00:02Z,3.0,
position,2026-01-01T00:00:07Z,8.0,
";
const KEPT_QUERY: &str = "SELECT signal, time, value, text FROM observations \
    WHERE asset = 'machine/lathe-9' AND quality = 'good' AND value IS DISTINCT FROM 4 ORDER BY signal, time";

#[test]
fn an_import_counts_what_is_wrong_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (log, data, rejected) =
        (folder.path().join("lathe.log"), folder.path().join("data"), folder.path().join("rejected"));
    fs::write(&log, LINES).unwrap();
    let devices = lathe::devices(folder.path());
    let arguments: [&dyn AsRef<OsStr>; 9] =
        [&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data, &"--quarantine", &rejected];
    let summary = run(&arguments).text();
    assert_eq!((told(&summary, "lines"), told(&summary, "empty")), (10, 1), "{summary}");
    for (reason, count) in REASONS {
        assert_eq!(told(&summary, reason), count, "{reason}: {summary}");
    }
    assert_eq!(told(&summary, "rejections"), 7, "{summary}");
    assert_eq!(csv(&data, KEPT_QUERY), KEPT);
    let kept = fs::read_to_string(rejected.join("lathe.log.jsonl")).expect("rejections are kept");
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(kept.len(), 7);
    assert!(kept[0]["detail"].as_str().is_some_and(|detail| detail.contains("byte 21")), "{:?}", kept[0]);
    assert_eq!(kept[6]["text"], "execution|\\xe4\\xb8");
    // Without a name the folder is in the data directory; what it holds is in nobody's way there.
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data, &"--quarantine"]).text();
    let beside = fs::read_to_string(data.join("quarantine/lathe.log.jsonl")).expect("rejections are kept");
    assert_eq!(beside.lines().count(), 7);
}

/// An adapter that says `bytes` to the first who connects, and closes.
fn says_once(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the gateway connects");
        stream.write_all(bytes).expect("the gateway listens");
        stream.shutdown(Shutdown::Write).expect("the gateway listens");
        // Closing before everything is read would reset the connection, and lose what is on its way.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

#[test]
fn a_server_counts_what_is_wrong_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    let devices = lathe::devices(folder.path());
    fs::write(&config, lathe::gateway("bad", says_once(LINES), &devices)).unwrap();
    let served = Served::start(&data, &config);
    let lost = "connection was lost";
    let gateway =
        wait_for(lost, || Some(served.gateway("bad")).filter(|gateway| gateway["rejected"]["line cut off"] == 1));
    for (reason, count) in REASONS {
        // A line that the end of the connection cut off is nothing but that.
        let count = if reason == "invalid UTF-8" { count - 1 } else { count };
        assert_eq!(gateway["rejected"][reason], count, "{gateway}");
    }
    let (_, body) = http::get(served.address(), "/api/v1/rejections?gateway=bad");
    let rejections = body["rejections"].as_array().expect("a list");
    assert_eq!(rejections.len(), 7, "{body}");
    assert_eq!(rejections[0]["reason"], "line cut off", "the newest is first: {body}");
    assert!(rejections.iter().any(|one| one["text"] == "nonsense|5"), "{body}");
    wait_for("what is right is kept", || (csv(&data, KEPT_QUERY) == KEPT).then_some(()));
    served.stop();
}

fn ambiguous_devices(folder: &std::path::Path) -> PathBuf {
    let own = folder.join("ambiguous");
    fs::create_dir_all(&own).expect("a folder");
    lathe::devices_with(&own, "<DataItem id=\"load\" category=\"EVENT\" type=\"PROGRAM\"/>")
}

#[test]
fn a_model_with_ambiguous_ids_is_refused_and_harms_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    let log = folder.path().join("lathe.log");
    fs::write(&log, LINES).unwrap();
    let ambiguous = ambiguous_devices(folder.path());
    let message = "line 11: the data item id `load` is already used in line 7; ids must be unique in a device";
    let outcome = run(&[&"import", &"shdr", &"--devices", &ambiguous, &log, &"--data", &folder.path().join("other")]);
    assert!(outcome.error().contains(message) && outcome.error().contains("lathe.xml"), "{}", outcome.error());

    let adapter = Adapter::start();
    let good = lathe::gateway("good", adapter.address(), &lathe::devices(folder.path()));
    let missing = lathe::gateway("missing", adapter.address(), &folder.path().join("no.xml"));
    fs::write(&config, lathe::gateway("ambiguous", adapter.address(), &ambiguous) + &missing + &good).unwrap();
    let served = Served::start(&data, &config);
    for (name, expected) in [("ambiguous", message), ("missing", "no.xml`: No such file")] {
        let gateway = served.gateway(name);
        assert_eq!(gateway["state"], "failed", "{gateway}");
        assert!(gateway["reason"].as_str().is_some_and(|reason| reason.contains(expected)), "{gateway}");
    }
    wait_for("the good one works", || (served.gateway("good")["accepted"].as_u64()? > 10).then_some(()));
    assert_eq!(http::get(served.address(), "/health").0, 200);
    served.stop();
}
