//! The section of a gateway that vehicles connect to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, Password};

/// A platform of GB/T 32960, editions 2016 and 2025: vehicles and other platforms connect to it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gbt32960Config {
    /// A name of your choice, unique among the gateways.
    pub name: String,
    /// Address and port to listen on, for example `0.0.0.0:32960`. What comes in is not encrypted.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The vehicles that may log in, a file with a line for each: its VIN and, behind a comma where it has to be a certain
    /// one, its ICCID. A relative path begins at the configuration file. Left out, every vehicle may log in.
    #[serde(default)]
    pub vehicles: Option<PathBuf>,
    /// The platforms that may log in and pass on what their vehicles say: one `[[gateways.platforms]]` section for each.
    #[serde(default)]
    pub platforms: Vec<PlatformConfig>,
    /// Connections at the same time; further ones are closed at once.
    #[serde(default = "default_connections_max")]
    pub connections_max: usize,
    /// Seconds after which a connection that says nothing is closed.
    #[serde(default = "default_silence_secs_max")]
    pub silence_secs_max: u64,
}

/// A platform that may log in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformConfig {
    /// At most 12 characters of ASCII.
    pub user: String,
    /// At most 20 characters of ASCII.
    #[schemars(with = "String")]
    pub password: Password,
}

fn default_connections_max() -> usize {
    200_000
}

fn default_silence_secs_max() -> u64 {
    180
}

impl Gbt32960Config {
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(vehicles) = &mut self.vehicles {
            *vehicles = folder.join(&*vehicles);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(format!("gateway `{}`: {text}", self.name)));
        let fits = |text: &str, bytes: usize| {
            (1..=bytes).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        for platform in &self.platforms {
            if !fits(&platform.user, 12) || !fits(&platform.password.0, 20) {
                return invalid(format!(
                    "the platform `{}` has a user of 1 to 12 and a password of 1 to 20 printable characters of ASCII",
                    platform.user
                ));
            }
        }
        if self.connections_max == 0 || self.silence_secs_max == 0 {
            return invalid("connections_max and silence_secs_max have to be at least 1".to_owned());
        }
        Ok(())
    }
}
