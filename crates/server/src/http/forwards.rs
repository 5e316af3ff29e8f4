//! How the upstreams are doing that reports are forwarded to.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::App;
use crate::forwards::ForwardReport;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Forwards {
    forwards: Vec<Forward>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Forward {
    name: String,
    /// `gbt32960`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Where the upstream is.
    upstream: String,
    /// The edition that it reads: 2016 or 2025.
    edition: u16,
    /// `connecting`, `connected`, `waiting`, `failed` or `stopped`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Why, where the state has a reason.
    reason: Option<String>,
    /// Since when it is in that state.
    since: String,
    /// About how many rows wait to be forwarded.
    lag_rows: u64,
    /// How long the one waits that has waited longest.
    lag_secs: f64,
    /// Frames sent since the start.
    sent: u64,
    /// Of these, acknowledged.
    acknowledged: u64,
    /// Frames that were given up because the upstream refused them.
    refused: u64,
    /// Reports, logins and logouts of which nothing could be said to the upstream.
    left_out: u64,
    /// Logins as a platform.
    logins: u64,
    /// Why the last connection ended, or something could not be read or kept.
    last_error: Option<String>,
    /// The newest refusals, the newest first, at most 100.
    refusals: Vec<Refusal>,
    /// What reports said and could not be said to the upstream, by reason.
    unexpressed: Vec<Unexpressed>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Refusal {
    vin: String,
    /// The time that the frame said.
    time: String,
    #[schema(value_type = String)]
    command: &'static str,
    /// What the upstream answered.
    reason: String,
    /// When it was refused for the last time.
    at: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Unexpressed {
    /// Why.
    #[schema(value_type = String)]
    reason: &'static str,
    /// Which signal or block.
    what: String,
    /// How often.
    count: u64,
    /// The vehicle of the last one, and the time that its report said.
    last_vin: String,
    last_time: String,
}

/// How each upstream is doing.
#[utoipa::path(get, path = "/api/v1/forwards", responses((status = 200, body = Forwards)))]
pub(crate) async fn forwards(State(app): State<Arc<App>>) -> Json<Forwards> {
    Json(Forwards { forwards: app.forwards.reports().into_iter().map(forward).collect() })
}

fn forward(report: ForwardReport) -> Forward {
    let status = report.status;
    let refusal = |refusal: forward_gbt32960::Refusal| Refusal {
        vin: refusal.vin,
        time: refusal.time.to_string(),
        command: refusal.command,
        reason: refusal.reason,
        at: refusal.at.to_string(),
    };
    let unexpressed = |one: forward_gbt32960::Unexpressed| Unexpressed {
        reason: one.reason,
        what: one.what,
        count: one.count,
        last_vin: one.last.0,
        last_time: one.last.1.to_string(),
    };
    Forward {
        name: report.name,
        kind: report.kind,
        upstream: report.address,
        edition: report.edition,
        state: status.state.as_str(),
        reason: status.state.reason().map(str::to_owned),
        since: status.since.to_string(),
        lag_rows: status.lag_rows,
        lag_secs: status.lag_ms as f64 / 1_000.0,
        sent: status.sent,
        acknowledged: status.acknowledged,
        refused: status.refused,
        left_out: status.left_out,
        logins: status.logins,
        last_error: status.last_error,
        refusals: status.refusals.into_iter().map(refusal).collect(),
        unexpressed: status.unexpressed.into_iter().map(unexpressed).collect(),
    }
}
