//! The outage drill with processes: a server forwards to another one that is not there for a while and is killed itself, while
//! the first one is killed again and again. Afterwards both hold the same. Must not know how it is kept how far was forwarded.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::http;
use crate::program::{setting, skipped};
use crate::served::{Served, wait_for};
use crate::vehicles::{Vehicle, free_address, report};

/// How often the forwarding server is killed in a short run: half of it while the upstream is away.
const KILLS: u64 = 10;
/// Between two reports: a run has thousands, not as many as a machine can do.
const PAUSE: Duration = Duration::from_millis(2);
/// Bounds so small that segments are written and merged meanwhile.
const STORE: &str = "[store]\nhot_rows_max = 200\nseal_interval_secs = 1\n";

/// A server's configuration and data, and where vehicles connect to it.
struct House {
    data: PathBuf,
    config: PathBuf,
    vehicles: std::net::SocketAddr,
}

impl House {
    fn new(folder: &Path, name: &str, more: &str) -> Self {
        let (data, config, vehicles) = (folder.join(name), folder.join(format!("{name}.toml")), free_address());
        let gateway = format!("[[gateways]]\nkind = \"gbt32960\"\nname = \"fleet\"\nlisten = \"{vehicles}\"\n");
        fs::write(&config, format!("{STORE}{gateway}{more}")).unwrap();
        Self { data, config, vehicles }
    }

    fn serve(&self) -> Served {
        Served::start(&self.data, &self.config)
    }
}

/// What a server has of the reports of vehicles: everything but when it came in.
fn held(served: &Served) -> Vec<Vec<Value>> {
    let columns = "asset, time, sequence, report_edition, report_blocks, report_other, vehicle_speed, vehicle_current, \
                   position_latitude, cell_voltage, exceptions";
    http::sql(served.address(), &format!("SELECT {columns} FROM vehicle ORDER BY asset, time, sequence"))
}

fn forward(served: &Served) -> Value {
    let (status, body) = http::get(served.address(), "/api/v1/forwards");
    assert_eq!(status, 200, "{body}");
    body["forwards"][0].clone()
}

/// Reports one second after the other until `death`; what was not answered is said first by the next life.
fn live(vehicles: std::net::SocketAddr, death: Instant, second: &mut u32, unsure: &mut Vec<u32>) {
    let mut vehicle = None;
    while Instant::now() < death {
        let Some(connected) = &mut vehicle else {
            vehicle = Vehicle::connect(vehicles, 1);
            continue;
        };
        let now = unsure.pop().unwrap_or_else(|| {
            *second += 1;
            *second
        });
        if !connected.say(2, &report(1, now)) {
            unsure.push(now);
            vehicle = None;
        }
        thread::sleep(PAUSE);
    }
}

#[test]
fn after_an_outage_and_many_kills_the_upstream_holds_exactly_what_we_hold() {
    let folder = tempfile::tempdir().unwrap();
    let platform = "[[gateways.platforms]]\nuser = \"city\"\npassword = \"a-long-one\"\n";
    let region = House::new(folder.path(), "region", platform);
    let upstream = format!(
        "[[forwards]]\nkind = \"gbt32960\"\nname = \"region\"\naddress = \"{}\"\nedition = 2016\nuser = \"city\"\n\
         password = \"a-long-one\"\nbegin = \"oldest\"\n",
        region.vehicles
    );
    let city = House::new(folder.path(), "city", &upstream);
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let kills = setting("TONGMAI_KILLS", KILLS).min(200);
    let (mut second, mut unsure) = (0, Vec::new());
    let mut there: Option<Served> = None;
    for kill in 0..kills {
        if kill == kills / 2 {
            there = Some(region.serve());
        }
        if kill == kills * 3 / 4 {
            there.take().map(|mut served| served.kill());
            there = Some(region.serve());
        }
        let mut here = city.serve();
        let death = Instant::now() + Duration::from_millis(random.random_range(200..1_500));
        thread::scope(|scope| {
            scope.spawn(|| live(city.vehicles, death, &mut second, &mut unsure));
        });
        let said = here.kill();
        assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
    }
    let (here, there) = (city.serve(), there.expect("it was started"));
    let mut vehicle = wait_for("a login", || Vehicle::connect(city.vehicles, 1));
    assert!(unsure.iter().all(|missed| vehicle.say(3, &report(1, *missed))));
    let ours = held(&here);
    assert!(ours.len() > 10, "hardly anything was said: {}", ours.len());
    wait_for("all is forwarded", || (held(&there).len() >= ours.len()).then_some(()));
    wait_for("all is acknowledged", || (forward(&here)["lag_rows"] == 0).then_some(()));
    assert_eq!(held(&there), ours);
    let status = forward(&here);
    assert_eq!((&status["state"], &status["refused"]), (&"connected".into(), &0.into()), "{status}");
    here.stop();
    there.stop();
}

