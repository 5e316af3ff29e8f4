//! The conformance kit against our platform, which passes, and against one with bad manners, which does not.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use crate::program::{run, skipped};
use crate::served::{Served, wait_for};
use crate::vehicles::configure;

/// Whether `tongmai frames` succeeds, what it finds, and what it says of it all.
fn frames(to: SocketAddr, more: &[&str]) -> (bool, String, String) {
    let to = to.to_string();
    let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"frames", &"--to", &to];
    all.extend(more.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
    let outcome = run(&all);
    (outcome.code == Some(0), String::from_utf8_lossy(&outcome.stdout).into_owned(), outcome.stderr)
}

#[test]
fn our_platform_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (address, config) = configure(folder.path(), "");
    let served = Served::start(&folder.path().join("data"), &config);
    wait_for("the platform", || std::net::TcpStream::connect(address).ok());
    let (passed, found, said) = frames(address, &[]);
    assert!(passed && !found.contains("FAILED"), "{found}{said}");
    assert_eq!(found.lines().filter(|line| line.starts_with("passed  2016: ")).count(), 18, "{found}");
    assert_eq!(found.lines().filter(|line| line.starts_with("passed  2025: ")).count(), 18, "{found}");
    served.stop();
}

#[test]
fn recorded_frames_are_said_again() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/gbt32960/frames.json");
    let Ok(published) = fs::read(&published) else {
        skipped("recorded frames", "../shared/data/gbt32960/frames.json is not there");
        return;
    };
    let published: serde_json::Value = serde_json::from_slice(&published).unwrap();
    let frames_of = published["frames"].as_array().or_else(|| published.as_array()).expect("a list of frames");
    let lines: Vec<&str> = frames_of.iter().filter_map(|frame| frame["hex"].as_str()).collect();
    assert!(lines.len() > 5, "{published}");
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("frames.txt");
    fs::write(&recording, lines.join("\n")).unwrap();
    let (address, config) = configure(folder.path(), "");
    let served = Served::start(&folder.path().join("data"), &config);
    wait_for("the platform", || std::net::TcpStream::connect(address).ok());
    let (_, found, said) = frames(address, &[recording.to_str().unwrap()]);
    assert_eq!(
        found.lines().filter(|line| line.starts_with("passed") || line.starts_with("FAILED")).count(),
        lines.len(),
        "{found}{said}"
    );
    assert!(found.contains("passed  line 1: "), "{found}{said}");
    served.stop();
}

/// Acknowledges whatever comes, with an answer to some other vehicle.
fn bad_platform() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut bytes = [0; 4_096];
                while let Ok(1..) = stream.read(&mut bytes) {
                    let mut reply = bytes[..30].to_vec();
                    reply[3] = 1;
                    reply[20] = b'X';
                    reply[22..24].copy_from_slice(&[0, 6]);
                    reply.push(reply[2..].iter().fold(0, |all, byte| all ^ byte));
                    let _ = stream.write_all(&reply);
                }
            });
        }
    });
    address
}

#[test]
fn a_platform_with_bad_manners_is_found_out() {
    let (passed, found, said) = frames(bad_platform(), &["--edition", "2016", "--wait-ms", "200"]);
    assert!(!passed && said.contains(" of 18 failed"), "{found}{said}");
    for expected in [
        "FAILED  2016: a report before the login is not acknowledged: it was acknowledged",
        "FAILED  2016: a login is acknowledged: VIN: expected that of the request, got another one",
        "FAILED  2016: which closes the first: the first one is still open",
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let (reached, _, said) = frames("127.0.0.1:1".parse().unwrap(), &[]);
    assert!(!reached && said.contains("failed to reach the platform at 127.0.0.1:1"), "{said}");
}
