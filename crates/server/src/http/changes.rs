//! What is new, as it becomes durable: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::{Stream, StreamExt};
use model::{AssetId, AssetKind};
use tokio_stream::wrappers::BroadcastStream;

use super::App;
use super::assets::{asset_parameters, kind_parameters};
use super::error::ApiError;
use crate::live::Telling;

const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A stream of events. `changes` carries `{"observations": […]}`; `resync` says that this client fell behind and should
/// fetch `/api/v1/current` again. Only what is durable is told.
#[utoipa::path(
    get,
    path = "/api/v1/changes",
    params(
        ("asset" = Option<Vec<String>>, Query, description = "Only these assets; may be repeated"),
        ("kind" = Option<Vec<String>>, Query, description = "Only assets of these kinds, such as `machine`; may be repeated"),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 400, body = ApiError))
)]
pub(crate) async fn changes(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (assets, kinds) = (asset_parameters(query.as_deref())?, kind_parameters(query.as_deref())?);
    let watched = match (assets.is_empty(), kinds.is_empty()) {
        (false, _) => assets.iter().map(AssetId::kind).collect(),
        (true, false) => kinds.clone(),
        (true, true) => AssetKind::ALL.to_vec(),
    };
    let (tellings, watching) = app.live.watch(watched);
    let events = BroadcastStream::new(tellings).filter_map(move |telling| {
        let _counts = &watching;
        let event = match telling {
            Ok(Telling::Observations(by_asset)) => {
                let of_kind = |asset: &str| kinds.iter().any(|kind| asset.split('/').next() == Some(kind.as_str()));
                let wanted = |asset: &str| {
                    (assets.is_empty() || assets.iter().any(|one| one.as_str() == asset))
                        && (kinds.is_empty() || of_kind(asset))
                };
                let told = by_asset.iter().filter(|(asset, _)| wanted(asset)).map(|(_, objects)| objects.as_str());
                let told = told.collect::<Vec<_>>().join(",");
                let event = || Event::default().event("changes").data(format!("{{\"observations\":[{told}]}}"));
                (!told.is_empty()).then(event)
            }
            // A watcher that missed something and one that was spared too much are in the same place.
            Ok(Telling::Resync) | Err(_) => Some(Event::default().event("resync").data("{}")),
        };
        std::future::ready(event.map(Ok))
    });
    // A stream has no end of its own; the server's end must not wait for it.
    let events = events.take_until(app.stop.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
