//! The section of a gateway that vehicles connect to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Password};

/// The longest name of a signer that SM2 can mix in.
const USER_ID_BYTES_MAX: usize = 8_191;

/// A platform of GB/T 32960, editions 2016 and 2025: vehicles and other platforms connect to it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gbt32960Config {
    /// A name of your choice, unique among the gateways.
    pub name: String,
    /// Address and port to listen on, for example `0.0.0.0:32960`. Without `tls` who is on the way can
    /// read what comes in, unless vehicles encrypt it.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The vehicles that may log in, a file with a line for each: its VIN and, behind a comma where it has to be a certain
    /// one, its ICCID. A relative path begins at the configuration file. Left out, every vehicle may log in.
    #[serde(default)]
    pub vehicles: Option<PathBuf>,
    /// The platforms that may log in and pass on what their vehicles say: one `[[gateways.platforms]]` section for each.
    #[serde(default)]
    pub platforms: Vec<PlatformConfig>,
    /// TLS for all who connect. Left out, nobody speaks it.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Keys and signatures of the standard itself. Left out, encrypted data units are refused and signatures ignored.
    #[serde(default)]
    pub security: Option<SecurityConfig>,
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

/// TLS 1.2 and 1.3 for all who connect. Paths that are relative begin at the configuration file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// A file with the certificate and those that vouch for it, PEM.
    pub certificate: PathBuf,
    /// A file with its private key, PEM: RSA, P-256, P-384 or Ed25519.
    pub key: PathBuf,
    /// A file with the certificates of an authority, PEM: who connects has to show a certificate that it vouches for. Left out,
    /// nobody has to show one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Keys and signatures of the standard itself. Paths that are relative begin at the configuration file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityConfig {
    /// A file with keys for data units, a line for each: a VIN, or `*` for all vehicles that have none; `AES-128` or `SM4`; `ecb`,
    /// or `cbc:` and the initial vector; and the key, with commas between. Vector and key are 32 hexadecimal digits each.
    #[serde(default)]
    pub data_keys: Option<PathBuf>,
    /// A file with the public keys of vehicles, a line for each: its VIN; `SM2`, `RSA` or `ECC`; and the key in hexadecimal digits,
    /// with commas between. Of SM2 and ECC it is a point, of RSA the modulus with the exponent behind it, or DER of either.
    #[serde(default)]
    pub public_keys: Option<PathBuf>,
    /// Files with private keys of this platform, PEM without a password, of RSA or SM2: what is encrypted for it is decrypted with
    /// them.
    #[serde(default)]
    pub private_keys: Vec<PathBuf>,
    /// A file of this program's own, in which it keeps the keys that vehicles make known by activation and key exchange: they are
    /// secret. Left out, both are refused.
    #[serde(default)]
    pub learned_keys: Option<PathBuf>,
    /// What is done about the signatures of reports of 2025: `ignore`; `check`, which keeps what became of each in the column
    /// `report_signature`; or `require`, which refuses reports without a good one.
    #[serde(default)]
    #[schemars(with = "String")]
    pub signatures: SignaturesConfig,
    /// The name that SM2 knows signers by.
    #[serde(default = "default_user_id")]
    pub user_id: String,
    /// How the blocks of exchanged keys follow one another: `ecb`, or `cbc:` and 32 hexadecimal digits of an initial vector.
    #[serde(default = "default_mode")]
    pub mode: String,
}

/// What is done about signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignaturesConfig {
    /// Nothing.
    #[default]
    Ignore,
    /// They are compared.
    Check,
    /// They have to be good.
    Require,
}

fn default_user_id() -> String {
    gbt32960_security::USER_ID.to_owned()
}

fn default_mode() -> String {
    "ecb".to_owned()
}

fn default_connections_max() -> usize {
    200_000
}

fn default_silence_secs_max() -> u64 {
    180
}

impl Gbt32960Config {
    /// Every vehicle may log in, in plain.
    pub fn new(name: &str, listen: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            vehicles: None,
            platforms: Vec::new(),
            tls: None,
            security: None,
            connections_max: default_connections_max(),
            silence_secs_max: default_silence_secs_max(),
        }
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(vehicles) = &mut self.vehicles {
            *vehicles = folder.join(&*vehicles);
        }
        let tls = self
            .tls
            .iter_mut()
            .flat_map(|tls| [Some(&mut tls.certificate), Some(&mut tls.key), tls.client_ca.as_mut()]);
        let security = self.security.iter_mut().flat_map(|security| {
            let lists = [&mut security.data_keys, &mut security.public_keys, &mut security.learned_keys];
            lists.into_iter().map(Option::as_mut).chain(security.private_keys.iter_mut().map(Some))
        });
        for path in tls.chain(security).flatten() {
            *path = folder.join(&*path);
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
        if let Some(security) = &self.security {
            if gateway_gbt32960::mode_of_text(&security.mode).is_none() {
                return invalid(format!(
                    "security.mode = \"{}\": expected `ecb`, or `cbc:` and 32 hexadecimal digits",
                    security.mode
                ));
            }
            if security.user_id.len() > USER_ID_BYTES_MAX {
                return invalid(format!("security.user_id has at most {USER_ID_BYTES_MAX} bytes"));
            }
        }
        if self.connections_max == 0 || self.silence_secs_max == 0 {
            return invalid("connections_max and silence_secs_max have to be at least 1".to_owned());
        }
        Ok(())
    }
}
