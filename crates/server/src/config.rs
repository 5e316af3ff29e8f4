//! The configuration file, `tongmai.toml`. The comments of these structs are its manual: see [`crate::manual`].

mod diagnosis;
mod fleet;
mod flight_sql;
mod forward;
mod gbt32960;
mod notify;
mod postgres;
mod store;
mod write;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::diagnosis::DiagnosisConfig;
pub use self::fleet::FleetConfig;
pub use self::flight_sql::FlightSqlConfig;
pub use self::forward::{BeginConfig, ForwardConfig, Gbt32960ForwardConfig, RepliesConfig};
pub use self::gbt32960::{Gbt32960Config, PlatformConfig, SecurityConfig, SignaturesConfig, TlsConfig};
pub(crate) use self::notify::NOTIFY_MAX;
pub use self::notify::{
    EncryptionConfig, LanguageConfig, MqttConfig, NotifyConfig, NotifyEvent, SmtpConfig, WebhookConfig,
};
pub(crate) use self::postgres::{PASSWORD_RULE, is_password};
pub use self::postgres::{Password, PostgresConfig};
pub use self::store::{BackupConfig, HoldConfig, LimitsConfig, RetentionConfig, StoreConfig};
pub use self::write::WriteConfig;

/// A commented configuration to begin with.
pub const EXAMPLE: &str = include_str!("../../../docs/tongmai.example.toml");

/// The whole configuration. Every section and every key may be left out; unknown keys are refused.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the console and the HTTP API are served.
    pub http: HttpConfig,
    /// What the program may take.
    pub limits: LimitsConfig,
    /// How data are kept.
    pub store: StoreConfig,
    /// Where a running server writes backups.
    pub backup: BackupConfig,
    /// What a question may take.
    pub query: QueryConfig,
    /// What others may send by themselves: line protocol and Prometheus remote write.
    pub write: WriteConfig,
    /// Questions by PostgreSQL's protocol, as `psql`, Grafana and database drivers ask them. What `[query]` allows holds
    /// here too, except for the number of rows, which are sent as they come.
    pub postgres: PostgresConfig,
    /// Questions by Arrow Flight SQL, as ADBC and JDBC drivers ask them. What `[query]` allows holds here too, except for
    /// the number of rows, which are sent as they come.
    pub flight_sql: FlightSqlConfig,
    /// How the fleet is looked at, in the console and by `/api/v1/fleet`.
    pub fleet: FleetConfig,
    /// Rules that say when something is wrong, and raise alarms.
    pub diagnosis: DiagnosisConfig,
    /// Those who are told of alarms: one `[[notify]]` section for each.
    pub notify: Vec<NotifyConfig>,
    /// The sources: one `[[gateways]]` section for each.
    pub gateways: Vec<GatewayConfig>,
    /// The upstream platforms that reports of vehicles are forwarded to: one `[[forwards]]` section for each.
    pub forwards: Vec<ForwardConfig>,
}

/// Where the console and the HTTP API are served.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port to listen on.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// There are no accounts yet: whoever reaches the address can read everything. So only loopback addresses are
    /// allowed, unless this is set to `true`; then keep strangers out by other means, such as a firewall.
    pub allow_remote_without_accounts: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7878)), allow_remote_without_accounts: false }
    }
}

/// What a question may take.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryConfig {
    /// Bytes of memory for what all questions together sort, group and join; what needs more is written to temporary
    /// files, or refused. What is being read, and answers, come on top. Left out, a quarter of `limits.memory_bytes_max`.
    pub memory_bytes_max: Option<usize>,
    /// The folder for these temporary files, at most 4 GiB; what an earlier run left there is removed at the start, so no
    /// other server may use it. A relative path begins at the configuration file. Left out, `spill` in the data directory.
    pub spill_dir: Option<PathBuf>,
    /// Rows of one answer.
    pub rows_max: usize,
    /// Bytes of one answer in memory, and as JSON as well.
    pub answer_bytes_max: usize,
    /// Seconds that one question may take.
    pub timeout_secs: u64,
    /// Questions answered at the same time; further ones wait, 64 of them by HTTP.
    pub concurrent_max: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            memory_bytes_max: None,
            spill_dir: None,
            rows_max: 100_000,
            answer_bytes_max: 64 << 20,
            timeout_secs: 30,
            concurrent_max: 4,
        }
    }
}

