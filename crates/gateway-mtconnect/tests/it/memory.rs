//! A store of tests: keeps what is new by asset, signal, time and sequence, and dies as a process does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Ingest, IngestError, Link, Quarantine, Receipt, Rejection};
use model::{AssetId, Batch, Clock, Cursor, Quality, Rows, Statistic, Timestamp, Value};
use tokio_util::sync::CancellationToken;

/// What makes a row the same row.
pub(crate) type Key = (AssetId, Arc<str>, Timestamp, u32);

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) quality: Quality,
    pub(crate) value: Value,
    pub(crate) statistic: Option<Statistic>,
}

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) rows: BTreeMap<Key, Row>,
    /// Rows that had the key of another row and a different value: what a real store would lose.
    pub(crate) conflicts: Vec<(Key, Row)>,
    pub(crate) cursor: Option<Box<str>>,
    pub(crate) duplicates: u64,
    pub(crate) rejections: Vec<(&'static str, String, Vec<u8>)>,
}

/// The durable state, which outlives the gateway.
pub(crate) type Disk = Arc<Mutex<Kept>>;

/// One life of the process: after its end nothing that was under way becomes durable.
#[derive(Clone)]
pub(crate) struct Life {
    disk: Disk,
    is_over: Arc<AtomicBool>,
    submits: Arc<AtomicU64>,
}

impl Life {
    /// A life over `disk`, and its link.
    pub(crate) fn begin(disk: &Disk) -> (Self, Link) {
        let life = Self { disk: Arc::clone(disk), is_over: Arc::default(), submits: Arc::default() };
        let shared = Arc::new(life.clone());
        let link = Link::new("agent", shared.clone(), shared, Arc::new(Ticking), CancellationToken::new());
        (life, link)
    }

    /// Ends it as kill -9 does.
    pub(crate) fn kill(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

/// A clock that goes on by a millisecond whenever it is asked, through all lives.
struct Ticking;

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        static MILLIS: AtomicI64 = AtomicI64::new(1_800_000_000_000);
        Timestamp::from_millis(MILLIS.fetch_add(1, Ordering::SeqCst))
    }
}

impl Ingest for Life {
    fn submit(&self, batch: Arc<Batch>, cursor: Option<Cursor>) -> BoxFuture<'static, Result<Receipt, IngestError>> {
        let life = self.clone();
        async move {
            // As long as a sync takes; so that lives end in the middle of deliveries.
            let number = life.submits.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(number * 7 % 11)).await;
            let mut kept = life.disk.lock().unwrap();
            if life.is_over.load(Ordering::SeqCst) {
                return Err(IngestError::Closed);
            }
            let receipt = keep(&mut kept, &batch);
            if let Some(cursor) = cursor {
                assert_eq!(&*cursor.source, "agent");
                kept.cursor = Some(cursor.position);
            }
            Ok(receipt)
        }
        .boxed()
    }

    fn cursor(&self, source: &str) -> Option<Box<str>> {
        assert_eq!(source, "agent");
        self.disk.lock().unwrap().cursor.clone()
    }
}

fn keep(kept: &mut Kept, batch: &Batch) -> Receipt {
    let Rows::Changes(changes) = &batch.rows else { panic!("an agent sends changes") };
    let mut receipt = Receipt::default();
    for row in 0..changes.len() {
        let signal = Arc::clone(&batch.profile.signal(changes.signal[row]).id);
        let key = (changes.asset_of(row).clone(), signal, changes.time[row], changes.sequence[row]);
        let statistic = changes.statistic_of(row).cloned();
        let new = Row { quality: changes.quality[row], value: changes.value[row].clone(), statistic };
        match kept.rows.get(&key) {
            None => {
                kept.rows.insert(key, new);
                receipt.accepted += 1;
            }
            Some(known) if *known == new => receipt.duplicates += 1,
            Some(_) => kept.conflicts.push((key, new)),
        }
    }
    kept.duplicates += receipt.duplicates;
    receipt
}

impl Quarantine for Life {
    fn keep(&self, _: &str, rejection: Rejection<'_>) {
        let mut kept = self.disk.lock().unwrap();
        kept.rejections.push((rejection.reason, rejection.detail.to_owned(), rejection.bytes.to_vec()));
    }
}
