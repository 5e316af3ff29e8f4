//! The ways in for senders that exist: line protocol as InfluxDB 1.x and 2.x take it, and Prometheus remote write.
//!
//! A request is answered when everything in it is durable. What the answers look like is decided by what those senders
//! make of them: after 400 they drop the request, after 413 they send smaller ones, after 503 they keep it and come again.
//! Must not know how bodies are decoded.

mod answer;
mod body;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gateway_line_protocol::{InvalidPrecision, Precision};
use tokio::sync::Semaphore;

use self::answer::{Dialect, Problem, WriteError};
use super::App;
use super::assets::parameters;
use crate::config::WriteConfig;
use crate::receive::{ReceiveError, Receivers, Taken};

/// How long a request waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// What the handlers here share.
pub(crate) struct Writing {
    receivers: Receivers,
    config: WriteConfig,
    turns: Semaphore,
    /// Whether strangers can reach the address.
    remote: bool,
}

impl Writing {
    pub(crate) fn new(receivers: Receivers, config: WriteConfig, remote: bool) -> Self {
        let turns = Semaphore::new(config.concurrent_max);
        Self { receivers, config, turns, remote }
    }

    fn token(&self) -> Option<&str> {
        self.config.token.as_ref().map(|token| token.0.as_str())
    }
}

/// The routes, without the limit that bodies of other requests have.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/write", post(write_v1))
        .route("/api/v2/write", post(write_v2))
        .route("/api/v1/write", post(remote_write))
        .route("/ping", get(ping))
}

/// Takes lines as InfluxDB 1.x does. Every line costs only itself: after 400 all good ones are kept.
#[utoipa::path(
    post,
    path = "/write",
    params(
        ("precision" = Option<String>, Query, description = "The unit of the time stamps: ns, us, ms, s, m or h"),
        ("p" = Option<String>, Query, description = "The token, where one is configured"),
    ),
    request_body(content = String, content_type = "text/plain", description = "Lines; `Content-Encoding: gzip` is understood"),
    responses(
        (status = 204, description = "Everything is durable"),
        (status = 400, description = "Some lines are not kept: `{\"error\": \"partial write: …\"}`"),
        (status = 401, description = "The token is missing or wrong"),
        (status = 413, description = "The body is too large"),
        (status = 503, description = "Nothing can be kept at present; what came is to be sent again"),
    )
)]
pub(crate) async fn write_v1(State(app): State<Arc<App>>, request: Request) -> Response {
    lines(&app, request, Dialect::InfluxV1).await
}

/// Takes lines as InfluxDB 2.x does; organisation and bucket mean nothing here.
#[utoipa::path(
    post,
    path = "/api/v2/write",
    params(("precision" = Option<String>, Query, description = "The unit of the time stamps: ns, us, ms or s")),
    request_body(content = String, content_type = "text/plain", description = "Lines; `Content-Encoding: gzip` is understood"),
    responses(
        (status = 204, description = "Everything is durable"),
        (status = 400, description = "Some lines are not kept: `{\"code\": \"invalid\", \"message\": …}`"),
        (status = 401, description = "The token is missing or wrong"),
        (status = 413, description = "The body is too large"),
        (status = 503, description = "Nothing can be kept at present; what came is to be sent again"),
    )
)]
pub(crate) async fn write_v2(State(app): State<Arc<App>>, request: Request) -> Response {
    lines(&app, request, Dialect::InfluxV2).await
}

/// Takes samples by Prometheus remote write 1.0.
#[utoipa::path(
    post,
    path = "/api/v1/write",
    request_body(content = Vec<u8>, content_type = "application/x-protobuf", description = "A write request, compressed with snappy"),
    responses(
        (status = 204, description = "Everything is durable"),
        (status = 400, description = "Some series are not kept, or it is no write request"),
        (status = 401, description = "The token is missing or wrong"),
        (status = 413, description = "The request is too large"),
        (status = 415, description = "It is not remote write 1.0, or not compressed with snappy"),
        (status = 503, description = "Nothing can be kept at present; what came is to be sent again"),
    )
)]
pub(crate) async fn remote_write(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(Dialect::Prometheus, take_samples(&app.writing, request).await)
}

/// Says that somebody is there, as clients of InfluxDB ask.
#[utoipa::path(get, path = "/ping", responses((status = 204, description = "Somebody is there")))]
pub(crate) async fn ping() -> Response {
    let version = concat!("tongmai-", env!("CARGO_PKG_VERSION"));
    (StatusCode::NO_CONTENT, [("x-influxdb-version", version), ("x-influxdb-build", "Tongmai")]).into_response()
}

async fn lines(app: &App, request: Request, dialect: Dialect) -> Response {
    answer(dialect, take_lines(&app.writing, request).await)
}

fn answer(dialect: Dialect, outcome: Result<Taken, WriteError>) -> Response {
    match outcome.and_then(|taken| if taken.rejected > 0 { Err(WriteError::partial(&taken)) } else { Ok(taken) }) {
        Ok(taken) => answer::taken(taken.receipt),
        Err(error) => answer::error(dialect, error),
    }
}

async fn take_lines(writing: &Writing, request: Request) -> Result<Taken, WriteError> {
    let query = request.uri().query();
    token::check(writing.token(), writing.remote, request.headers(), query)?;
    let named = parameters(query, "precision").pop().unwrap_or_default();
    let precision: Precision =
        named.parse().map_err(|error: InvalidPrecision| WriteError::new(Problem::Invalid, error.to_string()))?;
    let _turn = turn(writing).await?;
    let body = body::read(request, &writing.config).await?;
    writing.receivers.lines(body, precision).await.map_err(WriteError::from)
}

async fn take_samples(writing: &Writing, request: Request) -> Result<Taken, WriteError> {
    let (headers, query) = (request.headers(), request.uri().query());
    token::check(writing.token(), writing.remote, headers, query)?;
    check_remote_write(headers)?;
    let _turn = turn(writing).await?;
    let bytes_max = writing.config.body_bytes_max;
    let body = body::read_plain(request, &writing.config).await?;
    let taken = writing.receivers.samples(body, bytes_max).await;
    taken.map_err(|error| {
        if let ReceiveError::Request(error) = &error {
            writing.receivers.reject_request(error);
        }
        WriteError::from(error)
    })
}

/// Whether the headers are those of remote write 1.0.
fn check_remote_write(headers: &HeaderMap) -> Result<(), WriteError> {
    let value = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let content_type = value(header::CONTENT_TYPE).unwrap_or("application/x-protobuf");
    let (media, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let message = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("proto="));
    let of_version_1 = message.is_none_or(|message| message.trim_matches('"') == "prometheus.WriteRequest");
    if media.trim() != "application/x-protobuf" || !of_version_1 {
        let expected =
            "expected `Content-Type: application/x-protobuf;proto=prometheus.WriteRequest` (remote write 1.0)";
        return Err(WriteError::new(Problem::MediaType, expected));
    }
    if value(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("snappy")) {
        return Err(WriteError::new(Problem::MediaType, "expected `Content-Encoding: snappy`"));
    }
    Ok(())
}

/// Waits until it is this request's turn: so many bodies are in memory at once, and no more.
async fn turn(writing: &Writing) -> Result<tokio::sync::SemaphorePermit<'_>, WriteError> {
    match tokio::time::timeout(TURN_WAIT, writing.turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(WriteError::new(Problem::Busy, "too many requests are being written (write.concurrent_max)")),
    }
}