/// One source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
pub enum GatewayConfig {
    /// An MTConnect adapter that speaks SHDR.
    #[serde(rename = "mtconnect-shdr")]
    MtconnectShdr(ShdrConfig),
    /// An MTConnect agent, by HTTP.
    #[serde(rename = "mtconnect-agent")]
    MtconnectAgent(AgentConfig),
    /// A platform of GB/T 32960 that vehicles connect to.
    #[serde(rename = "gbt32960")]
    Gbt32960(Box<Gbt32960Config>),
}

impl GatewayConfig {
    /// The name of the gateway.
    pub fn name(&self) -> &str {
        match self {
            Self::MtconnectShdr(config) => &config.name,
            Self::MtconnectAgent(config) => &config.name,
            Self::Gbt32960(config) => &config.name,
        }
    }

    /// The profile that it was told to keep signals under.
    fn profile(&self) -> Option<&str> {
        match self {
            Self::MtconnectShdr(config) => config.profile.as_deref(),
            Self::MtconnectAgent(config) => config.profile.as_deref(),
            Self::Gbt32960(_) => None,
        }
    }
}

/// An MTConnect adapter that speaks SHDR.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShdrConfig {
    /// A name of your choice, unique among the gateways.
    pub name: String,
    /// Host and port of the adapter; adapters usually listen on port 7878.
    pub address: String,
    /// The device model, an MTConnect `Devices.xml`; a relative path begins at the configuration file.
    pub devices: PathBuf,
    /// The profile that the machine's signals are kept under, which is also the name of its table: lower-case letters,
    /// digits and `_`. Machines of one type share a profile. Left out, it is made of the device's name.
    #[serde(default)]
    pub profile: Option<String>,
}

/// An MTConnect agent, by HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// A name of your choice, unique among the gateways.
    pub name: String,
    /// Where the agent answers, for example `http://192.0.2.7:5000`.
    pub url: String,
    /// Only this device of the agent, by name or uuid. Left out, all of them.
    #[serde(default)]
    pub device: Option<String>,
    /// The profile that the signals are kept under. Left out, one is made of each device's name.
    #[serde(default)]
    pub profile: Option<String>,
    /// Milliseconds between two parts of the agent's stream.
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds after which a silent agent has to show that it is alive.
    #[serde(default = "default_heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Observations in one document at most.
    #[serde(default = "default_count_max")]
    pub count_max: u32,
}

fn default_interval_ms() -> u64 {
    500
}

fn default_heartbeat_ms() -> u64 {
    10_000
}

fn default_count_max() -> u32 {
    5_000
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not read.
    #[error("failed to read the configuration `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no configuration; says where.
    #[error("in the configuration `{path}`\n{message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
    },
    /// The values do not go together; names the key.
    #[error("in the configuration: {0}")]
    Invalid(String),
}

