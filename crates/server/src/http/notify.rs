//! How those are doing who are told of alarms.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::App;
use super::error::ApiError;
use crate::notify::{NotifyReport, TestError};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Notify {
    /// In the order of the configuration.
    targets: Vec<NotifyTarget>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NotifyTarget {
    name: String,
    /// `webhook`, `smtp` or `mqtt`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// `ready`, `retrying`, or `failed` where the configuration cannot be used.
    #[schema(value_type = String)]
    state: &'static str,
    /// Why it has failed.
    reason: Option<String>,
    /// About how many records of alarms wait, whether they are to be told or not.
    waiting_about: u64,
    /// Messages that were taken since the start.
    told: u64,
    /// Messages that were given up since the start.
    given_up: u64,
    /// Attempts that failed since the start.
    failures: u64,
    /// When a message was taken last, since the start.
    last_success: Option<String>,
    /// Why the last attempt failed that did, and when, since the start.
    last_error: Option<String>,
    last_error_at: Option<String>,
}

/// How each of those is doing who are told of alarms.
#[utoipa::path(get, path = "/api/v1/notify", responses((status = 200, body = Notify)))]
pub(crate) async fn notify(State(app): State<Arc<App>>) -> Json<Notify> {
    Json(Notify { targets: app.notifiers.reports().into_iter().map(target).collect() })
}

fn target(report: NotifyReport) -> NotifyTarget {
    let (last_error_at, last_error) = report.last_error.unzip();
    NotifyTarget {
        name: report.name,
        kind: report.kind,
        state: report.state,
        reason: report.reason,
        waiting_about: report.waiting,
        told: report.told,
        given_up: report.given_up,
        failures: report.failures,
        last_success: report.last_success.map(|time| time.to_string()),
        last_error,
        last_error_at: last_error_at.map(|time| time.to_string()),
    }
}

/// That a test has arrived.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Tested {
    target: String,
    taken: bool,
}

/// Sends a message that says that it is a test, and waits until it is taken.
#[utoipa::path(
    post,
    path = "/api/v1/notify/{name}/test",
    params(("name" = String, Path, description = "The name in the configuration")),
    responses(
        (status = 200, body = Tested, description = "It was taken"),
        (status = 404, body = ApiError, description = "Nobody is called so"),
        (status = 409, body = ApiError, description = "A test is under way"),
        (status = 503, body = ApiError, description = "It was not taken; says why"),
    )
)]
pub(crate) async fn test(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Tested>, ApiError> {
    match app.notifiers.test(&name).await {
        Ok(()) => Ok(Json(Tested { target: name, taken: true })),
        Err(error @ TestError::Unknown(_)) => Err(ApiError::not_found("unknown_target", error.to_string())),
        Err(error @ TestError::Busy) => Err(ApiError::conflict("under_way", error.to_string())),
        Err(error @ TestError::Failed(_)) => Err(ApiError::busy("not_taken", error.to_string())),
    }
}
