//! The sections of those who are told of alarms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnosis::Priority;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, Password};

/// Sections at most: each reads the alarms for itself.
pub(crate) const NOTIFY_MAX: usize = 32;
const PER_MINUTE_MAX: usize = 1_000;
const RECIPIENTS_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 500;
/// The longest time that may be waited, or tried for.
const SECS_MAX: u64 = 30 * 86_400;

/// Somebody who is told of alarms: see docs/alarms.md. One of `webhook`, `smtp` and `mqtt` says how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// A name of your choice, unique among those who are told. How far they were told is kept under it.
    pub name: String,
    /// The least priority that is told: `low`, `medium`, `high` or `critical`.
    #[serde(default = "default_priority")]
    #[schemars(with = "String")]
    pub priority: Priority,
    /// Only alarms of these rules; `*` stands for any characters.
    #[serde(default = "all")]
    pub rules: Vec<String>,
    /// Only alarms of these assets; `*` stands for any characters.
    #[serde(default = "all")]
    pub assets: Vec<String>,
    /// What is told, by the words of the table `alarm`, such as `raised`, `returned` and `acknowledged`. Left out, `raised` and
    /// `returned`, or with `after_secs` `raised` alone. With `raised` goes the end of what hid an alarm that is active and
    /// unacknowledged, with `returned` goes `withdrawn`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub events: Option<Vec<NotifyEvent>>,
    /// Escalation: only what is still unacknowledged so many seconds after it became known is told, and then.
    #[serde(default)]
    pub after_secs: u64,
    /// Messages in a minute at most; what is more is summed up in the last of them.
    #[serde(default = "default_per_minute_max")]
    pub per_minute_max: usize,
    /// Seconds after which it is given up to tell what nobody has taken.
    #[serde(default = "default_give_up_secs")]
    pub give_up_secs: u64,
    /// A file with certificates of authorities, PEM, that are trusted beside those of the system; a relative path begins at the
    /// configuration file.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// By a web hook.
    #[serde(default)]
    pub webhook: Option<WebhookConfig>,
    /// By e-mail.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
    /// By a broker of MQTT 3.1.1.
    #[serde(default)]
    pub mqtt: Option<MqttConfig>,
}

/// Something that happens to an alarm, by the word that the table has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// It is so.
    Raised,
    /// It is over.
    Returned,
    /// Its rule is no more.
    Withdrawn,
    /// It is nobody's concern at present.
    Suppressed,
    /// It is again.
    Unsuppressed,
    /// Somebody has seen it.
    Acknowledged,
    /// Somebody said something.
    Commented,
    /// Somebody ended what stayed.
    Reset,
    /// Somebody does not want to see it.
    Shelved,
    /// That is over.
    Unshelved,
    /// It is being worked on.
    OutOfService,
    /// That is over.
    InService,
}

/// A web hook: `POST` with a JSON body, see docs/alarms.md. Any answer of 2xx means that it was taken; redirections are not followed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to: `https://…` or `http://…`.
    #[schemars(with = "String")]
    pub url: Password,
    /// Further headers, such as `authorization`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, Password>,
    /// What messages are signed with, by the rules of Standard Webhooks: `whsec_` and Base64, or any text.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub secret: Option<Password>,
    /// A file with the secret in its first line, instead of `secret`; a relative path begins at the configuration file.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
}

/// E-mail, handed to a server by SMTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// The mail server.
    pub host: String,
    /// Its port. Left out, 587 for `starttls`, 465 for `tls` and 25 for `none`.
    #[serde(default)]
    pub port: Option<u16>,
    /// `starttls`, `tls` or `none`. A server that does not offer what is said here is told nothing.
    #[serde(default)]
    #[schemars(with = "String")]
    pub encryption: EncryptionConfig,
    /// The user to log in as. Left out, nobody logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Password>,
    /// A file with the password in its first line, instead of `password`; a relative path begins at the configuration file.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whom messages come from, such as `Tongmai <alarms@example.com>`.
    pub from: String,
    /// Whom they go to.
    pub to: Vec<String>,
    /// The language: `zh` or `en`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub language: LanguageConfig,
}

/// See [`SmtpConfig::encryption`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncryptionConfig {
    /// From the first command on.
    #[default]
    Starttls,
    /// From the first byte on.
    Tls,
    /// Not at all.
    None,
}

/// See [`SmtpConfig::language`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LanguageConfig {
    /// Chinese.
    #[default]
    Zh,
    /// English.
    En,
}

