//! Vehicles with keys: activated, with a key exchanged, encrypted and signed; with wrong keys; and after a restart.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_gbt32960::{KeyRecord, KeyStore, Registry, Security, SecurityOptions, SignaturePolicy};
use gbt32960::{Request, Vin};
use gbt32960_security::{Activation, BlockCipher, BlockKey, KeyExchange, Mode, PrivateKey, SignatureKind, sign_report};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::house::{House, frame, frame_of, login, report};

const OK: u8 = 1;
const ERROR: u8 = 2;
const SM4: u8 = 5;
const NOON: [u8; 6] = [26, 7, 7, 12, 0, 0];
const TOMORROW: [u8; 6] = [26, 7, 8, 12, 0, 0];
const NEXT_WEEK: [u8; 6] = [26, 7, 15, 12, 0, 0];

/// Keeps lines, while it can.
#[derive(Default)]
struct Notebook {
    lines: Mutex<Vec<String>>,
    is_full: Mutex<bool>,
}

impl KeyStore for Notebook {
    fn append(&self, records: &[KeyRecord]) -> io::Result<()> {
        if *self.is_full.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.lines.lock().unwrap().extend(records.iter().map(KeyRecord::to_line));
        Ok(())
    }
}

/// Waits until there is something.
async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            match found() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it comes to be so")
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(3)
}

fn sm2(digit: char) -> PrivateKey {
    PrivateKey::from_hex(SignatureKind::Sm2, &digit.to_string().repeat(64)).unwrap()
}

fn platform_key() -> PrivateKey {
    sm2('7')
}

fn vin(vehicle: u32) -> Vin {
    Vin::new(&format!("LTMTEST{vehicle:010}")).unwrap()
}

fn options(signatures: SignaturePolicy) -> SecurityOptions {
    SecurityOptions { signatures, own: vec![platform_key()], ..SecurityOptions::new([1; 32]) }
}

async fn house(security: Security) -> House {
    let registry = Registry::strict("LTMTEST0000000001\nLTMTEST0000000002\n", Vec::new()).unwrap();
    House::build(registry, |options| options, |gateway| gateway.with_security(security)).await
}

async fn house_with(signatures: SignaturePolicy, notebook: &Arc<Notebook>) -> House {
    let kept: Vec<KeyRecord> =
        notebook.lines.lock().unwrap().iter().map(|line| KeyRecord::parse(line, Mode::Ecb).unwrap()).collect();
    house(Security::new(options(signatures), "", "").unwrap().with_store(notebook.clone(), kept)).await
}

fn activation(vehicle: u32, chip: &str, key: &PrivateKey) -> Vec<u8> {
    let data = Activation::write(NOON, chip, vin(vehicle), key, &mut rng()).unwrap();
    frame_of(0x24, 0x09, vehicle, 1, &data)
}

fn exchange(vehicle: u32, key: &BlockKey, enabled: [u8; 6], expires: [u8; 6]) -> Vec<u8> {
    let exchange = KeyExchange::wrap(key, &platform_key().public(), enabled, expires, &mut rng()).unwrap();
    frame_of(0x24, 0x0B, vehicle, 1, &exchange.write())
}

fn key(digit: char) -> BlockKey {
    BlockKey::from_hex(BlockCipher::Sm4, Mode::Ecb, &digit.to_string().repeat(32)).unwrap()
}

fn login_2025() -> Vec<u8> {
    let mut data = vec![26, 7, 7, 18, 0, 0, 0, 1];
    data.extend([b'8'; 20]);
    data.push(0);
    data
}

/// A report of 2025 of an engine with 1,850 revolutions per minute at the second `second`.
fn report_2025(second: u8) -> Vec<u8> {
    vec![26, 7, 7, 18, 0, second, 4, 0x07, 0x3A]
}

fn signed(second: u8, key: &PrivateKey) -> Vec<u8> {
    let mut data = report_2025(second);
    sign_report(key, &mut rng(), &mut data).unwrap();
    data
}

