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
    /// What was last found damaged since the start, and what that cost. It is put aside, and the rest is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

/// Whether what comes in can be kept.
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "Nothing can be kept at present"))
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let version = env!("CARGO_PKG_VERSION");
    let stats = app.store.stats();
    let (code, status) = match stats.trouble {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    let [reason, damage] = [stats.trouble, stats.damage].map(|text| text.map(|text| text.to_string()));
    (code, Json(Health { status, version, reason, damage }))
}

/// Counters and gauges in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let reading = metrics::Reading {
        stats: app.store.stats(),
        sources: app.sources.reports(),
        forwards: app.forwards.reports(),
        notified: app.notifiers.reports(),
        watchers: app.live.watchers(),
        resident_bytes: own::resident_bytes(),
    };
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::text(reading) {
        Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
