//! Vehicles that came and are not registered: to be seen, and to be accepted.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use gbt32960::Vin;
use serde::Serialize;

use super::App;
use super::error::ApiError;
use crate::vehicles::AcceptError;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NewcomersJson {
    newcomers: Vec<NewcomerJson>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NewcomerJson {
    vin: String,
    /// The gateway that it came to.
    gateway: String,
    /// What it said of itself.
    iccid: String,
    /// When it last came.
    seen: String,
}

/// The vehicles that came and are not registered. A gateway with a list of vehicles has refused them, one without has let
/// them in.
#[utoipa::path(get, path = "/api/v1/newcomers", responses((status = 200, body = NewcomersJson)))]
pub(crate) async fn newcomers(State(app): State<Arc<App>>) -> Json<NewcomersJson> {
    let newcomers = app.vehicles.newcomers().into_iter().map(|(gateway, vin, newcomer)| NewcomerJson {
        vin: vin.to_string(),
        gateway,
        iccid: newcomer.iccid.into(),
        seen: newcomer.seen.to_string(),
    });
    Json(NewcomersJson { newcomers: newcomers.collect() })
}

/// Registers a vehicle that was refused, with the card it came with: it is let in when it comes again.
#[utoipa::path(
    put,
    path = "/api/v1/newcomers/{vin}",
    params(("vin" = String, Path, description = "Which one: see the list")),
    responses(
        (status = 204, description = "It is registered, and stays so"),
        (status = 404, body = ApiError, description = "No such vehicle was refused"),
        (status = 500, body = ApiError, description = "It could not be written down"),
    )
)]
pub(crate) async fn accept(State(app): State<Arc<App>>, Path(vin): Path<String>) -> Result<StatusCode, ApiError> {
    let known = Vin::new(&vin).ok_or(AcceptError::Unknown);
    let accepting = Arc::clone(&app);
    let accepted = tokio::task::spawn_blocking(move || accepting.vehicles.accept(known?)).await;
    match accepted {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error @ AcceptError::Unknown)) => Err(ApiError::not_found("unknown_newcomer", error.to_string())),
        Ok(Err(error @ AcceptError::NotKept(_))) => Err(ApiError::failed("not_kept", error.to_string())),
        Err(_) => Err(ApiError::failed("not_kept", "writing the list broke down")),
    }
}
