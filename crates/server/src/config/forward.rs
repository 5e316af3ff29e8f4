//! The sections of upstream platforms that reports are forwarded to.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, Password};

/// One upstream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
pub enum ForwardConfig {
    /// A platform of GB/T 32960 that takes what vehicles report.
    #[serde(rename = "gbt32960")]
    Gbt32960(Gbt32960ForwardConfig),
}

/// A platform of GB/T 32960 that takes what vehicles report.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gbt32960ForwardConfig {
    /// A name of your choice, unique among the forwards. How far was forwarded is kept under it.
    pub name: String,
    /// Host and port of the upstream.
    pub address: String,
    /// A file with the key that data units are encrypted with, all of them, the login's too: `AES-128` or `SM4`, `ecb` or
    /// `cbc:` and the initial vector, and the key, with commas between, the last two of 32 hexadecimal digits each; or the
    /// upstream's public key of RSA or SM2, PEM. 2016 has AES-128 and RSA only. A relative path begins at the configuration
    /// file. Left out, nothing is encrypted.
    #[serde(default)]
    pub encryption_key: Option<PathBuf>,
    /// The edition that the upstream reads: 2016 or 2025. Reports of 2025 are said in the words of 2016 where need be.
    pub edition: u16,
    /// The user to log in as: at most 12 characters of ASCII.
    pub user: String,
    /// At most 20 characters of ASCII.
    #[schemars(with = "String")]
    pub password: Password,
    /// What stands in the place of the VIN in our own frames, such as the unique code that the upstream has given us: at
    /// most 17 characters of ASCII. Left out, the user.
    #[serde(default)]
    pub code: Option<String>,
    /// The vehicles whose reports are forwarded, a file with a VIN in each line, or the beginning of one and `*`. A relative
    /// path begins at the configuration file. Left out, with `vins` as well, all vehicles.
    #[serde(default)]
    pub vehicles: Option<PathBuf>,
    /// More of them, written here.
    #[serde(default)]
    pub vins: Vec<String>,
    /// `each`: a frame is delivered when the upstream has answered it. `none`, for an upstream that answers no good report:
    /// when the connection has taken it and holds for ten more seconds; what an upstream then loses by itself is not sent
    /// again.
    #[serde(default)]
    #[schemars(with = "String")]
    pub replies: RepliesConfig,
    /// Where the first start begins: `now`, with what comes in from then on, or `oldest`, with all that is kept.
    #[serde(default)]
    #[schemars(with = "String")]
    pub begin: BeginConfig,
    /// Whether an upstream of 2025 takes reports of 2016 too, as they are. Otherwise they are left out and counted.
    #[serde(default)]
    pub takes_2016: bool,
    /// Frames that may be under way without a reply.
    #[serde(default = "default_window_frames")]
    pub window_frames: usize,
    /// Seconds up to which a report counts as realtime; older ones are reissued.
    #[serde(default = "default_fresh_secs_max")]
    pub fresh_secs_max: u64,
    /// Seconds of silence after which a heartbeat is sent.
    #[serde(default = "default_heartbeat_secs")]
    pub heartbeat_secs: u64,
    /// Seconds that a reply may take; then the connection is made anew.
    #[serde(default = "default_reply_secs_max")]
    pub reply_secs_max: u64,
}

/// See [`Gbt32960ForwardConfig::replies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepliesConfig {
    /// The upstream answers every frame.
    #[default]
    Each,
    /// It answers no good report.
    None,
}

/// See [`Gbt32960ForwardConfig::begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BeginConfig {
    /// With what comes in.
    #[default]
    Now,
    /// With all that is kept.
    Oldest,
}

fn default_window_frames() -> usize {
    256
}

fn default_fresh_secs_max() -> u64 {
    30
}

fn default_heartbeat_secs() -> u64 {
    30
}

fn default_reply_secs_max() -> u64 {
    60
}

impl ForwardConfig {
    /// The name of the forward.
    pub fn name(&self) -> &str {
        match self {
            Self::Gbt32960(config) => &config.name,
        }
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        let Self::Gbt32960(config) = self;
        for path in [&mut config.vehicles, &mut config.encryption_key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self::Gbt32960(config) = self;
        let invalid = |text: &str| Err(ConfigError::Invalid(format!("forward `{}`: {text}", config.name)));
        let fits = |text: &str, bytes: usize| {
            (1..=bytes).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !matches!(config.edition, 2016 | 2025) {
            return invalid("expected edition = 2016 or 2025");
        }
        if !fits(&config.user, 12) || !fits(&config.password.0, 20) {
            return invalid("expected a user of 1 to 12 and a password of 1 to 20 printable characters of ASCII");
        }
        if config.code.as_ref().is_some_and(|code| !fits(code, 17)) {
            return invalid("expected a code of 1 to 17 printable characters of ASCII");
        }
        if config.takes_2016 && config.edition == 2016 {
            return invalid("takes_2016 goes with edition = 2025");
        }
        let times = [config.fresh_secs_max, config.heartbeat_secs, config.reply_secs_max];
        if !(1..=4_096).contains(&config.window_frames) || times.iter().any(|secs| !(1..=86_400).contains(secs)) {
            return invalid("expected window_frames from 1 to 4096, and times from 1 second to a day");
        }
        Ok(())
    }
}
