//! Any bytes as keys, signatures, encrypted data units, activations and key exchanges: nothing panics, nobody's signature is
//! taken, and what is understood is written again as it was.

#![no_main]

use std::sync::LazyLock;

use gbt32960::{Command, Encryption, Found, Standard, find_frame};
use gbt32960_security::{
    Activation, ActivationReply, BlockCipher, BlockKey, KeyExchange, Mode, PrivateKey, PublicKey, Signature, SignatureKind,
    Signed, USER_ID,
};
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;

const KINDS: [SignatureKind; 3] = [SignatureKind::Sm2, SignatureKind::Rsa, SignatureKind::Ecc];
const PRIVATE: &str = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8";

static STANDARD: LazyLock<Standard> = LazyLock::new(Standard::built_in);
/// Keys that nobody signs with here: RSA takes too long with a sanitizer.
static OWN: LazyLock<[PrivateKey; 2]> = LazyLock::new(|| {
    [SignatureKind::Sm2, SignatureKind::Ecc].map(|kind| PrivateKey::from_hex(kind, PRIVATE).expect("it is a key"))
});

fuzz_target!(|bytes: &[u8]| {
    frames(bytes);
    keys(bytes);
    data_units(bytes);
    if let Ok(reply) = ActivationReply::parse(bytes) {
        assert_eq!(reply.to_bytes(), bytes);
    }
});

/// What stands in frames: activations, key exchanges, signed reports.
fn frames(mut stream: &[u8]) {
    let mut rng = StdRng::seed_from_u64(1);
    loop {
        let frame = match find_frame(stream) {
            Found::Incomplete => return,
            Found::Garbage { bytes, .. } => {
                stream = &stream[bytes.len()..];
                continue;
            }
            Found::Frame(frame) => frame,
        };
        stream = &stream[frame.bytes.len()..];
        let layout = STANDARD.layout(frame.header.edition);
        match frame.header.command {
            Command::ACTIVATION => {
                let Ok(activation) = Activation::parse(layout, &frame.header, frame.data) else { continue };
                if let Ok(key) = activation.verified_key(USER_ID) {
                    assert!(OWN.iter().all(|own| own.public() != key), "nobody has signed with it");
                }
            }
            Command::KEY_EXCHANGE => {
                let Ok(exchange) = KeyExchange::parse(layout, &frame.header, frame.data) else { continue };
                assert_eq!(exchange.write(), frame.data);
                for encrypted in [Encryption::NONE, Encryption::SM4] {
                    let _ = exchange.unwrap(&OWN[..], Mode::Ecb, encrypted, &mut rng);
                }
            }
            _ => {
                let Ok(Some(signed)) = Signed::find(layout, frame.data) else { continue };
                assert!(frame.data.starts_with(signed.covered));
                assert!(OWN.iter().all(|own| signed.verify(&own.public()).is_err()), "nobody has signed with it");
            }
        }
    }
}

/// Keys as they travel and as they stand in files.
fn keys(bytes: &[u8]) {
    for kind in KINDS {
        let Ok(key) = PublicKey::from_bytes(kind, bytes) else { continue };
        let again = PublicKey::from_bytes(kind, &key.to_bytes()).expect("what was written is a key");
        assert_eq!(again, key);
        let signature = Signature { code: kind as u8, r: &bytes[..bytes.len() / 2], s: &bytes[bytes.len() / 2..] };
        let _ = key.verify(bytes, &signature);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (PublicKey::from_pem(text), PrivateKey::from_pem(text));
    for kind in KINDS {
        let _ = (PublicKey::from_hex(kind, text), PrivateKey::from_hex(kind, text));
    }
}

/// Encrypted data units.
fn data_units(bytes: &[u8]) {
    let mut rng = StdRng::seed_from_u64(1);
    for cipher in [BlockCipher::Aes128, BlockCipher::Sm4] {
        for mode in [Mode::Ecb, Mode::Cbc([7; 16])] {
            let key = BlockKey::new(cipher, mode, [9; 16]);
            assert_eq!(key.decrypt(&key.encrypt(bytes)).expect("it was encrypted with it"), bytes);
            let _ = key.decrypt(bytes);
        }
    }
    let _ = OWN[0].decrypt(&mut rng, bytes);
}
