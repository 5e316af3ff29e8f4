//! The messages of the protocol, in and out, as bytes. Knows no socket and no meaning.
//!
//! PostgreSQL's manual, "Frontend/Backend Protocol": a message is a letter, its length as i32 and its body; the first
//! one of a connection has no letter.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::SqlError;

/// The largest message of a client that is known.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// The largest message of a client that is not known yet; PostgreSQL has the same bound.
pub(crate) const OPENING_BYTES_MAX: usize = 10_000;

const SSL_REQUEST: i32 = 80_877_103;
const GSS_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;

/// What a connection begins with.
#[derive(Debug, PartialEq)]
pub(crate) enum Opening {
    /// Asks for encryption, by TLS or GSSAPI.
    Encryption,
    /// Wants another connection's command to be stopped.
    Cancel { process: i32, secret: i32 },
    /// Says hello.
    Startup { minor: u16, parameters: Vec<(String, String)> },
}

/// A command of the client.
#[derive(Debug, PartialEq)]
pub(crate) enum Frontend {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows_max: usize,
    },
    Close(Target),
    Sync,
    Flush,
    Terminate,
    /// A part of the proof who it is.
    Proof(Bytes),
    /// Data that nobody asked for.
    CopyData,
}

/// Values for the parameters of a statement.
#[derive(Debug, PartialEq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Vec<Format>,
    pub(crate) values: Vec<Option<Bytes>>,
    pub(crate) results: Vec<Format>,
}

/// A prepared statement or a portal, by its name.
#[derive(Debug, PartialEq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Format {
    /// The format of the value at `place`: none given means text, one given means all.
    pub(crate) fn at(formats: &[Self], place: usize) -> Self {
        match formats {
            [one] => *one,
            many => many.get(place).copied().unwrap_or(Self::Text),
        }
    }
}

/// Splits the first message off `inbound`, when it is there as a whole.
pub(crate) fn opening(inbound: &mut BytesMut) -> Result<Option<Opening>, SqlError> {
    let Some(mut body) = frame(inbound, 0, OPENING_BYTES_MAX)? else { return Ok(None) };
    let code = int(&mut body)?;
    Ok(Some(match code {
        SSL_REQUEST | GSS_REQUEST => Opening::Encryption,
        CANCEL_REQUEST => Opening::Cancel { process: int(&mut body)?, secret: int(&mut body)? },
        code if code >> 16 == 3 => {
            let mut parameters = Vec::new();
            while body.len() > 1 {
                parameters.push((string(&mut body)?, string(&mut body)?));
            }
            Opening::Startup { minor: code as u16, parameters }
        }
        code => {
            let message = format!("protocol version {}.{} is not spoken here, 3.0 is", code >> 16, code & 0xffff);
            return Err(SqlError::fatal("0A000", message));
        }
    }))
}

/// Splits the next message off `inbound`, when it is there as a whole.
pub(crate) fn frontend(inbound: &mut BytesMut, bytes_max: usize) -> Result<Option<Frontend>, SqlError> {
    let Some(&letter) = inbound.first() else { return Ok(None) };
    let Some(mut body) = frame(inbound, 1, bytes_max)? else { return Ok(None) };
    let body = &mut body;
    Ok(Some(match letter {
        b'Q' => Frontend::Query(string(body)?),
        b'P' => {
            let (name, sql) = (string(body)?, string(body)?);
            Frontend::Parse { name, sql, types: list(body, |body| int(body).map(|oid| oid as u32))? }
        }
        b'B' => Frontend::Bind(bind(body)?),
        b'D' => Frontend::Describe(target(body)?),
        b'C' => Frontend::Close(target(body)?),
        b'E' => Frontend::Execute { portal: string(body)?, rows_max: usize::try_from(int(body)?).unwrap_or(0) },
        b'S' => Frontend::Sync,
        b'H' => Frontend::Flush,
        b'X' => Frontend::Terminate,
        b'p' => Frontend::Proof(body.split_to(body.len())),
        b'd' | b'c' | b'f' => Frontend::CopyData,
        letter => return Err(SqlError::protocol(format!("invalid frontend message type {letter}"))),
    }))
}

/// The body of one message with `prefix` bytes before its length.
fn frame(inbound: &mut BytesMut, prefix: usize, bytes_max: usize) -> Result<Option<Bytes>, SqlError> {
    let Some(length) = inbound.get(prefix..prefix + 4) else { return Ok(None) };
    let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    let length = usize::try_from(length).ok().filter(|length| (4..=bytes_max).contains(length));
    let length = length.ok_or_else(|| {
        SqlError::protocol(format!("invalid length of a message: it has to be from 4 to {bytes_max} bytes"))
    })?;
    if inbound.len() < prefix + length {
        return Ok(None);
    }
    let mut message = inbound.split_to(prefix + length).freeze();
    message.advance(prefix + 4);
    Ok(Some(message))
}

fn bind(body: &mut Bytes) -> Result<Bind, SqlError> {
    let (portal, statement) = (string(body)?, string(body)?);
    let formats = list(body, format)?;
    let values = list(body, |body| match int(body)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).ok().filter(|length| *length <= body.len());
            length.map(|length| Some(body.split_to(length))).ok_or_else(short)
        }
    })?;
    Ok(Bind { portal, statement, formats, values, results: list(body, format)? })
}

fn target(body: &mut Bytes) -> Result<Target, SqlError> {
    match body.try_get_u8() {
        Ok(b'S') => Ok(Target::Statement(string(body)?)),
        Ok(b'P') => Ok(Target::Portal(string(body)?)),
        _ => Err(SqlError::protocol("expected a statement or a portal")),
    }
}

