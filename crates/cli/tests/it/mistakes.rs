//! Mistakes of whoever starts the program: each is told in one message that says where it is and what to do, with an exit
//! code that is not zero. Must not know how messages are made.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;

use crate::program::run;
use crate::served::Served;
use crate::{http, lathe};

/// Runs the program and compares what it says with `expected`, one after the other.
#[track_caller]
fn check(arguments: &[&dyn AsRef<OsStr>], expected: &[&str]) {
    let outcome = run(arguments);
    let error = outcome.error();
    for expected in expected {
        assert!(error.contains(expected), "`{expected}` is missing in `{error}`");
    }
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
}

#[test]
fn missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (devices, data, missing) =
        (lathe::devices(folder.path()), folder.path().join("data"), folder.path().join("no"));
    let log = folder.path().join("lathe.log");
    fs::write(&log, "").unwrap();
    let name = missing.to_str().expect("a plain path");
    let absent = "No such file or directory";
    check(&[&"serve", &"--data", &data, &"--config", &missing], &["failed to read the configuration", name, absent]);
    check(
        &[&"import", &"shdr", &"--devices", &devices, &missing, &"--data", &data],
        &["failed to read the recorded lines", name, absent],
    );
    check(
        &[&"import", &"shdr", &"--devices", &missing, &log, &"--data", &data],
        &["failed to read the device model", name, absent],
    );
    check(&[&"sql", &"--data", &missing, &"SELECT 1"], &[name, "no Tongmai data directory"]);
    check(&[&"tables", &"--data", &missing], &[name, "no Tongmai data directory"]);
}

#[test]
fn a_broken_configuration_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    for (text, expected) in [
        ("[http]\nlisen = \"127.0.0.1:1\"\n", &["line 2", "unknown field `lisen`", "`listen`"][..]),
        ("[store]\n\nhot_rows_max = \"many\"\n", &["line 3", "many"]),
        ("[http]\nlisten = \"127.0.0.1:1\n", &["line 2"]),
        ("[[gateways]]\nkind = \"mtconnect-shdr\"\nname = \"a\"\ndevices = \"a.xml\"\n", &["address"]),
        ("[store]\nhot_rows_max = 0\n", &["hot_rows_max", "at least 1"]),
    ] {
        fs::write(&config, text).unwrap();
        let mut expected = expected.to_vec();
        expected.push("in the configuration");
        check(&[&"serve", &"--data", &data, &"--config", &config], &expected);
    }
    assert!(!data.exists(), "nothing was begun");
}

#[test]
fn another_address_than_loopback_needs_permission() {
    let folder = tempfile::tempdir().unwrap();
    check(
        &[&"serve", &"--data", &folder.path().join("data"), &"--listen", &"0.0.0.0:0"],
        &["0.0.0.0:0", "whoever reaches it can read everything", "allow_remote_without_accounts"],
    );
    let config = folder.path().join("tongmai.toml");
    fs::write(&config, "[http]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    check(
        &[&"serve", &"--data", &folder.path().join("data"), &"--config", &config],
        &["0.0.0.0:0", "whoever reaches it can read everything", "allow_remote_without_accounts"],
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    check(
        &[&"serve", &"--data", &data, &"--listen", &address],
        &["failed to listen on", &address, "another Tongmai", "--listen"],
    );
    check(
        &[&"demo", &"--machines", &"1", &"--history", &"0", &"--listen", &address],
        &["failed to listen on", &address, "another Tongmai"],
    );
}

#[test]
fn a_data_directory_has_one_writer_and_any_number_of_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    let (devices, log) = (lathe::devices(folder.path()), folder.path().join("lathe.log"));
    fs::write(&config, "").unwrap();
    fs::write(&log, "2026-01-01T00:00:00Z|load|1\n").unwrap();
    let served = Served::start(&data, &config);
    let in_use = ["is in use by another Tongmai", data.to_str().expect("a plain path")];
    check(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data], &in_use);
    check(&[&"serve", &"--data", &data, &"--listen", &"127.0.0.1:0"], &in_use);
    run(&[&"sql", &"--data", &data, &"SELECT count(*) FROM observations"]).text();
    assert_eq!(http::get(served.address(), "/health").0, 200, "the first one goes on");
    served.stop();
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data]).text();
}

#[test]
fn files_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (devices, data, log) = (lathe::devices(folder.path()), folder.path().join("data"), folder.path().join("a.log"));
    fs::write(&log, "2026-01-01T00:00:00Z|load|1\n").unwrap();
    check(&[&"import", &"shdr", &"--devices", &log, &log, &"--data", &data], &["in the device model", "a.log"]);
    check(&[&"import", &"shdr", &"--devices", &devices, &folder.path(), &"--data", &data], &["Is a directory"]);
    check(&[&"serve", &"--data", &log], &["failed to open the data directory", "a.log"]);
    let output = folder.path().join("no/answer.csv");
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data]).text();
    check(&[&"sql", &"--data", &data, &"--output", &output, &"SELECT 1"], &["failed to make", "answer.csv"]);
}

#[test]
fn questions_that_cannot_be_answered_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let (devices, data, log) = (lathe::devices(folder.path()), folder.path().join("data"), folder.path().join("a.log"));
    fs::write(&log, "2026-01-01T00:00:00Z|load|1\n").unwrap();
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data]).text();
    for (query, expected) in [
        ("SELECT colour FROM observations", &["colour", "observations.signal"][..]),
        ("SELECT * FROM nowhere", &["nowhere", "not found"]),
        ("ASK 1", &["this is no SQL", "ASK", "Line: 1"]),
        ("DROP TABLE observations", &["not supported"]),
        ("INSERT INTO observations SELECT * FROM observations", &["not supported"]),
    ] {
        check(&[&"sql", &"--data", &data, &query], expected);
    }
}
