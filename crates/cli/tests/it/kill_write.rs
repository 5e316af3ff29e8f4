//! A server that is killed at any moment while rows come in as line protocol, in order, late and twice, and segments are
//! written and put together; and a compaction by hand that is killed as well. What was answered with 204 is there
//! afterwards, nothing is there twice. `TONGMAI_KILLS` says how often.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::http;
use crate::program::{finish, run, setting, tongmai};
use crate::served::Served;

/// The longest a server lives, from its first instruction. Maintenance comes once a second.
const LIFE_MILLIS_MAX: u64 = 1_600;
/// Bounds so small that kills also fall into the writing and the merging of segments.
const STORE: &str = "[store]\nhot_rows_max = 300\nlog_bytes_max = 30000\nseal_interval_secs = 1\n";
/// Rows of one request.
const ROWS: u64 = 25;
/// Every so many kills, a compaction is killed too, and all files are verified.
const COMPACTED_EVERY: u64 = 5;

/// Sends request `number`; whether it was answered with 204.
fn send(address: SocketAddr, number: u64) -> bool {
    let rows = number * ROWS..(number + 1) * ROWS;
    let lines: String = rows
        .map(|row| format!("van,id=V{} speed={row}i,load={}.5 {}\n", row % 5, row % 90, 1_700_000_000 + row))
        .collect();
    let head = "POST /write?precision=s HTTP/1.0\r\nHost: localhost\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{lines}", lines.len());
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let Ok(answer) = answer() else { return false };
    assert!(answer.is_empty() || answer.contains(" 204 "), "{answer}");
    !answer.is_empty()
}

/// What has been sent so far.
struct Sender {
    random: StdRng,
    next: u64,
    /// Requests that nobody answered.
    unsure: Vec<u64>,
}

impl Sender {
    /// Sends what was not answered, then new requests, and now and then an old one, until nobody answers.
    fn send_until_silence(&mut self, address: SocketAddr) {
        while let Some(number) = self.unsure.last() {
            if !send(address, *number) {
                return;
            }
            self.unsure.pop();
        }
        loop {
            if self.next > 0 && self.random.random_range(0..4) == 0 {
                let old = self.random.random_range(0..self.next);
                if !send(address, old) {
                    return;
                }
            }
            // Now and then one is left out, and comes late.
            let number = self.next;
            self.next += 1;
            if self.random.random_range(0..8) == 0 {
                self.unsure.insert(0, number);
            } else if !send(address, number) {
                self.unsure.push(number);
                return;
            }
        }
    }
}

#[test]
fn rows_that_were_taken_survive_every_kill_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("tongmai.toml"));
    fs::write(&config, STORE).unwrap();
    let (kills, seed): (u64, u64) = (setting("TONGMAI_KILLS", 50_u64).div_ceil(2), setting("TONGMAI_SEED", 7));
    let mut random = StdRng::seed_from_u64(seed);
    let mut sender = Sender { random: StdRng::seed_from_u64(seed + 1), next: 0, unsure: Vec::new() };
    for kill in 1..=kills {
        let life = Duration::from_millis(random.random_range(0..=LIFE_MILLIS_MAX));
        let death = Instant::now() + life;
        let mut served = Served::spawn(&data, &config);
        if let Some(address) = served.listens_within(life) {
            sender = thread::scope(|scope| {
                let sending = scope.spawn(|| {
                    sender.send_until_silence(address);
                    sender
                });
                thread::sleep(death.saturating_duration_since(Instant::now()));
                let said = served.kill();
                assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
                sending.join().expect("it ends with the server")
            });
        } else {
            let said = served.kill();
            assert!(!said.contains("error: "), "{said}");
        }
        if kill % COMPACTED_EVERY == 0 && data.join("manifest.json").exists() {
            let mut compaction = tongmai(&[&"store", &"compact", &"--data", &data]).spawn().expect("it starts");
            thread::sleep(Duration::from_millis(random.random_range(0..=300)));
            let _ = compaction.kill();
            finish(compaction);
            let verified = run(&[&"store", &"verify", &"--data", &data]).text();
            assert!(verified.contains("nothing is damaged"), "kill {kill}: {verified}");
        }
    }
    let served = Served::start(&data, &config);
    for number in std::mem::take(&mut sender.unsure) {
        assert!(send(served.address(), number));
    }
    let rows = sender.next * ROWS;
    assert!(rows > kills * 100, "only {rows} rows were sent: too few to say anything");
    let query = "SELECT count(*), count(DISTINCT speed), coalesce(min(speed), 0), coalesce(max(speed), 0), \
        count(*) FILTER (WHERE load = CAST(CAST(speed AS BIGINT) % 90 AS DOUBLE) + 0.5) FROM van";
    let found = http::sql(served.address(), query);
    let numbers: Vec<u64> = found[0].iter().map(|number| number.as_f64().expect("a number") as u64).collect();
    assert_eq!(numbers, [rows, rows, 0, rows - 1, rows], "each row is there once, as it was sent");
    served.stop();
}
