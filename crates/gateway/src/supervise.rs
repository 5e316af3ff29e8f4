//! Keeps a gateway running: whatever ends it, except a request to stop or a mistake in its configuration, is answered
//! by a new start after a pause. One gateway's trouble never reaches another.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::{Backoff, Connection, Link};

/// One source of observations.
pub trait Gateway: Send + Sync + 'static {
    /// Runs until `link.stop()` is cancelled. Lost connections are the gateway's own affair; it returns an error only
    /// for what it cannot mend itself.
    fn run<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>>;
}

/// Why a gateway gave up.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Trying again is pointless until somebody changes the configuration.
    #[error("{0}")]
    Configuration(String),
    /// May be better next time.
    #[error("{0}")]
    Failed(String),
    /// What was decoded could not be delivered.
    #[error("failed to deliver")]
    Delivery(#[source] crate::IngestError),
}

/// Runs `gateway` until its link is told to stop.
pub async fn supervise(gateway: &dyn Gateway, link: &Link) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), 0);
    while !link.stop().is_cancelled() {
        let outcome = std::panic::AssertUnwindSafe(gateway.run(link)).catch_unwind().await;
        let reason = match outcome {
            Ok(Ok(())) => break,
            Ok(Err(GatewayError::Delivery(crate::IngestError::Closed))) if link.stop().is_cancelled() => break,
            Ok(Err(error @ GatewayError::Configuration(_))) => {
                tracing::error!(gateway = link.name(), %error, "gateway will not be tried again");
                link.report(Connection::Failed(error.to_string()));
                return;
            }
            Ok(Err(error)) => std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
            Err(_) => "the gateway broke down; this is a mistake in Tongmai".to_owned(),
        };
        tracing::warn!(gateway = link.name(), reason, "gateway ended, starting anew");
        link.report(Connection::Waiting(reason));
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait()) => {}
            () = link.stop().cancelled() => {}
        }
    }
    link.report(Connection::Stopped);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::BoxFuture;
    use model::{Batch, Cursor, ManualClock, Timestamp};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Ingest, IngestError, Quarantine, Receipt, Rejection};

    struct Nowhere;

    impl Ingest for Nowhere {
        fn submit(&self, _: Arc<Batch>, _: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
            std::future::ready(Ok(Receipt::default())).boxed()
        }

        fn cursor(&self, _: &str) -> Option<Box<str>> {
            None
        }
    }

    impl Quarantine for Nowhere {
        fn keep(&self, _: &str, _: Rejection<'_>) {}
    }

    fn link() -> Link {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        Link::new("test", Arc::new(Nowhere), Arc::new(Nowhere), clock, CancellationToken::new())
    }

    struct Troubled(AtomicU32);

    impl Gateway for Troubled {
        fn run<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>> {
            async move {
                match self.0.fetch_add(1, Ordering::SeqCst) {
                    0 => panic!("a mistake"),
                    1 => Err(GatewayError::Failed("a bad day".into())),
                    _ => {
                        link.report(Connection::Connected);
                        link.stop().cancelled().await;
                        Ok(())
                    }
                }
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_breaks_down_is_started_anew() {
        let link = link();
        let gateway = Arc::new(Troubled(AtomicU32::new(0)));
        let running = {
            let (gateway, link) = (Arc::clone(&gateway), link.clone());
            tokio::spawn(async move { supervise(&*gateway, &link).await })
        };
        while link.status().connection != Connection::Connected {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        link.stop().cancel();
        running.await.unwrap();
        assert_eq!(gateway.0.load(Ordering::SeqCst), 3);
        assert_eq!(link.status().connection, Connection::Stopped);
    }

    struct Misconfigured;

    impl Gateway for Misconfigured {
        fn run<'a>(&'a self, _: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>> {
            async { Err(GatewayError::Configuration("no such file".into())) }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mistake_in_the_configuration_is_not_tried_again() {
        let link = link();
        supervise(&Misconfigured, &link).await;
        assert_eq!(link.status().connection, Connection::Failed("no such file".into()));
    }
}