fn format(body: &mut Bytes) -> Result<Format, SqlError> {
    match body.try_get_i16() {
        Ok(0) => Ok(Format::Text),
        Ok(1) => Ok(Format::Binary),
        Ok(code) => Err(SqlError::protocol(format!("unknown format code {code}"))),
        Err(_) => Err(short()),
    }
}

fn short() -> SqlError {
    SqlError::protocol("the message ends too early")
}

fn int(body: &mut Bytes) -> Result<i32, SqlError> {
    body.try_get_i32().map_err(|_| short())
}

fn string(body: &mut Bytes) -> Result<String, SqlError> {
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(short)?;
    let text = String::from_utf8(body.split_to(end).to_vec());
    body.advance(1);
    text.map_err(|_| SqlError::protocol("invalid byte sequence: texts have to be UTF-8"))
}

fn list<T>(body: &mut Bytes, one: impl Fn(&mut Bytes) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
    let count = body.try_get_u16().map_err(|_| short())?;
    (0..count).map(|_| one(body)).collect()
}

/// Appends a message to `out`.
pub(crate) fn put(out: &mut BytesMut, letter: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(letter);
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length = i32::try_from(out.len() - start).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a text with its end.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.put_u8(0);
}

/// A message without a body.
pub(crate) fn put_empty(out: &mut BytesMut, letter: u8) {
    put(out, letter, |_| {});
}

pub(crate) fn put_parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    put(out, b'S', |out| {
        put_string(out, name);
        put_string(out, value);
    });
}

pub(crate) fn put_complete(out: &mut BytesMut, tag: &str) {
    put(out, b'C', |out| put_string(out, tag));
}

pub(crate) fn put_error(out: &mut BytesMut, error: &SqlError) {
    put(out, b'E', |out| {
        for (field, text) in [
            (b'S', error.severity.as_str()),
            (b'V', error.severity.as_str()),
            (b'C', error.code),
            (b'M', error.message.as_str()),
        ] {
            out.put_u8(field);
            put_string(out, text);
        }
        out.put_u8(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<Frontend>, &str>) {
        let found = frontend(&mut BytesMut::from(bytes), 64);
        assert_eq!(found.map_err(|error| error.message), expected.map_err(str::to_owned), "{bytes:?}");
    }

    #[test]
    fn messages_are_understood_and_bad_ones_refused() {
        check(b"", Ok(None));
        check(b"S\0\0\0", Ok(None));
        check(b"S\0\0\0\x04", Ok(Some(Frontend::Sync)));
        check(b"Q\0\0\0\x06a\0", Ok(Some(Frontend::Query("a".to_owned()))));
        check(b"Q\0\0\0\x05a", Err("the message ends too early"));
        check(b"Q\0\0\0\x06\xff\0", Err("invalid byte sequence: texts have to be UTF-8"));
        check(b"Q\0\0\0\x03", Err("invalid length of a message: it has to be from 4 to 64 bytes"));
        check(b"Q\xff\xff\xff\xff", Err("invalid length of a message: it has to be from 4 to 64 bytes"));
        check(b"Q\0\0\0\x41", Err("invalid length of a message: it has to be from 4 to 64 bytes"));
        check(b"?\0\0\0\x04", Err("invalid frontend message type 63"));
        check(b"D\0\0\0\x06X\0", Err("expected a statement or a portal"));
        let bound = Bind {
            portal: String::new(),
            statement: "s".to_owned(),
            formats: vec![Format::Binary],
            values: vec![None, Some(Bytes::from_static(b"xy"))],
            results: vec![],
        };
        let bytes = b"B\0\0\0\x19\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02xy\0\0";
        check(bytes, Ok(Some(Frontend::Bind(bound))));
        check(b"B\0\0\0\x11\0s\0\0\0\0\x01\0\0\0\x09xy", Err("the message ends too early"));
    }

    #[test]
    fn a_connection_begins_with_one_of_three() {
        for (bytes, expected) in [
            (&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], Opening::Encryption),
            (b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x05\0\0\0\x07", Opening::Cancel { process: 5, secret: 7 }),
            (
                b"\0\0\0\x0d\0\x03\0\0a\0b\0\0",
                Opening::Startup { minor: 0, parameters: vec![("a".to_owned(), "b".to_owned())] },
            ),
        ] {
            assert_eq!(opening(&mut BytesMut::from(bytes)).unwrap(), Some(expected));
        }
        assert!(opening(&mut BytesMut::from(&b"GET / HTTP/1.1\r\n"[..])).is_err());
        assert!(opening(&mut BytesMut::from(&b"\0\0\0\x08\0\x02\0\0"[..])).is_err());
    }

    use proptest::prelude::any;

    proptest::proptest! {
        /// Whatever comes, it is a message, no message yet, or refused; and what was understood is taken away.
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80), letter in "[QPBDCESHXpdcf]") {
            let body = (bytes.len() as u32 + 4).to_be_bytes();
            let framed = [letter.as_bytes(), &body, &bytes].concat();
            for bytes in [bytes, framed] {
                let mut inbound = BytesMut::from(&bytes[..]);
                while let Ok(Some(_)) = frontend(&mut inbound, 64) {}
                let _ = opening(&mut BytesMut::from(&bytes[..]));
                for oid in [16, 20, 21, 23, 25, 26, 700, 701, 1082, 1184, 1700] {
                    let _ = crate::parameter::value(oid, Format::Binary, Some(&bytes));
                    let _ = crate::parameter::value(oid, Format::Text, Some(&bytes));
                }
            }
        }
    }
}
