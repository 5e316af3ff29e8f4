//! Asks an agent over HTTP, with a bound on everything: time, size, redirects. Knows the request paths of MTConnect
//! part 1 and nothing of the documents that come back.

use std::time::Duration;

use gateway::GatewayError;
use reqwest::{Client, Response, Url};

use super::multipart::{Multipart, MultipartError};

/// The largest answer, and the largest part of a stream, in bytes.
pub(super) const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// The largest asset document, in bytes.
pub(super) const ASSET_BYTES_MAX: usize = 1 << 20;
/// How long a connection may take to be made.
const CONNECT_SECS_MAX: u64 = 10;
/// How long an answer that is no stream may take altogether.
const ANSWER_SECS_MAX: u64 = 30;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 3;

/// Why the agent could not be asked, or its answer not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("failed to ask for `{path}`")]
    Ask { path: String, source: reqwest::Error },
    #[error("no answer to `{path}` within {secs} s")]
    Late { path: String, secs: u64 },
    #[error("nothing came within {millis} ms, twice the heartbeat")]
    Silent { millis: u64 },
    #[error("the answer to `{path}` is larger than {bytes_max} bytes")]
    TooLarge { path: String, bytes_max: usize },
    #[error("the stream broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the agent ended the stream")]
    Ended,
    #[error("the stream cannot be cut into parts")]
    Parts(#[source] MultipartError),
}

/// An answer in full.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status; agents put documents of errors behind any of them.
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// What came back on asking for a stream.
#[derive(Debug)]
pub(super) enum Sampling {
    Stream(Stream),
    Answer(Answer),
}

/// One agent, or one device of it.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    device: Option<String>,
    heartbeat_ms: u32,
}

impl Http {
    /// A client of the agent at `url`, asking for `device` alone where one is named.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) fn new(url: &str, device: Option<&str>, heartbeat_ms: u32) -> Result<Self, GatewayError> {
        let wrong =
            |problem: String| GatewayError::Configuration(format!("`{url}` is no address of an agent: {problem}"));
        let base: Url = url.parse().map_err(|error| wrong(format!("{error}")))?;
        if base.scheme() == "https" {
            return Err(wrong("https is not supported yet, expected http://".into()));
        }
        if base.scheme() != "http" || base.host_str().is_none() {
            return Err(wrong("expected http://host:port".into()));
        }
        // Machines are in the plant's own network: a proxy meant for the internet would only be in the way.
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .build()
            .map_err(|error| GatewayError::Failed(format!("failed to set up the HTTP client: {error}")))?;
        Ok(Self { client, base, device: device.map(str::to_owned), heartbeat_ms })
    }

    fn url(&self, segments: &[&str], query: &[(&str, u64)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.set_fragment(None);
        url.set_query(None);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(key, value)| (key, value.to_string())));
        }
        url
    }

    fn request_url(&self, request: &str, query: &[(&str, u64)]) -> Url {
        match &self.device {
            Some(device) => self.url(&[device, request], query),
            None => self.url(&[request], query),
        }
    }

    /// Asks for the device models.
    pub(super) async fn probe(&self) -> Result<Answer, HttpError> {
        self.answer(self.request_url("probe", &[]), DOCUMENT_BYTES_MAX).await
    }

    /// Asks for the latest observation of every data item.
    pub(super) async fn current(&self) -> Result<Answer, HttpError> {
        self.answer(self.request_url("current", &[]), DOCUMENT_BYTES_MAX).await
    }

    /// Asks for at most `count` observations from the sequence `from` on, or from the first.
    pub(super) async fn sample(&self, from: Option<u64>, count: u32) -> Result<Answer, HttpError> {
        let query: Vec<_> = from.map(|from| ("from", from)).into_iter().chain([("count", count.into())]).collect();
        self.answer(self.request_url("sample", &query), DOCUMENT_BYTES_MAX).await
    }

    /// Asks for the asset `id`.
    pub(super) async fn asset(&self, id: &str) -> Result<Answer, HttpError> {
        self.answer(self.url(&["asset", id], &[]), ASSET_BYTES_MAX).await
    }

    /// Asks for a stream of observations from the sequence `from` on.
    pub(super) async fn stream(&self, from: u64, count: u32, interval_ms: u32) -> Result<Sampling, HttpError> {
        let query = [
            ("from", from),
            ("count", count.into()),
            ("interval", interval_ms.into()),
            ("heartbeat", self.heartbeat_ms.into()),
        ];
        let url = self.request_url("sample", &query);
        let path = path_of(&url);
        let millis_max = u64::from(self.heartbeat_ms) * 2;
        let asked = tokio::time::timeout(Duration::from_millis(millis_max), self.client.get(url).send()).await;
        let response = match asked {
            Ok(sent) => sent.map_err(|source| HttpError::Ask { path: path.clone(), source })?,
            Err(_) => return Err(HttpError::Silent { millis: millis_max }),
        };
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let parts = content_type.and_then(|text| Multipart::new(text, DOCUMENT_BYTES_MAX));
        match parts {
            Some(parts) if response.status().is_success() => {
                Ok(Sampling::Stream(Stream { response, parts, millis_max, bytes_read: 0 }))
            }
            _ => Ok(Sampling::Answer(read_answer(response, path, DOCUMENT_BYTES_MAX).await?)),
        }
    }

    async fn answer(&self, url: Url, bytes_max: usize) -> Result<Answer, HttpError> {
        let path = path_of(&url);
        let asked = async {
            let source = |source| HttpError::Ask { path: path.clone(), source };
            let response = self.client.get(url).send().await.map_err(source)?;
            read_answer(response, path.clone(), bytes_max).await
        };
        match tokio::time::timeout(Duration::from_secs(ANSWER_SECS_MAX), asked).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Late { path: path.clone(), secs: ANSWER_SECS_MAX }),
        }
    }
}

