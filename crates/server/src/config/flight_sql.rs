//! The section `[flight_sql]` of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, PASSWORD_RULE, Password, is_password};

/// Each connection can send some megabytes at the same time.
const CONNECTIONS_MAX: usize = 1_000;

/// Questions by Arrow Flight SQL.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlightSqlConfig {
    /// Address and port to listen on, for example `127.0.0.1:31337`. Left out, the protocol is not served.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// The name of the one user, who can read everything and change nothing.
    pub user: String,
    /// The password: 8 to 200 printable characters of ASCII. Clients send it when they connect.
    #[schemars(with = "Option<String>")]
    pub password: Option<Password>,
    /// A file with the password in its first line, instead of `password`; a relative path begins at the configuration
    /// file.
    pub password_file: Option<PathBuf>,
    /// Connections at the same time; further ones are cut off.
    pub connections_max: usize,
    /// The password and what is asked and answered are not encrypted. So only loopback addresses are allowed, unless this
    /// is set to `true`; then keep listeners out by other means, such as a tunnel.
    pub allow_remote_without_encryption: bool,
}

impl Default for FlightSqlConfig {
    fn default() -> Self {
        Self {
            listen: None,
            user: "tongmai".to_owned(),
            password: None,
            password_file: None,
            connections_max: 32,
            allow_remote_without_encryption: false,
        }
    }
}

impl FlightSqlConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        let Some(listen) = self.listen else { return Ok(()) };
        if !listen.ip().is_loopback() && !self.allow_remote_without_encryption {
            return invalid(format!(
                "flight_sql.listen = \"{listen}\" can be reached from other machines, and the password and what is asked \
                 and answered are not encrypted. Use 127.0.0.1, or set flight_sql.allow_remote_without_encryption = true \
                 if something else keeps listeners out"
            ));
        }
        if self.password.is_some() == self.password_file.is_some() {
            return invalid(
                "with flight_sql.listen goes one of flight_sql.password and flight_sql.password_file".to_owned(),
            );
        }
        if self.password.as_ref().is_some_and(|password| !is_password(&password.0)) {
            return invalid(format!("flight_sql.password: expected {PASSWORD_RULE}"));
        }
        // A colon ends the name where name and password are sent together.
        if self.user.is_empty() || self.user.contains(':') || !(1..=CONNECTIONS_MAX).contains(&self.connections_max) {
            return invalid(format!(
                "flight_sql needs a user without a colon, and connections_max from 1 to {CONNECTIONS_MAX}"
            ));
        }
        Ok(())
    }
}
