//! Answers as JSON, written into a text of bounded length: what is short in memory may be long when it is spelt out.

use std::io::{self, Write};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use query::QueryError;
use serde::Serialize;

use super::error::ApiError;

/// An answer that says `value` in at most `bytes_max` bytes.
///
/// # Errors
/// When it would take more.
pub(crate) fn answer(value: &impl Serialize, bytes_max: usize) -> Result<Response, ApiError> {
    let mut text = Bounded { bytes: Vec::new(), bytes_max };
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, "application/json")], text.bytes).into_response()),
        Err(error) if error.is_io() => Err(QueryError::TooLarge { limit_bytes: bytes_max }.into()),
        Err(error) => Err(QueryError::Failed(error.to_string()).into()),
    }
}

struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_as_many_bytes_as_it_may_and_not_one_more() {
        let value = ["ab", "c"];
        let length = r#"["ab","c"]"#.len();
        assert!(answer(&value, length).is_ok());
        let refused = answer(&value, length - 1).unwrap_err().into_response();
        assert_eq!(refused.status(), axum::http::StatusCode::PAYLOAD_TOO_LARGE);
    }
}
