//! PostgreSQL's protocol as its clients speak it: `psql`, drivers that prepare statements and send and take binary
//! values as Grafana does, and whoever sends anything else. Must not know how answers come about.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::lathe;
use crate::program::{run, skipped};
use crate::served::{Served, wait_for};

const PASSWORD: &str = "correct horse";
const LOG: &str = "2026-01-01T00:00:00Z|execution|ACTIVE|load|12.5\n\
                   2026-01-01T00:00:01.5Z|load|UNAVAILABLE|logic|FAULT|401|||say \"no\", twice\n\
                   2026-01-01T00:01:00Z|load|20.5\n";
const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/postgres.py");
/// More than any question of these tests may take.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 1000000000000) AS g(n) WHERE n % 7 = 3";

/// A server with a few observations, which speaks the protocol.
struct House {
    served: Served,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

/// Starts a server; `more` goes to the end of its configuration.
fn house(more: &str) -> House {
    let folder = tempfile::tempdir().unwrap();
    let (log, data) = (folder.path().join("lathe.log"), folder.path().join("data"));
    fs::write(&log, LOG).unwrap();
    let devices = lathe::devices(folder.path());
    let profile = ["--profile", lathe::PROFILE];
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data, &profile[0], &profile[1]]).text();
    let config = folder.path().join("tongmai.toml");
    let text = format!("[postgres]\nlisten = \"127.0.0.1:0\"\npassword = \"{PASSWORD}\"\n{more}");
    fs::write(&config, text).unwrap();
    let served = Served::start(&data, &config);
    let address = served.postgres();
    House { served, address, folder }
}

/// `psql` with `arguments`, connected to `address`; `None` where it is not installed.
fn psql(address: SocketAddr, arguments: &[&str]) -> Option<Command> {
    let found = Command::new("psql").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        skipped("questions by psql", "psql was not found (Debian: postgresql-client)");
        return None;
    }
    let mut command = Command::new("psql");
    command.args(["-X", "-w", "-q", "-h", "127.0.0.1", "-U", "tongmai", "-d", "tongmai", "-p"]);
    command.arg(address.port().to_string()).args(arguments);
    command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "20").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Asks by `psql`, unaligned and without a header; compares what it prints.
#[track_caller]
fn check(address: SocketAddr, sql: &str, expected: &str) {
    let Some(mut psql) = psql(address, &["-At", "-c", sql]) else { return };
    let (stdout, stderr) = said(&psql.output().expect("psql starts"));
    assert_eq!((stdout.trim_end(), stderr.as_str()), (expected, ""), "{sql}");
}

/// Asks by `psql` for what has to fail; compares code and message.
#[track_caller]
fn check_error(address: SocketAddr, sql: &str, expected: &str) {
    let Some(mut psql) = psql(address, &["-At", "-v", "VERBOSITY=verbose", "-c", sql]) else { return };
    let output = psql.output().expect("psql starts");
    let (stdout, stderr) = said(&output);
    assert!(!output.status.success() && stdout.is_empty(), "{sql}: {stdout}");
    assert!(stderr.contains(expected), "{sql}: `{expected}` is missing in `{stderr}`");
}

