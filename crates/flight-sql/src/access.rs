//! Who may call: whoever sends the user name and the password (RFC 7617) or a token (RFC 6750) that was given for them.
//! A call is stopped here before anything of it is read.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use crate::handles::{Bounds, Handles};

/// How long after a wrong password the next one is tried, whoever sends it.
const WRONG_PASSWORD_DELAY: Duration = Duration::from_millis(500);
/// Tokens: each client takes one when it connects.
const TOKENS: Bounds = Bounds { count_max: 1_024, bytes_max: usize::MAX, idle_max: Duration::from_secs(24 * 3_600) };

/// Who may call. The password is not kept, only what it is recognised by.
pub struct Account {
    /// The user's name.
    pub user: String,
    key: [u8; 32],
    proof: [u8; 32],
}

impl Account {
    /// The user `user` with `password`; `key` is random.
    pub fn new(user: String, password: &str, key: [u8; 32]) -> Self {
        let proof = keyed(&key, format!("{user}:{password}").as_bytes()).finalize().into_bytes().into();
        Self { user, key, proof }
    }

    /// Whether `credentials`, as in RFC 7617, are right; takes as long for those that are nearly so.
    fn is(&self, credentials: &[u8]) -> bool {
        keyed(&self.key, credentials).verify_slice(&self.proof).is_ok()
    }
}

fn keyed(key: &[u8; 32], bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key can have any length").chain_update(bytes)
}

/// The account and the tokens that were given for it.
pub(crate) struct Access {
    account: Account,
    tokens: Handles<()>,
    /// When the next password may be tried. Whoever gives up on the answer to a wrong one does not get the next one tried
    /// any sooner.
    next_try: Mutex<Instant>,
}

impl Access {
    pub(crate) fn new(account: Account, random: fn(&mut [u8]) -> io::Result<()>) -> Self {
        Self { account, tokens: Handles::new(TOKENS, random), next_try: Mutex::new(Instant::now()) }
    }

    /// A new token, as it stands in a header.
    pub(crate) fn grant(&self) -> Result<String, Status> {
        let token = self.tokens.keep((), 0).map_err(|_| Status::internal("there is no source of randomness"))?;
        Ok(format!("Bearer {}", URL_SAFE_NO_PAD.encode(token)))
    }

    /// Whether a call with this header `authorization` may go on.
    async fn check(&self, header: Option<&http::HeaderValue>) -> Result<(), Status> {
        let (scheme, value) = header
            .and_then(|header| header.to_str().ok()?.trim().split_once(' '))
            .ok_or_else(|| Status::unauthenticated("no user name and password were given"))?;
        if scheme.eq_ignore_ascii_case("bearer") {
            let token = URL_SAFE_NO_PAD.decode(value.trim()).unwrap_or_default();
            let unknown = || Status::unauthenticated("the token is not known, or no longer: connect anew");
            return self.tokens.find(&token).ok_or_else(unknown);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Status::unauthenticated("expected the scheme Basic or Bearer"));
        }
        let credentials = STANDARD.decode(value.trim()).unwrap_or_default();
        let mut next_try = self.next_try.lock().await;
        tokio::time::sleep_until(*next_try).await;
        if self.account.is(&credentials) {
            return Ok(());
        }
        *next_try = Instant::now() + WRONG_PASSWORD_DELAY;
        drop(next_try);
        tracing::warn!("a client of Flight SQL was turned away");
        // Whether the name or the password was wrong is nobody's business.
        Err(Status::unauthenticated("wrong user name or password"))
    }
}

/// A service behind the [`Access`] to it.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    pub(crate) service: S,
    pub(crate) access: Arc<Access>,
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { mut service, access } = self.clone();
        Box::pin(async move {
            match access.check(request.headers().get(http::header::AUTHORIZATION)).await {
                Ok(()) => service.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new(Account::new("tongmai".to_owned(), "a:b and more", [7; 32]), |bytes| {
            bytes.fill(9);
            Ok(())
        })
    }

    async fn check(access: &Access, header: &str) -> Result<(), String> {
        let header = http::HeaderValue::from_str(header).unwrap();
        access.check(Some(&header)).await.map_err(|status| status.message().to_owned())
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_password_and_tokens_open() {
        let access = access();
        for header in ["", "Basic", "Basic !", "Bearer AAAAAAAAAAAAAAAAAAAAAA", "Bearer ", "Digest a"] {
            assert!(check(&access, header).await.is_err(), "{header}");
        }
        for credentials in ["", ":", "tongmai", "tongmai:", "tongmai:a:b and mo", "somebody:a:b and more"] {
            assert!(check(&access, &basic(credentials)).await.is_err(), "{credentials}");
        }
        assert!(access.check(None).await.is_err());
        assert_eq!(check(&access, &basic("tongmai:a:b and more")).await, Ok(()));
        let token = access.grant().unwrap();
        assert_eq!(check(&access, &token).await, Ok(()));
        assert_eq!(check(&access, &token.replace("Bearer", "bearer")).await, Ok(()));
        tokio::time::advance(TOKENS.idle_max).await;
        assert!(check(&access, &token).await.is_err(), "it is too old");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_take_their_time_even_when_nobody_waits_for_the_answer() {
        let access = access();
        let token = access.grant().unwrap();
        let started = Instant::now();
        assert!(check(&access, &basic("tongmai:first")).await.is_err());
        for _ in 0..10 {
            let guess = basic("tongmai:guess");
            let given_up = tokio::time::timeout(Duration::from_millis(5), check(&access, &guess)).await;
            assert!(given_up.is_err(), "it was tried at once");
        }
        assert_eq!(check(&access, &token).await, Ok(()));
        assert!(started.elapsed() < WRONG_PASSWORD_DELAY, "a token was held up");
        assert_eq!(check(&access, &basic("tongmai:a:b and more")).await, Ok(()));
        assert!(started.elapsed() >= WRONG_PASSWORD_DELAY);
    }
}
