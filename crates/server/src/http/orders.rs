//! Orders to vehicles: given, and shown as they were kept. What is shown comes from the table that proves it afterwards.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use gateway_gbt32960::{EXPIRES_AFTER_MAX, ORDER_PROFILE, Order, OrderError, OrderState};
use gbt32960::{Request, Vin};
use model::{AssetId, Timestamp};
use query::Limits;
use query::format::json_value;
use serde::Serialize;
use serde_json::{Map, Value};

use super::App;
use super::assets::parameters;
use super::error::ApiError;
use super::sql::answer;

/// How long an order may wait for its vehicle, if nothing is said of it.
const EXPIRES_AFTER_SECS: u64 = 600;
/// Orders of an answer.
const SHOWN_MAX: usize = 1_000;
const SHOWN: usize = 100;

#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "it is what the body looks like; it is taken apart by hand")]
pub(crate) struct OrderBody {
    /// For example `vehicle/LTMTEST0000000001`.
    asset: String,
    /// `query_parameters`, `set_parameters` or `control`.
    command: String,
    /// Of `query_parameters` a list of names, of `set_parameters` names and physical values.
    parameters: Option<Value>,
    /// Of `control`: `kind`, and `arguments` where it needs some.
    control: Option<Value>,
    /// Seconds in which it may be sent; 600 if left out, at most 30 days.
    expires_secs: Option<u64>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OrderJson {
    id: String,
    asset: String,
    /// What is asked.
    #[schema(value_type = Object)]
    request: Value,
    /// `waiting`, `sent`, `answered`, `failed` or `expired`.
    state: String,
    created: String,
    changed: String,
    /// Until when it may be sent.
    expires: String,
    /// What the vehicle answered.
    #[schema(value_type = Option<Object>)]
    answer: Option<Value>,
    /// Why it failed.
    reason: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OrdersJson {
    /// The newest first.
    orders: Vec<OrderJson>,
}

impl From<Order> for OrderJson {
    fn from(order: Order) -> Self {
        Self {
            id: order.id.to_string(),
            asset: format!("vehicle/{}", order.vin),
            request: serde_json::to_value(&order.request).unwrap_or_default(),
            state: order.state.as_str().to_owned(),
            created: Timestamp::from_nanos(order.id.saturating_mul(1_000)).to_string(),
            changed: order.changed.to_string(),
            expires: order.expires.to_string(),
            answer: order.answer.as_deref().and_then(|answer| serde_json::from_str(answer).ok()),
            reason: order.reason,
        }
    }
}

/// Gives a vehicle an order. It is sent when the vehicle is connected; the list tells what becomes of it.
#[utoipa::path(
    post,
    path = "/api/v1/orders",
    request_body = OrderBody,
    responses(
        (status = 202, body = OrderJson, description = "It is durable, and waits for its vehicle"),
        (status = 400, body = ApiError, description = "No order, or one that the standard does not have"),
        (status = 503, body = ApiError, description = "Too many orders wait already, or nothing can be kept at present"),
    )
)]
pub(crate) async fn give(
    State(app): State<Arc<App>>,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<(StatusCode, Json<OrderJson>), ApiError> {
    let invalid = |message: String| ApiError::bad_request("invalid_order", message);
    let Json(mut body) = body.map_err(|rejection| invalid(rejection.body_text()))?;
    let asset = body.remove("asset").unwrap_or_default();
    let vin =
        asset.as_str().and_then(vin_of).ok_or_else(|| invalid(format!("asset: expected vehicle/…, got {asset}")))?;
    let secs = match body.remove("expires_secs") {
        None => EXPIRES_AFTER_SECS,
        Some(secs) => {
            secs.as_u64().filter(|secs| (1..=EXPIRES_AFTER_MAX.as_secs()).contains(secs)).ok_or_else(|| {
                invalid(format!("expires_secs: expected 1 to {}, got {secs}", EXPIRES_AFTER_MAX.as_secs()))
            })?
        }
    };
    let request: Request = serde_json::from_value(Value::Object(body)).map_err(|error| invalid(error.to_string()))?;
    match app.vehicles.orders.give(vin, request, Duration::from_secs(secs)).await {
        Ok(order) => Ok((StatusCode::ACCEPTED, Json(order.into()))),
        Err(error @ OrderError::Invalid(_)) => Err(invalid(error.to_string())),
        Err(error @ OrderError::TooMany { .. }) => Err(ApiError::busy("too_many_orders", error.to_string())),
        Err(error @ OrderError::NotKept(_)) => Err(ApiError::busy("not_kept", error.to_string())),
    }
}

fn vin_of(asset: &str) -> Option<Vin> {
    let asset: AssetId = asset.parse().ok()?;
    Vin::new(asset.as_str().strip_prefix("vehicle/")?)
}

/// The orders that were given, as far as they have come.
#[utoipa::path(
    get,
    path = "/api/v1/orders",
    params(
        ("asset" = Option<String>, Query, description = "Only those of this vehicle"),
        ("limit" = Option<u32>, Query, description = "The newest so many; 100 if left out, at most 1000"),
    ),
    responses(
        (status = 200, body = OrdersJson),
        (status = 400, body = ApiError, description = "No vehicle, or no number"),
    )
)]
pub(crate) async fn orders(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<OrdersJson>, ApiError> {
    let named = |name: &str| parameters(query.as_deref(), name).pop();
    let of_vehicle = match named("asset") {
        None => "true".to_owned(),
        // A VIN has characters of ASCII, the quotation mark among them.
        Some(asset) => match vin_of(&asset) {
            Some(vin) => format!("asset = 'vehicle/{}'", vin.as_str().replace('\'', "''")),
            None => return Err(ApiError::bad_request("invalid_request", "asset: expected vehicle/…")),
        },
    };
    let limit = named("limit").map_or(Some(SHOWN), |limit| limit.parse().ok().filter(|limit| *limit <= SHOWN_MAX));
    let limit =
        limit.ok_or_else(|| ApiError::bad_request("invalid_request", format!("limit: expected 1 to {SHOWN_MAX}")))?;
    let orders = kept(&app, &of_vehicle, "true", limit).await?;
    Ok(Json(OrdersJson { orders: orders.into_iter().map(OrderJson::from).collect() }))
}

/// Takes up what had not come to an end when the program ended, and looks after all orders until it ends again.
pub(crate) async fn look_after(app: Arc<App>) {
    let orders = Arc::clone(&app.vehicles.orders);
    match kept(&app, "true", "order_state IN ('waiting', 'sent')", usize::MAX).await {
        // The program may be ending again.
        Ok(open) => drop(orders.restore(open).await),
        Err(error) => tracing::error!(?error, "orders that had not come to an end could not be taken up"),
    }
    // What follows needs nothing else, and must not keep the rest.
    drop(app);
    orders.run().await;
}

/// The last that is kept of each order for which `which` holds, if `state` holds then; the newest first.
async fn kept(app: &App, which: &str, state: &str, limit: usize) -> Result<Vec<Order>, ApiError> {
    let snapshot = app.store.snapshot();
    if !snapshot.tables.iter().any(|table| table.profile.id() == ORDER_PROFILE) {
        return Ok(Vec::new());
    }
    drop(snapshot);
    let rows_max = limit.min(app.limits.rows_max);
    let question = format!(
        "SELECT asset, order_id, order_state, order_request, order_answer, order_reason, order_expires, time FROM \
         (SELECT *, row_number() OVER (PARTITION BY asset, order_id ORDER BY time DESC) AS nth FROM {ORDER_PROFILE} \
         WHERE {which}) WHERE nth = 1 AND {state} ORDER BY order_id DESC LIMIT {rows_max}"
    );
    let limits = Limits { rows_max, bytes_max: app.limits.answer_bytes_max, timeout: app.timeout() };
    let answer = answer(app, &question, limits).await?;
    Ok(answer.batches.iter().flat_map(|batch| (0..batch.num_rows()).filter_map(|row| order(batch, row))).collect())
}

fn order(batch: &RecordBatch, row: usize) -> Option<Order> {
    let value = |column: usize| json_value(batch.column(column), row);
    let text = |column: usize| value(column).as_str().map(str::to_owned);
    let integer = |column: usize| value(column).as_f64().map(|number| number as i64);
    Some(Order {
        id: integer(1)?,
        vin: vin_of(&text(0)?)?,
        request: serde_json::from_str(&text(3)?).ok()?,
        expires: Timestamp::from_millis(integer(6)?),
        state: OrderState::of_word(&text(2)?)?,
        changed: text(7)?.parse().ok()?,
        answer: text(4),
        reason: text(5),
    })
}
