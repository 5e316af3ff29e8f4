//! As much of an HTTP client as the tests need. HTTP/1.0: a body then ends where the connection does. Must not know what
//! is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take.
const WAIT_MAX: Duration = Duration::from_secs(30);

fn ask(address: SocketAddr, request: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

#[track_caller]
fn answer(address: SocketAddr, request: &str) -> (u16, Value) {
    let mut text = String::new();
    let stream = ask(address, request).and_then(|mut stream| stream.read_to_string(&mut text));
    stream.unwrap_or_else(|error| panic!("{request}: {error}"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: no head in `{text}`"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{request}: {error} in `{body}`"));
    (status.unwrap_or_else(|| panic!("{request}: no status in `{head}`")), body)
}

/// Status and body of `GET path`.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, Value) {
    answer(address, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))
}

/// Status of `DELETE path`.
#[track_caller]
pub(crate) fn delete(address: SocketAddr, path: &str) -> u16 {
    status(address, "DELETE", path)
}

/// Status of `PUT path`, without a body.
#[track_caller]
pub(crate) fn put(address: SocketAddr, path: &str) -> u16 {
    status(address, "PUT", path)
}

#[track_caller]
fn status(address: SocketAddr, method: &str, path: &str) -> u16 {
    let mut text = String::new();
    let stream = ask(address, &format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
    let read = stream.and_then(|mut stream| stream.read_to_string(&mut text));
    read.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{method} {path}: no status in `{text}`"))
}

/// Asks `query` and does not wait for the answer.
#[track_caller]
pub(crate) fn begin_sql(address: SocketAddr, query: &str) -> TcpStream {
    let body = json!({ "query": query }).to_string();
    let head = "POST /api/v1/sql HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    ask(address, &request).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Status and text of the answer to `POST path`; none where nobody answers.
pub(crate) fn try_post(address: SocketAddr, path: &str, content_type: &str, body: &str) -> Option<(u16, String)> {
    let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {content_type}");
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut text = String::new();
    ask(address, &request).ok()?.read_to_string(&mut text).ok()?;
    Some((text.split(' ').nth(1)?.parse().ok()?, text))
}

/// Status and body of the answer to `POST path` with `body`.
#[track_caller]
pub(crate) fn post(address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json");
    answer(address, &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// The rows of the answer to `query`.
#[track_caller]
pub(crate) fn sql(address: SocketAddr, query: &str) -> Vec<Vec<Value>> {
    let (status, answer) = post(address, "/api/v1/sql", &json!({ "query": query }));
    assert_eq!((status, &answer["truncated"]), (200, &json!(false)), "{query}: {answer}");
    serde_json::from_value(answer["rows"].clone()).expect("rows of values")
}

/// Hands every observation that the server tells of `asset` to `heard`, until the connection ends.
pub(crate) fn changes(address: SocketAddr, asset: &str, mut heard: impl FnMut(&Value)) {
    let request = format!("GET /api/v1/changes?asset={asset} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let Ok(stream) = ask(address, &request) else { return };
    // A line that the end cut off does not parse, and was not told.
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let told = line.strip_prefix("data:").and_then(|data| serde_json::from_str::<Value>(data).ok());
        told.iter().flat_map(|told| told["observations"].as_array()).flatten().for_each(&mut heard);
    }
}
