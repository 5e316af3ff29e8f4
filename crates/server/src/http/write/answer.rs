//! What senders are told, in the words that each kind of them understands.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway::Receipt;
use gateway_remote_write::RequestError;
use serde_json::json;

use crate::receive::{ReceiveError, Taken};

/// Seconds after which a sender should come again.
const RETRY_AFTER_SECS: u64 = 5;

/// Whose answers are imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    InfluxV1,
    InfluxV2,
    Prometheus,
}

/// What kind of mistake it is, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    Invalid,
    Unauthorized,
    Forbidden,
    TooLarge,
    MediaType,
    TooSlow,
    Busy,
}

/// Why a request was not taken, or not all of it.
#[derive(Debug)]
pub(super) struct WriteError {
    problem: Problem,
    message: String,
    receipt: Receipt,
}

impl WriteError {
    pub(super) fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into(), receipt: Receipt::default() }
    }

    /// Some of it was not kept.
    pub(super) fn partial(taken: &Taken) -> Self {
        let first = taken.first_error.as_deref().unwrap_or("it cannot be kept");
        let others = match taken.rejected {
            0 | 1 => String::new(),
            rejected => format!(" (and {} more)", rejected - 1),
        };
        let message = format!("partial write: {first}{others} dropped={}", taken.rejected);
        Self { problem: Problem::Invalid, message, receipt: taken.receipt }
    }
}

impl From<ReceiveError> for WriteError {
    fn from(error: ReceiveError) -> Self {
        let problem = match &error {
            ReceiveError::Refused(_) => Problem::Busy,
            ReceiveError::Request(RequestError::TooLarge { .. }) => Problem::TooLarge,
            ReceiveError::Request(_) => Problem::Invalid,
        };
        Self::new(problem, error.to_string())
    }
}

/// Everything is durable.
pub(super) fn taken(receipt: Receipt) -> Response {
    with_receipt(StatusCode::NO_CONTENT.into_response(), receipt)
}

/// The answer to a request that was not taken, or not as a whole.
pub(super) fn error(dialect: Dialect, error: WriteError) -> Response {
    let WriteError { problem, message, receipt } = error;
    let (status, code) = match problem {
        Problem::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
        Problem::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Problem::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Problem::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request too large"),
        Problem::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported media type"),
        Problem::TooSlow => (StatusCode::REQUEST_TIMEOUT, "request timeout"),
        Problem::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let mut response = match dialect {
        Dialect::InfluxV1 => (status, Json(json!({ "error": message }))).into_response(),
        Dialect::InfluxV2 => (status, Json(json!({ "code": code, "message": message }))).into_response(),
        Dialect::Prometheus => (status, message + "\n").into_response(),
    };
    if problem == Problem::Busy {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
    }
    if problem == Problem::Unauthorized {
        let scheme = HeaderValue::from_static("Basic realm=\"Tongmai\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    with_receipt(response, receipt)
}

/// How many rows were new, and how many were there already, for whoever wants to know.
fn with_receipt(mut response: Response, receipt: Receipt) -> Response {
    for (name, count) in
        [("x-tongmai-rows-accepted", receipt.accepted), ("x-tongmai-rows-duplicate", receipt.duplicates)]
    {
        if count > 0 {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}
