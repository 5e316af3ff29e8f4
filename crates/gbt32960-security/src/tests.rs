//! What standards publish as examples, what `openssl` makes and reads, and frames with everything wrong.

mod frames;
mod openssl;
mod vectors;

use std::sync::LazyLock;

use gbt32960::{Command, Edition, Encryption, Header, Response, Standard, Vin};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::*;

/// The private key that GM/T 0003.5 makes its examples with.
const SM2: &str = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8";
/// Some private number.
const OTHER: &str = "1649AB77A00637BD5E2EFE283FBF353534AA7F7CB89463F208DDBC2920BB0DA0";

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn standard() -> &'static Standard {
    static STANDARD: LazyLock<Standard> = LazyLock::new(Standard::built_in);
    &STANDARD
}

fn header(command: Command) -> Header {
    Header {
        edition: Edition::E2025,
        command,
        response: Response::COMMAND,
        vin: Vin::new("LTMTEST0000000001").unwrap(),
        encryption: Encryption::NONE,
    }
}

fn unhex(text: &str) -> Vec<u8> {
    from_hex(&text.replace(' ', "")).unwrap()
}

/// A key of RSA, made for these tests: as short as one may be, so that it takes no long time.
fn rsa_key() -> PrivateKey {
    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
        let key = rsa::PrivateKey::new(&mut rng(), 1024).unwrap();
        PrivateKey(crate::keys::Private::Rsa(Box::new(key)))
    });
    KEY.clone()
}

/// A key of each kind.
fn private_keys() -> [PrivateKey; 3] {
    [
        PrivateKey::from_hex(SignatureKind::Sm2, SM2).unwrap(),
        rsa_key(),
        PrivateKey::from_hex(SignatureKind::Ecc, OTHER).unwrap(),
    ]
}
