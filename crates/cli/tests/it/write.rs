//! Senders that are not ours, against the running program: the Python clients of InfluxDB 1.x and 2.x, vmagent, and bodies
//! by hand. What they sent is asked for in SQL. Must not know how it is decoded.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{get, sql};
use crate::program::skipped;
use crate::served::{Served, wait_for};

struct House {
    folder: tempfile::TempDir,
    served: Served,
}

/// A server with this section `[write]`.
fn house(write: &str) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("tongmai.toml");
    fs::write(&config, format!("[http]\nlisten = \"127.0.0.1:0\"\n\n[write]\n{write}\n")).expect("it can be written");
    let served = Served::start(&folder.path().join("data"), &config);
    House { folder, served }
}

impl House {
    fn address(&self) -> SocketAddr {
        self.served.address()
    }

    /// Status and text of the answer to a POST with these further headers.
    #[track_caller]
    fn post(&self, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        let head =
            format!("POST {path} HTTP/1.0\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).expect("it listens");
        // A body that is refused by its length is not read to its end.
        let _ = stream.write_all(body);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in `{answer}`")), answer)
    }

    #[track_caller]
    fn count(&self, table: &str) -> u64 {
        sql(self.address(), &format!("SELECT count(*) FROM {table}"))[0][0].as_u64().expect("a number")
    }
}

const LINES: &[u8] =
    b"press,line=A,number=7 force=1250.5,strokes=18i,running=true,program=\"door \\\"left\\\"\" 1767225600\n\
    press,line=A,number=7 force=1251 1767225601\n";

#[test]
fn what_is_sent_by_hand_is_found_again_and_kept_once() {
    let mut house = house("");
    assert_eq!(house.post("/write?db=x&precision=s", "", LINES).0, 204);
    let (status, answer) = house.post("/api/v2/write?org=o&bucket=b&precision=s", "", LINES);
    assert!(status == 204 && answer.contains("x-tongmai-rows-duplicate: 2"), "{answer}");
    let rows = sql(
        house.address(),
        "SELECT asset, CAST(time AS VARCHAR) AS at, force, strokes, running, program, sequence FROM press ORDER BY at",
    );
    let asset = "device/press,line=A,number=7";
    let expected = [
        json!([asset, "2026-01-01T00:00:00Z", 1250.5, 18.0, 1.0, "door \"left\"", 0]),
        json!([asset, "2026-01-01T00:00:01Z", 1251.0, null, null, null, 0]),
    ];
    assert_eq!(json!(rows), json!(expected));
    let meanings = sql(house.address(), "SELECT signal, meaning FROM signals WHERE profile = 'press' ORDER BY signal");
    assert!(meanings.contains(&vec![json!("running"), json!("line-protocol:boolean")]), "{meanings:?}");
    // After a restart everything has the name and the type that it had.
    house.served.kill();
    let House { folder, served } = house;
    drop(served);
    let served = Served::start(&folder.path().join("data"), &folder.path().join("tongmai.toml"));
    let house = House { folder, served };
    assert_eq!(house.post("/write?precision=s", "", LINES).0, 204);
    assert_eq!(house.count("press"), 2);
    let (status, answer) = house.post("/write?precision=s", "", b"press,line=A,number=7 force=1i 1767225602");
    assert!(status == 400 && answer.contains("field type conflict"), "{answer}");
    house.served.stop();
}

#[test]
fn a_bad_line_costs_only_itself_and_is_kept_for_inspection() {
    let house = house("");
    let body = b"a f=1 1\na f=nonsense 2\na f=3i 3\na f=4 4\n";
    let (status, answer) = house.post("/write", "", body);
    let error = "{\"error\":\"partial write: line 2, byte 5: invalid field value: expected a number, a boolean or a text in \
        quotes, got `nonsense` (and 1 more) dropped=2\"}";
    assert!(status == 400 && answer.ends_with(error), "{answer}");
    let (_, answer) = house.post("/api/v2/write", "", body);
    assert!(answer.contains("{\"code\":\"invalid\",\"message\":\"partial write: line 2, byte 5"), "{answer}");
    assert_eq!(sql(house.address(), "SELECT f FROM a ORDER BY time"), [[json!(1.0)], [json!(4.0)]]);
    let (_, kept) = get(house.address(), "/api/v1/rejections?gateway=line-protocol");
    assert_eq!(kept["rejections"].as_array().map(Vec::len), Some(4), "{kept}");
    assert_eq!(kept["rejections"][0]["text"], "a f=3i 3");
    let gateway = house.served.gateway("line-protocol");
    assert_eq!((&gateway["messages"], &gateway["accepted"], &gateway["duplicates"]), (&json!(8), &json!(2), &json!(2)));
    assert_eq!(gateway["rejected"], json!({"field type conflict": 2, "invalid field value": 2}));
    house.served.stop();
}

#[test]
fn requests_that_are_not_taken_say_why_in_the_words_of_the_sender() {
    let house = house("token = \"s3cret\"\nbody_bytes_max = 1000");
    let token = "Authorization: Token s3cret\r\n";
    for (path, headers, body, status, expected) in [
        ("/write", "", "a f=1 1", 401, "{\"error\":\"expected the token"),
        ("/api/v2/write", "Authorization: Token wrong\r\n", "a f=1 1", 401, "{\"code\":\"unauthorized\""),
        ("/api/v1/write", "", "", 401, "expected the token"),
        ("/write?p=s3cret&u=x", "", "a f=1 1", 204, ""),
        ("/api/v2/write", token, "a f=1 2", 204, ""),
        ("/write", "Authorization: Basic eDpzM2NyZXQ=\r\n", "a f=1 3", 204, ""),
        ("/write?precision=fortnight", token, "a f=1 1", 400, "expected ns, us, ms, s, m or h"),
        ("/write", "Authorization: Token s3cret\r\nContent-Encoding: br\r\n", "a f=1 1", 415, "gzip"),
        (
            "/write",
            "Authorization: Token s3cret\r\nContent-Encoding: gzip\r\n",
            "a f=1 1",
            400,
            "not compressed with gzip",
        ),
        (
            "/write",
            "Authorization: Token s3cret\r\nOrigin: http://example.com\r\n",
            "a f=1 1",
            403,
            "page of another site",
        ),
        (
            "/api/v1/write",
            "Authorization: Bearer s3cret\r\nContent-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n",
            "",
            415,
            "remote write 1.0",
        ),
        ("/api/v1/write", token, "nonsense", 400, "snappy"),
        ("/write", token, &"# a comment\n".repeat(100), 413, "write.body_bytes_max"),
        ("/write", token, "", 204, ""),
    ] {
        let (given, answer) = house.post(path, headers, body.as_bytes());
        assert!(given == status && answer.contains(expected), "{path} {headers}: {answer}");
    }
    assert_eq!(house.count("a"), 3);
    house.served.stop();
}

/// Python with the packages of `tests/requirements.txt`, if `module` is there.
fn python(module: &str) -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into()));
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success()).then_some(python)
}

