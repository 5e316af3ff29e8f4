//! The section about what is told of all vehicles together.

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use crate::fleet::coordinates::System;

/// How the fleet is looked at, in the console and by `/api/v1/fleet`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FleetConfig {
    /// A vehicle that reported nothing for so many seconds counts as offline.
    pub offline_secs: u64,
    /// The coordinates of positions in reports of GB/T 32960 of 2016, which do not tell theirs: `wgs84`, as satellites give
    /// them, or `gcj02`, as maps in China have them. What is kept is what was said; only what is shown is converted.
    #[schemars(with = "String")]
    pub coordinates: System,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self { offline_secs: 600, coordinates: System::Wgs84 }
    }
}

impl FleetConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.offline_secs == 0 {
            return Err(ConfigError::Invalid("fleet.offline_secs has to be at least 1".to_owned()));
        }
        Ok(())
    }
}
