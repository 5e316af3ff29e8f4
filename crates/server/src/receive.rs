//! What others send by themselves: bodies of line protocol and of remote write, decoded and made durable before they are
//! answered. Knows no HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use gateway::series::SeriesNames;
use gateway::{Connection, Ingest, IngestError, Link, Receipt, Rejection};
use gateway_line_protocol::{Position, Precision, Series, SeriesLimits};
use gateway_remote_write::{RemoteLimits, RemoteSeries, Request, RequestError};
use model::Batch;
use store::Store;

use crate::config::WriteConfig;
use crate::sources::BUILT_IN_TABLES;

/// The name under which line protocol is counted.
pub(crate) const LINE_PROTOCOL: &str = "line-protocol";
/// The name under which remote write is counted.
pub(crate) const REMOTE_WRITE: &str = "remote-write";

/// What became of a body.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) receipt: Receipt,
    /// Lines or series that were rejected.
    pub(crate) rejected: u64,
    /// What is wrong with the first of them.
    pub(crate) first_error: Option<String>,
}

/// Why the rest of a body was not taken; it may be sent again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// Nothing can be kept at present.
    #[error("{0}")]
    Refused(String),
    /// It is no request.
    #[error("{0}")]
    Request(RequestError),
}

/// See the module.
pub(crate) struct Receivers {
    ingest: Arc<dyn Ingest>,
    line_protocol: (Link, Arc<Mutex<Series>>),
    remote_write: (Link, Arc<Mutex<RemoteSeries>>),
}

impl Receivers {
    /// Receivers that know the profiles of earlier runs. `line_protocol` and `remote_write` are the links that they count
    /// with.
    pub(crate) fn new(
        config: &WriteConfig,
        store: &Store,
        ingest: Arc<dyn Ingest>,
        line_protocol: Link,
        remote_write: Link,
    ) -> Self {
        let names = SeriesNames {
            asset_label: config.asset_tag.as_deref().map(Into::into),
            ignored_labels: config.ignored_tags.iter().map(|tag| tag.as_str().into()).collect(),
        };
        let limits = SeriesLimits {
            measurements_max: config.measurements_max,
            fields_max: config.fields_max,
            assets_max: config.assets_max,
        };
        let built_in = BUILT_IN_TABLES.iter().copied().flatten().copied();
        let taken: Vec<&str> = built_in.chain([gateway_remote_write::PROFILE]).collect();
        let mut series = Series::new(limits, names.clone(), &taken);
        let limits = RemoteLimits { metrics_max: config.metrics_max, assets_max: config.assets_max };
        let mut remote = RemoteSeries::new(limits, names);
        for table in store.snapshot().tables {
            series.remember(&table.profile);
            remote.remember(&table.profile);
        }
        Self {
            ingest,
            line_protocol: (line_protocol, Arc::new(Mutex::new(series))),
            remote_write: (remote_write, Arc::new(Mutex::new(remote))),
        }
    }

    /// Takes a body of line protocol.
    ///
    /// # Errors
    /// When the store takes nothing. What was taken before is kept, and is no more when it comes again.
    pub(crate) async fn lines(&self, body: Vec<u8>, precision: Precision) -> Result<Taken, ReceiveError> {
        let (link, series) = &self.line_protocol;
        let body = Arc::new(body);
        let mut position = Position::default();
        let mut taken = Taken::default();
        while position.offset < body.len() {
            let (series, link, body) = (Arc::clone(series), link.clone(), Arc::clone(&body));
            let begin = position.offset;
            let (decoded, end) = blocking(move || {
                let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
                let received = link.clock().now();
                let decoded = series.decode(&body, &mut position, received, precision);
                let bytes = (position.offset - begin) as u64;
                link.counters().read(bytes, decoded.lines, decoded.fields, received);
                for error in &decoded.errors {
                    let bytes = &body[error.bytes.clone()];
                    link.reject(Rejection { reason: error.reason, detail: &error.to_string(), bytes });
                }
                let told: Vec<&str> = decoded.errors.iter().map(|error| error.reason).collect();
                count_untold(&link, &decoded.rejected, &told);
                (decoded, position)
            })
            .await?;
            position = end;
            taken.rejected += decoded.rejected_lines();
            taken.first_error = taken.first_error.or_else(|| decoded.errors.first().map(ToString::to_string));
            self.submit(&self.line_protocol.0, decoded.batches, &mut taken).await?;
        }
        Ok(taken)
    }

    /// Takes a body of remote write, which has at most `bytes_max` bytes without compression.
    ///
    /// # Errors
    /// When it is no request, or the store takes nothing. What was taken before is kept.
    pub(crate) async fn samples(&self, body: Vec<u8>, bytes_max: usize) -> Result<Taken, ReceiveError> {
        let (link, known) = &self.remote_write;
        let mut request = blocking(move || Request::new(&body, bytes_max)).await?.map_err(ReceiveError::Request)?;
        let mut taken = Taken::default();
        loop {
            let (known, one_link) = (Arc::clone(known), link.clone());
            let (decoded, rest) = blocking(move || {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                let received = one_link.clock().now();
                let decoded = request.decode(&mut known, received);
                if let Ok(Some(decoded)) = &decoded {
                    let (link, bytes) = (&one_link, decoded.bytes as u64);
                    link.counters().read(bytes, decoded.series, decoded.samples, received);
                    for error in &decoded.errors {
                        let bytes = &request.bytes()[error.bytes.clone()];
                        link.reject(Rejection { reason: error.reason, detail: &error.to_string(), bytes });
                    }
                    let told: Vec<&str> = decoded.errors.iter().map(|error| error.reason).collect();
                    count_untold(link, &decoded.rejected, &told);
                }
                (decoded, request)
            })
            .await?;
            request = rest;
            let Some(decoded) = decoded.map_err(ReceiveError::Request)? else { return Ok(taken) };
            taken.rejected += decoded.rejected.values().sum::<u64>();
            taken.first_error = taken.first_error.or_else(|| decoded.errors.first().map(ToString::to_string));
            self.submit(link, decoded.batches, &mut taken).await?;
        }
    }

