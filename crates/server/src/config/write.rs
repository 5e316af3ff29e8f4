//! The section `[write]` of the configuration.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, Password};

/// The largest request that may be configured, in bytes.
const BODY_BYTES_MAX: usize = 1 << 30;
/// Signals of a profile.
const SIGNALS_MAX: usize = 8_192;

/// What others may send by themselves: line protocol and Prometheus remote write.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WriteConfig {
    /// What a sender has to show. Without a token only senders on the same machine are let in, and only where
    /// `http.listen` is a loopback address.
    #[schemars(with = "Option<String>")]
    pub token: Option<Password>,
    /// The tag (of remote write: the label) whose value names the asset, for example `vehicle`: `v0001` becomes
    /// `device/v0001`, and a whole identity such as `vehicle/LSVFA49J232037048` stays what it is. Left out, measurement
    /// and tags together name the asset.
    pub asset_tag: Option<String>,
    /// Tags (of remote write: labels) that say nothing of which asset it is, and are left out of its name.
    pub ignored_tags: Vec<String>,
    /// Bytes of one request, with and without compression.
    pub body_bytes_max: usize,
    /// Requests taken at the same time; further ones wait, and are told to come again after some seconds.
    pub concurrent_max: usize,
    /// Seconds that the body of one request may take to arrive.
    pub timeout_secs: u64,
    /// Measurements of line protocol; each becomes a table.
    pub measurements_max: usize,
    /// Fields of one measurement, at most 8192; each becomes a column.
    pub fields_max: usize,
    /// Metrics of remote write, at most 8192.
    pub metrics_max: usize,
    /// Assets that are told apart since the start, for line protocol and remote write each.
    pub assets_max: usize,
}

impl Default for WriteConfig {
    fn default() -> Self {
        Self {
            token: None,
            asset_tag: None,
            ignored_tags: Vec::new(),
            body_bytes_max: 32 << 20,
            concurrent_max: 4,
            timeout_secs: 30,
            measurements_max: 1_000,
            fields_max: 1_024,
            metrics_max: 8_192,
            assets_max: 100_000,
        }
    }
}

impl WriteConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: &str| Err(ConfigError::Invalid(text.to_owned()));
        if self.concurrent_max == 0 || self.timeout_secs == 0 || self.body_bytes_max == 0 {
            return invalid("write.concurrent_max, timeout_secs and body_bytes_max have to be at least 1");
        }
        if self.body_bytes_max > BODY_BYTES_MAX {
            return invalid("write.body_bytes_max has to be at most 1073741824");
        }
        if self.fields_max > SIGNALS_MAX || self.metrics_max > SIGNALS_MAX {
            return invalid("write.fields_max and metrics_max have to be at most 8192");
        }
        if self.token.as_ref().is_some_and(|token| !is_token(&token.0)) {
            return invalid("write.token has to be of letters, digits and punctuation, without spaces");
        }
        Ok(())
    }
}

/// Whether `text` passes through every header that it may stand in.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
