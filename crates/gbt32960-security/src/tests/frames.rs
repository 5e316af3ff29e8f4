//! Data units: encrypted, signed, activated, exchanged; cut, flipped, and with the wrong key.

use std::io::Write as _;
use std::path::Path;

use gbt32960::Frame;
use proptest::prelude::*;

use super::*;

const TIME: [u8; 6] = [26, 7, 7, 18, 0, 0];
const LATER: [u8; 6] = [26, 7, 8, 18, 0, 0];

/// A report with a byte 0xFF in its time's neighbourhood, in a block, and in bytes that a maker has defined.
fn report() -> Vec<u8> {
    unhex("1a0707120000 04 ffff 80 0003 ffffff 04 073a")
}

fn data_keys() -> Vec<DataKey> {
    let block = |cipher, mode| DataKey::Block(BlockKey::new(cipher, mode, [7; 16]));
    let ciphers = [BlockCipher::Aes128, BlockCipher::Sm4];
    let mut keys: Vec<DataKey> =
        ciphers.into_iter().flat_map(|cipher| [block(cipher, Mode::Ecb), block(cipher, Mode::Cbc([9; 16]))]).collect();
    keys.extend(private_keys().into_iter().take(2).map(DataKey::Private));
    keys
}

#[test]
fn every_algorithm_gives_back_what_it_was_given() {
    for key in data_keys() {
        for length in [0, 1, 15, 16, 117, 118, 600, 2_000] {
            let plain: Vec<u8> = (0..length).map(|place| place as u8).collect();
            let encrypted = key.encrypt(&mut rng(), &plain).unwrap();
            assert_eq!(encrypted.is_empty(), plain.is_empty());
            assert_eq!(key.decrypt(&mut rng(), &encrypted).unwrap(), plain, "{key:?}, {length} bytes");
        }
    }
    let codes: Vec<u8> = data_keys().iter().map(|key| key.encryption().unwrap().0).collect();
    assert_eq!(codes, [3, 3, 5, 5, 4, 2]);
}