#[tokio::test]
async fn a_vehicle_is_activated_exchanges_a_key_logs_in_and_reports_under_sm4_with_signatures() {
    let notebook = Arc::new(Notebook::default());
    let (chip, secret) = (sm2('3'), key('a'));
    let house = house_with(SignaturePolicy::Require, &notebook).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&activation(1, "CHIP1", &chip)).await;
    assert_eq!(vehicle.hear().await, (0x0A, OK, vec![1, 0]));
    vehicle.say(&exchange(1, &secret, NOON, TOMORROW)).await;
    assert_eq!(vehicle.hear().await, (0x0B, OK, NOON.to_vec()));
    assert_eq!(notebook.lines.lock().unwrap().len(), 2);
    vehicle.say(&frame_of(0x24, 1, 1, SM4, &secret.encrypt(&login_2025()))).await;
    // The answer is encrypted as the question was.
    let (command, response, encryption, data) = vehicle.hear_encrypted().await;
    assert_eq!((command, response, encryption), (1, OK, SM4));
    assert_eq!(secret.decrypt(&data).unwrap(), [26, 7, 7, 18, 0, 0]);
    let mut flipped = signed(3, &chip);
    flipped[7] ^= 1;
    for (said, response, reason) in [
        (secret.encrypt(&signed(1, &chip)), OK, ""),
        (secret.encrypt(&report_2025(2)), 5, "no signature"),
        (secret.encrypt(&flipped), 5, "wrong signature"),
        (secret.encrypt(&signed(4, &sm2('4'))), 5, "wrong signature"),
        (key('b').encrypt(&signed(5, &chip)), 7, "undecryptable"),
        (secret.encrypt(&[26, 7, 7, 18, 0, 6, 4, 7]), 6, "too short"),
        (secret.encrypt(&signed(7, &chip)), OK, ""),
    ] {
        let before = house.rejected().len();
        vehicle.say(&frame_of(0x24, 2, 1, SM4, &said)).await;
        assert_eq!(vehicle.hear().await.1, response, "{reason}");
        let rejected: Vec<&str> = house.rejected()[before..].iter().map(|(reason, _)| *reason).collect();
        assert_eq!(rejected, if reason.is_empty() { vec![] } else { vec![reason] });
    }
    // A frame of 2016 cannot be signed, and so cannot get around it.
    vehicle.say(&report(1, 8, 1_000)).await;
    assert_eq!(vehicle.hear().await.1, ERROR);
    assert_eq!(house.reports().len(), 2);
    assert_eq!(house.signatures(), [Some("verified".to_owned()), Some("verified".to_owned())]);
    house.stop().await;

    // What was learned is still known after a restart.
    let house = house_with(SignaturePolicy::Require, &notebook).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&frame_of(0x24, 1, 1, SM4, &secret.encrypt(&login_2025()))).await;
    assert_eq!(vehicle.hear().await.1, OK);
    vehicle.say(&frame_of(0x24, 2, 1, SM4, &secret.encrypt(&signed(9, &chip)))).await;
    assert_eq!(vehicle.hear().await.1, OK);
    // The key does not hold for ever; the next one does from its time on.
    let next = key('c');
    vehicle.say(&exchange(1, &next, TOMORROW, NEXT_WEEK)).await;
    assert_eq!(vehicle.hear().await.1, OK);
    for (said, response) in [(&next, 7), (&secret, OK)] {
        vehicle.say(&frame_of(0x24, 2, 1, SM4, &said.encrypt(&signed(10, &chip)))).await;
        assert_eq!(vehicle.hear().await.1, response);
    }
    house.clock.set(gbt32960::from_wire(TOMORROW).unwrap());
    for (said, response) in [(&secret, 7), (&next, OK)] {
        vehicle.say(&frame_of(0x24, 2, 1, SM4, &said.encrypt(&signed(11, &chip)))).await;
        assert_eq!(vehicle.hear().await.1, response);
    }
    house.stop().await;
}

