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

/// What `stream` begins with. Whoever calls it passes over what it gives, and calls it again.
///
/// A frame whose check byte is wrong is passed over as a whole if another one begins behind it or nothing does yet;
/// otherwise its length is not to be trusted either, and the next start is looked for.
pub fn find_frame(stream: &[u8]) -> Found<'_> {
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

/// A stream of which frames are taken one by one, for those who have one connection and not a hundred thousand.
#[derive(Debug, Clone, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    /// Takes in what has been read.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, or why bytes were passed over; `None` until more has been read.
    pub fn next_frame(&mut self) -> Option<Result<Vec<u8>, DecodeError>> {
        let (found, length) = match find_frame(&self.bytes) {
            Found::Incomplete => return None,
            Found::Frame(frame) => (Ok(frame.bytes.to_vec()), frame.bytes.len()),
            Found::Garbage { bytes, error } => (Err(error), bytes.len()),
        };
        self.bytes.drain(..length);
        Some(found)
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
