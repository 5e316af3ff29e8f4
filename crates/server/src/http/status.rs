//! Whether the server is well: for load balancers, and for Prometheus.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use crate::{metrics, own};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok` or `degraded`.
    #[schema(value_type = String)]
    status: &'static str,
    #[schema(value_type = String)]
    version: &'static str,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Whether what comes in can be kept.
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "Nothing can be kept at present"))
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let version = env!("CARGO_PKG_VERSION");
    match app.store.stats().trouble {
        None => (StatusCode::OK, Json(Health { status: "ok", version, reason: None })),
        Some(reason) => {
            let reason = Some(reason.to_string());
            (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "degraded", version, reason }))
        }
    }
}

/// Counters and gauges in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let reading = metrics::Reading {
        stats: app.store.stats(),
        sources: app.sources.reports(),
        watchers: app.live.watchers(),
        resident_bytes: own::resident_bytes(),
    };
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::text(reading) {
        Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
