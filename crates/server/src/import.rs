//! Recorded files into the store, by the same decoders as live sources.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gateway::{Quarantine, Rejection};
use gateway_mtconnect::device::{self, DeviceModelError};
use gateway_mtconnect::shdr::{Counts, ShdrDecoder};
use model::{Batch, Timestamp};
use store::{Receipt, Store, SubmitError};
use tokio::task::JoinHandle;

use crate::sources::mappings;

/// As much as is read at a time.
const READ_BYTES: usize = 256 << 10;
/// Batches on their way into the log while the next is decoded.
const UNDER_WAY_MAX: usize = 8;

/// What is imported.
#[derive(Debug, Clone)]
pub struct ShdrImport {
    /// The recorded lines.
    pub log: PathBuf,
    /// The device model.
    pub devices: PathBuf,
    /// The profile to keep the signals under; left out, it is made of the device's name.
    pub profile: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportSummary {
    /// What was decoded.
    pub counts: Counts,
    /// What is now durable.
    pub receipt: Receipt,
    /// What was rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What is doubtful in the device model.
    pub warnings: Vec<String>,
}

/// Why an import ended before its file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file does not read.
    #[error("failed to read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device model is none.
    #[error("in the device model `{path}`")]
    DeviceModel {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: DeviceModelError,
    },
    /// No profile can be made of the device model.
    #[error("in the device model `{path}`: {reason}")]
    Mapping {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The store does not take it.
    #[error("failed to keep what was read; {rows} rows are safe, and importing the file again goes on there")]
    Submit {
        /// Rows that are durable.
        rows: u64,
        /// Why.
        source: SubmitError,
    },
}

impl ShdrImport {
    /// Imports the file into `store`; `progress` is told the bytes read so far, and of how many.
    ///
    /// Lines that carry no absolute time are told apart by the file's own date, so that importing it again adds nothing.
    ///
    /// # Errors
    /// See [`ImportError`]. What was imported before the error stays.
    pub async fn run(
        &self,
        store: &Store,
        quarantine: &dyn Quarantine,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<ImportSummary, ImportError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| ImportError::Read { path, source }
        };
        let xml = std::fs::read(&self.devices).map_err(unreadable(&self.devices))?;
        let model = device::read_devices(&xml)
            .map_err(|source| ImportError::DeviceModel { path: self.devices.clone(), source })?;
        let mappings = mappings(&model.devices, self.profile.as_deref())
            .map_err(|reason| ImportError::Mapping { path: self.devices.clone(), reason })?;
        let mut summary = ImportSummary::default();
        summary.warnings.extend(model.warnings.iter().map(ToString::to_string));
        let mut decoder = ShdrDecoder::new(mappings);
        let mut file = File::open(&self.log).map_err(unreadable(&self.log))?;
        let metadata = file.metadata().map_err(unreadable(&self.log))?;
        let received = date_of(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        let mut under_way = UnderWay::default();
        let mut bytes = vec![0; READ_BYTES];
        let mut bytes_read = 0;
        let name = self.log.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        loop {
            let count = file.read(&mut bytes).map_err(unreadable(&self.log))?;
            let rejected = &mut summary.rejected;
            let mut reject = |rejection: Rejection<'_>| {
                *rejected.entry(rejection.reason).or_insert(0) += 1;
                quarantine.keep(&name, rejection);
            };
            if count == 0 {
                decoder.finish(received, &mut reject);
            } else {
                decoder.decode(&bytes[..count], received, &mut reject);
            }
            let (batches, counts) = decoder.take();
            summary.counts.add(&counts);
            for batch in batches {
                under_way.submit(store, batch, &mut summary.receipt).await?;
            }
            bytes_read += count as u64;
            progress(bytes_read, metadata.len());
            if count == 0 {
                break;
            }
        }
        under_way.settle(0, &mut summary.receipt).await?;
        Ok(summary)
    }
}

fn date_of(time: SystemTime) -> Timestamp {
    let nanos = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Batches that are not yet acknowledged, in their order.
#[derive(Default)]
struct UnderWay(VecDeque<JoinHandle<Result<Receipt, SubmitError>>>);

impl UnderWay {
    async fn submit(&mut self, store: &Store, batch: Batch, receipt: &mut Receipt) -> Result<(), ImportError> {
        self.settle(UNDER_WAY_MAX - 1, receipt).await?;
        self.0.push_back(tokio::spawn(store.submit(Arc::new(batch), None)));
        Ok(())
    }

    /// Waits until at most `left` are under way.
    async fn settle(&mut self, left: usize, receipt: &mut Receipt) -> Result<(), ImportError> {
        while self.0.len() > left
            && let Some(oldest) = self.0.pop_front()
        {
            let settled = oldest.await.unwrap_or(Err(SubmitError::Closed));
            let settled = settled.map_err(|source| ImportError::Submit { rows: receipt.accepted, source })?;
            receipt.accepted += settled.accepted;
            receipt.duplicates += settled.duplicates;
        }
        Ok(())
    }
}