/// A broker of MQTT 3.1.1, with QoS 1. The body is that of a web hook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// The broker.
    pub host: String,
    /// Its port. Left out, 1883, or 8883 with `tls`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Whether the connection is encrypted.
    #[serde(default)]
    pub tls: bool,
    /// The topic, in which `{target}`, `{priority}`, `{event}`, `{asset}` and `{rule}` stand for what they say; of messages that sum
    /// up, the last three are `summary`.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// Whether the broker keeps the last message of each topic for those who come later.
    #[serde(default)]
    pub retain: bool,
    /// The client identifier. Left out, `tongmai-` and the name.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The user to log in as. Left out, nobody logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Password>,
    /// A file with the password in its first line, instead of `password`; a relative path begins at the configuration file.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

fn default_priority() -> Priority {
    Priority::Low
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn default_per_minute_max() -> usize {
    20
}

fn default_give_up_secs() -> u64 {
    86_400
}

fn default_topic() -> String {
    "tongmai/alarms/{priority}/{asset}/{rule}".to_owned()
}

impl NotifyConfig {
    pub(super) fn resolve(&mut self, folder: &Path) {
        let secret = self.webhook.as_mut().and_then(|webhook| webhook.secret_file.as_mut());
        let mail = self.smtp.as_mut().and_then(|smtp| smtp.password_file.as_mut());
        let broker = self.mqtt.as_mut().and_then(|mqtt| mqtt.password_file.as_mut());
        for path in [secret, mail, broker, self.ca_file.as_mut()].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.problem().map_or(Ok(()), |text| Err(ConfigError::Invalid(format!("notify `{}`: {text}", self.name))))
    }

    fn problem(&self) -> Option<String> {
        let ways = [self.webhook.is_some(), self.smtp.is_some(), self.mqtt.is_some()];
        if ways.into_iter().filter(|is_there| *is_there).count() != 1 {
            return Some("expected one of webhook, smtp and mqtt".to_owned());
        }
        if !(1..=PER_MINUTE_MAX).contains(&self.per_minute_max) {
            return Some(format!("expected per_minute_max from 1 to {PER_MINUTE_MAX}"));
        }
        if self.after_secs > SECS_MAX || !(1..=SECS_MAX).contains(&self.give_up_secs) {
            return Some(format!("expected after_secs up to {SECS_MAX}, and give_up_secs from 1 to as many"));
        }
        // What is told later than it became known could never be told.
        if self.give_up_secs <= self.after_secs {
            return Some("expected give_up_secs to be more than after_secs".to_owned());
        }
        match &self.events {
            Some(events) if events.is_empty() => return Some("events: expected at least one".to_owned()),
            Some(events) if self.after_secs > 0 && events[..] != [NotifyEvent::Raised] => {
                return Some("events: with after_secs, only what was raised is told".to_owned());
            }
            _ => {}
        }
        let of_webhook = self.webhook.as_ref().and_then(WebhookConfig::problem);
        let of_smtp = || self.smtp.as_ref().and_then(SmtpConfig::problem);
        of_webhook.or_else(of_smtp).or_else(|| self.mqtt.as_ref().and_then(MqttConfig::problem))
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

/// A user comes with a password, written or in a file.
fn login_problem(section: &str, user: Option<&String>, password: bool, password_file: bool) -> Option<String> {
    match (user, password, password_file) {
        (None, false, false) => None,
        (Some(user), true, false) | (Some(user), false, true) if is_text(user) => None,
        _ => Some(format!("{section}: with a user goes one of password and password_file")),
    }
}

impl WebhookConfig {
    fn problem(&self) -> Option<String> {
        let url = &self.url.0;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(str::is_empty) || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some("webhook.url: expected `https://` or `http://`, and what follows in ASCII".to_owned());
        }
        if self.secret.is_some() && self.secret_file.is_some() {
            return Some("webhook: expected one of secret and secret_file".to_owned());
        }
        None
    }
}

impl SmtpConfig {
    fn problem(&self) -> Option<String> {
        if !is_text(&self.host) || !(1..=RECIPIENTS_MAX).contains(&self.to.len()) {
            return Some(format!("smtp: expected a host, and to with 1 to {RECIPIENTS_MAX} addresses"));
        }
        if self.user.is_some() && self.encryption == EncryptionConfig::None && !is_here(&self.host) {
            return Some("smtp: a password is not sent to another machine without encryption".to_owned());
        }
        login_problem("smtp", self.user.as_ref(), self.password.is_some(), self.password_file.is_some())
    }
}

impl MqttConfig {
    fn problem(&self) -> Option<String> {
        let is_plain = |text: &str| is_text(text) && !text.contains(['+', '#']);
        if !is_text(&self.host) || !is_plain(&self.topic) || !self.client_id.as_deref().is_none_or(is_text) {
            return Some("mqtt: expected a host, a client_id, and a topic without `+` and `#`".to_owned());
        }
        if self.user.is_some() && !self.tls && !is_here(&self.host) {
            return Some("mqtt: a password is not sent to another machine without tls".to_owned());
        }
        login_problem("mqtt", self.user.as_ref(), self.password.is_some(), self.password_file.is_some())
    }
}

/// Whether what is said to `host` stays on this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
