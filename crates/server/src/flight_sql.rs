//! Wires Flight SQL to the store and the SQL engine, where the configuration wants it.

use std::net::SocketAddr;
use std::sync::Arc;

use flight_sql::{Account, Service, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::FlightSqlConfig;
use crate::postgres::{bind, password, random};
use crate::run::ServeError;

/// A listener and how it treats connections: everything that can fail before questions can be answered.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    settings: Settings,
}

/// Listens, when `config` says where.
pub(crate) fn listen(config: &FlightSqlConfig) -> Result<Option<Listening>, ServeError> {
    let Some(address) = config.listen else { return Ok(None) };
    let failed = |source| ServeError::ListenFlightSql { address, source };
    let mut key = [0; 32];
    random(&mut key).map_err(failed)?;
    let password = password("flight_sql", &config.password, config.password_file.as_deref())?;
    let account = Account::new(config.user.clone(), &password, key);
    let listener = bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let settings = Settings { account, connections_max: config.connections_max, random };
    Ok(Some(Listening { address, listener, settings }))
}

impl Listening {
    /// Answers until `stop`.
    pub(crate) async fn serve(self, service: Service, stop: CancellationToken) {
        tracing::info!(address = %self.address, "serving Flight SQL");
        flight_sql::serve(self.listener, service, self.settings, stop).await;
    }
}

/// What the protocol answers with.
pub(crate) fn service(app: &Arc<crate::http::App>) -> Service {
    Service {
        store: Arc::clone(&app.store),
        engine: Arc::clone(&app.engine),
        turns: Arc::clone(&app.questions),
        timeout: app.timeout(),
    }
}
