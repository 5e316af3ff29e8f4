//! What GB/T 32960.3 says of secrecy and of signatures: data units under AES-128, RSA, SM4 and SM2, the signature at the end
//! of a report, activation and key exchange.
//!
//! | word | what it is |
//! |---|---|
//! | [`DataKey`] | what a data unit is encrypted or decrypted with |
//! | [`BlockKey`] | a key of AES-128 or SM4, with the mode that both sides have agreed on |
//! | [`PublicKey`], [`PrivateKey`] | keys of SM2, RSA and P-256, from PEM, from hexadecimal digits, from the wire |
//! | [`Signed`] | a report that is signed: the bytes that its signature covers, and the signature |
//! | [`Activation`] | a vehicle's security chip makes its public key known (command 0x09) |
//! | [`KeyExchange`] | a key for data units, and from when until when it holds (command 0x0B) |
//!
//! The frame's header is never encrypted, and its check byte is that of the encrypted frame: [`gbt32960::Frame`] and
//! [`gbt32960::Header`] take data units as they are on the wire. The time of an encrypted data unit is hidden with the rest.
//!
//! The standard names algorithms and leaves the rest to both sides. What is not in it stands at [`BlockKey`],
//! [`PublicKey::encrypt`] and [`KeyExchange`].
//!
//! This crate must not know of sockets, clocks, files or the store; randomness is a parameter. Nothing in it shows a key.

mod activation;
mod block;
mod data_key;
mod envelope;
mod error;
mod exchange;
mod hex;
mod keys;
mod signature;

#[cfg(test)]
mod tests;

pub use activation::{Activation, ActivationReply};
pub use block::{BlockCipher, BlockKey, Mode};
pub use data_key::DataKey;
pub use error::SecurityError;
pub use exchange::{ExchangedKey, KeyExchange};
pub use hex::{from_hex, to_hex};
pub use keys::{PrivateKey, PublicKey, USER_ID};
pub use signature::{Signature, SignatureKind, Signed, sign_report};
