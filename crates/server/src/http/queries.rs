//! The questions that are being answered: to be seen, and to be ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use query::RunningQuery;
use serde::Serialize;

use super::App;
use super::error::ApiError;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct QueriesJson {
    /// The oldest first.
    queries: Vec<QueryJson>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct QueryJson {
    /// Names it until the server ends.
    id: u64,
    /// The question; a very long one is cut off.
    query: String,
    elapsed_ms: f64,
    /// Rows of the answer that were fetched so far.
    rows: u64,
}

impl From<RunningQuery> for QueryJson {
    fn from(running: RunningQuery) -> Self {
        let elapsed_ms = running.elapsed.as_secs_f64() * 1_000.0;
        Self { id: running.id, query: running.sql, elapsed_ms, rows: running.rows }
    }
}

/// The questions in SQL that are being answered, whoever asked them.
#[utoipa::path(get, path = "/api/v1/queries", responses((status = 200, body = QueriesJson)))]
pub(crate) async fn queries(State(app): State<Arc<App>>) -> Json<QueriesJson> {
    Json(QueriesJson { queries: app.engine.running().into_iter().map(QueryJson::from).collect() })
}

/// Ends a question. Whoever asked it gets the error `query_cancelled`.
#[utoipa::path(
    delete,
    path = "/api/v1/queries/{id}",
    params(("id" = u64, Path, description = "Which one: see the list")),
    responses((status = 204, description = "It ends"), (status = 404, body = ApiError, description = "It ended before"))
)]
pub(crate) async fn cancel(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    match id.parse() {
        Ok(id) if app.engine.cancel(id) => Ok(StatusCode::NO_CONTENT),
        _ => Err(ApiError::not_found("unknown_query", format!("no question `{id}` is being answered"))),
    }
}
