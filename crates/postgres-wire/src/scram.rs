//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the client proves that it knows the password without saying it, and learns that
//! the server knows it as well. No socket, no randomness: salt and nonce are given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The name of the mechanism.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds that make guessing slow; PostgreSQL's default.
const ITERATIONS: u32 = 4_096;

type Key = [u8; 32];

/// What is kept of a password to check a proof of it.
pub(crate) struct Verifier {
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

/// Why a proof is none. The client learns only that it failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    #[error("the proof is wrong")]
    Wrong,
}

impl Verifier {
    pub(crate) fn new(password: &str, salt: &[u8]) -> Self {
        let salted = stretched(password.as_bytes(), salt);
        let client_key = hmac(&salted, b"Client Key");
        Self {
            salt: salt.to_vec(),
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, b"Server Key"),
        }
    }
}

/// An exchange that waits for the client's proof.
pub(crate) struct Exchange {
    channel: String,
    nonce: String,
    client_first: String,
    server_first: String,
}

impl Exchange {
    /// Takes the client's first message. `nonce` is the server's part: printable, without a comma.
    pub(crate) fn begin(message: &[u8], verifier: &Verifier, nonce: &str) -> Result<Self, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("it is no text"))?;
        let bare = message.strip_prefix("n,,").or_else(|| message.strip_prefix("y,,"));
        let bare = bare.ok_or(ScramError::Malformed("channel binding and other identities are not spoken here"))?;
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|user| user.strip_prefix("n="));
        let client = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).filter(|nonce| !nonce.is_empty());
        let (Some(_), Some(client)) = (user, client) else {
            return Err(ScramError::Malformed("it begins with a name and a nonce"));
        };
        let nonce = format!("{client}{nonce}");
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", BASE64.encode(&verifier.salt));
        Ok(Self { channel: BASE64.encode(&message[..3]), nonce, client_first: bare.to_owned(), server_first })
    }

    /// What the server answers first.
    pub(crate) fn challenge(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's last message; returns the server's own proof.
    pub(crate) fn finish(&self, message: &[u8], verifier: &Verifier) -> Result<String, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("it is no text"))?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed("there is no proof"))?;
        let mut attributes = without_proof.split(',');
        let channel = attributes.next().and_then(|channel| channel.strip_prefix("c="));
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        if channel != Some(&self.channel) || nonce != Some(&self.nonce) {
            return Err(ScramError::Malformed("it answers another exchange"));
        }
        let proof = BASE64.decode(proof).map_err(|_| ScramError::Malformed("the proof is no base64"))?;
        let proof: Key = proof.try_into().map_err(|_| ScramError::Malformed("the proof has another length"))?;
        let signed = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let signature = hmac(&verifier.stored_key, signed.as_bytes());
        let mut client_key = proof;
        for (byte, mask) in client_key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        let found: Key = Sha256::digest(client_key).into();
        // All bytes are looked at, so that the time taken tells nothing.
        let difference = found.iter().zip(&verifier.stored_key).fold(0, |sum, (one, other)| sum | (one ^ other));
        if difference != 0 {
            return Err(ScramError::Wrong);
        }
        Ok(format!("v={}", BASE64.encode(hmac(&verifier.server_key, signed.as_bytes()))))
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Key {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(message));
    mac.map_or([0; 32], |mac| mac.finalize().into_bytes().into())
}

/// PBKDF2 (RFC 8018) with HMAC-SHA-256, one block.
fn stretched(password: &[u8], salt: &[u8]) -> Key {
    let mut round = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut key = round;
    for _ in 1..ITERATIONS {
        round = hmac(password, &round);
        for (byte, mask) in key.iter_mut().zip(round) {
            *byte ^= mask;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn verifier(password: &str) -> Verifier {
        Verifier::new(password, &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap())
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_exchange_of_the_standard_succeeds() {
        let verifier = verifier("pencil");
        let exchange = Exchange::begin(FIRST, &verifier, NONCE).unwrap();
        let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(exchange.challenge(), expected);
        let proof = exchange.finish(LAST.as_bytes(), &verifier).unwrap();
        assert_eq!(proof, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn anything_else_fails() {
        let wrong = verifier("pencils");
        let exchange = Exchange::begin(FIRST, &wrong, NONCE).unwrap();
        assert_eq!(exchange.finish(LAST.as_bytes(), &wrong), Err(ScramError::Wrong));
        let replayed = Exchange::begin(FIRST, &wrong, "another").unwrap();
        assert!(matches!(replayed.finish(LAST.as_bytes(), &wrong), Err(ScramError::Malformed(_))));
        for message in [&b""[..], b"\xff", b"c=biws", b"c=biws,r=x,p=%", b"c=biws,r=x,p=AAAA"] {
            assert!(matches!(exchange.finish(message, &wrong), Err(ScramError::Malformed(_))), "{message:?}");
        }
        for message in [&b""[..], b"n,,n=u", b"p=tls-unique,,n=u,r=x", b"n,a=x,n=u,r=x", b"n,,n=u,r="] {
            assert!(Exchange::begin(message, &wrong, NONCE).is_err(), "{message:?}");
        }
    }
}
