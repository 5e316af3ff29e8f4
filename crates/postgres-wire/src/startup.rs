//! From the first byte to the first command: no encryption, who is there, and the proof of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes};

use crate::channel::{Channel, Ended};
use crate::error::SqlError;
use crate::message::{self, Frontend, OPENING_BYTES_MAX, Opening};
use crate::scram::{self, Exchange, Verifier};

/// What a connection turned out to be.
pub(crate) enum Begun {
    /// A client that says who it is, and may be.
    Client { user: String, minor: u16, unknown: Vec<String> },
    /// A request to stop another connection's command.
    Cancel { process: i32, secret: i32 },
}

/// Reads until the client has said what it wants.
pub(crate) async fn begin(channel: &mut Channel) -> Result<Begun, Ended> {
    // Two kinds of encryption can be asked for, each once.
    for _ in 0..3 {
        match channel.opening().await? {
            Opening::Encryption => {
                channel.out.put_u8(b'N');
                channel.flush().await?;
            }
            Opening::Cancel { process, secret } => return Ok(Begun::Cancel { process, secret }),
            Opening::Startup { minor, parameters } => {
                let user = parameters.iter().find(|(name, _)| name == "user").map(|(_, user)| user.clone());
                let user = user.ok_or_else(|| SqlError::fatal("28000", "no user name was given"))?;
                let options = parameters.into_iter().map(|(name, _)| name);
                return Ok(Begun::Client {
                    user,
                    minor,
                    unknown: options.filter(|o| o.starts_with("_pq_.")).collect(),
                });
            }
        }
    }
    Err(SqlError::protocol("encryption was asked for again and again").into())
}

/// Says what of a newer protocol is not spoken here, where the client wants one.
pub(crate) fn negotiate(channel: &mut Channel, minor: u16, unknown: &[String]) {
    if minor == 0 && unknown.is_empty() {
        return;
    }
    message::put(&mut channel.out, b'v', |out| {
        out.put_u32(3 << 16);
        out.put_u32(unknown.len() as u32);
        unknown.iter().for_each(|option| message::put_string(out, option));
    });
}

/// Lets the client prove that it knows the password.
pub(crate) async fn authenticate(
    channel: &mut Channel,
    user: &str,
    account: (&str, &Verifier),
    nonce: [u8; 18],
) -> Result<(), Ended> {
    let failed = || SqlError::fatal("28P01", format!("password authentication failed for user \"{user}\""));
    let malformed = |error: scram::ScramError| SqlError::fatal("08P01", error.to_string());
    let (name, verifier) = account;
    request(channel, 10, format!("{}\0\0", scram::MECHANISM).as_bytes()).await?;
    let mut first = proof(channel).await?;
    let end = first.iter().position(|byte| *byte == 0).ok_or_else(|| SqlError::protocol("no mechanism was named"))?;
    if first.split_to(end).as_ref() != scram::MECHANISM.as_bytes() || first.len() < 5 {
        return Err(SqlError::protocol(format!("{} is the only mechanism", scram::MECHANISM)).into());
    }
    first.advance(5);
    let exchange = Exchange::begin(&first, verifier, &STANDARD_NO_PAD.encode(nonce)).map_err(malformed)?;
    request(channel, 11, exchange.challenge().as_bytes()).await?;
    let last = proof(channel).await?;
    // Whether the name or the password was wrong is nobody's business.
    match exchange.finish(&last, verifier) {
        Ok(own_proof) if user == name => request(channel, 12, own_proof.as_bytes()).await,
        Ok(_) | Err(scram::ScramError::Wrong) => Err(failed().into()),
        Err(error) => Err(malformed(error).into()),
    }
}

/// Sends a part of the authentication. The last part is followed by more at once.
async fn request(channel: &mut Channel, code: u32, data: &[u8]) -> Result<(), Ended> {
    message::put(&mut channel.out, b'R', |out| {
        out.put_u32(code);
        out.put_slice(data);
    });
    Ok(channel.flush().await?)
}

async fn proof(channel: &mut Channel) -> Result<Bytes, Ended> {
    match channel.message(OPENING_BYTES_MAX).await? {
        Frontend::Proof(bytes) => Ok(bytes),
        Frontend::Terminate => Err(Ended::Gone),
        _ => Err(SqlError::protocol("expected a proof of the password").into()),
    }
}
