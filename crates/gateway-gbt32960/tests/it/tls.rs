//! TLS, with a client that we had no part in: `openssl s_client`, a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway_gbt32960::{Registry, Tls};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::house::{House, frame, login, report};

/// What `openssl req` is to write into certificates.
const CONFIGURATION: &str = "[req]\ndistinguished_name = name\n[name]\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\nsubjectAltName = DNS:localhost\n\
    [vehicle]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = clientAuth, serverAuth\nsubjectAltName = DNS:localhost\n";

/// Makes a certificate: an authority that vouches for itself, or a vehicle for which the authority `by` vouches. False where
/// there is no `openssl`.
fn certificate(folder: &Path, name: &str, by: Option<&str>) -> bool {
    std::fs::write(folder.join("openssl.cnf"), CONFIGURATION).unwrap();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-config", "openssl.cnf", "-subj", &format!("/CN={name}")])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .args(["-extensions", if by.is_some() { "vehicle" } else { "authority" }])
        .current_dir(folder);
    if let Some(by) = by {
        openssl.args(["-CA", &format!("{by}.pem"), "-CAkey", &format!("{by}.key")]);
    }
    match openssl.output() {
        Ok(made) if made.status.success() => true,
        Ok(made) => panic!("openssl req: {}", String::from_utf8_lossy(&made.stderr)),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "skipped: openssl was not found");
            false
        }
    }
}

fn client(folder: &Path, address: SocketAddr, more: &[&str]) -> Child {
    Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address.to_string(), "-servername", "localhost"])
        .args(["-CAfile", "server.pem", "-verify_return_error", "-verify_hostname", "localhost"])
        .args(more)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Says `said` and gives the first `count` bytes of what comes back, or as many as come.
async fn talk(mut child: Child, said: Vec<u8>, count: usize) -> Vec<u8> {
    let talked = tokio::task::spawn_blocking(move || {
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(&said).and_then(|()| stdin.flush());
        let mut heard = Vec::new();
        let _ = child.stdout.take().unwrap().take(count as u64).read_to_end(&mut heard);
        drop(stdin);
        let _ = child.kill();
        let _ = child.wait();
        heard
    });
    tokio::time::timeout(Duration::from_secs(30), talked).await.expect("it answers in time").unwrap()
}

async fn house(folder: &Path, authority: Option<&str>) -> House {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let authority = authority.map(read);
    let tls = Tls::new(&read("server.pem"), &read("server.key"), authority.as_deref()).unwrap();
    House::build(Registry::open(Vec::new()), |options| options, |gateway| gateway.with_tls(tls)).await
}

#[tokio::test]
async fn a_vehicle_speaks_under_tls_and_nobody_without_it() {
    let folder = tempfile::tempdir().unwrap();
    if !certificate(folder.path(), "server", None) {
        return;
    }
    let house = house(folder.path(), None).await;
    // More than is read at a time, so that what TLS has decrypted must not be left behind.
    let mut said = login(1);
    said.extend((0..3_000_u16).flat_map(|speed| report(1, (speed % 60) as u8, speed)));
    for version in ["-tls1_3", "-tls1_2"] {
        let heard = talk(client(folder.path(), house.address, &[version]), said.clone(), 31 * 3_001).await;
        assert_eq!(heard.len(), 31 * 3_001, "{version}");
        assert!(heard.chunks(31).skip(1).all(|answer| answer[2..4] == [2, 1]));
    }
    assert_eq!(house.reports().len(), 6_000);
    let mut plain = house.connect().await;
    plain.say(&login(2)).await;
    assert!(plain.is_answered_with_no_frame().await);
    assert!(house.link.counters().tally().rejected["no TLS"] >= 1);
    house.stop().await;
}

#[tokio::test]
async fn who_has_no_certificate_is_not_heard_where_one_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = [("server", None), ("maker", None), ("vehicle", Some("maker")), ("other", Some("server"))];
    if !wanted.into_iter().all(|(name, by)| certificate(folder.path(), name, by)) {
        return;
    }
    let house = house(folder.path(), Some("maker.pem")).await;
    let heartbeat = frame(0x23, 7, 1, "");
    let shown: &[&str] = &["-cert", "vehicle.pem", "-key", "vehicle.key"];
    let wrong: &[&str] = &["-cert", "other.pem", "-key", "other.key"];
    for (more, expected) in [(shown, 25), (wrong, 0), (&[][..], 0)] {
        let heard = talk(client(folder.path(), house.address, more), heartbeat.clone(), 25).await;
        assert_eq!(heard.len(), expected, "{more:?}");
    }
    house.stop().await;
}

/// The last part of the handshake and what is `said` go out in one piece.
fn say_with_the_handshake(folder: &Path, address: SocketAddr, said: &[u8], heard: &mut [u8]) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    let authority = std::fs::read(folder.join("maker.pem"))?;
    roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_client_auth_cert(
        CertificateDer::pem_file_iter(folder.join("vehicle.pem")).unwrap().map(Result::unwrap).collect(),
        PrivateKeyDer::from_pem_file(folder.join("vehicle.key")).unwrap(),
    );
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config.unwrap()), name).unwrap();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    while session.is_handshaking() {
        session.write_tls(&mut socket)?;
        session.read_tls(&mut socket)?;
        session.process_new_packets().unwrap();
    }
    session.writer().write_all(said)?;
    let mut piece = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut piece)?;
    }
    socket.write_all(&piece)?;
    Stream::new(&mut session, &mut socket).read_exact(heard)
}

#[tokio::test]
async fn what_comes_in_one_piece_with_the_end_of_the_handshake_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = [("maker", None), ("server", Some("maker")), ("vehicle", Some("maker"))];
    if !wanted.into_iter().all(|(name, by)| certificate(folder.path(), name, by)) {
        return;
    }
    let house = house(folder.path(), Some("maker.pem")).await;
    let address = house.address;
    let spoken = tokio::task::spawn_blocking(move || {
        let mut heard = [0; 25];
        say_with_the_handshake(folder.path(), address, &frame(0x23, 7, 1, ""), &mut heard).map(|()| heard)
    });
    assert_eq!(spoken.await.unwrap().unwrap()[2..4], [7, 1]);
    house.stop().await;
}

#[test]
fn certificates_that_cannot_be_used_are_told() {
    let folder = tempfile::tempdir().unwrap();
    if !["server", "other"].into_iter().all(|name| certificate(folder.path(), name, None)) {
        return;
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let (pem, key, other) = (read("server.pem"), read("server.key"), read("other.key"));
    for (pem, key, authority, expected) in [
        (&b"nothing"[..], &key[..], None, "expected PEM of a certificate and those that vouch for it"),
        (&pem[..], &pem[..], None, "expected PEM of the private key of the certificate"),
        (&pem[..], &key[..], Some(&key[..]), "expected PEM of the certificates of an authority for clients"),
        (&pem[..], &other[..], None, "the certificate, its key and the authority cannot be used"),
    ] {
        assert_eq!(Tls::new(pem, key, authority).unwrap_err().to_string(), expected);
    }
}
