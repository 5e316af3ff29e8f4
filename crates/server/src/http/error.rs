//! Errors of the API: a code for programs, a message for people, and for the log what is nobody else's business.

use axum::Json;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use query::QueryError;
use serde::Serialize;

/// An error, as it is told.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Error)]
pub(crate) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// A word that programs can rely on.
    #[schema(value_type = String)]
    code: &'static str,
    /// What went wrong, for people.
    message: String,
}

impl ApiError {
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(crate) fn busy(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code, message: message.into() }
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code, message: message.into() }
    }

    pub(crate) fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code, message: message.into() }
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code, message: message.into() }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let status = match &error {
            QueryError::Invalid(_) => StatusCode::BAD_REQUEST,
            QueryError::Timeout { .. } => StatusCode::REQUEST_TIMEOUT,
            QueryError::Memory { .. } | QueryError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            QueryError::Cancelled => StatusCode::CONFLICT,
            QueryError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            QueryError::Unread { .. } | QueryError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, code: error.code(), message: error.to_string() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(code = self.code, message = self.message, "request failed");
        }
        (self.status, Json(self)).into_response()
    }
}

/// A page of some other site may not reach a server on loopback by giving its address a name of its own
/// ("DNS rebinding"): there, the host has to be an address or `localhost`.
pub(crate) async fn loopback_host_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || name == "localhost" || name.parse::<std::net::IpAddr>().is_ok() {
        return next.run(request).await;
    }
    let message = format!("this server answers to its address or `localhost`, not to `{name}`");
    ApiError { status: StatusCode::FORBIDDEN, code: "unknown_host", message }.into_response()
}