impl Config {
    /// Reads the file `path`; relative paths in it begin at its folder.
    ///
    /// # Errors
    /// When it is missing, no configuration, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), message: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for gateway in &mut config.gateways {
            match gateway {
                GatewayConfig::MtconnectShdr(shdr) => shdr.devices = folder.join(&shdr.devices),
                GatewayConfig::MtconnectAgent(_) => {}
                GatewayConfig::Gbt32960(gbt32960) => gbt32960.resolve(folder),
            }
        }
        config.forwards.iter_mut().for_each(|forward| forward.resolve(folder));
        config.notify.iter_mut().for_each(|notify| notify.resolve(folder));
        let passwords = [&mut config.postgres.password_file, &mut config.flight_sql.password_file];
        let folders = [&mut config.backup.dir, &mut config.query.spill_dir];
        for path in passwords.into_iter().chain(folders).flatten().chain(&mut config.diagnosis.rules) {
            *path = folder.join(&*path);
        }
        config.check()?;
        Ok(config)
    }

    /// Whether the values go together.
    ///
    /// # Errors
    /// When they do not, with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        let listen = self.http.listen;
        if !listen.ip().is_loopback() && !self.http.allow_remote_without_accounts {
            return invalid(format!(
                "http.listen = \"{listen}\" can be reached from other machines, and there are no accounts yet: whoever \
                 reaches it can read everything. Use 127.0.0.1, or set http.allow_remote_without_accounts = true if \
                 something else keeps strangers out"
            ));
        }
        self.postgres.check()?;
        self.flight_sql.check()?;
        self.fleet.check()?;
        for (place, gateway) in self.gateways.iter().enumerate() {
            let name = gateway.name();
            check_name("gateways", place, name)?;
            let built_in =
                [crate::own::NAME, crate::receive::LINE_PROTOCOL, crate::receive::REMOTE_WRITE].contains(&name);
            if built_in || self.gateways[..place].iter().any(|other| other.name() == name) {
                return invalid(format!("gateways[{place}].name = \"{name}\" is taken: names have to be unique"));
            }
            if let GatewayConfig::Gbt32960(gbt32960) = gateway {
                gbt32960.check()?;
            }
            if let Some(profile) = gateway.profile()
                && crate::sources::BUILT_IN_TABLES.iter().any(|tables| tables.contains(&profile))
            {
                return invalid(format!("gateways[{place}].profile = \"{profile}\" is the name of a built-in table"));
            }
        }
        for (place, forward) in self.forwards.iter().enumerate() {
            let name = forward.name();
            check_name("forwards", place, name)?;
            if self.forwards[..place].iter().any(|other| other.name() == name) {
                return invalid(format!("forwards[{place}].name = \"{name}\" is taken: names have to be unique"));
            }
            forward.check()?;
        }
        if self.notify.len() > NOTIFY_MAX {
            return invalid(format!("expected at most {NOTIFY_MAX} sections [[notify]]"));
        }
        for (place, notify) in self.notify.iter().enumerate() {
            let name = &notify.name;
            check_name("notify", place, name)?;
            if self.notify[..place].iter().any(|other| other.name == *name) {
                return invalid(format!("notify[{place}].name = \"{name}\" is taken: names have to be unique"));
            }
            notify.check()?;
        }
        if self.query.concurrent_max == 0 || self.store.hot_rows_max == 0 || self.store.seal_interval_secs == 0 {
            return invalid("concurrent_max, hot_rows_max and seal_interval_secs have to be at least 1".to_owned());
        }
        self.write.check()?;
        self.limits.check()?;
        self.store.plan()?;
        Ok(())
    }
}

