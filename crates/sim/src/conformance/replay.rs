//! Says recorded frames again, each on the connection that it belongs to, and judges the replies.

use std::collections::BTreeMap;
use std::io;

use gbt32960::{Command, Frame, Response, Vin};

use super::peer::{Peer, Terms, acknowledged};
use super::{Check, Verdict};

/// Connections at the same time.
const CONNECTIONS_MAX: usize = 1_000;

/// A frame of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands in the recording.
    pub place: String,
    /// The whole frame.
    pub bytes: Vec<u8>,
}

/// Says `frames` in their order, waits for the reply to each and tells `report` how it went. A vehicle has a connection of its
/// own; from the login of a platform to its logout all goes over that platform's.
///
/// # Errors
/// When the platform cannot be reached.
pub async fn replay(terms: Terms, frames: &[Recorded], mut report: impl FnMut(Check)) -> io::Result<()> {
    let mut peers: BTreeMap<Vin, Peer> = BTreeMap::new();
    let mut platform = None;
    for Recorded { place, bytes } in frames {
        let frame = match Frame::parse(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                report(Check { what: place.clone(), verdict: Verdict::Failed(error.to_string()) });
                continue;
            }
        };
        let header = frame.header;
        let word = header.command.word().unwrap_or("other command");
        let what = format!("{place}: {word}, {}", header.edition.year());
        if header.response != Response::COMMAND {
            report(Check { what, verdict: Verdict::Noted("not sent: it is a reply".to_owned()) });
            continue;
        }
        if header.command == Command::PLATFORM_LOGIN {
            platform = Some(header.vin);
        }
        let speaker = platform.unwrap_or(header.vin);
        if !peers.contains_key(&speaker) {
            if peers.len() >= CONNECTIONS_MAX {
                peers.pop_first();
            }
            peers.insert(speaker, Peer::connect(terms).await?);
        }
        let Some(peer) = peers.get_mut(&speaker) else { continue };
        let heard = peer.ask(bytes).await;
        let verdict = acknowledged(bytes, &heard, header.command.is_report());
        if heard == super::peer::Heard::End {
            peers.remove(&speaker);
        }
        report(Check { what, verdict });
        if header.command == Command::PLATFORM_LOGOUT {
            platform = None;
        }
    }
    Ok(())
}
