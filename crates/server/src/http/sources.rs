//! How the gateways are doing, and what they rejected.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::App;
use super::assets::parameters;
use super::error::ApiError;
use crate::quarantine::Rejected;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Gateways {
    gateways: Vec<Gateway>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Gateway {
    name: String,
    /// `mtconnect-shdr`, `mtconnect-agent`, `line-protocol`, `remote-write`, or `self` for the server's own health.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Where the source is.
    source: String,
    /// `connecting`, `connected`, `waiting`, `refused`, `failed` or `stopped`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Why, where the state has a reason.
    reason: Option<String>,
    /// Since when it is in that state.
    since: String,
    assets: Vec<String>,
    /// Bytes read since the start.
    bytes: u64,
    /// Lines, documents or frames read.
    messages: u64,
    /// Observations decoded.
    observations: u64,
    /// Of these, durable and new.
    accepted: u64,
    /// Of these, known before.
    duplicates: u64,
    /// Connections made.
    connections: u64,
    last_received: Option<String>,
    /// What was rejected, by reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    rejected: BTreeMap<&'static str, u64>,
}

/// How each gateway is doing.
#[utoipa::path(get, path = "/api/v1/gateways", responses((status = 200, body = Gateways)))]
pub(crate) async fn gateways(State(app): State<Arc<App>>) -> Json<Gateways> {
    let gateway = |report: crate::sources::SourceReport| Gateway {
        name: report.name,
        kind: report.kind,
        source: report.address,
        state: report.status.connection.as_str(),
        reason: report.status.connection.reason().map(str::to_owned),
        since: report.status.since.to_string(),
        assets: report.status.assets.iter().map(ToString::to_string).collect(),
        bytes: report.tally.bytes,
        messages: report.tally.messages,
        observations: report.tally.observations,
        accepted: report.tally.accepted,
        duplicates: report.tally.duplicates,
        connections: report.tally.connections,
        last_received: report.tally.last_received.map(|time| time.to_string()),
        rejected: report.tally.rejected,
    };
    Json(Gateways { gateways: app.sources.reports().into_iter().map(gateway).collect() })
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Rejections {
    rejections: Vec<Rejected>,
}

/// What a gateway last rejected, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/rejections",
    params(("gateway" = String, Query, description = "The name of the gateway")),
    responses((status = 200, body = Rejections), (status = 404, body = ApiError))
)]
pub(crate) async fn rejections(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Rejections>, ApiError> {
    let names = parameters(query.as_deref(), "gateway");
    let Some(name) = names.first() else {
        return Err(ApiError::bad_request("missing_parameter", "expected the parameter `gateway`"));
    };
    if !app.sources.reports().iter().any(|report| report.name == *name) {
        return Err(ApiError::not_found("unknown_gateway", format!("there is no gateway `{name}`")));
    }
    Ok(Json(Rejections { rejections: app.quarantine.recent(name) }))
}
