//! Tells by a web hook: `POST` with a JSON body, signed by the rules of Standard Webhooks. One connection for each message. The
//! HTTP client of other crates has no TLS, and what is switched on in it would be switched on for all of them: so this speaks
//! HTTP/1.1 through hyper itself.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::message::Message;
use super::target::{Failure, secret, tls};
use crate::config::WebhookConfig;

/// Such a secret is Base64 behind it, by Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";

/// See the module.
pub(crate) struct Webhook {
    host: String,
    port: u16,
    path: String,
    headers: HeaderMap,
    secret: Option<Vec<u8>>,
    /// Where it is encrypted.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Webhook {
    pub(crate) fn new(config: &WebhookConfig, ca: Option<&Path>) -> Result<Self, String> {
        let url: Uri = config.url.0.parse().map_err(|error| format!("webhook.url: {error}"))?;
        let authority = url.authority().ok_or("webhook.url: expected a host")?;
        if authority.as_str().contains('@') {
            return Err("webhook.url: a user goes into a header `authorization`".to_owned());
        }
        let is_encrypted = url.scheme_str() == Some("https");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = || ServerName::try_from(host.clone()).map_err(|error| format!("webhook.url: {error}"));
        let tls = if is_encrypted { Some((TlsConnector::from(tls(ca)?), name()?)) } else { None };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tongmai/", env!("CARGO_PKG_VERSION"))));
        headers.insert(HOST, header("host", authority.as_str())?);
        for (name, value) in &config.headers {
            let key = name.parse::<HeaderName>().map_err(|_| format!("webhook.headers: `{name}` is no header"))?;
            headers.insert(key, header(name, &value.0)?);
        }
        let secret = secret(config.secret.as_ref(), config.secret_file.as_deref())?;
        let secret = secret.map(|secret| key(&secret)).transpose()?;
        let port = authority.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, path, headers, secret, tls })
    }

    /// The request that tells `message` at `now_secs`.
    fn request(&self, message: &Message, now_secs: i64) -> Result<Request<Full<Bytes>>, Failure> {
        let body = message.body();
        let mut headers = self.headers.clone();
        let mut put = |name: &'static str, value: &str| {
            let value = header(name, value).map_err(|error| Failure::said(&error, true))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        put("idempotency-key", &message.id)?;
        put("webhook-id", &message.id)?;
        put("webhook-timestamp", &now_secs.to_string())?;
        if let Some(secret) = &self.secret {
            put("webhook-signature", &signature(secret, &message.id, now_secs, &body))?;
        }
        let mut request = Request::post(self.path.as_str())
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::new("it cannot be asked for", &error))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    pub(crate) async fn tell(&self, message: &Message, now_secs: i64) -> Result<(), Failure> {
        let request = self.request(message, now_secs)?;
        let connected = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = connected.map_err(|error| Failure::new("no connection", &error))?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await;
                exchange(stream.map_err(|error| Failure::new("no encrypted connection", &error))?, request).await
            }
        }
    }
}

fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| format!("`{name}` cannot stand in a header"))
}

/// What `secret` signs with.
fn key(secret: &str) -> Result<Vec<u8>, String> {
    match secret.strip_prefix(SECRET_PREFIX) {
        Some(coded) => {
            STANDARD.decode(coded).map_err(|_| format!("webhook.secret: expected Base64 after {SECRET_PREFIX}"))
        }
        None => Ok(secret.as_bytes().to_vec()),
    }
}

/// The signature of Standard Webhooks, version 1.
fn signature(secret: &[u8], id: &str, now_secs: i64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key can have any length");
    let mac = mac.chain_update(format!("{id}.{now_secs}.")).chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Asks `request` over `stream`, and hears what is answered.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(), Failure> {
    let failed = |error: hyper::Error| Failure::new("no answer", &error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let asked = async move {
        let answer = sender.send_request(request).await.map_err(failed)?;
        judge(answer).await
    };
    // The connection ends when nobody asks any more.
    let (answer, _) = tokio::join!(asked, connection);
    answer
}

async fn judge(mut answer: Response<Incoming>) -> Result<(), Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let part = match answer.body_mut().frame().await {
        Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    };
    let text = format!("answered with {status}: {}", String::from_utf8_lossy(&part));
    let is_refusal = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    Err(Failure::said(text.trim_end_matches([':', ' ']), is_refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_cannot_be_used_is_told_without_being_shown() {
        let made = |text: &str| Webhook::new(&toml::from_str(text).unwrap(), None).err().unwrap_or_default();
        assert_eq!(made("url = \"http://[::1]:8080/a?token=b\""), "");
        for (text, expected) in [
            ("url = \"http://u:geheim@h/\"", "a header `authorization`"),
            ("url = \"http://h\"\nheaders = { \"a b\" = \"c\" }", "`a b` is no header"),
            ("url = \"http://h\"\nheaders = { a = \"ge\\nheim\" }", "`a` cannot stand in a header"),
            ("url = \"http://h\"\nsecret = \"whsec_geheim!\"", "expected Base64"),
            ("url = \"http://h\"\nsecret_file = \"/nowhere/secret\"", "/nowhere/secret"),
        ] {
            let error = made(text);
            assert!(error.contains(expected) && !error.contains("heim"), "{text}: {error}");
        }
    }
}