    /// Counts a body of remote write that is no request, and keeps its beginning.
    pub(crate) fn reject_request(&self, error: &RequestError) {
        let (link, _) = &self.remote_write;
        link.reject(Rejection { reason: "invalid request", detail: &error.to_string(), bytes: &[] });
    }

    /// Makes `batches` durable. One that can never be kept costs only itself.
    async fn submit(&self, link: &Link, batches: Vec<Batch>, taken: &mut Taken) -> Result<(), ReceiveError> {
        link.report(Connection::Connected);
        let submitted = batches.into_iter().map(|batch| async move {
            let rows = batch.len() as u64;
            (rows, self.ingest.submit(Arc::new(batch), None).await)
        });
        let mut refused = None;
        for (rows, outcome) in join_all(submitted).await {
            match outcome {
                Ok(receipt) => {
                    link.counters().kept(receipt);
                    taken.receipt.accepted += receipt.accepted;
                    taken.receipt.duplicates += receipt.duplicates;
                }
                Err(error @ IngestError::Unacceptable { .. }) => {
                    link.counters().reject_many("unacceptable to the store", rows);
                    taken.rejected += rows;
                    taken.first_error.get_or_insert_with(|| error.to_string());
                }
                Err(error) => refused = Some(error.to_string()),
            }
        }
        match refused {
            Some(reason) => {
                link.report(Connection::Refused(reason.clone()));
                Err(ReceiveError::Refused(reason))
            }
            None => Ok(()),
        }
    }
}

/// Counts the rejections that are too many to be told one by one: all of `rejected` but those for the reasons `told`.
fn count_untold(link: &Link, rejected: &BTreeMap<&'static str, u64>, told: &[&str]) {
    for (reason, count) in rejected {
        let told = told.iter().filter(|told| *told == reason).count() as u64;
        if *count > told {
            link.counters().reject_many(reason, count - told);
        }
    }
}

/// Runs `work`, which takes the processor for long, where nobody waits for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ReceiveError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ReceiveError::Refused("a decoder broke down; this is a mistake in Tongmai".to_owned()))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use model::{Cursor, ManualClock, Timestamp};
    use store::{StoreOptions, SystemDisk};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::NoQuarantine;

    /// Takes no rows of the profile `full`, now or later, and none at all while it is `closed`.
    struct Strict {
        closed: bool,
    }

    impl Ingest for Strict {
        fn submit(&self, batch: Arc<Batch>, _: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
            let outcome = if self.closed {
                Err(IngestError::Refused { reason: "the disk is full".into() })
            } else if batch.profile.id() == "full" {
                Err(IngestError::Unacceptable { reason: "it is full".into() })
            } else {
                Ok(Receipt { accepted: batch.len() as u64, duplicates: 0 })
            };
            std::future::ready(outcome).boxed()
        }

        fn cursor(&self, _: &str) -> Option<Box<str>> {
            None
        }
    }

    /// Receivers before a store that takes or refuses, and the link that they count lines with.
    fn receivers(closed: bool) -> (Receivers, Link) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(SystemDisk)).unwrap();
        let ingest: Arc<dyn Ingest> = Arc::new(Strict { closed });
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let link = |name| {
            let stop = CancellationToken::new();
            Link::new(name, Arc::clone(&ingest), Arc::new(NoQuarantine), Arc::<ManualClock>::clone(&clock), stop)
        };
        let (lines, samples) = (link(LINE_PROTOCOL), link(REMOTE_WRITE));
        let made = Receivers::new(&WriteConfig::default(), &store, Arc::clone(&ingest), lines.clone(), samples);
        store.close();
        (made, lines)
    }

    #[tokio::test]
    async fn what_the_store_refuses_is_not_acknowledged() {
        let (receivers, link) = receivers(true);
        let error = receivers.lines(b"a f=1 1".to_vec(), Precision::default()).await.unwrap_err();
        assert!(matches!(&error, ReceiveError::Refused(reason) if reason.contains("the disk is full")), "{error:?}");
        assert_eq!(link.status().connection.as_str(), "refused");
    }

    #[tokio::test]
    async fn what_the_store_can_never_keep_costs_only_itself() {
        let (receivers, link) = receivers(false);
        let taken = receivers.lines(b"a f=1 1\nfull f=1 1\nnonsense\na f=2 2".to_vec(), Precision::default()).await;
        let taken = taken.unwrap();
        assert_eq!((taken.receipt.accepted, taken.rejected), (2, 2));
        assert!(taken.first_error.is_some_and(|error| error.starts_with("line 3")));
        let tally = link.counters().tally();
        assert_eq!((tally.messages, tally.observations, tally.accepted), (4, 3, 2));
        assert_eq!(tally.rejected["unacceptable to the store"], 1);
    }

    #[tokio::test]
    async fn every_rejection_is_counted_once() {
        let (receivers, link) = receivers(false);
        let taken = receivers.lines("nonsense\n".repeat(250).into_bytes(), Precision::default()).await.unwrap();
        assert_eq!((taken.rejected, link.counters().tally().rejected["missing fields"]), (250, 250));
    }
}