/// Whether `name` can name a thing, and the file that is kept of it.
fn check_name(section: &str, place: usize, name: &str) -> Result<(), ConfigError> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if name.is_empty() || !is_plain || name.starts_with('.') || name.len() > 64 {
        return Err(ConfigError::Invalid(format!(
            "{section}[{place}].name = \"{name}\": expected 1 to 64 letters, digits, `-`, `_` or `.`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tongmai.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config = check(EXAMPLE).unwrap();
        assert_eq!(config.http.listen.port(), 7878);
        let shown = EXAMPLE.replace("\n# ", "\n").replace("\n#[[", "\n[[");
        assert!(shown.contains("[[gateways]]"));
    }

    #[test]
    fn gateways_are_read_with_paths_beside_the_file() {
        let text = "[[gateways]]\nkind = \"mtconnect-shdr\"\nname = \"a\"\naddress = \"h:1\"\ndevices = \"d.xml\"\n";
        let config = check(text).unwrap();
        let [GatewayConfig::MtconnectShdr(shdr)] = &config.gateways[..] else { panic!("{config:?}") };
        assert!(shdr.devices.is_absolute() && shdr.devices.ends_with("d.xml"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = check("[postgres]\nlisten = \"127.0.0.1:5433\"\npassword = \"long enough\"\n").unwrap();
        assert!(!format!("{config:?}").contains("long enough"));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let gateway = "[[gateways]]\nkind = \"mtconnect-agent\"\nurl = \"http://a\"\nname = ";
        let forward = "[[forwards]]\nkind = \"gbt32960\"\nname = \"region\"\naddress = \"h:1\"\nuser = \"us\"\npassword = \"secret\"\n";
        let hook = "[[notify]]\nname = \"a\"\n[notify.webhook]\nurl = \"http://h\"\n";
        let mail = "[[notify]]\nname = \"m\"\n[notify.smtp]\nhost = \"h\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\n";
        let broker = "[[notify]]\nname = \"q\"\n[notify.mqtt]\nhost = \"h\"\n";
        for (text, expected) in [
            ("[htp]\n", "unknown field `htp`"),
            ("[write]\ntoken = \"two words\"\n", "write.token"),
            ("[limits]\nmemory_bytes_max = 1000\n", "limits.memory_bytes_max"),
            ("[[store.retention]]\n", "store.retention[0]"),
            ("[write]\nfields_max = 10000\n", "at most 8192"),
            (&format!("{gateway}\"line-protocol\"\n"), "is taken"),
            ("[http]\nlisten = \"nonsense\"\n", "line 2"),
            ("[http]\nlisten = \"0.0.0.0:7878\"\n", "whoever reaches it can read everything"),
            ("[postgres]\nlisten = \"0.0.0.0:5433\"\npassword = \"long enough\"\n", "not encrypted"),
            ("[postgres]\nlisten = \"127.0.0.1:5433\"\n", "postgres.password"),
            ("[postgres]\nlisten = \"127.0.0.1:5433\"\npassword = \"short\"\n", "printable characters"),
            ("[postgres]\nlisten = \"127.0.0.1:5433\"\npassword = \"密码密码密码\"\n", "printable characters"),
            ("[flight_sql]\nlisten = \"0.0.0.0:1\"\npassword = \"long enough\"\n", "not encrypted"),
            ("[flight_sql]\nlisten = \"127.0.0.1:1\"\n", "flight_sql.password"),
            ("[flight_sql]\nlisten = \"127.0.0.1:1\"\npassword = \"short\"\n", "printable characters"),
            ("[flight_sql]\nlisten = \"127.0.0.1:1\"\npassword = \"long enough\"\nuser = \"a:b\"\n", "colon"),
            (&format!("{gateway}\"a b\"\n"), "gateways[0].name"),
            (&format!("{gateway}\"a\"\n{gateway}\"a\"\n"), "is taken"),
            (&format!("{gateway}\"a\"\nprofile = \"observations\"\n"), "built-in table"),
            (&format!("{gateway}\"a\"\ncolour = \"red\"\n"), "unknown field `colour`"),
            (&format!("{forward}edition = 2019\n"), "2016 or 2025"),
            (&format!("{forward}edition = 2016\ntakes_2016 = true\n"), "takes_2016"),
            (&format!("{forward}edition = 2016\n{forward}edition = 2025\n"), "forwards[1].name"),
            (&format!("{forward}edition = 2016\nreplies = \"some\"\n"), "unknown variant `some`"),
            ("[[notify]]\nname = \"a\"\n", "expected one of webhook, smtp and mqtt"),
            (&format!("{hook}{hook}"), "notify[1].name"),
            (&hook.replace("a\"\n", "a\"\nafter_secs = 9\nevents = [\"returned\"]\n"), "only what was raised"),
            (&hook.replace("a\"\n", "a\"\npriority = \"urgent\"\n"), "unknown variant `urgent`"),
            (&hook.replace("a\"\n", "a\"\nper_minute_max = 0\n"), "per_minute_max"),
            (&hook.replace("http://", "ftp://"), "webhook.url"),
            (&format!("{mail}user = \"u\"\n"), "one of password and password_file"),
            (&format!("{mail}encryption = \"none\"\nuser = \"u\"\npassword = \"p\"\n"), "without encryption"),
            (&format!("{broker}topic = \"a/#\"\n"), "a topic without"),
            ("[[gateways]]\nkind = \"telepathy\"\n", "unknown variant `telepathy`"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(check("[http]\nlisten = \"0.0.0.0:7878\"\nallow_remote_without_accounts = true\n").is_ok());
    }
}
