//! Questions in SQL, read-only and within limits.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use query::format::JsonColumn;
use query::{ATTEMPTS_MAX, Limits, put_right};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use tokio::time::Instant;

use super::App;
use super::error::ApiError;
use super::json;

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
    rows: RowsJson,
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

/// Rows that become JSON one by one: as values of JSON, all together would take far more memory than as rows or as text.
#[derive(Debug)]
struct RowsJson(Vec<RecordBatch>);

impl Serialize for RowsJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(None)?;
        for batch in &self.0 {
            let columns: Vec<JsonColumn<'_>> = batch.columns().iter().map(JsonColumn::new).collect();
            (0..batch.num_rows()).try_for_each(|row| rows.serialize_element(&RowJson { columns: &columns, row }))?;
        }
        rows.end()
    }
}

struct RowJson<'a> {
    columns: &'a [JsonColumn<'a>],
    row: usize,
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.columns.iter().map(|column| column.cell(self.row)))
    }
}

/// Answers one question.
#[utoipa::path(
    post,
    path = "/api/v1/sql",
    request_body = Question,
    responses(
        (status = 200, body = AnswerJson, content_type = "application/json"),
        (status = 400, body = ApiError, description = "No question, or one that would change something"),
        (status = 408, body = ApiError, description = "It took too long"),
        (status = 413, body = ApiError, description = "It needed too much memory, or the answer is too large"),
        (status = 503, body = ApiError, description = "Too many questions wait already"),
    )
)]
pub(crate) async fn sql(
    State(app): State<Arc<App>>,
    question: Result<Json<Question>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(question) =
        question.map_err(|rejection| ApiError::bad_request("invalid_request", rejection.body_text()))?;
    let asked = question.timeout_secs.map(Duration::try_from_secs_f64).transpose();
    let asked = asked.map_err(|error| ApiError::bad_request("invalid_request", format!("timeout_secs: {error}")))?;
    let limits = Limits {
        rows_max: question.rows_max.unwrap_or(usize::MAX).min(app.limits.rows_max),
        bytes_max: app.limits.answer_bytes_max,
        timeout: asked.unwrap_or(Duration::MAX).min(app.timeout()),
    };
    let started = Instant::now();
    let answer = answer(&app, &question.query, limits).await?;
    let columns = answer
        .schema
        .fields()
        .iter()
        .map(|field| ColumnJson { name: field.name().clone(), data_type: field.data_type().to_string() });
    let elapsed_ms = started.elapsed().as_secs_f64() * 1_000.0;
    let columns = columns.collect();
    let told = AnswerJson { columns, rows: RowsJson(answer.batches), truncated: answer.truncated, elapsed_ms };
    json::answer(&told, app.limits.answer_bytes_max)
}

/// Answers `sql` over what is there now, when it is this question's turn; again where a damaged file was in the way that
/// is put right.
pub(crate) async fn answer(app: &App, sql: &str, limits: Limits) -> Result<query::Answer, ApiError> {
    let deadline = Instant::now() + limits.timeout;
    let late = || query::QueryError::Timeout { limit: limits.timeout };
    let Some(_turn) = app.turn(deadline).await? else { return Err(late().into()) };
    let mut attempt = 1;
    loop {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let snapshot = app.store.snapshot();
        match app.engine.answer(&snapshot, sql, Limits { timeout, ..limits }).await {
            Ok(answer) => return Ok(answer),
            Err(query::QueryError::Timeout { .. }) => return Err(late().into()),
            Err(error) => {
                if !put_right(&app.store, &error, deadline).await || attempt == ATTEMPTS_MAX {
                    return Err(error.into());
                }
                attempt += 1;
            }
        }
    }
}