#[track_caller]
fn run_python(python: &Path, script: &str, address: SocketAddr) -> Value {
    let output = Command::new(python).args(["-c", script, &address.to_string()]).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script says JSON")
}

/// The client of InfluxDB 2.x: points of every kind, names with everything that has to be escaped, plain and compressed, a
/// batch of many, and an error.
const CLIENT_V2: &str = r#"
import json, sys
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
for gzip in (False, True):
    client = InfluxDBClient(url="http://" + sys.argv[1], token="s3cret", org="-", enable_gzip=gzip)
    assert client.ping()
    write = client.write_api(write_options=SYNCHRONOUS)
    point = (Point("odd, na=me").tag("k, =1", "v, =\\2").field("f, =3", 0.1 + 0.2).field("i", -7).field("b", False)
             .field("s", 'quo"te\\ and\nline').time(1767225600123456789, WritePrecision.NS))
    write.write(bucket="-", record=point)
    many = [Point("many").tag("n", str(n % 10)).field("v", n / 7).field("w", n).time(1767225600 + n, WritePrecision.S)
            for n in range(20_000)]
    write.write(bucket="-", record=many, write_precision=WritePrecision.S)
try:
    write.write(bucket="-", record=["many v=1i 1", "many,n=x v=2.5 1"])
    print(json.dumps("no error"))
except ApiException as error:
    print(json.dumps([error.status, json.loads(error.body)["code"]]))
"#;

