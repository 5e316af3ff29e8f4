//! The store as gateways see it.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Ingest, IngestError, Receipt};
use model::{Batch, Cursor};
use store::{Store, SubmitError};

/// Hands batches to the store.
pub(crate) struct StoreIngest(pub(crate) Arc<Store>);

impl Ingest for StoreIngest {
    fn submit(&self, batch: Arc<Batch>, cursor: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        let submitted = self.0.submit(batch, cursor);
        async move {
            match submitted.await {
                Ok(receipt) => Ok(Receipt { accepted: receipt.accepted, duplicates: receipt.duplicates }),
                Err(SubmitError::Refused(reason)) => Err(IngestError::Refused { reason }),
                Err(SubmitError::Closed) => Err(IngestError::Closed),
                Err(error @ (SubmitError::Unacceptable(_) | SubmitError::TooLarge { .. })) => {
                    Err(IngestError::Unacceptable { reason: error.to_string().into() })
                }
            }
        }
        .boxed()
    }

    fn cursor(&self, source: &str) -> Option<Box<str>> {
        self.0.cursor(source)
    }
}
