//! `openssl`, a process of its own, reads what is made here and makes what is read here.

use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use super::*;

/// What `openssl` prints when it is given `input`; nothing where it is not installed.
fn openssl(folder: &Path, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Process::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        let _ = writeln!(std::io::stderr(), "skipped: openssl was not found");
        return None;
    };
    let _ = child.stdin.take().unwrap().write_all(input);
    let outcome = child.wait_with_output().unwrap();
    assert!(outcome.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&outcome.stderr));
    Some(outcome.stdout)
}

#[test]
fn block_ciphers_work_in_both_directions_with_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let (key, iv) = ("00112233445566778899aabbccddeefe", "0f0e0d0c0b0a09080706050403020100");
    let chained = Mode::Cbc(unhex(iv).try_into().unwrap());
    for (cipher, mode, name) in [
        (BlockCipher::Aes128, Mode::Ecb, "-aes-128-ecb"),
        (BlockCipher::Aes128, chained, "-aes-128-cbc"),
        (BlockCipher::Sm4, Mode::Ecb, "-sm4-ecb"),
        (BlockCipher::Sm4, chained, "-sm4-cbc"),
    ] {
        let ours = BlockKey::from_hex(cipher, mode, key).unwrap();
        for length in [1, 15, 16, 17, 600] {
            let plain: Vec<u8> = (0..length).map(|place| place as u8).collect();
            let mut arguments = vec!["enc", name, "-K", key];
            if mode != Mode::Ecb {
                arguments.extend(["-iv", iv]);
            }
            let Some(theirs) = openssl(folder.path(), &arguments, &plain) else { return };
            assert_eq!(ours.encrypt(&plain), theirs, "{name}, {length} bytes");
            arguments.push("-d");
            assert_eq!(openssl(folder.path(), &arguments, &ours.encrypt(&plain)).unwrap(), plain);
            assert_eq!(ours.decrypt(&theirs).unwrap(), plain);
        }
    }
}

/// The file names of a private and a public key that `openssl` makes.
fn keys(folder: &Path, algorithm: &[&str]) -> Option<(PrivateKey, PublicKey)> {
    let make = [&["genpkey"], algorithm, &["-out", "own.pem"]].concat();
    openssl(folder, &make, b"")?;
    openssl(folder, &["pkey", "-in", "own.pem", "-pubout", "-out", "public.pem"], b"")?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    Some((PrivateKey::from_pem(&read("own.pem")).unwrap(), PublicKey::from_pem(&read("public.pem")).unwrap()))
}

const SM2_KEY: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"];
const RSA_KEY: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const ECC_KEY: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn what_is_encrypted_for_a_key_of_openssl_is_read_by_it_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let plain: Vec<u8> = (0..100).collect();
    for (algorithm, expected) in [(SM2_KEY, SignatureKind::Sm2), (RSA_KEY, SignatureKind::Rsa)] {
        let Some((own, public)) = keys(folder, algorithm) else { return };
        assert_eq!((own.kind(), &own.public()), (expected, &public));
        let theirs = openssl(folder, &["pkeyutl", "-encrypt", "-pubin", "-inkey", "public.pem"], &plain).unwrap();
        assert_eq!(own.decrypt(&mut rng(), &theirs).unwrap(), plain);
        let ours = public.encrypt(&mut rng(), &plain).unwrap();
        let ours = if expected == SignatureKind::Sm2 { der_of_message(&ours) } else { ours };
        let read = openssl(folder, &["pkeyutl", "-decrypt", "-inkey", "own.pem"], &ours).unwrap();
        assert_eq!(read, plain, "{}", expected.word());
    }
}

#[test]
fn signatures_of_openssl_verify_here_and_those_of_here_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let message: Vec<u8> = (0..=255).collect();
    std::fs::write(folder.join("message"), &message).unwrap();
    for (algorithm, digest, expected) in [
        (SM2_KEY, "-sm3", SignatureKind::Sm2),
        (RSA_KEY, "-sha256", SignatureKind::Rsa),
        (ECC_KEY, "-sha256", SignatureKind::Ecc),
    ] {
        let Some((own, public)) = keys(folder, algorithm) else { return };
        let more: &[&str] = if expected == SignatureKind::Sm2 { &["-sigopt", "distid:1234567812345678"] } else { &[] };
        let sign = [&["dgst", digest, "-sign", "own.pem"], more, &["message"]].concat();
        let theirs = openssl(folder, &sign, b"").unwrap();
        let (r, s) = if expected == SignatureKind::Rsa { (theirs, Vec::new()) } else { numbers(&theirs) };
        public.verify(&message, &Signature { code: expected as u8, r: &r, s: &s }).unwrap();
        let (r, s) = own.sign(&mut rng(), &message).unwrap();
        let ours = if expected == SignatureKind::Rsa { r } else { der_of(&[&integer(&r), &integer(&s)]) };
        std::fs::write(folder.join("signature"), ours).unwrap();
        let verify =
            [&["dgst", digest, "-verify", "public.pem", "-signature", "signature"], more, &["message"]].concat();
        assert_eq!(openssl(folder, &verify, b"").unwrap(), b"Verified OK\n");
    }
}

#[test]
fn keys_come_in_the_forms_that_programs_write() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let Some((own, _)) = keys(folder, RSA_KEY) else { return };
    openssl(folder, &["rsa", "-in", "own.pem", "-traditional", "-out", "old.pem"], b"");
    assert!(read("old.pem").contains("RSA PRIVATE KEY"));
    assert_eq!(PrivateKey::from_pem(&read("old.pem")).unwrap().public(), own.public());
    openssl(folder, &["rsa", "-in", "own.pem", "-RSAPublicKey_out", "-out", "old.pem"], b"");
    assert_eq!(PublicKey::from_pem(&read("old.pem")).unwrap(), own.public());
    for curve in ["SM2", "prime256v1"] {
        openssl(folder, &["ecparam", "-name", curve, "-genkey", "-out", "old.pem"], b"");
        assert!(read("old.pem").contains(" PARAMETERS"), "the curve comes first");
        let old = PrivateKey::from_pem(&read("old.pem")).unwrap();
        let public = openssl(folder, &["pkey", "-in", "old.pem", "-pubout", "-outform", "DER"], b"").unwrap();
        assert_eq!(PublicKey::from_bytes(old.kind(), &public).unwrap(), old.public(), "{curve}");
    }
}

/// A value of DER with `tag`.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let head = if length < 128 { vec![tag, length as u8] } else { vec![tag, 0x81, length as u8] };
    [head, value.to_vec()].concat()
}

fn der_of(values: &[&[u8]]) -> Vec<u8> {
    der(0x30, &values.concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let sign: &[u8] = if number[zeros] >= 0x80 { &[0] } else { &[] };
    der(2, &[sign, &number[zeros..]].concat())
}

/// The two numbers of a signature in DER.
fn numbers(signature: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (r, rest) = signature[4..].split_at(usize::from(signature[3]));
    (r.to_vec(), rest[2..].to_vec())
}

/// C1, C3 and C2 as `openssl` wants them.
fn der_of_message(message: &[u8]) -> Vec<u8> {
    let (x, y) = (integer(&message[1..33]), integer(&message[33..65]));
    der_of(&[&x, &y, &der(4, &message[65..97]), &der(4, &message[97..])])
}