#[test]
fn what_is_wrong_is_told_and_no_key_is_shown() {
    let [sm2, rsa, ecc] = private_keys();
    let other = DataKey::Private(PrivateKey::from_hex(SignatureKind::Sm2, OTHER).unwrap());
    let for_sm2 = DataKey::Public(sm2.public()).encrypt(&mut rng(), &report()).unwrap();
    for (key, data, expected) in [
        (&data_keys()[0], vec![0; 17], "undecryptable: expected whole blocks of 16 bytes, got 17 bytes"),
        (&data_keys()[2], vec![0; 16], "undecryptable: expected a last block that is filled up (PKCS#7)"),
        (
            &DataKey::Private(rsa),
            vec![0; 127],
            "expected 1 to 64 blocks of 128 bytes, the length of the key of RSA, got 127",
        ),
        (&DataKey::Private(sm2.clone()), vec![4; 96], "expected more than 96 bytes of SM2, got 96 bytes"),
        (&other, for_sm2, "expected C1, C3 and C2 of SM2, for this key and whole, got"),
        (&DataKey::Private(ecc), vec![0; 16], "expected a key of RSA or SM2, got one of ECC"),
        (&DataKey::Public(sm2.public()), vec![0; 16], "expected a private key, got a public one"),
    ] {
        let error = key.decrypt(&mut rng(), &data).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (error, expected) in [
        (BlockKey::from_hex(BlockCipher::Sm4, Mode::Ecb, "00ff").unwrap_err(), "expected 32 hexadecimal digits, got 4"),
        (PrivateKey::from_pem("-----").unwrap_err(), "expected PEM of a private key of SM2, RSA or P-256"),
        (PublicKey::from_pem("-----").unwrap_err(), "expected PEM of a public key of SM2, RSA or P-256"),
        (
            PublicKey::from_bytes(SignatureKind::Sm2, &[4; 65]).unwrap_err(),
            "a public key of SM2, got 65 bytes that are none",
        ),
        (PublicKey::from_bytes(SignatureKind::Ecc, &[4; 64]).unwrap_err(), "a public key of ECC, got 64 bytes"),
        (PublicKey::from_bytes(SignatureKind::Rsa, &[4; 7]).unwrap_err(), "a public key of RSA, got 7 bytes"),
        (PrivateKey::from_hex(SignatureKind::Rsa, SM2).unwrap_err(), "64 hexadecimal digits of a private key of SM2"),
    ] {
        assert!(error.to_string().contains(expected), "{error}");
    }
    let secret = [7; 16].map(|byte: u8| byte.to_string()).join(", ");
    for key in data_keys() {
        let shown = format!("{key:?} {key:#?}").to_lowercase();
        assert!(!shown.contains(&secret) && !shown.contains("3945208f") && shown.len() < 200, "{shown}");
    }
}

#[test]
fn a_key_of_rsa_that_is_another_gives_made_up_bytes_and_tells_nothing() {
    let [_, own, _] = private_keys();
    let encrypted = own.public().encrypt(&mut rng(), &report()).unwrap();
    let mut wrong = encrypted.clone();
    wrong[40] ^= 1;
    let decrypted = own.decrypt(&mut rng(), &wrong);
    assert!(decrypted.is_ok_and(|bytes| bytes != report()));
}

#[test]
fn a_key_of_rsa_of_any_length_is_read_again_as_it_is_written() {
    let modulus: Vec<u8> = (0..192).map(|place| if place < 50 { 0 } else { place | 1 }).collect();
    for exponent in [&[1, 0, 1][..], &[3], &[1, 0, 0, 0, 1]] {
        let key = PublicKey::from_bytes(SignatureKind::Rsa, &[&modulus, exponent].concat()).unwrap();
        assert_eq!(key.to_bytes(), [&modulus, exponent].concat(), "142 bytes, filled up to whole steps");
        assert_eq!(PublicKey::from_bytes(SignatureKind::Rsa, &key.to_bytes()).unwrap(), key);
    }
    let short = rsa_key().public();
    let with_zeros = [&[0; 64], &short.to_bytes()[..]].concat();
    assert_eq!(PublicKey::from_bytes(SignatureKind::Rsa, &with_zeros).unwrap(), short);
}

#[test]
fn a_report_is_signed_verified_and_with_one_flipped_bit_it_is_not() {
    let layout = standard().layout(Edition::E2025);
    for key in private_keys() {
        let mut data = report();
        assert_eq!(Signed::find(layout, &data).unwrap(), None, "a byte 0xff is no signature");
        sign_report(&key, &mut rng(), &mut data).unwrap();
        let signed = Signed::find(layout, &data).unwrap().unwrap();
        assert_eq!(signed.covered, report());
        assert_eq!(signed.signature.s.is_empty(), key.kind() == SignatureKind::Rsa);
        signed.verify(&key.public()).unwrap();
        for bit in (0..data.len() * 8).step_by(11) {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = Signed::find(layout, &flipped);
            let verified = found.is_ok_and(|signed| signed.is_some_and(|signed| signed.verify(&key.public()).is_ok()));
            assert!(!verified, "{:?}, bit {bit}", key.kind());
        }
        for other in private_keys().iter().filter(|other| other.kind() != key.kind()) {
            let error = signed.verify(&other.public()).unwrap_err().to_string();
            assert!(error.contains(&format!("one of {}, got {}", other.kind().word(), key.kind().word())), "{error}");
        }
    }
    let other = PrivateKey::from_hex(SignatureKind::Sm2, OTHER).unwrap().public();
    let mut data = report();
    sign_report(&private_keys()[0], &mut rng(), &mut data).unwrap();
    let error = Signed::find(layout, &data).unwrap().unwrap().verify(&other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrong signature: expected the signature of these bytes by the known key of SM2, got another one"
    );
    assert_eq!(Signed::find(standard().layout(Edition::E2016), &unhex("1a0707120000")).unwrap(), None);
}

#[test]
fn numbers_of_a_signature_may_lack_zeros_or_have_one_more() {
    let [key, _, _] = private_keys();
    let (message, r, s) = (0_u32..)
        .find_map(|number| {
            let message = number.to_be_bytes();
            let (r, s) = key.sign(&mut rng(), &message).unwrap();
            (r[0] == 0).then_some((message, r, s))
        })
        .unwrap();
    let longer = [&[0], &s[..]].concat();
    key.public().verify(&message, &Signature { code: 1, r: &r[1..], s: &longer }).unwrap();
    let too_long = [&[1], &s[..]].concat();
    assert!(key.public().verify(&message, &Signature { code: 1, r: &r, s: &too_long }).is_err());
    assert!(key.public().verify(&message, &Signature { code: 1, r: &[], s: &[] }).is_err());
}

#[test]
fn a_chip_makes_its_key_known_and_only_with_the_private_one() {
    let (layout, header) = (standard().layout(Edition::E2025), header(Command::ACTIVATION));
    for key in private_keys() {
        let data = Activation::write(TIME, "CHIP7", header.vin, &key, &mut rng()).unwrap();
        let activation = Activation::parse(layout, &header, &data).unwrap();
        assert_eq!((activation.time, activation.chip.as_str(), activation.vin), (TIME, "CHIP7", header.vin));
        assert_eq!(activation.verified_key(USER_ID).unwrap(), key.public());
        let mut other = data.clone();
        other[7] ^= 1;
        let error = Activation::parse(layout, &header, &other).unwrap().verified_key(USER_ID).unwrap_err();
        assert_eq!(error.reason, "wrong signature");
        assert!(Activation::parse(layout, &header, &data[..data.len() - 1]).is_err());
    }
    let other_user = private_keys()[0].with_user_id("someone").unwrap();
    let data = Activation::write(TIME, "CHIP7", header.vin, &other_user, &mut rng()).unwrap();
    let activation = Activation::parse(layout, &header, &data).unwrap();
    assert!(activation.verified_key(USER_ID).is_err());
    activation.verified_key("someone").unwrap();
    for reply in [ActivationReply::Activated, ActivationReply::ChipActivated, ActivationReply::VinDuplicate] {
        assert_eq!(ActivationReply::parse(&reply.to_bytes()).unwrap(), reply);
    }
    assert!(ActivationReply::parse(&[1, 1]).is_err());
}

#[test]
fn a_key_is_exchanged_for_whoever_has_the_private_key() {
    let (layout, header) = (standard().layout(Edition::E2025), header(Command::KEY_EXCHANGE));
    let [sm2, rsa, _] = private_keys();
    let key = BlockKey::new(BlockCipher::Sm4, Mode::Ecb, *b"sixteen bytes ok");
    for to in [&sm2, &rsa] {
        let wrapped = KeyExchange::wrap(&key, &to.public(), TIME, LATER, &mut rng()).unwrap();
        let read = KeyExchange::parse(layout, &header, &wrapped.write()).unwrap();
        assert_eq!(read, wrapped);
        assert!(!format!("{read:?}").contains('['), "{read:?}");
        let own = [rsa.clone(), sm2.clone()];
        let ExchangedKey::Block(unwrapped) = read.unwrap(&own, Mode::Ecb, Encryption::NONE, &mut rng()).unwrap() else {
            panic!("a key of SM4")
        };
        assert_eq!((unwrapped.cipher(), unwrapped.bytes()), (key.cipher(), key.bytes()));
        assert!(read.unwrap(&[], Mode::Ecb, Encryption::NONE, &mut rng()).is_err());
    }
    // As it is, it counts only where nobody else can read it.
    let plain = KeyExchange { encryption: Encryption::SM4, key: key.bytes().to_vec(), enabled: TIME, expires: LATER };
    assert!(plain.unwrap(std::slice::from_ref(&sm2), Mode::Ecb, Encryption::NONE, &mut rng()).is_err());
    assert!(plain.unwrap(&[], Mode::Ecb, Encryption::AES_128, &mut rng()).is_ok());
    let public = KeyExchange::of_public(&rsa.public(), TIME, LATER).unwrap();
    let ExchangedKey::Public(read) = public.unwrap(&[], Mode::Ecb, Encryption::NONE, &mut rng()).unwrap() else {
        panic!("a public key")
    };
    assert_eq!(read, rsa.public());
    let unknown = KeyExchange { encryption: Encryption(9), ..plain };
    assert!(
        unknown.unwrap(&[], Mode::Ecb, Encryption::NONE, &mut rng()).unwrap_err().to_string().contains("kind 0x09")
    );
}

/// Name and bytes of the published frames, where they are.
fn published(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/gbt32960/frames.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        let _ = writeln!(std::io::stderr(), "skipped: ../shared/data/gbt32960/frames.json is not there");
        return None;
    };
    let begin = text.find(&format!("\"{name}\""))?;
    let digits = text[begin..].split("\"hex\"").nth(1)?.split('"').nth(1)?;
    from_hex(digits)
}