#[test]
fn psql_asks_and_is_answered() {
    let house = house("");
    let at = house.address;
    check(at, "SELECT 1", "1");
    check(at, "", "");
    check(at, "SELECT 1; SELECT 'a' AS a", "1\na");
    check(
        at,
        "SELECT asset, signal, time, value, text FROM observations WHERE asset = 'machine/lathe-9' AND signal NOT LIKE 'alarm%' \
         ORDER BY time, signal",
        "machine/lathe-9|execution|2026-01-01 00:00:00+00||ACTIVE\n\
         machine/lathe-9|load|2026-01-01 00:00:00+00|12.5|\n\
         machine/lathe-9|load|2026-01-01 00:00:01.5+00||\n\
         machine/lathe-9|logic|2026-01-01 00:00:01.5+00||FAULT\n\
         machine/lathe-9|load|2026-01-01 00:01:00+00|20.5|",
    );
    check(at, "SELECT true, 1.5::float8, NULL, 7::int, '转速'", "t|1.5||7|转速");
    check(at, "SELECT make_array(1.5, 2.5), make_array('a b', NULL)", "{1.5,2.5}|{\"a b\",NULL}");
    check(
        at,
        "SELECT date_trunc('minute', time), avg(value) FROM observations WHERE signal = 'load' GROUP BY 1 ORDER BY 1",
        "2026-01-01 00:00:00+00|12.5\n2026-01-01 00:01:00+00|20.5",
    );
    check(at, "SHOW server_version", "15.0");
    check(at, "SET extra_float_digits = 3; SET TIME ZONE 'Europe/Berlin'; SELECT 2", "2");
    check(at, "BEGIN; SELECT 1; COMMIT; DISCARD ALL", "1");
    check(at, "SELECT current_user, current_database()", "tongmai|tongmai");
}

#[test]
fn a_damaged_file_is_put_right_before_psql_is_answered() {
    let house = house("[store]\nseal_interval_secs = 3600\n");
    let days = house.folder.path().join("data/segments/lathe");
    let day = fs::read_dir(days).unwrap().next().unwrap().unwrap().path();
    let segment = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[20] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let sql = "SELECT asset, signal, value FROM lathe WHERE signal = 'load' ORDER BY time";
    let rows = "machine/lathe-9|load|12.5\nmachine/lathe-9|load|\nmachine/lathe-9|load|20.5";
    check(house.address, sql, rows);
    check(house.address, sql, rows);
}

#[test]
fn psql_finds_tables_and_their_columns() {
    let house = house("");
    let ask = |command: &str| {
        let output = psql(house.address, &["-c", command])?.output().expect("psql starts");
        let (stdout, stderr) = said(&output);
        assert_eq!(stderr, "", "{command}");
        Some(stdout)
    };
    for command in ["\\d", "\\dt", "\\dt public.*"] {
        let Some(listed) = ask(command) else { return };
        for table in ["lathe", "observations", "assets", "signals"] {
            let found = listed.lines().any(|line| line.contains(&format!("public | {table} ")));
            assert!(found, "{command}: {table} is missing in\n{listed}");
        }
    }
    for command in ["\\d lathe", "\\d+ lathe", "\\d public.lathe"] {
        let Some(described) = ask(command) else { return };
        for expected in [
            "Table \"public.lathe\"",
            " asset ",
            " time  ",
            "| timestamp with time zone |",
            "| double precision ",
            "| double precision[] ",
            "| bigint ",
            "not null",
        ] {
            assert!(described.contains(expected), "{command}: `{expected}` is missing in\n{described}");
        }
    }
    for command in ["\\l", "\\dn", "\\du", "\\di", "\\dv", "\\conninfo"] {
        ask(command);
    }
}

#[test]
fn nothing_can_be_changed() {
    let house = house("");
    for sql in [
        "INSERT INTO lathe VALUES (1)",
        "DELETE FROM lathe",
        "UPDATE lathe SET value = 1",
        "DROP TABLE lathe",
        "CREATE TABLE a (b int)",
        "CREATE TABLE a AS SELECT 1",
        "SELECT 1 INTO a",
        "TRUNCATE lathe",
        "GRANT ALL ON lathe TO somebody",
        "EXPLAIN ANALYZE DELETE FROM lathe",
        "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
        "COPY lathe TO '/tmp/x'",
        "COPY lathe FROM STDIN",
        "PREPARE a AS SELECT 1",
        "SET TRANSACTION READ WRITE",
        "SET ROLE postgres",
    ] {
        check_error(house.address, sql, "25006");
    }
    check(house.address, "SELECT count(*) FROM lathe", "5");
}