#[test]
fn the_client_of_influxdb_2_sends_and_what_it_sent_is_found() {
    let Some(python) = python("influxdb_client") else {
        return skipped("the client of InfluxDB 2", "the Python package influxdb-client is not installed");
    };
    let house = house("token = \"s3cret\"");
    assert_eq!(run_python(&python, CLIENT_V2, house.address()), json!([400, "invalid"]));
    let rows = sql(house.address(), "SELECT asset, CAST(time AS VARCHAR), \"f, =3\", i, b, s FROM odd__na_me");
    let asset = "device/odd%2C%20na%3Dme,k%2C%20%3D1=v%2C%20%3D\\2";
    let expected = json!([[asset, "2026-01-01T00:00:00.123456789Z", 0.1 + 0.2, -7.0, 0.0, "quo\"te\\ and\nline"]]);
    assert_eq!(json!(rows), expected);
    // Compressed and not, it was sent twice; the line of another type is the one that is missing.
    let rows = sql(
        house.address(),
        "SELECT count(*), count(DISTINCT asset), sum(w), min(abs(v * 7 - w)), max(abs(v * 7 - w)) < 1e-9 FROM many WHERE w IS NOT NULL",
    );
    assert_eq!(json!(rows), json!([[20_000, 10, 199_990_000.0, 0.0, true]]));
    assert_eq!(house.count("many"), 20_001);
    house.served.stop();
}

/// The client of InfluxDB 1.x.
const CLIENT_V1: &str = r#"
import json, sys
from influxdb import InfluxDBClient
host, port = sys.argv[1].split(":")
client = InfluxDBClient(host, int(port), "user", "s3cret", "db", gzip=True)
version = client.ping()
points = [{"measurement": "press", "tags": {"line": "A"}, "time": 1767225600000 + n,
           "fields": {"force": n / 3, "strokes": n, "running": n % 2 == 0, "program": "p\\" + str(n)}} for n in range(1000)]
assert client.write_points(points, time_precision="ms")
assert client.write_points(points, time_precision="ms", protocol="json")
print(json.dumps(version))
"#;

#[test]
fn the_client_of_influxdb_1_sends_and_what_it_sent_is_found() {
    let Some(python) = python("influxdb") else {
        return skipped("the client of InfluxDB 1", "the Python package influxdb is not installed");
    };
    let house = house("token = \"s3cret\"");
    let version = run_python(&python, CLIENT_V1, house.address());
    assert!(version.as_str().is_some_and(|version| version.starts_with("tongmai-")), "{version}");
    let rows = sql(
        house.address(),
        "SELECT count(*), sum(strokes), sum(running), max(program), max(abs(force * 3 - strokes)) < 1e-9 FROM press",
    );
    assert_eq!(json!(rows), json!([[1_000, 499_500.0, 500.0, "p\\999", true]]));
    house.served.stop();
}

/// A process that is ended when the test is.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn vmagent_reads_our_metrics_and_writes_them_back() {
    let vmagent = ["vmagent", "vmagent-prod"].into_iter().find(|name| {
        let found = Command::new(name).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok()
    });
    let Some(vmagent) = vmagent else {
        return skipped("vmagent", "it was not found (Debian: victoria-metrics)");
    };
    let house = house("token = \"s3cret\"");
    let scrape = house.folder.path().join("scrape.yml");
    let text = format!(
        "scrape_configs:\n- job_name: tongmai\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{}']\n",
        house.address()
    );
    fs::write(&scrape, text).expect("it can be written");
    let mut command = Command::new(vmagent);
    command
        .arg(format!("-promscrape.config={}", scrape.display()))
        .arg(format!("-remoteWrite.url=http://{}/api/v1/write", house.address()))
        .arg(format!("-remoteWrite.tmpDataPath={}", house.folder.path().join("vmagent").display()))
        .args(["-remoteWrite.bearerToken=s3cret", "-remoteWrite.flushInterval=1s", "-httpListenAddr=127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _vmagent = Ended(command.spawn().expect("vmagent starts"));
    let asset = format!("device/instance={},job=tongmai", house.address());
    wait_for("samples of several scrapes", || {
        let (_, profiles) = get(house.address(), "/api/v1/profiles");
        if !profiles.to_string().contains("\"prometheus\"") {
            return None;
        }
        let query = format!("SELECT count(*) FROM prometheus WHERE signal = 'up' AND asset = '{asset}' AND value = 1");
        (sql(house.address(), &query)[0][0].as_u64() >= Some(3)).then_some(())
    });
    // What the scrape said of the store is what the store says of itself, at times a second apart.
    let rows = sql(
        house.address(),
        "SELECT count(DISTINCT time), min(value) >= 0 FROM prometheus WHERE signal = 'tongmai_store_rows_accepted_total'",
    );
    assert!(rows[0][0].as_u64() >= Some(2) && rows[0][1] == json!(true), "{rows:?}");
    let gateway = house.served.gateway("remote-write");
    assert_eq!(gateway["rejected"], json!({}), "{gateway}");
    assert_eq!(gateway["duplicates"], json!(0), "{gateway}");
    house.served.stop();
}
