//! The reports of a vehicle as the frames that it sent, with what their bytes mean.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use model::{AssetId, AssetKind, Timestamp};
use query::Limits;
use serde::Serialize;

use super::App;
use super::assets::parameters;
use super::error::ApiError;
use super::json;
use super::sql::answer;
use crate::fleet::frames::{RawFrame, frames_of};

const FRAMES_DEFAULT: usize = 20;
const FRAMES_MAX: usize = 200;
/// Where `from` is left out.
const SPAN_NS: i64 = 24 * 3_600 * 1_000_000_000;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FramesJson {
    /// The newest first.
    frames: Vec<FrameJson>,
    /// Whether there were more.
    truncated: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Frame)]
struct FrameJson {
    /// The time that the vehicle gives.
    time: String,
    /// When it came in.
    received: String,
    /// The frame in hexadecimal digits, as a realtime report that is not encrypted: a report that came again by command 3
    /// is the same row. Empty where no report can have become such a row.
    bytes: String,
    /// Every byte and what it means, line by line; or why that cannot be told.
    dump: String,
}

impl From<RawFrame> for FrameJson {
    fn from(frame: RawFrame) -> Self {
        let mut bytes = String::with_capacity(2 * frame.bytes.len());
        for byte in &frame.bytes {
            let _ = write!(bytes, "{byte:02x}");
        }
        Self { time: frame.time.to_string(), received: frame.received.to_string(), bytes, dump: frame.dump }
    }
}

/// The reports of a vehicle as the frames that they were, made again of what is kept of them.
#[utoipa::path(
    get,
    path = "/api/v1/vehicles/{vin}/frames",
    params(
        ("vin" = String, Path, description = "The vehicle"),
        ("from" = Option<String>, Query, description = "Left out: a day before `to`"),
        ("to" = Option<String>, Query, description = "Reports before this time; left out: now, and what is ahead of it"),
        ("limit" = Option<usize>, Query, description = "The newest so many, 1 to 200; 20 if left out"),
    ),
    responses(
        (status = 200, body = FramesJson, content_type = "application/json"),
        (status = 400, body = ApiError),
        (status = 404, body = ApiError, description = "Nothing was ever reported by this vehicle"),
        (status = 503, body = ApiError, description = "Too many questions wait already"),
    )
)]
pub(crate) async fn frames(
    State(app): State<Arc<App>>,
    Path(vin): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let asset = AssetId::new(AssetKind::Vehicle, &vin)
        .map_err(|error| ApiError::bad_request("invalid_asset", error.to_string()))?;
    let wanted = Wanted::read(query.as_deref(), app.clock.now())?;
    if app.store.current(Some(&asset)).is_empty() {
        return Err(ApiError::not_found("unknown_asset", format!("nothing was ever reported by `{asset}`")));
    }
    let limits = Limits { rows_max: wanted.limit + 1, bytes_max: app.limits.answer_bytes_max, timeout: app.timeout() };
    let answer = answer(&app, &wanted.sql(&asset), limits).await?;
    let mut frames = Vec::new();
    for batch in &answer.batches {
        let made = frames_of(&asset, batch).map_err(|error| query::QueryError::Failed(error.to_string()))?;
        frames.extend(made.into_iter().map(FrameJson::from));
    }
    let truncated = frames.len() > wanted.limit;
    frames.truncate(wanted.limit);
    json::answer(&FramesJson { frames, truncated }, app.limits.answer_bytes_max)
}

#[derive(Debug, PartialEq)]
struct Wanted {
    from: Timestamp,
    to: Timestamp,
    limit: usize,
}

impl Wanted {
    fn read(query: Option<&str>, now: Timestamp) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::bad_request("invalid_parameter", message);
        let time = |name: &str| {
            let text = parameters(query, name).pop();
            let read = text.map(|text| text.parse::<Timestamp>());
            read.transpose().map_err(|error| invalid(format!("{name}: {error}")))
        };
        let (from, to) = (time("from")?, time("to")?);
        let from = from.unwrap_or_else(|| to.unwrap_or(now).plus_nanos(-SPAN_NS));
        let to = to.unwrap_or(Timestamp::MAX);
        if from >= to {
            return Err(invalid(format!("from ({from}) has to be before to ({to})")));
        }
        let limit = match parameters(query, "limit").pop() {
            None => FRAMES_DEFAULT,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=FRAMES_MAX).contains(limit));
                limit.ok_or_else(|| invalid(format!("limit: expected 1 to {FRAMES_MAX}, got `{text}`")))?
            }
        };
        Ok(Self { from, to, limit })
    }

    fn sql(&self, asset: &AssetId) -> String {
        let until = if self.to == Timestamp::MAX { String::new() } else { format!(" AND time < '{}'", self.to) };
        format!(
            "SELECT * FROM {} WHERE asset = '{}' AND time >= '{}'{until} ORDER BY time DESC LIMIT {}",
            gbt32960::PROFILE,
            asset.as_str().replace('\'', "''"),
            self.from,
            self.limit + 1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked_and_left_out_ones_are_a_day_until_now() {
        let now = Timestamp::from_millis(172_800_000);
        let read = |query: &str| Wanted::read(Some(query), now);
        let day = Wanted { from: Timestamp::from_millis(86_400_000), to: Timestamp::MAX, limit: 20 };
        assert_eq!(read("").unwrap(), day);
        let sql = day.sql(&"vehicle/O'NEILL".parse().unwrap());
        assert!(
            sql.ends_with("asset = 'vehicle/O''NEILL' AND time >= '1970-01-02T00:00:00Z' ORDER BY time DESC LIMIT 21")
        );
        for (query, expected) in [
            ("from=yesterday", "from: `yesterday` is not a time"),
            ("from=1970-01-02T00:00:00Z&to=1970-01-01T00:00:00Z", "has to be before"),
            ("limit=201", "limit: expected 1 to 200, got `201`"),
        ] {
            let error = format!("{:?}", read(query).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