#[test]
fn published_frames_are_read_as_what_they_are() {
    let layout = standard().layout(Edition::E2025);
    let Some(bytes) = published("2025 activation") else { return };
    let frame = Frame::parse(&bytes).unwrap();
    let activation = Activation::parse(layout, &frame.header, frame.data).unwrap();
    assert_eq!(activation.chip, "1234567812345678");
    // Its key is a modulus with the exponent behind it. What was signed is not what was published.
    assert_eq!(activation.verified_key(USER_ID).unwrap_err().reason, "wrong signature");
    let bytes = published("2025 realtime with one block, signed RSA").unwrap();
    let frame = Frame::parse(&bytes).unwrap();
    let signed = Signed::find(layout, frame.data).unwrap().unwrap();
    assert_eq!((signed.signature.code, signed.signature.r.len(), signed.signature.s.len()), (2, 256, 0));
    assert_eq!(&frame.data[signed.covered.len()..][..2], [0xFF, 2]);
    let bytes = published("realtime, signed SM2").unwrap();
    let frame = Frame::parse(&bytes).unwrap();
    let signed = Signed::find(layout, frame.data).unwrap().unwrap();
    assert_eq!((signed.signature.code, signed.signature.r.len(), signed.signature.s.len()), (1, 32, 32));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_comes_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..300, flip in any::<u16>()) {
        let layout = standard().layout(Edition::E2025);
        let [sm2, _, ecc] = private_keys();
        for key in data_keys().into_iter().take(5) {
            let _ = key.decrypt(&mut rng(), &bytes);
        }
        let _ = sm2.decrypt(&mut rng(), &[&[4], &bytes[..]].concat());
        let _ = sm2.decrypt(&mut rng(), &[&[0x30], &bytes[..]].concat());
        for kind in [SignatureKind::Sm2, SignatureKind::Rsa, SignatureKind::Ecc] {
            let _ = PublicKey::from_bytes(kind, &bytes);
        }
        let half = bytes.len() / 2;
        for key in [sm2.public(), ecc.public()] {
            let _ = key.verify(b"message", &Signature { code: key.kind() as u8, r: &bytes[..half], s: &bytes[half..] });
        }
        let _ = Signed::find(layout, &bytes);
        let mut activation = Activation::write(TIME, "CHIP", header(Command::ACTIVATION).vin, &ecc, &mut rng()).unwrap();
        let place = usize::from(flip / 8) % activation.len();
        activation[place] ^= 1 << (flip % 8);
        activation.truncate(activation.len() - cut.min(activation.len()) / 2);
        if let Ok(activation) = Activation::parse(layout, &header(Command::ACTIVATION), &activation) {
            prop_assert!(activation.verified_key(USER_ID).is_err());
        }
        if let Ok(exchange) = KeyExchange::parse(layout, &header(Command::KEY_EXCHANGE), &bytes) {
            let _ = exchange.unwrap(&[sm2], Mode::Ecb, Encryption::NONE, &mut rng());
        }
    }
}
