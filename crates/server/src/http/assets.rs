//! What there is, what it can say, and what it said last.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use model::{AssetId, AssetKind};
use serde::Serialize;
use store::Latest;

use super::App;
use super::error::ApiError;
use super::json;
use super::observation::ObservationJson;
use crate::alarms;

/// Observations of one page of latest values: as many, and those of the last asset.
const CURRENT_MAX: usize = 50_000;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Assets {
    assets: Vec<Asset>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Asset {
    /// For example `machine/lathe-01`.
    asset: String,
    /// The profile that says what its signals are.
    profile: String,
}

/// All assets that were ever heard of.
#[utoipa::path(
    get,
    path = "/api/v1/assets",
    params(("kind" = Option<Vec<String>>, Query, description = "Only assets of these kinds, such as `machine`; may be repeated")),
    responses((status = 200, body = Assets), (status = 400, body = ApiError))
)]
pub(crate) async fn assets(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Json<Assets>, ApiError> {
    let kinds = kind_parameters(query.as_deref())?;
    let snapshot = app.store.snapshot();
    let of_table = |table: &store::TableSnapshot| {
        let profile = table.profile.id().to_owned();
        let asset = move |asset: &AssetId| Asset { asset: asset.to_string(), profile: profile.clone() };
        let is_wanted = |asset: &&AssetId| kinds.is_empty() || kinds.contains(&asset.kind());
        table.assets.iter().filter(is_wanted).map(asset).collect::<Vec<_>>()
    };
    // What became of alarms is kept under the names of those that they are about, who do not say it.
    let tables = snapshot.tables.iter().filter(|table| table.profile.id() != alarms::NAME);
    Ok(Json(Assets { assets: tables.flat_map(of_table).collect() }))
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Profiles {
    profiles: Vec<Profile>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Profile {
    /// The name of the profile, and of its table in SQL.
    id: String,
    /// `changes`: each signal speaks when it changes; `frames`: all speak together.
    #[schema(value_type = String)]
    shape: &'static str,
    signals: Vec<Signal>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Signal {
    id: String,
    /// The meaning in a standard, for example `mtconnect:EXECUTION`.
    meaning: String,
    /// `number`, `integer`, `text`, `vector`, `entries` or `condition`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// The UCUM unit.
    unit: Option<String>,
    /// For example the component that it belongs to.
    description: Option<String>,
}

/// All profiles: the types of assets, and what they can say.
#[utoipa::path(get, path = "/api/v1/profiles", responses((status = 200, body = Profiles)))]
pub(crate) async fn profiles(State(app): State<Arc<App>>) -> Json<Profiles> {
    let signal = |signal: &model::Signal| Signal {
        id: signal.id.to_string(),
        meaning: signal.meaning.to_string(),
        kind: signal.kind.as_str(),
        unit: signal.unit.as_deref().map(str::to_owned),
        description: signal.description.as_deref().map(str::to_owned),
    };
    let profile = |table: &store::TableSnapshot| Profile {
        id: table.profile.id().to_owned(),
        shape: table.profile.shape().as_str(),
        signals: table.profile.signals().iter().map(signal).collect(),
    };
    Json(Profiles { profiles: app.store.snapshot().tables.iter().map(profile).collect() })
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Current {
    /// The server's present, to judge ages by.
    now: String,
    observations: Vec<ObservationJson>,
    /// If there are more: what to ask for as `after` to get them.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The latest observation of every signal, from memory. A condition has one for each active native code. Where there are
/// many assets, they come page by page: as long as an answer has `next`, there are more.
#[utoipa::path(
    get,
    path = "/api/v1/current",
    params(
        ("asset" = Option<Vec<String>>, Query, description = "Only these assets; may be repeated"),
        ("kind" = Option<Vec<String>>, Query, description = "Only assets of these kinds, such as `machine`; may be repeated"),
        ("signal" = Option<Vec<String>>, Query, description = "Only these signals; may be repeated"),
        (
            "limit" = Option<usize>, Query,
            description = "After so many observations no further asset begins; 50000, which is also the most, if left out"
        ),
        ("after" = Option<String>, Query, description = "What the page before had as `next`"),
    ),
    responses(
        (status = 200, body = Current, content_type = "application/json"),
        (status = 400, body = ApiError),
        (status = 413, body = ApiError, description = "The answer is too large: ask with a smaller `limit`"),
    )
)]
pub(crate) async fn current(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let query = query.as_deref();
    let (limit, (profile, place)) = (limit(query)?, after(query)?);
    let assets: BTreeSet<AssetId> = asset_parameters(query)?.into_iter().collect();
    let (signals, kinds) = (parameters(query, "signal"), kind_parameters(query)?);
    let of_kind = |asset: &AssetId| kinds.is_empty() || kinds.contains(&asset.kind());
    let is_wanted = |asset: &AssetId| (assets.is_empty() || assets.contains(asset)) && of_kind(asset);
    let (latest, next) = match assets.first() {
        // One of many vehicles is not to be looked for among all of them.
        Some(asset) if assets.len() == 1 && of_kind(asset) => (app.store.current(Some(asset)), None),
        _ => app.store.current_page((&profile, place), limit, &is_wanted),
    };
    let of_signal = |latest: &&Latest| {
        let signal = &latest.profile.signal(latest.observation.signal).id;
        signals.is_empty() || signals.iter().any(|wanted| **wanted == **signal)
    };
    let observations = ObservationJson::of_latest(latest.iter().filter(of_signal));
    let next = next.map(|(profile, place)| format!("{place}:{profile}"));
    json::answer(&Current { now: app.clock.now().to_string(), observations, next }, app.limits.answer_bytes_max)
}

fn limit(query: Option<&str>) -> Result<usize, ApiError> {
    let Some(text) = parameters(query, "limit").pop() else { return Ok(CURRENT_MAX) };
    let limit = text.parse().ok().filter(|limit| (1..=CURRENT_MAX).contains(limit));
    let expected = || format!("limit: expected 1 to {CURRENT_MAX}, got `{text}`");
    limit.ok_or_else(|| ApiError::bad_request("invalid_parameter", expected()))
}

/// Where a page begins: a profile, and a place among its assets.
fn after(query: Option<&str>) -> Result<(String, u32), ApiError> {
    let Some(text) = parameters(query, "after").pop() else { return Ok((String::new(), 0)) };
    let read = text.split_once(':').and_then(|(place, profile)| Some((profile.to_owned(), place.parse().ok()?)));
    let expected = || format!("after: expected what an answer had as `next`, got `{text}`");
    read.ok_or_else(|| ApiError::bad_request("invalid_parameter", expected()))
}

/// The values of `name` in a query string, percent-decoded.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| percent_decoded(value)).collect()
}

/// The parameters `asset`, which have to be assets.
pub(crate) fn asset_parameters(query: Option<&str>) -> Result<Vec<AssetId>, ApiError> {
    let assets = parameters(query, "asset").into_iter().map(|text| text.parse());
    assets
        .collect::<Result<_, model::InvalidAssetId>>()
        .map_err(|error| ApiError::bad_request("invalid_asset", error.to_string()))
}

/// The parameters `kind`, which have to be kinds of assets.
pub(crate) fn kind_parameters(query: Option<&str>) -> Result<Vec<AssetKind>, ApiError> {
    let kind = |text: String| {
        let known = || AssetKind::ALL.map(AssetKind::as_str).join(", ");
        let invalid = || format!("kind: expected one of {}, got `{text}`", known());
        AssetKind::named(&text).ok_or_else(|| ApiError::bad_request("invalid_parameter", invalid()))
    };
    parameters(query, "kind").into_iter().map(kind).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_repeated_and_are_decoded() {
        let query = Some("asset=machine%2Flathe-01&signal=a&asset=machine/%E8%BD%A6+1&broken=%2");
        assert_eq!(parameters(query, "asset"), ["machine/lathe-01", "machine/车 1"]);
        assert_eq!(parameters(query, "broken"), ["%2"]);
        assert!(parameters(None, "asset").is_empty());
    }
}
