//! The section `[postgres]` of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// Each connection can hold some megabytes of statements.
const CONNECTIONS_MAX: usize = 1_000;
/// What a password has to be. Other characters have several spellings in Unicode, of which clients send any.
pub(crate) const PASSWORD_RULE: &str = "8 to 200 printable characters of ASCII";

/// Questions by PostgreSQL's protocol.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// Address and port to listen on, for example `127.0.0.1:5433`. Left out, the protocol is not served.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// The name of the one user, who can read everything and change nothing.
    pub user: String,
    /// The password: 8 to 200 printable characters of ASCII. Clients prove by SCRAM-SHA-256 that they know it.
    #[schemars(with = "Option<String>")]
    pub password: Option<Password>,
    /// A file with the password in its first line, instead of `password`; a relative path begins at the configuration
    /// file.
    pub password_file: Option<PathBuf>,
    /// Connections at the same time; further ones are refused.
    pub connections_max: usize,
    /// The password is never sent, but what is asked and answered is not encrypted. So only loopback addresses are
    /// allowed, unless this is set to `true`; then keep listeners out by other means, such as a tunnel.
    pub allow_remote_without_encryption: bool,
}

impl Default for PostgresConfig {
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

/// A password, which is not shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl PostgresConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        let Some(listen) = self.listen else { return Ok(()) };
        if !listen.ip().is_loopback() && !self.allow_remote_without_encryption {
            return invalid(format!(
                "postgres.listen = \"{listen}\" can be reached from other machines, and what is asked and answered is not \
                 encrypted. Use 127.0.0.1, or set postgres.allow_remote_without_encryption = true if something else \
                 keeps listeners out"
            ));
        }
        if self.password.is_some() == self.password_file.is_some() {
            return invalid("with postgres.listen goes one of postgres.password and postgres.password_file".to_owned());
        }
        if self.password.as_ref().is_some_and(|password| !is_password(&password.0)) {
            return invalid(format!("postgres.password: expected {PASSWORD_RULE}"));
        }
        if self.user.is_empty() || !(1..=CONNECTIONS_MAX).contains(&self.connections_max) {
            return invalid(format!("postgres needs a user, and connections_max from 1 to {CONNECTIONS_MAX}"));
        }
        Ok(())
    }
}

/// Whether [`PASSWORD_RULE`] holds.
pub(crate) fn is_password(text: &str) -> bool {
    (8..=200).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