#[tokio::test]
async fn only_the_first_key_of_a_vehicle_counts_and_only_with_its_private_half() {
    let notebook = Arc::new(Notebook::default());
    let house = house_with(SignaturePolicy::Ignore, &notebook).await;
    let mut vehicle = house.connect().await;
    let (chip, other) = (sm2('3'), sm2('4'));
    let mut forged = activation(1, "CHIP1", &chip);
    let (place, last) = (24 + 6, forged.len() - 1);
    (forged[place], forged[last]) = (forged[place] ^ 1, forged[last] ^ 1);
    for (said, expected) in [
        (forged, (0x09, 5, NOON.to_vec())),
        (activation(1, "CHIP1", &chip), (0x0A, OK, vec![1, 0])),
        (activation(1, "CHIP1", &chip), (0x0A, OK, vec![1, 0])),
        (activation(1, "CHIP1", &other), (0x0A, ERROR, vec![2, 1])),
        (activation(1, "CHIP2", &other), (0x0A, ERROR, vec![2, 2])),
        (activation(2, "CHIP1", &other), (0x0A, ERROR, vec![2, 1])),
        (activation(3, "CHIP3", &other), (0x09, 4, NOON.to_vec())),
        (frame(0x24, 9, 1, "1a07070c0000"), (0x09, 6, NOON.to_vec())),
    ] {
        vehicle.say(&said).await;
        assert_eq!(vehicle.hear().await, expected);
    }
    assert_eq!(notebook.lines.lock().unwrap().len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_take_away_the_key_of_a_vehicle() {
    let notebook = Arc::new(Notebook::default());
    let house = house_with(SignaturePolicy::Ignore, &notebook).await;
    let (secret, other) = (key('a'), key('b'));
    let mut vehicle = house.connect().await;
    vehicle.say(&exchange(1, &secret, NOON, TOMORROW)).await;
    assert_eq!(vehicle.hear().await.1, OK);
    let mut stranger = house.connect().await;
    stranger.say(&exchange(1, &other, NOON, TOMORROW)).await;
    assert_eq!(stranger.hear().await, (0x0B, 4, Vec::new()));
    // Who has the key may change it, and who has logged in.
    let plain = KeyExchange::wrap(&other, &platform_key().public(), NOON, TOMORROW, &mut rng()).unwrap().write();
    stranger.say(&frame_of(0x24, 0x0B, 1, SM4, &secret.encrypt(&plain))).await;
    let (_, response, encryption, data) = stranger.hear_encrypted().await;
    assert_eq!((response, encryption, other.decrypt(&data).unwrap()), (OK, SM4, NOON.to_vec()));
    vehicle.say(&frame_of(0x24, 1, 1, 1, &login_2025())).await;
    assert_eq!(vehicle.hear().await.1, OK);
    vehicle.say(&exchange(1, &secret, NOON, TOMORROW)).await;
    assert_eq!(vehicle.hear().await.1, OK);
    for (said, response) in [
        (exchange(2, &secret, NOON, TOMORROW), 4),
        (exchange(1, &secret, TOMORROW, NOON), 6),
        (frame_of(0x24, 0x0B, 1, 1, &[5, 0, 16]), 6),
        // A key that everybody can read is none.
        (frame_of(0x24, 0x0B, 1, 1, &[&[5, 0, 16][..], &[9; 16], &NOON, &TOMORROW].concat()), 7),
        (frame_of(0x24, 0x0B, 1, 1, &[&[9, 0, 16][..], &[9; 16], &NOON, &TOMORROW].concat()), 7),
    ] {
        vehicle.say(&said).await;
        assert_eq!(vehicle.hear().await, (0x0B, response, Vec::new()));
    }
    house.stop().await;
}

#[tokio::test]
async fn a_key_is_acknowledged_when_it_is_kept_and_not_before() {
    let notebook = Arc::new(Notebook::default());
    let house = house_with(SignaturePolicy::Ignore, &notebook).await;
    let mut vehicle = house.connect().await;
    *notebook.is_full.lock().unwrap() = true;
    vehicle.say(&activation(1, "CHIP1", &sm2('3'))).await;
    assert!(vehicle.is_silent().await);
    *notebook.is_full.lock().unwrap() = false;
    assert_eq!(vehicle.hear().await, (0x0A, OK, vec![1, 0]));
    assert_eq!(notebook.lines.lock().unwrap().len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_vehicle_of_2016_reports_under_aes_128_with_the_key_of_the_list() {
    let iv = "0f".repeat(16);
    let list = format!(
        "# a fleet\nLTMTEST0000000001, AES-128, ecb, {}\n*, aes-128, cbc:{iv}, {}\n",
        "11".repeat(16),
        "22".repeat(16)
    );
    let house = house(Security::new(options(SignaturePolicy::Ignore), &list, "").unwrap()).await;
    let own = BlockKey::new(BlockCipher::Aes128, Mode::Ecb, [0x11; 16]);
    let of_every = BlockKey::new(BlockCipher::Aes128, Mode::Cbc([0x0F; 16]), [0x22; 16]);
    let data = |frame: &[u8]| frame[24..frame.len() - 1].to_vec();
    for (number, right, wrong) in [(1, &own, &of_every), (2, &of_every, &own)] {
        let mut vehicle = house.connect().await;
        vehicle.say(&frame_of(0x23, 1, number, 3, &right.encrypt(&data(&login(number))))).await;
        let (_, response, encryption, answer) = vehicle.hear_encrypted().await;
        assert_eq!((response, encryption), (OK, 3));
        assert_eq!(right.decrypt(&answer).unwrap(), [26, 7, 7, 18, 0, 0]);
        for (key, response) in [(wrong, ERROR), (right, OK)] {
            vehicle.say(&frame_of(0x23, 2, number, 3, &key.encrypt(&data(&report(number, 1, 1_850))))).await;
            assert_eq!(vehicle.hear().await.1, response);
        }
        // Without encryption it is heard as well, and of what there is no key for.
        vehicle.say(&report(number, 2, 1_000)).await;
        assert_eq!(vehicle.hear_encrypted().await.2, 1);
        vehicle.say(&frame_of(0x23, 2, number, 2, &[0; 256])).await;
        assert_eq!(vehicle.hear_encrypted().await, (2, ERROR, 1, Vec::new()));
    }
    assert_eq!(house.reports().len(), 4);
    let reasons: Vec<&str> = house.rejected().iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, ["undecryptable", "encrypted", "undecryptable", "encrypted"]);
    house.stop().await;
}

#[tokio::test]
async fn what_a_vehicle_is_asked_and_what_it_answers_is_encrypted_as_its_login_was() {
    let list = format!("LTMTEST0000000001, AES-128, ecb, {}\n", "11".repeat(16));
    let house = house(Security::new(options(SignaturePolicy::Ignore), &list, "").unwrap()).await;
    let key = BlockKey::new(BlockCipher::Aes128, Mode::Ecb, [0x11; 16]);
    let mut vehicle = house.connect().await;
    let said = login(1);
    vehicle.say(&frame_of(0x23, 1, 1, 3, &key.encrypt(&said[24..said.len() - 1]))).await;
    assert_eq!(vehicle.hear_encrypted().await.1, OK);
    let query = || Request::QueryParameters { parameters: vec!["report_period".to_owned()] };
    let mut ask = async |answer: &[u8]| {
        house.orders.give(vin(1), query(), Duration::from_secs(600)).await.unwrap();
        let (command, _, encryption, asked) = vehicle.hear_encrypted().await;
        assert_eq!((command, encryption), (0x80, 3));
        assert_eq!(key.decrypt(&asked).unwrap(), [26, 7, 7, 18, 0, 0, 1, 2]);
        let mut frame = frame_of(0x23, 0x80, 1, 3, answer);
        let last = frame.len() - 1;
        frame[last] ^= frame[3] ^ 1;
        frame[3] = 1;
        vehicle.say(&frame).await;
    };
    ask(&key.encrypt(&[26, 7, 7, 18, 0, 1, 1, 2, 0, 30])).await;
    let answer = until(|| house.orders().into_iter().find(|(_, state, _)| state == "answered")).await.2.unwrap();
    assert!(answer.contains("report_period") && answer.contains("30"), "{answer}");
    assert_eq!(house.rejected(), []);
    // Under another key it is no answer.
    ask(&BlockKey::new(BlockCipher::Aes128, Mode::Ecb, [0x22; 16]).encrypt(&[26, 7, 7, 18, 0, 1, 1, 2, 0, 30])).await;
    assert_eq!(until(|| house.rejected().pop()).await.0, "undecryptable");
    house.stop().await;
}

#[tokio::test]
async fn what_is_encrypted_for_the_platform_is_read_and_answered_for_the_vehicle() {
    let chip = sm2('3');
    let digits = gbt32960_security::to_hex(&chip.public().to_bytes());
    let public = format!("LTMTEST0000000001,SM2,{digits}\n");
    let house = house(Security::new(options(SignaturePolicy::Ignore), "", &public).unwrap()).await;
    let mut vehicle = house.connect().await;
    let sealed = platform_key().public().encrypt(&mut rng(), &login_2025()).unwrap();
    vehicle.say(&frame_of(0x24, 1, 1, 4, &sealed)).await;
    let (_, response, encryption, answer) = vehicle.hear_encrypted().await;
    assert_eq!((response, encryption), (OK, 4));
    assert_eq!(chip.decrypt(&mut rng(), &answer).unwrap(), [26, 7, 7, 18, 0, 0]);
    let sealed = chip.public().encrypt(&mut rng(), &report_2025(1)).unwrap();
    vehicle.say(&frame_of(0x24, 2, 1, 4, &sealed)).await;
    assert_eq!(vehicle.hear().await.1, 7);
    house.stop().await;
}

#[tokio::test]
async fn where_signatures_are_only_compared_all_reports_are_kept_with_what_became_of_theirs() {
    let chip = PrivateKey::from_hex(SignatureKind::Ecc, &"5".repeat(64)).unwrap();
    let digits = gbt32960_security::to_hex(&chip.public().to_bytes());
    let public = format!("LTMTEST0000000001,ECC,{digits}\n");
    let house = house(Security::new(options(SignaturePolicy::Check), "", &public).unwrap()).await;
    for (number, data) in [(1, signed(1, &chip)), (1, signed(2, &sm2('3'))), (1, report_2025(3)), (2, signed(4, &chip))]
    {
        let mut vehicle = house.connect().await;
        vehicle.say(&frame_of(0x24, 1, number, 1, &login_2025())).await;
        assert_eq!(vehicle.hear().await.1, OK);
        vehicle.say(&frame_of(0x24, 2, number, 1, &data)).await;
        assert_eq!(vehicle.hear().await.1, OK);
    }
    let signatures: Vec<String> = house.signatures().into_iter().flatten().collect();
    assert_eq!(signatures, ["verified", "wrong", "missing", "unknown key"]);
    let rejected = house.link.counters().tally().rejected;
    assert_eq!(
        ["wrong signature", "no signature", "signature of an unknown key"].map(|reason| rejected[reason]),
        [1, 1, 1]
    );
    // Without keys that are kept, nothing is learned.
    let mut vehicle = house.connect().await;
    vehicle.say(&activation(2, "CHIP", &chip)).await;
    assert_eq!(vehicle.hear().await.1, ERROR);
    house.stop().await;
}

#[test]
fn lists_that_cannot_be_read_are_told_by_line_and_show_no_key() {
    let secret = "0123456789abcdef0123456789abcdef";
    for (data, public) in [
        (format!("\nLTMTEST0000000001,SM4,ofb,{secret}"), String::new()),
        (format!("\nLTMTEST,SM4,ecb,{secret}"), String::new()),
        (format!("\n*,SM2,ecb,{secret}"), String::new()),
        (format!("\n*,SM4,ecb,{secret}00"), String::new()),
        (String::new(), format!("# one\nLTMTEST0000000001,SM2,{secret}")),
    ] {
        let error = Security::new(options(SignaturePolicy::Check), &data, &public).unwrap_err().to_string();
        assert!(error.starts_with("line 2: expected a VIN") && !error.contains(secret), "{error}");
    }
    let shown = format!("{:?} {:?}", options(SignaturePolicy::Check), Security::none());
    assert!(!shown.contains("7777"), "{shown}");
}