const KEY: &str = "0123456789abcdeffedcba9876543210";

fn key_file(folder: &Path) -> PathBuf {
    let path = folder.join("region.key");
    fs::write(&path, format!("SM4,ecb,{KEY}\n")).unwrap();
    path
}

#[test]
fn what_is_forwarded_encrypted_arrives_decrypted() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("data-keys.txt");
    fs::write(&keys, format!("*,SM4,ecb,{KEY}\n")).unwrap();
    let more = format!(
        "[[gateways.platforms]]\nuser = \"city\"\npassword = \"a-long-one\"\n[gateways.security]\ndata_keys = {keys:?}\n"
    );
    let region = House::new(folder.path(), "region", &more);
    let upstream = format!(
        "[[forwards]]\nkind = \"gbt32960\"\nname = \"region\"\naddress = \"{}\"\nedition = 2025\ntakes_2016 = true\n\
         user = \"city\"\npassword = \"a-long-one\"\nencryption_key = {:?}\n",
        region.vehicles,
        key_file(folder.path())
    );
    let city = House::new(folder.path(), "city", &upstream);
    let (there, here) = (region.serve(), city.serve());
    let mut vehicle = wait_for("a login", || Vehicle::connect(city.vehicles, 1));
    assert!((0..20).all(|second| vehicle.say(2, &report(1, second))));
    let ours = held(&here);
    assert_eq!(ours.len(), 20);
    wait_for("all is acknowledged", || (forward(&here)["acknowledged"].as_u64() >= Some(20)).then_some(()));
    assert_eq!(held(&there), ours);
    let status = forward(&here);
    assert_eq!((&status["refused"], &status["logins"]), (&0.into(), &1.into()), "{status}");
    here.stop();
    there.stop();
}

#[test]
fn another_program_decrypts_what_goes_to_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!(
        "[[forwards]]\nkind = \"gbt32960\"\nname = \"region\"\naddress = \"{}\"\nedition = 2025\nuser = \"city\"\n\
         password = \"a-long-one\"\nencryption_key = {:?}\n",
        listener.local_addr().unwrap(),
        key_file(folder.path())
    );
    let here = House::new(folder.path(), "city", &upstream).serve();
    let (mut stream, _) = listener.accept().unwrap();
    let mut header = [0; 24];
    stream.read_exact(&mut header).unwrap();
    // A platform logs in, under SM4.
    assert_eq!((&header[..3], header[21]), (&[0x24, 0x24, 5][..], 5));
    let mut data = vec![0; usize::from(u16::from_be_bytes([header[22], header[23]]))];
    stream.read_exact(&mut data).unwrap();
    here.stop();
    let openssl = Command::new("openssl")
        .args(["enc", "-d", "-sm4-ecb", "-K", KEY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut openssl) = openssl else { return skipped("what goes to an upstream", "openssl was not found") };
    openssl.stdin.take().unwrap().write_all(&data).unwrap();
    let plain = openssl.wait_with_output().unwrap().stdout;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    assert_eq!(plain.len(), 41);
    assert_eq!((text(&plain[8..20]), text(&plain[20..40]), plain[40]), ("city".into(), "a-long-one".into(), 5));
}
