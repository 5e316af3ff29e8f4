//! Finds frames in a stream of bytes, which comes in pieces of any size. Knows no socket: it is given what has been read.

use crate::edition::Edition;
use crate::error::DecodeError;
use crate::frame::{Frame, frame_length};

/// What a stream begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// A frame; it takes all of [`Frame::bytes`].
    Frame(Frame<'a>),
    /// Too little to tell.
    Incomplete,
    /// Bytes that are no frame, up to where the next one may begin.
    Garbage {
        /// What to pass over.
        bytes: &'a [u8],
        /// Why.
        error: DecodeError,
    },
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Splitter;

impl Splitter {
    /// What `stream` begins with. Whoever calls it passes over what it gives, and calls it again.
    ///
    /// A frame whose check byte is wrong is passed over as a whole if another one begins behind it or nothing does yet;
    /// otherwise its length is not to be trusted either, and the next start is looked for.
    pub fn find(stream: &[u8]) -> Found<'_> {
        let length = match frame_length(stream) {
            Ok(Some(length)) if length <= stream.len() => length,
            Ok(_) => return Found::Incomplete,
            Err(error) => return garbage(stream, error),
        };
        match Frame::parse(&stream[..length]) {
            Ok(frame) => Found::Frame(frame),
            Err(error) if length == stream.len() || is_start(&stream[length..]) => {
                Found::Garbage { bytes: &stream[..length], error }
            }
            Err(error) => garbage(stream, error),
        }
    }
}

fn is_start(bytes: &[u8]) -> bool {
    Edition::of_start(bytes[0]).is_some() && bytes.get(1).is_none_or(|second| *second == bytes[0])
}

/// All of `stream` before the next place where a frame may begin.
fn garbage(stream: &[u8], error: DecodeError) -> Found<'_> {
    let next = (1..stream.len()).find(|at| is_start(&stream[*at..])).unwrap_or(stream.len());
    Found::Garbage { bytes: &stream[..next], error }
}
