//! One way to tell somebody: each kind hands a message over in one connection, and says whether it was taken. Must not know which
//! messages there are, nor what is done when one is not taken.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::mail::Mail;
use super::message::Message;
use super::mqtt::Broker;
use super::webhook::Webhook;
use crate::config::{NotifyConfig, Password};

/// Characters of what others say that are kept.
const SAID_CHARS_MAX: usize = 300;

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// Whether the message itself was refused, so that it will not be taken later either.
    pub(crate) is_refusal: bool,
}

impl Failure {
    pub(crate) fn new(what: &str, reason: &dyn std::error::Error) -> Self {
        let mut text = format!("{what}: {reason}");
        let mut source = reason.source();
        while let Some(error) = source {
            let error_text = error.to_string();
            if !text.contains(&error_text) {
                text = format!("{text}: {error_text}");
            }
            source = error.source();
        }
        Self::said(&text, false)
    }

    /// With what somebody else said: so much of it as can be shown.
    pub(crate) fn said(text: &str, is_refusal: bool) -> Self {
        let shown = text.chars().take(SAID_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c });
        Self { reason: shown.collect(), is_refusal }
    }
}

/// See the module.
pub(crate) enum Target {
    Webhook(Webhook),
    Mail(Mail),
    Broker(Broker),
}

impl Target {
    /// What `config` describes; reads its secrets.
    ///
    /// # Errors
    /// When something that it names cannot be used; shows no secret.
    pub(crate) fn new(config: &NotifyConfig) -> Result<Self, String> {
        let ca = config.ca_file.as_deref();
        match (&config.webhook, &config.smtp, &config.mqtt) {
            (Some(webhook), _, _) => Webhook::new(webhook, ca).map(Self::Webhook),
            (_, Some(smtp), _) => Mail::new(smtp, ca).map(Self::Mail),
            (_, _, Some(mqtt)) => Broker::new(&config.name, mqtt, ca).map(Self::Broker),
            _ => Err("expected one of webhook, smtp and mqtt".to_owned()),
        }
    }

    /// Tells `message`; returns when it was taken. `now` is the time in seconds of Unix.
    ///
    /// # Errors
    /// When it was not taken, for all that is known.
    pub(crate) async fn tell(&self, message: &Message, now_secs: i64) -> Result<(), Failure> {
        match self {
            Self::Webhook(webhook) => webhook.tell(message, now_secs).await,
            Self::Mail(mail) => mail.tell(message).await,
            Self::Broker(broker) => broker.tell(message).await,
        }
    }
}

/// The secret that is written, or stands in the first line of the file.
pub(crate) fn secret(written: Option<&Password>, file: Option<&Path>) -> Result<Option<String>, String> {
    match (written, file) {
        (Some(secret), _) => Ok(Some(secret.0.clone())),
        (None, None) => Ok(None),
        (None, Some(path)) => {
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| format!("failed to read `{}`: {error}", path.display()))?;
            let line = text.lines().next().unwrap_or_default();
            if line.is_empty() {
                return Err(format!("expected a secret in the first line of `{}`", path.display()));
            }
            Ok(Some(line.to_owned()))
        }
    }
}

/// The certificates of authorities in the file at `path`, PEM.
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("in the certificates `{}`: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    if found.is_empty() { Err(wrong(&"there are none")) } else { Ok(found) }
}

/// TLS that trusts the system's authorities and those in the file `ca`.
pub(crate) fn tls(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    // What the system has and cannot be read is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in ca.map_or(Ok(Vec::new()), authorities)? {
        roots.add(certificate).map_err(|error| format!("a certificate in ca_file cannot be used: {error}"))?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
