//! Questions in SQL, read-only and within limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use query::Limits;
use query::format::json_value;
use serde::{Deserialize, Serialize};

use super::App;
use super::error::ApiError;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// One SELECT. The tables: one per profile, `observations`, `assets`, `signals`.
    query: String,
    /// Rows of the answer; at most what the server allows.
    rows_max: Option<usize>,
    /// Seconds it may take; at most what the server allows.
    timeout_secs: Option<f64>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AnswerJson {
    columns: Vec<ColumnJson>,
    /// One array per row, in the order of the columns.
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Vec<serde_json::Value>>,
    /// Whether there would have been more rows.
    truncated: bool,
    elapsed_ms: f64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ColumnJson {
    name: String,
    /// The type after Apache Arrow.
    #[serde(rename = "type")]
    data_type: String,
}

/// Answers one question.
#[utoipa::path(
    post,
    path = "/api/v1/sql",
    request_body = Question,
    responses(
        (status = 200, body = AnswerJson),
        (status = 400, body = ApiError, description = "No question, or one that would change something"),
        (status = 408, body = ApiError, description = "It took too long"),
        (status = 413, body = ApiError, description = "It needed too much memory"),
    )
)]
pub(crate) async fn sql(
    State(app): State<Arc<App>>,
    question: Result<Json<Question>, JsonRejection>,
) -> Result<Json<AnswerJson>, ApiError> {
    let Json(question) =
        question.map_err(|rejection| ApiError::bad_request("invalid_request", rejection.body_text()))?;
    let asked = question.timeout_secs.map(Duration::try_from_secs_f64).transpose();
    let asked = asked.map_err(|error| ApiError::bad_request("invalid_request", format!("timeout_secs: {error}")))?;
    let limits = Limits {
        rows_max: question.rows_max.unwrap_or(usize::MAX).min(app.limits.rows_max),
        bytes_max: app.limits.answer_bytes_max,
        timeout: asked.unwrap_or(Duration::MAX).min(app.timeout()),
    };
    let started = tokio::time::Instant::now();
    let answer = answer(&app, &question.query, limits).await?;
    let columns = answer
        .schema
        .fields()
        .iter()
        .map(|field| ColumnJson { name: field.name().clone(), data_type: field.data_type().to_string() });
    let mut rows = Vec::new();
    for batch in &answer.batches {
        rows.extend(
            (0..batch.num_rows())
                .map(|row| batch.columns().iter().map(|column| json_value(column, row)).collect::<Vec<_>>()),
        );
    }
    let elapsed_ms = started.elapsed().as_secs_f64() * 1_000.0;
    Ok(Json(AnswerJson { columns: columns.collect(), rows, truncated: answer.truncated, elapsed_ms }))
}

/// Answers `sql` over what is there now, when it is this question's turn.
pub(crate) async fn answer(app: &App, sql: &str, limits: Limits) -> Result<query::Answer, ApiError> {
    let turn = tokio::time::timeout(limits.timeout, app.questions.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return Err(query::QueryError::Timeout { limit: limits.timeout }.into()) };
    let snapshot = app.store.snapshot();
    Ok(app.engine.answer(&snapshot, sql, limits).await?)
}
