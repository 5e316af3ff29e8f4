//! A store of a data directory as the place where reports come from, as the server has it.

use std::path::Path;
use std::sync::Arc;

use forward_gbt32960::{Part, Place, ReadError, Reports, Wanted};
use futures::FutureExt;
use futures::future::BoxFuture;
use model::{Batch, Timestamp};
use store::{ReceivedPlace, ReceivedSpan, Store, StoreOptions, SystemDisk};

/// See the module.
pub(crate) struct Shelf(pub(crate) Store);

impl Shelf {
    pub(crate) fn open(dir: &Path) -> Arc<Self> {
        Arc::new(Self(Store::open(StoreOptions::new(dir), Arc::new(SystemDisk)).unwrap().0))
    }

    pub(crate) async fn keep(&self, batch: Batch) {
        self.0.submit(Arc::new(batch), None).await.unwrap();
    }
}

impl Reports for Shelf {
    fn received(&self) -> Timestamp {
        self.0.received()
    }

    fn read(&self, wanted: Wanted) -> BoxFuture<'static, Result<Option<Part>, ReadError>> {
        let snapshot = self.0.snapshot();
        async move {
            let Some(table) = snapshot.tables.iter().find(|table| table.profile.id() == wanted.table) else {
                return Ok(None);
            };
            let behind = wanted.behind.map(|Place { asset, time, sequence }| ReceivedPlace { asset, time, sequence });
            let (receipts, rows_max) = ((wanted.after, wanted.until), wanted.rows_max);
            let is_wanted = |asset: &str| wanted.vehicles.contain(asset);
            let span = ReceivedSpan { behind: behind.as_ref(), ..ReceivedSpan::new(receipts, &is_wanted, rows_max) };
            let found = table.received(&span).map_err(|error| ReadError(error.to_string()))?;
            let (profile, rows, received, is_all) = (found.profile, found.rows, found.received, found.is_all);
            Ok(Some(Part { profile, rows, received, is_all }))
        }
        .boxed()
    }

    fn rows_about(&self, _: &str, _: Timestamp, _: Timestamp) -> u64 {
        0
    }
}