fn path_of(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

async fn read_answer(mut response: Response, path: String, bytes_max: usize) -> Result<Answer, HttpError> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let wait = Duration::from_secs(ANSWER_SECS_MAX);
    loop {
        match tokio::time::timeout(wait, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > bytes_max => {
                return Err(HttpError::TooLarge { path, bytes_max });
            }
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(Answer { status, body }),
            Ok(Err(source)) => return Err(HttpError::Ask { path, source }),
            Err(_) => return Err(HttpError::Late { path, secs: ANSWER_SECS_MAX }),
        }
    }
}

/// A stream of documents.
#[derive(Debug)]
pub(super) struct Stream {
    response: Response,
    parts: Multipart,
    millis_max: u64,
    bytes_read: usize,
}

impl Stream {
    /// The next document in full, and how many bytes were read for it.
    ///
    /// # Errors
    /// When the stream ends, breaks off, falls silent or cannot be cut into parts.
    pub(super) async fn next_part(&mut self) -> Result<(Vec<u8>, usize), HttpError> {
        loop {
            if let Some(part) = self.parts.next_part().map_err(HttpError::Parts)? {
                return Ok((part, std::mem::take(&mut self.bytes_read)));
            }
            if self.parts.is_ended() {
                return Err(HttpError::Ended);
            }
            let wait = Duration::from_millis(self.millis_max);
            match tokio::time::timeout(wait, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    self.bytes_read += chunk.len();
                    self.parts.push(&chunk);
                }
                Ok(Ok(None)) => return Err(HttpError::Ended),
                Ok(Err(source)) => return Err(HttpError::Broken(source)),
                Err(_) => return Err(HttpError::Silent { millis: self.millis_max }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_the_agent_or_one_device_of_it() {
        let check = |base: &str, device: Option<&str>, expected: &str| {
            let http = Http::new(base, device, 10_000).unwrap();
            assert_eq!(http.request_url("sample", &[("from", 7), ("count", 100)]).as_str(), expected);
        };
        check("http://h:5000", None, "http://h:5000/sample?from=7&count=100");
        check("http://h:5000/", Some("OKUMA.1"), "http://h:5000/OKUMA.1/sample?from=7&count=100");
        check("http://h/agents/a/", Some("a b/c"), "http://h/agents/a/a%20b%2Fc/sample?from=7&count=100");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_a_mistake_of_the_configuration() {
        for (url, reason) in [
            ("https://h:5000", "https is not supported yet"),
            ("ftp://h", "expected http://host:port"),
            ("host:5000", "expected http://host:port"),
            ("", "no address of an agent"),
        ] {
            let error = Http::new(url, None, 10_000).unwrap_err();
            assert!(matches!(error, GatewayError::Configuration(_)), "{url}");
            assert!(error.to_string().contains(reason), "{url}: {error}");
        }
    }
}
