//! The HTTP API and the console. The only place that knows HTTP and its JSON shapes; it asks the store and the SQL
//! engine, and never reaches a gateway.

pub(crate) mod observation;

mod alarms;
mod assets;
pub(crate) mod backtest;
pub(crate) mod backup;
mod changes;
mod console;
mod error;
pub(crate) mod fleet;
mod forwards;
mod frames;
mod history;
mod json;
mod newcomers;
mod notify;
pub(crate) mod orders;
mod queries;
mod rules;
mod sources;
mod sql;
mod status;
pub(crate) mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post, put};
use model::Clock;
use query::Engine;
use store::Store;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use self::error::ApiError;
use crate::alarms::Alarms;
use crate::config::QueryConfig;
use crate::forwards::Forwards;
use crate::live::Live;
use crate::notify::Notifiers;
use crate::quarantine::FileQuarantine;
use crate::sources::Sources;
use crate::vehicles::Vehicles;

/// What handlers share.
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) questions: Arc<Semaphore>,
    /// One for each question by HTTP that may wait for its turn.
    pub(crate) waiting: Semaphore,
    pub(crate) limits: QueryConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sources: Sources,
    pub(crate) vehicles: Vehicles,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) backtests: backtest::Backtests,
    pub(crate) forwards: Forwards,
    pub(crate) notifiers: Notifiers,
    pub(crate) quarantine: Arc<FileQuarantine>,
    pub(crate) live: Live,
    pub(crate) fleet: fleet::FleetView,
    pub(crate) writing: write::Writing,
    pub(crate) backups: backup::Backups,
    /// Cancelled when the server ends.
    pub(crate) stop: CancellationToken,
}

impl App {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.limits.timeout_secs).min(TIMEOUT_MAX)
    }

    /// The turn of a question by HTTP that has until `deadline`; `None` if it does not come before.
    ///
    /// # Errors
    /// When too many others wait already.
    async fn turn(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        let Ok(_waits) = self.waiting.try_acquire() else {
            let message = format!("{WAITING_MAX} questions wait for their turn already: ask again later");
            return Err(ApiError::busy("too_many_queries", message));
        };
        Ok(tokio::time::timeout_at(deadline, self.questions.acquire()).await.ok().and_then(Result::ok))
    }
}

/// Questions by HTTP that wait for their turn; further ones are refused. Those by PostgreSQL's protocol are as many as
/// its connections.
pub(crate) const WAITING_MAX: usize = 64;
/// The longest time that a question can have; longer ones are no times that can be added to the present.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The largest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tongmai",
        description = "What the machines say: as it is now, as it was, and as it comes in. Times are RFC 3339 in UTC. \
                       An error has a stable `code` for programs and a `message` for people.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        alarms::alarms,
        alarms::act,
        alarms::records,
        alarms::figures,
        rules::rules,
        backtest::backtest,
        assets::assets,
        assets::profiles,
        assets::current,
        history::history,
        changes::changes,
        fleet::fleet,
        fleet::vehicles,
        fleet::positions,
        frames::frames,
        sources::gateways,
        sources::rejections,
        forwards::forwards,
        notify::notify,
        notify::test,
        sql::sql,
        queries::queries,
        queries::cancel,
        orders::give,
        orders::orders,
        newcomers::newcomers,
        newcomers::accept,
        backup::backup,
        status::health,
        status::metrics,
        write::write_v1,
        write::write_v2,
        write::remote_write,
        write::ping,
    )
)]
struct Api;

/// The OpenAPI document, as pretty JSON.
pub fn openapi() -> String {
    let document = Api::openapi().to_pretty_json();
    document.map_or_else(|error| format!("failed to write the OpenAPI document: {error}"), |text| text + "\n")
}

/// All routes. A server that is `loopback_only` answers to no name but `localhost`.
pub(crate) fn router(app: Arc<App>, loopback_only: bool) -> Router {
    let routes = Router::new()
        .route("/api/v1/alarms", get(alarms::alarms))
        .route("/api/v1/alarms/deeds", post(alarms::act))
        .route("/api/v1/alarms/records", get(alarms::records))
        .route("/api/v1/alarms/figures", get(alarms::figures))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/rules/backtest", post(backtest::backtest))
        .route("/api/v1/assets", get(assets::assets))
        .route("/api/v1/profiles", get(assets::profiles))
        .route("/api/v1/current", get(assets::current))
        .route("/api/v1/history", get(history::history))
        .route("/api/v1/changes", get(changes::changes))
        .route("/api/v1/fleet", get(fleet::fleet))
        .route("/api/v1/fleet/vehicles", get(fleet::vehicles))
        .route("/api/v1/fleet/positions", get(fleet::positions))
        .route("/api/v1/vehicles/{vin}/frames", get(frames::frames))
        .route("/api/v1/gateways", get(sources::gateways))
        .route("/api/v1/rejections", get(sources::rejections))
        .route("/api/v1/forwards", get(forwards::forwards))
        .route("/api/v1/notify", get(notify::notify))
        .route("/api/v1/notify/{name}/test", post(notify::test))
        .route("/api/v1/sql", post(sql::sql))
        .route("/api/v1/queries", get(queries::queries))
        .route("/api/v1/queries/{id}", delete(queries::cancel))
        .route("/api/v1/orders", get(orders::orders).post(orders::give))
        .route("/api/v1/newcomers", get(newcomers::newcomers))
        .route("/api/v1/newcomers/{vin}", put(newcomers::accept))
        .route("/api/v1/backups", post(backup::backup))
        .route("/api/v1/openapi.json", get(|| async { ([("content-type", "application/json")], openapi()) }))
        .route("/health", get(status::health))
        .route("/metrics", get(status::metrics))
        .fallback(console::asset)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(write::routes());
    let routes =
        if loopback_only { routes.layer(axum::middleware::from_fn(error::loopback_host_only)) } else { routes };
    routes.with_state(app)
}
