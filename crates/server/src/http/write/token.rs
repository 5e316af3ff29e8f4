//! Who may write: whoever knows the token, or, where none is configured, whoever is on the same machine.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::assets::parameters;
use super::answer::{Problem, WriteError};

/// Lets a request pass that carries `token`, in one of the ways that senders know: `Authorization: Token …`, `Bearer …`,
/// or as the password of basic authentication, which InfluxDB 1.x also takes as the parameter `p`.
///
/// A browser is not let through on behalf of a page of some other site: it says where the page is from.
pub(super) fn check(
    token: Option<&str>,
    remote: bool,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(), WriteError> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if let Some(origin) = text(header::ORIGIN) {
        let from = origin.split_once("://").map_or("", |(_, host)| host);
        if from.is_empty() || text(header::HOST) != Some(from) {
            return Err(WriteError::new(Problem::Forbidden, "a page of another site may not write here"));
        }
    }
    match token {
        Some(token) => {
            let given = text(header::AUTHORIZATION).and_then(given).or_else(|| parameters(query, "p").pop());
            if given.is_some_and(|given| is_same(given.as_bytes(), token.as_bytes())) {
                return Ok(());
            }
            Err(WriteError::new(Problem::Unauthorized, "expected the token of this server (write.token)"))
        }
        None if remote => {
            let message = "this server can be reached from other machines, and has no token: set write.token";
            Err(WriteError::new(Problem::Forbidden, message))
        }
        None => Ok(()),
    }
}

/// The token in an `Authorization` header.
fn given(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return decoded.split_once(':').map(|(_, password)| password.to_owned());
    }
    let known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    known.then(|| rest.trim().to_owned())
}

/// Compares without telling by the time it takes where the difference is.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differences = given.iter().zip(token).fold(0, |differences, (one, other)| differences | (one ^ other));
    given.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_with(token: Option<&str>, remote: bool, pairs: &[(&str, &str)], query: &str) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: header::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        check(token, remote, &headers, Some(query)).is_ok()
    }

    #[test]
    fn the_token_is_taken_in_every_way_that_senders_know() {
        let secret = Some("s3cret");
        for (name, value) in [
            ("authorization", "Token s3cret"),
            ("authorization", "Bearer s3cret"),
            ("authorization", "Basic dGVsZWdyYWY6czNjcmV0"),
        ] {
            assert!(check_with(secret, true, &[(name, value)], ""), "{value}");
        }
        assert!(check_with(secret, true, &[], "db=x&u=telegraf&p=s3cret"));
        for value in ["Token s3cre", "Token s3cret2", "s3cret", "Basic !!", "Basic dGVsZWdyYWY="] {
            assert!(!check_with(secret, false, &[("authorization", value)], ""), "{value}");
        }
        assert!(!check_with(secret, false, &[], "p="));
    }

    #[test]
    fn without_a_token_only_this_machine_writes_and_no_page_of_others() {
        assert!(check_with(None, false, &[], ""));
        assert!(!check_with(None, true, &[], ""));
        let host = ("host", "127.0.0.1:7878");
        assert!(check_with(None, false, &[host, ("origin", "http://127.0.0.1:7878")], ""));
        for origin in ["http://example.com", "null", "http://127.0.0.1:8080"] {
            assert!(!check_with(None, false, &[host, ("origin", origin)], ""), "{origin}");
        }
    }
}