#[test]
fn mistakes_have_their_code() {
    let house = house("");
    for (sql, expected) in [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT nothing FROM lathe", "42703"),
        ("SELECT no_such_function(1)", "42883"),
        ("SET no_such_parameter = 1", "42704"),
        ("SELECT current_setting('no_such_parameter')", "42704"),
        ("SELECT 1/0", "22012"),
        ("SELECT repeat('a', 1000000000)", "42883"),
        ("BEGIN; SELECT nothing; ", "42703"),
    ] {
        check_error(house.address, sql, expected);
    }
    let Some(mut psql) = psql(house.address, &["-At"]) else { return };
    let mut child = psql.stdin(Stdio::piped()).spawn().expect("psql starts");
    let script = b"BEGIN;\nSELECT nothing;\nSELECT 1;\nROLLBACK;\nSELECT 2;\n";
    child.stdin.take().expect("it is a pipe").write_all(script).unwrap();
    let (stdout, stderr) = said(&child.wait_with_output().unwrap());
    assert_eq!(stdout, "2\n");
    assert!(stderr.contains("current transaction is aborted"), "{stderr}");
}

#[test]
fn deep_questions_are_refused_before_they_do_harm() {
    let house = house("");
    for (chain, times, expected) in [
        (" OR value = 1", 450, None),
        (" OR value = 1", 100_000, Some("54001")),
        (" + 1", 300_000, Some("54001")),
        (" UNION SELECT 1", 60_000, Some("54001")),
    ] {
        let start = if chain.contains("OR") { "SELECT count(*) FROM lathe WHERE value = 2" } else { "SELECT 1" };
        let file = house.folder.path().join("question.sql");
        fs::write(&file, format!("{start}{};", chain.repeat(times))).unwrap();
        let file = file.to_str().expect("a plain path");
        let Some(mut psql) = psql(house.address, &["-At", "-v", "VERBOSITY=verbose", "-f", file]) else { return };
        let (stdout, stderr) = said(&psql.output().expect("psql starts"));
        match expected {
            None => assert_eq!((stdout.as_str(), stderr.as_str()), ("0\n", ""), "{chain}"),
            Some(expected) => assert!(stderr.contains(expected), "{chain}: {stdout}{stderr}"),
        }
    }
    check(house.address, "SELECT 1", "1");
}

#[test]
fn only_the_right_password_opens() {
    let house = house("");
    for (user, password) in [("tongmai", "wrong horse"), ("tongmai", ""), ("somebody", PASSWORD)] {
        let Some(mut psql) = psql(house.address, &["-U", user, "-c", "SELECT 1"]) else { return };
        let output = psql.env("PGPASSWORD", password).output().expect("psql starts");
        let (stdout, stderr) = said(&output);
        assert!(!output.status.success() && stdout.is_empty(), "{user} {password}");
        let expected = if password.is_empty() { "no password supplied" } else { "password authentication failed" };
        assert!(stderr.contains(expected), "{user} {password}: {stderr}");
    }
    check(house.address, "SELECT 1", "1");
}

