//! What goes to an upstream encrypted: our own program takes it, and another one decrypts it. Must not know how data units are
//! encrypted.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::outage::{forward, held};
use crate::program::skipped;
use crate::served::{Served, wait_for};
use crate::vehicles::{Vehicle, free_address, report};

/// Bounds so small that segments are written and merged meanwhile.
const STORE: &str = "[store]\nhot_rows_max = 200\nseal_interval_secs = 1\n";

/// A server's configuration and data, and where vehicles connect to it.
pub(crate) struct House {
    data: PathBuf,
    config: PathBuf,
    pub(crate) vehicles: SocketAddr,
}

impl House {
    pub(crate) fn new(folder: &Path, name: &str, more: &str) -> Self {
        let (data, config, vehicles) = (folder.join(name), folder.join(format!("{name}.toml")), free_address());
        let gateway = format!("[[gateways]]\nkind = \"gbt32960\"\nname = \"fleet\"\nlisten = \"{vehicles}\"\n");
        fs::write(&config, format!("{STORE}{gateway}{more}")).unwrap();
        Self { data, config, vehicles }
    }

    pub(crate) fn serve(&self) -> Served {
        Served::start(&self.data, &self.config)
    }
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
    let ours = held(&here, "true");
    assert_eq!(ours.len(), 20);
    wait_for("all is acknowledged", || (forward(&here)["acknowledged"].as_u64() >= Some(20)).then_some(()));
    assert_eq!(held(&there, "true"), ours);
    let status = forward(&here);
    assert_eq!((&status["refused"], &status["logins"]), (&0.into(), &1.into()), "{status}");
    here.stop();
    there.stop();
}

/// A frame that came in, as far as the header tells: command, encryption, data unit.
fn taken(stream: &mut TcpStream) -> ([u8; 24], Vec<u8>) {
    let mut header = [0; 24];
    stream.read_exact(&mut header).unwrap();
    let mut data = vec![0; usize::from(u16::from_be_bytes([header[22], header[23]])) + 1];
    stream.read_exact(&mut data).unwrap();
    data.pop();
    (header, data)
}

/// Answers the frame with `header` with ok and `time`, in plain.
fn answer(stream: &mut TcpStream, header: [u8; 24], time: &[u8]) {
    let mut frame = header.to_vec();
    (frame[3], frame[21], frame[22], frame[23]) = (1, 1, 0, 6);
    frame.extend(time);
    frame.push(frame[2..].iter().fold(0, |all, byte| all ^ byte));
    stream.write_all(&frame).unwrap();
}

/// `data`, decrypted by another program; `None` where there is none.
fn decrypted(data: &[u8]) -> Option<Vec<u8>> {
    let mut openssl = Command::new("openssl")
        .args(["enc", "-d", "-sm4-ecb", "-K", KEY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    openssl.stdin.take().unwrap().write_all(data).unwrap();
    Some(openssl.wait_with_output().unwrap().stdout)
}

#[test]
fn another_program_decrypts_what_goes_to_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!(
        "[[forwards]]\nkind = \"gbt32960\"\nname = \"region\"\naddress = \"{}\"\nedition = 2025\ntakes_2016 = true\n\
         user = \"city\"\npassword = \"a-long-one\"\nencryption_key = {:?}\n",
        listener.local_addr().unwrap(),
        key_file(folder.path())
    );
    let city = House::new(folder.path(), "city", &upstream);
    let here = city.serve();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (header, data) = taken(&mut stream);
    // A platform logs in, under SM4.
    assert_eq!((&header[..3], header[21]), (&[0x24, 0x24, 5][..], 5));
    let Some(plain) = decrypted(&data) else { return skipped("what goes to an upstream", "openssl was not found") };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    assert_eq!(plain.len(), 41);
    assert_eq!((text(&plain[8..20]), text(&plain[20..40]), plain[40]), ("city".into(), "a-long-one".into(), 5));
    answer(&mut stream, header, &plain[..6]);
    let mut vehicle = wait_for("a login", || Vehicle::connect(city.vehicles, 1));
    let said = report(1, 7);
    assert!(vehicle.say(2, &said));
    loop {
        let (header, data) = taken(&mut stream);
        let plain = decrypted(&data).expect("it was there before");
        assert_eq!(header[21], 5, "command {} is encrypted", header[2]);
        if matches!(header[2], 2 | 3) {
            assert_eq!(plain, said);
            break;
        }
        answer(&mut stream, header, &plain[..6]);
    }
    here.stop();
}
