//! Wires PostgreSQL's protocol to the store and the SQL engine, where the configuration wants it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use postgres_wire::{Account, Service, Settings};
use tokio::net::{TcpListener, TcpSocket};

use crate::config::{ConfigError, PASSWORD_RULE, Password, PostgresConfig, is_password};
use crate::run::ServeError;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;

/// A listener and how it treats connections: everything that can fail before questions can be answered.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    settings: Settings,
}

/// Listens, when `config` says where.
pub(crate) fn listen(config: &PostgresConfig) -> Result<Option<Listening>, ServeError> {
    let Some(address) = config.listen else { return Ok(None) };
    let failed = |source| ServeError::ListenPostgres { address, source };
    let mut salt = [0; 16];
    random(&mut salt).map_err(failed)?;
    let account = Account::new(
        config.user.clone(),
        &password("postgres", &config.password, config.password_file.as_deref())?,
        salt,
    );
    let listener = bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let settings = Settings { account, connections_max: config.connections_max, random };
    Ok(Some(Listening { address, listener, settings }))
}

impl Listening {
    /// Answers until `stop`.
    pub(crate) async fn serve(self, service: Service, stop: tokio_util::sync::CancellationToken) {
        tracing::info!(address = %self.address, "serving PostgreSQL's protocol");
        postgres_wire::serve(self.listener, service, self.settings, stop).await;
    }
}

/// Connections are probed now and then, so that those whose client lost its power do not stay for ever.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

/// The password of the section `section`: as it stands there, or as it is read from `file`.
pub(crate) fn password(section: &str, password: &Option<Password>, file: Option<&Path>) -> Result<String, ServeError> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|source| ServeError::Config(ConfigError::Read { path: path.to_owned(), source }))
    };
    let password = match (password, file) {
        (Some(password), _) => password.0.clone(),
        (None, Some(path)) => read(path)?.lines().next().unwrap_or_default().to_owned(),
        (None, None) => String::new(),
    };
    if !is_password(&password) {
        let message = format!("{section}.password_file: expected {PASSWORD_RULE} in its first line");
        return Err(ServeError::Config(ConfigError::Invalid(message)));
    }
    Ok(password)
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