#[test]
fn a_question_stops_when_it_is_cancelled_takes_too_long_or_its_client_goes() {
    let house = house("[query]\nconcurrent_max = 1\ntimeout_secs = 120\n");
    let started = Instant::now();
    check_error(house.address, &format!("SET statement_timeout = '300ms'; {LONG}"), "57014");
    let Some(mut asked) = psql(house.address, &["-At", "-c", LONG]) else { return };
    let child = asked.spawn().expect("psql starts");
    busy(&house, 1.0);
    signal(child.id(), "INT");
    let (_, stderr) = said(&child.wait_with_output().unwrap());
    assert!(stderr.contains("canceling statement due to user request"), "{stderr}");
    let mut child = asked.spawn().expect("psql starts");
    busy(&house, 1.0);
    child.kill().unwrap();
    child.wait().unwrap();
    // The one turn is free again, or this would wait for two minutes.
    check(house.address, "SELECT 1", "1");
    wait_for("the work has ended", || {
        let before = processor_secs(&house)?;
        thread::sleep(Duration::from_millis(500));
        (processor_secs(&house)? - before < 0.2).then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// Waits until the server has worked for `secs` more seconds, where that can be seen.
fn busy(house: &House, secs: f64) {
    let Some(before) = processor_secs(house) else { return thread::sleep(Duration::from_secs(2)) };
    wait_for("the question is under way", || (processor_secs(house)? - before > secs).then_some(()));
}

/// Processor time that the server has used.
fn processor_secs(house: &House) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", house.served.id())).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// The most memory that the server has had, in bytes.
fn memory_bytes(house: &House) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", house.served.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

#[test]
fn a_million_rows_need_no_memory_for_a_million_rows() {
    let house = house("[query]\ntimeout_secs = 300\n");
    let sql = "SELECT n, 'a text that is long enough to be noticed when it is kept: ' || n \
               FROM generate_series(1, 1000000) AS g(n)";
    check(house.address, "SELECT 1", "1");
    let before = memory_bytes(&house);
    let Some(mut psql) = psql(house.address, &["-At", "-c", sql]) else { return };
    let mut child = psql.spawn().expect("psql starts");
    // Without this psql would end before it has printed, for want of a reader.
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let mut lines = 0;
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count();
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(lines, 1_000_000);
    if let (Some(before), Some(after)) = (before, memory_bytes(&house)) {
        assert!(after - before < 48 << 20, "from {before} to {after} bytes");
    }
}

#[test]
fn connections_are_bounded() {
    let house = house("connections_max = 2\n");
    let held: Vec<_> = (0..2).map(|_| hello(house.address)).collect();
    check_error(house.address, "SELECT 1", "too many clients");
    drop(held);
    let Some(_) = psql(house.address, &[]) else { return };
    wait_for("there is room again", || {
        let output = psql(house.address, &["-At", "-c", "SELECT 1"])?.output().expect("psql starts");
        output.status.success().then_some(())
    });
}

/// A connection that has said hello and was asked for a password.
fn hello(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"\0\0\0\x16\0\x03\0\0user\0tongmai\0\0").unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"R");
    stream
}

#[test]
fn nonsense_ends_its_own_connection_and_nothing_else() {
    let house = house("");
    for bytes in [
        &b""[..],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0\0\0\x04",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff\0\x03\0\0",
        b"\x7f\xff\xff\xff\0\x03\0\0",
        b"\0\0\0\x09\0\x03\0\0\0",
        b"\0\0\0\x08\0\x02\0\0",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x05\0\0\0\x07",
        &[0x16; 4_096],
        &[0; 4_096],
    ] {
        let mut stream = TcpStream::connect(house.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 500, "{bytes:?} was answered by {answer:?}");
    }
    for bytes in
        [&b"p\0\0\0\x04"[..], b"Q\0\0\0\x0dSELECT 1\0", b"p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xff", b"p\x7f\0\0\0"]
    {
        let mut stream = hello(house.address);
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("08P01") && !text.contains("28P01"), "{bytes:?} was answered by {text}");
    }
    check(house.address, "SELECT 1", "1");
    house.served.stop();
}

/// Python with the module `module`, where it is there.
fn python(module: &str) -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into()));
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skipped("questions by drivers", &format!("{module} is not installed: `cargo xtask test` does it"));
    None
}

/// Runs one part of the script with the drivers.
#[track_caller]
fn drive(python: &Path, part: &str, house: &House) {
    let port = house.address.port().to_string();
    let output = Command::new(python).args([DRIVERS, part, &port, PASSWORD]).output().expect("python starts");
    let (stdout, stderr) = said(&output);
    assert!(output.status.success() && stdout.trim_end().ends_with("done"), "{part}: {stdout}\n{stderr}");
}

#[test]
fn drivers_prepare_statements_and_speak_binary() {
    let Some(python) = python("asyncpg") else { return };
    let house = house("");
    for part in ["types", "parameters", "statements", "transactions", "limits"] {
        drive(&python, part, &house);
    }
    house.served.stop();
}

#[test]
fn grafana_finds_its_way() {
    let Some(python) = python("asyncpg") else { return };
    let house = house("");
    drive(&python, "grafana", &house);
}

#[test]
fn drivers_over_libpq_are_answered() {
    let Some(python) = python("psycopg") else { return };
    let house = house("");
    drive(&python, "psycopg", &house);
}
